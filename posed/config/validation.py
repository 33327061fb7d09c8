"""From plain values to a `Config`, or to everything that is wrong with them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from posed.config.problems import where_of
from posed.config.sections import Config
from posed.config.settings import NAMED_BY_OWNER


def validated(tree: dict[str, Any]) -> tuple[Config | None, list[ErrorDetails]]:
    """The configuration, or everything that is wrong with it.

    Rules across fields are only looked at where the fields themselves are good, so what is wrong is taken
    out and the rest looked at again; a rule about a field that was taken out says nothing new.

    Args:
        tree: settings by their names; what is wrong is taken out of it.
    """
    _fill_empty_sections(tree)
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


def _fill_empty_sections(tree: dict[str, Any]) -> None:
    """A section's name alone, as in a file whose settings are all commented out, is no mistake."""
    for section, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            tree[section] = {} if tree.get(section) is None else tree[section]


def _take_out(tree: Any, where: tuple[int | str, ...]) -> bool:
    """Remove what stands at a place, or the part of it that exists; False where nothing does."""
    if where[:2] == NAMED_BY_OWNER:
        # An entry that is bad is taken out whole, lest more of it seems to be missing.
        where = where[:3]
    *parents, last = where
    for key in parents:
        if not isinstance(tree, dict) or not isinstance(tree.get(key), dict):
            last = key
            break
        tree = tree[key]
    return isinstance(tree, dict) and tree.pop(last, tree) is not tree
