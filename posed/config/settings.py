"""Every setting there is, by its path through the sections."""

from __future__ import annotations

from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, SecretStr

from posed.config.sections import Config, ZoneConfig

NAMED_BY_OWNER: Final = ("people", "zones")
"""The owner names the entries of the setting at this path."""


def known_settings(
    section: type[BaseModel] = Config, path: tuple[str, ...] = ()
) -> dict[tuple[str, ...], bool]:
    """Every setting by its path, and whether it is text (which YAML would turn into numbers)."""
    known: dict[tuple[str, ...], bool] = {}
    for name, field in section.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner and get_origin(field.annotation) is not dict:
            known |= known_settings(inner[0], (*path, name))
        if not inner or len(kinds) > 1:
            known[(*path, name)] = bool(kinds & {str, SecretStr}) or _is_choice_of_text(field.annotation)
    return known


def _is_choice_of_text(annotation: Any) -> bool:
    choices = get_args(annotation)
    return bool(choices) and all(isinstance(choice, str) for choice in choices)


def names_beside(where: tuple[str, ...]) -> set[str]:
    """The names that a key could have had where it stands."""
    depth = len(where)
    if where[:2] == NAMED_BY_OWNER:
        return set(ZoneConfig.model_fields)
    known = known_settings()
    return {path[depth - 1] for path in known if len(path) >= depth and path[: depth - 1] == where[:-1]}
