"""What the daemon wants to receive from the broker, and who takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from posed.mqtt.attempt import Received


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Topic filters, and who takes the messages; for the network thread alone.

    Args:
        fresh: filters of topics of which retained messages are not wanted.
        retained: filters of topics of which retained messages are wanted, too.
        on_message: takes a message, outside of paho's locks, and returns.
    """

    fresh: Sequence[str]
    retained: Sequence[str]
    on_message: Callable[[Received], None]

    def subscribe(self, client: Client) -> None:
        """Subscribe to everything with QoS 1."""
        for topic_filter in self.fresh:
            client.subscribe(topic_filter, **_without_retained(client))
        for topic_filter in self.retained:
            client.subscribe(topic_filter, qos=1)

    def pass_on(self, messages: deque[Received]) -> None:
        """Hand over what has arrived, and empty the queue."""
        while messages:
            self.on_message(messages.popleft())


def _without_retained(client: Client) -> dict[str, Any]:
    """Ask for QoS 1, and for nothing that is retained where the protocol can say so."""
    if client.protocol != MQTTProtocolVersion.MQTTv5:
        return {"qos": 1}
    return {"options": SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)}
