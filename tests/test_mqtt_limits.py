"""What is read of a CONNACK, and what each limit makes of a message."""

from __future__ import annotations

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from posed.mqtt.limits import BrokerLimits
from posed.mqtt.outbox import Message

STATE = Message("posed/test/state", b"{}", qos=1, retain=True)


def test_a_connack_without_properties_limits_nothing() -> None:
    assert BrokerLimits.of_connack(Properties(PacketTypes.CONNACK)) == BrokerLimits()
    assert BrokerLimits.of_connack(None) == BrokerLimits()


def test_all_limits_of_a_connack_are_read() -> None:
    properties = Properties(PacketTypes.CONNACK)
    properties.MaximumPacketSize = 8192
    properties.MaximumQoS = 0
    properties.RetainAvailable = 0
    properties.ReceiveMaximum = 5
    properties.WildcardSubscriptionAvailable = 0
    properties.TopicAliasMaximum = 0
    assert BrokerLimits.of_connack(properties) == BrokerLimits(8192, 0, False, 5, False)


@pytest.mark.parametrize(
    ("limits", "qos", "retain"),
    [
        (BrokerLimits(), 1, True),
        (BrokerLimits(retain=False), 1, False),
        (BrokerLimits(max_qos=0), 0, True),
    ],
)
def test_a_message_keeps_what_the_broker_takes(limits: BrokerLimits, qos: int, retain: bool) -> None:
    message = STATE.within(limits)
    assert (message.qos, message.retain, message.payload) == (qos, retain, STATE.payload)


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        ("Retain not supported", BrokerLimits(retain=False)),
        ("QoS not supported", BrokerLimits(max_qos=0)),
        ("Not authorized", BrokerLimits()),
    ],
)
def test_a_refusal_says_what_not_to_offer_again(reason: str, left: BrokerLimits) -> None:
    assert BrokerLimits().after_refusal(ReasonCode(PacketTypes.CONNACK, reason)) == left
