"""Measures what a frame costs of the processor, by stage: it decides how many cameras a machine carries.

    scripts/python bench.stages [--people 1 5] [--cameras 4] [--fps 10] [--seconds 20] [--json]

The daemon runs as it is on several cameras of 640x480, with Coral's 353x481 at stride 16. Its engine is made
up: it holds its thread for 6 ms and sees people who sway. What cameras and engine take themselves is not
counted. The first table has microseconds of CPU time per frame, of all that the process did:

- resize: scaling the picture to the model's input
- decode: from the heads to poses
- people: following, smoothing, postures, zones, falls, events, and which rotated crop is next
- message: making and encoding it, handing it over, and all that the network thread does to send it
- capture, inference, main loop: what else these threads do, such as waking up and handing over
- other: threads that are not Python's, and what is not in time for any of these

The second has the same stages alone, one call after the other: the fastest, and the median. These run on warm
caches, so that they take less than the same work does between sleeps.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Self

import numpy as np

from posed.commands.bench import sink
from posed.commands.bench.camera import SIZE, DrawnCamera
from posed.config import Config, load
from posed.daemon import Daemon
from posed.errors import PosedError
from posed.frame import Frame, Image, Letterbox
from posed.log import start_log
from posed.messages.structs import Sender
from posed.messages.topics import Topics
from posed.model.outputs import Outputs, OutputTensor
from posed.mqtt.broker import PublishResult
from posed.mqtt.reporter import Reporter
from posed.networks import Network
from posed.networks.pair import load_pair
from posed.pipeline.frame_rate import Took
from posed.pipeline.inferred import Inferred
from posed.pipeline.journal import MemoryJournal
from posed.pipeline.scene import Scene
from posed.pipeline.stage_timings import StageTimings
from scripts.bench.common import row_of_people
from scripts.bench.options import seconds
from scripts.paths import CORAL_353X481
from scripts.standins.heads import heads_of, in_steps

HOLD_S: Final = 0.006
WARM_UP_S: Final = 3.0
SWAYS: Final = 32
"""So many different frames of heads, over and over."""

STAGES: Final = {
    "resize": ("letterbox",),
    "decode": ("decode",),
    "people": ("follow", "look"),
    "message": ("encode", "publish"),
}
"""Columns, and the daemon's own stages that are in them."""

ALONE_REPEATS: Final = 2000

Table = dict[str, float]


def main() -> int:
    """Print both tables."""
    options = parse_options()
    start_log("warning")
    if not options.json:
        print(
            f"{platform.machine()}; {options.cameras} cameras at {options.fps:g} fps, {options.seconds:g} s"
        )
    for title, measure in (("us of CPU per frame", at_work), ("alone, us: fastest", alone)):
        rows = {people: measure(options, people) for people in options.people}
        if options.json:
            print(json.dumps({title: rows}))
            continue
        columns = list(rows[options.people[0]])
        print(f"\n{title:20s}" + "".join(f"{column:>11s}" for column in columns))
        for people, row in rows.items():
            print(f"{people} people".ljust(20) + "".join(f"{row[column]:11.0f}" for column in columns))
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.stages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--people", type=int, nargs="+", default=[1, 5], help="in each room (default 1 5)")
    parser.add_argument("--cameras", type=int, default=4, help="how many (default 4)")
    parser.add_argument("--fps", type=float, default=10, help="of each (default 10)")
    parser.add_argument("--seconds", type=seconds, default=20, help="for each row (default 20)")
    parser.add_argument("--model", default=str(CORAL_353X481), help="a .tflite of Coral's")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args()


# The daemon at work


def at_work(options: argparse.Namespace, people: int) -> Table:
    """What a frame costs in the daemon, us by stage."""
    with sink.running() as port, tempfile.TemporaryDirectory(prefix="posed-bench-") as folder:
        config = config_of(options, {"mqtt.port": port, "mqtt.host": "127.0.0.1"})
        network = load_pair(config.model.name).network
        watch = Watch(options.seconds)
        engine = Swaying(network, people)
        daemon = Daemon(
            config,
            open_camera=opener(options),
            open_engine=lambda: engine,
            on_processed=watch.note,
            environment={"STATE_DIRECTORY": folder},
        )
        watch.on_enough = daemon.stop
        daemon.run()
    return watch.table()


def config_of(options: argparse.Namespace, more: dict[str, object]) -> Config:
    """No live view, no rotated crops, and no frame is left out: each is to be one invoke."""
    settings = {
        "model.name": options.model,
        **{f"cameras.{name}.kind": "synthetic" for name in rooms(options)},
        "engine.idle_fps": 0,
        "web.enabled": False,
        "people.look_turned_s": 0,
    }
    return load(None, options={name: ("bench", value) for name, value in (settings | more).items()})


def rooms(options: argparse.Namespace) -> list[str]:
    """The names of the cameras."""
    return [f"room{number}" for number in range(options.cameras)]


def opener(options: argparse.Namespace) -> Callable[[str], DrawnCamera]:
    """Opens the cameras, none in step with another."""
    apart_s = 1 / options.fps / options.cameras
    cameras = {name: (DrawnCamera(options.fps), number) for number, name in enumerate(rooms(options))}

    def opened(name: str) -> DrawnCamera:
        camera, number = cameras[name]
        time.sleep(number * apart_s)
        return camera

    return opened


class Swaying:
    """An engine that holds its thread as the Edge TPU's does, and sees people who stand and sway.

    Args:
        network: whose heads it gives.
        people: how many.
    """

    kind, device, why = "edgetpu", "made up", "it is measured without"

    def __init__(self, network: Network, people: int) -> None:
        self._answers = list(swaying(network, people))
        self._next = 0

    def infer(self, _: Image) -> Outputs:
        """The next of its answers, copied as from an interpreter."""
        self.invoke()
        self._next += 1
        answer = self._answers[self._next % SWAYS]
        return tuple(OutputTensor(one.data.copy(), one.scale, one.zero_point) for one in answer)

    def invoke(self) -> None:
        """Hold the thread."""
        time.sleep(HOLD_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def swaying(network: Network, people: int) -> Iterator[Outputs]:
    """The answers of one time to and fro."""
    random, model = np.random.default_rng(people), network.model
    for number in range(SWAYS):
        sway_px = 0.02 * model.size[1] * math.sin(2 * math.pi * number / SWAYS)
        shown = [
            np.add(one, (0, sway_px)) + random.normal(0, 0.7, one.shape)
            for one in row_of_people(model, people)
        ]
        heads = in_steps(heads_of(shown, model.size, network.stride), network)
        arrays = (heads.heatmaps, heads.short_offsets, heads.mid_offsets)
        yield tuple(
            OutputTensor(head.data, tensor.scale, tensor.zero_point)
            for head, tensor in zip(arrays, model.outputs, strict=True)
        )


class Watch:
    """Adds up what frames cost after the warm-up.

    Args:
        seconds: how long to do so, s.

    Attributes:
        on_enough: called then.
    """

    def __init__(self, seconds: float) -> None:
        self.on_enough: Callable[[], None] = lambda: None
        self._seconds = seconds
        self._first_at: float | None = None
        self._began: Table = {}
        self._spent: Table = {}
        self._stages: Table = {}
        self._frames = 0

    def note(self, inferred: Inferred, _: int) -> None:
        """A frame that was just published."""
        now = time.monotonic()
        self._first_at = self._first_at or now
        since_s = now - self._first_at
        if since_s < WARM_UP_S:
            return
        if not self._began:
            self._began = clocks()
            return
        for stage, cpu_s in inferred.stages.cpu_s.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + cpu_s
        self._frames += 1
        if since_s >= WARM_UP_S + self._seconds and not self._spent:
            self._spent = {name: end - self._began.get(name, 0.0) for name, end in clocks().items()}
            self.on_enough()

    def table(self) -> Table:
        """By column, us per frame."""
        stages, spent = self._stages, self._spent
        outside = stages["capture"] + stages["invoke"]
        columns = {column: sum(stages[name] for name in names) for column, names in STAGES.items()}
        threads = {
            "capture": spent["capture"] - stages["capture"] - stages["letterbox"],
            "inference": spent["inference"] - stages["invoke"],
            "main loop": spent["MainThread"] - sum(columns.values()) + columns["resize"],
        }
        columns["message"] += spent["mqtt"]
        columns |= threads
        total = spent["process"] - outside
        columns |= {"other": total - sum(columns.values()), "all": total}
        return {column: 1e6 * value / self._frames for column, value in columns.items()}


def clocks() -> Table:
    """CPU time of the process, and of all threads of a name, s."""
    spent: Table = {"process": time.process_time()}
    for thread in threading.enumerate():
        if thread.ident is not None:
            cpu_s = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            spent[thread.name] = spent.get(thread.name, 0.0) + cpu_s
    return spent


# The stages alone


class Nobody:
    """Takes every message."""

    connected = True

    def publish(self, *_: object, **__: object) -> PublishResult:
        """It is taken."""
        return PublishResult.TAKEN


def alone(options: argparse.Namespace, people: int) -> Table:
    """What each stage takes when it runs again and again, us: the fastest; the median beside it."""
    config = config_of(options, {})
    network = load_pair(config.model.name).network
    letterbox = Letterbox(SIZE, network.model.size)
    name = rooms(options)[0]
    scene, stages = Scene(config.cameras[name], MemoryJournal()), StageTimings()
    reporter = Reporter(
        Sender.start("bench"), name, Topics.of(config).camera(name), Nobody(), config.mqtt.poses
    )
    image = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    answers = list(swaying(network, people))
    spans: dict[str, list[float]] = {column: [] for column in STAGES}
    gc.collect()
    gc.disable()
    for number in range(ALONE_REPEATS):
        time_s = number / options.fps
        frame = Frame(image, number, time_s, time_s, time_s)
        inferred = Inferred(frame, letterbox, answers[number % SWAYS], stages)
        with timed(spans["resize"]):
            letterbox.apply(image)
        with timed(spans["decode"]):
            poses = scene.decode(inferred, network)
        with timed(spans["people"]):
            seen = scene.update(poses, frame)
            scene.next_crop()
        with timed(spans["message"]):
            reporter.poses(frame, seen, scene.keypoint_threshold, Took(6.0, 10.0), stages, time_s)
    gc.enable()
    spans = {column: times[SWAYS:] for column, times in spans.items()}  # at first nobody is a person yet
    table = {column: min(times) for column, times in spans.items()}
    return table | {f"({column})": float(np.median(times)) for column, times in spans.items()}


class timed:  # noqa: N801 - reads like a function
    """Appends how long its block takes, us."""

    def __init__(self, times: list[float]) -> None:
        self._times = times

    def __enter__(self) -> None:
        self._began_at = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._times.append(1e6 * (time.perf_counter() - self._began_at))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PosedError as error:
        sys.exit(f"bench.stages: {error}")
