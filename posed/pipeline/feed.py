"""One camera of the pipeline: the thread that captures its frames, and what there is to know of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from posed.camera.base import Camera
from posed.camera.health import CameraHealth
from posed.errors import CameraError
from posed.frame import Frame, RotatedCrop
from posed.pipeline.capture import Capture
from posed.pipeline.captured import Captured, CropOnly
from posed.pipeline.counters import Counters, FrameCounts
from posed.pipeline.device import OK, DeviceStatus
from posed.pipeline.frame_preparer import FramePreparer
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.inferred import Inferred
from posed.pipeline.slots import Slots
from posed.timing import NotBefore

log = logging.getLogger(__name__)

TRY_EVERY_S: Final = 60.0
"""A camera that cannot work as it is configured, beside others that do, is tried again this often, s."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraSetup:
    """How a camera is opened and read.

    Args:
        open: opens it; raises CameraLost if it is not there now.
        timeout_s: after how long without a frame it is opened again, s.
        idle_gate: which of its frames are processed, where it is live; all of them by default.
    """

    open: Callable[[], Camera]
    timeout_s: float
    idle_gate: IdleGate = field(default_factory=lambda: IdleGate(idle_fps=0))


class Feed:
    """One camera at work.

    Everything here is the main loop's to call; what it reads of the capture thread needs no lock, as that
    says.

    Args:
        source: the camera as all threads know it.
        setup: how it is opened and read.
        captured: where its newest frame is left for inference.
        inferred: where it is left for the main loop, if it needs no engine.
        input_size: (width, height) of the model's input, px.
        hang_s: after how long a wait for the next frame counts as hanging, s.

    Attributes:
        name: what the camera is called.
        idle_gate: wants to hear how many people were in a frame.
        followed: wants to hear the thresholds of the camera.
        capture: the thread that works now; another one took its place if its camera hung.
        reopened: how often the camera was opened again after it failed.
    """

    def __init__(  # noqa: PLR0913 - what all cameras share, and its own
        self,
        source: FrameSource,
        setup: CameraSetup,
        captured: Slots[FrameSource, Captured | CropOnly],
        inferred: Slots[FrameSource, Inferred],
        *,
        input_size: tuple[int, int],
        hang_s: float,
    ) -> None:
        self.name = source.name
        self.idle_gate = setup.idle_gate
        self.followed = source.followed
        self._setup = setup
        self._captured = captured
        self._inferred = inferred
        self._input_size = input_size
        self._hang_s = hang_s
        self._source = source
        self._left: list[Capture] = []
        self._errors = self._reopened = 0
        self._next_try = NotBefore()
        self.capture = self._new_capture()

    def _new_capture(self) -> Capture:
        return Capture(
            self._setup.open,
            source=self._source,
            captured=self._captured,
            inferred=self._inferred,
            preparer=FramePreparer(self._input_size),
            idle_gate=self.idle_gate,
            timeout_s=self._setup.timeout_s,
            hang_s=self._hang_s,
        )

    @property
    def status(self) -> DeviceStatus:
        """How the camera does."""
        failure = self.capture.failure
        if isinstance(failure, CameraError):
            return DeviceStatus("waiting", str(failure))
        device, timeout_s = self.capture.device, self._setup.timeout_s
        if device.status == OK and device.call_lasts_s > timeout_s:
            return DeviceStatus("waiting", f"camera: must answer within {timeout_s:g} s, got nothing yet")
        return device.status

    @property
    def health(self) -> CameraHealth | None:
        """What a live camera sees; None before its first frame."""
        return self.capture.preparer.camera_health

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(width, height) of the newest frame, px; None before the first."""
        return self.capture.preparer.frame_size

    @property
    def counts(self) -> FrameCounts:
        """Its frames since the start."""
        return self._source.counts

    @property
    def counters(self) -> Counters:
        """What was counted since the start."""
        counts, device = self.counts, self.capture.device
        return Counters(
            replaced=counts.replaced,
            lost=counts.lost,
            idle=counts.idle,
            errors=self._errors + device.errors,
            reopened=self._reopened + device.reopened,
        )

    def gave(self, source: FrameSource) -> bool:
        """Whether a frame is of this camera, and not of one that had its name before."""
        return source is self._source

    @property
    def waits(self) -> bool:
        """Whether there is nothing to do: a pause, the camera is away, or it has no new frame yet."""
        return self.capture.awaits_frame or self.status.status != "ok"

    @property
    def paused(self) -> bool:
        """Whether the camera is to stay closed."""
        return self._source.paused.is_set()

    def pause(self) -> None:
        """Close the camera soon, and leave it closed."""
        self._source.paused.set()

    def resume(self) -> None:
        """Open the camera again; a recording begins anew."""
        self._source.paused.clear()

    def request_crop(self, crop: RotatedCrop, frame: Frame) -> None:
        """Have a rotated crop of one of the next frames inferred as well; at most once per frame.

        Args:
            crop: the region, px of the frame, and by how much it is rotated.
            frame: the newest frame, whose people made the crop worth a request.
        """
        self._source.crops.add(crop, frame)

    def has_room_for_crop(self, frame: Frame) -> bool:
        """Whether a crop requested now is inferred soon: beside an AI Camera an engine may be slow.

        Args:
            frame: the newest.
        """
        return frame.inference is None or self._source.crops.is_empty

    def hurry(self, *, urgent: bool) -> None:
        """Have its frames go before those of other cameras, in every second turn of the engine at most."""
        self._captured.hurry(self._source, urgent=urgent)

    def start(self) -> None:
        """Open the camera, in the background."""
        self.capture.start()

    @property
    def left_behind(self) -> int:
        """How many threads of it hang in its library, each beyond help."""
        return sum(not capture.join(0) for capture in self._left)

    def leave_behind(self) -> None:
        """Open the camera in a new thread, where the one that has it hangs."""
        log.error("camera %s: hangs; its thread is left behind, and it is opened in a new one", self.name)
        self._begin_anew()

    def try_again(self) -> None:
        """Open a camera now and then that cannot work as it is configured: a disk may be plugged in."""
        if not self._next_try.is_set:
            log.error("camera %s: cannot work like this: %s", self.name, self.capture.failure)
            self._next_try.put_off(TRY_EVERY_S)
        elif self._next_try.is_due:
            self._next_try.put_off(TRY_EVERY_S)
            self._begin_anew()

    def _begin_anew(self) -> None:
        former = self.capture
        former.ask_to_stop()
        self._errors += 1 + former.device.errors
        self._reopened += former.device.reopened
        self._left = [capture for capture in (*self._left, former) if not capture.join(0)]
        self.capture = self._new_capture()
        self.capture.start()
