"""What a problem shows of names, values and errors: harmless, short, and never a secret."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any, Final

_LONGEST_SHOWN: Final = 60
"""A problem shows at most this many characters of a wrong value."""


class Secret(str):
    """A secret, which is shown nowhere, by whatever setting it stands."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "a secret"


def shown(value: Any) -> str:
    """A wrong value, as a problem shows it."""
    if value is None:
        return "nothing"
    if isinstance(value, dict) and value:
        return "settings"
    if isinstance(value, list | tuple) and not all(isinstance(part, int | float) for part in value):
        return "a list"
    if isinstance(value, str) and not isinstance(value, Secret):
        value = masked(value)
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def masked(text: str) -> str:
    """Text of which nothing is left that could be a user, a password or a key in a URL."""
    text = re.sub(r"://.*", "://…", text, flags=re.DOTALL)
    return re.sub(r".*@", "…@", text, flags=re.DOTALL)


def printable(name: str) -> str:
    """The name of a setting, which somebody else may have chosen."""
    name = masked(name)
    return name if name.isprintable() else repr(name)


def number(value: float) -> str:
    """A bound, without zeros behind the point."""
    return f"{value:g}" if math.isfinite(value) else str(value)


def nearest(name: str, names: set[str]) -> str:
    """What the name of an unknown setting was probably meant to be, else all that are known."""
    match = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else f"; known: {', '.join(sorted(names))}"


def reason(error: Exception) -> str:
    """Why something went wrong, without the path that is named beside it anyway."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
