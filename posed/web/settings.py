"""What the page's sliders reach: the bounds of the settings, as the configuration has them."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from posed.config import camera_settings
from posed.messages.structs import encode

_WORDS: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""How JSON Schema calls the bounds of a number."""


def bounds() -> dict[str, dict[str, float]]:
    """The bounds of each setting that a camera can have of its own while the daemon runs, by dotted name.

    Returns:
        For each setting, what JSON Schema would say of its number; nothing where it is none.
    """
    return {
        name: {
            word: value
            for rule in field.metadata
            for mark, word in _WORDS.items()
            if (value := getattr(rule, mark, None)) is not None
        }
        for name, field in camera_settings().items()
    }


async def answer(_request: web.Request) -> web.Response:
    """Answer with the bounds."""
    return web.Response(body=encode(bounds()), content_type="application/json")
