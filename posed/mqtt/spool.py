"""Events that are never lost: on disk before they are published, and gone only when the broker has them.

What is handed over is on disk a moment later, and counts from then on. A subscriber may see an event twice,
and can tell by its id. Falls that are not over are kept here, too, and so is what each camera's scene must
know after a restart: who is down. An event and what a scene knows with it are written in one transaction.

Three kinds of thread meet here, and one lock, `SpoolContents.changed`, guards what they share:

- Whoever hands events over, or asks how the spool does, holds the lock for as long as it takes to add to a
  list, and never waits for the disk or the broker.
- The spool's own thread alone touches the file and publishes. It takes down what the file lacks under the
  lock, writes without it, and publishes under it; the way to the broker must therefore not wait, nor answer
  from within the call.
- The client's network thread brings the broker's answers, under the lock, and says when there is a new
  connection.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET

from posed.config import MqttEventsConfig
from posed.messages.structs import EventMessage, Sender, SpoolState, encode, person_message, rfc3339
from posed.messages.topics import Topics
from posed.messages.words import event_in_words
from posed.mqtt.broker import Broker
from posed.mqtt.spool_contents import SpoolContents
from posed.mqtt.spool_publisher import SpoolPublisher
from posed.mqtt.spool_writer import SpoolWriter
from posed.mqtt.store import Fall, Moment, Store, StoredEvent, StoreError
from posed.mqtt.ulid import Ulids
from posed.mqtt.waiting_events import LASTING
from posed.pipeline.occurrence import Occurrence

log = logging.getLogger(__name__)

_TICK_S: Final = 1.0
"""The spool looks this often at what waits, s."""


class Spool:
    """Takes events from any thread, without ever waiting for the disk or the broker.

    Args:
        file: where events are kept.
        sender: who speaks.
        topics: where events and falls go.
        broker: takes the messages.
        config: the bounds.
        cameras: the names of the cameras; the first one gets what a version without names left.
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
        cameras: Sequence[str],
        on_event: Callable[[EventMessage], object] = lambda _: None,
        now: Callable[[], Moment] = Moment.now,
    ) -> None:
        self._sender = sender
        self._on_event = on_event
        self._now = now
        self._ids = Ulids()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._contents = SpoolContents(config, sender.run, cameras)
        self._writer = SpoolWriter(Store(file), self._contents, now)
        self._publisher = SpoolPublisher(
            self._contents, device=sender.device, topics=topics, broker=broker, wake=self._wake, now=now
        )

    @property
    def state(self) -> SpoolState:
        """How the spool does."""
        events, why = self._contents.events, self._writer.why
        return SpoolState(len(events), events.dropped, why is None, UNSET if why is None else why)

    @property
    def falls(self) -> tuple[Fall, ...]:
        """Falls that are not over, of earlier runs too, oldest first."""
        return self._contents.falls.all

    def set_cameras(self, cameras: Sequence[str]) -> None:
        """Go on with other cameras; what is known of the others stays."""
        with self._contents.changed:
            self._contents.cameras = tuple(cameras)
            self._publisher.set_cameras(cameras)
            self._wake.set()

    def start(self) -> None:
        """Read what was left, and begin to publish."""
        self._writer.write()
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
        with self._contents.changed:
            event_id = self._ids.next(occurrence.time_s)
            taken = self._take({event_id: occurrence})
        _log(taken)
        return event_id

    def new_id(self, time_s: float) -> str:
        """Return an id for an event of `commit`, that happened at `time_s`, s since 1970."""
        with self._contents.changed:
            return self._ids.next(time_s)

    def commit(self, events: Mapping[str, Occurrence], scenes: Mapping[str, str]) -> None:
        """Take events over, and what scenes must know after a restart: on disk all at once, or not at all.

        Args:
            events: by their ids, oldest first.
            scenes: JSON by the camera's name.
        """
        with self._contents.changed:
            self._contents.scenes.update(scenes)
            taken = self._take(events)
        _log(taken)

    def scene_state(self, camera: str) -> str | None:
        """Return what was committed last of a camera's scene, in a run before too; None if nothing was.

        Raises:
            StoreError: the file could not be read yet.
        """
        with self._contents.changed:
            if not self._contents.loaded:
                raise StoreError(self._writer.why or "not read yet")
            return self._contents.scenes.get(camera)

    def clear_falls(
        self, time_s: float, event: str | None = None, camera: str | None = None
    ) -> dict[str, list[str]]:
        """End falls on somebody's request.

        Args:
            time_s: when the falls end, s since 1970.
            event: the id of the fall's event; None for every fall.
            camera: the name of the camera before which they happened; None for every one.

        Returns:
            The ids of the `fall_cleared` events, one for each fall, by the camera's name.
        """
        with self._contents.changed:
            falls = [
                fall
                for fall in self._contents.falls.all
                if event in {None, fall.event} and camera in {None, fall.camera}
            ]
            cleared = {self._ids.next(time_s): self._clearing(fall, time_s) for fall in falls}
            taken = self._take(cleared)
        _log(taken)
        by_camera: dict[str, list[str]] = {}
        for event_id, occurrence in cleared.items():
            by_camera.setdefault(occurrence.camera, []).append(event_id)
        return by_camera

    def publish_again(self) -> None:
        """Publish falls again, on every connection: a broker may have lost its memory."""
        self._publisher.publish_again()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything that was handed over is on disk.

        Returns:
            False if that takes longer than `timeout_s` seconds.
        """
        with self._contents.changed:
            return self._contents.changed.wait_for(lambda: self._contents.is_on_disk, timeout_s)

    def drain(self, timeout_s: float) -> bool:
        """Wait until the broker has everything that was handed over.

        Returns:
            False if that takes longer than `timeout_s` seconds.
        """
        with self._contents.changed:
            return self._contents.changed.wait_for(lambda: not self._contents.events, timeout_s)

    def _clearing(self, fall: Fall, time_s: float) -> Occurrence:
        """The end of a fall on request."""
        person, detail = self._contents.falls.person_of(fall), {"by": "request", "fall": fall.event}
        return Occurrence("fall_cleared", time_s, person, fall.zone, detail, camera=fall.camera)

    def _take(self, events: Mapping[str, Occurrence]) -> list[EventMessage]:
        """Take events over; returns their messages, for the log, once the lock is free."""
        messages = [self._add(event_id, occurrence) for event_id, occurrence in events.items()]
        self._contents.changed.notify_all()
        self._wake.set()
        return messages

    def _add(self, event_id: str, occurrence: Occurrence) -> EventMessage:
        message = self._message(event_id, occurrence, self._account(event_id, occurrence))
        self._on_event(message)
        stored = StoredEvent(event_id, occurrence.type in LASTING, self._now(), encode(message))
        self._contents.events.add(stored)
        return message

    def _account(self, event_id: str, occurrence: Occurrence) -> dict[str, Any]:
        """Begin or end a fall, where the event is one of that; returns the event's detail."""
        detail = dict(occurrence.detail)
        if occurrence.test:
            detail["test"] = True
        elif occurrence.type == "fall":
            self._contents.falls.begin(event_id, occurrence)
        elif occurrence.type == "fall_cleared":
            fall = self._contents.falls.end(occurrence)
            detail["fall"] = None if fall is None else fall.event
        return detail

    def _message(self, event_id: str, occurrence: Occurrence, detail: dict[str, Any]) -> EventMessage:
        evidence = occurrence.evidence
        return EventMessage(
            id=event_id,
            type=occurrence.type,
            device=self._sender.device,
            camera=occurrence.camera,
            run=self._sender.run,
            time=rfc3339(occurrence.time_s),
            person=occurrence.person,
            zone=occurrence.zone,
            detail=detail,
            keypoints=evidence and person_message(evidence.pose, evidence.keypoint_threshold).keypoints,
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            busy = self._contents.events or not self._writer.is_open
            self._wake.wait(_TICK_S if busy else None)
            self._wake.clear()
            self._writer.write()
            self._publisher.publish(writable=self._writer.is_open)
        self._writer.write()
        self._writer.close()


def _log(messages: Iterable[EventMessage]) -> None:
    for message in messages:
        log.info("%s", event_in_words(message))
