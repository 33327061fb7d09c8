"""How a device does, and when it is opened again after it was lost."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from posed.camera.base import NEWS_AFTER_S
from posed.errors import CameraPreparing, PosedError
from posed.pipeline.hang_detector import OPEN_HANG_S, HangDetector
from posed.timing import Backoff

log = logging.getLogger(__name__)

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 4.0
"""Between attempts to open a device that is absent, or fails soon after it was opened, s: whoever plugs it in
again sees poses within 10 s, an attempt that was just under way included."""

DeviceKind = Literal["camera", "engine"]


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """How a device does: `ok`, `waiting` and why, or `paused`."""

    status: Literal["ok", "waiting", "paused"]
    why: str = ""


STARTING: Final = DeviceStatus("waiting", "starting")
"""A device that has neither been opened nor refused yet."""

OK: Final = DeviceStatus("ok")
PAUSED: Final = DeviceStatus("paused")


class DeviceMonitor:
    """Keeps how a device does.

    The thread that uses the device calls the methods and sets the status. Any thread may read the attributes
    and `hangs`: each is one value that is replaced as a whole, so there is no lock.

    Args:
        kind: which device it is.
        hang_s: after how long a call into its library counts as hanging, s.
        open_hang_s: the same for opening it, s.
        clock: monotonic time, s.
        jitter: random numbers, 0 to 1, for the delays between attempts to open it.

    Attributes:
        status: how it does now.
        errors: how often it failed, or could not be opened.
        reopened: how often it was opened again after that.
    """

    def __init__(
        self,
        kind: DeviceKind,
        hang_s: float,
        open_hang_s: float = OPEN_HANG_S,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.status = STARTING
        self.errors = 0
        self.reopened = 0
        self._kind = kind
        self._hang_s = hang_s
        self._open_hang_s = open_hang_s
        self._clock = clock
        self._hang_detector = HangDetector(kind, clock)
        self._backoff = Backoff(FIRST_DELAY_S, LONGEST_DELAY_S, jitter)
        self._attempt_at = 0.0
        self._failed = False
        self._lost_why = ""
        self._preparing_at: float | None = None

    @property
    def hangs(self) -> str | None:
        """That the device hangs, in one line; None while it does not."""
        return self._hang_detector.problem

    @property
    def call_lasts_s(self) -> float:
        """How long a call into its library has lasted, s; 0 while there is none."""
        return self._hang_detector.lasts_s

    def begin_opening(self) -> None:
        """An attempt to open the device begins."""
        self._attempt_at = self._clock()
        self._hang_detector.begin(self._open_hang_s)

    def opened(self) -> None:
        """The device is open."""
        self._hang_detector.end()
        self._preparing_at = None
        self.reopened += self._failed
        self._failed = False

    def begin_call(self) -> None:
        """A call into the device's library begins; the one before, if any, has ended."""
        self._hang_detector.begin(self._hang_s)

    def end_call(self) -> None:
        """The call into the device's library has ended."""
        self._hang_detector.end()

    def prepares(self, why: CameraPreparing) -> float:
        """Note that the device gets ready; returns how long to wait before it is asked again, s.

        What there was to say before is said for a while longer: a device that fails each time soon after it
        began would seem to do one thing and the other by turns.
        """
        self._hang_detector.end()
        now_s = self._clock()
        if self._preparing_at is None:
            self._preparing_at = now_s
        if now_s - self._preparing_at >= NEWS_AFTER_S:
            news = str(why) if self._failed else f"{STARTING.why}: {why}"
            self.status = DeviceStatus("waiting", news)
        elif self.status.status != "waiting":
            self.status = STARTING
        return FIRST_DELAY_S

    def lost(self, error: PosedError) -> float:
        """Note that the device was lost, or could not be opened; log it once per reason.

        Args:
            error: says why.

        Returns:
            How long to wait before the next attempt to open it, s: longer each time, unless the device worked
            for a while.
        """
        self._hang_detector.end()
        self.errors += 1
        self._failed = True
        self._preparing_at = None
        why, known = str(error), self.status.status == "waiting" and self._lost_why
        if why != known:
            log.warning("waiting for the %s: %s", self._kind, error)
        self._lost_why = why
        self.status = DeviceStatus("waiting", why)
        if self._clock() - self._attempt_at > LONGEST_DELAY_S:
            self._backoff.reset()
        return self._backoff.next_s()
