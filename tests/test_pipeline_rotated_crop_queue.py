"""When a requested rotated crop is inferred: soon with a live camera, after a fixed delay in a recording."""

from __future__ import annotations

import numpy as np
import pytest

from posed.frame import Frame, Region, RotatedCrop
from posed.pipeline.rotated_crop_queue import CROP_DELAY_FRAMES, RotatedCropQueue

FIRST, SECOND = (RotatedCrop(Region(0, 0, 33, 17), turn_deg) for turn_deg in (90, -90))


def frame(sequence: int, shape: tuple[int, int, int] = (17, 33, 3)) -> Frame:
    return Frame(np.zeros(shape, np.uint8), sequence, captured_at=0.0, time_s=0.0, time=0.0)


@pytest.fixture
def crops() -> RotatedCropQueue:
    return RotatedCropQueue()


def test_nothing_is_due_that_nobody_requested(crops):
    assert crops.take(frame(0), live=True) is None


def test_a_live_camera_infers_a_crop_in_the_next_frame(crops):
    crops.add(FIRST, frame(0))
    assert crops.take(frame(1), live=True) == FIRST
    assert crops.take(frame(2), live=True) is None


def test_a_frame_gets_one_crop_in_the_order_of_requests(crops):
    crops.add(FIRST, frame(0))
    crops.add(SECOND, frame(1))
    assert [crops.take(frame(number), live=True) for number in (2, 3)] == [FIRST, SECOND]


def test_every_crop_of_a_recording_waits_equally_many_frames(crops):
    due = []
    for number in range(12):
        if crops.take(frame(number), live=False) is not None:
            due.append(number)
        if number in {2, 3, 7}:
            crops.add(FIRST, frame(number))
    assert due == [number + CROP_DELAY_FRAMES for number in (2, 3, 7)]


def test_a_lost_frame_delays_a_recordings_crops_by_one(crops):
    crops.add(FIRST, frame(0))
    crops.add(SECOND, frame(1))
    after = CROP_DELAY_FRAMES + 1
    assert [crops.take(frame(number), live=False) for number in (after, after + 1)] == [FIRST, SECOND]


def test_a_crop_of_frames_of_another_size_is_dropped(crops):
    crops.add(FIRST, frame(0, (10, 10, 3)))
    assert [crops.take(frame(number), live=True) for number in (1, 2)] == [None, None]


def test_the_newest_crops_are_kept_when_frames_get_lost(crops):
    for number in range(CROP_DELAY_FRAMES + 2):
        crops.add(RotatedCrop(Region(0, 0, 33, 17), number), frame(number))
    taken = [crops.take(frame(100), live=False) for _ in range(CROP_DELAY_FRAMES + 2)]
    assert [crop and crop.turn_deg for crop in taken] == [*range(1, CROP_DELAY_FRAMES + 2), None]
