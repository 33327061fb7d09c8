"""Where people are: in which zones, and who came and went."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from posed.config import PeopleConfig, ZoneConfig
from posed.people.person import Person
from posed.people.timing import Held
from posed.pose import LEFT_ANKLE, LEFT_HIP, RIGHT_ANKLE, RIGHT_HIP

_HIPS: Final = (LEFT_HIP, RIGHT_HIP)
_ANKLES: Final = (LEFT_ANKLE, RIGHT_ANKLE)

ZoneKind = Literal["normal", "resting", "exclude", "exit"]

NO_ZONES: Final[Mapping[str, ZoneConfig]] = {}

_INSIDE: Final = 1e-6
"""Who sticks out of the frame stands this far inside its edge, in parts of the frame."""


class Zone:
    """One place in the picture.

    Args:
        name: its name in the configuration.
        config: what it is.
    """

    def __init__(self, name: str, config: ZoneConfig) -> None:
        self.name = name
        self.kind: ZoneKind = config.kind
        self._anchor = config.anchor
        self._polygon = np.array(config.polygon, np.float64)

    def holds(self, person: Person, frame_size: tuple[int, int]) -> bool:
        """Whether somebody is inside, by the zone's anchor.

        Args:
            person: as seen now.
            frame_size: (width, height), px.
        """
        points = person.pose.points[person.visible]
        if not len(points):
            return False
        if self._anchor != "any":
            anchors = _ANKLES if self._anchor == "feet" else _HIPS
            seen = [index for index in anchors if person.visible[index]]
            lowest = points[points[:, 0].argmax()]
            points = (person.pose.points[seen].mean(0) if seen else lowest)[None]
        # Feet that the frame cuts off are just inside its border.
        places = np.clip(points[:, ::-1] / frame_size, _INSIDE, 1 - _INSIDE)
        return bool(contains(self._polygon, places).any())

    def has(self, x: float, y: float) -> bool:
        """Whether a place, in fractions of the frame, is inside."""
        return bool(contains(self._polygon, np.array([[x, y]]))[0])


class Zones:
    """Who is in which zone, with hold times; zones of kind `exclude` are no places to be in.

    Args:
        config: the hold times.
        zones: the camera's zones, by name.
    """

    def __init__(self, config: PeopleConfig, zones: Mapping[str, ZoneConfig]) -> None:
        self._inside: dict[int, dict[str, Held]] = {}
        self._unreported: set[int] = set()
        self.configure(config, zones)

    def configure(self, config: PeopleConfig, named: Mapping[str, ZoneConfig]) -> None:
        """Go on with other settings; nobody is in a zone any more that is none now."""
        zones = [Zone(name, zone) for name, zone in named.items()]
        self._places = [zone for zone in zones if zone.kind != "exclude"]
        self._excluded = [zone for zone in zones if zone.kind == "exclude"]
        self._enter_s, self._leave_s = config.zone_enter_s, config.zone_leave_s
        names = {zone.name for zone in self._places}
        for inside in self._inside.values():
            for name in inside.keys() - names:
                del inside[name]
            for held in inside.values():
                held.rise_s, held.fall_s = self._enter_s, self._leave_s

    def reported(self, people: Sequence[Person], frame_size: tuple[int, int]) -> list[Person]:
        """Those who are in no `exclude` zone, or were in none when last seen."""
        self._unreported = {
            one.id
            for one in people
            if (self._is_excluded(one, frame_size) if one.seen else one.id in self._unreported)
        }
        return [one for one in people if one.id not in self._unreported]

    def update(self, person: Person, frame_size: tuple[int, int], now_s: float) -> Iterator[tuple[str, bool]]:
        """Look where somebody is who is seen now.

        Yields:
            (zone, whether they entered) of each that they have just entered or left.
        """
        inside = self._inside.setdefault(person.id, {})
        for zone in self._places:
            held = inside.setdefault(zone.name, Held(self._enter_s, self._leave_s))
            if held.update(zone.holds(person, frame_size), now_s):
                yield zone.name, held.value

    def names_of(self, person: int) -> tuple[str, ...]:
        """The zones somebody is in, in the order of the configuration."""
        inside = self._inside.get(person)
        if not inside:
            return ()
        return tuple(zone.name for zone in self._places if zone.name in inside and inside[zone.name].value)

    def forget(self, person: int) -> tuple[str, ...]:
        """Take somebody out who is gone; returns the zones they were in."""
        names = self.names_of(person)
        self._inside.pop(person, None)
        return names

    def counts(self, people: Collection[int]) -> Mapping[str, int]:
        """By zone, how many of these people are in it."""
        return {
            zone.name: sum(
                zone.name in inside and inside[zone.name].value
                for person, inside in self._inside.items()
                if person in people
            )
            for zone in self._places
        }

    def name_at(self, x: float, y: float) -> str | None:
        """The first zone that a place is in, fractions of the frame; None where there is none."""
        return next((zone.name for zone in self._places if zone.has(x, y)), None)

    def in_exit(self, person: Person, frame_size: tuple[int, int]) -> bool:
        """Whether somebody, as last seen, is in an `exit` zone."""
        return any(zone.kind == "exit" and zone.holds(person, frame_size) for zone in self._places)

    def _is_excluded(self, person: Person, frame_size: tuple[int, int]) -> bool:
        return any(zone.holds(person, frame_size) for zone in self._excluded)

    def is_resting_at(self, x: float, y: float) -> bool:
        """Whether a place, in fractions of the frame, is in a `resting` zone."""
        return any(zone.kind == "resting" and zone.has(x, y) for zone in self._places)


def contains(polygon: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points are inside: those from which a ray to the right meets an odd number of sides.

    Args:
        polygon: (M, 2), x first.
        points: (N, 2), x first; one of nan is in no polygon.

    Returns:
        (N,)
    """
    start, end = polygon, np.roll(polygon, -1, 0)
    x, y = points[:, :1], points[:, 1:]
    spans = (start[:, 1] <= y) != (end[:, 1] <= y)
    rise = np.where(start[:, 1] == end[:, 1], 1.0, end[:, 1] - start[:, 1])
    meets = start[:, 0] + (y - start[:, 1]) / rise * (end[:, 0] - start[:, 0])
    return np.asarray((spans & (x < meets)).sum(1) % 2 == 1)
