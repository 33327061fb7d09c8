"""The connection to the broker: kept for ever, and honest about when there is none."""

from __future__ import annotations

import functools
import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from posed.config import MqttConfig
from posed.mqtt.attempt import ConnectOutcome, How, Notes, Received, reason_of, tls_context
from posed.mqtt.broker import DeliveryResult
from posed.timing import Backoff

log = logging.getLogger(__name__)

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"

MAX_WAITING: Final = 32
"""At most this many messages of one QoS may wait to be written (0) or acknowledged (1): about a second of
poses."""

_MAX_INFLIGHT: Final = 10
"""At most this many messages may be on the wire unacknowledged. MQTT 5 brokers close the connection over more
than their Receive Maximum, which paho does not heed; the smallest default among common brokers is HiveMQ's,
10."""

_SEND_BUFFER_BYTES: Final = 64 * 1024
"""The system may buffer this much that is not sent yet; by itself Linux would buffer megabytes for a broker
that does not read: old poses, out of reach of any limit."""

_MAX_PACKET_BYTES: Final = 128 * 1024
"""An MQTT 5 broker may send us packets of this size; it drops larger ones. 3.1.1 has no such bound."""

SHORT_LIFE_S: Final = 15.0
MANY_SHORT_LIVES: Final = 3
"""When this many connections in a row ended within `SHORT_LIFE_S` each, somebody else seems to have the same
id."""

Version = Literal["5", "3.1.1"]

_VERSIONS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_OTHER: Final[dict[Version, Version]] = {"5": "3.1.1", "3.1.1": "5"}


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


class MqttClient:
    """Publishes from any thread, without ever waiting for the broker.

    One thread of its own connects, and connects again for ever. It builds a new paho client for every
    attempt, since those are bound to one protocol version, and drives it with `Client.loop`:
    `loop_forever` in a thread of ours would make paho write to the socket from each publishing thread, too.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a name at the call
        self,
        config: MqttConfig,
        *,
        password: str | None,
        client_id: str,
        availability_topic: str,
        on_connect: Callable[[], None],
        subscriptions: Sequence[str] = (),
        on_message: Callable[[Received], None] = lambda _: None,
        kept: Sequence[str] = (),
        timing: Timing | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepares everything; nothing connects before `start`.

        Args:
            config: the broker.
            password: see `posed.config.mqtt_password`.
            client_id: stable and unique at the broker, which ends the older of two connections with one id.
            availability_topic: where `online` and `offline` are published, retained.
            on_connect: called after each connection, once `online` is on its way, from the network thread,
                which reads and writes nothing meanwhile: publish what subscribers need and return.
            subscriptions: topic filters to subscribe to with QoS 1, on each connection.
            on_message: called with each message that comes, from the network thread: take it and return.
            kept: topics of which what the broker keeps already is wanted, too.
            timing: other than the usual times, for tests.
            jitter: random numbers, 0 to 1.

        Raises:
            ConfigError: a certificate or key cannot be used.
        """
        self._config = config
        self._password = password
        self._client_id = client_id
        self._availability_topic = availability_topic
        self._on_connect = on_connect
        self._subscriptions = subscriptions
        self._on_message = on_message
        self._kept = kept
        self._timing = timing or Timing()
        self._backoff = Backoff(self._timing.backoff_min_s, self._timing.backoff_max_s, jitter)
        self._tls = None if config.tls is None else tls_context(config.tls)
        self._version: Version = "5" if config.protocol == "auto" else config.protocol
        self._accepted_version: Version | None = None
        self._where = f"mqtt {config.host}:{config.port}"
        self._said: dict[int, str] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._giving_way: str | None = None
        self._short_lives = 0
        self._stop_by = 0.0
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._goodbye: MQTTMessageInfo | None = None
        self._why: str | None = f"{self._where}: not connected yet"
        self._dropped = 0

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection, and it has not ended since."""
        return self._connection is not None

    @property
    def status(self) -> Literal["ok", "waiting"]:
        """`waiting` while there is no connection; `why` has the reason."""
        return "ok" if self.connected else "waiting"

    @property
    def why(self) -> str | None:
        """One line that says why there is no connection; None while there is one."""
        return self._why

    @property
    def dropped(self) -> int:
        """Messages that were not published, or not known to have arrived when a connection ended."""
        return self._dropped

    @property
    def version(self) -> Version:
        """The MQTT version in use, or else the one to be tried next."""
        return self._version

    def start(self) -> None:
        """Connect in the background; an absent broker is waited for."""
        if self._config.tls is not None and self._config.tls.insecure:
            log.warning("mqtt.tls.insecure: any certificate is accepted, so the broker may be anybody")
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Publish `offline` and disconnect, as far as the broker lets us, within `timeout_s` seconds.

        A connection that is just being opened is abandoned to its thread, which ends without using it.
        """
        with self._lock:
            self._stop_by = time.monotonic() + timeout_s
            self._stopping.set()
            if self._connection is not None:
                self._goodbye = self._connection.client.publish(
                    self._availability_topic, OFFLINE, qos=1, retain=True
                )
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(timeout_s)

    def give_way(self, why: str) -> None:
        """Leave the broker to somebody else for a while, without a word, and say why in the log."""
        self._giving_way = why

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: Literal[0, 1] = 0,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> bool:
        """Hand a message over for publishing; drop and count it where it cannot go out.

        Args:
            topic: full topic.
            payload: the message.
            qos: 1 for what the broker has to acknowledge.
            retain: whether the broker keeps it for later subscribers.
            expiry_s: after how many seconds the broker shall forget it; MQTT 5 only.

        Returns:
            False if it was dropped: no connection, or too many messages are waiting already.
        """
        with self._lock:
            sent = self._hand_over(topic, payload, qos, retain, expiry_s)
            self._dropped += not sent
        return sent

    def deliver(
        self,
        topic: str,
        payload: bytes,
        on_result: Callable[[DeliveryResult], None],
        *,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> bool:
        """Publish with QoS 1 what the sender keeps until the broker has it; it never counts as dropped.

        Args:
            topic: full topic.
            payload: the message.
            on_result: called once, from the network thread.
            retain: whether the broker keeps it for later subscribers.
            expiry_s: after how many seconds the broker shall forget it; MQTT 5 only.

        Returns:
            False if it cannot go out now; `on_result` is then not called.
        """
        with self._lock:
            return self._hand_over(topic, payload, 1, retain, expiry_s, on_result)

    def _hand_over(self, *message: Any) -> bool:
        """False where there is no connection that takes it; the arguments are `_Connection.publish`'s."""
        if self._connection is None or self._stopping.is_set():
            return False
        return self._connection.publish(*message)

    def _run(self) -> None:
        fell_back = False
        while not self._stopping.is_set():
            began_at = time.monotonic()
            ending = self._connect_once(probing=not fell_back)
            if self._stopping.is_set():
                break
            self._why = f"{self._where}: {ending.why}"
            if ending.how is How.VERSION_REFUSED and self._config.protocol == "auto":
                self._version = _OTHER[self._version]
                if not fell_back:
                    fell_back = True
                    self._say(logging.INFO, f"{ending.why}; trying {self._version}")
                    continue
            fell_back = False
            if (why := self._giving_way) is not None:
                self._why, self._giving_way = f"{self._where}: {why}", None
                log.error("%s: %s; trying again in %.0f s", self._where, why, self._timing.give_way_s)
                self._stopping.wait(self._timing.give_way_s)
                continue
            self._say(logging.WARNING, ending.why)
            self._warn_of_same_id(ending, time.monotonic() - began_at)
            if ending.how is How.LOST and time.monotonic() - began_at >= self._timing.backoff_max_s:
                self._backoff.reset()
            self._stopping.wait(self._backoff.next_s())
        self._why = f"{self._where}: stopped"

    def _warn_of_same_id(self, ending: ConnectOutcome, lasted_s: float) -> None:
        """Warn of another client with our id: brokers end the older of two connections, and few say so."""
        short = ending.how is How.LOST and lasted_s < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if short else 0
        if self._short_lives == MANY_SHORT_LIVES:
            log.warning(
                "%s: %d connections in a row ended within %.0f s: if another daemon or client has the id %s, "
                "give one of them another name (`device`)",
                self._where,
                MANY_SHORT_LIVES,
                SHORT_LIFE_S,
                self._client_id,
            )

    def _say(self, level: int, text: str) -> None:
        """Log what has not been said already since the last connection or the last other text."""
        if self._said.get(level) != text:
            log.log(level, "%s: %s", self._where, text)
        self._said[level] = text

    def _connect_once(self, *, probing: bool) -> ConnectOutcome:
        """One attempt, and the whole life of the connection that comes of it."""
        notes = Notes()
        client = self._new_client(notes)
        try:
            client.connect(
                self._config.host, self._config.port, self._timing.keepalive_s, properties=_bounds(client)
            )
        except (OSError, UnicodeError) as error:
            return ConnectOutcome(How.UNREACHABLE, reason_of(error, self._timing.connect_timeout_s))
        try:
            return self._await_answer(client, notes, probing) or self._serve(client, notes)
        finally:
            if (sock := client.socket()) is not None:
                sock.close()

    def _new_client(self, notes: Notes) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=_VERSIONS[self._version],
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._timing.connect_timeout_s
        client.max_inflight_messages = _MAX_INFLIGHT
        client.will_set(self._availability_topic, OFFLINE, qos=1, retain=True)
        client.username_pw_set(self._config.username, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_socket_open = self._tune
        # With this callback set, paho leaves all writing to `loop`, which `publish` wakes.
        client.on_socket_register_write = _leave_to_loop
        client.on_connect = notes.on_connect
        client.on_disconnect = notes.on_disconnect
        client.on_publish = notes.on_publish
        client.on_subscribe = notes.on_subscribe
        client.on_message = notes.on_message
        client.on_log = notes.on_log
        return client

    def _tune(self, _client: Any, _data: Any, sock: Any) -> None:
        """Send each message at once, keep the queue where it is counted, and notice when nobody reads."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._timing.unsent_s * 1000)

    def _await_answer(self, client: Client, notes: Notes, probing: bool) -> ConnectOutcome | None:
        """How the attempt ended, or None once the broker has accepted it."""
        uncertain = self._config.protocol == "auto" and self._version != self._accepted_version
        timing = self._timing
        timeout_s = timing.probe_timeout_s if uncertain and probing else timing.connect_timeout_s
        answer_by = time.monotonic() + timeout_s
        while not notes.answered and not self._stopping.is_set():
            if client.loop(0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
            if time.monotonic() > answer_by:
                why = f"no answer to MQTT {self._version} within {timeout_s:g} s"
                return ConnectOutcome(How.VERSION_REFUSED if uncertain else How.UNREACHABLE, why)
        return notes.refusal(self._version)

    def _serve(self, client: Client, notes: Notes) -> ConnectOutcome:
        connection = _Connection(client)
        # Before `online`: who waits for that may ask at once.
        for topic in self._subscriptions:
            client.subscribe(topic, **_quality(client))
        for topic in self._kept:
            client.subscribe(topic, **_quality(client, kept=True))
        with self._lock:
            if self._stopping.is_set():
                return ConnectOutcome(How.LOST, "stopping")
            connection.publish(self._availability_topic, ONLINE, qos=1, retain=True, expiry_s=None)
            self._connection = connection
            self._why = None
        self._accepted_version = self._version
        try:
            self._said.clear()
            log.info("%s: connected with MQTT %s", self._where, self._version)
            self._on_connect()
            self._loop(connection, notes)
        finally:
            with self._lock:
                self._connection = None
                self._why = f"{self._where}: connection ended"
                self._dropped += connection.waiting()
            self._pass_on_results(connection, notes)
            for on_result in connection.take_unanswered():
                on_result(DeliveryResult.LOST)
        return ConnectOutcome(
            How.LOST, f"connection lost: {notes.end or notes.error or 'closed by the broker'}"
        )

    def _loop(self, connection: _Connection, notes: Notes) -> None:
        """Read and write until the connection ends, or all is said that `stop` waits for."""
        client, wait_s = connection.client, 1.0
        while client.loop(wait_s) == MQTTErrorCode.MQTT_ERR_SUCCESS and not notes.ended:
            self._pass_on_results(connection, notes)
            self._pass_on_messages(notes)
            if notes.rejection is not None:
                self._say(logging.WARNING, f"refuses messages: {notes.rejection}")
            if self._giving_way is not None and not self._stopping.is_set():
                client.disconnect()
                return
            if not self._stopping.is_set():
                continue
            if self._goodbye is not None and self._goodbye.is_published():
                self._goodbye = None
                client.disconnect()
            wait_s = min(wait_s, self._stop_by - time.monotonic())
            if wait_s <= 0:
                return

    def _pass_on_results(self, connection: _Connection, notes: Notes) -> None:
        """Tell the senders what the broker said, outside of paho's locks and ours."""
        while notes.answers:
            mid, taken = notes.answers.popleft()
            with self._lock:
                on_result = connection.take(mid)
            if on_result is not None:
                on_result(DeliveryResult.ACKNOWLEDGED if taken else DeliveryResult.REFUSED)

    def _pass_on_messages(self, notes: Notes) -> None:
        """Hand over what came, outside of paho's locks and ours; a refused subscription is said once."""
        while notes.messages:
            self._on_message(notes.messages.popleft())
        if notes.unsubscribed is not None:
            self._say(
                logging.WARNING,
                f"refuses our subscriptions, so requests do not arrive: {notes.unsubscribed}",
            )
            notes.unsubscribed = None


class _Connection:
    """An accepted connection, and the messages that are still on their way out."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._takes_properties = client.protocol == MQTTProtocolVersion.MQTTv5
        self._waiting: dict[int, deque[MQTTMessageInfo]] = {0: deque(), 1: deque()}
        self._kept: dict[int, tuple[MQTTMessageInfo, Callable[[DeliveryResult], None]]] = {}

    def publish(  # noqa: PLR0913, PLR0917 - as paho's, and one more
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        expiry_s: int | None,
        on_result: Callable[[DeliveryResult], None] | None = None,
    ) -> bool:
        """False where too many messages are waiting already."""
        self._forget_finished(qos)
        if len(self._waiting[qos]) >= MAX_WAITING:
            return False
        properties = None if expiry_s is None or not self._takes_properties else _expiry(expiry_s)
        info = self.client.publish(topic, payload, qos, retain, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self._waiting[qos].append(info)
        if on_result is not None:
            self._kept[info.mid] = info, on_result
        return True

    def waiting(self) -> int:
        """How many messages are not known to have arrived, without those that their senders keep."""
        for qos in self._waiting:
            self._forget_finished(qos)
        return sum(info.mid not in self._kept for waiting in self._waiting.values() for info in waiting)

    def take(self, mid: int) -> Callable[[DeliveryResult], None] | None:
        """Whom to tell what became of a message; only once."""
        info, on_result = self._kept.get(mid, (None, None))
        # Numbers are used again after 65,535 messages, and those of QoS 0 are done once they are written.
        if info is None or not info.is_published():
            return None
        del self._kept[mid]
        return on_result

    def take_unanswered(self) -> list[Callable[[DeliveryResult], None]]:
        """Whom to tell that the connection has ended."""
        unanswered, self._kept = self._kept, {}
        return [on_result for _, on_result in unanswered.values()]

    def _forget_finished(self, qos: int) -> None:
        """Forget what is written (QoS 0) or acknowledged (1); both happen in the order of publishing."""
        waiting = self._waiting[qos]
        while waiting and waiting[0].is_published():
            waiting.popleft()


@functools.lru_cache(maxsize=16)
def _expiry(expiry_s: int) -> Properties:
    """When a message expires; kept, as it takes long to make, and paho only reads it."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho gives it no types
    properties.MessageExpiryInterval = expiry_s
    return properties


def _bounds(client: Client) -> Properties | None:
    """How large a message we take, where the protocol can tell."""
    if client.protocol != MQTTProtocolVersion.MQTTv5:
        return None
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho gives it no types
    properties.MaximumPacketSize = _MAX_PACKET_BYTES
    return properties


def _quality(client: Client, *, kept: bool = False) -> dict[str, Any]:
    """QoS 1, and nothing that is retained where it is not wanted and the protocol can say so."""
    if kept or client.protocol != MQTTProtocolVersion.MQTTv5:
        return {"qos": 1}
    return {"options": SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)}


def _leave_to_loop(_client: Any, _data: Any, _sock: Any) -> None:
    pass
