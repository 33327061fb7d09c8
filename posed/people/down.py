"""Somebody who went down: where, from what, and what has been seen of it since."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from msgspec import Struct

from posed.people.floor import UP, Floor, is_upright
from posed.people.lying import FITS, KINDS, Kind, belief, lying_evidence
from posed.people.person import Person
from posed.people.posture import Posture, Seeing, Shape
from posed.pose import LEFT_HIP, RIGHT_HIP

Seen = Literal["lying", "vanished"]
ClearedBy = Literal["upright", "left", "request"]

LONGEST_STEP_S: Final = 0.5
"""A sighting counts for the time since the one before, but for no more than this."""

UP_AGAIN_S: Final = 1.0
"""Somebody must be up for this long to be down no more, s."""

FROM_CHAIR: Final = 0.36
"""Whose head comes down by less than this from sitting, in statures, lies down: falls from a chair are of 0.4
to 0.7; who lies back from sitting on the floor goes 0.3."""

_STILL_LYING_S: Final = 3.0
"""Whoever was seen lying counts as lying for this long, s: somebody upright there may be a helper."""

_SMALLEST: Final = 0.6
_LARGEST: Final = 1.6
"""A person who is not seen lying is taken for whoever went down only between these shares of their
stature."""

_UNCLEAR_S: Final = 1.5
"""Who was seen neither lying nor up so lately is not reported as fallen yet."""

_SAYS: Final = 0.03
"""Evidence for or against lying that is weaker says nothing."""

_GLIMPSED_S: Final = 2.0
_LYING_SHARE: Final = 0.14
"""Who is seen for longer than this after going down must be clearly seen lying for this share of the rest.
Real falls reach 0.16 to 1; somebody who crouches close to the floor reaches 0.02 to 0.12."""


class Place(Struct, frozen=True, gc=False):
    """Where somebody is: the hips, fractions of the frame; the size, their stature, is one of its height."""

    x: float
    y: float
    size: float

    @classmethod
    def of(cls, person: Person, frame_size: tuple[int, int]) -> Place:
        """Where a person is who is seen."""
        width, height = frame_size
        points, visible = person.pose.points, person.visible
        if visible[LEFT_HIP] and visible[RIGHT_HIP]:  # nearly always, and quicker
            (left_y, left_x), (right_y, right_x) = points[LEFT_HIP : RIGHT_HIP + 1].tolist()
            y, x = (left_y + right_y) / 2, (left_x + right_x) / 2
        else:
            hips = [hip for hip in (LEFT_HIP, RIGHT_HIP) if visible[hip]]
            chosen = points[hips] if hips else points[visible] if visible.any() else points
            y, x = chosen.mean(axis=0).tolist()
        return cls(x / width, y / height, person.size_px / height)

    def distance(self, other: Place, aspect: float) -> float:
        """To another place, in sizes of the larger person; `aspect` is the frame's width by its height."""
        return math.hypot((self.x - other.x) * aspect, self.y - other.y) / max(self.size, other.size)

    def is_near(self, other: Place, sizes: float, aspect: float) -> bool:
        """Whether another place is no further away than so many sizes of the larger person."""
        return self.distance(other, aspect) <= sizes

    def at_least(self, size: float) -> Place:
        """The same place of somebody who is no smaller than that: who lies along the view only looks so."""
        return Place(self.x, self.y, max(self.size, size))


class Sighting(Struct, frozen=True, gc=False):
    """What one frame says of somebody who is down.

    Args:
        person: them, as seen.
        place: where.
        evidence: how clearly they lie (1) or do not (-1), weighed; nan where nothing says so; `kind`: of what
            kind it is.
        weight: how far the pose is believed, 0-1.
        high: whether head and trunk are those of somebody up; `standing`, `sitting`: whether they look so.
    """

    person: Person
    place: Place
    evidence: float
    kind: Kind
    weight: float
    high: bool
    standing: bool
    sitting: bool


@dataclass(slots=True)
class Sightings:
    """What was seen of somebody since they went down.

    Args:
        lying_s: when they were last seen lying; `lying_for_s` how long.
        unclear_s: when they were last clearly seen not lying.
        standing_for_s, sitting_for_s: how long they have stood and sat since they were seen lying.
        seen_for_s: how long they have been seen.
        evidence: by its kind, for how long it was seen, weighed by how clear it was and by the score, s.
    """

    lying_s: float = -math.inf
    lying_for_s: float = 0.0
    unclear_s: float = -math.inf
    standing_for_s: float = 0.0
    sitting_for_s: float = 0.0
    seen_for_s: float = 0.0
    evidence: dict[Kind, float] = field(default_factory=dict)

    @property
    def evidence_s(self) -> float:
        """For how long they were clearly seen lying, less the time in which they clearly did not, s."""
        return sum(self.evidence.values()) - 2 * self.evidence.get("not_lying", 0.0)

    def take(self, sighting: Sighting, now_s: float, step_s: float) -> bool:
        """Take how they are seen; returns whether they are seen lying."""
        self.seen_for_s += step_s
        if not math.isnan(sighting.evidence):
            self.evidence[sighting.kind] = (
                self.evidence.get(sighting.kind, 0.0) + abs(sighting.evidence) * step_s
            )
        if sighting.high and (sighting.standing or sighting.sitting):
            self.standing_for_s += sighting.standing * sighting.weight * step_s
            self.sitting_for_s += sighting.sitting * sighting.weight * step_s
            return False
        if sighting.evidence < -_SAYS:
            self.unclear_s = now_s
        if not sighting.evidence > _SAYS:
            return False
        self.standing_for_s = self.sitting_for_s = 0.0
        self.lying_s = now_s
        self.lying_for_s += step_s
        return True

    def are_sure(self, now_s: float) -> bool:
        """Whether nothing of it speaks against a fall."""
        unclear = self.unclear_s > self.lying_s and now_s - self.unclear_s < _UNCLEAR_S
        wanted_s = _LYING_SHARE * max(0.0, self.seen_for_s - _GLIMPSED_S)
        return not unclear and self.evidence_s >= wanted_s

    def are_up(self, now_s: float, *, confirmed: bool) -> bool:
        """Whether they have been up for long enough to be down no more; who has fallen must stand."""
        still_lies = now_s - self.lying_s < _STILL_LYING_S  # and a helper stands there
        if self.standing_for_s >= UP_AGAIN_S and not still_lies:
            return True
        return not confirmed and self.standing_for_s + self.sitting_for_s >= UP_AGAIN_S


@dataclass(slots=True)
class Down:
    """Somebody who went down; fallen once `confirmed`.

    Args:
        number: of this going down, never used again.
        person: the id they had.
        place: where they were last seen, and their stature.
        at_s: when they went down, elapsed time.
        floor_y: where the floor is there, a fraction of the frame's height; nan where it is not known.
        before: the posture from which.
        speed: how fast their head came down at most, statures per second.
        up_height: how high their head was over the floor while up, statures; nan where it is not known.
        tracks: ids under which they are followed now.
        company_s: when somebody else was last near them.
        sightings: what was seen of them since.
        witness: them, as last seen not up.
    """

    number: int
    person: int
    place: Place
    at_s: float
    floor_y: float = math.nan
    before: Posture = "unknown"
    speed: float = 0.0
    up_height: float = math.nan
    confirmed: bool = False
    company_s: float = -math.inf
    tracks: set[int] = field(default_factory=set)
    sightings: Sightings = field(default_factory=Sightings)
    witness: Person | None = None

    @property
    def seen(self) -> Seen:
        """How it is known."""
        return "vanished" if self.sightings.lying_s == -math.inf else "lying"

    def floor(self, frame_height: int) -> Floor:
        """The floor on which they are."""
        return Floor(self.floor_y * frame_height, self.place.size * frame_height)

    def is_as_large(self, place: Place) -> bool:
        """Whether somebody at another place is about as large."""
        return _SMALLEST <= place.size / self.place.size <= _LARGEST

    def looks_lying(self, seeing: Seeing, place: Place, frame_height: int) -> bool:
        """Whether somebody, at this place, looks as if they lay where this one went down."""
        shape, floor = self._shape(seeing, place), self.floor(frame_height)
        return lying_evidence(shape, seeing.joints, floor, self.before)[0] > 0

    def sighting_of(self, seeing: Seeing, place: Place, frame_height: int) -> Sighting | None:
        """How they are seen in a frame; None where that must be somebody else, who is small and up."""
        floor, shape = self.floor(frame_height), self._shape(seeing, place)
        height, weight = floor.head_height(seeing.joints), belief(seeing.person.pose.score)
        evidence, kind = lying_evidence(shape, seeing.joints, floor, self.before)
        lay_back = self.before == "sitting" and self.up_height - height < FROM_CHAIR
        if evidence > 0 and self.seen == "vanished" and lay_back:
            evidence, kind = -1.0, "not_lying"
        evidence *= weight
        if place.size / self.place.size < _SMALLEST and not evidence > 0:
            return None
        standing, sitting, _ = (score >= FITS for score in shape.scores)
        high = not height < UP and is_upright(seeing.shape)
        return Sighting(seeing.person, place, evidence, kind, weight, high, standing, sitting)

    def take(self, sighting: Sighting, now_s: float, step_s: float) -> bool:
        """Take how they are seen; returns whether they are down no more."""
        if self.sightings.take(sighting, now_s, step_s):
            self.place = sighting.place.at_least(self.place.size)
        if not (sighting.high and sighting.standing):
            self.witness = sighting.person
        return self.sightings.are_up(now_s, confirmed=self.confirmed)

    def _shape(self, seeing: Seeing, place: Place) -> Shape:
        """A shape as shares of their stature: who lies along the view looks small."""
        return seeing.shape.scaled(min(place.size / self.place.size, 1.0))

    def dump(self, now_s: float) -> dict[str, Any]:
        """All that must survive a restart, as plain data."""
        return {
            "number": self.number,
            "person": self.person,
            "confirmed": self.confirmed,
            "lying": self.seen == "lying",
            "lying_for_s": round(self.sightings.lying_for_s, 3),
            "seen_for_s": round(self.sightings.seen_for_s, 3),
            "evidence": {kind: round(seconds, 3) for kind, seconds in self.sightings.evidence.items()},
            "before": self.before,
            "speed": round(self.speed, 3),
            "ago_s": round(now_s - self.at_s, 3),
            "place": [self.place.x, self.place.y, self.place.size],
            "floor": None if math.isnan(self.floor_y) else self.floor_y,
        }

    @classmethod
    def restored(cls, data: Mapping[str, Any], now_s: float) -> Down:
        """Whoever `dump` said was down.

        Raises:
            ValueError, KeyError, TypeError: it is no such data.
        """
        floor, before, confirmed = data.get("floor"), data.get("before", "unknown"), data["confirmed"]
        x, y, size = (_finite(value) for value in data["place"])
        if before not in ("standing", "sitting", "lying", "unknown") or not isinstance(confirmed, bool):
            raise ValueError(f"{before}, {confirmed}")
        if not (-1 <= x <= 2 and -1 <= y <= 2 and 0 < size <= 10):
            raise ValueError(data["place"])
        return cls(
            number=int(data["number"]),
            person=int(data["person"]),
            place=Place(x, y, size),
            floor_y=math.nan if floor is None else _finite(floor),
            at_s=now_s - _finite(data["ago_s"]),
            before=before,
            speed=_finite(data.get("speed", 0.0)),
            confirmed=confirmed,
            company_s=now_s,
            sightings=Sightings(
                lying_s=now_s if data["lying"] else -math.inf,
                lying_for_s=_finite(data.get("lying_for_s", 0.0)),
                seen_for_s=_finite(data.get("seen_for_s", 0.0)),
                evidence={
                    kind: _finite(data["evidence"][kind]) for kind in KINDS if kind in data["evidence"]
                },
            ),
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A fall that is confirmed, or one that is cleared (`by` says why)."""

    down: Down
    by: ClearedBy | None = None


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(number)
    return number
