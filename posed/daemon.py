"""The daemon: builds the parts from a configuration, and carries what they find to the broker."""

from __future__ import annotations

import faulthandler
import gc
import logging
import math
import os
import platform
import random
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import cv2
from msgspec import UNSET, Struct

from posed import __version__, camera, engine
from posed.camera.base import Camera
from posed.config import Config, changed, keep, live_values, mqtt_password, overriding, reload
from posed.drawing.privacy import jpeg, picture
from posed.engine.base import Engine
from posed.engine.temperature import Thermometer, processor_c
from posed.errors import CameraEnded, ConfigError, ModelError, RequestError
from posed.files import replace_file
from posed.frame import Frame, Image
from posed.log import Throttled, set_level
from posed.messages.structs import (
    VERBS,
    CameraState,
    ClearFallRequest,
    Dropped,
    EngineState,
    EventMessage,
    EventSent,
    FallsCleared,
    Health,
    HealthRequest,
    Info,
    InfoRequest,
    LogLevelRequest,
    ModelState,
    Paused,
    PauseRequest,
    Poses,
    RecordingStart,
    RecordRequest,
    Response,
    Restarting,
    RestartRequest,
    Sender,
    SetRequest,
    SettingsChanged,
    Size,
    SnapshotRequest,
    SnapshotTaken,
    State,
    TestEventRequest,
    ZoneMessage,
    encode,
    rfc3339,
    tracked_messages,
)
from posed.messages.topics import Topics
from posed.model.card import DRAWN, PEOPLE, card_of
from posed.model.catalogue import find, locate
from posed.model.pair import Pair
from posed.mqtt.attempt import Received, tls_context
from posed.mqtt.client import ONLINE, MqttClient
from posed.mqtt.discovery import DiscoveryPublisher
from posed.mqtt.duplicate_devices import DuplicateDeviceDetector
from posed.mqtt.homeassistant import BIRTH_TOPIC, TEMPERATURE, announcements
from posed.mqtt.poses import PosesFilter
from posed.mqtt.recording import Recording
from posed.mqtt.requests import Requests, Verb
from posed.mqtt.retained import RetainedPublisher
from posed.mqtt.spool import Occurrence, Spool
from posed.networks import network_of
from posed.paths import announced_file, falls_file, overlay_file, paused_file, pitch_file, spool_file
from posed.people.events import TrackedPerson
from posed.pipeline.detection import poses_of
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.scene import Scene
from posed.pipeline.threads import STARTING, DeviceStatus, Inferred, Pipeline
from posed.service.fetch import wait_for_model
from posed.service.metrics_snapshot import METRICS_SNAPSHOT, Frames, MetricsSnapshot
from posed.service.notify import Notifier
from posed.timing import NotBefore

if TYPE_CHECKING:
    from posed.web.server import WebServer

log = logging.getLogger(__name__)

WAIT_S: Final = 0.1
"""How long the main loop waits for a frame before it looks after everything else, s."""

_QUEUE_POLL_S: Final = 0.01

STATE_SPACING_S: Final = 1.0
"""`state` is published this often at most, s."""

POSES_EXPIRY_S: Final = 5
"""Poses that could not be delivered for so long are of no use any more, s."""

FPS_WINDOW_S: Final = 5.0

READY_WITHIN_S: Final = 10.0
"""A device that is neither opened nor refused after this long is being waited for: booting goes on, s."""

SWITCH_INTERVAL_S: Final = 0.0002
"""How long a thread that is ready waits until the one that runs Python lets it in. With Python's own 5 ms
an Edge TPU that has answered within 6 ms waited for as long again before it got the next frame."""

RIVAL_WARN_S: Final = 300.0
"""Between two warnings of another daemon with this device's name, s."""

BIRTH_DELAY_S: Final = 5.0
"""How long after Home Assistant's start it is told everything at most, each daemon at its own time, s."""

RECORDED: Final = ("decode.", "people.")
"""Settings that say what becomes of the poses."""

CAMERA_STOP_S: Final = 0.6
BROKER_STOP_S: Final = 0.8
FALL_SETTLES_S: Final = 1.0
"""Longest wait for the disk with a fall, which then is kept in memory."""

EVENTS_STOP_S: Final = 0.2
WEB_STOP_S: Final = 0.1
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
        self._config, self._environment = config, environment
        self._read_config = read_config
        self._refused: tuple[str, ...] = ()
        """What was wrong with a changed configuration, for as long as nothing better came."""
        self._ready = False
        self._systemd = Notifier(environment)
        self._pair: Pair = wait_for_model(config.model, self._systemd)
        self._network = network_of(self._pair.model)
        self._model_warning = _model_warning(self._pair, config.camera.kind)
        self._topics = Topics.of(config)
        self._sender = Sender.start(config.device)
        # Plain values, since signal handlers set them: one that interrupts another would wait for its lock.
        self._stopping: str | None = None
        self._reloading = False
        self._failure: BaseException | None = None
        handlers: Mapping[str, Callable[[Any], Struct]] = {
            "clear_fall": self._clear_fall,
            "health": self._health,
            "info": self._info,
            "log_level": self._set_log_level,
            "pause": self._pause,
            "record": self._record,
            "restart": self._restart,
            "resume": lambda _: self._pause(PauseRequest(paused=False)),
            "set": self._set,
            "snapshot": self._snapshot,
            "test_event": self._send_test_event,
        }
        self._requests = Requests(
            self._topics, {name: Verb(VERBS[name][0], handle) for name, handle in handlers.items()}
        )
        self._rivals = DuplicateDeviceDetector(self._sender.run, lambda: time.monotonic() - self._started_at)
        self._warn_of_rival = Throttled(log, RIVAL_WARN_S)
        self._births = {BIRTH_TOPIC, f"{config.homeassistant.prefix}/status"}
        self._next_birth = NotBefore()
        self._next_birth.put_off(math.inf)
        self._connections = 0
        self._mqtt = MqttClient(
            config.mqtt,
            password=mqtt_password(config.mqtt),
            client_id=self._topics.base.replace("/", "-"),
            availability_topic=self._topics.availability,
            on_connect=self._on_broker,
            subscriptions=[self._topics.requests, *self._births],
            on_message=self._hear,
            kept=[self._topics.state],
        )
        self._spool = Spool(
            spool_file(environment),
            sender=self._sender,
            topics=self._topics,
            deliver=self._mqtt.deliver,
            config=config.mqtt.events,
            on_event=self._on_event,
        )
        settle = partial(self._spool.flush, FALL_SETTLES_S)
        self._scene = Scene(config, self._spool.add, falls_file(environment), settle, pitch_file(environment))
        size = self._pair.model.size
        self._pipeline = Pipeline(
            open_camera=open_camera or (lambda: camera.open_camera(config.camera, size)),
            open_engine=open_engine
            or (lambda: engine.open_engine(config.engine, self._pair.cpu, self._pair.edgetpu)),
            input_size=size,
            timeout_s=config.camera.timeout_s,
            idle_gate=IdleGate(config.engine.idle_fps),
        )
        self._thermometer = Thermometer()
        self._retained = RetainedPublisher(self._mqtt.publish)
        self._announcer = DiscoveryPublisher(announced_file(environment), self._mqtt.deliver)
        self._announced: tuple[Config, bool] | None = None
        self._settings = live_values(config)
        self._overlay, self._paused_file = overlay_file(environment), paused_file(environment)
        if _is_there(self._paused_file):
            self._pipeline.pause()
        self._poses_filter = PosesFilter(config.mqtt.poses)
        self._recording = Recording(self._topics.recording, self._mqtt.publish, self._recording_start)
        self._newest: tuple[Image, Sequence[TrackedPerson]] | None = None
        self._web = self._open_web(config)
        self._stopped = False
        self.restarting = False
        """Whether `run` returned in order to be started again."""
        self._on_processed = on_processed
        self._started_at = time.monotonic()
        self._inference_ms: float | None = None
        self._latency_ms: float | None = None
        self._processed_at: deque[float] = deque()

    def run(self) -> None:
        """Work until `stop`, or until a recording has been played to its end.

        Raises:
            CameraError, EngineError: a device can never work as configured.
        """
        log.info("posed %s: device %s, model %s", __version__, self._config.device, self._pair.name)
        log.info("decoder: %s", self._network.describe(self._config.decode))
        threading.excepthook = self._on_thread_failure
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.freeze()  # or a full collection, 30 ms in which no frame goes on, looks at all that was imported
        cv2.setNumThreads(1)  # its others spin for longer than they help, on cores that the engine may want
        if self._model_warning:
            log.warning("model %s: %s", self._pair.name, self._model_warning)
        self._spool.start()
        self._mqtt.start()
        self._pipeline.start()
        if self._web is not None:
            self._web.start()
        try:
            while self._stopping is None:
                self._step()
            log.info("%s", self._stopping)
        except CameraEnded as ended:
            log.info("%s", ended)
        finally:
            self._end()

    def stop(self, why: str = "stopping") -> None:
        """Make `run` return, and say why; safe in a signal handler."""
        self._stopping = why

    def reload(self) -> None:
        """Make `run` read the configuration again; safe in a signal handler."""
        self._reloading = True

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
        if self._reloading:
            self._reload()
        self._requests.serve(self._mqtt.publish)
        if self._web is not None:
            self._web.serve()
        if self._mqtt.connected:
            self._tell()

    def _tell_systemd(self) -> None:
        """That it is ready, once each device has been opened or is being waited for; and how it does."""
        if not self._systemd.listens:
            return
        pipeline, mqtt = self._pipeline, self._mqtt
        starting = STARTING in (pipeline.camera, pipeline.engine)
        if not self._ready and (not starting or time.monotonic() - self._started_at > READY_WITHIN_S):
            self._ready = True
            self._systemd.ready()
        waiting = {"camera": pipeline.camera.why, "engine": pipeline.engine.why, "broker": mqtt.why or ""}
        conditions = [f"waiting for the {part}: {why}" for part, why in waiting.items() if why]
        if pipeline.paused:
            conditions.append("paused on request")
        people, engine, fps = len(self._scene.people), pipeline.opened_engine, self._fps()
        self._systemd.status(
            "; ".join([*self._refused, *conditions]),
            f"{fps:{'.0f' if fps >= 1 else 'g'}} fps, {people} {'person' if people == 1 else 'people'}"
            + (f", {engine.kind} {engine.device}" if engine else ""),
        )

    def _reload(self) -> None:
        """Take over what applies at once; a configuration that is not good changes nothing."""
        self._reloading = False
        if self._read_config is None:
            return
        self._systemd.reloading()
        try:
            wanted = self._read_config()
            check(wanted)
        except ConfigError as error:
            self._refuse(error.problems)
        except Exception as error:  # noqa: BLE001 whatever it is, people are still seen
            # Without its words, unless they are the system's: they may hold what was in the file.
            why = (isinstance(error, OSError) and error.strerror) or "a fault inside posed"
            where = traceback.format_tb(error.__traceback__)
            log.error("%s at:\n%s", type(error).__name__, "".join(where).rstrip())  # noqa: TRY400
            self._refuse([f"{type(error).__name__}: {why}"])
        else:
            self._refused = ()
            done = reload(self._config, wanted)
            self._take_over(done.config)
            log.info("reloaded: %s", ", ".join(done.applied) or "nothing new that applies at once")
            if done.waiting:
                log.warning("new after a restart only: %s", ", ".join(done.waiting))
        self._systemd.ready()

    def _refuse(self, problems: Sequence[str]) -> None:
        for problem in (*problems, "not reloaded: the configuration stays as it was"):
            log.error("%s", problem)
        self._refused = (f"not reloaded: {', '.join(problems)}",)

    def _process(self, inferred: Inferred) -> None:
        frame, stages = inferred.frame, inferred.stages
        with stages.time("decode"):
            mirror = self._config.camera.mirror
            poses = poses_of(inferred, self._network, self._config.decode, mirror=mirror)
        self._recording.take(frame, poses, dark=inferred.dark)
        with stages.time("follow"):
            people = self._scene.update(poses, frame, dark=inferred.dark)
        # Who is only seen in turned looks is there in the frames between them, too.
        self._pipeline.idle_gate.heed(max(len(poses), len(self._scene.people)), frame.captured_at)
        now = time.monotonic()
        self._inference_ms = round(stages.wall_s["invoke"] * 1000, 2)
        self._latency_ms = round((now - frame.captured_at) * 1000, 2)
        if self._poses_filter.wants(len(people), now):
            with stages.time("encode"):
                payload = encode(self._message(frame, people))
            with stages.time("publish"):
                self._mqtt.publish(self._topics.poses, payload, expiry_s=POSES_EXPIRY_S)
        with stages.time("look"):  # where to look turned next; no message waits for that
            if (look := self._scene.next_crop()) is not None:
                self._pipeline.look(look, frame)
        log.debug("frame %d: %d people, %.1f ms", frame.sequence, len(people), self._latency_ms)
        self._newest = frame.image, people
        if self._web is not None:
            self._web.show(frame, people, stages, self._config.decode.keypoint_threshold)
        self._processed_at.append(now)
        self._on_processed(inferred, len(people))

    def _open_web(self, config: Config) -> WebServer | None:
        """The live view; its libraries are loaded where it is wanted alone."""
        if not config.web.enabled:
            return None
        from posed.web.server import WebServer

        return WebServer(config, self._state, self._answer_web)

    def _answer_web(self, verb: str, payload: bytes) -> Response[Struct]:
        """What the web server asks: as over MQTT, and how everything does."""
        if verb == METRICS_SNAPSHOT:
            return Response(status="ok", data=self._figures())
        return self._requests.answer(verb, payload)

    def _figures(self) -> MetricsSnapshot:
        state, sees = self._state(), self._sees()
        frames: Frames = "paused" if state.paused else "ok" if self._delivers() else "stopped"
        counts = self._scene.zone_counts().items()
        return MetricsSnapshot(
            state=state,
            frames=frames,
            problems=self._health(HealthRequest()).problems,
            tally=self._pipeline.tally,
            zones={zone: count if sees else None for zone, count in counts},
            falls=len(self._spool.falls),
            broker_connected=self._mqtt.connected,
            broker_connections=self._connections,
            processor_c=processor_c(),
        )

    def _on_event(self, event: EventMessage) -> None:
        """An event was handed to the spool."""
        if self._web is not None:
            self._web.tell(event)

    def _message(self, frame: Frame, people: Sequence[TrackedPerson]) -> Poses:
        assert self._inference_ms is not None
        assert self._latency_ms is not None
        height, width, _ = frame.image.shape
        return Poses(
            device=self._sender.device,
            run=self._sender.run,
            sequence=frame.sequence,
            time=rfc3339(frame.time),
            frame=Size(width, height),
            inference_ms=self._inference_ms,
            latency_ms=self._latency_ms,
            people=tracked_messages(people, self._config.decode.keypoint_threshold),
        )

    def _on_broker(self) -> None:
        """There is a connection, again perhaps; from the network thread."""
        self._connections += 1
        self._on_connect()

    def _on_connect(self) -> None:
        """A broker may have lost its memory, so it is told everything again."""
        self._retained.again()
        self._announcer.again()
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
            decoder=self._network.describe(self._config.decode),
            camera=state.camera,
            engine=state.engine,
            model=state.model,
            verbs=sorted(self._requests.verbs),
        )

    def _clear_fall(self, request: ClearFallRequest) -> FallsCleared:
        now = time.time()
        # Of an earlier run the spool alone may know.
        events = self._scene.clear_falls(now, request.event) + self._spool.clear_falls(now, request.event)
        if request.event is not None and not events:
            raise RequestError(f"event: must be that of a fall that is not over, got {request.event!r}")
        log.info("falls cleared on request: %d", len(events))
        return FallsCleared(events)

    def _send_test_event(self, request: TestEventRequest) -> EventSent:
        return EventSent(self._spool.add(Occurrence(request.type, time.time(), test=True)))

    def _health(self, _request: HealthRequest) -> Health:
        state = self._state()
        problems = [
            f"{part}: {why or status}"
            for part, status, why in (
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

    def _pause(self, request: PauseRequest) -> Paused:
        """A pause is a matter of privacy: no restart, and no power cut, opens the camera again."""
        if request.paused != self._pipeline.paused:
            log.info("%s on request", "paused" if request.paused else "resumed")
        try:
            if request.paused:
                replace_file(self._paused_file, "")
            else:
                self._paused_file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: %s: a restart forgets it", self._paused_file, error.strerror)
        if request.paused:
            self._pipeline.pause()
        else:
            self._pipeline.resume()
        self._newest = None
        return Paused(self._pipeline.paused)

    def _set(self, request: SetRequest) -> SettingsChanged:
        self._take_over(changed(self._config, request.settings))
        if request.persist:
            try:
                keep(self._overlay, self._config, request.settings)
            except ConfigError as error:
                raise RequestError(f"persist: changed, but not kept: {error}") from None
            except OSError as error:
                raise RequestError(
                    f"persist: changed, but not kept: {self._overlay}: {error.strerror}"
                ) from None
            if variables := overriding(self._environment, request.settings):
                said = ", ".join(variables)
                raise RequestError(
                    f"persist: changed and kept, but a restart takes {said} from the environment"
                )
        values = {name: self._settings[name] for name in request.settings}
        log.info("set on request: %s", ", ".join(sorted(values)))
        return SettingsChanged(settings=values, persisted=request.persist)

    def _set_log_level(self, request: LogLevelRequest) -> SettingsChanged:
        return self._set(SetRequest(settings={"log.level": request.level}))

    def _take_over(self, config: Config) -> None:
        """Go on with other settings, of those that can change at run time."""
        self._config, self._settings = config, live_values(config)
        self._scene.configure(config)
        self._poses_filter.config = config.mqtt.poses
        self._recording.settings_changed()
        set_level(config.log.level)

    def _record(self, request: RecordRequest) -> RecordingStart:
        return self._recording.ask(request)

    def _recording_start(self) -> RecordingStart:
        state, size = self._state(), self._pipeline.frame_size
        return RecordingStart(
            device=state.device,
            run=state.run,
            time=state.time,
            version=state.version,
            model=state.model,
            frame=size and Size(*size),
            settings={name: value for name, value in self._settings.items() if name.startswith(RECORDED)},
        )

    def _snapshot(self, _request: SnapshotRequest) -> SnapshotTaken:
        shows = self._config.privacy.pictures
        if shows == "off":
            raise RequestError(
                "snapshot: privacy.pictures is off, which only the configuration file can change"
            )
        if self._pipeline.paused:
            raise RequestError("snapshot: paused")
        if self._newest is None or not self._delivers():
            raise RequestError("snapshot: no picture of now: the camera or the engine is being waited for")
        image, people = self._newest
        poses = [one.person.pose for one in people]
        shown = picture(image, poses, shows, self._config.decode.keypoint_threshold)
        payload = jpeg(shown)
        if not self._mqtt.publish(self._topics.snapshot, payload):
            raise RequestError("snapshot: too much is waiting for the broker")
        height, width, _ = shown.shape
        return SnapshotTaken(
            topic=self._topics.snapshot, pictures=shows, width=width, height=height, bytes=len(payload)
        )

    def _restart(self, _request: RestartRequest) -> Restarting:
        self.restarting = True
        self.stop("restarting on request")
        return Restarting(self._sender.run)

    def _hear(self, message: Received) -> None:
        """Take what the broker sends; from the network thread."""
        if message.topic == self._topics.state:
            self._heed_rival(message.payload)
        elif message.topic not in self._births:
            self._requests.receive(message)
        elif message.payload == ONLINE and not message.retained:
            self._next_birth.put_off(random.uniform(0, BIRTH_DELAY_S))  # noqa: S311

    def _heed_rival(self, payload: bytes) -> None:
        """Another daemon of this name: the younger gives way."""
        rival, device = self._rivals.heed(payload), self._config.device
        if rival is None:
            return
        said = f"another daemon, of run {rival.run!r}, has the device name {device}"
        if rival.older:
            self._mqtt.give_way(f"{said} and was there before: give one of them another `device`")
        else:
            self._warn_of_rival.warning(f"{said} and has to give way: give one of them another `device`")

    def _tell_again_if_due(self) -> None:
        """Home Assistant has started: it is told everything, too."""
        if self._next_birth.take(math.inf):
            self._mqtt.publish(self._topics.availability, ONLINE, qos=1, retain=True)
            self._on_connect()

    def _announce(self) -> None:
        """Discovery, of what there is now."""
        # Before there is an engine, and where one reading fails, it has what it had.
        has_temperature = (
            (self._announced is not None and self._announced[1])
            or self._temperature_c() is not None
            or (self._pipeline.opened_engine is None and self._announcer.knows(TEMPERATURE))
        )
        if self._announced is None or (self._config, has_temperature) != self._announced:
            self._announced = self._config, has_temperature
            self._retained.again()  # what is taken back and put back at once is told again
            topics = self._topics
            zones = map(topics.zone, self._scene.zone_counts())
            self._announcer.announce(
                announcements(self._config, self._pair.name, has_temperature=has_temperature),
                {topics.availability, topics.state, topics.fall, *zones},
            )
        self._announcer.step()

    def _tell(self) -> None:
        """Keep what the broker knows of us true."""
        self._tell_again_if_due()
        self._announce()
        self._tell_of_people()

    def _tell_of_people(self) -> bool:
        """State and zones; returns whether the broker's queue took all that was to be told."""
        taken = [self._retained.tell(self._topics.state, self._state, STATE_SPACING_S)]
        sees = self._sees()
        for zone, count in self._scene.zone_counts().items():
            people = count if sees else None
            message = partial(self._zone_message, zone, people)
            taken.append(self._retained.tell(self._topics.zone(zone), message))
        return all(taken)

    def _tell_of_people_at_last(self) -> None:
        """No count outlives the daemon, however many zones there are."""
        until = time.monotonic() + EVENTS_STOP_S
        while not self._tell_of_people() and self._mqtt.connected and time.monotonic() < until:
            time.sleep(_QUEUE_POLL_S)

    def _zone_message(self, zone: str, people: int | None) -> ZoneMessage:
        return ZoneMessage(
            device=self._sender.device,
            time=rfc3339(time.time()),
            zone=zone,
            occupied=None if people is None else people > 0,
            people=people,
        )

    def _delivers(self) -> bool:
        """Whether the newest frame is of now."""
        works = self._pipeline.camera.status == "ok" and self._pipeline.engine.status == "ok"
        recent = bool(self._processed_at) and time.monotonic() - self._processed_at[-1] <= FPS_WINDOW_S
        return works and recent and not self._pipeline.paused and not self._stopped

    def _sees(self) -> bool:
        """Whether what is known of people is of now: a blind camera is no empty room."""
        return self._delivers() and (self._pipeline.sight in {None, "ok"} or bool(self._scene.people))

    def _state(self) -> State:
        sees = self._sees()
        people = len(self._scene.people) if sees else None
        width, height = self._pair.model.size
        return State(
            device=self._sender.device,
            run=self._sender.run,
            time=rfc3339(time.time()),
            version=__version__,
            uptime_s=int(time.monotonic() - self._started_at),
            paused=self._pipeline.paused,
            people=people,
            occupied=None if people is None else people > 0,
            posture=self._scene.people[0].posture if people else None,
            fps=self._fps(),
            latency_ms=self._latency_ms,
            camera=self._camera_state(),
            engine=self._engine_state(),
            model=ModelState(
                self._pair.name, self._pair.model.stride, width, height, self._model_warning or UNSET
            ),
            dropped=self.dropped,
            spool=self._spool.state,
            settings=self._settings,
        )

    def _camera_state(self) -> CameraState:
        part, size = self._pipeline.camera, self._pipeline.frame_size
        if self._stopped:
            part = DeviceStatus("waiting", "stopped")
        return CameraState(
            status=part.status,
            why=part.why or UNSET,
            kind=self._config.camera.kind,
            width=size and size[0],
            height=size and size[1],
            sight=self._pipeline.sight,
            pitch_deg=self._scene.pitch.deg,
            postures=self._scene.pitch.told,
        )

    def _engine_state(self) -> EngineState:
        part, engine = self._pipeline.engine, self._pipeline.opened_engine
        return EngineState(
            status=part.status,
            kind=engine.kind if engine else self._config.engine.kind,
            device=engine.device if engine else None,
            why=part.why or (engine.why if engine else ""),
            inference_ms=self._inference_ms,
            temperature_c=self._temperature_c(),
        )

    def _temperature_c(self) -> float | None:
        engine = self._pipeline.opened_engine
        return self._thermometer.read(engine.kind, engine.device) if engine else None

    def _fps(self) -> float:
        """Frames per second over the last few seconds."""
        now = time.monotonic()
        while self._processed_at and self._processed_at[0] < now - FPS_WINDOW_S:
            self._processed_at.popleft()
        window_s = min(FPS_WINDOW_S, max(now - self._started_at, 0.001))
        return round(len(self._processed_at) / window_s, 1)

    def _end(self) -> None:
        self._stopped = True
        if self.restarting:  # systemd would kill, after a while, what says that it stops
            self._systemd.reloading()
        else:
            self._systemd.stopping()
        if self._web is not None:
            self._web.leave()
        if self._mqtt.connected:
            self._retained.again()
            self._tell_of_people_at_last()
            self._spool.drain(EVENTS_STOP_S)
        self._mqtt.stop(BROKER_STOP_S)
        self._spool.stop(EVENTS_STOP_S)
        if not self._pipeline.stop(CAMERA_STOP_S):
            log.warning("a device hangs and is left behind")
        if self._web is not None:
            self._web.stop(WEB_STOP_S)


def _is_there(file: Path) -> bool:
    """Whether a file exists; one in a folder that cannot be looked into does not."""
    try:
        return file.exists()
    except OSError:
        return False


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


def run(config: Config, read_config: Callable[[], Config]) -> bool:
    """Run the daemon in the foreground until SIGTERM, SIGINT, a request or the end of a recording.

    Args:
        config: all settings.
        read_config: reads them again, upon SIGHUP.

    Returns:
        Whether it is to be started again.
    """
    daemon: Daemon | None = None
    changed_meanwhile = False

    # Neither logs: a storm of signals would interrupt the log in the log.
    def on_signal(number: int, _frame: FrameType | None) -> None:
        if daemon is None:  # a model is still being read, or downloaded
            sys.exit(0)
        daemon.restarting = False
        daemon.stop(f"stopping on {signal.Signals(number).name}")

    def on_hangup(_number: int, _frame: FrameType | None) -> None:
        nonlocal changed_meanwhile
        if daemon is None:
            changed_meanwhile = True
        else:
            daemon.reload()

    # Where every thread is, on standard error, when a library crashes or the watchdog fires.
    faulthandler.enable()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    if not sys.stdin.isatty():  # at a terminal it says that the terminal is gone
        signal.signal(signal.SIGHUP, on_hangup)
    daemon = Daemon(config, read_config=read_config)
    if changed_meanwhile:
        daemon.reload()
    daemon.run()
    _leave_signals(daemon)
    return daemon.restarting


def _leave_signals(daemon: Daemon) -> None:
    """Hear signals no longer, now that the daemon has ended."""
    if daemon.restarting:
        # Whoever asks it to end from here on ends the process, until the new one listens: nothing is lost.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
    if not daemon.restarting:  # as a signal may have had it meanwhile
        # All is done: whoever asks again need not kill what is only leaving.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
