"""Text that others wrote, as it may be shown."""

from __future__ import annotations


def one_line(text: object) -> str:
    """Without line breaks and anything else that could write over the terminal."""
    line = " ".join(str(text).split())
    return "".join(letter for letter in line if letter.isprintable())
