"""What a container has not: a name that lasts, and a Pi camera."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from posed.config import Config

_MARKS: Final = (".dockerenv", "run/.containerenv")
"""Docker, and Podman and Buildah, make these files in a container."""

_BOOTED: Final = "run/systemd/system"
"""This folder is there where systemd runs as the first process. Source: sd_booted(3)."""


def in_container(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> bool:
    """Whether posed runs in a container, and not in one that systemd has started, which is a machine.

    Args:
        environment: `container` names its kind; where that is empty it is none, whatever else says so.
            Source: systemd's Container Interface.
        root: of the file system.
    """
    if (root / _BOOTED).is_dir():
        return False
    kind = environment.get("container")
    return any((root / mark).exists() for mark in _MARKS) if kind is None else kind != ""


def container_problems(config: Config) -> Iterator[str]:
    """A line for each default of the configuration that does not work in a container."""
    if "device" not in config.model_fields_set:
        name = socket.gethostname()
        yield (
            f"device: must be set in a container, got none: by default it is the host's name, {name}, so "
            "each new container would be a new device in Home Assistant; set device, or POSED_DEVICE"
        )
    for name, camera in config.cameras.items():
        if camera.kind == "picamera2" and "kind" not in camera.model_fields_set:
            yield (
                f"cameras.{name}.kind: must be set in a container, got none: the default, picamera2, cannot "
                "be opened there; USB cameras, URLs and files are of kind video, with their source"
            )
