"""Measures what it costs to follow people, from poses to events; no model runs.

    scripts/python bench.follow [--people 1 4] [--repeats 10]

Drawn people walk, sit, stand and wave at 15 frames per second for 14 s (scripts/evaluate/drawn_poses.py).
Times are the fastest of all repetitions of each frame, and then the mean over frames: of all that a scene
does with a frame, and of its tracker alone.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from posed import frame
from posed.commands.bench.machine import processor
from posed.people.tracker import Tracker
from posed.pipeline.journal import MemoryJournal
from posed.pipeline.scene import Scene
from scripts.evaluate.drawn_poses import CONFIG, SIZE, Frame, people_of, play

FPS: Final = 15
IMAGE: Final = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
"""Nobody looks at it."""

Step = Callable[[Frame], object]
"""Follows everybody in one frame."""


def main() -> int:
    """Print a row for each number of people."""
    options = parse_options()
    print(f"{processor()}; {options.repeats} repetitions\n")
    print("| people | scene, us a frame | tracker alone |\n|---|---|---|")
    gc.disable()
    for count in options.people:
        frames = play(people_of(f"{count} people", 0), 0, FPS)
        scene, tracker = (fastest(new, frames, options.repeats) for new in (new_scene, new_tracker))
        print(f"| {count} | {scene:.0f} | {tracker:.0f} |")
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.follow", description="What following people costs."
    )
    parser.add_argument(
        "--people", type=int, nargs="+", default=[1, 4], choices=range(1, 6), help="how many (default 1 4)"
    )
    parser.add_argument("--repeats", type=int, default=10, help="repetitions (default 10)")
    return parser.parse_args()


def fastest(new: Callable[[], Step], frames: Sequence[Frame], repeats: int) -> float:
    """Of the fastest repetition of each frame the mean, us."""
    return float(np.min([times_us(new(), frames) for _ in range(repeats)], axis=0).mean())


def times_us(step: Step, frames: Sequence[Frame]) -> list[float]:
    """How long each frame takes."""
    times = []
    for one in frames:
        began_at = time.perf_counter()
        step(one)
        times.append(1e6 * (time.perf_counter() - began_at))
    return times


def new_scene() -> Step:
    """A scene, with the choice of rotated crops."""
    scene = Scene(CONFIG, MemoryJournal(lambda _: ""))

    def step(one: Frame) -> None:
        scene.update(one.poses, frame.Frame(IMAGE, 0, one.time_s, one.time_s, one.time_s))
        scene.next_crop()

    return step


def new_tracker() -> Step:
    """The tracker alone."""
    tracker = Tracker(CONFIG.people, CONFIG.decode.keypoint_threshold)
    return lambda one: tracker.update(one.poses, one.time_s, SIZE)


if __name__ == "__main__":
    sys.exit(main())
