"""Why there is no connection to the broker: for whoever asks, and in the log, where nothing is repeated."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from posed.mqtt.attempt import ConnectOutcome, How
from posed.mqtt.limits import BrokerLimits
from posed.mqtt.outbox import Message

log = logging.getLogger(__name__)

SHORT_LIFE_S: Final = 15.0
MANY_SHORT_LIVES: Final = 3
"""When this many connections in a row ended within `SHORT_LIFE_S` each, somebody else seems to have the same
id."""

_TOO_LARGE_PERHAPS: Final = (
    "; or the broker does not take messages as large as those of discovery, which MQTT 3.1.1 cannot say: set "
    "`homeassistant.discovery: components` or `mqtt.protocol: auto`"
)

MANY_TOPICS: Final = 200
"""Of at most this many topics it is logged that a message is too large."""


class ConnectionLog:
    """Keeps the reason of the last failure, and logs each reason once; written by the network thread alone.

    Args:
        broker: what messages to people call the broker.
        client_id: our id at the broker.
        remedies: by topic, what else than a higher limit helps where the broker does not take a message.
    """

    def __init__(self, broker: str, client_id: str, remedies: Mapping[str, str] | None = None) -> None:
        self._broker = broker
        self._client_id = client_id
        self._remedies = remedies or {}
        self._limits = BrokerLimits()
        self._too_large: set[str] = set()
        self._version = ""
        self._logged: dict[int, str] = {}
        self._short_lives = 0
        self._why = "not connected yet"

    @property
    def why(self) -> str:
        """One line that says why the last connection ended or the last attempt failed; from any thread."""
        return f"{self._broker}: {self._why}"

    def connected(self, version: str, limits: BrokerLimits) -> None:
        """Log the connection, and what the broker's limits cost; reasons may be logged anew."""
        self._why = "connection ended"
        self._version = version
        self._logged.clear()
        log.info("%s: connected with MQTT %s", self._broker, version)
        if limits != self._limits:
            self._limits = limits
            self._too_large = set()
            for line in _costs(limits):
                log.warning("%s: %s", self._broker, line)

    def too_large(self, message: Message, limit_bytes: int) -> None:
        """Log, once for a topic, that a message is larger than the broker takes; from any thread."""
        if message.topic in self._too_large or len(self._too_large) >= MANY_TOPICS:
            return
        self._too_large.add(message.topic)
        raised = "a higher limit at the broker (mosquitto: max_packet_size)"
        helps = ", or ".join(filter(None, [self._remedies.get(message.topic), raised]))
        size = f"it has {message.packet_bytes} bytes, and the broker takes at most {limit_bytes}"
        log.warning("%s: %s", self._broker, f"{message.topic} is not published: {size}; what helps: {helps}")

    def ended(self, why: str) -> None:
        """Keep a reason without logging it."""
        self._why = why

    def gives_way(self, why: str, pause_s: float) -> None:
        """Keep and log the reason why the client leaves the broker for `pause_s` seconds."""
        self._why = why
        log.error("%s: %s; trying again in %.0f s", self._broker, why, pause_s)

    def info(self, text: str) -> None:
        """Log a line, unless it is the last one of its level already."""
        self._log_once(logging.INFO, text)

    def warning(self, text: str) -> None:
        """Log a warning, unless it is the last one already."""
        self._log_once(logging.WARNING, text)

    def warn_of_same_id(self, outcome: ConnectOutcome, lasted_s: float) -> None:
        """Warn of another client with our id: brokers end the older of two connections, and few say so.

        A broker that gives another reason is believed.

        Args:
            outcome: how the last attempt, or the connection that came of it, ended.
            lasted_s: how long it lasted, s.
        """
        short = outcome.how is How.LOST and not outcome.explained and lasted_s < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if short else 0
        if self._short_lives == MANY_SHORT_LIVES:
            log.warning(
                "%s: %d connections in a row ended within %.0f s: if another daemon or client has the id %s, "
                "give one of them another name (`device`)%s",
                self._broker,
                MANY_SHORT_LIVES,
                SHORT_LIFE_S,
                self._client_id,
                _TOO_LARGE_PERHAPS if self._version == "3.1.1" else "",
            )

    def _log_once(self, level: int, text: str) -> None:
        if self._logged.get(level) != text:
            log.log(level, "%s: %s", self._broker, text)
        self._logged[level] = text


def _costs(limits: BrokerLimits) -> Iterator[str]:
    """A line for each limit that subscribers notice."""
    if not limits.retain:
        yield (
            "keeps no retained messages, so nothing is published as retained: who subscribes later learns "
            "state and zones within 30 s, and availability and falls only when they change"
        )
    if limits.max_qos == 0:
        yield "takes QoS 0 alone, so events that are on their way when a connection ends are lost"
