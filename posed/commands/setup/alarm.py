"""A test alarm: asks the daemon for it over MQTT, as anybody may, and says how to do that by hand."""

from __future__ import annotations

import secrets
import shlex
import time
from typing import Final

import msgspec

from posed.config import Config, mqtt_password
from posed.errors import BrokerError
from posed.messages.structs import ByCamera, EventSent, Response, TestEventRequest, encode
from posed.messages.topics import Topics
from posed.mqtt.broker_session import broker_session
from posed.mqtt.client import ONLINE

ANSWER_S: Final = 10.0
"""The daemon answers within this long, s."""

ONLINE_S: Final = 20.0
"""A daemon that was just started is online within this long, s: the model is loaded, the camera opened."""

_VERB: Final = "test_event"
_AGAIN_S: Final = 1.0

_decode = msgspec.json.Decoder(Response[ByCamera[EventSent]]).decode


def send_test_alarm(config: Config, wait_s: float = ONLINE_S) -> str:
    """Let the daemon send a fall that is marked as a test, of each camera.

    Args:
        config: names the broker and the device.
        wait_s: how long the daemon may take to come online, s.

    Returns:
        Where the events went, in words.

    Raises:
        BrokerError: the broker cannot be reached, or the daemon is not online, or does not do it.
        ConfigError: the password's file cannot be read.
    """
    topics, transaction = Topics.of(config), f"setup-{secrets.token_hex(4)}"
    with broker_session(config.mqtt, mqtt_password(config.mqtt)) as session:
        until = time.monotonic() + wait_s
        while session.retained(topics.availability).get(topics.availability) != ONLINE:
            if time.monotonic() > until:
                raise BrokerError(f"device {config.device}: is not online within {wait_s:g} s")
            session.receive(_AGAIN_S)
        session.listen(topics.response(_VERB))
        session.publish(topics.request(_VERB), encode(TestEventRequest(transaction=transaction)))
        until = time.monotonic() + ANSWER_S
        while (rest_s := until - time.monotonic()) > 0:
            for _, payload in session.receive(rest_s):
                if sent := _sent(config.device, payload, transaction):
                    return f"test alarm: sent to {topics.events}, of {', '.join(sent.cameras)}"
    raise BrokerError(f"device {config.device}: no answer within {ANSWER_S:g} s")


def _sent(device: str, payload: bytes, transaction: str) -> ByCamera[EventSent] | None:
    """What the daemon did; None for the answer to somebody else."""
    try:
        answer = _decode(payload)
    except msgspec.DecodeError as error:
        raise BrokerError(f"device {device}: answers what this version cannot read: {error}") from None
    if answer.transaction != transaction:
        return None
    if answer.status == "error" or not isinstance(answer.data, ByCamera):
        raise BrokerError(f"device {device}: {answer.error}")
    return answer.data


def command_for_test_alarm(config: Config) -> str:
    """The command line that lets the daemon send one; the password is left to fill in."""
    mqtt = config.mqtt
    words = ["mosquitto_pub", "-h", mqtt.host]
    if mqtt.port != 1883:
        words += ["-p", str(mqtt.port)]
    if mqtt.username is not None:
        words += ["-u", mqtt.username, "-P", "PASSWORD"]
    if mqtt.tls is not None:
        words += ["--tls-use-os-certs"] if mqtt.tls.ca is None else ["--cafile", str(mqtt.tls.ca)]
    return shlex.join([*words, "-t", Topics.of(config).request(_VERB), "-n"])
