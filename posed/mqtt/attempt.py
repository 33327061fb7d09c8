"""One attempt to connect to a broker: its TLS, what paho reports of it, and why it failed."""

from __future__ import annotations

import logging
import re
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final, Literal

from paho.mqtt.client import MQTTMessage
from paho.mqtt.reasoncodes import ReasonCode

from posed.config import TlsConfig
from posed.errors import ConfigError
from posed.mqtt.limits import BrokerLimits

_UNSUPPORTED_VERSION: Final = 132
"""This MQTT 5 reason code says that the broker does not speak the version; paho reports 3.1.1's return code 1
as this, too. Source: MQTT 5.0, 2.4."""


_WRONG_LOGIN: Final = frozenset({134, 135})
"""These MQTT 5 reason codes refuse a user; paho reports 3.1.1's 4 and 5 as these, too."""

_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
"""OpenSSL gives these X509_V_ERR_… numbers for self-signed certificates and for those whose issuer it does
not know."""

Remedy = Literal["login", "authority", "tls"]
"""One of these may help where a broker cannot be used as configured."""


class How(Enum):
    """The ways in which an attempt to connect ends."""

    UNREACHABLE = auto()
    VERSION_REFUSED = auto()
    REFUSED = auto()
    LIMITED = auto()
    """The broker takes less than was offered, and is known to: another attempt keeps within that."""
    LOST = auto()


@dataclass(frozen=True, slots=True)
class ConnectOutcome:
    """How an attempt ended, and why in a few words.

    Args:
        how: the way.
        why: for people.
        explained: whether the broker itself gave the reason.
        remedy: what may help, where that can be seen.
    """

    how: How
    why: str
    explained: bool = False
    remedy: Remedy | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the broker; a retained one may be very old."""

    topic: str
    payload: bytes
    retained: bool


class Notes:
    """What paho's callbacks report about one connection: set its methods as the client's `on_…`.

    They run in the network thread under paho's locks, so they only take notes. There is no way from here back
    to the paho client: its sockets close when the last reference to it goes, not at some later garbage
    collection.
    """

    def __init__(self) -> None:
        self.ended = False
        self.end = ""
        self.error = ""
        self.rejection: str | None = None
        self.acknowledgements: deque[tuple[int, bool]] = deque()
        self.messages: deque[Received] = deque()
        self.unsubscribed: str | None = None
        self.limits = BrokerLimits()
        self.connack: ReasonCode | None = None
        # Not paho's `on_log`, for which it writes out every message that is published.
        self.log = _ErrorLog(self._on_error)

    @property
    def answered(self) -> bool:
        """Whether the attempt is decided."""
        return self.connack is not None or self.ended

    def refusal(self, version: str) -> ConnectOutcome | None:
        """How the broker refused the connection; None if it did not."""
        if self.connack is None:
            # A broker that cannot read the CONNECT of a newer version may just close the connection (RabbitMQ
            # before 3.13); one that closed it by a TLS alert has not seen the CONNECT.
            if "alert" in self.error:
                return ConnectOutcome(How.REFUSED, f"TLS failed: {self.error}")
            why = f"does not answer MQTT {version} ({self.end or 'closes the connection'})"
            return ConnectOutcome(How.VERSION_REFUSED, why)
        if not self.connack.is_failure:
            return None
        if self.connack.value == _UNSUPPORTED_VERSION:
            return ConnectOutcome(How.VERSION_REFUSED, f"refuses MQTT {version}")
        remedy: Remedy | None = "login" if self.connack.value in _WRONG_LOGIN else None
        why = f"connection refused by the broker: {_lower(str(self.connack))}"
        return ConnectOutcome(How.REFUSED, why, remedy=remedy)

    def on_connect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, properties: Any) -> None:
        """Take note of the broker's CONNACK, which is read nowhere else."""
        self.limits = BrokerLimits.of_connack(properties)
        self.connack = reason

    def on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _more: Any) -> None:
        """Take note of the end of the connection, and of the reason if there is one."""
        self.ended = True
        # What paho calls unspecified is a closed or broken socket, of which `error` may know more.
        if str(reason) != "Unspecified error":
            self.end = _lower(str(reason))

    def on_publish(self, _client: Any, _data: Any, mid: int, reason: ReasonCode, _more: Any) -> None:
        """Take note of a message that was written or acknowledged, and whether the broker took it."""
        self.acknowledgements.append((mid, not reason.is_failure))
        if reason.is_failure:
            self.rejection = _lower(str(reason))

    def on_subscribe(
        self, _client: Any, _data: Any, _mid: int, reasons: list[ReasonCode], _more: Any
    ) -> None:
        """Take note of a subscription that the broker refused."""
        for reason in reasons:
            if reason.is_failure:
                self.unsubscribed = _lower(str(reason))

    def on_message(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        """Take note of a message, unless its topic is no text: not every broker refuses those."""
        with suppress(UnicodeDecodeError):
            self.messages.append(Received(message.topic, bytes(message.payload), message.retain))

    def _on_error(self, text: str) -> None:
        """Take note of a socket's error, whose text paho only logs."""
        if not self.ended:
            self.error = _plain(text.rpartition("on socket: ")[2])


class _ErrorLog(logging.Logger):
    """Hands on the text of every error, and writes out nothing else."""

    def __init__(self, hand_on: Callable[[str], None]) -> None:
        super().__init__("paho", logging.ERROR)
        self._hand_on = hand_on

    def handle(self, record: logging.LogRecord) -> None:
        """Hand it on."""
        self._hand_on(record.getMessage())


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """What the configuration asks for.

    Raises:
        ConfigError: a certificate or key cannot be used.
    """
    for name in ("ca", "certificate", "key"):
        _check_readable(f"mqtt.tls.{name}", getattr(config, name))
    try:
        context = ssl.create_default_context(cafile=config.ca)
    except ssl.SSLError as error:
        raise ConfigError([_bad_pem("ca", config.ca, error)]) from None
    # Python 3.13 began to refuse authorities without key identifiers, which home-made ones often lack; the
    # chain and the host's name are verified either way, and the same on every Python.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if config.certificate is not None:
        try:
            # An empty pass phrase, so that an encrypted key is refused and not asked for on the terminal.
            context.load_cert_chain(config.certificate, config.key, password="")
        except ssl.SSLError as error:
            raise ConfigError([_bad_pem("certificate", config.certificate, error)]) from None
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _check_readable(where: str, path: Path | None) -> None:
    try:
        if path is not None:
            path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{where}: must be a readable PEM file, got {path} ({error.strerror})"]) from None


def _bad_pem(name: str, path: Path | None, error: ssl.SSLError) -> str:
    rule = {
        "ca": "must be a readable PEM file",
        "certificate": "must be a readable PEM file with a key that fits and has no pass phrase",
    }[name]
    return f"mqtt.tls.{name}: {rule}, got {path} ({_plain(str(error))})"


def unreachable(error: Exception, timeout_s: float) -> ConnectOutcome:
    """How an attempt ended that met with an error before the broker could answer."""
    unknown = isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNKNOWN_AUTHORITY
    return ConnectOutcome(
        How.UNREACHABLE, _reason_of(error, timeout_s), remedy="authority" if unknown else None
    )


def _reason_of(error: Exception, timeout_s: float) -> str:
    """Why a connection could not be opened, in a few words."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"certificate not accepted: {_lower(error.verify_message.rstrip('.'))}"
        case ssl.SSLError():
            return f"TLS failed: {_plain(str(error))}"
        case TimeoutError():
            return f"no answer within {timeout_s:g} s"
        case OSError(strerror=str(text)):
            return _lower(text)
        case _:
            return _lower(str(error))


def _plain(text: str) -> str:
    """An error's text without its number or OpenSSL's names: `[SSL: X] text (_ssl.c:1)` is `text`."""
    return _lower(re.sub(r"^\[[^\]]*\] ?| ?\(_ssl\.c:\d+\)$", "", text))


def _lower(text: str) -> str:
    """The text for the middle of a line, its first letter small; abbreviations stay as they are."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
