"""What all files of SQLite have in common: only we may read them, and a damaged one is set aside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

LOCK_TIMEOUT_S: Final = 1.0
"""Whoever has locked a file is waited for this long, s."""

_DAMAGE: Final = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""SQLite answers with one of these when a file is no database, is damaged, or has other tables than ours."""


def make_private(file: Path) -> int:
    """Make a file that only we may read, and its folder, where they are missing.

    SQLite itself calls a read-only file system a "disk I/O error".

    Returns:
        The file's inode.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


def check_still_there(file: Path, inode: int) -> None:
    """Refuse to go on with a file that was removed, which takes writes without a word.

    Raises:
        OSError: it is gone, or is another one.
    """
    if file.stat().st_ino != inode:
        raise FileNotFoundError(2, "replaced by another file")


def check_whole(db: sqlite3.Connection) -> None:
    """Look at the whole file.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    (answer,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise damage(f"database is damaged: {' '.join(str(answer).split())}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Have all of it written, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def set_aside(file: Path) -> Path:
    """Give a damaged file another name, in the place of one that was set aside before.

    Returns:
        Its new name.

    Raises:
        OSError: the folder cannot be written to.
    """
    aside = file.with_name(f"{file.name}.damaged")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{file}{suffix}").replace(f"{aside}{suffix}")
    return aside


def damage(text: str) -> sqlite3.DatabaseError:
    """The error for a damaged file, as SQLite would raise it."""
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file is damaged, and not that the disk fails for now."""
    return code_of(error) in _DAMAGE


def code_of(error: Exception) -> int | None:
    """SQLite's primary result code; None for what is no error of SQLite."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def why(file: Path, error: Exception) -> str:
    """What is wrong with a file, in one line."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"{file}: {text}"
