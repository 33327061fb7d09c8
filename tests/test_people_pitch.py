"""How far a camera looks down, learned from drawn people, of longer legs than PoseNet sees real ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from posed.config import PeopleConfig
from posed.people.events import EventDetector
from posed.people.person import Person
from posed.people.pitch import BELIEVED_S, FROM_ONE_S, REMEMBERED_S, STEEPEST_DEG, TOO_STEEP_DEG, Pitch
from posed.people.posture import POSTURES, Seeing, joints_of, shape_of
from posed.people.size import body_size
from posed.pose import LEFT_ANKLE, LEFT_HIP
from posed.synthetic.actions import ACTIONS
from posed.synthetic.painting import View
from posed.synthetic.scene import Scene
from tests.performers import INDEX, SIZE, hide, part, person_at, posing, told

FPS = 10
DISTANCE_M = 4.5
FACE = [name for name in INDEX if name.endswith(("nose", "eye", "ear"))]


def seen_from(down_deg: float, action: str = "stand", heading: float = 30, number: int = 1) -> Person:
    """Somebody in the middle of the picture of a camera that looks down, as large as they are upright."""
    down = math.radians(down_deg)
    above = np.array([0, 0.9 + DISTANCE_M * math.sin(down), 0])
    view = View.of(SIZE, 0.8 * SIZE[0], above, down_deg)

    def points(what: str):
        scene = Scene(3, SIZE, script=[part(what, heading=heading, place=(0, DISTANCE_M * math.cos(down)))])
        scene.view = view
        return scene.keypoints(np.array([0.5 * ACTIONS[what].usual_s]))[1][0]

    size_px, _ = body_size(points("stand"), np.ones(17, bool))
    return person_at(points(action), size_px, number)


def seeing(person: Person, pitch: Pitch | None = None) -> Seeing:
    joints = joints_of(person)
    shortening = (pitch or Pitch()).shortening(joints, SIZE)
    return Seeing(person, joints, shape_of(joints, person.size_px, shortening))


def look(pitch: Pitch, person: Person, seconds: float, start_s: float = 0, fps: float = FPS) -> float:
    """See somebody for so long; returns when."""
    for frame in range(round(seconds * fps) + 1):
        pitch.learn([seeing(person)], start_s + frame / fps, SIZE)
    return start_s + seconds


def learned(down_deg: float, action: str = "stand", fps: float = FPS) -> Pitch:
    pitch, now_s = Pitch(), 0.0
    for number in range(4):
        now_s = look(pitch, seen_from(down_deg, action, number=number), 6, now_s + 1, fps)
    return pitch


def test_the_steeper_a_camera_the_more_is_learned():
    level, down, steep = (learned(down_deg).deg for down_deg in (0, 40, 55))
    assert level == 0
    assert 5 < down < steep - 5 < TOO_STEEP_DEG


@pytest.mark.parametrize("fps", [2.5, 30])
def test_a_pitch_hardly_depends_on_the_frame_rate(fps):
    assert learned(45, fps=fps).deg == pytest.approx(learned(45).deg, abs=1)


def going_about(person: Person, hips: float, shoulders: float, hidden: list[str] | None = None) -> Pitch:
    """What is learned of five people whose hips and shoulders go so many statures per s, for 4 s each."""
    step_px = np.full((17, 2), (0.0, hips * person.size_px / FPS))
    step_px[:LEFT_HIP, 1] = shoulders * person.size_px / FPS
    pitch = Pitch()
    for frame in range(5 * 4 * FPS):
        number, nth = divmod(frame, 4 * FPS)
        one = person_at(person.pose.points + step_px * nth, person.size_px, number)
        pitch.learn([seeing(hide(one, *hidden or []))], frame / FPS, SIZE)
    return pitch


@pytest.mark.parametrize(
    ("hips", "shoulders", "told_after"),
    [(0.8, 0.8, "too_steep"), (0.8, 0.7, "too_steep"), (0.8, 0.5, "learning"), (0.2, 0.2, "learning")],
)
def test_people_going_about_below_a_ceiling_are_too_steep(hips, shoulders, told_after):
    assert going_about(seen_from(85), hips, shoulders).state == told_after


@pytest.mark.parametrize("hidden", [FACE, ["left_shoulder", "right_shoulder"]])
def test_head_or_shoulders_go_about_where_others_are_hidden(hidden):
    assert going_about(seen_from(85), 0.8, 0.8, hidden).state == "too_steep"


def test_who_goes_about_in_a_wheelchair_teaches_nothing():
    assert going_about(seen_from(0, "sit"), 0.8, 0.8).learned_s == 0


def test_it_is_believed_once_three_people_have_stood():
    pitch, now_s = Pitch(), 0.0
    for number in (1, 2, 3):
        assert (pitch.deg, pitch.state) == (None, "learning")
        now_s = look(pitch, seen_from(30, number=number), 20, now_s)
        assert pitch.learned_s == pytest.approx(number * FROM_ONE_S)
    assert (pitch.learned_s, pitch.state) == (pytest.approx(BELIEVED_S), "ok")
    assert pitch.deg is not None


@pytest.mark.parametrize("action", ["sit", "sit_on_floor", "lie", "lie_on_front", "bend_down"])
@pytest.mark.parametrize("heading", [0, 90, 180])
def test_who_does_not_stand_teaches_nothing(action, heading):
    pitch = Pitch()
    look(pitch, seen_from(20, action, heading), 5)
    assert pitch.learned_s == 0


def test_who_is_cut_off_by_the_border_teaches_nothing():
    person, pitch = seen_from(20), Pitch()
    person.pose.points[:, 0] += SIZE[1] - person.pose.points[LEFT_ANKLE:, 0].mean()
    look(pitch, person, 5)
    assert pitch.learned_s == 0


def test_flickers_of_standing_teach_nothing():
    standing, sitting, pitch = seen_from(20), seen_from(20, "sit"), Pitch()
    for frame in range(300):
        pitch.learn([seeing(standing if frame % 10 else sitting)], frame / FPS, SIZE)
    assert pitch.learned_s == 0


def test_one_wrong_person_among_three_changes_nothing():
    alone, mixed = learned(30).deg, learned(30)
    look(mixed, seen_from(70, number=9), 6, 100)
    assert mixed.deg == alone


def test_a_camera_that_is_turned_is_learned_anew():
    pitch, now_s = Pitch(), 0.0
    for down_deg in (0, 45):
        for number in range(70):
            now_s = look(pitch, seen_from(down_deg, number=100 * down_deg + number), 6, now_s + 1)
        assert pitch.learned_s <= REMEMBERED_S + 1e-6
        assert pitch.deg == pytest.approx(learned(down_deg).deg, abs=1)


def test_legs_are_shortened_by_where_they_are():
    pitch, person = Pitch(given_deg=30), seen_from(30)
    high, middle, low = (
        pitch.shortening(
            joints_of(person_at(person.pose.points + np.array([down_px, 0]), person.size_px)), SIZE
        )
        for down_px in (-60, 0, 60)
    )
    assert low < middle < high
    assert middle == pytest.approx(0.67, abs=0.08)


@pytest.mark.parametrize("hidden", [FACE, ["left_shoulder", "right_shoulder"], ["left_knee", "right_knee"]])
def test_legs_are_shortened_alike_where_a_part_is_hidden(hidden):
    pitch, person = Pitch(given_deg=30), seen_from(30)
    whole, rest = (pitch.shortening(joints_of(one), SIZE) for one in (person, hide(person, *hidden)))
    assert rest == pytest.approx(whole, abs=0.05)


def test_nothing_is_shortened_of_somebody_without_hips():
    hipless = hide(seen_from(30), "left_hip", "right_hip")
    assert Pitch(given_deg=30).shortening(joints_of(hipless), SIZE) == 1


@pytest.mark.parametrize("known", [Pitch(), Pitch(given_deg=0), Pitch(given_deg=TOO_STEEP_DEG)])
def test_nothing_is_shortened_without_a_pitch_that_helps(known):
    assert known.shortening(joints_of(seen_from(30)), SIZE) == 1


@pytest.mark.parametrize("down_deg", [0, 10, 20])
@pytest.mark.parametrize(
    ("action", "posture"), [("stand", "standing"), ("walk", "standing"), ("sit", "sitting")]
)
@pytest.mark.parametrize("heading", [0, 45, 90, 180, -90])
def test_postures_are_right_once_the_pitch_is_known(down_deg, action, posture, heading):
    scores = seeing(seen_from(down_deg, action, heading), Pitch(given_deg=down_deg)).shape.scores
    assert POSTURES[scores.index(max(scores))] == posture


def test_a_given_pitch_goes_first_and_nothing_is_learned():
    pitch = Pitch(given_deg=12.5)
    look(pitch, seen_from(30), 5)
    assert (pitch.deg, pitch.state, pitch.learned_s) == (12.5, "ok", 0)


def test_words_say_what_a_pitch_means():
    assert [pitch.words for pitch in (Pitch(), Pitch(given_deg=30), Pitch(given_deg=60))] == [
        "people were seen upright for 0 of 15 s",
        "looks down by about 30 degrees",
        "looks down by about 60 degrees, which is too steep for postures",
    ]


def test_what_was_learned_survives_a_restart():
    before, after = learned(45), Pitch()
    after.restore(before.dump())
    assert (after.deg, after.learned_s) == (before.deg, pytest.approx(before.learned_s, abs=0.1))


@pytest.mark.parametrize(
    "data",
    [{}, [], None, {"seconds": [1.0]}, {"seconds": [-1.0] * (STEEPEST_DEG + 1)}]
    + [{"seconds": [bad] * (STEEPEST_DEG + 1)} for bad in (math.nan, math.inf, 1e9, "much")],
)
def test_what_is_no_pitch_is_refused(data):
    with pytest.raises(ValueError, match="pitch: must be"):
        Pitch().restore(data)


def test_too_steep_a_view_tells_no_posture():
    person = posing("stand", 0.5)
    detector = EventDetector(PeopleConfig(pitch_deg=TOO_STEEP_DEG))
    events = [event for frame in range(50) for event in detector.update([person], [], frame / FPS, SIZE)]
    assert (told(events, "posture"), detector.people[0].posture) == ([], "unknown")
    detector.configure(PeopleConfig(pitch_deg=10))
    events = [event for frame in range(50, 80) for event in detector.update([person], [], frame / FPS, SIZE)]
    assert [event.detail["posture"] for event in told(events, "posture")] == ["standing"]
