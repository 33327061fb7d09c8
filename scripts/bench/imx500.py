"""Times what a frame of a Raspberry Pi AI Camera costs the CPU, step by step: its sensor has seen the people.

    scripts/python bench.imx500 [--people 0,1,2,5] [--repeats 200] [--json]

read: from the tuple of 81,995 numbers in a picture's metadata, as libcamera's binding makes it, to heads.
That is part of capture, as is making the tuple, which `tuple` stands for. decode, follow and message are the
rest of a frame's way, and after_capture their sum. Below: other ways to read the tuple. The tensors are made
up: people drawn into heads of 353x481 at stride 16. Times are CPU time, the median of many, in ms.
"""

from __future__ import annotations

import argparse
import array
import json
import statistics
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from posed.camera.imx500 import STRIDE, VALUES, heads_of
from posed.camera.imx500_view import INPUT, REGION, Rectangle, SensorView
from posed.config import CameraConfig, DecodeConfig
from posed.frame import CameraInference, Frame
from posed.messages.reports import poses_message
from posed.messages.structs import Sender, encode, people_messages
from posed.model.outputs import OutputTensor
from posed.people.events import EventDetector
from posed.people.tracker import Tracker
from posed.pipeline.detection import poses_of
from posed.pipeline.inferred import Inferred
from posed.pipeline.stage_timings import StageTimings
from scripts.bench.options import whole_number
from scripts.standins import heads as drawn

SIZE: Final = (482, 362)
FPS: Final = 30


def tensor_of(people: int) -> tuple[float, ...]:
    """What the camera gives for people beside each other."""
    width, height = INPUT
    row = [drawn.person((0.5 * height, (turn + 0.65) / 5.3 * width), 0.55 * height) for turn in range(people)]
    made = drawn.heads_of(row, INPUT, STRIDE)
    flat = [
        np.transpose(one.values(), (2, 1, 0)).ravel()
        for one in (made.heatmaps, made.short_offsets, made.mid_offsets)
    ]
    return tuple(np.concatenate(flat).astype(float).tolist())


def timed_ms(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """The fastest and the median, CPU time, ms."""
    taken = []
    for _ in range(repeats):
        began = time.thread_time()
        work()
        taken.append((time.thread_time() - began) * 1000)
    return min(taken), statistics.median(taken)


class Way:
    """The steps of one frame after another of a scene.

    Args:
        tensor: what the camera says of each.
    """

    def __init__(self, tensor: Sequence[float]) -> None:
        config = CameraConfig(kind="imx500")
        self._tensor = tensor
        self._view = SensorView(REGION, Rectangle(0, 0, 4056, 3040), SIZE, 0, mirror=False)
        self._image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        self._tracker = Tracker(config.people, config.decode.keypoint_threshold)
        self._detector = EventDetector(config.people, {})
        self._sender = Sender.start("bench")
        self._number = 0
        self.heads = self.read()
        self.poses = self.decode()

    def read(self) -> tuple[np.ndarray, ...]:
        """From the tuple to heads."""
        return heads_of(self._tensor)

    def decode(self) -> list[object]:
        """From heads to poses, px of the frame."""
        inference = CameraInference(self.heads, STRIDE, self._view, mirrored=False, took_s=0.015)
        frame = Frame(self._image, 0, 0.0, 0.0, 0.0, inference)
        outputs = tuple(OutputTensor(head) for head in self.heads)
        inferred = Inferred(frame, self._view, outputs, StageTimings())
        return list(poses_of(inferred, None, DecodeConfig()))

    def follow(self) -> None:
        """Who is who, and what they do."""
        self._number += 1
        time_s = self._number / FPS
        people = self._tracker.update(self.poses, time_s, SIZE)
        self._detector.update(people, self._tracker.ended, time_s, SIZE)

    def message(self) -> bytes:
        """What is published of it."""
        people = people_messages([one.person.pose for one in self._detector.people], 0.2)
        return encode(
            poses_message(
                self._sender,
                "hall",
                sequence=self._number,
                time_s=0.0,
                shape=self._image.shape,
                people=people,
                inference_ms=15.0,
                latency_ms=50.0,
            )
        )


def rows_of(counts: Sequence[int], repeats: int) -> list[dict[str, float]]:
    """What each step takes, by number of people."""
    rows = []
    for count in counts:
        way = Way(tensor_of(count))
        row: dict[str, float] = {"people": count, "found": len(way.poses)}
        for name in ("read", "decode", "follow", "message"):
            row[name], row[f"{name}_median"] = timed_ms(getattr(way, name), repeats)
        row["after_capture"] = row["decode_median"] + row["follow_median"] + row["message_median"]
        rows.append(row)
    return rows


def ways_to_read(repeats: int) -> dict[str, float]:
    """The fastest of each way to make an array of the tuple, ms."""
    tensor, floats = tensor_of(2), np.zeros(VALUES, np.float32)
    packer = struct.Struct(f"{VALUES}f")
    ways: dict[str, Callable[[], object]] = {
        "tuple": lambda: tuple(floats.tolist()),
        "np.fromiter with count": lambda: np.fromiter(tensor, np.float32, VALUES),
        "np.fromiter": lambda: np.fromiter(tensor, np.float32),
        "np.array": lambda: np.array(tensor, np.float32),
        "array.array": lambda: np.frombuffer(array.array("f", tensor), np.float32),
        "struct.pack": lambda: np.frombuffer(packer.pack(*tensor), np.float32),
    }
    return {name: timed_ms(work, repeats)[0] for name, work in ways.items()}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.imx500",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--people", default="0,1,2,5", help="numbers of people")
    parser.add_argument("--repeats", type=whole_number, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = rows_of([int(count) for count in options.people.split(",")], options.repeats)
    ways = ways_to_read(options.repeats)
    if options.json:
        sys.stdout.write(json.dumps({"schema": 1, "frames": rows, "ways_to_read_ms": ways}) + "\n")
        return
    names = ("people", "found", "read", "decode", "follow", "message", "after_capture")
    sys.stdout.write("  ".join(f"{name:>14}" for name in names) + "\n")
    for row in rows:
        values = [row.get(f"{name}_median", row[name]) for name in names]
        sys.stdout.write("  ".join(f"{value:>14.3g}" for value in values) + "\n")
    sys.stdout.write("\nfastest, ms, to read the tuple:\n")
    for name, value in ways.items():
        sys.stdout.write(f"{name:>24}  {value:.2f}\n")


if __name__ == "__main__":
    main()
