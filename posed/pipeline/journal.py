"""Where a scene's events go, together with what the scene must know after a restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from posed.pipeline.occurrence import Occurrence

State = Mapping[str, Any]
"""What a scene must know after a restart, as plain data that JSON can hold."""


class JournalError(Exception):
    """What was committed last cannot be read; the text is one line that says why."""


class Journal(Protocol):
    """Takes over one scene's events and its state.

    Events and a state that are committed together outlive a kill or a power cut together, or neither does.
    No method waits for a disk.
    """

    def read(self) -> State | None:
        """Return the state that was committed last, in a run before too; None if none ever was.

        Raises:
            JournalError: it is damaged, or cannot be read now.
        """

    def add(self, occurrence: Occurrence) -> str:
        """Make an event part of the next commit.

        Returns:
            The event's id.
        """

    def commit(self, state: State | None = None) -> None:
        """Take over the events that were added.

        Args:
            state: what the scene knows with these events; None if that is what it was before.
        """


class MemoryJournal:
    """A journal for recordings and measurements: events are reported at once, and the state ends with it.

    Args:
        report: takes each event and returns its id.
    """

    def __init__(self, report: Callable[[Occurrence], str] = lambda _: "") -> None:
        self._report = report
        self._state: State | None = None

    def read(self) -> State | None:
        """Return the state that was committed last; None if none ever was."""
        return self._state

    def add(self, occurrence: Occurrence) -> str:
        """Report an event; returns its id."""
        return self._report(occurrence)

    def commit(self, state: State | None = None) -> None:
        """Keep the state, if it is given."""
        self._state = self._state if state is None else state
