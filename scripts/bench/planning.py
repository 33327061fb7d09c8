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

from posed.commands.bench.capacity import Costs
from scripts.paths import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"

RATES: Final = (5, 10, 15)
"""Frames per second of each camera, with sub-streams of 640×360."""

HD_RATE: Final = 10
"""The same where the streams are of 1280×720."""

CORES: Final = 4
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
    each = [(costs(pi, engine, stream, found), fps) for fps, stream in wanted]
    counts = [cost.cameras(fps)[0] for cost, fps in each]
    cells = [
        str(count) if count else f"one, at {cost.one_camera_fps():.0f}"
        for count, (cost, _) in zip(counts, each, strict=True)
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


def costs(pi: Pi, engine: Engine, stream: float, found: Measured) -> Costs:
    """What cameras cost on a machine.

    Args:
        pi: the machine.
        engine: what infers.
        stream: share of a core that decoding one takes where it was measured.
        found: what else was.
    """
    return Costs(
        inference_ms=engine.inference_ms,
        own_ms=found.own_ms * pi.factor,
        stream_cores=stream * pi.factor,
        engine_cores=engine.cores,
        cores=CORES,
    )


if __name__ == "__main__":
    sys.exit(main())
