"""Whether a camera sees anything: a blind one must not read as an empty room, nor be believed in the dark."""

from __future__ import annotations

from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.frame import Image

HOLD_S: Final = 3.0
"""A picture must be dark or covered for this long before it counts, s: a hand passes, a light switch
flickers."""

FROZEN_S: Final = 10.0
"""A picture counts as frozen when not one pixel has changed for this long, s: in every frame of a working
sensor noise alone changes some."""

INTERVAL_S: Final = 0.2
"""A camera's picture is judged at most this often, s of media time: soon enough that nobody who is lost when
the light goes out is taken for fallen (`posed.people.falls.UNSEEN_S`)."""

DARK_LUMA: Final = 28
LIGHT_LUMA: Final = 32
"""A picture is dark when its median luma, 0-255, falls below `DARK_LUMA`, and light again from `LIGHT_LUMA`
on, so that dusk does not flicker.

Measured by `scripts/python evaluate.darkness` with Coral's 353x481: of people found in the light, 0.83 are
found at 12 to 16 without noise and 0.22 with that of a small sensor at its highest gain; at 20 to 24 0.94 and
0.61, at 28 to 32 0.95 and 0.71, at 40 to 48 0.97 and 0.91. With that noise a fifth of the poses below 32 is
of nobody, a twelfth above 48. In a real room at 17 to 26 somebody is found on the empty sofa. The median
tells as much as the mean and other percentiles do, and no lamp moves it."""

COVERED_CONTRAST: Final = 8.0
COVERED_CONTRAST_PER_LUMA: Final = 0.08
"""A picture is covered up to this contrast (the Laplacian between cells), which grows with its brightness.

Measured at 481x353: a finger 4-9, noise of 20 included, where the limit is 13-16; a room at 15 % of its
light 47-61 (limit 10), a person 30 px high before a white wall 51 (limit 23)."""

CELLS: Final = (16, 12)
"""The picture is averaged into this many columns and rows: cells of about 30 px, so noise goes and people
stay."""

CameraHealth = Literal["ok", "dark", "covered", "frozen"]
Luma = NDArray[np.uint8]
Cells = NDArray[np.float32]


def is_due(time_s: float, judged_s: float) -> bool:
    """Whether a frame is to be judged, the last having been so at `judged_s`; media time, which may leap."""
    return not 0 <= time_s - judged_s < INTERVAL_S


def brightness(image: Image) -> float:
    """Median luma, 0-255: neither a lamp nor a television or a window that is less than half of it matters.

    Args:
        image: RGB uint8, (height, width, 3), scaled to about the model's size, without bars.
    """
    return _median(_cells(_luma(image)))


class Darkness:
    """Judges whether poses can be believed that are found at a brightness; for one frame after the other."""

    def __init__(self) -> None:
        self.dark = False
        """This says whether the newest frame was too dark."""

    def update(self, median_luma: float) -> bool:
        """Whether it is dark, from the `brightness` of the next frame."""
        self.dark = median_luma < (LIGHT_LUMA if self.dark else DARK_LUMA)
        return self.dark


class CameraHealthDetector:
    """Judges the frames of one camera, one after the other.

    An evenly lit, bare wall that fills the picture cannot be told from a cover, and counts as one.
    """

    def __init__(self) -> None:
        self._darkness = Darkness()
        self._blind_since: float | None = None
        self._same_since = 0.0
        self._before: Luma | None = None

    @property
    def dark(self) -> bool:
        """Whether the newest frame is dark, lasting or not: its own poses are not to be believed."""
        return self._darkness.dark

    def update(self, image: Image, time_s: float) -> CameraHealth:
        """What the camera sees, judged with the next frame.

        Args:
            image: RGB uint8, (height, width, 3), scaled to about the model's size, without bars.
            time_s: media time, s; only differences count.

        Returns:
            `dark` (too dark for poses to be believed), `covered` (nearly uniform, not dark), `frozen` (the
            same frame over and over), each only after it lasted; `ok` otherwise, at once when a good frame
            comes.
        """
        luma = _luma(image)
        same_s = self._same_for(luma, time_s)
        view = self._judge(_cells(luma))
        if view == "ok":
            self._blind_since = None
        elif self._blind_since is None:
            self._blind_since = time_s
        if self._blind_since is not None and time_s - self._blind_since >= HOLD_S:
            return view
        return "frozen" if same_s >= FROZEN_S else "ok"

    def _judge(self, cells: Cells) -> CameraHealth:
        if self._darkness.update(_median(cells)):
            return "dark"
        limit = COVERED_CONTRAST + COVERED_CONTRAST_PER_LUMA * float(cells.mean())
        return "covered" if _contrast(cells) < limit else "ok"

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


def _cells(luma: Luma) -> Cells:
    return np.asarray(cv2.resize(luma, CELLS, interpolation=cv2.INTER_AREA), np.float32)


def _median(cells: Cells) -> float:
    return float(np.median(cells))


def _contrast(cells: Cells) -> float:
    """The largest Laplacian: zero on a flat picture and on an even gradient, large at any edge."""
    inner = cv2.Laplacian(cells, cv2.CV_32F)[1:-1, 1:-1]
    return float(np.abs(inner).max())
