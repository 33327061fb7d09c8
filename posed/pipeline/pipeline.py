"""From a camera to what the network says of its frames, for the main loop.

    capture: read, letterbox ─slot─▶ inference: infer ─slot─▶ main loop: decode, track, publish
                                         ▲──── rotated crops ─────┘

A camera has a capture thread of its own. The inference thread takes from a set of cameras in fair turns; for
now there is one camera. Every hand-over is one slot per camera, so that nothing queues up: where frames come
faster than the engine takes them, the newest wins and the others are counted as dropped; a recording that is
not live waits instead. The main loop may request a rotated crop of one of the next frames, and gets what the
network says of it with that frame.

Each thread opens the device that it uses, and opens it again with backoff when it is absent or lost. The
threads share `Slots`, which a condition guards, `RotatedCropQueue`, which a lock guards, and single values
that one thread alone changes, each of them as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from posed.camera.base import Camera
from posed.camera.health import CameraHealth
from posed.engine.base import Engine
from posed.errors import CameraEnded, CameraError, EngineError
from posed.frame import Frame, RotatedCrop
from posed.pipeline.capture import Capture
from posed.pipeline.captured import Captured
from posed.pipeline.counters import Counters
from posed.pipeline.device import DeviceStatus
from posed.pipeline.frame_preparer import FramePreparer
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.hang_detector import HANG_S
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.inference import Inference
from posed.pipeline.inferred import Inferred
from posed.pipeline.slots import Slots


class Pipeline:
    """Camera and engine at work, each in its thread.

    Everything here is the main loop's to call; what it reads of the two threads needs no lock, as they say.

    Args:
        open_camera: opens the camera; raises CameraLost if it is not there now.
        open_engine: opens the engine; raises EngineLost if it is not there now.
        input_size: (width, height) of the model's input, px.
        timeout_s: after how long without a frame the camera is opened again, s.
        hang_s: after how long an inference, or a wait for the next frame, counts as hanging, s.
        idle_gate: which frames of a live camera are processed; all of them when None.

    Attributes:
        capture: the thread of the camera.
        inference: the thread of the engine.
    """

    def __init__(  # noqa: PLR0913 - the last two are keywords
        self,
        open_camera: Callable[[], Camera],
        open_engine: Callable[[], Engine],
        input_size: tuple[int, int],
        timeout_s: float,
        *,
        hang_s: float = HANG_S,
        idle_gate: IdleGate | None = None,
    ) -> None:
        captured: Slots[FrameSource, Captured] = Slots()
        self._inferred: Slots[FrameSource, Inferred] = Slots()
        self._source = FrameSource()
        self.capture = Capture(
            open_camera,
            source=self._source,
            captured=captured,
            preparer=FramePreparer(input_size),
            idle_gate=idle_gate or IdleGate(idle_fps=0),
            timeout_s=timeout_s,
            hang_s=hang_s,
        )
        self.inference = Inference(open_engine, input_size, captured, self._inferred, hang_s)

    @property
    def idle_gate(self) -> IdleGate:
        """Wants to hear how many people were in a frame."""
        return self.capture.idle_gate

    @property
    def camera(self) -> DeviceStatus:
        """How the camera does."""
        return self.capture.device.status

    @property
    def engine(self) -> DeviceStatus:
        """How the engine does."""
        return self.inference.device.status

    @property
    def opened_engine(self) -> Engine | None:
        """The engine that runs or ran last; None before the first was opened."""
        return self.inference.engine

    @property
    def camera_health(self) -> CameraHealth | None:
        """What a live camera sees; None before its first frame."""
        return self.capture.preparer.camera_health

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(width, height) of the newest frame, px; None before the first."""
        return self.capture.preparer.frame_size

    @property
    def dropped(self) -> int:
        """Frames that nobody had time for, and frames that were lost with an engine."""
        return self._source.counts.dropped

    @property
    def paused(self) -> bool:
        """Whether the camera is to stay closed."""
        return self.capture.paused

    def pause(self) -> None:
        """Close the camera soon, and leave it closed."""
        self.capture.pause()

    def resume(self) -> None:
        """Open the camera again; a recording begins anew."""
        self.capture.resume()

    @property
    def waits(self) -> bool:
        """Whether there is nothing to do: a pause, a device is away, or the camera has no new frame yet."""
        return self.capture.awaits_frame or self.camera.status != "ok" or self.engine.status != "ok"

    @property
    def counters(self) -> Counters:
        """What was counted since the start."""
        counts, camera, engine = self._source.counts, self.capture.device, self.inference.device
        return Counters(
            replaced=counts.replaced,
            lost=counts.lost,
            idle=counts.idle,
            errors={"camera": camera.errors, "engine": engine.errors},
            reopened={"camera": camera.reopened, "engine": engine.reopened},
        )

    def start(self) -> None:
        """Open camera and engine, in the background."""
        self.capture.start()
        self.inference.start()

    def next(self, wait_s: float) -> Inferred | None:
        """The next processed frame, or None if none came within wait_s.

        Raises:
            CameraEnded: a recording has been played to its end and everything of it was handed over.
            CameraError, EngineError: a device can never work like this, or hangs.
        """
        if hangs := self.capture.device.hangs:
            raise CameraError(hangs)
        if hangs := self.inference.device.hangs:
            raise EngineError(hangs)
        taken = self._inferred.take(wait_s)
        if taken is None:
            self._raise_failure()
            return None
        source, inferred = taken
        source.counts.delivered += 1
        return inferred

    def _raise_failure(self) -> None:
        """Raise what ended a thread; that a recording is over comes last, after all of its frames."""
        over: CameraEnded | None = None
        for failure in (self.capture.failure, self.inference.failure):
            if isinstance(failure, CameraEnded):
                over = failure
            elif failure is not None:
                raise failure
        if over is not None and not self._source.counts.under_way:
            raise over

    def request_crop(self, crop: RotatedCrop, frame: Frame) -> None:
        """Have a rotated crop of one of the next frames inferred as well; at most once per frame.

        Args:
            crop: the region, px of the frame, and by how much it is rotated.
            frame: the newest frame, whose people made the crop worth a request.
        """
        self._source.crops.add(crop, frame)

    def stop(self, timeout_s: float) -> bool:
        """Let go of both devices; False if one hangs and had to be left to the end of the process."""
        threads = self.capture, self.inference
        for thread in threads:
            thread.ask_to_stop()
        deadline = time.monotonic() + timeout_s
        ended = [thread.join(max(0.0, deadline - time.monotonic())) for thread in threads]
        return all(ended)
