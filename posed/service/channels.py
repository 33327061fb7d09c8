"""The cameras at work: each begins, goes on with other settings and ends without touching the others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from posed import __version__
from posed.config import Config, LiveConfig
from posed.messages.structs import ModelState, Sender
from posed.messages.topics import Topics
from posed.mqtt.broker import Broker
from posed.mqtt.raw_poses import RawPosePublisher
from posed.mqtt.reporter import Reporter
from posed.mqtt.scene_journal import SceneJournal
from posed.mqtt.spool import Spool
from posed.paths import pitch_file
from posed.pipeline.device import OK
from posed.pipeline.feed import CameraSetup
from posed.pipeline.kept_pitch import keep_former_pitch
from posed.pipeline.opening import idle_fps
from posed.pipeline.pipeline import Pipeline
from posed.pipeline.scene import Scene
from posed.service.channel import Channel
from posed.service.paused_cameras import PausedCameras

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ChannelParts:
    """What the cameras have in common.

    Args:
        sender: the device and its run.
        topics: of the device.
        live: the configuration of now.
        pipeline: cameras and engine at work; it has a feed for each camera of the configuration.
        setup: says how a camera is opened and read.
        spool: takes the events.
        broker: takes everything else.
        paused: which cameras are to stay closed.
        model: which network runs.
        environment: says where the state folder is.
    """

    sender: Sender
    topics: Topics
    live: LiveConfig
    pipeline: Pipeline
    setup: Callable[[Config, str], CameraSetup]
    spool: Spool
    broker: Broker
    paused: PausedCameras
    model: ModelState
    environment: Mapping[str, str]


class Channels(Mapping[str, Channel]):
    """The cameras by name, in the order of the configuration; for the main loop.

    Args:
        parts: what they have in common.
    """

    def __init__(self, parts: ChannelParts) -> None:
        self._parts = parts
        config = parts.live.config
        keep_former_pitch(config, parts.environment)
        self._former: dict[str, tuple[int, RawPosePublisher]] = {}
        """The last id of a person, and what is recorded, of cameras that are no more: one that comes back, or
        is opened in another way, goes on from there."""
        self._channels: dict[str, Channel] = {name: self._channel(name, config) for name in config.cameras}

    def __getitem__(self, name: str) -> Channel:
        return self._channels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    def publish_again(self) -> None:
        """Publish every state and zone again; from any thread."""
        for channel in tuple(self._channels.values()):  # which is replaced, never changed
            channel.reporter.again()

    def restore(self) -> None:
        """Go on with who was down before each camera; the spool must have been started."""
        for channel in self.values():
            channel.scene.restore()

    def configure(self, config: Config) -> None:
        """Go on with other settings, and with other cameras: those that are the same miss no frame."""
        pipeline, before = self._parts.pipeline, self._channels
        kept = {name for name, channel in before.items() if channel.goes_on(config)}
        for name in before.keys() - kept:
            pipeline.remove(name)
            self._former[name] = before[name].scene.last_id, before[name].raw_poses
        channels: dict[str, Channel] = {}
        for name in config.cameras:
            if name in kept:
                before[name].configure(config, idle_fps(config))
            channels[name] = before[name] if name in kept else self._begun(name, config)
        self._channels = channels
        for name in channels.keys() - kept:
            channels[name].raw_poses.settings_changed()
        self._parts.spool.set_cameras(tuple(config.cameras))

    def _begun(self, name: str, config: Config) -> Channel:
        """Open a camera that is new, or is opened in another way."""
        log.info("camera %s: new, or changed", name)
        feed = self._parts.pipeline.add(name, self._parts.setup(config, name))
        last_id, raw_poses = self._former.pop(name, (0, None))
        channel = self._channel(name, config, last_id)
        if raw_poses is not None:
            channel.raw_poses.go_on_from(raw_poses)
        channel.scene.restore()
        feed.start()
        return channel

    def _channel(self, name: str, config: Config, last_id: int = 0) -> Channel:
        """What belongs to one camera; its feed is there already."""
        parts = self._parts
        topics, camera, feed = parts.topics.camera(name), config.cameras[name], parts.pipeline.feeds[name]
        raw_poses = RawPosePublisher(
            topics.recording,
            parts.broker,
            lambda: self[name].recording_start(__version__, parts.model, time.time()),
        )
        journal, pitch = SceneJournal(parts.spool, name), pitch_file(name, parts.environment)
        feed.followed.settings = camera.decode
        if name in parts.paused:
            feed.pause()
        return Channel(
            sender=parts.sender,
            live=parts.live,
            config=camera,
            feed=feed,
            scene=Scene(camera, journal, pitch, raw_poses, name=name, last_id=last_id),
            reporter=Reporter(parts.sender, name, topics, parts.broker, config.mqtt.poses),
            raw_poses=raw_poses,
            # A camera with a network of its own does not wait for the engine.
            engine=(lambda: OK) if camera.has_network else (lambda: parts.pipeline.engine),
        )
