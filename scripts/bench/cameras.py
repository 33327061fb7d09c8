"""Measures how several cameras share one Edge TPU: 1, 2, 4 and 8 of 640x480, at 30 and at 10 frames/s each.

    scripts/python bench.cameras [--cameras 1 2 4 8] [--fps 30 10] [--seconds 25] [--require] [--json]

Each row is a daemon of its own, on two cores together with a real mosquitto and a subscriber. Its engine is a
stand-in for the Edge TPU that holds the chip for 6 ms and sees five people in every frame; `idle_fps` is 0,
and nothing is looked at turned: a frame is an invoke. The cameras hand out pictures that lie in memory, which
costs nothing, and none is in step with another. Every 2 s the engine keeps the daemon waiting and only
invokes: what the machine does to the one it does to the other, a moment later.

- inferred, bare: inferences per second of the daemon, and of bare invokes in the same run
- share: of what the cameras give or what the chip can do, whichever is less; `of` says which it was
- least: the camera with the fewest frames, as share of its fair share
- latency: from the capture of a frame until its poses are handed to the network thread, ms, p50 and p99
- beside: the same less the time in which the chip was at work until it had inferred this frame, ms
- CPU: of the whole process but for cameras, ms per frame
- left: cores on which nothing ran; where it is less than one, the share is not judged
- MB: memory that each further camera takes, beside its frames; `all` is that of the process

Wanted: from two cameras on a share of 0.95, no camera under 0.9, at most 12 MB for each further one. With
--require the exit status is 1 where one of these is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from posed.camera.base import FrameMaker
from posed.config import Config, load
from posed.daemon import Daemon
from posed.engine import open_engine
from posed.engine.base import Engine
from posed.errors import PosedError
from posed.frame import Frame, Image
from posed.log import start_log
from posed.model.outputs import Outputs
from posed.networks.pair import load_pair
from posed.pipeline.inferred import Inferred
from scripts.bench.common import NO_CROPS, Stolen, compiled, five_people
from scripts.bench.in_turns import EngineInTurns
from scripts.bench.options import seconds, whole_number
from scripts.bench.run import resident_mb, wait_for
from scripts.paths import CORAL_353X481
from scripts.ports import free_port
from scripts.standins.edgetpu import Behaviour, built

THIS: Final = (sys.executable, "-m", "scripts.bench.cameras")
HOLD_MS: Final = 6
"""How long the stand-in holds the chip: about what 353x481 takes on a real one."""

CORES: Final = 2
SIZE: Final = (640, 480)
PICTURES: Final = 8
TURN_S: Final = 2.0
SETTLE_S: Final = 0.5
"""After bare invokes the oldest frames are gone and everything is in its step again."""

WARM_UP_TURNS: Final = 1

GOLDEN: Final = 0.618
"""The part of a period by which each camera is behind the one before: no two are in step."""

LEAST_SHARE: Final = 0.95
LEAST_CAMERA: Final = 0.9
MOST_MB: Final = 12.0
LEAST_LEFT: Final = 1.0

HEADER: Final = (
    "cameras  fps  inferred   bare  share of      least   latency, ms   beside, ms  CPU ms  left"
    "     MB   all  stolen %"
)


@dataclass(frozen=True)
class Row:
    """A number of cameras at one rate.

    Args:
        cameras: how many.
        fps: of each.
        inferred_per_s, bare_per_s: inferences of the daemon, and bare invokes.
        share: of what could be had.
        of: what that was, the `chip` or what was `asked` for.
        least: the camera with the fewest frames, as share of its fair share.
        latency_ms, beside_ms: p50 and p99.
        cpu_ms: per frame.
        memory_mb: of the process.
        left: cores on which nothing ran meanwhile.
        more_mb: for each further camera than the least of this rate; None for that one.
        stolen_percent: what the host took of a core.
    """

    cameras: int
    fps: float
    inferred_per_s: float
    bare_per_s: float
    share: float
    of: str
    least: float
    latency_ms: tuple[float, float]
    beside_ms: tuple[float, float]
    cpu_ms: float
    memory_mb: float
    left: float
    more_mb: float | None = None
    stolen_percent: float = 0.0

    def missed(self) -> list[str]:
        """What it was to be and is not, each in a line."""
        where = f"{self.cameras} cameras at {self.fps:g} fps"
        missed = []
        if self.cameras > 1 and self.left >= LEAST_LEFT and self.share < LEAST_SHARE:
            missed.append(f"{where}: the share must be at least {LEAST_SHARE}, got {self.share:.3f}")
        if self.least < LEAST_CAMERA:
            missed.append(f"{where}: no camera may be under {LEAST_CAMERA}, got {self.least:.3f}")
        if self.more_mb is not None and self.more_mb > MOST_MB:
            missed.append(f"{where}: a further one may take {MOST_MB:g} MB, got {self.more_mb:.1f}")
        return missed

    def __str__(self) -> str:
        more = "" if self.more_mb is None else f"{self.more_mb:.1f}"
        latency, beside = (
            "{:.1f} / {:.1f}".format(*times_ms) for times_ms in (self.latency_ms, self.beside_ms)
        )
        return (
            f"{self.cameras:7d} {self.fps:4g} {self.inferred_per_s:9.1f} {self.bare_per_s:6.1f} "
            f"{self.share:6.3f} {self.of:6s} {self.least:6.3f} {latency:>13s} {beside:>12s} "
            f"{self.cpu_ms:7.2f} {self.left:5.2f} {more:>6s} {self.memory_mb:5.0f} {self.stolen_percent:9.1f}"
        )


def main() -> int:
    """Print the table; returns 1 if a row is missing, or one is not as wanted and has to be."""
    options = parse_options()
    if options.row:
        measure_here(options)
        return 0
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    cores = len(os.sched_getaffinity(0))
    if not options.json:
        print(f"{platform.machine()}, {cores} cores; {Path(options.model).name}, {options.seconds:g} s")
        print(HEADER)
    missed = []
    for fps in options.fps:
        first: Row | None = None
        for cameras in sorted(options.cameras):
            row = measure(options, cameras, fps)
            if first is not None and cameras > first.cameras:
                more_mb = (row.memory_mb - first.memory_mb) / (cameras - first.cameras)
                row = replace(row, more_mb=more_mb)
            first = first or row
            print(json.dumps(asdict(row)) if options.json else row, flush=True)
            missed += row.missed()
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return int(options.require and bool(missed))


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.cameras",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cameras", type=whole_number, nargs="+", default=[1, 2, 4, 8], help="how many (default 1 2 4 8)"
    )
    parser.add_argument(
        "--fps", type=whole_number, nargs="+", default=[30, 10], help="of each camera (default 30 10)"
    )
    parser.add_argument("--seconds", type=seconds, default=25, help="for each row (default 25)")
    parser.add_argument(
        "--model",
        default=str(CORAL_353X481),
        help="a .tflite of Coral's with its _edgetpu beside it",
    )
    parser.add_argument("--require", action="store_true", help="fail where a row is not as wanted")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


# A row, from outside


def measure(options: argparse.Namespace, cameras: int, fps: float) -> Row:
    """One daemon at a broker of its own, with a subscriber.

    Raises:
        SystemExit: there is no row, which the child has explained.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="posed-bench-"))
        heads = five_people(options, Path(folder))
        port = stack.enter_context(broker(Path(folder)))
        wanted = {"cameras": cameras, "fps": fps, "port": port, "folder": folder}
        stolen = Stolen()
        done = subprocess.run(
            [*THIS, "--row", json.dumps(wanted), "--seconds", str(options.seconds), "--model", options.model],
            env={**os.environ, **built().environment(Behaviour(heads, hold_ms=HOLD_MS)), **NO_CROPS},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.returncode)
        return replace(Row(**json.loads(done.stdout)), stolen_percent=stolen.percent_since())


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int]:
    """The port of a mosquitto whose only subscriber wants all poses."""
    port, settings = free_port(), folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
    with contextlib.ExitStack() as stack:
        started(stack, ["mosquitto", "-c", str(settings)])
        wait_for(port)
        started(stack, ["mosquitto_sub", "-p", str(port), "-t", "posed/bench/+/poses"])
        yield port


def started(stack: contextlib.ExitStack, command: Sequence[str]) -> None:
    """Run a program until the stack is closed."""
    quiet = subprocess.DEVNULL
    process = stack.enter_context(subprocess.Popen(command, stdout=quiet, stderr=quiet))
    stack.callback(process.kill)


def idle_s() -> float:
    """How long each of our cores had nothing to do, s, all together. Source: proc(5), /proc/stat."""
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    ticks = {line.split()[0]: line.split() for line in lines if line.startswith("cpu")}
    ours = [ticks[f"cpu{core}"] for core in os.sched_getaffinity(0)]
    return sum(int(core[4]) + int(core[5]) for core in ours) / os.sysconf("SC_CLK_TCK")


# A row, from inside


def measure_here(options: argparse.Namespace) -> None:
    """Run the daemon in this process, and print its row."""
    start_log("warning")
    cameras, fps, folder = (options.row[name] for name in ("cameras", "fps", "folder"))
    config = config_of(options)
    pair = load_pair(config.model.name, input_size=config.model.input_size)
    with open_engine(config.engine, pair.cpu, pair.edgetpu) as engine:
        turns = InTurns(engine, time.monotonic() + options.seconds)
        daemon = Daemon(
            config,
            open_camera=opener(cameras, fps),
            open_engine=lambda: turns,
            on_processed=turns.note,
            environment={"STATE_DIRECTORY": folder},
        )
        turns.on_end = daemon.stop
        daemon.run()
        print(json.dumps(asdict(turns.row(list(config.cameras), fps))))


def config_of(options: argparse.Namespace) -> Config:
    """No live view, and no frame of an empty scene is left out: none is empty."""
    settings = {
        "device": "bench",
        "model.name": str(compiled(options)),
        **{f"cameras.{name}.kind": "synthetic" for name in rooms(options.row["cameras"])},
        "engine.kind": "edgetpu",
        "engine.idle_fps": 0,
        "mqtt.host": "127.0.0.1",
        "mqtt.port": options.row["port"],
    }
    return load(None, options={name: ("bench.cameras", value) for name, value in settings.items()})


def rooms(cameras: int) -> list[str]:
    """The names of the cameras."""
    return [f"room{number}" for number in range(cameras)]


def opener(cameras: int, fps: float) -> Callable[[str], PreparedCamera]:
    """Opens the cameras, none in step with another."""
    pictures = np.random.default_rng(0).integers(0, 255, (PICTURES, SIZE[1], SIZE[0], 3), np.uint8)
    behind = {name: GOLDEN * number % 1 / fps for number, name in enumerate(rooms(cameras))}
    return lambda name: PreparedCamera(pictures, fps, behind[name])


class PreparedCamera:
    """A live camera whose pictures lie in memory: handing one out costs nothing.

    Args:
        pictures: what it shows over and over.
        fps: frames per second.
        behind_s: how long after a whole period its frames come, s.
    """

    name = "camera prepared"
    live = True

    def __init__(self, pictures: NDArray[np.uint8], fps: float, behind_s: float) -> None:
        self._pictures = pictures
        self._period_s = 1 / fps
        self._began_at = time.monotonic() + behind_s
        self._next = 0
        self._maker = FrameMaker(0, mirror=False)

    def read(self, wait_s: float) -> Frame | None:
        """The newest picture; those that nobody read in time are left out."""
        now = time.monotonic()
        self._next = max(self._next, int((now - self._began_at) / self._period_s))
        missing_s = self._began_at + self._next * self._period_s - now
        time.sleep(min(wait_s, max(0.0, missing_s)))
        if missing_s > wait_s:
            return None
        picture = self._pictures[self._next % len(self._pictures)]
        self._next += 1
        return self._maker.make(picture, time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Clocks(NamedTuple):
    """The time, what the process has used of processors, and how long our cores had nothing to do, s."""

    time_s: float
    cpu_s: float
    idle_s: float

    @classmethod
    def now(cls) -> Clocks:
        """What they show."""
        return cls(time.monotonic(), time.process_time(), idle_s())


@dataclass
class Turn:
    """A while in which the daemon works undisturbed, once everything is in its step again.

    Args:
        bare_per_s: bare invokes before it.
        began, ended: the clocks then; None before.
        inferred: inferences after the first moment, up to the last.
    """

    bare_per_s: float
    began: Clocks | None = None
    ended: Clocks | None = None
    inferred: int = 0

    def spent(self) -> Clocks:
        """What has passed in it, on each clock."""
        assert self.began is not None
        assert self.ended is not None
        return Clocks(*np.subtract(self.ended, self.began).tolist())

    @property
    def per_s(self) -> float:
        """Inferences per second."""
        return self.inferred / self.spent().time_s

    def counts(self, at: float) -> bool:
        """Whether a moment is in it."""
        return (
            self.began is not None and self.ended is not None and self.began.time_s < at <= self.ended.time_s
        )


@dataclass(frozen=True)
class Processed:
    """A frame that was published: of which camera, and when it was captured, inferred and handed over."""

    camera: str
    captured_at: float
    inferred_at: float
    published_at: float


class InTurns(EngineInTurns):
    """Counts what the daemon infers in each of its turns.

    Args:
        engine: what infers.
        until: when to end, monotonic, s.
    """

    def __init__(self, engine: Engine, until: float) -> None:
        super().__init__(engine, until)
        self._settled_at = 0.0
        self._turns: list[Turn] = []
        self._last_bare_per_s = 0.0
        self._busy: list[tuple[float, float]] = []
        self._inferred_at: dict[int, float] = {}
        self._processed: list[Processed] = []

    def infer(self, image: Image) -> Outputs:
        """As the engine does; at the end of a turn a moment later."""
        now = time.monotonic()
        if not self._turns or now - self._settled_at >= TURN_S:
            self._end_turn(now)
        elif now >= self._settled_at:
            self._count()
        began_at = time.monotonic()
        outputs = self._engine.infer(image)
        ended_at = time.monotonic()
        self._busy.append((began_at, ended_at))
        self._inferred_at[id(outputs)] = ended_at
        return outputs

    def _count(self) -> None:
        """An inference begins: the first one begins the turn, the others are counted."""
        turn = self._turns[-1]
        if turn.began is None:
            turn.began = Clocks.now()
        else:
            turn.inferred += 1

    def _end_turn(self, now: float) -> None:
        if self._turns:
            self._count()
            self._turns[-1].ended = Clocks.now()
            if now > self._until and len(self._turns) > WARM_UP_TURNS:
                self._last_bare_per_s = self.bare_per_s()
                self.on_end()
                self._settled_at = float("inf")
                return
        self._turns.append(Turn(self.bare_per_s()))
        self._settled_at = time.monotonic() + SETTLE_S

    def note(self, inferred: Inferred, _: int) -> None:
        """A frame that was just published, in the main loop."""
        inferred_at = self._inferred_at.pop(id(inferred.outputs))
        self._processed.append(
            Processed(inferred.camera, inferred.frame.captured_at, inferred_at, time.monotonic())
        )

    def row(self, cameras: Sequence[str], fps: float) -> Row:
        """What was measured."""
        turns = self._turns[WARM_UP_TURNS:]
        bare = np.array([*(turn.bare_per_s for turn in turns), self._last_bare_per_s])
        could_be = np.minimum(len(cameras) * fps, (bare[:-1] + bare[1:]) / 2)
        frames = [frame for frame in self._processed if any(turn.counts(frame.inferred_at) for turn in turns)]
        fresh = [
            frame for frame in frames if any(turn.counts(frame.captured_at) for turn in turns)
        ]  # none has waited for bare invokes
        latency_s = np.array([frame.published_at - frame.captured_at for frame in fresh])
        of_each = Counter(frame.camera for frame in frames)
        spent = Clocks(*np.sum([turn.spent() for turn in turns], axis=0).tolist())
        return Row(
            cameras=len(cameras),
            fps=fps,
            inferred_per_s=float(np.median([turn.per_s for turn in turns])),
            bare_per_s=float(np.median(bare)),
            share=float(np.median(np.array([turn.per_s for turn in turns]) / could_be)),
            of="chip" if len(cameras) * fps > np.median(bare) else "asked",
            least=min(of_each[camera] for camera in cameras) * len(cameras) / len(frames),
            latency_ms=percentiles_ms(latency_s),
            beside_ms=percentiles_ms(latency_s - chip_s(self._busy, fresh)),
            cpu_ms=1e3 * spent.cpu_s / sum(turn.inferred for turn in turns),
            left=spent.idle_s / spent.time_s,
            memory_mb=resident_mb(os.getpid()),
        )


def chip_s(busy: Sequence[tuple[float, float]], frames: Sequence[Processed]) -> NDArray[np.float64]:
    """How long the chip was at work between the capture of each frame and the end of its inference, s.

    Args:
        busy: from when to when it was, oldest first, s.
        frames: captured and inferred at such times.
    """
    began, ended = np.array(busy).T
    done_s = np.concatenate(([0.0], np.cumsum(ended - began)))

    def worked_s(at: NDArray[np.float64]) -> NDArray[np.float64]:
        """How long it had been at work until then, s."""
        last = np.maximum(np.searchsorted(began, at) - 1, 0)
        return np.asarray(done_s[last] + np.clip(at, began[last], ended[last]) - began[last])

    captured, inferred = np.array([(frame.captured_at, frame.inferred_at) for frame in frames]).T
    return worked_s(inferred) - worked_s(captured)


def percentiles_ms(times_s: NDArray[np.float64]) -> tuple[float, float]:
    """p50 and p99, ms."""
    p50, p99 = 1e3 * np.percentile(times_s, [50, 99])
    return float(p50), float(p99)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PosedError as error:
        sys.exit(f"bench.cameras: {error}")
