"""One camera's way through the daemon, and how it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from posed.config import CameraConfig, Config, LiveConfig
from posed.messages.reports import camera_state
from posed.messages.structs import (
    CameraState,
    CameraSummary,
    ModelState,
    RecordingStart,
    Sender,
    Size,
    rfc3339,
)
from posed.mqtt.raw_poses import RawPosePublisher
from posed.mqtt.reporter import Reporter
from posed.pipeline.device import DeviceStatus
from posed.pipeline.feed import Feed
from posed.pipeline.scene import Scene

RECORDED: Final = ("decode.", "people.", "zones")
"""Settings that say what becomes of the poses."""


@dataclass(slots=True, eq=False)
class Channel:
    """One camera at work, from its frames to what its subscribers receive; for the main loop.

    Args:
        sender: the device and its run.
        live: the configuration of now.
        config: of the camera, as it was opened, with the settings of now.
        feed: the camera.
        scene: the people whom it sees.
        reporter: publishes what comes of its frames.
        raw_poses: publishes raw poses while somebody asks for them.
        engine: says how the engine does.
        stopped: whether the daemon has stopped looking.
    """

    sender: Sender
    live: LiveConfig
    config: CameraConfig
    feed: Feed
    scene: Scene
    reporter: Reporter
    raw_poses: RawPosePublisher
    engine: Callable[[], DeviceStatus]
    stopped: bool = False

    def configure(self, config: Config, idle_fps: float) -> None:
        """Go on with other settings; everybody stays who they are.

        Args:
            config: has them.
            idle_fps: how many frames of an empty scene are processed a second; 0: all of them.
        """
        before, self.config = self.config, config.cameras[self.name]
        self.feed.idle_gate.idle_fps = idle_fps
        self.reporter.configure(config.mqtt.poses)
        if self.config != before:
            self.scene.configure(self.config)
            self.feed.followed.settings = self.config.decode

    def goes_on(self, config: Config) -> bool:
        """Whether the camera stays open as it is with another configuration."""
        return self.name in config.cameras and self.config.reads_like(config.cameras[self.name])

    @property
    def name(self) -> str:
        """What the camera is called."""
        return self.feed.name

    @property
    def status(self) -> DeviceStatus:
        """How the camera does."""
        return DeviceStatus("waiting", "stopped") if self.stopped else self.feed.status

    @property
    def delivers(self) -> bool:
        """Whether the newest frame is of now."""
        works = self.status.status == "ok" and self.engine().status == "ok"
        return works and self.scene.frame_rate.are_of_now and not self.feed.paused

    @property
    def sees(self) -> bool:
        """Whether what is known of people is of now: a blind camera is no empty room."""
        return self.delivers and (self.feed.health in {None, "ok"} or bool(self.scene.people))

    def zone_counts(self) -> dict[str, int | None]:
        """By zone, how many people are in it; None while nothing is seen."""
        sees = self.sees
        return {zone: count if sees else None for zone, count in self.scene.zone_counts().items()}

    def state(self) -> CameraState:
        """How it does and who is there, as its topic `state` has it."""
        feed, scene = self.feed, self.scene
        return camera_state(
            self.sender,
            self.name,
            device=self.status,
            kind=self.config.kind,
            size=feed.frame_size,
            sight=feed.health,
            pitch=scene.pitch,
            people=scene.people if self.sees else None,
            paused=feed.paused,
            fps=scene.frame_rate.fps(),
            took=scene.frame_rate.newest,
            dropped=feed.counts.dropped,
            settings=self.live.values_of[self.name],
        )

    def report(self) -> bool:
        """Publish its state and its zones, where they are new or due; False if the broker's queue is full."""
        taken = self.reporter.state(self.state)
        return self.reporter.zones(self.zone_counts()) and taken

    @property
    def summary(self) -> CameraSummary:
        """How it does, in short."""
        return CameraSummary(self.status.status, self.feed.paused, self.scene.frame_rate.fps())

    @property
    def problems(self) -> list[str]:
        """A line for each thing that does not work."""
        status, sight = self.status, self.feed.health
        problems = []
        if status.status == "waiting":
            problems.append(f"camera {self.name}: {status.why or status.status}")
        if sight not in {None, "ok"}:
            problems.append(f"camera {self.name}: the picture is {sight}")
        return problems

    def recording_start(self, version: str, model: ModelState, time_s: float) -> RecordingStart:
        """How a recording would begin now.

        Args:
            version: of posed.
            model: which network runs.
            time_s: now, wall clock, s since 1970.
        """
        size, settings = self.feed.frame_size, self.live.values_of[self.name]
        return RecordingStart(
            device=self.sender.device,
            camera=self.name,
            run=self.sender.run,
            time=rfc3339(time_s),
            version=version,
            model=model,
            frame=size and Size(*size),
            settings={name: value for name, value in settings.items() if name.startswith(RECORDED)},
        )
