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
from posed.mqtt.limits import BrokerLimits


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

    def subscribe(self, client: Client, limits: BrokerLimits) -> str | None:
        """Subscribe with QoS 1 to everything that the broker takes; returns what it does not, or None."""
        for topic_filter in self.fresh:
            if limits.wildcards or not _has_wildcard(topic_filter):
                client.subscribe(topic_filter, **_without_retained(client))
        for topic_filter in self.retained:
            client.subscribe(topic_filter, qos=1)
        refused = not limits.wildcards and any(map(_has_wildcard, self.fresh))
        return "wildcard subscriptions not supported" if refused else None

    def pass_on(self, messages: deque[Received]) -> None:
        """Hand over what has arrived, and empty the queue."""
        while messages:
            self.on_message(messages.popleft())


def _has_wildcard(topic_filter: str) -> bool:
    return "+" in topic_filter or "#" in topic_filter


def _without_retained(client: Client) -> dict[str, Any]:
    """Ask for QoS 1, and for nothing that is retained where the protocol can say so."""
    if client.protocol != MQTTProtocolVersion.MQTTv5:
        return {"qos": 1}
    return {"options": SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)}
