"""The timeline's file, in SQLite: a size that it never exceeds, and few writes, for the sake of SD cards.

WAL, so that the web server reads while the timeline's thread writes, and synchronous=NORMAL: a commit appends
to the WAL and waits for no disk. A power cut may cost what was written in the last seconds, and no more, but
for a fall, which is synced. Source: https://sqlite.org/wal.html,
https://sqlite.org/pragma.html#pragma_synchronous.

What was deleted is overwritten (secure_delete), and its room is used again: the file grows no more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from posed.messages.structs import encode
from posed.mqtt.database import (
    LOCK_TIMEOUT_S,
    check_still_there,
    check_whole,
    damage,
    make_private,
    set_aside,
    transaction,
)
from posed.people.events import EventType
from posed.web.bands import Band, Kind

_VERSION: Final = 1

LIMIT_BYTES: Final = 20_000_000
"""File and WAL together are never larger, bytes."""

_FILE_SHARE: Final = 0.85
_WAL_SHARE: Final = 0.05
"""The file may have `_FILE_SHARE` of the limit. The WAL is carried into the file from `_WAL_SHARE` of the
limit on, and is longer by a transaction at most, for which the rest is."""

_FULL: Final = 0.9
"""The file counts as full from this share of its size on; the rest is for what one transaction adds."""

_ROOM: Final = 20
"""Where the file is full, the oldest of this many parts of it goes."""

_AT_ONCE: Final = 200
"""Rows written or deleted in one transaction, so that the WAL stays short."""

_SUFFIXES: Final = ("", "-wal", "-shm")

_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS events (
        time_s REAL NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, camera TEXT NOT NULL, person INTEGER,
        zone TEXT, detail TEXT NOT NULL, PRIMARY KEY (time_s, id)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS bands (
        number INTEGER PRIMARY KEY, camera TEXT NOT NULL, begin_s REAL NOT NULL, end_s REAL,
        kind TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS alive (one INTEGER PRIMARY KEY, time_s REAL NOT NULL);
"""
_END_FORMER: Final = """
    UPDATE bands SET end_s = max(
        begin_s,
        coalesce((SELECT time_s FROM alive), begin_s),
        (SELECT begin_s FROM bands WHERE number <= :offset ORDER BY number DESC LIMIT 1))
    WHERE end_s IS NULL AND number <= :offset
"""
_OLDEST: Final = """
    SELECT time_s FROM (SELECT time_s FROM events UNION ALL SELECT end_s FROM bands WHERE end_s IS NOT NULL)
    ORDER BY time_s LIMIT 1
    OFFSET (SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM bands)) / ?
"""
_DELETE_EVENTS: Final = """
    DELETE FROM events WHERE (time_s, id) IN
        (SELECT time_s, id FROM events WHERE time_s <= ? ORDER BY time_s LIMIT ?)
"""
_DELETE_BANDS: Final = """
    DELETE FROM bands WHERE number IN (SELECT number FROM bands WHERE end_s <= ? ORDER BY number LIMIT ?)
"""
_READ_BANDS: Final = """
    SELECT number, camera, begin_s, end_s, kind FROM bands
    WHERE begin_s < ? AND (end_s IS NULL OR end_s > ?) AND (? IS NULL OR camera = ?)
"""


_FALLS: Final[tuple[EventType]] = ("fall",)
_MOST_FALLS: Final = 10_000
"""Nobody falls more often in the time that can be asked for."""


class TimelineEvent(Struct, frozen=True):
    """An event as the timeline keeps it: its message without the keypoints; `time` is in s since 1970."""

    id: str
    time: float
    type: EventType
    camera: str
    person: int | None
    zone: str | None
    detail: dict[str, Any]

    @property
    def is_real(self) -> bool:
        """Whether it happened, and was not asked for to try an alarm."""
        return not self.detail.get("test")


@dataclass(frozen=True, slots=True)
class Range:
    """What is asked for.

    Args:
        begin_s, end_s: from when, and until before when, s since 1970.
        camera: the name of the only camera; None for all.
        types: of events; all where it is empty.
        limit: at most this many events, the newest.
    """

    begin_s: float
    end_s: float
    camera: str | None
    types: Collection[EventType]
    limit: int

    def of_falls(self) -> Range:
        """The same for all falls."""
        return Range(self.begin_s, self.end_s, self.camera, _FALLS, _MOST_FALLS)

    def has(self, event: TimelineEvent) -> bool:
        """Whether an event is asked for."""
        return (
            self.begin_s <= event.time < self.end_s
            and self.camera in {None, event.camera}
            and (not self.types or event.type in self.types)
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """What the file holds of a range.

    Args:
        bands: in any order.
        events: newest first.
        falls: every one of them, but for tests.
        since_s: since when a camera is known, s since 1970, by its name.
        first_s: the time of the oldest event of all, s since 1970; None where there is none.
    """

    bands: Sequence[Band] = ()
    events: Sequence[TimelineEvent] = ()
    falls: Sequence[TimelineEvent] = ()
    since_s: Mapping[str, float] = field(default_factory=dict)
    first_s: float | None = None


class TimelineFile:
    """One file; `read` is for any thread, the rest for one.

    Args:
        file: the database; its folder is made where it is missing.
        limit_bytes: file and WAL together are never larger.

    Attributes:
        file: the database.
        offset: a band's number in the file is by this larger than its own; None until the file was opened.
    """

    def __init__(self, file: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.file = file
        self.offset: int | None = None
        self._limit_bytes = limit_bytes
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._most_pages = 0

    @property
    def is_open(self) -> bool:
        """Whether it can be written to, as far as is known."""
        return self._db is not None

    def open(self) -> None:
        """Open the file, and write to it as a trial.

        Bands of runs before that have no end, end when their daemon was last known to be alive.

        Raises:
            sqlite3.Error, OSError: it cannot be used now, or is damaged, or of another version.
        """
        self._inode = make_private(self.file)  # for it says where people were
        db = sqlite3.connect(self.file, timeout=LOCK_TIMEOUT_S, isolation_level=None)
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        self._db = db

    def _prepare(self, db: sqlite3.Connection) -> None:
        if self.offset is None:
            _check_version(db)
            check_whole(db)
        page_bytes = _number(db, "PRAGMA page_size")
        self._most_pages = int(_FILE_SHARE * self._limit_bytes / page_bytes)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {int(_WAL_SHARE * self._limit_bytes / page_bytes)}")
        db.execute(f"PRAGMA journal_size_limit = {int(_WAL_SHARE * self._limit_bytes)}")
        db.execute(f"PRAGMA max_page_count = {self._most_pages}")
        db.execute("PRAGMA secure_delete = ON")
        with transaction(db):
            for statement in _TABLES.split(";"):
                db.execute(statement)
            offset = self.offset
            if offset is None:
                offset = _number(db, "SELECT coalesce(max(number), 0) FROM bands")
            db.execute(_END_FORMER, {"offset": offset})
            db.execute(f"PRAGMA user_version = {_VERSION}")  # writes a page, also where nothing is new
        self.offset = offset

    def write(
        self, bands: Sequence[Band], events: Sequence[TimelineEvent], alive_s: float | None, *, synced: bool
    ) -> None:
        """Write bands, which take the place of those of their number, and add events; not all at once.

        Args:
            bands: in any order.
            events: in any order; they may be in the file already.
            alive_s: when the daemon is known to be alive, s since 1970; None: as before.
            synced: whether to wait until it would survive a power cut.

        Raises:
            sqlite3.Error, OSError: not all of it is written.
        """
        db, offset = self._opened()
        check_still_there(self.file, self._inode)
        self._make_room()
        db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
        for at in range(0, max(len(bands), len(events), 1), _AT_ONCE):
            with transaction(db):
                db.executemany(
                    "INSERT OR REPLACE INTO bands VALUES (?, ?, ?, ?, ?)",
                    [_band_row(band, offset) for band in bands[at : at + _AT_ONCE]],
                )
                db.executemany(
                    "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [_event_row(event) for event in events[at : at + _AT_ONCE]],
                )
                if alive_s is not None:
                    db.execute("INSERT OR REPLACE INTO alive VALUES (1, ?)", (alive_s,))

    def delete_until(self, time_s: float) -> int:
        """Delete what was over at a time, s since 1970; returns how many rows that were.

        Raises:
            sqlite3.Error: not all of it is deleted.
        """
        db, _ = self._opened()
        count = 0
        for statement in (_DELETE_EVENTS, _DELETE_BANDS):
            deleted = _AT_ONCE
            while deleted == _AT_ONCE:
                deleted = db.execute(statement, (time_s, _AT_ONCE)).rowcount
                count += deleted
        return count

    def read(self, wanted: Range) -> Contents:
        """Read a range, from any thread.

        Raises:
            sqlite3.Error: it cannot be read now.
        """
        if self.offset is None:  # then whether the former bands have an end is not known
            return Contents()
        address = f"{self.file.absolute().as_uri()}?mode=rw"  # in WAL, a reader marks what it reads
        with closing(sqlite3.connect(address, timeout=LOCK_TIMEOUT_S, isolation_level=None, uri=True)) as db:
            db.execute("PRAGMA query_only = ON")
            db.execute("BEGIN")
            camera = wanted.camera, wanted.camera
            return Contents(
                bands=[
                    Band(number - self.offset, *row)
                    for number, *row in db.execute(_READ_BANDS, (wanted.end_s, wanted.begin_s, *camera))
                ],
                events=list(_events(db, wanted)),
                falls=[fall for fall in _events(db, wanted.of_falls()) if fall.is_real],
                since_s=dict(db.execute("SELECT camera, min(begin_s) FROM bands GROUP BY camera")),
                first_s=db.execute("SELECT min(time_s) FROM events").fetchone()[0],
            )

    def set_aside(self) -> Path:
        """Give the file another name, so that the next `open` begins a new one; returns its name.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.close()
        return set_aside(self.file)

    def delete_aside(self, time_s: float) -> None:
        """Delete a file that was set aside, if nothing in it is newer than a time, s since 1970.

        Raises:
            OSError: it cannot be deleted.
        """
        aside = self._aside
        with suppress(FileNotFoundError):
            if aside.stat().st_mtime <= time_s:
                _delete(aside)

    def delete(self) -> None:
        """Delete everything that was ever kept.

        Raises:
            OSError: it cannot be deleted.
        """
        self.close()
        _delete(self.file)
        _delete(self._aside)

    def close(self) -> None:
        """Let go of the file; it can be opened again."""
        if self._db is not None:
            with suppress(sqlite3.Error):  # a full disk has no room for the last checkpoint: the WAL stays
                self._db.close()
            self._db = None

    @property
    def _aside(self) -> Path:
        return self.file.with_name(f"{self.file.name}.damaged")

    def _opened(self) -> tuple[sqlite3.Connection, int]:
        assert self._db is not None
        assert self.offset is not None
        return self._db, self.offset

    def _make_room(self) -> None:
        """Delete the oldest rows where the file is full."""
        db, _ = self._opened()
        while self._used_pages() > _FULL * self._most_pages:
            oldest = db.execute(_OLDEST, (_ROOM,)).fetchone()
            if oldest is None or not self.delete_until(*oldest):
                return

    def _used_pages(self) -> int:
        db, _ = self._opened()
        return _number(db, "PRAGMA page_count") - _number(db, "PRAGMA freelist_count")


def _check_version(db: sqlite3.Connection) -> None:
    """Refuse a file that holds something else.

    Raises:
        sqlite3.DatabaseError: it has other tables than ours.
    """
    version = _number(db, "PRAGMA user_version")
    if version != _VERSION and _number(db, "SELECT count(*) FROM sqlite_master"):
        raise damage(f"has version {version}, not {_VERSION}")


def _number(db: sqlite3.Connection, question: str) -> int:
    (answer,) = db.execute(question).fetchone()
    return int(answer)


def _events(db: sqlite3.Connection, wanted: Range) -> Iterator[TimelineEvent]:
    places = ", ".join("?" * len(wanted.types))
    rows = db.execute(
        "SELECT id, time_s, type, camera, person, zone, detail FROM events "  # noqa: S608 - places alone
        f"WHERE time_s >= ? AND time_s < ? {'AND camera = ?' if wanted.camera is not None else ''} "
        f"{f'AND type IN ({places})' if places else ''} ORDER BY time_s DESC, id DESC LIMIT ?",
        (
            wanted.begin_s,
            wanted.end_s,
            *(() if wanted.camera is None else (wanted.camera,)),
            *wanted.types,
            wanted.limit,
        ),
    )
    for event_id, time_s, kind, its_camera, person, zone, detail in rows:
        yield TimelineEvent(event_id, time_s, kind, its_camera, person, zone, msgspec.json.decode(detail))


def _band_row(band: Band, offset: int) -> tuple[int, str, float, float | None, Kind]:
    return band.number + offset, band.camera, band.begin_s, band.end_s, band.kind


def _event_row(event: TimelineEvent) -> tuple[Any, ...]:
    about = event.type, event.camera, event.person, event.zone, encode(event.detail).decode()
    return event.time, event.id, *about


def _delete(file: Path) -> None:
    for suffix in _SUFFIXES:
        Path(f"{file}{suffix}").unlink(missing_ok=True)
