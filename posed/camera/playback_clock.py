"""The rate at which videos are played."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LAG_S: Final = 1.0
"""A player that is later than this, s (nobody read for a while, or decoding is slower than real time), goes
on from where it is instead of rushing through what it missed."""


class PlaybackClock:
    """Says when a picture of a video is due.

    Args:
        clock: monotonic time, s.
        sleep: waits for the given number of seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.clock = clock
        self._sleep = sleep
        self._zero_at: float | None = None

    def due_at(self, time_s: float) -> float:
        """The instant on the clock at which the picture of this media time is due.

        The first picture that is asked for is due at once, and so is one that is over `MAX_LAG_S` late.
        """
        now = self.clock()
        if self._zero_at is None or now - (self._zero_at + time_s) > MAX_LAG_S:
            self._zero_at = now - time_s
        return self._zero_at + time_s

    def wait_for(self, time_s: float, wait_s: float) -> bool:
        """Wait until the picture of this media time is due, `wait_s` at most; whether it is."""
        ahead_s = self.due_at(time_s) - self.clock()
        if ahead_s > 0:
            self._sleep(min(ahead_s, wait_s))
        return ahead_s <= wait_s
