"""The daemon: builds the parts from a configuration, and carries what they find to the broker."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import cv2

from posed.camera.base import Camera
from posed.config import Config, LiveConfig, mqtt_password
from posed.control import Control, Controlled
from posed.engine.base import Engine
from posed.errors import CameraEnded
from posed.log import set_level
from posed.messages.structs import EventMessage, OpenFall, PageState, Sender, rfc3339
from posed.messages.topics import Topics
from posed.mqtt.client import MqttClient
from posed.mqtt.discovered import DiscoveredDevice, remedies
from posed.mqtt.duplicate_devices import DuplicateDeviceDetector
from posed.mqtt.inbox import Inbox
from posed.mqtt.reporter import MachineReporter
from posed.mqtt.scene_journal import delete_old_falls
from posed.mqtt.spool import Spool
from posed.paths import announced_file, paused_file, spool_file, state_folder
from posed.pipeline.inferred import Inferred
from posed.pipeline.opening import opener_of, pipeline_of, setup_of
from posed.service.channels import ChannelParts, Channels
from posed.service.life import Life, live_with_signals
from posed.service.model_in_use import model_in_use
from posed.service.paused_cameras import PausedCameras
from posed.service.status import Parts, Status
from posed.timing import NotBefore

if TYPE_CHECKING:
    from posed.web.server import WebServer

log = logging.getLogger(__name__)

WAIT_S: Final = 0.1
"""How long the main loop waits for a frame before it looks after everything else, s."""

_QUEUE_POLL_S: Final = 0.01

SWITCH_INTERVAL_S: Final = 0.0002
"""How long a thread that is ready waits until the one that runs Python lets it in. With Python's own 5 ms
an Edge TPU that has answered within 6 ms waited for as long again before it got the next frame."""

REPORT_EVERY_S: Final = 0.05
"""Cameras that have no frame are looked at this often while others have some, s: a pause, a camera that is
lost and a picture that goes dark are told of soon, and not with every frame of all the others."""

CAMERA_STOP_S: Final = 0.6
BROKER_STOP_S: Final = 0.8
EVENTS_STOP_S: Final = 0.2
WEB_STOP_S: Final = 0.1
"""Together under the two seconds in which the daemon ends."""


class Daemon:
    """Cameras to MQTT until it is stopped.

    Args:
        config: all settings.
        open_camera, open_engine: other than the configured ones; a camera is opened by its name.
        on_processed: called with each frame once it is published, and the number of people in it.
        read_config: reads the configuration again, for `life.ask_reload`.
        environment: says where the state folder is, and where systemd listens.
        open_life: other than `Life`, with its arguments.

    Attributes:
        live: the configuration of now.
        life: systemd, and when and why the daemon ends.
        mqtt: the way to the broker.
        spool: keeps events until the broker has them.
        channels: the cameras, by name.
        pipeline: cameras and engine at work.
        status: how everything does.
        reporter: publishes how the machine does.
        control: what may be asked.
        web: the live view; None where it is off.

    Raises:
        CameraError, ConfigError, ModelError: something in the configuration cannot work.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a name at the call
        self,
        config: Config,
        *,
        open_camera: Callable[[str], Camera] | None = None,
        open_engine: Callable[[], Engine] | None = None,
        on_processed: Callable[[Inferred, int], object] = lambda *_: None,
        read_config: Callable[[], Config] | None = None,
        environment: Mapping[str, str] = os.environ,
        open_life: Callable[..., Life] = Life,
    ) -> None:
        self._on_processed = on_processed
        self._next_report = NotBefore()
        self.live = LiveConfig(config)
        self.life = open_life(environment, self.live, read_config)
        used = model_in_use(config, self.life.systemd, cameras_are_ours=open_camera is None)
        self._network = used.network
        self.live.use_defaults(used.defaults)
        config = self.live.config
        topics, sender, model = Topics.of(config), Sender.start(config.device), used.state(config)
        self._inbox = self._open_inbox(config, topics, sender)
        self.mqtt = self._open_mqtt(config, topics)
        self.spool = Spool(
            spool_file(environment),
            sender=sender,
            topics=topics,
            broker=self.mqtt,
            config=config.mqtt.events,
            cameras=tuple(config.cameras),
            on_event=self._on_event,
        )
        delete_old_falls(state_folder(environment))
        open_engine = open_engine or opener_of(config, used.pair, used.why_none)
        self.pipeline = pipeline_of(
            config,
            used.size,
            open_engine,
            open_camera,
            next_region=used.next_region,
        )
        paused = PausedCameras(paused_file(environment))
        self.channels = Channels(
            ChannelParts(
                sender=sender,
                topics=topics,
                live=self.live,
                pipeline=self.pipeline,
                setup=lambda config, name: setup_of(config, name, used.size, open_camera),
                spool=self.spool,
                broker=self.mqtt,
                paused=paused,
                model=model,
                environment=environment,
            )
        )
        self.status = Status(
            Parts(sender, self.live, used, model, self.pipeline, self.channels, self.spool, self.mqtt)
        )
        self.reporter = MachineReporter(topics, self.mqtt)
        self._discovered = DiscoveredDevice(
            announced_file(environment), self.mqtt, used.name, self.status.temperature_c
        )
        self.control = Control(
            Controlled(self.live, self.status, self.channels, self.spool, paused, self.life.restart),
            topics,
            sender.run,
            environment,
        )
        self.live.listen(self._configure)
        self.web = self._open_web(config, environment)

    def _open_inbox(self, config: Config, topics: Topics, sender: Sender) -> Inbox:
        """What hears the broker; whom it hands on to is there only later."""
        return Inbox(
            config,
            topics,
            DuplicateDeviceDetector(sender.run, lambda: self.status.uptime_s),
            on_request=lambda message: self.control.requests.receive(message),  # noqa: PLW0108
            give_way=lambda why: self.mqtt.give_way(why),  # noqa: PLW0108
        )

    def _open_mqtt(self, config: Config, topics: Topics) -> MqttClient:
        return MqttClient(
            config.mqtt,
            password=mqtt_password(config.mqtt),
            client_id=topics.base.replace("/", "-"),
            availability_topic=topics.availability,
            on_connect=self._on_broker,
            subscriptions=self._inbox.subscriptions,
            on_message=self._inbox.receive,
            kept=[topics.state],
            remedies=remedies(config),
        )

    def _open_web(self, config: Config, environment: Mapping[str, str]) -> WebServer | None:
        """The live view; its libraries are loaded where it is wanted alone."""
        if not config.web.enabled:
            return None
        from posed.web.server import WebServer

        return WebServer(config, self._page_state, self.control.answer_page, environment)

    def run(self) -> None:
        """Work until `stop`, or until a recording has been played to its end.

        Raises:
            CameraError, EngineError: a device can never work as configured.
        """
        self.status.log_start()
        self.life.begin()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.freeze()  # or a full collection, 30 ms in which no frame goes on, looks at all that was imported
        cv2.setNumThreads(1)  # its others spin for longer than they help, on cores that the engine may want
        try:
            # Inside, since a signal that ends `posed bench` may come between any two of these.
            self.spool.start()
            self.channels.restore()
            self.mqtt.start()
            self.pipeline.start()
            if self.web is not None:
                self.web.start()
            while self.life.ends is None:
                self._step()
            log.info("%s", self.life.ends)
        except CameraEnded as ended:
            log.info("%s", ended)
        finally:
            self._end()

    def stop(self) -> None:
        """Make `run` return; safe in a signal handler and from any thread."""
        self.life.stop("stopping")

    def _step(self) -> None:
        self.life.raise_failure()
        inferred = self.pipeline.next(WAIT_S)
        if inferred is not None:
            self.process(inferred)
        if inferred is not None or self.pipeline.waits:
            self.life.systemd.progressed()
        self.life.report(self.pipeline, self.mqtt.why, self.status.line)
        self.life.reload_if_asked()
        self.control.requests.serve(self.mqtt)
        if self.web is not None:
            self.web.serve()
        if self.mqtt.connected:
            self._report(None if inferred is None else inferred.camera)

    def process(self, inferred: Inferred) -> None:
        """Find the people in a frame, and report them."""
        frame, stages = inferred.frame, inferred.stages
        channel = self.channels[inferred.camera]
        scene, feed = channel.scene, channel.feed
        with stages.time("decode"):
            poses = scene.decode(inferred, self._network)
        scene.record(frame, poses, dark=inferred.dark)
        with stages.time("follow"):
            people = scene.update(poses, frame, dark=inferred.dark)
        # Who is only seen in rotated crops is there in the frames between them, too.
        feed.idle_gate.count_people(max(len(poses), len(scene.people)), frame.captured_at)
        now = time.monotonic()
        took = scene.frame_rate.count(now, stages.wall_s["invoke"], now - frame.captured_at)
        self.status.newest = took
        channel.reporter.poses(frame, people, scene.keypoint_threshold, took, stages, now)
        with stages.time("look"):  # which rotated crop is next; no message waits for that
            crop = scene.next_crop(has_room=feed.has_room_for_crop(frame))
            if crop is not None and self._network is not None:
                feed.request_crop(crop, frame)
            feed.hurry(urgent=scene.is_urgent)
        log.debug("%s: frame %d: %d people, %.1f ms", feed.name, frame.sequence, len(people), took.latency_ms)
        if self.web is not None:
            self.web.show(feed.name, frame, people, stages, scene.keypoint_threshold)
        self._on_processed(inferred, len(people))

    def _report(self, camera: str | None) -> None:
        """Keep what the broker knows of us true.

        Args:
            camera: whose frame was just processed; None where there was none.
        """
        if self._inbox.take_birth():  # Home Assistant needs everything again
            self.reporter.online()
            self._report_again()
        engine_is_known = self.pipeline.opened_engine is not None
        for name in self._discovered.update(self.live.config, engine_is_known=engine_is_known):
            self.channels[name].reporter.again()
        self._discovered.step()
        channel = None if camera is None else self.channels.get(camera)  # a reload may have removed it
        if channel is None or self._next_report.take(REPORT_EVERY_S):
            self._report_people()
        else:
            channel.report()

    def _report_people(self) -> bool:
        """Publish states and zones; returns whether the broker's queue took all of it."""
        taken = [channel.report() for channel in self.channels.values()]
        return self.reporter.state(self.status.state) and all(taken)

    def _report_people_at_last(self) -> None:
        """No count outlives the daemon, however many zones there are."""
        until = time.monotonic() + EVENTS_STOP_S
        while not self._report_people() and self.mqtt.connected and time.monotonic() < until:
            time.sleep(_QUEUE_POLL_S)

    def _configure(self, config: Config) -> None:
        """Go on with other settings, of those that can change at run time, and with other cameras."""
        self.channels.configure(config)
        if self.web is not None:
            self.web.configure(config)
        set_level(config.log.level)

    def _page_state(self) -> PageState:
        """How everything does, as the live view shows it."""
        channels = self.channels
        return PageState(
            machine=self.status.state(),
            cameras={name: channel.state() for name, channel in channels.items()},
            people={name: channel.scene.people if channel.sees else () for name, channel in channels.items()},
            falls=[
                OpenFall(fall.camera, fall.event, rfc3339(fall.time_s), fall.zone)
                for fall in self.spool.falls
            ],
            broker=self.mqtt.connected,
        )

    def _on_event(self, event: EventMessage) -> None:
        """An event was handed to the spool."""
        if self.web is not None:
            self.web.report(event)

    def _on_broker(self) -> None:
        """There is a connection, again perhaps; from the network thread."""
        self.status.connections += 1
        self._report_again()

    def _report_again(self) -> None:
        """A broker may have lost its memory, so everything is published again."""
        self._publish_again()
        self._discovered.again()
        self.spool.publish_again()

    def _publish_again(self) -> None:
        """Publish every state and zone again; from any thread."""
        self.reporter.again()
        self.channels.publish_again()

    def _end(self) -> None:
        for channel in self.channels.values():
            channel.stopped = True
        self.life.end()
        if self.web is not None:
            self.web.leave()
        if self.mqtt.connected:
            self._publish_again()
            self._report_people_at_last()
            self.spool.drain(EVENTS_STOP_S)
        self.mqtt.stop(BROKER_STOP_S)
        self.spool.stop(EVENTS_STOP_S)
        if not self.pipeline.stop(CAMERA_STOP_S):
            log.warning("a device hangs and is left behind")
        if self.web is not None:
            self.web.stop(WEB_STOP_S)


def run(config: Config, read_config: Callable[[], Config], environment: Mapping[str, str]) -> bool:
    """Run the daemon in the foreground until SIGTERM, SIGINT, a request or the end of a recording.

    Args:
        config: all settings.
        read_config: reads them again, upon SIGHUP.
        environment: says where the state folder is, and where systemd listens.

    Returns:
        Whether it is to be started again.
    """

    def open_daemon(open_life: Callable[..., Life]) -> Daemon:
        return Daemon(config, read_config=read_config, environment=environment, open_life=open_life)

    return live_with_signals(open_daemon, environment)
