"""From what people fall, what only looks like it, and what becomes of those who are lost on the way down."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from posed.config import PeopleConfig
from posed.people.events import Event, EventDetector
from posed.people.person import Person
from posed.pose import LEFT_HIP, NOSE, RIGHT_HIP
from tests.performers import SIZE, Ended, lasting, part, performed, person_at, posing, told, watched

FALLS_AT_S = 3
LOST_AT_S = FALLS_AT_S + 0.7
TALL_PX = 100.0

Frames = list[tuple[float, list[Person]]]


def moving(
    *keys: tuple[float, Person], until_s: float, fps: float = 10
) -> Iterator[tuple[float, list[Person]]]:
    """Somebody who goes from pose to pose, straight, being there at these times."""
    times = [at for at, _ in keys]
    points = np.stack([one.pose.points for _, one in keys])
    for at in np.arange(0, until_s, 1 / fps).tolist():
        flat = [np.interp(at, times, column) for column in points.reshape(len(keys), -1).T]
        yield at, [person_at(np.reshape(flat, (17, 2)), keys[0][1].size_px)]


def moved(person: Person, down: float = 0.0, right_px: float = 0.0) -> Person:
    """The person elsewhere in the picture; `down` in statures."""
    return person_at(person.pose.points + np.array([down * person.size_px, right_px]), person.size_px)


def leaning_back(person: Person, deg: float) -> Person:
    """The person with all above the hips turned about them."""
    points = person.pose.points.copy()
    hips, turn = points[[LEFT_HIP, RIGHT_HIP]].mean(0), np.radians(deg)
    y, x = (points[:LEFT_HIP] - hips).T
    points[:LEFT_HIP] = (
        np.stack([y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)], 1) + hips
    )
    return person_at(points, person.size_px)


def made(**heights: float) -> Person:
    """Somebody whose parts are so high over the floor, in statures; head and shoulders are `aside`."""
    rows = [heights["head"]] * 5
    for name in ("shoulders", "elbows", "wrists", "hips", "knees", "ankles"):
        rows += [heights[name]] * 2
    columns = np.full(17, 160.0) + np.tile([-4, 4], 9)[:17]
    columns[:7] += TALL_PX * heights.get("aside", 0.0)
    return person_at(np.stack([200 - TALL_PX * np.array(rows), columns], 1), TALL_PX)


STANDING = made(head=0.9, shoulders=0.78, elbows=0.6, wrists=0.45, hips=0.5, knees=0.27, ankles=0.0)
ON_FLOOR = made(head=0.44, shoulders=0.32, elbows=0.2, wrists=0.1, hips=0.08, knees=0.08, ankles=0.0)
LYING = made(head=0.1, shoulders=0.1, elbows=0.08, wrists=0.05, hips=0.08, knees=0.08, ankles=0.0, aside=0.3)
CROUCHING = made(
    head=0.32, shoulders=0.30, elbows=0.2, wrists=0.1, hips=0.14, knees=0.25, ankles=0.0, aside=0.2
)


def noisy(frames: Frames, share: float = 0.01) -> Iterator[tuple[float, list[Person]]]:
    """The frames with keypoints that are off by so much, in statures."""
    rng = np.random.default_rng(1)
    for at, people in frames:
        yield at, [moved_at_random(rng, person, share) for person in people]


def moved_at_random(rng: np.random.Generator, person: Person, share: float) -> Person:
    spread = share * person.size_px
    return person_at(person.pose.points + rng.normal(0, spread, (17, 2)), person.size_px)


def without(frames, start_s: float, end_s: float):
    """The frames, with nobody found between these times."""
    for at, people in frames:
        yield at, [] if start_s <= at < end_s else people


def kinds(events: list[Event]) -> list[str]:
    return [event.type for event in events if event.type.startswith("fall")]


def vanishing(at, one):
    return one if at < LOST_AT_S else None


def falling(*after, action="fall_sideways", **where):
    return performed([part(lasting("stand", FALLS_AT_S), action, *after, **where)], 20)


def run(
    detector: EventDetector, frames, lost_at_s: float, ends: Ended | None = None, ends_after_s: float = 1.0
) -> list[Event]:
    """Events of somebody who is lost at a time, and whose track ends like that a while later."""
    events = []
    ended_s = lost_at_s + ends_after_s
    for at, people in frames:
        shown = people if at < lost_at_s else []
        over = [ends] if ends is not None and ended_s - 0.05 < at < ended_s + 0.05 else []
        events += detector.update(shown, over, at, SIZE)
    return events


def lost(frames, border: str | None, lost_at_s: float = LOST_AT_S, *, cut: bool = False) -> list[Event]:
    """Events of somebody who is lost over a border of the frame."""
    frames = list(frames)
    last = [people[0] for at, people in frames if at < lost_at_s][-1]
    return run(EventDetector(PeopleConfig()), frames, lost_at_s, Ended(last, border, cut))


# Chairs


def test_a_fall_from_a_chair_tells_that_they_sat():
    scene = part(lasting("sit", FALLS_AT_S), lasting("lie_on_side", 20))
    (fall,) = told(watched(performed([scene], 20)), "fall")
    assert fall.detail["before"] == "sitting"
    assert 0.4 < fall.detail["speed"] < 3


def test_a_fall_from_standing_tells_that_they_stood():
    (fall,) = told(watched(falling()), "fall")
    assert fall.detail["before"] == "standing"
    assert 0.4 < fall.detail["speed"] < 3


@pytest.mark.parametrize("deg", [30, 45, 60])
def test_sitting_down_and_leaning_back_is_no_fall(deg):
    sitting = posing("sit", 0.5)
    back = leaning_back(sitting, deg)
    frames = moving((2, posing("stand", 0.5)), (3.2, sitting), (5, sitting), (6, back), until_s=25)
    assert kinds(watched(frames)) == []


def test_sinking_slowly_from_a_chair_is_no_fall():
    frames = moving((3, posing("sit", 0.5)), (8, posing("lie_on_side", 0.5)), until_s=25)
    assert kinds(watched(frames)) == []


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_noise_is_no_speed_at_any_frame_rate(fps):
    frames = moving((3, posing("sit", 0.5)), (5.5, posing("lie_on_side", 0.5)), until_s=25, fps=fps)
    assert kinds(watched(noisy(frames))) == []


def test_lying_back_from_the_floor_unseen_is_no_fall():
    sitting = moved(ON_FLOOR, -0.14)  # as high as on a chair, for a camera that looks down
    frames = moving((2, sitting), (2.6, moved(LYING, -0.12)), until_s=25)
    assert kinds(watched(without(frames, 2.4, 3.2))) == []


# Beds


@pytest.mark.parametrize("fps", [5, 10, 15, 30])
def test_a_drop_out_of_bed_is_a_fall_from_lying(fps):
    lying = posing("lie_on_side", 0.5)
    frames = moving((5, moved(lying, -0.3)), (5.1, lying), until_s=25, fps=fps)
    (fall,) = told(watched(frames), "fall")
    assert (fall.detail["before"], fall.detail["seen"]) == ("lying", "lying")
    assert fall.time_s == pytest.approx(5.1 + 0.5 + 10, abs=1)


def test_rolling_over_in_bed_is_no_fall():
    side, back = posing("lie_on_side", 0.5), posing("lie_stretched", 0.5)
    other = moved(side, 0.08, right_px=10)
    frames = moving((4, side), (5, back), (8, back), (9, other), (12, other), (12.3, side), until_s=30)
    assert kinds(watched(frames)) == []


# The floor


def test_crouching_with_a_bowed_head_is_no_fall():
    frames = moving((3, STANDING), (3.8, CROUCHING), (18.8, CROUCHING), (19.6, STANDING), until_s=25)
    assert kinds(watched(frames)) == []


# Lost on the way down


def test_who_is_lost_sitting_on_the_floor_has_not_fallen():
    frames = moving((2, STANDING), (2.8, ON_FLOOR), (3.5, ON_FLOOR), until_s=25)
    assert kinds(watched(without(frames, 3.5, 25))) == []


def test_who_is_lost_at_the_bottom_going_down_has_fallen():
    (fall,) = told(lost(falling(), "bottom"), "fall")
    assert fall.detail["seen"] == "vanished"


def test_who_is_lost_upright_at_the_bottom_has_not_fallen():
    assert kinds(lost(falling(), "bottom", lost_at_s=2)) == []


@pytest.mark.parametrize("border", ["left", "right"])
def test_who_is_lost_over_a_side_has_not_fallen(border):
    assert kinds(lost(falling(), border)) == []


@pytest.mark.parametrize("side", [0, SIZE[0]])
def test_who_vanishes_cut_off_by_a_side_has_not_fallen(side):
    frames = list(falling())
    xs = [people[0].pose.points[:, 1] for at, people in frames if at < LOST_AT_S][-1]
    by_px = side - (xs.min() if side == 0 else xs.max())
    shifted = [(at, [moved(one, right_px=by_px) for one in people]) for at, people in frames]
    assert kinds(watched(shifted, spoil=vanishing)) == []


@pytest.mark.parametrize(("distance", "fallen"), [(4, ["fall"]), (9, [])])
def test_who_is_small_and_lost_has_not_fallen(distance, fallen):
    frames = list(falling(place=(0.0, float(distance))))
    assert (frames[0][1][0].size_px < 0.22 * SIZE[1]) == (fallen == [])
    assert kinds(watched(frames, spoil=vanishing)) == fallen


def test_a_recording_that_begins_anew_drops_who_had_vanished():
    assert kinds(lost(falling(), None)) == ["fall"]
    assert kinds(lost(falling(), None, cut=True)) == []


def test_a_recording_that_begins_anew_keeps_who_was_told():
    frames = list(performed([part(lasting("stand", FALLS_AT_S), "fall_sideways")], 40))
    detector = EventDetector(PeopleConfig())
    last = [people[0] for at, people in frames if at < LOST_AT_S][-1]
    assert kinds(run(detector, frames, LOST_AT_S, Ended(last, None, cut=True), ends_after_s=20)) == ["fall"]
    assert len(detector.falls.fallen) == 1


# Who is found there


@pytest.mark.parametrize(("factor", "cleared"), [(1.0, True), (0.4, False)])
def test_somebody_much_smaller_is_not_taken_for_the_faller(factor, cleared):
    standing = posing("stand", 0.5)
    lying = posing("lie_on_side", 0.5)
    frames = list(moving((3, standing), (4, lying), until_s=80))
    hips = lying.pose.points[[LEFT_HIP, RIGHT_HIP]].mean(0)

    def spoil(at, one):
        if at < 16:
            return one
        if at < 60:
            return None
        points = standing.pose.points - standing.pose.points[[LEFT_HIP, RIGHT_HIP]].mean(0)
        return person_at(points * factor + hips, standing.size_px * factor)

    events = watched(frames, spoil=spoil)
    assert kinds(events) == ["fall", *["fall_cleared"] * cleared]
    assert told(events, "entered")[-1].time_s > 59


# What is told of it


def test_a_fall_tells_which_evidence_counted_how_much():
    (fall,) = told(watched(moving((2, STANDING), (2.5, LYING), until_s=25)), "fall")
    assert fall.detail["head_low_s"] == pytest.approx(10, abs=0.5)
    assert [fall.detail[f"{kind}_s"] for kind in ("flat", "along_view", "not_lying")] == [0, 0, 0]


def test_a_fall_shows_them_as_last_seen_not_up():
    frames = moving((2, STANDING), (2.5, LYING), (16, LYING), (16.5, STANDING), until_s=25)
    events = watched(frames)
    (fall,), (cleared,) = told(events, "fall"), told(events, "fall_cleared")
    assert (fall.evidence.pose.points == LYING.pose.points).all()
    assert cleared.evidence.pose.points[NOSE, 0] > STANDING.pose.points[NOSE, 0] + 0.2 * TALL_PX


def test_who_sits_up_elsewhere_went_down_where_they_lay():
    sitting = moved(posing("sit", 0.5), right_px=30)
    detector = EventDetector(PeopleConfig())
    frames = moving((2, STANDING), (2.5, LYING), (15, LYING), (15.01, sitting), until_s=20)
    watched(frames, detector=detector)
    (down,) = detector.falls.fallen
    x_px = LYING.pose.points[[LEFT_HIP, RIGHT_HIP], 1].mean()
    assert down.place.x * SIZE[0] == pytest.approx(x_px)


# Restarts


@pytest.mark.parametrize(
    "change",
    [{"before": "flying"}, {"confirmed": 1}, {"place": [3, 0, 1]}, {"place": [0, 0, 0]}, {"ago_s": "nan"}],
)
def test_a_restart_refuses_what_nobody_who_is_down_can_be(change):
    detector = EventDetector(PeopleConfig())
    watched(falling(), detector=detector)
    data = detector.dump()
    data["downs"][0] |= change
    with pytest.raises(ValueError, match="falls: must be what dump gave"):
        EventDetector(PeopleConfig()).restore(data)


def test_a_restart_keeps_floor_posture_and_speed():
    scene = part(lasting("sit", FALLS_AT_S), lasting("lie_on_side", 20))
    detector, again = EventDetector(PeopleConfig()), EventDetector(PeopleConfig())
    watched(performed([scene], 8), detector=detector)
    again.restore(json.loads(json.dumps(detector.dump())))
    (before,), (after,) = detector.falls.down, again.falls.down
    assert (after.before, after.seen, after.floor_y) == ("sitting", "lying", before.floor_y)
    assert 0 < after.floor_y < 1
    assert after.speed == pytest.approx(before.speed, abs=0.001) != 0
    assert after.sightings.evidence == pytest.approx(before.sightings.evidence, abs=0.001)
    assert after.sightings.evidence_s > 1


def test_a_restart_keeps_a_floor_that_is_not_known():
    detector = EventDetector(PeopleConfig())
    watched(falling(), detector=detector)
    data = json.loads(json.dumps(detector.dump()))
    data["downs"][0]["floor"] = None
    again = EventDetector(PeopleConfig())
    again.restore(data)
    assert again.dump()["downs"][0]["floor"] is None
