"""One daemon to a state folder: each of two would take back what the other had published."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from posed.errors import StateInUse, one_line

LOCK: Final = "lock"
"""This file of the folder is locked, and says whose the folder is."""

_LONGEST_OWNER: Final = 200


@contextmanager
def lock_state(folder: Path, device: str = "") -> Iterator[Callable[[str], None]]:
    """Keep every other daemon out of a state folder; the system lets go of it when the process ends.

    A folder that cannot be written is no reason to end: the spool says so, and state is kept in memory.

    Args:
        folder: the state folder; made where it is missing.
        device: whose it is from now on; empty where that is not known yet.

    Yields:
        What says whose it is, once that is known.

    Raises:
        StateInUse: it is another daemon's.
    """
    file = folder / LOCK
    descriptor = _locked(file)

    def sign(device: str) -> None:
        if descriptor is not None:
            with suppress(OSError):  # a full disk
                file.write_text(device and f"device {device}, process {os.getpid()}\n", encoding="utf-8")

    try:
        sign(device)
        yield sign
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(file: Path) -> int | None:
    """The file, open and locked; None where that is not possible.

    Raises:
        StateInUse: another process has locked it.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _opened(file)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = one_line(os.read(descriptor, _LONGEST_OWNER).decode(errors="replace")) or "another daemon"
        os.close(descriptor)
        raise StateInUse(
            f"{file.parent}: must be the state folder of one daemon, got one in use by {owner}; "
            "--state DIR or XDG_STATE_HOME chooses another"
        ) from None
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _opened(file: Path) -> int:
    """The file, open for writing, without which NFS locks nothing, or for reading.

    Raises:
        OSError: it can be neither.
    """
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # a disk that has become read-only still holds the file
        return os.open(file, os.O_RDONLY)
