"""The spool's file: events, falls and who is down, in SQLite, so that a power cut takes nothing back.

WAL with synchronous=FULL: a commit is one append and one fsync, where a rollback journal needs three or
four, and each can take 100 ms on an SD card. The exclusive lock keeps a second daemon out and needs no
shared memory. Source: https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from posed.mqtt.database import (
    LOCK_TIMEOUT_S,
    check_still_there,
    check_whole,
    code_of,
    damage,
    is_damage,
    make_private,
    set_aside,
    transaction,
    why,
)

log = logging.getLogger(__name__)

_VERSION: Final = 2

FORMER: Final = ""
"""Files of version 1 have one camera and not its name, for which this stands."""

_FORMER_SCENE: Final = "camera"

_LATEST_S: Final = 253402300800.0
"""No time of a message can be later than the year 10000, s since 1970."""

_CHECKPOINT_PAGES: Final = 256
"""The WAL is carried into the file after this many pages (1 MB), so that both stay small."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, lasts INTEGER NOT NULL,
        boot TEXT NOT NULL, since_boot_s REAL NOT NULL, time_s REAL NOT NULL, payload BLOB NOT NULL,
        checksum INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS falls (
        event TEXT PRIMARY KEY, time_s REAL NOT NULL, run TEXT NOT NULL, person INTEGER, zone TEXT,
        camera TEXT NOT NULL DEFAULT '');
    CREATE TABLE IF NOT EXISTS scenes (
        camera TEXT PRIMARY KEY, state TEXT NOT NULL, checksum INTEGER NOT NULL);
"""
_READ_EVENTS: Final = """
    SELECT id, lasts, boot, since_boot_s, time_s, payload, checksum FROM events ORDER BY number
"""
_READ_FALLS: Final = "SELECT event, time_s, run, person, zone, camera FROM falls ORDER BY time_s"
_READ_FORMER_FALLS: Final = "SELECT event, time_s, run, person, zone, '' FROM falls ORDER BY time_s"
_MIGRATE_FALLS: Final = "ALTER TABLE falls ADD COLUMN camera TEXT NOT NULL DEFAULT ''"
_READ_SCENES: Final = "SELECT camera, state, checksum FROM scenes"
_REPLACE_SCENE: Final = "INSERT OR REPLACE INTO scenes VALUES (?, ?, ?)"
_ADD_EVENT: Final = """
    INSERT OR IGNORE INTO events (id, lasts, boot, since_boot_s, time_s, payload, checksum)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""


@cache
def _boot() -> str:
    """An id of this boot; where a sandbox hides it, of this process, as if it began a boot."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time from which an age can be told although clocks are set and machines restarted.

    Args:
        boot: the kernel's id of that boot.
        since_boot_s: since then, s; runs on while the machine sleeps, and nobody sets it.
        time_s: wall clock, s since 1970.
    """

    boot: str
    since_boot_s: float
    time_s: float

    @classmethod
    def now(cls) -> Self:
        """The present."""
        return cls(_boot(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())

    def age_s(self, now: Self) -> float:
        """How long ago this was, s.

        Of another boot it is the least that it can be: a Pi without a clock of its own starts with the time
        at which it was stopped, but what came before this boot is at least as old as the boot.
        """
        if self.boot == now.boot:
            return now.since_boot_s - self.since_boot_s
        return max(now.since_boot_s, now.time_s - self.time_s)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that the broker has not acknowledged.

    Args:
        id: the event's id.
        lasts: whether the event is of use however late it comes.
        added: when the event was handed over.
        payload: the message.
    """

    id: str
    lasts: bool
    added: Moment
    payload: bytes


@dataclass(frozen=True, slots=True)
class Fall:
    """A fall of which nobody has said that it is over.

    Args:
        event: id of the event that reported it.
        time_s: when the fall happened, s since 1970.
        run: start of the daemon, within which `person` is one person.
        person: who fell, None if that is not known.
        zone: the zone of the fall.
        camera: the name of the camera before which it happened.
    """

    event: str
    time_s: float
    run: str
    person: int | None
    zone: str | None
    camera: str


@dataclass(slots=True)
class Contents:
    """What a file holds.

    Args:
        events: events that the broker has not acknowledged, oldest first.
        falls: falls that are not over, oldest first.
        scenes: what each camera's scene must know after a restart, JSON by the camera's name.
    """

    events: list[StoredEvent] = field(default_factory=list)
    falls: list[Fall] = field(default_factory=list)
    scenes: dict[str, str] = field(default_factory=dict)


class StoreError(Exception):
    """The file cannot be used now.

    Args:
        why: one line.
        contents: what could be read of it all the same; None if it could not be looked at.
    """

    def __init__(self, why: str, contents: Contents | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.contents = contents


class Store:
    """One file; used by one thread at a time.

    Args:
        file: the database; its folder is made where it is missing.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._db: sqlite3.Connection | None = None
        self._inode = 0

    @property
    def file(self) -> Path:
        """The database."""
        return self._file

    @property
    def is_open(self) -> bool:
        """Whether it can be written to, as far as is known."""
        return self._db is not None

    def open(self) -> Contents:
        """Open the file, write to it as a trial, and read it; a damaged one is set aside, and a new one made.

        Raises:
            StoreError: it cannot be read and written now.
        """
        contents = Contents()
        try:
            self._open_into(contents)
        except (sqlite3.Error, OSError) as error:
            self.close()
            if not is_damage(error):
                busy = code_of(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
                raise StoreError(why(self._file, error), None if busy else self._read_copy()) from None
            self._replace(contents, error)
        return contents

    def write(
        self,
        events: Iterable[StoredEvent],
        gone: Collection[str],
        falls: Iterable[Fall],
        scenes: Mapping[str, str] = MappingProxyType({}),
        *,
        afresh: bool = False,
    ) -> None:
        """Add and remove events, replace falls and scenes, all or nothing, and for good once this returns.

        Args:
            events: events to add, oldest first.
            gone: ids of events to remove.
            falls: those that are not over.
            scenes: what scenes must know, by the camera's name; the others stay as they are.
            afresh: whether everything else is removed.

        Raises:
            StoreError: none of it is written; the file is closed.
        """
        try:
            assert self._db is not None
            check_still_there(self._file, self._inode)
            with transaction(self._db) as db:
                if afresh:
                    db.execute("DELETE FROM events")
                    db.execute("DELETE FROM scenes")
                db.executemany("DELETE FROM events WHERE id = ?", [(event_id,) for event_id in gone])
                db.executemany(_ADD_EVENT, [_row(event) for event in events])
                db.execute("DELETE FROM falls")
                db.executemany("INSERT INTO falls VALUES (?, ?, ?, ?, ?, ?)", map(astuple, falls))
                if scenes:  # whose camera is known now, if one of them came without a name
                    db.execute("DELETE FROM scenes WHERE camera = ?", (FORMER,))
                db.executemany(_REPLACE_SCENE, _rows_of(scenes))
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StoreError(why(self._file, error)) from None

    def close(self) -> None:
        """Let go of the file; it can be opened again."""
        if self._db is not None:
            with suppress(sqlite3.Error):  # a full disk has no room for the last checkpoint: the WAL stays
                self._db.close()
            self._db = None

    def _open_into(self, contents: Contents) -> None:
        self._inode = make_private(self._file)  # for it says where people were
        self._db = _connected(self._file)
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        _read(self._db, contents)
        with transaction(self._db) as db:
            if is_former := _is_former(db):
                db.execute(_MIGRATE_FALLS)
            for statement in _TABLES.split(";"):
                db.execute(statement)
            if is_former:
                db.execute("DELETE FROM scenes")
                db.executemany(_REPLACE_SCENE, _rows_of(contents.scenes))
            db.execute(f"PRAGMA user_version = {_VERSION}")  # writes a page, also where nothing is new
        check_whole(self._db)

    def _replace(self, contents: Contents, error: Exception) -> None:
        """Set a damaged file aside, and begin a new one with what could be read of the old one.

        Raises:
            StoreError: the folder cannot be written to.
        """
        try:
            aside = set_aside(self._file)
            self._open_into(Contents())
        except (sqlite3.Error, OSError) as later:
            self.close()
            raise StoreError(why(self._file, later), contents) from None
        try:
            self.write(contents.events, (), contents.falls, contents.scenes)
        except StoreError as later:
            raise StoreError(later.why, contents) from None
        log.warning(
            "%s; set aside as %s, %d events saved", why(self._file, error), aside.name, len(contents.events)
        )

    def _read_copy(self) -> Contents | None:
        """What the file holds, read from a copy: SQLite cannot read a WAL where it cannot write."""
        contents = Contents()
        try:
            with tempfile.TemporaryDirectory(prefix="posed-") as folder:
                copy = Path(folder) / self._file.name
                for suffix in ("", "-wal"):
                    with suppress(FileNotFoundError, NotADirectoryError):
                        shutil.copyfile(f"{self._file}{suffix}", f"{copy}{suffix}")
                db = _connected(copy)
                try:
                    _read(db, contents)
                finally:
                    db.close()
        except (sqlite3.Error, OSError):
            return None
        return contents


def _connected(file: Path) -> sqlite3.Connection:
    # Opened by the thread that starts the daemon, then used by the spool's.
    db = sqlite3.connect(file, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    db.text_factory = partial(str, encoding="utf-8", errors="replace")
    return db


def _read(db: sqlite3.Connection, contents: Contents) -> None:
    """Add what a file holds to `contents`, as far as it can be read.

    Raises:
        sqlite3.Error: it could not be read to its end.
    """
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    failures: list[sqlite3.Error] = []
    for table, read in (("falls", _read_falls), ("scenes", _read_scenes), ("events", _read_events)):
        if table in tables:
            try:
                failures += read(db, contents)
            except sqlite3.Error as error:
                failures.append(error)
    if failures:
        # A disk that fails for now comes first: the file may be whole.
        raise min(failures, key=is_damage)


def _read_falls(db: sqlite3.Connection, contents: Contents) -> Iterator[sqlite3.Error]:
    for row in db.execute(_READ_FORMER_FALLS if _is_former(db) else _READ_FALLS):
        fall = Fall(*row)
        if _can_be(fall):
            contents.falls.append(fall)
        else:
            yield damage("a fall is damaged")


def _read_scenes(db: sqlite3.Connection, contents: Contents) -> Iterator[sqlite3.Error]:
    is_former = _is_former(db)
    for camera, state, checksum in db.execute(_READ_SCENES):
        if _checksum((camera, state)) == checksum:
            contents.scenes[FORMER if is_former and camera == _FORMER_SCENE else camera] = state
        else:
            yield damage("the record of who is down is damaged")


def _read_events(db: sqlite3.Connection, contents: Contents) -> Iterator[sqlite3.Error]:
    for *row, checksum in db.execute(_READ_EVENTS):
        event = _stored(*row)
        if _checksum(event) == checksum:
            contents.events.append(event)
        else:
            yield damage("an event is damaged")


def _is_former(db: sqlite3.Connection) -> bool:
    """Whether the file is of version 1, whose falls have no camera."""
    columns = {name for _, name, *_ in db.execute("PRAGMA table_info(falls)")}
    return bool(columns) and "camera" not in columns


def _can_be(fall: Fall) -> bool:
    """Whether a fall has a time that there is, and ids that are text."""
    time_s: object = fall.time_s
    return isinstance(time_s, (int, float)) and 0 <= time_s < _LATEST_S and isinstance(fall.event, str)


def _row(event: StoredEvent) -> tuple[str, bool, str, float, float, bytes, int]:
    added = event.added
    moment = (added.boot, added.since_boot_s, added.time_s)
    return event.id, event.lasts, *moment, event.payload, _checksum(event)


def _rows_of(scenes: Mapping[str, str]) -> list[tuple[str, str, int]]:
    return [(*scene, _checksum(scene)) for scene in scenes.items()]


def _stored(  # noqa: PLR0913, PLR0917 - a row
    event_id: str, lasts: int, boot: str, since_boot_s: float, time_s: float, payload: bytes
) -> StoredEvent:
    return StoredEvent(event_id, bool(lasts), Moment(boot, since_boot_s, time_s), payload)


def _checksum(row: StoredEvent | tuple[str, str]) -> int:
    """A row's checksum; SQLite has none, and can still read a page of which a part is damaged."""
    return zlib.crc32(repr(row).encode())
