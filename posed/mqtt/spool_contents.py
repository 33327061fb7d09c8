"""What the spool holds in memory, and how much of it is on disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from posed.config import MqttEventsConfig
from posed.mqtt.open_falls import OpenFalls
from posed.mqtt.store import FORMER, Contents, Fall
from posed.mqtt.waiting_events import WaitingEvent, WaitingEvents


@dataclass(frozen=True, slots=True, eq=False)
class Transaction:
    """What the file lacks: written all at once.

    Args:
        events: events to add, oldest first.
        removed: ids of events to remove.
        falls: all falls that are not over.
        falls_changed: whether the file has other falls.
        scenes: what scenes must know after a restart and the file lacks, JSON by the camera's name.
    """

    events: list[WaitingEvent]
    removed: frozenset[str]
    falls: tuple[Fall, ...]
    falls_changed: bool
    scenes: dict[str, str]

    @property
    def is_empty(self) -> bool:
        """Whether the file lacks nothing."""
        return not (self.events or self.removed or self.falls_changed or self.scenes)


class SpoolContents:
    """Everything that several threads share.

    Whoever calls a method, of the parts too, holds `changed`. How many events wait or were dropped, and which
    falls are open, may be read without.

    Args:
        config: the bounds.
        run: this start of the daemon.
        cameras: the names of the cameras; the first one gets what a version without names left.

    Attributes:
        changed: the spool's lock, which notifies when events wait no more, and when something was written.
        events: the events that the broker has not acknowledged.
        falls: the falls that are not over.
        scenes: what scenes must know after a restart, JSON by the camera's name.
        cameras: the names of the cameras there are now; replaced, never changed.
        loaded: whether it is known what earlier runs left.
    """

    def __init__(self, config: MqttEventsConfig, run: str, cameras: Sequence[str]) -> None:
        self.changed = threading.Condition(threading.Lock())
        self.events = WaitingEvents(config)
        self.falls = OpenFalls(run)
        self.scenes: dict[str, str] = {}
        self.cameras = tuple(cameras)
        self.loaded = False
        self._falls_on_disk: tuple[Fall, ...] | None = ()
        self._scenes_on_disk: dict[str, str] = {}

    @property
    def falls_are_on_disk(self) -> bool:
        """Whether the file has the falls as they are."""
        return self.falls.all == self._falls_on_disk

    @property
    def is_on_disk(self) -> bool:
        """Whether the file has everything."""
        scenes_are = self.scenes.items() <= self._scenes_on_disk.items()
        return self.falls_are_on_disk and scenes_are and all(event.on_disk for event in self.events)

    def load(self, contents: Contents, *, on_disk: bool) -> None:
        """Put what earlier runs left before what has come since; only the first time counts.

        Args:
            contents: what the file held.
            on_disk: whether the file still has it, and can be written.
        """
        if self.loaded:
            return
        self.loaded = True
        self.events.add_older(contents.events, on_disk=on_disk)
        heir = self.cameras[0]
        self.falls.add_older(
            replace(fall, camera=heir) if fall.camera == FORMER else fall for fall in contents.falls
        )
        named = {heir if camera == FORMER else camera: state for camera, state in contents.scenes.items()}
        self.scenes = named | self.scenes
        self._falls_on_disk = tuple(contents.falls) if on_disk else None
        self._scenes_on_disk = contents.scenes if on_disk else {}

    def unwritten(self) -> Transaction:
        """What the file lacks now."""
        return Transaction(
            events=[event for event in self.events if not event.on_disk],
            removed=frozenset(self.events.removed),
            falls=self.falls.all,
            falls_changed=not self.falls_are_on_disk,
            scenes=dict(self.scenes.items() - self._scenes_on_disk.items()),
        )

    def note_written(self, transaction: Transaction) -> None:
        """The file has what it lacked; what came meanwhile it lacks still."""
        for event in transaction.events:
            event.on_disk = True
        self.events.removed -= transaction.removed
        self._falls_on_disk = transaction.falls
        self._scenes_on_disk = self._scenes_on_disk | transaction.scenes
        self.changed.notify_all()

    def note_unwritable(self) -> None:
        """Nothing is known to be on disk any more, so that all of it is written anew."""
        self.events.removed.clear()
        self._falls_on_disk = None
        self._scenes_on_disk = {}
        for event in self.events:
            event.on_disk = False
