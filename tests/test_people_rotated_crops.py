"""Looking again, turned: when and where, and what becomes of what is found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from posed.config import DecodeConfig, EngineConfig, PeopleConfig, ZoneConfig
from posed.engine import open_engine
from posed.frame import Letterbox, Region, RotatedCrop, RotatedLetterbox
from posed.networks.pair import load_pair
from posed.people.down import Down, Place
from posed.people.person import Person
from posed.people.rotated_crops import (
    HIDDEN_S,
    SEARCH_EVERY_S,
    SEARCH_FOR_S,
    SEARCH_TURNS,
    RotatedCropScheduler,
    lean_of,
    merge_detections,
)
from posed.people.tracker import Tracker
from posed.people.zones import NO_ZONES
from posed.pose import LEFT_SHOULDER, RIGHT_SHOULDER, Pose
from scripts.standins.heads import person as figure
from tests.performers import Ended

SIZE = (640, 480)
WHOLE = Region.whole(SIZE)
FPS = 10
MIDDLE = (240.0, 320.0)
IN_A_ROW = PeopleConfig().confirm_frames + 1


def turned_by(points: np.ndarray, angle_deg: float) -> np.ndarray:
    """Points (17, 2), y first, turned clockwise about their middle."""
    angle = np.radians(angle_deg)
    middle = points.mean(0)
    y, x = (points - middle).T
    return (
        np.stack([x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) - y * np.sin(angle)], 1) + middle
    )


def pose(angle_deg: float = 0.0, score: float = 0.8, middle=MIDDLE, height_px: float = 200.0) -> Pose:
    """Somebody turned clockwise from upright."""
    return Pose(turned_by(figure(middle, height_px), angle_deg), np.full(17, score), score)


def somebody(angle_deg: float, number: int = 1, *, seen: bool = True, middle=MIDDLE) -> Person:
    one = pose(angle_deg, middle=middle)
    return Person(number, one, np.ones(17, bool), seen, 200.0, one if seen else None)


def looked(
    config: PeopleConfig, seconds: float, people=(), ended=None, *, down=(), zones=NO_ZONES
) -> list[tuple[float, RotatedCrop]]:
    """What is looked at, and when; `ended` by time."""
    looks = RotatedCropScheduler(config, zones)
    found = []
    for frame in range(round(seconds * FPS)):
        time_s = frame / FPS
        look = looks.next(people, (ended or {}).get(time_s, ()), down, time_s, SIZE)
        if look is not None:
            found.append((time_s, look))
    return found


def regions(looks: list[tuple[float, RotatedCrop]]) -> set[Region]:
    return {look.region for _, look in looks}


def test_the_whole_frame_is_regularly_looked_at_both_ways():
    looks = looked(PeopleConfig(look_turned_s=10), 20)
    assert regions(looks) == {WHOLE}
    assert [look.turn_deg for _, look in looks] == [90, 90, 90, 90, -90, -90, -90, -90] * 2
    begun_s = [time_s for time_s, _ in looks[::4]]
    assert begun_s[2] - begun_s[0] == pytest.approx(10, abs=1)


def test_what_was_begun_goes_on_once_there_is_room_again():
    looks = RotatedCropScheduler(PeopleConfig(look_turned_s=10))
    asked = [looks.next((), (), (), frame / FPS, SIZE, has_room=frame % 5 == 4) for frame in range(45)]
    assert [look and look.turn_deg for look in asked[4::5]] == [90] * 4 + [-90] * 4 + [None]
    assert not any(look for frame, look in enumerate(asked) if frame % 5 != 4)


def test_looks_last_as_many_frames_as_make_a_person():
    times_s = [time_s for time_s, _ in looked(PeopleConfig(confirm_frames=5), 1)]
    assert times_s[:6] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_where_somebody_was_lost_is_searched_for_a_while():
    looks = looked(PeopleConfig(look_turned_s=3600), 60, ended={20.0: [Ended(somebody(0))]})
    (region,) = regions(looks) - {WHOLE}
    times_s = [time_s for time_s, look in looks if look.region == region]
    assert min(times_s) == 20.0
    assert SEARCH_FOR_S / 2 < max(times_s) - 20 <= SEARCH_FOR_S + SEARCH_EVERY_S
    assert {look.turn_deg for _, look in looks if look.region == region} == set(SEARCH_TURNS)


def test_the_searched_region_holds_whoever_fell_to_either_side():
    looks = looked(PeopleConfig(look_turned_s=3600), 10, ended={0.0: [Ended(somebody(0))]})
    (region,) = regions(looks) - {WHOLE}
    feet_y, x = figure(MIDDLE, 200.0)[15:17].mean(0)
    assert region.left <= x - 190
    assert region.right >= x + 190
    assert region.top < feet_y - 100
    assert region.bottom > feet_y + 40


DOOR = {"door": ZoneConfig(polygon=((0.3, 0.3), (0.7, 0.3), (0.7, 1.0), (0.3, 1.0)), kind="exit")}


@pytest.mark.parametrize(
    ("ended", "zones"),
    [
        (Ended(somebody(0), border="left"), {}),
        (Ended(somebody(0), cut=True), {}),
        (Ended(somebody(0)), DOOR),
    ],
    ids=["over the border", "cut", "through a door"],
)
def test_who_left_is_not_looked_for(ended, zones):
    assert regions(looked(PeopleConfig(), 20, ended={0.0: [ended]}, zones=zones)) == {WHOLE}


def test_where_somebody_is_down_is_looked_at_all_the_while():
    down = Down(1, 1, Place(0.5, 0.6, 0.4), at_s=0.0)
    looks = [time_s for time_s, look in looked(PeopleConfig(), 120, down=[down]) if look.region != WHOLE]
    assert max(looks) > 110
    assert np.diff(looks).max() < 10


@pytest.mark.parametrize("every", [5, 10])
@pytest.mark.parametrize("leaning", [1, 3])
def test_those_who_lean_leave_room_for_searches(every: int, leaning: int) -> None:
    """The engine has room for two crops a second, or for one."""
    looks, asked = RotatedCropScheduler(PeopleConfig()), []
    people = [somebody(90, number + 1, middle=(150, 120 + 60 * number)) for number in range(leaning)]
    down = [Down(9, 9, Place(0.5, 0.6, 0.4), at_s=0.0)]
    for frame in range(60 * FPS):
        has_room = frame % every == 0
        crop = looks.next(people, (), down, frame / FPS, SIZE, has_room=has_room)
        asked += [] if crop is None else [crop]
    of_searches = [crop for crop in asked if crop.region == Region(128, 144, 512, 480)]
    assert len(asked) == 60 * FPS / every
    assert len(of_searches) > 0.3 * len(asked), {crop.region for crop in asked}


def test_a_row_goes_on_until_frames_have_another_size():
    looks = RotatedCropScheduler(PeopleConfig(look_turned_s=3600))
    down = [Down(9, 9, Place(0.5, 0.6, 0.4), at_s=0.0)]
    for frame in range(8):
        looks.next((), (), (), frame / FPS, SIZE)
    begun = [looks.next((), (), down, 1 + frame / FPS, SIZE) for frame in range(5)]
    (region,) = {crop.region for crop in begun if crop}
    crop = looks.next((), (), (), 1.5, SIZE)
    assert crop is not None
    assert crop.region == region, "who was found by the crops before is found again"
    small = (SIZE[0] // 2, SIZE[1] // 2)
    assert looks.next((), (), (), 1.6, small) is None


def test_who_leans_is_looked_at_turned_upright_again_and_again():
    looks = looked(PeopleConfig(), 20, people=[somebody(-85)])
    theirs = [(time_s, look) for time_s, look in looks if look.region != WHOLE]
    assert {look.turn_deg for _, look in theirs} == {90}
    assert np.diff([time_s for time_s, _ in theirs]).max() < PeopleConfig().lost_after_s / 2
    assert WHOLE in regions(looks)


@pytest.mark.parametrize(
    ("angle_deg", "turn_deg"), [(50, -45), (-50, 45), (130, -135), (175, -180), (92, -90)]
)
def test_who_leans_is_turned_by_the_nearest_half_quarter(angle_deg, turn_deg):
    looks = looked(PeopleConfig(look_turned_s=3600), 5, people=[somebody(angle_deg)])
    assert {look.turn_deg for _, look in looks if look.region != WHOLE} == {turn_deg}


def test_who_leans_is_looked_at_in_a_square_around_them():
    one = somebody(90, middle=(200, 450))
    (region,) = regions(looked(PeopleConfig(), 1, people=[one])) - {WHOLE}
    low, high = one.pose.points.min(0), one.pose.points.max(0)
    assert (region.top + region.bottom) / 2 == pytest.approx((low + high)[0] / 2, abs=1)
    assert (region.left + region.right) / 2 == pytest.approx((low + high)[1] / 2, abs=1)
    assert region.right - region.left == pytest.approx(1.5 * 200, abs=2)


def test_who_is_upright_is_not_looked_at():
    assert regions(looked(PeopleConfig(), 20, people=[somebody(20)])) == {WHOLE}


def test_where_somebody_leaned_is_looked_at_when_they_are_hidden():
    looks = RotatedCropScheduler(PeopleConfig(look_turned_s=3600))
    looks.next([somebody(90)], (), (), 0.0, SIZE)
    later = [looks.next([somebody(0, seen=False)], (), (), frame / FPS, SIZE) for frame in range(1, 20)]
    assert any(look is not None and look.region != WHOLE for look in later)


@pytest.mark.parametrize("later", [1, 3])
@pytest.mark.parametrize("fps", [5, 10, 30])
def test_somebody_found_only_by_looks_is_and_stays_one_person(fps, later):
    """`later` frames after it is asked for a look is made: 1 live, 3 of a recording."""
    config = PeopleConfig()
    looks, tracker, lying = RotatedCropScheduler(config), Tracker(config, 0.2), pose(-90, 0.6)
    asked: list[RotatedCrop | None] = [None] * later
    ids: list[set[int]] = []
    for frame in range(60 * fps):
        look = asked[frame]
        poses = [lying] if look is not None and look.turn_deg == 90 else []
        people = tracker.update(poses, frame / fps, SIZE)
        asked.append(looks.next(people, tracker.ended, (), frame / fps, SIZE))
        ids.append({person.id for person in people})
    assert set.union(*ids) == {1}
    assert all(1 in there for there in ids[20 * fps :])


def test_nothing_is_looked_at_where_looks_are_off():
    everything = {
        "people": [somebody(90)],
        "ended": {0.0: [Ended(somebody(0))]},
        "down": [Down(1, 1, Place(0.5, 0.6, 0.4), at_s=0.0)],
    }
    assert looked(PeopleConfig(), 1, **everything)
    assert looked(PeopleConfig(look_turned_s=0), 60, **everything) == []


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_looks_take_no_more_of_the_engine_than_their_share(share):
    people = [somebody(90, 1), somebody(-90, 2, middle=(240, 100)), somebody(60, 3, middle=(240, 500))]
    down = [Down(number, 9, Place(0.1 * number, 0.6, 0.4), at_s=0.0, confirmed=True) for number in range(5)]
    seconds = 120
    config = PeopleConfig(look_turned_s=0.1, look_turned_share=share)
    looks = len(looked(config, seconds, people=people, down=down))
    saved = 2 * IN_A_ROW
    assert (looks - saved) / (looks - saved + seconds * FPS) <= share
    assert looks / (looks + seconds * FPS) > 0.9 * share


def test_half_of_the_engine_searches_until_a_fall_is_told():
    seconds, down = 60, [Down(1, 9, Place(0.5, 0.6, 0.4), at_s=0.0)]
    config = PeopleConfig(look_turned_share=0.05)
    looks = looked(config, seconds, down=down)
    assert 0.8 * seconds * FPS < len(looks) <= seconds * FPS
    assert {look.turn_deg for _, look in looks} == set(SEARCH_TURNS)


def looked_hidden(
    person: Person, seconds: float, zones=NO_ZONES, **settings
) -> list[tuple[float, RotatedCrop]]:
    """What is looked at, how long after somebody is not seen any more."""
    looks = RotatedCropScheduler(PeopleConfig(look_turned_s=3600, **settings), zones)
    found = []
    for frame in range(-12 * FPS, round(seconds * FPS)):
        seen = [person if frame < 0 else replace(person, seen=False)]
        look = looks.next(seen, (), (), 12 + frame / FPS, SIZE)
        if look is not None and look.region != WHOLE:
            found.append((frame / FPS, look))
    return found


def test_who_is_hidden_is_searched_for_by_every_turn():
    looks = looked_hidden(somebody(0), SEARCH_FOR_S)
    assert HIDDEN_S - 2 / FPS < min(time_s for time_s, _ in looks) < HIDDEN_S + 2 / FPS
    assert {look.turn_deg for _, look in looks} == set(SEARCH_TURNS)


@pytest.mark.parametrize(
    ("middle", "zones"), [((240, 30), {}), ((240, 610), {}), ((95, 320), {}), (MIDDLE, DOOR)]
)
def test_nobody_hidden_where_they_may_leave_is_searched_for(middle, zones):
    assert looked_hidden(somebody(0, middle=middle), SEARCH_FOR_S, zones=zones) == []


def test_nobody_is_searched_for_of_whom_nothing_is_visible():
    assert looked_hidden(replace(somebody(0), visible=np.zeros(17, bool)), SEARCH_FOR_S) == []


@pytest.mark.parametrize("middle", [(445, 320), (240, 80), (240, 560)])
def test_somebody_hidden_low_or_near_a_side_is_searched_for(middle):
    assert looked_hidden(somebody(0, middle=middle), SEARCH_FOR_S) != []


def test_who_leans_is_looked_at_before_the_whole_frame():
    assert WHOLE not in regions(looked(PeopleConfig(), 0.1, people=[somebody(90)]))


def test_time_that_jumps_back_stops_no_looks():
    looks = RotatedCropScheduler(PeopleConfig())
    for frame in range(600):
        looks.next((), (), (), 1000 + frame / FPS, SIZE)
    assert any(looks.next((), (), (), frame / FPS, SIZE) for frame in range(100))


@pytest.mark.parametrize("angle_deg", [-170, -90, -45, 0, 30, 90, 135])
def test_a_lean_is_told_clockwise(angle_deg):
    lean_deg = lean_of(pose(angle_deg).points, np.ones(17, bool))
    assert lean_deg == pytest.approx(angle_deg, abs=3)


def test_nobody_leans_whose_shoulders_are_not_seen():
    seen = np.ones(17, bool)
    seen[[LEFT_SHOULDER, RIGHT_SHOULDER]] = False
    assert lean_of(pose(90).points, seen) is None


def test_who_is_found_only_turned_is_added():
    standing, lying = pose(middle=(240, 100)), pose(-90, 0.6, middle=(300, 450))
    assert merge_detections([standing], [lying], 90, 0.2) == [standing, lying]


@pytest.mark.parametrize(("upright_score", "turned_score"), [(0.3, 0.7), (0.7, 0.3)])
def test_of_somebody_found_both_ways_the_better_score_is_kept(upright_score, turned_score):
    one, other = pose(-90, upright_score), pose(-88, turned_score)
    (kept,) = merge_detections([one], [other], 90, 0.2)
    assert kept.score == 0.7


def test_who_is_hardly_seen_is_nobody_found_again():
    faint, lying = pose(-90, 0.1), pose(-90, 0.6)
    assert merge_detections([faint], [lying], 90, 0.2) == [lying, faint]


def test_somebody_upright_wrongly_seen_lying_too_is_there_once():
    upright, within = pose(0, 0.8), pose(-90, 0.4, height_px=40.0)
    assert merge_detections([upright], [within], 90, 0.2) == [upright]


def test_a_pose_not_upright_in_the_turned_picture_is_nobody():
    assert merge_detections([], [pose(0)], 90, 0.2) == []
    assert merge_detections([], [pose(90)], 90, 0.2) == []


def test_the_best_comes_first():
    poses = merge_detections([pose(0, 0.5, (240, 100))], [pose(-90, 0.9, (300, 450))], 90, 0.2)
    assert [one.score for one in poses] == [0.9, 0.5]


@pytest.mark.parametrize("turn_deg", [90, -90])
def test_people_lying_in_a_photograph_are_found_only_turned(shared, turn_deg):
    path = shared / "models" / "posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"
    photograph = cv2.cvtColor(cv2.imread(str(shared / "testdata" / "couple_640x480.bmp")), cv2.COLOR_BGR2RGB)
    lying = np.rot90(photograph, 1 if turn_deg == 90 else -1).copy()
    pair, settings = load_pair(str(path)), DecodeConfig()
    size = lying.shape[1], lying.shape[0]
    view = RotatedLetterbox(RotatedCrop(Region.whole(size), turn_deg), pair.model.size)
    letterbox = Letterbox(size, pair.model.size)
    with open_engine(EngineConfig(kind="cpu"), pair.cpu, pair.edgetpu) as engine:
        as_it_is = pair.network.poses(engine.infer(letterbox.apply(lying)), letterbox, settings)
        turned = pair.network.poses(engine.infer(view.apply(lying)), view, settings)
        upright_box = Letterbox((640, 480), pair.model.size)
        upright = pair.network.poses(engine.infer(upright_box.apply(photograph)), upright_box, settings)
    people = merge_detections(as_it_is, turned, turn_deg, settings.keypoint_threshold)
    assert as_it_is == []
    assert len(people) == len(upright) == 2
    for true in upright:
        y, x = true.points.T
        expected = np.stack([639 - x, y] if turn_deg == 90 else [x, 479 - y], 1)
        apart = [np.abs(one.points - expected)[true.scores > 0.5] for one in people]
        assert min(np.median(one) for one in apart) < 3
