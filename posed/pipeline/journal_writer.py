"""Writes a scene's events into its journal, together with who is down."""

from __future__ import annotations

import logging
from typing import Any

from posed.people.events import Event, EventDetector
from posed.pipeline.journal import Journal, JournalError, State
from posed.pipeline.occurrence import Evidence, Occurrence

log = logging.getLogger(__name__)


class JournalWriter:
    """Gives events their ids and wall clock, and commits who is down with the events that report it.

    Args:
        journal: takes the events and who is down.
        detector: notices the events and knows who is down.
        camera: its name, for the log.
    """

    def __init__(self, journal: Journal, detector: EventDetector, camera: str) -> None:
        self._camera = camera
        self._journal = journal
        self._detector = detector
        self._ids_of_falls: dict[int, str] = {}
        self._falls_before: frozenset[object] = frozenset()
        """Numbers of those who went down in a run before: ids of people begin anew with each."""
        self._committed = self._downs()

    def restore(self) -> None:
        """Let the detector go on with who was down before, as the journal has it."""
        try:
            state = self._journal.read()
            if state is not None:
                self._restore(state)
        except (JournalError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning(
                "%s: cannot read who was down before, so falls from before end on request only: %s",
                self._camera,
                error,
            )
            self._journal.commit(self._state())
        self._falls_before = frozenset(down.number for down in self._detector.falls.down)
        self._committed = self._downs()

    def falls_of(self, event_id: str | None) -> list[int]:
        """Return the numbers of the falls that are not over: of all, or of the one that an event reported."""
        return [number for number, reported in self._ids_of_falls.items() if event_id in (None, reported)]

    def add(self, event: Event, time_s: float, keypoint_threshold: float) -> str:
        """Make an event part of the next commit.

        Args:
            event: as the detector noticed it.
            time_s: wall clock, s since 1970.
            keypoint_threshold: the score from which on a keypoint is visible.

        Returns:
            The event's id.
        """
        number = event.detail.get("fall")
        person = None if number in self._falls_before else event.person
        evidence = Evidence(event.evidence.pose, keypoint_threshold) if event.evidence else None
        detail = self._detail_of(event)
        event_id = self._journal.add(
            Occurrence(event.type, time_s, person, event.zone, detail, evidence, camera=self._camera)
        )
        if event.type == "fall" and isinstance(number, int):
            self._ids_of_falls[number] = event_id
        return event_id

    def commit(self) -> None:
        """Hand over the events that were added, with who is down where that changed."""
        downs = self._downs()
        self._journal.commit(None if downs == self._committed else self._state())
        self._committed = downs

    def _detail_of(self, event: Event) -> dict[str, Any]:
        """The event's detail, in which a fall has the id of its event instead of its number."""
        detail: dict[str, Any] = dict(event.detail)
        if event.type == "fall_cleared":
            detail["fall"] = self._ids_of_falls.pop(detail["fall"], "")
        elif event.type == "fall":
            del detail["fall"]
        return detail

    def _downs(self) -> tuple[list[tuple[int, bool]], dict[int, str]]:
        """Who is down and whether that is confirmed, and which events reported it."""
        downs = [(down.number, down.confirmed) for down in self._detector.falls.down]
        return downs, dict(self._ids_of_falls)

    def _state(self) -> State:
        ids = {str(number): event_id for number, event_id in self._ids_of_falls.items()}
        return {"falls": self._detector.dump(), "ids": ids}

    def _restore(self, state: State) -> None:
        """Take a state over.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is no such state.
        """
        ids = {int(number): str(event_id) for number, event_id in state["ids"].items()}
        self._detector.restore(state["falls"])
        self._ids_of_falls = ids
