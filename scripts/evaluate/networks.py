"""Which network is better, for whom: how fast each is, what it finds, and how much memory it takes.

    scripts/python evaluate.networks                          # all whose files are in ../shared
    scripts/python evaluate.networks --models movenet-lightning --input-sizes 192 256 320
    scripts/python evaluate.networks --footage                # and falls and postures, at 10 fps

Times are the fastest of some: with one thread the CPU's, which others on this machine do not add to; with
two by the clock; of an Edge TPU as published. People and keypoints are those of ../shared/testdata: the
walkers are counted in every tenth frame, and keypoints are measured from Google's own poses: of PoseNet
481×641 in `couple`, of MoveNet Lightning in `squat`.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from posed.camera.images import read_image
from posed.config import Config, EngineConfig, ModelConfig
from posed.config.problems import problem_of
from posed.engine import open_engine
from posed.errors import PosedError
from posed.frame import Image
from posed.networks.pair import Pair, load_pair
from posed.pose import KEYPOINT_COUNT, Pose
from scripts.evaluate.clips import FootageError, Frames, read_footage, video_facts
from scripts.evaluate.footage import play_clips
from scripts.evaluate.inferences import PoseFinder, camera_config
from scripts.evaluate.score import print_tables
from scripts.evaluate.thresholds import poses_in
from scripts.paths import (
    CORAL_353X481,
    CORAL_481X641,
    FOOTAGE,
    MOVENET_LIGHTNING,
    MOVENET_MULTIPOSE,
    MOVENETS,
    SHARED,
    WALKERS,
)

TESTDATA: Final = SHARED / "testdata"
MODELS: Final = tuple(map(str, (CORAL_353X481, CORAL_481X641, MOVENET_LIGHTNING, MOVENET_MULTIPOSE)))
PUBLISHED_MS: Final = {
    CORAL_353X481.stem: 5.8,
    CORAL_481X641.stem: 10.3,
    MOVENET_LIGHTNING.stem: 7.1,
}
"""How long an Edge TPU takes. Source: coral.ai/models/pose-estimation."""

INFERENCES: Final = 30
_EVERY: Final = 10
_SURE: Final = 0.5
"""Keypoints that Google scores above this are measured."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of one network.

    Args:
        cpu_ms: with one thread, and with two.
        memory_mb: what the model and its engine take.
        people: found in `couple`, in `squat`, and in a frame of the walkers.
        error_px: median distance from Google's keypoints in `couple` and in `squat`, px of the picture.
    """

    cpu_ms: tuple[float, float]
    memory_mb: float
    people: tuple[int, int, float]
    error_px: tuple[float, float]


def main() -> int:
    """Measure and print; returns the exit status."""
    options = parse_options()
    sizes = options.input_sizes or [ModelConfig().input_size]
    try:
        print(
            f"{'model':44}{'size':>9}{'1 thread':>10}{'2 threads':>10}{'Edge TPU':>10}{'memory':>8}"
            f"{'couple':>8}{'squat':>7}{'walkers':>9}{'couple px':>11}{'squat px':>10}"
        )
        for model in options.models:
            for size in sizes_of(model, sizes):
                print_figures(load_pair(model, input_size=size), measure(model, size))
        if options.footage:
            clips = read_footage(FOOTAGE)
            for model in options.models:
                config = camera_config(Config(), model)
                for size in sizes_of(model, sizes):
                    height_px, width_px = sides_of(model, size)
                    head = f"{Path(model).stem} {height_px}×{width_px}, {options.fps:g} fps"
                    print(f"\n== {head}, {len(clips)} clips")
                    print_tables(play_clips(clips, model, config, options.fps, size), wrong=True)
    except (FootageError, PosedError, OSError) as error:
        print(f"networks: {error}", file=sys.stderr)
        return 2
    return 0


def sizes_of(model: str, sizes: Sequence[int]) -> Sequence[int]:
    """The sizes that make a difference to a model: one will do where it has its own."""
    return sizes if load_pair(model).model.resizable else sizes[:1]


def sides_of(model: str, size: int) -> tuple[int, int]:
    """(height, width) of a model's input, px."""
    width, height = load_pair(model, input_size=size).model.size
    return height, width


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python evaluate.networks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="MODEL")
    parser.add_argument(
        "--input-sizes",
        nargs="+",
        type=input_size,
        metavar="PX",
        help="of models that take any (the default of model.input_size)",
    )
    parser.add_argument("--footage", action="store_true", help="play all footage, too: some minutes a model")
    parser.add_argument("--fps", type=float, default=10.0, help="of the footage (10)")
    return parser.parse_args()


def input_size(text: str) -> int:
    """A size that the configuration takes."""
    try:
        return ModelConfig(input_size=int(text)).input_size
    except ValidationError as error:
        raise argparse.ArgumentTypeError(problem_of(error.errors()[0], {})) from None


def measure(model: str, size: int) -> Figures:
    """All figures of one network."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # so that its memory is its own
        memory_mb = pool.apply(memory_of, (model, size))
    config = camera_config(Config(), model)
    with PoseFinder(model, config.decode, input_size=size) as finder:
        found = [
            poses_in(read_image(TESTDATA / name), finder) for name in ("couple_640x480.bmp", "squat.bmp")
        ]
        frames, (count, _, _) = Frames(WALKERS), video_facts(WALKERS)
        walkers = mean(len(finder.look(frames.at(at), None).poses) for at in range(0, count, _EVERY))
    references = (
        google_poses(TESTDATA / "couple_640x480.posenet_481_641_16.csv", (640, 480)),
        google_poses(MOVENETS / "movenet_single_pose_lightning_ptq_reference.csv", (500, 610)),
    )
    errors = [error_of(poses, truth) for poses, truth in zip(found, references, strict=True)]
    return Figures(
        (invoke_ms(model, size, threads=1), invoke_ms(model, size, threads=2)),
        memory_mb,
        (len(found[0]), len(found[1]), walkers),
        (errors[0], errors[1]),
    )


def invoke_ms(model: str, size: int, threads: int) -> float:
    """The fastest of some inferences on the CPU, as the module says; others may have slowed down the rest."""
    clock = time.process_time if threads == 1 else time.perf_counter
    pair = load_pair(model, input_size=size)
    with open_engine(EngineConfig(kind="cpu", threads=threads), pair.cpu, None) as engine:
        engine.infer(_black(pair))
        took = []
        for _ in range(INFERENCES):
            began = clock()
            engine.invoke()
            took.append(clock() - began)
    return min(took) * 1000


def memory_of(model: str, size: int) -> float:
    """What a model and its engine take of a process's memory, MB."""
    pair = load_pair(model, input_size=size)
    before = resident_mb()
    with open_engine(EngineConfig(kind="cpu", threads=2), pair.cpu, None) as engine:
        engine.infer(_black(pair))
        return resident_mb() - before


def resident_mb() -> float:
    """The memory of this process that is in use, MB. Source: proc_pid_statm(5), pages of 4 KiB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


def _black(pair: Pair) -> Image:
    width, height = pair.model.size
    return np.zeros((height, width, 3), np.uint8)


def google_poses(path: Path, size: tuple[int, int]) -> list[tuple[Points, NDArray[np.float64]]]:
    """Points (17, 2), y first, px of a picture of this (width, height), and scores, of each person."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    width, height = size
    values = np.array(
        [[float(row[f"keypoint_{name}"]) for name in ("y", "x", "score")] for row in rows], np.float64
    ).reshape(-1, KEYPOINT_COUNT, 3)
    return [(one[:, :2] * (height, width), one[:, 2]) for one in values]


def error_of(poses: Sequence[Pose], truth: Sequence[tuple[Points, NDArray[np.float64]]]) -> float:
    """The median distance of keypoints from those of whom a pose is nearest to, px; NaN without a pose."""
    distances: list[float] = []
    for pose in poses:
        apart = [
            np.linalg.norm(pose.points - points, axis=1)[scores >= min(_SURE, float(np.median(scores)))]
            for points, scores in truth
        ]
        distances += min(apart, key=lambda one: float(np.median(one))).tolist()
    return median(distances) if distances else float("nan")


def print_figures(pair: Pair, figures: Figures) -> None:
    """Print one line of the table."""
    width, height = pair.model.size
    published = PUBLISHED_MS.get(pair.model.path.stem)
    one, two = figures.cpu_ms
    couple, squat, walkers = figures.people
    print(
        f"{pair.name[:43]:44}{f'{height}×{width}':>9}{one:>10.1f}{two:>10.1f}"
        f"{f'{published:.1f}' if published else '-':>10}{figures.memory_mb:>8.0f}"
        f"{couple:>8}{squat:>7}{walkers:>9.1f}{figures.error_px[0]:>11.1f}{figures.error_px[1]:>10.1f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
