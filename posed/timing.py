"""When something may happen again."""

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
