"""Runs the daemon as it is, watches every frame, and says what it cost.

Nothing heavy is imported before its turn, so that memory can be told apart.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from posed import __version__
from posed.commands.bench import machine, sink
from posed.commands.bench.verdict import verdict
from posed.errors import CameraError, CameraLost, CameraPreparing, EngineError, EngineLost

if TYPE_CHECKING:
    from posed.camera.base import Camera
    from posed.config import Config
    from posed.engine.base import Engine
    from posed.frame import Image
    from posed.model.outputs import Outputs
    from posed.model.tflite import Model
    from posed.networks.pair import Pair
    from posed.pipeline.inferred import Inferred

T = TypeVar("T")

WARM_UP_S: Final = 1.0
"""This much time is not counted, s: caches fill, the broker is connected, threads find their rhythm."""

BARE_SHARE: Final = 0.15
"""Bare invokes are measured for this part of the time, before and after."""

PERCENTILES: Final = (50, 90, 99)

_OWN_THREADS: Final = ("MainThread", "capture", "inference", "spool")
"""posed's own work is done in these, and in that of the network; any other thread of Python is a camera's."""


def measure(
    config: Config, camera: str | None, memory: machine.Memory, seconds: float, fps: float | None
) -> dict[str, Any]:
    """Measure the whole way of the frames, and the engine alone before and after.

    Args:
        config: its broker is not used, nor its live view.
        camera: the name of the camera that is measured alone; None: all cameras work at once.
        memory: the memory taken by what is loaded so far.
        seconds: how long to measure, s.
        fps: the rate of drawn people instead of each camera, 0 for as fast as the engine; None: the cameras
            as configured.

    Returns:
        The figures, as `--json` prints them.

    Raises:
        ModelError, CameraError, EngineError: something cannot be used, or was lost meanwhile.
        ConfigError: there is no such camera.
    """
    if camera is not None:
        name = config.chosen(camera)
        config = config.model_copy(update={"cameras": {name: config.cameras[name]}})
    import cv2  # noqa: F401 its turn

    memory.note("numpy and OpenCV")
    from posed.daemon import Daemon
    from posed.pipeline.hang_detector import HANG_S

    memory.note("posed and MQTT")
    from posed.engine.tflite import find_runtime

    runtime = find_runtime().name
    memory.note("TFLite runtime")
    from posed.engine import open_engine
    from posed.engine.temperature import processor_c
    from posed.networks.pair import load_pair

    pair = load_pair(config.model.name, input_size=config.model.input_size, pull_missing=config.model.pull)
    with (
        open_engine(config.engine, pair.cpu, pair.edgetpu) as engine,
        sink.running() as port,
        tempfile.TemporaryDirectory(prefix="posed-bench-") as state,
    ):
        memory.note("model and engine")
        cameras = _Cameras(_openers(config, pair.model.size, fps))
        memory.note("cameras")
        watch = _Watch(list(config.cameras), seconds * (1 - 2 * BARE_SHARE))
        kept = _Kept(engine)
        daemon = Daemon(
            _kept_local(config, port, drawn=fps is not None),
            open_camera=cameras.open,
            open_engine=_once(lambda: kept, EngineLost, EngineError),
            on_processed=watch.note,
            environment={"STATE_DIRECTORY": state},
        )
        watch.on_enough = cameras.on_failure = daemon.stop
        bare = bare_invokes(engine, seconds * BARE_SHARE)
        daemon.run()
        cameras.check()
        kept.left.wait(HANG_S)  # the daemon does not wait for an inference that takes longer than it may stop
        memory.note("frames at work")
        bare += bare_invokes(engine, seconds * BARE_SHARE)
        used = pair.edgetpu if engine.kind == "edgetpu" else pair.cpu
        assert used is not None
        figures = {
            "version": __version__,
            "machine": machine.processor(),
            "runtime": runtime,
            "engine": {"kind": engine.kind, "device": engine.device, "threads": config.engine.threads},
            "model": _model_facts(pair, used),
            "decoder": pair.network.describe(config.decode),
            **watch.figures(bare),
            "cameras": {
                name: {
                    "kind": "drawn" if fps is not None else config.cameras[name].kind,
                    **watch.figures_of(name),
                    "dropped": feed.counts.dropped,
                }
                for name, feed in daemon.pipeline.feeds.items()
            },
            "dropped": {
                "frames": sum(feed.counts.dropped for feed in daemon.pipeline.feeds.values()),
                "messages": daemon.mqtt.dropped,
            },
            "memory_mb": {"total": memory.total_mb, **memory.parts_mb},
            "temperature_c": processor_c(),
            "throttling": machine.throttling(),
        }
    return figures | {"verdict": verdict(figures, machine.cores())}


_LOCAL: Final = {"host": "127.0.0.1", "protocol": "5", "tls": None, "username": None, "password": None,
                 "password_file": None}  # fmt: skip


def _kept_local(config: Config, port: int, *, drawn: bool) -> Config:
    """The configuration of a daemon that publishes to a port of this machine alone, and has no live view."""
    local = {
        "mqtt": config.mqtt.model_copy(update=_LOCAL | {"port": port}),
        "web": config.web.model_copy(update={"enabled": False}),
        "cameras": {
            name: camera.model_copy(update={"kind": "synthetic"} if drawn else {})
            for name, camera in config.cameras.items()
        },
    }
    return config.model_copy(update=local)


def _openers(config: Config, size: tuple[int, int], fps: float | None) -> dict[str, Callable[[], Camera]]:
    """How each camera is opened."""
    if fps is not None:
        from posed.commands.bench.camera import DrawnCamera

        # Drawn now, not while the engine is measured.
        drawn = {name: DrawnCamera(fps) for name in config.cameras}
        return {name: partial(drawn.__getitem__, name) for name in drawn}
    from posed.camera import open_camera

    return {name: partial(open_camera, settings, size) for name, settings in config.cameras.items()}


class _Cameras:
    """Opens each camera once; the first that fails ends the measurement, also where others go on.

    Args:
        openers: how each is opened, by name.

    Attributes:
        on_failure: is called when one has failed.
    """

    def __init__(self, openers: Mapping[str, Callable[[], Camera]]) -> None:
        self.on_failure: Callable[[], None] = lambda: None
        self._openers = {name: _once(opener, CameraLost, CameraError) for name, opener in openers.items()}
        self._failure: CameraError | None = None

    def open(self, name: str) -> Camera:
        """Open a camera; from its own thread."""
        try:
            return self._openers[name]()
        except CameraPreparing:  # it is asked again
            raise
        except CameraError as error:
            self._failure = self._failure or error
            self.on_failure()
            raise

    def check(self) -> None:
        """Raises: CameraError: one has failed."""
        if self._failure is not None:
            raise self._failure


def _once(
    open_it: Callable[[], T], lost: type[CameraLost | EngineLost], error: type[CameraError | EngineError]
) -> Callable[[], T]:
    """Opens a device once: where the daemon would wait for it and try again, a measurement ends.

    One that gets ready is waited for.
    """
    opened = False

    def open_once() -> T:
        nonlocal opened
        if opened:
            raise error("bench: must keep its devices, got one that was lost while it was measured")
        opened = True
        try:
            return open_it()
        except CameraPreparing:
            opened = False
            raise
        except lost as why:
            raise error(str(why)) from None

    return open_once


class _Kept:
    """An engine that the pipeline does not close.

    Attributes:
        left: is set once the pipeline has done with the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self.kind, self.device, self.why = engine.kind, engine.device, engine.why
        self.infer: Callable[[Image], Outputs] = engine.infer
        self.invoke: Callable[[], None] = engine.invoke
        self.left = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.left.set()


def bare_invokes(engine: Engine, seconds: float) -> list[float]:
    """How long each of as many invokes as fit takes when Python does nothing else, s."""
    spans = []
    engine.invoke()
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        engine.invoke()
        spans.append(time.perf_counter() - began)
    return spans


@dataclass(frozen=True, slots=True)
class _Clocks:
    """An instant, or what lies between two: monotonic, CPU of the process, CPU of Python's threads, s."""

    at_s: float
    cpu_s: float
    threads_s: dict[str, float]

    @classmethod
    def now(cls) -> _Clocks:
        threads_s: dict[str, float] = {}
        for thread in threading.enumerate():
            if thread.ident is not None:  # each camera has one of the same name
                cpu_s = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
                threads_s[thread.name] = threads_s.get(thread.name, 0.0) + cpu_s
        return cls(time.monotonic(), time.process_time(), threads_s)

    def since(self, before: _Clocks) -> _Clocks:
        threads_s = {name: end - before.threads_s.get(name, 0.0) for name, end in self.threads_s.items()}
        return _Clocks(self.at_s - before.at_s, self.cpu_s - before.cpu_s, threads_s)


class _Watch:
    """What every frame cost after the warm-up, which begins once each camera has given a frame.

    Args:
        cameras: their names.
        seconds: how long to watch, warm-up included, s.

    Attributes:
        on_enough: is called when it has watched for that long.
    """

    def __init__(self, cameras: Collection[str], seconds: float) -> None:
        self.on_enough: Callable[[], None] = lambda: None
        self._awaited = set(cameras)
        self._until_s = max(seconds, 2 * WARM_UP_S)
        self._first_at: float | None = None
        self._began: _Clocks | None = None
        self._ended = _Clocks(0.0, 0.0, {})
        self._wall_s: dict[str, list[float]] = {}
        self._cpu_s: dict[str, float] = {}
        self._latencies_s: dict[str, list[float]] = {name: [] for name in cameras}
        self._people = dict.fromkeys(cameras, 0)

    def note(self, inferred: Inferred, people: int) -> None:
        """One frame that has just been published."""
        now = time.monotonic()
        self._awaited.discard(inferred.camera)
        if self._awaited:
            return
        if self._first_at is None:
            self._first_at = now
        since_s = now - self._first_at
        if since_s < WARM_UP_S:
            return
        if self._began is None:
            self._began = self._ended = _Clocks.now()
            return
        self._ended = _Clocks.now()
        for stage, wall_s in inferred.stages.wall_s.items():
            self._wall_s.setdefault(stage, []).append(wall_s)
        for stage, cpu_s in inferred.stages.cpu_s.items():
            self._cpu_s[stage] = self._cpu_s.get(stage, 0.0) + cpu_s
        self._latencies_s[inferred.camera].append(now - inferred.frame.captured_at)
        self._people[inferred.camera] += people
        if since_s >= self._until_s:
            self.on_enough()

    def figures_of(self, camera: str) -> dict[str, Any]:
        """Rate and times of one camera's frames.

        Raises:
            CameraError: none came.
        """
        latencies_s = self._latencies_s[camera]
        count = len(latencies_s)
        if self._began is None or not count:
            raise CameraError(f"bench: must get frames of {camera} for longer than its warm-up, got too few")
        return {
            "frames": count,
            "people": round(self._people[camera] / count, 2),
            "fps": round(count / self._ended.since(self._began).at_s, 2),
            "latency": percentiles_ms(latencies_s),
        }

    def figures(self, bare_s: Sequence[float]) -> dict[str, Any]:
        """Rates, shares and times of all frames.

        Args:
            bare_s: how long each bare invoke took, s.

        Raises:
            CameraError: too few frames came.
        """
        latencies_s = [one_s for of_camera in self._latencies_s.values() for one_s in of_camera]
        count = len(latencies_s)
        if self._began is None or not count:
            raise CameraError("bench: must get frames for longer than its warm-up, got too few")
        spent = self._ended.since(self._began)
        bare_fps = len(bare_s) / sum(bare_s)
        fps = count / spent.at_s
        turned_s = self._wall_s.get("turned", [])
        invokes_per_s = (count + len(turned_s)) / spent.at_s
        stages = {
            stage: percentiles_ms(spans) | {"cpu_ms": round(self._cpu_s[stage] / count * 1000, 3)}
            for stage, spans in self._wall_s.items()
        }
        return {
            "seconds": round(spent.at_s, 2),
            "frames": count,
            "people": round(sum(self._people.values()) / count, 2),
            "fps": round(fps, 2),
            "bare_fps": round(bare_fps, 2),
            "of_bare": round(fps / bare_fps, 3),
            "looks": len(turned_s),
            "invokes_per_s": round(invokes_per_s, 2),
            "invokes_of_bare": round(invokes_per_s / bare_fps, 3),
            "busy": round(sum(self._wall_s["invoke"] + turned_s) / spent.at_s, 3),
            "latency": percentiles_ms(latencies_s),
            "stages": stages,
            "cpu_percent": self._cpu_percent(spent),
        }

    def _cpu_percent(self, spent: _Clocks) -> dict[str, float]:
        """CPU in percent of one core: in all, of each stage, and of the rest: the network, libraries."""
        python_s = sum(spent.threads_s.values())
        network_s = spent.threads_s.get("mqtt", 0.0)
        ours_s = sum(spent.threads_s.get(name, 0.0) for name in _OWN_THREADS)
        shares = {
            "total": spent.cpu_s,
            **self._cpu_s,
            "hand-over": ours_s - sum(self._cpu_s.values()),
            "network thread": network_s,
            "camera threads": python_s - ours_s - network_s,
            "library threads": spent.cpu_s - python_s,
        }
        return {part: round(100 * max(0.0, cpu_s) / spent.at_s, 1) for part, cpu_s in shares.items()}


def percentiles_ms(spans_s: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99, ms."""
    ordered = sorted(spans_s)
    last = len(ordered) - 1
    return {f"p{rank}_ms": round(ordered[round(last * rank / 100)] * 1000, 3) for rank in PERCENTILES}


def _model_facts(pair: Pair, model: Model) -> dict[str, Any]:
    width, height = model.size
    return {"name": pair.name, "file": model.path.name, "width": width, "height": height,
            "stride": pair.network.stride, "type": model.input.dtype}  # fmt: skip
