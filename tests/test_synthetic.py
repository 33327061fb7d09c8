"""Drawn people: the figure, what it does, and pictures of it with the truth."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from posed.pose import (
    KEYPOINTS,
    LEFT_ANKLE,
    LEFT_EYE,
    LEFT_HIP,
    LEFT_SHOULDER,
    MIRRORED,
    NOSE,
    RIGHT_EYE,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)
from posed.synthetic.actions import ACTIONS, FALLS
from posed.synthetic.figure import (
    CHANNELS,
    LIMITS,
    Body,
    Build,
    Floats,
    Posed,
    mirrored,
    posture,
    stand_on_ground,
    within_limits,
)
from posed.synthetic.painting import Light, Look, Painter, View
from posed.synthetic.scene import Act, Part, Rendered, Scene, random_still

SIZE = (353, 257)
INDEX = {name: index for index, name in enumerate(KEYPOINTS)}
GREEN = (0.0, 255.0, 0.0)
MARKED = Look(GREEN, GREEN, GREEN, GREEN, GREEN, GREEN, hair="bald")


def keypoints(channels: Floats, heading: float = 0.0, build: Build | None = None) -> Floats:
    return placed(channels, heading, build).points[0, :17]


def placed(channels: Floats, heading: float = 0.0, build: Build | None = None) -> Posed:
    body = Body.of(build or Build())
    return stand_on_ground([body], channels[None], np.array([heading]), np.zeros((1, 3)))


def bend_deg(first: Floats, middle: Floats, last: Floats) -> float:
    """How far a joint is from straight, degrees."""
    along, onwards = middle - first, last - middle
    cosine = along @ onwards / (np.linalg.norm(along) * np.linalg.norm(onwards))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def same(one: Rendered, other: Rendered) -> bool:
    return (
        np.array_equal(one.image, other.image)
        and len(one.people) == len(other.people)
        and all(
            np.array_equal(a.points, b.points) and np.array_equal(a.visible, b.visible) and a.id == b.id
            for a, b in zip(one.people, other.people, strict=True)
        )
    )


def fall_scene(action: str, heading: float, seed: int = 3) -> Scene:
    acts = (Act("walk", 0, 2, to=(0.2, 3.6)), Act(action, 2, ACTIONS[action].usual_s))
    return Scene(seed, SIZE, script=[Part(acts, (-1.6, 3.6), heading, seed)])


def test_a_standing_figure_has_human_proportions() -> None:
    points = keypoints(posture(arm_out=0, elbow=0, arm_twist=0), build=Build(stature_m=1.8))

    heights = {name: points[index, 1] / 1.8 for name, index in INDEX.items()}
    assert 0.9 < heights["left_eye"] < 0.96
    assert 0.78 < heights["left_shoulder"] < 0.84
    assert 0.48 < heights["left_hip"] < 0.56
    assert 0.25 < heights["left_knee"] < 0.31
    assert 0.02 < heights["left_ankle"] < 0.07
    assert 0.42 < heights["left_wrist"] < 0.55


def test_a_figure_that_faces_us_has_left_at_our_right() -> None:
    points = keypoints(posture())

    for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert points[INDEX[f"left_{name}"], 0] > points[INDEX[f"right_{name}"], 0] + 0.02


def test_the_nose_points_where_the_heading_says() -> None:
    for heading, towards in ((0, (0, 1)), (90, (1, 0)), (180, (0, -1)), (-90, (-1, 0))):
        points = keypoints(posture(), heading)
        ahead = points[INDEX["nose"]] - points[[INDEX["left_ear"], INDEX["right_ear"]]].mean(0)
        assert ahead[[0, 2]] @ np.array(towards) > 0.05


def test_the_right_hand_does_what_the_left_one_does() -> None:
    channels = posture(left_arm_raise=120, left_elbow=40, left_knee=50, left_leg_raise=30, lean=10, look=20)
    one, other = keypoints(channels), keypoints(mirrored(channels))

    np.testing.assert_allclose(one[list(MIRRORED)] * (-1, 1, 1), other, atol=1e-9)


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_no_action_leaves_the_joint_limits(name: str) -> None:
    for at in np.linspace(0, 1, 41):
        channels = ACTIONS[name].channels(float(at))
        np.testing.assert_allclose(channels, within_limits(channels), atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_elbows_and_knees_bend_only_their_own_way(seed: int) -> None:
    wild = np.random.default_rng(seed).uniform(-400, 400, len(CHANNELS))
    points = keypoints(wild)

    for first, middle, last, limit in (
        ("shoulder", "elbow", "wrist", "elbow"),
        ("hip", "knee", "ankle", "knee"),
    ):
        for side in ("left", "right"):
            joint = [points[INDEX[f"{side}_{name}"]] for name in (first, middle, last)]
            low, high = LIMITS[f"{side}_{limit}"]
            assert low - 1 <= bend_deg(joint[0], joint[1], joint[2]) <= high + 1


def test_a_bent_knee_goes_ahead_and_a_bent_elbow_behind() -> None:
    points = keypoints(posture(knee=70, elbow=80, arm_twist=0, arm_out=0))

    for side in ("left", "right"):
        hip, knee, ankle = (points[INDEX[f"{side}_{name}"], 2] for name in ("hip", "knee", "ankle"))
        assert knee > (hip + ankle) / 2
        shoulder, elbow, wrist = (
            points[INDEX[f"{side}_{name}"], 2] for name in ("shoulder", "elbow", "wrist")
        )
        assert elbow < (shoulder + wrist) / 2


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_the_lowest_part_of_every_posture_is_on_the_ground(name: str) -> None:
    for at in (0, 0.4, 1):
        points = placed(ACTIONS[name].channels(at)).points
        assert points[0, :17, 1].min() > -0.01
        assert points[0, :, 1].min() < 0.11


def test_smooth_ways_begin_and_end_at_their_keys() -> None:
    for action in ACTIONS.values():
        for instant, key in zip(action.instants, action.keys, strict=True):
            np.testing.assert_allclose(action.channels(float(instant)), key, atol=1e-9)


@pytest.mark.parametrize("heading", [0, 50, 90, 140, 180, 250, 320])
@pytest.mark.parametrize("name", ["stand", "walk", "sit", "lie", "lie_on_side", "bend_down"])
def test_keypoints_lie_on_the_drawn_body(name: str, heading: float) -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    view = View.of((400, 400), 450, np.array([0.0, 1.2, 4.0]), 5)
    painter = Painter(image, view, Light((0, 0), 0.9, 0))
    painter.people([Body.of(Build())], placed(ACTIONS[name].channels(0.3), heading), [MARKED])
    painted = painter.painted_people()[0]

    assert painted.in_frame.all()
    grown = np.pad(image[..., 1] > 60, 2)
    for index in np.flatnonzero(~painted.self_hidden):
        y, x = np.rint(painted.points[index]).astype(int) + 2
        assert grown[y - 2 : y + 3, x - 2 : x + 3].any(), KEYPOINTS[index]


def test_the_face_is_hidden_from_behind_and_not_in_front() -> None:
    scene = Scene(1, SIZE, script=[Part((Act("stand", 0, 9),), (0, 3), heading, 1) for heading in (0, 180)])
    front = Scene(1, SIZE, script=[Part((Act("stand", 0, 9),), (0, 3), 0)]).render(0).people[0]
    back = Scene(1, SIZE, script=[Part((Act("stand", 0, 9),), (0, 3), 180)]).render(0).people[0]

    assert len(scene.render(0).people) == 2
    assert front.visible[[NOSE, LEFT_EYE, RIGHT_EYE]].all()
    assert not back.visible[[NOSE, LEFT_EYE, RIGHT_EYE]].any()
    assert back.self_hidden[[NOSE, LEFT_EYE, RIGHT_EYE]].all()
    assert back.visible[[LEFT_SHOULDER, RIGHT_SHOULDER]].all()


def test_a_person_behind_another_is_not_visible() -> None:
    parts = [
        Part((Act("stand", 0, 9),), (0.0, distance), 0, 1, id=number)
        for number, distance in ((1, 3.0), (2, 3.6))
    ]
    near, far = Scene(2, SIZE, script=parts).render(0).people

    assert near.visible.sum() > 13
    assert far.visible.sum() < 6
    assert 0 < far.area_px < 0.6 * near.area_px
    assert not far.self_hidden[5:7].any()


def test_a_persons_area_is_what_the_picture_shows() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    view = View.of((400, 400), 450, np.array([0.0, 1.2, 4.0]), 5)
    painter = Painter(image, view, Light((0, 0), 0.9, 0))
    painter.people([Body.of(Build())], placed(ACTIONS["stand"].channels(0.3), 20), [MARKED])
    whole = painter.painted_people()[0].area_px
    painted = (image[..., 1] > 60).sum()

    assert abs(whole - painted) < 0.05 * painted
    painter.hide_behind(np.array([[0, 0], [400, 0], [400, 200], [0, 200]]), (1, 1, 1))
    assert 0.3 * whole < painter.painted_people()[0].area_px < 0.7 * whole


def test_the_back_of_a_chair_hides_who_sits_before_it() -> None:
    acts = (Act("sit", 0, 9),)
    from_behind = Scene(2, SIZE, script=[Part(acts, (0, 3.0), 180)]).render(1).people[0]
    from_ahead = Scene(2, SIZE, script=[Part(acts, (0, 3.0), 0)]).render(1).people[0]

    assert not (from_behind.visible | from_behind.self_hidden)[[LEFT_HIP, RIGHT_HIP]].any()
    assert from_behind.visible[[LEFT_SHOULDER, RIGHT_SHOULDER]].all()
    assert (from_ahead.visible | from_ahead.self_hidden).all()


def test_what_is_outside_the_frame_is_not_visible() -> None:
    width, height = SIZE
    outside = 0
    for seed in range(60):
        for person in random_still(seed, SIZE).people:
            y, x = np.rint(person.points).T
            out = (y < 0) | (x < 0) | (y >= height) | (x >= width)
            outside += int(out.sum())
            assert not person.visible[out].any()
            assert not person.self_hidden[out].any()
    assert outside > 20


def test_a_still_is_a_pure_function_of_its_seed() -> None:
    stills = [random_still(seed, SIZE) for seed in range(6)]

    assert all(same(still, random_still(seed, SIZE)) for seed, still in enumerate(stills))
    assert not np.array_equal(stills[0].image, stills[1].image)


def test_another_process_draws_the_same() -> None:
    code = (
        "import hashlib; from posed.synthetic.scene import random_still, Scene;"
        "print(hashlib.sha256(random_still(5, (353, 257)).image.tobytes()"
        " + Scene(4, (160, 120)).render(7.5).image.tobytes()).hexdigest())"
    )
    theirs = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()

    ours = random_still(5, SIZE).image.tobytes() + Scene(4, (160, 120)).render(7.5).image.tobytes()
    assert hashlib.sha256(ours).hexdigest() == theirs


def test_stills_have_every_count_size_and_posture_of_people() -> None:
    stills = [random_still(seed, SIZE) for seed in range(400)]
    people = [person for still in stills for person in still.people]
    heights = np.array([person.box[3] / SIZE[1] for person in people if person.posture == "standing"])

    assert {len(still.people) for still in stills} >= {0, 1, 2, 3, 4, 5}
    assert heights.min() < 0.13
    assert heights.max() > 0.95
    assert {person.posture for person in people} == {"standing", "sitting", "lying", "unknown"}
    assert 0.1 < np.mean([person.posture == "lying" for person in people]) < 0.4
    visible = np.mean([person.visible for person in people], axis=0)
    assert visible.min() > 0.25


def test_tame_stills_show_people_large_and_mostly_from_the_front() -> None:
    people = [person for seed in range(120) for person in random_still(seed, SIZE, 1, tame=True).people]
    standing = [person for person in people if person.posture == "standing"]
    from_ahead = [person.points[LEFT_SHOULDER, 1] > person.points[RIGHT_SHOULDER, 1] for person in standing]

    assert np.mean([person.box[3] / SIZE[1] > 0.3 for person in standing]) > 0.9
    assert np.mean(from_ahead) > 0.8
    assert {person.posture for person in people} == {"standing", "sitting", "lying", "unknown"}


def test_a_still_has_as_many_people_as_are_asked_for() -> None:
    assert random_still(1, SIZE, people=0).people == []
    counts = [len(random_still(seed, SIZE, people=3).people) for seed in range(20)]
    assert max(counts) == 3
    assert np.mean(counts) > 2.5


def test_more_people_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="bodies: must be at most 15, got 16"):
        random_still(1, SIZE, people=16)


@pytest.mark.parametrize("size", [(257, 193), (353, 257), (640, 480), (90, 160), (1920, 1080)])
def test_pictures_have_the_size_that_is_asked_for(size: tuple[int, int]) -> None:
    for image in (random_still(3, size).image, Scene(3, size).render(4).image):
        assert image.shape == (size[1], size[0], 3)
        assert image.dtype == np.uint8


@pytest.mark.parametrize("heading", [0, 75, 180])
@pytest.mark.parametrize("name", FALLS)
def test_a_fall_goes_from_upright_to_lying_and_stays_there(name: str, heading: float) -> None:
    scene = fall_scene(name, heading)
    before, after, later = (scene.render(time_s).people[0] for time_s in (1.8, 4.0, 20.0))

    assert (before.posture, after.posture, later.posture) == ("standing", "lying", "lying")
    assert before.action == "walk"
    height = before.points[LEFT_ANKLE, 0] - before.points[NOSE, 0]
    assert height > 40
    assert after.points[NOSE, 0] > before.points[NOSE, 0] + 0.4 * height
    np.testing.assert_allclose(after.points, later.points, atol=8)


def test_a_body_that_fell_is_flat() -> None:
    for name in FALLS:
        points = keypoints(ACTIONS[name].channels(1))
        assert points[:, 1].max() < 0.62, name


def test_a_scene_is_a_pure_function_of_time() -> None:
    scene = fall_scene("slump", 30)
    first = scene.render(2.9)
    for time_s in (0.1, 9.0, 2.0):
        scene.render(time_s)

    assert same(first, scene.render(2.9))
    assert same(first, fall_scene("slump", 30).render(2.9))


def test_an_endless_scene_is_a_pure_function_of_time_too() -> None:
    scene = Scene(8, SIZE)
    first = scene.render(50.0)
    for time_s in (400.0, 0.0, 81.0):
        scene.render(time_s)

    assert same(first, scene.render(50.0))


def test_nobody_jumps_from_frame_to_frame() -> None:
    scene = Scene(3, (160, 120), people=2)
    before: dict[int, Floats] = {}
    for frame in range(600):
        now = {person.id: person.points for person in scene.render(frame / 15).people}
        for number in before.keys() & now.keys():
            assert np.abs(now[number] - before[number]).max() < 12
        before = now


def test_endless_scenes_have_people_come_and_go_anew() -> None:
    scene = Scene(5, (96, 72), people=2)
    seen = [{person.id for person in scene.render(float(time_s)).people} for time_s in range(0, 200, 2)]

    assert min(len(ids) for ids in seen) == 0 or min(len(ids) for ids in seen) == 1
    assert max(len(ids) for ids in seen) == 2
    assert len(set().union(*seen)) >= 8
    for number in set().union(*seen):
        there = [number in ids for ids in seen]
        assert sum(a != b for a, b in zip([False, *there], [*there, False], strict=True)) == 2


def test_endless_scenes_have_every_act_and_nobody_leaves_lying() -> None:
    scene = Scene(0, (32, 24), people=2)
    seen: dict[int, list[tuple[str, str]]] = {}
    for time_s in np.arange(0, 900, 0.5):
        for person in scene.render(float(time_s)).people:
            seen.setdefault(person.id, []).append((person.action, person.posture))

    ways = {one for mine in seen.values() for one in mine}
    assert {posture for _, posture in ways} == {"standing", "sitting", "lying", "unknown"}
    wanted = {"walk", "sit", "lie", "lie_down_slowly", "fall_backwards", "get_up", "bend_down"}
    assert wanted <= {action for action, _ in ways}
    assert all(mine[-1][0] == "walk" for mine in list(seen.values())[:-2])


def test_actions_follow_each_other_for_their_usual_time() -> None:
    scene = Scene(1, SIZE, people=1, actions=("stand", "sit_down", "sit", "raise_left_hand"))

    actions = [scene.render(time_s).people[0].action for time_s in (1, 5.5, 8, 13, 99)]
    assert actions == ["stand", "sit_down", "sit", "raise_left_hand", "raise_left_hand"]


def test_two_people_cross() -> None:
    scene = Scene(2, SIZE, actions=["cross"])
    start, end = scene.render(0.2).people, scene.render(2.5).people

    assert len(start) == 2
    assert start[0].points[0, 1] < start[1].points[0, 1]
    assert end[0].points[0, 1] > end[1].points[0, 1]


def test_an_empty_scene_has_nobody() -> None:
    assert Scene(2, SIZE, actions=["empty"]).render(3).people == []


def test_held_acts_keep_the_pose_and_end_in_time() -> None:
    acts = (Act("sit_down", 1, 1.8), Act("hold", 4, 5))
    scene = Scene(2, SIZE, script=[Part(acts, (0, 3.5), until_s=9)])

    assert scene.render(0.5).people == []
    assert scene.render(8.5).people[0].posture == "sitting"
    assert scene.render(9.5).people == []


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_raised_hand_is_that_persons_own(side: str) -> None:
    for heading in (0, 180):
        acts = (Act(f"raise_{side}_hand", 0, 3),)
        person = Scene(4, SIZE, script=[Part(acts, (0, 3.5), heading)]).render(1.5).people[0]
        other = "right" if side == "left" else "left"
        assert person.points[INDEX[f"{side}_wrist"], 0] < person.points[INDEX["nose"], 0]
        assert person.points[INDEX[f"{other}_wrist"], 0] > person.points[INDEX["nose"], 0]
