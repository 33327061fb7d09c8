"""Who has fallen, is still down, and is up again.

Somebody goes down when they are upright and, within `fall_within_s`, lie, or are lost on the way down and not
found again. It is a fall when they are still down after `fall_confirm_s`, outside all resting zones, and were
seen neither upright nor sitting meanwhile. Who sits for a second on the way down lies down slowly.

People who lie are hard to see, so going down belongs to a place more than to a track: who is found near it
later, where nobody else is, is taken to be the same person. A fall ends only when that person is upright
again, is seen leaving, or on request; losing the track ends nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

from posed.config import PeopleConfig
from posed.people.person import Person
from posed.people.posture import NOT_KNOWN, Scores, Shape
from posed.people.zones import Zones

UPRIGHT_S: Final = 0.4
"""How long somebody must have been upright before a fall."""

UP_AGAIN_S: Final = 1.0
"""How long somebody must be upright, or sit, to be down no more; and sit, on the way down, not to fall."""

UNSEEN_S: Final = 0.3
"""Who is not seen for so long is lost, s."""

BLIND_S: Final = 6.0
"""Who is not seen for longer may have lain down slowly meanwhile, s."""

_STILL_LYING_S: Final = 3.0
"""For how long whoever was seen lying counts as lying: somebody upright there may be a helper."""

ALONE_S: Final = 30.0
"""Who is found upright at the place of a fall is taken for another if others were there within this time."""

_FITS: Final = 0.5
"""From which score on a posture counts here."""

_UPRIGHT_LEAN_DEG: Final = 20.0
_SUNK_LEAN_DEG: Final = 25.0
_SUNK: Final = 0.08
"""By how much the head comes nearer to the ankles on the way down, as a share of the size; upright it stays
within that of its height. A trunk may also lean: over 20 degrees are not upright, 25 are the way down."""

_LEGS_DOWN: Final = 0.25
"""Length of legs in the picture, as a share of the size, of 0.49 upright."""

_HEIGHT_OF_LYING: Final = 0.55
"""Nobody who lies is higher from the highest keypoint to the lowest, as a share of the size."""

_SAME_PLACE: Final = 1.0
_NEARBY: Final = 2.0
_MOVED: Final = 0.5
"""Distances between hips in the picture, as a share of the size: of one person before and after a fall; of
people who may be taken for each other; from which on somebody has gone elsewhere."""

_LONGEST_STEP_S: Final = 0.5
"""A sight counts for the time since the one before, but for no more than this."""

_UNCLEAR_S: Final = 1.5
"""Who was seen neither lying nor up so lately is not told to be fallen yet."""

Seen = Literal["lying", "vanished"]
ClearedBy = Literal["upright", "left", "request"]


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


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody is: the hips, fractions of the frame; the size is one of its height."""

    x: float
    y: float
    size: float

    @classmethod
    def of(cls, person: Person, frame_size: tuple[int, int]) -> Place:
        """Where a person is who is seen."""
        width, height = frame_size
        hips = [person.pose.points[index].tolist() for index in (11, 12) if person.visible[index]]
        points = hips or person.pose.points[person.visible].tolist() or person.pose.points.tolist()
        y, x = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
        return cls(x / width, y / height, person.size_px / height)

    def distance(self, other: Place, aspect: float) -> float:
        """To another place, in sizes of the larger person; `aspect` is the frame's width by its height."""
        return math.hypot((self.x - other.x) * aspect, self.y - other.y) / max(self.size, other.size)

    def at_least(self, size: float) -> Place:
        """The same place of somebody who is no smaller than that: who lies along the view only looks so."""
        return replace(self, size=max(self.size, size))


@dataclass(slots=True)
class Down:
    """Somebody who went down; fallen once `confirmed`.

    Args:
        number: of this going down, never used again.
        person: the id they had.
        place: where they were last seen, and how large they were upright.
        at_s: when they went down, elapsed time.
        tracks: ids under which they are followed now.
        evidence: them, as last seen not upright.
    """

    number: int
    person: int
    place: Place
    at_s: float
    confirmed: bool = False
    lying_s: float = -math.inf
    unclear_s: float = -math.inf
    upright_for_s: float = 0.0
    sitting_for_s: float = 0.0
    company_s: float = -math.inf
    tracks: set[int] = field(default_factory=set)
    evidence: Person | None = None

    @property
    def seen(self) -> Seen:
        """How it is known."""
        return "vanished" if self.lying_s == -math.inf else "lying"


@dataclass(frozen=True, slots=True)
class Change:
    """A fall that is confirmed, or one that is cleared (`by` says why)."""

    down: Down
    by: ClearedBy | None = None


@dataclass(slots=True)
class _Sight:
    """What is known of somebody who is followed."""

    person: Person
    place: Place
    seen_s: float
    upright_for_s: float = 0.0
    upright_s: float = -math.inf
    sitting_for_s: float = 0.0
    lying_since_s: float = math.nan
    blind_s: float = 0.0
    stature: float = math.nan
    size: float = 0.0
    sunk: bool = False


class Falls:
    """Everybody who went down; a function of people and elapsed time.

    Args:
        config: `fall_within_s`, `fall_confirm_s`.
        zones: whose `resting` and `exit` places count.
    """

    def __init__(self, config: PeopleConfig, zones: Zones) -> None:
        self.configure(config)
        self._zones = zones
        self._sights: dict[int, _Sight] = {}
        self._lost: list[_Sight] = []
        self._downs: list[Down] = []
        self._next = 1
        self._aspect, self._frame_size = 1.0, (1, 1)
        self._now_s = 0.0

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
        people: Sequence[tuple[Person, Shape]],
        ended: Iterable[Departed],
        now_s: float,
        frame_size: tuple[int, int],
    ) -> list[Change]:
        """Take one frame.

        Args:
            people: those who are seen in it, with their shapes.
            ended: whose tracks ended.
            now_s: elapsed time.
            frame_size: (width, height), px.
        """
        self._now_s, self._frame_size = now_s, frame_size
        self._aspect = frame_size[0] / frame_size[1]
        changes = []
        for person, shape in people:
            scores = shape.scores
            place = Place.of(person, frame_size)
            sight = self._sights.get(person.id) or self._begin(person, place, scores)
            step_s = min(now_s - sight.seen_s, _LONGEST_STEP_S)
            gap_s = now_s - sight.seen_s
            sight.person, sight.place, sight.seen_s = person, place, now_s
            down = self._down_of(person.id)
            if down is None:
                self._watch(sight, shape, step_s, gap_s)
            elif self._is_up(down, sight, shape, step_s):
                self._downs.remove(down)
                if down.confirmed:
                    changes.append(Change(down, "upright"))
        self._note_company()
        for one in ended:
            changes += self._end(one)
        self._note_vanished()
        return changes + self._confirm()

    def forget(self, numbers: Iterable[int]) -> None:
        """People of whom nothing is to be told: that they are seen no more means nothing."""
        for number in numbers:
            self._sights.pop(number, None)

    def pause(self) -> None:
        """Nothing is told for a while: who is there meanwhile is not known, who is down stays down."""
        self._sights.clear()
        self._lost.clear()

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
        return {
            "next": self._next,
            "downs": [
                {
                    "number": down.number,
                    "person": down.person,
                    "confirmed": down.confirmed,
                    "lying": down.seen == "lying",
                    "ago_s": round(self._now_s - down.at_s, 3),
                    "place": [down.place.x, down.place.y, down.place.size],
                }
                for down in self._downs
            ],
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave, before the first frame.

        Who is found upright at such a place soon after may be a helper, and clears nothing for a while.

        Raises:
            ValueError: it is no such data.
        """
        try:
            self._downs = [
                Down(
                    number=int(one["number"]),
                    person=int(one["person"]),
                    place=Place(*(float(value) for value in one["place"])),
                    at_s=self._now_s - float(one["ago_s"]),
                    confirmed=bool(one["confirmed"]),
                    lying_s=self._now_s if one["lying"] else -math.inf,
                    company_s=self._now_s,
                )
                for one in data["downs"]
            ]
            self._next = int(data["next"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"falls: must be what dump gave, got {error!r}") from None

    def _begin(self, person: Person, place: Place, scores: Scores) -> _Sight:
        """Somebody new: perhaps who is down, or who was lost a moment ago."""
        lying = scores[2] >= _FITS
        near = [down for down in self._downs if self._is_near(down.place, place, _SAME_PLACE)]
        near = [down for down in near if lying or self._now_s - down.company_s > ALONE_S]
        if near:
            nearest = min(near, key=lambda down: down.place.distance(place, self._aspect))
            nearest.tracks.add(person.id)
        sight = self._lost_near(place) or _Sight(person, place, self._now_s)
        self._sights[person.id] = sight
        return sight

    def _lost_near(self, place: Place) -> _Sight | None:
        """Who was lost near here a moment ago, under the id of a track that may not have ended yet."""
        hidden = {
            number: sight
            for number, sight in self._sights.items()
            if self._now_s - sight.seen_s > UNSEEN_S and self._down_of(number) is None
        }
        self._lost = [sight for sight in self._lost if self._now_s - sight.seen_s <= BLIND_S]
        candidates = [
            sight
            for sight in (*self._lost, *hidden.values())
            if self._is_near(sight.place, place, _SAME_PLACE) and self._now_s - sight.seen_s <= BLIND_S
        ]
        if not candidates:
            return None
        found = min(candidates, key=lambda sight: sight.place.distance(place, self._aspect))
        self._lost = [sight for sight in self._lost if sight is not found]
        self._sights = {number: sight for number, sight in self._sights.items() if sight is not found}
        return found

    def _watch(self, sight: _Sight, shape: Shape, step_s: float, gap_s: float) -> None:
        """Follow somebody who is not down: when they were upright, whether they sink, whether they lie."""
        standing, sitting, lying = (score >= _FITS for score in shape.scores)
        if standing and self._is_upright(shape, sight.stature):
            sight.upright_for_s += step_s
            if sight.upright_for_s >= UPRIGHT_S - 1e-6:
                sight.upright_s = self._now_s
            sight.stature = _followed(sight.stature, shape.trunk + shape.legs, step_s)
            sight.size = _followed(sight.size or math.nan, sight.place.size, step_s)
            sight.sitting_for_s, sight.lying_since_s, sight.blind_s, sight.sunk = 0.0, math.nan, 0.0, False
            return
        if gap_s > UNSEEN_S:
            sight.blind_s += gap_s
        if _says_nothing(shape):
            return
        sight.sitting_for_s = 0.0 if standing else sight.sitting_for_s + sitting * step_s
        if sight.sitting_for_s >= UP_AGAIN_S:
            sight.upright_s, sight.upright_for_s = -math.inf, 0.0
        seen_way_s = self._now_s - sight.upright_s - min(sight.blind_s, BLIND_S)
        recent = seen_way_s <= self._within_s
        sight.sunk = recent and (not standing or self._has_sunk(shape, sight.stature))
        if not lying:
            sight.lying_since_s = math.nan
        elif math.isnan(sight.lying_since_s):
            sight.lying_since_s = self._now_s
            if recent:
                self._go_down(sight, lying=True)

    def _is_upright(self, shape: Shape, stature: float) -> bool:
        leaning = shape.lean_deg > _UPRIGHT_LEAN_DEG
        return not leaning and not shape.trunk + shape.legs < stature - _SUNK

    def _has_sunk(self, shape: Shape, stature: float) -> bool:
        return shape.lean_deg >= _SUNK_LEAN_DEG or shape.trunk + shape.legs < stature - _SUNK

    def _go_down(self, sight: _Sight, *, lying: bool) -> None:
        if self._zones.is_resting_at(sight.place.x, sight.place.y):
            return
        down = Down(
            self._next,
            sight.person.id,
            sight.place.at_least(sight.size),
            sight.seen_s,
            tracks={sight.person.id},
            evidence=sight.person,
        )
        if lying:
            down.lying_s = sight.seen_s
        self._next += 1
        self._downs.append(down)

    def _is_up(self, down: Down, sight: _Sight, shape: Shape, step_s: float) -> bool:
        """Take a sight of somebody who is down; whether they are so no more."""
        shape = _scaled(shape, min(sight.place.size / down.place.size, 1.0))
        standing, sitting, lying = (score >= _FITS for score in shape.scores)
        if standing:
            down.upright_for_s += step_s
        elif sitting or (_says_nothing(shape) and shape.height > _HEIGHT_OF_LYING):
            down.sitting_for_s += step_s
        elif lying:
            down.upright_for_s = down.sitting_for_s = 0.0
            down.lying_s, down.place = self._now_s, sight.place.at_least(down.place.size)
        if not standing:
            down.evidence = sight.person
        if not lying and not (shape.scores is NOT_KNOWN and shape.legs < _LEGS_DOWN):
            down.unclear_s = self._now_s
        still_lies = self._now_s - down.lying_s < _STILL_LYING_S  # and a helper stands there
        up = (down.upright_for_s >= UP_AGAIN_S and not still_lies) or (
            not down.confirmed and down.upright_for_s + down.sitting_for_s >= UP_AGAIN_S
        )
        if up:
            sight.upright_for_s, sight.sunk = 0.0, False
            sight.upright_s, sight.lying_since_s = -math.inf, math.nan
        return up

    def _note_company(self) -> None:
        """Others near somebody who is down may be taken for them later: keep when they were there."""
        for down in self._downs:
            for number, sight in self._sights.items():
                seen = sight.seen_s == self._now_s and number not in down.tracks
                if seen and self._is_near(down.place, sight.place, _NEARBY):
                    down.company_s = self._now_s

    def _end(self, one: Departed) -> list[Change]:
        """Somebody is followed no more: left, or is lost."""
        sight = self._sights.pop(one.person.id, None)
        down = self._down_of(one.person.id)
        if sight is None:
            return []
        # Whose recording ends or who is cut off by a pause may be anywhere.
        left = not one.cut and (one.border is not None or self._zones.in_exit(sight.person, self._frame_size))
        if down is None:
            if not left and not one.cut:
                self._lost.append(sight)
                if sight.sunk:
                    self._go_down(sight, lying=False)
            return []
        down.tracks.discard(one.person.id)
        moved = not self._is_near(down.place, sight.place, _MOVED)
        if left and (moved or (down.seen == "vanished" and not down.confirmed)):
            self._downs.remove(down)
            return [Change(down, "left")] if down.confirmed else []
        return []

    def _note_vanished(self) -> None:
        """Who is lost on the way down is down until found again."""
        for number, sight in self._sights.items():
            if sight.sunk and self._now_s - sight.seen_s > UNSEEN_S and self._down_of(number) is None:
                self._go_down(sight, lying=False)
                sight.sunk = False

    def _confirm(self) -> list[Change]:
        changes = []
        for down in list(self._downs):
            if down.confirmed:
                continue
            if self._zones.is_resting_at(down.place.x, down.place.y):
                self._downs.remove(down)
            elif self._now_s - down.at_s >= self._confirm_s and not self._is_unclear(down):
                down.confirmed = True
                down.upright_for_s = down.sitting_for_s = 0.0
                changes.append(Change(down))
        return changes

    def _is_unclear(self, down: Down) -> bool:
        return down.unclear_s > down.lying_s and self._now_s - down.unclear_s < _UNCLEAR_S

    def _down_of(self, track: int) -> Down | None:
        return next((down for down in self._downs if track in down.tracks), None)

    def _is_near(self, one: Place, other: Place, sizes: float) -> bool:
        return one.distance(other, self._aspect) <= sizes


def _says_nothing(shape: Shape) -> bool:
    """Whether too little of somebody is seen; legs on the ground say something by themselves."""
    return shape.scores is NOT_KNOWN and not shape.legs < _LEGS_DOWN


def _scaled(shape: Shape, factor: float) -> Shape:
    """The shape as shares of a size that is larger by 1 / factor."""
    return replace(shape, trunk=shape.trunk * factor, legs=shape.legs * factor, height=shape.height * factor)


def _followed(old: float, new: float, step_s: float) -> float:
    """An average over about a second; nan says nothing."""
    if math.isnan(old) or math.isnan(new):
        return new if math.isnan(old) else old
    return old + (new - old) * (1 - math.exp(-step_s))
