"""Measures the whole way: `posed run` on a video, a real mosquitto, and mosquitto_sub as the subscriber.

Once at the video's own rate, as a camera would, and once as fast as possible, where every frame waits for
the engine. Prints messages per second, and the time from capture to receipt and what of it is not the
engine's.
Capture is the message's `time` (ms), receipt the time mosquitto_sub notes; all on this machine's clock.
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

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
WARM_UP_MESSAGES = 10


def main() -> int:
    """Run, and print the figures; returns 1 if no message came."""
    options = parse_options()
    return max(measure(options, realtime) for realtime in (True, False))


def measure(options: argparse.Namespace, realtime: bool) -> int:
    """One run, at the video's own rate or as fast as possible; returns 1 if no message came."""
    with tempfile.TemporaryDirectory(prefix="posed-bench-") as folder:
        port = free_port()
        settings = daemon_settings(options, port, realtime)
        config = Path(folder) / "posed.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        broker = subprocess.Popen(["mosquitto", "-p", str(port)], stderr=subprocess.DEVNULL)
        wait_for(port)
        received_file = Path(folder) / "received"
        with received_file.open("wb") as sink:
            subscriber = subprocess.Popen(
                ["mosquitto_sub", "-p", str(port), "-t", "posed/bench/poses", "-F", "%U %p"], stdout=sink
            )
        daemon = subprocess.Popen(
            [sys.executable, "-m", "posed", "run", "--config", str(config)],
            env={**os.environ, "XDG_STATE_HOME": folder},
        )
        time.sleep(options.seconds)
        for process in (daemon, subscriber, broker):
            process.send_signal(signal.SIGTERM)
            process.wait()
        lines = received_file.read_text(encoding="utf-8").splitlines()
    return report(options, realtime, [received(line) for line in lines])


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench_run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long each run lasts (default 20)")
    parser.add_argument("--video", default=str(SHARED / "testdata/walkers_768x576.mp4"))
    parser.add_argument(
        "--model",
        default=str(SHARED / "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"),
        help="a name of `posed model list`, or a .tflite",
    )
    return parser.parse_args()


def daemon_settings(options: argparse.Namespace, port: int, realtime: bool) -> dict[str, Any]:
    """The daemon's configuration."""
    return {
        "device": "bench",
        "camera": {"kind": "video", "source": options.video, "loop": True, "realtime": realtime},
        "model": {"name": options.model},
        "mqtt": {"host": "127.0.0.1", "port": port},
        "log": {"level": "warning"},
    }


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    options: argparse.Namespace, realtime: bool, messages: list[tuple[float, float, float, int]]
) -> int:
    """Print the figures of all messages but the first few, which warm the engine up."""
    if len(messages) <= WARM_UP_MESSAGES + 1:
        print(f"only {len(messages)} messages came", file=sys.stderr)
        return 1
    at, total_ms, inference_ms, people = np.array(messages[WARM_UP_MESSAGES:]).T
    rate = (len(at) - 1) / (at[-1] - at[0])
    print(f"{platform.machine()}, {os.cpu_count()} cores; {Path(options.model).name}")
    rate_of_video = "at its own rate" if realtime else "as fast as possible, frames wait for the engine"
    print(f"{Path(options.video).name}, {rate_of_video}")
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
    sys.exit(main())
