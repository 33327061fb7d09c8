"""Looks at what a configuration leads to, without opening a device or connecting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from posed.camera import FIRST_AI_CAMERA, check_settings, device_of
from posed.camera.base import SettingError
from posed.config import CameraConfig, Config, mqtt_password
from posed.errors import CameraError, ConfigError, ModelError
from posed.model.catalogue import find, is_path, is_published, locate
from posed.mqtt.attempt import tls_context
from posed.service.container import container_problems, in_container


def check(config: Config) -> str:
    """Check everything that the configuration names.

    Returns:
        What is still to be done or known, empty if nothing.

    Raises:
        ConfigError: with every problem, one line each.
    """
    problems: list[str] = []
    to_do = ""
    loads: tuple[Callable[[], object], ...] = (
        lambda: mqtt_password(config.mqtt),
        lambda: config.mqtt.tls and tls_context(config.mqtt.tls),
    )
    for load in loads:
        try:
            load()
        except ConfigError as error:
            problems += error.problems
    if in_container():
        problems += container_problems(config)
    problems += _problems_of_cameras(config)
    problems += shared_devices(config.cameras)
    try:
        locate(config.model.name)
    except ModelError as error:
        beside = config.infers_in_cameras
        if find(config.model.name) is None and not (beside and is_path(config.model.name)):
            problems.append(f"model.name: {error}")
        elif beside:
            to_do = missing_beside(config)
        elif not config.model.pull:
            to_do = str(error)
    if problems:
        raise ConfigError(problems)
    return "\n".join([*([to_do] if to_do else []), *networks_on_their_side(config.cameras)])


def _problems_of_cameras(config: Config) -> Iterator[str]:
    for name, camera in config.cameras.items():
        if problem := _problem_of(camera):
            yield f"cameras.{name}.{problem}"


def shared_devices(
    cameras: Mapping[str, CameraConfig], first_ai_camera: str = FIRST_AI_CAMERA
) -> Iterator[str]:
    """A line for each camera whose device is that of another one.

    Args:
        cameras: by name.
        first_ai_camera: the device of the first AI Camera, for who has looked; Pi camera 0, if it is one, is
            the first in any case.
    """
    devices = {name: device_of(camera) for name, camera in cameras.items()}
    if any(camera.has_network and devices[name] == "Pi camera 0" for name, camera in cameras.items()):
        first_ai_camera = "Pi camera 0"
    first_with: dict[str, str] = {}
    for name, its_device in devices.items():
        device = first_ai_camera if its_device == FIRST_AI_CAMERA else its_device
        if device is not None and (other := first_with.setdefault(device, name)) != name:
            rule = f"must be another device than that of cameras.{other}, which opens once only"
            yield f"cameras.{name}.source: {rule}, got {device}"


def missing_beside(config: Config) -> str:
    """That the model is missing beside cameras that all have a network; empty where nobody asked for it.

    By default there is one: who has not pulled it has not asked for it.
    """
    name = config.model.name
    try:
        locate(name)
    except ModelError as error:
        if find(name) is None:
            return f"{error}; the cameras do without, and rotated crops are left out"
        if config.model.pull and is_published(name):
            return (
                "model.pull: downloads nothing where every camera is an AI Camera, and rotated crops are "
                f"left out; posed model pull {name} gets the model"
            )
    return ""


def networks_on_their_side(cameras: Mapping[str, CameraConfig]) -> Iterator[str]:
    """A line for each camera whose own network sees everybody on their side."""
    for name, camera in cameras.items():
        if camera.has_network and camera.rotate in (90, 270):
            yield (
                f"cameras.{name}.rotate: {camera.rotate} comes after the network in the camera, which sees "
                "people on their side and finds hardly anybody; mount it upright, or upside down with "
                "rotate: 180"
            )


def _problem_of(camera: CameraConfig) -> str:
    """The setting that is wrong, and the rule; empty where nothing is.

    A source is not shown: it may be a secret.
    """
    try:
        check_settings(camera)
    except SettingError as error:
        return str(error)
    except CameraError as error:
        return f"source: {str(error).removeprefix(f'camera {camera.source}: ')}"
    return ""
