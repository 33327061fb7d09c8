"""Whether an answer works: the broker is connected to, the camera gives a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from posed.camera import open_camera
from posed.commands.waiting import WAIT_S, Hangs, once_ready, within
from posed.config import CameraConfig, MqttConfig
from posed.errors import CameraLost
from posed.mqtt.broker_session import CONNECT_S, broker_session
from posed.mqtt.client import ONLINE

OPEN_S: Final = 20.0
"""A camera may take this much longer than its `timeout_s` to open and close before it counts as hung, s."""


class CameraHangs(CameraLost):
    """A camera whose driver or library never returns."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A broker that accepted a connection.

    Args:
        version: the version of MQTT.
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
    with broker_session(config, password, timeout_s) as session:
        retained = session.retained(f"{config.topic}/+/availability")
    online = frozenset(topic.split("/")[-2] for topic, payload in retained.items() if payload == ONLINE)
    return Reached(session.version, online)


def try_camera(
    config: CameraConfig, name: str, tell: Callable[[str], object] = lambda _: None, wait_s: float = WAIT_S
) -> str:
    """Open the camera and wait for one frame, or for longer while it gets ready.

    Args:
        config: the camera's section.
        name: of the camera.
        tell: hears each time what it gets ready with.
        wait_s: before it is asked again, s.

    Returns:
        The camera's name and the frame's size, for people.

    Raises:
        CameraError: it cannot be opened, or gives nothing within `timeout_s`.
        CameraHangs: it never returns; a thread is left behind in it.
    """
    limit_s, first = config.timeout_s + OPEN_S, partial(_first_frame, config, name)
    try:
        return once_ready(partial(within, limit_s, "the camera", first), tell, wait_s)
    except Hangs:
        raise CameraHangs(f"camera {config.kind}: hangs: no result within {limit_s:g} s") from None


_ANY_MODELS_SIZE: Final = (481, 353)
"""The frame is only to come, whatever model it is for."""


def _first_frame(config: CameraConfig, name: str) -> str:
    with open_camera(config, _ANY_MODELS_SIZE, name) as camera:
        frame = camera.read(config.timeout_s)
        if frame is None:
            raise CameraLost(f"{camera.name}: no frame within {config.timeout_s:g} s")
        height, width, _ = frame.image.shape
        return f"{camera.name}: gives frames of {width}×{height} px"
