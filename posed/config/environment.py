"""Settings from environment variables: `POSED_MQTT__HOST` is mqtt.host."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from posed.config.sections import Config
from posed.config.settings import ANY, CAMERAS, known_settings
from posed.config.wording import nearest, shown
from posed.config.yaml_file import UNREADABLE, parse_yaml

_PREFIX: Final = "POSED_"

_MARK: Final = "\ufeff"
"""Some editors put this before UTF-8, so that it becomes part of the first name in a file of variables."""


def environment_settings(
    environment: Mapping[str, str], cameras: Collection[str], problems: list[str]
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every setting in the environment: its variable, its path, and its value.

    Args:
        environment: variables; those that begin with POSED_ are settings.
        cameras: the names of the cameras of the file: the environment makes no camera.
        problems: takes what is wrong with them.
    """
    known = {
        tuple(camera if part == ANY else part for part in where): is_text
        for where, is_text in known_settings().items()
        for camera in (cameras if ANY in where else ("",))
    }
    by_variable = {_variable(where): where for where in known}
    for variable, text in environment.items():
        name = variable.removeprefix(_MARK)
        if not name.startswith(_PREFIX):
            continue
        if (where := by_variable.get(name.upper())) is None:
            problems.append(f"{name}: {_unknown(name, by_variable, cameras)}")
        elif known[where]:
            yield name, where, text
        else:
            yield from _parsed(name, where, text, problems)


def _variable(where: tuple[str, ...]) -> str:
    return _PREFIX + "__".join(where).upper()


def _unknown(name: str, variables: Collection[str], cameras: Collection[str]) -> str:
    prefix = _variable((CAMERAS, ""))
    if name.upper().startswith(prefix) and not any(
        f"{name.upper()}__".startswith(f"{prefix}{camera.upper()}__") for camera in cameras
    ):
        return f"must be of a camera that the file names ({', '.join(cameras)})"
    return f"unknown setting{nearest(name, set(variables))}"


def _parsed(
    variable: str, where: tuple[str, ...], text: str, problems: list[str]
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    try:
        yield variable, where, parse_yaml(text)
    except UNREADABLE:
        problems.append(f"{variable}: must be a YAML value, got {shown(text)}")


def overriding(environment: Mapping[str, str], config: Config, names: Collection[str]) -> list[str]:
    """The variables that go before what the overlay says of these settings, whose names are dotted."""
    set_there = {
        ".".join(where): variable
        for variable, where, _ in environment_settings(environment, config.cameras, [])
    }
    return [set_there[name] for name in names if name in set_there]
