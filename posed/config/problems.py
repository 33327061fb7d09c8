"""What is wrong with a configuration, in words: one line for each problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from posed.config.settings import names_beside
from posed.config.wording import nearest, number, printable, shown

MOST_PROBLEMS: Final = 100
"""At most this many problems are listed at once."""

_MAY_HOLD_SECRETS: Final = {"password", "source", "token"}
"""The values of these settings are never shown; a camera's URL has its password in it."""

_LISTS: Final = {"names", "frame_ancestors"}
"""These settings are lists of text."""

_OF_SECTIONS: Final = {"model_type", "dict_type"}
"""A value that breaks one of these rules stands in place of settings: it may be a secret without its name."""

_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "string": "text (put it in quotes)",
    "bool": "true or false",
    "model": "settings as `name: value`",
    "dict": "settings as `name: value`",
    "tuple": "a list of two whole numbers",
    "path": "a path",
    "too": "a list of two whole numbers",
    "missing": "a list of two whole numbers",
    "finite": "a finite number",
}


def problem_of(detail: ErrorDetails, origins: Mapping[tuple[str, ...], str]) -> str:
    """One line of pydantic's report in our words: path, rule, what came."""
    where, value = where_of(detail), detail["input"]
    rule, shows_value = _rule(detail["type"], detail.get("ctx", {}), where, detail["msg"])
    if _is_rule_across_fields(detail):
        rule = rule.partition(": ")[2]
    elif shows_value:
        hidden = _MAY_HOLD_SECRETS & {*where} or detail["type"] in _OF_SECTIONS
        rule += ", got " + (type(value).__name__ if hidden and value is not None else shown(value))
    origin = origins.get(where)
    return f"{'.'.join(map(printable, where))}: {rule}" + (f" (set by {origin})" if origin else "")


def where_of(detail: ErrorDetails) -> tuple[str, ...]:
    """The path of what is wrong; a rule across fields names its field at the beginning of its message."""
    where = tuple(str(part) for part in detail["loc"] if part != "[key]")
    if not _is_rule_across_fields(detail):
        return where
    return *where, detail["msg"].removeprefix("Value error, ").partition(": ")[0]


def _is_rule_across_fields(detail: ErrorDetails) -> bool:
    return detail["type"] == "value_error" and isinstance(detail["input"], BaseModel | dict)


def _rule(  # noqa: C901, PLR0912 one case per rule
    kind: str, context: Mapping[str, Any], where: tuple[str, ...], message: str
) -> tuple[str, bool]:
    """The rule that was broken, and whether what came is to be shown behind it."""
    match kind:
        case "extra_forbidden" if where == ("people", "zones"):
            return "unknown key; each camera has its own, as cameras.NAME.zones", False
        case "extra_forbidden":
            return "unknown key" + nearest(where[-1], names_beside(where)), False
        case "greater_than_equal":
            return f"must be at least {number(context['ge'])}", True
        case "greater_than":
            return f"must be more than {number(context['gt'])}", True
        case "multiple_of":
            return f"must be a multiple of {number(context['multiple_of'])}", True
        case "less_than_equal":
            return f"must be at most {number(context['le'])}", True
        case "less_than":
            return f"must be less than {number(context['lt'])}", True
        case "literal_error":
            return "must be " + str(context["expected"]).replace("'", ""), True
        case "string_pattern_mismatch" if where[-1] == "device":
            return "must be empty, usb, usb:N, pci, pci:N or :N", True
        case "string_too_short":
            return "must not be empty", True
        case "string_too_long":
            return f"must be at most {context['max_length']} characters", True
        case "value_error" if where[-1] == "polygon":
            return message.removeprefix("Value error, "), False
        case "value_error":
            return message.removeprefix("Value error, "), True
        case "too_long" if where[-1] in ("zones", "cameras"):
            return f"must be at most {context['max_length']} {where[-1]}, got more", False
        case "tuple_type" if where[-1] in _LISTS:
            return "must be a list, as `[first, second]`", True
        case "too_long" if where[-1] in _LISTS:
            return f"must be a list of at most {context['max_length']}", False
        case "tuple_type" | "missing" | "too_long" if where[-1] == "polygon":
            return "must be a list of points [x, y]", True
        case "tuple_type" | "missing" | "too_long" if "polygon" in where:
            return "must be a point [x, y]", True
        case _:
            return f"must be {_TYPES.get(kind.split('_', maxsplit=1)[0], message)}", True
