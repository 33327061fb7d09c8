"""Many people out of heads."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from posed.config import DecodeConfig, EngineConfig
from posed.engine import open_engine
from posed.frame import Image, Letterbox
from posed.model.outputs import OutputTensor
from posed.model.tflite import read_model
from posed.networks.pair import load_pair
from posed.networks.posenet import PoseNet, decode, decode_many
from posed.networks.posenet.heads import Heads
from posed.networks.posenet.logits import logit_of
from posed.pose import EDGES, KEYPOINT_COUNT, KEYPOINTS, LEFT_EYE, NOSE, Pose
from scripts.standins.heads import NOBODY, heads_of, person, quantised, radius_px, scattered

SIZE = (641, 481)
CONFIG = DecodeConfig()
SHARED_PARTS = ("ear", "elbow", "wrist", "knee", "ankle")
Points = NDArray[np.float64]


def poses_of(
    heads: Heads, *, max_people: int = 10, threshold: float = 0.3, nms_radius_px: float = 20.0
) -> list[Pose]:
    return decode_many(heads, max_people, threshold, nms_radius_px)


def row_of(count: int) -> list[Points]:
    """People of 220 px who stand apart from each other."""
    return [person((200 + 9 * index, 80 + 118 * index), 220 + 7 * index) for index in range(count)]


def assert_same_people(poses: Sequence[Pose], people: Sequence[Points], within_px: float) -> None:
    """Each person is one pose, whatever the order."""
    assert len(poses) == len(people)
    worst = [min(np.abs(pose.points - points).max() for pose in poses) for points in people]
    assert max(worst, default=0.0) <= within_px


def with_logits(heads: Heads, change: Callable[[NDArray[np.float32]], None]) -> Heads:
    logits = np.array(heads.heatmaps.data, np.float32)
    change(logits)
    return replace(heads, heatmaps=OutputTensor(logits))


def with_only_root(heads: Heads, root: int, other_score: float) -> Heads:
    """Only one keypoint's peak stays; every other keypoint scores the same everywhere."""

    def change(logits: NDArray[np.float32]) -> None:
        others = np.arange(KEYPOINT_COUNT) != root
        logits[:, :, others] = logit_of(other_score)

    return with_logits(heads, change)


# Where and how many


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_everybody_is_found_within_half_a_pixel(stride: int, count: int) -> None:
    people = row_of(count)
    assert_same_people(poses_of(heads_of(people, SIZE, stride)), people, within_px=0.5)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_keypoint_is_refined_where_the_edge_only_led_near(stride: int) -> None:
    people = row_of(2)
    heads = heads_of(people, SIZE, stride)
    mid = OutputTensor(heads.mid_offsets.data + np.float32(9))
    assert_same_people(poses_of(replace(heads, mid_offsets=mid)), people, within_px=0.5)


def test_there_are_five_refinements() -> None:
    people = row_of(1)
    heads = heads_of(people, SIZE, 16)
    short = OutputTensor(heads.short_offsets.data * np.float32(0.5))
    mid = OutputTensor(heads.mid_offsets.data + np.float32(8))
    # Each step halves the 8 px left by the edge: 8 / 2^5 = 0.25 where there are five.
    [pose] = poses_of(replace(heads, short_offsets=short, mid_offsets=mid))
    off = np.abs(pose.points - people[0]).max(axis=1)
    assert np.sort(off)[:-1] == pytest.approx(np.full(16, 0.25), abs=0.05)


def test_samples_are_bilinear() -> None:
    heads = Heads(
        OutputTensor(np.full((3, 3, 17), logit_of(0.4), np.float32)),
        OutputTensor(np.zeros((3, 3, 34), np.float32)),
        OutputTensor(np.zeros((3, 3, 64), np.float32)),
        16,
    )
    heads.heatmaps.data[1, 1, NOSE] = 6.0
    heads.short_offsets.data[1, 1, [0, 17]] = 4.0, 8.0
    heads.mid_offsets.data[1, 1, 0] = 16.0  # nose to left eye, dy, of which (3/4) * (1/2) is sampled
    [pose] = poses_of(heads, max_people=1)
    assert pose.points[NOSE] == pytest.approx((20.0, 24.0))
    assert pose.points[LEFT_EYE] == pytest.approx((26.0, 24.0))
    nose = 0.375 * 6.0 + 0.625 * logit_of(0.4)
    assert pose.scores[NOSE] == pytest.approx(1 / (1 + np.exp(-nose)))


def test_at_most_max_people_are_found_by_the_best_roots() -> None:
    people = row_of(5)
    heads = heads_of(people, SIZE, 16)

    def fade(logits: NDArray[np.float32]) -> None:
        logits[:, 18:, :] -= 3  # the last three

    assert_same_people(poses_of(with_logits(heads, fade), max_people=2), people[:2], within_px=0.5)


def test_the_best_comes_first() -> None:
    people = row_of(4)

    def fade(logits: NDArray[np.float32]) -> None:
        logits -= np.linspace(5, 0, logits.shape[1], dtype=np.float32)[:, np.newaxis]

    poses = poses_of(with_logits(heads_of(people, SIZE, 16), fade))
    assert [pose.points[0, 1] for pose in poses] == pytest.approx([p[0, 1] for p in people[::-1]], abs=0.5)
    scores = [pose.score for pose in poses]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


@pytest.mark.parametrize("offset", [-700.0, 700.0])
def test_points_stay_within_the_grid_though_offsets_lead_out(offset: float) -> None:
    heads = with_logits(heads_of([], SIZE, 16), lambda logits: logits.fill(0.0))
    short = OutputTensor(heads.short_offsets.data + np.float32(offset))
    poses = poses_of(replace(heads, short_offsets=short))
    assert poses
    for pose in poses:
        np.testing.assert_array_equal(pose.points, np.full((17, 2), (480, 640)) * (offset > 0))


# Along the edges


@pytest.mark.parametrize("root", KEYPOINTS)
@pytest.mark.parametrize("stride", [8, 16])
def test_one_root_leads_to_every_other_keypoint(root: str, stride: int) -> None:
    # The keypoints are so far apart that a wrong channel ends outside the disc that could mend it.
    points = scattered(SIZE)
    heads = with_only_root(heads_of([points], SIZE, stride), KEYPOINTS.index(root), other_score=0.29)
    [pose] = poses_of(heads)
    np.testing.assert_allclose(pose.points, points, atol=0.5)


@pytest.mark.parametrize("edge", range(len(EDGES)))
@pytest.mark.parametrize("backwards", [False, True])
def test_each_direction_of_each_edge_reads_its_own_two_channels(edge: int, backwards: bool) -> None:
    # Every other mid offset is zero: only the target moves away from the root's place.
    source, target = EDGES[edge][::-1] if backwards else EDGES[edge]
    points = scattered(SIZE)
    heads = with_only_root(heads_of([points], SIZE, 16), source, other_score=0.29)
    own = [2 * len(EDGES) * backwards + edge, 2 * len(EDGES) * backwards + len(EDGES) + edge]
    mid = np.zeros_like(heads.mid_offsets.data)
    mid[:, :, own] = heads.mid_offsets.data[:, :, own]
    [pose] = poses_of(replace(heads, mid_offsets=OutputTensor(mid)))
    np.testing.assert_allclose(pose.points[source], points[source], atol=0.5)
    np.testing.assert_allclose(pose.points[target], points[target], atol=0.5)


def test_left_eye_to_nose_reads_channels_32_and_48() -> None:
    # Google's own decoder read two channels of other edges here until July 2021.
    heads = Heads(
        OutputTensor(np.full((10, 10, 17), logit_of(0.29), np.float32)),
        OutputTensor(np.zeros((10, 10, 34), np.float32)),
        OutputTensor(np.zeros((10, 10, 64), np.float32)),
        16,
    )
    heads.heatmaps.data[4, 4, LEFT_EYE] = 6.0
    heads.mid_offsets.data[:, :, [32, 48]] = 24.0, -40.0
    [pose] = poses_of(heads)
    assert pose.points[NOSE] == pytest.approx((4 * 16 + 24.0, 4 * 16 - 40.0))


# Suppression and thresholds

SHARED = [index for index, name in enumerate(KEYPOINTS) if name.split("_")[-1] in SHARED_PARTS]
"""What two people may share without a way from one into the other: the ends of the tree."""


def test_a_persons_second_root_makes_no_second_pose() -> None:
    heads = heads_of(row_of(1), SIZE, 8)
    assert len(poses_of(heads, threshold=0.01)) == 1


def test_a_root_within_an_earlier_poses_radius_is_skipped() -> None:
    first = person((240, 300), 300)
    people = [first, first + np.array((0, 60))]
    heads = heads_of(people, SIZE, 8)
    assert len(poses_of(heads, nms_radius_px=50)) == 2
    assert len(poses_of(heads, nms_radius_px=70)) == 1


def test_a_pose_that_shares_keypoints_is_scored_without_them() -> None:
    better, other = person((240, 200), 300), person((240, 380), 300)
    other[SHARED] = better[SHARED]

    def fade(logits: NDArray[np.float32]) -> None:
        logits[:, 18:, :] -= 0.5  # the other's body

    poses = poses_of(with_logits(heads_of([better, other], SIZE, 8), fade))
    assert len(poses) == 2
    assert poses[0].score == pytest.approx(poses[0].scores.mean())
    np.testing.assert_allclose(poses[1].points, other, atol=0.5)
    assert poses[1].score == pytest.approx(np.delete(poses[1].scores, SHARED).sum() / KEYPOINT_COUNT)


def test_a_pose_with_few_keypoints_of_its_own_is_dropped() -> None:
    better, other = person((240, 200), 300), person((240, 380), 300)
    other[SHARED] = better[SHARED]
    heads = heads_of([better, other], SIZE, 8)
    own_share = 1 - len(SHARED) / KEYPOINT_COUNT
    assert len(poses_of(heads, threshold=own_share - 0.05)) == 2
    assert len(poses_of(heads, threshold=own_share + 0.02)) == 1


def test_nobody_is_found_where_no_root_reaches_the_threshold() -> None:
    heads = heads_of(row_of(1), SIZE, 16)
    best = float(heads.heatmaps.data.max())
    flat = with_logits(heads, lambda logits: logits.fill(logit_of(0.6)))
    assert poses_of(flat, threshold=0.61) == []
    assert len(poses_of(heads, threshold=0.5)) == 1
    assert poses_of(heads, threshold=1 / (1 + np.exp(-best - 0.01))) == []


def test_a_weak_pose_is_dropped_though_its_root_is_strong() -> None:
    heads = with_only_root(heads_of([scattered(SIZE)], SIZE, 16), root=0, other_score=0.2)
    [pose] = poses_of(heads, threshold=0.19)
    assert pose.scores.max() > 0.9
    assert poses_of(heads, threshold=pose.score - 0.01)
    assert poses_of(heads, threshold=pose.score + 0.01) == []


def test_a_pose_too_weak_to_keep_takes_nobodys_place() -> None:
    people = row_of(1)
    heads = heads_of(people, SIZE, 16)

    def add_false_keypoints(logits: NDArray[np.float32]) -> None:
        logits[::3, 20::3, 0] = 20.0  # far away from the person, and stronger

    poses = poses_of(with_logits(heads, add_false_keypoints), max_people=1)
    assert_same_people(poses, people, within_px=0.5)


# Equal roots

TAKES_AS_CPP_DOES = """
#include <cstdio>
#include <queue>
struct Root { int place, score; };
struct IsWorse { bool operator()(Root a, Root b) const { return a.score < b.score; } };
int main() {
  std::priority_queue<Root, std::vector<Root>, IsWorse> queue;
  for (Root root; scanf("%d %d", &root.place, &root.score) == 2;) queue.push(root);
  for (; !queue.empty(); queue.pop()) printf("%d\\n", queue.top().place);
}
"""


@pytest.fixture(scope="module")
def cpp_queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that takes roots out of the queue of Google's decoder."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ here, so no std::priority_queue to compare with")
    program = tmp_path_factory.mktemp("queue") / "queue"
    command = [compiler, "-x", "c++", "-o", str(program), "-"]
    subprocess.run(command, input=TAKES_AS_CPP_DOES, text=True, check=True)
    return program


@pytest.mark.parametrize("levels", [1, 2, 5])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 9, 10])
def test_equal_roots_are_taken_in_the_order_of_googles_queue(cpp_queue: Path, levels: int, side: int) -> None:
    # Noses in every other cell; with the other keypoints alike everywhere, poses rank as their roots do.
    levels_at = np.random.default_rng(side).integers(1, levels + 1, (side, side))
    logits = np.full((2 * side, 2 * side, KEYPOINT_COUNT), logit_of(0.29), np.float32)
    logits[::2, ::2, NOSE] = levels_at
    zeros = [OutputTensor(np.zeros((2 * side, 2 * side, channels), np.float32)) for channels in (34, 64)]
    poses = poses_of(Heads(OutputTensor(logits), *zeros, 16), max_people=100, nms_radius_px=1)
    places = [round(pose.points[NOSE, 0] // 32 * side + pose.points[NOSE, 1] // 32) for pose in poses]
    roots = "".join(f"{place} {level}\n" for place, level in enumerate(levels_at.flat))
    taken = subprocess.run([cpp_queue], input=roots, capture_output=True, text=True, check=True).stdout
    assert places == list(map(int, taken.split()))


# Other kinds of numbers


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_quantised_heads_give_the_same_people_within_half_a_step(
    dtype: type[np.uint8] | type[np.int8], stride: int
) -> None:
    people = row_of(3)
    heads = quantised(heads_of(people, SIZE, stride), dtype)
    step_px = heads.short_offsets.scale
    assert heads.short_offsets.data.dtype == dtype
    assert_same_people(poses_of(heads), people, within_px=step_px * 0.501)


def test_heatmaps_after_the_sigmoid_give_the_same_as_logits() -> None:
    heads = heads_of(row_of(2), SIZE, 16)
    scores = OutputTensor((1 / (1 + np.exp(-heads.heatmaps.data))).astype(np.float32))
    before = poses_of(heads)
    after = poses_of(replace(heads, heatmaps=scores, sigmoid=True))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one.points, other.points, atol=1e-6)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def constant(value: float, dtype: type[np.generic] = np.float32, channels: int = 17) -> OutputTensor:
    return OutputTensor(np.full((31, 41, channels), value, dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, 50.0])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_constant_heads_end_in_sound_poses(value: float, sigmoid: bool) -> None:
    heads = Heads(constant(value), constant(value, channels=34), constant(value, channels=64), 16, sigmoid)
    assert_sound(poses_of(heads), heads, max_people=10, threshold=0.3)


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.uint8, 0), (np.uint8, 255), (np.int8, -128), (np.int8, 127)]
)
def test_saturated_quantised_heads_end_in_sound_poses(
    dtype: type[np.uint8] | type[np.int8], value: int
) -> None:
    heads = Heads(constant(value, dtype), constant(value, dtype, 34), constant(value, dtype, 64), 16)
    assert_sound(poses_of(heads), heads, max_people=10, threshold=0.3)


def assert_sound(poses: Sequence[Pose], heads: Heads, max_people: int, threshold: float) -> None:
    height, width, _ = heads.heatmaps.data.shape
    assert len(poses) <= max_people
    scores = [pose.score for pose in poses]
    assert scores == sorted(scores, reverse=True)
    for pose in poses:
        assert threshold <= pose.score <= 1
        assert ((pose.scores >= 0) & (pose.scores <= 1)).all()
        assert (pose.points >= 0).all()
        assert (pose.points <= ((height - 1) * heads.stride, (width - 1) * heads.stride)).all()


@st.composite
def any_heads(draw: st.DrawFn) -> Heads:
    """Random heads of a small grid, also of one cell, with some numbers that are none."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.0, 1.0, 30.0, 1e30]))
    odd = draw(st.sampled_from([0.0, np.nan, np.inf, -np.inf]))
    kind = draw(st.sampled_from(["float32", "uint8", "int8"]))

    def head(channels: int) -> OutputTensor:
        values = random.normal(0, spread, (rows, columns, channels))
        if kind != "float32":
            limits = np.iinfo(kind)
            return OutputTensor(
                np.clip(values, limits.min, limits.max).astype(kind), 0.7, draw(st.integers(-128, 255))
            )
        values[random.random(values.shape) < 0.1] = odd
        return OutputTensor(values.astype(np.float32))

    stride = draw(st.sampled_from([8, 16, 32]))
    return Heads(head(17), head(34), head(64), stride, sigmoid=draw(st.booleans()))


@settings(deadline=None, max_examples=150)
@given(
    heads=any_heads(),
    max_people=st.integers(1, 20),
    threshold=st.floats(0.001, 0.999),
    nms_radius_px=st.floats(0, 1000),
)
def test_any_heads_end_in_sound_poses(
    heads: Heads, max_people: int, threshold: float, nms_radius_px: float
) -> None:
    poses = decode_many(heads, max_people, threshold, nms_radius_px)
    assert_sound(poses, heads, max_people, threshold)


def test_an_empty_scene_has_nobody() -> None:
    heads = with_logits(heads_of([], SIZE, 16), lambda logits: logits.fill(NOBODY))
    assert decode(heads, CONFIG) == []


def test_the_helpers_discs_are_wide_enough_to_sample_between_cells() -> None:
    # Otherwise the half pixel above would be asked of heads that do not hold it.
    assert all(radius_px(stride) >= stride * 2**0.5 for stride in (8, 16, 32))


# What the log says of it


@pytest.mark.parametrize(
    ("people", "is_compiled", "said"),
    [
        ("one", True, "one person, assumed to be alone in the picture"),
        ("many", True, "many people, compiled"),
        (
            "many",
            False,
            "many people, plain Python (faster where a C compiler is there when posed is installed)",
        ),
    ],
)
def test_the_decoder_is_described(
    monkeypatch: pytest.MonkeyPatch, people: Literal["one", "many"], is_compiled: bool, said: str
) -> None:
    monkeypatch.setattr("posed.networks.posenet.COMPILED", is_compiled)
    assert load_pair("drawings-257x353-16").network.describe(DecodeConfig(people=people)) == said


# Real models


def couple(shared: Path) -> Image:
    picture = cv2.imread(str(shared / "testdata/couple_640x480.bmp"))
    assert picture is not None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def poses_in(picture: Image, model_file: Path, config: DecodeConfig = CONFIG) -> list[Pose]:
    """Poses in px of the picture, which is fitted into the model's input as the daemon does it."""
    network = PoseNet.of(read_model(model_file))
    letterbox = Letterbox((picture.shape[1], picture.shape[0]), network.model.size)
    with open_engine(EngineConfig(kind="cpu", threads=1), network.model, None) as engine:
        poses = decode(network.heads(engine.infer(letterbox.apply(picture))), config)
    return [Pose(letterbox.to_source(pose.points), pose.scores, pose.score) for pose in poses]


def google_poses(table: Path, width: int, height: int) -> list[Pose]:
    """The poses that Google's own decoder found, in px."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    poses = []
    for number in sorted({row["pose_id"] for row in rows}):
        mine = sorted(
            (row for row in rows if row["pose_id"] == number), key=lambda row: int(row["keypoint_id"])
        )
        points = [(float(row["keypoint_y"]) * height, float(row["keypoint_x"]) * width) for row in mine]
        scores = [float(row["keypoint_score"]) for row in mine]
        poses.append(Pose(np.array(points), np.array(scores), float(mine[0]["pose_score"])))
    return poses


@pytest.mark.parametrize("size", ["353_481", "481_641"])
def test_a_coral_model_agrees_with_googles_own_decoder(shared: Path, size: str) -> None:
    picture = couple(shared)
    height, width, _ = picture.shape
    poses = poses_in(picture, shared / f"models/posenet_mobilenet_v1_075_{size}_16_quant_decoder.tflite")
    googles = google_poses(shared / f"testdata/couple_640x480.posenet_{size}_16.csv", width, height)
    assert len(poses) == len(googles) == 2
    for theirs in googles:
        ours = min(poses, key=lambda pose: float(np.abs(pose.points - theirs.points).max()))
        sure = theirs.scores > 0.5
        assert np.abs(ours.points - theirs.points)[sure].max() <= 0.012 * width
        assert ours.score == pytest.approx(theirs.score, abs=0.03)


def test_corals_bodypix_finds_googles_own_poses(shared: Path) -> None:
    # Google stretched the picture to the input, which the model then pads by a pixel.
    folder, name = shared / "other_models/bodypix", "bodypix_mobilenet_v1_075_512_512_16_quant_decoder"
    picture = couple(shared)
    height, width, _ = picture.shape
    stretched = np.asarray(cv2.resize(picture, (512, 512)), np.uint8)
    poses = poses_in(stretched, folder / f"{name}.tflite")
    googles = google_poses(folder / f"{name}_reference.csv", width, height)
    assert len(poses) == len(googles) == 2
    for pose in poses:
        points = pose.points * (height / 512, width / 512)
        apart = min(float(np.abs(points - theirs.points).max()) for theirs in googles)
        assert apart <= 0.0023 * width


@pytest.mark.parametrize(
    ("file", "within_px"),
    # The last has a fifth of the pixels and other weights; the two people are 70 px apart.
    [("075_353_481_8", 7.7), ("075_353_481_16", 7.7), ("100_257_257_32", 25.0)],
)
def test_the_float_models_find_the_same_two_people(shared: Path, file: str, within_px: float) -> None:
    picture = couple(shared)
    height, width, _ = picture.shape
    poses = poses_in(picture, shared / f"models/float/posenet_mobilenet_v1_{file}_float.tflite")
    googles = google_poses(shared / "testdata/couple_640x480.posenet_481_641_16.csv", width, height)
    assert len(poses) == 2
    for theirs in googles:
        apart_px = [float(np.median(np.linalg.norm(pose.points - theirs.points, axis=1))) for pose in poses]
        assert min(apart_px) <= within_px
