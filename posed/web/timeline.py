"""The timeline: what happened before each camera in the last days, kept for the page, without pictures.

Three kinds of thread meet here:

- The main loop says how every camera does, and hands over events; it never waits for the disk.
- The timeline's own thread writes, every few seconds, and a fall at once.
- Threads of the web server read, each time with a connection of their own, and find what waits to be written
  too.

While the file cannot be used, what happens waits in memory, and can be read.

What is written in a day, measured with four cameras, for the wear of an SD card: 1.2 MB where nothing happens
(a page per five minutes, which says that the daemon is alive), 7.4 MB with 500 events and 800 changes of how
a camera does, 43 MB with 5000 and 4000.
"""

from __future__ import annotations

import datetime
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from posed.log import Throttled
from posed.messages.structs import EventMessage
from posed.mqtt.database import why
from posed.people.events import EventType
from posed.web.bands import Band, BandTracker, Kind, without_overlaps
from posed.web.timeline_file import LIMIT_BYTES, Contents, Range, TimelineEvent, TimelineFile
from posed.web.timeline_writer import DAY_S, TimelineWriter, Waiting

__all__ = ["Day", "Kind", "Timeline", "TimelineEvent"]

log = logging.getLogger(__name__)

WRITE_EVERY_S: Final = 5.0
"""What happens is written together, this often, s; a fall at once."""

_WARN_EVERY_S: Final = 600.0


class Day(Struct, frozen=True):
    """What was kept of a time; all times are in s since 1970.

    `first` is the time of the oldest that is kept at all, null where nothing is. `bands` has for each camera,
    without a gap, from when to when it did how, from the first that is known of it; it is empty for a time
    after now. `events` are the newest first, and `more` says whether there are older ones in that time.
    `falls` says of each camera how many falls were reported in that time, tests left out.
    """

    first: float | None
    bands: dict[str, list[tuple[float, float, Kind]]]
    events: list[TimelineEvent]
    more: bool
    falls: dict[str, int]


class Timeline:
    """Keeps what happened before each camera.

    Args:
        file: where it is kept.
        days: for so long; 0: nothing is, and what was is deleted.
        clock: wall clock, s since 1970.
        limit_bytes: the file is never larger; the oldest goes first.
    """

    def __init__(
        self,
        file: Path,
        days: int,
        clock: Callable[[], float] = time.time,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._days = days
        self._clock = clock
        self._tracker = BandTracker()
        self._waiting = Waiting()
        self._file = TimelineFile(file, limit_bytes)
        self._writer = TimelineWriter(
            self._file,
            waiting=self._waiting,
            going_on=lambda: tuple(self._tracker.going_on.values()),
            alive_s=lambda: self._tracker.noted_s,
            days=days,
            clock=clock,
        )
        self._fell = threading.Event()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._warn = Throttled(log, _WARN_EVERY_S)

    # From the main loop

    def start(self) -> None:
        """Open the file and begin to write, in the background; or delete it, where nothing is to be kept."""
        if self._days:
            self._thread = threading.Thread(target=self._run, name="timeline", daemon=True)
            self._thread.start()
            return
        try:
            self._file.delete()
        except OSError as error:
            log.warning("timeline: %s: cannot be deleted", why(self._file.file, error))

    def stop(self, timeout_s: float) -> None:
        """End all bands now, and write what waits, within `timeout_s` seconds."""
        self.note({})
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def add(self, event: EventMessage) -> None:
        """Something happened."""
        if not self._days:
            return
        time_s = datetime.datetime.fromisoformat(event.time).timestamp()
        about = event.type, event.camera, event.person, event.zone, event.detail
        self._waiting.add(TimelineEvent(event.id, time_s, *about))
        if event.type == "fall":
            self._write_at_once()

    def note(self, kinds: Mapping[str, Kind]) -> None:
        """Say how every camera does now, once a second; one that is not named ends.

        Args:
            kinds: by the camera's name.
        """
        if not self._days:
            return
        changed = self._tracker.note(kinds, round(self._clock(), 1))
        if changed:
            self._waiting.put(changed)
            if any(band.kind == "fall" and band.end_s is None for band in changed):
                self._write_at_once()

    def _write_at_once(self) -> None:
        self._fell.set()
        self._wake.set()

    # From any thread

    def read(
        self,
        begin_s: float,
        end_s: float,
        camera: str | None = None,
        types: Collection[EventType] = (),
        limit: int = 500,
    ) -> Day:
        """What happened in a time.

        Args:
            begin_s: from when, s since 1970.
            end_s: until before when, s since 1970.
            camera: the name of the only camera that is asked for; None for all.
            types: of the events that are asked for; all where it is empty.
            limit: at most this many events.
        """
        if not self._days:
            return Day(None, {}, [], more=False, falls={})
        now_s = self._clock()
        oldest_s = now_s - self._days * DAY_S
        wanted = Range(max(begin_s, oldest_s), end_s, camera, types, limit + 1)
        bands, waiting = (
            self._noted()
        )  # before the file is read, or what is written just now may be in neither
        kept = self._kept(wanted)
        since_s = dict(kept.since_s)
        for band in bands.values():
            since_s[band.camera] = min(band.begin_s, since_s.get(band.camera, band.begin_s))
        events = {event.id: event for event in (*kept.events, *filter(wanted.has, waiting))}
        of_falls = wanted.of_falls()
        falls = {fall.id: fall for fall in (*kept.falls, *filter(of_falls.has, waiting)) if fall.is_real}
        newest = sorted(events.values(), key=lambda event: (event.time, event.id), reverse=True)
        times = [*since_s.values(), *(event.time for event in waiting)]
        if kept.first_s is not None:
            times.append(kept.first_s)
        return Day(
            first=max(oldest_s, min(times)) if times else None,
            bands=_by_camera(
                ({band.number: band for band in kept.bands} | bands).values(),
                {name: at_s for name, at_s in since_s.items() if camera in {None, name}},
                wanted.begin_s,
                min(end_s, round(now_s, 1)),
            ),
            events=newest[:limit],
            more=len(newest) > limit,
            falls=dict(Counter(fall.camera for fall in falls.values())),
        )

    def _noted(self) -> tuple[dict[int, Band], Sequence[TimelineEvent]]:
        """What the file may lack: bands by their numbers, and events."""
        going_on = {band.number: band for band in self._tracker.going_on.values()}
        bands, events = self._waiting.all()
        return going_on | {band.number: band for band in bands}, events

    def _kept(self, wanted: Range) -> Contents:
        """What the file has of a range; nothing where it cannot be read."""
        try:
            return self._file.read(wanted)
        except (sqlite3.Error, msgspec.DecodeError) as error:
            self._warn.warning(f"timeline: {why(self._file.file, error)}: cannot be read")
            return Contents()

    # In the timeline's own thread

    def _run(self) -> None:
        self._writer.write()
        while not self._stopping.is_set():
            self._wake.wait(WRITE_EVERY_S)
            self._wake.clear()
            fell = self._fell.is_set()
            self._fell.clear()
            self._writer.write(synced=fell)
        self._writer.write(at_last=True)  # unsynced: who ends has no time for a slow disk
        self._writer.close()


def _by_camera(
    bands: Collection[Band], since_s: Mapping[str, float], begin_s: float, end_s: float
) -> dict[str, list[tuple[float, float, Kind]]]:
    """How each camera did, of which is known since when it is there."""
    of_camera: dict[str, list[Band]] = {name: [] for name in sorted(since_s)}
    for band in bands:
        if band.camera in of_camera:
            of_camera[band.camera].append(band)
    return {
        name: without_overlaps(its, max(begin_s, since_s[name]), end_s) for name, its in of_camera.items()
    }
