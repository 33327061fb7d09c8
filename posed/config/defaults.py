"""Defaults that depend on the network: its scores are not those of another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Any, Final, TypeVar

from posed.config.sections import CameraConfig, Config, Section

_SECTIONS: Final = ("decode", "people")
"""A network may have other defaults in these sections."""

S = TypeVar("S", bound=Section)


def with_defaults(config: Config, defaults: Mapping[str, Any], but: Collection[str] = ()) -> Config:
    """A configuration with other defaults: they hold for the settings of which nobody gave a value.

    Such settings still count as not given, so that the same can be done with yet other defaults.

    Args:
        config: as it was loaded.
        defaults: by dotted name, each as good as in a file; settings of `decode` and `people`.
        but: the names of cameras that another network looks at.
    """
    cameras = {
        name: camera if name in but else _camera(camera, config, defaults)
        for name, camera in config.cameras.items()
    }
    sections = {
        name: _filled(getattr(config, name), getattr(config, name).model_fields_set, name, defaults)
        for name in _SECTIONS
    }
    return _replaced(config, sections | {"cameras": cameras})


def _camera(camera: CameraConfig, config: Config, defaults: Mapping[str, Any]) -> CameraConfig:
    """A camera: a value for all cameras is given for it as well."""
    sections = {}
    for name in _SECTIONS:
        own, shared = getattr(camera, name), getattr(config, name)
        sections[name] = _filled(own, own.model_fields_set | shared.model_fields_set, name, defaults)
    return _replaced(camera, sections)


def _filled(section: S, given: Set[str], name: str, defaults: Mapping[str, Any]) -> S:
    ours = {field: f"{name}.{field}" for field in type(section).model_fields if field not in given}
    return _replaced(section, {field: defaults[path] for field, path in ours.items() if path in defaults})


def _replaced(section: S, values: Mapping[str, Any]) -> S:
    """A section with other values, which do not count as given by anybody."""
    fields = set(section.model_fields_set)
    return type(section).model_construct(_fields_set=fields, **{**dict(section), **values})
