"""Has an AI Camera take its network in, in a process of its own.

The camera does so as it starts, which takes minutes unless it has the network already. Meanwhile libcamera's
binding holds Python's lock (`Camera.start` in its py_main.cpp): nothing else of the process would run, no
other camera, no web page, and systemd's watchdog would end it. So another process starts the camera first,
and ours once that is done, within seconds. Nothing that was written down says for sure that a camera has its
network, since another program may have given it another; only what we closed a moment ago has it still.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from posed.camera.base import NEWS_AFTER_S, SettingError
from posed.camera.imx500 import find, start_sensor
from posed.camera.pi_device import name_of, reason
from posed.config import CameraConfig
from posed.errors import CameraError, CameraLost, CameraPreparing

log = logging.getLogger(__name__)

LIMIT_S: Final = 900.0
"""Taking a network in may take this long, s. Over the slow way, 2 MB at 9 kB/s take four minutes."""

NEWS_EVERY_S: Final = 10
"""How long it has taken is told in steps of this, s."""

DEBUG: Final = Path("/sys/kernel/debug")

RELY_S: Final = 10.0
"""A camera that was closed so lately, s, has its network still: a sensor that stopped is opened again soon,
and nobody gives the camera to another program within this."""

_NETWORK_STAGE: Final = 2
_WRONG_SETTING: Final = 3


class Loading:
    """The networks that cameras take in.

    Args:
        clock: monotonic time, s.
        debug: where the kernel says how far it is.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, debug: Path = DEBUG) -> None:
        self._clock = clock
        self._debug = debug
        self._children: dict[int, _Child] = {}
        self._closed_at: dict[int, float] = {}

    def ensure(self, number: int) -> None:
        """See that a camera has its network; returns once it may be started.

        Args:
            number: the camera's place in picamera2's list.

        Raises:
            CameraPreparing: it has not yet; ask again.
            SettingError, CameraLost: it could not take it in.
        """
        closed_at = self._closed_at.pop(number, None)
        if closed_at is None or self._clock() - closed_at > RELY_S:
            self._wait_for_child(number)

    def closed(self, number: int) -> None:
        """Note that a camera was closed that had its network."""
        self._closed_at[number] = self._clock()

    def _wait_for_child(self, number: int) -> None:
        child = self._children.get(number)
        if child is None:
            try:
                child = self._children[number] = _Child(number, self._clock())
            except OSError as error:
                raise CameraLost(
                    f"{name_of(number)}: cannot take its network in ({reason(error)})"
                ) from error
        took_s = self._clock() - child.began_at
        status = child.process.poll()
        if status is None and took_s <= LIMIT_S:
            if took_s >= NEWS_AFTER_S and not child.told:
                child.told = True
                log.info("%s: takes its network in, which takes minutes the first time", name_of(number))
            raise CameraPreparing(self._news(number, took_s), give_up=lambda: self._give_up(number))
        del self._children[number]
        said = child.end()
        if status is None:
            raise CameraLost(f"{name_of(number)}: must take its network in within {LIMIT_S:g} s, still does")
        if status == _WRONG_SETTING:
            raise SettingError(said)
        if status != 0:
            raise CameraLost(said or f"{name_of(number)}: cannot take its network in (status {status})")
        if child.told:
            log.info("%s: has its network after %.0f s", name_of(number), took_s)

    def _give_up(self, number: int) -> None:
        if (child := self._children.pop(number, None)) is not None:
            child.end()

    def _news(self, number: int, took_s: float) -> str:
        share, so_far_s = self._share(), int(took_s) // NEWS_EVERY_S * NEWS_EVERY_S
        news = [f"{name_of(number)}: takes its network in", "minutes the first time"]
        news += [f"{so_far_s} s so far"] if so_far_s else []
        news += [] if share is None else [f"{share:.0%}"]
        return ", ".join(news)

    def _share(self) -> float | None:
        """How much of the network the camera has; None where the kernel does not tell us."""
        try:
            [told] = self._debug.glob("imx500-fw:*/fw_progress")
            stage, done, size = map(int, told.read_text().split()[:3])
            chunk = sum(int(one.read_text()) for one in self._debug.glob("rp2040-spi:*/transfer_progress"))
        except (OSError, ValueError):
            return None
        return min(1.0, (done + chunk) / size) if stage == _NETWORK_STAGE and size else None


class _Child:
    """The process that starts a camera and closes it again.

    Attributes:
        began_at: when, s.
        told: whether the log says that it takes long.
        process: the process.
    """

    def __init__(self, number: int, began_at: float) -> None:
        self.began_at = began_at
        self.told = False
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        # It ends once nobody holds the other end.
        ours, self._alive = os.pipe()
        try:
            self.process = subprocess.Popen(  # noqa: S603 ours
                # Nothing from the folder that we are in.
                [sys.executable, "-P", "-m", __name__, str(number)],
                stdin=ours,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
            )
        except OSError:
            self._said.close()
            os.close(self._alive)
            raise
        finally:
            os.close(ours)
        atexit.register(self.end)

    def end(self) -> str:
        """End it; returns the last line that it said."""
        atexit.unregister(self.end)
        os.close(self._alive)
        if self.process.poll() is None:
            self.process.kill()
            try:
                self.process.wait(0.2)
            except subprocess.TimeoutExpired:  # it is in the kernel, until the camera has all of it
                threading.Thread(target=self.process.wait, name="imx500", daemon=True).start()
        with self._said as said:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


LOADING: Final = Loading()


def _end_with_parent() -> None:
    """Let the kernel end us with SIGIO once the process that began us is gone, however it ended.

    Nothing in Python could: its lock is held meanwhile. Nor can PR_SET_PDEATHSIG, which goes by the thread.
    Source: fcntl(2), O_ASYNC on a pipe whose other end is closed.
    """
    pipe = sys.stdin.fileno()
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([pipe], [], [], 0)[0]:  # it was gone before
        sys.exit(1)


def main(number: str) -> int:
    """Start a camera, so that it has its network, and close it; returns the exit status."""
    _end_with_parent()
    try:
        place, identity = find(number)
        _, started = start_sensor(place, identity, CameraConfig(kind="imx500"))
    except CameraError as error:
        sys.stderr.write(f"{error}\n")
        return _WRONG_SETTING if isinstance(error, SettingError) else error.exit_status
    started.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
