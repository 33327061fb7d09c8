"""A camera before which drawn people come and go, and which knows the truth: for the demo and for tests."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Self

import numpy as np

from posed.camera.base import FrameMaker, SettingError
from posed.config import CameraConfig
from posed.frame import Frame
from posed.synthetic.scene import RenderedPerson, Scene

log = logging.getLogger(__name__)

_USUAL_SIZE: Final = (640, 480)


class SyntheticCamera:
    """Plays an endless scene, at its own rate or as fast as it is read.

    Args:
        config: `source` is the scene's seed, 0 when empty; `size`, `fps`, `rotate`, `mirror`, `realtime`.
        clock: monotonic time, s.
        pause: waits for the given number of seconds.

    Raises:
        SettingError: `source` is no seed.
    """

    def __init__(
        self,
        config: CameraConfig,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.live = config.realtime
        self._seed = seed_of(config.source)
        self.name = f"camera synthetic:{self._seed}"
        self._size = config.size or _USUAL_SIZE
        self._scene = Scene(self._seed, self._size)
        self._fps, self._rotate, self._mirror = config.fps, config.rotate, config.mirror
        self._frames = FrameMaker(config.rotate, config.mirror)
        self._clock, self._pause = clock, pause
        self._opened_at = clock()
        self._next = 0
        log.info("%s plays %dx%d at %g fps", self.name, *self._size, self._fps)

    def read(self, wait_s: float) -> Frame | None:
        """The newest frame; frames that were due while nobody read are left out when `live`."""
        if self.live and not self._wait(wait_s):
            return None
        number, self._next = self._next, self._next + 1
        time_s = number / self._fps
        image = self._scene.render(time_s).image
        # Drawing is no part of a frame's latency: a real camera's picture is there when it is captured. Yet
        # it shows the scene as of when it was due; with any other time people leap on a busy machine.
        media_s = self._opened_at + time_s if self.live else time_s
        return self._frames.make(image, self._clock(), media_s, sequence=number)

    def truth(self, sequence: int) -> list[RenderedPerson]:
        """Who really is in a frame, in px of that frame (after `rotate` and `mirror`).

        Left and right stay the person's own in a mirrored frame too. It depends on the configuration alone:
        another camera with the same one, in another process, knows it as well.

        Args:
            sequence: the frame's number.
        """
        people = self._scene.render(sequence / self._fps).people
        return [turned(person, self._size, self._rotate, self._mirror) for person in people]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _wait(self, wait_s: float) -> bool:
        """Wait until a frame is due, and make the newest one the next; False when none is within `wait_s`."""
        missing_s = self._opened_at + self._next / self._fps - self._clock()
        if missing_s > 0:
            self._pause(min(missing_s, wait_s))
            if missing_s > wait_s:
                return False
        self._next = max(self._next, int((self._clock() - self._opened_at) * self._fps))
        return True


def open_synthetic(config: CameraConfig) -> SyntheticCamera:
    """The camera of a configuration.

    Raises:
        SettingError: `source` is no seed.
    """
    return SyntheticCamera(config)


def seed_of(source: str) -> int:
    """The seed of the scene.

    Raises:
        SettingError: the source is no seed, and not shown: it may be a secret.
    """
    if source and not (source.isascii() and source.isdecimal()):
        raise SettingError("source: must be a whole number, the scene's seed, got other text")
    return int(source or "0")


def turned(person: RenderedPerson, size: tuple[int, int], rotate: int, mirror: bool) -> RenderedPerson:
    """The truth about a person in a picture that was turned clockwise by `rotate` degrees, then mirrored.

    Args:
        person: the truth in the picture before.
        size: (width, height) of the picture before, px.
        rotate: 0, 90, 180 or 270.
        mirror: whether it was mirrored left to right.
    """
    x, y, width, height = person.box
    corners = np.array([[y, x], [y + height, x + width]])
    points = person.points
    last_x, last_y = size[0] - 1, size[1] - 1
    for _ in range(rotate // 90):
        points = np.stack([points[:, 1], last_y - points[:, 0]], 1)
        corners = np.stack([corners[:, 1], last_y - corners[:, 0]], 1)
        last_x, last_y = last_y, last_x
    if mirror:
        points = np.stack([points[:, 0], last_x - points[:, 1]], 1)
        corners = np.stack([corners[:, 0], last_x - corners[:, 1]], 1)
    (top, left), (bottom, right) = corners.min(0).tolist(), corners.max(0).tolist()
    return replace(person, points=points, box=(left, top, right - left, bottom - top))
