"""The broker that Home Assistant knows: the Supervisor tells an app of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from posed.errors import BrokerError, ConfigError, one_line

log = logging.getLogger(__name__)

PATH: Final = "/services/mqtt"
TIMEOUT_S: Final = 10.0
RETRY_S: Final = 10.0
"""The Supervisor is asked again after this long, s, while it knows no broker."""

_MOST_BYTES: Final = 64 * 1024
_REFUSALS: Final = {401, 403}


@dataclass(frozen=True, slots=True)
class Broker:
    """How a broker is reached.

    Args:
        host: its name or address.
        port: its TCP port.
        username: of the user that was made for apps; None where it wants none.
        password: of that user.
        ssl: whether it speaks TLS.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl: bool = False

    def settings(self) -> dict[str, Any]:
        """The section `mqtt` of a configuration."""
        settings: dict[str, Any] = {"host": self.host, "port": self.port}
        if self.username:
            settings |= {"username": self.username, "password": self.password or ""}
        return settings | ({"tls": {}} if self.ssl else {})


class _NotYetError(Exception):
    """There is no answer, or no broker, now; there may be later."""


def wait_for_broker(
    supervisor: str,
    environment: Mapping[str, str],
    wait: Callable[[float], object] = time.sleep,
    alive: Callable[[], object] = lambda: None,
) -> Broker:
    """The broker, as soon as the Supervisor knows one: Mosquitto's app may be installed, or started, later.

    Args:
        supervisor: the URL of its API.
        environment: has our token for it.
        wait: waits for so many seconds.
        alive: is called each time before it is asked.

    Raises:
        BrokerError: it does not let us ask, or its answer is none.
        ConfigError: there is no token.
    """
    token = environment.get("SUPERVISOR_TOKEN")
    if not token:
        raise ConfigError(
            ["SUPERVISOR_TOKEN: must be set, got nothing: Home Assistant's Supervisor sets it for its apps"]
        )
    said = ""
    while True:
        alive()
        try:
            return _ask(supervisor, token)
        except _NotYetError as error:
            if said != str(error):
                log.warning(
                    "no MQTT broker yet: install and start the app Mosquitto broker, or set mqtt.host in the "
                    "options of this app; waiting for one (the Supervisor: %s)",
                    error,
                )
            said = str(error)
            wait(RETRY_S)


def _ask(supervisor: str, token: str) -> Broker:
    status, body = _get(supervisor, token)
    answer = _decoded(body)
    if status in _REFUSALS:
        raise BrokerError(f"broker: the Supervisor does not say which (status {status}{_message(answer)})")
    if status != 200:
        raise _NotYetError(f"status {status}{_message(answer)}")
    try:
        data = answer["data"]
        host, port, user, password = (data.get(key) for key in ("host", "port", "username", "password"))
        if not (isinstance(host, str) and isinstance(port, int)):
            raise TypeError  # noqa: TRY301 one answer to all that is wrong
        return Broker(host, port, user, password, ssl=data.get("ssl") is True)
    except (KeyError, TypeError, AttributeError):
        raise BrokerError("broker: the Supervisor's answer must have host and port, got neither") from None


def _get(supervisor: str, token: str) -> tuple[int, bytes]:
    """Status and body of its answer.

    Raises:
        _NotYetError: there was none.
    """
    connection = HTTPConnection(urlsplit(supervisor).netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", PATH, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read(_MOST_BYTES)
    except OSError as error:
        raise _NotYetError(error.strerror or type(error).__name__) from None
    except HTTPException as error:
        raise _NotYetError(type(error).__name__) from None
    finally:
        connection.close()


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _message(answer: Any) -> str:
    """What the Supervisor said, as it may be shown."""
    said = answer.get("message") if isinstance(answer, dict) else None
    return f": {one_line(said)[:200]}" if said else ""
