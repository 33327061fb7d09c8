"""Publishes what comes of a recording as a daemon would, under a name of its own, and leaves nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory
from typing import Final, Self

from posed import __version__
from posed.commands.replay import Played
from posed.config import Config, live_values, mqtt_password
from posed.errors import BrokerError
from posed.frame import Frame
from posed.messages.structs import (
    CameraState,
    Dropped,
    EngineState,
    Poses,
    Sender,
    Size,
    State,
    ZoneMessage,
    encode,
    rfc3339,
    tracked_messages,
)
from posed.messages.topics import Topics
from posed.mqtt.broker_session import broker_session
from posed.mqtt.client import MqttClient
from posed.mqtt.poses import PosesFilter
from posed.mqtt.retained import RetainedPublisher
from posed.mqtt.spool import Occurrence, Spool
from posed.paths import spool_file

PATIENCE_S: Final = 10.0
"""How long the broker may keep us waiting: for the connection, for an event, for room, s."""

_POLL_S: Final = 0.002
_STOP_S: Final = 2.0
_SPACING_S: Final = 1.0
_FPS_WINDOW_S: Final = 5.0

KIND: Final = "replay"
"""Of camera and engine in `state`."""


class ReplayPublisher:
    """A device at the broker, as long as the context is open. It waits for the broker and drops nothing.

    Args:
        config: names the broker and the device; not that of a daemon.

    Raises:
        BrokerError: the broker cannot be reached, or knows the device already.
        ConfigError: the configuration cannot be used.
    """

    def __init__(self, config: Config) -> None:
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
        self._spool = Spool(
            spool_file({"STATE_DIRECTORY": self._folder.name}),
            sender=self._sender,
            topics=self._topics,
            deliver=self._mqtt.deliver,
            config=config.mqtt.events,
        )
        self._retained = RetainedPublisher(self._mqtt.publish)
        self._filter = PosesFilter(config.mqtt.poses)
        self._began_at = time.monotonic()
        self._times_s: deque[float] = deque()
        self._told: set[str] = {self._topics.availability, self._topics.state, self._topics.fall}

    def tell(self, occurrence: Occurrence) -> str:
        """Publish an event; returns its id once the broker has it."""
        one = self._spool.add(occurrence)
        if not self._spool.drain(PATIENCE_S):
            raise self._impatient("to take an event")
        return one

    def show(self, played: Played) -> None:
        """Publish a frame, and whatever changed with it."""
        frame = played.frame
        self._times_s.append(frame.time_s)
        if self._filter.wants(len(played.people), time.monotonic()):
            payload = encode(self._poses(played))
            self._until_taken(lambda: self._mqtt.publish(self._topics.poses, payload))
        for zone, people in played.following.zone_counts().items():
            topic = self._topics.zone(zone)
            self._told.add(topic)
            self._tell(topic, partial(self._zone, zone, people))
        self._tell(self._topics.state, partial(self._state, played), _SPACING_S)

    def _tell(self, topic: str, make: Callable[[], State | ZoneMessage], spacing_s: float = 0) -> None:
        self._until_taken(lambda: self._retained.tell(topic, make, spacing_s))

    def _until_taken(self, publish: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not publish():
            if time.monotonic() > until:
                raise self._impatient("to take a message")
            time.sleep(_POLL_S)

    def _impatient(self, what: str) -> BrokerError:
        mqtt = self._config.mqtt
        why = f" ({self._mqtt.why})" if self._mqtt.why else ""
        return BrokerError(f"mqtt {mqtt.host}:{mqtt.port}: must need at most {PATIENCE_S:g} s {what}{why}")

    def _on_connect(self) -> None:
        self._retained.again()
        self._spool.tell_again()

    def _poses(self, played: Played) -> Poses:
        threshold = played.config.decode.keypoint_threshold
        return Poses(
            device=self._sender.device,
            run=self._sender.run,
            sequence=played.frame.sequence,
            time=rfc3339(played.frame.time),
            frame=Size(*_size(played.frame)),
            inference_ms=0.0,
            latency_ms=0.0,
            people=tracked_messages(played.people, threshold),
        )

    def _zone(self, zone: str, people: int) -> ZoneMessage:
        now = rfc3339(time.time())
        return ZoneMessage(
            device=self._sender.device, time=now, zone=zone, occupied=people > 0, people=people
        )

    def _state(self, played: Played) -> State:
        people = len(played.following.people)
        return State(
            device=self._sender.device,
            run=self._sender.run,
            time=rfc3339(time.time()),
            version=__version__,
            uptime_s=int(time.monotonic() - self._began_at),
            paused=False,
            people=people,
            occupied=people > 0,
            posture=played.following.posture,
            fps=self._fps(),
            latency_ms=None,
            camera=CameraState(
                *("ok", KIND, *_size(played.frame), None),
                pitch_deg=played.following.pitch.deg,
                postures=played.following.pitch.told,
            ),
            engine=EngineState("ok", KIND, None, "a recording", None, None),
            model=played.start.model,
            dropped=Dropped(camera=0, mqtt=0),
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
        with broker_session(self._config.mqtt, mqtt_password(self._config.mqtt)) as visit:
            if visit.retained(self._topics.availability):
                raise BrokerError(
                    f"device {self._config.device}: the broker knows one of that name; take another, or "
                    "`posed mqtt forget` it"
                )
        self._spool.start()
        self._mqtt.start()
        try:
            self._until_taken(lambda: self._mqtt.connected)
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
        with broker_session(self._config.mqtt, mqtt_password(self._config.mqtt)) as visit:
            for topic in sorted(self._told):
                visit.empty(topic)

    def _stop(self) -> None:
        self._mqtt.stop(_STOP_S)
        self._spool.stop(_STOP_S)
        self._folder.cleanup()


def _size(frame: Frame) -> tuple[int, int]:
    height, width, _ = frame.image.shape
    return width, height
