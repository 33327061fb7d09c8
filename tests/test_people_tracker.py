"""Who is who from frame to frame."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posed.config import PeopleConfig
from posed.people.person import Person
from posed.people.similarity import Crowd, similarity
from posed.people.size import body_size, body_sizes, weighted_quantiles
from posed.people.smooth import Smoother
from posed.people.tracker import _LEAST_ALIKE, Tracker, _assign, _begun, _Detected, _middles, _see, _ways
from posed.pose import KEYPOINTS, LEFT_KNEE, Pose
from posed.synthetic.actions import ACTIONS, FALLS
from posed.synthetic.figure import Body, Build, stand_on_ground

CONFIG = PeopleConfig(confirm_frames=3, lost_after_s=2)
FRAME = (1280, 720)
THRESHOLD = 0.2
HEIGHT_PX = 300.0


def figure(action: str, heading: float = 0.0, at: float = 0.3) -> np.ndarray:
    """(17, 2) px, y first, of the drawn figure at the origin, 300 px high when it stands."""
    body = Body.of(Build())
    placed = stand_on_ground(
        [body], ACTIONS[action].channels(at)[None], np.array([heading]), np.zeros((1, 3))
    )
    x, y = placed.points[0, :17, 0], placed.points[0, :17, 1]
    return np.stack([-y, x], axis=1) * HEIGHT_PX / body.build.stature_m


STANDING = figure("stand")


def pose(x: float, y: float = 500.0, score: float = 0.9, shape: np.ndarray = STANDING) -> Pose:
    """Somebody whose feet are at (x, y)."""
    return Pose(shape + np.array([y, x]), np.full(17, score), score)


def tracker(**changes: float) -> Tracker:
    return Tracker(CONFIG.model_copy(update=changes), THRESHOLD)


def play(
    one: Tracker, frames: Sequence[Sequence[Pose]], fps: float = 10, start_s: float = 0.0
) -> list[list[Person]]:
    return [one.update(poses, start_s + number / fps, FRAME) for number, poses in enumerate(frames)]


def ids(people: Sequence[Person]) -> list[int]:
    return [person.id for person in people]


def test_somebody_is_a_person_after_a_few_frames() -> None:
    counts = [len(people) for people in play(tracker(), [[pose(400)]] * 5)]

    assert counts == [0, 0, 1, 1, 1]


def test_a_flicker_is_never_a_person() -> None:
    frames = [[pose(400)] if number % 8 < 2 else [] for number in range(80)]

    assert not any(play(tracker(), frames))


@pytest.mark.parametrize("fps", [5, 10, 15, 30])
@pytest.mark.parametrize("beside", [True, False])
def test_found_rarely_by_a_slow_engine_is_a_person(fps: int, beside: bool) -> None:
    """1.5 times a second in its rotated crops; in frames as they are, they would be seen in those between."""
    found = pose(400).from_beside() if beside else pose(400)
    frames = [[found] if number % (fps * 2 // 3) == 0 else [] for number in range(3 * fps)]

    assert ids(play(tracker(), frames, fps)[-1]) == ([1] if beside else [])


def test_found_by_a_slow_engine_and_glimpsed_otherwise() -> None:
    sights = {0: pose(400).from_beside(), 6: pose(400), 14: pose(400).from_beside()}
    frames = [[sights[number]] if number in sights else [] for number in range(16)]

    assert ids(play(tracker(), frames)[-1]) == [1]


def test_somebody_who_walks_keeps_the_id_at_any_frame_rate() -> None:
    for fps in (4, 10, 30, 60):
        frames = [[pose(200 + 204 * number / fps)] for number in range(int(4 * fps))]
        people = play(tracker(), frames, fps)
        assert {number for there in people for number in ids(there)} == {1}


def test_who_vanishes_for_a_moment_keeps_the_id() -> None:
    frames = [[pose(400)]] * 5 + [[]] * 15 + [[pose(405)]] * 2
    people = play(tracker(), frames)

    assert [ids(there) for there in people[2:]] == [[1]] * 20
    assert [there[0].seen for there in people[2:]] == [True] * 3 + [False] * 15 + [True] * 2


def test_who_vanishes_for_long_comes_back_as_somebody_new() -> None:
    frames = [[pose(400)]] * 5 + [[]] * 25 + [[pose(400)]] * 5
    people = play(tracker(), frames)

    assert [ids(there) for there in people[5 + 19 : 5 + 21]] == [[1], []]
    assert ids(people[-1]) == [2]


def test_somebody_hidden_is_marked_so_and_soon_shows_nothing() -> None:
    people = play(tracker(keypoint_hold_s=0.25), [[pose(400)]] * 5 + [[]] * 5)
    hidden = [there[0] for there in people[5:]]

    assert all(person.raw is None and not person.seen for person in hidden)
    assert [bool(person.visible.all()) for person in hidden] == [True, True, False, False, False]
    assert not hidden[-1].visible.any()
    assert not hidden[-1].pose.scores.any()


def test_people_crossing_keep_their_ids_though_one_is_hidden() -> None:
    frames = []
    for number in range(60):
        left_to_right, right_to_left = 300 + 10 * number, 890 - 10 * number
        near, far = pose(left_to_right, 560), pose(right_to_left, 500)
        frames.append([near] if abs(left_to_right - right_to_left) < 80 else [near, far])
    people = play(tracker(), frames)

    assert ids(people[-1]) == [1, 2]
    assert people[5][0].pose.points[0, 1] < people[5][1].pose.points[0, 1]
    assert people[-1][0].pose.points[0, 1] > people[-1][1].pose.points[0, 1]


def test_the_motion_of_somebody_hidden_goes_on() -> None:
    frames = [[pose(200 + 20 * number)] for number in range(10)] + [[]] * 8
    people = play(tracker(), frames)

    went = people[-1][0].pose.points[0, 1] - people[9][0].pose.points[0, 1]
    assert 100 < went < 170


@given(st.permutations(range(4)), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_order_of_poses_does_not_matter(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [
        [pose(200 + 250 * index + float(rng.normal(0, 10)), 500 + 20 * index) for index in range(4)]
        for _ in range(6)
    ]
    plain = play(tracker(), frames)
    shuffled = play(tracker(), [*frames[:1], *([there[index] for index in order] for there in frames[1:])])

    for people, others in zip(plain, shuffled, strict=True):
        assert ids(people) == ids(others)
        for person, other in zip(people, others, strict=True):
            np.testing.assert_array_equal(person.pose.points, other.pose.points)


@given(st.floats(-1e6, 1e6))
@settings(max_examples=25, deadline=None)
def test_the_time_of_day_does_not_matter(start_s: float) -> None:
    frames = [[pose(200 + 20 * number)] if number % 4 else [] for number in range(20)]
    people, others = play(tracker(), frames), play(tracker(), frames, start_s=start_s)

    for there, then in zip(people, others, strict=True):
        assert ids(there) == ids(then)
        for person, other in zip(there, then, strict=True):
            np.testing.assert_allclose(person.pose.points, other.pose.points, atol=1e-3)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_assignment_is_the_best_of_all(people: int, seen: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = [pose(float(x)) for x in rng.uniform(300, 460, people)]
    tracks = _begun(people, 0.0)
    first = _Detected.of(before, THRESHOLD)
    _see(tracks, first, 0.0, FRAME, Smoother(CONFIG))
    then = _Detected.of([pose(float(x)) for x in rng.uniform(300, 460, seen)], THRESHOLD)
    worth = similarity(first.crowd, tracks["size_px"], then.crowd, np.zeros(people)) - _LEAST_ALIKE

    def sum_of(chosen: Sequence[int | None]) -> float:
        return sum(worth[row, column] for row, column in enumerate(chosen) if column is not None)

    choices = [
        choice
        for choice in itertools.product([None, *range(seen)], repeat=people)
        if len(taken := [column for column in choice if column is not None]) == len(set(taken))
    ]
    best = max(sum_of(choice) for choice in choices)
    assert sum_of(_assign(tracks, _ways(tracks, 0.0), then, 0.0)) == pytest.approx(best)


def walk_of(random: np.random.Generator, x: float, frames: int) -> list[Pose | None]:
    """Somebody who goes about there, of whom not everything is seen, and at times nothing."""
    step = random.normal(0, 4, 2)
    found: list[Pose | None] = []
    for number in range(frames):
        points = pose(x).points + number * step + random.normal(0, 2, (17, 2))
        scores = random.random(17) * random.choice([1.0, 0.4])
        found.append(None if random.random() < 0.15 else Pose(points, scores, float(scores.mean())))
    return found


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_people_followed_at_once_are_followed_as_each_alone(seed: int) -> None:
    random = np.random.default_rng(seed)
    ways = [walk_of(random, 5000.0 * number, 40) for number in range(1, 6)]
    together = tracker()
    alone = [tracker() for _ in ways]
    for number in range(40):
        now = [way[number] for way in ways]
        time_s = number / 10 + 3 * (number > 30)  # in the end all are cut
        everybody = together.update([one for one in now if one is not None], time_s, FRAME)
        expected = [
            person
            for one, follow in zip(now, alone, strict=True)
            for person in follow.update([] if one is None else [one], time_s, FRAME)
        ]
        assert len(everybody) == len(expected)
        key = lambda person: person.pose.points[:, 1].mean()  # noqa: E731
        for person, other in zip(sorted(everybody, key=key), sorted(expected, key=key), strict=True):
            assert (person.seen, person.raw) == (other.seen, other.raw)
            np.testing.assert_array_equal(person.visible, other.visible)
            np.testing.assert_allclose(person.pose.points, other.pose.points, rtol=0, atol=1e-9)
            np.testing.assert_allclose(person.pose.scores, other.pose.scores, rtol=0, atol=1e-9)
            assert person.size_px == pytest.approx(other.size_px, abs=1e-9)
        ended = [one for follow in alone for one in follow.ended]
        assert sorted((one.time_s, str(one.border), one.cut) for one in together.ended) == sorted(
            (one.time_s, str(one.border), one.cut) for one in ended
        )


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(deadline=None)
def test_sizes_and_middles_of_all_are_those_of_each(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    points = random.normal(0, 100, (count, 17, 2))
    seen = random.random((count, 17)) < random.choice([0.0, 0.1, 0.5, 1.0], (count, 1))
    sizes_px, trusts = body_sizes(points, seen)
    for row in range(count):
        assert (sizes_px[row], trusts[row]) == pytest.approx(body_size(points[row], seen[row]), abs=1e-9)
        there = points[row][seen[row]]
        middle = np.median(there, axis=0) if len(there) else points[row].mean(axis=0)
        np.testing.assert_allclose(_middles(points, seen)[row], middle, rtol=0, atol=1e-9)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 5)), min_size=1, max_size=20))
def test_a_weight_counts_in_a_quantile_as_so_many_values(pairs: list[tuple[int, int]]) -> None:
    values, weights = np.array(pairs, np.float64).T
    often = sorted(value for value, weight in pairs for _ in range(weight))
    expected = often[(len(often) + 1) // 2 - 1] if often else np.inf

    assert weighted_quantiles(values[None], weights[None], 0.5).tolist() == [expected]


def test_one_person_seen_twice_is_one_person() -> None:
    people = play(tracker(), [[pose(400), pose(404, score=0.5)]] * 6)

    assert ids(people[-1]) == [1]


def test_ids_are_never_used_again() -> None:
    one, seen = tracker(lost_after_s=0.3), []
    for visit in range(5):
        seen += ids(play(one, [[pose(400)]] * 4 + [[]] * 5, start_s=visit)[3])

    assert seen == [1, 2, 3, 4, 5]


def test_when_a_recording_begins_again_everybody_is_new() -> None:
    one = tracker()
    play(one, [[pose(400)]] * 5, start_s=100)

    assert one.update([pose(400)], 0.0, FRAME) == []
    assert [(ended.person.id, ended.cut) for ended in one.ended] == [(1, True)]
    assert ids(play(one, [[pose(400)]] * 3, start_s=0.1)[-1]) == [2]


def test_in_frames_of_another_size_everybody_is_new() -> None:
    one = tracker()
    play(one, [[pose(400)]] * 5)

    assert one.update([pose(400)], 0.5, (FRAME[0] * 2, FRAME[1] * 2)) == []
    assert [(ended.person.id, ended.cut) for ended in one.ended] == [(1, True)]


def test_after_a_pause_everybody_is_new() -> None:
    one = tracker()
    play(one, [[pose(400)]] * 5)

    assert one.update([pose(400)], 60.0, FRAME) == []
    assert [(ended.person.id, ended.cut) for ended in one.ended] == [(1, True)]


def test_two_frames_of_one_time_are_followed() -> None:
    one = tracker()
    play(one, [[pose(400)]] * 5)
    people = [one.update([pose(400 + shift)], 0.4, FRAME) for shift in (2, 4)]

    assert [ids(there) for there in people] == [[1], [1]]
    assert all(np.isfinite(there[0].pose.points).all() for there in people)


def test_who_vanishes_in_the_middle_ended_inside_the_frame() -> None:
    one = tracker()
    play(one, [[pose(640)]] * 5 + [[]] * 20)
    assert one.ended == ()
    one.update([], 2.5, FRAME)

    (ended,) = one.ended
    assert (ended.border, ended.cut, ended.person.id) == (None, False, 1)
    assert ended.time_s == pytest.approx(0.4)
    assert ended.person.seen
    assert ended.person.raw is not None
    one.update([], 2.6, FRAME)
    assert one.ended == ()


@pytest.mark.parametrize(
    ("border", "start", "step"),
    [
        ("left", (300, 500), (-25, 0)),
        ("right", (980, 500), (25, 0)),
        ("top", (640, 360), (0, -22)),
        ("bottom", (640, 630), (0, 25)),
    ],
)
def test_who_walks_out_ended_at_that_border(
    border: str, start: tuple[int, int], step: tuple[int, int]
) -> None:
    one = tracker()
    way = [pose(start[0] + step[0] * number, start[1] + step[1] * number) for number in range(11)]
    play(one, [[there] for there in way] + [[]] * 20)
    one.update([], 3.5, FRAME)

    assert [ended.border for ended in one.ended] == [border]


def test_who_leaves_the_frame_for_a_moment_keeps_the_id() -> None:
    out = [200 - 20 * number for number in range(12)]
    frames = [[pose(x)] for x in out] + [[]] * 10 + [[pose(x)] for x in reversed(out)]
    people = play(tracker(), frames)

    assert {number for there in people for number in ids(there)} == {1}


def test_a_lower_confirm_frames_counts_from_the_next_sight_on() -> None:
    one = tracker(confirm_frames=3)
    assert not one.update([pose(600)], 0.0, FRAME)
    assert not one.update([pose(600)], 0.1, FRAME)
    one.configure(CONFIG.model_copy(update={"confirm_frames": 2}), THRESHOLD)
    assert not one.update([], 0.2, FRAME)
    assert [person.id for person in one.update([pose(600)], 0.3, FRAME)] == [1]
    for frame in range(4, 60):
        one.update([], frame / 10, FRAME)


def test_keypoints_that_are_not_seen_do_not_count() -> None:
    wild = pose(400)
    wild.points[LEFT_KNEE:] = 5.0
    wild.scores[LEFT_KNEE:] = 0.05
    people = play(tracker(), [[pose(400)]] * 4 + [[wild]] * 3)

    assert ids(people[-1]) == [1]
    assert people[-1][0].seen
    assert people[-1][0].size_px == pytest.approx(HEIGHT_PX, rel=0.1)


@pytest.mark.parametrize("heading", [0, 60, 90, 180])
@pytest.mark.parametrize("action", ["stand", "walk", "sit", "tie_shoes"])
def test_the_size_is_that_of_somebody_upright_whatever_they_do(action: str, heading: float) -> None:
    size_px, trust = body_size(figure(action, heading, 0.5), np.ones(17, np.bool_))

    assert size_px == pytest.approx(HEIGHT_PX, rel=0.15)
    assert trust == 1


@pytest.mark.parametrize("action", ["lie", "lie_on_front", "lie_on_side", "lie_stretched"])
def test_somebody_lying_across_the_picture_is_as_large_as_upright(action: str) -> None:
    across = 0.0 if action in ("lie_on_side", "lie_stretched") else 90.0
    size_px, _ = body_size(figure(action, across), np.ones(17, np.bool_))

    assert size_px == pytest.approx(HEIGHT_PX, rel=0.25)


def test_who_looks_smaller_for_a_moment_keeps_their_size() -> None:
    smaller = STANDING * 0.8
    people = play(tracker(), [[pose(400)]] * 20 + [[pose(400, shape=smaller)]] * 5)

    assert people[-1][0].size_px > 0.95 * HEIGHT_PX


@pytest.mark.parametrize("fps", [10, 30])
@pytest.mark.parametrize("heading", [0, 90, 200])
@pytest.mark.parametrize("action", FALLS)
def test_who_falls_keeps_the_id(action: str, heading: float, fps: int) -> None:
    frames = round(ACTIONS[action].usual_s * fps)
    fall = [pose(600, shape=figure(action, heading, number / frames)) for number in range(frames + 1)]
    people = play(tracker(), [[fall[0]]] * 5 + [[there] for there in fall] + [[fall[-1]]] * 5, fps)

    assert {number for there in people for number in ids(there)} == {1}
    assert all(there[0].seen for there in people[2:])


@pytest.mark.parametrize(
    "missing", ["hip knee ankle", "knee ankle", "nose eye ear", "nose eye ear shoulder elbow"]
)
def test_somebody_cut_off_is_measured_as_if_whole(missing: str) -> None:
    seen = np.array([name.split("_")[-1] not in missing.split() for name in KEYPOINTS])
    size_px, trust = body_size(np.where(seen[:, None], STANDING, 0.0), seen)

    assert size_px == pytest.approx(HEIGHT_PX, rel=0.1)
    assert trust < 1


def test_a_pose_with_no_bone_has_a_size_without_trust() -> None:
    nothing = np.zeros(17, np.bool_)

    assert body_size(STANDING, nothing) == (1.0, 0.0)


def test_the_same_pose_is_most_alike() -> None:
    crowd = Crowd.of([pose(400), pose(400, score=0.3), pose(900)], THRESHOLD)
    alike = similarity(crowd, np.full(3, HEIGHT_PX), crowd, np.zeros(3))

    assert alike.argmax(axis=1).tolist() == [0, 0, 2]
    assert alike[0, 0] > 0.95
    assert alike[0, 2] < 1e-6
    np.testing.assert_allclose(alike, alike.T)


def test_whoever_sits_down_stays_as_large_as_they_were() -> None:
    frames = [[pose(400)]] * 20 + [[pose(400, shape=figure("sit", heading=0.0))]] * 100
    people = play(tracker(), frames)

    assert people[-1][0].size_px == pytest.approx(people[19][0].size_px, rel=0.05)


def test_whoever_walks_away_becomes_smaller() -> None:
    frames = [[pose(400, shape=STANDING * (1 - 0.004 * number))] for number in range(120)]
    people = play(tracker(), frames)

    assert people[-1][0].size_px < 0.65 * people[10][0].size_px


def test_a_pose_twice_as_large_is_somebody_else() -> None:
    frames = [[pose(400)]] * 20 + [[pose(400, shape=STANDING * 2)]] * 20
    people = play(tracker(), frames)

    assert ids(people[-1]) == [1, 2]


def test_whoever_lies_keeps_the_id_through_long_gaps() -> None:
    lying = figure("lie_on_side", heading=np.pi / 2)
    frames = [[pose(400, shape=lying)] if number % 150 < 5 else [] for number in range(600)]

    assert {number for there in play(tracker(), frames) for number in ids(there)} == {1}


def test_whoever_lies_and_sits_up_unseen_keeps_the_id() -> None:
    lying = figure("lie_on_side", heading=np.pi / 2)
    frames = [[pose(400, shape=lying)]] * 5 + [[]] * 50 + [[pose(400, shape=figure("sit_on_floor"))]] * 5

    assert {number for there in play(tracker(), frames) for number in ids(there)} == {1}
