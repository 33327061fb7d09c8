"""Postures and gestures, read off drawn people."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from posed.people.person import Person
from posed.people.posture import (
    NOT_KNOWN,
    POSTURES,
    Gestures,
    PostureFilter,
    Shape,
    Stood,
    hands_raised,
    joints_of,
    shape_of,
    surely_upright,
)
from posed.pose import LEFT_ANKLE, LEFT_HIP, RIGHT_HIP
from tests.performers import SIZE, hide, person_at, posing

ANKLES, KNEES = ("left_ankle", "right_ankle"), ("left_knee", "right_knee")
HEADINGS = [0, 45, 90, 135, 180, -90]
STANDING, SITTING, LYING = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def shaped(person, shortening: float = 1.0) -> Shape:
    return shape_of(joints_of(person), person.size_px, shortening)


def posture_of(person) -> str:
    scores = shaped(person).scores
    return POSTURES[scores.index(max(scores))] if max(scores) >= 0.5 else "unknown"


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize(
    ("action", "posture"),
    [
        ("stand", "standing"),
        ("walk", "standing"),
        ("raise_both_hands", "standing"),
        ("bend_down", "standing"),
        ("sit", "sitting"),
        ("sit_on_floor", "sitting"),
        ("lie", "lying"),
        ("lie_on_front", "lying"),
        ("lie_on_side", "lying"),
        ("lie_stretched", "lying"),
    ],
)
def test_drawn_people_are_in_the_posture_they_are_drawn_in(action, posture, heading):
    assert posture_of(posing(action, 0.5, heading)) == posture


@pytest.mark.parametrize("distance", [3.0, 5.0, 7.0])
def test_the_distance_changes_nothing(distance):
    assert posture_of(posing("sit", 0.5, place=(0.3, distance))) == "sitting"


def test_knees_stand_for_ankles_that_are_not_seen():
    assert posture_of(hide(posing("stand", 0.5), "left_ankle", "right_ankle")) == "standing"
    assert posture_of(hide(posing("sit", 0.5), "left_ankle", "right_ankle")) == "sitting"


def test_shoulders_stand_for_a_face_that_is_turned_away():
    face = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    assert posture_of(hide(posing("sit", 0.5), *face)) == "sitting"


@pytest.mark.parametrize(
    "hidden", [("nose", "left_eye", "right_eye", "left_ear", "right_ear"), ANKLES, KNEES]
)
def test_lengths_are_alike_where_a_part_is_hidden(hidden):
    whole, rest = shaped(posing("stand", 0.5)), shaped(hide(posing("stand", 0.5), *hidden))
    assert rest.trunk == pytest.approx(whole.trunk, abs=0.06)
    assert rest.legs == pytest.approx(whole.legs, abs=0.06)


def test_without_hips_or_legs_the_posture_is_not_known():
    legs = ("left_knee", "right_knee", "left_ankle", "right_ankle")
    assert shaped(hide(posing("stand", 0.5), "left_hip", "right_hip")).scores == NOT_KNOWN
    assert shaped(hide(posing("stand", 0.5), *legs)).scores == NOT_KNOWN


def test_halfway_between_two_postures_both_fit_half():
    assert Shape(trunk=0.4, legs=0.33, height=1, lean_deg=0).scores == pytest.approx((0.5, 0.5, 0))
    assert math.isclose(sum(Shape(trunk=0.24, legs=0.1, height=1, lean_deg=0).scores), 1)


@pytest.mark.parametrize(("legs", "lying"), [(0.2, 1), (0.24, 0.5), (0.28, 0), (0.6, 0)])
def test_low_trunks_lie_only_on_short_legs(legs, lying):
    kneeling = Shape(trunk=0.1, legs=legs, height=0.4, lean_deg=60, thighs=0.4)
    assert kneeling.scores == pytest.approx((0, 0, lying))


def test_short_legs_are_long_to_a_camera_that_looks_down():
    seen = Shape(trunk=0.4, legs=0.27, height=0.7, lean_deg=0, thighs=1)
    assert seen.scores == pytest.approx(SITTING)
    assert replace(seen, shortening=0.7).scores == pytest.approx(STANDING)


@pytest.mark.parametrize("change", [{"thighs": 0.4}, {"beside_before": 0.6}])
def test_thighs_or_legs_before_say_that_somebody_sits(change):
    long = Shape(trunk=0.4, legs=0.4, height=0.8, lean_deg=0, thighs=1)
    assert (long.scores, replace(long, **change).scores) == (STANDING, SITTING)


@pytest.mark.parametrize(
    ("hidden", "used"),
    [([], [LEFT_HIP, RIGHT_HIP]), (["left_hip"], [RIGHT_HIP]), (["right_hip"], [LEFT_HIP])],
)
def test_a_part_is_between_what_is_seen_of_its_pair(hidden, used):
    sitting = posing("sit", 0.5)
    joints = joints_of(hide(sitting, *hidden))
    assert joints.hips == pytest.approx(tuple(sitting.pose.points[used].mean(0)))
    assert joints.lean_deg < 30


@pytest.mark.parametrize("heading", HEADINGS)
def test_only_who_stands_or_walks_is_surely_upright(heading):
    found = {
        action
        for action in ("stand", "walk", "sit", "sit_on_floor", "lie", "lie_on_front", "bend_down")
        if surely_upright(joints_of(one := posing(action, 0.5, heading)), shaped(one), one.size_px, SIZE[1])
    }
    assert found >= {"stand"}
    assert found <= {"stand", "walk"}


def test_legs_are_compared_while_the_feet_stay():
    standing, stood = posing("stand", 0.5), Stood()

    def beside_before(person: Person) -> float:
        shape = shaped(person)
        stood.compare(joints_of(person), shape, person.size_px, SIZE[1])
        return shape.beside_before

    assert beside_before(standing) == 1
    points = standing.pose.points.copy()
    feet_y = points[LEFT_ANKLE:, 0].mean()
    points[:LEFT_ANKLE, 0] = feet_y - 0.6 * (feet_y - points[:LEFT_ANKLE, 0])
    smaller = person_at(points, 0.6 * standing.size_px)
    assert beside_before(smaller) == pytest.approx(0.6, abs=0.05)
    away = person_at(points + np.array([0, standing.size_px]), smaller.size_px)
    assert beside_before(away) == 1


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_a_posture_must_last_at_any_frame_rate(fps):
    filtered = PostureFilter(hold_s=0.6)
    for _ in range(3 * fps):
        filtered.update(STANDING, 1 / fps)
    assert filtered.posture == "standing"
    assert filtered.confidence > 0.9
    assert {filtered.update(SITTING, 1 / fps) for _ in range(round(0.4 * fps))} <= {"standing"}
    for _ in range(round(1.2 * fps)):
        filtered.update(SITTING, 1 / fps)
    assert filtered.posture == "sitting"


def test_flicker_between_two_postures_is_no_change():
    filtered = PostureFilter(hold_s=0.6)
    for _ in range(30):
        filtered.update(STANDING, 0.1)
    assert {filtered.update(STANDING if frame % 2 else SITTING, 0.1) for frame in range(60)} == {"standing"}


def test_a_posture_outlasts_moments_without_one_and_then_is_unknown():
    filtered = PostureFilter(hold_s=0.6)
    for _ in range(30):
        filtered.update(LYING, 0.1)
    assert {filtered.update(NOT_KNOWN, 0.1) for _ in range(10)} == {"lying"}
    for _ in range(40):
        filtered.update(NOT_KNOWN, 0.1)
    assert (filtered.posture, filtered.confidence) == ("unknown", 0)


@pytest.mark.parametrize("heading", [0, 60, 180])
@pytest.mark.parametrize(
    ("action", "hands"),
    [
        ("stand", (False, False)),
        ("raise_left_hand", (True, False)),
        ("raise_right_hand", (False, True)),
        ("raise_both_hands", (True, True)),
    ],
)
def test_raised_hands_are_the_persons_own(action, hands, heading):
    assert hands_raised(posing(action, 0.5, heading)) == hands


@pytest.mark.parametrize("action", ["lie_stretched", "bend_down", "lie_on_front"])
@pytest.mark.parametrize("heading", HEADINGS)
def test_who_lies_or_bends_down_raises_no_hand(action, heading):
    assert True not in hands_raised(posing(action, 0.5, heading))


def test_an_unseen_hand_is_neither_up_nor_down():
    assert hands_raised(hide(posing("raise_left_hand", 0.5), "left_wrist")) == (None, False)


def gestures(frames, hold_s=0.5) -> list[str]:
    hands = Gestures(hold_s)
    found = [hands.update(hand, frame / 10) for frame, hand in enumerate(frames)]
    return [gesture for gesture in found if gesture]


DOWN, LEFT, RIGHT, BOTH = (False, False), (True, False), (False, True), (True, True)


@pytest.mark.parametrize(
    ("up", "name"), [(LEFT, "left_hand_raised"), (RIGHT, "right_hand_raised"), (BOTH, "both_hands_raised")]
)
def test_a_raising_is_told_once(up, name):
    assert gestures([DOWN] * 5 + [up] * 50 + [DOWN] * 5) == [name]
    assert gestures([up] * 10 + [DOWN] * 5 + [up] * 10) == [name] * 2


def test_a_hand_that_is_up_too_shortly_is_not_told():
    assert gestures([DOWN] * 5 + [LEFT] * 4 + [DOWN] * 5) == []


def test_both_hands_are_not_told_as_one_and_one():
    assert gestures([LEFT] * 2 + [BOTH] * 20 + [LEFT] * 20) == ["both_hands_raised"]


def test_a_second_hand_makes_it_both():
    assert gestures([LEFT] * 10 + [BOTH] * 10) == ["left_hand_raised", "both_hands_raised"]


def test_a_hand_unseen_for_a_moment_stays_up():
    unclear = (None, False)
    assert gestures([LEFT] * 3 + [unclear] * 3 + [LEFT] * 10) == ["left_hand_raised"]
    assert gestures([LEFT] * 10 + [unclear] * 20 + [LEFT] * 10) == ["left_hand_raised"]
