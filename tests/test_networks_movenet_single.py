"""What is made of the output of a MoveNet for one person, and where it looks next."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from posed.config import DecodeConfig
from posed.engine.tflite import open_cpu
from posed.errors import ModelError
from posed.frame import Letterbox, Region, RotatedCrop, RotatedLetterbox, View
from posed.model.outputs import Outputs, OutputTensor
from posed.model.tflite import Model, parse_model
from posed.networks import INPUT_SIZE, network_of
from posed.networks.movenet import SinglePose
from posed.networks.movenet.region import region_around
from posed.networks.pair import load_pair
from posed.pose import KEYPOINT_COUNT, LEFT_HIP, LEFT_SHOULDER, NOSE, RIGHT_HIP, RIGHT_SHOULDER, Pose
from scripts.evaluate.clips import Frames
from scripts.evaluate.thresholds import painted_over
from tests.make_movenet import SEEN, UPRIGHT, make_movenet, person

FOLDER = "other_models/movenet"
FILE = "movenet_single_pose_lightning_ptq"
FRAME = (640, 480)
"""(width, height) of frames, px."""

SCORES = np.full(KEYPOINT_COUNT, 0.9)

ALL = DecodeConfig(score_threshold=0.01)


def model_of() -> Model:
    return parse_model(make_movenet(), Path("net.tflite"))


def outputs_of(points: np.ndarray = UPRIGHT, score: float = 0.5) -> Outputs:
    return (OutputTensor(person(points, score)[np.newaxis]),)


def unseen(*keypoints: int) -> np.ndarray:
    """Scores of somebody of whom these are not seen."""
    scores = SCORES.copy()
    scores[list(keypoints)] = 0.1
    return scores


def in_frame(side: float, middle: tuple[float, float] = (240, 320)) -> np.ndarray:
    """Somebody upright whose square has this side and middle, px of a frame."""
    return (UPRIGHT - 0.5) * side + middle


def test_a_file_with_one_person_is_a_single_pose() -> None:
    network = network_of(model_of(), INPUT_SIZE)
    assert isinstance(network, SinglePose)
    assert (network.model.size, network.stride, network.grid) == ((64, 64), 4, (16, 16))


@pytest.mark.parametrize(("size", "name"), [(192, " (Lightning)"), (256, " (Thunder)"), (64, "")])
def test_the_variant_is_told_by_its_input(size: int, name: str) -> None:
    network = network_of(parse_model(make_movenet(size=(size, size)), Path("net.tflite")), INPUT_SIZE)
    assert network.facts()[0] == ("network", f"MoveNet single-pose{name}")


@pytest.mark.parametrize("threshold", [0.49, 0.51])
def test_somebody_is_there_who_scores_enough(threshold: float) -> None:
    view = Letterbox(FRAME, (64, 64))
    found = SinglePose(model_of()).poses(outputs_of(), view, DecodeConfig(score_threshold=threshold))
    assert len(found) == (threshold < 0.5)
    for pose in found:
        np.testing.assert_allclose(pose.points, view.to_source(UPRIGHT * 64), atol=1e-3)
        assert pose.score == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_nobody_and_nowhere(bad: float) -> None:
    network, view = SinglePose(model_of()), Letterbox(FRAME, (64, 64))
    outputs = outputs_of(np.full((KEYPOINT_COUNT, 2), bad), bad)
    assert network.poses(outputs, view, DecodeConfig()) == []
    assert network.next_region(outputs, view, DecodeConfig(), FRAME) is None


def test_an_output_in_steps_is_read() -> None:
    steps = np.round(person(UPRIGHT, 0.5) * 250 - 128).astype(np.int8)[np.newaxis]
    outputs = (OutputTensor(steps, scale=1 / 250, zero_point=-128),)
    [pose] = SinglePose(model_of()).poses(outputs, Letterbox((64, 64), (64, 64)), DecodeConfig())
    np.testing.assert_allclose(pose.points, UPRIGHT * 64, atol=0.2)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_steps_without_a_scale_are_refused(dtype: str) -> None:
    model = model_of()
    [output] = model.outputs
    with pytest.raises(ModelError, match=rf"^net\.tflite: output: {dtype} needs a scale, got none in 'State"):
        network_of(replace(model, outputs=(replace(output, dtype=dtype),)), INPUT_SIZE)


def test_the_square_is_around_the_hips() -> None:
    points = in_frame(150)
    region = region_around(points, SCORES, FRAME)
    assert region is not None
    y, x = points[[LEFT_HIP, RIGHT_HIP]].mean(axis=0)
    assert ((region.left + region.right) / 2, (region.top + region.bottom) / 2) == pytest.approx(
        (x, y), abs=1
    )
    assert region.right - region.left == pytest.approx(region.bottom - region.top, abs=1)
    farthest = np.abs(points - (y, x)).max()
    assert (region.right - region.left) / 2 == pytest.approx(1.2 * farthest, abs=1)


def test_a_keypoint_that_is_not_seen_says_nothing() -> None:
    points = in_frame(150)
    points[NOSE] = 0, 0
    assert region_around(points, unseen(NOSE), FRAME) == region_around(in_frame(150), SCORES, FRAME)


def test_the_torso_counts_though_not_all_is_seen() -> None:
    points = in_frame(150)
    points[LEFT_SHOULDER] -= (100, 0)
    before, after = (region_around(p, unseen(LEFT_SHOULDER), FRAME) for p in (in_frame(150), points))
    assert before is not None
    assert after is not None
    assert after.bottom - after.top > before.bottom - before.top


@pytest.mark.parametrize("pair", [(LEFT_HIP, RIGHT_HIP), (LEFT_SHOULDER, RIGHT_SHOULDER)])
def test_all_is_looked_at_while_no_torso_is_seen(pair: tuple[int, int]) -> None:
    points = in_frame(150)
    assert region_around(points, unseen(pair[0]), FRAME) is not None
    assert region_around(points, unseen(*pair), FRAME) is None


def test_all_is_looked_at_where_somebody_fills_it() -> None:
    assert region_around(in_frame(460), SCORES, FRAME) is not None
    assert region_around(in_frame(700, (240, 400)), SCORES, FRAME) is None


def test_nobody_is_followed_out_of_the_frame() -> None:
    assert region_around(in_frame(150, (240, -30)), SCORES, FRAME) is None
    assert region_around(in_frame(8), SCORES, FRAME) is None


def test_the_square_reaches_beyond_the_frame_at_its_border() -> None:
    region = region_around(in_frame(150, (240, 10)), SCORES, FRAME)
    assert region is not None
    assert region.left < 0 < region.right


def test_no_square_reaches_farther_than_the_frame() -> None:
    region = region_around(in_frame(400, (100, 320)), SCORES, FRAME)
    assert region is not None
    assert region.bottom <= 481


def test_a_region_says_where_to_look_next() -> None:
    network = SinglePose(model_of())
    view: View = RotatedLetterbox(RotatedCrop(Region(100, 50, 300, 250), 0), (64, 64))
    region = network.next_region(outputs_of(), view, DecodeConfig(), FRAME)
    assert region == region_around(view.to_source(UPRIGHT * 64), np.full(KEYPOINT_COUNT, 0.5), FRAME)
    assert region is not None


@pytest.mark.parametrize(("score", "follows"), [(0.39, True), (0.37, False)])
def test_nobody_is_followed_who_is_not_reported(score: float, follows: bool) -> None:
    network, settings = SinglePose(model_of()), DecodeConfig(score_threshold=0.38)
    close: View = RotatedLetterbox(RotatedCrop(Region(100, 50, 300, 250), 0), (64, 64))
    region = network.next_region(outputs_of(score=score), close, settings, FRAME)
    assert (region is not None) is follows


def test_somebody_faint_is_looked_at_closely_once() -> None:
    network, settings = SinglePose(model_of()), DecodeConfig(score_threshold=0.38)
    points = in_frame(150) / 640 + (80 / 640, 0)
    view = Letterbox(FRAME, (64, 64))
    region = network.next_region(outputs_of(points, 0.3), view, settings, FRAME)
    assert region is not None
    assert region.right - region.left < 300


def test_a_tiny_movenet_runs_on_the_engine() -> None:
    network = network_of(model_of(), INPUT_SIZE)
    red = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    view = Letterbox((64, 64), (64, 64))
    with open_cpu(network.model, threads=1, why="a test") as engine:
        [pose] = network.poses(engine.infer(red), view, DecodeConfig())
        assert network.poses(engine.infer(red // 10), view, DecodeConfig()) == []
    assert pose.score == pytest.approx(SEEN)


@pytest.mark.shared
def test_googles_own_pose_is_found(shared: Path) -> None:
    # Google stretched the picture. Its two references, of the CPU and of an Edge TPU, differ by up to 4.9 px.
    pair = load_pair(str(shared / FOLDER / f"{FILE}.tflite"))
    picture = cv2.cvtColor(cv2.imread(str(shared / "testdata/squat.bmp")), cv2.COLOR_BGR2RGB)
    assert pair.cpu is not None
    view = Letterbox((192, 192), (192, 192))
    with open_cpu(pair.cpu, threads=1, why="a test") as engine:
        [pose] = pair.network.poses(engine.infer(cv2.resize(picture, (192, 192))), view, DecodeConfig())
    for name in (FILE, f"{FILE}_edgetpu"):
        distances = np.linalg.norm(pose.points - reference(shared / FOLDER / f"{name}_reference.csv"), axis=1)
        assert np.median(distances) < 3
        assert distances.max() < 8


def reference(path: Path) -> np.ndarray:
    """Google's points, y first, px of the input."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["keypoint_id"]) for row in rows] == list(range(KEYPOINT_COUNT))
    return np.array([[float(row["keypoint_y"]), float(row["keypoint_x"])] for row in rows]) * 192


@pytest.mark.shared
def test_what_is_said_of_the_real_files(shared: Path) -> None:
    pair = load_pair(str(shared / FOLDER / f"{FILE}.tflite"))
    assert pair.plain is not None
    assert pair.compiled is not None
    assert pair.plain.facts() == pair.compiled.facts()
    assert dict(pair.network.facts())["poses"] == "one person with 17 × (y, x, score), float32"


@pytest.mark.shared
def test_somebody_small_is_seen_better_where_they_are_followed(shared: Path) -> None:
    pair = load_pair(str(shared / FOLDER / f"{FILE}.tflite"))
    squat = cv2.cvtColor(cv2.imread(str(shared / "testdata/squat.bmp")), cv2.COLOR_BGR2RGB)
    frame = np.full((720, 1280, 3), 127, np.uint8)
    frame[300:544, 700:900] = cv2.resize(squat, (200, 244), interpolation=cv2.INTER_AREA)
    assert pair.cpu is not None
    size, view, scores = (1280, 720), Letterbox((1280, 720), (192, 192)), []
    with open_cpu(pair.cpu, threads=1, why="a test") as engine:
        for _ in range(4):
            outputs = engine.infer(view.apply(frame))
            poses = pair.network.poses(outputs, view, ALL)
            scores.append(poses[0].score)
            region = pair.network.next_region(outputs, view, ALL, size)
            assert region is not None
            view = RotatedLetterbox(RotatedCrop(region, 0), (192, 192))
    assert scores[-1] > scores[0] + 0.1
    squat_at = squat_points(shared) * 0.4 + (300, 700)
    assert np.median(np.linalg.norm(poses[0].points - squat_at, axis=1)) < 6


@pytest.mark.shared
def test_a_phantom_does_not_keep_somebody_plainly_visible_unseen(shared: Path) -> None:
    # Where this person was painted over, Lightning sees a faint torso in the furniture, frame after frame.
    pair = load_pair(str(shared / FOLDER / f"{FILE}.tflite"))
    picture = Frames(shared / "footage/urfd_adl_adl-01-cam0.mp4").at(60)
    settings = DecodeConfig(score_threshold=pair.network.defaults["decode.score_threshold"])
    region: Region | None = None

    def look(image: np.ndarray) -> Pose:
        nonlocal region
        view: View = Letterbox((320, 240), (192, 192))
        if region is not None:
            view = RotatedLetterbox(RotatedCrop(region, 0), (192, 192))
        outputs = engine.infer(view.apply(image))
        region = pair.network.next_region(outputs, view, settings, (320, 240))
        return pair.network.poses(outputs, view, ALL)[0]

    assert pair.cpu is not None
    with open_cpu(pair.cpu, threads=1, why="a test") as engine:
        alone = [look(picture) for _ in range(4)][-1]
        empty, region = painted_over(picture, [alone]), None
        phantoms = [look(empty).score for _ in range(8)]
        scores = [look(picture).score for _ in range(4)]
    assert alone.score > 0.5
    assert max(phantoms) < settings.score_threshold
    assert scores[-1] > 0.5


def squat_points(shared: Path) -> np.ndarray:
    """Where Google finds somebody in squat.bmp, y first, px of it."""
    return reference(shared / FOLDER / f"{FILE}_reference.csv") * (610 / 192, 500 / 192)
