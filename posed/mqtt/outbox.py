"""Messages on their way to the broker: which are taken, and what became of them."""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from posed.mqtt.broker import DeliveryResult

MAX_WAITING: Final = 32
"""At most this many messages of one QoS may wait to be written (0) or acknowledged (1): about a second of
poses."""

OnResult = Callable[[DeliveryResult], None]


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish; see `Broker.publish`."""

    topic: str
    payload: bytes
    qos: Literal[0, 1] = 0
    retain: bool = False
    expiry_s: int | None = None


class PendingMessages:
    """The messages of one connection that are not known to have arrived.

    `send` is the one place where a message is accepted or refused while there is a connection. `Outbox` lets
    only one thread at a time in here.

    Args:
        client: the accepted connection.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._takes_properties = client.protocol == MQTTProtocolVersion.MQTTv5
        self._waiting: dict[int, deque[MQTTMessageInfo]] = {0: deque(), 1: deque()}
        self._kept: dict[int, tuple[MQTTMessageInfo, OnResult]] = {}

    def send(self, message: Message, on_result: OnResult | None = None) -> bool:
        """Send a message; False where too many are waiting already."""
        self._forget_finished(message.qos)
        if len(self._waiting[message.qos]) >= MAX_WAITING:
            return False
        info = self.send_unbounded(message)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self._waiting[message.qos].append(info)
        if on_result is not None:
            self._kept[info.mid] = info, on_result
        return True

    def send_unbounded(self, message: Message) -> MQTTMessageInfo:
        """Send a message however many are waiting."""
        expiry_s = message.expiry_s if self._takes_properties else None
        properties = None if expiry_s is None else _expiry(expiry_s)
        return self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)

    def count_dropped(self) -> int:
        """Count the messages that may be lost with the connection, without those that their senders keep."""
        for qos in self._waiting:
            self._forget_finished(qos)
        return sum(info.mid not in self._kept for waiting in self._waiting.values() for info in waiting)

    def take(self, packet_id: int) -> OnResult | None:
        """Take out whom to report a message's result to; None if nobody waits for it."""
        info, on_result = self._kept.get(packet_id, (None, None))
        # Ids are used again after 65,535 messages, and those of QoS 0 are done once they are written.
        if info is None or not info.is_published():
            return None
        del self._kept[packet_id]
        return on_result

    def take_all(self) -> list[OnResult]:
        """Take out whom to report the end of the connection to."""
        kept, self._kept = self._kept, {}
        return [on_result for _, on_result in kept.values()]

    def _forget_finished(self, qos: int) -> None:
        """Forget what is written (QoS 0) or acknowledged (1); both happen in the order of publishing."""
        waiting = self._waiting[qos]
        while waiting and waiting[0].is_published():
            waiting.popleft()


class Outbox:
    """Takes messages from any thread while there is a connection, and never waits for the broker.

    `publish`, `deliver`, `close` and the properties may be used from any thread, the other methods from the
    network thread alone. The lock guards the connection that messages go to, and is never held while a
    sender's `on_result` runs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: PendingMessages | None = None
        self._farewell: MQTTMessageInfo | None = None
        self._closed = False
        self._dropped = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._pending is not None

    @property
    def dropped(self) -> int:
        """Messages that were not taken, or not known to have arrived when a connection ended."""
        return self._dropped

    @property
    def is_farewell_acknowledged(self) -> bool:
        """Whether the broker has the message that `close` published."""
        return self._farewell is not None and self._farewell.is_published()

    def publish(self, message: Message) -> bool:
        """Send a message; False if it was dropped, which is counted."""
        with self._lock:
            taken = self._take(message)
            self._dropped += not taken
        return taken

    def deliver(self, message: Message, on_result: OnResult) -> bool:
        """Send a message that its sender keeps; False if it cannot go out now."""
        with self._lock:
            return self._take(message, on_result)

    def open(self, client: Client, greeting: Message) -> bool:
        """Send everything through an accepted connection from now on.

        Args:
            client: the connection.
            greeting: goes out before all others.

        Returns:
            False if the outbox was closed.
        """
        with self._lock:
            if self._closed:
                return False
            pending = PendingMessages(client)
            pending.send(greeting)
            self._pending = pending
        return True

    def close(self, farewell: Message) -> None:
        """Take no more messages, after a last one that goes out however many are waiting."""
        with self._lock:
            self._closed = True
            if self._pending is not None:
                self._farewell = self._pending.send_unbounded(farewell)

    def report(self, acknowledgements: deque[tuple[int, bool]]) -> None:
        """Report to the senders what the broker answered, and empty the queue.

        Args:
            acknowledgements: packet ids, and whether the broker took the message.
        """
        if self._pending is not None:
            self._report(self._pending, acknowledgements)

    def end_connection(self, acknowledgements: deque[tuple[int, bool]]) -> None:
        """Count what may be lost with the connection, and report what became of the messages that are kept.

        Args:
            acknowledgements: as of `report`.
        """
        with self._lock:
            pending, self._pending = self._pending, None
            if pending is None:
                return
            self._dropped += pending.count_dropped()
        self._report(pending, acknowledgements)
        for on_result in pending.take_all():
            on_result(DeliveryResult.LOST)

    def _take(self, message: Message, on_result: OnResult | None = None) -> bool:
        if self._pending is None or self._closed:
            return False
        return self._pending.send(message, on_result)

    def _report(self, pending: PendingMessages, acknowledgements: deque[tuple[int, bool]]) -> None:
        while acknowledgements:
            packet_id, accepted = acknowledgements.popleft()
            with self._lock:
                on_result = pending.take(packet_id)
            if on_result is not None:
                on_result(DeliveryResult.ACKNOWLEDGED if accepted else DeliveryResult.REFUSED)


@functools.lru_cache(maxsize=16)
def _expiry(expiry_s: int) -> Properties:
    """When a message expires; kept, as it takes long to make, and paho only reads it."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho gives it no types
    properties.MessageExpiryInterval = expiry_s
    return properties
