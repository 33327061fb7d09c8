"""Publishes what comes of a recording as a daemon would, under a name of its own, and leaves nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from tempfile import TemporaryDirectory
from typing import Final, Literal, Self

from posed.commands.replay import Begun, Played
from posed.config import live_values, mqtt_password
from posed.errors import BrokerError
from posed.messages.reports import camera_state, state_message
from posed.messages.structs import CameraState, EngineState, Sender, State
from posed.messages.topics import Topics
from posed.mqtt.broker import DeliveryResult, PublishResult
from posed.mqtt.broker_session import broker_session
from posed.mqtt.client import MqttClient
from posed.mqtt.reporter import MachineReporter, Reporter
from posed.mqtt.spool import Spool
from posed.paths import spool_file
from posed.pipeline.device import DeviceStatus
from posed.pipeline.frame_rate import Took
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.stage_timings import StageTimings

PATIENCE_S: Final = 10.0
"""The broker may keep us waiting for this long: for the connection, for an event, for room, s."""

_POLL_S: Final = 0.002
_STOP_S: Final = 2.0
_FPS_WINDOW_S: Final = 5.0

KIND: Final = "replay"
"""Camera and engine have this kind in `state`."""


class _PatientBroker:
    """A broker that is waited for where it does not take a message at once.

    Args:
        mqtt: the connection to it.
        where: what messages to people call it.

    Raises:
        BrokerError: it keeps us waiting for longer than `PATIENCE_S`.
    """

    def __init__(self, mqtt: MqttClient, where: str) -> None:
        self._mqtt = mqtt
        self._where = where

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: Literal[0, 1] = 0,
        retain: bool = False,
        expiry_s: int | None = None,  # noqa: ARG002 - what is waited for does not grow old
    ) -> PublishResult:
        """Publish a message as soon as there is room for it, whatever its expiry."""
        result = PublishResult.NOT_NOW

        def is_decided() -> bool:
            nonlocal result
            result = self._mqtt.publish(topic, payload, qos=qos, retain=retain)
            return result is not PublishResult.NOT_NOW

        self._wait_for(is_decided)
        return result

    def deliver(
        self,
        topic: str,
        payload: bytes,
        on_result: Callable[[DeliveryResult], None],
        *,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> PublishResult:
        """Hand over a message that its sender keeps and will try again by itself."""
        return self._mqtt.deliver(topic, payload, on_result, retain=retain, expiry_s=expiry_s)

    def wait_for_connection(self) -> None:
        """Return once there is a connection."""
        self._wait_for(lambda: self._mqtt.connected)

    def impatient(self, what: str) -> BrokerError:
        """The error for a broker that took too long `what`, such as "to take a message"."""
        why = f" ({self._mqtt.why})" if self._mqtt.why else ""
        return BrokerError(f"{self._where}: took longer than {PATIENCE_S:g} s {what}{why}")

    def _wait_for(self, is_done: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not is_done():
            if time.monotonic() > until:
                raise self.impatient("to take a message")
            time.sleep(_POLL_S)


class ReplayPublisher:
    """A device at the broker, as long as the context is open. It waits for the broker and drops nothing.

    Args:
        recording: its settings name the broker and the device, which is not that of a daemon.

    Raises:
        BrokerError: the broker cannot be reached, or knows the device already.
        ConfigError: the configuration cannot be used.
    """

    def __init__(self, recording: Begun) -> None:
        config, self._camera = recording.config, recording.camera
        self._config = config
        self._topics = Topics.of(config)
        self._sender = Sender.start(config.device)
        self._folder = TemporaryDirectory(prefix="posed-replay-")
        self._mqtt = MqttClient(
            config.mqtt,
            password=mqtt_password(config.mqtt),
            client_id=self._topics.base.replace("/", "-"),
            availability_topic=self._topics.availability,
            on_connect=self._on_connect,
        )
        self._broker = _PatientBroker(self._mqtt, f"mqtt {config.mqtt.host}:{config.mqtt.port}")
        self._spool = Spool(
            spool_file({"STATE_DIRECTORY": self._folder.name}),
            sender=self._sender,
            topics=self._topics,
            broker=self._broker,
            config=config.mqtt.events,
            cameras=(self._camera,),
        )
        self._machine = MachineReporter(self._topics, self._broker)
        self._reporter = Reporter(
            self._sender, self._camera, self._topics.camera(self._camera), self._broker, config.mqtt.poses
        )
        self._began_at = time.monotonic()
        self._times_s: deque[float] = deque()
        of_camera = self._topics.camera(self._camera)
        self._retained_topics = {
            self._topics.availability,
            self._topics.state,
            of_camera.state,
            of_camera.fall,
        }

    def report(self, occurrence: Occurrence) -> str:
        """Publish an event; returns its id once the broker has it."""
        event_id = self._spool.add(replace(occurrence, camera=self._camera))
        if not self._spool.drain(PATIENCE_S):
            raise self._broker.impatient("to take an event")
        return event_id

    def show(self, played: Played) -> None:
        """Publish a frame, and whatever changed with it."""
        frame, scene = played.frame, played.scene
        self._times_s.append(frame.time_s)
        self._reporter.poses(
            frame, played.people, scene.keypoint_threshold, Took(0.0, 0.0), StageTimings(), time.monotonic()
        )
        counts = scene.zone_counts()
        self._retained_topics.update(map(self._topics.camera(self._camera).zone, counts))
        self._reporter.zones(counts)
        self._reporter.state(partial(self._camera_state, played))
        self._machine.state(partial(self._state, played))

    def _on_connect(self) -> None:
        self._machine.again()
        self._reporter.again()
        self._spool.publish_again()

    def _camera_state(self, played: Played) -> CameraState:
        height, width, _ = played.frame.image.shape
        scene = played.scene
        return camera_state(
            self._sender,
            self._camera,
            device=DeviceStatus("ok"),
            kind=KIND,
            size=(width, height),
            sight=None,
            pitch=scene.pitch,
            people=scene.people,
            paused=False,
            fps=self._fps(),
            took=None,
            dropped=0,
            settings=live_values(played.config, self._camera),
        )

    def _state(self, played: Played) -> State:
        return state_message(
            self._sender,
            uptime_s=time.monotonic() - self._began_at,
            cameras={self._camera: "ok"},
            engine=EngineState("ok", KIND, None, "a recording", None, None),
            model=played.start.model,
            dropped=0,
            spool=self._spool.state,
            settings=live_values(played.config),
        )

    def _fps(self) -> float:
        """Frames per second of media time, over the last few seconds."""
        times_s = self._times_s
        while not 0 <= times_s[-1] - times_s[0] <= _FPS_WINDOW_S:
            times_s.popleft()
        passed_s = times_s[-1] - times_s[0]
        return round((len(times_s) - 1) / passed_s, 1) if passed_s else 0.0

    def __enter__(self) -> Self:
        with broker_session(self._config.mqtt, mqtt_password(self._config.mqtt)) as session:
            if session.retained(self._topics.availability):
                raise BrokerError(
                    f"device {self._config.device}: the broker knows one of that name; take another, or "
                    "`posed mqtt forget` it"
                )
        self._spool.start()
        self._mqtt.start()
        try:
            self._broker.wait_for_connection()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._spool.drain(PATIENCE_S)
        self._stop()
        if kind is not None and issubclass(kind, BrokerError):
            return
        with broker_session(self._config.mqtt, mqtt_password(self._config.mqtt)) as session:
            for topic in sorted(self._retained_topics):
                session.empty(topic)

    def _stop(self) -> None:
        self._mqtt.stop(_STOP_S)
        self._spool.stop(_STOP_S)
        self._folder.cleanup()
