"""The capture thread of one camera: which of its frames it leaves for inference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from posed.errors import CameraEnded, CameraLost, CameraPreparing
from posed.frame import Region, RotatedCrop, RotatedLetterbox
from posed.pipeline.capture import Capture
from posed.pipeline.captured import Captured, CropOnly
from posed.pipeline.frame_preparer import FramePreparer
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.inferred import Inferred, RotatedInference
from posed.pipeline.slots import Slots
from posed.pipeline.stage_timings import StageTimings
from tests.brokers import eventually
from tests.pipelines import SIZE, FakeCamera, TimedCamera, opener, seen_by_camera, still

Captures = Callable[..., tuple[Capture, FrameSource]]


@pytest.fixture
def captured() -> Slots[FrameSource, Captured | CropOnly]:
    return Slots()


@pytest.fixture
def inferred() -> Slots[FrameSource, Inferred]:
    return Slots()


@pytest.fixture
def started(captured, inferred) -> Iterator[Captures]:
    captures: list[Capture] = []

    def start(*cameras: FakeCamera | Exception, idle_gate: IdleGate | None = None) -> object:
        source = FrameSource("hall")
        capture = Capture(
            opener(list(cameras)),
            source=source,
            captured=captured,
            inferred=inferred,
            preparer=FramePreparer(SIZE),
            idle_gate=idle_gate or IdleGate(idle_fps=0),
            timeout_s=5,
            hang_s=20,
        )
        captures.append(capture)
        capture.start()
        return capture, source

    yield start
    for capture in captures:
        capture.ask_to_stop()
    assert all(capture.join(5) for capture in captures)


def test_a_live_camera_leaves_its_newest_frame(started, captured):
    _, source = started(FakeCamera([5], live=True))
    eventually(lambda: source.counts.replaced == 4)
    taken = captured.take(5)
    assert (taken[0], taken[1].frame.sequence) == (source, 4)
    assert captured.take(0) is None


def test_a_recording_waits_until_its_frame_is_taken(started, captured):
    capture, source = started(FakeCamera([5, CameraEnded("over")], live=False))
    assert [captured.take(5)[1].frame.sequence for _ in range(5)] == list(range(5))
    eventually(lambda: capture.failure)
    assert isinstance(capture.failure, CameraEnded)
    assert (source.counts.captured, source.counts.dropped) == (5, 0)


def test_cameras_leave_their_frames_beside_each_other(started, captured):
    sources = {started(FakeCamera([1], live=True))[1] for _ in range(2)}
    assert {captured.take(5)[0] for _ in sources} == sources


def idle_scene(*, live: bool) -> tuple[TimedCamera, IdleGate]:
    """Ten seconds at 10 frames per second, of which the last eight are idle at 1."""
    image = np.full((17, 33, 3), 100, np.uint8)
    idle_gate = IdleGate(idle_fps=1)
    idle_gate.count_people(0, 0.0)
    return TimedCamera([still(n / 10, image, n) for n in range(100)], live=live), idle_gate


def test_a_live_camera_captures_an_empty_scene_at_idle_rate(started):
    camera, idle_gate = idle_scene(live=True)
    _, source = started(camera, idle_gate=idle_gate)
    eventually(lambda: source.counts.captured + source.counts.idle == 100)
    assert source.counts.captured == pytest.approx(20 + 8, abs=1)


def test_a_recording_is_captured_whole_though_its_scene_is_empty(started, captured):
    camera, idle_gate = idle_scene(live=False)
    _, source = started(camera, idle_gate=idle_gate)
    assert [captured.take(5)[1].frame.sequence for _ in range(100)] == list(range(100))
    assert source.counts.idle == 0


@pytest.mark.parametrize("ends", ["a pause", "the thread"])
def test_a_camera_that_gets_ready_for_nobody_gives_up(started, ends):
    given_up = threading.Event()
    preparing = CameraPreparing("not yet", give_up=given_up.set)
    capture, source = started(preparing)
    eventually(lambda: capture.device._preparing_at is not None)
    assert not given_up.is_set()
    if ends == "a pause":
        source.paused.set()
    else:
        capture.ask_to_stop()
    assert given_up.wait(5)


def test_a_lost_camera_has_no_health_until_it_is_back(started):
    capture, _ = started(FakeCamera([1, CameraLost("gone")], live=True), CameraLost("gone"))
    eventually(lambda: capture.device.errors == 2)
    assert capture.preparer.camera_health is None


CROP = RotatedCrop(Region(0, 0, 33, 17), 90)


def test_what_a_camera_has_seen_itself_passes_the_engine_by(started, captured, inferred):
    _, source = started(TimedCamera([seen_by_camera(0)], live=True))
    given = inferred.take(5)[1]
    assert (given.frame.sequence, given.camera, given.rotated) == (0, "hall", None)
    assert [output.data.shape[2] for output in given.outputs] == [17, 34, 64]
    assert given.stages.wall_s["invoke"] == 0.015
    assert captured.take(0) is None
    assert source.counts.captured == 1


def test_a_newer_frame_replaces_one_nobody_took(started, inferred):
    _, source = started(TimedCamera([seen_by_camera(n) for n in range(5)], live=True))
    eventually(lambda: source.counts.captured == 5 and source.counts.replaced == 4)
    assert inferred.take(5)[1].frame.sequence == 4


def test_a_crop_goes_to_the_engine_alone(started, captured, inferred):
    taken = threading.Semaphore(0)
    frames = [seen_by_camera(n) for n in range(4)]
    capture, source = started(TimedCamera(frames, live=True, taken=taken))
    taken.release()
    inferred.take(5)
    source.crops.add(CROP, frames[0])
    source.crops.add(CROP, frames[0])
    for _ in range(2):
        taken.release()
        inferred.take(5)
    eventually(lambda: capture.awaits_frame)
    first = captured.take(5)[1]
    assert isinstance(first, CropOnly)
    assert (first.frame.sequence, first.crop) == (1, CROP)
    assert captured.take(0) is None, "the second waits until the first is taken"
    taken.release()
    inferred.take(5)
    assert isinstance(captured.take(5)[1], CropOnly)


def test_what_a_crop_showed_goes_with_a_later_frame(started, inferred):
    taken = threading.Semaphore(0)
    frames = [seen_by_camera(n) for n in range(4)]
    _, source = started(TimedCamera(frames, live=True, taken=taken))
    rotated, cost = RotatedInference(RotatedLetterbox(CROP, SIZE), ()), StageTimings()
    cost.wall_s["turned"] = 0.3
    taken.release()
    inferred.take(5)
    source.found.append((frames[0], rotated, cost))
    taken.release()
    given = inferred.take(5)[1]
    assert given.rotated is rotated
    assert given.stages.wall_s["turned"] == 0.3
    taken.release()
    assert inferred.take(5)[1].rotated is None
    other_size = replace(frames[0], image=np.zeros((10, 10, 3), np.uint8))
    source.found.append((other_size, rotated, cost))
    taken.release()
    assert inferred.take(5)[1].rotated is None, "its keypoints would be elsewhere"


def test_a_camera_opened_again_begins_without_what_was_before(started, inferred):
    first, second = (TimedCamera([seen_by_camera(0)], live=True) for _ in range(2))
    capture, source = started(first, second)
    given = inferred.take(5)[1]
    source.paused.set()
    eventually(lambda: capture.device.status.status == "paused")
    source.crops.add(CROP, given.frame)
    rotated = RotatedInference(RotatedLetterbox(CROP, SIZE), ())
    source.found.append((given.frame, rotated, StageTimings()))
    source.paused.clear()
    assert inferred.take(5)[1].rotated is None
    assert source.crops.is_empty
