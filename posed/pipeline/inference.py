"""The inference thread: from the newest frame of each camera to what the network says of it."""

from __future__ import annotations

from collections.abc import Callable

from posed.engine.base import Engine
from posed.engine.in_camera import CropsLeftOut
from posed.errors import EngineLost
from posed.frame import Frame, Image, RotatedCrop, RotatedLetterbox, View
from posed.pipeline.captured import Captured, CropOnly
from posed.pipeline.device import OK, DeviceMonitor
from posed.pipeline.device_thread import POLL_S, DeviceThread
from posed.pipeline.followed_region import NextRegion, look_at_all
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.inferred import Inferred, RotatedInference
from posed.pipeline.slots import Slots
from posed.pipeline.stage_timings import StageTimings


class Inference(DeviceThread):
    """Runs the model in a thread of its own, on the frames of all cameras in fair turns.

    A rotated crop counts as a turn of the camera that it is of. Of a camera with a network of its own there
    are crops alone.

    The thread owns the engine, and changes `engine` and its counts of a source; the main loop reads them.

    Args:
        open_engine: opens the engine; raises EngineLost if it is not there now.
        input_size: (width, height) of the model's input, px.
        captured: where capture leaves each camera's newest frame.
        inferred: where the main loop takes what comes of it.
        hang_s: after how long an inference counts as hanging, s.
        next_region: where the network looks in the next frame of the same camera.

    Attributes:
        engine: the engine that runs or ran last; None before the first was opened.
    """

    def __init__(  # noqa: PLR0913 - the last by its name
        self,
        open_engine: Callable[[], Engine],
        input_size: tuple[int, int],
        captured: Slots[FrameSource, Captured | CropOnly],
        inferred: Slots[FrameSource, Inferred],
        hang_s: float,
        *,
        next_region: NextRegion = look_at_all,
    ) -> None:
        super().__init__("inference", DeviceMonitor("engine", hang_s))
        self.engine: Engine | None = None
        self._open_engine = open_engine
        self._input_size = input_size
        self._captured = captured
        self._inferred = inferred
        self._next_region = next_region

    def _use_device(self) -> None:
        with self._open_engine() as engine:
            self.engine = engine
            self.device.opened()
            self.device.status = OK
            while not self._stopping.is_set():
                match self._captured.take(POLL_S):
                    case source, Captured() as captured:
                        self._infer(engine, source, captured)
                    case source, CropOnly() as captured:
                        self._infer_crop(engine, source, captured)

    def _infer(self, engine: Engine, source: FrameSource, captured: Captured) -> None:
        """Infer one frame, and the rotated crop that is due in it, and hand over what comes of it."""
        self.device.begin_call()
        try:
            view, network_input = self._look(source, captured)
            with captured.stages.time("invoke"):
                outputs = engine.infer(network_input)
            rotated = self._infer_rotated(engine, source, captured)
        except EngineLost:
            source.counts.lost += 1
            self.device.begin_call()  # for closing it
            raise
        self.device.end_call()
        frame_size = captured.letterbox.source_size
        followed = source.followed
        followed.move(self._next_region(outputs, view, followed.settings, frame_size), frame_size)
        if rotated is not None:
            self._captured.indebt(source)
        inferred = Inferred(
            captured.frame,
            view,
            outputs,
            captured.stages,
            rotated,
            captured.dark,
            source.name,
        )
        self._put_when_free(self._inferred, source, inferred)

    def _look(self, source: FrameSource, captured: Captured) -> tuple[View, Image]:
        """All of a frame as it was prepared, or the region of it in which somebody is followed."""
        region = source.followed.within(captured.letterbox.source_size)
        if region is None:
            return captured.letterbox, captured.input
        with captured.stages.time("letterbox"):
            view = RotatedLetterbox(RotatedCrop(region, turn_deg=0), self._input_size)
            return view, view.apply(captured.frame.image)

    def _infer_rotated(
        self, engine: Engine, source: FrameSource, captured: Captured
    ) -> RotatedInference | None:
        """Infer the rotated crop that is due in a frame, if there is one."""
        crop = source.crops.take(captured.frame, live=captured.live)
        return None if crop is None else self._rotated(engine, captured.frame, crop, captured.stages)

    def _infer_crop(self, engine: Engine, source: FrameSource, captured: CropOnly) -> None:
        """Infer a rotated crop alone; what is found goes on with the camera's next frame."""
        stages = StageTimings()
        try:
            rotated = self._rotated(engine, captured.frame, captured.crop, stages)
        except CropsLeftOut:
            self.device.end_call()
            return
        except EngineLost:
            self.device.begin_call()  # for closing it
            raise
        self.device.end_call()
        source.found.append((captured.frame, rotated, stages))

    def _rotated(
        self, engine: Engine, frame: Frame, crop: RotatedCrop, stages: StageTimings
    ) -> RotatedInference:
        self.device.begin_call()
        with stages.time("turned"):
            view = RotatedLetterbox(crop, self._input_size)
            return RotatedInference(view, engine.infer(view.apply(frame.image)))
