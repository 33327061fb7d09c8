"""Computes how many cameras a Raspberry Pi carries: the tables of docs/planning.md. Nobody measured it there.

    scripts/python bench.planning

What was measured stands in docs/performance.md, from where this reads it; what of other machines is assumed
stands here. For each machine it takes the smallest of what the chip, posed's own work and all cores allow.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from scripts.paths import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"

RATES: Final = (5, 10, 15)
"""Frames per second of each camera, with sub-streams of 640×360."""

HD_RATE: Final = 10
"""The same where the streams are of 1280×720."""

CORES: Final = 4
CORES_USED: Final = 0.6
"""Of all cores, for all that posed does: the rest is for the system, a broker, heat and bad moments."""

OWN_USED: Final = 0.7
"""Of one core, for posed's own work: most of it is Python, of which one thread runs at a time."""

ENGINE_USED: Final = 0.8
"""Of an engine's time: the rest is for rotated crops, of people who may be lying."""

CPU_THREADS: Final = 2
USB2: Final = 7.0
"""How many times as long an inference takes on USB 2: 70 ms for 10 ms, edgetpu#782."""

ONE_CAMERA_MB: Final = 135
"""What one camera takes with all of posed, at most."""


@dataclass(frozen=True)
class Pi:
    """A Raspberry Pi.

    Args:
        name: as people call it.
        factor: how many times as long a core of it takes as one of the machine that was measured.
    """

    name: str
    factor: float


PIS: Final = (Pi("Pi 4", 5.0), Pi("Pi 5", 2.2))

CHIP_MS: Final = {"353×481": 5.8, "481×641": 10.3}
"""Of an inference on USB 3 or PCIe. Source: coral.ai."""


@dataclass(frozen=True)
class Measured:
    """What was measured on one machine.

    Args:
        own_ms: posed's own work for a frame with five people.
        sub_stream, hd_stream: share of a core for a stream of H.264, 640×360 and 1280×720.
        cpu_ms: an inference on the CPU with two threads, by model.
        hd_mb: memory of a further camera with a stream of 1280×720.
    """

    own_ms: float
    sub_stream: float
    hd_stream: float
    cpu_ms: dict[str, float]
    hd_mb: float


@dataclass(frozen=True)
class Engine:
    """What infers.

    Args:
        name: for the table.
        inference_ms: how long one takes.
        cores: how many cores are busy meanwhile.
    """

    name: str
    inference_ms: float
    cores: float = 0.0


def main() -> int:
    """Print the tables."""
    parse_options()
    print("\n".join(lines(measured())))
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.planning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser.parse_args()


def measured() -> Measured:
    """What docs/performance.md has.

    Raises:
        SystemExit: a row of it is not there.
    """
    hd, _, sub, _ = row("10 frames/s taken")
    hd_mb, *_ = row("memory of a further stream, MB")
    return Measured(
        own_ms=row("**all**")[1] / 1000,
        sub_stream=sub / 100,
        hd_stream=hd / 100,
        cpu_ms={model: row(f"uint8 {model}, 16")[2] for model in CHIP_MS},
        hd_mb=hd_mb,
    )


def row(label: str) -> list[float]:
    """The numbers of a row of a table, without what is no number."""
    beginning = f"| {label} |"
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith(beginning):
            return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", line.removeprefix(beginning))]
    raise SystemExit(f"bench.planning: {PAGE}: must have a row `{beginning}`")


def lines(found: Measured) -> Iterator[str]:
    """A table for each model."""
    for number, model in enumerate(CHIP_MS):
        if number:
            yield ""
        rates = " | ".join(f"{fps} fps" for fps in RATES)
        yield f"| {model} | inference | {rates} | {HD_RATE} fps, 720p | memory at most |"
        yield "|---" * (len(RATES) + 4) + "|"
        for pi in PIS:
            for engine in engines(model, pi, found):
                yield line(pi, engine, found)


def line(pi: Pi, engine: Engine, found: Measured) -> str:
    """A row of a table."""
    wanted = [(fps, found.sub_stream) for fps in RATES] + [(HD_RATE, found.hd_stream)]
    counts = [cameras(pi, engine, fps, stream, found) for fps, stream in wanted]
    cells = [
        str(count) if count else f"one, at {one_camera_fps(pi, engine, stream, found):.0f}"
        for count, (_, stream) in zip(counts, wanted, strict=True)
    ]
    memory_mb = ONE_CAMERA_MB + max(0, max(counts) - 1) * found.hd_mb
    name, takes = f"{pi.name}, {engine.name}", f"{engine.inference_ms:.0f} ms"
    return f"| {' | '.join([name, takes, *cells, f'{memory_mb:.0f} MB'])} |"


def engines(model: str, pi: Pi, found: Measured) -> list[Engine]:
    """What a Pi may infer with."""
    return [
        Engine("no Coral", found.cpu_ms[model] * pi.factor, CPU_THREADS),
        Engine("Coral on USB 2", CHIP_MS[model] * USB2),
        Engine("Coral on USB 3" + (" or PCIe" if pi.name == "Pi 5" else ""), CHIP_MS[model]),
    ]


def cameras(pi: Pi, engine: Engine, fps: float, stream: float, found: Measured) -> int:
    """How many cameras there can be.

    Args:
        pi: the machine.
        engine: what infers.
        fps: of each camera.
        stream: share of a core that decoding one takes where it was measured.
        found: what else was.
    """
    own = fps * found.own_ms / 1000 * pi.factor
    infers = fps * engine.inference_ms / 1000
    takes = own + stream * pi.factor + infers * engine.cores
    most = min(ENGINE_USED / infers, OWN_USED / own, CORES_USED * CORES / takes)
    return int(round(most, 6))  # 0.7 / 0.1 is less than 7


def one_camera_fps(pi: Pi, engine: Engine, stream: float, found: Measured) -> float:
    """How many frames per second there can be of a single camera; arguments as above."""
    own_s, infer_s = found.own_ms / 1000 * pi.factor, engine.inference_ms / 1000
    left = CORES_USED * CORES - stream * pi.factor
    return min(ENGINE_USED / infer_s, OWN_USED / own_s, left / (own_s + infer_s * engine.cores))


if __name__ == "__main__":
    sys.exit(main())
