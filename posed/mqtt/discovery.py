"""Announces to Home Assistant what there is, and takes back what is gone.

What was announced is kept in a file, since a broker need not hand retained messages out (RabbitMQ 3.10 does
not to wildcards), and what a new configuration no longer has must be taken back by name.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from posed.messages.structs import SCHEMA
from posed.mqtt.broker import Broker, DeliveryResult, PublishResult
from posed.mqtt.homeassistant import MIGRATE, Announcement, key_of
from posed.paths import replace_file
from posed.timing import NotBefore

log = logging.getLogger(__name__)

_WINDOW: Final = 8
"""At most this many messages may be on the way to the broker at a time: room for others below the client's
ten."""

_SETTLE_S: Final = 2.0
"""Home Assistant gets this long to let go of entities, and to set them up again, when they move, s."""

Known = Mapping[str, frozenset[str]]
"""A mapping of this type has retained topics, each with the entities that its message announces."""

Step = list[tuple[str, bytes]]


def plan(
    known: Known, now: Mapping[str, Announcement], beside: Collection[str], former: Collection[str] = ()
) -> list[Step]:
    """The messages to send, in steps between which Home Assistant needs a moment.

    Args:
        known: the topics that were retained so far.
        now: what is to be announced.
        beside: topics of other retained messages that stay.
        former: topics that an earlier version left, with other ids for the same entities.

    Returns:
        First the emptying of what an earlier version left; then what makes Home Assistant let go of entities
        that move to another message, which they do when the way of discovery changes; then the emptying of
        the topics that they leave (later it would complain, for each entity, of a message that is not from
        where the entity comes now), and what is announced, without the entities that are no more; then the
        emptying of other topics that are no more in use.
    """
    announced = frozenset[str]().union(*(message.entities for message in now.values()))
    gone = [topic for topic in known if topic not in now and topic not in beside]
    moving = [topic for topic in gone if known[topic] & announced]
    fresh = [
        (topic, message.encoded(removed=known.get(topic, frozenset()) - message.entities))
        for topic, message in now.items()
    ]
    left = [(topic, b"") for topic in moving]
    others = [(topic, b"") for topic in gone if topic not in moving]
    former_emptied = [(topic, b"") for topic in former]
    return [former_emptied, [(topic, MIGRATE) for topic in moving], left + fresh, others]


class DiscoveryPublisher:
    """Publishes discovery and keeps in mind what the broker retains of us.

    Args:
        file: keeps what was announced.
        broker: retains the messages.
        clock: monotonic time, s.
    """

    def __init__(self, file: Path, broker: Broker, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._broker = broker
        kept, is_former = _read(file)
        self._known: Known = {} if is_former else kept
        # Discovery, which has entities, goes first, so that Home Assistant reads nothing empty.
        self._former: Known = dict(sorted(kept.items(), key=lambda kept: not kept[1])) if is_former else {}
        """An earlier version left these, and they have not been emptied yet."""
        self._kept: tuple[Known, bool] = kept, is_former
        self._sent: dict[str, bytes] = {}
        """The broker has acknowledged these, by topic, since everything was sent last."""
        self._now: Mapping[str, Announcement] | None = None
        self._beside: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._steps: deque[Step] = deque()
        self._on_the_way = 0
        self._refused = False
        self._next = NotBefore(clock)
        self._finished = True

    def announce(self, now: Mapping[str, Announcement], beside: Collection[str]) -> None:
        """Announce what there is from now on, as far as the broker does not have it already.

        Args:
            now: discovery, by topic.
            beside: topics of all other retained messages.
        """
        with self._lock:
            self._now, self._beside = now, frozenset(beside)
            self._begin()

    def knows(self, key: str) -> bool:
        """Whether an entity of that key was announced, perhaps in a run before."""
        with self._lock:
            return any(key_of(entity) == key for entities in self._known.values() for entity in entities)

    def again(self) -> None:
        """Announce again what a broker, or Home Assistant, may have lost; any thread may call this."""
        with self._lock:
            self._sent = {}
            self._begin()

    def _begin(self) -> None:
        if self._now is None:  # nothing is to be taken back before it is known what there is
            return
        # Before anything is sent: who ends halfway must take it all back later.
        now = {topic: message.entities for topic, message in self._now.items()}
        now |= dict.fromkeys(self._beside, frozenset())
        every = {topic: now[topic] | self._known.get(topic, frozenset()) for topic in now}
        self._former = {topic: said for topic, said in self._former.items() if topic not in self._beside}
        # What is in use again is to be emptied again.
        self._sent = {topic: sent for topic, sent in self._sent.items() if topic not in self._beside}
        self._keep({**self._former, **self._known, **every})
        steps = plan(self._known, self._now, self._beside, self._former)
        self._steps = deque([one for one in step if one not in self._sent.items()] for step in steps)
        # The broker may have some of it already when something else is announced before the last answer.
        self._known = {**self._known, **every}
        self._finished = self._refused = False
        self._next.reset()

    def step(self) -> None:
        """Send what is due, without waiting."""
        with self._lock:
            while self._steps and self._next.is_due and self._send():
                pass
            if not self._steps and not self._on_the_way and not self._finished:
                self._finish()

    def _send(self) -> bool:
        """Send one message; False where it has to wait."""
        step = self._steps[0]
        if step:
            if self._on_the_way >= _WINDOW:
                return False
            topic, payload = step[0]
            on_answer = partial(self._on_answer, topic, payload)
            result = self._broker.deliver(topic, payload, on_answer, retain=True)
            if result is PublishResult.NOT_NOW:
                return False
            self._sent.pop(topic, None)
            self._on_the_way += bool(result)
            self._refused |= not result
            step.pop(0)
            if payload in {MIGRATE, b""} and not step:
                self._next.put_off(_SETTLE_S)
        else:
            self._steps.popleft()
        return True

    def _on_answer(self, topic: str, payload: bytes, answer: DeliveryResult) -> None:
        with self._lock:
            self._on_the_way -= 1
            if answer is not DeliveryResult.ACKNOWLEDGED:
                self._refused = True
                return
            self._sent[topic] = payload
            if not payload:
                self._former = {left: said for left, said in self._former.items() if left != topic}

    def _finish(self) -> None:
        """The broker has it all: keep that in mind."""
        self._finished = True
        if self._refused or self._now is None:
            return
        kept = {topic: message.entities for topic, message in self._now.items()}
        kept |= dict.fromkeys(self._beside, frozenset())
        # Within this run an entity that was taken back is named again with every message of its device, for a
        # Home Assistant that did not hear it.
        self._known = {topic: kept[topic] | self._known.get(topic, frozenset()) for topic in kept}
        self._keep(kept)

    def _keep(self, kept: Known) -> None:
        """Write what the broker retains, or may; as an earlier version, while something of that is left."""
        if (now := (kept, bool(self._former))) == self._kept:
            return
        self._kept = now
        topics = {topic: sorted(entities) for topic, entities in sorted(kept.items())}
        content = topics if self._former else {"schema": SCHEMA, "topics": topics}
        try:
            replace_file(self._file, json.dumps(content, indent=1))
        except NotADirectoryError:  # there is no state folder, as the spool says
            pass
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._file, error.strerror)


def known_topics(file: Path) -> frozenset[str]:
    """Every topic that was retained when the file was written."""
    return frozenset(_read(file)[0])


def _read(file: Path) -> tuple[dict[str, frozenset[str]], bool]:
    """What is retained, and whether messages of schema 1 are."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        topics, is_former = content.get("topics", content), "topics" not in content
        known = {str(topic): frozenset(map(str, entities)) for topic, entities in topics.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}, False
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s: cannot be read, so what was announced before stays: %s", file, error)
        return {}, False
    return known, is_former
