"""Which of those who are followed are somebody: a coat, a backpack or a cushion looks like a person who lies.

Whoever has been upright, or has moved since first seen, is somebody from then on. What did neither is nobody,
as is, until they turn over, whoever was asleep in bed when posed was started.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from posed.people.posture import Joints, Point

MOVED: Final = 0.2
"""A middle must have moved by this much, in statures: the poses of what is still wander by half of that."""

_OVER_HIPS: Final = 0.2
_OVER_SHOULDERS: Final = 0.05
"""The head of somebody upright is at least `_OVER_HIPS` over the hips, and over the shoulders, where hips are
not seen, at least this, in statures."""

_AVERAGED_S: Final = 1.0
"""A middle is averaged over this long, s."""


@dataclass(slots=True)
class _Stranger:
    """Of whom nobody knows yet whether they are somebody: the middle as first seen, and lately."""

    first: Point
    lately: Point
    since_s: float
    seen_s: float


class Presence:
    """Tells people from things, by what they did since they were first seen."""

    def __init__(self) -> None:
        self._somebody: set[int] = set()
        self._strangers: dict[int, _Stranger] = {}

    def is_somebody(self, track: int) -> bool:
        """Whether a track is that of a person."""
        return track in self._somebody

    def update(self, track: int, joints: Joints, size_px: float, now_s: float) -> None:
        """Take how a track is seen."""
        if track in self._somebody:
            return
        if _is_upright(joints, size_px) or self._has_moved(track, joints, size_px, now_s):
            self._somebody.add(track)
            self._strangers.pop(track, None)

    def believe(self, tracks: Collection[int]) -> None:
        """These are people, for another reason: they went down."""
        self._somebody.update(tracks)

    def forget(self, tracks: Collection[int]) -> None:
        """Whose tracks ended."""
        self._somebody.difference_update(tracks)
        for track in tracks:
            self._strangers.pop(track, None)

    def _has_moved(self, track: int, joints: Joints, size_px: float, now_s: float) -> bool:
        middle = _middle(joints)
        if middle is None:
            return False
        known = self._strangers.get(track)
        if known is None:
            self._strangers[track] = _Stranger(middle, middle, now_s, now_s)
            return False
        known.lately = _towards(known.lately, middle, now_s - known.seen_s)
        if now_s - known.since_s <= _AVERAGED_S:
            known.first = known.lately
        known.seen_s = now_s
        return math.dist(known.lately, known.first) >= MOVED * size_px


def _towards(old: Point, new: Point, step_s: float) -> Point:
    share = 1 - math.exp(-step_s / _AVERAGED_S)
    return old[0] + share * (new[0] - old[0]), old[1] + share * (new[1] - old[1])


def _is_upright(joints: Joints, size_px: float) -> bool:
    """Whether a head is above the body."""
    if joints.head is None:
        return joints.shoulders is not None and _is_above(
            joints.shoulders, joints.hips, _OVER_HIPS / 2, size_px
        )
    if joints.hips is not None:
        return _is_above(joints.head, joints.hips, _OVER_HIPS, size_px)
    return _is_above(joints.head, joints.shoulders, _OVER_SHOULDERS, size_px)


def _is_above(upper: Point, lower: Point | None, by: float, size_px: float) -> bool:
    return lower is not None and lower[0] - upper[0] >= by * size_px


def _middle(joints: Joints) -> Point | None:
    parts = [part for part in (joints.shoulders, joints.hips) if part is not None]
    if not parts:
        return joints.head
    ys, xs = zip(*parts, strict=True)
    return sum(ys) / len(parts), sum(xs) / len(parts)
