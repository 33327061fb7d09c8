"""What the broker keeps of us: told on change, again after a while, and again with every connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Final, Protocol

from posed.messages.structs import encode
from posed.mqtt.broker import Broker

INTERVAL_S: Final = 30.0
"""Each message is published at least this often, s."""


class Told(Protocol):
    """A message that says what of it is worth telling."""

    @property
    def essence(self) -> Hashable: ...  # noqa: D102


class RetainedPublisher:
    """Keeps the broker's memory of us true.

    Args:
        broker: keeps the messages.
        clock: monotonic time, s.
    """

    def __init__(self, broker: Broker, clock: Callable[[], float] = time.monotonic) -> None:
        self._broker = broker
        self._clock = clock
        self._told: dict[str, tuple[Hashable, float]] = {}

    def tell(self, topic: str, make: Callable[[], Told], spacing_s: float = 0) -> bool:
        """Publish a message if it says something new, or is due again.

        Args:
            topic: where the message is published.
            make: makes the message as it is now.
            spacing_s: how soon after the last message the next may follow, s; until then a change waits.

        Returns:
            False if the way to the broker did not take it.
        """
        essence, told_at = self._told.get(topic, (None, None))
        now = self._clock()
        if told_at is not None and now - told_at < spacing_s:
            return True
        message = make()
        if told_at is not None and now - told_at < INTERVAL_S and essence == message.essence:
            return True
        taken = self._broker.publish(topic, encode(message), qos=1, retain=True)
        if taken:
            self._told[topic] = message.essence, now
        return taken

    def again(self) -> None:
        """Tell everything again; any thread may call this."""
        self._told = {}
