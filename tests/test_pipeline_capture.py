"""The capture thread of one camera: which of its frames it leaves for inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from posed.errors import CameraEnded, CameraLost
from posed.pipeline.capture import Capture
from posed.pipeline.captured import Captured
from posed.pipeline.frame_preparer import FramePreparer
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.slots import Slots
from tests.brokers import eventually
from tests.pipelines import SIZE, FakeCamera, TimedCamera, opener, still

Captures = Callable[..., tuple[Capture, FrameSource]]


@pytest.fixture
def captured() -> Slots[FrameSource, Captured]:
    return Slots()


@pytest.fixture
def started(captured) -> Iterator[Captures]:
    captures: list[Capture] = []

    def start(*cameras: FakeCamera | Exception, idle_gate: IdleGate | None = None) -> object:
        source = FrameSource("hall")
        capture = Capture(
            opener(list(cameras)),
            source=source,
            captured=captured,
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


def test_a_lost_camera_has_no_health_until_it_is_back(started):
    capture, _ = started(FakeCamera([1, CameraLost("gone")], live=True), CameraLost("gone"))
    eventually(lambda: capture.device.errors == 2)
    assert capture.preparer.camera_health is None
