"""What happens to people, each event once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct

from posed.config import PeopleConfig, ZoneConfig
from posed.people.down import Change
from posed.people.falls import Departed, Falls
from posed.people.lying import KINDS
from posed.people.person import Person
from posed.people.pitch import Pitch
from posed.people.posture import (
    NOT_KNOWN,
    Gestures,
    Posture,
    PostureFilter,
    Seeing,
    Shape,
    Stood,
    hands_raised,
    joints_of,
    shape_of,
)
from posed.people.presence import Presence
from posed.people.timing import Elapsed
from posed.people.zones import NO_ZONES, Zones

EventType = Literal[
    "entered", "left", "zone_entered", "zone_left", "posture", "gesture", "fall", "fall_cleared"
]

Detail = Mapping[str, str | float | int]


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that is reported once.

    Args:
        time_s: of the frame in which it was known.
        person: id; of a fall that a restart survived, one of the run before. None where nobody can be named.
        zone: the zone it is about, or the first that the person is in; None outside all.
        detail: by type. left: `how` (`border`, `exit`, `lost`). posture: `posture`, `before`, `confidence`.
            gesture: `gesture`. fall: `fall` (its number), `seen` (`lying`, `vanished`), `ago_s` (since they
            went down), `lying_s` (for how long they were seen lying), `before` (from which posture), `speed`
            (of the head's way down, statures per second), and for each of `KINDS` for how long it was seen,
            weighed (`head_low_s`, …). fall_cleared: `fall`, `by` (`upright`, `left`,
            `request`).
        evidence: the person at that time, or as last seen; None where it was not seen in this run.
    """

    type: EventType
    time_s: float
    person: int | None
    zone: str | None
    detail: Detail
    evidence: Person | None


class TrackedPerson(Struct, frozen=True, eq=False, gc=False):
    """Somebody in a frame, and what is known of them.

    Args:
        confidence: of the posture, 0-1.
        zones: names of those they are in.
    """

    person: Person
    posture: Posture
    confidence: float
    zones: tuple[str, ...]


@dataclass(slots=True)
class _Known:
    """What was reported of somebody."""

    person: Person
    posture: PostureFilter
    gestures: Gestures
    spoke_s: float
    reported_posture: Posture = "unknown"


class EventDetector:
    """Turns people, frame by frame, into events; all times are the frames' own.

    Args:
        config: what is reported, and after which times.
        zones: the camera's zones, by name.
    """

    def __init__(self, config: PeopleConfig, zones: Mapping[str, ZoneConfig] = NO_ZONES) -> None:
        self._config = config
        self._elapsed = Elapsed()
        self._zones = Zones(config, zones)
        self._presence = Presence()
        self._falls = Falls(config, self._zones)
        self.pitch = Pitch(config.pitch_deg)
        """This says how far the camera looks down."""
        self._known: dict[int, _Known] = {}
        self._stood: dict[int, Stood] = {}
        self._time_s = 0.0
        self.people: list[TrackedPerson] = []
        """These people are reported in the last frame."""

    def configure(self, config: PeopleConfig, zones: Mapping[str, ZoneConfig] = NO_ZONES) -> None:
        """Go on with other settings."""
        self._config = config
        self._zones.configure(config, zones)
        self._falls.configure(config)
        self.pitch.given_deg = config.pitch_deg
        for known in self._known.values():
            known.posture.hold_s, known.gestures.hold_s = config.posture_hold_s, config.gesture_hold_s

    @property
    def falls(self) -> Falls:
        """Who is down; to be asked where somebody should be looked for."""
        return self._falls

    def zone_counts(self) -> Mapping[str, int]:
        """By zone, how many people are in it."""
        return self._zones.counts({one.person.id for one in self.people})

    def update(
        self,
        people: Sequence[Person],
        ended: Iterable[Departed],
        time_s: float,
        frame_size: tuple[int, int],
        *,
        dark: bool = False,
    ) -> list[Event]:
        """Take one frame.

        Args:
            people: everybody who is followed, hidden ones too.
            ended: whose tracks ended with this frame.
            time_s: of the frame; may jump.
            frame_size: (width, height), px.
            dark: whether it is too dark for what is seen to be believed.
        """
        self._time_s = time_s
        self._elapsed.advance(time_s)
        ended = list(ended)
        inside = self._zones.reported(people, frame_size)
        seen = {person.id: self._seeing(person, frame_size) for person in inside if person.seen}
        for track, seeing in seen.items():
            self._presence.update(track, seeing.joints, seeing.person.size_px, self._elapsed.now_s)
        reported = [person for person in inside if self._presence.is_somebody(person.id)]
        if not dark:
            known = [seen[person.id] for person in reported if person.seen]
            self.pitch.learn(known, self._elapsed.now_s, frame_size)
        events: list[Event] = []
        for person in reported:
            shape = seen[person.id].shape if person.id in seen else None
            events += self._events_of(person, shape, frame_size)
        if self._config.falls:
            if len(inside) < len(people):
                self._falls.forget({person.id for person in people} - {person.id for person in inside})
            changes = self._falls.update(
                list(seen.values()), ended, self._elapsed.now_s, frame_size, dark=dark
            )
            events += map(self._fall, changes)
            for down in self._falls.down:
                self._presence.believe(down.tracks)
        else:
            self._falls.pause()
        for one in ended:
            events += self._goodbye(one, frame_size)
        if ended:
            self._presence.forget({one.person.id for one in ended})
        self.people = [self._tracked(person) for person in reported]
        return events

    def clear_falls(self, number: int | None = None) -> list[Event]:
        """On request: a fall, or every one, is looked after."""
        return [self._fall(change) for change in self._falls.clear(number)]

    def dump(self) -> dict[str, Any]:
        """What must survive a restart, as plain data: who is down."""
        return self._falls.dump()

    def restore(self, data: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave, before the first frame.

        Raises:
            ValueError: it is no such data.
        """
        self._falls.restore(data)

    def _events_of(self, person: Person, shape: Shape | None, frame_size: tuple[int, int]) -> list[Event]:
        now_s = self._elapsed.now_s
        events = []
        known = self._known.get(person.id)
        if known is None:
            config = self._config
            known = _Known(
                person, PostureFilter(config.posture_hold_s), Gestures(config.gesture_hold_s), now_s
            )
            self._known[person.id] = known
            if config.presence:
                events.append(self._event("entered", person, {}))
        if shape is None:
            return events
        step_s, known.spoke_s, known.person = now_s - known.spoke_s, now_s, person
        for name, entered in self._zones.update(person, frame_size, now_s):
            events.append(self._event("zone_entered" if entered else "zone_left", person, {}, name))
        scores = NOT_KNOWN if self.pitch.state == "too_steep" else shape.scores
        before, after = known.reported_posture, known.posture.update(scores, step_s)
        if after not in ("unknown", before):
            known.reported_posture = after
            if self._config.postures:
                confidence = round(known.posture.confidence, 2)
                detail = {"posture": after, "before": before, "confidence": confidence}
                events.append(self._event("posture", person, detail))
        if self._config.gestures and (gesture := known.gestures.update(hands_raised(person), now_s)):
            events.append(self._event("gesture", person, {"gesture": gesture}))
        return events

    def _goodbye(self, one: Departed, frame_size: tuple[int, int]) -> list[Event]:
        known = self._known.pop(one.person.id, None)
        self._stood.pop(one.person.id, None)
        zones = self._zones.forget(one.person.id)
        if known is None:
            return []
        # Whose recording ends, or who is cut off by a pause, was not seen leaving.
        how = "lost" if one.border is None or one.cut else "border"
        if how == "lost" and not one.cut and self._zones.in_exit(known.person, frame_size):
            how = "exit"
        events = [self._event("zone_left", known.person, {"how": how}, zone) for zone in zones]
        if self._config.presence:
            events.append(self._event("left", known.person, {"how": how}))
        return events

    def _fall(self, change: Change) -> Event:
        down = change.down
        zone = self._zones.name_at(down.place.x, down.place.y)
        if change.by is None:
            ago_s = round(self._elapsed.now_s - down.at_s, 1)
            detail: Detail = {
                "fall": down.number,
                "seen": down.seen,
                "ago_s": ago_s,
                "lying_s": round(down.sightings.lying_for_s, 1),
                "before": down.before,
                "speed": round(down.speed, 2),
                **{f"{kind}_s": round(down.sightings.evidence.get(kind, 0.0), 1) for kind in KINDS},
            }
            return Event("fall", self._time_s, down.person, zone, detail, down.witness)
        detail = {"fall": down.number, "by": change.by}
        return Event("fall_cleared", self._time_s, down.person, zone, detail, down.witness)

    def _event(
        self,
        kind: EventType,
        person: Person,
        detail: Mapping[str, str | float | int],
        zone: str | None = None,
    ) -> Event:
        names = self._zones.names_of(person.id)
        return Event(kind, self._time_s, person.id, zone or (names[0] if names else None), detail, person)

    def _tracked(self, person: Person) -> TrackedPerson:
        known = self._known[person.id]
        posture = known.posture
        return TrackedPerson(person, posture.posture, posture.confidence, self._zones.names_of(person.id))

    def _seeing(self, person: Person, frame_size: tuple[int, int]) -> Seeing:
        joints = joints_of(person)
        shape = shape_of(joints, person.size_px, self.pitch.shortening(joints, frame_size))
        stood = self._stood.get(person.id) or self._stood.setdefault(person.id, Stood())
        stood.compare(joints, shape, person.size_px, frame_size[1])
        return Seeing(person, joints, shape)
