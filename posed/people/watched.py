"""Somebody who is followed: how they were up lately, and whether they go down."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from posed.people.down import FROM_CHAIR, LONGEST_STEP_S, Place
from posed.people.floor import Bed, Floor, is_upright
from posed.people.lying import FITS, belief, lying_evidence
from posed.people.person import Person
from posed.people.posture import SITTING, STANDING, Posture, Seeing, Shape

UP_S: Final = 0.3
"""Somebody must have been up for this long before a fall, s."""

SAT_DOWN_S: Final = 1.0
"""Somebody who stood must sit for this long to have sat down, s."""

LYING_S: Final = 0.2
"""Somebody must be seen lying for this long to be down, s: a single pose may be wrong."""

UNSEEN_S: Final = 0.3
"""Whoever is not seen for this long is lost, s."""

BLIND_S: Final = 10.0
"""Whoever is not seen for longer may have lain down slowly meanwhile, s."""

_CROUCHING: Final = 0.45
_SUNK: Final = 0.2
_SINKING_PER_S: Final = 0.5
_LEANS_DEG: Final = 38.0
_MOVING_PER_S: Final = 0.15
"""On the way down are those whose head has come down by so much (`_SUNK`), in statures, at such a speed
(`_SINKING_PER_S`), or came down at all and is as low as that of somebody who crouches, or above a trunk that
leans. Sitting down and bending begin like that too, but end in being seen again."""

_CLEAR: Final = 0.4
_BEGINS_DEG: Final = 25.0
_BEGINS: Final = 0.08
_BEGINS_PER_S: Final = 0.25
"""Less of it is enough where the pose scores at least this: PoseNet loses many as soon as they lean."""

_FAR: Final = 0.22
"""Whoever is lost and smaller than this share of the frame's height has not fallen: their poses come and go
anyway."""

_AT_SIDE: Final = 0.03
"""Whose keypoints are so near a side of the frame, in statures, and is lost, has left by it."""

_HIPS_OVER_FLOOR: Final = 0.1
"""The hips of somebody who lies are this high over the floor, in statures."""

FROM_CHAIR_PER_S: Final = 0.4
"""Whose head comes down more slowly than this from sitting, in statures per second, lies down: falls from a
chair are at 0.41 to 0.9; who lies back from sitting on the floor goes mostly at 0.3."""

_STOOD_OVER_S: Final = 1.0
_SAT_OVER_S: Final = 0.4
"""The height of a head is averaged over `_STOOD_OVER_S` while somebody stands, and over this while they sit,
s: whoever sits on the floor with the feet towards a camera that looks down may seem up, so how high the head
was before is soon forgotten."""

_SPEED_OVER_S: Final = 0.5
_SPEED_LEAST_S: Final = 0.2
"""The head's speed is measured over `_SPEED_OVER_S` at most and over this at least, s: noise moves the head
by some 0.05 statures from one frame to the next, however many there are in a second."""

_SMALLER: Final = 0.95
"""Whoever looks smaller than this share of their stature before is measured by that stature."""


@dataclass(slots=True)
class Upright:
    """How somebody was up lately.

    Args:
        for_s: how long; `last_s`: until when; `ever`: whether they were up at any time.
        height: of their head over the floor, on average, statures.
        stood_s: until when they stood.
        sat_for_s: how long they have been sitting on a chair without a break.
        blind_s: for how long they were not seen since; `blind_from_s`: since when.
    """

    for_s: float = 0.0
    last_s: float = -math.inf
    ever: bool = False
    height: float = math.nan
    stood_s: float = -math.inf
    sat_for_s: float = 0.0
    blind_s: float = 0.0
    blind_from_s: float = math.inf

    def note(self, shape: Shape, height: float, now_s: float, step_s: float) -> None:
        """Take a frame in which they are up, with the head at this height."""
        self.for_s += step_s
        sits = shape.scores[SITTING] > shape.scores[STANDING]
        self.sat_for_s = self.sat_for_s + step_s if sits else 0.0
        if self.for_s >= UP_S - _ROUNDING_S:
            self.last_s, self.ever = now_s, True
            over_s = _SAT_OVER_S if sits else _STOOD_OVER_S
            self.height = _followed(self.height, height, step_s / over_s)
            self.stood_s = self.stood_s if sits else now_s
        self.blind_s, self.blind_from_s = 0.0, math.inf

    def note_unseen(self, gap_s: float, now_s: float) -> None:
        """They were not seen for a while until now, and are not up."""
        self.blind_s += gap_s
        self.blind_from_s = min(self.blind_from_s, now_s - gap_s)

    def end(self) -> None:
        """Whatever follows does not begin from being up."""
        self.for_s, self.last_s, self.sat_for_s = 0.0, -math.inf, 0.0

    def is_recent(self, since_s: float, now_s: float, within_s: float) -> bool:
        """Whether no more than a fall's time has passed, without that in which nobody saw them."""
        return now_s - since_s - min(self.blind_s, BLIND_S) <= within_s

    def posture(self, now_s: float, within_s: float) -> Posture:
        """From which posture they go down: who sits for a while has sat down."""
        sat = self.sat_for_s >= SAT_DOWN_S or not self.is_recent(self.stood_s, now_s, within_s)
        return "sitting" if sat else "standing"


@dataclass(slots=True)
class Watched:
    """What is known of somebody who is followed.

    Args:
        floor: under them; `bed`: what they lie on, None while they are up; `upright`: how they were up.
        low_for_s: how long they have been sitting on the floor without a break.
        lying_since_s: since when they lie; `lay_down_s` how long after they were up, unseen time apart.
        heads: (time, height of the head) of the last moments, each higher than all that came after it.
        speed: at which the head came down at most since they were up, statures per second.
        sinking: whether they are on the way down.
    """

    person: Person
    place: Place
    seen_s: float
    floor: Floor = field(default_factory=Floor)
    bed: Bed | None = None
    upright: Upright = field(default_factory=Upright)
    low_for_s: float = 0.0
    lying_since_s: float = math.nan
    lay_down_s: float = math.inf
    heads: deque[tuple[float, float]] = field(default_factory=deque)
    speed: float = 0.0
    sinking: bool = False

    def is_up_no_more(self) -> None:
        """Whatever follows is no fall from before."""
        self.upright.end()
        self.lying_since_s, self.sinking = math.nan, False

    def follow(
        self, seeing: Seeing, gap_s: float, now_s: float, within_s: float, width_px: int
    ) -> Posture | None:
        """Take how somebody who is not down is seen: until when they were up, whether they sink or lie.

        Args:
            seeing: them; `person`, `place` and `seen_s` are those of this frame already.
            gap_s: since they were seen before.
            now_s: elapsed time.
            within_s: how long a fall takes at most.
            width_px: of the frame.

        Returns:
            From which posture they have gone down, where they lie now; None where they do not.
        """
        step_s, size_px = min(gap_s, LONGEST_STEP_S), seeing.person.size_px
        if size_px < _SMALLER * self.floor.stature_px:  # who lies along the view looks small
            shape = seeing.shape.scaled(size_px / self.floor.stature_px)
            seeing = Seeing(seeing.person, seeing.joints, shape)
        up = self.floor.follow(seeing.joints, seeing.shape, size_px, step_s)
        height = self.floor.head_height(seeing.joints)
        speed = self._note_head(height, now_s)
        if up:
            self.upright.note(seeing.shape, height, now_s, step_s)
            self.low_for_s, self.speed, self.bed = 0.0, 0.0, None
        elif gap_s > UNSEEN_S:
            self.upright.note_unseen(gap_s, now_s)
        if not up:
            bed = self.bed = self.bed or Bed()
            dropped = bed.follow(seeing.joints, seeing.shape, size_px, now_s, step_s)
            if dropped and self.upright.is_recent(bed.last_s, now_s, within_s):
                self._drop_off(bed, seeing, now_s)
                return "lying"
        if math.isnan(height):
            return None
        self.speed = max(self.speed, speed)
        if not up and self.has_sat_down(seeing, step_s):
            self.is_up_no_more()
        before = self.upright.posture(now_s, within_s)
        self.sinking = (
            self.upright.is_recent(self.upright.last_s, now_s, within_s)
            and self._sinks(seeing, height, speed, before)
            and self.place.size >= _FAR
            and not self._at_side(width_px)
        )
        return before if self._lies(seeing, height, before, up=up, now_s=now_s, within_s=within_s) else None

    def has_sat_down(self, seeing: Seeing, step_s: float) -> bool:
        """Whether they have been sitting on the floor for a while: who lies after that has not fallen."""
        sits = seeing.shape.scores[SITTING] >= FITS and is_upright(seeing.shape)
        step_s *= belief(seeing.person.pose.score) if sits else -1.0
        self.low_for_s = max(0.0, self.low_for_s + step_s)
        return self.low_for_s >= SAT_DOWN_S

    def _note_head(self, height: float, now_s: float) -> float:
        """Take how high the head is now; returns how fast it came down just now, statures per second."""
        while len(self.heads) > 1 and now_s - self.heads[0][0] > _SPEED_OVER_S:
            self.heads.popleft()
        if math.isnan(height):
            return 0.0
        speed = 0.0
        if self.heads:
            highest_s, highest = self.heads[0]
            speed = (highest - height) / max(now_s - highest_s, _SPEED_LEAST_S)
        while self.heads and self.heads[-1][1] < height:
            self.heads.pop()
        self.heads.append((now_s, height))
        return speed

    def _lies(  # noqa: PLR0913 - the frame
        self, seeing: Seeing, height: float, before: Posture, *, up: bool, now_s: float, within_s: float
    ) -> bool:
        """Whether somebody who was up has been lying for a moment."""
        if up or not self._looks_lying(seeing, height, before):
            self.lying_since_s = math.nan
            return False
        if math.isnan(self.lying_since_s):
            self.lying_since_s = now_s
            self.lay_down_s = now_s - self.upright.last_s - min(self.upright.blind_s, BLIND_S)
        lasts_s = now_s - self.lying_since_s
        return lasts_s >= LYING_S - _ROUNDING_S and self.lay_down_s <= within_s

    def _looks_lying(self, seeing: Seeing, height: float, before: Posture) -> bool:
        """Whether they look as if they lay, far enough below where they were."""
        far = before == "standing" or self.upright.height - height >= FROM_CHAIR
        return far and lying_evidence(seeing.shape, seeing.joints, self.floor, before)[0] > 0

    def _drop_off(self, bed: Bed, seeing: Seeing, now_s: float) -> None:
        """They dropped off what they lay on: the floor is where they are."""
        assert seeing.joints.hips is not None
        hips_y, size_px = seeing.joints.hips[0], seeing.person.size_px
        seconds = max(now_s - bed.last_s, LYING_S)
        self.speed = max(self.speed, (hips_y - bed.y_px) / size_px / seconds)
        self.floor = Floor(hips_y + _HIPS_OVER_FLOOR * size_px, size_px)

    def _sinks(self, seeing: Seeing, height: float, speed: float, before: Posture) -> bool:
        """Whether somebody who was up a moment ago is on the way down, as they are seen now."""
        shape, sunk = seeing.shape, self.upright.height - height
        sits = is_upright(shape) and speed < _MOVING_PER_S
        low = (height <= _CROUCHING and not sits) or shape.lean_deg >= _LEANS_DEG
        dropped = sunk >= _SUNK and speed >= _SINKING_PER_S
        if before == "sitting":
            return dropped or (low and self.speed >= FROM_CHAIR_PER_S)
        moves = self.speed >= _MOVING_PER_S
        leans = moves and shape.lean_deg >= _BEGINS_DEG
        begins = leans or (sunk >= _BEGINS and speed >= _BEGINS_PER_S)
        return dropped or (low and moves) or (begins and seeing.person.pose.score >= _CLEAR)

    def _at_side(self, width_px: int) -> bool:
        """Whether the left or the right edge of the frame cuts them off: they are leaving, or come in."""
        xs = self.person.pose.points[self.person.visible, 1]
        if not len(xs):
            return False
        margin = _AT_SIDE * self.person.size_px
        return bool(xs.min() < margin or xs.max() > width_px - margin)


_ROUNDING_S: Final = 1e-6
"""Sums of frame times miss a limit by less."""


def _followed(old: float, new: float, step: float) -> float:
    """An average; `step` is the time beside that over which it is averaged, and nan says nothing."""
    if math.isnan(old) or math.isnan(new):
        return new if math.isnan(old) else old
    return old + (new - old) * (1 - math.exp(-step))
