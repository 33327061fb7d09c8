"""What the network in a Raspberry Pi AI Camera sees, and the way back from there to px of a frame.

Everything here is px of the whole sensor until it is px of the frame: the network's region, and `ScalerCrop`,
which says what the picture shows of the sensor in the same px, whichever mode the sensor reads itself in.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SENSOR: Final = (4056, 3040)
"""(width, height) of the whole sensor, px."""

MOST: Final = 4032
"""The driver takes no larger number for a side or a place of the network's region, px, and makes a larger one
this without a word: `inf_window_ctrl` in the kernel's imx500.c."""

INPUT: Final = (481, 353)
"""(width, height) of the network's input, px."""


class Rectangle(NamedTuple):
    """A part of the sensor, px."""

    left: int
    top: int
    width: int
    height: int

    @property
    def taken(self) -> Rectangle:
        """What the driver makes of this, as the network's region."""
        return Rectangle(*(min(number, MOST) for number in self))


def widest_region() -> Rectangle:
    """The largest part of the sensor that has the shape of the network's input and is taken, in the middle.

    In the middle: with the picture flipped, it is the same part.
    """
    scale = min(min(side, MOST) / wanted for side, wanted in zip(SENSOR, INPUT, strict=True))
    # Margins of whole, and so sides of even, px.
    left, top = (round((side - scale * wanted) / 2) for side, wanted in zip(SENSOR, INPUT, strict=True))
    return Rectangle(left, top, SENSOR[0] - 2 * left, SENSOR[1] - 2 * top)


WHOLE: Final = Rectangle(0, 0, *SENSOR).taken
"""This the network sees for which nobody has chosen a region: picamera2 asks for the whole sensor."""

REGION: Final = widest_region()
"""This is what the network is to see: the sensor without 12 columns at the left, 12 at the right, and 40 rows
at the top and 40 at the bottom."""


class SensorView:
    """Brings points back from the network's input to px of the frame.

    Pixels are counted from the centre of the top left one, as in `posed.frame.Letterbox`.

    Args:
        region: what the network sees.
        crop: what the picture shows, as its metadata's `ScalerCrop`.
        size: (width, height) of the picture as the camera gives it, px.
        rotate: by how much it is still turned clockwise, degrees.
        mirror: whether it is mirrored left to right after that.
    """

    def __init__(
        self, region: Rectangle, crop: Rectangle, size: tuple[int, int], rotate: int, mirror: bool
    ) -> None:
        per_input = np.array([region.height / INPUT[1], region.width / INPUT[0]])
        per_picture = np.array([size[1] / crop.height, size[0] / crop.width])
        start = np.array([region.top - crop.top, region.left - crop.left])
        # y first, with the half pixel between an edge and a centre taken out and put back.
        turn = np.diag(per_input * per_picture)
        shift = (0.5 * per_input + start) * per_picture - 0.5
        last_x, last_y = size[0] - 1, size[1] - 1
        for _ in range(rotate // 90):
            quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
            turn, shift = quarter @ turn, quarter @ shift + [0, last_y]
            last_x, last_y = last_y, last_x
        if mirror:
            turn, shift = np.diag([1.0, -1.0]) @ turn, np.diag([1.0, -1.0]) @ shift + [0, last_x]
        self._turn, self._shift = turn, shift

    def to_source(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (…, 2), y first, from px of the network's input to px of the frame."""
        return np.asarray(points @ self._turn.T + self._shift)
