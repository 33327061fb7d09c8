"""What Prometheus asks for, `/metrics`, and whether frames come, `/healthz`.

Only what nobody else counts is counted here, frame by frame; the rest is read when it is asked for, by the
main loop: one that hangs does not answer, and `/healthz` is red.

Names follow prometheus.io/docs/practices/naming: base units, `_total` for what only grows.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, get_args

from aiohttp import hdrs, web
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from posed.messages.structs import encode
from posed.people.events import EventType
from posed.service.metrics_snapshot import METRICS_SNAPSHOT, Frames, MetricsSnapshot
from posed.web.main_loop_calls import BusyError, MainLoopCalls

BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Histograms have these bounds, s: from a step of the tracker on a PC to an inference on the slowest Pi."""

STAGES: Final = ("capture", "letterbox", "invoke", "turned", "decode", "follow", "encode", "publish", "look")
"""A frame goes through these stages of `posed.pipeline.stage_timings`, in this order."""


class Metrics:
    """Counts frames and events, from the main loop, and says how many there were."""

    def __init__(self) -> None:
        self._frames = Counter(
            "posed_frames_processed_total", "Frames that were processed and published.", registry=None
        )
        self._latency = Histogram(
            "posed_latency_seconds",
            "From a frame's capture until it was published.",
            buckets=BUCKETS_S,
            registry=None,
        )
        stages = Histogram(
            "posed_stage_duration_seconds",
            "Time of each stage of a frame's way; capture includes the wait for the camera.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=None,
        )
        events = Counter("posed_events_total", "Events reported, by type.", ["type"], registry=None)
        self._every_stage = stages
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._events = {kind: events.labels(kind) for kind in get_args(EventType)}
        # Labelled by nothing: CPU time, memory, open files, start of this process.
        process = ProcessCollector(registry=None)
        self._collectors: tuple[Collector, ...] = (self._frames, self._latency, stages, events, process)

    def count_frame(self, latency_s: float, stages_s: Mapping[str, float]) -> None:
        """A frame was processed.

        Args:
            latency_s: since its capture, s.
            stages_s: what each stage took, s.
        """
        self._frames.inc()
        self._latency.observe(latency_s)
        for stage, seconds in stages_s.items():
            if stage not in self._stages:
                self._stages[stage] = self._every_stage.labels(stage)
            self._stages[stage].observe(seconds)

    def count_event(self, kind: EventType) -> None:
        """Count an event that was reported."""
        self._events[kind].inc()

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
        {(state.device, state.model.name, state.camera.kind, state.engine.kind): 1},
        "device",
        "model",
        "camera",
        "engine",
    )


def _counted(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    state, counters = snapshot.state, snapshot.counters
    yield _counter(
        "posed_frames_dropped",
        "Frames that were not processed: replaced by a newer one before the engine was free, lost with the "
        "engine, or left out as nobody was there.",
        {("replaced",): counters.replaced, ("engine_lost",): counters.lost, ("idle",): counters.idle},
        "reason",
    )
    yield _counter(
        "posed_messages_dropped",
        "Messages that did not reach the broker; events are not among them.",
        {(): state.dropped.mqtt},
    )
    yield _counter(
        "posed_spool_dropped",
        "Events given up: too old, or too many.",
        {(): state.spool.dropped},
    )
    yield _counter(
        "posed_device_errors",
        "How often camera or engine failed, or could not be opened.",
        {(part,): count for part, count in counters.errors.items()},
        "part",
    )
    reconnects: dict[tuple[str, ...], float | None] = {
        (part,): count for part, count in counters.reopened.items()
    }
    reconnects["broker",] = max(0, snapshot.broker_connections - 1)
    yield _counter(
        "posed_reconnects",
        "How often camera or engine was opened again after a failure, and the broker connected to again.",
        reconnects,
        "part",
    )


def _measured(snapshot: MetricsSnapshot) -> Iterator[Metric]:
    state = snapshot.state
    up: Samples = {
        ("camera",): state.camera.status == "ok",
        ("engine",): state.engine.status == "ok",
        ("broker",): snapshot.broker_connected,
    }
    yield _gauge("posed_up", "Whether camera, engine and broker are there.", up, "part")
    yield _gauge("posed_paused", "Whether the camera is closed on request.", {(): state.paused})
    sight = None if state.camera.sight is None else state.camera.sight == "ok"
    yield _gauge("posed_camera_sees", "Whether the picture is neither dark, covered nor frozen.", {(): sight})
    yield _gauge("posed_people", "People in the picture; nothing while that is unknown.", {(): state.people})
    yield _gauge(
        "posed_zone_people",
        "People in a zone; nothing while that is unknown.",
        {(zone,): count for zone, count in snapshot.zones.items()},
        "zone",
    )
    yield _gauge("posed_falls", "Falls that are not over.", {(): snapshot.falls})
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


class Healthz(Struct, frozen=True):
    """Whether frames come (the status of the answer says so, too), and everything that does not work."""

    frames: Frames
    problems: Sequence[str]
    fps: float


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
            health = Healthz("stopped", [str(error)], 0.0)
        else:
            health = Healthz(now.frames, now.problems, now.state.fps)
        status = 503 if health.frames == "stopped" else 200
        return web.Response(status=status, body=encode(health), content_type="application/json")

    return [web.get("/metrics", show), web.get("/healthz", judge)]
