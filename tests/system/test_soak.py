"""Lives through a day in fast motion: a million frames the whole way, and faults at random.

    pytest -m release tests/system/test_soak.py [--frames N] [--seed N] [--plot FILE.svg] [--samples FILE]

A video file at 12 frames per second, played as fast as every frame can be processed, is the camera, so that
1,036,800 frames are a day of what the daemon takes for time. The engine is the real runtime with the stand-in
for an Edge TPU, whose heads show somebody who walks by once a minute. Messages go to a real mosquitto, and
what comes of them to a subscriber that the broker keeps a session for. Now and then, at random, the broker is
restarted or hangs, the camera or the Edge TPU goes away and comes back, somebody asks for things, the
configuration is reloaded. One process has to live through it all, and nothing may grow or be lost.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest
import yaml

from posed.model.tflite import parse_model
from posed.networks import INPUT_SIZE, Network, network_of
from posed.networks.posenet.heads import Heads
from scripts.paths import ROOT
from scripts.standins.edgetpu import Behaviour, write_heads
from scripts.standins.heads import heads_of, in_steps, person
from tests.brokers import Mosquitto
from tests.make_tflite import make_tflite
from tests.standin import built
from tests.system.conftest import Table
from tests.system.needs import need_debian
from tests.system.soak.faults import PATIENCE_S, Faults
from tests.system.soak.plot import draw
from tests.system.soak.samples import PARTS, POSES, WARM_UP, Sample, Slope, sample, write_samples
from tests.system.watcher import LASTING, Watcher

pytestmark = pytest.mark.release

TOPIC: Final = "posed/soak"
FPS: Final = 12
DAY: Final = 24 * 3600 * FPS
SIZE: Final = (130, 98)
CLIP_FRAMES: Final = 600
WALK_FRAMES: Final = 60
SAMPLE_S: Final = 1.0

TOLERATED: Final = {"memory_mb": 1.0, "descriptors": 1.0, "threads": 1.0, "latency_ms": 1.0}
"""Rise per million frames that is no leak even where it is certain."""


def test_nothing_grows_or_is_lost_in_a_day(
    tmp_path: Path, seed: int, table: Table, request: pytest.FixtureRequest
) -> None:
    need_debian("mosquitto", "mosquitto")
    need_debian("cc", "gcc", "libc6-dev")
    frames = request.config.getoption("--frames", default=None) or DAY
    table.head(f"seed {seed}, {frames} frames: a day at {FPS} per second has {DAY}")
    (tmp_path / "broker").mkdir()
    lines = (*LASTING, f"persistence_location {tmp_path}/broker/")
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(tmp_path / "broker", lines=lines))
        process = start(tmp_path, broker.port, stack)
        watcher = stack.enter_context(Watcher(broker.port, TOPIC, keeps=("availability", "events")))
        faults = Faults(tmp_path, broker, process.pid, watcher, random.Random(seed))
        began_at = time.monotonic()
        samples = run(process, watcher, faults, frames, began_at)
        faults.stop()
        lost = events_lost(watcher)
        alive = process.poll() is None
        process.terminate()
        status = process.wait(PATIENCE_S)
    keep(request.config, samples, faults, began_at)
    growing = report(table, samples, faults, watcher, lost)
    assert alive, (tmp_path / "log").read_text(encoding="utf-8")[-3000:]
    assert status == 0, (tmp_path / "log").read_text(encoding="utf-8")[-3000:]
    assert (lost, growing) == (0, [])


def keep(config: pytest.Config, samples: Sequence[Sample], faults: Faults, began_at: float) -> None:
    """Write and draw the samples, where that was asked for."""
    if path := config.getoption("--samples", default=None):
        write_samples(path, samples, faults, began_at)
    if path := config.getoption("--plot", default=None):
        draw(path, samples, [at - began_at for at, _ in faults.done])


def write_clip(path: Path) -> None:
    """A short video of noise."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIZE)
    chance = np.random.default_rng(0)
    for _ in range(CLIP_FRAMES):
        writer.write(chance.integers(90, 160, (SIZE[1], SIZE[0], 3), np.uint8))
    writer.release()


def write_walk(path: Path, network: Network) -> None:
    """Heads of a minute in which somebody walks by once."""

    def record(people: Sequence[Any]) -> Heads:
        return in_steps(heads_of(people, network.model.size, network.stride), network)

    width, height = network.model.size
    walk = [
        record([person((height / 2, (number + 0.5) / WALK_FRAMES * width), 0.6 * height)])
        for number in range(WALK_FRAMES)
    ]
    write_heads(path, *walk, *[record([])] * (60 * FPS - WALK_FRAMES))


def settings(folder: Path, port: int) -> dict[str, Any]:
    """The configuration."""
    return {
        "device": "soak",
        "cameras": {
            "room": {
                "kind": "video",
                "source": str(folder / "clip.avi"),
                "loop": True,
                "realtime": False,
                "zones": {"left": {"polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}},
            }
        },
        "model": {"name": str(folder / "walk_edgetpu.tflite")},
        "engine": {"kind": "edgetpu"},
        "mqtt": {"host": "127.0.0.1", "port": port, "events": {"max_age_s": 3600}},
        "privacy": {"pictures": "skeleton"},
    }


def start(folder: Path, port: int, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Everything it needs, and the daemon."""
    content = make_tflite(edgetpu=True)
    (folder / "walk_edgetpu.tflite").write_bytes(content)
    write_clip(folder / "clip.avi")
    write_walk(folder / "heads", network_of(parse_model(content, folder), INPUT_SIZE))
    (folder / "edge-tpu").touch()
    (folder / "posed.yaml").write_text(yaml.safe_dump(settings(folder, port)), encoding="utf-8")
    behaviour = Behaviour(heads=folder / "heads", device=folder / "edge-tpu")
    # As posed.service has it.
    of_service = {
        "MALLOC_ARENA_MAX": "2",
        "XDG_STATE_HOME": f"{folder}/state",
        "XDG_CACHE_HOME": f"{folder}/c",
    }
    log = stack.enter_context((folder / "log").open("wb"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.system.soak.daemon", str(folder)],
        cwd=ROOT,
        env=os.environ | of_service | built().environment(behaviour),
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
    )
    stack.callback(process.kill)
    return process


def run(
    process: subprocess.Popen[bytes], watcher: Watcher, faults: Faults, frames: int, began_at: float
) -> list[Sample]:
    """Until so many frames were processed, or the daemon is no more."""
    samples: list[Sample] = []
    while process.poll() is None and (not samples or samples[-1].frames < frames):
        time.sleep(SAMPLE_S)
        if not watcher.counts[POSES]:
            continue
        if not faults.is_alive():
            faults.start()
        samples.append(sample(process.pid, began_at, watcher, samples[-1] if samples else None))
    return samples


def events_lost(watcher: Watcher) -> int:
    """How many events that the daemon said it had taken have not come, some time after the last fault."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        spool = watcher.state().get("spool", {})
        if watcher.granted().keys() <= watcher.arrived() and spool.get("events") == 0:
            break
        time.sleep(0.2)
    return len(watcher.granted().keys() - watcher.arrived())


TOLERATED: Final = {"memory_mb": 1.0, "descriptors": 1.0, "threads": 1.0, "latency_ms": 1.0}
"""Rise per million frames that is no leak even where it is certain."""


def report(table: Table, samples: Sequence[Sample], faults: Faults, watcher: Watcher, lost: int) -> list[str]:
    """Write the figures; returns which of them grow."""
    assert len(samples) >= 4 * PARTS, f"only {len(samples)} samples: it takes {4 * PARTS} s to tell a slope"
    last = samples[-1]
    done = sorted(Counter(name.replace("_", " ") for _, name in faults.done).items())
    table.row(f"{last.frames} frames in {last.at_s:.0f} s, {last.frames / last.at_s:.0f} per second")
    table.row(f"messages of poses that came: {watcher.counts[POSES]}; the broker was away for the others")
    table.row("faults: " + ", ".join(f"{count} {name}" for name, count in done))
    table.row(f"events granted {len(watcher.granted())}, lost {lost}; all that came {len(watcher.arrived())}")
    table.row("                  mean   least    most   per million frames (95 %)")
    return [name for name in TOLERATED if grows(table, samples, name)]


def grows(table: Table, samples: Sequence[Sample], name: str) -> bool:
    """Write one figure; whether it grows by more than may be."""
    values = [getattr(one, name) for one in samples]
    late = values[int(WARM_UP * len(values)) :]
    slope = Slope.of([one.frames for one in samples], values)
    bad = slope.grows(TOLERATED[name])
    table.row(
        f"{name:12s} {slope.mean:9.2f} {min(late):7.2f} {max(late):7.2f}   {slope.per_million:+.3f} "
        f"± {slope.within:.3f}{'   GROWS' if bad else ''}"
    )
    return bad
