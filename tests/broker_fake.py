"""A stand-in for `MqttClient` where a test needs no real broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from posed.mqtt.broker import DeliveryResult, PublishResult


@dataclass(frozen=True, slots=True)
class Published:
    """A message as the broker got it."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    expiry_s: int | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


class FakeBroker:
    """Takes messages unless it is full, and acknowledges the delivered ones when the test asks it to.

    Args:
        on_message: called with each message as it is taken.
        full: whether it takes nothing.

    Attributes:
        full: as above; may be changed.
        max_bytes: the largest payload that it takes, bytes; None for any.
        messages: all that it took, oldest first.
        unanswered: who waits for the result of a delivery, oldest first.
    """

    def __init__(
        self, on_message: Callable[[Published], object] = lambda _: None, *, full: bool = False
    ) -> None:
        self._on_message = on_message
        self.full = full
        self.max_bytes: int | None = None
        self.messages: list[Published] = []
        self.unanswered: list[Callable[[DeliveryResult], None]] = []

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, expiry_s: int | None = None
    ) -> PublishResult:
        return self._take(Published(topic, payload, qos, retain, expiry_s))

    def deliver(
        self,
        topic: str,
        payload: bytes,
        on_result: Callable[[DeliveryResult], None],
        *,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> PublishResult:
        if self._refuses(payload) is None:
            self.unanswered.append(on_result)
        return self._take(Published(topic, payload, 1, retain, expiry_s))

    def answer(self, result: DeliveryResult = DeliveryResult.ACKNOWLEDGED) -> None:
        """Report the result of all deliveries that wait for one."""
        while self.unanswered:
            self.unanswered.pop(0)(result)

    def topics(self) -> list[str]:
        """Where messages went, oldest first."""
        return [message.topic for message in self.messages]

    def _refuses(self, payload: bytes) -> PublishResult | None:
        if self.full:
            return PublishResult.NOT_NOW
        if self.max_bytes is not None and len(payload) > self.max_bytes:
            return PublishResult.TOO_LARGE
        return None

    def _take(self, message: Published) -> PublishResult:
        if (refusal := self._refuses(message.payload)) is not None:
            return refusal
        self.messages.append(message)
        self._on_message(message)
        return PublishResult.TAKEN
