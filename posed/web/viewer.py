"""A viewer of the live view, and what is on its way there."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from aiohttp import web

IN_FLIGHT: Final = 2
"""At most this many frames may be on their way to a viewer at a time: one is drawn while the next one
travels."""

_MOST_TEXTS: Final = 50
"""At most this many texts may wait for a viewer; one with more is too slow, and is disconnected."""

_SEND_S: Final = 20.0
"""A viewer may take this long for one message, s."""


class Viewer:
    """Somebody who looks.

    Args:
        socket: the way there.
        transport: the connection below it.

    Attributes:
        credit: how many frames may be sent before the page says `next`.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.socket = socket
        self._transport = transport
        self.credit = IN_FLIGHT
        self._texts: deque[str] = deque()
        self._frame: bytes | None = None
        self._wake = asyncio.Event()

    def say(self, text: str) -> None:
        """Send a text, after those before it."""
        self._texts.append(text)
        self._wake.set()

    def offer(self, frame: bytes) -> None:
        """Send a frame, if the viewer has done with those before; it takes the place of one not sent yet."""
        if self._frame is not None:
            self._frame = frame
        elif self.credit:
            self.credit -= 1
            self._frame = frame
            self._wake.set()

    def withdraw(self) -> None:
        """Do not send the frame that waits."""
        if self._frame is not None:
            self._frame = None
            self.credit += 1

    async def send(self) -> None:
        """Send what there is, until the viewer is gone or takes too long."""
        try:
            while len(self._texts) <= _MOST_TEXTS:
                await self._wake.wait()
                self._wake.clear()
                async with asyncio.timeout(_SEND_S):
                    await self._send_all()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self.hang_up()

    async def _send_all(self) -> None:
        while self._texts:
            await self.socket.send_str(self._texts.popleft())
        if (frame := self._frame) is not None:
            self._frame = None
            await self.socket.send_bytes(frame)

    def hang_up(self) -> None:
        """End the connection without a word, since none would arrive; its handler ends by that."""
        self.credit = 0
        self._transport.abort()
