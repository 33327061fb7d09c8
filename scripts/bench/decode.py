"""Times posed's decoder for many people, compiled and plain, against others on the same tensors.

    scripts/python bench.decode [--peer LIB.so] [--people 0,1,2,5,10,20,50] [--repeats 200] [--json]

The tensors are made up: people drawn into uint8 heads with noise, on the grids of 353x481, 481x641, 721x1281
and 1073x1921 at stride 16. Times are the fastest of many, in µs: whatever else a machine does only adds
to them. ours: from uint8 heads to a list of poses. plain: that file uncompiled. tfjs: TF.js's decoder in
node, from real numbers on, so without dequantising. All are timed in one run, ours and the peer's in turns;
compare the ratios, not runs. The peer has found what stands behind its time. Where node or npm is missing
TF.js is left out, and said.

Below the table: both curves of our time as straight lines (least squares), and how far any time is off its
line. Against people: found ones, on each grid. Against cells: for each number of people.

--peer is a shared library with Google's DecodeAllPoses behind this C entry:

    int decode_all_poses(const float *scores, const float *short_offsets, const float *mid_offsets,
                         int height, int width, int max_detections, float score_threshold,
                         int mid_short_offset_refinement_steps, float nms_radius, int stride,
                         float *pose_keypoints, float *pose_keypoint_scores, float *pose_scores);

scores are logits, offsets and nms_radius in cells; it writes (poses, 17, 2), (poses, 17) and (poses,) and
returns how many poses there are. It needs real numbers; what turns the three heads into them is timed apart
(dequantise) and together with it. It may bring its own, otherwise numpy does it in two passes:

    void dequantise(const unsigned char *from, float *to, int count, float scale, float zero_point);

Each call of either goes through ctypes, which costs a microsecond or two.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from posed.config import DecodeConfig
from posed.model.outputs import OutputTensor
from posed.networks.posenet import many
from posed.networks.posenet.heads import Heads
from scripts.bench.options import whole_number
from scripts.paths import ROOT
from scripts.standins.heads import disturbed, heads_of, person, quantised
from scripts.tfjs import NoPackagesError, install_packages, write

CONFIG: Final = DecodeConfig()
STRIDE: Final = 16
GRIDS: Final = ((23, 31), (31, 41), (46, 81), (68, 121))
SLOW_REPEATS: Final = 5
"""How often what takes milliseconds is timed."""

TFJS_REPEATS: Final = 30
"""How often TF.js is timed: node compiles what it has run a few times."""


@dataclass(slots=True)
class Row:
    """What one case took, the fastest in µs; None where it was not measured.

    Args:
        height: of the grid, cells.
        width: cells.
        people: drawn.
        found: by our decoder.
        peer_found: by the peer: one that finds others is no measure.
        ours: compiled, or None where it is not.
        plain: the same file uncompiled.
        dequantise: all three heads, for the peer.
        peer: decoding.
        tfjs: decoding.
    """

    height: int
    width: int
    people: int
    found: int
    ours: float | None
    plain: float
    dequantise: float | None = None
    peer: float | None = None
    peer_found: int | None = None
    tfjs: float | None = None

    def ratio(self) -> float | None:
        """Our time by the peer's, dequantising included."""
        if self.ours is None or self.peer is None or self.dequantise is None:
            return None
        return self.ours / (self.peer + self.dequantise)


class Peer:
    """A C library's decoder, fed from uint8 heads."""

    def __init__(self, library: ctypes.CDLL, heads: Heads, max_people: int) -> None:
        self._library = library
        self._sources = (heads.heatmaps, heads.short_offsets, heads.mid_offsets)
        self._units = (1.0, 1.0 / heads.stride, 1.0 / heads.stride)
        self._floats = [np.empty(head.data.shape, np.float32) for head in self._sources]
        self._results = [np.empty((max_people, *shape), np.float32) for shape in ((17, 2), (17,), ())]
        height, width, _ = heads.heatmaps.data.shape
        self._arguments = (
            *map(pointer, self._floats),
            *(height, width, max_people, ctypes.c_float(CONFIG.score_threshold), many.REFINEMENTS),
            *(ctypes.c_float(CONFIG.nms_radius_px / heads.stride), heads.stride),
            *map(pointer, self._results),
        )
        self._own = getattr(library, "dequantise", None)
        self._parts = [
            (
                *(pointer(head.data), pointer(to), to.size),
                *(ctypes.c_float(head.scale * unit), ctypes.c_float(head.zero_point)),
            )
            for head, to, unit in zip(self._sources, self._floats, self._units, strict=True)
        ]

    def dequantise(self) -> None:
        """All three heads as float32."""
        if self._own:
            for part in self._parts:
                self._own(*part)
            return
        for head, to, unit in zip(self._sources, self._floats, self._units, strict=True):
            np.subtract(head.data, np.float32(head.zero_point), out=to)
            np.multiply(to, np.float32(head.scale * unit), out=to)

    def decode(self) -> int:
        """How many poses there are."""
        return int(self._library.decode_all_poses(*self._arguments))


def pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    """The array's memory, which must outlive it."""
    return ctypes.c_void_p(array.ctypes.data)


def main() -> None:
    """Measure and print."""
    settings = arguments()
    plain = load_plain()
    rows, cases = [], []
    for height, width in GRIDS:
        for count in settings.people:
            heads = crowd(count, height, width)
            max_people = max(count, CONFIG.max_people)
            cases.append((heads, max_people))
            rows.append(measured(heads, max_people, count, plain, settings.peer, settings.repeats))
    for row, took in zip(rows, tfjs_times(cases) or [None] * len(rows), strict=True):
        row.tfjs = took
    if settings.json:
        print(json.dumps([{**asdict(row), "ratio": row.ratio()} for row in rows], indent=1))
    else:
        print_table(rows)
        print_slopes(rows)


def arguments() -> argparse.Namespace:
    """From the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.decode",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--peer", type=peer_library, metavar="LIB.so", help="a C library, see above")
    parser.add_argument(
        "--people", type=counts, default="0,1,2,5,10,20,50", help="how many, default %(default)s"
    )
    parser.add_argument(
        "--repeats", type=whole_number, default=200, help="of the fast ones, default %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="for comparing")
    return parser.parse_args()


def peer_library(text: str) -> ctypes.CDLL:
    """A library that has the entry."""
    try:
        library = ctypes.CDLL(str(Path(text).resolve()))
    except OSError as error:
        raise argparse.ArgumentTypeError(f"must be a library that can be loaded, got {error}") from None
    if not hasattr(library, "decode_all_poses"):
        raise argparse.ArgumentTypeError(f"must have decode_all_poses, got {text} without it")
    return library


def counts(text: str) -> list[int]:
    """Whole numbers with commas between."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"must be whole numbers with commas between, got {text!r}")
    return [int(part) for part in parts]


def load_plain() -> Any:
    """The decoder's file uncompiled."""
    spec = importlib.util.spec_from_file_location("plain_many", ROOT / "posed/networks/posenet/many.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def crowd(count: int, height: int, width: int) -> Heads:
    """People in uint8 heads with noise, each about a third of the height and in a place of their own."""
    random = np.random.default_rng(count)
    size = ((width - 1) * STRIDE + 1, (height - 1) * STRIDE + 1)
    columns = max(1, round((count * size[0] / size[1]) ** 0.5))
    rows = -(-count // columns) or 1
    people = []
    for index in range(count):
        place = ((index // columns + 0.5) / rows * size[1], (index % columns + 0.5) / columns * size[0])
        people.append(person(place, random.uniform(0.7, 0.95) * size[1] / max(rows, 2)))
    heads = heads_of(people, size, STRIDE)
    return quantised(
        Heads(
            disturbed(heads.heatmaps, 0.5, random),
            disturbed(heads.short_offsets, 1.0, random),
            disturbed(heads.mid_offsets, 2.0, random),
            STRIDE,
        ),
        np.uint8,
    )


def measured(  # noqa: PLR0913, PLR0917
    heads: Heads, max_people: int, count: int, plain: Any, library: ctypes.CDLL | None, repeats: int
) -> Row:
    """One case, the fast decoders in turns."""
    settings = (heads, max_people, CONFIG.score_threshold, CONFIG.nms_radius_px)
    fast: dict[str, Callable[[], object]] = {}
    peer = Peer(library, heads, max_people) if library else None
    if many.COMPILED:
        fast["ours"] = lambda: many.decode_many(*settings)
    if peer:
        fast |= {"dequantise": peer.dequantise, "peer": peer.decode}
    took = fastest(fast, repeats)
    slow = fastest({"plain": lambda: plain.decode_many(*settings)}, SLOW_REPEATS)
    height, width, _ = heads.heatmaps.data.shape
    return Row(
        height, width, count, len(many.decode_many(*settings)), took.get("ours"), slow["plain"],
        took.get("dequantise"), took.get("peer"), peer and peer.decode(),
    )  # fmt: skip


def fastest(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The fastest of each, µs; in turns, so that what else the machine does meets all alike."""
    took = dict.fromkeys(calls, math.inf)
    for _ in range(repeats):
        for name, call in calls.items():
            call()  # warms up again after the others
            begin = time.perf_counter_ns()
            call()
            took[name] = min(took[name], (time.perf_counter_ns() - begin) / 1000)
    return took


def tfjs_times(cases: Sequence[tuple[Heads, int]]) -> list[float] | None:
    """TF.js's fastest, µs; None where it cannot run here."""
    try:
        packages = install_packages()
    except NoPackagesError as error:
        print(f"bench.decode: TF.js is left out: {error}", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory(prefix="posed-bench-") as name:
        folder = Path(name)
        job = {
            "repeats": TFJS_REPEATS,
            "score_threshold": CONFIG.score_threshold,
            "nms_radius_px": CONFIG.nms_radius_px,
            "heads": [
                {**write(folder, str(index), as_real(heads)), "max_people": max_people}
                for index, (heads, max_people) in enumerate(cases)
            ],
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        subprocess.run(["node", str(ROOT / "scripts/tfjs/bench.mjs"), str(packages), name], check=True)
        times: list[float] = json.loads((folder / "times.json").read_text(encoding="utf-8"))
        return times


def as_real(heads: Heads) -> Heads:
    """Dequantised."""
    return Heads(
        *(OutputTensor(head.values()) for head in (heads.heatmaps, heads.short_offsets, heads.mid_offsets)),
        heads.stride,
    )


def print_table(rows: Sequence[Row]) -> None:
    """One line per case."""
    print(
        "   grid people found     ours    plain "
        "dequantise     peer    found  ours/(both)     tfjs   tfjs/ours   µs"
    )
    for row in rows:
        ratio, tfjs = row.ratio(), row.tfjs / row.ours if row.tfjs and row.ours else None
        print(
            f"{row.height:3}x{row.width:<3} {row.people:6} {row.found:5} {cell(row.ours)} {cell(row.plain)} "
            f"{cell(row.dequantise):>10} {cell(row.peer)} {cell(row.peer_found, 0)} {cell(ratio, 2):>12} "
            f"{cell(row.tfjs)} {cell(tfjs, 0):>11}"
        )


def cell(value: float | None, digits: int = 1) -> str:
    """A number, or a dash."""
    return f"{'-' if value is None else f'{value:.{digits}f}':>8}"


def print_slopes(rows: Sequence[Row]) -> None:
    """Both curves as straight lines, and how far from them the times are."""
    timed = [row for row in rows if row.ours is not None]
    if not timed:
        return
    print("\nours grows by               slope   at none  worst off the line")
    for height, width in GRIDS:
        chosen = [row for row in timed if (row.height, row.width) == (height, width)]
        print_slope(f"person at {height}x{width}", [row.found for row in chosen], chosen)
    for count in dict.fromkeys(row.people for row in timed):
        chosen = [row for row in timed if row.people == count]
        cells = [row.height * row.width / 1000 for row in chosen]
        print_slope(f"1000 cells, {count} people", cells, chosen)


def print_slope(name: str, along: Sequence[float], rows: Sequence[Row]) -> None:
    """Least squares."""
    if len(set(along)) < 2:
        return
    times = np.array([row.ours for row in rows], np.float64)
    slope, at_none = np.polyfit(along, times, 1)
    off = np.abs(times - (slope * np.array(along) + at_none)).max()
    print(f"{name:24} {slope:8.2f} {at_none:9.1f} {off:9.1f} µs")


if __name__ == "__main__":
    main()
