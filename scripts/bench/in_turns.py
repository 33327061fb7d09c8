"""An engine that a daemon and bare invokes use in turns, so that both are measured in the same minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Self

from posed.engine.base import Engine

BARE_S: Final = 0.5
"""Bare invokes are counted for so long after each turn of the daemon, s."""

LEFT_OUT: Final = 2
"""So many bare invokes at first are not counted, while the daemon is still busy with the frame before."""


class EngineInTurns:
    """An engine that now and then keeps the daemon waiting, and invokes without it.

    Args:
        engine: what infers.
        until: when to end, monotonic, s.

    Attributes:
        on_end: called then.
    """

    def __init__(self, engine: Engine, until: float) -> None:
        self.kind, self.device, self.why = engine.kind, engine.device, engine.why
        self.invoke: Callable[[], None] = engine.invoke
        self.on_end: Callable[[], None] = lambda: None
        self._engine = engine
        self._until = until

    def bare_per_s(self) -> float:
        """Invoke without the daemon; returns how often a second that was."""
        for _ in range(LEFT_OUT):
            self.invoke()
        began_at, count = time.monotonic(), 0
        while time.monotonic() - began_at < BARE_S:
            self.invoke()
            count += 1
        return count / (time.monotonic() - began_at)

    def close(self) -> None:
        """It is the caller's to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
