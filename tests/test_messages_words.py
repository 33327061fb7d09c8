"""Events in words."""

from __future__ import annotations

from typing import get_args

import pytest

from posed.messages.words import event_in_words
from posed.people.events import EventType
from posed.pipeline.occurrence import Occurrence
from scripts.standins.messages import event


def words(kind: str, zone: str | None = None, camera: str = "hall", person: int | None = 2, **detail) -> str:
    return event_in_words(event(type=kind, zone=zone, camera=camera, person=person, detail=detail))


@pytest.mark.parametrize(
    ("said", "kind", "detail"),
    [
        ("Person 2 came into the hall", "entered", {}),
        ("Person 2 left the hall", "left", {"how": "border"}),
        ("Person 2 left the hall", "left", {"how": "exit"}),
        ("Person 2 is not seen any more in the hall", "left", {"how": "lost"}),
        ("Person 2 raised the left hand in the hall", "gesture", {"gesture": "left_hand_raised"}),
        ("Person 2 raised the right hand in the hall", "gesture", {"gesture": "right_hand_raised"}),
        ("Person 2 raised both hands in the hall", "gesture", {"gesture": "both_hands_raised"}),
        ("Person 2 has fallen in the hall, seen lying", "fall", {"seen": "lying"}),
        ("Person 2 has fallen in the hall, not seen any more", "fall", {"seen": "vanished"}),
        ("The fall in the hall is over: person 2 is up again", "fall_cleared", {"by": "upright"}),
        ("The fall in the hall is over: person 2 has left", "fall_cleared", {"by": "left"}),
        ("The fall in the hall is over: somebody looks after it", "fall_cleared", {"by": "request"}),
    ],
)
def test_an_event_outside_all_zones_names_the_room(said, kind, detail):
    assert words(kind, **detail) == said


@pytest.mark.parametrize(
    ("said", "kind", "detail"),
    [
        ("Person 2 came into the hall, by the sofa", "entered", {}),
        ("Person 2 came to the sofa in the hall", "zone_entered", {}),
        ("Person 2 left the sofa in the hall", "zone_left", {"how": "border"}),
        ("Person 2 left the sofa in the hall", "zone_left", {}),
        ("Person 2 is not seen any more by the sofa in the hall", "zone_left", {"how": "lost"}),
        ("Person 2 raised both hands by the sofa in the hall", "gesture", {"gesture": "both_hands_raised"}),
        ("Person 2 has fallen by the sofa in the hall, seen lying", "fall", {"seen": "lying"}),
        ("The fall by the sofa in the hall is over: person 2 is up again", "fall_cleared", {"by": "upright"}),
    ],
)
def test_an_event_in_a_zone_names_it(said, kind, detail):
    assert words(kind, "sofa", **detail) == said


@pytest.mark.parametrize(
    ("said", "before", "posture"),
    [
        ("sat down on the sofa", "standing", "sitting"),
        ("sat up on the sofa", "lying", "sitting"),
        ("is sitting on the sofa", "unknown", "sitting"),
        ("lay down on the sofa", "sitting", "lying"),
        ("lay down on the sofa", "standing", "lying"),
        ("is lying on the sofa", "unknown", "lying"),
        ("stood up from the sofa", "sitting", "standing"),
        ("stood up from the sofa", "lying", "standing"),
        ("is standing by the sofa", "unknown", "standing"),
    ],
)
def test_a_posture_says_how_somebody_came_to_it(said, before, posture):
    told = words("posture", "sofa", posture=posture, before=before, confidence=0.6)
    assert told == f"Person 2 {said} in the hall"


@pytest.mark.parametrize(
    ("said", "zone"),
    [
        ("at the front door", "front_door"),
        ("in the kitchen", "kitchen"),
        ("on the Rug", "Rug"),
        ("on the day-bed", "day-bed"),
        ("on bed 2", "bed_2"),
        ("on bed2", "bed2"),
        ("in 7", "7"),
        ("in the __", "__"),
    ],
)
def test_a_zone_has_the_preposition_of_its_name(said, zone):
    told = words("posture", zone, posture="sitting", before="standing")
    assert told == f"Person 2 sat down {said} in the hall"


@pytest.mark.parametrize(
    ("came", "left", "fell", "camera"),
    [
        ("came into the living room", "left the living room", "fallen in the living room", "living_room"),
        ("came to the front door", "left the front door", "fallen at the front door", "front_door"),
        ("came into view", "left the view", "fallen", "camera"),
        ("came into view", "left the view", "fallen", ""),
        ("came into view of cam 2", "left the view of cam 2", "fallen in the view of cam 2", "cam_2"),
        ("came into the campsite", "left the campsite", "fallen in the campsite", "campsite"),
    ],
)
def test_a_camera_names_a_room_or_its_view(came, left, fell, camera):
    said = [words(kind, camera=camera) for kind in ("entered", "left", "fall")]
    assert said == [f"Person 2 {came}", f"Person 2 {left}", f"Person 2 has {fell}"]


def test_a_zone_named_as_its_camera_is_said_once():
    assert words("fall", "hall", seen="lying") == "Person 2 has fallen in the hall, seen lying"


def test_who_is_not_known_is_somebody():
    assert words("entered", person=None) == "Somebody came into the hall"
    over = words("fall_cleared", person=None, by="upright")
    assert over == "The fall in the hall is over: whoever fell is up again"


@pytest.mark.parametrize("kind", get_args(EventType))
def test_a_test_of_any_type_is_marked(kind):
    told = words(kind, person=None, test=True)
    assert told.endswith(" (a test)")
    assert "None" not in told
    assert "  " not in told


def test_the_event_of_a_recording_reads_the_same():
    occurrence = Occurrence(
        "posture", 0, 2, "sofa", {"posture": "sitting", "before": "standing"}, camera="hall"
    )
    assert event_in_words(occurrence) == "Person 2 sat down on the sofa in the hall"
