"""Which frames of a live camera are worth an inference: all of them, or few while nobody is there."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.frame import Image

CALM_S: Final = 2.0
"""How long the scene must have been empty before frames are left out: one missed pose is no empty room."""

CELLS: Final = (16, 12)
"""Columns and rows that a picture is averaged into before two are compared: noise goes and people stay."""

STEP_PX: Final = 4
"""Only every fourth pixel of every fourth row is looked at; a cell of 640x480 has a hundred of them."""

CHANGE: Final = 6.0
"""By how much a cell's mean, 0-255, must change. A sensor's noise of 20 moves it by 2 at 640x480; somebody
30 px wide who stands out by 30 moves it by 10."""


class IdleGate:
    """Decides frame by frame.

    While somebody is there every frame is processed. After `CALM_S` without anybody it is `idle_fps` frames
    per second, and at once every frame that looks different from the last one that was processed, so that
    who steps in is not left for the next turn.

    Args:
        idle_fps: frames per second of an empty scene; 0: all of them. It may be replaced at any time.
    """

    def __init__(self, idle_fps: float) -> None:
        self.idle_fps = idle_fps
        self._occupied_at: float | None = None
        self._due_at = 0.0
        self._processed: NDArray[np.float32] | None = None

    def count_people(self, people: int, time_s: float) -> None:
        """Take note of how many people were in the frame of that time; from any thread."""
        if people or self._occupied_at is None:
            self._occupied_at = time_s

    def wants(self, image: Image, time_s: float) -> bool:
        """Whether this frame is to be processed.

        Args:
            image: RGB uint8, (height, width, 3).
            time_s: when it was captured, s, on the same clock as `count_people`'s.
        """
        if not self.idle_fps:
            return True
        occupied_at = self._occupied_at
        cells = _cells(image)
        wanted = (
            occupied_at is None
            or time_s - occupied_at < CALM_S
            or time_s >= self._due_at
            or self._has_changed(cells)
        )
        if wanted:
            self._processed = cells
            period_s = 1 / self.idle_fps
            # From when it was due, not from when it came, or every wait would grow by a part of a frame.
            self._due_at = (self._due_at if 0 <= time_s - self._due_at < period_s else time_s) + period_s
        return wanted

    def _has_changed(self, cells: NDArray[np.float32]) -> bool:
        before = self._processed
        return before is None or before.shape != cells.shape or bool(np.abs(cells - before).max() >= CHANGE)


def _cells(image: Image) -> NDArray[np.float32]:
    some = np.asarray(image[::STEP_PX, ::STEP_PX], np.float32)
    return np.asarray(cv2.resize(some, CELLS, interpolation=cv2.INTER_AREA), np.float32)
