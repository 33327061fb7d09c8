"""Connections: how many there may be, how long a request may take to come, and the headers of every answer.

Whoever connects has shown no token yet, so these rules keep room for whoever has one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import hdrs, web

from posed.web.guard import HEADERS, READS, Handler, owner_of

MOST_CONNECTIONS: Final = 100
"""At a time: each is an open file, of which a process usually has 1024."""

MOST_PER_OWNER: Final = 40
"""Of them from one address: as many as may look, and some requests; the rest is for others."""

REQUEST_S: Final = 10.0
"""How long a request may take to come, and a connection may stay without one."""

_silent = logging.getLogger(f"{__name__}.aiohttp")
"""What aiohttp writes to: it quotes requests, in which a token may be."""
_silent.disabled = True


class Connection(web.RequestHandler):
    """One connection: ended at once where there are too many, and later where no request comes.

    Args:
        server: all of them.

    Attributes:
        owner: the address that it comes from.
    """

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=REQUEST_S,
            lingering_time=REQUEST_S,  # for the rest of a request that was answered before its end
            logger=_silent,
            access_log=_silent,
        )
        self._server = server
        self.owner = ""
        # Before the first request most versions of aiohttp wait for ever; after it they count themselves.
        self._first: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody came."""
        assert isinstance(transport, asyncio.Transport)
        self.owner = owner_of(transport.get_extra_info("peername")[0])
        if self._is_one_too_many():
            transport.abort()
            return
        self._first = self._loop.call_later(REQUEST_S, transport.abort)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is over."""
        self.asked()
        super().connection_lost(exc)

    def asked(self) -> None:
        """A request has come."""
        if self._first is not None:
            self._first.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is answered to what is no request: it reaches no application, nor its signals."""
        answer = super().handle_error(request, status, exc, message)
        add_headers(answer)
        return answer

    def _is_one_too_many(self) -> bool:
        others = [one for one in self._server.connections if isinstance(one, Connection)]
        of_owner = sum(one.owner == self.owner for one in others)
        return len(others) >= MOST_CONNECTIONS or of_owner >= MOST_PER_OWNER


@web.middleware
async def in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The rest of a request, which may be long, has to come soon, too."""
    if isinstance(request.protocol, Connection):
        request.protocol.asked()
    if request.method in READS:
        return await handler(request)
    try:
        async with asyncio.timeout(REQUEST_S):
            return await handler(request)
    except TimeoutError:
        return web.Response(status=408, text=f"must come within {REQUEST_S:g} s\n")


def add_headers(answer: web.StreamResponse) -> None:
    """Those of every answer."""
    answer.headers.update(HEADERS)
    answer.headers[hdrs.SERVER] = "posed"
