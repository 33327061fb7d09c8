"""Settings from environment variables: `POSED_MQTT__HOST` is mqtt.host."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from posed.config.settings import known_settings
from posed.config.wording import nearest, shown
from posed.config.yaml_file import UNREADABLE, parse_yaml

_PREFIX: Final = "POSED_"

_MARK: Final = "\ufeff"
"""Some editors put this before UTF-8, so that it becomes part of the first name in a file of variables."""


def environment_settings(
    environment: Mapping[str, str], problems: list[str]
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every setting in the environment: its variable, its path, and its value.

    Args:
        environment: variables; those that begin with POSED_ are settings.
        problems: takes what is wrong with them.
    """
    known = known_settings()
    for variable, text in environment.items():
        name = variable.removeprefix(_MARK)
        if not name.startswith(_PREFIX):
            continue
        where = tuple(name.removeprefix(_PREFIX).lower().split("__"))
        if where not in known:
            variables = {_PREFIX + "__".join(setting).upper() for setting in known}
            problems.append(f"{name}: unknown setting{nearest(name, variables)}")
        elif known[where]:
            yield name, where, text
        else:
            yield from _parsed(name, where, text, problems)


def _parsed(
    variable: str, where: tuple[str, ...], text: str, problems: list[str]
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    try:
        yield variable, where, parse_yaml(text)
    except UNREADABLE:
        problems.append(f"{variable}: must be a YAML value, got {shown(text)}")


def overriding(environment: Mapping[str, str], names: Collection[str]) -> list[str]:
    """The variables that go before what the overlay says of these settings, whose names are dotted."""
    set_there = {".".join(where): variable for variable, where, _ in environment_settings(environment, [])}
    return [set_there[name] for name in names if name in set_there]
