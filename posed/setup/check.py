"""Whether an answer works: the broker is connected to, the camera gives a frame."""

from __future__ import annotations

from dataclasses import dataclass

from posed.camera import open_camera
from posed.config import CameraConfig, MqttConfig
from posed.errors import CameraLost
from posed.model.catalogue import CATALOGUE
from posed.mqtt.client import ONLINE
from posed.mqtt.visit import CONNECT_S, visiting


@dataclass(frozen=True, slots=True)
class Reached:
    """A broker that accepted a connection.

    Args:
        version: of MQTT.
        online: the names of posed's devices that are online there.
    """

    version: str
    online: frozenset[str]


def try_broker(config: MqttConfig, password: str | None, timeout_s: float = CONNECT_S) -> Reached:
    """Connect as the daemon will, see who is online, and leave nothing behind.

    Raises:
        NotReached: the broker cannot be reached, or refuses the connection.
        ConfigError: the authority's certificate cannot be used.
    """
    with visiting(config, password, timeout_s) as visit:
        told = visit.retained(f"{config.topic}/+/availability")
    online = frozenset(topic.split("/")[-2] for topic, payload in told.items() if payload == ONLINE)
    return Reached(visit.version, online)


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
