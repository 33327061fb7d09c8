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
    Dropped,
    EngineState,
    ModelState,
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


def poses_message(  # noqa: PLR0913 - keywords, each with a name at the call
    sender: Sender,
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
        run=sender.run,
        sequence=sequence,
        time=rfc3339(time_s),
        frame=Size(shape[1], shape[0]),
        inference_ms=inference_ms,
        latency_ms=latency_ms,
        people=people,
        image=image,
    )


def zone_message(sender: Sender, zone: str, people: int | None) -> ZoneMessage:
    """How many people are in a zone; None where that is not known."""
    return ZoneMessage(
        device=sender.device,
        time=rfc3339(time.time()),
        zone=zone,
        occupied=None if people is None else people > 0,
        people=people,
    )


def camera_state(
    device: DeviceStatus,
    kind: str,
    size: tuple[int, int] | None,
    sight: CameraHealth | None,
    pitch: Pitch,
) -> CameraState:
    """How a camera does.

    Args:
        device: whether it works, and why not.
        kind: of camera.
        size: (width, height) of its newest frame, px.
        sight: what it sees.
        pitch: how far it looks down.
    """
    return CameraState(
        status=device.status,
        why=device.why or UNSET,
        kind=kind,
        width=size and size[0],
        height=size and size[1],
        sight=sight,
        pitch_deg=pitch.deg,
        postures=pitch.state,
    )


def state_message(  # noqa: PLR0913 - keywords, each with a name at the call
    sender: Sender,
    *,
    uptime_s: float,
    people: Sequence[TrackedPerson] | None,
    paused: bool,
    fps: float,
    latency_ms: float | None,
    camera: CameraState,
    engine: EngineState,
    model: ModelState,
    dropped: Dropped,
    spool: SpoolState,
    settings: Mapping[str, Any],
) -> State:
    """How everything does.

    Args:
        sender: who says it.
        uptime_s: time since its start, s.
        people: everybody who is there, who came first at first; None where that is not known.
        paused: whether the camera stays closed on request.
        fps: frames per second.
        latency_ms: from the capture of the newest frame until its people were known.
        camera: how the camera does.
        engine: how the engine does.
        model: which network runs.
        dropped: what was lost since the start.
        spool: how the events do.
        settings: those that can be changed at run time, by dotted name.
    """
    return State(
        device=sender.device,
        run=sender.run,
        time=rfc3339(time.time()),
        version=__version__,
        uptime_s=int(uptime_s),
        paused=paused,
        people=None if people is None else len(people),
        occupied=None if people is None else bool(people),
        posture=people[0].posture if people else None,
        fps=fps,
        latency_ms=latency_ms,
        camera=camera,
        engine=engine,
        model=model,
        dropped=dropped,
        spool=spool,
        settings=dict(settings),
    )
