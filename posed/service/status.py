"""How a running daemon does: its state, its health, and what metrics are made of."""

from __future__ import annotations

import logging
import platform
import time
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from posed import __version__
from posed.config import LiveConfig
from posed.engine.temperature import Thermometer, processor_c
from posed.messages.reports import camera_state, state_message
from posed.messages.structs import (
    CameraState,
    Dropped,
    EngineState,
    Health,
    Info,
    ModelState,
    RecordingStart,
    Sender,
    Size,
    State,
)
from posed.model.card import DRAWN, PEOPLE, card_of
from posed.mqtt.client import MqttClient
from posed.mqtt.spool import Spool
from posed.networks.pair import Pair
from posed.pipeline.device import DeviceStatus
from posed.pipeline.feed import Feed
from posed.pipeline.pipeline import Pipeline
from posed.pipeline.scene import Scene
from posed.service.metrics_snapshot import Frames, MetricsSnapshot

log = logging.getLogger(__name__)

RECORDED: Final = ("decode.", "people.")
"""Settings that say what becomes of the poses."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What a status is read from.

    Args:
        sender: the device and its run.
        live: the configuration of now.
        pair: the model.
        pipeline: cameras and engine at work.
        feed: the camera.
        scene: the people whom the camera sees.
        spool: keeps the events.
        mqtt: the way to the broker.
    """

    sender: Sender
    live: LiveConfig
    pair: Pair
    pipeline: Pipeline
    feed: Feed
    scene: Scene
    spool: Spool
    mqtt: MqttClient


class Status:
    """Says how the daemon does, from the main loop.

    Args:
        parts: what it is read from.

    Attributes:
        stopped: whether the daemon has stopped looking.
        connections: how often there was a broker since the start; whoever connects counts.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._decoder = parts.pair.network.describe
        self._thermometer = Thermometer()
        self._model = _model_state(parts.pair, parts.live.config.camera.kind)
        self._began_at = time.monotonic()
        self.stopped = False
        self.connections = 0

    @property
    def uptime_s(self) -> float:
        """Time since the start, s."""
        return time.monotonic() - self._began_at

    def log_start(self) -> None:
        """Say in the log what runs here."""
        config, name = self._parts.live.config, self._parts.pair.name
        log.info("posed %s: device %s, model %s", __version__, config.device, name)
        log.info("decoder: %s", self._decoder(config.decode))
        if warning := self._model.warning:
            log.warning("model %s: %s", name, warning)

    @property
    def dropped(self) -> Dropped:
        """Frames and messages that were lost since the start."""
        return Dropped(camera=self._parts.feed.counts.dropped, mqtt=self._parts.mqtt.dropped)

    @property
    def delivers(self) -> bool:
        """Whether the newest frame is of now."""
        parts, feed = self._parts, self._parts.feed
        works = feed.status.status == "ok" and parts.pipeline.engine.status == "ok"
        return works and parts.scene.frame_rate.are_of_now and not feed.paused and not self.stopped

    @property
    def sees(self) -> bool:
        """Whether what is known of people is of now: a blind camera is no empty room."""
        parts = self._parts
        return self.delivers and (parts.feed.health in {None, "ok"} or bool(parts.scene.people))

    def zone_counts(self) -> dict[str, int | None]:
        """By zone, how many people are in it; None while nothing is seen."""
        sees = self.sees
        counts = self._parts.scene.zone_counts()
        return {zone: count if sees else None for zone, count in counts.items()}

    def state(self) -> State:
        """How everything does, as the topic `state` has it."""
        parts, took = self._parts, self._parts.scene.frame_rate.newest
        return state_message(
            parts.sender,
            uptime_s=self.uptime_s,
            people=parts.scene.people if self.sees else None,
            paused=parts.feed.paused,
            fps=parts.scene.frame_rate.fps(),
            latency_ms=took.latency_ms if took else None,
            camera=self._camera(),
            engine=self._engine(),
            model=self._model,
            dropped=self.dropped,
            spool=parts.spool.state,
            settings=parts.live.values,
        )

    def info(self, verbs: list[str]) -> Info:
        """What runs here.

        Args:
            verbs: what can be asked for.
        """
        state = self.state()
        return Info(
            device=state.device,
            run=state.run,
            time=state.time,
            version=state.version,
            uptime_s=state.uptime_s,
            python=platform.python_version(),
            platform=platform.platform(),
            decoder=self._decoder(self._parts.live.config.decode),
            camera=state.camera,
            engine=state.engine,
            model=state.model,
            verbs=verbs,
        )

    def health(self) -> Health:
        """Whether everything works, and a line for each thing that does not."""
        state = self.state()
        problems = [
            f"{device}: {why or status}"
            for device, status, why in (
                ("camera", state.camera.status, state.camera.why),
                ("engine", state.engine.status, state.engine.why),
            )
            if status == "waiting"
        ]
        if state.camera.sight not in {None, "ok"}:
            problems.append(f"camera: the picture is {state.camera.sight}")
        if not state.spool.durable:
            problems.append(f"event spool: {state.spool.why}")
        return Health(healthy=not problems, problems=problems, paused=state.paused, fps=state.fps)

    def metrics(self) -> MetricsSnapshot:
        """A moment of the daemon, in one piece."""
        state, parts = self.state(), self._parts
        frames: Frames = "paused" if state.paused else "ok" if self.delivers else "stopped"
        return MetricsSnapshot(
            state=state,
            frames=frames,
            problems=self.health().problems,
            counters=parts.pipeline.counters,
            zones=self.zone_counts(),
            falls=len(parts.spool.falls),
            broker_connected=parts.mqtt.connected,
            broker_connections=self.connections,
            processor_c=processor_c(),
        )

    def recording_start(self) -> RecordingStart:
        """How a recording would begin now."""
        state, size = self.state(), self._parts.feed.frame_size
        settings = self._parts.live.values.items()
        return RecordingStart(
            device=state.device,
            run=state.run,
            time=state.time,
            version=state.version,
            model=state.model,
            frame=size and Size(*size),
            settings={name: value for name, value in settings if name.startswith(RECORDED)},
        )

    def line(self) -> str:
        """How everything does, in a line for people."""
        parts = self._parts
        people, engine, fps = (
            len(parts.scene.people),
            parts.pipeline.opened_engine,
            parts.scene.frame_rate.fps(),
        )
        return f"{fps:{'.0f' if fps >= 1 else 'g'}} fps, {people} {'person' if people == 1 else 'people'}" + (
            f", {engine.kind} {engine.device}" if engine else ""
        )

    def temperature_c(self) -> float | None:
        """Of the accelerator, °C; None where there is none, or none is known."""
        engine = self._parts.pipeline.opened_engine
        return self._thermometer.read(engine.kind, engine.device) if engine else None

    def _camera(self) -> CameraState:
        feed = self._parts.feed
        device = DeviceStatus("waiting", "stopped") if self.stopped else feed.status
        kind, pitch = self._parts.live.config.camera.kind, self._parts.scene.pitch
        return camera_state(device, kind, feed.frame_size, feed.health, pitch)

    def _engine(self) -> EngineState:
        device, engine = self._parts.pipeline.engine, self._parts.pipeline.opened_engine
        took = self._parts.scene.frame_rate.newest
        return EngineState(
            status=device.status,
            kind=engine.kind if engine else self._parts.live.config.engine.kind,
            device=engine.device if engine else None,
            why=device.why or (engine.why if engine else ""),
            inference_ms=took.inference_ms if took else None,
            temperature_c=self.temperature_c(),
        )


def _model_state(pair: Pair, camera_kind: str) -> ModelState:
    width, height = pair.model.size
    warning = model_warning(pair, camera_kind) or UNSET
    return ModelState(pair.name, pair.network.stride, width, height, warning)


def model_warning(pair: Pair, camera_kind: str) -> str:
    """What the model cannot do before this camera; empty where there is nothing to warn of."""
    if camera_kind == "synthetic" or card_of(pair.model.path).get(PEOPLE) != DRAWN:
        return ""
    return "was trained on drawn people and hardly sees real ones; take another, such as coral-353x481"
