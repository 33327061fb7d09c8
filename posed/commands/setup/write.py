"""The files that answers become: a short configuration, and the secrets beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from posed.commands.setup.edit import CannotEdit, camera_lines, with_camera
from posed.commands.setup.secret import Secret, scalar
from posed.config import SECRETS_FILE, Config, load
from posed.errors import ConfigError

_HEADER: Final = """\
# Made by `posed setup`. What is not here is at its default; config/posed.yaml in posed's sources explains
# every setting. After a change: posed check --config FILE
"""

_COMMENTS: Final = {
    "device": "This device publishes below posed/NAME/.",
    "model.name": "A name of `posed model list`, or a file.",
    "mqtt.host": "The broker's name or address.",
    "mqtt.port": "Usually 1883, or 8883 with TLS.",
    "mqtt.username": "The user name of this device at the broker.",
    "mqtt.password": "That user's password.",
    "mqtt.password_file": "The first line of this file is that user's password.",
    "mqtt.tls": "Verify the broker's certificate; ca: who signed it, by default the system's authorities.",
    "privacy.pictures": "What pictures show, on the page and in snapshots: off, skeleton, blurred or full.",
    "web.enabled": "The live view, for browsers on this machine unless web.host and web.token are set, too.",
    "web.host": "The page listens on this address: 0.0.0.0 is every IPv4 address of this machine.",
    "web.token": "A browser must know this; http://HOST:8460/?token=… tells it once.",
}
"""These settings may be written, in the file's order, each with its comment."""

_OF_CAMERAS: Final = """\
# Each camera by its name, a level of its topics. kind: picamera2, imx500, video, images or synthetic.
# source: which camera, file or URL; a number for synthetic. username, password: at the camera, where source
# is a URL."""


def write(path: Path, settings: Mapping[str, Any]) -> None:
    """Write a configuration, once it has been loaded and found good; the one before is kept as `.bak`.

    Args:
        path: the configuration's file; its folder exists.
        settings: the settings by dotted name, a `Secret` where the value must not be seen.

    Raises:
        ConfigError: the configuration is not good, or cannot be written; nothing has changed then.
    """
    _replace(path, config_text(settings), settings.values())


def write_cameras(path: Path, cameras: Mapping[str, Mapping[str, Any]]) -> None:
    """Add cameras to a configuration, or change some; the one before is kept as `.bak`.

    Args:
        path: the configuration's file, which is good.
        cameras: the settings by camera and name, a `Secret` where the value must not be seen.

    Raises:
        ConfigError: the configuration would not be good, or cannot be written; nothing has changed then.
    """
    text = path.read_text(encoding="utf-8")
    try:
        for name, settings in cameras.items():
            text = with_camera(text, name, settings)
    except CannotEdit:
        rule = "must have its cameras below `cameras:`, a setting a line, for setup to change them"
        raise ConfigError([f"{path}: {rule}"]) from None
    values = [value for settings in cameras.values() for value in settings.values()]
    _replace(path, text, values, names_secrets=True)


def _replace(path: Path, text: str, values: Iterable[Any], *, names_secrets: bool = False) -> None:
    """Put a configuration in the place of another.

    Args:
        path: of both.
        text: the configuration.
        values: of settings, with the secrets that are new among them.
        names_secrets: whether the text may name secrets that are there already.
    """
    secrets = {value.name: value.value for value in values if isinstance(value, Secret)}
    kept = path.with_name(SECRETS_FILE)
    try:
        with tempfile.TemporaryDirectory(prefix=".posed-setup-", dir=path.parent) as folder:
            staged = Path(folder) / path.name
            _write_text(staged, text, 0o644)
            staged_secrets = staged.with_name(SECRETS_FILE)
            if secrets:
                _write_text(staged_secrets, _with_secrets(kept, secrets), 0o600)
            elif names_secrets and kept.exists():
                _write_text(staged_secrets, kept.read_text(encoding="utf-8"), 0o600)
            load(staged, {})
            if not secrets:
                staged_secrets.unlink(missing_ok=True)
            _put_in_place(staged, path)
    except OSError as error:
        raise ConfigError([f"{path}: must be writable ({error.strerror})"]) from None


def config_text(settings: Mapping[str, Any]) -> str:
    """The configuration's text, without what is at its default.

    Args:
        settings: the settings by dotted name.
    """
    lines: list[str] = []
    section = None
    for name, comment in _COMMENTS.items():
        if name == "model.name":
            lines += _lines_of_cameras(settings)
        if name not in settings or settings[name] == _default(name):
            continue
        head, _, key = name.rpartition(".")
        if head != section:
            lines += ["", f"{head}:"] if head else [""]
            section = head
        indent = "  " if head else ""
        lines += [f"{indent}# {comment}", f"{indent}{key}: {scalar(settings[name])}"]
    return _HEADER + "\n".join([*lines, ""])


def _lines_of_cameras(settings: Mapping[str, Any]) -> list[str]:
    pairs: dict[str, list[str]] = {}
    for name, value in settings.items():
        section, *rest = name.split(".")
        if section == "cameras":
            pairs.setdefault(rest[0], []).append(f"{rest[1]}: {scalar(value)}")
    lines = [line for name, of_camera in pairs.items() for line in camera_lines(name, of_camera, "  ")]
    return ["", *_OF_CAMERAS.splitlines(), "cameras:", *lines] if lines else []


def _default(name: str) -> Any:
    if name == "device":
        # It is the host's name, which may change and must not take the topics along.
        return None
    value: Any = Config()
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _with_secrets(path: Path, secrets: Mapping[str, str]) -> str:
    """What `secrets.yaml` will be: what is in it stays, with its comments where that is possible."""
    before = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    try:
        wanted = {**(yaml.safe_load(before) or {}), **secrets}
    except (yaml.YAMLError, TypeError):
        raise ConfigError([f"{path}: must be secrets as `name: value`, got something else"]) from None
    others = [line for line in before.splitlines() if line.partition(":")[0] not in secrets]
    text = "\n".join([*others, *(f"{name}: {scalar(value)}" for name, value in secrets.items()), ""])
    # A value over several lines does not go by lines.
    return text if _read(text) == wanted else yaml.safe_dump(wanted, allow_unicode=True, sort_keys=False)


def _read(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _write_text(path: Path, text: str, mode: int) -> None:
    """Write a file that has its mode from the start: others cannot read a secret even for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(staged: Path, path: Path) -> None:
    if path.exists():
        _take_after(path, staged)
        backup = staged.with_name(path.name + ".bak")
        shutil.copy2(path, backup)
        backup.replace(path.with_name(backup.name))
    secrets = staged.with_name(SECRETS_FILE)
    if secrets.exists():
        secrets.replace(path.with_name(SECRETS_FILE))
    staged.replace(path)


def _take_after(path: Path, staged: Path) -> None:
    """A service's configuration stays its own when root sets it up anew, and its secrets do, too."""
    shutil.copymode(path, staged)
    owner = path.stat()
    secrets = staged.with_name(SECRETS_FILE)
    if secrets.exists() and not owner.st_mode & 0o007:
        # The group of a configuration that nobody else may read is the service's, and needs its secrets.
        secrets.chmod(owner.st_mode & 0o640)
    # Somebody who may only write in the folder cannot give files away.
    with contextlib.suppress(PermissionError):
        for file in staged.parent.iterdir():
            os.chown(file, owner.st_uid, owner.st_gid)
