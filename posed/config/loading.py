"""From the sources of a configuration to a `Config`, or to all of its problems.

Later sources win: defaults, the file, the overlay in the state folder, the environment (`POSED_MQTT__HOST`),
a command's own options.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from posed.config.environment import environment_settings
from posed.config.overlay import kept, set_aside
from posed.config.problems import MOST_PROBLEMS, problem_of
from posed.config.secrets import read_settings
from posed.config.sections import Config
from posed.config.tree import leaves, merge, nest
from posed.config.validation import validated
from posed.config.wording import reason
from posed.errors import ConfigError


def load(
    path: Path | None,
    environment: Mapping[str, str] = os.environ,
    *,
    overlay: Path | None = None,
    options: Mapping[str, tuple[str, Any]] | None = None,
) -> Config:
    """The configuration from everything that has a say in it.

    Args:
        path: a YAML file, or None for the defaults.
        environment: variables; those that begin with POSED_ are settings.
        overlay: a YAML file of settings that were changed at run time; need not exist.
        options: settings of a command line: dotted name to flag and value; a value of None is not given.

    Raises:
        ConfigError: with every problem, one line each.
    """
    problems: list[str] = []
    file = {} if path is None else read_settings(path, problems)
    try:
        return _assembled(file, problems, environment, overlay, options or {})
    except OSError as error:
        raise ConfigError([f"{overlay}: must be readable or not there ({reason(error)})"]) from None


def load_for_daemon(path: Path | None, overlay: Path) -> tuple[Config, list[str]]:
    """The configuration, without the overlay where that is damaged: it is set aside, with a warning.

    A worn SD card damages what a request has changed, and nobody is there to read why posed does not start.

    Args:
        path: a YAML file, or None for the defaults.
        overlay: a YAML file of settings that were changed at run time; need not exist.

    Returns:
        The configuration, and the names of the settings that come from the overlay.

    Raises:
        ConfigError: with every problem of the configuration without the overlay, one line each.
    """
    problems: list[str] = []
    file = {} if path is None else read_settings(path, problems)
    try:
        return _assembled(file, problems, os.environ, overlay, {}), kept(overlay)
    except ConfigError as error:
        damage = "; ".join(error.problems)
    except OSError as error:
        damage = reason(error)
    config = _assembled(file, problems, os.environ, None, {})
    set_aside(overlay, damage)
    return config, []


def _assembled(
    file: Mapping[str, Any],
    problems: Sequence[str],
    environment: Mapping[str, str],
    overlay: Path | None,
    options: Mapping[str, tuple[str, Any]],
) -> Config:
    """The configuration from a file that was read, with these problems, and from the sources after it.

    Raises:
        ConfigError: with every problem, one line each.
        OSError: it cannot be seen whether there is an overlay.
    """
    sources = _Sources(file, problems)
    if overlay is not None and overlay.exists():
        sources.add_overlay(overlay)
    sources.add_environment(environment)
    sources.add_options(options)
    return sources.config()


class _Sources:
    """What the sources say together, where each setting comes from, and what is wrong.

    Args:
        file: the settings of the first source.
        problems: what was wrong with it.
    """

    def __init__(self, file: Mapping[str, Any], problems: Sequence[str]) -> None:
        self._tree: dict[str, Any] = copy.deepcopy(dict(file))
        self._problems = list(problems)
        self._origins: dict[tuple[str, ...], str] = {}

    def add_overlay(self, overlay: Path) -> None:
        """Add the settings of a file.

        Raises:
            ConfigError: it cannot be read or is no YAML.
        """
        settings = read_settings(overlay, self._problems)
        merge(self._tree, settings)
        self._origins.update({where: str(overlay) for where in leaves(settings)})

    def add_environment(self, environment: Mapping[str, str]) -> None:
        """Add the settings of variables."""
        for variable, where, value in environment_settings(environment, self._problems):
            self._add(variable, where, value)

    def add_options(self, options: Mapping[str, tuple[str, Any]]) -> None:
        """Add the settings of a command line that are given: by dotted name, flag and value."""
        for name, (flag, value) in options.items():
            if value is not None:
                self._add(flag, tuple(name.split(".")), value)

    def _add(self, origin: str, where: tuple[str, ...], value: Any) -> None:
        merge(self._tree, nest(where, value))
        self._origins[where] = origin

    def config(self) -> Config:
        """The configuration.

        Raises:
            ConfigError: with every problem, one line each.
        """
        config, details = validated(self._tree)
        problems = self._problems + [problem_of(detail, self._origins) for detail in details[:MOST_PROBLEMS]]
        if (more := len(details) - MOST_PROBLEMS) > 0:
            problems.append(f"and {more} more problems")
        if config is None or problems:
            raise ConfigError(problems)
        return config
