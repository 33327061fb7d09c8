"""Notices a call into a device's library that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

HANG_S: Final = 20.0
"""An inference, or a wait for the next frame, that has not ended after this long never will, s: the slowest
CPU takes a second or two, and that wait `posed.pipeline.device_thread.POLL_S`. It is less than systemd's
watchdog allows, so that the log says what hangs."""

OPEN_HANG_S: Final = 90.0
"""The same for opening a device, s: trying an Edge TPU for the first time may take a minute."""


class HangDetector:
    """Notices when a call that one thread makes takes too long.

    The thread that makes the calls says when each of them begins and ends; any thread may read `problem`.
    What it knows is one value that is replaced as a whole, so there is no lock.

    Args:
        device: what the device is called in messages to people.
        clock: monotonic time, s.
    """

    def __init__(self, device: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._device = device
        self._clock = clock
        self._call: tuple[float, float] | None = None

    def begin(self, limit_s: float) -> None:
        """A call begins that may take so long, s; the one before, if any, has ended."""
        self._call = self._clock(), limit_s

    def end(self) -> None:
        """The call has ended."""
        self._call = None

    @property
    def lasts_s(self) -> float:
        """How long the call has lasted, s; 0 while there is none."""
        call = self._call
        return 0.0 if call is None else self._clock() - call[0]

    @property
    def problem(self) -> str | None:
        """That the call hangs, in one line; None while it may still end, and when there is none."""
        call = self._call
        if call is None or self._clock() - call[0] <= call[1]:
            return None
        return f"{self._device}: must answer within {call[1]:g} s, got nothing: it hangs"
