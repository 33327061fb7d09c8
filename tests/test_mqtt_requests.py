"""Requests: what is answered, what is dropped, and that nothing a message holds does any harm."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from posed.config import MqttConfig
from posed.errors import ConfigError, RequestError
from posed.messages import structs as messages
from posed.messages.structs import EventSent, Request, Response
from posed.messages.topics import Topics
from posed.mqtt.attempt import Notes, Received
from posed.mqtt.client import MqttClient
from posed.mqtt.connection import Timing
from posed.mqtt.requests import MAX_AT_ONCE, MAX_BYTES, MAX_WAITING, PartlyDone, Requests, Verb
from tests.broker_fake import FakeBroker
from tests.brokers import Gate, Mosquitto, Subscriber, eventually
from tests.clock import Clock

TOPICS = Topics("posed/test")
QUICK = Timing(connect_timeout_s=4, probe_timeout_s=0.3, backoff_min_s=0.02, backoff_max_s=0.1)
CONTRACT = jsonschema.Draft202012Validator(msgspec.json.schema(Response))
VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class Greet(Request, frozen=True, kw_only=True):
    """Arguments for tests."""

    name: str = "nobody"
    times: int = 1


def greet(request: Greet) -> EventSent:
    if request.name == "stranger":
        raise RequestError("name: must be known, got 'stranger'")
    if request.name == "half":
        raise PartlyDone("other: is away", EventSent("hello half"))
    if request.times < 1:
        raise ConfigError(["times: must be at least 1"])
    return EventSent(f"hello {request.name}")


class Asker:
    """Requests with one verb, and what they publish."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.requests = Requests(TOPICS, {"greet": Verb(Greet, greet)}, self.clock)
        self.broker = FakeBroker()

    def receive(self, verb: str, payload: bytes = b"", *, retained: bool = False) -> None:
        self.requests.receive(Received(f"posed/test/request/{verb}", payload, retained))

    def serve(self) -> list[Any]:
        """The responses to everything that waits."""
        self.broker.messages.clear()
        self.requests.serve(self.broker)
        return [message.json for message in self.broker.messages]

    def ask(self, verb: str, payload: bytes = b"") -> Any:
        self.receive(verb, payload)
        (response,) = self.serve()
        CONTRACT.validate(response)
        return response


@pytest.fixture
def asker() -> Asker:
    return Asker()


# What is answered


def test_an_answer_the_broker_does_not_take_is_named(asker):
    asker.broker.max_bytes = 110
    response = asker.ask("greet", b'{"transaction": "abc", "name": "%s"}' % (b"x" * 100))
    assert (response["transaction"], response["status"]) == ("abc", "error")
    assert response["error"] == "ok, but the answer is larger than the broker takes"


def test_a_request_is_answered_with_its_transaction_and_data(asker):
    response = asker.ask("greet", b'{"transaction": "abc", "name": "you"}')
    assert response == {"transaction": "abc", "status": "ok", "data": {"event": "hello you"}}


def test_the_answer_goes_to_its_verbs_topic_with_qos_1(asker):
    asker.ask("greet")
    (message,) = asker.broker.messages
    assert (message.topic, message.qos) == ("posed/test/response/greet", 1)


def test_a_request_without_transaction_is_answered_without(asker):
    assert asker.ask("greet", b"{}") == {"status": "ok", "data": {"event": "hello nobody"}}


def test_an_empty_payload_asks_without_arguments(asker):
    assert asker.ask("greet") == {"status": "ok", "data": {"event": "hello nobody"}}


def test_what_the_verb_objects_to_is_answered(asker):
    response = asker.ask("greet", b'{"transaction": "abc", "name": "stranger"}')
    assert response == {
        "transaction": "abc",
        "status": "error",
        "error": "name: must be known, got 'stranger'",
    }


def test_what_was_partly_done_is_answered_with_both(asker):
    response = asker.ask("greet", b'{"name": "half"}')
    assert response == {"status": "error", "error": "other: is away", "data": {"event": "hello half"}}


def test_every_error_of_posed_is_an_answer(asker):
    assert asker.ask("greet", b'{"times": 0}') == {"status": "error", "error": "times: must be at least 1"}


def test_an_unknown_verb_is_answered_with_those_there_are(asker):
    response = asker.ask("explode", b'{"transaction": "abc"}')
    assert response["error"] == "request: must be one of greet, got 'explode'"
    assert response["transaction"] == "abc"


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"{", "request: must be JSON in UTF-8 (Input data was truncated)"),
        (b"{} {}", "request: must be JSON in UTF-8 (JSON is malformed: trailing characters (byte 4))"),
        (
            b"\xff\xfe",
            "request: must be JSON in UTF-8 ('utf-8' codec can't decode byte 0xff in position 0: "
            "invalid start byte)",
        ),
        (
            b'{"transaction": "\xff"}',
            "request: must be JSON in UTF-8 ('utf-8' codec can't decode byte 0xff in position 17: "
            "invalid start byte)",
        ),
        (b"[]", "request: expected `object`, got `array`"),
        (b"null", "request: expected `object`, got `null`"),
        (b'{"transaction": 1}', "transaction: expected `str`, got `int`"),
        (b'{"name": []}', "name: expected `str`, got `array`"),
        (b'{"times": 1e400}', "times: number out of range"),
        (b'{"nam": "you"}', "request: object contains unknown field `nam`"),
    ],
)
def test_what_is_no_such_request_is_answered_with_the_reason(asker, payload, error):
    assert asker.ask("greet", payload) == {"status": "error", "error": error}


@pytest.mark.parametrize(
    ("payload", "at_the_end"),
    [
        (b'{"name": ' + b"[" * 20000, "request: must be JSON in UTF-8 (Input data was truncated)"),
        (b'{"a":' * 10000 + b"1" + b"}" * 10000, "request: object contains unknown field `a`"),
    ],
)
def test_what_is_nested_deeply_is_answered_too(asker, payload, at_the_end):
    # Python 3.14 gets down to the end of as much as a request may have.
    answer = asker.ask("greet", payload)
    assert answer in [
        {"status": "error", "error": error} for error in ("request: nested too deeply", at_the_end)
    ]


def test_a_transaction_comes_back_with_wrong_arguments_too(asker):
    assert asker.ask("greet", b'{"name": 1, "transaction": "abc"}')["transaction"] == "abc"


def test_a_long_reason_is_cut(asker):
    response = asker.ask("greet", b'{"%s": 1}' % (b"x" * 60000))
    assert len(response["error"]) == 300


def test_requests_are_answered_in_their_order(asker):
    for number in range(3):
        asker.receive("greet", b'{"name": "%d"}' % number)
    assert [response["data"]["event"] for response in asker.serve()] == ["hello 0", "hello 1", "hello 2"]


def test_every_request_of_the_contract_has_a_schema():
    for name in ("InfoRequest", "ClearFallRequest", "TestEventRequest"):
        schema = msgspec.json.schema(getattr(messages, name))
        jsonschema.validate({"transaction": "abc"}, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"transactoin": "abc"}, schema)


# What is dropped


def test_a_retained_request_is_ignored(asker, caplog):
    asker.receive("greet", retained=True)
    assert asker.serve() == []
    assert "request 'greet' dropped: it is retained, and would come again" in caplog.text


@pytest.mark.parametrize("verb", ["", "Greet", "a b", "a/b", "gr\x00eet", "x" * 33, "+", "#", "ß"])
def test_what_cannot_be_a_verb_is_dropped(asker, caplog, verb):
    asker.receive(verb)
    assert asker.serve() == []
    assert "no verb looks like this" in caplog.text


def test_the_largest_payload_is_answered_and_a_larger_one_dropped(asker, caplog):
    largest = b'{"name": "%s"}' % (b"x" * (MAX_BYTES - 12))
    assert len(largest) == MAX_BYTES
    assert asker.ask("greet", largest)["status"] == "ok"
    asker.receive("greet", largest + b" ")
    assert asker.serve() == []
    assert f"must be at most {MAX_BYTES} bytes, got {MAX_BYTES + 1}" in caplog.text


def test_a_flood_is_dropped_beyond_so_many_at_once(asker, caplog):
    for _ in range(1000):
        asker.receive("greet")
    assert len(asker.serve()) == MAX_AT_ONCE
    assert "more than 10 requests per second" in caplog.text


def test_after_a_flood_so_many_per_second_are_answered(asker):
    for _ in range(1000):
        asker.receive("greet")
    asker.serve()
    asker.clock.now_s += 0.5
    for _ in range(1000):
        asker.receive("greet")
    assert len(asker.serve()) == 5


def test_only_so_many_wait_for_a_loop_that_is_busy(asker, caplog):
    for _ in range(100):
        asker.clock.now_s += 1
        asker.receive("greet")
    assert len(asker.serve()) == MAX_WAITING
    assert f"{MAX_WAITING} are waiting already" in caplog.text


def test_warnings_come_once_a_minute_with_how_many_there_were(asker, caplog):
    for _ in range(1000):
        asker.receive("+")
    assert len(caplog.records) == 1
    asker.clock.now_s += 60
    asker.receive("+")
    assert [record.getMessage() for record in caplog.records] == [
        "request '+' dropped: no verb looks like this",
        "request '+' dropped: no verb looks like this (and 999 more before)",
    ]


# Whatever a message holds

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from([*Greet.__struct_fields__, "x", ""])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)
SAMPLES = [
    b'{"transaction": "abc", "name": "you", "times": 12}',
    '{"transaction": "\\ud83d\\ude00 ß😀", "name": "\\u0000"}'.encode(),
    b'{"times": -1.5e3, "x": [[[{"a": null}, true]]]}',
]
MANY = settings(max_examples=500, deadline=None, database=None)


def _holds(payload: bytes) -> None:
    """Any payload has an answer, which the contract allows and which can be published."""
    asker = Asker()
    response = asker.ask("greet", payload)
    assert response["status"] in {"ok", "error"}
    assert ("data" in response) != ("error" in response)


@MANY
@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(payload):
    _holds(payload)


@MANY
@given(JSON)
def test_any_json_has_an_answer(value):
    _holds(json.dumps(value).encode())


@MANY
@given(st.sampled_from(SAMPLES), st.integers(0, 70), st.integers(0, 9), st.binary(max_size=3))
def test_any_damaged_json_has_an_answer(payload, place, length, damage):
    _holds(payload[:place] + damage + payload[place + length :])


@MANY
@given(st.text(max_size=50), st.booleans())
def test_any_topic_is_answered_below_our_own_or_dropped(verb, retained):
    asker = Asker()
    asker.receive(verb, retained=retained)
    asker.serve()
    for topic in asker.broker.topics():
        base, _, answered = topic.rpartition("/")
        assert base == "posed/test/response"
        assert answered == verb
        assert answered.isascii()
        assert not set("+#/\0") & set(answered)


# With a broker


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


class Device:
    """A client that serves requests as the daemon does.

    Args:
        port: of the broker.
        protocol: MQTT version.
    """

    def __init__(self, port: int, protocol: str = "5") -> None:
        self.requests = Requests(TOPICS, {"greet": Verb(Greet, greet)})
        self.client = MqttClient(
            MqttConfig(host="127.0.0.1", port=port, protocol=protocol),
            password=None,
            client_id="posed-test",
            availability_topic=TOPICS.availability,
            on_connect=lambda: None,
            subscriptions=[TOPICS.requests],
            on_message=self.requests.receive,
            timing=QUICK,
        )

    def answers(self, subscriber: Subscriber) -> list[Any]:
        """Serve what waits, and what has been heard of it so far."""
        self.requests.serve(self.client)
        return [json.loads(payload) for payload in subscriber.payloads(TOPICS.response("greet"))]

    def __enter__(self) -> Device:
        self.client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop(1)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_whoever_sees_online_may_ask_at_once(mosquitto, protocol):
    with Subscriber(mosquitto.port) as subscriber, Device(mosquitto.port, protocol) as device:
        subscriber.wait_for(TOPICS.availability, b"online")
        subscriber.publish("posed/test/request/greet", b'{"transaction": "abc"}')
        eventually(lambda: device.answers(subscriber))
        assert device.answers(subscriber) == [
            {"transaction": "abc", "status": "ok", "data": {"event": "hello nobody"}}
        ]
        (message,) = [m for m in subscriber.messages if m.topic == "posed/test/response/greet"]
        assert (message.qos, message.retain) == (1, False)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_subscription_is_renewed_with_every_connection(mosquitto, protocol):
    with Device(mosquitto.port, protocol) as device:
        eventually(lambda: device.client.connected)
        mosquitto.restart()
        with Subscriber(mosquitto.port) as subscriber:
            subscriber.wait_for(TOPICS.availability, b"online")
            subscriber.publish("posed/test/request/greet")
            eventually(lambda: device.answers(subscriber))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_request_that_the_broker_kept_is_not_served(mosquitto, protocol):
    with Subscriber(mosquitto.port) as subscriber:
        subscriber.publish("posed/test/request/greet", b'{"name": "kept"}', retain=True)
        with Device(mosquitto.port, protocol) as device:
            subscriber.wait_for(TOPICS.availability, b"online")
            subscriber.publish("posed/test/request/greet", b'{"name": "fresh"}')
            eventually(lambda: device.answers(subscriber))
            assert [one["data"]["event"] for one in device.answers(subscriber)] == ["hello fresh"]


def test_a_flood_harms_no_connection_and_no_later_request(mosquitto):
    with Subscriber(mosquitto.port) as subscriber, Device(mosquitto.port) as device:
        subscriber.wait_for(TOPICS.availability, b"online")
        for _ in range(500):
            subscriber.publish("posed/test/request/greet", b"\xff" * 1000)
        subscriber.publish("posed/test/request/greet", b"x" * 1_000_000)
        eventually(lambda: len(device.answers(subscriber)) >= MAX_AT_ONCE)

        def asks_again() -> bool:
            subscriber.publish("posed/test/request/greet", b'{"transaction": "later"}')
            return any(one.get("transaction") == "later" for one in device.answers(subscriber))

        eventually(asks_again)
        assert subscriber.payloads(TOPICS.availability) == [b"online"]


def test_a_property_that_paho_cannot_read_costs_the_connection_once(mosquitto, caplog):
    """U+FEFF is allowed in MQTT 5; paho ends the connection over it, and a kept one must not come again."""
    poison = Properties(PacketTypes.PUBLISH)
    poison.UserProperty = ("name", "\ufeff")
    with (
        caplog.at_level(logging.INFO),
        Subscriber(mosquitto.port, TOPICS.availability) as watcher,
        Device(mosquitto.port) as device,
    ):
        watcher.wait_for(TOPICS.availability, b"online")
        watcher.publish("posed/test/request/greet", retain=True, properties=poison)
        eventually(lambda: caplog.text.count("connected with MQTT 5") == 2)
        with Subscriber(mosquitto.port, TOPICS.response("+")) as subscriber:
            subscriber.publish("posed/test/request/greet")
            eventually(lambda: device.answers(subscriber))
    assert caplog.text.count("connection lost: protocol error") == 1


def test_a_topic_that_is_no_text_is_left_alone():
    notes = Notes()
    notes.on_message(None, None, MQTTMessage(topic=b"posed/test/request/\xff"))
    assert not notes.messages


def test_a_broker_that_refuses_the_subscription_is_named(mosquitto, caplog):
    refused = b"\x90\x03\x00\x01\x80"
    with Gate(mosquitto.port, b"") as gate, Device(gate.port, "3.1.1") as device:
        eventually(lambda: device.client.connected)
        gate.cut(refused)
        eventually(lambda: "refuses our subscriptions, so requests do not arrive: " in caplog.text)
    assert (
        f"mqtt 127.0.0.1:{gate.port}: refuses our subscriptions, so requests do not arrive: unspecified error"
        in caplog.text
    )
