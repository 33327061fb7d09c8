"""`posed draw`: a video with the overlay, and what is said where none comes of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from posed.config import ZoneConfig
from posed.drawing.skeletons import draw_people
from posed.frame import PADDING
from posed.people.events import TrackedPerson
from posed.people.person import Person
from posed.pose import LEFT_HIP, LEFT_KNEE, LEFT_SHOULDER, RIGHT_HIP, RIGHT_KNEE, RIGHT_SHOULDER, Pose
from posed.synthetic.scene import Act, Part, Scene
from scripts.standins.heads import person
from tests.disks import Disk
from tests.films import FPS, film, transport_stream
from tests.make_movenet import MULTI, SINGLE, UPRIGHT, make_movenet
from tests.make_movenet import person as person_of
from tests.run_posed import environment, posed
from tests.test_cli import picture

MODEL = "drawings-257x353-16"
WIDTH, HEIGHT = 320, 240


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Somebody who stands still on the left."""
    part = Part((Act("stand", 0, 5),), (-0.8, 3.5), 0.0, 13)
    return Scene(3, (WIDTH, HEIGHT), script=[part])


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, scene: Scene) -> Path:
    return film(tmp_path_factory.mktemp("film") / "stand.avi", scene, 2.5)


def frames_of(path: Path) -> tuple[list[np.ndarray], float]:
    """BGR, and frames per second."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def test_everybody_and_the_zones_are_drawn_where_they_are(tmp_path, video, scene):
    config = tmp_path / "posed.yaml"
    config.write_text(
        "cameras: {hall: {zones: {corner: "
        "{polygon: [[0.75, 0.75], [0.95, 0.75], [0.95, 0.95], [0.75, 0.95]]}}}}"
    )
    out = tmp_path / "out.mp4"
    done = posed(tmp_path, "draw", video, "-o", out, "--model", MODEL, "--config", config)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{out}: 25 frames\n", "")
    (before, _), (after, fps) = frames_of(video), frames_of(out)
    assert (len(after), fps, after[0].shape) == (25, FPS, (HEIGHT, WIDTH, 3))
    changed = np.abs(after[20].astype(int) - before[20]).max(axis=2) > 80
    (truth,) = scene.render(2.0).people
    near = cv2.dilate(marked(truth.points), np.ones((25, 25)))
    x, y, width, _ = (round(one) for one in truth.box)
    above = slice(max(0, y - 25), y + 10), slice(max(0, x - 20), x + width + 60)
    zone = np.zeros((HEIGHT, WIDTH), bool)
    zone[160:, 220:] = True
    joints = [LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP, LEFT_KNEE, RIGHT_KNEE]
    assert all(changed[around(point)].any() for point in truth.points[joints])
    assert changed[above].any(), "the id and the posture"
    assert changed[178:182, 245:300].any(axis=0).mean() > 0.9, "the zone's border"
    elsewhere = changed & (near == 0) & ~zone
    elsewhere[above] = False
    assert elsewhere.mean() < 0.002
    assert [one.name for one in tmp_path.iterdir() if "part" in one.name] == []


def drawn_on_red(folder: Path, movenet: bytes, level: int) -> list[np.ndarray]:
    """What is drawn with a model on a red picture, BGR."""
    model, video, out = folder / "move.tflite", folder / "red.avi", folder / "out.mp4"
    model.write_bytes(movenet)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (240, 240))
    for _ in range(20):
        writer.write(np.full((240, 240, 3), (0, 0, level), np.uint8))
    writer.release()
    done = posed(folder, "draw", video, "-o", out, "--model", model)
    assert (done.returncode, done.stderr) == (0, "")
    frames, _ = frames_of(out)
    assert len(frames) == 20
    return frames


@pytest.mark.parametrize(("shape", "size"), [(SINGLE, (64, 64)), (MULTI, None)])
@pytest.mark.parametrize(("level", "sees"), [(255, True), (15, False)])
def test_whom_a_movenet_sees_is_drawn(tmp_path, shape, size, level, sees):
    frames = drawn_on_red(tmp_path, make_movenet(shape, size=size), level)
    assert (frames[-1][..., 1].max() > 100) == sees


def test_a_movenet_has_its_own_thresholds(tmp_path):
    # Its keypoints score 0.32: enough of a PoseNet's.
    frames = drawn_on_red(tmp_path, make_movenet(), 102)
    assert frames[-1][..., 1].max() < 60


def test_a_movenet_follows_whom_it_draws(tmp_path):
    # It sees somebody small in the middle of whatever it looks at.
    small = person_of(UPRIGHT * 0.5 + 0.25, 0.0)
    frames = drawn_on_red(tmp_path, make_movenet(values=small), 255)
    heights = [np.ptp(np.nonzero(frame[..., 1].max(axis=1) > 100)[0]) for frame in frames[2:]]
    assert min(heights) < 0.7 * max(heights)


def marked(points: np.ndarray) -> np.ndarray:
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    hull = cv2.convexHull(points[:, ::-1].round().astype(np.int32))
    return cv2.fillConvexPoly(image, hull, 1)


def around(point: np.ndarray) -> tuple[slice, slice]:
    y, x = point.round().astype(int).tolist()
    return slice(max(0, y - 6), y + 7), slice(max(0, x - 6), x + 7)


def tracked(number: int, x: float) -> TrackedPerson:
    pose = Pose(person((120, x), 180), np.full(17, 0.9), 0.9)
    return TrackedPerson(Person(number, pose, np.ones(17, bool), True, 180, pose), "standing", 1.0, ())


def test_a_person_keeps_the_colour():
    blank = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    alone = draw_people(blank, [tracked(4, 80)], {}, 0.2)
    beside = draw_people(blank, [tracked(3, 240), tracked(4, 80)], {}, 0.2)
    assert np.array_equal(alone[:, :120], beside[:, :120])
    assert not blank.any()


@pytest.mark.parametrize("size", [(16, 16), (3000, 100)])
def test_words_and_people_at_the_borders_are_no_trouble(size):
    width, height = size
    zones = {"z" * 64: ZoneConfig(polygon=[(0, 0), (1, 0), (1, 1)], kind="exclude")}
    far = Pose(np.full((17, 2), 1e9), np.full(17, 0.9), 0.9)
    there = TrackedPerson(Person(1, far, np.ones(17, bool), True, 1.0, far), "unknown", 1.0, ())
    drawn = draw_people(np.zeros((height, width, 3), np.uint8), [there], zones, 0.2)
    assert drawn.shape == (height, width, 3)


def test_a_video_that_changes_its_size_keeps_the_first(tmp_path):
    path, out = tmp_path / "a.ts", tmp_path / "out.mp4"
    path.write_bytes(transport_stream(tmp_path, (320, 240)) + transport_stream(tmp_path, (128, 128)))
    done = posed(tmp_path, "draw", path, "-o", out, "--model", MODEL)
    assert (done.returncode, done.stderr) == (0, "")
    frames, _ = frames_of(out)
    assert {frame.shape for frame in frames} == {(240, 320, 3)}
    assert len(frames) >= 20
    small = frames[-1]
    assert small[120, 20].tolist() == pytest.approx([PADDING] * 3, abs=8)
    assert small[200, 160, 2] > 180, "the red from below"


def test_the_video_itself_is_not_overwritten(tmp_path, video):
    own = tmp_path / "own.mp4"
    own.write_bytes(video.read_bytes())
    linked = tmp_path / "link.mp4"
    linked.symlink_to(own)
    for out in (own, linked):
        done = posed(tmp_path, "draw", own, "-o", out, "--model", MODEL)
        assert (done.returncode, done.stderr) == (
            4,
            f"{out}: must be another file than the video that is drawn\n",
        )
    assert own.read_bytes() == video.read_bytes()


def test_what_cannot_be_drawn_is_one_line_and_changes_nothing(tmp_path, video):
    out = tmp_path / "out.mp4"
    out.write_text("precious")
    still, empty = picture(tmp_path / "1.png"), tmp_path / "empty.mp4"
    empty.touch()
    for source, line in [
        (tmp_path / "none.mp4", "must be a video, there is no such file"),
        (empty, "must be a video that FFmpeg reads, got none or a damaged one"),
        (tmp_path, "must be a video, is a folder"),
    ]:
        done = posed(tmp_path, "draw", source, "-o", out, "--model", MODEL)
        assert (done.returncode, done.stderr) == (4, f"camera {source}: {line}\n"), done.stderr
    for wrong in (tmp_path / "out.gif", tmp_path / "nowhere" / "out.mp4"):
        done = posed(tmp_path, "draw", video, "-o", wrong, "--model", MODEL)
        assert done.returncode == 4
        assert done.stderr.startswith(f"{wrong}: ")
        assert done.stderr.count("\n") == 1
    assert out.read_text() == "precious"
    assert still.exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, video):
    with Disk(tmp_path / "small", 16 * 1024) as disk:
        out = disk.folder / "out.mp4"
        done = posed(tmp_path, "draw", video, "-o", out, "--model", MODEL)
        assert done.returncode == 4
        assert done.stderr == f"{out}: cannot be written: No space left on device\n"
        assert list(disk.folder.iterdir()) == []


def test_a_video_that_breaks_off_is_drawn_that_far(tmp_path, video):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    done = posed(tmp_path, "draw", broken, "-o", tmp_path / "out.mp4", "--model", MODEL)
    assert done.returncode == 0
    assert "damaged at frame" in done.stderr
    frames, _ = frames_of(tmp_path / "out.mp4")
    assert 5 < len(frames) < 20


def test_ctrl_c_ends_it_with_130_and_leaves_nothing(tmp_path, video):
    out = tmp_path / "out.mp4"
    process = subprocess.Popen(
        [sys.executable, "-m", "posed", "draw", str(video), "-o", str(out), "--model", MODEL],
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    )
    part = tmp_path / ".out.part.mp4"
    while process.poll() is None and not part.exists():
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert not part.exists()
    assert not out.exists()


def test_a_turned_video_is_turned(tmp_path, video):
    config = tmp_path / "posed.yaml"
    config.write_text("cameras: {hall: {rotate: 90, mirror: true}}")
    done = posed(tmp_path, "draw", video, "-o", tmp_path / "out.mp4", "--model", MODEL, "-c", config)
    assert done.returncode == 0
    frames, _ = frames_of(tmp_path / "out.mp4")
    assert frames[0].shape == (WIDTH, HEIGHT, 3)


def test_of_several_cameras_the_named_one_is_drawn(tmp_path, video):
    config = tmp_path / "posed.yaml"
    config.write_text("cameras: {hall: {}, bath: {rotate: 90}}")
    arguments = ["draw", video, "-o", tmp_path / "out.mp4", "--model", MODEL, "-c", config]
    done = posed(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (2, "--camera: must be one of hall, bath, got none\n")
    done = posed(tmp_path, *arguments, "--camera", "bath")
    assert (done.returncode, done.stderr) == (0, "")
    frames, _ = frames_of(tmp_path / "out.mp4")
    assert frames[0].shape == (WIDTH, HEIGHT, 3)


def test_a_folder_is_no_video_to_write(tmp_path, video):
    out = tmp_path / "out.mp4"
    out.mkdir()
    done = posed(tmp_path, "draw", video, "-o", out, "--model", MODEL)
    assert (done.returncode, done.stderr) == (4, f"{out}: must be a file, is a folder\n")
