"""The footage that posed is measured on: its labels, how it is played, and what is counted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from posed import engine
from posed.camera.video import VideoFile
from posed.config import CameraConfig, Config, EngineConfig
from posed.errors import CameraEnded
from posed.networks.pair import load_pair
from posed.pipeline.feed import CameraSetup
from posed.pipeline.journal import MemoryJournal
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.pipeline import Pipeline
from posed.pipeline.scene import Scene
from scripts.evaluate.clips import (
    Clip,
    FootageError,
    Frames,
    frame_times,
    frames_at,
    read_footage,
    video_facts,
)
from scripts.evaluate.inferences import PoseFinder, camera_config
from scripts.evaluate.play import Played, config_for, play
from scripts.evaluate.score import Bounds, Score, reported_at, score_of

COLUMNS = "file,use,label,fall_start_s,activities,resting,note"


def manifest(folder: Path, *rows: str, columns: str = COLUMNS) -> Path:
    """A folder with these rows in its manifest, and an empty a.mp4."""
    (folder / "a.mp4").touch()
    (folder / "manifest.csv").write_text("\n".join([columns, *rows]) + "\n")
    return folder


def clip(label: str = "no_fall", start_s: float | None = None, name: str = "urfd_1.mp4", **more) -> Clip:
    settings = {"activities": (), "resting": (), **more}
    return Clip(Path(name), "try", label, start_s, **settings)


def fall_at(*times_s: float) -> list[tuple[float, Occurrence]]:
    return [(time_s, Occurrence("fall", time_s)) for time_s in times_s]


# Manifests


def test_a_fall_of_the_manifest_is_read(tmp_path):
    (one,) = read_footage(manifest(tmp_path, "a.mp4,check,fall_chair,3.5,,,"))
    assert (one.path, one.use, one.label, one.fall_start_s) == (
        tmp_path / "a.mp4",
        "check",
        "fall_chair",
        3.5,
    )
    assert (one.activities, one.resting, one.held) == ((), (), True)


def test_activities_are_read_as_postures(tmp_path):
    row = "a.mp4,try,no_fall,,Walking 0-2.6; Sitting 3-9;Eating 4-5; Falling 9-10,,"
    (one,) = read_footage(manifest(tmp_path, row))
    assert one.activities == (("standing", 0, 2.6), ("sitting", 3, 9), ("neither", 4, 5))


def test_a_resting_place_is_read(tmp_path):
    row = 'a.mp4,try,no_fall,,,"[[0, 0.5], [1, 0.5], [1, 1]]",'
    (one,) = read_footage(manifest(tmp_path, row))
    assert one.resting == ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0))


def test_only_file_and_label_must_be_there(tmp_path):
    (one,) = read_footage(manifest(tmp_path, "a.mp4,no_fall", columns="file,label"))
    assert (one.use, one.fall_start_s) == ("try", None)


def test_the_group_is_the_source_and_the_label(tmp_path):
    assert clip("fall_chair: by eye", 3, "urfd_dm_1.mp4").group == "urfd fall_chair"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b.mp4,try,no_fall,,,,", "file: must be there, got 'b.mp4'"),
        ("a.mp4,try,dance,,,,", "label: must begin with fall or no_fall, got 'dance'"),
        ("a.mp4,try,fall_chair,,,,", "fall_start_s: must say when the fall begins, got nothing"),
        ("a.mp4,try,no_fall,,Walking,,", "activities: must be `Walking 0-2.6; …`, got 'Walking'"),
    ],
)
def test_a_wrong_row_is_reported_with_its_line(tmp_path, row, message):
    folder = manifest(tmp_path, "a.mp4,try,no_fall,,,,", row)
    with pytest.raises(FootageError) as caught:
        read_footage(folder)
    assert str(caught.value) == f"{folder / 'manifest.csv'}, line 3: {message}"


@pytest.mark.parametrize(
    "row", ["a.mp4,try,fall,soon,,,", "a.mp4,try,no_fall,,,[[0]],", "a.mp4,try,no_fall,,,{,"]
)
def test_a_row_that_cannot_be_read_names_its_line(tmp_path, row):
    with pytest.raises(FootageError, match=r"manifest\.csv, line 2: "):
        read_footage(manifest(tmp_path, row))


def test_a_manifest_without_a_clip_is_refused(tmp_path):
    with pytest.raises(FootageError, match=r"manifest\.csv: must name a clip, got none$"):
        read_footage(manifest(tmp_path))


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(FootageError, match=r"manifest\.csv: cannot be read \(No such file or directory\)$"):
        read_footage(tmp_path)


# Labels


@pytest.mark.parametrize(
    ("time_s", "truth"), [(1, "standing"), (4.2, "sitting"), (7, "neither"), (3, None), (20, None)]
)
def test_a_posture_is_what_is_labelled_then(time_s, truth):
    activities = (("standing", 0, 3), ("sitting", 3, 5), ("neither", 4, 5), ("neither", 6, 8))
    assert clip(activities=activities).posture_at(time_s) == truth


@pytest.mark.parametrize(("time_s", "truth"), [(4.9, "standing"), (5, None), (7.4, None), (7.5, "lying")])
def test_who_fell_lies_once_the_fall_is_over(time_s, truth):
    one = clip("fall_standing", 5.0, activities=(("standing", 0, 20),))
    assert one.posture_at(time_s) == truth


# Pictures


def test_two_of_three_frames_make_ten_of_fifteen():
    assert frames_at(9, 15, 10) == [0, 2, 3, 5, 6, 8]
    assert len(frames_at(150, 15, 10)) == 100


@pytest.mark.parametrize("fps", [15, 30])
def test_a_camera_as_fast_as_the_clip_gives_all(fps):
    assert frames_at(5, 15, fps) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("fps", "frames"), [(5, [0, 3, 6]), (7.5, [0, 2, 4, 6, 8]), (1, [0])])
def test_a_slower_camera_gives_fewer(fps, frames):
    assert frames_at(9, 15, fps) == frames


def test_a_faster_camera_shows_each_frame_again():
    times = [(0, 0), (0, 1 / 30), (1, 2 / 30), (1, 3 / 30)]
    assert frame_times(2, 15, 30) == [(index, pytest.approx(time_s)) for index, time_s in times]
    assert [index for index, _ in frame_times(3, 15, 20)] == [0, 0, 1, 2]
    assert frame_times(9, 15, 10) == [(index, index / 15) for index in (0, 2, 3, 5, 6, 8)]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Nine frames at 15 per second, each brighter than the one before; the left half is black."""
    path = tmp_path / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15, (64, 48))
    for number in range(9):
        image = np.full((48, 64, 3), 20 * number, np.uint8)
        image[:, :32] = 0
        writer.write(image)
    writer.release()
    return path


def test_a_videos_facts_are_read(video):
    assert video_facts(video) == (9, 15.0, (64, 48))


def test_what_is_no_video_has_no_facts(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(FootageError, match=r"a\.mp4: must be a video that OpenCV reads$"):
        video_facts(tmp_path / "a.mp4")


def test_frames_come_by_number_backwards_too(video):
    frames = Frames(video)
    levels = [int(frames.at(number)[24, 48, 0]) for number in (1, 5, 5, 2, 8)]
    assert levels == pytest.approx([20, 100, 100, 40, 160], abs=4)


def test_a_mirrored_frame_is_the_other_way_round(video):
    plain, mirrored = Frames(video).at(5), Frames(video, mirror=True).at(5)
    assert (mirrored == plain[:, ::-1]).all()
    assert mirrored[24, 8, 0] > 90 > plain[24, 8, 0]


def test_a_frame_behind_the_end_is_reported(video):
    with pytest.raises(FootageError, match=r"grey\.avi: frame 9 cannot be read$"):
        Frames(video).at(9)


# Settings


@pytest.mark.parametrize(("mirror", "x"), [(False, 0.25), (True, 0.75)])
def test_a_resting_place_becomes_a_zone(mirror, x):
    one = clip(resting=((0.25, 0.5), (1, 0.5), (1, 1)))
    (rest,) = config_for(one, CameraConfig(), mirror=mirror).zones.values()
    assert (rest.kind, rest.polygon[0]) == ("resting", (x, 0.5))


def test_without_a_resting_place_settings_stay():
    config = CameraConfig()
    assert config_for(clip(), config) is config


# Scores


def test_a_fall_reported_after_it_began_counts():
    played = Played(clip("fall_chair", 3.0), fall_at(14.5), ids={1, 2}, frames=100, crops=20)
    score = score_of([played])
    assert (score.falls, score.reported, score.others, score.false, score.early) == (1, 1, 0, 0, 0)
    assert (score.delays_s, score.ids, score.frames, score.crops) == ((11.5,), (2,), 100, 20)


def test_a_fall_reported_before_it_began_is_early():
    played = Played(clip("fall_chair", 3.0), fall_at(2.0))
    assert reported_at(played) is None
    assert (score_of([played]).reported, score_of([played]).early) == (0, 1)


def test_a_fall_reported_again_is_early_and_counts_once():
    score = score_of([Played(clip("fall_chair", 3.0), fall_at(2.0, 14.0, 20.0))])
    assert (score.reported, score.early, score.delays_s) == (1, 2, (11.0,))


def test_a_fall_reported_of_nobody_who_falls_is_false():
    score = score_of([Played(clip(), fall_at(4.0, 8.0)), Played(clip(), [])])
    assert (score.falls, score.others, score.false, score.early) == (0, 2, 1, 0)


def test_other_events_are_no_falls():
    reported = [(1.0, Occurrence("entered", 1.0)), (4.0, Occurrence("fall_cleared", 4.0))]
    assert Played(clip(), reported).falls == []


def test_frames_of_who_lies_are_added_up():
    played = [Played(clip("fall", 3.0), [], lying_frames=10, lying_found=found) for found in (4, 9)]
    assert (score_of(played).lying_frames, score_of(played).lying_found) == (20, 13)


@pytest.fixture
def score() -> Score:
    """Two falls missed, and three reported that were none."""
    falls = [Played(clip("fall", 3.0), fall_at(*[14.0] * reported)) for reported in (0, 0, 1)]
    return score_of([*falls, *[Played(clip(), fall_at(4.0))] * 3])


@pytest.mark.parametrize("bounds", [Bounds(None, None), Bounds(2, 3)])
def test_figures_within_the_bounds_are_no_problem(score, bounds):
    assert bounds.problems(score) == []


def test_figures_out_of_bounds_are_reported(score):
    assert Bounds(1, 2).problems(score) == [
        "falls missed: must be at most 1, got 2",
        "other clips with a fall: must be at most 2, got 3",
    ]


# Played as the daemon plays


def reported_by_posed(
    video: Path, model: Path, config: CameraConfig, folder: Path
) -> list[tuple[float, Occurrence]]:
    """Events that a recording gives, with the times at which they were reported, s from its beginning."""
    source = CameraConfig(kind="video", source=str(video), realtime=False)
    pair = load_pair(str(model))
    pipeline = Pipeline(
        {"clip": CameraSetup(lambda: VideoFile(source), config.timeout_s)},
        lambda: engine.open_engine(EngineConfig(kind="cpu", threads=1), pair.cpu, pair.edgetpu),
        pair.model.size,
        next_region=pair.network.next_region,
    )
    reported: list[tuple[float, Occurrence]] = []
    now_s, first_s = 0.0, None

    def report(event: Occurrence) -> str:
        reported.append((now_s, event))
        return str(len(reported))

    scene = Scene(config, MemoryJournal(report), folder / "pitch.json")
    pipeline.feeds["clip"].followed.settings = config.decode
    pipeline.start()
    try:
        while True:
            try:
                inferred = pipeline.next(0.1)
            except CameraEnded:
                return reported
            if inferred is None:
                continue
            frame = inferred.frame
            first_s = frame.time_s if first_s is None else first_s
            now_s = frame.time_s - first_s
            scene.update(scene.decode(inferred, pair.network), frame, dark=inferred.dark)
            if (crop := scene.next_crop()) is not None:
                pipeline.feeds["clip"].request_crop(crop, frame)
    finally:
        pipeline.stop(5)


@pytest.mark.shared
@pytest.mark.parametrize(
    "file",
    [
        "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite",
        "other_models/movenet/movenet_single_pose_lightning_ptq.tflite",
    ],
)
def test_a_clip_tells_what_the_daemon_tells(tmp_path, shared, file):
    footage = shared / "footage"
    if not footage.is_dir():
        pytest.skip("needs ../shared/footage, which is not there")
    model = shared / file
    # Somebody walks in and falls within 6 s; reported soon, so that those are enough.
    short = beginning(footage / "urfd_dm_fall-04-cam0.mp4", 6, tmp_path / "short.avi")
    config = camera_config(Config(people={"fall_confirm_s": 2}), str(model))
    one = Clip(short, "try", "fall_chair", 2.4, (), ())
    with PoseFinder(str(model), config.decode) as network:
        played = play(one, network, config, 15, tmp_path / "cache")
    reported = reported_by_posed(short, model, config, tmp_path)
    assert [event.type for _, event in played.reported] == [event.type for _, event in reported]
    assert [at for at, _ in played.reported] == pytest.approx([at for at, _ in reported], abs=1e-3)
    assert "fall" in [event.type for _, event in reported]


def beginning(video: Path, seconds: float, path: Path) -> Path:
    """A video of the first seconds of another."""
    frames, (_, fps, size) = Frames(video), video_facts(video)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    for index in range(round(seconds * fps)):
        writer.write(cv2.cvtColor(frames.at(index), cv2.COLOR_RGB2BGR))
    writer.release()
    return path
