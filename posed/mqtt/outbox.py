"""Messages on their way to the broker: which are taken, and what became of them."""

from __future__ import annotations

import functools
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from posed.mqtt.broker import DeliveryResult, PublishResult
from posed.mqtt.limits import BrokerLimits

MAX_WAITING: Final = 32
"""At most this many messages of one QoS may wait to be written (0) or acknowledged (1): about a second of
poses."""

OnResult = Callable[[DeliveryResult], None]
OnTooLarge = Callable[["Message", int], object]


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish; see `Broker.publish`."""

    topic: str
    payload: bytes
    qos: Literal[0, 1] = 0
    retain: bool = False
    expiry_s: int | None = None

    def within(self, limits: BrokerLimits) -> Message:
        """The message with the QoS that the broker takes, and retained only where it keeps such messages."""
        qos, retain = min(self.qos, limits.max_qos), self.retain and limits.retain
        return self if (qos, retain) == (self.qos, self.retain) else replace(self, qos=qos, retain=retain)

    @property
    def packet_bytes(self) -> int:
        """How large its MQTT 5 packet is, in bytes. Source: MQTT 5.0, 3.3."""
        topic, packet_id = 2 + len(self.topic.encode()), 2 if self.qos else 0
        properties = 1 if self.expiry_s is None else 6
        rest = topic + packet_id + properties + len(self.payload)
        return 1 + _length_bytes(rest) + rest


def _length_bytes(length: int) -> int:
    """How many bytes a packet's length takes, of seven bits each. Source: MQTT 5.0, 1.5.5."""
    return max(1, math.ceil(length.bit_length() / 7))


class PendingMessages:
    """The messages of one connection that are not known to have arrived.

    `send` is the one place where a message is accepted or refused while there is a connection. `Outbox` lets
    only one thread at a time in here.

    Args:
        client: the accepted connection.
        limits: what the broker takes.
        on_too_large: called with a message that is larger, and with the bound, in bytes.
    """

    def __init__(self, client: Client, limits: BrokerLimits, on_too_large: OnTooLarge) -> None:
        self._client = client
        self._limits = limits
        self._on_too_large = on_too_large
        self._takes_properties = client.protocol == MQTTProtocolVersion.MQTTv5
        self._waiting: dict[int, deque[MQTTMessageInfo]] = {0: deque(), 1: deque()}
        self._kept: dict[int, tuple[MQTTMessageInfo, OnResult]] = {}

    def send(self, message: Message, on_result: OnResult | None = None) -> PublishResult:
        """Send a message as the broker takes it, unless too many are waiting already or it is too large."""
        message = message.within(self._limits)
        if self._is_too_large(message):
            return PublishResult.TOO_LARGE
        self._forget_finished(message.qos)
        if len(self._waiting[message.qos]) >= MAX_WAITING:
            return PublishResult.NOT_NOW
        info = self.send_unbounded(message)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return PublishResult.NOT_NOW
        self._waiting[message.qos].append(info)
        if on_result is not None:
            self._kept[info.mid] = info, on_result
        return PublishResult.TAKEN

    def _is_too_large(self, message: Message) -> bool:
        limit = self._limits.max_packet_bytes
        if limit is None or message.packet_bytes <= limit:
            return False
        self._on_too_large(message, limit)
        return True

    def send_unbounded(self, message: Message) -> MQTTMessageInfo:
        """Send a message however many are waiting."""
        message = message.within(self._limits)
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

    Args:
        on_too_large: called with each message that the broker does not take for its size, and with the bound
            in bytes, from the thread that sends it.
    """

    def __init__(self, on_too_large: OnTooLarge) -> None:
        self._on_too_large = on_too_large
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

    def publish(self, message: Message) -> PublishResult:
        """Send a message; if it is not taken, it is dropped, which is counted."""
        with self._lock:
            taken = self._take(message)
            self._dropped += not taken
        return taken

    def deliver(self, message: Message, on_result: OnResult) -> PublishResult:
        """Send a message that its sender keeps."""
        with self._lock:
            return self._take(message, on_result)

    def open(self, client: Client, limits: BrokerLimits, greeting: Message) -> bool:
        """Send everything through an accepted connection from now on.

        Args:
            client: the connection.
            limits: what the broker takes.
            greeting: goes out before all others.

        Returns:
            False if the outbox was closed.
        """
        with self._lock:
            if self._closed:
                return False
            pending = PendingMessages(client, limits, self._on_too_large)
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

    def _take(self, message: Message, on_result: OnResult | None = None) -> PublishResult:
        if self._pending is None or self._closed:
            return PublishResult.NOT_NOW
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
