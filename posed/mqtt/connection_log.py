"""Why there is no connection to the broker: for whoever asks, and in the log, where nothing is repeated."""

from __future__ import annotations

import logging
from typing import Final

from posed.mqtt.attempt import ConnectOutcome, How

log = logging.getLogger(__name__)

SHORT_LIFE_S: Final = 15.0
MANY_SHORT_LIVES: Final = 3
"""When this many connections in a row ended within `SHORT_LIFE_S` each, somebody else seems to have the same
id."""


class ConnectionLog:
    """Keeps the reason of the last failure, and logs each reason once; written by the network thread alone.

    Args:
        broker: what messages to people call the broker.
        client_id: our id at the broker.
    """

    def __init__(self, broker: str, client_id: str) -> None:
        self._broker = broker
        self._client_id = client_id
        self._logged: dict[int, str] = {}
        self._short_lives = 0
        self._why = "not connected yet"

    @property
    def why(self) -> str:
        """One line that says why the last connection ended or the last attempt failed; from any thread."""
        return f"{self._broker}: {self._why}"

    def connected(self, version: str) -> None:
        """Log the connection; every reason may be logged anew from here on."""
        self._why = "connection ended"
        self._logged.clear()
        log.info("%s: connected with MQTT %s", self._broker, version)

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

        Args:
            outcome: how the last attempt, or the connection that came of it, ended.
            lasted_s: how long it lasted, s.
        """
        short = outcome.how is How.LOST and lasted_s < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if short else 0
        if self._short_lives == MANY_SHORT_LIVES:
            log.warning(
                "%s: %d connections in a row ended within %.0f s: if another daemon or client has the id %s, "
                "give one of them another name (`device`)",
                self._broker,
                MANY_SHORT_LIVES,
                SHORT_LIFE_S,
                self._client_id,
            )

    def _log_once(self, level: int, text: str) -> None:
        if self._logged.get(level) != text:
            log.log(level, "%s: %s", self._broker, text)
        self._logged[level] = text
