"""Zones that were drawn on the page: the daemon takes them by the rules of the file, or says why not."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from posed.messages.structs import encode
from posed.web.authenticator import Handler
from posed.web.main_loop_calls import BusyError, MainLoopCalls


class Drawn(Struct, frozen=True, forbid_unknown_fields=True):
    """What the page sends: all zones that a camera shall have, by name, as in the file."""

    camera: str
    zones: dict[str, Any]


def handler(calls: MainLoopCalls) -> Handler:
    """Takes zones, for now and after restarts, with the page's own answer: `Response` of `set`."""

    async def take(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.Response(status=415, text="must be application/json\n")
        try:
            drawn = msgspec.json.decode(await request.read(), type=Drawn)
        except (msgspec.MsgspecError, RecursionError) as error:
            return web.Response(status=400, text=f"{error}\n")
        wanted = {"camera": drawn.camera, "settings": {"zones": drawn.zones}, "persist": True}
        try:
            response = await calls.ask("set", encode(wanted))
        except BusyError as error:
            return web.Response(status=503, text=f"{error}\n")
        status = 200 if response.status == "ok" else 422
        return web.Response(status=status, body=encode(response), content_type="application/json")

    return take
