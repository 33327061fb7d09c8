"""Stands in for Home Assistant's Supervisor and for its Core, as one app sees them: the API, and ingress.

Source: supervisor/api/services.py, api/utils.py, api/middleware/security.py and api/ingress.py of the
Supervisor 2026; homeassistant/components/hassio/ingress.py and http/headers.py of Core 2026.2. What a browser
asks comes to the app by way of both, so each of them takes headers away and adds its own.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Mapping
from typing import Any, Final, Self

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict

from scripts.ports import free_port

PROXY: Final = "127.0.0.2"
"""Ingress comes from this address, as from 172.30.32.2 in Home Assistant's own network."""

SESSION: Final = "ingress_session"
"""The cookie by which the Supervisor knows who has logged in to Home Assistant."""

_OF_ONE_HOP: Final = {
    hdrs.CONTENT_LENGTH,
    hdrs.CONTENT_ENCODING,
    hdrs.TRANSFER_ENCODING,
    hdrs.SEC_WEBSOCKET_EXTENSIONS,
    hdrs.SEC_WEBSOCKET_PROTOCOL,
    hdrs.SEC_WEBSOCKET_VERSION,
    hdrs.SEC_WEBSOCKET_KEY,
}
"""Neither passes these headers of a request on; Host, Origin and Cookie they do."""

_OF_AN_ANSWER: Final = {
    hdrs.TRANSFER_ENCODING,
    hdrs.CONTENT_LENGTH,
    hdrs.CONTENT_TYPE,
    hdrs.CONTENT_ENCODING,
}

_OF_CORE: Final = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    hdrs.SERVER: "",
}
"""Core puts these into every answer, also in place of the app's own."""

_PANEL: Final = """<!doctype html><title>Home Assistant</title><link rel="icon" href="data:,">
<style>html, body, iframe {{ margin: 0; border: 0; padding: 0; width: 100%; height: 100% }}
body {{ overflow: hidden }}</style>
<script>document.cookie = "{session};path=/api/hassio_ingress/;SameSite=Strict";</script>
<iframe title="posed" src="{path}/" allow="fullscreen"></iframe>"""


class Supervisor:
    """Both of them, in a thread, with one app.

    Args:
        port: where the app listens to ingress.

    Attributes:
        token: what the app has to show, as SUPERVISOR_TOKEN.
        broker: how the MQTT service answers; None: there is none.
        status: the API answers with it in place of all else, if it is set.
        asked: how often it was asked for the broker.
        path: of ingress, below Core's address.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.token = secrets.token_hex(28)
        self.broker: Mapping[str, Any] | None = None
        self.status: int | None = None
        self.asked = 0
        self.path = f"/api/hassio_ingress/{secrets.token_urlsafe()}"
        self._session = secrets.token_hex(64)
        self._own = free_port()
        self._loop = asyncio.new_event_loop()
        self._ready, self._stopping = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor")

    @property
    def url(self) -> str:
        """Of the API, and of Home Assistant's page, which has the app's in its frame."""
        return f"http://127.0.0.1:{self._own}"

    @property
    def cookies(self) -> dict[str, str]:
        """Of who has logged in."""
        return {SESSION: self._session}

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application()
        app.add_routes([
            web.get("/services/mqtt", self._mqtt),
            web.get("/", self._panel),
            web.route("*", self.path + "/{path:.*}", self._ingress),
        ])  # fmt: skip
        runner = web.AppRunner(app, shutdown_timeout=1)
        connector = aiohttp.TCPConnector(local_addr=(PROXY, 0))
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._client:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self._own).start()
            self._ready.set()
            await self._stopping.wait()
            await runner.cleanup()

    # The API

    async def _mqtt(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.status is not None:
            return web.Response(status=self.status, text="")
        given = request.headers.get(hdrs.AUTHORIZATION)
        if given is None:
            raise web.HTTPUnauthorized
        if given.split(" ")[-1] != self.token:
            raise web.HTTPForbidden
        if self.broker is None:
            return web.json_response({"result": "error", "message": "Service not enabled"}, status=400)
        return web.json_response({"result": "ok", "data": dict(self.broker)})

    # Ingress

    async def _panel(self, _request: web.Request) -> web.Response:
        """Core's own page, once somebody has logged in."""
        page = _PANEL.format(session=f"{SESSION}={self._session}", path=self.path)
        return web.Response(text=page, content_type="text/html", headers=_OF_CORE)

    async def _ingress(self, request: web.Request) -> web.StreamResponse:
        if request.cookies.get(SESSION) != self._session:
            raise web.HTTPUnauthorized
        headers = self._of_supervisor(self._of_core(request))
        url = f"http://127.0.0.1:{self._port}/{request.match_info['path']}"
        if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await self._websocket(request, url, headers)
        async with self._client.request(
            request.method,
            url,
            headers=headers,
            params=request.query,
            allow_redirects=False,
            data=await request.read(),
            skip_auto_headers={hdrs.CONTENT_TYPE},
        ) as result:
            kept = CIMultiDict(
                (name, value) for name, value in result.headers.items() if name not in _OF_AN_ANSWER
            )
            kept.update(_OF_CORE)
            return web.Response(
                status=result.status,
                headers=kept,
                content_type=result.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip(),
                body=await result.read(),
            )

    def _of_core(self, request: web.Request) -> CIMultiDict[str]:
        headers = CIMultiDict(
            (name, value)
            for name, value in request.headers.items()
            if name not in _OF_ONE_HOP | {hdrs.ACCEPT_ENCODING}
        )
        headers["X-Hass-Source"] = "core.ingress"
        headers["X-Ingress-Path"] = self.path
        before = request.headers.get(hdrs.X_FORWARDED_FOR)
        headers[hdrs.X_FORWARDED_FOR] = f"{before}, {request.remote}" if before else f"{request.remote}"
        headers[hdrs.X_FORWARDED_HOST] = request.headers.get(hdrs.X_FORWARDED_HOST) or request.host
        headers[hdrs.X_FORWARDED_PROTO] = request.headers.get(hdrs.X_FORWARDED_PROTO) or request.scheme
        return headers

    def _of_supervisor(self, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        user = {
            "X-Remote-User-Id": "0" * 32,
            "X-Remote-User-Name": "ada",
            "X-Remote-User-Display-Name": "Ada",
        }
        added = CIMultiDict(user)
        added.extend(headers)
        added[hdrs.X_FORWARDED_FOR] = f"{headers[hdrs.X_FORWARDED_FOR]}, 172.30.32.1"
        return added

    async def _websocket(
        self, request: web.Request, url: str, headers: CIMultiDict[str]
    ) -> web.WebSocketResponse:
        browser = web.WebSocketResponse(autoclose=False, autoping=False)
        await browser.prepare(request)
        async with self._client.ws_connect(url, headers=headers, autoclose=False, autoping=False) as app:
            ways = [
                asyncio.ensure_future(_forward(browser, app)),
                asyncio.ensure_future(_forward(app, browser)),
            ]
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
        return browser


async def _forward(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    async for message in source:
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                await sink.send_str(message.data)
            case aiohttp.WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            case aiohttp.WSMsgType.PING:
                await sink.ping(message.data)
            case aiohttp.WSMsgType.PONG:
                await sink.pong(message.data)
