"""Measures whether the engine ever waits for Python: frames per second against those of bare invokes.

The daemon runs as it is, on 640x480 frames with five people that are there whenever it wants one. Each second
or so its engine keeps it waiting, and meanwhile only invokes: what the machine does to the one it does to the
other, a moment later. The ratio is that of each turn of the daemon to the bare invokes before and after it;
the table has the median, the quartiles, and the error of the mean over all turns.

The engines: a stand-in for the Edge TPU that holds the chip for 6 and for 12 ms and sees five people; and the
CPU with one thread and two, with Coral's model, which hardly sees drawn people. Nothing is looked at turned.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from posed.commands.bench import sink
from posed.commands.bench.camera import DrawnCamera
from posed.config import load
from posed.daemon import Daemon
from posed.engine import open_engine
from posed.engine.base import Engine
from posed.errors import PosedError
from posed.frame import Image
from posed.log import start_log
from posed.model.outputs import Outputs
from posed.networks.pair import load_pair
from scripts.bench.common import NO_CROPS, Stolen, compiled, five_people
from scripts.bench.in_turns import EngineInTurns
from scripts.bench.options import seconds
from scripts.paths import CORAL_353X481
from scripts.standins.edgetpu import Behaviour, built

THIS = (sys.executable, "-m", "scripts.bench.overlap")
HOLDS_MS = (6, 12)
"""How long the stand-in holds the chip: about what 353x481 and 481x641 take on a real one."""

TURN_S = 1.0

LEAST_TURNS = 4


def main() -> int:
    """Print the table; returns 1 if a row is missing."""
    options = parse_options()
    if options.row:
        row(json.loads(options.row), options.seconds)
        return 0
    print(f"{platform.machine()}, {os.cpu_count()} cores; {Path(options.model).name}, {options.seconds:g} s")
    print(
        "engine             ratio   quartiles        error of the mean   frames/s   bare invokes/s   stolen %"
    )
    status = 0
    with tempfile.TemporaryDirectory(prefix="posed-bench-") as folder:
        heads = five_people(options, Path(folder))
        rows = [
            (
                f"stand-in {hold_ms:2d} ms",
                "edgetpu",
                1,
                str(compiled(options)),
                Behaviour(heads, hold_ms=hold_ms),
            )
            for hold_ms in HOLDS_MS
        ]
        rows += [
            (f"CPU, {threads} thread{'s'[: threads - 1]}", "cpu", threads, options.model, Behaviour())
            for threads in (1, 2)
        ]
        for name, kind, threads, model, behaviour in rows:
            if kind not in options.engines:
                continue
            settings = {"engine.kind": kind, "engine.threads": threads, "model.name": model}
            before = Stolen()
            done = subprocess.run(
                [*THIS, "--row", json.dumps(settings), "--seconds", str(options.seconds)],
                env={**os.environ, **built().environment(behaviour), **NO_CROPS},
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if done.returncode:
                status = 1
                continue
            print(f"{name:16s} {done.stdout.rstrip()}   {before.percent_since():8.1f}", flush=True)
    return status


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.overlap",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=seconds, default=60, help="for each row (default 60)")
    parser.add_argument("--engines", nargs="+", default=["edgetpu", "cpu"], choices=["edgetpu", "cpu"])
    parser.add_argument(
        "--model",
        default=str(CORAL_353X481),
        help="a .tflite of Coral's with its _edgetpu beside it",
    )
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args()


def row(settings: dict[str, object], seconds: float) -> None:
    """Measure one engine, and print its part of the table."""
    start_log("warning")
    with sink.running() as port, tempfile.TemporaryDirectory(prefix="posed-bench-") as folder:
        own = settings | {"mqtt.port": port, "mqtt.host": "127.0.0.1"}
        config = load(None, options={name: ("--row", value) for name, value in own.items()})
        pair = load_pair(config.model.name, input_size=config.model.input_size)
        camera = DrawnCamera(fps=0)
        with open_engine(config.engine, pair.cpu, pair.edgetpu) as engine:
            turns = InTurns(engine, time.monotonic() + seconds)
            daemon = Daemon(
                config,
                open_camera=lambda _: camera,
                open_engine=lambda: turns,
                environment={"STATE_DIRECTORY": folder},
            )
            turns.on_end = daemon.stop
            daemon.run()
    print(turns.text())


class InTurns(EngineInTurns):
    """Counts what the daemon infers in each of its turns.

    Args:
        engine: what infers.
        until: when to end, monotonic, s.
    """

    def __init__(self, engine: Engine, until: float) -> None:
        super().__init__(engine, until)
        self._began_at: float | None = None
        self._inferred = 0
        self._daemon_fps: list[float] = []
        self._bare_fps: list[float] = []

    def infer(self, image: Image) -> Outputs:
        """As the engine does; at the end of the daemon's turn a moment later."""
        now = time.monotonic()
        if self._began_at is None or now - self._began_at >= TURN_S:
            if self._began_at is not None:
                self._daemon_fps.append(self._inferred / (now - self._began_at))
            self._bare_fps.append(self.bare_per_s())
            self._began_at, self._inferred = time.monotonic(), 0
            if self._began_at > self._until:
                self.on_end()
        self._inferred += 1
        return self._engine.infer(image)

    def text(self) -> str:
        """Ratio, quartiles, error of the mean, frames and bare invokes per second."""
        # The first turns warm everything up.
        daemon, bare = np.array(self._daemon_fps[1:]), np.array(self._bare_fps[1:])
        if len(daemon) < LEAST_TURNS:
            raise SystemExit(f"only {len(daemon)} turns: --seconds must be more")
        ratios = daemon / ((bare[:-1] + bare[1:]) / 2)
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        error = ratios.std() / np.sqrt(len(ratios))
        return (
            f"{middle:7.3f}   {low:.3f} to {high:.3f} {error:19.3f} {np.median(daemon):10.1f} "
            f"{np.median(bare):16.1f}"
        )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PosedError as error:
        sys.exit(f"bench.overlap: {error}")
