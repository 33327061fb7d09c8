"""One connection to the broker, and how it is made; paho drives it, and only the network thread uses it."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from posed.config import MqttConfig
from posed.mqtt.attempt import ConnectOutcome, How, Notes, tls_context, unreachable
from posed.mqtt.limits import BrokerLimits
from posed.mqtt.outbox import Message
from posed.mqtt.versions import Version, VersionChoice

_MAX_INFLIGHT: Final = 10
"""At most this many messages may be on the wire unacknowledged, and fewer where the broker's Receive Maximum
is lower; the smallest default among common brokers is HiveMQ's, 10. MQTT 5 brokers close the connection over
more, and paho does not heed their word and takes another bound only before it connects."""

_SEND_BUFFER_BYTES: Final = 64 * 1024
"""The system may buffer this much that is not sent yet; by itself Linux would buffer megabytes for a broker
that does not read: old poses, out of reach of any limit."""

_MAX_PACKET_BYTES: Final = 128 * 1024
"""An MQTT 5 broker may send us packets of this size; it drops larger ones. 3.1.1 has no such bound."""

_VERSIONS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, s."""

    connect_timeout_s: float = 10
    """The TCP connection, the TLS handshake, and the broker's answer to CONNECT may each take this long."""

    probe_timeout_s: float = 3
    """The answer to a version that the broker has not accepted yet may take this long while there is another
    to try: some older brokers read an MQTT 5 CONNECT as one of 3.1.1 and wait for the rest of it (amqtt
    0.12)."""

    unsent_s: int = 10
    """The connection counts as dead when the broker's machine has not acknowledged for this long what is
    written, where the system can tell (Linux). It also bounds the pauses between TCP's own attempts, which
    grow to minutes: a network that is back is used at once. Source: tcp(7), TCP_USER_TIMEOUT."""

    keepalive_s: int = 15
    """paho asks for a sign of life after this long a silence and waits as long again for it, so a connection
    that is open at one end only is noticed after twice as long."""

    backoff_min_s: float = 1
    """The first new attempt waits at most this long; the wait doubles with each attempt that fails."""

    backoff_max_s: float = 5
    """No wait is longer; after a connection that lasted as long, waits start again at the minimum. It is
    short, so that a broker has its devices back within 10 s, and never all at once."""

    give_way_s: float = 300
    """The client stays away for this long after `give_way`."""


class Connection:
    """One attempt to connect, and the connection that comes of it.

    Args:
        client: paho's, not connected yet.
        notes: what its callbacks report.
        config: the broker.
        timing: how long things may take.
        assumed: the broker's limits that the client keeps within.

    Attributes:
        client: as above.
        notes: as above.
    """

    def __init__(
        self, client: Client, notes: Notes, config: MqttConfig, timing: Timing, assumed: BrokerLimits
    ) -> None:
        self.client = client
        self.notes = notes
        self._assumed = assumed
        self._config = config
        self._timing = timing

    def connect(self) -> ConnectOutcome | None:
        """Open the TCP connection and send CONNECT; returns how that failed, or None."""
        client = self.client
        try:
            client.connect(
                self._config.host, self._config.port, self._timing.keepalive_s, properties=_bounds(client)
            )
        except (OSError, UnicodeError) as error:
            return unreachable(error, self._timing.connect_timeout_s)
        return None

    def await_connack(self, versions: VersionChoice, stopping: threading.Event) -> ConnectOutcome | None:
        """Wait for the broker's answer to CONNECT.

        Args:
            versions: chose the version of this attempt.
            stopping: ends the wait when it is set.

        Returns:
            How the attempt ended, or None once the broker has accepted it.
        """
        timing = self._timing
        timeout_s = timing.probe_timeout_s if versions.is_probe else timing.connect_timeout_s
        answer_by = time.monotonic() + timeout_s
        while not self.notes.answered and not stopping.is_set():
            if not self.step(0.1):
                break
            if time.monotonic() > answer_by:
                how = How.VERSION_REFUSED if versions.is_uncertain else How.UNREACHABLE
                return ConnectOutcome(how, f"no answer to MQTT {versions.version} within {timeout_s:g} s")
        refusal = self.notes.refusal(versions.version)
        if not self._offered_too_much():
            return refusal
        if refusal is not None:
            return ConnectOutcome(How.LIMITED, refusal.why)
        self.leave()
        why = f"takes only {self.limits.receive_maximum} at a time of the messages that it has to acknowledge"
        return ConnectOutcome(How.LIMITED, why)

    @property
    def limits(self) -> BrokerLimits:
        """What the broker takes, as far as this connection has heard."""
        connack = self.notes.connack
        if connack is None:
            return self._assumed
        return self._assumed.after_refusal(connack) if connack.is_failure else self.notes.limits

    def _offered_too_much(self) -> bool:
        """Whether the broker refused the will or a window so large: paho sets both before it connects."""
        connack = self.notes.connack
        if connack is None or connack.is_failure:
            return self.limits != self._assumed
        return self.limits.receive_maximum < self.client.max_inflight_messages

    def step(self, wait_s: float) -> bool:
        """Read and write what there is, after `wait_s` seconds at most; False if the connection failed."""
        return self.client.loop(wait_s) == MQTTErrorCode.MQTT_ERR_SUCCESS

    def disconnect(self) -> None:
        """Send DISCONNECT, so that the broker does not publish the will."""
        self.client.disconnect()

    def leave(self) -> None:
        """Disconnect before anything was published."""
        self.disconnect()
        self.step(0.1)

    def outcome(self) -> ConnectOutcome:
        """How a connection that was accepted has ended."""
        why = self.notes.end or self.notes.error or "closed by the broker"
        explained = bool(self.notes.end) and "taken over" not in self.notes.end
        return ConnectOutcome(How.LOST, f"connection lost: {why}", explained)

    def close(self) -> None:
        """Close the socket, if there is one."""
        if (sock := self.client.socket()) is not None:
            sock.close()


class Connector:
    """Makes connections to one broker, each with a new paho client: those are bound to one protocol version.

    Args:
        config: the broker.
        password: see `posed.config.mqtt_password`.
        client_id: our id at the broker.
        will: the broker publishes this message when a connection ends without DISCONNECT; None for none.
        timing: how long things may take.

    Attributes:
        limits: what the broker takes, as far as is known; connections keep within that.

    Raises:
        ConfigError: a certificate or key cannot be used.
    """

    def __init__(
        self, config: MqttConfig, password: str | None, client_id: str, will: Message | None, timing: Timing
    ) -> None:
        self._config = config
        self._password = password
        self._client_id = client_id
        self._will = will
        self._timing = timing
        self._tls = None if config.tls is None else tls_context(config.tls)
        self.limits = BrokerLimits()

    @property
    def is_insecure(self) -> bool:
        """Whether any certificate is accepted."""
        return self._config.tls is not None and self._config.tls.insecure

    def new_connection(self, version: Version) -> Connection:
        """Make a connection that is not opened yet."""
        notes = Notes()
        client = self._new_client(version)
        # With this callback set, paho leaves all writing to `loop`, which `publish` wakes.
        client.on_socket_register_write = _leave_to_loop
        client.on_socket_open = self._tune
        client.on_connect = notes.on_connect
        client.on_disconnect = notes.on_disconnect
        client.on_publish = notes.on_publish
        client.on_subscribe = notes.on_subscribe
        client.on_message = notes.on_message
        client.enable_logger(notes.log)
        return Connection(client, notes, self._config, self._timing, self.limits)

    def _new_client(self, version: Version) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=_VERSIONS[version],
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._timing.connect_timeout_s
        client.max_inflight_messages = min(_MAX_INFLIGHT, self.limits.receive_maximum)
        if self._will is not None:
            will = self._will.within(self.limits)
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.username_pw_set(self._config.username, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        return client

    def _tune(self, _client: Any, _data: Any, sock: Any) -> None:
        """Send each message at once, keep the queue where it is counted, and notice when nobody reads."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._timing.unsent_s * 1000)


def _bounds(client: Client) -> Properties | None:
    """How large a message we take, where the protocol can say so."""
    if client.protocol != MQTTProtocolVersion.MQTTv5:
        return None
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho gives it no types
    properties.MaximumPacketSize = _MAX_PACKET_BYTES
    return properties


def _leave_to_loop(_client: Any, _data: Any, _sock: Any) -> None:
    pass
