"""What scripts/train is made of: pictures, what the heads should say of them, figures, and training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posed.errors import ImageError, ModelError
from posed.model.outputs import OutputTensor
from posed.model.tflite import read_model
from posed.networks.posenet import decode_many
from posed.networks.posenet.heads import Heads
from posed.pose import (
    EDGES,
    KEYPOINT_COUNT,
    LEFT_ELBOW,
    LEFT_SHOULDER,
    LEFT_WRIST,
    MIRRORED,
    NOSE,
    RIGHT_HIP,
    RIGHT_WRIST,
    SIGMAS,
    Pose,
)
from scripts.paths import ROOT
from scripts.standins.heads import person
from scripts.training.figures import Figures, figures_of, truths
from scripts.training.pool import (
    HIDDEN,
    SHOWN,
    Pool,
    Sample,
    coco_pictures,
    coco_pool,
    coco_sample,
    drawing,
    sample_of,
)
from scripts.training.targets import Targets, lying, mirrored, targets_of, varied
from tests.make_tflite import make_tflite

SIZE = (353, 257)
PEOPLE = [person((130, 80), 200), person((120, 260), 150)]


def sample(people: list[NDArray[np.float64]] = PEOPLE, size: tuple[int, int] = SIZE) -> Sample:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for points in people:
        for y, x in points:
            cv2.circle(image, (round(x), round(y)), 4, (255, 255, 255), -1)
    return sample_of(image, people, [[SHOWN] * KEYPOINT_COUNT] * len(people))


def as_heads(targets: Targets, stride: int) -> Heads:
    def head(channels_first: NDArray[np.float32]) -> OutputTensor:
        return OutputTensor(np.ascontiguousarray(np.moveaxis(channels_first, 0, -1)))

    return Heads(head(targets.heat * 12 - 6), head(targets.short), head(targets.mid), stride)


def pose(points: NDArray[np.float64], score: float = 0.9) -> Pose:
    return Pose(np.asarray(points, np.float64), np.full(KEYPOINT_COUNT, score), score)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_wanted_heads_decode_to_the_people_in_the_picture(stride: int) -> None:
    found = decode_many(as_heads(targets_of(sample(), stride), stride), 10, 0.5, 20)
    assert len(found) == len(PEOPLE)
    for points in PEOPLE:
        nearest = min(found, key=lambda one: float(np.abs(one.points - points).max()))
        np.testing.assert_allclose(nearest.points, points, atol=0.01)


def test_a_picture_without_people_wants_nothing() -> None:
    targets = targets_of(sample([]), 16)
    assert targets.heat_weight.all()
    assert not any(array.any() for array in (targets.heat, targets.short_weight, targets.mid_weight))


def test_a_hidden_keypoint_has_offsets_but_no_heatmap() -> None:
    one = sample(PEOPLE[:1])
    one.states[0, LEFT_WRIST] = HIDDEN
    targets = targets_of(one, 16)
    row, column = np.round(PEOPLE[0][LEFT_WRIST] / 16).astype(int)
    assert targets.heat[LEFT_WRIST].sum() == 0
    assert targets.heat_weight[LEFT_WRIST, row, column] == 0
    assert targets.short_weight[LEFT_WRIST, row, column] > 0
    assert targets.mid_weight[EDGES.index((LEFT_ELBOW, LEFT_WRIST))].any()


def test_a_keypoint_that_nobody_marked_is_left_out() -> None:
    one = sample(PEOPLE[:1])
    one.states[0, NOSE] = 0
    targets = targets_of(one, 16)
    assert targets.heat_weight[NOSE].all()
    assert targets.heat[NOSE].sum() == targets.short_weight[NOSE].sum() == 0
    assert not targets.mid_weight[[edge for edge, pair in enumerate(EDGES) if NOSE in pair]].any()


def test_errors_count_in_parts_of_the_size_of_the_person() -> None:
    weights = [targets_of(sample([person((130, 170), size)]), 16).short_weight.max() for size in (60, 240)]
    assert weights[0] == pytest.approx(4 * weights[1])


@pytest.mark.parametrize("seed", range(20))
def test_people_follow_when_a_picture_is_varied(seed: int) -> None:
    changed = varied(sample([person((130, 170), 220)]), (193, 161), np.random.default_rng(seed))
    assert changed.image.shape == (161, 193, 3)
    for points, states in zip(changed.points, changed.states, strict=True):
        for y, x in points[states > 0]:
            assert changed.image[round(float(y)), round(float(x))].min() > 150


def test_varying_is_decided_by_the_seed() -> None:
    first, again = (varied(sample(), (161, 161), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.points, again.points)


def test_a_mirror_makes_a_left_wrist_a_right_one() -> None:
    left, right = LEFT_WRIST, RIGHT_WRIST
    assert MIRRORED[left] == right
    before = sample(PEOPLE[:1])
    before.states[0, left] = HIDDEN
    after = mirrored(before)
    y, x = before.points[0, left]
    np.testing.assert_allclose(after.points[0, right], (y, SIZE[0] - 1 - x))
    assert after.states[0, right] == HIDDEN


def test_a_drawing_says_which_keypoints_are_in_it() -> None:
    one = drawing(10_000_001, SIZE, (3,))
    assert one.image.shape == (SIZE[1], SIZE[0], 3)
    assert len(one.points) <= 3
    for points, states in zip(one.points, one.states, strict=True):
        inside = ((points >= -0.5) & (points <= (SIZE[1] - 0.5, SIZE[0] - 0.5))).all(axis=1)
        assert inside[states > 0].all()


def test_more_people_lie_in_pictures_for_that() -> None:
    def lying_people(low_every: int) -> int:
        return sum(int(lying(drawing(seed, SIZE, (2,), low_every)).sum()) for seed in range(0, 120, 2))

    assert lying_people(2) > 2 * lying_people(0)
    np.testing.assert_array_equal(drawing(3, SIZE, (2,), 2).image, drawing(3, SIZE, (2,)).image)


def test_perfect_poses_get_perfect_figures() -> None:
    figures = Figures()
    figures.add(sample(), [pose(points) for points in PEOPLE])
    summary = figures.summary()
    assert [summary[name] for name in ("pck", "pck_of_all", "recall", "precision")] == [1, 1, 1, 1]


def test_figures_tell_missed_from_false_people() -> None:
    figures = Figures()
    figures.add(sample(), [pose(PEOPLE[0]), pose(PEOPLE[0] + 1), pose(PEOPLE[1] + 200)])
    summary = figures.summary()
    assert summary["recall"] == summary["pck_of_all"] == 0.5
    assert summary["precision"] == pytest.approx(1 / 3, abs=1e-3)
    assert summary["pck"] == 1


def test_a_keypoint_is_right_within_a_fifth_of_the_torso() -> None:
    corners = [LEFT_SHOULDER, RIGHT_HIP]
    torso_px = float(np.linalg.norm(np.subtract(*PEOPLE[0][corners])))
    for share, right in ((0.19, 1.0), (0.21, 16 / 17)):
        moved = PEOPLE[0].copy()
        moved[NOSE, 0] -= share * torso_px
        figures = Figures()
        figures.add(sample(PEOPLE[:1]), [pose(moved)])
        assert figures.summary()["pck"] == pytest.approx(right, abs=1e-4)


def test_somebody_of_whom_little_shows_counts_neither_way() -> None:
    one = sample(PEOPLE[:1])
    one.states[0, 4:] = 0
    figures = Figures()
    figures.add(one, [pose(PEOPLE[0])])
    assert figures.summary()["people"] == 0
    assert figures.false == 0


def test_figures_come_from_decoded_heads() -> None:
    one = sample()
    assert figures_of([(one, as_heads(targets_of(one, 16), 16))]).summary()["recall"] == 1


def similarity_of(points: NDArray[np.float64], off_px: float, area_px: float) -> float:
    people = sample_of(np.zeros((257, 353, 3), np.uint8), [points], [[SHOWN] * KEYPOINT_COUNT], (), [area_px])
    return truths(people)[0].similarity(pose(points + np.array([off_px, 0])))


def test_similarity_is_by_the_area_that_shows_the_person() -> None:
    # Source: COCO's evaluation: exp(-d² / (2 area (2 sigma)²)), the mean over keypoints.
    points, sigmas = person((130, 170), 200), np.array(SIGMAS)
    wanted = np.exp(-(8.0**2) / (2 * 5000 * (2 * sigmas) ** 2)).mean()
    assert similarity_of(points, 8, 5000) == pytest.approx(wanted, abs=1e-6)
    assert similarity_of(points, 8, 2500) < wanted < similarity_of(points, 8, 10000)


def test_an_unknown_area_is_that_of_the_keypoints_box() -> None:
    points = person((130, 170), 200)
    height, width = points.max(axis=0) - points.min(axis=0)
    boxed = similarity_of(points, 8, float("nan"))
    assert boxed == pytest.approx(
        similarity_of(points, 8, 0.53 * height * max(width, 0.25 * height)), abs=1e-6
    )


def test_drawings_know_how_much_of_everybody_they_show() -> None:
    one = drawing(3, SIZE, [2])
    assert len(one.areas) == len(one.points) == 2
    assert (one.areas > 100).all()


@pytest.mark.parametrize("seed", range(5))
def test_areas_grow_with_a_picture_that_is_scaled(seed: int) -> None:
    points = person((130, 170), 120)
    one = sample_of(np.zeros((257, 353, 3), np.uint8), [points], [[SHOWN] * KEYPOINT_COUNT], (), [4000])
    moved = varied(one, SIZE, np.random.default_rng(seed))
    spread = np.linalg.norm(moved.points[0] - moved.points[0, 0]) / np.linalg.norm(points - points[0])
    assert moved.areas.tolist() == pytest.approx([4000 * spread**2], rel=1e-3)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Three pictures with white keypoints on black, and annotations in COCO's format."""
    images, annotations = [], []
    for number in range(3):
        size = (320, 240) if number else (240, 320)
        points = person((size[1] / 2, size[0] / 2), 180)
        cv2.imwrite(str(tmp_path / f"{number}.png"), sample([points], size).image)
        images.append({"id": 100 + number, "file_name": f"{number}.png", "width": size[0], "height": size[1]})
        marks = [value for y, x in points for value in (float(x), float(y), 2)]
        marks[-3:] = [0, 0, 0]
        annotations.append(
            {"image_id": 100 + number, "category_id": 1, "keypoints": marks, "bbox": [60, 30, 100, 180]}
        )
    annotations[1]["area"], annotations[2]["area"] = 9000.0, 0
    crowd = {"image_id": 100, "keypoints": [0] * 51, "bbox": [0, 0, 48, 320], "iscrowd": 1}
    content = {"images": images, "annotations": [*annotations, crowd]}
    (tmp_path / "people.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_coco_annotations_end_up_where_they_were_made(coco: Path) -> None:
    pictures = coco_pictures(coco / "people.json")
    assert list(coco_pool(coco / "pool", pictures, coco, SIZE, 1))[-1] >= len(pictures)
    pool = Pool(coco / "pool")
    assert len(pool) == 3
    for index in range(3):
        one = pool[index]
        assert one.states.tolist() == [[SHOWN] * 16 + [0]]
        for y, x in one.points[0, :16]:
            assert one.image[round(float(y)), round(float(x))].min() > 200


def test_areas_of_coco_are_those_of_the_prepared_picture(coco: Path) -> None:
    list(coco_pool(coco / "pool", coco_pictures(coco / "people.json"), coco, SIZE, 1))
    pool = Pool(coco / "pool")
    scale = 257 / 240
    assert pool[1].areas.tolist() == pytest.approx([9000 * scale**2], rel=0.02)
    assert np.isnan([*pool[0].areas, *pool[2].areas]).all()


def test_pictures_prepared_before_areas_were_kept_can_still_be_read(coco: Path) -> None:
    list(coco_pool(coco / "pool", coco_pictures(coco / "people.json"), coco, SIZE, 1))
    (path,) = (coco / "pool").glob("*.people.npz")
    with np.load(path) as people:
        kept = {name: people[name] for name in people.files if name != "areas"}
    np.savez(path, **kept)
    assert np.isnan(Pool(coco / "pool")[1].areas).all()


def test_nobody_is_sure_of_the_heatmaps_inside_a_crowd(coco: Path) -> None:
    list(coco_pool(coco / "pool", coco_pictures(coco / "people.json"), coco, SIZE, 1))
    weight = targets_of(Pool(coco / "pool")[0], 16).heat_weight
    left = round((SIZE[0] - 257 * 240 / 320) / 2 / 16) + 1
    assert not weight[-1, :, left].any()
    assert weight[-1, :, -1].all()


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, '{"images": [], "annotations": [{}]}'])
def test_annotations_of_another_format_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "people.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ImageError, match="must be COCO keypoint annotations, got"):
        coco_pictures(path)


@pytest.mark.parametrize("people", [[], [{"image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 3}]])
def test_annotations_without_keypoints_are_refused(tmp_path: Path, people: list[dict[str, Any]]) -> None:
    path = tmp_path / "instances.json"
    content = {"images": [{"id": 1, "file_name": "1.png"}], "annotations": people}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ImageError, match=r"instances\.json: must mark somebody's keypoints, got none"):
        coco_pictures(path)


def test_a_person_without_numbers_is_refused(coco: Path) -> None:
    person = {"keypoints": "none", "bbox": [0, 0, 1, 1]}
    with pytest.raises(ImageError, match="keypoints, bbox and area must be numbers, got"):
        coco_sample(coco / "0.png", [person], SIZE)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
def test_a_person_nowhere_is_refused(coco: Path, number: float) -> None:
    person = {"keypoints": [number] * 51, "bbox": [0, 0, 1, 1]}
    with pytest.raises(ImageError, match="keypoints and bbox must be at most 1000000, got"):
        coco_sample(coco / "0.png", [person], SIZE)


@pytest.mark.parametrize("field", ["keypoints", "bbox", "area"])
def test_numbers_too_large_for_any_computer_are_refused(coco: Path, field: str) -> None:
    person: dict[str, Any] = {"keypoints": [9, 9, 2] * 17, "bbox": [0, 0, 1, 1], "area": 1}
    person[field] = 10**400 if field == "area" else [10**400] * len(person[field])
    with pytest.raises(ImageError, match="keypoints, bbox and area must be numbers, got"):
        coco_sample(coco / "0.png", [person], SIZE)


@pytest.mark.parametrize("area", [None, 0, -5, float("nan"), float("inf"), 1e300, 320 * 240 + 1])
def test_an_area_that_nobody_can_have_is_not_known(coco: Path, area: float | None) -> None:
    person = {"keypoints": [9, 9, 2] * 17, "bbox": [0, 0, 9, 9], "area": area}
    assert np.isnan(coco_sample(coco / "0.png", [person], SIZE).areas).all()


def test_a_missing_picture_is_named(coco: Path) -> None:
    (coco / "1.png").unlink()
    with pytest.raises(ImageError, match=r"1\.png: must be a picture"):
        list(coco_pool(coco / "pool", coco_pictures(coco / "people.json"), coco, SIZE, 1))


def test_a_folder_without_pictures_is_no_pool(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="must hold prepared pictures, got none"):
        Pool(tmp_path)


def batch(count: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).integers(0, 256, (count, size[1], size[0], 3))
    return noise.astype(np.uint8)


def network_with_statistics() -> Any:
    """A network whose batch normalisation has seen something."""
    torch = pytest.importorskip("torch", reason="needs torch")
    from scripts.training.posenet import PoseNet

    torch.manual_seed(1)
    model = PoseNet().train()
    for _ in range(3):
        model(torch.from_numpy(batch(4, (97, 65))).permute(0, 3, 1, 2), (16, 32))
    return model.eval()


def test_stride_8_says_at_every_second_cell_what_16_does() -> None:
    model = network_with_statistics()
    from scripts.training.posenet import infer

    images = list(batch(2, (97, 65)))
    for fine, coarse in zip(infer(model, images, 8), infer(model, images, 16), strict=True):
        np.testing.assert_allclose(
            fine.short_offsets.data[::2, ::2], coarse.short_offsets.data, atol=1e-3, rtol=1e-4
        )


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_folded_weights_do_what_the_network_does(stride: int) -> None:
    model = network_with_statistics()
    import torch
    from torch.nn import functional

    from scripts.training.posenet import NETWORKS, infer, native_of

    network = NETWORKS[native_of(stride)]
    weights = model.weights(native_of(stride))
    network.check_weights(weights)
    (image,) = batch(1, (97, 65))
    values = torch.from_numpy(image[None]).permute(0, 3, 1, 2).float() / 127.5 - 1
    found = {}
    for layer in network.layers(stride):
        kernel = torch.from_numpy(weights[layer.weights].copy())
        kernel = kernel.permute(*((2, 3, 0, 1) if layer.depthwise else (3, 2, 0, 1)))
        result = functional.conv2d(
            values,
            kernel,
            torch.from_numpy(weights[layer.bias]),
            layer.stride,
            layer.dilation * (layer.kernel - 1) // 2,
            layer.dilation,
            layer.inputs if layer.depthwise else 1,
        )
        if layer.relu6:
            values = functional.relu6(result)
        else:
            found[layer.name] = result[0].permute(1, 2, 0).numpy()
    (heads,) = infer(model, [image], stride)
    np.testing.assert_allclose(heads.heatmaps.data, found["heatmap"], atol=1e-3)
    mid = np.concatenate([found["displacement_fwd"], found["displacement_bwd"]], axis=2)
    np.testing.assert_allclose(heads.mid_offsets.data, mid, atol=1e-2)


def test_no_layer_is_dilated_at_the_native_strides() -> None:
    pytest.importorskip("torch", reason="needs torch")
    from scripts.training.posenet import NETWORKS

    assert {native: network.native_stride for native, network in NETWORKS.items()} == {16: 16, 32: 32}
    assert [network.dilated(native) for native, network in NETWORKS.items()] == [(), ()]


def test_training_ends_on_time_and_resumes_where_it_was(coco: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    from scripts.training import learn

    list(coco_pool(coco / "pool", coco_pictures(coco / "people.json"), coco, SIZE, 1))

    def run(seen: int, *, resume: bool) -> learn.Progress:
        settings = learn.Settings(
            coco / "pool", coco / "checkpoint.pt", None, ((97, 65), (97, 65)), 4, 1e-3, 10, seen, 1, 1, 0
        )
        return learn.load(learn.learn(settings, resume=resume, report=lambda *_: None))[1]

    assert run(8, resume=False).steps == 2
    assert run(16, resume=True).steps == 4
    assert run(16, resume=True).steps == 4


def test_another_training_begins_with_the_weights_of_the_first(coco: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    from scripts.training import learn

    list(coco_pool(coco / "pool", coco_pictures(coco / "people.json"), coco, SIZE, 1))

    def run(name: str, start: Path | None, seed: int) -> dict[str, Any]:
        settings = learn.Settings(
            coco / "pool", coco / name, start, ((97, 65), (97, 65)), 4, 1e-9, 10, 4, seed, 1, 0
        )
        learn.learn(settings, resume=False, report=lambda *_: None)
        return dict(learn.load(coco / name)[0].trunk.named_parameters())

    first = run("first.pt", None, 1)
    second, fresh = run("second.pt", coco / "first.pt", 2), run("fresh.pt", None, 2)
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    assert not all(torch.allclose(first[name], fresh[name], atol=1e-6) for name in first)
    assert learn.load(coco / "second.pt")[1].all_pictures == 8


def test_there_is_nothing_to_resume_without_a_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    from scripts.training import learn

    settings = learn.Settings(
        tmp_path, tmp_path / "checkpoint.pt", None, ((97, 65), (97, 65)), 4, 1e-3, 1, 4, 1, 1, 0
    )
    with pytest.raises(ModelError, match="must be a checkpoint to go on from, got no file"):
        learn.learn(settings, resume=True, report=lambda *_: None)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    from scripts.training import learn

    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="must be a checkpoint of this network, got"):
        learn.load(path)
    torch.save({"model": {}}, path)
    with pytest.raises(ModelError, match="must be a checkpoint of this network, got"):
        learn.load(path)


def test_whoever_stops_a_training_loses_nothing(coco: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    from scripts.training import learn

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    list(coco_pool(coco / "pool", coco_pictures(coco / "people.json"), coco, SIZE, 1))
    settings = learn.Settings(
        coco / "pool", coco / "checkpoint.pt", None, ((97, 65), (97, 65)), 1, 1e-3, 10, 20, 1, 1, 0
    )
    with pytest.raises(KeyboardInterrupt):
        learn.learn(settings, resume=False, report=stop)
    assert learn.load(coco / "checkpoint.pt")[1].pictures == 10


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    ours = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=ours, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--resume"], "must be a checkpoint to go on from, got no file"),
        (["--minutes", "0"], "must be a checkpoint to go on from, got no file"),
        (["--start", "nowhere.pt"], "nowhere.pt: must be a checkpoint to go on from, got no file"),
        (["--output", "0.png"], "File exists: '0.png'"),
        (["--photographs", "0.png", "--reference", "people.json"], "people.json: must be a whole .tflite"),
        (["--size", "100x100"], "size: width - 1 and height - 1 must be multiples of the stride 32"),
        (["--size", "large"], "argument --size: must be WIDTHxHEIGHT, got 'large'"),
        (["--minutes", "nan"], "argument --minutes: must be at least 0, got nan"),
        (["--seed", "-1"], "argument --seed: must be a whole number of at least 0, got '-1'"),
    ],
)
def test_what_is_wrong_is_said_before_hours_of_work(coco: Path, options: list[str], problem: str) -> None:
    pytest.importorskip("torch", reason="needs torch")
    command = [sys.executable, "-m", "scripts.train", "--coco", "people.json", "--images", "."]
    command += ["--work", "work", *options]
    done = run(command, coco)
    assert done.returncode in {1, 2}
    assert problem in done.stderr.splitlines()[-1]
    assert not list(coco.glob("work/*"))


def test_a_new_training_leaves_the_checkpoint_of_an_old_one(coco: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    checkpoint = coco / "work/coco-353x257.checkpoint.pt"
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(b"hours of work")
    command = [sys.executable, "-m", "scripts.train", "--coco", "people.json", "--images", "."]
    done = run([*command, "--work", "work"], coco)
    assert done.returncode == 1
    assert "must not be there when a training begins" in done.stderr
    assert checkpoint.read_bytes() == b"hours of work"


def test_the_whole_way_from_coco_to_files(coco: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    reference = coco / "reference.tflite"
    reference.write_bytes(make_tflite(size=(33, 33), stride=16))
    command = [sys.executable, "-m", "scripts.train", "--coco", str(coco / "people.json")]
    command += ["--images", str(coco), "--work", str(coco / "work"), "--output", str(coco / "out")]
    command += ["--size", "129x97", "--first-size", "97x65", "--train-size", "97x65"]
    command += ["--photographs", str(coco / "0.png"), "--reference", str(reference)]
    command += ["--batch", "4", "--processes", "2", "--seen", "8", "--name", "mine"]
    done = run(command, coco)
    assert done.returncode == 0, done.stderr
    card = json.loads((coco / "out/card.json").read_text(encoding="utf-8"))
    told = card.pop("all")
    assert (told["people"], "people.json" in told["trained on"]) == ("real", True)
    assert told["measured on"].startswith("1 held-out pictures")
    assert sorted(card) == sorted(f"mine_97_129_{stride}.tflite" for stride in (8, 16, 32))
    for name, said in card.items():
        assert said["figures"].startswith("PCK ")
        assert said["photographs"].startswith("finds ")
        assert read_model(coco / "out" / name).size == (129, 97)
