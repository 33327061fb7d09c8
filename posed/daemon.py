"""The daemon: builds the parts from a configuration, and carries what they find to the broker."""

from __future__ import annotations

import faulthandler
import logging
import os
import platform
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Final

from msgspec import UNSET

from posed import __version__, camera, engine
from posed.attention import Attention
from posed.camera.base import Camera
from posed.config import Config, mqtt_password
from posed.decode import decode_frame, describe
from posed.engine.base import Engine
from posed.errors import CameraEnded, ConfigError, ModelError, RequestError
from posed.following import Following
from posed.log import start_log
from posed.model.card import DRAWN, PEOPLE, card_of
from posed.model.catalogue import find, locate
from posed.model.pair import Pair, load_pair
from posed.mqtt.attempt import tls_context
from posed.mqtt.client import MqttClient
from posed.mqtt.messages import (
    CameraState,
    ClearFallRequest,
    Dropped,
    EngineState,
    EventSent,
    FallsCleared,
    Info,
    InfoRequest,
    ModelState,
    Poses,
    Sender,
    Size,
    State,
    TestEventRequest,
    ZoneMessage,
    encode,
    observed_message,
    rfc3339,
)
from posed.mqtt.requests import Requests, Verb
from posed.mqtt.spool import Occurrence, Spool
from posed.mqtt.topics import Topics
from posed.paths import falls_file, spool_file
from posed.people.events import Observed
from posed.people.turned import merged
from posed.pipeline import STARTING, Inferred, Pipeline
from posed.pose import Pose
from posed.service.notify import Notifier
from posed.service.reload import reload

log = logging.getLogger(__name__)

WAIT_S: Final = 0.1
"""How long the main loop waits for a frame before it looks after everything else, s."""

STATE_INTERVAL_S: Final = 30.0
STATE_SPACING_S: Final = 1.0
"""`state` is published this often at least, and at most."""

POSES_EXPIRY_S: Final = 5
"""Poses that could not be delivered for so long are of no use any more, s."""

FPS_WINDOW_S: Final = 5.0

READY_WITHIN_S: Final = 10.0
"""A device that is neither opened nor refused after this long is being waited for: booting goes on, s."""

DOWNLOAD_S: Final = 1800.0
"""How long a model may take to be downloaded at the start, s."""

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread that is ready waits until the one that runs Python lets it in. With Python's own 5 ms
an Edge TPU that has answered within 6 ms waited for as long again before it got the next frame."""

CAMERA_STOP_S: Final = 0.6
BROKER_STOP_S: Final = 0.8
EVENTS_STOP_S: Final = 0.2
"""Together under the two seconds in which the daemon ends."""


class Daemon:
    """Camera to MQTT until it is stopped.

    Args:
        config: all settings.
        open_camera, open_engine: other than the configured ones.
        on_processed: called with each frame once it is published, and the number of people in it.
        read_config: reads the configuration again, for `reload`.
        environment: says where the state folder is, and where systemd listens.

    Raises:
        ConfigError, ModelError: something in the configuration cannot work.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a name at the call
        self,
        config: Config,
        *,
        open_camera: Callable[[], Camera] | None = None,
        open_engine: Callable[[], Engine] | None = None,
        on_processed: Callable[[Inferred, int], object] = lambda *_: None,
        read_config: Callable[[], Config] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._config = config
        self._read_config = read_config
        self._reloading = threading.Event()
        self._ready = False
        self._systemd = Notifier(environment)
        if config.model.pull:
            self._systemd.starts_within(DOWNLOAD_S)
        self._pair: Pair = load_pair(config.model.name, pull_missing=config.model.pull)
        self._model_warning = _model_warning(self._pair, config.camera.kind)
        self._topics = Topics.of(config)
        self._sender = Sender.start(config.device)
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._requests = Requests(
            self._topics,
            {
                "info": Verb(InfoRequest, self._info),
                "clear_fall": Verb(ClearFallRequest, self._clear_fall),
                "test_event": Verb(TestEventRequest, self._send_test_event),
            },
        )
        self._mqtt = MqttClient(
            config.mqtt,
            password=mqtt_password(config.mqtt),
            client_id=f"posed-{config.device}",
            availability_topic=self._topics.availability,
            on_connect=self._on_connect,
            subscriptions=[self._topics.requests],
            on_message=self._requests.receive,
        )
        self._spool = Spool(
            spool_file(environment),
            sender=self._sender,
            topics=self._topics,
            deliver=self._mqtt.deliver,
            config=config.mqtt.events,
        )
        self._following = Following(config, self._spool.add, falls_file(environment))
        size = self._pair.model.size
        self._pipeline = Pipeline(
            open_camera=open_camera or (lambda: camera.open_camera(config.camera, size)),
            open_engine=open_engine
            or (lambda: engine.open_engine(config.engine, self._pair.cpu, self._pair.edgetpu)),
            input_size=size,
            timeout_s=config.camera.timeout_s,
            attention=Attention(config.engine.idle_fps),
        )
        self._on_processed = on_processed
        self._started_at = time.monotonic()
        self._published: State | None = None
        self._published_at = 0.0
        self._told_zones: dict[str, tuple[int | None, float]] = {}
        self._inference_ms: float | None = None
        self._latency_ms: float | None = None
        self._processed_at: deque[float] = deque()

    def run(self) -> None:
        """Work until `stop`, or until a recording has been played to its end.

        Raises:
            CameraError, EngineError: a device can never work as configured.
        """
        log.info("posed %s: device %s, model %s", __version__, self._config.device, self._pair.name)
        log.info("decoder: %s", describe(self._config.decode))
        threading.excepthook = self._on_thread_failure
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        if self._model_warning:
            log.warning("model %s: %s", self._pair.name, self._model_warning)
        self._spool.start()
        self._mqtt.start()
        self._pipeline.start()
        try:
            while not self._stopping.is_set():
                self._step()
        except CameraEnded as ended:
            log.info("%s", ended)
        finally:
            self._end()

    def stop(self) -> None:
        """Make `run` return; safe in a signal handler."""
        self._stopping.set()

    def reload(self) -> None:
        """Make `run` read the configuration again; safe in a signal handler."""
        self._reloading.set()

    @property
    def dropped(self) -> Dropped:
        """Frames and messages that were lost since the start."""
        return Dropped(camera=self._pipeline.dropped, mqtt=self._mqtt.dropped)

    def _on_thread_failure(self, failed: threading.ExceptHookArgs) -> None:
        """A bug in any thread, MQTT's too, ends the daemon instead of leaving it half alive."""
        self._failure = failed.exc_value

    def _step(self) -> None:
        if self._failure is not None:
            raise self._failure
        inferred = self._pipeline.next(WAIT_S)
        if inferred is not None:
            self._process(inferred)
        if inferred is not None or self._pipeline.waits:
            self._systemd.progressed()
        self._tell_systemd()
        if self._reloading.is_set():
            self._reload()
        self._requests.serve(self._mqtt.publish)
        self._publish_state_if_due()
        self._publish_zones_if_due()

    def _tell_systemd(self) -> None:
        """That it is ready, once each device has been opened or is being waited for; and how it does."""
        pipeline, mqtt = self._pipeline, self._mqtt
        starting = STARTING in (pipeline.camera, pipeline.engine)
        if not self._ready and (not starting or time.monotonic() - self._started_at > READY_WITHIN_S):
            self._ready = True
            self._systemd.ready()
        waiting = {"camera": pipeline.camera.why, "engine": pipeline.engine.why, "broker": mqtt.why or ""}
        people, engine = len(self._following.people), pipeline.opened_engine
        self._systemd.status(
            "; ".join(f"waiting for the {part}: {why}" for part, why in waiting.items() if why),
            f"{self._fps():.0f} fps, {people} {'person' if people == 1 else 'people'}"
            + (f", {engine.kind} {engine.device}" if engine else ""),
        )

    def _reload(self) -> None:
        """Take over what applies at once; a configuration that is not good changes nothing."""
        self._reloading.clear()
        if self._read_config is None:
            return
        self._systemd.reloading()
        try:
            wanted = self._read_config()
            check(wanted)
        except ConfigError as error:
            for problem in (*error.problems, "not reloaded: the configuration stays as it was"):
                log.error("%s", problem)  # noqa: TRY400 expected: no traceback
        else:
            done = reload(self._config, wanted)
            self._config = done.config
            start_log(done.config.log.level)
            log.info("reloaded: %s", ", ".join(done.applied) or "nothing new that applies at once")
            if done.waiting:
                log.warning("new after a restart only: %s", ", ".join(done.waiting))
        self._systemd.ready()

    def _process(self, inferred: Inferred) -> None:
        frame, stages = inferred.frame, inferred.stages
        with stages.time("decode"):
            poses = self._decode(inferred)
        with stages.time("follow"):
            people = self._following.update(poses, frame)
        if (look := self._following.look) is not None:
            self._pipeline.look(look, frame)
        # Who is only seen in turned looks is there in the frames between them, too.
        self._pipeline.attention.heed(max(len(poses), len(self._following.people)), frame.captured_at)
        now = time.monotonic()
        with stages.time("encode"):
            message = self._message(inferred, people, now)
            payload = encode(message)
        with stages.time("publish"):
            self._mqtt.publish(self._topics.poses, payload, expiry_s=POSES_EXPIRY_S)
        log.debug("frame %d: %d people, %.1f ms", frame.sequence, len(people), message.latency_ms)
        self._inference_ms, self._latency_ms = message.inference_ms, message.latency_ms
        self._processed_at.append(now)
        self._on_processed(inferred, len(people))

    def _message(self, inferred: Inferred, people: Sequence[Observed], now: float) -> Poses:
        frame = inferred.frame
        height, width, _ = frame.image.shape
        return Poses(
            device=self._sender.device,
            run=self._sender.run,
            sequence=frame.sequence,
            time=rfc3339(frame.time),
            frame=Size(width, height),
            inference_ms=round(inferred.stages.wall_s["invoke"] * 1000, 2),
            latency_ms=round((now - frame.captured_at) * 1000, 2),
            people=[observed_message(one, self._config.decode.keypoint_threshold) for one in people],
        )

    def _decode(self, inferred: Inferred) -> list[Pose]:
        settings, looked = self._config.decode, inferred.looked
        poses = decode_frame(inferred.heads, inferred.letterbox, settings)
        if looked is not None:
            turn_deg = looked.view.look.turn_deg
            found = decode_frame(looked.heads, looked.view, settings)
            poses = merged(poses, found, turn_deg, settings.keypoint_threshold)
        return [pose.mirrored() for pose in poses] if self._config.camera.mirror else poses

    def _on_connect(self) -> None:
        """A broker may have lost its memory, so it is told everything again."""
        self._published = None
        self._told_zones = {}
        self._spool.tell_again()

    def _info(self, _request: InfoRequest) -> Info:
        state = self._state()
        return Info(
            device=state.device,
            run=state.run,
            time=state.time,
            version=state.version,
            uptime_s=state.uptime_s,
            python=platform.python_version(),
            platform=platform.platform(),
            decoder=describe(self._config.decode),
            camera=state.camera,
            engine=state.engine,
            model=state.model,
            verbs=sorted(self._requests.verbs),
        )

    def _clear_fall(self, request: ClearFallRequest) -> FallsCleared:
        now = time.time()
        # Of an earlier run the spool alone may know.
        events = self._following.clear_falls(now, request.event) + self._spool.clear_falls(now, request.event)
        if request.event is not None and not events:
            raise RequestError(f"event: must be that of a fall that is not over, got {request.event!r}")
        log.info("falls cleared on request: %d", len(events))
        return FallsCleared(events)

    def _send_test_event(self, request: TestEventRequest) -> EventSent:
        return EventSent(self._spool.add(Occurrence(request.type, time.time(), test=True)))

    def _publish_state_if_due(self) -> None:
        published, age_s = self._published, time.monotonic() - self._published_at
        if not self._mqtt.connected or (published is not None and age_s < STATE_SPACING_S):
            return
        state = self._state()
        if published is not None and age_s < STATE_INTERVAL_S and state.tells_the_same(published):
            return
        if self._mqtt.publish(self._topics.state, encode(state), qos=1, retain=True):
            self._published, self._published_at = state, time.monotonic()

    def _publish_zones_if_due(self) -> None:
        if not self._mqtt.connected:
            return
        now, sees = time.monotonic(), self._sees()
        for zone, count in self._following.zone_counts().items():
            people = count if sees else None
            told = self._told_zones.get(zone)
            if told is not None and told[0] == people and now - told[1] < STATE_INTERVAL_S:
                continue
            message = ZoneMessage(
                device=self._sender.device,
                time=rfc3339(time.time()),
                zone=zone,
                occupied=None if people is None else people > 0,
                people=people,
            )
            if self._mqtt.publish(self._topics.zone(zone), encode(message), qos=1, retain=True):
                self._told_zones[zone] = people, now

    def _sees(self) -> bool:
        """Whether what is known of people is of now."""
        pipeline = self._pipeline
        recent = bool(self._processed_at) and time.monotonic() - self._processed_at[-1] <= FPS_WINDOW_S
        return pipeline.camera.status == "ok" and pipeline.engine.status == "ok" and recent

    def _state(self) -> State:
        fps = self._fps()
        sees = self._sees()
        people = len(self._following.people) if sees else None
        width, height = self._pair.model.size
        return State(
            device=self._sender.device,
            run=self._sender.run,
            time=rfc3339(time.time()),
            version=__version__,
            uptime_s=int(time.monotonic() - self._started_at),
            people=people,
            occupied=None if people is None else people > 0,
            posture=self._following.posture if sees else None,
            fps=fps,
            latency_ms=self._latency_ms,
            camera=self._camera_state(),
            engine=self._engine_state(),
            model=ModelState(
                self._pair.name, self._pair.model.stride, width, height, self._model_warning or UNSET
            ),
            dropped=self.dropped,
            spool=self._spool.state,
        )

    def _camera_state(self) -> CameraState:
        part, size = self._pipeline.camera, self._pipeline.frame_size
        return CameraState(
            status=part.status,
            why=part.why or UNSET,
            kind=self._config.camera.kind,
            width=size and size[0],
            height=size and size[1],
            sight=self._pipeline.sight,
        )

    def _engine_state(self) -> EngineState:
        part, engine = self._pipeline.engine, self._pipeline.opened_engine
        return EngineState(
            status=part.status,
            kind=engine.kind if engine else self._config.engine.kind,
            device=engine.device if engine else None,
            why=part.why or (engine.why if engine else ""),
            inference_ms=self._inference_ms,
            temperature_c=None,
        )

    def _fps(self) -> float:
        """Frames per second over the last few seconds."""
        now = time.monotonic()
        while self._processed_at and self._processed_at[0] < now - FPS_WINDOW_S:
            self._processed_at.popleft()
        window_s = min(FPS_WINDOW_S, max(now - self._started_at, 0.001))
        return round(len(self._processed_at) / window_s, 1)

    def _end(self) -> None:
        self._systemd.stopping()
        if self._mqtt.connected:
            self._spool.drain(EVENTS_STOP_S)
        self._mqtt.stop(BROKER_STOP_S)
        self._spool.stop(EVENTS_STOP_S)
        if not self._pipeline.stop(CAMERA_STOP_S):
            log.warning("a device hangs and is left behind")


def _model_warning(pair: Pair, camera_kind: str) -> str:
    """What the model cannot do before this camera; empty where there is nothing to warn of."""
    if camera_kind == "synthetic" or card_of(pair.model.path).get(PEOPLE) != DRAWN:
        return ""
    return "was trained on drawn people and hardly sees real ones; take another, such as coral-353x481"


def check(config: Config) -> str:
    """Look at what a configuration leads to, without opening a device or connecting.

    Returns:
        What is still to be done, empty if nothing.

    Raises:
        ConfigError: with every problem, one line each.
    """
    problems: list[str] = []
    to_do = ""
    for look in (
        lambda: mqtt_password(config.mqtt),
        lambda: config.mqtt.tls and tls_context(config.mqtt.tls),
    ):
        try:
            look()
        except ConfigError as error:
            problems += error.problems
    try:
        locate(config.model.name)
    except ModelError as error:
        if find(config.model.name) is None:
            problems.append(f"model.name: {error}")
        elif not config.model.pull:
            to_do = str(error)
    if problems:
        raise ConfigError(problems)
    return to_do


def run(config: Config, read_config: Callable[[], Config]) -> None:
    """Run the daemon in the foreground until SIGTERM, SIGINT or the end of a recording.

    Args:
        config: all settings.
        read_config: reads them again, upon SIGHUP.
    """
    daemon: Daemon | None = None

    def on_signal(number: int, _frame: FrameType | None) -> None:
        log.info("stopping on %s", signal.Signals(number).name)
        if daemon is None:  # a model is still being read, or downloaded
            sys.exit(0)
        daemon.stop()

    def on_hangup(_number: int, _frame: FrameType | None) -> None:
        if daemon is not None:
            daemon.reload()

    # Where every thread is, on standard error, when a library crashes or the watchdog fires.
    faulthandler.enable()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    if not sys.stdin.isatty():  # at a terminal it says that the terminal is gone
        signal.signal(signal.SIGHUP, on_hangup)
    daemon = Daemon(config, read_config=read_config)
    daemon.run()
