"""Exports Google's PoseNets at every stride, float and uint8, and measures what comes out.

The .tflite files are made by `posed model export` from the weights in ../shared, and run on the pictures
there: the couple, the squat and every 20th frame of the walkers. uint8 is calibrated on other frames of the
walkers and on cuttings from the photographs. Distances are px of the model's input (353×481), of keypoints
that float scores above 0.5, in poses that both find; "fine" is the float file of the same network at stride
8, which stands in for a truth that nobody wrote down.

TensorFlow stays out of .venv: it lives in ${XDG_CACHE_HOME:-~/.cache}/posed-check/export.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posed.config import DecodeConfig, EngineConfig
from posed.engine import open_engine
from posed.frame import Image, Letterbox
from posed.model.tflite import read_model
from posed.networks.posenet import PoseNet, decode
from posed.networks.posenet.heads import Heads
from posed.pose import Pose
from scripts.paths import ROOT, SHARED
from tests.system.conftest import Table
from tests.system.needs import make_heavy

pytestmark = [pytest.mark.system, pytest.mark.shared]

MODELS: Final = SHARED / "models"
CONFIG: Final = DecodeConfig()
SIZE: Final = (481, 353)
EVERY: Final = 20
"""Each how-manieth frame of the video is measured; calibration takes others, as often again."""

NETWORKS: Final = {
    "0.75": ("tfjs-quant2-075-stride16", (16, 8)),
    "1.0": ("tfjs-float-100-stride16", (32, 16, 8)),
}
PRECISIONS: Final = ("float32", "uint8")
REFERENCES: Final = {
    ("0.75", 16): "float/posenet_mobilenet_v1_075_353_481_16_float.tflite",
    ("0.75", 8): "float/posenet_mobilenet_v1_075_353_481_8_float.tflite",
    ("1.0", 32): "float/posenet_mobilenet_v1_100_257_257_32_float.tflite",
}
CORAL: Final = "posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"

SURE: Final = 0.5
SAME_PX: Final = 30.0
"""Poses whose keypoints are nearer than this (median) are the same person."""

REFERENCE_PX: Final = 1.0
QUANTISED_MEDIAN_PX: Final = 1.0
QUANTISED_SCORE: Final = 0.06
"""Median difference of pose scores between uint8 and float."""

RUNS: Final = 5


Key = tuple[str, int, str]
"""Network, stride and precision of a file."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one file says of all pictures.

    Args:
        poses: per picture, px of the model input; the couple comes first.
        inference_s: time of the fastest inference; others may be using this machine.
    """

    poses: list[list[Pose]]
    inference_s: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two files on the same pictures.

    Args:
        px: distances of sure keypoints in poses that both found.
        scores: differences of those poses' scores.
        missing: poses that only the second found.
        extra: poses that only the first found.
    """

    px: NDArray[Any]
    scores: NDArray[Any]
    missing: int
    extra: int

    def __str__(self) -> str:
        if not len(self.px):
            return "no pose in common"
        return (
            f"median {np.median(self.px):5.2f} px, 95 % {np.percentile(self.px, 95):5.2f}, "
            f"worst {self.px.max():5.2f}; score median {np.median(self.scores):.3f}, "
            f"worst {self.scores.max():.3f}; {len(self.scores)} poses, {self.missing} missed, "
            f"{self.extra} extra"
        )


@pytest.fixture(scope="module")
def python() -> Path:
    """One that has TensorFlow."""
    return make_heavy("export", "export")


@pytest.fixture(scope="module")
def images(shared: Path) -> list[Image]:
    """What every file is measured on."""
    return list(measured_pictures())


@pytest.fixture(scope="module")
def exporter(python: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Exporter:
    """Has pictures to calibrate on."""
    folder = tmp_path_factory.mktemp("export")
    write_calibration(folder / "calibration")
    return Exporter(python, folder)


@pytest.fixture(scope="module")
def measured(exporter: Exporter, images: list[Image]) -> dict[Key, Measured]:
    """Every file, on every picture."""
    return {key: measure(path, images) for key, path in exporter.export_all().items()}


def test_every_export_finds_the_couple(
    exporter: Exporter, measured: dict[Key, Measured], images: list[Image], table: Table
) -> None:
    for line in exporter.said:
        table.row(line)
    table.row(f"\nOn {len(images)} pictures, {SIZE[1]}×{SIZE[0]}, CPU with 2 threads")
    table.row("\nThe couple: pose scores")
    for (network, stride, precision), one in measured.items():
        scores = [pose.score for pose in one.poses[0]]
        told = ", ".join(f"{score:.3f}" for score in scores)
        table.row(f"  {network:4} stride {stride:2} {precision:8} {told}")
    assert {key: len(one.poses[0]) for key, one in measured.items()} == dict.fromkeys(measured, 2)


def test_float_exports_equal_their_references(
    exporter: Exporter, measured: dict[Key, Measured], images: list[Image], table: Table
) -> None:
    table.row("\nFloat against the references in ../shared/models/float")
    problems = []
    for (network, stride), name in REFERENCES.items():
        ours = measured[network, stride, "float32"]
        reference = read_model(MODELS / name)
        if reference.size != SIZE:
            ours = measure(exporter.export(network, stride, reference.size, "float32"), images)
        theirs = measure(MODELS / name, images)
        couple = compare(ours.poses[:1], theirs.poses[:1], sure=0)
        table.row(
            f"  {network:4} stride {stride:2}: every keypoint of the couple within {couple.px.max():.4f} px"
        )
        table.row(f"  {'':14}all pictures: {compare(ours.poses, theirs.poses)}")
        if couple.px.max() > REFERENCE_PX or couple.missing or couple.extra:
            problems.append(f"{network} at stride {stride}: must be within {REFERENCE_PX} px of {name}")
    assert not problems


def test_quantised_exports_are_near_float_ones(
    measured: dict[Key, Measured], images: list[Image], table: Table
) -> None:
    table.row("\nuint8 against float of the same network and stride")
    problems = []
    for network, stride in sizes():
        quantised, exact = (measured[network, stride, precision].poses for precision in ("uint8", "float32"))
        found = compare(quantised, exact)
        table.row(f"  {network:4} stride {stride:2}: {found}")
        if not len(found.px) or np.median(found.px) > QUANTISED_MEDIAN_PX:
            problems.append(f"{network} at stride {stride}: must be within {QUANTISED_MEDIAN_PX} px (median)")
        elif np.median(found.scores) > QUANTISED_SCORE:
            problems.append(f"{network} at stride {stride}: scores must be within {QUANTISED_SCORE} (median)")
    coral = measure(MODELS / CORAL, images)
    table.row(f"  Coral's  16: {compare(coral.poses, measured['0.75', 16, 'float32'].poses)}")
    assert not problems


def test_strides_differ_in_speed_and_accuracy(measured: dict[Key, Measured], table: Table) -> None:
    table.row("\n| network | stride | precision | CPU ms | people | median px to fine | 95 % |")
    table.row("|---|---|---|---|---|---|---|")
    for (network, stride, precision), one in measured.items():
        px = compare(one.poses, measured[network, 8, "float32"].poses).px
        cells = [network, stride, precision, f"{one.inference_s * 1000:.0f}", sum(map(len, one.poses))]
        cells += [f"{np.percentile(px, part):.1f}" for part in (50, 95)]
        table.row(f"| {' | '.join(map(str, cells))} |")


def measured_pictures() -> Iterator[Image]:
    """RGB: the couple, the squat, every 20th frame of the walkers."""
    for name in ("couple_640x480.bmp", "squat.bmp"):
        yield photograph(name)
    yield from frames(0)


def photograph(name: str) -> Image:
    """A picture of ../shared, RGB."""
    picture = cv2.imread(str(SHARED / "testdata" / name))
    assert picture is not None, name
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def frames(start: int) -> Iterator[Image]:
    """Frames of the walkers from one on, RGB."""
    video = cv2.VideoCapture(str(SHARED / "testdata" / "walkers_768x576.mp4"))
    index = 0
    while True:
        is_there, frame = video.read()
        if not is_there:
            break
        if index % EVERY == start:
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        index += 1
    assert index > EVERY, "a video that cannot be read"


def write_calibration(folder: Path) -> None:
    """Pictures like those that are measured, but others: frames in between, and mirrored cuttings."""
    folder.mkdir()
    pictures = list(frames(EVERY // 2))
    for name in ("couple_640x480.bmp", "squat.bmp"):
        photo = photograph(name)[:, ::-1]
        height, width = photo.shape[:2]
        pictures += [photo[: height * 3 // 4, : width * 3 // 4], photo[height // 4 :, width // 4 :]]
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def sizes() -> Iterator[tuple[str, int]]:
    """Each network with each of its strides."""
    for network, (_, strides) in NETWORKS.items():
        for stride in strides:
            yield network, stride


class Exporter:
    """Makes files by the command that a user has.

    Args:
        python: one that has TensorFlow.
        folder: for the files, with pictures to calibrate on.

    Attributes:
        said: what the command said.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        self.said: list[str] = []
        self._python = python
        self._folder = folder

    def export_all(self) -> dict[Key, Path]:
        """Every file that is measured."""
        return {
            (network, stride, precision): self.export(network, stride, SIZE, precision)
            for network, stride in sizes()
            for precision in PRECISIONS
        }

    def export(self, network: str, stride: int, size: tuple[int, int], precision: str) -> Path:
        """One of them."""
        weights, _ = NETWORKS[network]
        name = f"posenet_{network.replace('.', '')}_{size[1]}_{stride}_{precision}.tflite"
        command = [self._python, "-m", "posed", "model", "export", MODELS / weights, "--stride", str(stride)]
        command += ["--size", f"{size[0]}x{size[1]}", "--quantize", precision, "-o", self._folder / name]
        if precision == "uint8":
            command += ["--calibrate", self._folder / "calibration"]
        ours = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=ours, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.said += done.stdout.replace(f"{self._folder}/", "").splitlines()
        return self._folder / name


def measure(path: Path, images: Sequence[Image]) -> Measured:
    """Poses of all pictures, and the time that an inference takes."""
    heads, seconds = infer(path, images)
    return Measured([decode(each, CONFIG) for each in heads], seconds)


def infer(path: Path, images: Sequence[Image]) -> tuple[list[Heads], float]:
    """Heads of all pictures, and the time of the fastest inference, s."""
    network = PoseNet.of(read_model(path))
    size = network.model.size
    inputs = [Letterbox((image.shape[1], image.shape[0]), size).apply(image) for image in images]
    times = []
    with open_engine(EngineConfig(kind="cpu", threads=2), network.model, None) as engine:
        heads = [network.heads(engine.infer(each)) for each in inputs]
        for _ in range(RUNS):
            for each in inputs[:4]:
                began = time.perf_counter()
                engine.infer(each)
                times.append(time.perf_counter() - began)
    return heads, min(times)


def compare(
    ours: Sequence[Sequence[Pose]], theirs: Sequence[Sequence[Pose]], sure: float = SURE
) -> Difference:
    """Pairs the poses of each picture, nearest first, and measures the keypoints `theirs` is sure of."""
    px: list[float] = []
    scores: list[float] = []
    missing = extra = 0
    for left, right in zip(ours, theirs, strict=True):
        pairs = paired(left, right)
        for i, j in pairs:
            apart = np.linalg.norm(left[i].points - right[j].points, axis=1)
            px += apart[right[j].scores >= sure].tolist()
            scores.append(abs(left[i].score - right[j].score))
        missing += len(right) - len(pairs)
        extra += len(left) - len(pairs)
    return Difference(np.array(px), np.array(scores), missing, extra)


def paired(left: Sequence[Pose], right: Sequence[Pose]) -> list[tuple[int, int]]:
    """(index in left, index in right) of the same people."""
    apart = {
        (i, j): float(np.median(np.linalg.norm(one.points - other.points, axis=1)))
        for i, one in enumerate(left)
        for j, other in enumerate(right)
    }
    found: list[tuple[int, int]] = []
    for (i, j), px in sorted(apart.items(), key=lambda item: item[1]):
        if px < SAME_PX and all(i != one and j != other for one, other in found):
            found.append((i, j))
    return found
