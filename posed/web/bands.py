"""How each camera did, from when to when: the bands of the timeline."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

Kind = Literal["empty", "somebody", "lying", "fall", "blind", "paused", "off"]
"""How a camera does; `off`: the daemon did not run, or had no such camera."""

LEAP_S: Final = 60.0
"""Between two looks, a second apart, a clock that goes further than this, or back by as much, was set, or the
machine slept, s: either way nothing is known of the time between."""


@dataclass(frozen=True, slots=True)
class Band:
    """A time in which a camera did the same all along, which is never `off`: that is where no band is.

    Args:
        number: bands are numbered as they begin, so that a later one has a higher number.
        camera: its name.
        begin_s: wall clock, s since 1970.
        end_s: likewise, not before `begin_s`; None while it goes on.
        kind: how the camera does.
    """

    number: int
    camera: str
    begin_s: float
    end_s: float | None
    kind: Kind


class BandTracker:
    """Makes bands of how every camera does, second by second; for one thread, but for the attributes.

    Attributes:
        noted_s: when it last heard of the cameras, s since 1970, as far as it believes the clock; None if it
            never did.
        going_on: the bands that have no end, by the camera's name; replaced as a whole.
    """

    def __init__(self) -> None:
        self.noted_s: float | None = None
        self.going_on: Mapping[str, Band] = {}
        self._kinds: Mapping[str, Kind] = {}
        self._count = 0

    def note(self, kinds: Mapping[str, Kind], now_s: float) -> Sequence[Band]:
        """Take in how every camera does now.

        Args:
            kinds: by the camera's name; of a camera that is not in it, nothing more is known.
            now_s: wall clock, s since 1970; it may leap.

        Returns:
            The bands that changed: those that end now and those that begin.
        """
        last_s = now_s if self.noted_s is None else self.noted_s
        leaps = abs(now_s - last_s) > LEAP_S
        self.noted_s = now_s = now_s if leaps else max(now_s, last_s)
        if kinds == self._kinds and not leaps:
            return ()
        self._kinds = dict(kinds)
        before = self.going_on
        same = {} if leaps else {name: band for name, band in before.items() if kinds.get(name) == band.kind}
        ended = [
            replace(band, end_s=last_s if leaps else now_s)
            for name, band in before.items()
            if name not in same
        ]
        begun = [
            self._begin(name, now_s, kind)
            for name, kind in kinds.items()
            if name not in same and kind != "off"
        ]
        self.going_on = same | {band.camera: band for band in begun}
        return [*ended, *begun]

    def _begin(self, camera: str, now_s: float, kind: Kind) -> Band:
        self._count += 1
        return Band(self._count, camera, now_s, None, kind)


def without_overlaps(bands: Iterable[Band], begin_s: float, end_s: float) -> list[tuple[float, float, Kind]]:
    """How one camera did from `begin_s` to `end_s`, without a gap and with nothing said twice.

    Where a clock was set back, bands overlap, and the one that began last is right. Where there is none, the
    camera was `off`.

    Args:
        bands: of the camera, in any order.
        begin_s: s since 1970.
        end_s: likewise; nothing comes of an end that is not after the begin.
    """
    if begin_s >= end_s:
        return []
    clipped: list[tuple[float, float, int, Kind]] = sorted(
        (begin, end, -band.number, band.kind)
        for band in bands
        if (begin := max(band.begin_s, begin_s))
        < (end := end_s if band.end_s is None else min(band.end_s, end_s))
    )
    edges = {begin_s, end_s, *(begin for begin, *_ in clipped), *(end for _, end, *_ in clipped)}
    coming = iter([*clipped, (end_s, end_s, 0, "off")])
    next_ = next(coming)
    there: list[tuple[int, float, Kind]] = []  # the one with the highest number first
    settled: list[tuple[float, float, Kind]] = []
    for left, right in pairwise(sorted(edges)):
        while next_[0] <= left:
            begin, end, order, kind = next_
            heapq.heappush(there, (order, end, kind))
            next_ = next(coming)
        while there and there[0][1] <= left:
            heapq.heappop(there)
        kind = there[0][2] if there else "off"
        if settled and settled[-1][2] == kind:
            settled[-1] = settled[-1][0], right, kind
        else:
            settled.append((left, right, kind))
    return settled
