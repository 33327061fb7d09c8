"""A short connection of a command to the broker, under an id of its own, so that no daemon is disturbed."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from paho.mqtt.client import MQTTMessageInfo

from posed.config import MqttConfig
from posed.errors import BrokerError
from posed.mqtt.attempt import How, Received, Remedy
from posed.mqtt.connection import Connection, Connector, Timing
from posed.mqtt.outbox import Message
from posed.mqtt.versions import Version, VersionChoice

CONNECT_S: Final = 5.0
"""The connection, the TLS handshake and the broker's answer may each take this long, s."""

RETAINED_S: Final = 0.5
"""Retained messages are waited for this long after subscribing, s; no message says that it is the last."""


class NotReached(BrokerError):
    """A broker that cannot be used like this; `remedy` is what may help, None for another broker."""

    def __init__(self, where: str, why: str, remedy: Remedy | None = None) -> None:
        self.remedy = remedy
        super().__init__(f"{where}: {why}")


class BrokerSession:
    """An open connection.

    Args:
        connection: accepted by the broker, and driven from here.
        version: the version of MQTT.
        where: what messages to people call the broker.

    Attributes:
        version: as above.
        limits: what the broker takes.
    """

    def __init__(self, connection: Connection, version: Version, where: str) -> None:
        self.version = version
        self.limits = connection.limits
        self._connection = connection
        self._client = connection.client
        self._where = where

    def retained(self, *filters: str) -> dict[str, bytes]:
        """What the broker keeps below topic filters, by topic."""
        self._client.subscribe([(topic_filter, 0) for topic_filter in filters])
        until = time.monotonic() + RETAINED_S
        while time.monotonic() < until and self._connection.step(0.05):
            pass
        kept = (message for message in self._taken() if message.retained)
        return {message.topic: message.payload for message in kept if message.payload}

    def listen(self, *filters: str) -> None:
        """Take what comes from now on, for `receive`."""
        self._client.subscribe([(topic_filter, 1) for topic_filter in filters])

    def receive(self, wait_s: float) -> list[tuple[str, bytes]]:
        """Topics and payloads that came, as soon as something has, or nothing after `wait_s` seconds.

        Raises:
            NotReached: the connection has ended.
        """
        until = time.monotonic() + wait_s
        while not self._connection.notes.messages and (rest_s := until - time.monotonic()) > 0:
            if not self._connection.step(rest_s):
                raise NotReached(self._where, "the connection has ended")
        return [(message.topic, message.payload) for message in self._taken()]

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
            if not self._connection.step(0.05) or time.monotonic() > until:
                raise NotReached(self._where, f"does not confirm that {topic} is emptied")

    def settle(self, timeout_s: float) -> None:
        """Wait until the broker has read everything, where it acknowledges no message but this."""
        if self.limits.max_qos > 0:
            return
        answers: list[int] = []
        self._client.on_unsubscribe = lambda _client, _data, packet_id, *_: answers.append(packet_id)
        self._client.unsubscribe("#")
        until = time.monotonic() + timeout_s
        while not answers and time.monotonic() < until:
            if not self._connection.step(0.05):
                return

    def _taken(self) -> list[Received]:
        """The messages that have come."""
        notes = self._connection.notes.messages
        return [notes.popleft() for _ in range(len(notes))]

    def _send(self, message: Message) -> MQTTMessageInfo:
        message = message.within(self.limits)
        return self._client.publish(message.topic, message.payload, message.qos, message.retain)


@contextmanager
def broker_session(
    config: MqttConfig, password: str | None, timeout_s: float = CONNECT_S, *, will: Message | None = None
) -> Iterator[BrokerSession]:
    """Connect with the daemon's settings, but for its id, and without saying `online`.

    Args:
        config: the broker.
        password: see `posed.config.mqtt_password`.
        timeout_s: the connection, the TLS handshake and the broker's answer may each take this long.
        will: the broker publishes this message when the connection breaks; None for no message.

    Raises:
        NotReached: the broker cannot be reached, or refuses the connection.
        ConfigError: the authority's certificate cannot be used.
    """
    timing = Timing(connect_timeout_s=timeout_s, probe_timeout_s=timeout_s)
    connector = Connector(config, password, f"posed-visit-{secrets.token_hex(4)}", will, timing)
    where, versions = f"mqtt {config.host}:{config.port}", VersionChoice(config.protocol)
    connection = _connected(connector, versions, where, behind_tls=config.tls is not None)
    try:
        session = BrokerSession(connection, versions.version, where)
        yield session
        session.settle(timeout_s)
        connection.leave()
    finally:
        connection.close()


def _connected(connector: Connector, versions: VersionChoice, where: str, *, behind_tls: bool) -> Connection:
    """A connection, made again with another version or with less where the broker wants that.

    Raises:
        NotReached: the broker cannot be reached, or refuses the connection.
    """
    while True:
        connection = connector.new_connection(versions.version)
        outcome = connection.connect() or connection.await_connack(versions, threading.Event())
        connector.limits = connection.limits
        if outcome is None:
            return connection
        connection.close()
        if outcome.how is How.LIMITED or versions.fall_back(outcome):
            continue
        no_answer = outcome.how is How.VERSION_REFUSED and not behind_tls
        raise NotReached(where, outcome.why, "tls" if no_answer else outcome.remedy)
