"""The configuration: one frozen struct per section, and the way from files to a `Config`.

Later sources win: defaults, the file, the overlay in the state
folder, the environment (`POSED_MQTT__HOST`), a command's own options.
"""

from __future__ import annotations

import copy
import functools
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    BaseModel,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from posed.config.environment import environment_settings, overriding
from posed.config.problems import MOST_PROBLEMS, problem_of, where_of
from posed.config.secrets import mqtt_password, read_settings
from posed.config.sections import (
    LIVE,
    CameraConfig,
    Config,
    DecodeConfig,
    EngineConfig,
    HomeAssistantConfig,
    LogConfig,
    ModelConfig,
    MqttConfig,
    MqttEventsConfig,
    MqttPosesConfig,
    PeopleConfig,
    PrivacyConfig,
    TlsConfig,
    WebConfig,
    ZoneConfig,
    default_device,
)
from posed.config.settings import NAMED_BY_OWNER
from posed.config.tree import leaves, merge, nest, value_at
from posed.config.wording import nearest, printable, reason
from posed.config.yaml_file import MOST_BYTES
from posed.errors import ConfigError
from posed.files import replace_file

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
    return _assembled(file, problems, environment, overlay, options or {})


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
    _set_aside(overlay, damage)
    return config, []


def damaged_file(overlay: Path) -> Path:
    """Where an overlay that was damaged is."""
    return overlay.with_name(f"{overlay.name}.damaged")


def _set_aside(overlay: Path, damage: str) -> None:
    """Rename an overlay that cannot be used; where the disk does not take that, it stays and is left out."""
    try:
        overlay.replace(damaged_file(overlay))
        now = f"now {damaged_file(overlay).name}"
    except OSError as error:
        now = f"cannot be renamed: {reason(error)}"
    log.warning("%s: damaged, so what requests changed is left out (%s): %s", overlay, now, damage)


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
    problems = list(problems)
    tree: dict[str, Any] = copy.deepcopy(dict(file))
    origins: dict[tuple[str, ...], str] = {}
    if overlay is not None and overlay.exists():
        settings = read_settings(overlay, problems)
        merge(tree, settings)
        origins.update({where: str(overlay) for where in leaves(settings)})
    for name, where, value in environment_settings(environment, problems):
        merge(tree, nest(where, value))
        origins[where] = name
    for name, (flag, value) in options.items():
        if value is not None:
            where = tuple(name.split("."))
            merge(tree, nest(where, value))
            origins[where] = flag
    config, details = _validated(tree)
    problems += [problem_of(detail, origins) for detail in details[:MOST_PROBLEMS]]
    if (more := len(details) - MOST_PROBLEMS) > 0:
        problems.append(f"and {more} more problems")
    if config is None or problems:
        raise ConfigError(problems)
    return config


def _validated(tree: dict[str, Any]) -> tuple[Config | None, list[ErrorDetails]]:
    """The configuration, or everything that is wrong with it.

    Rules across fields are only looked at where the fields themselves are good, so what is wrong is taken
    out and the rest looked at again; a rule about a field that was taken out says nothing new.
    """
    for section, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            tree[section] = {} if tree.get(section) is None else tree[section]
    details: list[ErrorDetails] = []
    while True:
        try:
            config = Config.model_validate(tree)
        except ValidationError as error:
            known = {where_of(detail) for detail in details}
            found = [detail for detail in error.errors() if where_of(detail) not in known]
            details += found
            if not found or not all(_take_out(tree, detail["loc"]) for detail in found):
                return None, details
        else:
            return (None if details else config), details


def _take_out(tree: Any, where: tuple[int | str, ...]) -> bool:
    """Remove what stands at a place, or the part of it that exists; False where nothing does."""
    if where[:2] == NAMED_BY_OWNER:
        where = where[:3]
    *parents, last = where
    for key in parents:
        if not isinstance(tree, dict) or not isinstance(tree.get(key), dict):
            last = key
            break
        tree = tree[key]
    return isinstance(tree, dict) and tree.pop(last, tree) is not tree


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
    """What these settings are, as plain data."""
    tree = config.model_dump(mode="json", exclude={"mqtt": {"password"}, "web": {"token"}})
    return {name: value_at(tree, name.split(".")) for name in live_settings()}


def changed(config: Config, settings: Mapping[str, Any]) -> Config:
    """A configuration with other values, each as good as in the file.

    Args:
        config: what is to be changed.
        settings: values by dotted name.

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
    wanted, details = _validated(tree)
    if wanted is None:
        raise ConfigError([problem_of(detail, {}) for detail in details])
    return wanted


def kept(overlay: Path) -> list[str]:
    """The settings in the overlay, by dotted name; none where it is missing.

    Raises:
        ConfigError: the file is there and cannot be read.
    """
    tree = read_settings(overlay, []) if overlay.exists() else {}
    found = []
    for name in live_settings():
        try:
            value_at(tree, name.split("."))
        except (KeyError, TypeError):
            continue
        found.append(name)
    return found


def keep(overlay: Path, config: Config, names: Collection[str]) -> None:
    """Write settings into the overlay, beside those that are there; a damaged one is set aside.

    Args:
        overlay: the file.
        config: has their values.
        names: of the settings, dotted.

    Raises:
        ConfigError: it would be too large.
        OSError: it cannot be written.
    """
    try:
        tree = read_settings(overlay, []) if overlay.exists() else {}
    except ConfigError as error:
        _set_aside(overlay, "; ".join(error.problems))
        tree = {}
    values = live_values(config)
    for name in names:
        merge(tree, nest(tuple(name.split(".")), values[name]))
    comment = "# Settings that were changed by requests. Later than the file, earlier than the environment.\n"
    text = comment + yaml.safe_dump(tree, sort_keys=False, default_flow_style=None)
    if len(text) > MOST_BYTES:
        raise ConfigError([f"{overlay}: must be at most {MOST_BYTES} bytes, got {len(text)}"])
    replace_file(overlay, text)


def bounds_of(setting: str, step: float) -> tuple[float, float]:
    """The least and the most that a number may be.

    Args:
        setting: dotted name.
        step: between two numbers, where the bound itself is excluded.
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


__all__ = [
    "CameraConfig",
    "Config",
    "DecodeConfig",
    "EngineConfig",
    "HomeAssistantConfig",
    "LogConfig",
    "ModelConfig",
    "MqttConfig",
    "MqttEventsConfig",
    "MqttPosesConfig",
    "PeopleConfig",
    "PrivacyConfig",
    "TlsConfig",
    "WebConfig",
    "ZoneConfig",
    "bounds_of",
    "changed",
    "damaged_file",
    "default_device",
    "keep",
    "kept",
    "live_settings",
    "live_values",
    "load",
    "load_for_daemon",
    "mqtt_password",
    "overriding",
]
