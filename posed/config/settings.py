"""Every setting there is, by its path through the sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, SecretStr

from posed.config.sections import CAMERA, CameraConfig, Config, ZoneConfig

CAMERAS: Final = "cameras"
"""The owner names the entries of this section."""

ZONES: Final = "zones"
"""The owner names the entries of this setting of a camera; a later source has all of it, or nothing."""

ANY: Final = "*"
"""In the path of a known setting this stands for a camera's name."""


def known_settings(
    section: type[BaseModel] = Config, path: tuple[str, ...] = ()
) -> dict[tuple[str, ...], bool]:
    """Every setting by its path, and whether it is text (which YAML would turn into numbers)."""
    known: dict[tuple[str, ...], bool] = {}
    for name, field in section.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner == [CameraConfig]:
            known |= known_settings(CameraConfig, (*path, name, ANY))
            continue
        if inner and get_origin(field.annotation) is not dict:
            known |= known_settings(inner[0], (*path, name))
        if not inner or len(kinds) > 1:
            known[(*path, name)] = bool(kinds & {str, SecretStr}) or _is_choice_of_text(field.annotation)
    return known


def _is_choice_of_text(annotation: Any) -> bool:
    choices = get_args(annotation)
    return bool(choices) and all(isinstance(choice, str) for choice in choices)


def cameras_of(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the cameras of a file; where it names none, there is one all the same."""
    cameras = tree.get(CAMERAS)
    return tuple(map(str, cameras)) if isinstance(cameras, Mapping) and cameras else (CAMERA,)


def names_beside(where: tuple[str, ...]) -> set[str]:
    """The names that a key could have had where it stands."""
    if where[0] == CAMERAS and len(where) > 2:
        if where[2] == ZONES:
            return set(ZoneConfig.model_fields)
        where = (CAMERAS, ANY, *where[2:])
    depth = len(where)
    known = known_settings()
    return {path[depth - 1] for path in known if len(path) >= depth and path[: depth - 1] == where[:-1]}
