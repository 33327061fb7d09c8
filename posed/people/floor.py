"""How high somebody's head is over the floor that they stand or sit on, in statures.

It is what tells a fall from sitting down, crouching and lying down on a bed: of somebody upright it is 0.85,
on a chair 0.6, crouching or on a bed 0.3 to 0.4, and on the floor 0.2 at most. The floor under somebody is
where their feet are, as long as they are up; while they go down, and when they are down, it stays there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from posed.people.posture import SITTING, STANDING, Joints, Shape

UP: Final = 0.5
"""Whoever stands, walks or sits on a chair has the head at least this high over the floor, in statures.
Sitting on the floor it is at 0.45."""

LOW: Final = 0.28
LOW_IN_ALL: Final = 0.41
"""Of whoever lies on the floor the head is no higher than this, and no higher than that together with how
high it is over the hips. Crouching with a bowed head it is 0.25 to 0.35, but 0.42 to 0.55 in all; on a bed it
is 0.35 to 0.45; along the view, where a body that lies looks upright, 0.23, and 0.37 to 0.40 in all."""

_LOW_AWAY: Final = 0.58
_LOW_AWAY_IN_ALL: Final = 0.80
_ON_FLOOR: Final = 0.15
_SHORT: Final = 0.24
_SHORT_TRUNK: Final = 0.26
_STRETCHED: Final = 0.4
"""The same limits for somebody who lies with the head away from a camera that looks down, which shows it
higher the further down it looks: the feet are on the floor, the legs as short as all of the body, and
straight. Of somebody who crouches or sits the knees are as high as the hips, or the trunk is upright."""

_HIPS_BENT: Final = 0.2
_LEGS_BENT: Final = 0.2
_BENT: Final = -0.5
"""Whose hips are this high over the floor, on legs that are this long, in statures, bends down, however low
the head is."""

_CLEAR: Final = 0.1
"""A head that is this far below or above a limit is as clear as it can be, in statures."""

UP_LEAN_DEG: Final = 40.0
"""Whose trunk leans further bends, and is not up."""

_FOLLOWS_S: Final = 0.4
_FOLLOWS_UNSEEN_S: Final = 1.0
"""The feet of somebody who walks are averaged over `_FOLLOWS_S`, and where they must be, unseen, over this,
s."""

_BELIEVED_S: Final = 1.0
"""Somebody must be seen upright for this long, lower in the picture than before, for the floor to be there,
s."""

_KNEES_OVER_FLOOR: Final = 0.28
_HIPS_OVER_FLOOR_STANDING: Final = 0.52
_HIPS_OVER_FLOOR_SITTING: Final = 0.30
_HEAD_OVER_SHOULDERS: Final = 0.14
"""These are shares of the stature. Source: Drillis and Contini, Body segment parameters, 1966."""


@dataclass(slots=True)
class Floor:
    """The floor under one person.

    Args:
        y_px: where it is in the picture; nan until it is known.
        stature_px: the person's, as of then.
    """

    y_px: float = math.nan
    stature_px: float = math.nan
    _doubted_s: float = 0.0

    def head_height(self, joints: Joints) -> float:
        """How high a head is over it, statures; nan where it is not known."""
        return (self.y_px - head_y(joints, self.stature_px)) / self.stature_px

    def lying_evidence(self, joints: Joints, shape: Shape) -> float:
        """How clearly somebody lies on it (1), or does not (-1); nan where it cannot be said."""
        height = self.head_height(joints)
        if math.isnan(height):
            return math.nan
        trunk = 0.0 if math.isnan(shape.trunk) else shape.trunk
        away = self._lies_away(joints, shape)
        if not away and height - trunk >= _HIPS_BENT and shape.legs >= _LEGS_BENT:
            return _BENT
        low, in_all = (_LOW_AWAY, _LOW_AWAY_IN_ALL) if away else (LOW, LOW_IN_ALL)
        # Whose head is below the hips lies with the head towards the camera, and so higher in the picture.
        below = min(low + max(0.0, -trunk) - height, in_all - height - trunk)
        return min(max(below / _CLEAR, -1.0), 1.0)

    def _lies_away(self, joints: Joints, shape: Shape) -> bool:
        """Whether somebody may lie with the head away from the camera: feet on the floor, legs stretched."""
        if joints.hips is None or joints.knees is None or joints.ankles is None:
            return False
        thighs, shins = joints.knees[0] - joints.hips[0], joints.ankles[0] - joints.knees[0]
        on_floor = abs(self.y_px - joints.ankles[0]) <= _ON_FLOOR * self.stature_px
        short = shape.legs <= _SHORT and not shape.trunk > _SHORT_TRUNK
        return on_floor and short and thighs >= _STRETCHED * shins

    def follow(self, joints: Joints, shape: Shape, stature_px: float, step_s: float) -> bool:
        """Take a frame: the floor goes with the feet of somebody who is up.

        Whose head has come down to where feet were is not up because a network finds legs below it; only who
        is seen like that for `_BELIEVED_S` stands somewhere else.

        Returns:
            Whether they are up.
        """
        y_px = feet_y(joints, shape, stature_px)
        upright = is_upright(shape) or _stands_headless(joints, shape)
        # A headless person's head is nan: nothing is said against them.
        if not upright or math.isnan(y_px) or y_px - head_y(joints, stature_px) < UP * stature_px:
            self._doubted_s = 0.0
            return False
        if self.head_height(joints) < UP:
            self._doubted_s += step_s
            if self._doubted_s < _BELIEVED_S:
                return False
            self.y_px = math.nan
        self._doubted_s = 0.0
        follows_s = _FOLLOWS_S if joints.ankles else _FOLLOWS_UNSEEN_S
        share = 1.0 if math.isnan(self.y_px) else 1 - math.exp(-step_s / follows_s)
        self.y_px = y_px if share == 1 else self.y_px + share * (y_px - self.y_px)
        self.stature_px = stature_px
        return True


@dataclass(slots=True)
class Bed:
    """What somebody lies on, and whether they have dropped off it.

    Args:
        y_px: where their trunk is in the picture; nan until they have lain for `_RESTS_S`.
        stature_px: theirs, and `last_s` when they were last seen there.
    """

    y_px: float = math.nan
    stature_px: float = math.nan
    last_s: float = -math.inf
    _rested_s: float = 0.0
    _dropped_s: float = math.nan

    def follow(self, joints: Joints, shape: Shape, stature_px: float, now_s: float, step_s: float) -> bool:
        """Take a frame in which they are not up.

        Returns:
            Whether they have been lying lower for `_DROPPED_S`, shoulders and hips alike.
        """
        if joints.shoulders is None or joints.hips is None or abs(shape.trunk) > _LEVEL:
            return False
        high, low = sorted((joints.shoulders[0], joints.hips[0]))
        if high > self.y_px + _DROP * self.stature_px:
            self._dropped_s = now_s if math.isnan(self._dropped_s) else self._dropped_s
            return now_s - self._dropped_s >= _DROPPED_S
        self._dropped_s = math.nan
        self._rested_s += step_s
        if math.isnan(self.y_px):
            self.y_px = low if self._rested_s >= _RESTS_S else math.nan
        else:
            # Slowly, or the bed would fall with them.
            self.y_px += (1 - math.exp(-step_s / _TURNS_S)) * (low - self.y_px)
        if not low > self.y_px + _STILL * stature_px:
            self.last_s, self.stature_px = now_s, stature_px
        return False


_LEVEL: Final = 0.15
_STILL: Final = 0.1
_DROP: Final = 0.22
"""These are heights in statures: the head of somebody who lies across the view is at most `_LEVEL` over the
hips, in bed they move by at most `_STILL`, and onto the floor shoulders and hips drop by at least `_DROP`."""

_RESTS_S: Final = 1.0
_DROPPED_S: Final = 0.5
_TURNS_S: Final = 3.0
"""Somebody must have lain in bed for `_RESTS_S`, and be seen lying lower for `_DROPPED_S`; what they lie on
is averaged over `_TURNS_S`, s."""


def is_upright(shape: Shape) -> bool:
    """Whether a trunk is upright, and seen."""
    return shape.lean_deg <= UP_LEAN_DEG and shape.trunk >= _TRUNK_UPRIGHT


def _stands_headless(joints: Joints, shape: Shape) -> bool:
    """Whether long legs are all that is seen of somebody: the picture ends above their hips."""
    return joints.head is None and math.isnan(shape.trunk) and shape.legs >= _LEGS


_LEGS: Final = 0.37
_TRUNK_UPRIGHT: Final = 0.2
"""A trunk whose head is less than this over the hips, of 0.42 upright, is not up: it bends far forwards, or
towards the camera."""


def head_y(joints: Joints, stature_px: float) -> float:
    """Where a head is, px; by the shoulders where no face is seen, nan where they are not either."""
    if joints.head is not None:
        return joints.head[0]
    if joints.shoulders is None:
        return math.nan
    lean_deg = 0.0 if math.isnan(joints.lean_deg) else joints.lean_deg
    return joints.shoulders[0] - _HEAD_OVER_SHOULDERS * stature_px * math.cos(math.radians(lean_deg))


def feet_y(joints: Joints, shape: Shape, stature_px: float) -> float:
    """Where the floor is under somebody who is up, px: at the ankles, else by what is seen above them."""
    if joints.ankles is not None:
        return joints.ankles[0]
    if joints.knees is not None:
        return joints.knees[0] + _KNEES_OVER_FLOOR * stature_px
    if joints.hips is None:
        return math.nan
    standing = shape.scores[STANDING] >= shape.scores[SITTING]
    over = _HIPS_OVER_FLOOR_STANDING if standing else _HIPS_OVER_FLOOR_SITTING
    return joints.hips[0] + over * stature_px
