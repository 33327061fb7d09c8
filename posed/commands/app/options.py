"""From what somebody has set on the app's page in Home Assistant to a configuration.

`config/homeassistant/app/config.yaml` has the same options, with their types and defaults; the Supervisor
holds against it what it writes into the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from posed.commands.app.broker import Broker
from posed.config import WebConfig
from posed.config.former import take_out_former
from posed.config.problems import problem_of, where_of
from posed.config.secrets import read_settings
from posed.config.sections import MOST_CAMERAS
from posed.config.settings import CAMERAS
from posed.config.tree import is_there, leaves, merge
from posed.config.values import CameraName, TopicLevel
from posed.errors import ConfigError
from posed.paths import may_exist, read_file

SUPERVISOR: Final = "172.30.32.2"
"""Ingress comes from this address, and from no other. Source: Home Assistant's developer docs, "Presenting
your app"."""

_OWN: Final = ("enabled", "host", "port", "trusted_proxy")
"""These settings of the live view belong to the app: ingress finds it by them."""

_MOST_BYTES: Final = 256 * 1024


class _Options(BaseModel):
    """What the Supervisor has checked already; keys that are none of ours it has told of, too."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, options: Any) -> Any:
        """A field that somebody has emptied is none."""
        return _given(options) if isinstance(options, dict) else options


class CameraOptions(_Options):
    """One camera: a name, and either a URL or a device."""

    name: CameraName
    url: str | None = None
    usb: str | None = None
    username: str | None = None
    password: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.url is None) == (self.usb is None):
            got = "neither" if self.url is None else "both"
            raise ValueError(f"url: must be there, or usb in its place, got {got}")
        if self.url is not None and "://" not in self.url:
            raise ValueError("url: must be a URL, such as rtsp://192.0.2.20/stream, got other text")
        if self.usb is not None and not self.usb.startswith("/dev/"):
            raise ValueError("usb: must be a device, such as /dev/video0, got other text")
        return self

    def settings(self) -> dict[str, Any]:
        """The camera's section of a configuration."""
        login = {"username": self.username, "password": self.password}
        return {"kind": "video", "source": self.url or self.usb, **_given(login)}


class BrokerOptions(_Options):
    """A broker other than the one that Home Assistant knows; without a host there is none."""

    host: str | None = None
    port: int | None = None
    username: str | None = None
    password: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        others = [name for name in ("port", "username", "password") if getattr(self, name) is not None]
        if self.host is None and others:
            raise ValueError(f"host: needed beside mqtt.{others[0]}, got nothing")
        return self


class AppOptions(_Options):
    """All options; those that may be left out are then as posed has them."""

    device: TopicLevel
    cameras: tuple[CameraOptions, ...] = Field(strict=False, max_length=MOST_CAMERAS)
    pictures: Literal["off", "skeleton", "blurred", "full"]
    mqtt: BrokerOptions
    model: str | None = None
    engine: Literal["auto", "edgetpu", "cpu"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        seen: set[str] = set()
        for camera in self.cameras:
            if camera.name in seen:
                raise ValueError(f"cameras: must have a name of its own each, got {camera.name} twice")
            seen.add(camera.name)
        return self


def read_options(path: Path) -> AppOptions:
    """The options from the Supervisor's file.

    Raises:
        ConfigError: it cannot be read, or options are wrong, one line each.
    """
    try:
        tree = json.loads(read_file(path, _MOST_BYTES))
    except OSError as error:
        raise ConfigError([f"{path}: must be readable ({error.strerror})"]) from None
    except ValueError:
        raise ConfigError([f"{path}: must be JSON"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: must be JSON that is not nested too deeply"]) from None
    try:
        return AppOptions.model_validate(tree)
    except ValidationError as error:
        raise ConfigError([_problem_of(_with_camera(detail, tree)) for detail in error.errors()]) from None


def _with_camera(detail: ErrorDetails, tree: Any) -> ErrorDetails:
    """The same, with the camera's name for its place in the list, or its place as people count."""
    match detail["loc"]:
        case ("cameras", int(index), *rest):
            camera = tree["cameras"][index]
            name = camera.get("name") if isinstance(camera, dict) else None
            is_good = isinstance(name, str) and re.fullmatch(r"[a-z0-9_]{1,32}", name)
            where = ("cameras", str(name)) if is_good else (f"camera {index + 1}",)
            detail = detail.copy()
            detail["loc"] = (*where, *rest)
    return detail


def _problem_of(detail: ErrorDetails) -> str:
    """One line; problem_of knows the sections of a configuration, whose lists are of numbers and text."""
    where = ".".join(("options", *where_of(detail)))
    match detail["type"]:
        case "missing":
            return f"{where}: must be there, got nothing"
        case "tuple_type":
            return f"{where}: must be a list, got something else"
        case "model_type" | "dict_type":
            return f"{where}: must be settings by their names, got something else"
        case _:
            return f"options.{problem_of(detail, {})}"


def read_own(path: Path) -> dict[str, Any]:
    """What the owner's posed.yaml says, which is nothing where a setting has no value, or there is no file.

    Raises:
        ConfigError: it cannot be read, or is of an earlier version, or lacks secrets.
    """
    if not may_exist(path):
        return {}
    problems: list[str] = []
    settings = read_settings(path, problems)
    if (problem := take_out_former(settings)) is not None:
        problems.append(f"{path.name}: {problem}")
    if problems:
        raise ConfigError(problems)
    return _without_nulls(settings)


def _without_nulls(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if value is not None
    }


def settings_of(options: AppOptions, file: Mapping[str, Any], broker: Broker | None) -> dict[str, Any]:
    """The configuration: the options, then what a file of the owner's says, and what is the app's own.

    Args:
        options: of the app's page.
        file: settings of the owner's own posed.yaml, as from `read_own`, which go before the options.
        broker: the one that Home Assistant knows; None where options or file name another.

    Returns:
        Settings by their names, to be validated as any others.

    Raises:
        ConfigError: there is no camera, or the file has what is the app's own.
    """
    tree = _tree_of(options, file)
    # Whoever installs an app has no shell in which to download a model.
    merge(tree, {"model": {"pull": True}})
    if broker is not None:
        tree["mqtt"] = broker.settings()
    problems = [
        f"posed.yaml: web.{name}: must not be there: it is the app's own, for ingress"
        for name in _OWN
        if is_there(file, ("web", name))
    ]
    merge(tree, file)
    if not tree[CAMERAS]:
        problems.append("cameras: must be at least one, got none: add one to the app's options")
    if problems:
        raise ConfigError(problems)
    port = WebConfig().port
    merge(tree, {"web": {"enabled": True, "host": "0.0.0.0", "port": port, "trusted_proxy": SUPERVISOR}})  # noqa: S104
    return tree


def _tree_of(options: AppOptions, file: Mapping[str, Any]) -> dict[str, Any]:
    """What the options alone say, but for a broker where the file has one."""
    return {
        "device": options.device,
        "cameras": {camera.name: camera.settings() for camera in options.cameras},
        "model": _given({"name": options.model}),
        "engine": _given({"kind": options.engine}),
        "privacy": {"pictures": options.pictures},
        "log": _given({"level": options.log_level}),
        "mqtt": {} if names_broker(file) else _given(options.mqtt.model_dump()),
    }


def with_origins(problems: Sequence[str], options: AppOptions, file: Mapping[str, Any]) -> list[str]:
    """The problems of a configuration, with a word on those that come from the options."""
    ours = {".".join(where) for where in leaves(_tree_of(options, file)) if not is_there(file, where)}
    return [
        f"{problem} (set by the app's options)" if problem.partition(": ")[0] in ours else problem
        for problem in problems
    ]


def names_broker(settings: Mapping[str, Any]) -> bool:
    """Whether settings name a broker: all about the way to it is then theirs."""
    return is_there(settings, ("mqtt", "host"))


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those that have a value."""
    return {name: value for name, value in settings.items() if value not in (None, "")}
