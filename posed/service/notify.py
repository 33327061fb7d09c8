"""Telling systemd how the daemon does: ready, reloading, stopping, alive, and one line for people.

Source: sd_notify(3), systemd.service(5).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from posed.timing import NotBefore

log = logging.getLogger(__name__)

FEEDS_PER_INTERVAL: Final = 4
"""The watchdog is fed this many times per interval while there is progress; systemd asks for at least two."""

STATUS_INTERVAL_S: Final = 5.0
"""The line for people follows what changes all the time, such as frames per second, at most this often, s."""


class Watch(Protocol):
    """What watches progress besides systemd."""

    def progressed(self) -> None: ...  # noqa: D102

    def allow(self, seconds: float | None) -> None: ...  # noqa: D102

    def end(self) -> None: ...  # noqa: D102


class Notifier:
    """The way to systemd; where no systemd listens, as at a terminal, nothing is sent.

    Args:
        environment: NOTIFY_SOCKET says where it listens, WATCHDOG_USEC (and WATCHDOG_PID) how often it
            wants a sign of life.
        clock: monotonic time, s.
        watch: hears of progress, too.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        watch: Watch | None = None,
    ) -> None:
        self._watch = watch
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._watchdog_s = watchdog_s(environment)
        self._feed_every_s = self._watchdog_s / FEEDS_PER_INTERVAL
        self._next_feed = NotBefore(clock)
        self._status = ("", "")
        self._next_line = NotBefore(clock)

    @property
    def listens(self) -> bool:
        """Whether there is somebody to tell."""
        return self._address is not None

    def ready(self) -> None:
        """The daemon works, or waits for its devices; also the end of reloading."""
        self._send("READY=1")

    def reloading(self) -> None:
        """A new configuration is being looked at, or the daemon begins anew; `ready` must follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon ends on purpose."""
        self._send("STOPPING=1\nSTATUS=stopping")
        self._end_watch()

    def restarting(self) -> None:
        """The daemon ends to begin anew; systemd would kill, after a while, what says that it stops."""
        self.reloading()
        self._end_watch()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.end()

    def feed_within(self, seconds: float | None) -> None:
        """Make the watchdog wait this long for rarer progress; None: as long as the unit says."""
        if self._watchdog_s:
            self._send(f"WATCHDOG_USEC={round((seconds or self._watchdog_s) * 1e6)}")
        if self._watch is not None:
            self._watch.allow(seconds)

    def progressed(self) -> None:
        """Feed the watchdog; to be called upon progress only, and as often as there is some."""
        if self._feed_every_s and self._next_feed.take(self._feed_every_s):
            self._send("WATCHDOG=1")
        if self._watch is not None:
            self._watch.progressed()

    def status(self, condition: str, line: Callable[[], str]) -> None:
        """One line for `systemctl status`, sent at once when the condition changes, and else now and then.

        Args:
            condition: what is being waited for; empty when everything runs.
            line: makes the line of how it does; called only when it may be sent.
        """
        if condition == self._status[0] and self._status[1] and not self._next_line.is_due:
            return
        status = condition, line()
        if status == self._status:
            return
        self._status = status
        self._next_line.put_off(STATUS_INTERVAL_S)
        text = "; ".join(filter(None, status))
        self._send(f"STATUS={' '.join(text.split())}")

    def _send(self, message: str) -> None:
        """A systemd that does not listen any more is no reason to stop; the watchdog is its own."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.connect(self._address)
                sender.send(message.encode())
        except OSError as error:
            log.debug("systemd: %s", error)


def _address(text: str) -> str | None:
    """A path, or a name in the abstract namespace, which an @ stands for."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def watchdog_s(environment: Mapping[str, str]) -> float:
    """How often this process is to show a sign of life, s; 0: never."""
    usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    meant = not pid or pid == str(os.getpid())
    return int(usec) / 1e6 if meant and usec.isdecimal() else 0.0
