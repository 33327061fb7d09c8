"""How often frames come, and how long the newest of them took."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

WINDOW_S: Final = 5.0
"""Frames per second are those of so long; a frame that is older is not of now, s."""


class Took(NamedTuple):
    """How long a frame's inference took, and how long after its capture its people were known."""

    inference_ms: float
    latency_ms: float


class FrameRate:
    """Counts the frames of one camera, from one thread.

    Args:
        clock: monotonic time, s.

    Attributes:
        newest: how long the newest frame took; None before the first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at = clock()
        self._processed_at: deque[float] = deque()
        self.newest: Took | None = None

    def count(self, processed_at: float, inference_s: float, latency_s: float) -> Took:
        """Count a frame, and say how long it took.

        Args:
            processed_at: monotonic time, s.
            inference_s: how long the engine took, s.
            latency_s: time since its capture, s.
        """
        self._processed_at.append(processed_at)
        self.newest = Took(round(inference_s * 1000, 2), round(latency_s * 1000, 2))
        return self.newest

    def fps(self) -> float:
        """Frames per second over the last few seconds."""
        now = self._clock()
        while self._processed_at and self._processed_at[0] < now - WINDOW_S:
            self._processed_at.popleft()
        window_s = min(WINDOW_S, max(now - self._began_at, 0.001))
        return round(len(self._processed_at) / window_s, 1)

    @property
    def are_of_now(self) -> bool:
        """Whether a frame was processed within the last few seconds."""
        return bool(self._processed_at) and self._clock() - self._processed_at[-1] <= WINDOW_S
