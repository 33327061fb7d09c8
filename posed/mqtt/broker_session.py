"""A short connection of a command to the broker, under an id of its own, so that no daemon is disturbed."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from posed.config import MqttConfig
from posed.errors import BrokerError
from posed.mqtt.attempt import How, Notes, reason_of, tls_context
from posed.mqtt.limits import BrokerLimits
from posed.mqtt.outbox import Message

CONNECT_S: Final = 5.0
"""The connection, the TLS handshake and the broker's answer may each take this long, s."""

RETAINED_S: Final = 0.5
"""Retained messages are waited for this long after subscribing, s; no message says that it is the last."""

_VERSIONS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}

_WRONG_LOGIN: Final = frozenset({"bad user name or password", "not authorized"})
"""These are MQTT 5 reason codes 134 and 135 in paho's words; it reports 3.1.1's 4 and 5 in the same words."""

_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
"""OpenSSL gives these X509_V_ERR_… numbers for self-signed certificates and for those whose issuer it does
not know."""

Remedy = Literal["login", "authority", "tls"]


class NotReached(BrokerError):
    """A broker that cannot be used like this; `remedy` is what may help, None for another broker."""

    def __init__(self, where: str, why: str, remedy: Remedy | None = None) -> None:
        self.remedy = remedy
        super().__init__(f"{where}: {why}")


class BrokerSession:
    """An open connection.

    Args:
        client: connected, driven by `loop`.
        version: the version of MQTT.
        where: what messages to people call the broker.
        limits: what the broker takes.
    """

    def __init__(self, client: Client, version: str, where: str, limits: BrokerLimits) -> None:
        self.version = version
        self._client = client
        self._where = where
        self._limits = limits
        self._came: list[tuple[str, bytes]] = []

    def retained(self, *filters: str) -> dict[str, bytes]:
        """What the broker keeps below topic filters, by topic."""
        found: dict[str, bytes] = {}

        def note(_client: Any, _data: Any, message: Any) -> None:
            if message.retain and message.payload:
                found[message.topic] = message.payload

        self._client.on_message = note
        self._client.subscribe([(topic_filter, 0) for topic_filter in filters])
        until = time.monotonic() + RETAINED_S
        while time.monotonic() < until and self._client.loop(0.05) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass
        return found

    def listen(self, *filters: str) -> None:
        """Take what comes from now on, for `receive`."""
        self._client.on_message = lambda _client, _data, message: self._came.append(
            (message.topic, bytes(message.payload))
        )
        self._client.subscribe([(topic_filter, 1) for topic_filter in filters])

    def receive(self, wait_s: float) -> list[tuple[str, bytes]]:
        """Topics and payloads that came, as soon as something has, or nothing after `wait_s` seconds.

        Raises:
            NotReached: the connection has ended.
        """
        until = time.monotonic() + wait_s
        while not self._came and (rest_s := until - time.monotonic()) > 0:
            if self._client.loop(rest_s) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise NotReached(self._where, "the connection has ended")
        came, self._came = self._came, []
        return came

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1, if the broker takes that; what `receive` reads and writes takes it along."""
        self._send(Message(topic, payload, qos=1))

    def empty(self, topic: str, timeout_s: float = CONNECT_S) -> None:
        """Make the broker keep nothing of a topic.

        Raises:
            NotReached: it does not confirm that.
        """
        sent = self._send(Message(topic, b"", qos=1, retain=True))
        until = time.monotonic() + timeout_s
        while not sent.is_published():
            if self._client.loop(0.05) != MQTTErrorCode.MQTT_ERR_SUCCESS or time.monotonic() > until:
                raise NotReached(self._where, f"does not confirm that {topic} is emptied")

    def settle(self, timeout_s: float) -> None:
        """Wait until the broker has read everything, where it acknowledges no message but this."""
        if self._limits.max_qos > 0:
            return
        answers: list[int] = []
        self._client.on_unsubscribe = lambda _client, _data, packet_id, *_: answers.append(packet_id)
        self._client.unsubscribe("#")
        until = time.monotonic() + timeout_s
        while not answers and time.monotonic() < until:
            if self._client.loop(0.05) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return

    def _send(self, message: Message) -> MQTTMessageInfo:
        message = message.within(self._limits)
        return self._client.publish(message.topic, message.payload, message.qos, message.retain)


@contextmanager
def broker_session(
    config: MqttConfig, password: str | None, timeout_s: float = CONNECT_S
) -> Iterator[BrokerSession]:
    """Connect with the daemon's settings, but without its will and without saying `online`.

    Raises:
        NotReached: the broker cannot be reached, or refuses the connection.
        ConfigError: the authority's certificate cannot be used.
    """
    tls = None if config.tls is None else tls_context(config.tls)
    where, why = f"mqtt {config.host}:{config.port}", ""
    for version in _VERSIONS if config.protocol == "auto" else (config.protocol,):
        notes = Notes()
        client = _client(version, config.username, password, notes)
        client.connect_timeout = timeout_s
        if tls is not None:
            client.tls_set_context(tls)
        try:
            _connect(client, config, where, timeout_s)
            why_version_refused = _await_answer(client, notes, version, where, timeout_s)
            if why_version_refused is None:
                session = BrokerSession(client, version, where, notes.limits)
                yield session
                session.settle(timeout_s)
                client.disconnect()
                return
            why = why_version_refused
        finally:
            if (sock := client.socket()) is not None:
                sock.close()
    raise NotReached(where, why, "tls" if tls is None else None)


def _client(version: str, username: str | None, password: str | None, notes: Notes) -> Client:
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"posed-visit-{secrets.token_hex(4)}",
        protocol=_VERSIONS[version],
        reconnect_on_failure=False,
    )
    client.username_pw_set(username, password)
    client.on_connect = notes.on_connect
    client.on_disconnect = notes.on_disconnect
    client.on_log = notes.on_log
    return client


def _connect(client: Client, config: MqttConfig, where: str, timeout_s: float) -> None:
    try:
        client.connect(config.host, config.port)
    except (OSError, UnicodeError) as error:
        unknown = isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNKNOWN_AUTHORITY
        raise NotReached(where, reason_of(error, timeout_s), "authority" if unknown else None) from None


def _await_answer(client: Client, notes: Notes, version: str, where: str, timeout_s: float) -> str | None:
    """None once the broker has accepted the connection, or why it wants another version of MQTT."""
    answer_by = time.monotonic() + timeout_s
    while not notes.answered and client.loop(0.1) == MQTTErrorCode.MQTT_ERR_SUCCESS:
        if time.monotonic() > answer_by:
            return f"no answer to MQTT {version} within {timeout_s:g} s"
    ending = notes.refusal(version)
    if ending is None:
        return None
    if ending.how is How.VERSION_REFUSED:
        return ending.why
    wrong_login = any(words in ending.why for words in _WRONG_LOGIN)
    raise NotReached(where, ending.why, "login" if wrong_login else None)
