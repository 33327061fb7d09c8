"""What comes of the poses of a recording: events, and falls that outlive the daemon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np
import pytest

from posed.config import CameraConfig, Config, changed, load
from posed.frame import Frame, Region
from posed.pipeline.detection import poses_of
from posed.pipeline.journal import Journal, MemoryJournal, State
from posed.pipeline.kept_pitch import INTERVAL_S
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.scene import Scene
from posed.pose import KEYPOINT_COUNT, MIRRORED, Pose
from scripts.standins.heads import person
from tests.test_pipeline_detection import NETWORK, inferred

WALL_S = 1_800_000_000.0
FPS = 10


class Reports:
    """Takes events over, as the spool does."""

    def __init__(self) -> None:
        self.events: list[Occurrence] = []

    def __call__(self, occurrence: Occurrence) -> str:
        self.events.append(occurrence)
        return f"event-{len(self.events)}"

    def of(self, kind: str) -> list[Occurrence]:
        return [event for event in self.events if event.type == kind]


def upright(x: float = 320) -> Pose:
    return Pose(person((240, x), 300), np.full(KEYPOINT_COUNT, 0.9), 0.9)


def lying(x: float = 320) -> Pose:
    """The same person on the floor, head to the left."""
    points = upright(0).points
    turned = np.stack([points[:, 1] + 400, points[:, 0] - 240 + x], axis=1)
    return Pose(turned, np.full(KEYPOINT_COUNT, 0.9), 0.9)


def frames(start_s: float = 0) -> Iterator[Frame]:
    image = np.zeros((480, 640, 3), np.uint8)
    for sequence in count():
        time_s = start_s + sequence / FPS
        yield Frame(image, sequence, time_s, time_s, WALL_S + time_s)


def play(scene: Scene, poses: Iterable[list[Pose]], start_s: float = 0) -> float:
    """Returns the media time at the end."""
    last = start_s
    for found, frame in zip(poses, frames(start_s), strict=False):
        scene.update(found, frame)
        last = frame.time_s
    return last + 1 / FPS


def fall(seconds_down: float = 14) -> list[list[Pose]]:
    return [[upright()]] * (3 * FPS) + [[lying()]] * round(seconds_down * FPS)


@pytest.fixture
def config() -> Config:
    return load(None, {})


@pytest.fixture
def reports() -> Reports:
    return Reports()


def restarted(config: Config, journal: Journal) -> Scene:
    """A scene that goes on after a restart."""
    scene = Scene(config.first, journal)
    scene.restore()
    return scene


def test_somebody_who_comes_has_an_id_and_enters_once(config: Config, reports: Reports) -> None:
    scene = Scene(config.first, MemoryJournal(reports))
    play(scene, [[upright()]] * FPS)

    assert [one.person.id for one in scene.people] == [1]
    assert [one.posture for one in scene.people] == ["standing"]
    assert [one.person for one in reports.of("entered")] == [1]


def test_times_of_events_are_wall_clock(config: Config, reports: Reports) -> None:
    play(Scene(config.first, MemoryJournal(reports)), [[upright()]] * FPS, start_s=5)
    assert WALL_S + 5 <= reports.of("entered")[0].time_s <= WALL_S + 6


def test_a_fall_is_told_with_its_evidence(config: Config, reports: Reports) -> None:
    play(Scene(config.first, MemoryJournal(reports)), fall())

    (one,) = reports.of("fall")
    assert one.person is not None
    assert one.evidence is not None
    assert one.evidence.pose.scores[0] >= one.evidence.keypoint_threshold


def test_a_fall_before_a_restart_is_cleared_by_getting_up(config: Config, reports: Reports) -> None:
    journal = MemoryJournal(reports)
    end_s = play(Scene(config.first, journal), fall())
    (fallen,) = reports.of("fall")
    play(restarted(config, journal), [[lying()]] * (40 * FPS) + [[upright()]] * (4 * FPS), start_s=end_s)

    (cleared,) = reports.of("fall_cleared")
    assert cleared.detail["fall"] == f"event-{reports.events.index(fallen) + 1}"
    assert cleared.person is None
    assert reports.of("fall") == [fallen]


class Commits:
    """A journal that keeps what was committed together."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[Occurrence], State | None]] = []
        self._added: list[Occurrence] = []
        self._count = 0

    def read(self) -> None:
        return None

    def add(self, occurrence: Occurrence) -> str:
        self._added.append(occurrence)
        self._count += 1
        return f"event-{self._count}"

    def commit(self, state: State | None = None) -> None:
        if self._added or state is not None:
            self.commits.append((self._added, state))
        self._added = []

    def state_with(self, kind: str) -> State:
        """The state that was committed with the event of this type."""
        (state,) = (state for events, state in self.commits if kind in {event.type for event in events})
        assert state is not None
        return state


def test_a_fall_and_its_end_are_committed_with_their_state(config: Config) -> None:
    commits = Commits()
    play(Scene(config.first, commits), [*fall(), *[[upright()]] * (4 * FPS)])

    fallen, over = commits.state_with("fall"), commits.state_with("fall_cleared")
    assert [down["confirmed"] for down in fallen["falls"]["downs"]] == [True]
    assert len(fallen["ids"]) == 1
    assert (over["falls"]["downs"], over["ids"]) == ([], {})


def test_a_state_is_committed_only_when_it_changed(config: Config) -> None:
    commits = Commits()
    play(Scene(config.first, commits), [*fall(), *[[upright()]] * (4 * FPS)])
    states = [state for _, state in commits.commits if state is not None]
    assert [[down["confirmed"] for down in state["falls"]["downs"]] for state in states] == [
        [False],
        [True],
        [],
    ]


def test_a_fall_that_a_restart_interrupts_is_told_after_it(config: Config, reports: Reports) -> None:
    journal = MemoryJournal(reports)
    end_s = play(Scene(config.first, journal), fall(seconds_down=4))
    assert not reports.of("fall")
    play(restarted(config, journal), [[lying()]] * (12 * FPS), start_s=end_s)
    (fallen,) = reports.of("fall")
    assert fallen.person is None, "ids of people begin anew with each run"


def test_nobody_is_searched_for_once_falls_are_off(config: Config, reports: Reports) -> None:
    journal = MemoryJournal(reports)
    end_s = play(Scene(config.first, journal), fall())
    off = changed(config, {"people.falls": False, "people.look_turned_s": 3600})
    scene, looks = restarted(off, journal), []
    for _, frame in zip(range(30 * FPS), frames(end_s), strict=False):
        scene.update([], frame)
        looks.append(scene.next_crop())

    assert {look.region for look in looks if look} == {Region.whole((640, 480))}
    assert len(scene.clear_falls(WALL_S + 60)) == 1


def test_no_crop_is_requested_where_there_is_no_room(config: Config) -> None:
    scene, looks = Scene(config.first, MemoryJournal()), []
    for number, frame in zip(range(20), frames(), strict=False):
        scene.update([], frame)
        looks.append(scene.next_crop(has_room=number >= 10))

    assert [look is not None for look in looks[:14]] == [False] * 10 + [True] * 4


def test_a_scene_is_urgent_until_a_fall_is_reported(config: Config) -> None:
    scene = Scene(config.first, MemoryJournal())
    urgent = []
    for poses, frame in zip(fall(), frames(0), strict=False):
        scene.update(poses, frame)
        urgent.append(scene.is_urgent)
    assert not any(urgent[: 3 * FPS])
    assert 9 < sum(urgent) / FPS < 11
    assert not urgent[-1]


def test_falls_are_cleared_on_request_once(config: Config, reports: Reports) -> None:
    journal = MemoryJournal(reports)
    scene = Scene(config.first, journal)
    play(scene, fall())
    assert scene.clear_falls(WALL_S + 60, "event-unknown") == []
    (cleared,) = scene.clear_falls(WALL_S + 60)

    assert cleared == f"event-{len(reports.events)}"
    assert reports.events[-1].detail["by"] == "request"
    assert scene.clear_falls(WALL_S + 61) == []
    assert restarted(config, journal).clear_falls(WALL_S + 62) == []


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"falls": {}, "ids": {}},
        {"falls": {"next": 2, "downs": [{}]}, "ids": {}},
        {"falls": {"next": 2, "downs": []}, "ids": {"first": "event-1"}},
        {"falls": {"next": 2, "downs": []}, "ids": []},
        [],
    ],
)
def test_a_bad_state_is_said_once_and_falls_are_told(
    config: Config, reports: Reports, caplog: pytest.LogCaptureFixture, state: Any
) -> None:
    journal = MemoryJournal(reports)
    journal.commit(state)
    play(restarted(config, journal), fall())
    assert "cannot read who was down before, so falls from before end on request only" in caplog.text
    assert len(reports.of("fall")) == 1
    caplog.clear()
    restarted(config, journal)
    assert not caplog.records


@pytest.mark.parametrize("speed", [0.5, 4.0])
def test_the_speed_of_playing_changes_no_event(config: Config, speed: float) -> None:
    """Only media time counts: the same frames, read faster or slower, tell the same."""

    def events(speed: float) -> list[tuple[str, float]]:
        reports = Reports()
        scene = Scene(config.first, MemoryJournal(reports))
        for found, frame in zip(fall(), frames(), strict=False):
            wall = Frame(frame.image, frame.sequence, frame.captured_at / speed, frame.time_s, frame.time)
            scene.update(found, wall)
        return [(one.type, round(one.time_s, 3)) for one in reports.events]

    assert events(speed) == events(1.0)


def test_other_settings_apply_to_those_who_are_there(reports):
    """Zones come and go; everybody stays who they are."""
    everywhere = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}

    def configured(zones: dict[str, object], **people: object) -> CameraConfig:
        return CameraConfig(zones=zones, people={"zone_enter_s": 0, "zone_leave_s": 0, **people})

    scene = Scene(configured(zones={"old": everywhere}), MemoryJournal(reports))
    last_s = play(scene, [[upright()]] * 10)
    assert scene.zone_counts() == {"old": 1}
    scene.configure(configured(zones={"new": everywhere}, presence=False, lost_after_s=0.3))
    assert scene.zone_counts() == {"new": 0}
    last_s = play(scene, [[upright()]] * 5, last_s + 0.1)
    assert scene.zone_counts() == {"new": 1}
    assert [one.person for one in reports.of("zone_entered")] == [1, 1]
    play(scene, [[]] * 6, last_s + 0.1)
    assert scene.people == []
    assert reports.of("left") == []


THREE: list[list[Pose]] = [[upright(110), upright(320), upright(530)]] * (8 * FPS)


def test_the_pitch_outlives_a_restart_and_is_written_once(config, tmp_path, caplog):
    kept = tmp_path / "state" / "pitch.json"
    before = Scene(config.first, MemoryJournal(), kept)
    with caplog.at_level("INFO"):
        last_s = play(before, THREE)
    assert before.pitch.state == "ok"
    assert "camera: looks down by about" in caplog.text
    after = Scene(config.first, MemoryJournal(), kept)
    assert (after.pitch.deg, after.pitch.learned_s) == (before.pitch.deg, pytest.approx(15))
    kept.unlink()
    play(before, THREE, last_s + 10)
    assert not kept.exists()
    play(before, THREE, last_s + INTERVAL_S)
    assert kept.exists()


def test_a_damaged_pitch_is_said_and_learned_anew(config, tmp_path, caplog):
    kept = tmp_path / "pitch.json"
    kept.write_text('{"seconds": "many"}')
    scene = Scene(config.first, MemoryJournal(), kept)
    assert "pitch.json: cannot be read, so the pitch is learned anew" in caplog.text
    assert scene.pitch.state == "learning"
    play(scene, THREE)
    assert Scene(config.first, MemoryJournal(), kept).pitch.state == "ok"


def test_a_given_pitch_is_told_and_kept_nowhere(tmp_path, caplog):
    scene = Scene(CameraConfig(people={"pitch_deg": 60}), MemoryJournal(), tmp_path / "pitch.json")
    play(scene, THREE)
    assert scene.pitch.state == "too_steep"
    assert "which is too steep for postures" in caplog.text
    assert not (tmp_path / "pitch.json").exists()


def test_frames_are_decoded_with_the_settings_of_the_camera():
    (true,) = poses_of(inferred(), NETWORK, Config().decode)
    scene = Scene(CameraConfig(kind="synthetic", mirror=True), MemoryJournal())
    (mirrored,) = scene.decode(inferred(), NETWORK)
    np.testing.assert_array_equal(mirrored.points, true.points[list(MIRRORED)])
    scene.configure(CameraConfig(decode={"score_threshold": 0.999, "keypoint_threshold": 0.7}))
    assert scene.decode(inferred(), NETWORK) == []
    assert scene.keypoint_threshold == 0.7


class Recorder:
    """Takes what is recorded of a scene."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, int, bool]] = []
        self.changes = 0

    def take(self, frame: Frame, poses: Sequence[Pose], *, dark: bool) -> None:
        self.frames.append((frame.sequence, len(poses), dark))

    def settings_changed(self) -> None:
        self.changes += 1


def test_who_records_gets_the_frames_and_hears_of_other_settings(config):
    recorder = Recorder()
    scene = Scene(config.first, MemoryJournal(), recorder=recorder)
    first, second = islice(frames(), 2)
    scene.record(first, [upright()], dark=False)
    scene.configure(config.first)
    scene.record(second, [], dark=True)
    assert (recorder.frames, recorder.changes) == ([(0, 1, False), (1, 0, True)], 1)
