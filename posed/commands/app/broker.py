"""The broker that Home Assistant knows: the Supervisor tells an app of it."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from posed.config import MqttConfig
from posed.config.problems import problem_of
from posed.errors import BrokerError, ConfigError, one_line

log = logging.getLogger(__name__)

PATH: Final = "/services/mqtt"
TIMEOUT_S: Final = 10.0
"""The Supervisor has this long, s, to take the connection, and this long for the whole of its answer."""

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
    timeout_s: float = TIMEOUT_S,
) -> Broker:
    """The broker, as soon as the Supervisor knows one: Mosquitto's app may be installed, or started, later.

    Args:
        supervisor: the URL of its API.
        environment: has our token for it.
        wait: waits for so many seconds.
        alive: is called each time before it is asked.
        timeout_s: it has this long to take the connection, and again for the whole of its answer.

    Raises:
        BrokerError: it does not let us ask, or its answer is about none that can be used.
        ConfigError: there is no token, or the URL is none.
    """
    token = environment.get("SUPERVISOR_TOKEN")
    if not token:
        raise ConfigError(
            ["SUPERVISOR_TOKEN: must be set, got nothing: Home Assistant's Supervisor sets it for its apps"]
        )
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigError(["SUPERVISOR_TOKEN: must be letters, digits and signs without spaces, got others"])
    said = ""
    while True:
        alive()
        try:
            return _ask(_connection(supervisor, timeout_s), token, timeout_s)
        except _NotYetError as error:
            if said != str(error):
                log.warning(
                    "no MQTT broker yet: install and start the app Mosquitto broker, or set mqtt.host in the "
                    "options of this app; waiting for one (the Supervisor: %s)",
                    error,
                )
            said = str(error)
            wait(RETRY_S)


def _connection(supervisor: str, timeout_s: float) -> HTTPConnection:
    """A connection to it, which is not open yet.

    Raises:
        ConfigError: this is no URL of its.
    """
    with suppress(ValueError, HTTPException):
        parts = urlsplit(supervisor)
        host = parts.hostname or ""
        host.encode("idna")  # which looking it up does, too
        if host and parts.scheme == "http":
            return HTTPConnection(host, parts.port or 80, timeout=timeout_s)
    raise ConfigError(["--supervisor: must be a URL, such as http://supervisor, got other text"])


def _ask(connection: HTTPConnection, token: str, timeout_s: float) -> Broker:
    status, body = _get(connection, token, timeout_s)
    answer = _decoded(body)
    if status in _REFUSALS:
        raise BrokerError(f"broker: the Supervisor does not say which (status {status}{_message(answer)})")
    if status != 200:
        raise _NotYetError(f"status {status}{_message(answer)}")
    if not isinstance(answer, dict):
        raise _NotYetError("status 200, but no JSON object")
    return _broker_of(answer.get("data"))


def _broker_of(data: Any) -> Broker:
    """The broker of an answer; its values have to be good as settings, lest they are blamed on the owner."""
    if not isinstance(data, dict):
        raise BrokerError("broker: the Supervisor's answer must have data, got none")
    given = {name: data.get(name) for name in ("host", "port", "username", "password")}
    settings = {name: value for name, value in given.items() if value not in (None, "")}
    if "username" not in settings:
        settings.pop("password", None)
    problems = [f"{name}: must be there, got nothing" for name in ("host", "port") if name not in settings]
    try:
        MqttConfig.model_validate(settings)
    except ValidationError as error:
        problems += [_problem_of(detail) for detail in error.errors()]
    if problems:
        raise BrokerError(f"broker: the Supervisor's answer: {'; '.join(problems)}")
    return Broker(**settings, ssl=data.get("ssl") is True)


def _problem_of(detail: ErrorDetails) -> str:
    """One problem; the words for a file would tell the owner to put text in quotes."""
    if detail["type"] == "string_type":
        return f"{detail['loc'][0]}: must be text, got something else"
    return problem_of(detail, {})


def _get(connection: HTTPConnection, token: str, timeout_s: float) -> tuple[int, bytes]:
    """Status and body of its answer.

    Raises:
        _NotYetError: there was none.
    """
    try:
        connection.connect()
        with _hanging_up_after(timeout_s, connection.sock):
            connection.request("GET", PATH, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            return answer.status, answer.read(_MOST_BYTES)
    except OSError as error:
        raise _NotYetError(error.strerror or type(error).__name__) from None
    except HTTPException as error:
        raise _NotYetError(type(error).__name__) from None
    finally:
        connection.close()


@contextmanager
def _hanging_up_after(timeout_s: float, connected: socket.socket) -> Iterator[None]:
    """Bound all that comes over a socket, whose own timeout begins anew with every byte.

    Raises:
        TimeoutError: it took longer.
    """
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, HTTPException):
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _message(answer: Any) -> str:
    """What the Supervisor said, as it may be shown."""
    said = answer.get("message") if isinstance(answer, dict) else None
    return f": {one_line(said)[:200]}" if said else ""
