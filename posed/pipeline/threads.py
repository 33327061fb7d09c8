"""The threads between the camera and the main loop, and the hand-over between them.

    capture: camera.read and letterbox ─slot─▶ inference: engine.infer ─slot─▶ main: decode and publish
                                                        ▲──────── looks ────────────┘

Every hand-over is one slot, so that nothing queues up: where frames come faster than the engine takes
them, the newest wins and the rest is counted as dropped; a recording that is not live waits instead.
The main loop may ask for a frame to be looked at once more, turned; one of the next frames is, and brings
what was seen. Of a recording that is not live that is always the same one, so that it gives the same at any
speed.
Each thread opens the device it uses, and opens it again with backoff when it is absent or lost.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Generic, Literal, TypeVar

from posed.camera.base import Camera
from posed.camera.health import CameraHealth, CameraHealthDetector, is_due
from posed.engine.base import Engine
from posed.errors import CameraEnded, CameraError, CameraLost, EngineError, EngineLost, PosedError
from posed.frame import Frame, Image, Letterbox, RotatedCrop, RotatedLetterbox
from posed.model.outputs import Outputs
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.rotated_crop_queue import RotatedCropQueue
from posed.pipeline.stage_timings import StageTimings
from posed.timing import Backoff

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S: Final = 0.1
"""How long a thread waits at most before it looks whether it is to stop, s."""

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 4.0
"""Between attempts to open a device that is absent, or fails soon after it was opened: whoever plugs it in
again sees poses within 10 s, an attempt that was just under way included."""

HANG_S: Final = 20.0
"""An inference, or a wait for the next frame, that has not ended after this long never will, s: the slowest
CPU takes a second or two, and that wait `POLL_S`. Less than systemd's watchdog allows, so that the log says
what hangs."""

OPEN_HANG_S: Final = 90.0
"""The same for opening a device: trying an Edge TPU for the first time may take a minute."""


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """How a device does: `ok`, `waiting` and why, or `paused`."""

    status: Literal["ok", "waiting", "paused"]
    why: str = ""


STARTING: Final = DeviceStatus("waiting", "starting")
"""A device that has neither been opened nor refused yet."""


Device = Literal["camera", "engine"]


@dataclass(frozen=True, slots=True)
class Counters:
    """What was counted since the start.

    Args:
        replaced: frames whose place a newer one took before the engine was free.
        lost: frames that an accelerator failed at.
        idle: frames that were not looked at, as nobody was there and nothing changed.
        errors: how often a device failed, or could not be opened.
        reopened: how often it was opened again after that.
    """

    replaced: int
    lost: int
    idle: int
    errors: Mapping[Device, int]
    reopened: Mapping[Device, int]


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A frame on its way to the engine, with the model input made from it, and whether that is too dark."""

    frame: Frame
    letterbox: Letterbox
    input: Image
    dark: bool
    live: bool
    stages: StageTimings


@dataclass(frozen=True, slots=True, eq=False)
class RotatedInference:
    """What the network says of a part of a frame that was looked at once more, turned."""

    view: RotatedLetterbox
    outputs: Outputs


@dataclass(frozen=True, slots=True, eq=False)
class Inferred:
    """What the network says of a frame, and what that took: the stages capture, letterbox, invoke, turned.

    `looked` is None, and the stage `turned` is not there, unless it was looked at turned as well. `dark` says
    that its poses are not to be believed.
    """

    frame: Frame
    letterbox: Letterbox
    outputs: Outputs
    stages: StageTimings
    looked: RotatedInference | None = None
    dark: bool = False


class Slot(Generic[T]):
    """A place for one thing between two threads."""

    def __init__(self) -> None:
        self._item: T | None = None
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Leave the newest; returns whether it took the place of one that nobody had taken."""
        with self._changed:
            replaced = self._item is not None
            self._item = item
            self._changed.notify_all()
        return replaced

    def put_if_free(self, item: T, wait_s: float) -> bool:
        """Leave it once the place is free; False if that took longer than wait_s."""
        with self._changed:
            free = self._changed.wait_for(lambda: self._item is None, wait_s)
            if free:
                self._item = item
                self._changed.notify_all()
        return free

    def take(self, wait_s: float) -> T | None:
        """What is there, or None if nothing came within wait_s."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None, wait_s)
            item, self._item = self._item, None
            self._changed.notify_all()
        return item


class Pipeline:
    """Camera and engine at work, each in its thread.

    Args:
        open_camera: opens the camera; raises CameraLost if it is not there now.
        open_engine: opens the engine; raises EngineLost if it is not there now.
        input_size: (width, height) of the model's input, px.
        timeout_s: after how long without a frame the camera is opened again, s.
        hang_s: after how long an inference, or a wait for the next frame, counts as hanging, s.
        attention: which frames of a live camera are processed; all of them when None.

    Attributes:
        attention: wants to hear how many people were in a frame.
        camera: how the camera does; engine: how the engine does.
        sight: what a live camera sees; None before its first frame.
        frame_size: (width, height) of the newest frame, px.
        opened_engine: the engine that runs or ran last.
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
        self.idle_gate = idle_gate or IdleGate(idle_fps=0)
        self._open_camera = open_camera
        self._open_engine = open_engine
        self._input_size = input_size
        self._timeout_s = timeout_s
        self._hang_s = hang_s
        self._camera_call = _HangDetector("camera")
        self._engine_call = _HangDetector("engine")
        self._awaits_frame = False
        self._stopping = threading.Event()
        self._paused = threading.Event()
        self._captured: Slot[Captured] = Slot()
        self._inferred: Slot[Inferred] = Slot()
        self._crops = RotatedCropQueue()
        self._failure: BaseException | None = None
        self._ended: CameraEnded | None = None
        self._letterbox: Letterbox | None = None
        self._camera_health = CameraHealthDetector()
        self._judged_s = -math.inf
        self._next_sequence = 0
        self._threads = [
            threading.Thread(target=self._guarded, args=(work, call), name=name, daemon=True)
            for name, work, call in (
                ("capture", self._capture, self._camera_call),
                ("inference", self._infer, self._engine_call),
            )
        ]
        # Frames captured, delivered to the main loop, and lost with the engine; each counted by one thread.
        self._captured_count = 0
        self._delivered_count = 0
        self._lost_count = 0
        self._idle_count = 0
        self._errors: dict[Device, int] = {"camera": 0, "engine": 0}
        self._reopened: dict[Device, int] = {"camera": 0, "engine": 0}
        self._failed: set[Device] = set()
        self._replaced_count = 0
        self.camera = STARTING
        self.engine = STARTING
        self.sight: CameraHealth | None = None
        self.frame_size: tuple[int, int] | None = None
        self.opened_engine: Engine | None = None

    @property
    def dropped(self) -> int:
        """Frames that nobody had time for, and those lost with an engine."""
        return self._replaced_count + self._lost_count

    @property
    def paused(self) -> bool:
        """Whether the camera is to stay closed."""
        return self._paused.is_set()

    def pause(self) -> None:
        """Close the camera, within `POLL_S`, and leave it closed."""
        self._paused.set()

    def resume(self) -> None:
        """Open the camera again; a recording begins anew."""
        self._paused.clear()

    @property
    def waits(self) -> bool:
        """Whether there is nothing to do: a pause, a device is away, or the camera has no new frame yet."""
        return self._awaits_frame or self.camera.status != "ok" or self.engine.status != "ok"

    def start(self) -> None:
        """Open camera and engine, in the background."""
        for thread in self._threads:
            thread.start()

    def next(self, wait_s: float) -> Inferred | None:
        """The next processed frame, or None if none came within wait_s.

        Raises:
            CameraEnded: a recording has been played to its end and everything of it was handed over.
            CameraError, EngineError: a device can never work like this, or hangs.
        """
        if hangs := self._camera_call.hangs():
            raise CameraError(hangs)
        if hangs := self._engine_call.hangs():
            raise EngineError(hangs)
        inferred = self._inferred.take(wait_s)
        if inferred is not None:
            self._delivered_count += 1
        elif self._failure is not None:
            raise self._failure
        elif self._ended is not None and not self._awaits_last_frames():
            raise self._ended
        return inferred

    @property
    def tally(self) -> Counters:
        """What was counted since the start."""
        return Counters(
            replaced=self._replaced_count,
            lost=self._lost_count,
            idle=self._idle_count,
            errors=dict(self._errors),
            reopened=dict(self._reopened),
        )

    def look(self, look: RotatedCrop, after: Frame) -> None:
        """Ask for one of the next frames to be looked at turned; once per frame at most, from the main loop.

        Args:
            look: where, and by how much.
            after: the frame upon which it is asked.
        """
        self._crops.add(look, after)

    def _awaits_last_frames(self) -> bool:
        """Whether frames of a recording that has ended are still on their way."""
        return self._captured_count - self.dropped - self._delivered_count > 0

    def stop(self, timeout_s: float) -> bool:
        """Let go of both devices; False if one hangs and had to be left to the end of the process."""
        self._stopping.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _guarded(self, work: Callable[[], None], call: _HangDetector) -> None:
        """A failure of a thread is the main loop's to raise; nothing dies silently."""
        try:
            work()
        except CameraEnded as ended:
            self._ended = ended
        except BaseException as error:  # noqa: BLE001 handed on, not swallowed
            self._failure = self._failure or error
        finally:
            call.end()

    def _capture(self) -> None:
        backoff = Backoff(FIRST_DELAY_S, LONGEST_DELAY_S, random.random)
        while not self._stopping.is_set():
            if self.paused:
                self.camera, self.sight = DeviceStatus("paused"), None
                self._stopping.wait(POLL_S)
                continue
            began_at = time.monotonic()
            self._camera_call.begin(max(OPEN_HANG_S, self._timeout_s + self._hang_s))
            try:
                with self._open_camera() as camera:
                    self._camera_call.end()
                    log.info("%s: opened", camera.name)
                    self._note_opened("camera")
                    self._camera_health, self._judged_s = CameraHealthDetector(), -math.inf
                    first = self._next_sequence
                    for frame, stages in self._frames(camera):
                        # A camera that was opened again goes on counting: a number is there once in a run.
                        self._hand_over(replace(frame, sequence=first + frame.sequence), stages, camera.live)
                    self._camera_call.begin(self._hang_s)  # for closing it
                self._camera_call.end()
            except CameraLost as error:
                self._camera_call.end()
                self.sight = None
                self._wait("camera", error, _delay(backoff, began_at))

    def _frames(self, camera: Camera) -> Iterator[tuple[Frame, StageTimings]]:
        """The camera's frames until we stop or pause; a camera that gives none within timeout_s is lost."""
        deadline = time.monotonic() + self._timeout_s
        while not self._stopping.is_set() and not self.paused:
            stages = StageTimings()
            self._camera_call.begin(self._hang_s)
            with stages.time("capture"):
                frame = camera.read(POLL_S)
            self._camera_call.end()
            self._awaits_frame = frame is None
            if frame is not None:
                self.camera = DeviceStatus("ok")
                yield frame, stages
                deadline = time.monotonic() + self._timeout_s
            elif time.monotonic() > deadline:
                self._camera_call.begin(self._hang_s)  # for closing it
                raise CameraLost(
                    f"{camera.name}: must deliver a frame within {self._timeout_s:g} s, got none"
                )

    def _hand_over(self, frame: Frame, stages: StageTimings, live: bool) -> None:
        self._next_sequence = frame.sequence + 1
        if live and not self.idle_gate.wants(frame.image, frame.captured_at):
            self._idle_count += 1
            return
        letterbox = self._letterbox_for(frame)
        with stages.time("letterbox"):
            network_input = letterbox.apply(frame.image)
        dark = self._is_dark(letterbox.inside(network_input), frame.time_s, live)
        captured = Captured(frame, letterbox, network_input, dark, live, stages)
        self._captured_count += 1
        if live:
            self._replaced_count += self._captured.put(captured)
        else:
            while not self._captured.put_if_free(captured, POLL_S) and not self._stopping.is_set():
                pass

    def _is_dark(self, image: Image, time_s: float, live: bool) -> bool:
        """Judge what the camera sees; returns whether that is too dark.

        Nothing else is said of a recording, which may well show one and the same picture for long.
        """
        if is_due(time_s, self._judged_s):
            view, self._judged_s = self._camera_health.update(image, time_s), time_s
            self.sight = view if live else None
        return self._camera_health.dark

    def _letterbox_for(self, frame: Frame) -> Letterbox:
        size = frame.image.shape[1], frame.image.shape[0]
        if self._letterbox is None or self._letterbox.source_size != size:
            self._letterbox = Letterbox(size, self._input_size)
            self.frame_size = size
        return self._letterbox

    def _infer(self) -> None:
        backoff = Backoff(FIRST_DELAY_S, LONGEST_DELAY_S, random.random)
        while not self._stopping.is_set():
            began_at = time.monotonic()
            self._engine_call.begin(OPEN_HANG_S)
            try:
                with self._open_engine() as engine:
                    self._engine_call.end()
                    self.opened_engine = engine
                    self.engine = DeviceStatus("ok")
                    self._note_opened("engine")
                    while not self._stopping.is_set():
                        self._infer_next(engine)
            except EngineLost as error:
                self._engine_call.end()
                self._wait("engine", error, _delay(backoff, began_at))

    def _infer_next(self, engine: Engine) -> None:
        captured = self._captured.take(POLL_S)
        if captured is None:
            return
        self._engine_call.begin(self._hang_s)
        try:
            with captured.stages.time("invoke"):
                outputs = engine.infer(captured.input)
            looked = self._look_turned(engine, captured)
        except EngineLost:
            self._lost_count += 1
            self._engine_call.begin(self._hang_s)  # for closing it
            raise
        self._engine_call.end()
        inferred = Inferred(
            captured.frame, captured.letterbox, outputs, captured.stages, looked, captured.dark
        )
        while not self._inferred.put_if_free(inferred, POLL_S) and not self._stopping.is_set():
            pass

    def _look_turned(self, engine: Engine, captured: Captured) -> RotatedInference | None:
        """What the network says of the rotated crop that is due in a frame, if there is one."""
        crop = self._crops.take(captured.frame, live=captured.live)
        if crop is None:
            return None
        self._engine_call.begin(self._hang_s)
        with captured.stages.time("turned"):
            view = RotatedLetterbox(crop, self._input_size)
            return RotatedInference(view, engine.infer(view.apply(captured.frame.image)))

    def _note_opened(self, device: Device) -> None:
        self._reopened[device] += device in self._failed
        self._failed.discard(device)

    def _wait(self, part: Device, error: PosedError, delay_s: float) -> None:
        """Say what is being waited for, once per reason, and wait."""
        self._errors[part] += 1
        self._failed.add(part)
        waiting = DeviceStatus("waiting", str(error))
        if getattr(self, part) != waiting:
            log.warning("waiting for the %s: %s", part, error)
        setattr(self, part, waiting)
        wait_until = time.monotonic() + delay_s
        while not self._stopping.wait(min(POLL_S, delay_s)) and time.monotonic() < wait_until:
            if part == "camera" and self.paused:
                return


class _HangDetector:
    """A call into a device's library, which may hang; of one thread, watched by another.

    Args:
        part: whose, for people.
    """

    def __init__(self, part: str) -> None:
        self._part = part
        self._limit: tuple[float, float] | None = None

    def begin(self, limit_s: float) -> None:
        """From now on it may take so long; calling it again begins another call."""
        self._limit = time.monotonic(), limit_s

    def end(self) -> None:
        """It returned."""
        self._limit = None

    def hangs(self) -> str | None:
        """That it hangs, as one line, or None while it may still return."""
        limit = self._limit
        if limit is None or time.monotonic() - limit[0] <= limit[1]:
            return None
        return f"{self._part}: must answer within {limit[1]:g} s, got nothing: it hangs"


def _delay(backoff: Backoff, began_at: float) -> float:
    """How long to wait before the next attempt, s; a device that worked for a while starts anew."""
    if time.monotonic() - began_at > LONGEST_DELAY_S:
        backoff.reset()
    return backoff.next_s()
