"""Which messages are taken without a connection; `test_mqtt_client` has the rest, with real brokers."""

from __future__ import annotations

from collections import deque

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from posed.mqtt.broker import DeliveryResult
from posed.mqtt.limits import BrokerLimits
from posed.mqtt.outbox import Message, Outbox

STATE = Message("posed/test/state", b"{}", qos=1, retain=True)
ONLINE = Message("posed/test/availability", b"online", qos=1, retain=True)
OFFLINE = Message("posed/test/availability", b"offline", qos=1, retain=True)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(lambda *_: None)


@pytest.fixture
def client() -> Client:
    return Client(CallbackAPIVersion.VERSION2, client_id="posed-test")


def test_without_a_connection_only_what_nobody_keeps_counts_as_dropped(outbox: Outbox) -> None:
    results: list[DeliveryResult] = []
    assert not outbox.is_open
    assert not outbox.publish(STATE)
    assert not outbox.deliver(STATE, results.append)
    outbox.end_connection(deque())
    assert (outbox.dropped, results) == (1, [])


def test_a_closed_outbox_is_not_opened_again(outbox: Outbox, client: Client) -> None:
    outbox.close(OFFLINE)
    assert not outbox.open(client, BrokerLimits(), ONLINE)
    assert not outbox.is_open
    assert not outbox.is_farewell_acknowledged
