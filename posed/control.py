"""What may be asked of a running daemon, whoever asks: over MQTT, or on the web page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import Struct

from posed.config import LiveConfig, changed, keep, overriding
from posed.drawing.privacy import picture
from posed.errors import ConfigError, RequestError
from posed.messages.structs import (
    VERBS,
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
from posed.mqtt.raw_poses import RawPosePublisher
from posed.mqtt.reporter import Reporter
from posed.mqtt.requests import Requests, Verb
from posed.mqtt.spool import Spool
from posed.paths import overlay_file, paused_file, replace_file
from posed.pipeline.feed import Feed
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.scene import Scene
from posed.service.metrics_snapshot import METRICS_SNAPSHOT
from posed.service.status import Status

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Controlled:
    """What requests act on.

    Args:
        live: the configuration of now.
        status: how everything does.
        feed: the camera at work.
        scene: the people whom the camera sees.
        spool: takes events.
        reporter: publishes pictures.
        raw_poses: publishes raw poses while somebody asks for them.
        restart: ends the daemon in order to start it again, for the reason that it is given.
    """

    live: LiveConfig
    status: Status
    feed: Feed
    scene: Scene
    spool: Spool
    reporter: Reporter
    raw_poses: RawPosePublisher
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
        self._overlay, self._paused_file = overlay_file(environment), paused_file(environment)

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

    def restore_pause(self) -> None:
        """Pause where a pause of a run before goes on."""
        if _is_there(self._paused_file):
            self._parts.feed.pause()

    def info(self, _request: InfoRequest) -> Info:
        """Say what runs here."""
        return self._parts.status.info(sorted(self.requests.verbs))

    def health(self, _request: HealthRequest) -> Health:
        """Say what does not work."""
        return self._parts.status.health()

    def clear_fall(self, request: ClearFallRequest) -> FallsCleared:
        """End a fall, or all of them: somebody looks after whoever fell."""
        now, event_id = time.time(), request.event
        # Of an earlier run the spool alone may know.
        events = self._parts.scene.clear_falls(now, event_id) + self._parts.spool.clear_falls(now, event_id)
        if event_id is not None and not events:
            raise RequestError(f"event: must be that of a fall that is not over, got {event_id!r}")
        log.info("falls cleared on request: %d", len(events))
        return FallsCleared(events)

    def send_test_event(self, request: TestEventRequest) -> EventSent:
        """Report an event that did not happen, to see it arrive."""
        return EventSent(self._parts.spool.add(Occurrence(request.type, time.time(), test=True)))

    def pause(self, request: PauseRequest) -> Paused:
        """Close the camera, or open it again."""
        return self._pause(paused=request.paused)

    def resume(self, _request: ResumeRequest) -> Paused:
        """Open the camera again."""
        return self._pause(paused=False)

    def _pause(self, *, paused: bool) -> Paused:
        """A pause is a matter of privacy: no restart, and no power cut, opens the camera again."""
        feed = self._parts.feed
        if paused != feed.paused:
            log.info("%s on request", "paused" if paused else "resumed")
        try:
            if paused:
                replace_file(self._paused_file, "")
            else:
                self._paused_file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: %s: a restart forgets it", self._paused_file, error.strerror)
        if paused:
            feed.pause()
        else:
            feed.resume()
        self._parts.scene.newest = None
        return Paused(feed.paused)

    def set(self, request: SetRequest) -> SettingsChanged:
        """Change settings, and keep them where that is asked for."""
        live, settings = self._parts.live, request.settings
        live.take_over(changed(live.config, settings))
        if request.persist:
            self._keep(settings)
        values = {name: live.values[name] for name in settings}
        log.info("set on request: %s", ", ".join(sorted(values)))
        return SettingsChanged(settings=values, persisted=request.persist)

    def _keep(self, settings: Mapping[str, Any]) -> None:
        try:
            keep(self._overlay, self._parts.live.config, settings)
        except ConfigError as error:
            raise RequestError(f"persist: changed, but not kept: {error}") from None
        except OSError as error:
            raise RequestError(f"persist: changed, but not kept: {self._overlay}: {error.strerror}") from None
        if variables := overriding(self._environment, settings):
            said = ", ".join(variables)
            raise RequestError(f"persist: changed and kept, but a restart takes {said} from the environment")

    def set_log_level(self, request: LogLevelRequest) -> SettingsChanged:
        """Change how much is logged."""
        return self.set(SetRequest(settings={"log.level": request.level}))

    def record(self, request: RecordRequest) -> RecordingStart:
        """Publish raw poses for some seconds."""
        return self._parts.raw_poses.ask(request)

    def snapshot(self, _request: SnapshotRequest) -> SnapshotTaken:
        """Publish a picture of now, as much of it as the configuration file allows."""
        parts = self._parts
        config, newest = parts.live.config, parts.scene.newest
        shows = config.privacy.pictures
        if shows == "off":
            raise RequestError(
                "snapshot: privacy.pictures is off, which only the configuration file can change"
            )
        if parts.feed.paused:
            raise RequestError("snapshot: paused")
        if newest is None or not parts.status.delivers:
            raise RequestError("snapshot: no picture of now: the camera or the engine is being waited for")
        image, people = newest
        poses = [tracked.person.pose for tracked in people]
        shown = picture(image, poses, shows, config.decode.keypoint_threshold)
        size_bytes = parts.reporter.picture(shown)
        height, width, _ = shown.shape
        return SnapshotTaken(
            topic=self._topics.snapshot, pictures=shows, width=width, height=height, bytes=size_bytes
        )

    def restart(self, _request: RestartRequest) -> Restarting:
        """End the daemon in order to start it again."""
        self._parts.restart("restarting on request")
        return Restarting(self._run)


def _is_there(file: Path) -> bool:
    """Whether a file exists; one in a folder that cannot be looked into does not."""
    try:
        return file.exists()
    except OSError:
        return False
