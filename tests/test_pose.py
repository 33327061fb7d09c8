"""Keypoints and edges."""

from __future__ import annotations

import numpy as np

from posed.pose import EDGES, KEYPOINT_COUNT, KEYPOINTS, MIRRORED, Pose


def test_the_edges_are_a_tree_of_all_keypoints():
    assert len(EDGES) == KEYPOINT_COUNT - 1
    children = [child for _, child in EDGES]
    assert sorted(children) == list(range(1, KEYPOINT_COUNT))


def test_a_mirror_exchanges_left_and_right():
    assert KEYPOINTS[MIRRORED[KEYPOINTS.index("left_wrist")]] == "right_wrist"
    assert KEYPOINTS[MIRRORED[KEYPOINTS.index("nose")]] == "nose"
    assert [MIRRORED[index] for index in MIRRORED] == list(range(KEYPOINT_COUNT))


def test_a_mirrored_pose_has_its_names_exchanged_and_its_points_kept():
    points = np.arange(34, dtype=float).reshape(17, 2)
    pose = Pose(points, np.linspace(0, 1, 17), 0.5).mirrored()
    left, right = KEYPOINTS.index("left_ear"), KEYPOINTS.index("right_ear")
    assert (pose.points[left] == points[right]).all()
    assert (pose.points[0] == points[0]).all()
