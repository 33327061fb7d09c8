"""The hand-over of the newest item from one thread to the next."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
T = TypeVar("T")


class Slots(Generic[S, T]):
    """One slot per source, from which one thread takes in fair turns.

    Nothing queues up, since a slot holds one item. The source that has waited longest comes first; a newer
    item takes the place of the one that waits, and keeps its turn.

    Any thread may call any method: one condition guards all slots.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: dict[S, T] = {}
        """In the order in which the sources began to wait: a dict keeps the place of a key that it has."""

    def put(self, source: S, item: T) -> bool:
        """Leave the newest item of a source; returns whether it replaced one that nobody had taken."""
        with self._changed:
            replaced = source in self._items
            self._items[source] = item
            self._changed.notify_all()
        return replaced

    def put_if_free(self, source: S, item: T, wait_s: float) -> bool:
        """Leave an item once the slot of its source is free; False if that takes longer than `wait_s`."""
        with self._changed:
            free = self._changed.wait_for(lambda: source not in self._items, wait_s)
            if free:
                self._items[source] = item
                self._changed.notify_all()
        return free

    def take(self, wait_s: float) -> tuple[S, T] | None:
        """Take the item of the source that has waited longest.

        Args:
            wait_s: how long to wait for one, s.

        Returns:
            The source and its item; None if nothing came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._items), wait_s):
                return None
            source = next(iter(self._items))
            item = self._items.pop(source)
            self._changed.notify_all()
        return source, item
