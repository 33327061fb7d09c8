"""What a broker says in its CONNACK that it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from paho.mqtt.reasoncodes import ReasonCode

_WILL_REFUSED: Final[dict[int, dict[str, Any]]] = {154: {"retain": False}, 155: {"max_qos": 0}}
"""By the reason code of a CONNACK that refuses our will, what the broker does not take: retained messages, or
QoS 1. Source: MQTT 5.0, 3.2.2.2."""


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What a broker takes; the defaults are MQTT 5's, for a CONNACK that says nothing, such as any of 3.1.1.

    Topic aliases need no bound: we send none. Source: MQTT 5.0, 3.2.2.3.

    Args:
        max_packet_bytes: the largest packet that may be sent; None for any.
        max_qos: the highest QoS of a message.
        retain: whether it keeps retained messages.
        receive_maximum: how many messages may be unacknowledged at a time.
        wildcards: whether it takes subscriptions with wildcards.
    """

    max_packet_bytes: int | None = None
    max_qos: Literal[0, 1] = 1
    retain: bool = True
    receive_maximum: int = 65535
    wildcards: bool = True

    @classmethod
    def of_connack(cls, properties: Any) -> Self:
        """What the properties of a CONNACK say; paho's objects have the attributes that came."""
        return cls(
            max_packet_bytes=getattr(properties, "MaximumPacketSize", None),
            max_qos=0 if getattr(properties, "MaximumQoS", 1) == 0 else 1,
            retain=bool(getattr(properties, "RetainAvailable", 1)),
            receive_maximum=getattr(properties, "ReceiveMaximum", 65535),
            wildcards=bool(getattr(properties, "WildcardSubscriptionAvailable", 1)),
        )

    def after_refusal(self, reason: ReasonCode) -> Self:
        """What is left to try after a CONNECT within these limits was refused; the same where nothing is."""
        return replace(self, **_WILL_REFUSED.get(reason.value, {}))
