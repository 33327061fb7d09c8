"""Measures what each step of decoding is worth: how far keypoints are from the truth, before and after it.

    scripts/python bench.steps [--pictures 200] [--threads 2]

On drawings of one person each, which the models were not trained with, of the models that come with posed:
distances in px of the model's input, over the keypoints that are to be seen and that are scored above 0.5.
The best cell alone, the same moved by its short offset (the five steps of one person), and the best person
of the decoder for many. Times are the fastest of all pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from posed.commands.bench.machine import processor
from posed.config import DecodeConfig, EngineConfig
from posed.engine import open_engine
from posed.engine.base import Engine
from posed.engine.tflite import find_runtime
from posed.networks.pair import load_pair
from posed.networks.posenet import PoseNet
from posed.networks.posenet.heads import Heads
from posed.networks.posenet.logits import logits_of
from posed.networks.posenet.many import decode_many
from posed.networks.posenet.one import decode_one
from posed.pose import KEYPOINT_COUNT, Pose
from posed.synthetic.scene import RenderedPerson, random_still

Floats = NDArray[np.float64]
Result = TypeVar("Result")

FIRST_SEED: Final = 10_000_000
"""scripts/train holds these drawings out."""

SURE: Final = 0.5


def main() -> int:
    """Print the table; returns the exit status."""
    options = parse_options()
    print(f"{processor()}; {find_runtime().name}, {options.threads} threads; {options.pictures} drawings\n")
    print(
        "| stride | grid | best cell, px: median (95 %) | and its offset | many people "
        "| invoke ms | one µs | many µs |\n" + "|---" * 8 + "|"
    )
    for stride in (32, 16, 8):
        pair = load_pair(f"drawings-257x353-{stride}")
        with open_engine(EngineConfig(kind="cpu", threads=options.threads), pair.cpu, None) as engine:
            print(row(engine, PoseNet.of(pair.model), options.pictures), flush=True)
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.steps",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pictures", type=int, default=200, help="drawings of one person (default 200)")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU engine (default 2)")
    return parser.parse_args()


def row(engine: Engine, network: PoseNet, pictures: int) -> str:
    """One line of the table."""
    settings, size = DecodeConfig(), network.model.size
    cell_px: list[Floats] = []
    one_px: list[Floats] = []
    many_px: list[Floats] = []
    times: list[tuple[float, float, float]] = []
    shape: tuple[int, ...] = ()
    for seed in range(FIRST_SEED, FIRST_SEED + pictures):
        drawing = random_still(seed, size, 1, tame=True)
        if not drawing.people:
            continue
        truth = drawing.people[0]
        outputs, invoke_s = timed(lambda image=drawing.image: engine.infer(image))
        heads = network.heads(outputs)
        one, one_s = timed(lambda heads=heads: decode_one(heads))
        many, many_s = timed(
            lambda heads=heads: decode_many(
                heads, settings.max_people, settings.score_threshold, settings.nms_radius_px
            )
        )
        shape = heads.heatmaps.data.shape
        times.append((invoke_s, one_s, many_s))
        cell_px.append(distances(Pose(best_cells(heads), one.scores, one.score), truth))
        one_px.append(distances(one, truth))
        if many:
            many_px.append(distances(many[0], truth))
    invoke_s, one_s, many_s = np.min(times, axis=0)
    return (
        f"| {network.stride} | {shape[0]}×{shape[1]} "
        f"| {spread(cell_px)} | {spread(one_px)} | {spread(many_px)} "
        f"| {invoke_s * 1e3:.1f} | {one_s * 1e6:.0f} | {many_s * 1e6:.0f} |"
    )


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What work returns, and how long it took, s."""
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def best_cells(heads: Heads) -> Floats:
    """(17, 2) px: the place of each keypoint's best cell."""
    logits = logits_of(heads)
    best = logits.reshape(-1, KEYPOINT_COUNT).argmax(0)
    return np.stack(np.unravel_index(best, logits.shape[:2]), 1) * float(heads.stride)


def distances(pose: Pose, truth: RenderedPerson) -> Floats:
    """Of the keypoints that are to be seen and surely found, px."""
    wanted = truth.visible & (pose.scores >= SURE)
    return np.asarray(np.linalg.norm(pose.points - truth.points, axis=1)[wanted])


def spread(distances_px: list[Floats]) -> str:
    """Median and 95th percentile."""
    every = np.concatenate(distances_px)
    return f"{np.median(every):.1f} ({np.percentile(every, 95):.1f})"


if __name__ == "__main__":
    sys.exit(main())
