"""From plain values to a `Config`, or to everything that is wrong with them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from posed.config.problems import where_of
from posed.config.sections import CameraConfig, Config
from posed.config.settings import CAMERAS, ZONES
from posed.config.tree import take_out


def validated(tree: dict[str, Any]) -> tuple[Config | None, list[ErrorDetails]]:
    """The configuration, or everything that is wrong with it.

    Rules across fields are only looked at where the fields themselves are good, so what is wrong is taken
    out and the rest looked at again; a rule about a field that was taken out says nothing new.

    Args:
        tree: settings by their names; what is wrong is taken out of it.
    """
    details: list[ErrorDetails] = []
    while True:
        _fill_empty_sections(tree)
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


def _fill_empty_sections(tree: dict[str, Any]) -> None:
    """A section's name alone, as in a file whose settings are all commented out, is no mistake."""
    _fill(tree, Config)
    cameras = tree.get(CAMERAS)
    if cameras is None or cameras == {}:
        tree.pop(CAMERAS, None)
    elif isinstance(cameras, dict):
        for name, camera in cameras.items():
            cameras[name] = {} if camera is None else camera
            if isinstance(cameras[name], dict):
                _fill(cameras[name], CameraConfig)


def _fill(tree: dict[str, Any], section: type[BaseModel]) -> None:
    for name, field in section.model_fields.items():
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        if is_section and tree.get(name, {}) is None:
            tree[name] = {}


def _take_out(tree: Any, where: tuple[int | str, ...]) -> bool:
    """Remove what stands at a place, or the part of it that exists; False where nothing does."""
    if where[:1] == (CAMERAS,) and where[2:3] == (ZONES,):
        # A zone that is bad is taken out whole, lest more of it seems to be missing.
        where = where[:4]
    return take_out(tree, where)
