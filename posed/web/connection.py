"""Connections: how many there may be, how long a request may take to come, and the headers of every answer.

Whoever connects has shown no token yet, so these rules keep room for whoever has one. aiohttp does not limit
connections, and its versions differ in how long they wait for a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from posed.web.authenticator import READS, Handler, TrustedProxy, owner_of


@dataclass(frozen=True, slots=True)
class Limits:
    """What all connections together, and each of them, may take.

    Args:
        connections: how many at a time, and as many more from the trusted proxy, where there is one; each is
            an open file, of which a process usually has 1024.
        per_owner: how many from one address: all who may look, and some requests; the rest is for others.
        request_s: how long a request may take to come, and a connection may stay without one, s.
    """

    connections: int = 100
    per_owner: int = 40
    request_s: float = 10.0


_PROXY: Final = "the trusted proxy"
"""The owner of what comes from there, beside those that are addresses."""


class Connection(asyncio.Protocol):
    """A connection that is ended at once where there are too many, and later where no request comes.

    Args:
        serve: makes the protocol that reads the requests of a connection and answers them.
        owners: the address that each connection comes from; shared by all of them.
        limits: how many there may be, and how long a request may take.
        proxy: the trusted one, through which many come.
    """

    def __init__(
        self,
        serve: Callable[[], asyncio.Protocol],
        owners: list[str],
        limits: Limits,
        proxy: TrustedProxy,
    ) -> None:
        self._serve = serve
        self._owners = owners
        self.limits = limits
        self._proxy = proxy
        self._owner: str | None = None
        self._served = asyncio.Protocol()  # which does nothing
        self._transport: asyncio.Transport
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or end it."""
        assert isinstance(transport, asyncio.Transport)
        host, *_ = transport.get_extra_info("peername") or ("",)  # nothing where the peer is gone already
        owner = _PROXY if self._proxy.is_at(host) else owner_of(host)
        if not self._has_room(owner):
            transport.abort()
            return
        self._owners.append(owner)
        self._owner, self._transport, self._served = owner, transport, self._serve()
        self._expect_request()
        self._served.connection_made(transport)

    def _has_room(self, owner: str) -> bool:
        """Whether one more may come; those of the trusted proxy and those of all others take none away."""
        own, through_proxy = self._owners.count(owner), self._owners.count(_PROXY)
        if owner == _PROXY:
            return own < self.limits.connections
        return len(self._owners) - through_proxy < self.limits.connections and own < self.limits.per_owner

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for others."""
        if self._owner is not None:
            self._owners.remove(self._owner)
        self._expect_nothing()
        self._served.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._served.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._served.eof_received()

    def pause_writing(self) -> None:
        """Pass it on."""
        self._served.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._served.resume_writing()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A request has come, and is answered meanwhile; then the next one has to come soon."""
        self._expect_nothing()
        try:
            yield
        finally:
            if not self._transport.is_closing():
                self._expect_request()

    def _expect_request(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(self.limits.request_s, self._transport.abort)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


@web.middleware
async def in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The rest of a request, which may be long, has to come soon, too."""
    if request.transport is None:  # gone already: nobody reads the answer
        return web.Response()
    connection = request.transport.get_protocol()
    assert isinstance(connection, Connection)
    request_s = connection.limits.request_s
    with connection.answering():
        if request.method in READS:
            return await handler(request)
        try:
            async with asyncio.timeout(request_s):
                return await handler(request)
        except TimeoutError:
            return web.Response(status=408, text=f"must come within {request_s:g} s\n")


async def add_headers(
    headers_for: Callable[[web.Request], dict[str, str]], request: web.Request, answer: web.StreamResponse
) -> None:
    """Add those of every answer; aiohttp has no such place for what it answers to what is no request."""
    answer.headers.update(headers_for(request))
    answer.headers[hdrs.SERVER] = "posed"
