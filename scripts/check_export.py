"""Exports Google's PoseNets at every stride, float and uint8, and measures what comes out.

    scripts/check_export

The .tflite files are made by `posed model export` from the weights in ../shared, and run on the pictures
there: the couple, the squat and every 20th frame of the walkers. uint8 is calibrated on other frames of the
walkers and on cuttings from the photographs. Distances are px of the model's input (353×481), of keypoints
that float scores above 0.5, in poses that both find; "fine" is the float file of the same network at stride
8, which stands in for a truth that nobody wrote down.

Exit status: 0 within the bounds, 1 not, 77 it cannot run here (no TensorFlow, no ../shared).
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT: Final = Path(__file__).resolve().parent.parent
SHARED: Final = ROOT.parent / "shared"
MODELS: Final = SHARED / "models"
sys.path.insert(0, str(ROOT))

from posed.config import DecodeConfig, EngineConfig  # noqa: E402
from posed.decode import decode  # noqa: E402
from posed.engine import open_engine  # noqa: E402
from posed.engine.base import Heads  # noqa: E402
from posed.frame import Image, Letterbox  # noqa: E402
from posed.model.tflite import read_model  # noqa: E402
from posed.pose import Pose  # noqa: E402

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


def main() -> None:
    """Run the check."""
    if importlib.util.find_spec("tensorflow") is None or not MODELS.is_dir():
        print("check_export: cannot run here: needs TensorFlow and ../shared", file=sys.stderr)
        sys.exit(77)
    problems: list[str] = []
    images = list(measured_pictures())
    with tempfile.TemporaryDirectory(prefix="posed-export-") as name:
        folder = Path(name)
        files = export_all(folder)
        measured = {key: measure(path, images) for key, path in files.items()}
        print(f"\nOn {len(images)} pictures, {SIZE[1]}×{SIZE[0]}, CPU with 2 threads")
        problems += check_people(measured)
        problems += check_references(folder, measured, images)
    problems += check_quantised(measured)
    show_strides(measured)
    for problem in problems:
        print(f"check_export: {problem}", file=sys.stderr)
    sys.exit(bool(problems))


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


def export_all(folder: Path) -> dict[tuple[str, int, str], Path]:
    """Every file of the check, made by the command that a user has."""
    write_calibration(folder / "calibration")
    files = {}
    for network, (weights, strides) in NETWORKS.items():
        for stride in strides:
            for precision in PRECISIONS:
                out = folder / f"posenet_{network.replace('.', '')}_{stride}_{precision}.tflite"
                export(MODELS / weights, stride, SIZE, out, calibration(folder, precision))
                files[network, stride, precision] = out
    return files


def calibration(folder: Path, precision: str) -> list[str]:
    """The command's options for a precision."""
    if precision == "float32":
        return ["--quantize", "float32"]
    return ["--quantize", "uint8", "--calibrate", str(folder / "calibration")]


def export(weights: Path, stride: int, size: tuple[int, int], out: Path, options: Sequence[str]) -> None:
    """Run `posed model export` and print what it says."""
    command = [sys.executable, "-m", "posed", "model", "export", str(weights), "--stride", str(stride)]
    command += ["--size", f"{size[0]}x{size[1]}", *options, "-o", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"check_export: posed model export ended with {done.returncode}: {done.stderr}")
    print(done.stdout.replace(f"{out.parent}/", ""), end="")


def measure(path: Path, images: Sequence[Image]) -> Measured:
    """Poses of all pictures, and the time that an inference takes."""
    heads, seconds = infer(path, images)
    return Measured([decode(each, CONFIG) for each in heads], seconds)


def infer(path: Path, images: Sequence[Image]) -> tuple[list[Heads], float]:
    """Heads of all pictures, and the time of the fastest inference, s."""
    model = read_model(path)
    inputs = [Letterbox((image.shape[1], image.shape[0]), model.size).apply(image) for image in images]
    times = []
    with open_engine(EngineConfig(kind="cpu", threads=2), model, None) as engine:
        heads = [engine.infer(each) for each in inputs]
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


def check_people(measured: dict[tuple[str, int, str], Measured]) -> Iterator[str]:
    """Two people in the picture of the couple, whatever the file."""
    print("\nThe couple: pose scores")
    for (network, stride, precision), one in measured.items():
        scores = [pose.score for pose in one.poses[0]]
        print(
            f"  {network:4} stride {stride:2} {precision:8} {', '.join(f'{score:.3f}' for score in scores)}"
        )
        if len(scores) != 2:
            yield f"{network} at stride {stride}, {precision}: must find two people, found {len(scores)}"


def check_references(
    folder: Path, measured: dict[tuple[str, int, str], Measured], images: Sequence[Image]
) -> Iterator[str]:
    """Float exports against the float files in ../shared, at those files' sizes."""
    print("\nFloat against the references in ../shared/models/float")
    for (network, stride), name in REFERENCES.items():
        reference = read_model(MODELS / name)
        ours = measured[network, stride, "float32"]
        if reference.size != SIZE:
            out = folder / f"reference_{stride}.tflite"
            export(MODELS / NETWORKS[network][0], stride, reference.size, out, [])
            ours = measure(out, images)
        theirs = measure(MODELS / name, images)
        couple = compare(ours.poses[:1], theirs.poses[:1], sure=0)
        print(
            f"  {network:4} stride {stride:2}: every keypoint of the couple within {couple.px.max():.4f} px"
        )
        print(f"  {'':14}all pictures: {compare(ours.poses, theirs.poses)}")
        if couple.px.max() > REFERENCE_PX or couple.missing or couple.extra:
            yield f"{network} at stride {stride}: must be within {REFERENCE_PX} px of {name} on the couple"


def check_quantised(measured: dict[tuple[str, int, str], Measured]) -> Iterator[str]:
    """uint8 against float at the same stride; Coral's own file for a yardstick."""
    print("\nuint8 against float of the same network and stride")
    for network, (_, strides) in NETWORKS.items():
        for stride in strides:
            found = compare(
                measured[network, stride, "uint8"].poses, measured[network, stride, "float32"].poses
            )
            print(f"  {network:4} stride {stride:2}: {found}")
            if not len(found.px) or np.median(found.px) > QUANTISED_MEDIAN_PX:
                yield f"{network} at stride {stride}: uint8 must be within {QUANTISED_MEDIAN_PX} px (median)"
            elif np.median(found.scores) > QUANTISED_SCORE:
                yield f"{network} at stride {stride}: uint8 scores must be within {QUANTISED_SCORE} (median)"
    coral = measure(MODELS / CORAL, list(measured_pictures()))
    print(f"  Coral's  16: {compare(coral.poses, measured['0.75', 16, 'float32'].poses)}")


def show_strides(measured: dict[tuple[str, int, str], Measured]) -> None:
    """Speed against accuracy by stride, as a Markdown table."""
    print("\n| network | stride | precision | CPU ms | people | median px to fine | 95 % |")
    print("|---|---|---|---|---|---|---|")
    for (network, stride, precision), one in measured.items():
        px = compare(one.poses, measured[network, 8, "float32"].poses).px
        cells = [network, stride, precision, f"{one.inference_s * 1000:.0f}", sum(map(len, one.poses))]
        cells += [f"{np.percentile(px, part):.1f}" for part in (50, 95)]
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
