"""A sign of life that costs nothing: a file in memory, written upon progress and read by `posed health`.

It names the process that wrote it, when that started, and how long the next sign may take. So what is left
of a daemon that has ended never counts, whatever has its process id now; and a clock that is set makes it
neither older nor newer. `posed health` is called every few seconds, so nothing slow is imported here.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - no file there is followed or trusted
"""Every Linux has this folder in memory, containers with a read-only root, too: a file on an SD card would be
written for as long as the daemon runs."""

_BYTES: Final = 80
"""What is written has always so many bytes, so that none are left of what was longer."""


def heartbeat_files(state: Path) -> tuple[Path, Path]:
    """Where the daemon of a state folder leaves its signs: in memory; where it cannot, in the folder."""
    return MEMORY / f"posed-{zlib.crc32(bytes(state)):08x}", state / "heartbeat"


class Heartbeat:
    """Signs of life of this process.

    Args:
        files: the first that can be written is taken.
        clock: monotonic time, s; of the machine, as every process has it.
    """

    def __init__(self, files: Iterable[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._files = tuple(files)
        self._clock = clock
        self._who = f"{os.getpid()} {_start_of(os.getpid())}"

    def beat(self, allowed_s: float) -> bool:
        """Give a sign of life, and say how long the next may take, s; returns whether it could be written."""
        line = f"{self._who} {self._clock():.1f} {allowed_s:.1f}".ljust(_BYTES - 1) + "\n"
        return any(_written(file, line.encode()) for file in self._files)

    def end(self) -> None:
        """Take back every sign, also what others have left."""
        for file in self._files:
            with suppress(OSError):
                file.unlink(missing_ok=True)


def silence(files: Iterable[Path], now_s: float | None = None) -> str:
    """Why a daemon does not count as one that makes progress; empty where it does.

    Args:
        files: where it leaves its signs.
        now_s: monotonic time, s; None: now.
    """
    now_s = time.monotonic() if now_s is None else now_s
    why = "no sign of life: posed does not run with this state folder, or has only begun to start"
    for file in files:
        try:
            said = file.read_bytes()
        except OSError:
            continue
        if not (why := _silence_of(said, now_s)):
            return ""
    return why


def _silence_of(said: bytes, now_s: float) -> str:
    try:
        pid, start, at, allowed = said.decode("ascii").split()
        age_s, allowed_s = now_s - float(at), float(allowed)
    except ValueError:
        return "no sign of life: what is there is damaged"
    if not pid.isdecimal() or _start_of(int(pid)) != start:
        return f"process {pid}, which gave the last sign of life, has ended"
    if not -1 <= age_s <= allowed_s:  # what was written is rounded
        return f"no progress for {age_s:.0f} s, of at most {allowed_s:.0f}"
    return ""


def _start_of(pid: int) -> str:
    """When a process started, in ticks since boot; empty where there is none. Source: proc(5)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    fields = status.rpartition(b") ")[2].split()
    return "" if fields[0] == b"Z" else fields[19].decode()


def _written(file: Path, line: bytes) -> bool:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError:
        return False
    try:
        return os.pwrite(descriptor, line, 0) == len(line)
    except OSError:  # a full disk
        return False
    finally:
        os.close(descriptor)
