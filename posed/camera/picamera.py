"""The Pi camera."""

from __future__ import annotations

from typing import Self

import cv2

from posed.camera.base import FrameMaker, SettingError
from posed.camera.pi_device import FAULTS, StartedDevice, left_to_orient, reason, start
from posed.config import CameraConfig
from posed.errors import CameraLost
from posed.frame import Frame


class Picamera2Camera:
    """A started Pi camera; see `posed.camera.base.Camera`.

    Args:
        started: the device.
        frames: makes frames, with what is left to orient.
    """

    live = True

    def __init__(self, started: StartedDevice, frames: FrameMaker) -> None:
        self.name = started.name
        self._started = started
        self._frames = frames

    def read(self, wait_s: float) -> Frame | None:
        """The newest frame, or None if none came within `wait_s` seconds.

        Raises:
            CameraLost: the camera reports an error.
        """
        requests = self._started.requests
        try:
            taken = requests.next(wait_s)
            if taken is None:
                return None
            request, metadata = taken
            try:
                captured_at = requests.captured_at(metadata)
                image = self._started.image_of(request)
            finally:
                # With every buffer held the camera stops.
                request.release()
        except (*FAULTS, cv2.error) as error:
            raise CameraLost(f"{self.name}: {reason(error)}") from error
        return self._frames.make(image, captured_at)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()


def open_picamera(config: CameraConfig, model_size: tuple[int, int]) -> Picamera2Camera:
    """Start the Pi camera.

    Args:
        config: the camera's settings; `source` is the camera's number, the first one when empty.
        model_size: (width, height) of the model's input, px: what the ISP scales to, about, when
            `config.size` is None.

    Raises:
        CameraError: picamera2 is missing, or the configuration can never work.
        CameraLost: the camera is absent, in use or broken.
    """
    started = start(camera_number(config.source), config, model_size)
    rotate, mirror = left_to_orient(config.rotate, config.mirror, started.flips)
    return Picamera2Camera(started, FrameMaker(rotate, mirror))


def camera_number(source: str) -> int:
    """The camera's place in picamera2's list.

    Raises:
        SettingError: the source is no number, and not shown: it may be a secret.
    """
    if source and not (source.isascii() and source.isdecimal()):
        raise SettingError("source: must be a camera's number for kind picamera2, got other text")
    return int(source or "0")
