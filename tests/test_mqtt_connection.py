"""One connection to a real broker."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from posed.config import MqttConfig
from posed.mqtt.attempt import ConnectOutcome, How
from posed.mqtt.connection import Connector, Timing
from posed.mqtt.outbox import Message
from posed.mqtt.versions import VersionChoice
from tests.brokers import Mosquitto, free_port

WILL = Message("posed/test/availability", b"offline", qos=1, retain=True)


def connector(port: int) -> Connector:
    return Connector(MqttConfig(host="127.0.0.1", port=port), None, "posed-test", WILL, Timing())


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_a_broker_whose_machine_is_gone_is_noticed_soon(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        connection = connector(broker.port).new_connection("5")
        assert connection.connect() is None
        assert connection.await_connack(VersionChoice("5"), threading.Event()) is None
        sock = connection.client.socket()
        assert sock is not None
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        connection.close()


def test_a_broker_that_is_not_there_is_unreachable() -> None:
    connection = connector(free_port()).new_connection("5")
    assert connection.connect() == ConnectOutcome(How.UNREACHABLE, "connection refused")
    connection.close()


@pytest.mark.parametrize(
    ("line", "window"), [("max_inflight_messages 3", 3), ("max_inflight_messages 30", 10)]
)
def test_no_more_is_unacknowledged_than_the_broker_takes(tmp_path: Path, line: str, window: int) -> None:
    with Mosquitto(tmp_path, lines=(line,)) as broker:
        made = connector(broker.port)
        for _ in range(2):
            connection = made.new_connection("5")
            assert connection.connect() is None
            outcome = connection.await_connack(VersionChoice("5"), threading.Event())
            made.limits = connection.limits
            connection.close()
        assert (outcome, connection.client.max_inflight_messages) == (None, window)


def test_a_refused_will_is_offered_as_the_broker_takes_it(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, lines=("retain_available false", "max_qos 0")) as broker:
        made, ways = connector(broker.port), []
        for _ in range(4):
            connection = made.new_connection("5")
            assert connection.connect() is None
            outcome = connection.await_connack(VersionChoice("5"), threading.Event())
            ways.append(outcome and outcome.how)
            made.limits = connection.limits
            connection.close()
        assert ways == [How.LIMITED, How.LIMITED, None, None]
        assert (made.limits.retain, made.limits.max_qos) == (False, 0)
