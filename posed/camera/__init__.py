"""Where frames come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from posed.errors import CameraError, PosedError
from posed.paths import expanded

if TYPE_CHECKING:
    from posed.camera.base import Camera
    from posed.config import CameraConfig


def open_camera(config: CameraConfig, model_size: tuple[int, int]) -> Camera:
    """Open the configured camera; the library it needs is imported only here.

    Args:
        config: the section `camera`.
        model_size: (width, height) of the model's input, px; a camera that can scale by itself aims at it.

    Raises:
        CameraLost: the device is absent or does not answer; opening it again may help.
        CameraError: it can never work like this: no such file, no picture in the folder.
    """
    try:
        return _open(config, model_size)
    except PosedError:
        raise
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise CameraError(f"camera.source: cannot be opened ({error.strerror})") from None


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
        case "video":
            from posed.camera.video import open_video

            return open_video(config)
        case "images":
            from posed.camera.images import open_images

            return open_images(config)
        case "synthetic":
            from posed.camera.synthetic import open_synthetic

            return open_synthetic(config)
