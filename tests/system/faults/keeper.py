"""Keeps a daemon running as posed.service does: starts it again, and ends it when its watchdog is not fed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Self

from tests.run_posed import Daemon
from tests.systemd import Listener

RESTART_S = 2.0
START_S = 90.0
WATCHDOG_S = 30.0
ABORT_S = 5.0
"""From SIGABRT to SIGKILL, s: TimeoutStopSec."""

FINAL_STATUSES = (2, 3)
"""RestartPreventExitStatus."""


@dataclass
class Life:
    """One process: from when to when (None: still), monotonic, s; its exit status as subprocess has it."""

    began_at: float
    ended_at: float | None = None
    status: int | None = None


class Keeper:
    """Starts the daemon again whenever it ends.

    Args:
        daemon: not started yet; its environment says where `listener` listens.
        listener: hears its signs of life.

    Attributes:
        lives: of every process, oldest first.
    """

    def __init__(self, daemon: Daemon, listener: Listener) -> None:
        self.daemon = daemon
        self.lives: list[Life] = []
        self._listener = listener
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The newest one."""
        assert self.daemon.process is not None
        return self.daemon.process

    @property
    def deaths(self) -> list[Life]:
        """The lives that are over."""
        return [life for life in list(self.lives) if life.ended_at is not None]

    def kill(self, number: int) -> None:
        """Send a signal to the daemon, if it runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self) -> int:
        """End it for good; returns its exit status."""
        self._stopping.set()
        self.kill(signal.SIGTERM)
        self._thread.join(ABORT_S)
        self.kill(signal.SIGKILL)
        self._thread.join()
        return self.process.wait()

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self.daemon.start()
            life = Life(time.monotonic())
            self.lives.append(life)
            life.status = self._wait(life)
            life.ended_at = time.monotonic()
            if life.status in FINAL_STATUSES:
                return
            self._stopping.wait(RESTART_S)

    def _wait(self, life: Life) -> int:
        """Until it ends, by itself or because nothing was heard of it for too long."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(0.05)
            starting = self._listener.heard_at < life.began_at
            heard_at, limit_s = (
                (life.began_at, START_S) if starting else (self._listener.heard_at, WATCHDOG_S)
            )
            if time.monotonic() - heard_at > limit_s:
                self.process.send_signal(signal.SIGABRT)
                try:
                    return self.process.wait(ABORT_S)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    return self.process.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        while not self.lives:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.stop()
