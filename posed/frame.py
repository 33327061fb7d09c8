"""A camera frame, and the way between its pixels and those of a model's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""An image is RGB, (height, width, 3), uint8."""

PADDING: Final = 127
"""The letterbox's bars have this grey: nearest to 0 after the network's x / 127.5 - 1, as its own padding
is."""


class View(Protocol):
    """What a network saw of a frame."""

    def to_source(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (…, 2), y first, from px of the network's input to px of the frame."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CameraInference:
    """What a PoseNet in the camera itself says of a frame.

    Args:
        heads: heatmaps (rows, columns, 17) as logits, short offsets (…, 34) and mid offsets (…, 64), in px of
            its input, float32.
        stride: output stride, px of its input.
        view: what it saw of the frame.
        mirrored: whether that was what a mirror shows.
        took_s: how long it took, s; 0 where the camera does not say.
        prepared_s: how long its signal processor took to prepare the picture, s; 0 as before.
    """

    heads: tuple[NDArray[np.float32], ...]
    stride: int
    view: View
    mirrored: bool
    took_s: float
    prepared_s: float = 0.0


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
        inference: what the camera's own network says of it; None for a camera without one.
    """

    image: Image
    sequence: int
    captured_at: float
    time_s: float
    time: float
    inference: CameraInference | None = None


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
        self._shift_yx = (0.5 - np.array([self._top, self._left])) * self._scale_yx - 0.5
        self._size = (width, height)
        self._halves = _halves(source_size, scale)
        # Averaging avoids aliasing, but only pays where pixels would be skipped.
        still_to_do = scale * 2 ** len(self._halves)
        self._interpolation = cv2.INTER_AREA if still_to_do < 0.5 else cv2.INTER_LINEAR

    def apply(self, image: Image) -> Image:
        """The model's input, (height, width, 3) uint8, with the image centred on grey.

        For one thread: what is in between is written into the same memory each time.

        Returns:
            A new array that the image was scaled straight into; or the image itself where it has the input's
            size already, as from a Pi's camera.
        """
        if self.source_size == self.input_size:
            return image
        width, height = self.input_size
        box = np.empty((height, width, 3), np.uint8)
        self._paint_bars(box)
        for half in self._halves:
            cv2.resize(image, half.shape[1::-1], dst=half, interpolation=cv2.INTER_AREA)
            image = half
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
        return np.asarray(points * self._scale_yx + self._shift_yx)


_MUCH_SMALLER: Final = 0.4
"""A frame is halved first below this scale: 1280×720 to 353×481 is, 640×480 to 257×257 is not."""


def _halves(source_size: tuple[int, int], scale: float) -> list[Image]:
    """Room for a large frame at half its size, half of that, and so on, until little is left to do.

    OpenCV averages four pixels into one 10 times as fast as it averages by any other factor. Odd sides, of
    which that would leave a row out, are not halved, nor are frames that are small: there is little to gain.
    """
    halves: list[Image] = []
    width, height = source_size
    while scale < _MUCH_SMALLER and width % 2 == height % 2 == 0:
        width, height, scale = width // 2, height // 2, scale * 2
        halves.append(np.empty((height, width, 3), np.uint8))
    return halves


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a frame, px: from (left, top) as far as, but without, (right, bottom).

    It may reach beyond the frame, where there is nothing to see.
    """

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, y: float, x: float, side: float, frame_size: tuple[int, int]) -> Region:
        """The square around a point, as much of it as is in the frame; of a pixel at least."""
        width, height = frame_size
        left = min(max(math.floor(x - side / 2), 0), width - 1)
        top = min(max(math.floor(y - side / 2), 0), height - 1)
        right = min(max(math.ceil(x + side / 2), left + 1), width)
        bottom = min(max(math.ceil(y + side / 2), top + 1), height)
        return cls(left, top, right, bottom)

    @classmethod
    def whole(cls, frame_size: tuple[int, int]) -> Region:
        """All of a frame."""
        return cls(0, 0, *frame_size)


@dataclass(frozen=True, slots=True)
class RotatedCrop:
    """Where to look at a frame, and how turned.

    Args:
        region: of the frame.
        turn_deg: clockwise; who lies with the head to the left is upright after 90.
    """

    region: Region
    turn_deg: int


class RotatedLetterbox:
    """Turns a region of frames, fits it into a model input, aspect kept, and brings points back.

    Args:
        crop: which region, and by how much.
        input_size: (width, height) of the model's input, px.
    """

    def __init__(self, crop: RotatedCrop, input_size: tuple[int, int]) -> None:
        self.crop = crop
        self.input_size = input_size
        region, turn_deg = crop.region, crop.turn_deg
        width, height = region.right - region.left, region.bottom - region.top
        cosine, sine = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
        turned_width = abs(width * cosine) + abs(height * sine)
        turned_height = abs(width * sine) + abs(height * cosine)
        self._scale = min(input_size[0] / turned_width, input_size[1] / turned_height)
        # x first, as OpenCV has it: from px of the region to px of the input, centres on each other.
        turn = np.array([[cosine, -sine], [sine, cosine]]) * self._scale
        middle, input_middle = np.array([width - 1, height - 1]) / 2, (np.array(input_size) - 1) / 2
        self._matrix = np.column_stack([turn, input_middle - turn @ middle])

    def apply(self, image: Image) -> Image:
        """The model's input, (height, width, 3) uint8, with the turned region centred on grey; a new array.

        Args:
            image: the whole frame.
        """
        region = self.crop.region
        left, top = max(region.left, 0), max(region.top, 0)
        part = image[top : max(region.bottom, top), left : max(region.right, left)]
        if not part.size:
            return np.full((self.input_size[1], self.input_size[0], 3), PADDING, np.uint8)
        matrix, shrunk = self._matrix_from(left, top), min(1.0, self._scale / _SHARPEST)
        if shrunk < 1:
            # Averaging first avoids aliasing, which turning alone would not.
            size = max(1, round(part.shape[1] * shrunk)), max(1, round(part.shape[0] * shrunk))
            back = np.array([part.shape[1], part.shape[0]]) / size
            part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
            offset = matrix[:, 2] + matrix[:, :2] @ ((back - 1) / 2)
            matrix = np.column_stack([matrix[:, :2] * back, offset])
        bars = cv2.BORDER_CONSTANT, (PADDING, PADDING, PADDING)
        turned = cv2.warpAffine(part, matrix, self.input_size, None, cv2.INTER_LINEAR, *bars)
        return np.asarray(turned, np.uint8)

    def _matrix_from(self, left: int, top: int) -> NDArray[np.float64]:
        """From px of the part of the region that begins here, px of the frame, to px of the input."""
        within = np.array([left - self.crop.region.left, top - self.crop.region.top])
        return np.column_stack([self._matrix[:, :2], self._matrix[:, 2] + self._matrix[:, :2] @ within])

    def to_source(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (…, 2), y first, from px of the model input to px of the frame."""
        back = np.linalg.inv(self._matrix[:, :2])
        inside = (points[..., ::-1] - self._matrix[:, 2]) @ back.T
        return np.asarray(inside[..., ::-1] + np.array([self.crop.region.top, self.crop.region.left]))


_SHARPEST: Final = 0.5
"""Pixels would be skipped where a picture is made smaller than this while it is turned."""
