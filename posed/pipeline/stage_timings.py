"""How long each stage of a frame's way takes, wall clock and CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

STAGES: Final[Mapping[str, str]] = {
    "capture": "wait for camera",
    "letterbox": "resize",
    "invoke": "inference",
    "turned": "rotated crop",
    "decode": "decode",
    "follow": "follow",
    "encode": "message",
    "publish": "publish",
    "look": "plan next crop",
}
"""A frame goes through these stages, in this order; the value is what people read, on every page alike."""


class StageTimings:
    """What one frame has cost so far; it travels with the frame from thread to thread.

    Attributes:
        wall_s: from begin to end of each stage, in the order of the way, s.
        cpu_s: CPU time of the thread that did it, s; not that of a library's own threads.
    """

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}

    def add(self, other: StageTimings) -> None:
        """Add what was done beside, for the same frame."""
        self.wall_s |= other.wall_s
        self.cpu_s |= other.cpu_s

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Measure one stage, or one more part of it; one that fails is not counted."""
        cpu_began, began = time.thread_time(), time.perf_counter()
        yield
        self.wall_s[stage] = self.wall_s.get(stage, 0.0) + time.perf_counter() - began
        self.cpu_s[stage] = self.cpu_s.get(stage, 0.0) + time.thread_time() - cpu_began
