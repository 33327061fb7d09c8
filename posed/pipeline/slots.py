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
    item takes the place of the one that waits, and keeps its turn. A source that took more than its turn lets
    the others go first once, and one that is urgent gets every second turn at most.

    Any thread may call any method: one condition guards all slots.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: dict[S, T] = {}
        """In the order in which the sources began to wait: a dict keeps the place of a key that it has."""
        self._urgent: set[S] = set()
        self._indebted: set[S] = set()
        self._was_urgent = False

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

    def is_free(self, source: S) -> bool:
        """Whether nothing of a source waits; only the thread that puts may rely on it."""
        with self._changed:
            return source not in self._items

    def take(self, wait_s: float) -> tuple[S, T] | None:
        """Take the item of the source whose turn it is.

        Args:
            wait_s: how long to wait for one, s.

        Returns:
            A source and its item; None if nothing came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._items), wait_s):
                return None
            source = self._next()
            item = self._items.pop(source)
            self._changed.notify_all()
        return source, item

    def indebt(self, source: S) -> None:
        """Let the others go before a source once, since it took more than its turn."""
        with self._changed:
            self._indebted.add(source)

    def hurry(self, source: S, *, urgent: bool) -> None:
        """Have a source go before the others in every second turn, or no longer."""
        with self._changed:
            if urgent:
                self._urgent.add(source)
            else:
                self._urgent.discard(source)

    def _next(self) -> S:
        """Whose turn it is, of those that wait."""
        urgent = next((source for source in self._items if source in self._urgent), None)
        self._was_urgent = urgent is not None and not self._was_urgent
        if urgent is not None and self._was_urgent:
            return urgent
        for source in list(self._items):
            if source not in self._indebted:
                return source
            self._indebted.discard(source)
            self._items[source] = self._items.pop(source)
        return next(iter(self._items))
