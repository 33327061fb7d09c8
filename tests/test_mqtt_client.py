"""The MQTT client against real brokers."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from posed.config import MqttConfig, TlsConfig
from posed.errors import ConfigError
from posed.mqtt.broker import DeliveryResult, PublishResult
from posed.mqtt.client import MqttClient
from posed.mqtt.connection import Timing
from posed.mqtt.outbox import MAX_WAITING, Message
from tests.brokers import MOSQUITTO, Amqtt, Gate, Mosquitto, Pki, Subscriber, eventually, free_port

AVAILABILITY = "posed/test/availability"
QUICK = Timing(connect_timeout_s=4, probe_timeout_s=0.3, backoff_min_s=0.02, backoff_max_s=0.1)
CANARY = "canary-8c1f"

ClientMaker = Callable[..., MqttClient]


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def amqtt(tmp_path: Path) -> Iterator[Amqtt]:
    with Amqtt(tmp_path) as broker:
        yield broker


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def make_client() -> Iterator[ClientMaker]:
    """Builds clients with quick timing, and stops them when the test is over."""
    clients: list[MqttClient] = []

    def make(
        port: int,
        *,
        password: str | None = None,
        on_connect: Callable[[], None] = lambda: None,
        timing: Timing = QUICK,
        remedies: dict[str, str] | None = None,
        **settings: Any,
    ) -> MqttClient:
        client = MqttClient(
            MqttConfig(**{"host": "127.0.0.1", "port": port, **settings}),
            password=password,
            client_id="posed-test",
            availability_topic=AVAILABILITY,
            on_connect=on_connect,
            remedies=remedies,
            timing=timing,
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.stop(1)


def started(client: MqttClient) -> MqttClient:
    client.start()
    return client


def connected(client: MqttClient) -> MqttClient:
    client.start()
    eventually(lambda: client.connected)
    return client


def settled(client: MqttClient) -> MqttClient:
    """Connected, with `online`, and whatever else has been published, acknowledged."""
    connected(client)
    results: list[DeliveryResult] = []
    assert client.deliver("posed/test/settled", b"", results.append)
    eventually(lambda: results == [DeliveryResult.ACKNOWLEDGED])
    return client


# Versions


@pytest.mark.parametrize(("protocol", "version"), [("auto", "5"), ("5", "5"), ("3.1.1", "3.1.1")])
def test_it_connects_with_the_configured_version(
    mosquitto: Mosquitto, make_client: ClientMaker, protocol: str, version: str
) -> None:
    client = connected(make_client(mosquitto.port, protocol=protocol))
    assert (client.status, client.why, client.version) == ("ok", None, version)
    levels = {"5": ("p5",), "3.1.1": ("p2", "p4")}[version]  # as mosquitto 2.0 and 2.1 call it
    assert any(f"as posed-test ({level}," in mosquitto.log() for level in levels)


def test_auto_falls_back_for_brokers_that_cannot_read_mqtt_5(
    amqtt: Amqtt, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), Subscriber(amqtt.port, version=MQTTProtocolVersion.MQTTv311) as seen:
        client = connected(make_client(amqtt.port))
        seen.wait_for(AVAILABILITY, b"online")
        assert client.version == "3.1.1"
        client.publish("posed/test/poses", b"{}", expiry_s=5)
        seen.wait_for("posed/test/poses", b"{}")
        client.stop(2)
        seen.wait_for(AVAILABILITY, b"offline")
    assert f"mqtt 127.0.0.1:{amqtt.port}: no answer to MQTT 5 within 0.3 s; trying 3.1.1" in caplog.text


REFUSALS = {
    "MQTT 5's reason code": b"\x20\x03\x00\x84\x00",
    "MQTT 3.1.1's return code": b"\x20\x02\x00\x01",
    "a return code without a meaning in MQTT 5": b"\x20\x02\x00\x05",
    "closing": b"",
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_auto_falls_back_at_once_where_mqtt_5_is_refused(
    mosquitto: Mosquitto, make_client: ClientMaker, refusal: bytes
) -> None:
    patient = Timing(backoff_min_s=60)
    with Gate(mosquitto.port, refusal) as gate:
        client = connected(make_client(gate.port, timing=patient))
        assert client.version == "3.1.1"
        assert gate.levels == [5, 4]
        client.stop(1)


@pytest.mark.skipif(
    MOSQUITTO is None or b"accept_protocol_versions" not in Path(MOSQUITTO).read_bytes(),
    reason="this mosquitto does not know accept_protocol_versions",
)
def test_auto_falls_back_on_a_mosquitto_that_accepts_only_3(tmp_path: Path, make_client: ClientMaker) -> None:
    with Mosquitto(tmp_path, lines=("accept_protocol_versions 3,4",)) as broker:
        assert connected(make_client(broker.port)).version == "3.1.1"


def test_the_version_that_worked_is_remembered(mosquitto: Mosquitto, make_client: ClientMaker) -> None:
    with Gate(mosquitto.port, b"") as gate:
        hooks: list[int] = []
        client = connected(make_client(gate.port, on_connect=lambda: hooks.append(1)))
        gate.cut()
        eventually(lambda: len(hooks) == 2)
        assert gate.levels == [5, 4, 4]
        client.stop(1)


def test_a_later_refusal_of_the_remembered_version_goes_back(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    with Gate(mosquitto.port, b"") as gate:
        client = connected(make_client(gate.port))
        assert client.version == "3.1.1"
        gate.refusing = {4}
        gate.cut()
        eventually(lambda: client.version == "5" and client.connected)
        client.stop(1)


def test_a_configured_version_that_is_refused_is_said_and_kept(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    with Gate(mosquitto.port, REFUSALS["MQTT 5's reason code"]) as gate:
        client = started(make_client(gate.port, protocol="5"))
        eventually(lambda: len(gate.levels) > 2)
        assert set(gate.levels) == {5}
        assert client.why == f"mqtt 127.0.0.1:{gate.port}: refuses MQTT 5"


# Refusals


def test_a_wrong_password_is_reported_once_and_no_connection(
    tmp_path: Path, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    with Mosquitto(tmp_path, users={"posed": "other"}) as broker:
        hooks: list[int] = []
        client = started(
            make_client(broker.port, username="posed", password=CANARY, on_connect=lambda: hooks.append(1))
        )
        eventually(lambda: broker.log().count("Sending CONNACK") > 3)
        assert not client.connected
        assert not hooks
        why = f"mqtt 127.0.0.1:{broker.port}: connection refused by the broker: not authorized"
        assert (client.status, client.why) == ("waiting", why)
        assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("WARNING", why)]
        broker.set_password("posed", CANARY)
        eventually(lambda: client.connected)


def test_a_wrong_password_does_not_change_the_version(tmp_path: Path, make_client: ClientMaker) -> None:
    with Mosquitto(tmp_path, users={"posed": "other"}) as broker:
        started(make_client(broker.port, username="posed", password=CANARY))
        eventually(lambda: broker.log().count("Sending CONNACK") > 3)
        assert "Sending CONNACK to" in broker.log()
        broker.set_password("posed", CANARY)
        eventually(lambda: "as posed-test (p5" in broker.log())


def test_the_password_is_nowhere_to_be_read(
    tmp_path: Path, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), Mosquitto(tmp_path, users={"posed": CANARY}) as broker:
        client = connected(make_client(broker.port, username="posed", password=CANARY))
        broker.set_password("posed", "another")
        broker.restart()
        eventually(lambda: "connection refused by the broker" in str(client.why))
        client.stop(1)
        assert CANARY not in caplog.text + repr(client) + str(client.why)
        assert "connected with MQTT 5" in caplog.text


def test_messages_that_the_broker_forbids_are_said(
    tmp_path: Path, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n")
    rules.chmod(0o600)
    with Mosquitto(tmp_path, lines=(f"acl_file {rules}",)) as broker:
        connected(make_client(broker.port))
        eventually(lambda: "refuses messages: not authorized" in caplog.text)


def test_a_takeover_by_the_same_client_id_is_survived(
    mosquitto: Mosquitto, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    hooks: list[int] = []
    connected(make_client(mosquitto.port, on_connect=lambda: hooks.append(1)))
    thief = Client(CallbackAPIVersion.VERSION2, client_id="posed-test")
    thief.connect("127.0.0.1", mosquitto.port)
    eventually(lambda: len(hooks) == 2)
    assert "connection lost: " in caplog.text


def test_the_broker_s_reason_for_ending_the_connection_is_said(
    mosquitto: Mosquitto, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    # Mosquitto itself says so from 2.0.15 on.
    taken_over = b"\xe0\x02\x8e\x00"
    hooks: list[int] = []
    with Gate(mosquitto.port, b"") as gate:
        gate.refusing = set()
        client = connected(make_client(gate.port, on_connect=lambda: hooks.append(1)))
        gate.cut(taken_over)
        eventually(lambda: len(hooks) == 2)
        client.stop(1)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", f"mqtt 127.0.0.1:{gate.port}: connection lost: session taken over")
    ]


# What the broker takes


def limited(folder: Path, *lines: str) -> Mosquitto:
    return Mosquitto(folder, lines=lines)


def test_a_message_too_large_is_not_sent_and_named_once(
    tmp_path: Path, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    remedies = {"posed/test/large": "homeassistant.discovery: components"}
    with limited(tmp_path, "max_packet_size 200") as broker, Subscriber(broker.port) as seen:
        client = settled(make_client(broker.port, protocol="5", remedies=remedies))
        for _ in range(2):
            assert client.publish("posed/test/large", bytes(200), qos=1) is PublishResult.TOO_LARGE
        assert client.deliver("posed/test/large", bytes(200), print) is PublishResult.TOO_LARGE
        assert client.publish("posed/test/small", b"{}") is PublishResult.TAKEN
        seen.wait_for("posed/test/small", b"{}")
        assert client.connected
        assert seen.payloads(AVAILABILITY) == [b"online"]
        assert client.dropped == 2
    (line,) = [message for message in caplog.messages if "at most" in message]
    assert line == (
        f"mqtt 127.0.0.1:{broker.port}: posed/test/large is not published: it has 224 bytes, and the "
        "broker takes at most 200; what helps: homeassistant.discovery: components, or a higher limit at "
        "the broker (mosquitto: max_packet_size)"
    )


@pytest.mark.parametrize(
    ("payload_bytes", "qos", "expiry_s"), [(70, 0, None), (90, 1, 5), (16_300, 1, None), (16_400, 0, 5)]
)
def test_a_packet_as_large_as_the_bound_arrives(
    tmp_path: Path, make_client: ClientMaker, payload_bytes: int, qos: Literal[0, 1], expiry_s: int | None
) -> None:
    message = Message("posed/test/zones/bücher", bytes(payload_bytes), qos, expiry_s=expiry_s)
    limit = max(message.packet_bytes, 100)  # CONNECT has to go through, too
    with limited(tmp_path, f"max_packet_size {limit}") as broker, Subscriber(broker.port) as seen:
        client = connected(make_client(broker.port, protocol="5"))
        payload = bytes(payload_bytes + limit - message.packet_bytes)
        assert client.publish(message.topic, payload, qos=qos, expiry_s=expiry_s)
        seen.wait_for(message.topic, payload)
        more = payload + bytes(3)
        assert client.publish(message.topic, more, qos=qos, expiry_s=expiry_s) is PublishResult.TOO_LARGE


def test_without_retained_messages_everything_is_published_all_the_same(
    tmp_path: Path, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    with limited(tmp_path, "retain_available false") as broker, Subscriber(broker.port) as seen:
        client = settled(make_client(broker.port, protocol="5"))
        seen.wait_for(AVAILABILITY, b"online")
        assert client.publish("posed/test/state", b"{}", qos=1, retain=True)
        seen.wait_for("posed/test/state", b"{}")
        client.stop(2)
        seen.wait_for(AVAILABILITY, b"offline")
    assert [line for line in caplog.messages if "keeps no retained messages" in line]
    assert "ended" not in caplog.text


def test_with_qos_0_alone_written_messages_are_done(
    tmp_path: Path, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    with limited(tmp_path, "max_qos 0", "retain_available false") as broker, Subscriber(broker.port) as seen:
        client = settled(make_client(broker.port, protocol="5"))
        seen.wait_for("posed/test/settled", b"")
        client.stop(2)
        seen.wait_for(AVAILABILITY, b"offline")
    assert "takes QoS 0 alone" in caplog.text


def test_a_low_receive_maximum_is_kept_without_a_goodbye(
    tmp_path: Path, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with limited(tmp_path, "max_inflight_messages 2") as broker, Subscriber(broker.port) as seen:
        client = connected(make_client(broker.port, protocol="5"))
        results: list[DeliveryResult] = []
        for number in range(20):
            assert client.deliver(f"posed/test/{number}", b"", results.append)
        eventually(lambda: results == [DeliveryResult.ACKNOWLEDGED] * 20)
        seen.wait_for(AVAILABILITY, b"online")
        assert seen.payloads(AVAILABILITY) == [b"online"]
    assert "takes only 2 at a time" in caplog.text


def test_a_broker_that_takes_more_again_gets_it(tmp_path: Path, make_client: ClientMaker) -> None:
    with limited(tmp_path, "retain_available false") as broker:
        client = connected(make_client(broker.port, protocol="5"))
        broker.stop()
        broker.change("retain_available false", "retain_available true")
        broker.start()
        eventually(lambda: client.connected)
        client.stop(2)
        with Subscriber(broker.port) as seen:
            seen.wait_for(AVAILABILITY, b"offline")


# Availability


def test_online_is_published_before_what_the_hook_publishes(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    with Subscriber(mosquitto.port) as seen:
        client = make_client(
            mosquitto.port,
            on_connect=lambda: client.publish("posed/test/state", b"{}", qos=1, retain=True),
        )
        connected(client)
        seen.wait_for("posed/test/state", b"{}")
        assert [(m.topic, m.payload) for m in seen.messages] == [
            (AVAILABILITY, b"online"),
            ("posed/test/state", b"{}"),
        ]
    with Subscriber(mosquitto.port, AVAILABILITY) as later:
        assert later.wait_for(AVAILABILITY, b"online").retain


def test_a_broker_that_comes_later_is_waited_for(tmp_path: Path, make_client: ClientMaker) -> None:
    broker = Mosquitto(tmp_path)
    client = started(make_client(broker.port))
    why = f"mqtt 127.0.0.1:{broker.port}: connection refused"
    eventually(lambda: client.why == why)
    assert client.status == "waiting"
    with broker, Subscriber(broker.port) as seen:
        seen.wait_for(AVAILABILITY, b"online")
        client.stop(1)


def test_a_host_that_is_not_known_is_said(make_client: ClientMaker) -> None:
    client = started(make_client(1883, host="posed.invalid"))
    eventually(lambda: "not connected yet" not in str(client.why))
    assert str(client.why).startswith("mqtt posed.invalid:1883: ")
    assert "\n" not in str(client.why)


def test_a_broker_that_restarts_gets_online_and_the_hook_again(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    hooks: list[int] = []
    client = connected(make_client(mosquitto.port, on_connect=lambda: hooks.append(1)))
    eventually(lambda: len(hooks) == 1)
    mosquitto.stop()
    eventually(lambda: not client.connected)
    mosquitto.start()
    eventually(lambda: len(hooks) == 2)
    with Subscriber(mosquitto.port, AVAILABILITY) as seen:
        assert seen.wait_for(AVAILABILITY, b"online").retain


ABRUPT = """
import sys, time
from posed.config import MqttConfig
from posed.mqtt.client import MqttClient
MqttClient(
    MqttConfig(host="127.0.0.1", port=int(sys.argv[1])), password=None, client_id="posed-abrupt",
    availability_topic="posed/test/availability", on_connect=lambda: None,
).start()
time.sleep(60)
"""


@pytest.mark.parametrize("limit", ["retain_available true", "retain_available false", "max_qos 0"])
def test_the_broker_says_offline_for_a_daemon_that_dies(tmp_path: Path, limit: str) -> None:
    with limited(tmp_path, limit) as broker, Subscriber(broker.port, AVAILABILITY) as seen:
        daemon = subprocess.Popen([sys.executable, "-c", ABRUPT, str(broker.port)])
        try:
            seen.wait_for(AVAILABILITY, b"online", timeout_s=20)
        finally:
            daemon.kill()
            daemon.wait()
        seen.wait_for(AVAILABILITY, b"offline")


def test_a_connection_of_which_nothing_is_heard_is_given_up(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    timing = Timing(keepalive_s=1, connect_timeout_s=0.2, backoff_min_s=0.02, backoff_max_s=0.1)
    client = connected(make_client(mosquitto.port, timing=timing))
    mosquitto.pause()
    eventually(lambda: not client.connected)
    eventually(lambda: "no answer to MQTT 5 within 0.2 s" in str(client.why))
    mosquitto.resume()
    eventually(lambda: client.connected)
    assert client.version == "5"


# Stopping


def test_stop_says_offline_and_leaves_no_will_behind(mosquitto: Mosquitto, make_client: ClientMaker) -> None:
    with Subscriber(mosquitto.port) as seen:
        client = connected(make_client(mosquitto.port))
        client.stop(2)
        assert (client.status, client.why) == ("waiting", f"mqtt 127.0.0.1:{mosquitto.port}: stopped")
        assert seen.wait_for(AVAILABILITY, b"offline")
    assert "Received DISCONNECT from posed-test" in mosquitto.log()
    assert seen.payloads(AVAILABILITY) == [b"online", b"offline"]


def test_what_was_published_before_stop_still_goes_out(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    with Subscriber(mosquitto.port) as seen:
        client = connected(make_client(mosquitto.port))
        assert all(client.publish("posed/test/poses", b"%d" % i) for i in range(MAX_WAITING // 2))
        client.stop(2)
        seen.wait_for(AVAILABILITY, b"offline")
        assert len(seen.payloads("posed/test/poses")) == MAX_WAITING // 2


def test_nothing_is_published_after_stop(mosquitto: Mosquitto, make_client: ClientMaker) -> None:
    client = connected(make_client(mosquitto.port))
    client.stop(2)
    assert not client.publish("posed/test/poses", b"{}")


def stop_s(client: MqttClient, timeout_s: float) -> float:
    began_at = time.monotonic()
    client.stop(timeout_s)
    return time.monotonic() - began_at


def test_stop_returns_in_time_from_a_broker_that_hangs(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    client = connected(make_client(mosquitto.port))
    mosquitto.pause()
    assert stop_s(client, 0.3) < 1
    eventually(lambda: not client.connected)


def test_stop_returns_in_time_without_a_broker(make_client: ClientMaker) -> None:
    client = started(make_client(free_port()))
    eventually(lambda: "refused" in str(client.why))
    assert stop_s(client, 5) < 2


def test_stop_returns_in_time_while_connecting(make_client: ClientMaker) -> None:
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        client = started(make_client(deaf.getsockname()[1], timing=Timing(connect_timeout_s=0.6)))
        assert stop_s(client, 0.2) < 0.5
        eventually(lambda: "stopped" in str(client.why))


def test_stop_returns_in_time_while_the_broker_is_silent(make_client: ClientMaker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = started(make_client(silent.getsockname()[1], timing=Timing()))
        accepted, _ = silent.accept()
        with accepted:
            assert accepted.recv(1) == b"\x10"
            assert stop_s(client, 5) < 2


def test_stop_is_safe_when_never_started(make_client: ClientMaker) -> None:
    client = make_client(free_port())
    client.stop(0.1)
    assert not client.connected


# Publishing


def test_messages_are_dropped_and_counted_while_there_is_no_connection(make_client: ClientMaker) -> None:
    client = started(make_client(free_port()))
    assert not client.publish("posed/test/poses", b"{}")
    assert not client.publish("posed/test/state", b"{}", qos=1, retain=True)
    assert client.dropped == 2


@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_that_hangs_makes_messages_drop_not_queue(
    mosquitto: Mosquitto, make_client: ClientMaker, qos: int
) -> None:
    with Subscriber(mosquitto.port) as seen:
        client = connected(make_client(mosquitto.port))
        mosquitto.pause()
        payload = b"x" * 100_000
        eventually(lambda: not client.publish("posed/test/poses", payload, qos=qos))
        assert client.dropped == 1
        assert client.connected
        mosquitto.resume()
        eventually(lambda: client.publish("posed/test/poses", b"after", qos=qos))
        seen.wait_for("posed/test/poses", b"after")


def test_unacknowledged_messages_are_bounded(mosquitto: Mosquitto, make_client: ClientMaker) -> None:
    client = settled(make_client(mosquitto.port))
    mosquitto.pause()
    results = [client.publish("posed/test/state", b"{}", qos=1) for _ in range(2 * MAX_WAITING)]
    assert results == [PublishResult.TAKEN] * MAX_WAITING + [PublishResult.NOT_NOW] * MAX_WAITING


def test_messages_lost_with_a_connection_are_counted(mosquitto: Mosquitto, make_client: ClientMaker) -> None:
    client = settled(make_client(mosquitto.port))
    mosquitto.pause()
    assert client.publish("posed/test/state", b"{}", qos=1)
    mosquitto.signal(signal.SIGKILL)
    eventually(lambda: not client.connected)
    assert client.dropped == 1


def test_large_messages_from_many_threads_arrive_whole(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    payloads = [b"%06d" % number * 40_000 for number in range(60)]
    with Subscriber(mosquitto.port, "posed/test/snapshot") as seen:
        client = connected(make_client(mosquitto.port))
        with ThreadPoolExecutor(4) as pool:
            assert all(
                pool.map(lambda payload: client.publish("posed/test/snapshot", payload), payloads[:30])
            )
            eventually(lambda: len(seen.messages) == 30)
            assert all(
                pool.map(lambda payload: client.publish("posed/test/snapshot", payload), payloads[30:])
            )
            eventually(lambda: len(seen.messages) == 60)
        assert {bytes(message.payload) for message in seen.messages} == set(payloads)


def test_expiry_reaches_mqtt_5_subscribers(mosquitto: Mosquitto, make_client: ClientMaker) -> None:
    with Subscriber(mosquitto.port) as seen:
        client = connected(make_client(mosquitto.port))
        client.publish("posed/test/poses", b"expires", expiry_s=30)
        client.publish("posed/test/poses", b"stays")
        assert seen.wait_for("posed/test/poses", b"expires").properties.MessageExpiryInterval in (29, 30)
        assert not hasattr(seen.wait_for("posed/test/poses", b"stays").properties, "MessageExpiryInterval")


# Messages that their sender keeps


def test_an_acknowledged_message_is_answered_as_such(mosquitto: Mosquitto, make_client: ClientMaker) -> None:
    answers: list[DeliveryResult] = []
    with Subscriber(mosquitto.port) as seen:
        client = connected(make_client(mosquitto.port))
        assert client.deliver("posed/test/events", b"{}", answers.append)
        eventually(lambda: answers == [DeliveryResult.ACKNOWLEDGED])
        assert seen.wait_for("posed/test/events", b"{}").qos == 1


def test_a_message_that_the_broker_forbids_is_answered_as_refused(
    tmp_path: Path, make_client: ClientMaker
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n")
    rules.chmod(0o600)
    answers: list[DeliveryResult] = []
    with Mosquitto(tmp_path, lines=(f"acl_file {rules}",)) as broker:
        client = connected(make_client(broker.port))
        assert client.deliver("posed/test/events", b"{}", answers.append)
        eventually(lambda: answers == [DeliveryResult.REFUSED])


def test_a_message_lost_with_the_connection_is_answered_and_uncounted(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    answers: list[DeliveryResult] = []
    client = settled(make_client(mosquitto.port))
    mosquitto.pause()
    assert client.deliver("posed/test/events", b"{}", answers.append)
    mosquitto.signal(signal.SIGKILL)
    eventually(lambda: answers == [DeliveryResult.LOST])
    assert client.dropped == 0


def test_a_message_that_cannot_leave_stays_with_its_sender(make_client: ClientMaker) -> None:
    answers: list[DeliveryResult] = []
    client = started(make_client(free_port()))
    assert not client.deliver("posed/test/events", b"{}", answers.append)
    assert (client.dropped, answers) == (0, [])


def test_a_message_on_its_way_is_answered_before_the_stop(
    mosquitto: Mosquitto, make_client: ClientMaker
) -> None:
    answers: list[DeliveryResult] = []
    client = connected(make_client(mosquitto.port))
    assert client.deliver("posed/test/events", b"{}", answers.append)
    client.stop(2)
    assert answers == [DeliveryResult.ACKNOWLEDGED]


# TLS


def localhost(tls: TlsConfig) -> dict[str, Any]:
    return {"host": "localhost", "tls": tls}


def test_tls_with_a_private_authority_works(tmp_path: Path, pki: Pki, make_client: ClientMaker) -> None:
    with Mosquitto(tmp_path, pki=pki) as broker:
        client = connected(make_client(broker.port, **localhost(TlsConfig(ca=pki.ca))))
        assert client.publish("posed/test/poses", b"x" * 50_000, qos=1)
        client.stop(2)
        eventually(lambda: "Received DISCONNECT from posed-test" in broker.log())


# paho leaves a socket whose handshake failed to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize(
    ("host", "authority", "reason"),
    [
        ("localhost", None, "self-signed certificate in certificate chain"),
        ("localhost", "other_ca", "self-signed certificate in certificate chain"),
        ("127.0.0.1", "ca", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
)
def test_a_wrong_certificate_is_refused_and_said(  # noqa: PLR0917 - pytest gives all of them by name
    tmp_path: Path, pki: Pki, make_client: ClientMaker, host: str, authority: str | None, reason: str
) -> None:
    with Mosquitto(tmp_path, pki=pki) as broker:
        tls = TlsConfig(ca=getattr(pki, authority) if authority else None)
        client = started(make_client(broker.port, host=host, tls=tls))
        eventually(lambda: client.why == f"mqtt {host}:{broker.port}: certificate not accepted: {reason}")
        assert not client.connected


def test_a_client_certificate_lets_in(tmp_path: Path, pki: Pki, make_client: ClientMaker) -> None:
    tls = TlsConfig(ca=pki.ca, certificate=pki.client, key=pki.client_key)
    with Mosquitto(tmp_path, pki=pki, client_certificates=True) as broker:
        connected(make_client(broker.port, **localhost(tls)))


def test_a_missing_client_certificate_is_said(
    tmp_path: Path, pki: Pki, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), Mosquitto(tmp_path, pki=pki, client_certificates=True) as broker:
        client = started(make_client(broker.port, **localhost(TlsConfig(ca=pki.ca))))
        eventually(lambda: "certificate required" in str(client.why))
        assert not client.connected
        client.stop(1)
    assert "trying 3.1.1" not in caplog.text


def test_insecure_tls_connects_and_warns(
    tmp_path: Path, pki: Pki, make_client: ClientMaker, caplog: pytest.LogCaptureFixture
) -> None:
    with Mosquitto(tmp_path, pki=pki) as broker:
        connected(make_client(broker.port, tls=TlsConfig(insecure=True)))
    assert "mqtt.tls.insecure: any certificate is accepted" in caplog.text


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_a_port_without_tls_is_said(mosquitto: Mosquitto, pki: Pki, make_client: ClientMaker) -> None:
    client = started(make_client(mosquitto.port, **localhost(TlsConfig(ca=pki.ca))))
    eventually(lambda: "not connected yet" not in str(client.why))
    assert not client.connected


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path, make_client: ClientMaker) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(ConfigError) as raised:
        make_client(1, tls=TlsConfig(ca=missing))
    expected = f"mqtt.tls.ca: must be a readable PEM file, got {missing} (No such file or directory)"
    assert str(raised.value) == expected


def test_a_file_without_a_certificate_is_a_config_error(tmp_path: Path, make_client: ClientMaker) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"^mqtt.tls.ca: must be a readable PEM file, got "):
        make_client(1, tls=TlsConfig(ca=garbage))


def test_a_key_of_another_certificate_is_a_config_error(pki: Pki, make_client: ClientMaker) -> None:
    with pytest.raises(ConfigError, match=r"^mqtt.tls.certificate: .* key that fits .*mismatch"):
        make_client(1, tls=TlsConfig(certificate=pki.client, key=pki.server_key))


def test_a_key_with_a_pass_phrase_is_a_config_error(
    tmp_path: Path, pki: Pki, make_client: ClientMaker
) -> None:
    locked = tmp_path / "locked.key"
    lock = ["openssl", "pkey", "-in", str(pki.client_key), "-aes256", "-passout", "pass:secret"]
    subprocess.run([*lock, "-out", str(locked)], check=True, capture_output=True)
    with pytest.raises(ConfigError, match=r"^mqtt.tls.certificate: .* has no pass phrase, got "):
        make_client(1, tls=TlsConfig(certificate=pki.client, key=locked))
