"""Where the floor is under somebody, how high their head is over it, and what they lie on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from posed.people.floor import UP, Bed, Floor, is_upright
from posed.people.person import Person
from posed.people.posture import Joints, Shape, joints_of, shape_of
from posed.pose import LEFT_ANKLE, LEFT_HIP, LEFT_SHOULDER, RIGHT_ANKLE, RIGHT_HIP, RIGHT_SHOULDER
from tests.performers import INDEX, hide, person_at, posing

STEP_S = 0.1
FACE = [name for name in INDEX if name.endswith(("nose", "eye", "ear"))]
LEGS = ("left_knee", "right_knee", "left_ankle", "right_ankle")


def seen(person: Person) -> tuple[Joints, Shape]:
    joints = joints_of(person)
    return joints, shape_of(joints, person.size_px)


def follow(floor: Floor, person: Person, seconds: float = STEP_S) -> bool:
    """Whether they are up after so long; the floor takes every frame."""
    up = False
    for _ in range(round(seconds / STEP_S)):
        up = floor.follow(*seen(person), person.size_px, STEP_S)
    return up


def under(person: Person) -> Floor:
    """The floor under somebody who is up."""
    floor = Floor()
    assert follow(floor, person, 3)
    return floor


def height(person: Person, floor: Floor | None = None) -> float:
    return (floor or under(posing("stand", 0.5))).head_height(joints_of(person))


def evidence(person: Person) -> float:
    return under(posing("stand", 0.5)).lying_evidence(*seen(person))


def lower(person: Person, statures: float) -> Person:
    return person_at(person.pose.points + np.array([statures * person.size_px, 0]), person.size_px)


# The floor


def test_a_floor_that_is_not_known_says_nothing():
    standing = posing("stand", 0.5)
    assert math.isnan(Floor().head_height(joints_of(standing)))
    assert math.isnan(Floor().lying_evidence(*seen(standing)))


@pytest.mark.parametrize(("action", "statures"), [("stand", 0.88), ("sit", 0.63), ("sit_on_floor", 0.48)])
def test_a_head_is_as_high_as_the_posture(action, statures):
    assert height(posing(action, 0.5)) == pytest.approx(statures, abs=0.05)


@pytest.mark.parametrize("action", ["lie", "lie_on_side", "lie_on_front", "lie_stretched"])
@pytest.mark.parametrize("heading", [0, 30, 90])
def test_whoever_lies_on_the_floor_is_clearly_lying(action, heading):
    assert height(posing(action, 0.5, heading=heading)) < 0.3
    assert evidence(posing(action, 0.5, heading=heading)) > 0.5


@pytest.mark.parametrize(
    ("action", "at"),
    [
        ("stand", 0.5),
        ("sit", 0.5),
        ("sit_on_floor", 0.5),
        ("tie_shoes", 0.5),
        ("pick_up", 0.5),
        ("bend_down", 0.5),
    ],
)
def test_whoever_does_otherwise_is_clearly_not_lying(action, at):
    assert evidence(posing(action, at)) <= -0.5


@pytest.mark.parametrize("hidden", ["hip", "knee", "ankle"])
@pytest.mark.parametrize("action", ["pick_up", "bend_down"])
def test_who_bends_is_not_lying_whatever_is_not_seen(action, hidden):
    assert evidence(hide(posing(action, 0.5), f"left_{hidden}", f"right_{hidden}")) < -0.3


@pytest.mark.parametrize(("hips", "legs", "lies"), [(0.3, 0.3, False), (0.3, 0.1, True), (0.1, 0.3, True)])
def test_only_high_hips_on_legs_speak_against_a_low_head(hips, legs, lies):
    head = 0.2
    joints = Joints((100 * (1 - head), 0.0), None, None, None, None, 40)
    shape = Shape(trunk=head - hips, legs=legs, height=0.4, lean_deg=90)
    assert (Floor(100, 100).lying_evidence(joints, shape) > 0) == lies


def test_whoever_lies_on_a_bed_is_not_on_the_floor():
    assert evidence(lower(posing("lie_on_side", 0.5), -0.3)) < 0


def test_the_floor_is_at_the_feet():
    standing = posing("stand", 0.5)
    floor = under(standing)
    assert floor.y_px == pytest.approx(standing.pose.points[[LEFT_ANKLE, RIGHT_ANKLE], 0].mean(), abs=0.5)
    assert floor.stature_px == standing.size_px


@pytest.mark.parametrize("hidden", [LEGS[2:], LEGS])
@pytest.mark.parametrize("action", ["stand", "sit"])
def test_without_feet_the_floor_is_about_where_they_would_be(action, hidden):
    whole = posing(action, 0.5)
    floor = Floor()
    follow(floor, hide(whole, *hidden), 3)
    # What is seen no more of somebody who sits leaves no score: standing is as good.
    assert floor.y_px == pytest.approx(under(whole).y_px, abs=0.25 * whole.size_px)


def test_the_floor_goes_with_somebody_who_walks():
    standing = posing("stand", 0.5)
    nearer = lower(standing, 0.2)
    floor = under(standing)
    assert follow(floor, nearer, 3)
    assert floor.y_px == pytest.approx(nearer.pose.points[[LEFT_ANKLE, RIGHT_ANKLE], 0].mean(), abs=1)


def test_the_floor_averages_a_wrong_foot():
    standing = posing("stand", 0.5)
    floor = under(standing)
    before_px = floor.y_px
    follow(floor, lower(standing, 0.2))
    assert 0 < floor.y_px - before_px < 0.1 * standing.size_px


@pytest.mark.parametrize("action", ["lie_on_side", "tie_shoes", "bend_down"])
def test_the_floor_stays_while_somebody_is_not_up(action):
    floor = under(posing("stand", 0.5))
    before_px = floor.y_px
    assert not follow(floor, lower(posing(action, 0.5), 0.3), 5)
    assert floor.y_px == before_px


@pytest.mark.parametrize(("head", "up"), [(0.6, True), (0.4, False)])
def test_only_a_head_high_over_the_feet_is_up(head, up):
    joints = Joints((100 * (1 - head), 0.0), None, None, None, (100.0, 0.0), 100 * head)
    upright = Shape(trunk=0.3, legs=0.2, height=head, lean_deg=0)
    assert Floor().follow(joints, upright, 100, STEP_S) == up


def test_legs_below_a_fallen_head_are_not_believed_yet():
    floor = under(posing("stand", 0.5))
    before_px = floor.y_px
    fallen = lower(posing("stand", 0.5), 0.6)
    assert height(fallen, floor) < UP
    assert not follow(floor, fallen, 0.9)
    assert floor.y_px == before_px


def test_who_stands_lower_for_a_second_stands_there():
    floor = under(posing("stand", 0.5))
    elsewhere = lower(posing("stand", 0.5), 0.6)
    assert follow(floor, elsewhere, 1.1)
    assert floor.y_px == pytest.approx(elsewhere.pose.points[[LEFT_ANKLE, RIGHT_ANKLE], 0].mean(), abs=0.5)


def test_a_doubt_begins_anew_after_somebody_is_not_up():
    floor = under(posing("stand", 0.5))
    elsewhere = lower(posing("stand", 0.5), 0.6)
    follow(floor, elsewhere, 0.9)
    follow(floor, posing("lie_on_side", 0.5))
    assert not follow(floor, elsewhere, 0.9)


def test_long_legs_alone_stand():
    cut_off = hide(posing("stand", 0.5), *FACE, "left_shoulder", "right_shoulder")
    floor = Floor()
    assert follow(floor, cut_off)
    assert not math.isnan(floor.y_px)
    assert math.isnan(height(cut_off, floor))


def test_without_a_face_the_head_is_over_the_shoulders():
    standing = posing("stand", 0.5)
    assert height(hide(standing, *FACE)) == pytest.approx(height(standing), abs=0.05)


def test_without_face_and_shoulders_no_head_is_known():
    assert math.isnan(height(hide(posing("stand", 0.5), *FACE, "left_shoulder", "right_shoulder")))


# Upright


@pytest.mark.parametrize("action", ["stand", "sit", "sit_on_floor"])
def test_a_trunk_is_upright_of_who_stands_or_sits(action):
    assert is_upright(seen(posing(action, 0.5))[1])


@pytest.mark.parametrize("action", ["lie", "lie_on_side", "tie_shoes", "bend_down", "pick_up"])
def test_a_trunk_is_not_upright_of_who_lies_or_bends(action):
    assert not is_upright(seen(posing(action, 0.5))[1])


def test_a_trunk_that_is_not_seen_is_not_upright():
    assert not is_upright(seen(hide(posing("stand", 0.5), "left_hip", "right_hip"))[1])


@pytest.mark.parametrize(("lean_deg", "upright"), [(0, True), (35, True), (45, False)])
def test_a_trunk_that_leans_far_is_not_upright(lean_deg, upright):
    assert is_upright(Shape(trunk=0.3, legs=0.2, height=0.7, lean_deg=lean_deg)) == upright


# Beds


LYING = posing("lie_on_side", 0.5)


def rest(bed: Bed, *lying: Person, from_s: float = 0.0) -> list[bool]:
    """What the bed says of somebody who lies like that in one frame after the other."""
    return [
        bed.follow(*seen(one), one.size_px, from_s + frame * STEP_S, STEP_S)
        for frame, one in enumerate(lying)
    ]


def test_a_bed_is_known_after_a_second():
    bed = Bed()
    rest(bed, *[LYING] * 8)
    assert math.isnan(bed.y_px)
    rest(bed, *[LYING] * 4, from_s=0.8)
    trunk = LYING.pose.points[[LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP]]
    assert bed.y_px == pytest.approx(trunk[:, 0].mean(), abs=0.1 * LYING.size_px)
    assert bed.last_s == pytest.approx(1.1)


@pytest.mark.parametrize(("statures", "last_s"), [(0.05, 2.4), (0.15, 1.9)])
def test_who_moves_a_little_in_bed_is_still_there(statures, last_s):
    bed = Bed()
    rest(bed, *[LYING] * 20, *[lower(LYING, statures)] * 5)
    assert bed.last_s == pytest.approx(last_s)


def test_who_lies_lower_for_half_a_second_has_dropped():
    bed = Bed()
    assert not any(rest(bed, *[LYING] * 20))
    dropped = rest(bed, *[lower(LYING, 0.3)] * 10, from_s=2.0)
    assert dropped == [False] * 5 + [True] * 5


def test_who_lies_lower_for_a_moment_has_not_dropped():
    bed = Bed()
    frames = [*[LYING] * 20, *[lower(LYING, 0.3)] * 3, *[LYING] * 3] * 3
    assert not any(rest(bed, *frames))


def test_who_lies_somewhat_lower_has_not_dropped():
    bed = Bed()
    assert not any(rest(bed, *[LYING] * 20, *[lower(LYING, 0.15)] * 20))


def test_whose_hips_alone_are_lower_has_not_dropped():
    points = LYING.pose.points.copy()
    points[LEFT_HIP:] += (0.3 * LYING.size_px, 0)
    assert not any(rest(Bed(), *[LYING] * 20, *[person_at(points, LYING.size_px)] * 20))


def test_nobody_drops_who_has_not_lain():
    assert not any(rest(Bed(), *[LYING] * 5, *[lower(LYING, 0.3)] * 20))


@pytest.mark.parametrize("hidden", ["shoulder", "hip"])
def test_without_shoulders_or_hips_nobody_drops(hidden):
    dropped = hide(lower(LYING, 0.3), f"left_{hidden}", f"right_{hidden}")
    assert not any(rest(Bed(), *[LYING] * 20, *[dropped] * 20))


def test_who_sits_lies_on_no_bed():
    bed = Bed()
    rest(bed, *[posing("sit", 0.5)] * 20)
    assert np.isnan(bed.y_px)
