"""What networks are compared by: scores, keypoints, and pictures without anybody."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np
import pytest

from posed.config import Config
from posed.pose import KEYPOINT_COUNT, MIRRORED, Pose
from posed.synthetic.scene import Scene
from scripts.evaluate import footage
from scripts.evaluate.clips import Clip
from scripts.evaluate.inferences import camera_config
from scripts.evaluate.networks import error_of, google_poses, input_size, sizes_of
from scripts.evaluate.thresholds import PAINT, Counted, compare, painted_over
from scripts.standins.heads import person
from tests.films import film
from tests.make_movenet import MULTI, SINGLE, make_movenet

POINTS = person((100, 100), 100)
SURE = np.full(KEYPOINT_COUNT, 0.9)


def pose(points: np.ndarray = POINTS) -> Pose:
    return Pose(points, SURE, 0.9)


def moved(down_px: float, right_px: float) -> Pose:
    return pose(POINTS + np.array([down_px, right_px]))


def test_keypoints_are_measured_from_the_nearest_person() -> None:
    truth = [(POINTS, SURE), (POINTS + 500, SURE)]
    assert error_of([moved(0, 3)], truth) == pytest.approx(3)
    assert error_of([moved(4, 0), moved(500, 502)], truth) == pytest.approx(3)
    assert np.isnan(error_of([], truth))


def test_keypoints_that_google_doubts_are_not_measured() -> None:
    scores = np.where(np.arange(KEYPOINT_COUNT) < 9, 0.9, 0.1)
    points = POINTS.copy()
    points[9:] += 1000
    assert error_of([pose(points)], [(POINTS, scores)]) == 0


def test_googles_fractions_become_pixels(tmp_path: Path) -> None:
    rows = [f"0,1,{index},0.7,0.5,0.25" for index in range(KEYPOINT_COUNT)]
    path = tmp_path / "poses.csv"
    path.write_text(
        "pose_id,pose_score,keypoint_id,keypoint_score,keypoint_x,keypoint_y\n" + "\n".join(rows), "utf-8"
    )
    [(points, scores)] = google_poses(path, (640, 480))
    assert points.tolist() == [[120, 320]] * KEYPOINT_COUNT
    assert scores.tolist() == [0.7] * KEYPOINT_COUNT


@pytest.mark.parametrize(("shape", "size", "played"), [(SINGLE, (64, 64), [96]), (MULTI, None, [96, 128])])
def test_a_model_of_one_size_is_played_once(
    tmp_path: Path, shape: tuple[int, ...], size: tuple[int, int] | None, played: list[int]
) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(make_movenet(shape, size=size))
    assert sizes_of(str(path), [96, 128]) == played


@pytest.mark.parametrize(
    ("size", "rule"),
    [("0", "at least 64"), ("100", "a multiple of 32"), ("1312", "at most 1280")],
)
def test_a_size_that_no_network_takes_is_refused(size: str, rule: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"^input_size: must be {rule}, got {size}$"):
        input_size(size)


def test_footage_is_played_at_the_size_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(make_movenet(MULTI, size=None))
    monkeypatch.setattr(footage, "INFERENCES", tmp_path / "kept")
    clip = Clip(film(tmp_path / "clip.avi", Scene(3, (64, 64)), 0.3), "try", "no_fall", None, (), ())
    how = {"keep": False, "mirror": False, "learn": False}
    config = camera_config(Config(), str(model))
    footage.play_one(clip, footage.Conditions(str(model), config, 10, 96), how)
    assert list((tmp_path / "kept").glob("*-96x96-*.brightness"))


def test_everybody_is_painted_over() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    empty = painted_over(picture, [pose()])
    assert all((empty[int(y), int(x)] == PAINT).all() for y, x in POINTS)
    assert (empty[0, 0] == 0).all()
    assert not picture.any()


def test_a_pose_and_its_mirror_image_are_in_one_place() -> None:
    counted = Counted()
    mirrored = Pose(np.column_stack([POINTS[:, 0], 199 - POINTS[:, 1]])[list(MIRRORED)], SURE, 0.9)
    compare(counted, pose(), mirrored, 200)
    assert counted.apart == pytest.approx([0.0] * KEYPOINT_COUNT)
    assert (counted.shown(0.5), counted.wrong(0.5)) == (1, 0)


def test_keypoints_that_differ_in_the_mirror_are_wrong() -> None:
    counted = Counted()
    compare(counted, pose(), pose(), 300)
    assert counted.wrong(0.5) > 0.9
    assert counted.wrong(0.95) == 0


def test_shares_are_of_what_reaches_a_threshold() -> None:
    counted = Counted(somebody=[0.2, 0.6], nobody=[0.1, 0.3])
    assert (counted.found(0.5), counted.invented(0.2), counted.found(0.2)) == (0.5, 0.5, 1)
