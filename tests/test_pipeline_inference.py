"""The inference thread, which takes from several cameras in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from posed.config import DecodeConfig
from posed.errors import EngineLost
from posed.frame import Region, RotatedCrop, View
from posed.pipeline.captured import Captured, CropOnly
from posed.pipeline.followed_region import NextRegion, look_at_all
from posed.pipeline.frame_preparer import FramePreparer
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.inference import Inference
from posed.pipeline.inferred import Inferred
from posed.pipeline.slots import Slots
from posed.pipeline.stage_timings import StageTimings
from tests.brokers import eventually
from tests.pipelines import SIZE, FakeEngine, StepEngine, opener, still

CROP = RotatedCrop(Region(0, 0, 33, 17), 90)


seen: list[View] = []
"""What a network was told that it had looked at."""

told: list[DecodeConfig] = []
"""What a network was told of thresholds."""


def captured(sequence: int, height: int = 17) -> Captured:
    frame = still(sequence, np.full((height, 33, 3), 100, np.uint8), sequence)
    return FramePreparer(SIZE).prepare(frame, StageTimings(), live=True)


@dataclass
class Running:
    """An inference thread, with two cameras before it and the main loop behind it."""

    thread: Inference
    captured: Slots[FrameSource, Captured]
    inferred: Slots[FrameSource, Inferred]
    hall: FrameSource
    bedroom: FrameSource


@pytest.fixture
def engines() -> list[FakeEngine | Exception]:
    return [FakeEngine()]


@pytest.fixture
def next_region() -> NextRegion:
    return look_at_all


@pytest.fixture
def running(engines, next_region) -> Iterator[Running]:
    before, behind = Slots(), Slots()
    thread = Inference(opener(engines), SIZE, before, behind, hang_s=20, next_region=next_region)
    thread.start()
    yield Running(thread, before, behind, FrameSource("hall"), FrameSource("bath"))
    thread.ask_to_stop()
    assert thread.join(5)


@pytest.mark.parametrize("engines", [[StepEngine()]])
def test_a_fast_camera_leaves_a_slow_one_its_turn(running, engines):
    engine, turns = engines[0], []
    running.captured.put(running.hall, captured(0))
    for number in range(1, 7):
        assert engine.began.acquire(timeout=5)
        for _ in range(3):
            running.captured.put(running.hall, captured(number))
        running.captured.put(running.bedroom, captured(number))
        engine.end.release()
        source, _ = running.inferred.take(5)
        turns.append("hall" if source is running.hall else "bedroom")
    for _ in range(2):
        engine.end.release()
    assert turns == ["hall", "hall", "bedroom", "hall", "bedroom", "hall"]


def test_a_rotated_crop_is_inferred_for_its_own_camera_only(running):
    running.bedroom.crops.add(CROP, captured(0).frame)
    for source in (running.hall, running.bedroom):
        running.captured.put(source, captured(1))
    inferred = dict(running.inferred.take(5) for _ in range(2))
    assert inferred[running.hall].rotated is None
    assert inferred[running.bedroom].rotated.view.crop == CROP


def looked_at(running: Running, source: FrameSource, taken: Captured) -> Region | None:
    """The region of a frame that was inferred; None for all of it."""
    running.captured.put(source, taken)
    _, inferred = running.inferred.take(5)
    view = inferred.view
    return None if view is taken.letterbox else view.crop.region


@pytest.mark.parametrize("next_region", [lambda _outputs, _view, _settings, size: Region(1, 2, *size)])
def test_the_network_says_where_it_looks_next(running):
    looked = [looked_at(running, running.hall, captured(number)) for number in range(3)]
    assert looked == [None, Region(1, 2, *SIZE), Region(1, 2, *SIZE)]
    assert looked_at(running, running.bedroom, captured(0)) is None


@pytest.mark.parametrize("next_region", [lambda *_: Region(1, 2, 9, 9)])
def test_a_region_is_of_frames_of_one_size(running):
    looked_at(running, running.hall, captured(0))
    assert looked_at(running, running.hall, captured(1, height=40)) is None
    assert looked_at(running, running.hall, captured(2, height=40)) == Region(1, 2, 9, 9)


@pytest.mark.parametrize("next_region", [lambda _outputs, view, *_: seen.append(view)])
def test_the_network_hears_what_it_looked_at(running):
    seen.clear()
    taken = captured(0)
    looked_at(running, running.hall, taken)
    assert seen == [taken.letterbox]


@pytest.mark.parametrize("next_region", [lambda _outputs, _view, settings, _size: told.append(settings)])
def test_the_network_hears_the_cameras_thresholds(running):
    told.clear()
    running.bedroom.followed.settings = DecodeConfig(score_threshold=0.7)
    looked_at(running, running.bedroom, captured(0))
    looked_at(running, running.hall, captured(0))
    assert told == [DecodeConfig(score_threshold=0.7), DecodeConfig()]


@pytest.mark.parametrize("engines", [[FakeEngine(fail_at=0), FakeEngine()]])
def test_a_lost_frame_is_counted_for_its_camera(running):
    running.captured.put(running.hall, captured(0))
    eventually(lambda: running.thread.device.reopened == 1)
    assert (running.hall.counts.lost, running.bedroom.counts.lost) == (1, 0)


@pytest.mark.parametrize("engines", [[EngineLost("no Edge TPU answered")]])
def test_frames_wait_while_the_engine_is_away(running):
    running.captured.put(running.hall, captured(0))
    eventually(lambda: running.thread.device.status.why == "no Edge TPU answered")
    assert running.captured.take(0)[0] is running.hall


def test_a_crop_alone_is_inferred_beside_the_frames(running, engines):
    frame = still(0, np.full((17, 33, 3), 100, np.uint8), 0)
    running.captured.put(running.hall, CropOnly(frame, CROP))
    eventually(lambda: running.hall.found)
    its_frame, rotated, cost = running.hall.found.pop()
    assert its_frame is frame
    assert rotated.view.crop == CROP
    assert set(cost.wall_s) == {"turned"}
    assert engines[0].inputs == 1
    assert running.inferred.take(0) is None


@pytest.mark.parametrize("engines", [[FakeEngine(fail_at=0), FakeEngine()]])
def test_a_crop_that_is_lost_loses_no_frame(running):
    frame = still(0, np.full((17, 33, 3), 100, np.uint8), 0)
    running.captured.put(running.hall, CropOnly(frame, CROP))
    eventually(lambda: running.thread.device.errors == 1)
    assert running.hall.counts.lost == 0
    running.captured.put(running.hall, CropOnly(frame, CROP))
    eventually(lambda: running.hall.found)
