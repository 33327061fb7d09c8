"""What every camera is, and what they share: orientation and the three times of a frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, Self

import cv2
import numpy as np

from posed.errors import CameraError
from posed.frame import CameraInference, Frame, Image

NEWS_AFTER_S: Final = 10.0
"""What a camera gets ready with is told only after this, s: most are ready before."""


class SettingError(CameraError):
    """A setting with which a camera can never work: the setting, the rule, what came.

    Whoever knows the camera's name puts it before.
    """


class Grabbed(NamedTuple):
    """A frame of a live source that is not converted yet.

    Attributes:
        to_rgb: gives the picture, RGB uint8, (height, width, 3); in any thread.
        captured_at: `time.monotonic()` at capture, s.
    """

    to_rgb: Callable[[], Image]
    captured_at: float


class Camera(Protocol):
    """An opened source of frames; a context manager that closes it.

    Attributes:
        name: what messages to people call it: `camera /dev/video0`.
        live: whether frames nobody takes are lost; otherwise every frame waits to be read.
    """

    name: str
    live: bool

    def read(self, wait_s: float) -> Frame | None:
        """The newest frame, or None if none came within `wait_s` seconds.

        Raises:
            CameraLost: the device is gone or broke; opening it again may help.
            CameraEnded: a video, or a folder of pictures, has been played to its end.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def orient(image: Image, rotate: int, mirror: bool) -> Image:
    """The picture turned clockwise by `rotate` degrees, then mirrored left to right."""
    if rotate:
        image = np.asarray(cv2.rotate(image, _TURNS[rotate]), np.uint8)
    if mirror:
        image = np.asarray(cv2.flip(image, 1), np.uint8)
    return image


class FrameMaker:
    """Numbers and orients the pictures of one camera."""

    def __init__(self, rotate: int, mirror: bool) -> None:
        self._rotate = rotate
        self._mirror = mirror
        self._count = 0

    def make(
        self,
        image: Image,
        captured_at: float,
        time_s: float | None = None,
        sequence: int | None = None,
        inference: CameraInference | None = None,
    ) -> Frame:
        """A frame of an RGB picture.

        Args:
            image: RGB uint8 (height, width, 3), as the camera gave it.
            captured_at: `time.monotonic()` at capture, s.
            time_s: media time, s; None for a live camera, whose media time is `captured_at`.
            sequence: the frame's number, where the camera has one; None counts the frames made here.
            inference: what the camera's own network says of the picture, as it is after it was oriented.
        """
        if sequence is None:
            sequence, self._count = self._count, self._count + 1
        return Frame(
            image=orient(image, self._rotate, self._mirror),
            sequence=sequence,
            captured_at=captured_at,
            time_s=captured_at if time_s is None else time_s,
            time=time.time() - (time.monotonic() - captured_at),
            inference=inference,
        )
