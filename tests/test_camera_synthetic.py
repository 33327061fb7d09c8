"""The synthetic camera: rate, orientation and truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from posed.camera.synthetic import SyntheticCamera, open_synthetic
from posed.config import CameraConfig
from posed.errors import CameraError
from posed.frame import Frame
from posed.pose import LEFT_SHOULDER
from posed.synthetic.scene import RenderedPerson
from tests.clock import Clock


def config(**settings: Any) -> CameraConfig:
    usual: dict[str, Any] = {"kind": "synthetic", "source": "", "size": (160, 120), "fps": 10.0}
    return CameraConfig(**(usual | settings))


def camera(clock: Clock, **settings: Any) -> SyntheticCamera:
    return SyntheticCamera(config(**settings), clock, clock.sleep)


def read(source: SyntheticCamera) -> Frame:
    frame = source.read(5)
    assert frame is not None
    return frame


def with_people(source: SyntheticCamera) -> tuple[Frame, list[RenderedPerson]]:
    for _ in range(400):
        frame = read(source)
        people = [one for one in source.truth(frame.sequence) if one.visible.sum() > 12]
        if people:
            return frame, people
    raise AssertionError("nobody came")


def test_frames_come_at_the_configured_rate() -> None:
    clock = Clock(100.0)
    source = camera(clock)
    frames = [read(source) for _ in range(5)]

    assert [round(frame.captured_at - 100, 6) for frame in frames] == [0, 0.1, 0.2, 0.3, 0.4]
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].image.shape == (120, 160, 3)


def test_frames_nobody_read_are_left_out_and_the_newest_comes() -> None:
    clock = Clock(100.0)
    source = camera(clock)
    read(source)
    clock.sleep(6.03)
    late = read(source)

    assert late.sequence == 60
    assert np.array_equal(late.image, _frame_number(60))


def test_a_late_frame_has_the_time_of_what_it_shows() -> None:
    """On a busy machine drawing takes longer now and then, and people must not leap by it."""
    clock = Clock(100.0)
    source = camera(clock)
    frames = [read(source)]
    for late_s in (0.37, 0.02, 0.61):
        clock.sleep(late_s)
        frames.append(read(source))

    assert [frame.sequence for frame in frames] == [0, 3, 4, 10]
    assert [frame.time_s - 100 for frame in frames] == pytest.approx([0, 0.3, 0.4, 1.0])
    assert [frame.captured_at - 100 for frame in frames] == pytest.approx([0, 0.37, 0.4, 1.01])


def _frame_number(number: int) -> object:
    every = camera(Clock(100.0), realtime=False)
    return [read(every) for _ in range(number + 1)][-1].image


def test_no_frame_within_the_wait_is_none() -> None:
    clock = Clock(100.0)
    source = camera(clock, fps=2.0)
    read(source)

    assert source.read(0.1) is None
    assert round(clock.now_s, 6) == 100.1
    assert source.read(0.5) is not None


def test_without_realtime_frames_come_at_once_with_media_time() -> None:
    clock = Clock(100.0)
    source = camera(clock, realtime=False, fps=20.0)
    frames = [read(source) for _ in range(4)]

    assert not source.live
    assert clock.now_s == 100
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.05, 0.1, 0.15])


def test_the_same_seed_shows_the_same_and_another_does_not() -> None:
    first, again, other = (read(camera(Clock(100.0), source=source)) for source in ("7", "7", "8"))

    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


def test_no_seed_is_seed_0() -> None:
    assert np.array_equal(read(camera(Clock(100.0))).image, read(camera(Clock(100.0), source="0")).image)


@pytest.mark.parametrize("source", ["-1", "video.mp4", "1.5", "²"])
def test_a_source_that_is_no_seed_is_one_clear_line(source: str) -> None:
    with pytest.raises(CameraError) as error:
        open_synthetic(config(source=source))

    assert str(error.value) == "source: must be a whole number, the scene's seed, got other text"


def test_without_a_size_it_is_640_by_480() -> None:
    with open_synthetic(config(size=None)) as source:
        assert read(source).image.shape == (480, 640, 3)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_the_truth_is_turned_with_the_picture(rotate: int, mirror: bool) -> None:
    plain = camera(Clock(100.0), realtime=False)
    turned = camera(Clock(100.0), realtime=False, rotate=rotate, mirror=mirror)
    frame, people = with_people(plain)
    same_frame, same_people = with_people(turned)

    assert frame.sequence == same_frame.sequence
    for before, after in zip(people, same_people, strict=True):
        assert np.array_equal(before.visible, after.visible)
        for point, moved in zip(before.points, after.points, strict=True):
            y, x = np.rint(point).astype(int)
            if 0 <= y < 120 and 0 <= x < 160:
                # The pixel that a point is on goes where the point goes.
                row, column = np.rint(moved).astype(int)
                fraction = np.abs(point - np.floor(point) - 0.5)
                if fraction.min() > 0.05:
                    assert np.array_equal(frame.image[y, x], same_frame.image[row, column])
        x, y, width, height = after.box
        body = after.points[LEFT_SHOULDER:]
        assert x <= body[:, 1].min() <= body[:, 1].max() <= x + width
        assert y <= body[:, 0].min() <= body[:, 0].max() <= y + height


def test_a_frame_has_the_scenes_number_for_other_cameras_too() -> None:
    clock = Clock(100.0)
    playing, another = camera(clock), camera(Clock(100.0))
    read(playing)
    clock.sleep(1.05)  # nobody reads meanwhile
    frame = read(playing)

    assert frame.sequence > 1
    for here, there in zip(playing.truth(frame.sequence), another.truth(frame.sequence), strict=True):
        assert np.array_equal(here.points, there.points)
