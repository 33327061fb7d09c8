"""The capture thread: from a camera to the newest frame that waits for the engine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from posed.camera.base import Camera
from posed.errors import CameraLost
from posed.frame import CameraInference, Frame
from posed.model.outputs import OutputTensor
from posed.pipeline.captured import Captured, CropOnly
from posed.pipeline.device import OK, PAUSED, DeviceMonitor
from posed.pipeline.device_thread import POLL_S, DeviceThread
from posed.pipeline.frame_preparer import FramePreparer
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.hang_detector import OPEN_HANG_S
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.inferred import Inferred
from posed.pipeline.slots import Slots, T
from posed.pipeline.stage_timings import StageTimings

log = logging.getLogger(__name__)


class Capture(DeviceThread):
    """Reads one camera in a thread of its own, and leaves the newest frame for inference.

    A frame that comes with what the camera's own network says of it goes straight to the main loop.

    Where frames of a live camera come faster than the engine takes them, the newest wins and the others are
    counted; a recording waits instead.

    The thread owns the camera and the preparer, and changes `awaits_frame` and the counts of its frames; the
    main loop reads them. A thread that was asked to stop hands nothing over any more, whenever its camera
    returns.

    Args:
        open_camera: opens the camera; raises CameraLost if it is not there now.
        source: the camera, for inference and the main loop; says whether it is paused.
        captured: where its newest frame is left for the engine.
        inferred: where it is left for the main loop, if it needs no engine.
        preparer: makes the model's input.
        idle_gate: which frames of a live camera are processed.
        timeout_s: after how long without a frame the camera is opened again, s.
        hang_s: after how long a wait for the next frame counts as hanging, s.

    Attributes:
        preparer: knows what the camera sees, and the size of its frames.
        awaits_frame: whether the camera had no new frame when it was last asked.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a name at the call
        self,
        open_camera: Callable[[], Camera],
        *,
        source: FrameSource,
        captured: Slots[FrameSource, Captured | CropOnly],
        inferred: Slots[FrameSource, Inferred],
        preparer: FramePreparer,
        idle_gate: IdleGate,
        timeout_s: float,
        hang_s: float,
    ) -> None:
        open_hang_s = max(OPEN_HANG_S, timeout_s + hang_s)
        super().__init__("capture", DeviceMonitor("camera", hang_s, open_hang_s))
        self._idle_gate = idle_gate
        self.preparer = preparer
        self.awaits_frame = False
        self._open_camera = open_camera
        self._source = source
        self._captured = captured
        self._inferred = inferred
        self._timeout_s = timeout_s

    def _may_open(self) -> bool:
        return not self._source.paused.is_set()

    def _attempt(self) -> None:
        if self._may_open():
            super()._attempt()
        else:
            self.device.status, self.preparer.camera_health = PAUSED, None
            self._stopping.wait(POLL_S)

    def _use_device(self) -> None:
        try:
            self._read_camera()
        except CameraLost:
            self.preparer.camera_health = None
            raise

    def _read_camera(self) -> None:
        """Open the camera, and hand its frames over until the thread is to stop, or a pause begins."""
        with self._open_camera() as camera:
            self.device.opened()
            log.info("%s: %s: opened", self._source.name, camera.name)
            self.preparer.begin()
            self._source.crops.clear()
            self._source.found.clear()
            first = self._source.counts.read
            for frame, stages in self._frames(camera):
                # A camera that was opened again goes on counting: a number is there once in a run.
                self._hand_over(replace(frame, sequence=first + frame.sequence), stages, live=camera.live)
            self.device.begin_call()  # for closing it
        self.device.end_call()

    def _frames(self, camera: Camera) -> Iterator[tuple[Frame, StageTimings]]:
        """The camera's frames until we stop or pause; a camera that gives none within the timeout is lost."""
        deadline = time.monotonic() + self._timeout_s
        while self._may_go_on():
            stages = StageTimings()
            self.device.begin_call()
            with stages.time("capture"):
                frame = camera.read(POLL_S)
            self.device.end_call()
            self.awaits_frame = frame is None
            if self._stopping.is_set():
                return
            if frame is not None:
                self.device.status = OK
                yield frame, stages
                deadline = time.monotonic() + self._timeout_s
            elif time.monotonic() > deadline:
                self.device.begin_call()  # for closing it
                raise CameraLost(
                    f"{camera.name}: must deliver a frame within {self._timeout_s:g} s, got none"
                )

    def _may_go_on(self) -> bool:
        return self._may_open() and not self._stopping.is_set()

    def _hand_over(self, frame: Frame, stages: StageTimings, *, live: bool) -> None:
        """Prepare a frame and leave it for inference, unless it can be left out."""
        counts = self._source.counts
        counts.read = frame.sequence + 1
        if live and not self._idle_gate.wants(frame.image, frame.captured_at):
            counts.idle += 1
            return
        counts.captured += 1
        if frame.inference is not None:
            self._put(self._inferred, self._inferred_of(frame, frame.inference, stages, live=live), live=live)
            self._ask_for_crop(frame, live=live)
        else:
            self._put(self._captured, self.preparer.prepare(frame, stages, live=live), live=live)

    def _put(self, slots: Slots[FrameSource, T], item: T, *, live: bool) -> None:
        """Leave the newest frame of a live camera, and each of a recording once the one before is taken."""
        if live:
            self._source.counts.replaced += slots.put(self._source, item)
        else:
            self._put_when_free(slots, self._source, item)

    def _inferred_of(
        self, frame: Frame, inference: CameraInference, stages: StageTimings, *, live: bool
    ) -> Inferred:
        """A frame that needs no engine, and what was found meanwhile in a crop of an earlier one."""
        stages.wall_s["invoke"], stages.cpu_s["invoke"] = inference.took_s, 0.0
        rotated = None
        if self._source.found:
            crops_frame, rotated, cost = self._source.found.pop()
            stages.add(cost)
            if crops_frame.image.shape != frame.image.shape:
                rotated = None
        return Inferred(
            frame,
            inference.view,
            tuple(OutputTensor(head) for head in inference.heads),
            stages,
            rotated,
            self.preparer.judge(frame, live=live),
            self._source.name,
        )

    def _ask_for_crop(self, frame: Frame, *, live: bool) -> None:
        """Leave the rotated crop that is due in a frame for the engine, once the one before is taken."""
        if not self._captured.is_free(self._source):
            return
        crop = self._source.crops.take(frame, live=live)
        if crop is not None:
            self._captured.put(self._source, CropOnly(frame, crop))
