"""How far a camera looks down, learned from people who stand or walk.

To a camera that looks down, upright people have short legs: these are seen at a slant, and are farther away
than the head. So the legs of people who are upright say how far it looks down. Who that is their thighs say
(`posed.people.posture.surely_upright`): those of somebody on a chair or in a wheelchair point at the camera
or aside, and look shorter than the shins. From a ceiling nobody looks upright: there people go about whose
heads are hardly above their hips.

For a pinhole camera of pitch p, a focal length of f px and a point r px below the picture's middle, let
k = cos p - r / f * sin p. What is upright there looks k * k as long, and what is level and across the view
k times as wide, as to a level camera at the same place. So the share that upright legs have of a stature
which is measured about the trunk shrinks by k(legs)² / k(trunk). In the upper half of the picture that is
little: people there look nearly as to a level camera.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from posed.people.posture import Joints, Point, Seeing, surely_upright

BELIEVED_S: Final = 15.0
"""A pitch is believed once people have been seen upright for so long, s: three of them at least, so that a
single one whose legs look wrong does not count."""

FROM_ONE_S: Final = 5.0
"""A single person counts for at most this much of that, s, since a track may be wrong."""

REMEMBERED_S: Final = 300.0
"""This much of it is remembered, s: a camera that is turned is learned anew within half of that."""

TOO_STEEP_DEG: Final = 50.0
"""From here on whoever lies or sits along the view looks like somebody who stands."""

STEEPEST_DEG: Final = 75

PitchState = Literal["ok", "learning", "too_steep"]
"""Postures are reported (`ok`), reported as of a level camera until its pitch is believed (`learning`), or
not reported (`too_steep`)."""

_FOCAL: Final = 0.8
"""The focal length is taken for this share of the picture's longer side: a field of view of 64 degrees, as
webcams and Pi cameras have."""

_LEGS: Final = 0.42
"""Legs have this share of the stature of people who stand before a level camera, as PoseNet sees both; of
bones it is 0.49."""

_ALLOWED: Final = 1.2
"""So many times the pitch is allowed for, since coats and skirts make legs look shorter and nothing makes
them longer: at 35 degrees people differ by as much."""

_AT_ONCE_S: Final = 1.0
"""Whoever looks upright in every frame for this long is upright, s."""

_GAP_S: Final = 0.5
"""Whoever is not seen for longer may have done anything, s."""

_FROM_ABOVE: Final = 0.2
"""Whose head is no higher over the hips than this, in statures, and who goes about, is seen from above."""

_GOES: Final = 0.5
_TOGETHER: Final = 0.2
"""Who goes about moves so far within `_AT_ONCE_S`, in statures, shoulders and hips alike but for so much. Who
falls or lies does so once in 24 falls, in footage."""

_LEAST_K: Final = 0.05
"""Where the view is steeper than that, no lengths are known."""

_PITCHES: Final = np.radians(np.arange(STEEPEST_DEG + 1))
_COSINES, _SINES = np.cos(_PITCHES), np.sin(_PITCHES)


@dataclass(slots=True)
class _Standing:
    """For how long somebody has looked upright.

    Args:
        seen_s: when they were last seen.
        learned_s: how much of it has been counted.
        for_s: without a break; `legs`, `legs_row` and `trunk_row` are summed over that, times s.
        above: since when they have looked as from above, and where shoulders and hips were then.
    """

    seen_s: float
    learned_s: float = 0.0
    for_s: float = 0.0
    legs: float = 0.0
    legs_row: float = 0.0
    trunk_row: float = 0.0
    above: tuple[float, Point, Point] | None = None

    def begin(self) -> None:
        """They do not look upright now, or what was seen is counted."""
        self.for_s = self.legs = self.legs_row = self.trunk_row = 0.0

    def goes_about(self, one: Seeing) -> bool:
        """Whether they have gone about for a while now, as seen from above."""
        top, hips, size_px = one.joints.shoulders or one.joints.head, one.joints.hips, one.person.size_px
        if top is None or hips is None or one.shape.trunk >= _FROM_ABOVE:
            self.above = None
            return False
        since_s, *before = self.above or (self.seen_s, top, hips)
        if self.seen_s - since_s < _AT_ONCE_S - _ROUNDING_S:
            self.above = since_s, before[0], before[1]
            return False
        self.above = self.seen_s, top, hips
        top_way, way = (_way(*ends) for ends in zip(before, (top, hips), strict=True))
        return math.hypot(*way) >= _GOES * size_px and math.dist(way, top_way) <= _TOGETHER * size_px


@dataclass(slots=True)
class Pitch:
    """What is known of a camera's pitch.

    Args:
        given_deg: the pitch, where it is configured; then nothing is learned.
        learned_deg: the pitch by what was learned; None until that is believed.
    """

    given_deg: float | None = None
    learned_deg: float | None = None
    _seconds: list[float] = field(default_factory=lambda: [0.0] * (STEEPEST_DEG + 1))
    """For each pitch, in degrees, this is how long people have looked like that, s."""
    _people: dict[int, _Standing] = field(default_factory=dict)

    @property
    def deg(self) -> float | None:
        """How far the camera looks down, degrees; None until that is believed."""
        return self.learned_deg if self.given_deg is None else self.given_deg

    @property
    def learned_s(self) -> float:
        """For how long people have been seen upright, s."""
        return sum(self._seconds)

    @property
    def state(self) -> PitchState:
        """Whether postures are reported."""
        if self.deg is None:
            return "learning"
        return "ok" if self.deg < TOO_STEEP_DEG else "too_steep"

    @property
    def words(self) -> str:
        """The same for people."""
        if self.deg is None:
            return f"people were seen upright for {self.learned_s:.0f} of {BELIEVED_S:.0f} s"
        found = f"looks down by about {self.deg:.0f} degrees"
        return found if self.state == "ok" else f"{found}, which is too steep for postures"

    def shortening(self, joints: Joints, frame_size: tuple[int, int]) -> float:
        """How long somebody's legs look if they are upright, beside what a level camera would see.

        Args:
            joints: where they are.
            frame_size: (width, height), px.

        Returns:
            1 also where nothing is known, for want of a pitch or since it is too steep.
        """
        if not self.deg or self.state != "ok":
            return 1.0
        rows = _rows(joints)
        if rows is None:
            return 1.0
        pitch = math.radians(self.deg * _ALLOWED)
        legs, trunk = (
            max(math.cos(pitch) - below * math.sin(pitch), _LEAST_K) for below in _below(rows, frame_size)
        )
        return legs * legs / trunk

    def learn(self, people: Iterable[Seeing], now_s: float, frame_size: tuple[int, int]) -> None:
        """Take one frame.

        Args:
            people: those who are seen in it.
            now_s: elapsed time.
            frame_size: (width, height), px.
        """
        if self.given_deg is not None:
            return
        for one in people:
            standing = self._people.get(one.person.id)
            if standing is None:
                standing = self._people[one.person.id] = _Standing(now_s)
            step_s, standing.seen_s = now_s - standing.seen_s, now_s
            if standing.learned_s < FROM_ONE_S:
                self._learn_from(one, standing, step_s, frame_size)
        if len(self._people) > _MANY:
            gone = [number for number, one in self._people.items() if now_s - one.seen_s > _GONE_S]
            for number in gone:
                del self._people[number]

    def dump(self) -> dict[str, Any]:
        """What must survive a restart, as plain data."""
        return {"seconds": [round(seconds, 1) for seconds in self._seconds]}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave.

        Raises:
            ValueError: it is no such data.
        """
        try:
            seconds = [float(value) for value in data["seconds"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"pitch: must be what dump gave, got {error!r}") from None
        if len(seconds) != len(self._seconds) or not all(0 <= one <= 2 * REMEMBERED_S for one in seconds):
            raise ValueError(f"pitch: must be {len(self._seconds)} times in s, got {seconds}")
        self._seconds = seconds
        self.learned_deg = self._believed()

    def _learn_from(
        self, one: Seeing, standing: _Standing, step_s: float, frame_size: tuple[int, int]
    ) -> None:
        if step_s > _GAP_S:
            standing.above = None
        if standing.goes_about(one):
            self._note(STEEPEST_DEG, _AT_ONCE_S)
            standing.learned_s += _AT_ONCE_S
        rows = _rows(one.joints)
        upright = surely_upright(one.joints, one.shape, one.person.size_px, frame_size[1])
        if rows is None or step_s > _GAP_S or not upright:
            standing.begin()
            return
        standing.for_s += step_s
        standing.legs += one.shape.legs * step_s
        standing.legs_row += rows[0] * step_s
        standing.trunk_row += rows[1] * step_s
        if standing.for_s < _AT_ONCE_S - _ROUNDING_S:
            return
        seconds = standing.for_s
        rows = standing.legs_row / seconds, standing.trunk_row / seconds
        self._note(_pitch_of(standing.legs / seconds, rows, frame_size), seconds)
        standing.learned_s += seconds
        standing.begin()

    def _note(self, deg: int, seconds: float) -> None:
        kept = min(1.0, REMEMBERED_S / (self.learned_s + seconds))
        self._seconds[deg] += seconds
        self._seconds = [value * kept for value in self._seconds]
        self.learned_deg = self._believed()

    def _believed(self) -> float | None:
        """The median, once people have been seen for long enough."""
        if self.learned_s < BELIEVED_S - _ROUNDING_S:
            return None
        return float(np.searchsorted(np.cumsum(self._seconds), self.learned_s / 2))


_MANY: Final = 50
_GONE_S: Final = 60.0
"""Of more people than that, those are forgotten who have not been seen for so long, s."""

_ROUNDING_S: Final = 1e-6
"""Sums of frame times miss a limit by less."""


def _rows(joints: Joints) -> tuple[float, float] | None:
    """How far down in the picture legs and trunk are, px; None where they are not seen."""
    top, hips, knees, ankles = joints.shoulders or joints.head, joints.hips, joints.knees, joints.ankles
    if top is None or hips is None:
        return None
    if knees is not None:
        return knees[0], top[0]
    return None if ankles is None else ((hips[0] + ankles[0]) / 2, top[0])


def _way(start: Point, end: Point) -> Point:
    return end[0] - start[0], end[1] - start[1]


def _below(rows: tuple[float, float], frame_size: tuple[int, int]) -> tuple[float, float]:
    """How far below the picture's middle rows are, as a share of the focal length."""
    width, height = frame_size
    legs, trunk = ((row - height / 2) / (_FOCAL * max(width, height)) for row in rows)
    return legs, trunk


def _pitch_of(legs: float, rows: tuple[float, float], frame_size: tuple[int, int]) -> int:
    """The least pitch to which somebody upright has legs of this share of their stature, whole degrees."""
    below_legs, below_trunk = _below(rows, frame_size)
    shares = _LEGS * _k(below_legs) ** 2 / _k(below_trunk)
    return min(int((shares > legs).sum()), STEEPEST_DEG)


def _k(below: float) -> NDArray[np.float64]:
    """For every pitch."""
    return np.asarray(np.maximum(_COSINES - below * _SINES, _LEAST_K))
