"""Zones: who is inside by which part of the body, and for how long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from posed.config import PeopleConfig
from posed.people.zones import Zones, contains
from posed.pose import LEFT_ANKLE, NOSE
from tests.performers import INDEX, SIZE, hide, lasting, part, performed, posing, told, unseen, watched, zone

LOWER_HALF = ((0.0, 0.6), (1.0, 0.6), (1.0, 1.0), (0.0, 1.0))
EVERYWHERE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
UPPER_HALF = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.6), (0.0, 0.6))
LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
FEET = ("left_ankle", "right_ankle")
LEGS = (*FEET, "left_knee", "right_knee", "left_hip", "right_hip")


def zones_with(person, **zones) -> tuple[str, ...]:
    """The zones that somebody who stands still comes to be in."""
    kept = Zones(PeopleConfig(), zones)
    for now_s in (0.0, 0.5, 1.0):
        list(kept.update(person, SIZE, now_s))
    return kept.names_of(person.id)


def test_people_are_where_their_feet_are():
    standing = posing("stand", 0.5)
    assert zones_with(standing, floor=zone(*LOWER_HALF), wall=zone(*UPPER_HALF)) == ("floor",)


def test_feet_below_the_frame_are_at_its_border():
    standing = posing("stand", 0.5)
    standing.pose.points[:, 0] += 480 - standing.pose.points[LEFT_ANKLE:, 0].min() + 5
    assert zones_with(standing, floor=zone(*LOWER_HALF)) == ("floor",)


def test_the_lowest_keypoint_stands_for_feet_that_are_not_seen():
    behind_a_table = hide(posing("stand", 0.5, place=(-1, 4)), *LEGS)
    behind_a_table.pose.points[NOSE] = (5, SIZE[0] - 5)
    places = {"floor": zone(*LOWER_HALF), "wall": zone(*UPPER_HALF), "left": zone(*LEFT_HALF)}
    assert zones_with(behind_a_table, **places) == ("wall", "left")


def test_a_zone_can_go_by_hips_or_by_any_part():
    standing = posing("stand", 0.5)
    found = zones_with(
        standing,
        hips=zone(*UPPER_HALF, anchor="hips"),
        any=zone(*UPPER_HALF, anchor="any"),
        feet=zone(*UPPER_HALF),
    )
    assert found == ("hips", "any")


def test_people_can_be_in_several_zones():
    standing = posing("stand", 0.5)
    found = zones_with(standing, a=zone(*LOWER_HALF), b=zone(*EVERYWHERE))
    assert found == ("a", "b")


def test_somebody_of_whom_nothing_is_visible_is_nowhere():
    assert zones_with(hide(posing("stand", 0.5), *INDEX), all=zone(*EVERYWHERE)) == ()


def test_a_place_rests_only_in_a_resting_zone():
    bed = zone(*LEFT_HALF, kind="resting")
    zones = Zones(PeopleConfig(), {"floor": zone(*LOWER_HALF), "bed": bed})
    assert [zones.is_resting_at(x, 0.8) for x in (0.2, 0.7)] == [True, False]
    assert [zones.name_at(x, y) for x, y in ((0.2, 0.8), (0.2, 0.3), (0.7, 0.3))] == ["floor", "bed", None]


def test_nobody_is_still_in_a_zone_that_was_removed():
    both = {"floor": zone(*LOWER_HALF), "all": zone(*EVERYWHERE)}
    zones, standing = Zones(PeopleConfig(), both), posing("stand", 0.5)
    for now_s in (0.0, 1.0):
        list(zones.update(standing, SIZE, now_s))
    assert zones.names_of(standing.id) == ("floor", "all")
    for kept in ({"all": both["all"]}, both):
        zones.configure(PeopleConfig(), kept)
        assert zones.names_of(standing.id) == ("all",)


@pytest.mark.parametrize("fps", [5, 30])
def test_walking_through_enters_and_leaves_once(fps):
    walk = part(lasting("walk", 8, to=(2.5, 4.0)), place=(-2.5, 4.0))
    zones = {"left": zone(*LEFT_HALF)}
    events = watched(performed([walk], 8, fps), zones=zones)
    (entered,), (left,) = told(events, "zone_entered"), told(events, "zone_left")
    assert (entered.zone, left.zone, entered.person) == ("left", "left", 1)
    assert entered.time_s < 3
    # In the middle of the frame after 4 s, and out for `zone_leave_s`.
    assert left.time_s == pytest.approx(5, abs=0.4)


def test_who_is_inside_too_shortly_has_not_entered():
    walk = part(lasting("walk", 8, to=(2.5, 4.0)), place=(-2.5, 4.0))
    strip = zone((0.5, 0), (0.55, 0), (0.55, 1), (0.5, 1))
    events = watched(performed([walk], 8), PeopleConfig(zone_enter_s=1), zones={"strip": strip})
    assert told(events, "zone_entered") == []


def test_who_is_hidden_for_a_moment_stays_in_the_zone():
    standing = posing("stand", 0.5)
    frames = [(at / 10, [standing if at < 20 else unseen(standing)]) for at in range(30)]
    events = watched(frames, zones={"floor": zone(*LOWER_HALF)})
    assert [event.type for event in events if event.type.startswith("zone")] == ["zone_entered"]


def test_a_track_that_ends_leaves_its_zones():
    standing = part(lasting("stand", 10))
    events = watched(
        performed([standing], 10),
        zones={"floor": zone(*LOWER_HALF)},
        spoil=lambda at, one: one if at < 5 else None,
    )
    (left,) = told(events, "zone_left")
    assert (left.zone, dict(left.detail), left.person) == ("floor", {"how": "lost"}, 1)


def test_nobody_in_an_excluded_zone_is_reported():
    television = zone(*EVERYWHERE, kind="exclude", anchor="any")
    assert watched(performed([part("raise_left_hand")], 3), zones={"tv": television}) == []


def test_somebody_hidden_in_an_excluded_zone_is_not_reported():
    television = zone(*EVERYWHERE, kind="exclude")
    zones = Zones(PeopleConfig(), {"tv": television})
    there, elsewhere = posing("stand", 0.5), replace(posing("stand", 0.5), id=2)
    gone = replace(unseen(there), visible=there.visible & False)
    assert zones.reported([there], SIZE) == []
    assert zones.reported([gone], SIZE) == []
    assert zones.reported([unseen(elsewhere)], SIZE) != []
    assert zones.reported([gone], SIZE) != [], "somebody who was forgotten is somebody new"


def test_counts_are_of_people_who_are_in_a_zone_now():
    zones = Zones(PeopleConfig(), {"floor": zone(*LOWER_HALF), "left": zone(*LEFT_HALF)})
    people = [posing("stand", 0.5, place=(-1, 4)), posing("stand", 0.5, place=(1, 4))]
    people[1] = type(people[1])(2, people[1].pose, people[1].visible, True, people[1].size_px, None)
    for person in people:
        for now_s in (0, 1):
            list(zones.update(person, SIZE, now_s))
    assert zones.counts({1, 2}) == {"floor": 2, "left": 1}
    assert zones.counts({2}) == {"floor": 1, "left": 0}
    assert zones.forget(1) == ("floor", "left")
    assert zones.counts({1, 2}) == {"floor": 1, "left": 0}


def test_a_notch_is_outside():
    points = np.array([[0.2, 0.5], [0.7, 0.6], [0.99, 0.5], [-0.1, 0.5], [np.nan, 0.5]])
    notched = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.8, 0.2), (0.0, 1.0)])
    assert contains(notched, points).tolist() == [True, False, True, False, False]


def test_the_height_of_a_corner_is_inside_where_others_are():
    diamond = np.array([(0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)])
    points = np.array([[0.5, 0.5], [-0.1, 0.5], [1.1, 0.5], [0.0, 0.0], [1.0, 1.0]])
    assert contains(diamond, points).tolist() == [True, False, False, False, False]


def test_slanted_sides_part_what_is_near_them():
    triangle = np.array([(0.0, 0.2), (1.0, 0.4), (0.4, 0.9)])
    points = np.array([[0.5, 0.32], [0.5, 0.28], [0.72, 0.6], [0.8, 0.6], [0.25, 0.6], [0.2, 0.6]])
    assert contains(triangle, points).tolist() == [True, False, True, False, True, False]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_every_point_is_in_exactly_one_of_two_halves(points):
    inside = np.array([(x, y) for x, y in points if abs(x - y) > 1e-9 and x < 1 and y < 1] or [(0.5, 0.25)])
    upper = contains(np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]), inside)
    lower = contains(np.array([(0.0, 0.0), (1.0, 1.0), (0.0, 1.0)]), inside)
    assert (upper ^ lower).all()
