"""The log: lines on standard error, shorter where the journal adds time and name."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from posed.timing import NotBefore

_one_at_a_time = threading.Lock()


class _JournalFormatter(logging.Formatter):
    """The journal adds the time, and takes off a line's priority, by which `journalctl -p warning` finds it.

    Source: sd-daemon(3).
    """

    def format(self, record: logging.LogRecord) -> str:
        return journal_lines(super().format(record), record.levelno)


def journal_lines(text: str, level: int) -> str:
    """Each line with its priority in front, as the journal wants it."""
    priority = next(priority for least, priority in _PRIORITIES if level >= least)
    return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


_PRIORITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))


def in_journal() -> bool:
    """Whether standard error goes to the journal; a terminal may have inherited the variable that says so.

    Source: systemd.exec(5).
    """
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def start_log(level: Literal["debug", "info", "warning", "error"]) -> None:
    """Log everything from `level` on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if in_journal():
        handler.setFormatter(_JournalFormatter("%(levelname)s %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def set_level(level: Literal["debug", "info", "warning", "error"]) -> None:
    """Log everything from `level` on."""
    logging.getLogger().setLevel(level.upper())


class Throttled:
    """Warns of what others can repeat without end: at once, then once per interval with how often it was.

    Args:
        log: where to.
        interval_s: between two warnings, s.
        clock: monotonic time, s.
    """

    def __init__(
        self, log: logging.Logger, interval_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._interval_s = interval_s
        self._next = NotBefore(clock)
        self._unsaid = 0

    def warning(self, text: str) -> None:
        """Say it, or count it."""
        if not self._next.take(self._interval_s):
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} more before)" if self._unsaid else ""
        self._log.warning("%s%s", text, more)
        self._unsaid = 0


@contextmanager
def without_chatter(*beginnings: bytes) -> Iterator[None]:
    """Keep lines that C libraries write to standard error by themselves out of it.

    What they write is held in memory, since a container may have no folder that can be written. Where the
    system has no such memory to give, the lines come.

    Args:
        beginnings: of the lines to leave out; all others come, a moment late.
    """
    try:
        memory = os.memfd_create("posed")
    except (AttributeError, OSError):  # not Linux; a sandbox that forbids it
        yield
        return
    with _one_at_a_time, open(memory, "w+b") as heard:  # noqa: PTH123 - no path
        real = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            heard.seek(0)
            for line in heard:
                if not line.startswith(beginnings):
                    os.write(2, line)
