"""Whether somebody stands, sits or lies, and which hands are up: read off the keypoints by rules.

All lengths are heights in the picture as a share of the person's size, so that neither the distance nor the
resolution matters. The rules:

- standing: the legs are long, however the back is bent. Their length is the mean of the hips over the ankles
  and twice the hips over the knees, or that of both which is seen: 0.49 upright, 0.15 on a chair. To a
  camera that looks down they are shorter, and what is long is less (`posed.people.pitch`). Nobody stands
  whose thighs look much shorter than the shins, nor who looks much shorter than when they stood there.
- sitting: the head is high above the hips (0.42 upright), but the legs are not long.
- lying: neither is high. Somebody who kneels and bends down comes near, with legs of 0.26.
- unknown: in between, or hips or head and shoulders are not seen.

Source of the proportions: Drillis and Contini's segment lengths as fractions of the stature. The limits are
where the drawn people's (`posed.synthetic`) standing, sitting and lying frames part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Final, Literal

from msgspec import Struct

from posed.people.person import Person
from posed.pose import (
    FACE,
    LEFT_ANKLE,
    LEFT_EAR,
    LEFT_EYE,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_SHOULDER,
    LEFT_WRIST,
    NOSE,
    RIGHT_EAR,
    RIGHT_EYE,
    RIGHT_HIP,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
)

Posture = Literal["standing", "sitting", "lying", "unknown"]

POSTURES: Final[tuple[Posture, ...]] = ("standing", "sitting", "lying")
"""These are all postures but unknown, in the order of their scores."""

STANDING, SITTING, LYING = range(len(POSTURES))
"""These are the indices of postures in `Scores`."""

Point = tuple[float, float]
"""A point is (y, x), px."""

Scores = tuple[float, float, float]
"""Scores say how well somebody fits each of `POSTURES`, 0-1."""

NOT_KNOWN: Final[Scores] = (0.0, 0.0, 0.0)

_EYES: Final = (LEFT_EYE, RIGHT_EYE)
_NOSE_AND_EARS: Final = (NOSE, LEFT_EAR, RIGHT_EAR)
_SHOULDERS: Final = (LEFT_SHOULDER, RIGHT_SHOULDER)
_HIPS: Final = (LEFT_HIP, RIGHT_HIP)
LEFT_OF_PAIRS: Final = (LEFT_SHOULDER, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE)
"""The right keypoint of each pair follows the left one."""

_HEAD_OVER_SHOULDERS: Final = 1.45
"""The head of somebody upright is this many times as high over the hips as the shoulders are."""

_LEGS_OF_STANDING: Final = (0.29, 0.37)
_LEGS_OF_LYING: Final = (0.20, 0.28)
_TRUNK_OF_SITTING: Final = (0.20, 0.28)
_THIGHS_OF_STANDING: Final = (0.45, 0.65)
_STILL_STANDING: Final = (0.7, 0.85)
"""Between the two numbers one posture turns into another; their middle is where both fit equally."""


class Shape(Struct, eq=False, dict=True):
    """Heights in the picture of one person, as shares of their size; nan where a part is not seen.

    Args:
        trunk: of the head over the hips.
        legs: their length, by the rule above.
        height: of the highest keypoint over the lowest.
        lean_deg: of the trunk from upright, 0-180.
        thighs: the hips over the knees beside the knees over the ankles; nan where these are not below them.
        shortening: how long upright legs look, beside what a level camera would see.
        beside_before: how long the legs are, or how high the head over the feet, whichever is more, beside
            what it was when they stood there; 1 where nobody knows.
    """

    trunk: float
    legs: float
    height: float
    lean_deg: float
    thighs: float = math.nan
    shortening: float = 1.0
    beside_before: float = 1.0

    @cached_property
    def scores(self) -> Scores:
        """How well each posture fits, by the rules above."""
        if math.isnan(self.trunk) or math.isnan(self.legs):
            return NOT_KNOWN
        standing, upright = self._stands(), _rise(self.trunk, _TRUNK_OF_SITTING)
        raised = max(standing, upright, _rise(self.legs, _LEGS_OF_LYING))
        return standing, min(upright, 1 - standing), 1 - raised

    def scaled(self, factor: float) -> Shape:
        """The same as shares of a size that is larger by 1 / factor."""
        # Not `dataclasses.replace`, which takes five times as long.
        trunk, legs, height = self.trunk * factor, self.legs * factor, self.height * factor
        return Shape(trunk, legs, height, self.lean_deg, self.thighs, self.shortening, self.beside_before)

    def _stands(self) -> float:
        long = _rise(self.legs / self.shortening, _LEGS_OF_STANDING)
        still = _rise(self.beside_before, _STILL_STANDING)
        thighs = 1.0 if math.isnan(self.thighs) else _rise(self.thighs, _THIGHS_OF_STANDING)
        return min(long, still, thighs)


class Joints(Struct, frozen=True, eq=False, gc=False):
    """Where the parts of one person are that are seen: (y, x) px, None where one is not.

    Args:
        head: the middle of what is seen of the face; the others are the middles between left and right.
        height_px: of the highest keypoint that is seen over the lowest; nan where none is.
    """

    head: Point | None
    shoulders: Point | None
    hips: Point | None
    knees: Point | None
    ankles: Point | None
    height_px: float

    @property
    def lean_deg(self) -> float:
        """Of the trunk from upright, 0-180; nan where its ends are not seen."""
        top = self.shoulders or self.head
        if top is None or self.hips is None:
            return math.nan
        return math.degrees(math.atan2(abs(top[1] - self.hips[1]), self.hips[0] - top[0]))


class Seeing(Struct, frozen=True, eq=False, gc=False):
    """A person who is seen in a frame, with what their keypoints say."""

    person: Person
    joints: Joints
    shape: Shape


def joints_of(person: Person) -> Joints:
    """Where somebody's parts are, as seen in this very frame: one that is only remembered may be wrong."""
    pose, visible = person.raw, person.raw_visible
    if pose is None or visible is None:
        pose, visible = person.pose, person.visible
    visible_now = visible.tolist()
    ys, xs = pose.points.T.tolist()
    rows = list(compress(ys, visible_now))
    height_px = max(rows) - min(rows) if rows else math.nan
    shoulders, hips, knees, ankles = [middle_of(ys, xs, visible_now, left) for left in LEFT_OF_PAIRS]
    return Joints(_face(ys, xs, visible_now), shoulders, hips, knees, ankles, height_px)


def _face(ys: list[float], xs: list[float], visible: list[bool]) -> Point | None:
    """The middle of what is seen of a face."""
    rows = list(compress(ys[FACE], visible))
    if not rows:
        return None
    return sum(rows) / len(rows), sum(compress(xs[FACE], visible)) / len(rows)


def middle_of(ys: list[float], xs: list[float], visible: list[bool], left: int) -> Point | None:
    """Between a left keypoint and the right one, or where the one of them is that is seen.

    Lists of numbers, since an array takes longer to make than these few to add up.
    """
    right = left + 1
    if visible[left] and visible[right]:
        return (ys[left] + ys[right]) / 2, (xs[left] + xs[right]) / 2
    if visible[left]:
        return ys[left], xs[left]
    return (ys[right], xs[right]) if visible[right] else None


def shape_of(joints: Joints, size_px: float, shortening: float = 1.0) -> Shape:
    """How somebody of that size is shaped in the picture, where upright legs are shortened by so much."""
    head, shoulders, hips = joints.head, joints.shoulders, joints.hips
    trunk = legs = thighs = math.nan
    if hips:
        if head:
            trunk = (hips[0] - head[0]) / size_px
        elif shoulders:
            trunk = (hips[0] - shoulders[0]) / size_px * _HEAD_OVER_SHOULDERS
        lengths = [joints.ankles[0] - hips[0]] if joints.ankles else []
        if joints.knees:
            lengths.append(2 * (joints.knees[0] - hips[0]))
        if lengths:
            legs = sum(lengths) / len(lengths) / size_px
        if joints.knees and joints.ankles and joints.ankles[0] > joints.knees[0]:
            thighs = (joints.knees[0] - hips[0]) / (joints.ankles[0] - joints.knees[0])
    return Shape(trunk, legs, joints.height_px / size_px, joints.lean_deg, thighs, shortening)


def surely_upright(joints: Joints, shape: Shape, size_px: float, frame_height: int) -> bool:
    """Whether somebody of whom everything is seen surely stands or walks, from wherever they are seen."""
    return (
        joints.ankles is not None
        and joints.ankles[0] < frame_height - _CUT * size_px
        and _THIGHS[0] <= shape.thighs <= _THIGHS[1]
        and shape.trunk >= _TRUNK
        and shape.lean_deg <= _LEAN_DEG
    )


_THIGHS: Final = (0.8, 1.5)
_TRUNK: Final = 0.2
_LEAN_DEG: Final = 15.0
"""Upright the thighs look about as long as the shins to any camera; on a chair they point at it or aside. Of
162 s of people on chairs, in footage, they look like this for one whole second."""

_CUT: Final = 0.03
"""Feet so near the lower border, in statures, may be beyond it."""


@dataclass(slots=True)
class Stood:
    """How long somebody's legs and how high their head looked when they surely stood, and where, px.

    Whoever sits down towards a camera looks smaller to it, with legs of nearly the right length for that; but
    feet that have not moved are as far away as they were. Who bends down keeps the legs, and in whose coat
    the hips are found lower keeps the height.
    """

    legs_px: float = math.nan
    height_px: float = math.nan
    feet: Point = (math.nan, math.nan)

    def compare(self, joints: Joints, shape: Shape, size_px: float, frame_height: int) -> None:
        """Note in a shape what it is beside what it was; before anything is read off it."""
        legs_px, feet, head = shape.legs * size_px, joints.ankles, joints.head
        if feet is None or head is None or math.isnan(legs_px):
            return
        height_px = feet[0] - head[0]
        if math.dist(self.feet, feet) <= _SAME_FEET * size_px:
            shape.beside_before = max(legs_px / self.legs_px, height_px / self.height_px)
        if surely_upright(joints, shape, size_px, frame_height) and shape.scores[STANDING] >= _SURELY:
            self.legs_px, self.height_px, self.feet = legs_px, height_px, feet


_SAME_FEET: Final = 0.3
"""Whose feet are so near to where they were has not gone, in statures."""
_SURELY: Final = 0.9


def _rise(value: float, limits: tuple[float, float]) -> float:
    """0 below the limits, 1 above, straight in between."""
    low, high = limits
    return min(max((value - low) / (high - low), 0.0), 1.0)


class PostureFilter:
    """One person's posture over time: scores follow what is seen, and the posture changes only when clear.

    Args:
        hold_s: about how long a new posture must last; the time constant of the scores.
    """

    def __init__(self, hold_s: float) -> None:
        self.hold_s = hold_s
        self._scores = NOT_KNOWN
        self.posture: Posture = "unknown"

    @property
    def confidence(self) -> float:
        """How well the posture fits lately, 0-1; 0 for unknown."""
        return 0.0 if self.posture == "unknown" else self._scores[POSTURES.index(self.posture)]

    def update(self, scores: Scores, step_s: float) -> Posture:
        """Take what one frame says, `step_s` after the one before that said something."""
        # What is merely not seen for a moment fades slowly.
        constant_s = self.hold_s if scores is not NOT_KNOWN else self.hold_s * _FADES_SLOWER
        share = 1 - math.exp(-step_s / constant_s)
        (standing, sitting, lying), (stands, sits, lies) = self._scores, scores
        standing += (stands - standing) * share
        sitting += (sits - sitting) * share
        lying += (lies - lying) * share
        self._scores = standing, sitting, lying
        best, confidence = max(self._scores), self.confidence
        if best >= CLEAR and best - confidence >= _AHEAD:
            self.posture = POSTURES[self._scores.index(best)]
        elif confidence < _LOST:
            self.posture = "unknown"
        return self.posture


CLEAR: Final = 0.6
_AHEAD: Final = 0.2
_LOST: Final = 0.3
_FADES_SLOWER: Final = 4.0
"""There is a hysteresis: a posture is taken on when it fits as well as `CLEAR` and better than the one before
by `_AHEAD`, and lost when it fits less than `_LOST`; while nothing is known of it, it fades this many times
as slowly."""


def hands_raised(person: Person) -> tuple[bool | None, bool | None]:
    """Whether the left and the right hand are up: the wrist above the eyes, of somebody upright.

    A hand comes down when its wrist is below the shoulders; in between, and where it is not seen, it is None.
    """
    points, visible = person.pose.points[:, 0].tolist(), person.visible.tolist()
    shoulders = [points[index] for index in _SHOULDERS if visible[index]]
    if not shoulders:
        return None, None
    shoulder = sum(shoulders) / len(shoulders)
    left, right = visible[LEFT_WRIST], visible[RIGHT_WRIST]
    if not ((left and points[LEFT_WRIST] <= shoulder) or (right and points[RIGHT_WRIST] <= shoulder)):
        return False if left else None, False if right else None  # as nearly always
    eyes = [points[index] for index in _EYES if visible[index]] or [
        points[index] for index in _NOSE_AND_EARS if visible[index]
    ]
    hips = [points[index] for index in _HIPS if visible[index]]
    top = min(sum(eyes) / len(eyes) if eyes else math.inf, shoulder - _EYES_OVER_SHOULDERS * person.size_px)
    upright = not hips or sum(hips) / len(hips) - shoulder >= _TRUNK_OF_RAISING * person.size_px

    def raised(wrist: int) -> bool | None:
        if not visible[wrist]:
            return None
        if points[wrist] > shoulder:
            return False
        return True if upright and points[wrist] < top else None

    return raised(LEFT_WRIST), raised(RIGHT_WRIST)


_EYES_OVER_SHOULDERS: Final = 0.10
"""Eyes are at least this share of the stature over the shoulders: 0.118 upright, the rest is for a bowed
head."""
_TRUNK_OF_RAISING: Final = 0.15
"""A hand counts as raised only of somebody whose shoulders are this share of the stature over the hips;
upright it is 0.29."""


Gesture = Literal["left_hand_raised", "right_hand_raised", "both_hands_raised"]


class Gestures:
    """One person's hands over time: each raising is reported once.

    Args:
        hold_s: how long a hand must be up.
    """

    def __init__(self, hold_s: float) -> None:
        self.hold_s = hold_s
        self._since_s: list[float | None] = [None, None]
        self._seen_s = [0.0, 0.0]
        self._reported = [False, False]

    def update(self, hands: tuple[bool | None, bool | None], now_s: float) -> Gesture | None:
        """Take what one frame says of the left and the right hand; returns a gesture that is complete now."""
        for side, up in enumerate(hands):
            if up:
                if self._since_s[side] is None:
                    self._since_s[side] = now_s
                self._seen_s[side] = now_s
            elif up is False or now_s - self._seen_s[side] > _UNCLEAR_S:
                self._since_s[side] = None
                if up is False:
                    self._reported[side] = False
        held = [since is not None and now_s - since >= self.hold_s - 1e-6 for since in self._since_s]
        raised = [since is not None for since in self._since_s]
        if all(raised):
            if all(held) and not all(self._reported):
                self._reported = [True, True]
                return "both_hands_raised"
            return None
        for side, name in enumerate(_ONE_HAND):
            if held[side] and not self._reported[side]:
                self._reported[side] = True
                return name
        return None


_ONE_HAND: Final[tuple[Gesture, Gesture]] = ("left_hand_raised", "right_hand_raised")

_UNCLEAR_S: Final = 0.4
"""A hand that is neither seen up nor down for so long is up no more; it is no new raising when seen again."""
