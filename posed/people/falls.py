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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from posed.config import PeopleConfig
from posed.people.down import LONGEST_STEP_S, Change, Down, Place
from posed.people.person import Person
from posed.people.posture import Posture, Seeing
from posed.people.watched import BLIND_S, FROM_CHAIR_PER_S, LYING_S, UNSEEN_S, Watched
from posed.people.zones import Zones

ALONE_S: Final = 30.0
"""Who is found upright at the place of a fall is taken for another if others were there within this time."""

_SWAPPED_S: Final = 0.06
"""Who is found anew near somebody who has not been seen for so long may be the same person: it takes a few
frames until a pose that is nobody's is a person."""

_SAME_PLACE: Final = 1.0
_NEARBY: Final = 2.0
_MOVED: Final = 0.5
"""These are distances between hips in the picture, in statures: one person before and after a fall is at most
`_SAME_PLACE` away, people who may be taken for each other are at most `_NEARBY` apart, and from `_MOVED` on
somebody has gone elsewhere."""

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


class Falls:
    """Everybody who went down; a function of people and elapsed time.

    Args:
        config: `fall_within_s`, `fall_confirm_s`.
        zones: whose `resting` and `exit` places count.
    """

    def __init__(self, config: PeopleConfig, zones: Zones) -> None:
        self.configure(config)
        self._zones = zones
        self._watched: dict[int, Watched] = {}
        self._lost: list[Watched] = []
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
        self._now_s = now_s
        self._take_size(frame_size)
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
            down = _down_of(self._downs, person.id)
            if down is None:
                before = watched.follow(seeing, gap_s, now_s, self._within_s, frame_size[0])
                if before is not None:
                    self._go_down(watched, lying_from=before)
            elif self._is_up(down, watched, seeing, min(gap_s, LONGEST_STEP_S)):
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

    def _take_size(self, frame_size: tuple[int, int]) -> None:
        """Forget how people were in frames of another size: that is in px."""
        if frame_size != self._frame_size:
            self._watched.clear()
            self._lost.clear()
        self._frame_size, self._aspect = frame_size, frame_size[0] / frame_size[1]

    def forget(self, numbers: Iterable[int]) -> None:
        """Forget people who are not reported: that they are seen no more means nothing."""
        for number in numbers:
            self._watched.pop(number, None)

    def pause(self) -> None:
        """Nothing is reported for a while: nobody knows who is there. A fall that was reported goes on."""
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

    def _begin(self, seeing: Seeing, place: Place) -> Watched:
        """Somebody new: perhaps who is down, or who was lost a moment ago."""
        near = [down for down in self._downs if self._may_be(down, seeing, place)]
        if near:
            nearest = min(near, key=lambda down: down.place.distance(place, self._aspect))
            nearest.tracks.add(seeing.person.id)
        watched = self._lost_near(place) or Watched(seeing.person, place, self._now_s)
        self._watched[seeing.person.id] = watched
        return watched

    def _may_be(self, down: Down, seeing: Seeing, place: Place) -> bool:
        """Whether somebody new may be who went down."""
        if not down.place.is_near(place, _SAME_PLACE, self._aspect):
            return False
        return down.looks_lying(seeing, place, self._frame_size[1]) or (
            down.is_as_large(place) and self._now_s - down.company_s > ALONE_S
        )

    def _lost_near(self, place: Place) -> Watched | None:
        """Who was lost near here a moment ago, under the id of a track that may not have ended yet."""
        hidden = {
            number: watched
            for number, watched in self._watched.items()
            if self._now_s - watched.seen_s >= _SWAPPED_S and _down_of(self._downs, number) is None
        }
        self._lost = [watched for watched in self._lost if self._now_s - watched.seen_s <= BLIND_S]
        candidates = [
            watched
            for watched in (*self._lost, *hidden.values())
            if watched.place.is_near(place, _SAME_PLACE, self._aspect)
            and self._now_s - watched.seen_s <= BLIND_S
        ]
        if not candidates:
            return None
        found = min(candidates, key=lambda watched: watched.place.distance(place, self._aspect))
        self._lost = [watched for watched in self._lost if watched is not found]
        self._watched = {number: one for number, one in self._watched.items() if one is not found}
        return found

    def _go_down(self, watched: Watched, lying_from: Posture | None = None) -> None:
        """Somebody goes down: lies now, from which posture, or is lost on the way."""
        if lying_from == "sitting" and watched.speed < FROM_CHAIR_PER_S:
            return
        if self._zones.is_resting_at(watched.place.x, watched.place.y):
            return
        height_px = self._frame_size[1]
        down = Down(
            self._next,
            watched.person.id,
            watched.place.at_least(watched.floor.stature_px / height_px),
            min(watched.seen_s, watched.upright.blind_from_s),
            floor_y=watched.floor.y_px / height_px,
            before=lying_from or watched.upright.posture(self._now_s, self._within_s),
            speed=watched.speed,
            up_height=watched.upright.height,
            tracks={watched.person.id},
            witness=watched.person,
        )
        if lying_from is not None:
            down.sightings.lying_s, down.sightings.lying_for_s = watched.seen_s, LYING_S
        # Who turns out to crouch may yet fall from there.
        watched.lying_since_s, watched.sinking = math.nan, False
        self._next += 1
        self._downs.append(down)

    def _is_up(self, down: Down, watched: Watched, seeing: Seeing, step_s: float) -> bool:
        """Take how somebody is seen who is down; returns whether they are so no more."""
        sighting = down.sighting_of(seeing, watched.place, self._frame_size[1])
        if sighting is None:
            return False
        if watched.has_sat_down(seeing, step_s):
            watched.is_up_no_more()
        up = down.take(sighting, self._now_s, step_s)
        if up:
            watched.is_up_no_more()
        return up

    def _note_company(self) -> None:
        """Others near somebody who is down may be taken for them later: keep when they were there."""
        for down in self._downs:
            for number, watched in self._watched.items():
                seen = watched.seen_s == self._now_s and number not in down.tracks
                if seen and watched.upright.ever and down.place.is_near(watched.place, _NEARBY, self._aspect):
                    down.company_s = self._now_s

    def _end(self, one: Departed) -> list[Change]:
        """Somebody is followed no more: left, or is lost."""
        watched = self._watched.pop(one.person.id, None)
        down = _down_of(self._downs, one.person.id)
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
                    self._go_down(watched)
            return []
        moved = not down.place.is_near(watched.place, _MOVED, self._aspect)
        if left and (moved or (down.seen == "vanished" and not down.confirmed)):
            self._downs.remove(down)
            return [Change(down, "left")] if down.confirmed else []
        return []

    def _note_vanished(self) -> None:
        """Who is lost on the way down is down until found again."""
        for number, watched in self._watched.items():
            if not watched.sinking or self._now_s - watched.seen_s <= UNSEEN_S:
                continue
            if _down_of(self._downs, number) is None:
                self._go_down(watched)
                watched.sinking = False

    def _confirm(self) -> list[Change]:
        changes = []
        for down in list(self._downs):
            if down.confirmed:
                continue
            sightings, due = down.sightings, self._now_s - down.at_s >= self._confirm_s
            crouches = sightings.evidence_s <= -_CROUCHES_S
            if crouches or self._zones.is_resting_at(down.place.x, down.place.y):
                self._downs.remove(down)
            elif due and sightings.are_sure(self._now_s):
                down.confirmed = True
                sightings.standing_for_s = sightings.sitting_for_s = 0.0
                changes.append(Change(down))
        return changes


def _down_of(downs: Iterable[Down], track: int) -> Down | None:
    """Who is down on a track; None if nobody is."""
    return next((down for down in downs if track in down.tracks), None)
