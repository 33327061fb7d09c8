"""When something may happen again: not before a time, at a rate, or after a longer wait each time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class NotBefore:
    """An instant before which something is not to happen; at first there is none, so it may happen at once.

    Args:
        clock: monotonic time, s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = -math.inf

    @property
    def is_set(self) -> bool:
        """Whether it was put off since the beginning, or since it was reset."""
        return self._at > -math.inf

    @property
    def is_due(self) -> bool:
        """Whether it may happen now."""
        return self._clock() >= self._at

    def put_off(self, seconds: float) -> None:
        """Let it happen no sooner than in so many seconds from now; infinity: not before it is reset."""
        self._at = self._clock() + seconds

    def reset(self) -> None:
        """Let it happen at once."""
        self._at = -math.inf

    def take(self, interval_s: float) -> bool:
        """Whether it may happen now; where it may, it is put off by the interval."""
        if not self.is_due:
            return False
        self.put_off(interval_s)
        return True


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


class Backoff:
    """Waits that double, from the first to the longest, each between half of that and all of it.

    Args:
        first_s: the longest first wait.
        longest_s: the longest wait of all.
        jitter: random numbers, 0 to 1, so that devices do not return to a broker all at once.
    """

    def __init__(self, first_s: float, longest_s: float, jitter: Callable[[], float]) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._jitter = jitter
        self._wait_s = first_s

    def next_s(self) -> float:
        """How long to wait this time, s."""
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, self._longest_s)
        return wait_s * (0.5 + 0.5 * self._jitter())

    def reset(self) -> None:
        """Begin again with the first wait."""
        self._wait_s = self._first_s
