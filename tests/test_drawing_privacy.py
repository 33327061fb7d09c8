"""Pictures that may leave the device: what cannot be seen in them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posed.drawing.privacy import BLOCKS, jpeg, picture
from posed.pose import FACE, LEFT_SHOULDER, NOSE, RIGHT_SHOULDER, Pose

THRESHOLD = 0.2


def noise(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def person(y: float = 60, x: float = 100, score: float = 0.9) -> Pose:
    """Somebody whose head is about at (y, x)."""
    points = np.full((17, 2), (y + 60, x), np.float64)
    points[FACE] = [(y, x), (y - 3, x - 4), (y - 3, x + 4), (y, x - 9), (y, x + 9)]
    points[LEFT_SHOULDER], points[RIGHT_SHOULDER] = (y + 30, x - 25), (y + 30, x + 25)
    return Pose(points, np.full(17, score), score)


def test_a_skeleton_is_on_black_without_anything_of_the_frame():
    one, other = (picture(noise(seed), [person()], "skeleton", THRESHOLD) for seed in (1, 2))
    assert np.array_equal(one, other)
    assert one.shape == (240, 320, 3)
    assert one.any()
    assert not picture(noise(1), [], "skeleton", THRESHOLD).any()


def test_full_is_the_frame():
    frame = noise(1)
    assert np.array_equal(picture(frame, [person()], "full", THRESHOLD), frame)


@pytest.mark.parametrize("size", [(240, 320), (1080, 1920), (640, 360), (17, 19)])
def test_a_blurred_picture_has_few_blocks_however_large_it_is(size):
    height, width = size
    blurred = picture(noise(1, height, width), [], "blurred", THRESHOLD)
    assert blurred.shape == (height, width, 3)
    rows = len(np.unique(blurred.reshape(height, -1), axis=0))
    columns = len(np.unique(blurred.transpose(1, 0, 2).reshape(width, -1), axis=0))
    assert max(rows, columns) <= BLOCKS


def test_what_is_finer_than_a_block_leaves_no_trace():
    """A face is fine detail: stripes of 2 px, whichever way, come out as the grey that they are from afar."""
    stripes = np.zeros((240, 320, 3), np.uint8)
    stripes[::2] = 200
    blurred = picture(stripes, [], "blurred", THRESHOLD)
    assert np.ptp(blurred.astype(int)) <= 30


def test_heads_that_are_found_are_covered_whatever_they_look_like():
    one, other = (picture(noise(seed), [person()], "blurred", THRESHOLD) for seed in (1, 2))
    head = np.s_[45:75, 85:115]
    assert np.array_equal(one[head], other[head])
    assert not np.array_equal(one, other)


def test_somebody_close_has_a_large_disc_over_the_head():
    close = Pose(person().points * 2, np.full(17, 0.9), 0.9)
    one, other = (picture(noise(seed, 480, 640), [close], "blurred", THRESHOLD) for seed in (1, 2))
    head = np.s_[90:150, 170:230]
    assert np.array_equal(one[head], other[head])


def test_a_head_at_the_edge_is_covered_despite_outside_keypoints():
    beyond = person(y=-8)
    one, other = (picture(noise(seed), [beyond], "blurred", THRESHOLD) for seed in (1, 2))
    head = np.s_[:25, 85:115]
    assert np.array_equal(one[head], other[head])


def test_a_skeleton_is_within_the_picture_though_keypoints_lie_outside():
    inside, outside = person(), person()
    inside.points[NOSE], outside.points[NOSE] = (100, 0), (100, -9)
    one, other = (picture(noise(1), [pose], "skeleton", THRESHOLD) for pose in (inside, outside))
    assert np.array_equal(one, other)


def test_points_far_outside_do_no_harm():
    far = Pose(np.full((17, 2), 1e12), np.full(17, 0.9), 0.9)
    for shows in ("skeleton", "blurred", "full"):
        assert picture(noise(1), [far], shows, THRESHOLD).shape == (240, 320, 3)


def test_the_frame_itself_stays_as_it_is():
    frame = noise(1)
    before = frame.copy()
    for shows in ("skeleton", "blurred", "full"):
        picture(frame, [person()], shows, THRESHOLD)
    assert np.array_equal(frame, before)


def test_a_jpeg_has_the_right_colours_and_no_metadata():
    red = np.full((48, 64, 3), (255, 0, 0), np.uint8)
    encoded = jpeg(red)
    blue, green, seen = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)[20, 20]
    assert (seen > 250, green < 5, blue < 5) == (True, True, True)
    assert b"Exif" not in encoded
