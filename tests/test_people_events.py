"""Events: what is told, once, at the times of the frames."""

from __future__ import annotations

import numpy as np
import pytest

from posed.config import PeopleConfig
from posed.people.events import Event, EventDetector
from posed.pose import LEFT_SHOULDER, LEFT_WRIST, NOSE
from tests.performers import (
    SIZE,
    Ended,
    lasting,
    part,
    performed,
    person_at,
    posing,
    told,
    unseen,
    watched,
    zone,
)

EVERYWHERE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def lines(events: list[Event]) -> list[tuple]:
    return [
        (event.type, event.person, event.zone, tuple(event.detail.items()), round(event.time_s, 6))
        for event in events
    ]


BUSY = [
    part(lasting("stand", 2), "raise_left_hand", "sit_down", lasting("sit", 4), place=(-1, 4)),
    part(lasting("walk", 4, to=(0.8, 4)), "fall_backwards", place=(3, 4), number=2),
]
ZONES = {"left": zone((0, 0), (0.5, 0), (0.5, 1), (0, 1)), "right": zone((0.5, 0), (1, 0), (1, 1), (0.5, 1))}


def test_entering_and_leaving_over_the_border():
    walk = part(lasting("walk", 5, to=(4, 4)), place=(0, 4))
    events = watched(performed([walk], 10))
    assert [event.type for event in events if event.type in ("entered", "left")] == ["entered", "left"]
    assert dict(told(events, "left")[0].detail) == {"how": "border"}
    assert told(events, "left")[0].evidence is not None


@pytest.mark.parametrize(("kind", "how"), [("exit", "exit"), ("normal", "lost")])
def test_who_is_lost_in_an_exit_zone_has_left(kind, how):
    events = watched(
        performed([part(lasting("stand", 10))], 10),
        zones={"door": zone(*EVERYWHERE, kind=kind)},
        spoil=lambda at, one: one if at < 5 else None,
    )
    assert dict(told(events, "left")[0].detail) == {"how": how}


def test_postures_are_told_when_they_change():
    scene = part(lasting("stand", 3), "sit_down", lasting("sit", 4), "stand_up", lasting("stand", 3))
    events = told(watched(performed([scene], 13)), "posture")
    assert [(event.detail["before"], event.detail["posture"]) for event in events] == [
        ("unknown", "standing"),
        ("standing", "sitting"),
        ("sitting", "standing"),
    ]
    assert all(event.detail["confidence"] >= 0.6 for event in events)


def test_no_change_of_posture_is_told_of_somebody_seen_badly():
    standing, far = posing("stand", 0.5), posing("stand", 0.5)
    far.visible[LEFT_SHOULDER:] = False
    frames = [(at / 10, [far if 30 < at < 80 else standing]) for at in range(120)]
    (posture,) = told(watched(frames), "posture")
    assert posture.detail["posture"] == "standing"


def test_a_raised_hand_is_told_with_its_zone_and_evidence():
    (gesture,) = told(watched(performed([part("raise_left_hand", place=(-1, 4))], 3), zones=ZONES), "gesture")
    assert (gesture.detail["gesture"], gesture.zone) == ("left_hand_raised", "left")
    wrist, nose = gesture.evidence.pose.points[[LEFT_WRIST, NOSE], 0]
    assert wrist < nose


@pytest.mark.parametrize(
    ("off", "types"),
    [
        ("presence", {"entered", "left"}),
        ("postures", {"posture"}),
        ("gestures", {"gesture"}),
        ("falls", {"fall"}),
    ],
)
def test_every_feature_can_be_off_and_the_others_stay(off, types):
    everything = watched(performed(BUSY, 20), zones=ZONES)
    less = watched(performed(BUSY, 20), PeopleConfig(**{off: False}), zones=ZONES)
    assert lines(less) == lines([event for event in everything if event.type not in types])


def test_a_recording_gives_the_same_events_at_any_time():
    frames = list(performed(BUSY, 20))
    zones = ZONES
    later = watched([(time_s + 5e5, people) for time_s, people in frames], zones=zones)
    assert lines(watched(frames, zones=zones)) == [
        (*line[:-1], pytest.approx(line[-1] - 5e5)) for line in lines(later)
    ]


def test_events_hardly_depend_on_the_frame_rate():
    zones = ZONES
    slow, fast = (lines(watched(performed(BUSY, 20, fps), zones=zones)) for fps in (10, 30))
    assert sorted(line[:3] for line in slow) == sorted(line[:3] for line in fast)


def test_time_that_jumps_back_tells_nothing_twice():
    frames = list(performed([part(lasting("stand", 6))], 6))
    again = watched([*frames, *frames])
    assert [event.type for event in again] == ["entered", "posture"]


def test_who_is_hidden_keeps_their_posture_and_zones():
    detector = EventDetector(PeopleConfig(), {"all": zone(*EVERYWHERE)})
    standing = posing("stand", 0.5)
    for frame in range(20):
        detector.update([standing], [], frame / 10, SIZE)
    detector.update([unseen(standing)], [], 2, SIZE)
    (observed,) = detector.people
    assert (observed.posture, observed.zones, detector.zone_counts()) == ("standing", ("all",), {"all": 1})
    assert observed.confidence > 0.8
    detector.update([], [Ended(standing)], 2.1, SIZE)
    assert (detector.people, detector.zone_counts()) == ([], {"all": 0})


@pytest.mark.parametrize(("cut", "how"), [(False, "border"), (True, "lost")])
def test_somebody_cut_off_at_the_border_was_not_seen_leaving(cut, how):
    detector, standing = EventDetector(PeopleConfig()), posing("stand", 0.5)
    detector.update([standing], [], 0.0, SIZE)
    (left,) = told(detector.update([], [Ended(standing, "left", cut)], 0.1, SIZE), "left")
    assert left.detail["how"] == how


def test_somebody_without_a_visible_keypoint_is_nobody():
    nobody = posing("stand", 0.5)
    nobody = person_at(nobody.pose.points, nobody.size_px, visible=nobody.visible & False)
    events = watched([(frame / 10, [nobody]) for frame in range(20)], zones=ZONES)
    assert events == []


FALL = [part(lasting("stand", 2), "fall_sideways")]


def test_a_fall_tells_how_long_ago_they_went_down():
    (fall,) = told(watched(performed(FALL, 20)), "fall")
    assert (fall.detail["fall"], fall.detail["seen"], fall.detail["before"]) == (1, "lying", "standing")
    assert fall.detail["ago_s"] == pytest.approx(10, abs=0.2)
    assert 2 < fall.time_s - fall.detail["ago_s"] < 4


def test_who_fell_before_a_restart_can_be_cleared_after_it():
    before, after = EventDetector(PeopleConfig()), EventDetector(PeopleConfig())
    watched(performed(FALL, 20), detector=before)
    after.restore(before.dump())
    assert [down.number for down in after.falls.fallen] == [1]
    assert lines(after.clear_falls(1)) == [("fall_cleared", 1, None, (("fall", 1), ("by", "request")), 0)]


def test_who_bends_into_an_excluded_zone_has_not_fallen():
    bent = performed([part(lasting("stand", 2), lasting("tie_shoes", 3), place=(-0.6, 4))], 25)
    right_px = np.array([0, 0.4 * SIZE[0]])
    aside = [
        (at, [person_at(one.pose.points + right_px * (at >= 3.2), one.size_px) for one in people])
        for at, people in bent
    ]
    mirror = zone((0.5, 0), (1, 0), (1, 1), (0.5, 1), kind="exclude")
    assert told(watched(aside, zones={"mirror": mirror}), "fall") == []


@pytest.mark.parametrize("dark", [False, True])
def test_the_pitch_is_learned_in_the_light_only(dark):
    detector = EventDetector(PeopleConfig())
    watched(performed([part(lasting("stand", 4))], 4), detector=detector, dark=lambda _: dark)
    assert (detector.pitch.learned_s > 0) != dark
