"""What comes of the poses of a recording: events, and falls that outlive the daemon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from posed.config import Config, load
from posed.frame import Frame, Region
from posed.pipeline.detection import poses_of
from posed.pipeline.kept_pitch import INTERVAL_S
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.scene import Scene
from posed.pose import KEYPOINT_COUNT, MIRRORED, Pose
from scripts.standins.heads import person
from tests.test_pipeline_detection import NETWORK, inferred

WALL_S = 1_800_000_000.0
FPS = 10


class Told:
    """Takes events over, as the spool does."""

    def __init__(self) -> None:
        self.events: list[Occurrence] = []

    def __call__(self, occurrence: Occurrence) -> str:
        self.events.append(occurrence)
        return f"event-{len(self.events)}"

    def of(self, kind: str) -> list[Occurrence]:
        return [one for one in self.events if one.type == kind]


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
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "falls.json"


def test_somebody_who_comes_has_an_id_and_enters_once(config: Config, file: Path) -> None:
    told = Told()
    scene = Scene(config, told, file)
    play(scene, [[upright()]] * FPS)

    assert [one.person.id for one in scene.people] == [1]
    assert [one.posture for one in scene.people] == ["standing"]
    assert [one.person for one in told.of("entered")] == [1]


def test_times_of_events_are_wall_clock(config: Config, file: Path) -> None:
    told = Told()
    play(Scene(config, told, file), [[upright()]] * FPS, start_s=5)
    assert WALL_S + 5 <= told.of("entered")[0].time_s <= WALL_S + 6


def test_a_fall_is_told_with_its_evidence(config: Config, file: Path) -> None:
    told = Told()
    play(Scene(config, told, file), fall())

    (one,) = told.of("fall")
    assert one.person is not None
    assert one.evidence is not None
    assert one.evidence.pose.scores[0] >= one.evidence.keypoint_threshold


def test_a_fall_before_a_restart_is_cleared_by_getting_up(config: Config, file: Path) -> None:
    before, after = Told(), Told()
    end_s = play(Scene(config, before, file), fall())
    scene = Scene(config, after, file)
    play(scene, [[lying()]] * (40 * FPS) + [[upright()]] * (4 * FPS), start_s=end_s)

    (cleared,) = after.of("fall_cleared")
    assert cleared.detail["fall"] == f"event-{before.events.index(before.of('fall')[0]) + 1}"
    assert cleared.person is None
    assert not after.of("fall")


def test_a_fall_is_on_disk_before_it_is_noted_as_told(config: Config, file: Path) -> None:
    noted: list[str] = []
    told = Told()
    play(Scene(config, told, file, lambda: noted.append(file.read_text("utf-8"))), fall())
    (before,) = noted
    assert '"confirmed": false' in before
    assert '"confirmed": true' in file.read_text("utf-8")


def test_a_fall_that_a_restart_interrupts_is_told_after_it(config: Config, file: Path) -> None:
    before, after = Told(), Told()
    end_s = play(Scene(config, before, file), fall(seconds_down=4))
    assert not before.of("fall")
    play(Scene(config, after, file), [[lying()]] * (12 * FPS), start_s=end_s)
    (told,) = after.of("fall")
    assert told.person is None, "ids of people begin anew with each run"


def test_nobody_is_searched_for_once_falls_are_off(config: Config, file: Path) -> None:
    end_s = play(Scene(config, Told(), file), fall())
    off = config.model_copy(
        update={"people": config.people.model_copy(update={"falls": False, "look_turned_s": 3600.0})}
    )
    scene, looks = Scene(off, Told(), file), []
    for _, frame in zip(range(30 * FPS), frames(end_s), strict=False):
        scene.update([], frame)
        looks.append(scene.next_crop())

    assert {look.region for look in looks if look} == {Region.whole((640, 480))}
    assert len(scene.clear_falls(WALL_S + 60)) == 1


def test_falls_are_cleared_on_request_once(config: Config, file: Path) -> None:
    told = Told()
    scene = Scene(config, told, file)
    play(scene, fall())
    assert scene.clear_falls(WALL_S + 60, "event-unknown") == []
    (cleared,) = scene.clear_falls(WALL_S + 60)

    assert cleared == f"event-{len(told.events)}"
    assert told.events[-1].detail["by"] == "request"
    assert scene.clear_falls(WALL_S + 61) == []
    assert Scene(config, told, file).clear_falls(WALL_S + 62) == []


def test_a_damaged_file_is_said_and_nothing_else_is_lost(
    config: Config, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    file.write_text("{", encoding="utf-8")
    told = Told()
    play(Scene(config, told, file), fall())
    assert "falls.json: cannot be read" in caplog.text
    assert len(told.of("fall")) == 1


def test_a_place_that_cannot_be_written_is_said_and_falls_are_told(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("no folder", encoding="utf-8")
    told = Told()
    play(Scene(config, told, tmp_path / "state" / "falls.json"), fall())
    assert "falls.json: cannot be written" in caplog.text
    assert len(told.of("fall")) == 1


@pytest.mark.parametrize("speed", [0.5, 4.0])
def test_the_speed_of_playing_changes_no_event(config: Config, tmp_path: Path, speed: float) -> None:
    """Only media time counts: the same frames, read faster or slower, tell the same."""

    def events(speed: float) -> list[tuple[str, float]]:
        told = Told()
        scene = Scene(config, told, tmp_path / f"{speed}.json")
        for found, frame in zip(fall(), frames(), strict=False):
            wall = Frame(frame.image, frame.sequence, frame.captured_at / speed, frame.time_s, frame.time)
            scene.update(found, wall)
        return [(one.type, round(one.time_s, 3)) for one in told.events]

    assert events(speed) == events(1.0)


def test_other_settings_apply_to_those_who_are_there(tmp_path):
    """Zones come and go; everybody stays who they are."""
    everywhere = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}

    def configured(**people: object) -> Config:
        return Config(people={"zone_enter_s": 0, "zone_leave_s": 0, **people})

    told = Told()
    scene = Scene(configured(zones={"old": everywhere}), told, tmp_path / "falls.json")
    last_s = play(scene, [[upright()]] * 10)
    assert scene.zone_counts() == {"old": 1}
    scene.configure(configured(zones={"new": everywhere}, presence=False, lost_after_s=0.3))
    assert scene.zone_counts() == {"new": 0}
    last_s = play(scene, [[upright()]] * 5, last_s + 0.1)
    assert scene.zone_counts() == {"new": 1}
    assert [one.person for one in told.of("zone_entered")] == [1, 1]
    play(scene, [[]] * 6, last_s + 0.1)
    assert scene.people == []
    assert told.of("left") == []


THREE: list[list[Pose]] = [[upright(110), upright(320), upright(530)]] * (8 * FPS)


def test_the_pitch_outlives_a_restart_and_is_written_once(config, file, tmp_path, caplog):
    kept = tmp_path / "state" / "pitch.json"
    before = Scene(config, Told(), file, pitch_file=kept)
    with caplog.at_level("INFO"):
        last_s = play(before, THREE)
    assert before.pitch.told == "ok"
    assert "camera: looks down by about" in caplog.text
    after = Scene(config, Told(), file, pitch_file=kept)
    assert (after.pitch.deg, after.pitch.learned_s) == (before.pitch.deg, pytest.approx(15))
    kept.unlink()
    play(before, THREE, last_s + 10)
    assert not kept.exists()
    play(before, THREE, last_s + INTERVAL_S)
    assert kept.exists()


def test_a_damaged_pitch_is_said_and_learned_anew(config, file, tmp_path, caplog):
    kept = tmp_path / "pitch.json"
    kept.write_text('{"seconds": "many"}')
    scene = Scene(config, Told(), file, pitch_file=kept)
    assert "pitch.json: cannot be read, so the pitch is learned anew" in caplog.text
    assert scene.pitch.told == "learning"
    play(scene, THREE)
    assert Scene(config, Told(), file, pitch_file=kept).pitch.told == "ok"


def test_a_given_pitch_is_told_and_kept_nowhere(file, tmp_path, caplog):
    scene = Scene(Config(people={"pitch_deg": 60}), Told(), file, pitch_file=tmp_path / "pitch.json")
    play(scene, THREE)
    assert scene.pitch.told == "too_steep"
    assert "which is too steep for postures" in caplog.text
    assert not (tmp_path / "pitch.json").exists()


def test_frames_are_decoded_with_the_settings_of_the_camera(file):
    (true,) = poses_of(inferred(), NETWORK, Config().decode)
    scene = Scene(Config(camera={"kind": "synthetic", "mirror": True}), Told(), file)
    (mirrored,) = scene.decode(inferred(), NETWORK)
    np.testing.assert_array_equal(mirrored.points, true.points[list(MIRRORED)])
    scene.configure(Config(decode={"score_threshold": 0.999, "keypoint_threshold": 0.7}))
    assert scene.decode(inferred(), NETWORK) == []
    assert scene.keypoint_threshold == 0.7
