"""The broker as whoever publishes sees it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Literal, Protocol


class DeliveryResult(Enum):
    """What became of a message that its sender keeps."""

    ACKNOWLEDGED = auto()
    """The broker has it; where it takes QoS 0 alone, the message is written."""

    REFUSED = auto()
    """The broker answered with a failure: not authorized, quota exceeded, …"""

    LOST = auto()
    """The connection ended before the broker answered, so it may have it or not."""


class PublishResult(Enum):
    """What became of a message that was handed over; true where it was taken."""

    TAKEN = auto()
    """It is on its way."""

    NOT_NOW = auto()
    """There is no connection, or too many messages are waiting already."""

    TOO_LARGE = auto()
    """The broker does not take messages of this size, and trying again does not help; the log says so."""

    def __bool__(self) -> bool:
        return self is PublishResult.TAKEN


class Broker(Protocol):
    """Takes messages from any thread; `MqttClient` is the one of a daemon."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: Literal[0, 1] = 0,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> PublishResult:
        """Hand a message over for publishing; drop and count it where it cannot go out.

        Args:
            topic: full topic.
            payload: the message.
            qos: 1 for what the broker has to acknowledge, if it takes that.
            retain: whether the broker keeps it for later subscribers, if it keeps any.
            expiry_s: after how many seconds the broker shall forget it; MQTT 5 only.

        Returns:
            Whether it was taken; if not, it was dropped.
        """

    def deliver(
        self,
        topic: str,
        payload: bytes,
        on_result: Callable[[DeliveryResult], None],
        *,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> PublishResult:
        """Publish with QoS 1 what the sender keeps until the broker has it; it never counts as dropped.

        Args:
            topic: full topic.
            payload: the message.
            on_result: called once, from the network thread.
            retain: whether the broker keeps it for later subscribers.
            expiry_s: after how many seconds the broker shall forget it; MQTT 5 only.

        Returns:
            Whether it was taken; if not, `on_result` is not called.
        """
