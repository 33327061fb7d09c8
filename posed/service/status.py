"""How a running daemon does: its state, its health, and what metrics are made of."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass

from posed import __version__
from posed.config import LiveConfig
from posed.engine.temperature import Thermometer, processor_c
from posed.messages.reports import state_message
from posed.messages.structs import EngineState, Health, Info, ModelState, Sender, State
from posed.mqtt.client import MqttClient
from posed.mqtt.spool import Spool
from posed.pipeline.frame_rate import Took
from posed.pipeline.pipeline import Pipeline
from posed.service.channel import Channel
from posed.service.check import networks_on_their_side
from posed.service.metrics_snapshot import CameraSnapshot, Frames, MetricsSnapshot
from posed.service.model_in_use import ModelInUse

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What a status is read from.

    Args:
        sender: the device and its run.
        live: the configuration of now.
        used: the network that runs.
        model: what is said of it.
        pipeline: cameras and engine at work.
        channels: the cameras, by name.
        spool: keeps the events.
        mqtt: the way to the broker.
    """

    sender: Sender
    live: LiveConfig
    used: ModelInUse
    model: ModelState
    pipeline: Pipeline
    channels: Mapping[str, Channel]
    spool: Spool
    mqtt: MqttClient


class Status:
    """Says how the daemon does, from the main loop.

    Args:
        parts: what it is read from.

    Attributes:
        connections: how often there was a broker since the start; whoever connects counts.
        newest: how long the newest frame of any camera took; whoever processes it says so.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._decoder = parts.used.describe
        self._thermometer = Thermometer()
        self._began_at = time.monotonic()
        self.connections = 0
        self.newest: Took | None = None

    @property
    def uptime_s(self) -> float:
        """Time since the start, s."""
        return time.monotonic() - self._began_at

    def log_start(self) -> None:
        """Say in the log what runs here."""
        config, name = self._parts.live.config, self._parts.used.name
        log.info("posed %s: device %s, model %s", __version__, config.device, name)
        log.info("decoder: %s", self._decoder(config.decode))
        for warning in self._parts.used.warnings(config):
            log.warning("model %s: %s", name, warning)
        for warning in networks_on_their_side(config.cameras):
            log.warning("%s", warning)

    def state(self) -> State:
        """How the machine does, as the topic `state` has it."""
        parts = self._parts
        return state_message(
            parts.sender,
            uptime_s=self.uptime_s,
            cameras={name: channel.status.status for name, channel in parts.channels.items()},
            engine=self._engine(),
            model=parts.model,
            dropped=parts.mqtt.dropped,
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
            cameras={name: channel.state() for name, channel in self._parts.channels.items()},
            engine=state.engine,
            model=state.model,
            verbs=verbs,
        )

    def health(self) -> Health:
        """Whether the daemon works, and a line for each thing that does not."""
        channels, engine, spool = self._parts.channels, self._engine(), self._parts.spool.state
        ours = []
        if engine.status == "waiting":
            ours.append(f"engine: {engine.why or engine.status}")
        if not spool.durable:
            ours.append(f"event spool: {spool.why}")
        cameras = [problem for channel in channels.values() for problem in channel.problems]
        some_camera_works = any(not channel.problems for channel in channels.values())
        return Health(
            healthy=not ours and some_camera_works,
            problems=[*cameras, *ours],
            cameras={name: channel.summary for name, channel in channels.items()},
        )

    def metrics(self) -> MetricsSnapshot:
        """A moment of the daemon, in one piece."""
        parts = self._parts
        falls = parts.spool.falls
        engine = parts.pipeline.inference.device
        return MetricsSnapshot(
            state=self.state(),
            cameras={
                name: CameraSnapshot(
                    state=channel.state(),
                    counters=channel.feed.counters,
                    zones=channel.zone_counts(),
                    falls=sum(fall.camera == name for fall in falls),
                )
                for name, channel in parts.channels.items()
            },
            frames=self._frames(),
            problems=self.health().problems,
            engine_errors=engine.errors,
            engine_reopened=engine.reopened,
            broker_connected=parts.mqtt.connected,
            broker_connections=self.connections,
            processor_c=processor_c(),
        )

    def _frames(self) -> Frames:
        """Whether frames come from any camera."""
        channels = self._parts.channels.values()
        if any(channel.delivers for channel in channels):
            return "ok"
        return "paused" if all(channel.feed.paused for channel in channels) else "stopped"

    def line(self) -> str:
        """How everything does, in a line for people."""
        engine = self._parts.pipeline.opened_engine
        channels = self._parts.channels
        said = [_line(channel, channel.name if len(channels) > 1 else "") for channel in channels.values()]
        return ", ".join(said) + (f", {engine.kind} {engine.device}" if engine else "")

    def temperature_c(self) -> float | None:
        """Of the accelerator, °C; None where there is none, or none is known."""
        engine = self._parts.pipeline.opened_engine
        return self._thermometer.read(engine.kind, engine.device) if engine else None

    def _engine(self) -> EngineState:
        device, engine = self._parts.pipeline.engine, self._parts.pipeline.opened_engine
        return EngineState(
            status=device.status,
            kind=engine.kind if engine else self._parts.live.config.engine.kind,
            device=engine.device if engine else None,
            why=device.why or (engine.why if engine else ""),
            inference_ms=self.newest.inference_ms if self.newest else None,
            temperature_c=self.temperature_c(),
        )


def _line(channel: Channel, name: str) -> str:
    people, fps = len(channel.scene.people), channel.scene.frame_rate.fps()
    said = f"{fps:{'.0f' if fps >= 1 else 'g'}} fps, {people} {'person' if people == 1 else 'people'}"
    return f"{name}: {said}" if name else said
