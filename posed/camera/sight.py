"""Whether a camera sees anything: a blind one must not read as an empty room."""

from __future__ import annotations

from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.frame import Image

HOLD_S: Final = 3.0
"""How long a picture must be dark or covered before it counts: a hand passes, a light switch flickers."""

FROZEN_S: Final = 10.0
"""How long not one pixel may change: noise alone changes some in every frame of a working sensor."""

DARK_LUMA: Final = 16
"""Brightest luma, 0-255, of a dark picture. It is the black of BT.601: what some cameras send as nothing."""

LAMPS: Final = 0.02
"""Part of the picture that may be brighter in the dark: a status light is no room."""

COVERED_CONTRAST: Final = 8.0
COVERED_CONTRAST_PER_LUMA: Final = 0.08
"""Contrast (the Laplacian between cells) up to which a picture is covered, and how it grows with brightness.

Measured at 481x353: a finger 4-9, noise of 20 included, where the limit is 13-16; a room at 15 % of its
light 47-61 (limit 10), a person 30 px high before a white wall 51 (limit 23)."""

CELLS: Final = (16, 12)
"""Columns and rows that the picture is averaged into: about 30 px, so noise goes and people stay."""

View = Literal["ok", "dark", "covered", "frozen"]
Luma = NDArray[np.uint8]


class Sight:
    """Judges the frames of one live camera, one after the other.

    An evenly lit, bare wall that fills the picture cannot be told from a cover, and counts as one.
    """

    def __init__(self) -> None:
        self._blind_since: float | None = None
        self._same_since = 0.0
        self._before: Luma | None = None

    def update(self, image: Image, time_s: float) -> View:
        """What the camera sees, judged with the next frame.

        Args:
            image: RGB uint8, (height, width, 3), scaled to about the model's size, without bars.
            time_s: media time, s; only differences count.

        Returns:
            `dark` (black but for noise), `covered` (nearly uniform, not dark), `frozen` (the same frame over
            and over), each only after it lasted; `ok` otherwise, at once when a good frame comes.
        """
        luma = _luma(image)
        same_s = self._same_for(luma, time_s)
        view = _judge(luma)
        if view == "ok":
            self._blind_since = None
        elif self._blind_since is None:
            self._blind_since = time_s
        if self._blind_since is not None and time_s - self._blind_since >= HOLD_S:
            return view
        return "frozen" if same_s >= FROZEN_S else "ok"

    def _same_for(self, luma: Luma, time_s: float) -> float:
        """How long the picture has been the same, s."""
        if self._before is None or not np.array_equal(luma, self._before):
            self._before, self._same_since = luma, time_s
        return time_s - self._same_since


def _luma(image: Image) -> Luma:
    """Luma at half the size: an even size is averaged many times faster than an odd one."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = (max(1, side // 2) for side in luma.shape)
    half = cv2.resize(luma[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(half, np.uint8)


def _judge(luma: Luma) -> View:
    cells = np.asarray(cv2.resize(luma, CELLS, interpolation=cv2.INTER_AREA), np.float32)
    without_lamps = np.sort(cells, axis=None)[: round(cells.size * (1 - LAMPS))]
    if without_lamps[-1] < DARK_LUMA:
        return "dark"
    limit = COVERED_CONTRAST + COVERED_CONTRAST_PER_LUMA * float(cells.mean())
    return "covered" if _contrast(cells) < limit else "ok"


def _contrast(cells: NDArray[np.float32]) -> float:
    """The largest Laplacian: zero on a flat picture and on an even gradient, large at any edge."""
    inner = cv2.Laplacian(cells, cv2.CV_32F)[1:-1, 1:-1]
    return float(np.abs(inner).max())
