"""What is logged of a connection, and how often."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from posed.mqtt.attempt import ConnectOutcome, How
from posed.mqtt.connection_log import MANY_SHORT_LIVES, SHORT_LIFE_S, ConnectionLog
from posed.mqtt.limits import BrokerLimits

LOST = ConnectOutcome(How.LOST, "connection lost: closed by the broker")


@pytest.fixture
def connections(caplog: pytest.LogCaptureFixture) -> ConnectionLog:
    caplog.set_level(logging.INFO)
    return ConnectionLog("mqtt host:1883", "posed-hall")


def test_a_reason_is_logged_once_until_there_is_a_connection(
    connections: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        connections.warning("connection refused")
    connections.connected("5", BrokerLimits())
    connections.warning("connection refused")
    assert caplog.messages == [
        "mqtt host:1883: connection refused",
        "mqtt host:1883: connected with MQTT 5",
        "mqtt host:1883: connection refused",
    ]


def test_the_last_reason_is_kept(connections: ConnectionLog, caplog: pytest.LogCaptureFixture) -> None:
    assert connections.why == "mqtt host:1883: not connected yet"
    connections.ended("connection refused")
    assert connections.why == "mqtt host:1883: connection refused"
    connections.gives_way("another daemon has the name", 300)
    assert connections.why == "mqtt host:1883: another daemon has the name"
    assert caplog.messages == ["mqtt host:1883: another daemon has the name; trying again in 300 s"]


def test_many_short_connections_in_a_row_are_warned_of_once(
    connections: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(MANY_SHORT_LIVES + 3):
        connections.warn_of_same_id(LOST, SHORT_LIFE_S - 1)
    (message,) = caplog.messages
    assert "3 connections in a row ended within 15 s" in message
    assert "has the id posed-hall" in message


def test_a_long_connection_or_a_failed_attempt_ends_the_row(
    connections: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(MANY_SHORT_LIVES):
        connections.warn_of_same_id(LOST, SHORT_LIFE_S - 1)
        connections.warn_of_same_id(LOST, SHORT_LIFE_S)
        connections.warn_of_same_id(LOST, 1)
        connections.warn_of_same_id(ConnectOutcome(How.UNREACHABLE, "connection refused"), 1)
    assert caplog.messages == []


def test_a_broker_that_gives_another_reason_is_believed(
    connections: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(MANY_SHORT_LIVES):
        connections.warn_of_same_id(replace(LOST, explained=True), 1)
    assert caplog.messages == []


def test_mqtt_3_1_1_cannot_say_too_large(
    connections: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    connections.connected("3.1.1", BrokerLimits())
    for _ in range(MANY_SHORT_LIVES):
        connections.warn_of_same_id(LOST, 1)
    assert "as large as those of discovery" in caplog.messages[-1]


def test_what_limits_cost_is_logged_when_they_change(
    connections: ConnectionLog, caplog: pytest.LogCaptureFixture
) -> None:
    for limits in (
        BrokerLimits(retain=False, max_qos=0),
        BrokerLimits(retain=False, max_qos=0),
        BrokerLimits(),
    ):
        connections.connected("5", limits)
    assert len([line for line in caplog.messages if "retained messages" in line]) == 1
    assert len([line for line in caplog.messages if "QoS 0 alone" in line]) == 1
