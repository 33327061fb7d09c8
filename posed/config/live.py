"""The settings that can be changed while the daemon runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from posed.config.defaults import with_defaults
from posed.config.problems import problem_of
from posed.config.sections import LIVE, CameraConfig, Config
from posed.config.settings import CAMERAS
from posed.config.tree import is_there, merge, nest, take_out, value_at
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


def camera_settings() -> dict[str, FieldInfo]:
    """Every setting that a camera can have of its own while the daemon runs, by its dotted name."""
    return live_settings(CameraConfig)


def _settings_of(camera: str | None) -> dict[str, FieldInfo]:
    """The settings of one camera, or those for all, by dotted name."""
    return live_settings() if camera is None else camera_settings()


def live_values(config: Config, camera: str | None = None) -> dict[str, Any]:
    """The value of every setting that can be changed at run time, by its dotted name, as plain data.

    Args:
        config: has them.
        camera: the name of the camera for which they hold; None for what holds for all cameras that have no
            value of their own.
    """
    known = _settings_of(camera)
    section = config if camera is None else config.cameras[camera]
    tree = section.model_dump(mode="json", include={name.partition(".")[0] for name in known})
    return {name: value_at(tree, name.split(".")) for name in known}


def given_settings(config: Config, camera: str | None) -> set[str]:
    """The settings that can be changed at run time of which somebody gave a value, by dotted name.

    Args:
        config: has them.
        camera: the name of the camera whose own they are; None: they are for all cameras.
    """
    section = config if camera is None else config.cameras[camera]
    given = section.model_dump(exclude_unset=True)
    return {name for name in _settings_of(camera) if is_there(given, name.split("."))}


def changed(config: Config, settings: Mapping[str, Any], camera: str | None = None) -> Config:
    """A configuration with other values, each as good as in the file.

    Args:
        config: the configuration to change.
        settings: new values by dotted name; None takes a value back, so that nobody gave it.
        camera: the name of the camera whose own values they are; None: they are for all cameras.

    Raises:
        ConfigError: with every problem, one line each.
    """
    known = _settings_of(camera)
    if unknown := [name for name in settings if name not in known]:
        raise ConfigError([_unknown(name, camera) for name in unknown])
    tree = config.model_dump(exclude_unset=True)
    for name, value in settings.items():
        where = where_of_setting(name, camera)
        if value is None:
            take_out(tree, where)
        else:
            merge(tree, nest(where, value))
    wanted, details = validated(tree)
    if wanted is None:
        raise ConfigError([problem_of(detail, {}) for detail in details])
    return wanted


def where_of_setting(name: str, camera: str | None) -> tuple[str, ...]:
    """The path of a setting that is given by its dotted name."""
    where = tuple(name.split("."))
    return where if camera is None else (CAMERAS, camera, *where)


def _unknown(name: str, camera: str | None) -> str:
    if camera is None and name in camera_settings():
        return f"{name}: needs the name of a camera beside it, as each has its own"
    if camera is not None and name in live_settings():
        return f"{name}: is for all cameras, got that of {printable(camera)}"
    known = _settings_of(camera)
    return f"{printable(name)}: must be a setting that can be changed at run time{nearest(name, set(known))}"


class LiveConfig:
    """The configuration that the daemon works with now.

    Args:
        config: the configuration that it starts with.

    Attributes:
        config: the configuration of now.
        values: every setting that can be changed at run time, by its dotted name, as plain data.
        values_of: those that hold for each camera, by its name.
    """

    def __init__(self, config: Config) -> None:
        self._listeners: list[Callable[[Config], object]] = []
        self._defaults: Mapping[str, Any] = {}
        self._take(config)

    def _take(self, config: Config) -> None:
        self.config = config = self.filled(config)
        self.values = live_values(config)
        self.values_of = {camera: live_values(config, camera) for camera in config.cameras}

    def use_defaults(self, defaults: Mapping[str, Any]) -> None:
        """From now on, let settings that nobody gave have these values, by dotted name.

        They are the engine's: cameras with a network of their own stay as they are.
        """
        self._defaults = defaults
        self._take(self.config)

    def filled(self, config: Config) -> Config:
        """A configuration, with the defaults that are used here."""
        own = [name for name, camera in config.cameras.items() if camera.has_network]
        return with_defaults(config, self._defaults, but=own)

    def listen(self, listener: Callable[[Config], object]) -> None:
        """Call `listener` with each configuration that is taken over from now on."""
        self._listeners.append(listener)

    def take_over(self, config: Config) -> None:
        """Go on with other settings, of those that can change at run time."""
        self._take(config)
        for listener in self._listeners:
            listener(self.config)


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
