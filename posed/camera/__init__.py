"""Where frames come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from posed.config import CAMERA
from posed.errors import CameraError, PosedError
from posed.paths import expanded

if TYPE_CHECKING:
    from posed.camera.base import Camera
    from posed.config import CameraConfig


FIRST_AI_CAMERA: Final = "the first AI Camera"
"""The device of a camera of kind imx500 without a source, as long as nobody has looked which one that is."""


def open_camera(config: CameraConfig, model_size: tuple[int, int], name: str = CAMERA) -> Camera:
    """Open a camera; the library it needs is imported only here.

    Args:
        config: the camera's section.
        model_size: (width, height) of the model's input, px; a camera that can scale by itself aims at it.
        name: of the camera, for what is wrong with its settings.

    Raises:
        CameraLost: the device is absent or does not answer; opening it again may help.
        CameraError: it can never work like this: no such file, no picture in the folder.
    """
    from posed.camera.base import SettingError

    try:
        return _open(config, model_size)
    except SettingError as error:
        raise CameraError(f"cameras.{name}.{error}") from error
    except PosedError:
        raise
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise CameraError(f"cameras.{name}.source: cannot be opened ({error.strerror})") from None


def device_of(config: CameraConfig) -> str | None:
    """The device that only one camera can have; None for a URL, files and drawn people, which many can.

    A device has several names: `0` is /dev/video0, as are its links below /dev/v4l.
    """
    source = config.source
    if config.kind in {"picamera2", "imx500"}:
        first = FIRST_AI_CAMERA if config.kind == "imx500" else "Pi camera 0"
        return f"Pi camera {int(source)}" if source.isdecimal() else None if source else first
    if config.kind != "video":
        return None
    path = f"/dev/video{source}" if source.isdecimal() else source
    return os.path.realpath(path) if path.startswith("/dev/") else None


def check_settings(config: CameraConfig) -> None:
    """Look whether the source names what its kind needs; opens nothing.

    Raises:
        SettingError: it does not.
        CameraError: the file, or the pictures, are missing.
    """
    match config.kind:
        case "picamera2":
            from posed.camera.picamera import camera_number

            camera_number(config.source)
        case "imx500":
            from posed.camera import imx500

            imx500.camera_number(config.source)
        case "synthetic":
            from posed.camera.synthetic import seed_of

            seed_of(config.source)
        case _:
            check_source(config)


def check_source(config: CameraConfig) -> None:
    """Look whether the file, or the pictures, of a camera are there; opens nothing.

    Raises:
        CameraError: they are missing, which waiting does not change.
    """
    source = config.source
    if config.kind == "images":
        from posed.camera.images import find_images

        find_images(source)
    elif config.kind == "video" and not (
        source.isdecimal()
        or source.startswith("/dev/")
        or "://" in source
        or os.path.exists(expanded(source))  # noqa: PTH110 no error
    ):
        raise CameraError(f"camera {source}: must be a video, there is no such file")


def _open(config: CameraConfig, model_size: tuple[int, int]) -> Camera:
    match config.kind:
        case "picamera2":
            from posed.camera.picamera import open_picamera

            return open_picamera(config, model_size)
        case "imx500":
            from posed.camera.imx500 import open_imx500

            return open_imx500(config)
        case "video":
            from posed.camera.video import open_video

            return open_video(config)
        case "images":
            from posed.camera.images import open_images

            return open_images(config)
        case "synthetic":
            from posed.camera.synthetic import open_synthetic

            return open_synthetic(config)
