"""A camera that costs next to nothing: drawn people, drawn beforehand."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import Final, Self

from posed.camera.base import FrameMaker
from posed.frame import Frame, Image
from posed.synthetic.scene import random_still

SIZE: Final = (640, 480)
PEOPLE: Final = 5
PICTURES: Final = 8


@functools.cache
def _pictures() -> Sequence[Image]:
    """The pictures that every camera plays; drawing them takes a Pi seconds."""
    return [random_still(seed, SIZE, PEOPLE).image for seed in range(PICTURES)]


class DrawnCamera:
    """Plays pictures of five drawn people over and over.

    Args:
        fps: frames per second, as from a live camera; 0: one whenever the engine takes one.
    """

    name = "camera drawn"

    def __init__(self, fps: float) -> None:
        self.live = fps > 0
        self._fps = fps
        self._maker = FrameMaker(0, mirror=False)
        self._pictures = _pictures()
        self._began_at: float | None = None
        self._next = 0

    def read(self, wait_s: float) -> Frame | None:
        """A copy of the next picture, as a driver makes one; None if none is due within `wait_s` seconds."""
        if self.live and not self._wait(wait_s):
            return None
        picture = self._pictures[self._next % PICTURES].copy()
        self._next += 1
        return self._maker.make(picture, time.monotonic())

    def _wait(self, wait_s: float) -> bool:
        """Wait until a picture is due; those that nobody read in time are left out."""
        now = time.monotonic()
        if self._began_at is None:
            self._began_at = now
        self._next = max(self._next, int((now - self._began_at) * self._fps))
        missing_s = self._began_at + self._next / self._fps - now
        time.sleep(min(wait_s, max(0.0, missing_s)))
        return missing_s <= wait_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
