"""The threads between camera and main loop: newest wins, recordings wait, devices come and go."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest

from posed.errors import CameraEnded, CameraError, CameraLost, EngineError, EngineLost
from posed.frame import CameraInference, Frame, Region, RotatedCrop
from posed.pipeline import feed
from posed.pipeline.feed import CameraSetup, Feed
from posed.pipeline.pipeline import Pipeline
from posed.pipeline.rotated_crop_queue import CROP_DELAY_FRAMES
from tests.brokers import eventually
from tests.pipelines import (
    SIZE,
    FakeCamera,
    FakeEngine,
    LedCamera,
    RememberingEngine,
    StepEngine,
    TimedCamera,
    opener,
    still,
    work,
)


def pipeline_of(open_camera, open_engine, *, timeout_s: float = 5, **more: float) -> Pipeline:
    """With one camera."""
    return Pipeline({"hall": CameraSetup(open_camera, timeout_s)}, open_engine, SIZE, **more)


def errors_and_reopened(pipeline: Pipeline) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of the camera, and of the engine."""
    camera, engine = feed_of(pipeline).counters, pipeline.inference.device
    return (camera.errors, camera.reopened), (engine.errors, engine.reopened)


def feed_of(pipeline: Pipeline) -> Feed:
    return pipeline.feeds["hall"]


@pytest.fixture
def started() -> Iterator[Callable[..., Pipeline]]:
    pipelines: list[Pipeline] = []

    def start(
        cameras: list[FakeCamera | Exception],
        engines: list[FakeEngine | Exception] | None = None,
        timeout_s: float = 5,
    ) -> Pipeline:
        pipeline = pipeline_of(opener(cameras), opener(engines or [FakeEngine()]), timeout_s=timeout_s)
        pipelines.append(pipeline)
        pipeline.start()
        return pipeline

    yield start
    for pipeline in pipelines:
        assert pipeline.stop(5)


def test_every_frame_of_a_recording_comes_through_before_its_end(started):
    pipeline = started([FakeCamera([50, CameraEnded("over")], live=False)])
    assert work(pipeline) == list(range(50))
    assert feed_of(pipeline).counts.dropped == 0


def test_a_slow_engine_gets_a_live_cameras_newest_frame(started):
    held = threading.Event()
    pipeline = started([FakeCamera([20], live=True)], [FakeEngine(held=held)])
    eventually(lambda: feed_of(pipeline).counts.dropped >= 18)
    held.set()
    numbers = []
    while len(numbers) + feed_of(pipeline).counts.dropped < 20:
        inferred = pipeline.next(5)
        assert inferred is not None
        numbers.append(inferred.frame.sequence)
    assert numbers[-1] == 19
    assert len(numbers) <= 2


def test_the_next_frame_is_the_newest_however_many_came_meanwhile(started):
    camera, engine = LedCamera(burst=5), StepEngine()
    pipeline = started([camera], [engine])
    camera.burst = 1
    camera.told.release()
    assert engine.began.acquire(timeout=5)
    assert camera.idle.wait(5)
    camera.burst = 5
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
    eventually(lambda: feed_of(pipeline).status.status == "waiting")
    assert feed_of(pipeline).status.why == "camera fake: gone"
    assert gone.closed.is_set()
    assert pipeline.next(5) is not None
    eventually(lambda: feed_of(pipeline).status.status == "ok")
    assert errors_and_reopened(pipeline) == ((1, 1), (0, 0))


def test_a_camera_that_is_absent_at_start_is_waited_for(started):
    pipeline = started([CameraLost("no camera"), FakeCamera([1], live=True)])
    eventually(lambda: feed_of(pipeline).status.why == "no camera")
    assert pipeline.next(5) is not None


def test_a_camera_that_delivers_nothing_is_named_and_opened_again(started):
    pipeline = started([FakeCamera([], live=True), FakeCamera([1], live=True)], timeout_s=0.2)
    eventually(lambda: "within 0.2 s" in feed_of(pipeline).status.why)
    assert feed_of(pipeline).status.why == "camera fake: must deliver a frame within 0.2 s, got none"
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


def test_a_failed_engine_is_opened_again_and_drops_one_frame(started):
    failing = FakeEngine(fail_at=1)
    pipeline = started([FakeCamera([3, CameraEnded("over")], live=False)], [failing, FakeEngine()])
    assert work(pipeline) == [0, 2]
    assert feed_of(pipeline).counts.dropped == feed_of(pipeline).counters.lost == 1
    assert errors_and_reopened(pipeline) == ((0, 0), (1, 1))
    assert failing.closed


def test_an_engine_that_can_never_work_is_raised(started):
    pipeline = started([FakeCamera([1], live=True)], [EngineError("library missing")])
    with pytest.raises(EngineError, match="library missing"):
        work(pipeline)


def test_an_engines_fatal_error_is_raised_after_the_recording_ended(started):
    pipeline = started([FakeCamera([1, CameraEnded("over")], live=False)], [EngineError("library missing")])
    eventually(lambda: feed_of(pipeline).capture.failure)
    with pytest.raises(EngineError, match="library missing"):
        work(pipeline)


def test_frames_are_numbered_on_when_the_camera_is_opened_again(started):
    cameras = [FakeCamera([3, CameraLost("gone")], live=False), FakeCamera([2, CameraEnded("")], live=False)]
    assert work(started(cameras)) == [0, 1, 2, 3, 4]


def test_a_threads_bug_is_raised_in_the_main_loop(started):
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
    eventually(lambda: feed_of(pipeline).frame_size is not None)
    assert not pipeline.stop(0.3)
    held.set()


def test_a_camera_that_hangs_is_raised():
    camera = LedCamera(burst=1)
    camera.told.acquire = lambda timeout: camera.closed.wait(10)
    pipeline = pipeline_of(lambda: camera, FakeEngine, hang_s=1)
    pipeline.start()
    with pytest.raises(CameraError, match=r"^camera: must answer within 1 s, got nothing: it hangs$"):
        work(pipeline)
    camera.closed.set()
    assert pipeline.stop(5)


def test_a_camera_that_answers_too_late_is_waited_for():
    camera = LedCamera(burst=1)
    pipeline = pipeline_of(lambda: camera, FakeEngine, timeout_s=0.2)
    pipeline.start()
    camera.told.release()
    assert work_once(pipeline)
    assert feed_of(pipeline).status.status == "ok"
    camera.told.acquire = lambda timeout: camera.closed.wait(10)
    eventually(lambda: feed_of(pipeline).status.status == "waiting")
    assert feed_of(pipeline).status.why == "camera: must answer within 0.2 s, got nothing yet"
    camera.closed.set()
    assert pipeline.stop(5)


def test_a_recording_that_has_ended_does_not_hang(started):
    """Its last frames may take the engine longer than a camera may take."""
    held = threading.Event()
    camera = FakeCamera([1, CameraEnded("over")], live=False)
    pipeline = pipeline_of(lambda: camera, lambda: FakeEngine(held=held), hang_s=20)
    pipeline.start()
    eventually(lambda: feed_of(pipeline).capture.failure)
    assert feed_of(pipeline).capture.device.hangs is None
    held.set()
    assert work(pipeline) == [0]


def test_the_pipeline_waits_without_a_frame_or_a_device(started):
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
    pipeline = pipeline_of(lambda: FakeCamera([1], live=True), lambda: engine, hang_s=1)
    pipeline.start()
    with pytest.raises(EngineError, match="it hangs"):
        work(pipeline)
    held.set()
    assert pipeline.stop(5)


def test_a_live_camera_has_a_health(started):
    pipeline = started([FakeCamera([1], live=True)])
    eventually(lambda: feed_of(pipeline).health == "ok")


@pytest.mark.parametrize("live", [True, False])
def test_whether_it_is_dark_comes_with_each_frame(live):
    images = [np.full((17, 33, 3), level, np.uint8) for level in (3, 3, 200)]
    frames = [still(number, image, number) for number, image in enumerate(images)]
    taken = threading.Semaphore(1)
    pipeline = pipeline_of(lambda: TimedCamera(frames, live=live, taken=taken), FakeEngine)
    pipeline.start()
    seen = []
    for _ in frames:
        inferred = pipeline.next(5)
        seen.append((inferred.frame.sequence, inferred.dark))
        taken.release()
    assert pipeline.stop(5)
    assert seen == [(0, True), (1, True), (2, False)]


def test_a_recording_has_no_health(started):
    pipeline = started([FakeCamera([20, CameraEnded("over")], live=False)])
    work(pipeline)
    assert feed_of(pipeline).health is None


CROP = RotatedCrop(Region(0, 0, 33, 17), 90)


def test_a_recording_infers_crops_a_fixed_number_of_frames_later(started):
    engine = FakeEngine()
    pipeline = started([FakeCamera([20, CameraEnded("over")], live=False)], [engine])
    requested, rotated = {4, 5, 12}, set()
    with contextlib.suppress(CameraEnded):
        while True:
            inferred = pipeline.next(0.05)
            if inferred is None:
                continue
            if inferred.frame.sequence in requested:
                feed_of(pipeline).request_crop(CROP, inferred.frame)
                # Once it has gone on, it could have inferred the crop too early.
                eventually(lambda sequence=inferred.frame.sequence: engine.inputs > sequence + 1)
            if inferred.rotated is not None:
                rotated.add(inferred.frame.sequence)
    assert rotated == {number + CROP_DELAY_FRAMES for number in requested}


def test_a_live_crop_is_inferred_once_in_the_next_frame(started):
    camera, engine = LedCamera(burst=1), FakeEngine()
    pipeline = started([camera], [engine])
    rotated = []
    for turn in range(4):
        camera.told.release()
        inferred = pipeline.next(5)
        assert inferred is not None
        rotated.append(inferred.rotated is not None)
        if turn == 1:
            feed_of(pipeline).request_crop(CROP, inferred.frame)
    assert rotated == [False, False, True, False]
    assert engine.inputs == 5


def test_beside_an_ai_camera_one_crop_waits_at_a_time(started):
    pipeline = started([FakeCamera([1], live=True)])
    inferred = pipeline.next(5)
    assert inferred is not None
    frame, hall = inferred.frame, feed_of(pipeline)
    own = replace(frame, inference=CameraInference((), 16, inferred.view, mirrored=False, took_s=0))
    assert hall.has_room_for_crop(own)
    hall.request_crop(CROP, frame)
    assert not hall.has_room_for_crop(own)
    assert hall.has_room_for_crop(frame), "the engine takes one with each frame that it infers"


def test_a_crop_of_frames_of_another_size_is_dropped(started):
    camera, engine = LedCamera(burst=1), FakeEngine()
    pipeline = started([camera], [engine])
    camera.told.release()
    first = pipeline.next(5)
    feed_of(pipeline).request_crop(CROP, replace(first.frame, image=np.zeros((10, 10, 3), np.uint8)))
    camera.told.release()
    assert pipeline.next(5).rotated is None
    assert engine.inputs == 2


def test_a_crop_has_outputs_and_a_stage_of_its_own(started):
    camera = LedCamera(burst=1)
    pipeline = started([camera], [RememberingEngine()])
    camera.told.release()
    first = pipeline.next(5)
    feed_of(pipeline).request_crop(CROP, first.frame)
    camera.told.release()
    second = pipeline.next(5)
    assert "turned" not in first.stages.wall_s
    assert list(second.stages.wall_s) == ["capture", "letterbox", "invoke", "turned"]
    assert second.rotated.view.crop == CROP
    upright, turned = pipeline.opened_engine.images[1:]
    assert (turned == second.rotated.view.apply(second.frame.image)).all()
    assert (turned != upright).any()


def test_an_engine_lost_at_a_crop_costs_one_frame(started):
    cameras = [FakeCamera([8, CameraEnded("over")], live=False)]
    pipeline = started(cameras, [FakeEngine(fail_at=CROP_DELAY_FRAMES + 1), FakeEngine()])
    first = pipeline.next(5)
    feed_of(pipeline).request_crop(CROP, first.frame)
    numbers = work(pipeline)
    assert numbers == [1, 2, 4, 5, 6, 7]
    assert feed_of(pipeline).counts.dropped == 1


def test_a_crop_that_hangs_is_raised():
    camera, engine = LedCamera(burst=1), StepEngine()
    pipeline = pipeline_of(lambda: camera, lambda: engine, hang_s=1)
    pipeline.start()
    camera.told.release()
    engine.end.release()
    inferred = pipeline.next(5)
    assert inferred is not None
    feed_of(pipeline).request_crop(CROP, inferred.frame)
    camera.told.release()
    engine.end.release()
    with pytest.raises(EngineError, match="it hangs"):
        work(pipeline)
    engine.end.release()
    assert pipeline.stop(5)


# A pause


def test_a_pause_closes_the_camera_and_resuming_opens_it_again(started):
    first, second = FakeCamera([1], live=True), FakeCamera([1], live=True)
    pipeline = started([first, second])
    assert pipeline.next(5) is not None
    feed_of(pipeline).pause()
    assert first.closed.wait(5)
    eventually(lambda: feed_of(pipeline).status.status == "paused")
    assert (pipeline.next(0.3), feed_of(pipeline).health) == (None, None)
    feed_of(pipeline).resume()
    assert pipeline.next(5) is not None
    assert feed_of(pipeline).status.status == "ok"
    assert errors_and_reopened(pipeline) == ((0, 0), (0, 0))


def test_a_pause_ends_the_wait_for_a_lost_camera(started):
    feed = feed_of(started([CameraLost("gone")]))
    eventually(lambda: feed.status.why == "gone")
    feed.pause()
    eventually(lambda: feed.status.status == "paused")


def test_a_pipeline_that_is_paused_ends_as_another(started):
    pipeline = started([FakeCamera([1], live=True)])
    feed_of(pipeline).pause()
    eventually(lambda: feed_of(pipeline).status.status == "paused")
    assert pipeline.stop(1)


# Several cameras


class HangingCamera(FakeCamera):
    """Never returns from a read until it is let go."""

    def __init__(self, let_go: threading.Event) -> None:
        super().__init__([], live=True)
        self._let_go = let_go

    def read(self, _wait_s: float) -> Frame | None:
        self._let_go.wait(20)
        return still(1.0, np.zeros((17, 33, 3), np.uint8), 0)


def several(cameras: Mapping[str, Callable[[], object]], **more: float) -> Pipeline:
    setups = {name: CameraSetup(open_camera, timeout_s=5) for name, open_camera in cameras.items()}
    pipeline = Pipeline(setups, FakeEngine, SIZE, **more)
    pipeline.start()
    return pipeline


def recording(count: int) -> Callable[[], FakeCamera]:
    return lambda: FakeCamera([count, CameraEnded("over")], live=False)


def test_frames_say_of_which_camera_they_are():
    pipeline = several({"hall": recording(3), "bath": recording(5)})
    seen = Counter()
    with contextlib.suppress(CameraEnded):
        while True:
            if (inferred := pipeline.next(0.05)) is not None:
                seen[inferred.camera] += 1
    assert seen == {"hall": 3, "bath": 5}
    assert pipeline.stop(5)


def test_a_recording_that_ends_leaves_the_others():
    pipeline = several({"hall": recording(1), "bath": lambda: LedCamera(burst=1)})
    assert pipeline.next(5).camera == "hall"
    eventually(lambda: pipeline.feeds["hall"].capture.failure)
    assert pipeline.next(0.1) is None
    assert pipeline.stop(5)


def test_a_camera_that_hangs_is_left_behind_and_opened_again(caplog):
    let_go = threading.Event()
    cameras = opener([HangingCamera(let_go), FakeCamera([1], live=True)])
    pipeline = several({"hall": cameras, "bath": lambda: FakeCamera([], live=True)}, hang_s=1)
    inferred = None
    while inferred is None:
        inferred = pipeline.next(0.05)
    hall = pipeline.feeds["hall"]
    assert (inferred.camera, hall.left_behind, hall.counters.errors) == ("hall", 1, 1)
    assert "camera hall: hangs; its thread is left behind" in caplog.text
    let_go.set()  # it gives a frame, too late
    eventually(lambda: hall.left_behind == 0)
    assert hall.counts.read == 1
    assert pipeline.stop(5)


def test_a_third_thread_that_hangs_ends_the_daemon():
    let_go = threading.Event()
    hanging = {name: lambda: HangingCamera(let_go) for name in ("hall", "bath")}
    pipeline = several(hanging, hang_s=1)
    with pytest.raises(CameraError, match="it hangs"):
        work(pipeline)
    assert sum(feed.left_behind for feed in pipeline.feeds.values()) == 2
    let_go.set()
    eventually(lambda: pipeline.stop(5))


def test_a_camera_that_is_away_makes_nobody_wait():
    gone = opener([CameraLost("gone")])
    pipeline = several({"hall": gone, "bath": lambda: FakeCamera([3], live=True)})
    eventually(lambda: pipeline.feeds["hall"].status.why == "gone")
    assert pipeline.next(5).camera == "bath"
    assert pipeline.stop(5)


def taken(pipeline: Pipeline, count: int) -> list[tuple[str, int]]:
    """The next frames: each by its camera and number."""
    frames: list[tuple[str, int]] = []
    while len(frames) < count:
        if (inferred := pipeline.next(0.05)) is not None:
            frames.append((inferred.camera, inferred.frame.sequence))
    return frames


def test_a_camera_that_is_added_works_beside_the_others():
    hall, bath = LedCamera(burst=1), LedCamera(burst=1)
    pipeline = several({"hall": lambda: hall})
    hall.told.release()
    assert taken(pipeline, 1) == [("hall", 0)]
    pipeline.add("bath", CameraSetup(lambda: bath, timeout_s=5)).start()
    bath.told.release()
    assert taken(pipeline, 1) == [("bath", 0)]
    hall.told.release()
    assert taken(pipeline, 1) == [("hall", 1)]
    assert pipeline.stop(5)


def test_a_camera_that_is_removed_is_closed_alone():
    hall, bath = LedCamera(burst=1), LedCamera(burst=1)
    pipeline = several({"hall": lambda: hall, "bath": lambda: bath})
    bath.told.release()
    hall.told.release()
    assert set(taken(pipeline, 2)) == {("hall", 0), ("bath", 0)}
    pipeline.remove("bath")
    assert bath.closed.wait(5)
    assert not hall.closed.is_set()
    hall.told.release()
    assert taken(pipeline, 1) == [("hall", 1)]
    assert pipeline.stop(5)


def test_no_frame_of_a_removed_camera_is_its_successors():
    """It has the same name, and another picture: what is under way is dropped."""
    before, after, engine = LedCamera(burst=1), LedCamera(burst=1), StepEngine()
    pipeline = Pipeline({"hall": CameraSetup(lambda: before, timeout_s=5)}, lambda: engine, SIZE)
    pipeline.start()
    for _ in range(2):
        before.told.release()
        assert engine.began.acquire(timeout=5)
        engine.end.release()
    assert taken(pipeline, 2) == [("hall", 0), ("hall", 1)]
    before.told.release()
    assert engine.began.acquire(timeout=5)
    pipeline.remove("hall")
    pipeline.add("hall", CameraSetup(lambda: after, timeout_s=5)).start()
    engine.end.release()
    after.told.release()
    engine.end.release()
    assert taken(pipeline, 1) == [("hall", 4)]
    assert pipeline.stop(5)


def test_a_camera_that_can_never_work_leaves_the_others(caplog):
    broken = opener([CameraError("no such file")])
    pipeline = several({"hall": broken, "bath": lambda: FakeCamera([3], live=True)})
    eventually(lambda: pipeline.feeds["hall"].capture.failure)
    assert {name for name, _ in taken(pipeline, 1)} == {"bath"}
    status = pipeline.feeds["hall"].status
    assert (status.status, status.why) == ("waiting", "no such file")
    assert caplog.messages.count("camera hall: cannot work like this: no such file") == 1
    assert pipeline.stop(5)


def test_a_camera_that_can_never_work_is_tried_again(monkeypatch):
    monkeypatch.setattr(feed, "TRY_EVERY_S", 0.0)
    cameras = opener([CameraError("no such file"), FakeCamera([1], live=True)])
    pipeline = several({"hall": cameras, "bath": lambda: FakeCamera([], live=True)})
    assert taken(pipeline, 1) == [("hall", 0)]
    assert pipeline.feeds["hall"].counters.errors == 1
    assert pipeline.stop(5)


def test_when_no_camera_can_work_the_daemon_ends():
    pipeline = several({name: opener([CameraError(f"no {name}")]) for name in ("hall", "bath")})
    with pytest.raises(CameraError, match="no hall"):
        work(pipeline)
    assert pipeline.stop(5)


def test_a_bug_in_one_camera_ends_the_daemon():
    pipeline = several({"hall": opener([ZeroDivisionError()]), "bath": lambda: FakeCamera([], live=True)})
    with pytest.raises(ZeroDivisionError):
        work(pipeline)
    assert pipeline.stop(5)


def test_a_camera_that_comes_back_goes_on_counting():
    hall, again = LedCamera(burst=1), LedCamera(burst=1)
    pipeline = several({"hall": lambda: hall, "bath": lambda: FakeCamera([], live=True)})
    hall.told.release()
    ((_, last),) = taken(pipeline, 1)
    pipeline.remove("hall")
    feed = pipeline.add("hall", CameraSetup(lambda: again, timeout_s=5))
    feed.start()
    again.told.release()
    ((_, number),) = taken(pipeline, 1)
    assert number > last
    assert pipeline.stop(5)


def test_removed_cameras_that_hang_end_the_daemon_too():
    let_go = threading.Event()
    pipeline = several({"bath": lambda: FakeCamera([], live=True)}, hang_s=1)
    for number in range(3):
        feed = pipeline.add(f"hall{number}", CameraSetup(lambda: HangingCamera(let_go), timeout_s=5))
        feed.start()
        eventually(lambda feed=feed: feed.status.status == "ok" or feed.capture.device.call_lasts_s > 0)
        pipeline.remove(f"hall{number}")
    with pytest.raises(CameraError, match="cameras that were removed hang"):
        work(pipeline)
    let_go.set()
    eventually(lambda: pipeline.stop(5))
