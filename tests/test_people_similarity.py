"""How alike two poses are, and when they show the same person."""

from __future__ import annotations

import numpy as np
import pytest

from posed.people.similarity import Crowd, is_same, similarity
from posed.pose import Pose
from tests.test_people_tracker import HEIGHT_PX, THRESHOLD, pose

NOBODY = pose(400, score=0.1)


def alike(one: Pose, other: Pose, slack: float = 0.0) -> float:
    crowds = Crowd.of([one], THRESHOLD), Crowd.of([other], THRESHOLD)
    found = similarity(crowds[0], np.array([HEIGHT_PX]), crowds[1], np.array([slack]))
    return float(found[0, 0])


def test_a_pose_is_most_like_itself_but_for_the_doubt():
    assert alike(pose(400), pose(400)) == pytest.approx(17 * 0.9 / (17 * 0.9 + 0.5))


def test_slack_forgives_a_distance():
    near, allowed = alike(pose(400), pose(430)), alike(pose(400), pose(430), slack=0.2)
    assert near < 0.5 < allowed < alike(pose(400), pose(400))


@pytest.mark.parametrize(
    ("first", "others", "same"),
    [
        (pose(400), [pose(402)], True),
        (pose(400), [pose(700), pose(402)], True),
        (pose(400), [pose(700)], False),
        (pose(400), [], False),
        (NOBODY, [], False),
        (NOBODY, [NOBODY], False),
        (NOBODY, [pose(400)], False),
        (pose(400), [NOBODY], False),
    ],
)
def test_a_person_is_the_same_where_seen_keypoints_agree(first, others, same):
    assert is_same(first, others, THRESHOLD) is same


def test_a_crowd_gives_some_of_its_poses_in_any_order():
    crowd = Crowd.of([pose(400), pose(500), NOBODY], THRESHOLD)
    assert crowd.scores[2].max() == 0
    assert crowd.at([0, 1, 2]) is crowd
    assert (crowd.at([1, 0]).points == crowd.points[[1, 0]]).all()
    assert (crowd.at([0, 2, 1]).scores == crowd.scores[[0, 2, 1]]).all()
