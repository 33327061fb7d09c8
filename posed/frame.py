"""A camera frame, and the way between its pixels and those of a model's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB, (height, width, 3), uint8."""

PADDING: Final = 127
"""Grey of the letterbox's bars: nearest to 0 after the network's x / 127.5 - 1, as its own padding is."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a camera, after `rotate` and `mirror`.

    Args:
        image: RGB uint8, (height, width, 3).
        sequence: counts the camera's frames since it was opened, from 0; a camera that can tell leaves out
            the numbers of frames that it did not deliver.
        captured_at: `time.monotonic()` at capture, s; for latency.
        time_s: media time, s: the PTS of a file, `captured_at` of a live camera.
        time: wall clock at capture, s since 1970 (UTC).
    """

    image: Image
    sequence: int
    captured_at: float
    time_s: float
    time: float


class Letterbox:
    """Fits frames of one size into one model input, aspect kept, and brings points back.

    Pixels are counted from the centre of the top left one, as OpenCV's resize and PoseNet's
    offsets do.

    Args:
        source_size: (width, height) of the frames, px.
        input_size: (width, height) of the model's input, px.
    """

    def __init__(self, source_size: tuple[int, int], input_size: tuple[int, int]) -> None:
        source_width, source_height = source_size
        input_width, input_height = input_size
        scale = min(input_width / source_width, input_height / source_height)
        width = min(input_width, max(1, round(source_width * scale)))
        height = min(input_height, max(1, round(source_height * scale)))
        self.source_size = source_size
        self.input_size = input_size
        self._left = (input_width - width) // 2
        self._top = (input_height - height) // 2
        self._scale_yx = np.array([source_height / height, source_width / width])
        self._size = (width, height)
        # Averaging avoids aliasing, but only pays where pixels would be skipped.
        self._interpolation = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR

    def apply(self, image: Image) -> Image:
        """The model's input, (height, width, 3) uint8, with the image centred on grey.

        Returns:
            A new array that the image was scaled straight into; or the image itself where it has the input's
            size already, as from a Pi's camera.
        """
        if self.source_size == self.input_size:
            return image
        width, height = self.input_size
        box = np.empty((height, width, 3), np.uint8)
        self._paint_bars(box)
        cv2.resize(image, self._size, dst=self.inside(box), interpolation=self._interpolation)
        return box

    def _paint_bars(self, box: Image) -> None:
        width, height = self._size
        box[: self._top] = box[self._top + height :] = PADDING
        box[:, : self._left] = box[:, self._left + width :] = PADDING

    def inside(self, box: Image) -> Image:
        """The part of a model input that shows the frame, without the bars; a view."""
        return box[self._top : self._top + self._size[1], self._left : self._left + self._size[0]]

    def to_source(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (…, 2), y first, from px of the model input to px of the source frame."""
        inside = points - np.array([self._top, self._left])
        return np.asarray((inside + 0.5) * self._scale_yx - 0.5)
