"""The connection to the broker: kept for ever, and honest about when there is none.

Messages may be published from any thread: `Outbox` takes them. Everything else of a connection happens in one
network thread, which `MqttClient` starts: it connects, reads and writes, and calls whoever waits for messages
or results, outside of paho's locks and ours. Other threads leave it three things to see: that it is to stop,
by when, and that it is to give way.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from posed.config import MqttConfig
from posed.mqtt.attempt import ConnectOutcome, How, Notes, Received
from posed.mqtt.broker import PublishResult
from posed.mqtt.connection import Connection, Connector, Timing
from posed.mqtt.connection_log import ConnectionLog
from posed.mqtt.outbox import Message, OnResult, Outbox
from posed.mqtt.subscriptions import Subscriptions
from posed.mqtt.versions import Version, VersionChoice
from posed.timing import Backoff

log = logging.getLogger(__name__)

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"


class MqttClient:
    """Publishes from any thread, without ever waiting for the broker: the `Broker` of a daemon.

    One thread of its own connects, and connects again for ever. It drives paho's clients with `Client.loop`:
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
        remedies: Mapping[str, str] | None = None,
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
            remedies: by topic, what else than a higher limit helps where a message is too large.
            timing: other than the usual times, for tests.
            jitter: random numbers, 0 to 1.

        Raises:
            ConfigError: a certificate or key cannot be used.
        """
        self._on_connect = on_connect
        self._subscriptions = Subscriptions(subscriptions, kept, on_message)
        self._timing = timing or Timing()
        self._backoff = Backoff(self._timing.backoff_min_s, self._timing.backoff_max_s, jitter)
        self._online = Message(availability_topic, ONLINE, qos=1, retain=True)
        self._offline = Message(availability_topic, OFFLINE, qos=1, retain=True)
        self._connector = Connector(config, password, client_id, self._offline, self._timing)
        self._versions = VersionChoice(config.protocol)
        self._connection_log = ConnectionLog(f"mqtt {config.host}:{config.port}", client_id, remedies)
        self._outbox = Outbox(self._connection_log.too_large)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._giving_way: str | None = None

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection, and it has not ended since."""
        return self._outbox.is_open

    @property
    def status(self) -> Literal["ok", "waiting"]:
        """`waiting` while there is no connection; `why` has the reason."""
        return "ok" if self.connected else "waiting"

    @property
    def why(self) -> str | None:
        """One line that says why there is no connection; None while there is one."""
        return None if self.connected else self._connection_log.why

    @property
    def dropped(self) -> int:
        """Messages that were not published, or not known to have arrived when a connection ended."""
        return self._outbox.dropped

    @property
    def version(self) -> Version:
        """The MQTT version in use, or else the one to be tried next."""
        return self._versions.version

    def start(self) -> None:
        """Connect in the background; an absent broker is waited for."""
        if self._connector.is_insecure:
            log.warning("mqtt.tls.insecure: any certificate is accepted, so the broker may be anybody")
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Publish `offline` and disconnect, as far as the broker lets us, within `timeout_s` seconds.

        A connection that is just being opened is abandoned to its thread, which ends without using it.
        """
        self._stop_by = time.monotonic() + timeout_s
        self._stopping.set()
        self._outbox.close(self._offline)
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
    ) -> PublishResult:
        """Hand a message over for publishing, as `Broker.publish` says."""
        return self._outbox.publish(Message(topic, payload, qos, retain, expiry_s))

    def deliver(
        self,
        topic: str,
        payload: bytes,
        on_result: OnResult,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> PublishResult:
        """Publish what the sender keeps until the broker has it, as `Broker.deliver` says."""
        return self._outbox.deliver(Message(topic, payload, 1, retain, expiry_s), on_result)

    def _run(self) -> None:
        while not self._stopping.is_set():
            began_at = time.monotonic()
            outcome = self._connect_once()
            if self._stopping.is_set():
                break
            self._stopping.wait(self._pause_after(outcome, time.monotonic() - began_at))
        self._connection_log.ended("stopped")

    def _pause_after(self, outcome: ConnectOutcome, lasted_s: float) -> float:
        """How long to wait until the next attempt, s; says why in the log."""
        self._connection_log.ended(outcome.why)
        if outcome.how is How.LIMITED:
            self._connection_log.info(f"{outcome.why}; connecting again within its limits")
            return 0.0
        if self._versions.fall_back(outcome):
            self._connection_log.info(f"{outcome.why}; trying {self._versions.version}")
            return 0.0
        if (why := self._giving_way) is not None:
            self._giving_way = None
            self._connection_log.gives_way(why, self._timing.give_way_s)
            return self._timing.give_way_s
        self._connection_log.warning(outcome.why)
        self._connection_log.warn_of_same_id(outcome, lasted_s)
        if outcome.how is How.LOST and lasted_s >= self._timing.backoff_max_s:
            self._backoff.reset()
        return self._backoff.next_s()

    def _connect_once(self) -> ConnectOutcome:
        """Make one attempt, and serve the connection that comes of it until it ends."""
        connection = self._connector.new_connection(self._versions.version)
        try:
            return (
                connection.connect()
                or connection.await_connack(self._versions, self._stopping)
                or self._serve(connection)
            )
        finally:
            self._connector.limits = connection.limits
            connection.close()

    def _serve(self, connection: Connection) -> ConnectOutcome:
        # Before `online`: who waits for that may ask at once.
        limits = connection.limits
        connection.notes.unsubscribed = self._subscriptions.subscribe(connection.client, limits)
        if not self._outbox.open(connection.client, limits, self._online):
            return ConnectOutcome(How.LOST, "stopping")
        self._versions.accept()
        try:
            self._connection_log.connected(self._versions.version, limits)
            self._on_connect()
            self._loop(connection)
        finally:
            self._outbox.end_connection(connection.notes.acknowledgements)
        return connection.outcome()

    def _loop(self, connection: Connection) -> None:
        """Read and write until the connection ends, or all is sent that `stop` waits for."""
        wait_s, disconnecting = 1.0, False
        while connection.step(wait_s) and not connection.notes.ended:
            self._pass_on(connection.notes)
            if self._giving_way is not None and not self._stopping.is_set():
                connection.disconnect()
                return
            if not self._stopping.is_set():
                continue
            if self._outbox.is_farewell_acknowledged and not disconnecting:
                disconnecting = True
                connection.disconnect()
            wait_s = min(wait_s, self._stop_by - time.monotonic())
            if wait_s <= 0:
                return

    def _pass_on(self, notes: Notes) -> None:
        """Report results and hand over messages; a refusal is logged once."""
        self._outbox.report(notes.acknowledgements)
        self._subscriptions.pass_on(notes.messages)
        if notes.unsubscribed is not None:
            self._connection_log.warning(
                f"refuses our subscriptions, so requests do not arrive: {notes.unsubscribed}"
            )
            notes.unsubscribed = None
        if notes.rejection is not None:
            self._connection_log.warning(f"refuses messages: {notes.rejection}")
