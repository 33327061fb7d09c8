"""The events that the broker has not acknowledged, and how many and how old they may become."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from posed.config import MqttEventsConfig
from posed.mqtt.store import Moment, StoredEvent

LASTING: Final = {"fall", "fall_cleared"}
"""Events of these types are of use however late they come."""


@dataclass(slots=True)
class WaitingEvent:
    """An event that the broker has not acknowledged.

    Args:
        stored: the event.
        on_disk: whether the file has it.
        on_its_way: whether it was sent, and the broker has not answered.
    """

    stored: StoredEvent
    on_disk: bool = False
    on_its_way: bool = False


class WaitingEvents:
    """Waiting events in the order in which they came; whoever calls a method holds the spool's lock.

    Args:
        config: the bounds.

    Attributes:
        dropped: how many events were dropped since the start.
        removed: ids of events that wait no more, and that the file may still have.
    """

    def __init__(self, config: MqttEventsConfig) -> None:
        self._config = config
        self._events: dict[str, WaitingEvent] = {}
        self.removed: set[str] = set()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[WaitingEvent]:
        return iter(self._events.values())

    def add(self, stored: StoredEvent) -> None:
        """Add the newest event; where there are too many, the oldest is dropped."""
        self._events[stored.id] = WaitingEvent(stored)
        self._keep_within_bound()

    def add_older(self, stored: Iterable[StoredEvent], *, on_disk: bool) -> None:
        """Add events that came before all that wait already.

        Args:
            stored: the events, oldest first.
            on_disk: whether the file has them.
        """
        older = {event.id: WaitingEvent(event, on_disk=on_disk) for event in stored}
        self._events = older | self._events
        self._keep_within_bound()

    def remove(self, event_id: str) -> None:
        """Remove an event, from the file too; one that is not there makes no difference."""
        if self._events.pop(event_id, None) is not None:
            self.removed.add(event_id)

    def drop_expired(self, now: Moment) -> bool:
        """Drop what is too old, but not what is on its way: that may still arrive, or come back here.

        Returns:
            Whether anything was dropped.
        """
        expired = [event for event in self if self._is_expired(event, now)]
        for event in expired:
            self._drop(event.stored.id)
        return bool(expired)

    def time_left_s(self, event: WaitingEvent, now: Moment) -> float:
        """In how many seconds an event is too old."""
        return self._config.max_age_s - event.stored.added.age_s(now)

    def _is_expired(self, event: WaitingEvent, now: Moment) -> bool:
        return not event.on_its_way and not event.stored.lasts and self.time_left_s(event, now) < 0

    def _keep_within_bound(self) -> None:
        """Drop the oldest, falls last."""
        while len(self._events) > self._config.max_waiting:
            oldest = next((event.stored.id for event in self if not event.stored.lasts), None)
            self._drop(oldest or next(iter(self._events)))

    def _drop(self, event_id: str) -> None:
        self.remove(event_id)
        self.dropped += 1
