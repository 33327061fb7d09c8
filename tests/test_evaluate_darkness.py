"""How poses in the dark are measured: the pictures, and what is counted."""

from __future__ import annotations

import numpy as np

from posed.pose import KEYPOINT_COUNT, NOSE, Pose
from scripts.evaluate.darkness import compare, darkened
from scripts.standins.heads import person

GREYS = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)


def standing(x: float, shift_of_nose: float = 0) -> Pose:
    points = person((240, x), 300)
    points[NOSE] += shift_of_nose
    return Pose(points, np.full(KEYPOINT_COUNT, 0.9), 0.9)


def test_all_the_light_leaves_a_picture_as_it_is() -> None:
    assert np.array_equal(darkened(GREYS, 1.0, None), GREYS)


def test_a_fifth_of_light_is_half_as_bright_in_srgb() -> None:
    """Source: IEC 61966-2-1."""
    assert darkened(GREYS, 0.214, None)[-1, -1].tolist() == [127, 127, 127]


def test_noise_is_the_sensors() -> None:
    grey = darkened(np.full((200, 200, 3), 128, np.uint8), 1.0, np.random.default_rng(0))
    assert abs(grey.std() - 4.2) < 0.1
    assert abs(grey.mean() - 128) < 1


def test_who_is_found_again_and_who_is_nobody_is_counted() -> None:
    counts = compare([standing(160), standing(480)], [standing(160, 60), standing(320)], 0.2)
    assert counts == {
        "frames": 1,
        "people": 2,
        "found": 1,
        "keypoints": 2 * KEYPOINT_COUNT,
        "right": KEYPOINT_COUNT - 1,
        "wrong": 1,
        "poses": 2,
        "invented": 1,
    }
