"""What the page asks of the daemon: requests as over MQTT, with the same answers."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from posed.messages.structs import encode
from posed.web.authenticator import Handler
from posed.web.main_loop_calls import BusyError, MainLoopCalls

ALLOWED: Final = frozenset({"clear_fall", "pause", "resume", "set", "test_event"})
"""The page may ask for these. Whoever may look may do them: what pictures show, only the file decides."""


def handler(calls: MainLoopCalls) -> Handler:
    """Asks the main loop for what an address names, and answers with its `Response`."""

    async def ask(request: web.Request) -> web.Response:
        verb = request.match_info["verb"]
        if verb not in ALLOWED:
            return web.Response(status=404, text=f"must be one of {', '.join(sorted(ALLOWED))}\n")
        if request.content_type != "application/json":
            return web.Response(status=415, text="must be application/json\n")
        try:
            response = await calls.ask(verb, await request.read())
        except BusyError as error:
            return web.Response(status=503, text=f"{error}\n")
        status = 200 if response.status == "ok" else 422
        return web.Response(status=status, body=encode(response), content_type="application/json")

    return ask
