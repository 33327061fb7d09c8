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
def test_a_broker_whose_machine_is_gone_is_noticed_after_ten_seconds(tmp_path: Path) -> None:
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
