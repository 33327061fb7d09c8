"""What Prometheus asks for, `/metrics`, and whether frames come, `/healthz`.

What is of a camera has its name as the label `camera`; what is of the machine has no such label.

Only what nobody else counts is counted here, frame by frame; the rest is read when it is asked for, by the
main loop: one that hangs does not answer, and `/healthz` is red.

Names follow prometheus.io/docs/practices/naming: base units, `_total` for what only grows.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

from aiohttp import hdrs, web
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from posed.messages.structs import encode
from posed.people.events import EventType
from posed.service.metrics_snapshot import METRICS_SNAPSHOT, CameraSnapshot, Frames, MetricsSnapshot
from posed.web.main_loop_calls import BusyError, MainLoopCalls

BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Histograms have these bounds, s: from a step of the tracker on a PC to an inference on the slowest Pi."""

STAGES: Final = ("capture", "letterbox", "invoke", "turned", "decode", "follow", "encode", "publish", "look")
"""A frame goes through these stages of `posed.pipeline.stage_timings`, in this order."""


@dataclass(frozen=True, slots=True, eq=False)
class _CameraCounters:
    """What is counted of one camera.

    Args:
        stages: by name; what nobody knew before is added.
    """

    frames: Counter
    latency: Histogram
    stages: dict[str, Histogram]
    events: Mapping[EventType, Counter]


class Metrics:
    """Counts frames and events of each camera, from the main loop, and says how many there were.

    Args:
        cameras: their names.
    """

    def __init__(self, cameras: Collection[str]) -> None:
        self._frames = Counter(
            "posed_frames_processed_total",
            "Frames that were processed and published.",
            ["camera"],
            registry=None,
        )
        self._latency = Histogram(
            "posed_latency_seconds",
            "From a frame's capture until it was published.",
            ["camera"],
            buckets=BUCKETS_S,
            registry=None,
        )
        self._stages = Histogram(
            "posed_stage_duration_seconds",
            "Time of each stage of a frame's way; capture includes the wait for the camera.",
            ["camera", "stage"],
            buckets=BUCKETS_S,
            registry=None,
        )
        self._events = Counter(
            "posed_events_total", "Events reported, by type.", ["camera", "type"], registry=None
        )
        # Labelled by nothing: CPU time, memory, open files, start of this process.
        process = ProcessCollector(registry=None)
        self._collectors: tuple[Collector, ...] = (
            self._frames,
            self._latency,
            self._stages,
            self._events,
            process,
        )
        self._cameras: dict[str, _CameraCounters] = {}
        self.configure(cameras)

    def configure(self, cameras: Collection[str]) -> None:
        """Go on with other cameras; what was counted of those that are no more is forgotten."""
        for name in [name for name in self._cameras if name not in cameras]:
            self._forget(name, self._cameras.pop(name))
        for name in cameras:
            if name not in self._cameras:
                self._cameras[name] = _CameraCounters(
                    frames=self._frames.labels(name),
                    latency=self._latency.labels(name),
                    stages={stage: self._stages.labels(name, stage) for stage in STAGES},
                    events={kind: self._events.labels(name, kind) for kind in get_args(EventType)},
                )

    def _forget(self, camera: str, counters: _CameraCounters) -> None:
        self._frames.remove(camera)
        self._latency.remove(camera)
        for stage in counters.stages:
            self._stages.remove(camera, stage)
        for kind in counters.events:
            self._events.remove(camera, kind)

    def count_frame(self, camera: str, latency_s: float, stages_s: Mapping[str, float]) -> None:
        """A camera's frame was processed.

        Args:
            camera: its name.
            latency_s: since the frame's capture, s.
            stages_s: what each stage took, s.
        """
        counters = self._cameras[camera]
        counters.frames.inc()
        counters.latency.observe(latency_s)
        for stage, seconds in stages_s.items():
            if stage not in counters.stages:
                counters.stages[stage] = self._stages.labels(camera, stage)
            counters.stages[stage].observe(seconds)

    def count_event(self, camera: str, kind: EventType) -> None:
        """Count an event that was reported; a camera's last ones may come after its removal."""
        if camera in self._cameras:
            self._cameras[camera].events[kind].inc()

    def exposition(self, snapshot: MetricsSnapshot, accept: str) -> tuple[bytes, str]:
        """Everything, for Prometheus.

        Args:
            snapshot: the present state of the daemon.
            accept: the request's header of that name: which formats are understood.

        Returns:
            The text, and which format it is in.
        """
        registry = CollectorRegistry()
        registry.register(_Scrape(self._collectors, snapshot))
        encoder, kind = choose_encoder(accept)
        return encoder(registry), kind


class _Scrape:
    """What was counted, and what is read off the daemon, as a collector of the client library."""

    def __init__(self, counting: Sequence[Collector], snapshot: MetricsSnapshot) -> None:
        self._counting = counting
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        for metric in (metric for counting in self._counting for metric in counting.collect()):
            # When counting began is known: process_start_time_seconds.
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
        yield from _infos(self._snapshot)
        yield from _counted(self._snapshot)
        yield from _measured(self._snapshot)


def _infos(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    state = snapshot.state
    yield _gauge(
        "posed_build_info",
        "What runs; always 1.",
        {(state.version, platform.python_version()): 1},
        "version",
        "python",
    )
    yield _gauge(
        "posed_device_info",
        "What it runs with; always 1.",
        {(state.device, state.model.name, state.engine.kind): 1},
        "device",
        "model",
        "engine",
    )
    yield _gauge(
        "posed_camera_info",
        "What each camera is; always 1.",
        {(name, camera.state.kind): 1 for name, camera in snapshot.cameras.items()},
        "camera",
        "kind",
    )


def _counted(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    state = snapshot.state
    counted = {name: camera.counters for name, camera in snapshot.cameras.items()}
    dropped: Samples = {
        (name, reason): count
        for name, counters in counted.items()
        for reason, count in (
            ("replaced", counters.replaced),
            ("engine_lost", counters.lost),
            ("idle", counters.idle),
        )
    }
    yield _counter(
        "posed_frames_dropped",
        "Frames that were not processed: replaced by a newer one before the engine was free, lost with the "
        "engine, or left out as nobody was there.",
        dropped,
        "camera",
        "reason",
    )
    yield _counter(
        "posed_messages_dropped",
        "Messages that did not reach the broker; events are not among them.",
        {(): state.dropped},
    )
    yield _counter(
        "posed_spool_dropped",
        "Events given up: too old, or too many.",
        {(): state.spool.dropped},
    )
    yield _of_parts(
        CounterMetricFamily(
            "posed_device_errors", "How often a camera or the engine failed, or could not be opened."
        ),
        {name: counters.errors for name, counters in counted.items()},
        {"engine": snapshot.engine_errors},
    )
    yield _of_parts(
        CounterMetricFamily(
            "posed_reconnects",
            "How often a camera or the engine was opened again after a failure, and the broker connected to "
            "again.",
        ),
        {name: counters.reopened for name, counters in counted.items()},
        {"engine": snapshot.engine_reopened, "broker": max(0, snapshot.broker_connections - 1)},
    )


def _measured(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    state, cameras = snapshot.state, snapshot.cameras
    yield _of_parts(
        GaugeMetricFamily("posed_up", "Whether each camera, the engine and the broker are there."),
        {name: camera.state.status == "ok" for name, camera in cameras.items()},
        {"engine": state.engine.status == "ok", "broker": snapshot.broker_connected},
    )
    yield from _of_cameras(cameras)
    yield _gauge("posed_spool_events", "Events that wait for the broker.", {(): state.spool.events})
    yield _gauge(
        "posed_spool_durable",
        "Whether the waiting events would survive a power cut.",
        {(): state.spool.durable},
    )
    temperatures: Samples = {("engine",): state.engine.temperature_c, ("processor",): snapshot.processor_c}
    yield _gauge(
        "posed_temperature_celsius", "Temperature of the engine and the processor.", temperatures, "sensor"
    )


def _of_cameras(cameras: Mapping[str, CameraSnapshot]) -> Iterator[Metric]:
    """What each camera shows now."""
    states = {name: camera.state for name, camera in cameras.items()}
    paused: Samples = {(name,): state.paused for name, state in states.items()}
    yield _gauge("posed_paused", "Whether the camera is closed on request.", paused, "camera")
    sees: Samples = {
        (name,): None if state.sight is None else state.sight == "ok" for name, state in states.items()
    }
    yield _gauge(
        "posed_camera_sees", "Whether the picture is neither dark, covered nor frozen.", sees, "camera"
    )
    people: Samples = {(name,): state.people for name, state in states.items()}
    yield _gauge("posed_people", "People in the picture; nothing while that is unknown.", people, "camera")
    zones: Samples = {
        (name, zone): count for name, camera in cameras.items() for zone, count in camera.zones.items()
    }
    yield _gauge(
        "posed_zone_people", "People in a zone; nothing while that is unknown.", zones, "camera", "zone"
    )
    falls: Samples = {(name,): camera.falls for name, camera in cameras.items()}
    yield _gauge("posed_falls", "Falls that are not over.", falls, "camera")


Samples = Mapping[tuple[str, ...], float | None]


def _gauge(name: str, documentation: str, samples: Samples, *labels: str) -> Metric:
    """A value for each set of labels; one that is not known is left out."""
    return _filled(GaugeMetricFamily(name, documentation, labels=labels), samples)


def _counter(name: str, documentation: str, samples: Samples, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(name, documentation, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for labels, value in samples.items():
        if value is not None:
            family.add_metric(labels, float(value))
    return family


def _of_parts(
    family: GaugeMetricFamily | CounterMetricFamily,
    cameras: Mapping[str, float],
    machine: Mapping[str, float],
) -> Metric:
    """A value for each camera, with its name as a label, and for each part of the machine, without."""
    name = f"{family.name}_total" if isinstance(family, CounterMetricFamily) else family.name
    for camera, value in cameras.items():
        family.add_sample(name, {"part": "camera", "camera": camera}, float(value))
    for part, value in machine.items():
        family.add_sample(name, {"part": part}, float(value))
    return family


class Healthz(Struct, frozen=True):
    """Whether frames come from any camera (the status of the answer says so, too), and what does not work.

    `fps` has the frames per second of each camera.
    """

    frames: Frames
    problems: Sequence[str]
    fps: Mapping[str, float]


def routes(metrics: Metrics, calls: MainLoopCalls) -> Sequence[web.AbstractRouteDef]:
    """The routes that programs ask for."""

    async def snapshot() -> MetricsSnapshot:
        answer = await calls.ask(METRICS_SNAPSHOT)
        assert isinstance(answer.data, MetricsSnapshot)
        return answer.data

    async def show(request: web.Request) -> web.Response:
        try:
            text, kind = metrics.exposition(await snapshot(), request.headers.get(hdrs.ACCEPT, ""))
        except BusyError as error:
            return web.Response(status=503, text=f"{error}\n")
        return web.Response(body=text, headers={hdrs.CONTENT_TYPE: kind})

    async def judge(_request: web.Request) -> web.Response:
        try:
            now = await snapshot()
        except BusyError as error:
            health = Healthz("stopped", [str(error)], {})
        else:
            health = Healthz(
                now.frames,
                now.problems,
                {name: camera.state.fps for name, camera in now.cameras.items()},
            )
        status = 503 if health.frames == "stopped" else 200
        return web.Response(status=status, body=encode(health), content_type="application/json")

    return [web.get("/metrics", show), web.get("/healthz", judge)]
