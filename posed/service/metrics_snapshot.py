"""How the daemon does, in one piece, for whoever watches over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from posed.messages.structs import CameraState, State
from posed.pipeline.counters import Counters

METRICS_SNAPSHOT: Final = "metrics_snapshot"
"""The web server asks the main loop for a snapshot with this name; it is no verb over MQTT."""

Frames = Literal["ok", "paused", "stopped"]


class CameraSnapshot(Struct, frozen=True, kw_only=True):
    """A moment of one camera.

    Args:
        zones: how many people are in each zone, by its name; None while nothing is seen.
        falls: how many falls are not over.
    """

    state: CameraState
    counters: Counters
    zones: Mapping[str, int | None]
    falls: int


class MetricsSnapshot(Struct, frozen=True, kw_only=True):
    """A moment of the daemon.

    Args:
        cameras: each camera, by its name.
        frames: whether frames come from any of them; `stopped` also before the first one.
        problems: a line for each thing that does not work, as the request `health` says.
        engine_errors: how often the engine failed, or could not be opened.
        engine_reopened: how often it was opened again after that.
        broker_connected: whether the broker is connected.
        broker_connections: how often the broker has been connected to since the start.
        processor_c: temperature, °C; None where nothing tells.
    """

    state: State
    cameras: Mapping[str, CameraSnapshot]
    frames: Frames
    problems: Sequence[str]
    engine_errors: int
    engine_reopened: int
    broker_connected: bool
    broker_connections: int
    processor_c: float | None
