"""The overlay: a file in the state folder with the settings that requests changed and were to keep."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import yaml

from posed.config.live import given_settings, live_values, where_of_setting
from posed.config.secrets import read_settings
from posed.config.sections import Config
from posed.config.settings import CAMERAS
from posed.config.tree import merge, nest
from posed.config.wording import reason
from posed.config.yaml_file import MOST_BYTES
from posed.errors import ConfigError
from posed.paths import exists, replace_file

log = logging.getLogger(__name__)

_HEADER: Final = (
    "# Settings that were changed by requests. Later than the file, earlier than the environment.\n"
)


def read_overlay(overlay: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is missing.

    Raises:
        ConfigError: the file is there and cannot be read.
        OSError: it cannot be seen whether it is there.
    """
    return read_settings(overlay, []) if exists(overlay) else {}


def for_cameras(tree: dict[str, Any], cameras: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """What an overlay says of the cameras that there are, and the names of the other cameras in it."""
    said = tree.get(CAMERAS)
    if not isinstance(said, dict):
        return tree, []
    of_cameras = {name: settings for name, settings in said.items() if name in cameras}
    return {**tree, CAMERAS: of_cameras}, [name for name in said if name not in cameras]


def keep(overlay: Path, config: Config, names: Collection[str], camera: str | None = None) -> None:
    """Write settings into the overlay, beside those that are there; a damaged one is set aside.

    Args:
        overlay: the file.
        config: the configuration that has their values.
        names: dotted names of the settings.
        camera: the name of the camera whose own they are; None: they are for all cameras. One of which nobody
            gave a value is written as null, which goes before the file.

    Raises:
        ConfigError: it would be too large.
        OSError: it cannot be written.
    """
    try:
        tree = read_overlay(overlay)
    except ConfigError as error:
        set_aside(overlay, "; ".join(error.problems))
        tree = {}
    values = live_values(config, camera)
    given = given_settings(config, camera)
    for name in names:
        merge(tree, nest(where_of_setting(name, camera), values[name] if name in given else None))
    text = _HEADER + yaml.safe_dump(tree, sort_keys=False, default_flow_style=None)
    if len(text) > MOST_BYTES:
        raise ConfigError([f"{overlay}: must be at most {MOST_BYTES} bytes, got {len(text)}"])
    replace_file(overlay, text)


def set_aside(overlay: Path, damage: str) -> None:
    """Rename an overlay that cannot be used; where the disk does not take that, it stays and is left out."""
    try:
        overlay.replace(damaged_file(overlay))
        now = f"now {damaged_file(overlay).name}"
    except OSError as error:
        now = f"cannot be renamed: {reason(error)}"
    log.warning("%s: damaged, so what requests changed is left out (%s): %s", overlay, now, damage)


def damaged_file(overlay: Path) -> Path:
    """The file that a damaged overlay becomes."""
    return overlay.with_name(f"{overlay.name}.damaged")
