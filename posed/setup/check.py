"""Whether an answer works: the broker is connected to, the camera gives a frame."""

from __future__ import annotations

import secrets
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final, Literal

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from posed.camera import open_camera
from posed.config import CameraConfig, MqttConfig
from posed.errors import BrokerError, CameraLost
from posed.model.catalogue import CATALOGUE
from posed.mqtt.attempt import How, Notes, reason_of, tls_context
from posed.mqtt.client import ONLINE

CONNECT_S: Final = 5.0
"""How long a broker may take for each of: the connection, the TLS handshake, its answer."""

NAMES_S: Final = 0.5
"""How long retained messages are waited for after subscribing; nothing tells which is the last."""

_VERSIONS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}

_WRONG_LOGIN: Final = frozenset({"bad user name or password", "not authorized"})
"""MQTT 5 reason codes 134 and 135 in paho's words, as which it reports 3.1.1's 4 and 5, too."""

_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's X509_V_ERR_… of self-signed certificates and of ones whose issuer is not known."""

Remedy = Literal["login", "authority", "tls"]


@dataclass(frozen=True, slots=True)
class Reached:
    """A broker that accepted a connection.

    Args:
        version: of MQTT.
        online: the names of posed's devices that are online there.
    """

    version: str
    online: frozenset[str]


class NotReached(BrokerError):
    """A broker that cannot be used like this; `remedy` is what may help, None for another broker."""

    def __init__(self, where: str, why: str, remedy: Remedy | None = None) -> None:
        self.remedy = remedy
        super().__init__(f"{where}: {why}")


def try_broker(config: MqttConfig, password: str | None, timeout_s: float = CONNECT_S) -> Reached:
    """Connect as the daemon will, see who is online, and leave nothing behind.

    It is not `MqttClient` that connects, since that one says `online` and `offline` under the device's name,
    which may be another's.

    Raises:
        NotReached: the broker cannot be reached, or refuses the connection.
        ConfigError: the authority's certificate cannot be used.
    """
    tls = None if config.tls is None else tls_context(config.tls)
    why = ""
    for version in _VERSIONS if config.protocol == "auto" else (config.protocol,):
        notes = Notes()
        client = _client(version, config.username, password, notes)
        client.connect_timeout = timeout_s
        if tls is not None:
            client.tls_set_context(tls)
        try:
            _connect(client, config, timeout_s)
            why_version_refused = _await_answer(client, notes, version, config, timeout_s)
            if why_version_refused is None:
                online = _online(client, config.topic)
                client.disconnect()
                return Reached(version, online)
            why = why_version_refused
        finally:
            if (sock := client.socket()) is not None:
                sock.close()
    raise NotReached(_where(config), why, "tls" if tls is None else None)


def _client(version: str, username: str | None, password: str | None, notes: Notes) -> Client:
    # A client id of its own, or the broker would end the connection of this device's daemon.
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"posed-setup-{secrets.token_hex(4)}",
        protocol=_VERSIONS[version],
        reconnect_on_failure=False,
    )
    client.username_pw_set(username, password)
    client.on_connect = notes.on_connect
    client.on_disconnect = notes.on_disconnect
    client.on_log = notes.on_log
    return client


def _connect(client: Client, config: MqttConfig, timeout_s: float) -> None:
    try:
        client.connect(config.host, config.port)
    except (OSError, UnicodeError) as error:
        unknown = isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNKNOWN_AUTHORITY
        raise NotReached(
            _where(config), reason_of(error, timeout_s), "authority" if unknown else None
        ) from None


def _await_answer(
    client: Client, notes: Notes, version: str, config: MqttConfig, timeout_s: float
) -> str | None:
    """None once the broker has accepted the connection, or why it wants another version of MQTT."""
    answer_by = time.monotonic() + timeout_s
    while not notes.answered and client.loop(0.1) == MQTTErrorCode.MQTT_ERR_SUCCESS:
        if time.monotonic() > answer_by:
            return f"no answer to MQTT {version} within {timeout_s:g} s"
    ending = notes.refusal(version)
    if ending is None:
        return None
    if ending.how is How.VERSION_REFUSED:
        return ending.why
    wrong_login = any(words in ending.why for words in _WRONG_LOGIN)
    raise NotReached(_where(config), ending.why, "login" if wrong_login else None)


def _online(client: Client, topic: str) -> frozenset[str]:
    names: set[str] = set()

    def note(_client: Any, _data: Any, message: Any) -> None:
        if message.payload == ONLINE:
            names.add(message.topic.split("/")[-2])

    client.on_message = note
    client.subscribe(f"{topic}/+/availability")
    until = time.monotonic() + NAMES_S
    while time.monotonic() < until and client.loop(0.05) == MQTTErrorCode.MQTT_ERR_SUCCESS:
        pass
    return frozenset(names)


def _where(config: MqttConfig) -> str:
    return f"mqtt {config.host}:{config.port}"


def try_camera(config: CameraConfig) -> str:
    """Open the camera and wait for one frame.

    Returns:
        The camera's name and the frame's size, for people.

    Raises:
        CameraError: it cannot be opened, or gives nothing within `timeout_s`.
    """
    with open_camera(config, CATALOGUE[0].size) as camera:
        frame = camera.read(config.timeout_s)
        if frame is None:
            raise CameraLost(f"{camera.name}: no frame within {config.timeout_s:g} s")
        height, width, _ = frame.image.shape
        return f"{camera.name}: gives frames of {width}×{height} px"
