"""What the command line answers, and the settings that all answers make."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from posed.commands.setup.secret import Secret
from posed.config import MqttConfig, load, mqtt_password
from posed.paths import expanded

PASSWORD_VARIABLE: Final = "POSED_MQTT__PASSWORD"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line answers; None or False where it does not.

    Args:
        device: the device's name.
        broker: HOST, HOST:PORT, mqtt://… or mqtts://….
        username: the user at the broker.
        password_file: a file whose first line is the password.
        tls: whether the broker is behind TLS.
        ca: PEM file of the authority to trust.
        cameras: each KIND, KIND:SOURCE, a file or a URL; with NAME= before it, or with a name that is free.
        model: a known name or a file.
        web: who may open the live view: local, network or off.
        pictures: what pictures show: off, skeleton, blurred or full.
        yes: ask nothing.
        force: replace a file, and keep answers that fail their test.
    """

    device: str | None = None
    broker: str | None = None
    username: str | None = None
    password_file: Path | None = None
    tls: bool | None = None
    ca: Path | None = None
    cameras: tuple[str, ...] = ()
    model: str | None = None
    web: str | None = None
    pictures: str | None = None
    yes: bool = False
    force: bool = False

    @property
    def is_of_cameras(self) -> bool:
        """Whether nothing but cameras is answered, so that all else may stay as it is."""
        broker = (self.broker, self.username, self.password_file, self.tls, self.ca)
        others = (self.device, self.model, self.web, self.pictures)
        return all(answer is None for answer in (*broker, *others))


class Answers:
    """The settings as the answers come in.

    Attributes:
        settings: the configuration's settings, by dotted name; a `Secret` where the value must not be seen.
    """

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}

    def set(self, name: str, value: Any) -> None:
        """Take a setting's value; None for its default."""
        if value is None:
            self.settings.pop(name, None)
        else:
            self.settings[name] = value

    def section(self, prefix: str) -> dict[str, tuple[str, Any]]:
        """The settings whose names begin so, as `load` takes them, secrets in the clear."""
        return {
            name: ("", value.value if isinstance(value, Secret) else value)
            for name, value in self.settings.items()
            if name.startswith(prefix)
        }

    def cameras(self) -> dict[str, dict[str, Any]]:
        """The settings of each camera, by its name."""
        found: dict[str, dict[str, Any]] = {}
        for name, value in self.settings.items():
            section, _, rest = name.partition(".")
            if section == "cameras":
                camera, _, setting = rest.partition(".")
                found.setdefault(camera, {})[setting] = value
        return found

    def mqtt(self) -> MqttConfig:
        """The settings of the broker.

        Raises:
            ConfigError: an answer is against a rule.
        """
        return load(None, {}, options=self.section("mqtt.")).mqtt

    def mqtt_password(self) -> str | None:
        """The password at the broker: typed, from its file, or from the environment; None without one.

        Raises:
            ConfigError: its file cannot be read.
        """
        typed = self.settings.get("mqtt.password")
        if isinstance(typed, Secret):
            return typed.value
        password = mqtt_password(self.mqtt())
        if password is None and "mqtt.username" in self.settings:
            password = os.environ.get(PASSWORD_VARIABLE)
        return password

    def needs_password_variable(self) -> bool:
        """Whether the password is in the environment only, which the daemon must have, too."""
        kept = {"mqtt.password", "mqtt.password_file"} & self.settings.keys()
        return "mqtt.username" in self.settings and not kept and PASSWORD_VARIABLE in os.environ


def resolved(path: Path) -> Path:
    """The absolute path, `~` expanded and links followed."""
    return expanded(str(path)).resolve()
