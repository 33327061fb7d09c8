"""Secrets: `!secret NAME` in the configuration, systemd credentials, and the broker's password."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from posed.config.problems import MOST_PROBLEMS
from posed.config.sections import MqttConfig
from posed.config.wording import Secret, reason
from posed.config.yaml_file import COMMENT, PlainLoader, read_yaml
from posed.errors import ConfigError
from posed.paths import exists, may_exist

SECRETS_FILE: Final = "secrets.yaml"
"""This file beside the configuration holds its secrets."""

CREDENTIAL_STORES: Final = tuple(map(Path, ("/etc/credstore", "/run/credstore", "/usr/lib/credstore")))
"""systemd looks for the credentials of a service in these folders, one after the other."""


def mqtt_password(config: MqttConfig) -> str | None:
    """The broker's password, read from its file where it has one.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    if config.password is not None:
        return config.password.get_secret_value()
    if config.password_file is None:
        return None
    return _first_line("mqtt.password_file", config.password_file)


def read_settings(path: Path, problems: list[str]) -> dict[str, Any]:
    """The settings of a file with `!secret NAME` in it; a secret that is missing becomes one more problem.

    Args:
        path: the file.
        problems: takes what is wrong with secrets.

    Raises:
        ConfigError: the file cannot be read or is no YAML.
    """
    return read_yaml(path, partial(_Loader, path=path, problems=problems))


class _Loader(PlainLoader):
    """A loader that knows `!secret NAME`."""

    def __init__(self, text: str, path: Path, problems: list[str]) -> None:
        super().__init__(text)
        self.path = path
        self.problems = problems
        self.secrets = _Secrets(path.parent / SECRETS_FILE)


def _construct_secret(loader: _Loader, node: Any) -> str:
    try:
        return Secret(loader.secrets.find(str(loader.construct_scalar(node))))
    except ConfigError as error:
        if len(loader.problems) >= MOST_PROBLEMS:
            return "one more secret that is missing"
        place = f"{node.start_mark.line + 1}:{node.start_mark.column + 1}"
        loader.problems += [f"{loader.path}:{place}: {problem}" for problem in error.problems]
        return "a secret that is missing"


_Loader.add_constructor("!secret", _construct_secret)


class _Secrets:
    """The secrets that a configuration may name.

    Args:
        path: the file beside it that holds them, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, name: str) -> str:
        """A secret by name: from the file, else a systemd credential.

        Raises:
            ConfigError: it is in neither, or the file cannot be read.
        """
        if may_exist(self._path):
            value = self._in_file().get(name, self)
            if isinstance(value, str):
                return value
            if value is None:
                raise ConfigError([f"!secret {name}: has no value in {self._path} {COMMENT}"])
            if value is not self:
                raise ConfigError([f"!secret {name}: must be text in {self._path}: put it in quotes"])
        return self._credential(name)

    def _credential(self, name: str) -> str:
        got = "neither"
        for credential in _credentials(name):
            try:
                if exists(credential) and credential.is_file():
                    return _first_line(f"!secret {name}", credential)
            except PermissionError:
                got = f"neither; {credential.parent} only root may look into"
        raise ConfigError([f"!secret {name}: must be in {self._path} or a systemd credential, got {got}"])

    def _in_file(self) -> dict[str, Any]:
        if isinstance(self._content, ConfigError):
            raise self._content
        return self._content

    @cached_property
    def _content(self) -> dict[str, Any] | ConfigError:
        """What is in the file, or what is wrong with it; it is read once."""
        try:
            return read_yaml(self._path)
        except ConfigError as error:
            return error


def _credentials(name: str) -> Iterator[Path]:
    """Where a credential may be: where systemd put it for us, else where it would find it for the service.

    Source: systemd.exec(5), LoadCredential; posed.service loads NAME from posed.NAME.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        return
    if given := os.environ.get("CREDENTIALS_DIRECTORY"):
        yield Path(given) / name
    else:
        yield from (store / f"posed.{name}" for store in CREDENTIAL_STORES)


def _first_line(where: str, path: Path) -> str:
    try:
        # Without the mark that some editors put before UTF-8.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        # What is no whole path may be a password that stands where its file should.
        got = f"{path if path.is_absolute() else 'a relative path'} ({reason(error)})"
        raise ConfigError([f"{where}: must be a readable text file, got {got}"]) from None
    if not lines or not lines[0]:
        raise ConfigError([f"{where}: must hold a first line, got {path} (empty)"])
    return lines[0]
