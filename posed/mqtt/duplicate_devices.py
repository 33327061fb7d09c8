"""Two daemons with one device's name: the broker lets only one of them stay, so the younger gives way.

Both have one client id, so each ends the other's connection, which few brokers say (mosquitto 2.0.11 does
not). What is certain is that the broker keeps a state which is not ours after it has kept ours.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Struct

_SAME_S: Final = 2.0
"""Starts that are no further apart than this, s, are taken for one; then the runs say who gives way."""

_CUT_S: Final = 1.0
"""By up to this, s, two sides differ in how far apart they started: uptimes are cut to whole seconds."""


class _ReceivedState(Struct):
    """The part of a state that is needed here, whoever wrote it."""

    run: Annotated[str, msgspec.Meta(max_length=64)]
    time: Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    uptime_s: float


@dataclass(frozen=True, slots=True)
class DuplicateDevice:
    """Another daemon of our name, and whether it started before us."""

    run: str
    older: bool


class DuplicateDeviceDetector:
    """Looks for another daemon in the states that the broker hands out.

    Args:
        run: the id of our own run.
        uptime_s: how long we have been running, s.
        now: wall clock, s since 1970.
    """

    def __init__(self, run: str, uptime_s: Callable[[], float], now: Callable[[], float] = time.time) -> None:
        self._run = run
        self._uptime_s = uptime_s
        self._now = now
        self._kept_ours = False

    def check(self, payload: bytes) -> DuplicateDevice | None:
        """Check a state that the broker sent; returns None where no other daemon is known."""
        try:
            state = msgspec.json.decode(payload, type=_ReceivedState)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if state.run == self._run:
            self._kept_ours = True
        if state.run == self._run or not self._kept_ours:  # that of a run before is nobody else's
            return None
        # Whoever lives repeats the state; one from before our start is a memory that the broker got back.
        if state.time.timestamp() < self._now() - self._uptime_s():
            return None
        began_s = state.time.timestamp() - state.uptime_s - _CUT_S / 2
        before_us_s = self._now() - self._uptime_s() - began_s
        # What the other may take for one start is not older: both would give way. The next state may tell.
        same = abs(before_us_s) <= _SAME_S
        older = state.run < self._run if same else before_us_s > _SAME_S + _CUT_S
        return DuplicateDevice(state.run, older)
