"""Looks at what a configuration leads to, without opening a device or connecting."""

from __future__ import annotations

from posed.config import Config, mqtt_password
from posed.errors import ConfigError, ModelError
from posed.model.catalogue import find, locate
from posed.mqtt.attempt import tls_context


def check(config: Config) -> str:
    """Check everything that the configuration names.

    Returns:
        What is still to be done, empty if nothing.

    Raises:
        ConfigError: with every problem, one line each.
    """
    problems: list[str] = []
    to_do = ""
    for load in (
        lambda: mqtt_password(config.mqtt),
        lambda: config.mqtt.tls and tls_context(config.mqtt.tls),
    ):
        try:
            load()
        except ConfigError as error:
            problems += error.problems
    try:
        locate(config.model.name)
    except ModelError as error:
        if find(config.model.name) is None:
            problems.append(f"model.name: {error}")
        elif not config.model.pull:
            to_do = str(error)
    if problems:
        raise ConfigError(problems)
    return to_do
