"""Keypoints and edges."""

from __future__ import annotations

import numpy as np

import posed.pose
from posed.pose import (
    EDGES,
    FACE,
    KEYPOINT_COUNT,
    KEYPOINTS,
    LEFT_EAR,
    LEFT_WRIST,
    MIRRORED,
    NOSE,
    RIGHT_EAR,
    RIGHT_WRIST,
    Pose,
)


def test_the_edges_are_a_tree_of_all_keypoints():
    assert len(EDGES) == KEYPOINT_COUNT - 1
    children = [child for _, child in EDGES]
    assert sorted(children) == list(range(1, KEYPOINT_COUNT))


def test_every_keypoint_has_its_name_as_an_index():
    assert [getattr(posed.pose, name.upper()) for name in KEYPOINTS] == list(range(KEYPOINT_COUNT))
    assert KEYPOINTS[FACE] == ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


def test_a_mirror_exchanges_left_and_right():
    assert MIRRORED[LEFT_WRIST] == RIGHT_WRIST
    assert MIRRORED[NOSE] == NOSE
    assert [MIRRORED[index] for index in MIRRORED] == list(range(KEYPOINT_COUNT))


def test_a_mirrored_pose_exchanges_names_and_keeps_points():
    points = np.arange(34, dtype=float).reshape(17, 2)
    pose = Pose(points, np.linspace(0, 1, 17), 0.5).mirrored()
    assert (pose.points[LEFT_EAR] == points[RIGHT_EAR]).all()
    assert (pose.points[NOSE] == points[NOSE]).all()
