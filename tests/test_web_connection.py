"""How many connections there may be, on transports that are none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps

from posed.web.authenticator import TrustedProxy
from posed.web.connection import Connection, Limits

LIMITS = Limits(connections=7, per_owner=3)


class Transport(asyncio.Transport):
    """A connection to an address, None for a peer that is gone already.

    Attributes:
        aborted: whether it was ended at once.
    """

    def __init__(self, address: str | None) -> None:
        super().__init__({"peername": address and (address, 1234)})
        self.aborted = asyncio.Event()

    def abort(self) -> None:
        self.aborted.set()

    def is_closing(self) -> bool:
        return self.aborted.is_set()


class Requests(asyncio.Protocol):
    """What would read requests; keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.told.append(data.decode())

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


class Visitors:
    """Everybody who has connected.

    Args:
        limits: of their connections.
        proxy: the address of the trusted one.
    """

    def __init__(self, limits: Limits = LIMITS, proxy: str | None = None) -> None:
        self._limits = limits
        self._proxy = TrustedProxy(proxy)
        self.owners: list[str] = []
        self.requests: list[Requests] = []

    def serve(self) -> Requests:
        self.requests.append(Requests())
        return self.requests[-1]

    def come(self, address: str | None) -> tuple[Connection, Transport]:
        connection = Connection(self.serve, self.owners, self._limits, self._proxy)
        transport = Transport(address)
        connection.connection_made(transport)
        return connection, transport

    def is_let_in(self, address: str | None) -> bool:
        return not self.come(address)[1].aborted.is_set()


def in_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """A test that runs in an event loop."""

    @wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


@in_loop
async def test_connections_are_let_in_up_to_the_limit() -> None:
    visitors = Visitors()
    let_in = [visitors.is_let_in(f"10.0.0.{number}") for number in range(LIMITS.connections + 3)]
    assert let_in == [True] * LIMITS.connections + [False] * 3
    assert len(visitors.requests) == LIMITS.connections


@in_loop
async def test_one_address_has_fewer_connections_than_all() -> None:
    visitors = Visitors()
    assert [visitors.is_let_in("10.0.0.1") for _ in range(LIMITS.per_owner + 1)][-2:] == [True, False]
    assert visitors.is_let_in("10.0.0.2")


@in_loop
async def test_a_network_of_ipv6_is_one_address() -> None:
    visitors = Visitors()
    let_in = [visitors.is_let_in(f"2001:db8::{number}") for number in range(LIMITS.per_owner + 1)]
    assert let_in[-2:] == [True, False]
    assert visitors.is_let_in("2001:db8:0:1::")


@in_loop
async def test_many_may_come_through_the_trusted_proxy() -> None:
    visitors = Visitors(proxy="10.0.0.9")
    let_in = [visitors.is_let_in("10.0.0.9") for _ in range(LIMITS.connections + 1)]
    assert let_in == [True] * LIMITS.connections + [False]
    assert visitors.is_let_in("10.0.0.1")


@in_loop
async def test_others_leave_room_for_the_trusted_proxy() -> None:
    visitors = Visitors(proxy="2001:db8::9")
    for number in range(LIMITS.connections):
        assert visitors.is_let_in(f"10.0.0.{number}")
    assert visitors.is_let_in("2001:db8::9")
    assert not visitors.is_let_in("2001:db8::8")


@in_loop
async def test_who_leaves_makes_room_and_who_was_refused_none() -> None:
    visitors = Visitors()
    first, *_, last = [visitors.come("10.0.0.1")[0] for _ in range(LIMITS.per_owner + 1)]
    last.connection_lost(None)
    assert not visitors.is_let_in("10.0.0.1")
    first.connection_lost(None)
    assert visitors.is_let_in("10.0.0.1")


@in_loop
async def test_a_peer_that_is_gone_already_does_no_harm() -> None:
    visitors = Visitors()
    connection, _ = visitors.come(None)
    connection.connection_lost(None)
    assert visitors.owners == []


@in_loop
async def test_everything_that_happens_to_a_connection_is_passed_on() -> None:
    visitors = Visitors()
    connection, _ = visitors.come("10.0.0.1")
    connection.data_received(b"data")
    connection.pause_writing()
    connection.resume_writing()
    assert connection.eof_received() is True
    connection.connection_lost(None)
    assert visitors.requests[0].told == ["made", "data", "pause", "resume", "eof", "lost"]


@in_loop
async def test_nothing_of_a_refused_connection_is_passed_on() -> None:
    visitors = Visitors()
    for _ in range(LIMITS.per_owner):
        visitors.come("10.0.0.1")
    refused, _ = visitors.come("10.0.0.1")
    refused.data_received(b"data")
    refused.connection_lost(None)
    assert {tuple(requests.told) for requests in visitors.requests} == {("made",)}


@in_loop
async def test_a_connection_without_a_request_is_ended() -> None:
    _, transport = Visitors(Limits(request_s=0)).come("10.0.0.1")
    await asyncio.wait_for(transport.aborted.wait(), 5)


@in_loop
async def test_a_request_that_is_answered_is_not_waited_for() -> None:
    visitors = Visitors(Limits(request_s=0))
    connection, transport = visitors.come("10.0.0.1")
    _, other = visitors.come("10.0.0.1")
    with connection.answering():
        await asyncio.wait_for(other.aborted.wait(), 5)
        assert not transport.aborted.is_set()
    await asyncio.wait_for(transport.aborted.wait(), 5)
