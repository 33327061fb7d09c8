"""How the daemon does, in one piece, for whoever watches over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from posed.messages.structs import State
from posed.pipeline.counters import Counters

METRICS_SNAPSHOT: Final = "metrics_snapshot"
"""The web server asks the main loop for a snapshot with this name; it is no verb over MQTT."""

Frames = Literal["ok", "paused", "stopped"]


class MetricsSnapshot(Struct, frozen=True, kw_only=True):
    """A moment of the daemon.

    Args:
        frames: whether frames come; `stopped` also before the first one.
        problems: a line for each thing that does not work, as the request `health` says.
        zones: how many people are in each zone, by its name; None while nothing is seen.
        falls: how many falls are not over.
        broker_connected: whether the broker is connected.
        broker_connections: how often the broker has been connected to since the start.
        processor_c: temperature, °C; None where nothing tells.
    """

    state: State
    frames: Frames
    problems: Sequence[str]
    counters: Counters
    zones: Mapping[str, int | None]
    falls: int
    broker_connected: bool
    broker_connections: int
    processor_c: float | None
