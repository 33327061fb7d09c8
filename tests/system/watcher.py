"""A subscriber that misses nothing while it is away, and notes when everything came."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import defaultdict
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

LASTING: tuple[str, ...] = ("persistence true", "max_queued_messages 0", "log_type none")
"""Of mosquitto.conf, for a broker that keeps sessions over its restarts; add `persistence_location`."""


class Watcher:
    """Whoever watches one daemon, with a session that the broker keeps.

    Args:
        port: of the broker, on 127.0.0.1.
        topic: of the daemon, such as `posed/hall`.
        keeps: names of topics below it of which every message is kept; of the others only the newest.
        username, password: for the broker, if it wants them.

    Attributes:
        connections: when it was connected (True) and was not any more, monotonic, s.
        times: when poses came, by name, such as `hall/poses`, monotonic, s.
        counts: how many came, by name.
    """

    def __init__(
        self,
        port: int,
        topic: str,
        keeps: tuple[str, ...] = ("availability", "events", "state"),
        *,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self.connections: list[tuple[float, bool]] = []
        self.times: dict[str, list[float]] = defaultdict(list)
        self.counts: dict[str, int] = defaultdict(int)
        self._kept: dict[str, list[tuple[float, bytes]]] = defaultdict(list)
        self._keeps = keeps
        self._port = port
        self._topic = topic
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="watcher", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.username_pw_set(username, password)
        self._client.on_connect = self._connected
        self._client.on_disconnect = lambda *_: self.connections.append((time.monotonic(), False))
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._hear

    def _connected(self, client: Client, *_: Any) -> None:
        self.connections.append((time.monotonic(), True))
        client.subscribe(f"{self._topic}/#", qos=1)

    def _hear(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        now, name = time.monotonic(), message.topic.removeprefix(f"{self._topic}/")
        self.counts[name] += 1
        if name in self._keeps or name.startswith("response/"):
            self._kept[name].append((now, message.payload))
        else:
            self._kept[name] = [(now, message.payload)]
        if name.endswith("/poses"):
            self.times[name].append(now)

    def ask(self, verb: str, payload: bytes = b"", qos: int = 1) -> None:
        """Send a request; nobody waits for the answer."""
        self._client.publish(f"{self._topic}/request/{verb}", payload, qos)

    def has_sent(self) -> bool:
        """Whether everything that was asked is on its way."""
        return not self._client.want_write()

    def kept(self, name: str) -> list[tuple[float, bytes]]:
        """What came on a topic, and when, oldest first."""
        return list(self._kept[name])

    def payloads(self, name: str) -> list[bytes]:
        """What came on a topic, oldest first."""
        return [payload for _, payload in self.kept(name)]

    def messages(self, name: str) -> list[dict[str, Any]]:
        """The same of a topic whose payloads are JSON."""
        return [json.loads(payload) for payload in self.payloads(name)]

    def state(self) -> dict[str, Any]:
        """The machine's newest `state`; empty before the first."""
        states = self.payloads("state")
        newest: dict[str, Any] = json.loads(states[-1]) if states else {}
        return newest

    def granted(self) -> dict[str, float]:
        """Ids of the test events that the daemon said it had taken, of each camera, and when it said so."""
        answers = [(at, json.loads(payload)) for at, payload in self.kept("response/test_event")]
        return {
            sent["event"]: at
            for at, answer in answers
            if answer["status"] == "ok"
            for sent in answer["data"]["cameras"].values()
        }

    def arrived(self) -> set[str]:
        """Ids of the events that came."""
        return {event["id"] for event in self.messages("events")}

    def __enter__(self) -> Self:
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 2**32 - 1
        for _ in range(100):  # a broker with several ports opens them one after the other
            with contextlib.suppress(ConnectionRefusedError):
                self._client.connect(
                    "127.0.0.1", self._port, keepalive=10, clean_start=False, properties=kept
                )
                break
            time.sleep(0.05)
        self._client.loop_start()
        assert self._subscribed.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
