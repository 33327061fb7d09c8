"""Tests each camera, whatever its kind: frames per second, gaps, size, and whether it sees anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np

from posed.camera import device_of, open_camera
from posed.camera.health import CameraHealth, CameraHealthDetector, brightness
from posed.commands.doctor.checks import Check
from posed.commands.setup.check import OPEN_S
from posed.commands.waiting import WAIT_S, Hangs, once_ready, within
from posed.config import CameraConfig, DecodeConfig
from posed.errors import CameraEnded, CameraError, CameraLost
from posed.frame import Frame, Letterbox
from posed.model.outputs import OutputTensor
from posed.pipeline.detection import poses_in_camera

GAP: Final = 2.5
"""So many times as long as usual without a frame is a gap: at least one frame has been dropped."""

MANY_GAPS: Final = 0.02
SLOW: Final = 0.8
"""A camera that drops more than this share of its frames, or has less than this share of the frames per
second that it is asked for, deserves a warning."""

_REMEDIES: Final = {
    "dark": "more light, or an infrared camera",
    "covered": "what is before the lens?",
    "frozen": "unplug the camera and plug it in again",
}


@dataclass(slots=True)
class Watched:
    """What came of a camera.

    Attributes:
        at_s: when each frame was captured, s.
        sizes: (width, height) of the frames, px.
        luma: median brightness of each frame, 0-255.
        health: what the camera saw at the end.
        ended: whether it is a file that has been played to its end.
        opened_at: when it was open, s.
        network_s, prepared_s: how long an AI Camera says its network and its signal processor took.
        people: how many its network has seen at most in one frame.
        silent: how many of its pictures came without anything that its network says.
    """

    at_s: list[float] = field(default_factory=list)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    luma: list[float] = field(default_factory=list)
    health: CameraHealth = "ok"
    ended: bool = False
    opened_at: float = 0.0
    network_s: list[float] = field(default_factory=list)
    prepared_s: list[float] = field(default_factory=list)
    people: int = 0
    silent: int = 0

    @property
    def fps(self) -> float:
        """Frames per second."""
        return (len(self.at_s) - 1) / (self.at_s[-1] - self.at_s[0])

    @property
    def waits_s(self) -> list[float]:
        """How long each frame came after the one before, s."""
        return [after - before for before, after in zip(self.at_s, self.at_s[1:], strict=False)]

    @property
    def gaps(self) -> int:
        """How often at least one frame was missing."""
        usual_s = float(np.median(self.waits_s))
        return sum(wait_s > GAP * usual_s for wait_s in self.waits_s)


def check_camera(  # noqa: PLR0913 - keywords, each with a name at the call
    title: str,
    name: str,
    config: CameraConfig,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    *,
    tell: Callable[[str], object] = lambda _: None,
    wait_s: float = WAIT_S,
) -> list[Check]:
    """Watch a camera for a while, once it is ready.

    Args:
        title: what the check is called.
        name: of the camera, for what is wrong with its settings.
        config: the camera's section.
        seconds: how long, s.
        clock: monotonic time, s.
        tell: hears each time what it gets ready with.
        wait_s: before it is asked again, s.

    Returns:
        One check, and one more of an AI Camera's network.
    """
    limit_s, began_s = config.timeout_s + OPEN_S + seconds, clock()
    watching = partial(watch, name, config, seconds, clock)
    try:
        watched = once_ready(partial(within, limit_s, "the camera", watching), tell, wait_s)
    except (CameraError, Hangs) as error:
        return [Check(title, "failed", f"{config.kind}: {error}", "posed doctor")]
    if len(watched.at_s) < 2:
        found = f"{config.kind}: gives a single frame in {seconds:g} s"
        return [Check(title, "failed", found, "posed doctor")]
    checks = [judged(title, config, watched)]
    if config.has_network:
        checks.append(judged_network(f"ai {title}", watched, watched.opened_at - began_s))
    return checks


def watch(name: str, config: CameraConfig, seconds: float, clock: Callable[[], float]) -> Watched:
    """Read every frame that a camera gives for a while.

    Raises:
        CameraError: it cannot be opened, stops, or can never work like this.
    """
    watched, health = Watched(), CameraHealthDetector()
    model_size = (481, 353)  # of Coral's models; a camera that can scale aims at it
    with open_camera(config, model_size, name) as camera:
        watched.opened_at = clock()
        until = watched.opened_at + config.timeout_s + seconds
        while clock() < until and not (watched.at_s and watched.at_s[-1] - watched.at_s[0] >= seconds):
            try:
                frame = camera.read(config.timeout_s)
            except CameraEnded:
                watched.ended = True
                return watched
            if frame is None:
                count = len(watched.at_s)
                raise CameraLost(
                    f"{camera.name}: no frame within {config.timeout_s:g} s, after {count} frames"
                )
            _note(frame, watched, health, model_size)
        watched.silent = getattr(camera, "silent", 0)
    return watched


def _note(frame: Frame, watched: Watched, health: CameraHealthDetector, model_size: tuple[int, int]) -> None:
    height, width, _ = frame.image.shape
    letterbox = Letterbox((width, height), model_size)
    picture = letterbox.inside(letterbox.apply(frame.image))
    watched.at_s.append(frame.captured_at)
    watched.sizes.add((width, height))
    watched.luma.append(brightness(picture))
    watched.health = health.update(picture, frame.time_s)
    if (own := frame.inference) is not None:
        watched.network_s.append(own.took_s)
        watched.prepared_s.append(own.prepared_s)
        outputs = tuple(OutputTensor(head) for head in own.heads)
        watched.people = max(watched.people, len(poses_in_camera(own, outputs, DecodeConfig())))


def judged_network(title: str, watched: Watched, started_s: float) -> Check:
    """What is to be said of the network in an AI Camera that has been watched.

    Args:
        title: what the check is called.
        watched: at least two frames.
        started_s: how long the camera took to start, s.
    """
    network_ms, prepared_ms = (1000 * np.median(taken) for taken in (watched.network_s, watched.prepared_s))
    pictures = watched.silent + len(watched.at_s)
    found = (
        f"started within {started_s:.0f} s; the network takes {network_ms:.1f} ms, its signal processor "
        f"{prepared_ms:.1f} ms; says nothing with {watched.silent} of {pictures} pictures; "
        f"sees {watched.people} people at most"
    )
    return Check(title, "ok", found)


def judged(title: str, config: CameraConfig, watched: Watched) -> Check:
    """What is to be said of a camera that has been watched.

    Args:
        title: what the check is called.
        config: the camera's section.
        watched: at least two frames.
    """
    sizes = ", ".join(f"{width}×{height} px" for width, height in sorted(watched.sizes))
    longest_ms, count = max(watched.waits_s) * 1000, watched.gaps
    gaps = f"{count} {'gap' if count == 1 else 'gaps'} among {len(watched.at_s)} frames"
    found = (
        f"{config.kind}, {sizes}: {watched.fps:.1f} frames per second (asked for {config.fps:g}), "
        f"{gaps}, longest wait {longest_ms:.0f} ms; "
        f"brightness {np.median(watched.luma):.0f} of 255, sees {watched.health}"
    )
    if watched.health != "ok":
        return Check(title, "warning", found, _REMEDIES[watched.health])
    if len(watched.sizes) > 1:
        return Check(title, "warning", f"{found}; the size changes", "a stream of one size")
    if device_of(config) is not None and watched.fps < SLOW * config.fps:
        return Check(title, "warning", f"{found}; slow", "more light; another port; cameras.….fps")
    if count > MANY_GAPS * len(watched.at_s):
        return Check(
            title, "warning", f"{found}; drops frames", "the cable, the network, the processor's load"
        )
    return Check(title, "ok", found)
