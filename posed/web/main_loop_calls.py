"""Requests of the page, which the main loop answers as it answers those over MQTT."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from posed.errors import PosedError
from posed.messages.structs import Response

MOST_WAITING: Final = 8
PATIENCE_S: Final = 3.0
"""A request waits this long for the main loop, s, which comes by after each frame, and at least ten times per
second."""


class BusyError(PosedError):
    """The main loop takes nothing more, or does not come by."""


class MainLoopCalls:
    """Carries requests from the thread of the web server to the main loop, and the answers back."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, bytes, asyncio.Future[Response[Struct]]]] = deque()

    async def ask(self, verb: str, payload: bytes = b"{}") -> Response[Struct]:
        """What the main loop answers.

        Args:
            verb: what is asked for: the last part of a request's topic.
            payload: JSON, as in MQTT.

        Raises:
            BusyError: no answer comes.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise BusyError(f"{MOST_WAITING} requests are waiting already")
        answer: asyncio.Future[Response[Struct]] = asyncio.get_running_loop().create_future()
        self._waiting.append((verb, payload, answer))
        try:
            return await asyncio.wait_for(answer, PATIENCE_S)
        except TimeoutError:
            raise BusyError(f"no answer within {PATIENCE_S:g} s") from None

    def serve(self, answer: Callable[[str, bytes], Response[Struct]]) -> bool:
        """Answer everything that waits, from the main loop; whether there was anything."""
        count = len(self._waiting)
        for _ in range(count):
            verb, payload, future = self._waiting.popleft()
            if not future.cancelled():  # who asked has given up
                response = answer(verb, payload)
                future.get_loop().call_soon_threadsafe(_resolve, future, response)
        return count > 0


def _resolve(future: asyncio.Future[Response[Struct]], response: Response[Struct]) -> None:
    if not future.done():
        future.set_result(response)
