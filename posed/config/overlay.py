"""The overlay: a file in the state folder with the settings that requests changed and were to keep."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import yaml

from posed.config.live import live_settings, live_values
from posed.config.secrets import read_settings
from posed.config.sections import Config
from posed.config.tree import merge, nest, value_at
from posed.config.wording import reason
from posed.config.yaml_file import MOST_BYTES
from posed.errors import ConfigError
from posed.paths import replace_file

log = logging.getLogger(__name__)

_HEADER: Final = (
    "# Settings that were changed by requests. Later than the file, earlier than the environment.\n"
)


def kept(overlay: Path) -> list[str]:
    """The settings in the overlay, by dotted name; none where it is missing.

    Raises:
        ConfigError: the file is there and cannot be read.
    """
    tree = _content(overlay)
    return [name for name in live_settings() if _holds(tree, name)]


def _content(overlay: Path) -> dict[str, Any]:
    return read_settings(overlay, []) if overlay.exists() else {}


def _holds(tree: dict[str, Any], name: str) -> bool:
    try:
        value_at(tree, name.split("."))
    except (KeyError, TypeError):
        return False
    return True


def keep(overlay: Path, config: Config, names: Collection[str]) -> None:
    """Write settings into the overlay, beside those that are there; a damaged one is set aside.

    Args:
        overlay: the file.
        config: the configuration that has their values.
        names: dotted names of the settings.

    Raises:
        ConfigError: it would be too large.
        OSError: it cannot be written.
    """
    try:
        tree = _content(overlay)
    except ConfigError as error:
        set_aside(overlay, "; ".join(error.problems))
        tree = {}
    values = live_values(config)
    for name in names:
        merge(tree, nest(tuple(name.split(".")), values[name]))
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
