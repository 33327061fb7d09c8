"""What the page asks of the timeline: how every camera did in a time, and what happened."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from typing import Final, cast, get_args

from aiohttp import web

from posed.messages.structs import encode
from posed.people.events import EventType
from posed.web.authenticator import Handler
from posed.web.timeline import Timeline

LONGEST_S: Final = 32 * 24 * 3600.0
"""More cannot be asked for at a time, s: a month."""


def handler(timeline: Timeline) -> Handler:
    """Answers with a `Day`; `from` and `to` are in s since 1970, `camera` and `types` may be left out."""

    async def show(request: web.Request) -> web.Response:
        query = request.query
        try:
            begin_s, end_s = _range(query)
            camera, types = _camera(query), _types(query)
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")

        def read() -> bytes:
            return encode(timeline.read(begin_s, end_s, camera, types))

        # The disk, and a long day, would hold up everybody who looks.
        body = await asyncio.get_running_loop().run_in_executor(None, read)
        return web.Response(body=body, content_type="application/json")

    return show


def _range(query: Mapping[str, str]) -> tuple[float, float]:
    begin_s, end_s = _seconds(query, "from"), _seconds(query, "to")
    if begin_s >= end_s:
        raise ValueError("to: must be after from")
    if end_s - begin_s > LONGEST_S:
        raise ValueError(f"to: must be at most {LONGEST_S / 86400:g} days after from")
    return begin_s, end_s


def _seconds(query: Mapping[str, str], name: str) -> float:
    try:
        seconds = float(query.get(name, ""))
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"{name}: must be a number of seconds since 1970")
    return seconds


def _camera(query: Mapping[str, str]) -> str | None:
    camera = query.get("camera")
    if camera is not None and not re.fullmatch(r"[a-z0-9_]{1,32}", camera):
        raise ValueError("camera: must be the name of a camera")
    return camera


def _types(query: Mapping[str, str]) -> frozenset[EventType]:
    if "types" not in query:
        return frozenset()
    types = set(query["types"].split(","))
    if not types <= set(get_args(EventType)):
        raise ValueError(f"types: must be of {', '.join(get_args(EventType))}, joined by commas")
    return frozenset(cast("set[EventType]", types))
