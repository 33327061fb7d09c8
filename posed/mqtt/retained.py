"""What the broker keeps of us: published on change, again after a while, and with every connection."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Final, Protocol

from posed.messages.structs import encode
from posed.mqtt.broker import Broker, PublishResult
from posed.timing import NotBefore

INTERVAL_S: Final = 30.0
"""Each message is published at least this often, s."""

CHECK_S: Final = 0.05
"""A message that has a spacing is made again this often at most, s, to see whether it says something new:
that takes as long as a part of a frame, of which several cameras give many."""


class RetainedMessage(Protocol):
    """A message of which the broker keeps the last one."""

    @property
    def essence(self) -> Hashable:
        """The part of the message that makes it worth publishing when it changes."""


class RetainedPublisher:
    """Keeps the broker's memory of us true.

    Args:
        broker: keeps the messages.
        clock: monotonic time, s.
    """

    def __init__(self, broker: Broker, clock: Callable[[], float] = time.monotonic) -> None:
        self._broker = broker
        self._clock = clock
        self._published: dict[str, tuple[Hashable, float]] = {}
        self._next_checks: defaultdict[str, NotBefore] = defaultdict(lambda: NotBefore(clock))

    def publish(self, topic: str, make: Callable[[], RetainedMessage], spacing_s: float = 0) -> bool:
        """Publish a message if it says something new, or is due again.

        Args:
            topic: where the message is published.
            make: makes the message as it is now.
            spacing_s: how soon after the last message the next may follow, s; until then a change waits.

        Returns:
            False if it has to be tried again: the broker's queue is full, or there is no connection.
        """
        essence, published_at = self._published.get(topic, (None, None))
        now = self._clock()
        if published_at is not None and self._is_too_soon(topic, now - published_at, spacing_s):
            return True
        message = make()
        if published_at is not None and now - published_at < INTERVAL_S and essence == message.essence:
            return True
        result = self._broker.publish(topic, encode(message), qos=1, retain=True)
        if result is PublishResult.NOT_NOW:
            return False
        self._published[topic] = message.essence, now
        return True

    def _is_too_soon(self, topic: str, since_s: float, spacing_s: float) -> bool:
        """Whether a message that has a spacing is not to be made again yet."""
        return spacing_s > 0 and (since_s < spacing_s or not self._next_checks[topic].take(CHECK_S))

    def again(self) -> None:
        """Let everything be published again; any thread may call this."""
        self._published = {}
