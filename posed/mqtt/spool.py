"""Events that are never lost: on disk before they are published, and gone only when the broker has them.

What is handed over is on disk a moment later, written by a thread of the spool's own, and counts from then
on. A subscriber may see an event twice, and can tell by its id. Falls that are not over are kept here, too.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET

from posed.config import MqttEventsConfig
from posed.messages.structs import (
    EventMessage,
    FallMessage,
    Sender,
    SpoolState,
    encode,
    person_message,
    rfc3339,
)
from posed.messages.topics import Topics
from posed.mqtt.broker import Broker, DeliveryResult
from posed.mqtt.store import Contents, Fall, Moment, Store, StoredEvent, StoreError
from posed.mqtt.ulid import Ulids
from posed.pipeline.occurrence import Occurrence
from posed.timing import Backoff, NotBefore

log = logging.getLogger(__name__)

_LASTING: Final = {"fall", "fall_cleared"}
"""Events of these types are of use however late they come."""

_WINDOW: Final = 8
"""At most this many events may be on the way to the broker at a time: room for other messages below the
client's ten."""

_TICK_S: Final = 1.0
"""The spool looks this often at what waits, s."""

_RETRY_MIN_S: Final = 1.0
_RETRY_MAX_S: Final = 5.0
"""A disk, or a broker that refuses, is tried again after at most `_RETRY_MIN_S`, then at longer intervals of
at most `_RETRY_MAX_S`, s."""

_SLOW_S: Final = 5.0
"""A disk that takes longer to write is reported as not durable, s."""


@dataclass(slots=True)
class _Waiting:
    """An event that the broker has not acknowledged."""

    stored: StoredEvent
    on_disk: bool = False
    on_its_way: bool = False


class Spool:
    """Takes events from any thread, without ever waiting for the disk or the broker.

    Args:
        file: where events are kept.
        sender: who speaks.
        topics: where events and falls go.
        broker: takes the messages.
        config: the bounds.
        on_event: hears of each event as it is taken over, from the thread that hands it over; must not wait.
        now: the present, for tests.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a name at the call
        self,
        file: Path,
        *,
        sender: Sender,
        topics: Topics,
        broker: Broker,
        config: MqttEventsConfig,
        on_event: Callable[[EventMessage], object] = lambda _: None,
        now: Callable[[], Moment] = Moment.now,
    ) -> None:
        self._store = Store(file)
        self._sender = sender
        self._topics = topics
        self._deliver = broker.deliver
        self._config = config
        self._on_event = on_event
        self._now = now
        self._ids = Ulids()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

        self._events: dict[str, _Waiting] = {}
        self._gone: set[str] = set()
        self._falls: tuple[Fall, ...] = ()
        self._falls_on_disk: tuple[Fall, ...] | None = ()
        self._falls_told: tuple[Fall, ...] | None = None
        self._dropped = 0

        self._loaded = False
        self._afresh = False
        self._why: str | None = f"{file}: not open yet"
        self._writing_since: float | None = None
        self._disk_backoff = Backoff(_RETRY_MIN_S, _RETRY_MAX_S, random.random)
        self._next_write = NotBefore()
        self._broker_backoff = Backoff(_RETRY_MIN_S, _RETRY_MAX_S, random.random)
        self._next_delivery = NotBefore()

    @property
    def state(self) -> SpoolState:
        """How the spool does."""
        why = self._why
        since = self._writing_since
        if why is None and since is not None and time.monotonic() - since > _SLOW_S:
            why = f"writing takes longer than {_SLOW_S:g} s"
        return SpoolState(len(self._events), self._dropped, why is None, UNSET if why is None else why)

    @property
    def falls(self) -> tuple[Fall, ...]:
        """Falls that are not over, of earlier runs too, oldest first."""
        return self._falls

    def start(self) -> None:
        """Read what was left, and begin to publish."""
        self._write()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what is not written yet, and let go of the file, within `timeout_s` seconds.

        To be called after the client's `stop`, so that the last acknowledgements are heard.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(timeout_s)

    def add(self, occurrence: Occurrence) -> str:
        """Take an event over: to the disk, then to the broker.

        Returns:
            Its id.
        """
        with self._lock:
            return self._add(occurrence, None)

    def clear_falls(self, time_s: float, event: str | None = None) -> list[str]:
        """End falls on somebody's request.

        Args:
            time_s: when the falls end, s since 1970.
            event: the id of the fall's event; None for every fall.

        Returns:
            The ids of the `fall_cleared` events, one for each fall.
        """
        with self._lock:
            ids = []
            for fall in self._falls:
                if event not in {None, fall.event}:
                    continue
                person = fall.person if fall.run == self._sender.run else None
                cleared = Occurrence("fall_cleared", time_s, person, fall.zone, {"why": "request"})
                ids.append(self._add(cleared, fall))
            return ids

    def tell_again(self) -> None:
        """Tell falls again, on every connection: a broker may have lost its memory."""
        self._falls_told = None
        self._wake.set()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything that was handed over is on disk.

        Returns:
            False if that takes longer than `timeout_s` seconds.
        """
        with self._changed:
            return self._changed.wait_for(self._is_saved, timeout_s)

    def drain(self, timeout_s: float) -> bool:
        """Wait until the broker has everything that was handed over.

        Returns:
            False if that takes longer than `timeout_s` seconds.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._events, timeout_s)

    def _is_saved(self) -> bool:
        return self._falls == self._falls_on_disk and all(event.on_disk for event in self._events.values())

    def _add(self, occurrence: Occurrence, fall: Fall | None) -> str:
        event_id = self._ids.next(occurrence.time_s)
        detail = dict(occurrence.detail)
        if occurrence.test:
            detail["test"] = True
        elif occurrence.type == "fall":
            began = Fall(event_id, occurrence.time_s, self._sender.run, occurrence.person, occurrence.zone)
            self._falls = (*self._falls, began)
        elif occurrence.type == "fall_cleared":
            named = occurrence.detail.get("fall")
            fall = fall or self._fall_named(named) or self._fall_of(occurrence.person)
            self._falls = tuple(other for other in self._falls if other is not fall)
            detail["fall"] = None if fall is None else fall.event
        message = self._message(event_id, occurrence, detail)
        self._on_event(message)
        stored = StoredEvent(event_id, occurrence.type in _LASTING, self._now(), encode(message))
        self._events[event_id] = _Waiting(stored)
        self._keep_within_bound()
        self._wake.set()
        return event_id

    def _fall_named(self, event: object) -> Fall | None:
        return next((fall for fall in self._falls if fall.event == event), None)

    def _fall_of(self, person: int | None) -> Fall | None:
        """The fall of somebody in this run."""
        return next(
            (fall for fall in self._falls if (fall.run, fall.person) == (self._sender.run, person)), None
        )

    def _message(self, event_id: str, occurrence: Occurrence, detail: dict[str, Any]) -> EventMessage:
        evidence = occurrence.evidence
        return EventMessage(
            id=event_id,
            type=occurrence.type,
            device=self._sender.device,
            run=self._sender.run,
            time=rfc3339(occurrence.time_s),
            person=occurrence.person,
            zone=occurrence.zone,
            detail=detail,
            keypoints=evidence and person_message(evidence.pose, evidence.keypoint_threshold).keypoints,
        )

    def _keep_within_bound(self) -> None:
        """Drop the oldest, falls last."""
        while len(self._events) > self._config.max_waiting:
            oldest = next(
                (event_id for event_id, event in self._events.items() if not event.stored.lasts), None
            )
            self._drop(oldest or next(iter(self._events)))

    def _drop(self, event_id: str) -> None:
        self._forget(event_id)
        self._dropped += 1

    def _forget(self, event_id: str) -> None:
        if self._events.pop(event_id, None) is not None:
            self._gone.add(event_id)
            self._changed.notify_all()
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            busy = self._events or not self._store.is_open
            self._wake.wait(_TICK_S if busy else None)
            self._wake.clear()
            self._write()
            self._publish()
        self._write()
        self._store.close()

    # The disk

    def _open(self) -> bool:
        """Open the file if it is time to; True where it is open."""
        if self._store.is_open or not self._next_write.is_due:
            return self._store.is_open
        self._writing_since = time.monotonic()
        try:
            contents = self._store.open()
        except StoreError as error:
            if error.contents is not None:
                self._take_over(error.contents, on_disk=False)
            self._fail(error.why)
            return False
        finally:
            self._writing_since = None
        self._take_over(contents, on_disk=True)
        return True

    def _take_over(self, contents: Contents, *, on_disk: bool) -> None:
        """What the file held when it was first read comes before what has been added since."""
        with self._lock:
            if self._loaded:
                return
            self._loaded = True
            kept = {event.id: _Waiting(event, on_disk=on_disk) for event in contents.events}
            self._events = kept | self._events
            self._falls = (*contents.falls, *self._falls)
            self._falls_on_disk = tuple(contents.falls) if on_disk else None
            self._keep_within_bound()

    def _write(self) -> None:
        """Bring the file to what is known here: one transaction, one fsync."""
        if not self._open():
            return
        with self._lock:
            fresh = [event for event in self._events.values() if not event.on_disk]
            gone, falls = frozenset(self._gone), self._falls
            if self._why is None and not (fresh or gone or falls != self._falls_on_disk):
                return
            self._writing_since = time.monotonic()
        try:
            self._store.write([event.stored for event in fresh], gone, falls, afresh=self._afresh)
        except StoreError as error:
            self._fail(error.why)
            return
        finally:
            self._writing_since = None
        self._succeed(fresh, gone, falls)

    def _succeed(self, fresh: list[_Waiting], gone: frozenset[str], falls: tuple[Fall, ...]) -> None:
        with self._changed:
            for event in fresh:
                event.on_disk = True
            self._gone -= gone
            self._falls_on_disk = falls
            self._afresh = False
            if self._why is not None and self._next_write.is_set:
                log.info("event spool: durable again, %d events waiting", len(self._events))
            self._why = None
            self._next_write.reset()
            self._disk_backoff.reset()
            self._changed.notify_all()

    def _fail(self, why: str) -> None:
        """Keep everything in memory, and write all of it once the disk can be written again."""
        if self._why != why:
            log.warning("event spool: %s; events are kept in memory only", why)
        with self._lock:
            self._why = why
            self._afresh = self._loaded
            self._gone.clear()
            self._falls_on_disk = None
            for event in self._events.values():
                event.on_disk = False
        self._next_write.put_off(self._disk_backoff.next_s())

    # The broker

    def _publish(self) -> None:
        now = self._now()
        with self._lock:
            self._drop_old(now)
            if not self._next_delivery.is_due:
                return
            self._publish_falls()
            room = _WINDOW - sum(event.on_its_way for event in self._events.values())
            ready = [event for event in self._events.values() if self._is_ready(event)]
            for event in ready[: max(room, 0)]:
                if not self._send(event, now):
                    return

    def _is_ready(self, event: _Waiting) -> bool:
        """Whether an event is on disk, or nothing can be written there, and it is not on its way."""
        return (event.on_disk or not self._store.is_open) and not event.on_its_way

    def _drop_old(self, now: Moment) -> None:
        """Drop what is too old, but not what is on its way: that may still arrive, or come back here."""
        for event_id, event in list(self._events.items()):
            if not event.on_its_way and not event.stored.lasts and self._rest_s(event, now) < 0:
                self._drop(event_id)

    def _rest_s(self, event: _Waiting, now: Moment) -> float:
        return self._config.max_age_s - event.stored.added.age_s(now)

    def _send(self, event: _Waiting, now: Moment) -> bool:
        # The broker, too, is to forget what comes too late for a subscriber that is away.
        expiry_s = None if event.stored.lasts else max(1, math.ceil(self._rest_s(event, now)))
        on_answer = partial(self._on_answer, event)
        event.on_its_way = self._deliver(
            self._topics.events, event.stored.payload, on_answer, expiry_s=expiry_s
        )
        return event.on_its_way

    def _on_answer(self, event: _Waiting, answer: DeliveryResult) -> None:
        with self._lock:
            event.on_its_way = False
            if answer is DeliveryResult.ACKNOWLEDGED:
                self._forget(event.stored.id)
            self._heed(answer)

    def _publish_falls(self) -> None:
        """Say whether somebody lies fallen, if that is known, on disk, and not said yet."""
        falls = self._falls
        if falls == self._falls_told or not (self._loaded or falls):
            return
        if self._store.is_open and falls != self._falls_on_disk:
            return
        message = self._fall_message(falls)
        if self._deliver(self._topics.fall, encode(message), self._on_falls_answer, retain=True):
            self._falls_told = falls

    def _fall_message(self, falls: tuple[Fall, ...]) -> FallMessage:
        first = falls[0] if falls else None
        return FallMessage(
            device=self._sender.device,
            time=rfc3339(self._now().time_s),
            fallen=first is not None,
            since=None if first is None else rfc3339(first.time_s),
            event=None if first is None else first.event,
            zone=None if first is None else first.zone,
        )

    def _on_falls_answer(self, answer: DeliveryResult) -> None:
        with self._lock:
            if answer is not DeliveryResult.ACKNOWLEDGED:
                self._falls_told = None
            self._heed(answer)

    def _heed(self, answer: DeliveryResult) -> None:
        """Leave a broker that refuses alone for a while."""
        if answer is DeliveryResult.REFUSED and self._next_delivery.is_due:
            self._next_delivery.put_off(self._broker_backoff.next_s())
        elif answer is DeliveryResult.ACKNOWLEDGED:
            self._broker_backoff.reset()
        self._wake.set()
