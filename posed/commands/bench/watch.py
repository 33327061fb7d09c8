"""Watches the frames of a daemon at work, and says what they cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from posed.errors import CameraError

if TYPE_CHECKING:
    from posed.frame import CameraInference
    from posed.pipeline.inferred import Inferred
    from posed.pipeline.stage_timings import StageTimings

WARM_UP_S: Final = 1.0
"""This much time is not counted, s: caches fill, the broker is connected, threads find their rhythm."""

PERCENTILES: Final = (50, 90, 99)

_NOT_OWN_STAGES: Final = ("capture", "invoke", "turned")
"""What is done in these for a frame is the camera's work and the engine's; all others are posed's own."""

_OWN_THREADS: Final = ("MainThread", "capture", "inference", "spool")
"""posed's own work is done in these, and in that of the network; any other thread of Python is a camera's."""


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


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was dropped since the start, or between two instants.

    Args:
        frames: by camera.
        messages: of all.
    """

    frames: Mapping[str, int]
    messages: int = 0

    def since(self, before: Dropped) -> Dropped:
        """What was dropped between two counts."""
        frames = {name: count - before.frames.get(name, 0) for name, count in self.frames.items()}
        return Dropped(frames, self.messages - before.messages)


_NOTHING: Final = Dropped({})


class _Camera:
    """What the frames of one camera cost, and what its own network took, where it says so.

    Attributes:
        latencies_s: from capture to publish, of each frame, s.
        people: found in all frames together.
        own_s: CPU of posed's own work for all of them, s; the camera's and the engine's is none of it.
        beside_s: time of the engine for rotated crops, where the camera has a network of its own, s.
    """

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.people = 0
        self.own_s = self.beside_s = 0.0
        self._has_network = False
        self._took_s: dict[str, list[float]] = {"network": [], "dsp": []}

    def note(self, latency_s: float, people: int, stages: StageTimings, own: CameraInference | None) -> None:
        """Take one frame's."""
        self.latencies_s.append(latency_s)
        self.people += people
        self.own_s += sum(cpu_s for stage, cpu_s in stages.cpu_s.items() if stage not in _NOT_OWN_STAGES)
        if own is None:
            return
        self._has_network = True
        self.beside_s += stages.wall_s.get("turned", 0.0)
        for part, took_s in zip(self._took_s, (own.took_s, own.prepared_s), strict=True):
            if took_s > 0:
                self._took_s[part].append(took_s)

    def figures(self, seconds: float) -> dict[str, Any]:
        """By frame, and per second of so many; `sensor` by part, for a camera with a network alone."""
        count = len(self.latencies_s)
        took = {part: percentiles_ms(spans_s) for part, spans_s in self._took_s.items() if spans_s}
        return {
            "frames": count,
            "people": round(self.people / count, 2),
            "fps": round(count / seconds, 2),
            "latency": percentiles_ms(self.latencies_s),
            "cpu_ms": round(1000 * self.own_s / count, 3),
            "crops_ms": round(1000 * self.beside_s / count, 3),
            **({"sensor": took} if self._has_network else {}),
        }


class Watch:
    """What every frame cost after the warm-up, which begins once each camera has given a frame.

    Args:
        cameras: their names.
        seconds: how long to watch, warm-up included, s.

    Attributes:
        on_enough: is called when it has watched for that long.
        count_dropped: says what was dropped since the start.
    """

    def __init__(self, cameras: Collection[str], seconds: float) -> None:
        self.on_enough: Callable[[], None] = lambda: None
        self.count_dropped: Callable[[], Dropped] = lambda: _NOTHING
        self._awaited = set(cameras)
        self._until_s = max(seconds, 2 * WARM_UP_S)
        self._first_at: float | None = None
        self._began: _Clocks | None = None
        self._ended = _Clocks(0.0, 0.0, {})
        self._wall_s: dict[str, list[float]] = {}
        self._cpu_s: dict[str, float] = {}
        self._dropped_before = self._dropped = _NOTHING
        self._cameras = {name: _Camera() for name in cameras}

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
            self._dropped_before = self._dropped = self.count_dropped()
            return
        self._ended = _Clocks.now()
        self._dropped = self.count_dropped()  # while the daemon ends, it drops all that comes
        self._note_stages(inferred)
        frame = inferred.frame
        camera = self._cameras[inferred.camera]
        camera.note(now - frame.captured_at, people, inferred.stages, frame.inference)
        if since_s >= self._until_s:
            self.on_enough()

    def _note_stages(self, inferred: Inferred) -> None:
        """What a frame cost here; the time that a network in its camera took is no time of the engine."""
        stages, own = inferred.stages, inferred.frame.inference
        for stage, wall_s in stages.wall_s.items():
            if own is None or stage != "invoke":
                self._wall_s.setdefault(stage, []).append(wall_s)
                self._cpu_s[stage] = self._cpu_s.get(stage, 0.0) + stages.cpu_s[stage]

    def figures_of(self, camera: str) -> dict[str, Any]:
        """Rate and times of one camera's frames, and of its own network, where it has one.

        Raises:
            CameraError: none came.
        """
        noted = self._cameras[camera]
        if self._began is None or not noted.latencies_s:
            raise CameraError(f"bench: must get frames of {camera} for longer than its warm-up, got too few")
        dropped = self._dropped.since(self._dropped_before)
        seconds = self._ended.since(self._began).at_s
        return noted.figures(seconds) | {"dropped": dropped.frames.get(camera, 0)}

    def figures(self, bare_s: Sequence[float]) -> dict[str, Any]:
        """Rates, shares and times of all frames.

        Args:
            bare_s: how long each bare invoke took, s; empty where there is no engine.

        Raises:
            CameraError: too few frames came.
        """
        cameras = self._cameras.values()
        latencies_s = [one_s for camera in cameras for one_s in camera.latencies_s]
        count = len(latencies_s)
        if self._began is None or not count:
            raise CameraError("bench: must get frames for longer than its warm-up, got too few")
        spent = self._ended.since(self._began)
        dropped = self._dropped.since(self._dropped_before)
        bare_fps = len(bare_s) / sum(bare_s) if bare_s else None
        invoke_s, turned_s = self._wall_s.get("invoke", []), self._wall_s.get("turned", [])
        engine_fps, invokes_per_s = len(invoke_s) / spent.at_s, len(invoke_s + turned_s) / spent.at_s
        stages = {
            stage: percentiles_ms(spans) | {"cpu_ms": round(self._cpu_s[stage] / count * 1000, 3)}
            for stage, spans in self._wall_s.items()
        }
        return {
            "seconds": round(spent.at_s, 2),
            "frames": count,
            "people": round(sum(camera.people for camera in cameras) / count, 2),
            "fps": round(count / spent.at_s, 2),
            "engine_fps": round(engine_fps, 2),
            "bare_fps": None if bare_fps is None else round(bare_fps, 2),
            "of_bare": None if bare_fps is None else round(engine_fps / bare_fps, 3),
            "looks": len(turned_s),
            "invokes_per_s": round(invokes_per_s, 2),
            "invokes_of_bare": None if bare_fps is None else round(invokes_per_s / bare_fps, 3),
            "busy": round(sum(invoke_s + turned_s) / spent.at_s, 3),
            "latency": percentiles_ms(latencies_s),
            "stages": stages,
            "cpu_percent": self._cpu_percent(spent),
            "dropped": {"frames": sum(dropped.frames.values()), "messages": dropped.messages},
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
