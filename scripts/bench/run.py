"""Measures the whole way, twice (`--parts`); every figure is of this machine.

1. `posed run` at 30 frames per second on a stand-in for the Edge TPU, a real mosquitto, and mosquitto_sub as
   the subscriber: the time from capture to receipt and what of it is not the engine's, the time from start to
   the first message, and the daemon's memory. With mosquitto's `set_tcp_nodelay true`, and as it comes: then
   it keeps a message back until the subscriber has acknowledged the one before, for up to 40 ms.
2. The same on a video and the CPU: at the video's own rate, as a camera would, and as fast as possible, where
   every frame waits for the engine.

Capture is the message's `time` (ms), receipt the time mosquitto_sub notes; all on this machine's clock.
Stolen is what a virtual machine's host gave to others meanwhile: where it is much, the rest says little.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from posed.errors import PosedError
from scripts.bench.common import NO_CROPS, Stolen, compiled, five_people
from scripts.bench.options import seconds
from scripts.paths import CORAL_353X481, WALKERS
from scripts.ports import free_port
from scripts.standins.edgetpu import Behaviour, built

WARM_UP_MESSAGES = 10
HOLD_MS = 6
"""How long the stand-in holds the chip: about what 353x481 takes on a real one."""

NODELAY = "set_tcp_nodelay true\n"
"""For mosquitto.conf: each message goes out at once."""


def main() -> int:
    """Run, and print the figures; returns 1 if something gave none."""
    options = parse_options()
    print(f"{platform.machine()}, {os.cpu_count()} cores; {Path(options.model).name}, {options.seconds:g} s")
    with tempfile.TemporaryDirectory(prefix="posed-bench-") as folder:
        heads = five_people(options, Path(folder))
        standin = built().environment(Behaviour(heads=heads, hold_ms=HOLD_MS)) | NO_CROPS
        on_chip = {
            "cameras": {"room": {"kind": "synthetic", "fps": 30}},
            "model": {"name": str(compiled(options))},
            "engine": {"kind": "edgetpu"},
        }
        title = f"drawn people at 30 fps, stand-in of {HOLD_MS} ms, heads of five people"
        runs = []
        if 1 in options.parts:
            runs = [
                (title, on_chip, standin, NODELAY),
                (f"{title}, mosquitto as it comes", on_chip, standin, ""),
            ]
        for realtime in (True, False) if 2 in options.parts else ():
            rate = "at its own rate" if realtime else "as fast as possible, frames wait for the engine"
            camera = {"kind": "video", "source": options.video, "loop": True, "realtime": realtime}
            on_cpu = {
                "cameras": {"room": camera},
                "model": {"name": options.model},
                "engine": {"kind": "cpu"},
            }
            runs.append((f"{Path(options.video).name} {rate}, CPU", on_cpu, {}, NODELAY))
        return max(measure(options, *run) for run in runs)


def measure(
    options: argparse.Namespace, title: str, chosen: dict[str, Any], more: dict[str, str], broker_config: str
) -> int:
    """One run of the daemon; returns 1 if no message came."""
    with tempfile.TemporaryDirectory(prefix="posed-bench-") as folder:
        port = free_port()
        config = Path(folder) / "posed.yaml"
        common = {"device": "bench", "mqtt": {"host": "127.0.0.1", "port": port}, "log": {"level": "warning"}}
        config.write_text(yaml.safe_dump(common | chosen), encoding="utf-8")
        settings = Path(folder) / "mosquitto.conf"
        settings.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\n{broker_config}", encoding="utf-8"
        )
        broker = subprocess.Popen(["mosquitto", "-c", str(settings)], stderr=subprocess.DEVNULL)
        wait_for(port)
        received_file = Path(folder) / "received"
        with received_file.open("wb") as sink:
            subscriber = subprocess.Popen(
                ["mosquitto_sub", "-p", str(port), "-t", "posed/bench/room/poses", "-F", "%U %p"],
                stdout=sink,
            )
        started_at, before = time.time(), Stolen()
        daemon = subprocess.Popen(
            [sys.executable, "-m", "posed", "run", "--config", str(config)],
            env={**os.environ, "XDG_STATE_HOME": folder, **more},
        )
        time.sleep(options.seconds)
        memory_mb, stolen_percent = resident_mb(daemon.pid), before.percent_since()
        for process in (daemon, subscriber, broker):
            process.send_signal(signal.SIGTERM)
            process.wait()
        lines = received_file.read_text(encoding="utf-8").splitlines()
    status = report(title, [received(line) for line in lines], started_at, memory_mb)
    print(f"stolen, % of a core       {stolen_percent:8.1f}")
    return status


def resident_mb(process_id: int) -> float:
    """Memory of a process that is in RAM, MB."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/python bench.run", description=__doc__)
    parser.add_argument("--seconds", type=seconds, default=20, help="how long each run lasts (default 20)")
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2], choices=[1, 2], help="default: both")
    parser.add_argument("--video", default=str(WALKERS))
    parser.add_argument(
        "--model",
        default=str(CORAL_353X481),
        help="a .tflite of Coral's with its _edgetpu beside it",
    )
    return parser.parse_args()


def wait_for(port: int) -> None:
    """Until the broker takes connections."""
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("mosquitto did not start")


def received(line: str) -> tuple[float, float, float, int]:
    """(receipt s, ms from capture to receipt, ms in the engine, people) of one message."""
    at, _, payload = line.partition(" ")
    message = json.loads(payload)
    captured = datetime.datetime.fromisoformat(message["time"]).timestamp()
    return float(at), (float(at) - captured) * 1000, message["inference_ms"], len(message["people"])


def report(
    title: str, messages: list[tuple[float, float, float, int]], started_at: float, memory_mb: float
) -> int:
    """Print the figures of all messages but the first few, which warm the engine up."""
    print(f"\n{title}")
    if len(messages) <= WARM_UP_MESSAGES + 1:
        print(f"only {len(messages)} messages came", file=sys.stderr)
        return 1
    at, total_ms, inference_ms, people = np.array(messages[WARM_UP_MESSAGES:]).T
    rate = (len(at) - 1) / (at[-1] - at[0])
    print(f"start to first message, s {messages[0][0] - started_at:8.2f}   memory {memory_mb:.1f} MB")
    print(f"messages/s                {rate:8.1f}   ({len(at)} messages, {people.mean():.1f} people each)")
    for name, values in (
        ("capture to receipt, ms", total_ms),
        ("the engine alone, ms", inference_ms),
        ("all but the engine, ms", total_ms - inference_ms),
    ):
        p50, p99 = np.percentile(values, [50, 99])
        print(f"{name:24s}  p50 {p50:8.1f}   p99 {p99:8.1f}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PosedError as error:
        sys.exit(f"bench.run: {error}")
