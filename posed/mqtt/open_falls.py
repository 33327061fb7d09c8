"""Falls of which nobody has said that they are over."""

from __future__ import annotations

from collections.abc import Iterable

from posed.mqtt.store import Fall
from posed.pipeline.occurrence import Occurrence


class OpenFalls:
    """Falls that are not over, of earlier runs too; whoever calls a method holds the spool's lock.

    Args:
        run: this start of the daemon, within which ids of people name one person each.

    Attributes:
        all: the falls, oldest first; replaced, never changed.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self.all: tuple[Fall, ...] = ()

    def add_older(self, falls: Iterable[Fall]) -> None:
        """Add falls of earlier runs, oldest first."""
        self.all = (*falls, *self.all)

    def begin(self, event_id: str, occurrence: Occurrence) -> None:
        """Somebody has fallen.

        Args:
            event_id: id of the event that reports it.
            occurrence: the fall.
        """
        who = self._run, occurrence.person
        fall = Fall(event_id, occurrence.time_s, *who, occurrence.zone, occurrence.camera)
        self.all = (*self.all, fall)

    def end(self, occurrence: Occurrence) -> Fall | None:
        """A fall is over.

        Args:
            occurrence: names the fall by the id of its event in `detail`, or else the person who fell.

        Returns:
            The fall; None if there is none of that name and person.
        """
        fall = self._of_event(occurrence.detail.get("fall")) or self._of_person(occurrence)
        self.all = tuple(other for other in self.all if other is not fall)
        return fall

    def person_of(self, fall: Fall) -> int | None:
        """Who fell, as an id of this run; None if that is not known."""
        return fall.person if fall.run == self._run else None

    def _of_event(self, event_id: object) -> Fall | None:
        return next((fall for fall in self.all if fall.event == event_id), None)

    def _of_person(self, occurrence: Occurrence) -> Fall | None:
        who = self._run, occurrence.camera, occurrence.person
        return next((fall for fall in self.all if (fall.run, fall.camera, fall.person) == who), None)
