"""Makes what inference needs of a camera's frames."""

from __future__ import annotations

import math

from posed.camera.health import CameraHealth, CameraHealthDetector, is_due
from posed.frame import Frame, Image, Letterbox
from posed.pipeline.captured import Captured
from posed.pipeline.stage_timings import StageTimings


class FramePreparer:
    """Prepares the frames of one camera for the engine: makes the model's input, and judges its brightness.

    The capture thread calls the methods. Any thread may read the attributes and `frame_size`: each is one
    value that is replaced as a whole, so there is no lock.

    Args:
        input_size: (width, height) of the model's input, px.

    Attributes:
        camera_health: what a live camera sees; None before its first frame, and for a recording, which may
            well show the same picture for long.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        self.camera_health: CameraHealth | None = None
        self._input_size = input_size
        self._letterbox: Letterbox | None = None
        self._detector = CameraHealthDetector()
        self._judged_s = -math.inf

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(width, height) of the newest frame, px; None before the first."""
        letterbox = self._letterbox
        return None if letterbox is None else letterbox.source_size

    def begin(self) -> None:
        """The camera was opened, perhaps again: what was seen before says nothing of what it sees now."""
        self._detector, self._judged_s = CameraHealthDetector(), -math.inf

    def prepare(self, frame: Frame, stages: StageTimings, *, live: bool) -> Captured:
        """Prepare one frame.

        Args:
            frame: of any size.
            stages: what it has cost so far; `letterbox` is added.
            live: whether it comes from a live camera.
        """
        letterbox = self._letterbox_for(frame)
        with stages.time("letterbox"):
            network_input = letterbox.apply(frame.image)
        dark = self._is_dark(letterbox.inside(network_input), frame.time_s, live)
        return Captured(frame, letterbox, network_input, dark, live, stages)

    def judge(self, frame: Frame, *, live: bool) -> bool:
        """Look at a frame that the engine does not need.

        Args:
            frame: of any size.
            live: whether it comes from a live camera.

        Returns:
            Whether it is too dark for its poses to be believed.
        """
        self._letterbox_for(frame)
        return self._is_dark(frame.image, frame.time_s, live)

    def _is_dark(self, image: Image, time_s: float, live: bool) -> bool:
        """Judge what the camera sees; returns whether that is too dark."""
        if is_due(time_s, self._judged_s):
            health, self._judged_s = self._detector.update(image, time_s), time_s
            self.camera_health = health if live else None
        return self._detector.dark

    def _letterbox_for(self, frame: Frame) -> Letterbox:
        size = frame.image.shape[1], frame.image.shape[0]
        if self._letterbox is None or self._letterbox.source_size != size:
            self._letterbox = Letterbox(size, self._input_size)
        return self._letterbox
