"""What is subscribed to, by what the broker takes."""

from __future__ import annotations

from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from posed.mqtt.limits import BrokerLimits
from posed.mqtt.subscriptions import Subscriptions
from tests.brokers import Mosquitto, eventually

SUBSCRIPTIONS = Subscriptions(["posed/hall/request/+", "homeassistant/status"], ["posed/hall/state"], print)


def subscribed(folder: Path, limits: BrokerLimits) -> tuple[set[str], str | None]:
    """The topic filters that a real broker got, and what is said of the others."""
    with Mosquitto(folder) as broker:
        client = Client(CallbackAPIVersion.VERSION2, client_id="test", protocol=MQTTProtocolVersion.MQTTv5)
        answers: list[int] = []
        client.on_subscribe = lambda _client, _data, packet_id, *_: answers.append(packet_id)
        client.connect("127.0.0.1", broker.port)
        eventually(lambda: client.loop(0.1) == 0 and client.is_connected())
        said = SUBSCRIPTIONS.subscribe(client, limits)
        eventually(lambda: client.loop(0.1) == 0 and len(answers) == (3 if limits.wildcards else 2))
        client.disconnect()
        lines = [line.split() for line in broker.log().splitlines() if "(QoS 1)" in line]
        return {line[1] for line in lines}, said


def test_everything_is_subscribed_to(tmp_path: Path) -> None:
    filters = {"posed/hall/request/+", "homeassistant/status", "posed/hall/state"}
    assert subscribed(tmp_path, BrokerLimits()) == (filters, None)


def test_a_broker_without_wildcards_gets_none(tmp_path: Path) -> None:
    filters, said = subscribed(tmp_path, BrokerLimits(wildcards=False))
    assert filters == {"homeassistant/status", "posed/hall/state"}
    assert said == "wildcard subscriptions not supported"
