"""Lives through a day in fast motion: a million frames the whole way, and faults at random.

    scripts/soak [--frames 1036800] [--seed N] [--plot docs/soak.svg] [--samples FILE]

A video file at 12 frames per second, played as fast as every frame can be processed, is the camera, so that
1,036,800 frames are a day of what the daemon takes for time. The engine is the real runtime with the stand-in
for an Edge TPU, whose heads show somebody who walks by once a minute. Messages go to a real mosquitto, and
what comes of them to a subscriber that the broker keeps a session for. Now and then, at random, the broker is
restarted or hangs, the camera or the Edge TPU goes away and comes back, somebody asks for things, the
configuration is reloaded. One process has to live through it all.

Every few seconds the memory (resident), descriptors, threads and latency of that process are noted. A slope
is the one of a straight line through 20 means over equal parts of the time after the first tenth, with its
95 % confidence interval: means, because what follows closely upon another sample is no sample of its own.

Exit status: 0 nothing grows and nothing was lost, 1 something did, 77 it cannot run here.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import yaml  # noqa: E402

from posed.camera import open_camera  # noqa: E402
from posed.camera.base import Camera  # noqa: E402
from posed.config import load  # noqa: E402
from posed.daemon import Daemon  # noqa: E402
from posed.engine.base import Heads  # noqa: E402
from posed.errors import CameraLost  # noqa: E402
from posed.frame import Frame  # noqa: E402
from posed.model.tflite import Model, parse_model  # noqa: E402
from tests.brokers import Mosquitto  # noqa: E402
from tests.heads import heads_of, in_steps, person  # noqa: E402
from tests.make_tflite import make_tflite  # noqa: E402
from tests.standin.standin import Behaviour, built, write_heads  # noqa: E402
from tests.system.watcher import LASTING, Watcher  # noqa: E402

TOPIC: Final = "posed/soak"
FPS: Final = 12
DAY: Final = 24 * 3600 * FPS
SIZE: Final = (130, 98)
CLIP_FRAMES: Final = 600
WALK_FRAMES: Final = 60
SAMPLE_S: Final = 1.0
CALM_S: Final = (4.0, 20.0)
"""Between two faults, s."""
WARM_UP: Final = 0.1
PARTS: Final = 20
T_95: Final = 2.101
"""Student's t for a two-sided 95 % and 18 degrees of freedom: two fewer than parts."""
PATIENCE_S: Final = 60.0


# The daemon


class Unsteady:
    """A real camera that is gone while a file says so.

    Args:
        open_real: opens it.
        gone: the file.
    """

    def __init__(self, open_real: Callable[[], Camera], gone: Path) -> None:
        self._gone = gone
        self._check()
        self._real = open_real()
        self.name, self.live = self._real.name, self._real.live

    def _check(self) -> None:
        if self._gone.exists():
            raise CameraLost("camera: gone")

    def read(self, wait_s: float) -> Frame | None:
        """As the real one's."""
        self._check()
        return self._real.read(wait_s)

    def __enter__(self) -> Self:
        self._real.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._real.__exit__(*error)


def live(folder: Path) -> None:
    """Be the daemon, but for the camera that can go away."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    path = folder / "posed.yaml"
    config = load(path)
    daemon = Daemon(
        config,
        open_camera=lambda: Unsteady(lambda: open_camera(config.camera, (65, 49)), folder / "camera-gone"),
        read_config=lambda: load(path),
    )
    signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
    signal.signal(signal.SIGHUP, lambda *_: daemon.reload())
    daemon.run()


# What it works on


def write_clip(path: Path) -> None:
    """A short video of noise."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIZE)
    chance = np.random.default_rng(0)
    for _ in range(CLIP_FRAMES):
        writer.write(chance.integers(90, 160, (SIZE[1], SIZE[0], 3), np.uint8))
    writer.release()


def write_walk(path: Path, model: Model) -> None:
    """Heads of a minute in which somebody walks by once."""

    def record(people: Sequence[Any]) -> Heads:
        return in_steps(heads_of(people, model.size, model.stride), model)

    width, height = model.size
    walk = [
        record([person((height / 2, (number + 0.5) / WALK_FRAMES * width), 0.6 * height)])
        for number in range(WALK_FRAMES)
    ]
    write_heads(path, *walk, *[record([])] * (60 * FPS - WALK_FRAMES))


def settings(folder: Path, port: int) -> dict[str, Any]:
    """The configuration."""
    return {
        "device": "soak",
        "camera": {"kind": "video", "source": str(folder / "clip.avi"), "loop": True, "realtime": False},
        "model": {"name": str(folder / "walk_edgetpu.tflite")},
        "engine": {"kind": "edgetpu"},
        "mqtt": {"host": "127.0.0.1", "port": port, "events": {"max_age_s": 3600}},
        "privacy": {"pictures": "skeleton"},
        "people": {"zones": {"left": {"polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}}},
    }


# What is noted


@dataclass(frozen=True)
class Sample:
    """The daemon at one time."""

    at_s: float
    frames: int
    memory_mb: float
    descriptors: int
    threads: int
    latency_ms: float
    fps: float


def sample(pid: int, began_at: float, watcher: Watcher, before: Sample | None) -> Sample:
    """Look at the process, and at the newest message."""
    proc = Path(f"/proc/{pid}")
    pages = int((proc / "statm").read_text(encoding="ascii").split()[1])
    poses = watcher.messages("poses")
    at_s, frames = time.monotonic() - began_at, poses[-1]["sequence"] + 1 if poses else 0
    fps = (frames - before.frames) / (at_s - before.at_s) if before else 0.0
    return Sample(
        at_s=round(at_s, 2),
        frames=frames,
        memory_mb=round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 3),
        descriptors=len(list((proc / "fd").iterdir())),
        threads=len(list((proc / "task").iterdir())),
        latency_ms=poses[-1]["latency_ms"] if poses else 0.0,
        fps=round(fps, 1),
    )


@dataclass(frozen=True)
class Slope:
    """Of a straight line, per million frames, and half the width of its confidence interval."""

    mean: float
    per_million: float
    within: float

    @classmethod
    def of(cls, frames: Sequence[float], values: Sequence[float]) -> Slope:
        """Through the means of equal parts, after the warm-up."""
        x, y = np.array(frames, float) / 1e6, np.array(values, float)
        late = x >= WARM_UP * x[-1]
        parts = np.array_split(np.flatnonzero(late), PARTS)
        x, y = (np.array([axis[part].mean() for part in parts]) for axis in (x, y))
        slope, level = np.polyfit(x, y, 1)
        spread = np.sqrt(((y - slope * x - level) ** 2).sum() / (PARTS - 2) / ((x - x.mean()) ** 2).sum())
        return cls(float(y.mean()), float(slope), float(T_95 * spread))

    def grows(self, tolerated: float) -> bool:
        """Whether it certainly rises, by more than may be."""
        return self.per_million - self.within > 0 and self.per_million > tolerated


# Faults


class Faults(threading.Thread):
    """Does something to the daemon now and then.

    Args:
        folder: with its files.
        broker: it speaks to.
        pid: of the daemon.
        watcher: who asks for things.
        chance: of what and when.

    Attributes:
        done: what was done, and when, monotonic, s.
    """

    def __init__(
        self, folder: Path, broker: Mosquitto, pid: int, watcher: Watcher, chance: random.Random
    ) -> None:
        super().__init__(daemon=True)
        self.done: list[tuple[float, str]] = []
        self._folder, self._broker, self._pid = folder, broker, pid
        self._watcher, self._chance = watcher, chance
        self._enough = threading.Event()

    def stop(self) -> None:
        """No more; returns once everything is well again."""
        self._enough.set()
        self.join(PATIENCE_S)

    def run(self) -> None:
        """Until `stop`."""
        faults = (self.restart_broker, self.hang_broker, self.lose_camera, self.lose_engine)
        while not self._enough.wait(self._chance.uniform(*CALM_S)):
            fault = self._chance.choice((*faults, self.ask, self.reload))
            self.done.append((time.monotonic(), fault.__name__))
            fault()

    def _last(self) -> None:
        self._enough.wait(self._chance.uniform(0.1, 3))

    def restart_broker(self) -> None:
        """It is away for up to three seconds."""
        self._broker.stop()
        self._last()
        self._broker.start()

    def hang_broker(self) -> None:
        """It keeps its connections and hears nothing for up to three seconds."""
        self._broker.pause()
        self._last()
        self._broker.resume()

    def lose_camera(self) -> None:
        """It goes away."""
        gone = self._folder / "camera-gone"
        gone.touch()
        self._last()
        gone.unlink(missing_ok=True)

    def lose_engine(self) -> None:
        """It goes away: invokes fail, and so does opening it."""
        device = self._folder / "edge-tpu"
        device.unlink()
        self._last()
        device.touch()

    def ask(self) -> None:
        """For all that is harmless, and a picture."""
        for verb, payload in (
            ("info", b""),
            ("health", b""),
            ("snapshot", b""),
            ("test_event", b'{"type": "fall"}'),
            ("test_event", b'{"type": "gesture"}'),
            ("set", b'{"settings": {"decode.max_people": %d}}' % self._chance.randint(1, 10)),
            ("set", b'{"settings": {"decode.max_people": 0}}'),
            ("nonsense", b"\xff"),
            ("pause", b""),
            ("resume", b""),
        ):
            self._watcher.ask(verb, payload)

    def reload(self) -> None:
        """A good configuration, or one that is refused."""
        path = self._folder / "posed.yaml"
        good = path.read_text(encoding="utf-8")
        if self._chance.random() < 0.5:
            path.write_text("camera: {kind: none}\n", encoding="utf-8")
        os.kill(self._pid, signal.SIGHUP)
        time.sleep(1)
        path.write_text(good, encoding="utf-8")


# The run


def main() -> int:
    """Run, print the figures, and draw them."""
    options = parse_options()
    if options.daemon:
        live(options.daemon)
        return 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="posed-soak-")))
        (folder / "broker").mkdir()
        lines = (*LASTING, f"persistence_location {folder}/broker/")
        broker = stack.enter_context(Mosquitto(folder / "broker", lines=lines))
        process = start(folder, broker.port, stack)
        watcher = stack.enter_context(Watcher(broker.port, TOPIC, keeps=("availability", "events")))
        chance = random.Random(options.seed)  # noqa: S311 no secret
        faults = Faults(folder, broker, process.pid, watcher, chance)
        print(
            f"seed {options.seed}, {options.frames} frames: a day at {FPS} per second has {DAY}", flush=True
        )
        began_at = time.monotonic()
        samples = run(process, watcher, faults, options.frames, began_at)
        faults.stop()
        lost = events_lost(watcher)
        alive = process.poll() is None
        process.terminate()
        clean = process.wait(PATIENCE_S) == 0
        log = (folder / "log").read_text(encoding="utf-8")
    if options.samples:
        write_samples(options.samples, samples, faults, began_at)
    bad = report(samples, faults, watcher, lost)
    if not (alive and clean):
        print(f"the daemon {'ended badly' if alive else 'died'}:\n{log[-3000:]}")
    if options.plot:
        draw(options.plot, samples, [at - began_at for at, _ in faults.done])
    return 1 if bad or not (alive and clean) else 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=DAY, help=f"how many (default {DAY}: a day)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="of what is random")
    parser.add_argument("--plot", type=Path, help="draw the figures into this .svg")
    parser.add_argument("--samples", type=Path, help="write every sample into this .jsonl")
    parser.add_argument("--daemon", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def start(folder: Path, port: int, stack: ExitStack) -> subprocess.Popen[bytes]:
    """Everything it needs, and the daemon."""
    content = make_tflite(edgetpu=True)
    (folder / "walk_edgetpu.tflite").write_bytes(content)
    write_clip(folder / "clip.avi")
    write_walk(folder / "heads", parse_model(content, folder))
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
        [sys.executable, __file__, "--daemon", str(folder)],
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
        if not watcher.counts["poses"]:
            continue
        if not faults.is_alive():
            faults.start()
        samples.append(sample(process.pid, began_at, watcher, samples[-1] if samples else None))
        if len(samples) % 300 == 0:
            print(samples[-1], flush=True)
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


def report(samples: Sequence[Sample], faults: Faults, watcher: Watcher, lost: int) -> bool:
    """Print the figures; returns whether something is not as it should be."""
    if len(samples) < 4 * PARTS:
        print(f"only {len(samples)} samples: it takes {4 * PARTS} s or more to tell a slope")
        return True
    last = samples[-1]
    frames = [one.frames for one in samples]
    print(f"{last.frames} frames in {last.at_s:.0f} s, {last.frames / last.at_s:.0f} per second")
    print(f"messages of poses that came: {watcher.counts['poses']}; the broker was away for the others")
    print("faults: " + ", ".join(f"{count} {name}" for name, count in sorted(faults_of(faults).items())))
    print(f"events granted {len(watcher.granted())}, lost {lost}; all that came {len(watcher.arrived())}")
    print("                  mean   least    most   per million frames (95 %)")
    bad = lost > 0
    for name, tolerated in TOLERATED.items():
        values = [getattr(one, name) for one in samples]
        late = values[int(WARM_UP * len(values)) :]
        slope = Slope.of(frames, values)
        grows = slope.grows(tolerated)
        bad = bad or grows
        print(
            f"{name:12s} {slope.mean:9.2f} {min(late):7.2f} {max(late):7.2f}   {slope.per_million:+.3f} "
            f"± {slope.within:.3f}{'   GROWS' if grows else ''}"
        )
    return bad


def faults_of(faults: Faults) -> Counter[str]:
    """How many of each."""
    return Counter(name.replace("_", " ") for _, name in faults.done)


def write_samples(path: Path, samples: Sequence[Sample], faults: Faults, began_at: float) -> None:
    """One line of JSON for each, and one for the faults."""
    lines = [json.dumps(asdict(one)) for one in samples]
    lines.append(json.dumps({"faults": [(round(at - began_at, 2), name) for at, name in faults.done]}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# The picture

PANELS: Final = {
    "memory_mb": "memory, MB",
    "descriptors": "descriptors",
    "threads": "threads",
    "latency_ms": "latency, ms",
    "fps": "frames/s",
}
WIDTH: Final = 860
PANEL_HEIGHT: Final = 110
LEFT: Final = 70
POINTS: Final = 400


def draw(path: Path, samples: Sequence[Sample], faults_s: Sequence[float]) -> None:
    """An SVG with a panel for each figure over the frames, and a tick for each fault."""
    assert set(PANELS) <= {field.name for field in fields(Sample)}
    height = len(PANELS) * PANEL_HEIGHT + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{height}" fill="white"/>'
    ]
    frames = np.array([one.frames for one in samples], float)
    at_s = np.array([one.at_s for one in samples])
    ticks = np.interp(faults_s, at_s, frames)
    for number, (name, title) in enumerate(PANELS.items()):
        values = np.array([getattr(one, name) for one in samples], float)
        parts.append(panel(title, frames, values, ticks, 20 + number * PANEL_HEIGHT))
    parts.append(axis(frames[-1], 20 + len(PANELS) * PANEL_HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def x_of(frames: Any, most: float) -> Any:
    """From frames to where they are drawn."""
    return LEFT + frames / most * (WIDTH - LEFT - 20)


def panel(title: str, frames: Any, values: Any, ticks: Any, top: int) -> str:
    """One figure: its range of each moment, and its mean; what is rarer than one in a hundred is cut off."""
    height = PANEL_HEIGHT - 30
    least = 0.0 if "memory" not in title else float(np.floor(values.min() - 1))
    most = max(float(np.percentile(values, 99)) * 1.1, 1.0) if not least else float(np.ceil(values.max() + 1))
    groups = np.array_split(np.arange(len(values)), min(POINTS, len(values)))
    x = [x_of(frames[group].mean(), frames[-1]) for group in groups]

    def line(reduce: Callable[[Any], Any]) -> list[str]:
        parts = [(min(float(reduce(values[group])), most) - least) / (most - least) for group in groups]
        return [f"{one:.1f},{top + height * (1 - part):.1f}" for one, part in zip(x, parts, strict=True)]

    band = " ".join(line(np.min) + line(np.max)[::-1])
    marks = "".join(f"M{x_of(tick, frames[-1]):.1f},{top + height}v4" for tick in ticks)
    return (
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 20}" height="{height}" fill="none"'
        ' stroke="#ccc"/>'
        f'<text x="{LEFT}" y="{top - 5}">{title}</text>'
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.0f}</text>'
        f'<text x="{LEFT - 6}" y="{top + height}" text-anchor="end">{least:.0f}</text>'
        f'<polygon points="{band}" fill="#bcd4ee"/>'
        f'<polyline points="{" ".join(line(np.mean))}" fill="none" stroke="#1f5fa8"/>'
        f'<path d="{marks}" stroke="#c33" stroke-width="1"/>'
    )


def axis(frames: float, top: int) -> str:
    """How many frames, below all."""
    labels = [
        f'<text x="{x_of(part * frames, frames):.0f}" y="{top}" text-anchor="{anchor}">'
        f"{part * frames:,.0f}</text>"
        for part, anchor in ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1, "end"))
    ]
    note = f'<text x="{LEFT}" y="{top + 20}" fill="#c33">a mark for each fault; along: frames</text>'
    return "".join(labels) + note


if __name__ == "__main__":
    sys.exit(main())
