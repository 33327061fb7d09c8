"""What several benchmarks measure with: the heads of five people, and what a host takes away."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posed.model.tflite import Model, read_model
from posed.networks import INPUT_SIZE, network_of
from scripts.standins.edgetpu import write_heads
from scripts.standins.heads import heads_of, in_steps, person

NO_CROPS = {"POSED_PEOPLE__LOOK_TURNED_S": "0"}
"""The stand-in sees the same people whichever way a picture is turned; and a frame is to be one invoke."""


def compiled(options: argparse.Namespace) -> Path:
    """The model's file for the Edge TPU."""
    return Path(options.model).with_name(f"{Path(options.model).stem}_edgetpu.tflite")


def five_people(options: argparse.Namespace, folder: Path) -> Path:
    """The heads of five people, as the compiled model gives them."""
    network = network_of(read_model(compiled(options)), INPUT_SIZE)
    size = network.model.size
    heads = in_steps(heads_of(row_of_people(network.model, 5), size, network.stride), network)
    return write_heads(folder / "heads", heads)


def row_of_people(model: Model, count: int) -> list[NDArray[np.float64]]:
    """Up to five people beside each other, each (17, 2) px of the model's input, y first."""
    width, height = model.size
    return [
        person(((0.5 + 0.03 * (turn % 2)) * height, (turn + 0.65) / 5.3 * width), 0.55 * height)
        for turn in range(count)
    ]


class Stolen:
    """CPU time that the host takes from a virtual machine, from now on. Source: proc(5), /proc/stat."""

    def __init__(self) -> None:
        self._began_at, self._before_s = time.monotonic(), self._total_s()

    def percent_since(self) -> float:
        """Of one core, %."""
        return 100 * (self._total_s() - self._before_s) / (time.monotonic() - self._began_at)

    @staticmethod
    def _total_s() -> float:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        return int(first.split()[8]) / os.sysconf("SC_CLK_TCK")
