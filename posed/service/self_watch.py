"""Progress, where no systemd watches it: the process ends itself, and others may ask for signs of life."""

from __future__ import annotations

import faulthandler
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from posed.paths import state_folder
from posed.service.heartbeat import Heartbeat, heartbeat_files
from posed.service.notify import watchdog_s
from posed.timing import NotBefore

log = logging.getLogger(__name__)

START_S: Final = 90.0
LIMIT_S: Final = 30.0
STOP_S: Final = 5.0
"""The start, the time without progress, and the end may take so long, s: TimeoutStartSec, WatchdogSec and
TimeoutStopSec of systemd/posed.service."""

BEAT_S: Final = 5.0
"""Progress is noted at most this often, s."""


def end_within(seconds: float) -> None:
    """End the process after so long, with status 1 and a trace of every thread, unless this is called again.

    A thread of the C runtime does it: a library that hangs may hold what lets Python run.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)


class SelfWatch:
    """Ends this process when it makes no progress, as systemd's watchdog would.

    Args:
        heartbeat: shows the progress to whoever asks.
        end_within: ends the process after so long, s, if it is not called again; None where systemd watches.
        clock: monotonic time, s.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        end_within: Callable[[float], object] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._heartbeat = heartbeat
        self._end_within = end_within or (lambda _: None)
        self._allowed_s = LIMIT_S
        self._next = NotBefore(clock)
        self._shown = True

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> SelfWatch:
        """The watch of a process whose environment says where its state is, and whether systemd watches."""
        heartbeat = Heartbeat(heartbeat_files(state_folder(environment)))
        return cls(heartbeat, None if watchdog_s(environment) else end_within)

    def begin(self) -> None:
        """The start begins; nothing that an earlier daemon has left counts from now on."""
        self._heartbeat.end()
        self._end_within(START_S)

    def progressed(self) -> None:
        """There is progress; to be called then only, and as often as there is some."""
        if self._next.take(BEAT_S):
            self._note()

    def allow(self, seconds: float | None) -> None:
        """Let progress be so rare from now on, s; None: as it was at first."""
        self._allowed_s = seconds or LIMIT_S
        self._note()

    def end(self) -> None:
        """The end begins."""
        self._next.put_off(float("inf"))
        self._heartbeat.end()
        self._end_within(STOP_S)

    def _note(self) -> None:
        self._end_within(self._allowed_s)
        shown = self._heartbeat.beat(self._allowed_s)
        if self._shown and not shown:
            log.warning("heartbeat: cannot be written, so `posed health` says that nothing runs")
        self._shown = shown
