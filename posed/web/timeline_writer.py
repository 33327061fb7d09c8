"""Brings the timeline's file to what was noted, deletes what is old, and tries a bad disk again."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from posed.log import Throttled
from posed.mqtt.database import is_damage, why
from posed.timing import Backoff, NotBefore
from posed.web.bands import Band
from posed.web.timeline_file import TimelineEvent, TimelineFile

log = logging.getLogger(__name__)

DAY_S: Final = 24 * 3600.0

ALIVE_EVERY_S: Final = 300.0
"""That the daemon is alive is written this often, s, so that after a power cut the timeline says from about
when it was not."""

_DELETE_EVERY_S: Final = 3600.0

RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
"""A bad disk is tried again after at most `RETRY_MIN_S`, then at longer intervals of at most `RETRY_MAX_S`,
s."""

_WARN_EVERY_S: Final = 600.0

_MOST_WAITING: Final = 1000
"""While the file cannot be written, so many events, and as many bands, wait in memory; the oldest go
first."""


class Waiting:
    """What was noted and is not in the file yet; for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[str, TimelineEvent] = {}
        self._bands: dict[int, Band] = {}

    def add(self, event: TimelineEvent) -> None:
        """Have an event written."""
        with self._lock:
            self._events[event.id] = event
            if len(self._events) > _MOST_WAITING:
                del self._events[next(iter(self._events))]

    def put(self, bands: Sequence[Band]) -> None:
        """Have bands written, in place of what was to be written of them."""
        with self._lock:
            self._bands |= {band.number: band for band in bands}
            while len(self._bands) > _MOST_WAITING and (oldest := next(self._ended(), None)) is not None:
                del self._bands[oldest]

    def put_again(self, bands: Sequence[Band]) -> None:
        """Have bands written once more, unless something newer is to be written of them."""
        with self._lock:
            self._bands = {band.number: band for band in bands} | self._bands

    def all(self) -> tuple[list[Band], list[TimelineEvent]]:
        """Return all bands and events that wait, in the order in which they came."""
        with self._lock:
            return list(self._bands.values()), list(self._events.values())

    def remove(self, bands: Sequence[Band], events: Sequence[TimelineEvent]) -> None:
        """Forget what was written, but for bands that have changed meanwhile."""
        with self._lock:
            for event in events:
                self._events.pop(event.id, None)
            for band in bands:
                if self._bands.get(band.number) is band:
                    del self._bands[band.number]

    def _ended(self) -> Iterator[int]:
        return (number for number, band in self._bands.items() if band.end_s is not None)


class TimelineWriter:
    """Writes what waits; for the timeline's thread.

    Args:
        file: the database.
        waiting: what is to be written.
        going_on: all bands that have no end yet.
        alive_s: when the daemon was last known to be alive, s since 1970; None: not yet.
        days: what is older is deleted.
        clock: wall clock, s since 1970.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a name at the call
        self,
        file: TimelineFile,
        *,
        waiting: Waiting,
        going_on: Callable[[], Sequence[Band]],
        alive_s: Callable[[], float | None],
        days: int,
        clock: Callable[[], float],
    ) -> None:
        self._file = file
        self._waiting = waiting
        self._going_on = going_on
        self._alive_s = alive_s
        self._days = days
        self._clock = clock
        self._written_alive_s: float | None = None
        self._deleted_at_s: float | None = None
        self._why: str | None = None
        self._backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S, random.random)
        self._next = NotBefore()
        self._warn = Throttled(log, _WARN_EVERY_S)

    def write(self, *, synced: bool = False, at_last: bool = False) -> None:
        """Write what waits, if the disk is to be tried now.

        Args:
            synced: whether to wait until it would survive a power cut.
            at_last: whether the disk is tried in any case, as there is no later time.
        """
        if not (at_last or self._next.is_due):
            return
        try:
            self._write(synced=synced)
        except (sqlite3.Error, OSError) as error:
            self._file.close()
            self._next.put_off(self._backoff.next_s())
            if not (is_damage(error) and self._set_aside(error)):
                self._complain(error)
        else:
            self._succeed()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _write(self, *, synced: bool) -> None:
        if not self._file.is_open:
            self._file.open()
            self._waiting.put_again(self._going_on())  # the file may be a new one
        now_s = self._clock()
        if _is_due(self._deleted_at_s, now_s, _DELETE_EVERY_S):
            self._file.delete_until(now_s - self._days * DAY_S)
            with suppress(OSError):
                self._file.delete_aside(now_s - self._days * DAY_S)
            self._deleted_at_s = now_s
        bands, events = self._waiting.all()
        alive_s = self._alive_s()
        if alive_s is not None and not _is_due(self._written_alive_s, alive_s, ALIVE_EVERY_S):
            alive_s = None
        if bands or events or alive_s is not None:
            self._file.write(bands, events, alive_s, synced=synced)
            self._waiting.remove(bands, events)
        self._written_alive_s = alive_s or self._written_alive_s

    def _set_aside(self, error: Exception) -> bool:
        """Set a damaged file aside, so that the next time a new one begins; False where that fails."""
        try:
            aside = self._file.set_aside()
        except OSError:
            return False
        log.warning("timeline: %s; set aside as %s", why(self._file.file, error), aside.name)
        return True

    def _succeed(self) -> None:
        if self._why is not None:
            log.info("timeline: %s: can be written again", self._file.file)
        self._why = None
        self._next.reset()
        self._backoff.reset()

    def _complain(self, error: Exception) -> None:
        because = why(self._file.file, error)
        if because != self._why:
            self._warn.warning(f"timeline: {because}; what happens is kept in memory only")
        self._why = because


def _is_due(last_s: float | None, now_s: float, interval_s: float) -> bool:
    """Whether it is time again, by a clock that may be set."""
    return last_s is None or abs(now_s - last_s) >= interval_s
