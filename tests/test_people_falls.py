"""Falls, and what only looks like one; drawn people, seen and not seen."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from msgspec.structs import replace

from posed.config import PeopleConfig
from posed.people.events import Event, EventDetector
from posed.people.tracker import Tracker
from posed.synthetic.actions import FALLS
from tests.performers import SIZE, lasting, part, performed, told, watched, zone

EVERYWHERE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
FALLS_AT_S = 2


def falling(action: str = "fall_sideways", *after, **where):
    return part(lasting("stand", FALLS_AT_S), action, *after, **where)


def kinds(events: list[Event]) -> list[str]:
    return [event.type for event in events if event.type.startswith("fall")]


def vanishing(after_s: float):
    """Nobody is found after an instant."""
    return lambda at, one: one if at < after_s else None


@pytest.mark.parametrize("fps", [5, 10, 30])
@pytest.mark.parametrize("action", FALLS)
def test_a_fall_is_told_once_when_it_is_confirmed(action, fps):
    events = watched(performed([falling(action)], 20, fps))
    (fall,) = told(events, "fall")
    assert (fall.person, fall.detail["seen"], fall.zone) == (1, "lying", None)
    assert FALLS_AT_S + 10 < fall.time_s < FALLS_AT_S + 10 + 2
    assert fall.detail["ago_s"] == pytest.approx(10, abs=0.2)
    assert fall.evidence is not None


@pytest.mark.parametrize(
    "action",
    ["stand", "sit_down", "lie_down_slowly", "tie_shoes", "pick_up", "bend_down", "raise_both_hands"],
)
@pytest.mark.parametrize("heading", [0, 90, 200])
def test_what_people_do_otherwise_is_no_fall(action, heading):
    assert kinds(watched(performed([falling(action, heading=heading)], 20))) == []


def test_two_people_who_cross_do_not_fall():
    left = part(lasting("walk", 5, to=(2, 4)), place=(-2, 4))
    right = part(lasting("walk", 5, to=(-2, 4.4)), place=(2, 4.4), number=2)
    hidden = watched(
        performed([left, right], 20), spoil=lambda at, one: None if one.id == 2 and 2 < at < 3 else one
    )
    assert kinds(hidden) == []


@pytest.mark.parametrize("action", FALLS)
def test_who_vanishes_on_the_way_down_has_fallen(action):
    events = watched(performed([falling(action)], 20), spoil=vanishing(FALLS_AT_S + 0.7))
    (fall,) = told(events, "fall")
    assert fall.detail["seen"] == "vanished"


def test_who_lies_along_the_view_stays_down_though_looking_small():
    def shrinking(at, one):
        return replace(one, size_px=one.size_px * float(np.interp(at, [FALLS_AT_S + 1, 8], [1, 0.45])))

    events = watched(performed([falling("fall_forwards", heading=170)], 30), spoil=shrinking)
    assert kinds(events) == ["fall"]


def test_who_vanishes_upright_has_not_fallen():
    assert kinds(watched(performed([falling("stand")], 20), spoil=vanishing(4))) == []


def test_who_vanishes_bending_and_is_found_upright_has_not_fallen():
    events = watched(
        performed([falling("tie_shoes")], 25),
        spoil=lambda at, one: None if FALLS_AT_S + 0.8 < at < FALLS_AT_S + 5.5 else one,
    )
    assert kinds(events) == []


def test_who_vanishes_upright_and_is_found_lying_soon_has_fallen():
    events = watched(
        performed([falling()], 20), spoil=lambda at, one: None if FALLS_AT_S < at < FALLS_AT_S + 3 else one
    )
    (fall,) = told(events, "fall")
    assert fall.detail["seen"] == "lying"


def test_who_leaves_the_frame_has_not_fallen():
    walk = part(lasting("walk", 3, to=(3.0, 4.0)), "bend_down", place=(0, 4))
    assert kinds(watched(performed([walk], 20))) == []


def test_who_gets_up_in_time_has_not_fallen():
    assert kinds(watched(performed([falling("fall_backwards", "get_up")], 25))) == []


def test_lying_down_in_a_resting_zone_is_no_fall():
    zones = {"bed": zone(*EVERYWHERE, kind="resting")}
    assert kinds(watched(performed([falling()], 20), zones=zones)) == []
    assert kinds(watched(performed([falling()], 20), zones=zones, spoil=vanishing(FALLS_AT_S + 0.8))) == []


def test_a_fall_tells_its_zone():
    zones = {"kitchen": zone(*EVERYWHERE)}
    (fall,) = told(watched(performed([falling()], 20), zones=zones), "fall")
    assert fall.zone == "kitchen"


def since(start_s: float, end_s: float = math.inf):
    return lambda at: start_s <= at < end_s


@pytest.mark.parametrize("action", FALLS)
@pytest.mark.parametrize("after_s", [0.7, math.inf])
def test_nobody_goes_down_in_the_dark(action, after_s):
    spoil = vanishing(FALLS_AT_S + after_s)
    assert kinds(watched(performed([falling(action)], 20), spoil=spoil, dark=since(FALLS_AT_S))) == []


@pytest.mark.parametrize("action", FALLS)
def test_who_leans_as_the_light_goes_out_has_not_fallen(action):
    out_s = FALLS_AT_S + 0.7
    events = watched(performed([falling(action)], 20), spoil=vanishing(out_s), dark=since(out_s + 0.2))
    assert kinds(events) == []


@pytest.mark.parametrize("after_s", [4, math.inf])
def test_who_went_down_before_the_dark_has_fallen(after_s):
    spoil = vanishing(FALLS_AT_S + after_s)
    events = watched(performed([falling()], 20), spoil=spoil, dark=since(FALLS_AT_S + 4))
    assert kinds(events) == ["fall"]


def test_who_gets_up_in_the_dark_is_down_no_more():
    get_up = falling("fall_backwards", lasting("lie", 12), "get_up")
    events = watched(performed([get_up], 30), dark=since(FALLS_AT_S + 14))
    assert kinds(events) == ["fall", "fall_cleared"]
    up_early = falling("fall_backwards", "get_up")
    assert kinds(watched(performed([up_early], 25), dark=since(FALLS_AT_S + 3))) == []


@pytest.mark.parametrize("hidden_s", [0, 2, 3])
def test_who_lies_when_the_light_comes_back_has_not_fallen(hidden_s):
    """Seen meanwhile, not seen, and so lost before it was dark."""

    def spoil(at, one):
        return None if FALLS_AT_S <= at < FALLS_AT_S + hidden_s else one

    dark = since(FALLS_AT_S + 1.5 if hidden_s == 3 else FALLS_AT_S, FALLS_AT_S + 2)
    assert kinds(watched(performed([falling()], 20), spoil=spoil, lost_after_s=1, dark=dark)) == []


def test_who_only_stood_in_the_dark_has_not_fallen():
    assert kinds(watched(performed([falling()], 20, fps=2), dark=since(0, FALLS_AT_S + 0.75))) == []


def test_who_falls_after_the_dark_has_fallen():
    assert kinds(watched(performed([falling()], 20), dark=since(0, 1))) == ["fall"]


def test_times_are_configured():
    config = PeopleConfig(fall_confirm_s=3)
    (fall,) = told(watched(performed([falling()], 20), config), "fall")
    assert fall.time_s == pytest.approx(FALLS_AT_S + 0.8 + 3, abs=0.4)
    quick_only = PeopleConfig(fall_within_s=0.3)
    assert kinds(watched(performed([falling("slump")], 20), quick_only)) == []


def test_falls_can_be_off():
    assert kinds(watched(performed([falling()], 20), PeopleConfig(falls=False))) == []


def test_who_is_upright_again_is_cleared():
    events = watched(performed([falling("fall_backwards", lasting("hold", 14), "get_up")], 30))
    assert kinds(events) == ["fall", "fall_cleared"]
    (fall,), (cleared,) = told(events, "fall"), told(events, "fall_cleared")
    assert dict(cleared.detail) == {"fall": fall.detail["fall"], "by": "upright"}
    assert cleared.time_s > 20


def test_sitting_up_clears_nothing():
    scene = part(lasting("stand", 2), "fall_backwards", lasting("hold", 14), lasting("sit_on_floor", 10))
    assert kinds(watched(performed([scene], 28))) == ["fall"]


def test_losing_the_track_clears_nothing():
    events = watched(performed([falling()], 40), spoil=vanishing(20))
    assert kinds(events) == ["fall"]
    assert told(events, "left") != []


def test_who_is_found_upright_where_they_fell_is_cleared():
    events = watched(
        performed([falling("fall_backwards", lasting("hold", 14), "get_up")], 35),
        spoil=lambda at, one: None if 4 < at < 24 else one,
    )
    assert kinds(events) == ["fall", "fall_cleared"]


def test_a_helper_clears_nothing():
    helper = part(lasting("walk", 20, to=(0.3, 4.0)), lasting("stand", 20), place=(-3, 4), number=2)
    events = watched(
        performed([falling(), helper], 40),
        # The helper's track is lost and begins anew right beside the one on the floor.
        spoil=lambda at, one: None if (one.id == 1 and at > 4) or (one.id == 2 and 24 < at < 27) else one,
    )
    assert [event for event in told(events, "entered") if event.person == 102] != []
    assert kinds(events) == ["fall"]


@pytest.mark.parametrize("every_s", [1.2, 1.8])
def test_a_late_helper_clears_nothing_while_somebody_is_seen_lying(every_s):
    helper = part(lasting("stand", 60), place=(0.3, 4.0), number=2)
    events = watched(
        performed([falling(), helper], 60),
        # Who lies is seen now and then only, as by looks.
        spoil=lambda at, one: (
            None if (one.id == 1 and at > 16 and at % every_s > 0.15) or (one.id == 2 and at < 48) else one
        ),
    )
    assert kinds(events) == ["fall"]


def test_falls_switched_on_again_know_nothing_of_before():
    detector = EventDetector(PeopleConfig())
    frames = list(performed([falling("tie_shoes")], 40))
    bent = [one for one in frames if one[0] < FALLS_AT_S + 1]
    watched(bent, detector=detector)
    detector.configure(PeopleConfig(falls=False))
    empty = [(at, []) for at, _ in frames if FALLS_AT_S + 1 <= at < 10]
    watched(empty, detector=detector)
    detector.configure(PeopleConfig())
    assert kinds(watched([(at, []) for at, _ in frames if at >= 10], detector=detector)) == []


def test_who_is_seen_leaving_is_cleared():
    scene = part(
        lasting("stand", 2),
        "fall_backwards",
        lasting("hold", 14),
        # Crawls away, as far as the rules can tell: never upright.
        lasting("sit_on_floor", 12, to=(3.5, 4)),
    )
    events = watched(performed([scene], 36))
    (cleared,) = told(events, "fall_cleared")
    assert cleared.detail["by"] == "left"


def test_a_request_clears_one_fall_or_all():
    detector = EventDetector(PeopleConfig())
    two = [falling(place=(-1, 4)), falling(place=(1.2, 4), number=2, seed=9)]
    events = watched(performed(two, 20), detector=detector)
    first, second = told(events, "fall")
    assert {first.person, second.person} == {1, 2}
    (cleared,) = detector.clear_falls(second.detail["fall"])
    assert (cleared.type, cleared.person, cleared.detail["by"]) == ("fall_cleared", second.person, "request")
    assert [down.number for down in detector.falls.fallen] == [first.detail["fall"]]
    assert [event.person for event in detector.clear_falls()] == [first.person]
    assert detector.clear_falls() == []


def test_several_people_fall_and_each_gets_up():
    one = part(lasting("stand", 2), "fall_backwards", lasting("hold", 14), "get_up", place=(-1.2, 4))
    other = part(
        lasting("stand", 3), "fall_backwards", lasting("hold", 20), "get_up", place=(1.2, 4), number=2
    )
    events = [event for event in watched(performed([one, other], 36)) if event.type.startswith("fall")]
    assert [(event.type, event.person) for event in events] == [
        ("fall", 1),
        ("fall", 2),
        ("fall_cleared", 1),
        ("fall_cleared", 2),
    ]


def restarted(detector: EventDetector) -> EventDetector:
    """What the daemon does: keep what was dumped as JSON, and give it to a new detector."""
    new = EventDetector(PeopleConfig())
    new.restore(json.loads(json.dumps(detector.dump())))
    return new


def test_a_fall_survives_a_restart_and_is_told_once():
    scene = falling("fall_backwards", lasting("hold", 14), "get_up")
    frames = list(performed([scene], 30))
    detector = EventDetector(PeopleConfig())
    before = watched(frames[:150], detector=detector)
    after = watched(frames[150:], detector=restarted(detector))
    assert (kinds(before), kinds(after)) == (["fall"], ["fall_cleared"])
    assert told(before, "fall")[0].detail["fall"] == told(after, "fall_cleared")[0].detail["fall"]


def test_somebody_who_is_down_and_not_confirmed_survives_a_restart():
    frames = list(performed([falling()], 25))
    detector = EventDetector(PeopleConfig())
    before = watched(frames[:60], detector=detector)
    after = watched(frames[60:], detector=restarted(detector))
    assert (kinds(before), kinds(after)) == ([], ["fall"])
    # A second or two may be lost with the frames between, none is gained.
    assert told(after, "fall")[0].time_s == pytest.approx(FALLS_AT_S + 0.8 + 10, abs=1)


def test_a_restart_finds_nobody_and_the_fall_stays():
    detector = EventDetector(PeopleConfig())
    watched(performed([falling()], 16), detector=detector)
    new = restarted(detector)
    assert watched(((at / 10, []) for at in range(600)), detector=new) == []
    assert len(new.falls.fallen) == 1


@pytest.mark.parametrize(
    "data", [{}, {"next": 1, "downs": [{}]}, {"next": 1, "downs": 3}, {"next": "x", "downs": []}]
)
def test_what_was_not_dumped_is_refused(data):
    with pytest.raises(ValueError, match=r"^falls: must be what dump gave, got "):
        EventDetector(PeopleConfig()).restore(data)


def test_nobody_stays_down_while_no_frames_come():
    frames = list(performed([falling("fall_backwards", lasting("hold", 60))], 6))
    gap = [(time_s + 1000, people) for time_s, people in frames[-2:]]
    assert kinds(watched(frames + gap)) == []


def test_the_place_of_an_unconfirmed_fall_is_known():
    detector = EventDetector(PeopleConfig())
    watched(performed([falling()], 6), detector=detector)
    (down,) = detector.falls.down
    assert not down.confirmed
    assert 0 < down.place.x < 1
    assert SIZE[1] * down.place.size > 40


def followed_in_two_sizes(parts, until_s: float, changes_at_s: float, hidden_from_s: float) -> list[Event]:
    """What is told of people in a stream that doubles its size on the way, who are hidden before that."""
    config, events = PeopleConfig(), []
    tracker, detector = Tracker(config, 0.2), EventDetector(config)
    for time_s, truth in performed(parts, until_s):
        scale = 1 + (time_s >= changes_at_s)
        size = SIZE[0] * scale, SIZE[1] * scale
        hidden = hidden_from_s <= time_s < changes_at_s
        poses = [] if hidden else [replace(one.pose, points=one.pose.points * scale) for one in truth]
        people = tracker.update(poses, time_s, size)
        events += detector.update(people, tracker.ended, time_s, size)
    return events


@pytest.mark.parametrize("hidden_s", [0, 0.5, 1.5, 2.5])
def test_a_stream_that_changes_its_size_is_no_fall(hidden_s):
    who = [part(lasting("stand", 20)), part(lasting("walk", 20, to=(2, 4)), place=(-2, 5), number=2)]
    assert kinds(followed_in_two_sizes(who, 20, 5, 5 - hidden_s)) == []


def test_who_lies_has_fallen_though_the_stream_changes_its_size():
    assert kinds(followed_in_two_sizes([falling()], 20, FALLS_AT_S + 6, FALLS_AT_S + 6)) == ["fall"]
