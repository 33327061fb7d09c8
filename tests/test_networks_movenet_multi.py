"""What is made of the output of a MoveNet MultiPose, and which files hold one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posed.config import DecodeConfig
from posed.engine.tflite import open_cpu
from posed.errors import ModelError
from posed.frame import Letterbox
from posed.model.outputs import OutputTensor
from posed.model.tflite import Model, parse_model
from posed.networks import network_of
from posed.networks.movenet import MultiPose
from posed.networks.movenet.multi import NOBODY, SURE
from posed.networks.pair import load_pair
from posed.pose import NOSE, Pose
from tests.make_movenet import MULTI, UPRIGHT, make_movenet, multi_values, person

FILE = "other_models/movenet/movenet_multipose_lightning_float16.tflite"
VIEW = Letterbox((64, 64), (64, 64))


def model_of(**changes: object) -> Model:
    return replace(parse_model(make_movenet(MULTI, size=(64, 64)), Path("net.tflite")), **changes)


def poses(values: NDArray[np.float32], **settings: object) -> list[Pose]:
    """What a network with an input of 64×64 finds in its output, px of the input."""
    network = MultiPose(model_of())
    return network.poses((OutputTensor(values[0]),), VIEW, DecodeConfig(**settings))


def refusal(model: Model) -> str:
    with pytest.raises(ModelError) as caught:
        network_of(model, 96)
    return str(caught.value)


def test_a_file_with_six_people_is_a_multipose() -> None:
    network = network_of(parse_model(make_movenet(MULTI, size=None), Path("net.tflite")), 96)
    assert isinstance(network, MultiPose)
    assert (network.model.size, network.stride, network.grid) == ((96, 96), 4, (24, 24))


def test_a_fixed_input_stays_as_it_is() -> None:
    network = network_of(parse_model(make_movenet(MULTI, size=(64, 32)), Path("net.tflite")), 96)
    assert network.model.size == (64, 32)


def test_everybody_who_scores_enough_is_found_best_first() -> None:
    left, right = person(UPRIGHT * 0.4, 0.5), person(UPRIGHT * 0.4 + 0.5, 0.9)
    values = multi_values((left, 0.4), (right, 0.56), (left, 0.1))
    found = poses(values, score_threshold=0.2)
    assert [pose.score for pose in found] == pytest.approx([0.75, 0.5])
    np.testing.assert_allclose(found[1].points, UPRIGHT * 0.4 * 64, atol=1e-4)
    assert found[0].scores[NOSE] == pytest.approx(0.9)


def test_no_more_people_are_found_than_wanted() -> None:
    somebody = person(UPRIGHT, 0.5)
    values = multi_values((somebody, 0.4), (somebody, 0.6), (somebody, 0.5))
    best, second = (0.6 - NOBODY) / (SURE - NOBODY), (0.5 - NOBODY) / (SURE - NOBODY)
    assert [pose.score for pose in poses(values, max_people=2)] == pytest.approx([best, second])
    assert [pose.score for pose in poses(values, people="one")] == pytest.approx([best])


@pytest.mark.parametrize(
    ("given", "score"), [(0.24, 0.25), (0.4, 0.5), (0.72, 1), (1.5, 1), (0.08, 0), (-1, 0), (0, 0)]
)
def test_a_person_scores_as_with_posenet(given: float, score: float) -> None:
    found = poses(multi_values((person(UPRIGHT, 0.5), given)), score_threshold=1e-9)
    assert [pose.score for pose in found] == pytest.approx([score] if score else [])


def test_points_are_brought_back_to_the_frame() -> None:
    view = Letterbox((640, 480), (64, 64))
    [pose] = MultiPose(model_of()).poses(
        (OutputTensor(multi_values((person(UPRIGHT, 0.5), 0.5))[0]),), view, DecodeConfig()
    )
    np.testing.assert_allclose(pose.points, view.to_source(UPRIGHT * 64), atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("value", [0, 1, 2])
def test_a_keypoint_that_is_no_number_is_not_seen(bad: float, value: int) -> None:
    keypoints = person(UPRIGHT, 0.5)
    keypoints[NOSE, value] = bad
    [pose] = poses(multi_values((keypoints, 0.5)))
    assert pose.scores[NOSE] == 0
    assert np.isfinite(pose.points).all()
    assert pose.scores[NOSE + 1 :].tolist() == pytest.approx([0.5] * 16)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_person_whose_score_is_no_number_is_nobody(bad: float) -> None:
    assert poses(multi_values((person(UPRIGHT, 0.5), bad))) == []


def test_points_far_outside_are_kept_within_the_input() -> None:
    keypoints = person(UPRIGHT * 50 - 20, 0.5)
    [pose] = poses(multi_values((keypoints, 0.5)))
    assert pose.points.min() == 0
    assert pose.points.max() == 63


def test_boxes_by_the_thousand_are_no_movenet() -> None:
    model = parse_model(make_movenet((1, 40, 56)), Path("net.tflite"))
    assert "MoveNet" not in refusal(model)


@pytest.mark.parametrize("shape", [(1, 17, 3), (1, 6, 51), (1, 10, 56), (6, 17, 3)])
def test_a_movenet_of_another_kind_is_named(shape: tuple[int, ...]) -> None:
    model = parse_model(make_movenet(shape), Path("net.tflite"))
    assert refusal(model) == (
        f"net.tflite: a MoveNet of a kind posed does not know ({'×'.join(map(str, shape))})"
    )


def test_an_input_of_floats_is_refused() -> None:
    model = parse_model(make_movenet(MULTI, dtype="float32"), Path("net.tflite"))
    assert refusal(model) == "net.tflite: input: must be uint8 for a MoveNet, got float32"


def test_an_output_without_its_quantisation_is_refused() -> None:
    [output] = model_of().outputs
    model = model_of(outputs=(replace(output, dtype="int8"),))
    assert refusal(model) == (
        "net.tflite: output: int8 needs a scale, got none in 'StatefulPartitionedCall:0'"
    )
    model = model_of(outputs=(replace(output, dtype="int32"),))
    assert refusal(model) == "net.tflite: output: must be uint8, int8 or float32, got int32"


@pytest.mark.parametrize("size", [64, 160])
def test_the_engine_sets_the_size_that_a_file_leaves_open(tmp_path: Path, size: int) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(make_movenet(MULTI, size=None))
    pair = load_pair(str(path), input_size=size)
    assert pair.cpu is not None
    red = np.full((size, size, 3), (255, 0, 0), np.uint8)
    with open_cpu(pair.cpu, threads=1, why="a test") as engine:
        [pose] = pair.network.poses(engine.infer(red), Letterbox((size, size), (size, size)), DecodeConfig())
        assert pair.network.poses(engine.infer(red // 10), VIEW, DecodeConfig()) == []
    np.testing.assert_allclose(pose.points, UPRIGHT * size, atol=1e-3)
    assert pose.score == 1


@pytest.mark.shared
def test_what_is_said_of_the_real_file(shared: Path) -> None:
    facts = load_pair(str(shared / FILE), input_size=192).network.facts()
    assert facts == [
        ("network", "MoveNet MultiPose"),
        ("output stride", "4 px"),
        ("padding", "none"),
        ("grid", "48×48 cells"),
        ("poses", "6 people with 17 × (y, x, score), float32"),
        ("boxes", "one of each person, not used"),
    ]


@pytest.mark.shared
def test_two_people_are_where_posenet_finds_them(shared: Path) -> None:
    image = cv2.cvtColor(cv2.imread(str(shared / "testdata/couple_640x480.bmp")), cv2.COLOR_BGR2RGB)
    found = []
    for name in (FILE, "models/posenet_mobilenet_v1_075_481_641_16_quant_decoder.tflite"):
        pair = load_pair(str(shared / name))
        assert pair.cpu is not None
        view = Letterbox((640, 480), pair.model.size)
        with open_cpu(pair.cpu, threads=1, why="a test") as engine:
            outputs = engine.infer(view.apply(image))
        people = pair.network.poses(outputs, view, DecodeConfig())
        found.append(sorted(people, key=lambda pose: pose.points[NOSE, 1]))
    moves, googles = found
    assert len(moves) == len(googles) == 2
    for ours, other in zip(moves, googles, strict=True):
        sure = (ours.scores > 0.5) & (other.scores > 0.5)
        distances = np.linalg.norm(ours.points - other.points, axis=1)[sure]
        assert np.median(distances) < 6
        assert distances.max() < 20
