"""Somebody who went down: where, from what, and what has been seen of it since."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec import Struct

from posed.people.floor import Floor
from posed.people.lying import KINDS, Kind
from posed.people.person import Person
from posed.people.posture import Posture
from posed.pose import LEFT_HIP, RIGHT_HIP

Seen = Literal["lying", "vanished"]
ClearedBy = Literal["upright", "left", "request"]


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

    def at_least(self, size: float) -> Place:
        """The same place of somebody who is no smaller than that: who lies along the view only looks so."""
        return Place(self.x, self.y, max(self.size, size))


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
        lying_for_s: how long they were seen lying.
        seen_for_s: how long they have been seen since.
        evidence: by its kind, for how long it was seen, weighed by how clear it was and by the score, s.
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
    lying_s: float = -math.inf
    lying_for_s: float = 0.0
    unclear_s: float = -math.inf
    standing_for_s: float = 0.0
    sitting_for_s: float = 0.0
    company_s: float = -math.inf
    tracks: set[int] = field(default_factory=set)
    seen_for_s: float = 0.0
    evidence: dict[Kind, float] = field(default_factory=dict)
    witness: Person | None = None

    @property
    def seen(self) -> Seen:
        """How it is known."""
        return "vanished" if self.lying_s == -math.inf else "lying"

    @property
    def evidence_s(self) -> float:
        """For how long they were clearly seen lying, less the time in which they clearly did not, s."""
        return sum(self.evidence.values()) - 2 * self.evidence.get("not_lying", 0.0)

    def floor(self, frame_height: int) -> Floor:
        """The floor on which they are."""
        return Floor(self.floor_y * frame_height, self.place.size * frame_height)

    def dump(self, now_s: float) -> dict[str, Any]:
        """All that must survive a restart, as plain data."""
        return {
            "number": self.number,
            "person": self.person,
            "confirmed": self.confirmed,
            "lying": self.seen == "lying",
            "lying_for_s": round(self.lying_for_s, 3),
            "seen_for_s": round(self.seen_for_s, 3),
            "evidence": {kind: round(seconds, 3) for kind, seconds in self.evidence.items()},
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
            lying_s=now_s if data["lying"] else -math.inf,
            lying_for_s=_finite(data.get("lying_for_s", 0.0)),
            seen_for_s=_finite(data.get("seen_for_s", 0.0)),
            evidence={kind: _finite(data["evidence"][kind]) for kind in KINDS if kind in data["evidence"]},
            company_s=now_s,
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
