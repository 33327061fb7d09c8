"""From the sources of a configuration to a `Config`, or to all of its problems.

Later sources win: defaults, the file, the overlay in the state folder, the environment (`POSED_MQTT__HOST`),
a command's own options.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import ErrorDetails

from posed.config.environment import environment_settings
from posed.config.former import take_out_former
from posed.config.live import camera_settings, live_settings
from posed.config.overlay import for_cameras, read_overlay, set_aside
from posed.config.problems import MOST_PROBLEMS, problem_of, where_of
from posed.config.secrets import read_settings
from posed.config.sections import Config
from posed.config.settings import CAMERAS, cameras_of
from posed.config.tree import leaves, merge, nest, take_out, value_at
from posed.config.validation import validated
from posed.config.wording import printable, reason
from posed.errors import ConfigError

log = logging.getLogger(__name__)


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
    sources = _Sources(file, problems)
    if overlay is not None:
        try:
            sources.add_overlay(str(overlay), read_overlay(overlay))
        except OSError as error:
            rule = "must be readable or not there"
            raise ConfigError([f"{overlay}: {rule} ({reason(error)})"]) from None
    sources.add_environment(environment)
    sources.add_options(options or {})
    return sources.config()


def load_for_daemon(path: Path | None, overlay: Path) -> tuple[Config, list[str]]:
    """The configuration, without what cannot be used of the overlay, of which it warns.

    A worn SD card damages what a request has changed, and nobody is there to read why posed does not start:
    a file that is no YAML is set aside, and a setting that is not good is left out alone, and stays in the
    file, as does what belongs to a camera that is no more.

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
    changes: dict[str, Any] = {}
    damage = ""
    try:
        changes = read_overlay(overlay)
    except ConfigError as error:
        damage = "; ".join(error.problems)
    except OSError as error:
        damage = reason(error)
    while True:
        sources = _Sources(file, problems)
        sources.add_overlay(str(overlay), changes)
        sources.add_environment(os.environ)
        config, bad = sources.config_or_bad_changes()
        if config is not None:
            if damage:
                set_aside(overlay, damage)
            for camera in sources.skipped:
                log.warning("%s: cameras.%s: skipped, as there is no such camera", overlay, camera)
            return config, sources.changes
        for where, problem in bad.items():
            log.warning("%s: left out: %s", overlay, problem)
            take_out(changes, where)


def _is_live(where: tuple[str, ...]) -> bool:
    """Whether a setting can be changed at run time, for all cameras or one."""
    if where[0] == CAMERAS:
        return ".".join(where[2:]) in camera_settings()
    return ".".join(where) in live_settings()


class _Sources:
    """What the sources say together, where each setting comes from, and what is wrong.

    Args:
        file: the settings of the first source.
        problems: what was wrong with it.

    Attributes:
        skipped: the names of the overlay's cameras that are not in the file.
    """

    def __init__(self, file: Mapping[str, Any], problems: Sequence[str]) -> None:
        self._tree: dict[str, Any] = copy.deepcopy(dict(file))
        self._problems = list(problems)
        if (problem := take_out_former(self._tree)) is not None:
            self._problems.append(problem)
        self._cameras = cameras_of(self._tree)
        self._origins: dict[tuple[str, ...], str] = {}
        self._changes: list[tuple[str, ...]] = []
        self._nulls: list[tuple[str, ...]] = []
        self.skipped: list[str] = []

    @property
    def changes(self) -> list[str]:
        """The settings of the overlay, by dotted name, but for what is skipped."""
        return [".".join(where) for where in self._changes]

    def add_overlay(self, origin: str, changes: Mapping[str, Any]) -> None:
        """Add what requests changed; null takes back what the file has."""
        settings, self.skipped = for_cameras(copy.deepcopy(dict(changes)), self._cameras)
        self._changes = list(leaves(settings))  # sections without settings say nothing
        for where in self._changes:
            value = value_at(settings, where)
            if value is not None:
                merge(self._tree, nest(where, value))
            elif _is_live(where):
                take_out(self._tree, where)
            else:
                self._nulls.append(where)
        self._origins.update(dict.fromkeys(self._changes, origin))

    def add_environment(self, environment: Mapping[str, str]) -> None:
        """Add the settings of variables."""
        for variable, where, value in environment_settings(environment, self._cameras, self._problems):
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
        return self._config_of(*validated(self._tree))

    def config_or_bad_changes(self) -> tuple[Config | None, Mapping[tuple[str, ...], str]]:
        """The configuration, or what of the overlay is to be left out of it, by path, and why.

        Raises:
            ConfigError: with every problem that is not the overlay's, one line each.
        """
        config, details = validated(self._tree)
        bad = {where: _without_value(where) for where in self._nulls}
        for detail in details:
            where = where_of(detail)
            for change in self._changes:
                if change[: len(where)] == where[: len(change)]:
                    bad[change] = problem_of(detail, {})
        return (None, bad) if bad else (self._config_of(config, details), {})

    def _config_of(self, config: Config | None, details: Sequence[ErrorDetails]) -> Config:
        problems = self._problems + [_without_value(where) for where in self._nulls]
        problems += [problem_of(detail, self._origins) for detail in details[:MOST_PROBLEMS]]
        if (more := len(details) - MOST_PROBLEMS) > 0:
            problems.append(f"and {more} more problems")
        if config is None or problems:
            raise ConfigError(problems)
        return config


def _without_value(where: tuple[str, ...]) -> str:
    return f"{'.'.join(map(printable, where))}: must have a value, got nothing"
