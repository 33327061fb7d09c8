"""The threads between camera and main loop: newest wins, recordings wait, devices come and go."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from posed.camera.base import FrameMaker
from posed.errors import CameraEnded, CameraError, CameraLost, EngineError, EngineLost
from posed.frame import Frame, Region, RotatedCrop
from posed.model.outputs import Outputs, OutputTensor
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.rotated_crop_queue import CROP_DELAY_FRAMES
from posed.pipeline.threads import Pipeline, Slot, _delay
from posed.timing import Backoff
from tests.brokers import eventually

SIZE = (33, 17)


class FakeCamera:
    """Plays a script: an int is that many frames, None a wait without one, an error is raised."""

    name = "camera fake"

    def __init__(self, script: Iterable[int | Exception | None], *, live: bool) -> None:
        self.live = live
        self.closed = threading.Event()
        self.hangs = threading.Event()
        self._steps = self._play(script)
        self._maker = FrameMaker(0, mirror=False)

    def _play(self, script: Iterable[int | Exception | None]) -> Iterator[Frame | None]:
        for step in script:
            if isinstance(step, Exception):
                raise step
            for _ in range(1 if step is None else step):
                image = np.full((17, 33, 3), 100, np.uint8)
                yield None if step is None else self._maker.make(image, time.monotonic())
        while True:
            yield None

    def read(self, wait_s: float) -> Frame | None:
        frame = next(self._steps)
        if frame is None:
            self.closed.wait(wait_s)
        return frame

    def __enter__(self) -> FakeCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()


class FakeEngine:
    """Answers with heads of the right shape; may be held at its first invoke, or raise at one."""

    kind, device, why = "cpu", "fake", "asked for"

    def __init__(self, fail_at: int = -1, held: threading.Event | None = None) -> None:
        self.inputs = 0
        self.closed = False
        self._fail_at = fail_at
        self._held = held

    def infer(self, image: np.ndarray) -> Outputs:
        if self._held is not None:
            self._held.wait(10)
        self.inputs += 1
        if self.inputs - 1 == self._fail_at:
            raise EngineLost("edgetpu: invoke failed")
        return tuple(OutputTensor(np.zeros((3, 5, channels), np.float32)) for channels in (17, 34, 64))

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def started() -> Iterator[Callable[..., Pipeline]]:
    pipelines: list[Pipeline] = []

    def start(
        cameras: list[FakeCamera | Exception],
        engines: list[FakeEngine | Exception] | None = None,
        timeout_s: float = 5,
    ) -> Pipeline:
        pipeline = Pipeline(_opener(cameras), _opener(engines or [FakeEngine()]), SIZE, timeout_s)
        pipelines.append(pipeline)
        pipeline.start()
        return pipeline

    yield start
    for pipeline in pipelines:
        assert pipeline.stop(5)


def _opener(things: list) -> Callable[[], object]:
    """Opens one after the other, the last one again and again; an exception is raised instead."""
    rest = iter(things[:-1])

    def open_next() -> object:
        thing = next(rest, things[-1])
        if isinstance(thing, Exception):
            raise thing
        return thing

    return open_next


def work(pipeline: Pipeline) -> list[int]:
    """What the main loop does; gives the sequence numbers of what came until a recording's end."""
    numbers = []
    try:
        while True:
            inferred = pipeline.next(0.05)
            if inferred is not None:
                numbers.append(inferred.frame.sequence)
    except CameraEnded:
        return numbers


def test_every_frame_of_a_recording_comes_through_before_its_end(started):
    pipeline = started([FakeCamera([50, CameraEnded("over")], live=False)])
    assert work(pipeline) == list(range(50))
    assert pipeline.dropped == 0


def test_a_slow_engine_gets_the_newest_frame_of_a_live_camera(started):
    held = threading.Event()
    pipeline = started([FakeCamera([20], live=True)], [FakeEngine(held=held)])
    eventually(lambda: pipeline.dropped >= 18)
    held.set()
    numbers = []
    while len(numbers) + pipeline.dropped < 20:
        inferred = pipeline.next(5)
        assert inferred is not None
        numbers.append(inferred.frame.sequence)
    assert numbers[-1] == 19
    assert len(numbers) <= 2


class LedCamera(FakeCamera):
    """A live camera that gives a burst of frames each time it is told to."""

    def __init__(self, burst: int) -> None:
        super().__init__([], live=True)
        self.told = threading.Semaphore(0)
        self.idle = threading.Event()
        self._burst = burst
        self._left = 0
        self._in_burst = False

    def read(self, wait_s: float) -> Frame | None:
        if not self._left:
            if self._in_burst:
                self._in_burst = False
                self.idle.set()
            if not self.told.acquire(timeout=wait_s):
                return None
            self._in_burst, self._left = True, self._burst
        self._left -= 1
        return self._maker.make(np.full((17, 33, 3), 100, np.uint8), time.monotonic())


class StepEngine(FakeEngine):
    """Every inference takes until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.end = threading.Semaphore(0), threading.Semaphore(0)

    def infer(self, image: np.ndarray) -> Outputs:
        self.began.release()
        assert self.end.acquire(timeout=10)
        return super().infer(image)


def test_whatever_comes_while_the_engine_works_the_newest_frame_is_the_next(started):
    camera, engine = LedCamera(burst=5), StepEngine()
    pipeline = started([camera], [engine])
    camera._burst = 1
    camera.told.release()
    assert engine.began.acquire(timeout=5)
    assert camera.idle.wait(5)
    camera._burst = 5
    for turn in range(1, 9):
        camera.idle.clear()
        camera.told.release()  # five frames while the engine is at work on one before
        assert camera.idle.wait(5)
        engine.end.release()
        assert pipeline.next(5) is not None
        assert engine.began.acquire(timeout=5)
        engine.end.release()
        newest = pipeline.next(5)
        assert newest is not None
        assert newest.frame.sequence == 10 * turn - 5
        camera.idle.clear()
        camera.told.release()
        assert engine.began.acquire(timeout=5)
        assert camera.idle.wait(5)
    engine.end.release()
    engine.end.release()


def test_a_live_camera_that_ends_still_delivers_its_last_frame(started):
    pipeline = started([FakeCamera([7, CameraEnded("over")], live=True)])
    assert work(pipeline)[-1] == 6


def test_a_lost_camera_is_opened_again(started):
    gone = FakeCamera([1, CameraLost("camera fake: gone")], live=False)
    pipeline = started([gone, FakeCamera([1], live=False)])
    assert pipeline.next(5) is not None
    eventually(lambda: pipeline.camera.status == "waiting")
    assert pipeline.camera.why == "camera fake: gone"
    assert gone.closed.is_set()
    assert pipeline.next(5) is not None
    eventually(lambda: pipeline.camera.status == "ok")
    assert pipeline.tally.errors == pipeline.tally.reopened == {"camera": 1, "engine": 0}


def test_a_camera_that_is_absent_at_start_is_waited_for(started):
    pipeline = started([CameraLost("no camera"), FakeCamera([1], live=True)])
    eventually(lambda: pipeline.camera.why == "no camera")
    assert pipeline.next(5) is not None


def test_a_camera_that_delivers_nothing_in_time_is_named_and_opened_again(started):
    pipeline = started([FakeCamera([], live=True), FakeCamera([1], live=True)], timeout_s=0.2)
    eventually(lambda: "within 0.2 s" in pipeline.camera.why)
    assert pipeline.camera.why == "camera fake: must deliver a frame within 0.2 s, got none"
    assert pipeline.next(5) is not None


def test_a_camera_that_can_never_work_is_raised(started):
    pipeline = started([CameraError("picamera2 is not installed")])
    with pytest.raises(CameraError, match="not installed"):
        work(pipeline)


def test_an_absent_engine_is_waited_for(started):
    pipeline = started([FakeCamera([1], live=False)], [EngineLost("no Edge TPU answered"), FakeEngine()])
    eventually(lambda: pipeline.engine.why == "no Edge TPU answered")
    assert pipeline.next(5) is not None
    assert pipeline.engine.status == "ok"


def test_an_engine_that_fails_is_opened_again_and_its_frame_counted_as_dropped(started):
    failing = FakeEngine(fail_at=1)
    pipeline = started([FakeCamera([3, CameraEnded("over")], live=False)], [failing, FakeEngine()])
    assert work(pipeline) == [0, 2]
    assert pipeline.dropped == pipeline.tally.lost == 1
    assert pipeline.tally.errors == pipeline.tally.reopened == {"camera": 0, "engine": 1}
    assert failing.closed


def test_an_engine_that_can_never_work_is_raised(started):
    pipeline = started([FakeCamera([1], live=True)], [EngineError("library missing")])
    with pytest.raises(EngineError, match="library missing"):
        work(pipeline)


def test_an_engine_that_can_never_work_is_raised_though_the_recording_has_ended(started):
    pipeline = started([FakeCamera([1, CameraEnded("over")], live=False)], [EngineError("library missing")])
    eventually(lambda: pipeline._ended)
    with pytest.raises(EngineError, match="library missing"):
        work(pipeline)


def test_frames_are_numbered_on_when_the_camera_is_opened_again(started):
    cameras = [FakeCamera([3, CameraLost("gone")], live=False), FakeCamera([2, CameraEnded("")], live=False)]
    assert work(started(cameras)) == [0, 1, 2, 3, 4]


def test_a_device_that_fails_soon_after_opening_is_opened_ever_more_slowly():
    backoff = Backoff(0.5, 30, lambda: 1)
    soon = [_delay(backoff, time.monotonic()) for _ in range(3)]
    late = _delay(backoff, time.monotonic() - 31)
    assert (soon, late) == ([0.5, 1, 2], 0.5)


def test_a_bug_in_a_thread_is_raised_in_the_main_loop(started):
    pipeline = started([FakeCamera([ZeroDivisionError("a bug")], live=True)])
    with pytest.raises(ZeroDivisionError):
        work(pipeline)


def test_stop_closes_camera_and_engine(started):
    camera, engine = FakeCamera([1], live=True), FakeEngine()
    pipeline = started([camera], [engine])
    assert pipeline.next(5) is not None
    assert pipeline.stop(5)
    assert camera.closed.is_set()
    assert engine.closed


def test_stop_does_not_wait_for_an_engine_that_hangs(started):
    held = threading.Event()
    pipeline = started([FakeCamera([1], live=False)], [FakeEngine(held=held)])
    eventually(lambda: pipeline.frame_size is not None)
    assert not pipeline.stop(0.3)
    held.set()


def test_a_camera_that_hangs_is_raised():
    camera = LedCamera(burst=1)
    camera.told.acquire = lambda timeout: camera.closed.wait(10)
    pipeline = Pipeline(lambda: camera, FakeEngine, SIZE, timeout_s=5, hang_s=0.2)
    pipeline.start()
    with pytest.raises(CameraError, match=r"^camera: must answer within 0.2 s, got nothing: it hangs$"):
        work(pipeline)
    camera.closed.set()
    assert pipeline.stop(5)


def test_a_recording_that_has_ended_does_not_hang(started):
    """Its last frames may take the engine longer than a camera may take."""
    held = threading.Event()
    camera = FakeCamera([1, CameraEnded("over")], live=False)
    pipeline = Pipeline(lambda: camera, lambda: FakeEngine(held=held), SIZE, timeout_s=5, hang_s=20)
    pipeline.start()
    eventually(lambda: pipeline._ended is not None)
    assert pipeline._camera_call.hangs() is None
    held.set()
    assert work(pipeline) == [0]


def test_there_is_nothing_to_do_while_the_camera_has_no_frame_or_a_device_is_away(started):
    frames = started([FakeCamera([3], live=True)])
    assert work_once(frames)
    eventually(lambda: frames.waits)
    away = started([CameraLost("gone")])
    assert away.waits


def work_once(pipeline: Pipeline) -> bool:
    return pipeline.next(5) is not None


def test_an_engine_that_hangs_is_raised():
    held = threading.Event()
    engine = FakeEngine(held=held)
    pipeline = Pipeline(lambda: FakeCamera([1], live=True), lambda: engine, SIZE, timeout_s=5, hang_s=0.2)
    pipeline.start()
    with pytest.raises(EngineError, match="it hangs"):
        work(pipeline)
    held.set()
    assert pipeline.stop(5)


def test_a_live_cameras_sight_is_told(started):
    pipeline = started([FakeCamera([1], live=True)])
    eventually(lambda: pipeline.sight == "ok")


@pytest.mark.parametrize("live", [True, False])
def test_whether_it_is_dark_comes_with_each_frame(live):
    images = [np.full((17, 33, 3), level, np.uint8) for level in (3, 3, 200)]
    frames = [still(number, image, number) for number, image in enumerate(images)]
    taken = threading.Semaphore(1)
    pipeline = Pipeline(lambda: TimedCamera(frames, live=live, taken=taken), FakeEngine, SIZE, 5)
    pipeline.start()
    seen = []
    for _ in frames:
        inferred = pipeline.next(5)
        seen.append((inferred.frame.sequence, inferred.dark))
        taken.release()
    assert pipeline.stop(5)
    assert seen == [(0, True), (1, True), (2, False)]


def test_a_recording_has_no_sight(started):
    pipeline = started([FakeCamera([20, CameraEnded("over")], live=False)])
    work(pipeline)
    assert pipeline.sight is None


def still(time_s: float, image: np.ndarray, sequence: int) -> Frame:
    return Frame(image, sequence, captured_at=time_s, time_s=time_s, time=time_s)


class TimedCamera(FakeCamera):
    """Gives these frames, then none."""

    def __init__(
        self, frames: Iterable[Frame], *, live: bool, taken: threading.Semaphore | None = None
    ) -> None:
        super().__init__([], live=live)
        self._steps = itertools.chain(frames, itertools.repeat(None))
        self._taken = taken

    def read(self, wait_s: float) -> Frame | None:
        """Waits with each until the one before is taken."""
        if self._taken is not None and not self._taken.acquire(timeout=wait_s):
            return None
        return super().read(wait_s)


@pytest.mark.parametrize(("live", "processed"), [(True, 20 + 8), (False, 100)])
def test_an_empty_scene_of_a_live_camera_is_processed_at_its_own_rate(live, processed):
    """Ten seconds at 10 frames per second, of which the last eight are idle at 1."""
    image = np.full((17, 33, 3), 100, np.uint8)
    idle_gate = IdleGate(idle_fps=1)
    idle_gate.heed(0, 0.0)
    wanted = []
    pipeline = Pipeline(
        lambda: TimedCamera([still(n / 10, image, n) for n in range(100)], live=live),
        FakeEngine,
        SIZE,
        timeout_s=5,
        idle_gate=idle_gate,
    )
    pipeline._captured.put = lambda captured: wanted.append(captured) or False
    pipeline._captured.put_if_free = lambda captured, _wait_s: wanted.append(captured) or True
    pipeline.start()
    eventually(lambda: pipeline._next_sequence == 100)
    assert pipeline.stop(5)
    assert len(wanted) == pytest.approx(processed, abs=1)
    assert pipeline.dropped == 0
    assert pipeline.tally.idle == 100 - len(wanted)


LOOK = RotatedCrop(Region(0, 0, 33, 17), 90)


def test_a_recording_is_looked_at_turned_in_the_frame_that_depends_on_nothing_but_the_asking_one(started):
    engine = FakeEngine()
    pipeline = started([FakeCamera([20, CameraEnded("over")], live=False)], [engine])
    asked, looked = {4, 5, 12}, set()
    with contextlib.suppress(CameraEnded):
        while True:
            inferred = pipeline.next(0.05)
            if inferred is None:
                continue
            if inferred.frame.sequence in asked:
                pipeline.look(LOOK, inferred.frame)
                # Once it has gone on, it could have looked too early.
                eventually(lambda sequence=inferred.frame.sequence: engine.inputs > sequence + 1)
            if inferred.looked is not None:
                looked.add(inferred.frame.sequence)
    assert looked == {number + CROP_DELAY_FRAMES for number in asked}


def test_a_live_camera_is_looked_at_turned_once_at_the_next_frame(started):
    camera, engine = LedCamera(burst=1), FakeEngine()
    pipeline = started([camera], [engine])
    looked = []
    for turn in range(4):
        camera.told.release()
        inferred = pipeline.next(5)
        assert inferred is not None
        looked.append(inferred.looked is not None)
        if turn == 1:
            pipeline.look(LOOK, inferred.frame)
    assert looked == [False, False, True, False]
    assert engine.inputs == 5


def test_a_look_asked_for_in_a_frame_of_another_size_is_dropped(started):
    camera, engine = LedCamera(burst=1), FakeEngine()
    pipeline = started([camera], [engine])
    camera.told.release()
    first = pipeline.next(5)
    pipeline.look(LOOK, replace(first.frame, image=np.zeros((10, 10, 3), np.uint8)))
    camera.told.release()
    assert pipeline.next(5).looked is None
    assert engine.inputs == 2


def test_a_look_gives_heads_of_the_turned_region_and_is_a_stage_of_its_own(started):
    camera = LedCamera(burst=1)
    pipeline = started([camera], [RememberingEngine()])
    camera.told.release()
    first = pipeline.next(5)
    pipeline.look(LOOK, first.frame)
    camera.told.release()
    second = pipeline.next(5)
    assert "turned" not in first.stages.wall_s
    assert list(second.stages.wall_s) == ["capture", "letterbox", "invoke", "turned"]
    assert second.looked.view.crop == LOOK
    upright, turned = pipeline.opened_engine.images[1:]
    assert (turned == second.looked.view.apply(second.frame.image)).all()
    assert (turned != upright).any()


class RememberingEngine(FakeEngine):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[np.ndarray] = []

    def infer(self, image: np.ndarray) -> Outputs:
        self.images.append(image)
        return super().infer(image)


def test_an_engine_that_is_lost_at_a_look_costs_one_frame(started):
    cameras = [FakeCamera([8, CameraEnded("over")], live=False)]
    pipeline = started(cameras, [FakeEngine(fail_at=CROP_DELAY_FRAMES + 1), FakeEngine()])
    first = pipeline.next(5)
    pipeline.look(LOOK, first.frame)
    numbers = work(pipeline)
    assert numbers == [1, 2, 4, 5, 6, 7]
    assert pipeline.dropped == 1


def test_a_look_that_hangs_is_raised():
    camera, engine = LedCamera(burst=1), StepEngine()
    pipeline = Pipeline(lambda: camera, lambda: engine, SIZE, timeout_s=5, hang_s=0.2)
    pipeline.start()
    camera.told.release()
    engine.end.release()
    inferred = pipeline.next(5)
    assert inferred is not None
    pipeline.look(LOOK, inferred.frame)
    camera.told.release()
    engine.end.release()
    with pytest.raises(EngineError, match="it hangs"):
        work(pipeline)
    engine.end.release()
    assert pipeline.stop(5)


def test_a_slot_holds_the_newest():
    slot: Slot[int] = Slot()
    assert not slot.put(1)
    assert slot.put(2)
    assert slot.take(0) == 2
    assert slot.take(0) is None


def test_a_slot_that_is_taken_stays_so():
    slot: Slot[int] = Slot()
    assert slot.put_if_free(1, 0)
    assert not slot.put_if_free(2, 0.01)
    assert slot.take(0) == 1


# A pause


def test_a_pause_closes_the_camera_and_resuming_opens_it_again(started):
    first, second = FakeCamera([1], live=True), FakeCamera([1], live=True)
    pipeline = started([first, second])
    assert pipeline.next(5) is not None
    pipeline.pause()
    assert first.closed.wait(5)
    eventually(lambda: pipeline.camera.status == "paused")
    assert (pipeline.next(0.3), pipeline.sight) == (None, None)
    pipeline.resume()
    assert pipeline.next(5) is not None
    assert pipeline.camera.status == "ok"
    assert pipeline.tally.errors == pipeline.tally.reopened == {"camera": 0, "engine": 0}


def test_a_pause_ends_the_wait_for_a_camera_that_is_away(started):
    pipeline = started([CameraLost("gone")])
    eventually(lambda: pipeline.camera.status == "waiting" and "gone" in pipeline.camera.why)
    pipeline.pause()
    eventually(lambda: pipeline.camera.status == "paused")


def test_a_pipeline_that_is_paused_ends_as_another(started):
    pipeline = started([FakeCamera([1], live=True)])
    pipeline.pause()
    eventually(lambda: pipeline.camera.status == "paused")
    assert pipeline.stop(1)
