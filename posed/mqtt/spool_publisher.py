"""Hands the broker what the spool holds: the events in their order, and whether somebody lies fallen."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from posed.messages.structs import FallMessage, encode, rfc3339
from posed.messages.topics import Topics
from posed.mqtt.broker import Broker, DeliveryResult, PublishResult
from posed.mqtt.spool_contents import SpoolContents
from posed.mqtt.spool_writer import RETRY_MAX_S, RETRY_MIN_S
from posed.mqtt.store import Fall, Moment
from posed.mqtt.waiting_events import WaitingEvent
from posed.timing import Backoff, NotBefore

WINDOW: Final = 8
"""At most this many events may be on the way to the broker at a time: room for other messages below the
client's ten."""


class SpoolPublisher:
    """Publishes from the spool's thread, and hears the broker's answers on the client's network thread.

    Args:
        contents: what the spool holds.
        device: whose events and falls these are.
        topics: where they go.
        broker: the way to the broker.
        wake: makes the spool's thread look at what waits.
        now: the present.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a name at the call
        self,
        contents: SpoolContents,
        *,
        device: str,
        topics: Topics,
        broker: Broker,
        wake: threading.Event,
        now: Callable[[], Moment],
    ) -> None:
        self._contents = contents
        self._device = device
        self._topics = topics
        self._broker = broker
        self._wake = wake
        self._now = now
        self._published_falls: dict[str, tuple[Fall, ...]] = {}
        self._too_large: set[str] = set()
        """This connection does not take the events with these ids."""
        self._backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S, random.random)
        self._next = NotBefore()

    def publish_again(self) -> None:
        """Publish whether somebody lies fallen once more, and try what was too large; from any thread."""
        self._published_falls = {}
        self._too_large = set()
        self._wake.set()

    def set_cameras(self, cameras: Collection[str]) -> None:
        """Whoever is no camera any more begins anew as one; the caller holds the spool's lock."""
        self._published_falls = {
            camera: falls for camera, falls in self._published_falls.items() if camera in cameras
        }

    def publish(self, *, writable: bool) -> None:
        """Publish what waits, as far as the broker has room for it.

        Args:
            writable: whether the file can be written, so that only what is on disk is published.
        """
        now = self._now()
        with self._contents.changed:
            self._drop_expired(now)
            if not self._next.is_due:
                return
            for camera in self._contents.cameras:
                self._publish_falls(camera, writable)
            events = list(self._contents.events)
            room = WINDOW - sum(event.on_its_way for event in events)
            ready = [event for event in events if self._is_ready(event, writable=writable)]
            for event in ready[: max(room, 0)]:
                if not self._send(event, now):
                    return

    def _is_ready(self, event: WaitingEvent, *, writable: bool) -> bool:
        waits = not event.on_its_way and event.stored.id not in self._too_large
        return waits and (event.on_disk or not writable)

    def _drop_expired(self, now: Moment) -> None:
        if self._contents.events.drop_expired(now):
            self._contents.changed.notify_all()
            self._wake.set()

    def _send(self, event: WaitingEvent, now: Moment) -> bool:
        """Send an event; False where the broker has no room for more."""
        # The broker, too, is to forget what comes too late for a subscriber that is away.
        time_left_s = self._contents.events.time_left_s(event, now)
        expiry_s = None if event.stored.lasts else max(1, math.ceil(time_left_s))
        on_answer = partial(self._on_answer, event)
        result = self._broker.deliver(self._topics.events, event.stored.payload, on_answer, expiry_s=expiry_s)
        event.on_its_way = bool(result)
        if result is PublishResult.TOO_LARGE:
            self._too_large.add(event.stored.id)
        return result is not PublishResult.NOT_NOW

    def _on_answer(self, event: WaitingEvent, answer: DeliveryResult) -> None:
        with self._contents.changed:
            event.on_its_way = False
            if answer is DeliveryResult.ACKNOWLEDGED:
                self._contents.events.remove(event.stored.id)
                self._contents.changed.notify_all()
            self._go_on_after(answer)

    def _publish_falls(self, camera: str, writable: bool) -> None:
        """Publish whether somebody lies fallen, if that is known, on disk, and not published yet."""
        contents = self._contents
        falls = tuple(fall for fall in contents.falls.all if fall.camera == camera)
        if falls == self._published_falls.get(camera) or not (contents.loaded or falls):
            return
        if writable and not contents.falls_are_on_disk:
            return
        payload, on_answer = encode(self._fall_message(camera, falls)), partial(self._on_falls_answer, camera)
        result = self._broker.deliver(self._topics.camera(camera).fall, payload, on_answer, retain=True)
        if result is not PublishResult.NOT_NOW:
            self._published_falls[camera] = falls

    def _fall_message(self, camera: str, falls: tuple[Fall, ...]) -> FallMessage:
        first = falls[0] if falls else None
        return FallMessage(
            device=self._device,
            camera=camera,
            time=rfc3339(self._now().time_s),
            fallen=first is not None,
            since=None if first is None else rfc3339(first.time_s),
            event=None if first is None else first.event,
            zone=None if first is None else first.zone,
        )

    def _on_falls_answer(self, camera: str, answer: DeliveryResult) -> None:
        with self._contents.changed:
            if answer is not DeliveryResult.ACKNOWLEDGED:
                self._published_falls.pop(camera, None)
            self._go_on_after(answer)

    def _go_on_after(self, answer: DeliveryResult) -> None:
        """Leave a broker that refuses alone for a while."""
        if answer is DeliveryResult.REFUSED and self._next.is_due:
            self._next.put_off(self._backoff.next_s())
        elif answer is DeliveryResult.ACKNOWLEDGED:
            self._backoff.reset()
        self._wake.set()
