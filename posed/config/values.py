"""Types of settings, with the rules that a single value follows."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, Strict

from posed.config.polygon import problem_of

Size = Annotated[tuple[int, int], Strict(False)]
FramePoint = Annotated[tuple[float, float], Strict(False)]


def _no_url(value: object) -> object:
    """A URL in the wrong place would be shown as a name of what cannot be found, its password, too."""
    if isinstance(value, str) and "://" in value:
        raise ValueError("must be a name or a path, not a URL")
    return value


FilePath = Annotated[Path, Strict(False), BeforeValidator(_no_url)]
NameOrPath = Annotated[str, BeforeValidator(_no_url)]


def _broker_host(value: str) -> str:
    if re.search(r"[\s/@]", value):
        raise ValueError("must be a host's name or address alone (port, username and tls are settings)")
    if problem := _host_problem(value):
        raise ValueError(problem)
    return value


def _host_problem(value: str) -> str | None:
    """What is wrong with a host's name or address, and how to write it; None if nothing is."""
    if _is_address(value):
        return None
    if re.search(r"[:\[\]]", value):
        return "must be a name or address alone, without port or brackets" + _rewritten(value)
    if re.fullmatch(r"[0-9.]+", value):
        return "must be an address of four numbers from 0 to 255, or a name"
    try:
        value.encode("idna")
    except UnicodeError:
        return "must be a host's name, of parts of 1 to 63 characters with points between them"
    return None


def _rewritten(value: str) -> str:
    """How a host with a port or brackets is to be written; empty where it is not clear what was meant."""
    parts = re.fullmatch(
        r"\[(?P<address>[^\[\]]+)\](:(?P<port>\d+))?|(?P<name>[^:\[\]]+):(?P<its_port>\d+)", value
    )
    if parts is None:
        return ""
    host, port = parts["address"] or parts["name"], parts["port"] or parts["its_port"]
    return f' (write host: "{host}"' + (f", port: {port})" if port else ")")


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


BrokerHost = Annotated[str, AfterValidator(_broker_host)]


def _topic_level(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise ValueError("must be letters, digits, - and _ only (it is one level of an MQTT topic)")
    return value


TopicLevel = Annotated[str, AfterValidator(_topic_level)]
ZoneName = Annotated[str, Field(max_length=64), AfterValidator(_topic_level)]

_TAKEN: Final = (
    "availability",
    "state",
    "events",
    "request",
    "response",
    "poses",
    "zones",
    "fall",
    "snapshot",
    "recording",
)
"""These levels of topics stand where a camera's name does."""

_ADDRESSES: Final = ("healthz", "metrics")
"""These addresses of the web server stand where that of a camera's page does."""


def _camera_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,32}", value):
        raise ValueError("must be 1 to 32 small letters, digits and _ (it is one level of an MQTT topic)")
    if value in _TAKEN:
        raise ValueError(f"must be none of {', '.join(_TAKEN)}, which are topics of the device")
    if value in _ADDRESSES:
        raise ValueError(f"must be none of {', '.join(_ADDRESSES)}, which are addresses of the web server")
    return value


CameraName = Annotated[str, AfterValidator(_camera_name)]


def _topic(value: str) -> str:
    if not all(re.fullmatch(r"[A-Za-z0-9_-]+", level) for level in value.split("/")):
        raise ValueError("must be levels of letters, digits, - and _, joined by /")
    return value


Topic = Annotated[str, AfterValidator(_topic)]


def _address(value: str) -> str:
    if not _is_address(value):
        raise ValueError("must be an IP address without port or brackets, such as 127.0.0.1, ::1 or 0.0.0.0")
    return value


IpAddress = Annotated[str, AfterValidator(_address)]


def _peer(value: str) -> str:
    """An address as a connection from there shows it: an IPv4 one plain, and none with its zone."""
    address = ipaddress.ip_address(_address(value))
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_unspecified or "%" in value:
        raise ValueError(
            "must be the one address that connections come from, such as 172.30.32.2, and neither "
            "0.0.0.0 nor :: nor with a %zone"
        )
    return str(address)


PeerAddress = Annotated[str, AfterValidator(_peer)]


def _host_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise ValueError("must be a host's name, small letters, without port")
    return value


HostNames = Annotated[tuple[Annotated[str, AfterValidator(_host_name)], ...], Strict(False)]


def _origin(value: str) -> str:
    """As a Content-Security-Policy takes it, which has no IPv6 address."""
    match = re.fullmatch(r"https?://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?", value)
    if match is None or not 1 <= int((match[2] or ":1")[1:]) <= 65535:
        raise ValueError(
            "must be a page's origin, such as http://homeassistant.local:8123: http or https, a host's name "
            "in small letters or an IPv4 address, a port, no path"
        )
    return value


Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], Strict(False)]


def _hard_to_guess(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{16,256}", value.get_secret_value()):
        raise ValueError(
            "must be 16 to 256 letters, digits and signs without spaces, as `openssl rand -hex 16` gives"
        )
    return value


Token = Annotated[SecretStr, AfterValidator(_hard_to_guess)]


def _polygon(value: tuple[FramePoint, ...]) -> tuple[FramePoint, ...]:
    if problem := problem_of(value):
        raise ValueError(problem)
    return value


Polygon = Annotated[tuple[FramePoint, ...], Strict(False), AfterValidator(_polygon)]


def _number_as_text(value: object) -> object:
    """`source: 0` is a camera's number, and meant as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


TextOrNumber = Annotated[str, BeforeValidator(_number_as_text)]


def _off_as_text(value: object) -> object:
    """A bare `off` is what YAML calls false."""
    return "off" if value is False else value


OFF_AS_TEXT: Final = BeforeValidator(_off_as_text)
