"""The settings that can be changed while the daemon runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from posed.config.problems import problem_of
from posed.config.sections import LIVE, Config
from posed.config.tree import value_at
from posed.config.validation import validated
from posed.config.wording import nearest, printable
from posed.errors import ConfigError


@functools.cache
def live_settings(section: type[BaseModel] = Config, path: str = "") -> dict[str, FieldInfo]:
    """Every setting that can be changed while the daemon runs, by its dotted name."""
    found: dict[str, FieldInfo] = {}
    for name, field in section.model_fields.items():
        if LIVE in field.metadata:
            found[path + name] = field
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= live_settings(field.annotation, f"{path}{name}.")
    return found


def live_values(config: Config) -> dict[str, Any]:
    """The value of every setting that can be changed at run time, by its dotted name, as plain data."""
    tree = config.model_dump(
        mode="json", exclude={"camera": {"password"}, "mqtt": {"password"}, "web": {"token"}}
    )
    return {name: value_at(tree, name.split(".")) for name in live_settings()}


def changed(config: Config, settings: Mapping[str, Any]) -> Config:
    """A configuration with other values, each as good as in the file.

    Args:
        config: the configuration to change.
        settings: new values by dotted name.

    Raises:
        ConfigError: with every problem, one line each.
    """
    known = live_settings()
    if unknown := [name for name in settings if name not in known]:
        rule = "must be a setting that can be changed at run time"
        raise ConfigError([f"{printable(name)}: {rule}{nearest(name, set(known))}" for name in unknown])
    tree = config.model_dump()
    for name, value in settings.items():
        *sections, last = name.split(".")
        value_at(tree, sections)[last] = value
    wanted, details = validated(tree)
    if wanted is None:
        raise ConfigError([problem_of(detail, {}) for detail in details])
    return wanted


class LiveConfig:
    """The configuration that the daemon works with now.

    Args:
        config: the configuration that it starts with.

    Attributes:
        config: the configuration of now.
        values: every setting that can be changed at run time, by its dotted name, as plain data.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.values = live_values(config)
        self._listeners: list[Callable[[Config], object]] = []

    def listen(self, listener: Callable[[Config], object]) -> None:
        """Call `listener` with each configuration that is taken over from now on."""
        self._listeners.append(listener)

    def take_over(self, config: Config) -> None:
        """Go on with other settings, of those that can change at run time."""
        self.config, self.values = config, live_values(config)
        for listener in self._listeners:
            listener(config)


def bounds_of(setting: str, step: float) -> tuple[float, float]:
    """The least and the most that a number may be.

    Args:
        setting: its dotted name.
        step: the distance between two numbers, which is kept from a bound that is itself excluded.
    """
    bounds = {
        name: value
        for rule in live_settings()[setting].metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(rule, name, None)) is not None
    }
    least = bounds["ge"] if "ge" in bounds else bounds["gt"] + step
    most = bounds["le"] if "le" in bounds else bounds["lt"] - step
    return least, most
