"""Who has fallen, is still down, and is up again.

Somebody goes down when they were up, standing or sitting, and within `fall_within_s` their head is as low as
that of somebody who lies on the floor (`posed.people.floor`); when they stood and lie within that time,
whatever they lie on; or when they are lost on the way down and not found again. It is a fall when they are
still down after `fall_confirm_s`, outside all resting zones, and were not seen up meanwhile.

People who lie are hard to see, so going down belongs to a place more than to a track: who is found near it
later, where nobody else is, is taken to be the same person. A fall ends only when that person is up again, is
seen leaving, or on request; losing the track ends nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from posed.config import PeopleConfig
from posed.people.down import Change, Down, Place
from posed.people.floor import UP, Bed, Floor, is_upright
from posed.people.lying import FITS, lying_evidence
from posed.people.person import Person
from posed.people.posture import Posture, Seeing, Shape
from posed.people.zones import Zones

UP_S: Final = 0.3
"""How long somebody must have been up before a fall, s."""

UP_AGAIN_S: Final = 1.0
"""How long somebody must be up to be down no more; and sit, after standing, to have sat down, s."""

LYING_S: Final = 0.2
"""How long somebody must be seen lying to be down: a single pose may be wrong, s."""

UNSEEN_S: Final = 0.3
"""Who is not seen for so long is lost, s."""

BLIND_S: Final = 10.0
"""Who is not seen for longer may have lain down slowly meanwhile, s."""

_STILL_LYING_S: Final = 3.0
"""For how long whoever was seen lying counts as lying: somebody upright there may be a helper."""

ALONE_S: Final = 30.0
"""Who is found upright at the place of a fall is taken for another if others were there within this time."""

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
"""Of the frame's height: who is smaller and lost has not fallen; their poses come and go anyway."""

_AT_SIDE: Final = 0.03
"""Whose keypoints are so near a side of the frame, in statures, and is lost, has left by it."""

_HIPS_OVER_FLOOR: Final = 0.1
"""Of somebody who lies, in statures."""

_FROM_CHAIR: Final = 0.36
_FROM_CHAIR_PER_S: Final = 0.4
"""Whose head comes down by less than this, in statures, or more slowly, from sitting lies down: falls from a
chair are of 0.4 to 0.7, at 0.41 to 0.9; who lies back from sitting on the floor goes 0.3, mostly at 0.3."""

_SWAPPED_S: Final = 0.06
"""Who is found anew near somebody who has not been seen for so long may be the same person: it takes a few
frames until a pose that is nobody's is a person."""

_STOOD_OVER_S: Final = 1.0
_SAT_OVER_S: Final = 0.4
"""Over how long the height of a head is averaged while somebody stands, and sits, s: who sits on the floor
with the feet towards a camera that looks down may seem up, so how high it was before is soon forgotten."""

_SPEED_OVER_S: Final = 0.5
_SPEED_LEAST_S: Final = 0.2
"""Over how long the head's speed is measured, at most and at least, s: noise moves it by some 0.05 statures
from one frame to the next, however many there are in a second."""

_SAME_PLACE: Final = 1.0
_NEARBY: Final = 2.0
_MOVED: Final = 0.5
"""Distances between hips in the picture, as a share of the stature: of one person before and after a fall; of
people who may be taken for each other; from which on somebody has gone elsewhere."""

_SMALLER: Final = 0.95
"""Of their stature before: whose shape is measured by that, not by how large they look."""

_SMALLEST: Final = 0.6
_LARGEST: Final = 1.6
"""Of the stature of whoever went down: as large is a person who is taken for them, not seen lying."""

_LONGEST_STEP_S: Final = 0.5
"""A sight counts for the time since the one before, but for no more than this."""

_UNCLEAR_S: Final = 1.5
"""Who was seen neither lying nor up so lately is not told to be fallen yet."""

_DOUBTED: Final = 0.25
_BELIEVED: Final = 0.5
"""Between these scores a pose counts in part: those that the network invents score little."""

_SAYS: Final = 0.03
"""Evidence for or against lying that is weaker says nothing."""

_GLIMPSED_S: Final = 2.0
_LYING_SHARE: Final = 0.14
"""Who is seen for longer than this after going down must be clearly seen lying for this share of the rest.
Real falls reach 0.16 to 1; somebody who crouches close to the floor reaches 0.02 to 0.12."""

_CROUCHES_S: Final = 0.5
"""Who is clearly seen crouching or sitting on the floor for so much longer than lying is not down."""


class Departed(Protocol):
    """Somebody whose track ended."""

    @property
    def person(self) -> Person:
        """As last seen."""

    @property
    def border(self) -> str | None:
        """Over which side of the frame they were leaving; None when they vanished inside it."""

    @property
    def cut(self) -> bool:
        """Whether frames were interrupted, so that nobody knows what became of them."""


@dataclass(slots=True)
class _Watched:
    """What is known of somebody who is followed.

    Args:
        floor: under them; `bed`: what they lie on.
        up_for_s: how long they were up lately; `up_s` until when, and `up_height` how high their head was;
            `stood_s` until when they stood; `was_up` whether ever.
        sat_for_s, low_for_s: how long they have been sitting without a break, on a chair and on the floor.
        lying_since_s: since when they lie; `lay_down_s` how long after they were up, unseen time apart.
        blind_s: for how long they were not seen since they were up; `blind_from_s` since when.
        heads: (time, height of the head) of the last moments, each higher than all that came after it.
        speed: at which the head came down at most since they were up, statures per second.
        sinking: whether they are on the way down.
    """

    person: Person
    place: Place
    seen_s: float
    floor: Floor = field(default_factory=Floor)
    bed: Bed = field(default_factory=Bed)
    up_for_s: float = 0.0
    up_s: float = -math.inf
    was_up: bool = False
    up_height: float = math.nan
    stood_s: float = -math.inf
    sat_for_s: float = 0.0
    low_for_s: float = 0.0
    lying_since_s: float = math.nan
    lay_down_s: float = math.inf
    blind_s: float = 0.0
    blind_from_s: float = math.inf
    heads: deque[tuple[float, float]] = field(default_factory=deque)
    speed: float = 0.0
    sinking: bool = False

    def note_head(self, height: float, now_s: float) -> float:
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

    def is_up_no_more(self) -> None:
        """Whatever follows is no fall from before."""
        self.up_for_s, self.up_s, self.sat_for_s = 0.0, -math.inf, 0.0
        self.lying_since_s, self.sinking = math.nan, False


class Falls:
    """Everybody who went down; a function of people and elapsed time.

    Args:
        config: `fall_within_s`, `fall_confirm_s`.
        zones: whose `resting` and `exit` places count.
    """

    def __init__(self, config: PeopleConfig, zones: Zones) -> None:
        self.configure(config)
        self._zones = zones
        self._watched: dict[int, _Watched] = {}
        self._lost: list[_Watched] = []
        self._downs: list[Down] = []
        self._next = 1
        self._aspect, self._frame_size = 1.0, (1, 1)
        self._now_s = 0.0
        self._was_dark = False

    def configure(self, config: PeopleConfig) -> None:
        """Go on with other settings."""
        self._within_s, self._confirm_s = config.fall_within_s, config.fall_confirm_s

    @property
    def fallen(self) -> list[Down]:
        """Those whose fall is confirmed and not cleared, the first first."""
        return [down for down in self._downs if down.confirmed]

    @property
    def down(self) -> list[Down]:
        """Those who went down, fallen or not yet: whoever looks for people should look there."""
        return list(self._downs)

    def update(
        self,
        people: Sequence[Seeing],
        ended: Iterable[Departed],
        now_s: float,
        frame_size: tuple[int, int],
        *,
        dark: bool = False,
    ) -> list[Change]:
        """Take one frame.

        Args:
            people: those who are seen in it.
            ended: whose tracks ended.
            now_s: elapsed time.
            frame_size: (width, height), px.
            dark: whether poses are not to be believed, so that nobody goes down.
        """
        self._now_s, self._frame_size = now_s, frame_size
        self._aspect = frame_size[0] / frame_size[1]
        if dark or self._was_dark:  # who was up before, or seemed so in the dark, counts no more
            for watched in (*self._watched.values(), *self._lost):
                watched.is_up_no_more()
        self._was_dark = dark
        changes = []
        for seeing in people:
            person = seeing.person
            place = Place.of(person, frame_size)
            watched = self._watched.get(person.id) or self._begin(seeing, place)
            gap_s = now_s - watched.seen_s
            watched.person, watched.place, watched.seen_s = person, place, now_s
            down = self._down_of(person.id)
            if down is None:
                self._watch(watched, seeing, gap_s)
            elif self._is_up(down, watched, seeing, min(gap_s, _LONGEST_STEP_S)):
                self._downs.remove(down)
                if down.confirmed:
                    changes.append(Change(down, "upright"))
        self._note_company()
        ended = list(ended)
        if any(one.cut for one in ended):  # who was lost before that may be anywhere by now
            self._downs = [down for down in self._downs if down.confirmed or down.seen == "lying"]
        for one in ended:
            changes += self._end(one)
        self._note_vanished()
        return changes + self._confirm()

    def forget(self, numbers: Iterable[int]) -> None:
        """People of whom nothing is to be told: that they are seen no more means nothing."""
        for number in numbers:
            self._watched.pop(number, None)

    def pause(self) -> None:
        """Nothing is told for a while: nobody knows who is there; a fall that was told is not over."""
        self._watched.clear()
        self._lost.clear()
        self._downs = self.fallen

    def clear(self, number: int | None = None) -> list[Change]:
        """Somebody says that a fall, or every one, is looked after.

        Args:
            number: of the fall; None for all.
        """
        cleared = [down for down in self.fallen if number in (None, down.number)]
        self._downs = [down for down in self._downs if down not in cleared]
        return [Change(down, "request") for down in cleared]

    def dump(self) -> dict[str, Any]:
        """All that must survive a restart, as plain data."""
        return {"next": self._next, "downs": [down.dump(self._now_s) for down in self._downs]}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave, before the first frame.

        Who is found upright at such a place soon after may be a helper, and clears nothing for a while.

        Raises:
            ValueError: it is no such data.
        """
        try:
            downs = [Down.restored(one, self._now_s) for one in data["downs"]]
            following = int(data["next"])
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise ValueError(f"falls: must be what dump gave, got {error!r}") from None
        self._downs, self._next = downs, following

    def _begin(self, seeing: Seeing, place: Place) -> _Watched:
        """Somebody new: perhaps who is down, or who was lost a moment ago."""
        near = [down for down in self._downs if self._may_be(down, seeing, place)]
        if near:
            nearest = min(near, key=lambda down: down.place.distance(place, self._aspect))
            nearest.tracks.add(seeing.person.id)
        watched = self._lost_near(place) or _Watched(seeing.person, place, self._now_s)
        self._watched[seeing.person.id] = watched
        return watched

    def _may_be(self, down: Down, seeing: Seeing, place: Place) -> bool:
        """Whether somebody new may be who went down."""
        if not self._is_near(down.place, place, _SAME_PLACE):
            return False
        shape = seeing.shape.scaled(min(place.size / down.place.size, 1.0))
        if lying_evidence(shape, seeing.joints, down.floor(self._frame_size[1]), down.before)[0] > 0:
            return True
        as_large = _SMALLEST <= place.size / down.place.size <= _LARGEST
        return as_large and self._now_s - down.company_s > ALONE_S

    def _lost_near(self, place: Place) -> _Watched | None:
        """Who was lost near here a moment ago, under the id of a track that may not have ended yet."""
        hidden = {
            number: watched
            for number, watched in self._watched.items()
            if self._now_s - watched.seen_s >= _SWAPPED_S and self._down_of(number) is None
        }
        self._lost = [watched for watched in self._lost if self._now_s - watched.seen_s <= BLIND_S]
        candidates = [
            watched
            for watched in (*self._lost, *hidden.values())
            if self._is_near(watched.place, place, _SAME_PLACE) and self._now_s - watched.seen_s <= BLIND_S
        ]
        if not candidates:
            return None
        found = min(candidates, key=lambda watched: watched.place.distance(place, self._aspect))
        self._lost = [watched for watched in self._lost if watched is not found]
        self._watched = {number: one for number, one in self._watched.items() if one is not found}
        return found

    def _watch(self, watched: _Watched, seeing: Seeing, gap_s: float) -> None:
        """Follow somebody who is not down: until when they were up, whether they sink, whether they lie."""
        step_s, size_px = min(gap_s, _LONGEST_STEP_S), seeing.person.size_px
        if size_px < _SMALLER * watched.floor.stature_px:  # who lies along the view looks small
            shape = seeing.shape.scaled(size_px / watched.floor.stature_px)
            seeing = Seeing(seeing.person, seeing.joints, shape)
        up = watched.floor.follow(seeing.joints, seeing.shape, size_px, step_s)
        height = watched.floor.head_height(seeing.joints)
        speed = watched.note_head(height, self._now_s)
        if up:
            self._note_up(watched, seeing.shape, height, step_s)
        elif gap_s > UNSEEN_S:
            watched.blind_s += gap_s
            watched.blind_from_s = min(watched.blind_from_s, self._now_s - gap_s)
        if not up and self._has_dropped(watched, seeing, step_s):
            self._drop(watched, seeing)
        elif not math.isnan(height):
            watched.speed = max(watched.speed, speed)
            if not up and self._has_sat_down(watched, seeing, step_s):
                watched.is_up_no_more()
            sinks = self._sinks(watched, seeing, height, speed)
            watched.sinking = sinks and watched.place.size >= _FAR and not self._at_side(watched.person)
            if self._lies(watched, seeing, height, up=up):
                self._go_down(watched, lying=True)

    def _lies(self, watched: _Watched, seeing: Seeing, height: float, *, up: bool) -> bool:
        """Whether somebody who was up has been lying for a moment."""
        if up or not self._may_lie(watched, seeing, height):
            watched.lying_since_s = math.nan
            return False
        if math.isnan(watched.lying_since_s):
            watched.lying_since_s = self._now_s
            watched.lay_down_s = self._now_s - watched.up_s - min(watched.blind_s, BLIND_S)
        lasts_s = self._now_s - watched.lying_since_s
        return lasts_s >= LYING_S - _ROUNDING_S and watched.lay_down_s <= self._within_s

    def _may_lie(self, watched: _Watched, seeing: Seeing, height: float) -> bool:
        """Whether somebody looks as if they lay, far enough below where they were."""
        before = self._before(watched)
        far = before == "standing" or watched.up_height - height >= _FROM_CHAIR
        return far and lying_evidence(seeing.shape, seeing.joints, watched.floor, before)[0] > 0

    def _has_dropped(self, watched: _Watched, seeing: Seeing, step_s: float) -> bool:
        """Whether somebody who lay has just dropped off what they lay on."""
        size_px, bed = seeing.person.size_px, watched.bed
        dropped = bed.follow(seeing.joints, seeing.shape, size_px, self._now_s, step_s)
        return dropped and self._is_recent(watched, bed.last_s)

    def _has_sat_down(self, watched: _Watched, seeing: Seeing, step_s: float) -> bool:
        """Whether somebody has been sitting on the floor for a while: who lies after that has not fallen."""
        sits = seeing.shape.scores[1] >= FITS and is_upright(seeing.shape)
        step_s *= _weight(seeing.person.pose.score) if sits else -1.0
        watched.low_for_s = max(0.0, watched.low_for_s + step_s)
        return watched.low_for_s >= UP_AGAIN_S

    def _drop(self, watched: _Watched, seeing: Seeing) -> None:
        """Somebody who lay has dropped off what they lay on: the floor is where they are."""
        assert seeing.joints.hips is not None
        seconds = max(self._now_s - watched.bed.last_s, LYING_S)
        way_px = seeing.joints.hips[0] - watched.bed.y_px
        watched.speed = max(watched.speed, way_px / seeing.person.size_px / seconds)
        watched.floor = Floor(
            seeing.joints.hips[0] + _HIPS_OVER_FLOOR * seeing.person.size_px, seeing.person.size_px
        )
        self._go_down(watched, lying=True, before="lying")

    def _sinks(self, watched: _Watched, seeing: Seeing, height: float, speed: float) -> bool:
        """Whether somebody is on the way down, as they are seen now."""
        if not self._is_recent(watched, watched.up_s):
            return False
        shape, sunk = seeing.shape, watched.up_height - height
        sits = is_upright(shape) and speed < _MOVING_PER_S
        low = (height <= _CROUCHING and not sits) or shape.lean_deg >= _LEANS_DEG
        dropped = sunk >= _SUNK and speed >= _SINKING_PER_S
        if self._before(watched) == "sitting":
            return dropped or (low and watched.speed >= _FROM_CHAIR_PER_S)
        moves = watched.speed >= _MOVING_PER_S
        leans = moves and shape.lean_deg >= _BEGINS_DEG
        begins = leans or (sunk >= _BEGINS and speed >= _BEGINS_PER_S)
        return dropped or (low and moves) or (begins and seeing.person.pose.score >= _CLEAR)

    def _at_side(self, person: Person) -> bool:
        """Whether the left or the right edge of the frame cuts somebody off: they are leaving, or come in."""
        xs = person.pose.points[person.visible, 1]
        if not len(xs):
            return False
        margin = _AT_SIDE * person.size_px
        return bool(xs.min() < margin or xs.max() > self._frame_size[0] - margin)

    def _note_up(self, watched: _Watched, shape: Shape, height: float, step_s: float) -> None:
        watched.up_for_s += step_s
        sits = shape.scores[1] > shape.scores[0]
        watched.sat_for_s = watched.sat_for_s + step_s if sits else 0.0
        if watched.up_for_s >= UP_S - _ROUNDING_S:
            watched.up_s, watched.was_up = self._now_s, True
            over_s = _SAT_OVER_S if sits else _STOOD_OVER_S
            watched.up_height = _followed(watched.up_height, height, step_s / over_s)
            watched.stood_s = watched.stood_s if sits else self._now_s
        watched.low_for_s = watched.blind_s = watched.speed = 0.0
        watched.blind_from_s, watched.bed = math.inf, Bed()

    def _is_recent(self, watched: _Watched, since_s: float) -> bool:
        """Whether no more than a fall's time has passed, without that in which nobody saw them."""
        return self._now_s - since_s - min(watched.blind_s, BLIND_S) <= self._within_s

    def _before(self, watched: _Watched) -> Posture:
        """From which posture somebody goes down who was up: who sits for a while has sat down."""
        sat = watched.sat_for_s >= UP_AGAIN_S or not self._is_recent(watched, watched.stood_s)
        return "sitting" if sat else "standing"

    def _go_down(self, watched: _Watched, *, lying: bool, before: Posture | None = None) -> None:
        before = before or self._before(watched)
        if before == "sitting" and lying and watched.speed < _FROM_CHAIR_PER_S:
            return
        if self._zones.is_resting_at(watched.place.x, watched.place.y):
            return
        height_px = self._frame_size[1]
        down = Down(
            self._next,
            watched.person.id,
            watched.place.at_least(watched.floor.stature_px / height_px),
            min(watched.seen_s, watched.blind_from_s),
            floor_y=watched.floor.y_px / height_px,
            before=before,
            speed=watched.speed,
            up_height=watched.up_height,
            tracks={watched.person.id},
            witness=watched.person,
        )
        if lying:
            down.lying_s, down.lying_for_s = watched.seen_s, LYING_S
        # Who turns out to crouch may yet fall from there.
        watched.lying_since_s, watched.sinking = math.nan, False
        self._next += 1
        self._downs.append(down)

    def _is_up(self, down: Down, watched: _Watched, seeing: Seeing, step_s: float) -> bool:
        """Take a sight of somebody who is down; whether they are so no more."""
        size, floor = watched.place.size / down.place.size, down.floor(self._frame_size[1])
        shape, height = seeing.shape.scaled(min(size, 1.0)), floor.head_height(seeing.joints)
        weight = _weight(seeing.person.pose.score)
        evidence, kind = lying_evidence(shape, seeing.joints, floor, down.before)
        lay_back = down.before == "sitting" and down.up_height - height < _FROM_CHAIR
        if evidence > 0 and down.seen == "vanished" and lay_back:
            evidence, kind = -1.0, "not_lying"
        evidence *= weight
        if size < _SMALLEST and not evidence > 0:
            return False  # who lies may look small; who is up and small is somebody else
        if self._has_sat_down(watched, seeing, step_s):
            watched.is_up_no_more()
        standing, sitting, _ = (score >= FITS for score in shape.scores)
        high = not height < UP and is_upright(seeing.shape)
        down.seen_for_s += step_s
        if high and (standing or sitting):
            down.standing_for_s += standing * weight * step_s
            down.sitting_for_s += sitting * weight * step_s
        elif evidence > _SAYS:
            down.standing_for_s = down.sitting_for_s = 0.0
            down.lying_s, down.place = self._now_s, watched.place.at_least(down.place.size)
            down.lying_for_s += step_s
        elif evidence < -_SAYS:
            down.unclear_s = self._now_s
        if not math.isnan(evidence):
            down.evidence[kind] = down.evidence.get(kind, 0.0) + abs(evidence) * step_s
        if not (high and standing):
            down.witness = watched.person
        still_lies = self._now_s - down.lying_s < _STILL_LYING_S  # and a helper stands there
        up = (down.standing_for_s >= UP_AGAIN_S and not still_lies) or (
            not down.confirmed and down.standing_for_s + down.sitting_for_s >= UP_AGAIN_S
        )
        if up:
            watched.is_up_no_more()
        return up

    def _note_company(self) -> None:
        """Others near somebody who is down may be taken for them later: keep when they were there."""
        for down in self._downs:
            for number, watched in self._watched.items():
                seen = watched.seen_s == self._now_s and number not in down.tracks
                if seen and watched.was_up and self._is_near(down.place, watched.place, _NEARBY):
                    down.company_s = self._now_s

    def _end(self, one: Departed) -> list[Change]:
        """Somebody is followed no more: left, or is lost."""
        watched = self._watched.pop(one.person.id, None)
        down = self._down_of(one.person.id)
        if down is not None:
            down.tracks.discard(one.person.id)
        if watched is None:
            return []
        # Whose recording ends or who is cut off by a pause may be anywhere. Who goes down is often lost over
        # the bottom edge, beyond which there is more floor.
        sinks = watched.sinking or down is not None
        over_border = one.border is not None and not (sinks and one.border == "bottom")
        left = not one.cut and (over_border or self._zones.in_exit(watched.person, self._frame_size))
        if down is None:
            if not left and not one.cut:
                self._lost.append(watched)
                if watched.sinking:
                    self._go_down(watched, lying=False)
            return []
        moved = not self._is_near(down.place, watched.place, _MOVED)
        if left and (moved or (down.seen == "vanished" and not down.confirmed)):
            self._downs.remove(down)
            return [Change(down, "left")] if down.confirmed else []
        return []

    def _note_vanished(self) -> None:
        """Who is lost on the way down is down until found again."""
        for number, watched in self._watched.items():
            if not watched.sinking or self._now_s - watched.seen_s <= UNSEEN_S:
                continue
            if self._down_of(number) is None:
                self._go_down(watched, lying=False)
                watched.sinking = False

    def _confirm(self) -> list[Change]:
        changes = []
        for down in list(self._downs):
            if down.confirmed:
                continue
            if down.evidence_s <= -_CROUCHES_S or self._zones.is_resting_at(down.place.x, down.place.y):
                self._downs.remove(down)
            elif self._now_s - down.at_s >= self._confirm_s and self._is_sure(down):
                down.confirmed = True
                down.standing_for_s = down.sitting_for_s = 0.0
                changes.append(Change(down))
        return changes

    def _is_sure(self, down: Down) -> bool:
        unclear = down.unclear_s > down.lying_s and self._now_s - down.unclear_s < _UNCLEAR_S
        wanted_s = _LYING_SHARE * max(0.0, down.seen_for_s - _GLIMPSED_S)
        return not unclear and down.evidence_s >= wanted_s

    def _down_of(self, track: int) -> Down | None:
        for down in self._downs:
            if track in down.tracks:
                return down
        return None

    def _is_near(self, one: Place, other: Place, sizes: float) -> bool:
        return one.distance(other, self._aspect) <= sizes


_ROUNDING_S: Final = 1e-6
"""Sums of frame times miss a limit by less."""


def _weight(score: float) -> float:
    """How far a pose of that score is believed, 0-1."""
    return min(max((score - _DOUBTED) / (_BELIEVED - _DOUBTED), 0.0), 1.0)


def _followed(old: float, new: float, step: float) -> float:
    """An average; `step` is the time beside that over which it is averaged, and nan says nothing."""
    if math.isnan(old) or math.isnan(new):
        return new if math.isnan(old) else old
    return old + (new - old) * (1 - math.exp(-step))
