"""What a subscriber saw of a fault, as a row of the table.

Columns:

    back     from the fault's end until a frame that was captured after it came as poses, s; for some rows
             until what the row names was well again, if that took longer. A hang ends with its process.
    queue    how much of that the daemon was ready to run and stood in line for a processor behind others, s:
             what is the machine's, not the daemon's, and not counted among its 10 s
    gap      the longest time without poses, s, the fault included
    silent   the longest part of such a gap in which nothing told of it: no `offline`, no `state` of the
             machine or the camera that says that something is waited for or nothing is seen, and the
             subscriber itself was connected, s
    wrong    how long `availability` did not tell the truth: `online` more than 2 s after the process had
             ended, or `offline` while poses came, s
    lost     events that the daemon had taken and that never came, of how many: those it granted, and those
             its log tells of. What it took in the last quarter of a second before a kill need not be on
             disk yet, and is not counted
    again    how often it was started again, and how the processes had ended

Wanted: back within 10 s but for the queue, no event lost, no silence over 30 s, availability never wrong.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tests.system.faults.keeper import Life
from tests.system.watcher import Watcher

CAMERA: Final = "hall"
POSES: Final = f"{CAMERA}/poses"
CAMERA_STATE: Final = f"{CAMERA}/state"

BACK_S: Final = 10.0
SILENT_S: Final = 30.0
SLACK_S: Final = 2.0
"""How long after an end or a beginning `availability` may still say the other thing."""


@dataclass(frozen=True)
class Account:
    """The figures of a row; see the top."""

    back_s: float
    queued_s: float
    gap_s: float
    silent_s: float
    wrong_s: float
    lost: int
    taken: int
    statuses: list[int]
    words: str = ""
    names: tuple[str, ...] = ()
    """Of the lost events, which are told behind the words."""

    @property
    def good(self) -> bool:
        """Whether it came out as wanted."""
        back_s = self.back_s - self.queued_s
        return back_s <= BACK_S and self.silent_s <= SILENT_S and self.wrong_s == 0 and self.lost == 0

    def __str__(self) -> str:
        again = f"{len(self.statuses)}" + (
            f" ({', '.join(map(ending, self.statuses))})" if self.statuses else ""
        )
        times = (self.back_s, self.queued_s, self.gap_s, self.silent_s, self.wrong_s)
        figures = "".join(
            f"{time_s:{width}.1f}" for time_s, width in zip(times, (5, 7, 7, 8, 7), strict=True)
        )
        told = "; ".join((self.words, *self.names))
        return f"{figures} {self.lost:5} of {self.taken:<4} {again:<14} {told}"


HEADER: Final = (
    f"{'':6} {'fault':31} {'back':>5} {'queue':>6} {'gap':>6} {'silent':>7} {'wrong':>6} {'lost':>13} "
    f"{'again':<14} what happens"
)


def ending(status: int) -> str:
    """How a process ended."""
    return signal.Signals(-status).name if status < 0 else str(status)


def account(  # noqa: PLR0917 all that there is to look back at
    watcher: Watcher,
    lives: Sequence[Life],
    back_s: float,
    queued_s: float,
    missing: Counter[tuple[object, ...]],
    taken: int,
) -> Account:
    """Look back at a row."""
    poses, now = list(watcher.times[POSES]), time.monotonic()
    gaps = [
        (before, after)
        for before, after in zip(poses, [*poses[1:], now], strict=True)
        if after - before > 0.5
    ]
    return Account(
        back_s=round(back_s, 1),
        queued_s=round(queued_s, 1),
        gap_s=round(max((after - before for before, after in gaps), default=0.0), 1),
        silent_s=round(max((silence(watcher, *gap) for gap in gaps), default=0.0), 1),
        wrong_s=round(wrong(watcher, lives, poses, now), 1),
        lost=missing.total(),
        taken=taken,
        statuses=[life.status for life in lives if life.status is not None],
        names=tuple(" ".join(map(str, one)) for one in missing),
    )


def silence(watcher: Watcher, began_at: float, ended_at: float) -> float:
    """How long nothing told a subscriber that there are no poses because something is wrong, s."""
    told = sorted(told_by(watcher))
    if any({who: bad for at, who, bad in told if at <= began_at}.values()):
        return 0.0
    return min((at for at, _, bad in told if bad and began_at < at < ended_at), default=ended_at) - began_at


def told_by(watcher: Watcher) -> Iterator[tuple[float, str, bool]]:
    """When something told a subscriber how all is, what that was, and whether it was bad news."""
    yield from ((at, "connection", not connected) for at, connected in watcher.connections)
    yield from ((at, "availability", payload == b"offline") for at, payload in watcher.kept("availability"))
    yield from ((at, "machine", waits(json.loads(payload))) for at, payload in watcher.kept("state"))
    yield from (
        (at, "camera", sees_nothing(json.loads(payload))) for at, payload in watcher.kept(CAMERA_STATE)
    )


def waits(state: dict[str, Any]) -> bool:
    """Whether the machine's `state` says that the engine or a camera is away."""
    return {state["engine"]["status"], *state["cameras"].values()} != {"ok"}


def sees_nothing(state: dict[str, Any]) -> bool:
    """Whether the camera's `state` says that nothing is seen."""
    return state["status"] != "ok" or state["people"] is None or state["fps"] == 0


def wrong(watcher: Watcher, lives: Sequence[Life], poses: Sequence[float], now: float) -> float:
    """How long `availability` did not tell the truth, s."""
    said = [(at, payload == b"online") for at, payload in watcher.kept("availability")]
    step_s, total_s = 0.1, 0.0
    heard = np.array([*poses, np.inf])
    for at in np.arange(said[0][0], now, step_s):
        online = [value for when, value in said if when <= at][-1]
        connected = [value for when, value in watcher.connections if when <= at][-1]
        if not connected:
            continue
        if online:
            total_s += step_s * dead(lives, at)
        else:
            # Poses before and after, and none of them near the change of what was said.
            changes = [when for when, _ in said if abs(when - at) < SLACK_S]
            total_s += step_s * (not changes and float(np.abs(heard - at).min()) < 0.5)
    return total_s


def dead(lives: Sequence[Life], at: float) -> bool:
    """Whether the process had ended for some time, and no other had been started."""
    return any(
        life.ended_at is not None and life.ended_at + SLACK_S < at < life.ended_at + SLACK_S + 60
        for life in lives
        if not any(other.began_at > (life.ended_at or 0) and other.began_at <= at for other in lives)
    )
