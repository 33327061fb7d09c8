"""How often something may happen."""

from __future__ import annotations

import time
from collections.abc import Callable


class RateLimiter:
    """So many at once, and so many per second from then on: a token bucket.

    Args:
        at_once: how many in a moment.
        per_s: how many in the long run, per s.
        clock: monotonic time, s.
    """

    def __init__(self, at_once: int, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(at_once)
        self._per_s = per_s
        self._clock = clock
        self._left = self._most
        self._at = clock()

    @property
    def left(self) -> float:
        """How many are within it now; one needs 1."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        return self._left

    @property
    def wait_s(self) -> float:
        """In how long there is one, s; 0 where there is one now."""
        return max(0.0, (1 - self.left) / self._per_s)

    def grants(self) -> bool:
        """Whether one more is within it, and take it."""
        if self.left < 1:
            return False
        self._left -= 1
        return True
