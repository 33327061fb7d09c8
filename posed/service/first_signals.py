"""SIGTERM and SIGINT while the daemon is still being loaded: they end the process at once.

Loading takes a second, on a Pi several. The kernel throws away signals to the first process of a container
that has no handler for them yet, so the daemon would not hear that it is to end. This is called before
anything that is slow is imported, and imports nothing that is.

Until Python itself has started, some 20 ms, there is no handler. Who starts it as a first process blocks the
signals before: `env --block-signal=TERM,INT posed run`.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM)


def hear_first_signals() -> None:
    """End the process on SIGTERM and SIGINT, also on one that came while `hold_signals` held it.

    SIGHUP is ignored, but for a terminal's: the configuration is about to be read anyway.
    """
    end_at_once()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    if not os.isatty(0):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def end_at_once() -> None:
    """From now on SIGTERM and SIGINT end the process: nothing is there that would have to be put in order."""
    for number in ENDING:
        signal.signal(number, _end)


def hold_signals() -> None:
    """Leave SIGTERM and SIGINT to the process that takes the place of this one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def status_after(number: int) -> int:
    """The exit status of a daemon that a signal has ended: 0, but after SIGTERM what STOP_STATUS says.

    Docker's `restart: on-failure` starts again after a reboot only what ended with another status than 0, so
    the container image sets that variable.
    """
    wanted = os.environ.get("STOP_STATUS", "")
    return int(wanted) if number == signal.SIGTERM and wanted.isdecimal() else 0


def _end(number: int, _frame: FrameType | None) -> None:
    # Not by SystemExit, which whoever imports may catch, nor by the log, which is not there yet.
    os.write(2, f"{_priority()}stopping on {signal.Signals(number).name}\n".encode())
    os._exit(status_after(number))


def _priority() -> str:
    """What the journal wants before a line; `posed.log` has it, too, and takes long to import."""
    status = os.fstat(2)
    return "<6>" if os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}" else ""
