"""Who is somebody, and what is a thing that looks like a person who lies."""

from __future__ import annotations

import numpy as np
import pytest

from posed.config import PeopleConfig
from posed.people.events import EventDetector
from posed.people.person import Person
from posed.people.posture import joints_of
from posed.people.presence import MOVED, Presence
from tests.performers import (
    INDEX,
    SIZE,
    Ended,
    hide,
    lasting,
    part,
    performed,
    person_at,
    posing,
    told,
    unseen,
)

COAT = posing("lie_on_side", 0.5)
"""What the network makes of a coat over a chair: somebody who lies."""

FACE = [name for name in INDEX if name.endswith(("nose", "eye", "ear"))]


def beside(person: Person, statures: float, number: int = 1) -> Person:
    """The same further to the right."""
    return person_at(person.pose.points + np.array([0, statures * person.size_px]), person.size_px, number)


def wandering(person: Person, statures: float):
    """(time, people) of a pose that stays, and is found elsewhere in each frame, so far away at most."""
    random = np.random.default_rng(1)
    for frame in range(600):
        angle, far_px = random.uniform(0, 2 * np.pi), random.uniform(0, statures * person.size_px)
        aside = far_px * np.array([np.sin(angle), np.cos(angle)])
        yield frame / 10, [person_at(person.pose.points + aside, person.size_px)]


def watch(frames, detector: EventDetector | None = None):
    """The events of these frames, and how many people there were in each."""
    detector = detector or EventDetector(PeopleConfig())
    events, counts = [], []
    for at, people in frames:
        events += detector.update(people, [], at, SIZE)
        counts.append(len(detector.people))
    return events, counts


def still(person: Person, until_s: float = 20, from_s: float = 0):
    return [(at / 10, [person]) for at in range(round(10 * from_s), round(10 * until_s))]


def test_a_coat_that_never_moves_is_nobody():
    events, counts = watch(still(COAT, 60))
    assert events == []
    assert set(counts) == {0}


def test_a_coat_whose_pose_wanders_is_nobody():
    _, counts = watch(wandering(COAT, MOVED / 2))
    assert set(counts) == {0}


def test_a_coat_beside_somebody_is_not_counted():
    one = part(lasting("stand", 30), place=(-1, 4), number=1)
    coat = beside(COAT, 0.5, number=2)
    events, counts = watch((at, [*people, coat]) for at, people in performed([one], 10))
    assert set(counts) == {1}
    assert [event.person for event in told(events, "entered")] == [1]


@pytest.mark.parametrize("action", ["stand", "sit", "sit_on_floor"])
def test_somebody_upright_is_somebody_at_once(action):
    events, counts = watch(still(posing(action, 0.5), 1))
    assert set(counts) == {1}
    assert [event.time_s for event in told(events, "entered")] == [0]


def test_somebody_without_hips_is_upright_by_the_shoulders():
    _, counts = watch(still(hide(posing("stand", 0.5), "left_hip", "right_hip"), 1))
    assert set(counts) == {1}


@pytest.mark.parametrize(("person", "people"), [(posing("stand", 0.5), 1), (COAT, 0)])
def test_somebody_without_a_face_is_upright_by_the_shoulders(person, people):
    _, counts = watch(still(hide(person, *FACE), 1))
    assert set(counts) == {people}


def test_who_moves_lying_is_somebody_from_then_on():
    crawls = [(at / 10, [beside(COAT, 0.1 * max(0, at / 10 - 5))]) for at in range(120)]
    events, counts = watch([*crawls, *((at + 12, people) for at, people in still(crawls[-1][1][0], 10))])
    (entered,) = told(events, "entered")
    assert 5 + MOVED / 0.1 < entered.time_s < 5 + MOVED / 0.1 + 2
    assert counts[-1] == 1


def test_who_moves_less_is_nobody_yet():
    _, counts = watch([*still(COAT, 5), *still(beside(COAT, 0.9 * MOVED), 15, 5)])
    assert set(counts) == {0}


@pytest.mark.parametrize(("statures", "people"), [(0.9 * MOVED, 0), (1.5 * MOVED, 1)])
def test_who_moves_down_moves_as_far_as_aside(statures, people):
    lower = person_at(COAT.pose.points + np.array([statures * COAT.size_px, 0]), COAT.size_px)
    _, counts = watch([*still(COAT, 5), *still(lower, 15, 5)])
    assert counts[-1] == people


def test_a_single_wrong_pose_makes_nobody_of_a_coat():
    _, counts = watch([*still(COAT, 5), (5.0, [beside(COAT, 1)]), *still(COAT, 15, 5.1)])
    assert set(counts) == {0}


def test_who_is_asleep_is_nobody_until_they_turn_over():
    turned = posing("lie_on_side", 0.5, heading=210)
    events, counts = watch([*still(COAT, 30), *still(beside(turned, 0.3), 40, 30)])
    assert set(counts[:300]) == {0}
    (entered,) = told(events, "entered")
    assert 30 <= entered.time_s < 33
    assert counts[-1] == 1


def test_who_stood_and_then_lies_still_stays_somebody():
    one = part("lie_down_slowly", lasting("lie", 60))
    _, counts = watch(performed([one], 60))
    assert set(counts) == {1}


def test_somebody_stays_somebody_while_hidden():
    standing = posing("stand", 0.5)
    _, counts = watch([*still(standing, 1), *still(unseen(standing), 2, 1)])
    assert set(counts) == {1}


def test_a_thing_that_is_lost_tells_nothing():
    detector = EventDetector(PeopleConfig())
    watch(still(COAT, 5), detector)
    assert detector.update([], [Ended(COAT)], 5.0, SIZE) == []


def test_a_track_that_ended_is_nobody_again():
    presence = Presence()
    standing = posing("stand", 0.5)
    presence.update(1, joints_of(standing), standing.size_px, 0.0)
    assert presence.is_somebody(1)
    presence.forget([1])
    assert not presence.is_somebody(1)


def test_who_is_down_is_believed():
    presence = Presence()
    presence.update(1, joints_of(COAT), COAT.size_px, 0.0)
    presence.believe({1})
    assert presence.is_somebody(1)


def test_nothing_seen_of_somebody_says_nothing():
    presence = Presence()
    nothing = hide(COAT, *INDEX)
    for at in range(20):
        presence.update(1, joints_of(nothing), nothing.size_px, at / 10)
    assert not presence.is_somebody(1)
