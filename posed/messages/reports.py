"""Messages about frames, zones and devices, made the same way for the daemon and for the subcommands."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from posed import __version__
from posed.camera.health import CameraHealth
from posed.messages.structs import (
    CameraState,
    EngineState,
    ModelState,
    PartName,
    Person,
    Poses,
    Sender,
    Size,
    SpoolState,
    State,
    ZoneMessage,
    rfc3339,
)
from posed.people.events import TrackedPerson
from posed.people.pitch import Pitch

if TYPE_CHECKING:
    from posed.pipeline.device import DeviceStatus
    from posed.pipeline.frame_rate import Took


def poses_message(  # noqa: PLR0913 - keywords, each with a name at the call
    sender: Sender,
    camera: str,
    *,
    sequence: int,
    time_s: float,
    shape: tuple[int, ...],
    people: list[Person],
    inference_ms: float,
    latency_ms: float,
    image: str | UnsetType = UNSET,
) -> Poses:
    """Everybody in one frame.

    Args:
        sender: who says it.
        camera: the name of the camera that gave the frame.
        sequence: number of the frame.
        time_s: wall clock, s since 1970.
        shape: height and width of the frame, px, and whatever its array has beside them.
        people: everybody in it.
        inference_ms: how long the engine took.
        latency_ms: time since the capture of the frame.
        image: path of the picture that was the frame.
    """
    return Poses(
        device=sender.device,
        camera=camera,
        run=sender.run,
        sequence=sequence,
        time=rfc3339(time_s),
        frame=Size(shape[1], shape[0]),
        inference_ms=inference_ms,
        latency_ms=latency_ms,
        people=people,
        image=image,
    )


def zone_message(sender: Sender, camera: str, zone: str, people: int | None) -> ZoneMessage:
    """How many people are in a zone of a camera; None where that is not known."""
    return ZoneMessage(
        device=sender.device,
        camera=camera,
        time=rfc3339(time.time()),
        zone=zone,
        occupied=None if people is None else people > 0,
        people=people,
    )


def camera_state(  # noqa: PLR0913 - keywords, each with a name at the call
    sender: Sender,
    camera: str,
    *,
    device: DeviceStatus,
    kind: str,
    size: tuple[int, int] | None,
    sight: CameraHealth | None,
    pitch: Pitch,
    people: Sequence[TrackedPerson] | None,
    paused: bool,
    fps: float,
    took: Took | None,
    dropped: int,
    settings: Mapping[str, Any],
) -> CameraState:
    """How a camera does, and who is there.

    Args:
        sender: who says it.
        camera: its name.
        device: whether it works, and why not.
        kind: of camera.
        size: (width, height) of its newest frame, px.
        sight: what it sees.
        pitch: how far it looks down.
        people: everybody who is there, who came first at first; None where that is not known.
        paused: whether it stays closed on request.
        fps: frames per second.
        took: how long its newest frame took; None before the first.
        dropped: how many of its frames were lost since the start.
        settings: those that can be changed at run time, by dotted name, as they hold for it.
    """
    return CameraState(
        device=sender.device,
        camera=camera,
        run=sender.run,
        time=rfc3339(time.time()),
        status=device.status,
        why=device.why or UNSET,
        paused=paused,
        people=None if people is None else len(people),
        occupied=None if people is None else bool(people),
        posture=people[0].posture if people else None,
        kind=kind,
        width=size and size[0],
        height=size and size[1],
        sight=sight,
        pitch_deg=pitch.deg,
        postures=pitch.state,
        fps=fps,
        inference_ms=took.inference_ms if took else None,
        latency_ms=took.latency_ms if took else None,
        dropped=dropped,
        settings=dict(settings),
    )


def state_message(  # noqa: PLR0913 - keywords, each with a name at the call
    sender: Sender,
    *,
    uptime_s: float,
    cameras: Mapping[str, PartName],
    engine: EngineState,
    model: ModelState,
    dropped: int,
    spool: SpoolState,
    settings: Mapping[str, Any],
) -> State:
    """How the machine does.

    Args:
        sender: who says it.
        uptime_s: time since its start, s.
        cameras: how each of its cameras does, by name.
        engine: how the engine does.
        model: which network runs.
        dropped: how many messages were lost since the start.
        spool: how the events do.
        settings: those that can be changed at run time, by dotted name, for all cameras.
    """
    return State(
        device=sender.device,
        run=sender.run,
        time=rfc3339(time.time()),
        version=__version__,
        uptime_s=int(uptime_s),
        cameras=dict(cameras),
        engine=engine,
        model=model,
        dropped=dropped,
        spool=spool,
        settings=dict(settings),
    )
