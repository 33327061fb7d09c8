"""What may be asked of a running daemon, whoever asks: over MQTT, or on the web page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import UNSET, Struct

from posed.config import LiveConfig, changed, keep, overriding, where_of_setting
from posed.drawing.privacy import picture
from posed.errors import ConfigError, RequestError
from posed.messages.structs import (
    VERBS,
    ByCamera,
    ClearFallRequest,
    EventSent,
    FallsCleared,
    Health,
    HealthRequest,
    Info,
    InfoRequest,
    LogLevelRequest,
    Paused,
    PauseRequest,
    RecordingStart,
    RecordRequest,
    Response,
    Restarting,
    RestartRequest,
    ResumeRequest,
    SetRequest,
    SettingsChanged,
    SnapshotRequest,
    SnapshotTaken,
    TestEventRequest,
)
from posed.messages.topics import Topics
from posed.mqtt.requests import PartlyDone, Requests, Verb
from posed.mqtt.spool import Spool
from posed.paths import overlay_file
from posed.pipeline.occurrence import Occurrence
from posed.service.channel import Channel
from posed.service.metrics_snapshot import METRICS_SNAPSHOT
from posed.service.paused_cameras import PausedCameras
from posed.service.status import Status

log = logging.getLogger(__name__)


D = TypeVar("D", bound=Struct)


@dataclass(frozen=True, slots=True, eq=False)
class Controlled:
    """What requests act on.

    Args:
        live: the configuration of now.
        status: how everything does.
        channels: the cameras, by name.
        spool: takes events.
        paused: which cameras are to stay closed.
        restart: ends the daemon in order to start it again, for the reason that it is given.
    """

    live: LiveConfig
    status: Status
    channels: Mapping[str, Channel]
    spool: Spool
    paused: PausedCameras
    restart: Callable[[str], object]


class Control:
    """Does what is asked for, from the main loop.

    Args:
        parts: what requests act on.
        topics: of the device.
        run: id of this run.
        environment: says where the state folder is, and which settings it goes before.

    Attributes:
        requests: takes requests, and answers them.
    """

    def __init__(self, parts: Controlled, topics: Topics, run: str, environment: Mapping[str, str]) -> None:
        self._parts = parts
        self._topics = topics
        self._run = run
        self._environment = environment
        self._overlay = overlay_file(environment)
        self.requests = Requests(topics, self._verbs())

    def _verbs(self) -> dict[str, Verb[Any]]:
        handlers: Mapping[str, Callable[[Any], Struct]] = {
            "clear_fall": self.clear_fall,
            "health": self.health,
            "info": self.info,
            "log_level": self.set_log_level,
            "pause": self.pause,
            "record": self.record,
            "restart": self.restart,
            "resume": self.resume,
            "set": self.set,
            "snapshot": self.snapshot,
            "test_event": self.send_test_event,
        }
        return {name: Verb(VERBS[name][0], handle) for name, handle in handlers.items()}

    def answer_page(self, verb: str, payload: bytes) -> Response[Struct]:
        """Answer the web page: as over MQTT, and how everything does.

        Args:
            verb: as the last part of a request's topic, or that of the metrics.
            payload: JSON, as in MQTT.
        """
        if verb == METRICS_SNAPSHOT:
            return Response(status="ok", data=self._parts.status.metrics())
        return self.requests.answer(verb, payload)

    def _check_camera(self, camera: str | None) -> None:
        """Raises: RequestError: a request names a camera that is none."""
        channels = self._parts.channels
        if camera is not None and camera not in channels:
            raise RequestError(f"camera: must be one of {', '.join(channels)}, got {camera!r}")

    def _by_camera(self, camera: str | None, work: Callable[[Channel], D]) -> ByCamera[D]:
        """Do something for one camera, or for all of them: what fails for one is done for the others.

        Raises:
            RequestError: there is no such camera.
            PartlyDone: it failed for one of them at least.
        """
        self._check_camera(camera)
        channels = self._parts.channels
        done: dict[str, D] = {}
        errors: dict[str, str] = {}
        for name in channels if camera is None else [camera]:
            try:
                done[name] = work(channels[name])
            except RequestError as error:
                errors[name] = str(error)
        result = ByCamera(done, errors)
        if errors:
            raise PartlyDone("; ".join(f"{name}: {why}" for name, why in errors.items()), result)
        return result

    def info(self, _request: InfoRequest) -> Info:
        """Say what runs here."""
        return self._parts.status.info(sorted(self.requests.verbs))

    def health(self, _request: HealthRequest) -> Health:
        """Say what does not work."""
        return self._parts.status.health()

    def clear_fall(self, request: ClearFallRequest) -> ByCamera[FallsCleared]:
        """End a fall, or all of them: somebody looks after whoever fell."""
        now, event_id, spool = time.time(), request.event, self._parts.spool
        cleared: dict[str, FallsCleared] = {}
        # Of an earlier run, or of a camera that is no more, the spool alone may know.
        removed = {fall.camera for fall in spool.falls} - set(self._parts.channels)
        if request.camera not in removed:
            cleared = self._by_camera(
                request.camera, lambda channel: FallsCleared(channel.scene.clear_falls(now, event_id))
            ).cameras
        for name, events in spool.clear_falls(now, event_id, request.camera).items():
            known = cleared[name].events if name in cleared else []
            cleared[name] = FallsCleared([*known, *events])
        number = sum(len(falls.events) for falls in cleared.values())
        if event_id is not None and not number:
            of_camera = "" if request.camera is None else f" of {request.camera}"
            raise RequestError(f"event: must be that of a fall{of_camera} that is not over, got {event_id!r}")
        log.info("falls cleared on request: %d", number)
        return ByCamera(cleared)

    def send_test_event(self, request: TestEventRequest) -> ByCamera[EventSent]:
        """Report an event that did not happen, to see it arrive."""

        def send(channel: Channel) -> EventSent:
            event = Occurrence(request.type, time.time(), test=True, camera=channel.name)
            return EventSent(self._parts.spool.add(event))

        return self._by_camera(request.camera, send)

    def pause(self, request: PauseRequest) -> ByCamera[Paused]:
        """Close cameras, or open them again."""
        return self._pause(request.camera, paused=request.paused)

    def resume(self, request: ResumeRequest) -> ByCamera[Paused]:
        """Open cameras again."""
        return self._pause(request.camera, paused=False)

    def _pause(self, camera: str | None, *, paused: bool) -> ByCamera[Paused]:
        """A pause is a matter of privacy: no restart, and no power cut, opens the camera again."""

        def pause(channel: Channel) -> Paused:
            feed = channel.feed
            if paused != feed.paused:
                log.info("camera %s: %s on request", feed.name, "paused" if paused else "resumed")
            if paused:
                feed.pause()
            else:
                feed.resume()
            channel.scene.newest = None
            return Paused(feed.paused)

        done = self._by_camera(camera, pause)
        self._parts.paused.change(camera, self._parts.channels, paused=paused)
        return done

    def set(self, request: SetRequest) -> SettingsChanged:
        """Change settings, of one camera or of all, and keep them where that is asked for."""
        live, settings, camera = self._parts.live, request.settings, request.camera
        self._check_camera(camera)
        live.take_over(changed(live.config, settings, camera))
        log.info("set on request: %s%s", f"{camera}: " if camera else "", ", ".join(sorted(settings)))
        if request.persist:
            self._keep(settings, camera)
        now = live.values if camera is None else live.values_of[camera]
        values = {name: now[name] for name in settings}
        return SettingsChanged(
            settings=values, persisted=request.persist, camera=UNSET if camera is None else camera
        )

    def _keep(self, settings: Mapping[str, Any], camera: str | None) -> None:
        try:
            keep(self._overlay, self._parts.live.config, settings, camera)
        except ConfigError as error:
            raise RequestError(f"persist: changed, but not kept: {error}") from None
        except OSError as error:
            raise RequestError(f"persist: changed, but not kept: {self._overlay}: {error.strerror}") from None
        names = [".".join(where_of_setting(name, camera)) for name in settings]
        if variables := overriding(self._environment, self._parts.live.config, names):
            said = ", ".join(variables)
            raise RequestError(f"persist: changed and kept, but a restart takes {said} from the environment")

    def set_log_level(self, request: LogLevelRequest) -> SettingsChanged:
        """Change how much is logged."""
        return self.set(SetRequest(settings={"log.level": request.level}))

    def record(self, request: RecordRequest) -> ByCamera[RecordingStart]:
        """Publish raw poses for some seconds."""
        return self._by_camera(request.camera, lambda channel: channel.raw_poses.ask(request))

    def snapshot(self, request: SnapshotRequest) -> ByCamera[SnapshotTaken]:
        """Publish pictures of now, as much of them as the configuration file allows."""
        return self._by_camera(request.camera, self._take_snapshot)

    def _take_snapshot(self, channel: Channel) -> SnapshotTaken:
        config, newest = self._parts.live.config.cameras[channel.name], channel.scene.newest
        shows = config.privacy.pictures
        if shows == "off":
            raise RequestError(
                "snapshot: privacy.pictures is off, which only the configuration file can change"
            )
        if channel.feed.paused:
            raise RequestError("snapshot: paused")
        if newest is None or not channel.delivers:
            raise RequestError("snapshot: no picture of now: the camera or the engine is being waited for")
        image, people = newest
        poses = [tracked.person.pose for tracked in people]
        shown = picture(image, poses, shows, config.decode.keypoint_threshold)
        size_bytes = channel.reporter.picture(shown)
        height, width, _ = shown.shape
        topic = self._topics.camera(channel.name).snapshot
        return SnapshotTaken(topic=topic, pictures=shows, width=width, height=height, bytes=size_bytes)

    def restart(self, _request: RestartRequest) -> Restarting:
        """End the daemon in order to start it again."""
        self._parts.restart("restarting on request")
        return Restarting(self._run)
