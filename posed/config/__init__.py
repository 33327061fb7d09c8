"""The configuration: one frozen struct per section, and the way from files to a `Config`.

A default lives here and nowhere else. Later sources win: defaults, the file, the overlay in the state
folder, the environment (`POSED_MQTT__HOST`), a command's own options.
"""

from __future__ import annotations

import copy
import difflib
import functools
import ipaddress
import logging
import math
import os
import re
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from posed.config.polygon import problem_of
from posed.errors import ConfigError
from posed.files import replace_file

log = logging.getLogger(__name__)

ENVIRONMENT_PREFIX: Final = "POSED_"

LEAST_IDLE_FPS: Final = 0.5
"""`state` calls a camera blind after seconds, and the frame rate is that of the last five."""

_LONGEST_SHOWN: Final = 60
"""Characters of a wrong value that a problem shows."""

_MOST_BYTES: Final = 64 * 1024
"""Of a YAML file: 50 zones of 50 points are 40 KB. Reading so many takes a second or two, and no more."""

_MOST_PROBLEMS: Final = 100
"""That are told at once."""

_LARGEST: Final = 2**63
"""No number of ours is larger; one that is, is not even written into a message."""

_NO_VALUE: Final = (ValueError, TypeError, AttributeError, OverflowError, LookupError)
"""What PyYAML raises for what is not of the type that it claims to be (`!!timestamp abc`)."""

_UNREADABLE: Final = (yaml.YAMLError, RecursionError, *_NO_VALUE)
"""What it raises for what is no YAML."""

_MAY_HOLD_SECRETS: Final = {"password", "source", "token"}
"""Settings whose values are never shown; a camera's URL has its password in it."""

CREDENTIAL_STORES: Final = tuple(map(Path, ("/etc/credstore", "/run/credstore", "/usr/lib/credstore")))
"""Where systemd looks for what a service is to have, first one first."""

LIVE: Final = "live"
"""Marks a setting that can be changed while the daemon runs."""

LooseTuple = Annotated[tuple[int, int], Strict(False)]
FramePoint = Annotated[tuple[float, float], Strict(False)]


def _no_url(value: object) -> object:
    """A URL in the wrong place would be shown as a name of what cannot be found, its password, too."""
    if isinstance(value, str) and "://" in value:
        raise ValueError("must be a name or a path, not a URL")
    return value


LoosePath = Annotated[Path, Strict(False), BeforeValidator(_no_url)]


def _broker_host(value: str) -> str:
    if re.search(r"[\s/@]", value):
        raise ValueError("must be a host's name or address alone (port, username and tls are settings)")
    return value


def _topic_level(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise ValueError("must be letters, digits, - and _ only (it is one level of an MQTT topic)")
    return value


ZoneName = Annotated[str, Field(max_length=64), AfterValidator(_topic_level)]


def _topic(value: str) -> str:
    if not all(re.fullmatch(r"[A-Za-z0-9_-]+", level) for level in value.split("/")):
        raise ValueError("must be levels of letters, digits, - and _, joined by /")
    return value


def _address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError("must be an IP address, such as 127.0.0.1 or 0.0.0.0") from None
    return value


def _host_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise ValueError("must be a host's name, small letters, without port")
    return value


def _hard_to_guess(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{16,256}", value.get_secret_value()):
        raise ValueError(
            "must be 16 to 256 letters, digits and signs without spaces, as `openssl rand -hex 16` gives"
        )
    return value


def _polygon(value: tuple[FramePoint, ...]) -> tuple[FramePoint, ...]:
    if problem := problem_of(value):
        raise ValueError(problem)
    return value


def _number_as_text(value: object) -> object:
    """`source: 0` is a camera's number, and meant as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _off_as_text(value: object) -> object:
    """A bare `off` is what YAML calls false."""
    return "off" if value is False else value


def default_device() -> str:
    """The host's name, as one level of a topic."""
    name = socket.gethostname().split(".", maxsplit=1)[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "posed"


class Section(BaseModel):
    """What all sections share: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class CameraConfig(Section):
    """Where frames come from."""

    kind: Literal["picamera2", "video", "images", "synthetic"] = "picamera2"
    """`picamera2`: the Pi camera; `video`: a V4L2 device, an RTSP or HTTP URL, or a file;
    `images`: a picture, a folder or a glob; `synthetic`: drawn people."""

    source: Annotated[str, BeforeValidator(_number_as_text)] = Field(default="", max_length=4096)
    """What to open. picamera2: the camera's number, first one when empty; video: `0` or `/dev/video0`,
    a URL or a file; images: a file, a folder or a glob; synthetic: a number that seeds the scene."""

    size: LooseTuple | None = None
    """Wanted [width, height] before `rotate`, px. None: what suits the model (picamera2, scaled by the
    ISP) or the device's own."""

    fps: float = Field(default=30, ge=1, le=240)
    """Wanted frames per second; recorded files keep their own."""

    rotate: Literal[0, 90, 180, 270] = 0
    """Clockwise turn of the picture, degrees."""

    mirror: bool = False
    """Whether the picture is turned into what a mirror shows, after `rotate`."""

    timeout_s: float = Field(default=5, ge=0.5, le=300)
    """After how many seconds without a frame the camera counts as stalled and is opened again."""

    loop: bool = False
    """Whether a file or folder starts again at its end."""

    realtime: bool = True
    """Whether a file plays at its own rate and pictures come at `fps`; otherwise as fast as they are
    processed, every one of them."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind in ("video", "images") and not self.source:
            raise ValueError(f"source: needed by kind {self.kind}, got nothing")
        if self.kind != "video" and "://" in self.source:
            raise ValueError(f"source: must be a URL with kind video alone, got one with kind {self.kind}")
        if self.size is not None and not all(16 <= side <= 8192 for side in self.size):
            raise ValueError(f"size: both sides must be 16 to 8192, got {list(self.size)}")
        return self


class ModelConfig(Section):
    """Which PoseNet runs."""

    name: Annotated[str, BeforeValidator(_no_url)] = Field(
        default="coral-353x481", min_length=1, max_length=4096
    )
    """A name of `posed model list`, or the path of a .tflite."""

    pull: bool = False
    """Whether a catalogue model that is not there yet, or damaged, is downloaded at start, and waited for."""


class EngineConfig(Section):
    """What the model runs on."""

    kind: Literal["auto", "edgetpu", "cpu"] = "auto"
    """`auto` takes the Edge TPU if one answers, else the CPU."""

    device: str = Field(default="", pattern=r"^((usb|pci)(:[0-9]+)?|:[0-9]+)?$")
    """Which Edge TPU: `usb`, `usb:1`, `pci:0`; empty for any."""

    threads: int = Field(default=2, ge=1, le=64)
    """Threads of the CPU engine."""

    idle_fps: float = Field(default=0, ge=0, le=240)
    """Frames per second of a live camera that are processed while nobody is there, besides those that look
    different; 0: all of them."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 0 < self.idle_fps < LEAST_IDLE_FPS:
            raise ValueError(f"idle_fps: must be 0 or at least {LEAST_IDLE_FPS:g}, got {self.idle_fps:g}")
        return self


class DecodeConfig(Section):
    """How poses are read out of the network's heads."""

    people: Annotated[Literal["many", "one"], LIVE] = "many"
    """`one`: the five steps of single-person PoseNet, faster, for a scene with one person."""

    max_people: Annotated[int, LIVE] = Field(default=10, ge=1, le=100)
    """The most people in one frame."""

    score_threshold: Annotated[float, LIVE] = Field(default=0.25, gt=0, lt=1)
    """Poses scored below are dropped, 0-1."""

    keypoint_threshold: Annotated[float, LIVE] = Field(default=0.2, ge=0, lt=1)
    """Keypoints scored below are published as null, 0-1."""

    nms_radius_px: Annotated[float, LIVE] = Field(default=20, ge=0, le=1000)
    """Two poses closer than this at a keypoint share it, px of the model input."""


class ZoneConfig(Section):
    """A place in the picture."""

    polygon: Annotated[tuple[FramePoint, ...], Strict(False), AfterValidator(_polygon)]
    """Its corners [x, y] in turn, fractions of the frame's width and height from the top left."""

    kind: Literal["normal", "resting", "exclude", "exit"] = "normal"
    """`resting`: lying down is normal there; `exclude`: nobody there is reported; `exit`: who is lost there
    has left."""

    anchor: Literal["feet", "hips", "any"] = "feet"
    """What of a person must be inside: `feet`, `hips` (for either the lowest keypoint seen, where they are
    not), or `any` keypoint."""


class PeopleConfig(Section):
    """How people are followed, and what is told of them."""

    confirm_frames: Annotated[int, LIVE] = Field(default=3, ge=1, le=100)
    """Somebody is a person when seen in so many frames, so that a flicker is none."""

    lost_after_s: Annotated[float, LIVE] = Field(default=2, ge=0.2, le=60)
    """Who is not seen for longer is gone, and somebody new when seen again, s. Must span several frames."""

    smoothing: Annotated[bool, LIVE] = True
    """Whether keypoints are steadied."""

    smoothing_hz: Annotated[float, LIVE] = Field(default=0.15, gt=0, le=30)
    """Cut-off frequency for a keypoint at rest, Hz; lower is steadier, and slower to begin to move."""

    smoothing_speed: Annotated[float, LIVE] = Field(default=9, ge=0, le=1000)
    """Hz that are added when a keypoint moves by the person's height in a second; higher lags less."""

    keypoint_hold_s: Annotated[float, LIVE] = Field(default=0.3, ge=0, le=10)
    """A keypoint that is not seen stays so long where the body has it, then is published as null, s."""

    presence: Annotated[bool, LIVE] = True
    """Whether it is told that people enter and leave."""

    zones: Annotated[dict[ZoneName, ZoneConfig], LIVE] = Field(default={}, max_length=50)
    """Places by their names, which are levels of topics; at most 50."""

    zone_enter_s: Annotated[float, LIVE] = Field(default=0.5, ge=0, le=60)
    """How long somebody must be inside a zone to have entered it."""

    zone_leave_s: Annotated[float, LIVE] = Field(default=1, ge=0, le=60)
    """How long somebody must be outside a zone to have left it."""

    postures: Annotated[bool, LIVE] = True
    """Whether changes of posture are told."""

    posture_hold_s: Annotated[float, LIVE] = Field(default=0.6, gt=0, le=10)
    """About how long a new posture must last."""

    pitch_deg: Annotated[float | None, LIVE] = Field(default=None, ge=0, le=89)
    """How far the camera looks down from level, in the middle of its picture, degrees. null: learned from
    people who stand and walk."""

    gestures: Annotated[bool, LIVE] = True
    """Whether raised hands are told."""

    gesture_hold_s: Annotated[float, LIVE] = Field(default=0.7, ge=0, le=10)
    """How long a hand must be up."""

    falls: Annotated[bool, LIVE] = True
    """Whether falls are told."""

    fall_within_s: Annotated[float, LIVE] = Field(default=2, ge=0.3, le=10)
    """From upright to down in at most this time is a fall; slower is lying down."""

    fall_confirm_s: Annotated[float, LIVE] = Field(default=10, ge=1, le=300)
    """How long somebody must stay down after it."""

    look_turned_s: Annotated[float, LIVE] = Field(default=5, ge=0, le=3600)
    """How often the frame is looked at turned, for people who lie; also where somebody was lost or is down.
    0: never, anywhere."""

    look_turned_share: Annotated[float, LIVE] = Field(default=0.2, gt=0, le=0.5)
    """How much of the engine's work these looks are at most."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names: dict[str, str] = {}
        for name in self.zones:
            other = names.setdefault(name.lower(), name)
            if other != name:
                raise ValueError(f"zones: must differ in more than capitals, got {other} and {name}")
        return self


class TlsConfig(Section):
    """How the connection to the broker is secured; `tls: {}` is enough for a public certificate."""

    ca: LoosePath | None = None
    """PEM file of the authorities to trust; the system's when none."""

    certificate: LoosePath | None = None
    """PEM file of our own certificate, where the broker wants one."""

    key: LoosePath | None = None
    """PEM file of its key, when not in the certificate's file."""

    insecure: bool = False
    """Accept any certificate. Whoever sits between can read and change everything."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.key is not None and self.certificate is None:
            raise ValueError("key: needs tls.certificate beside it, got it alone")
        return self


class MqttEventsConfig(Section):
    """How events are kept for a broker that is away."""

    max_age_s: float = Field(default=10, ge=1, le=604800)
    """Events other than `fall` and `fall_cleared` are dropped when they are older, s."""

    max_waiting: int = Field(default=1000, ge=10, le=10000)
    """The most events that are kept, about 2 KB each; the oldest are dropped first, falls last."""


class MqttPosesConfig(Section):
    """Which `poses` messages are published; events and everything else are not touched by it."""

    publish: Annotated[Literal["all", "changes", "off"], BeforeValidator(_off_as_text), LIVE] = "all"
    """`all`: one per processed frame; `changes`: not while nobody is there, but once when that begins; `off`:
    none."""

    max_rate_hz: Annotated[float, LIVE] = Field(default=0, ge=0, le=240)
    """The most messages per second; 0: no limit."""


class MqttConfig(Section):
    """The broker, and the topics below which everything is published."""

    host: Annotated[str, AfterValidator(_broker_host)] = Field(
        default="localhost", min_length=1, max_length=255
    )
    """Name or address of the broker."""

    port: int = Field(default=1883, ge=1, le=65535)
    """TCP port; 8883 is usual with TLS."""

    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """MQTT version; `auto` is 5, and 3.1.1 where the broker refuses that."""

    topic: Annotated[str, AfterValidator(_topic)] = Field(default="posed", max_length=256)
    """First level(s) of all topics; the device's name follows."""

    username: str | None = Field(default=None, max_length=1024)
    """User name, when the broker wants one."""

    password: SecretStr | None = None
    """Password; better as `!secret NAME`, `password_file` or POSED_MQTT__PASSWORD."""

    password_file: LoosePath | None = None
    """File whose first line is the password."""

    tls: TlsConfig | None = None
    """TLS settings; no TLS when none."""

    poses: MqttPosesConfig = MqttPosesConfig()
    """Which `poses` messages are published."""

    events: MqttEventsConfig = MqttEventsConfig()
    """How events are kept for a broker that is away."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password_file: must not stand beside mqtt.password, got both")
        if (self.password or self.password_file) and self.username is None:
            raise ValueError("username: needed beside a password, got nothing")
        return self


class HomeAssistantConfig(Section):
    """How Home Assistant, and whoever reads the same messages, learns what there is."""

    discovery: Annotated[Literal["device", "components", "off"], BeforeValidator(_off_as_text)] = "device"
    """`device`: one message, for Home Assistant 2024.11 or later; `components`: one per entity, for older
    ones and openHAB; `off`: none."""

    prefix: Annotated[str, AfterValidator(_topic)] = Field(default="homeassistant", max_length=256)
    """First level(s) of the topics of discovery, as Home Assistant has it."""


class PrivacyConfig(Section):
    """What pictures show, if there are any; only the file can say so."""

    pictures: Annotated[Literal["off", "skeleton", "blurred", "full"], BeforeValidator(_off_as_text)] = "off"
    """`off`: no pictures; `skeleton`: figures on black; `blurred`: people cannot be recognised; `full`: what
    the camera sees."""


class WebConfig(Section):
    """The live view: one page for a browser."""

    enabled: bool = False
    """Whether it is served."""

    host: Annotated[str, AfterValidator(_address)] = "127.0.0.1"
    """Where to listen: an IP address of this machine. `127.0.0.1`: this machine alone; `0.0.0.0`: every IPv4
    address."""

    port: int = Field(default=8460, ge=1, le=65535)
    """TCP port."""

    token: Annotated[SecretStr, AfterValidator(_hard_to_guess)] | None = None
    """What a browser must know, where others than this machine can reach it; better as `!secret NAME` or
    POSED_WEB__TOKEN."""

    names: Annotated[tuple[Annotated[str, AfterValidator(_host_name)], ...], Strict(False)] = Field(
        default=(), max_length=20
    )
    """Further names under which browsers reach it, such as that of a proxy; it knows localhost and this
    machine's name, also with .local."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.enabled and self.token is None and not self.is_local:
            raise ValueError(
                f"token: needed where others can reach it (web.host is {self.host}), got nothing"
            )
        return self


class LogConfig(Section):
    """What the log says."""

    level: Annotated[Literal["debug", "info", "warning", "error"], LIVE] = "info"
    """`debug` adds a line per frame."""


class Config(Section):
    """All settings."""

    device: Annotated[str, AfterValidator(_topic_level)] = Field(
        default_factory=default_device, max_length=64
    )
    """This device's name: a topic level. Default: the host's name."""

    camera: CameraConfig = CameraConfig()
    model: ModelConfig = ModelConfig()
    engine: EngineConfig = EngineConfig()
    decode: DecodeConfig = DecodeConfig()
    people: PeopleConfig = PeopleConfig()
    mqtt: MqttConfig = MqttConfig()
    homeassistant: HomeAssistantConfig = HomeAssistantConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    web: WebConfig = WebConfig()
    log: LogConfig = LogConfig()


def load(
    path: Path | None,
    environment: Mapping[str, str] = os.environ,
    *,
    overlay: Path | None = None,
    options: Mapping[str, tuple[str, Any]] | None = None,
) -> Config:
    """The configuration from everything that has a say in it.

    Args:
        path: a YAML file, or None for the defaults.
        environment: variables; those that begin with POSED_ are settings.
        overlay: a YAML file of settings that were changed at run time; need not exist.
        options: settings of a command line: dotted name to flag and value; a value of None is not given.

    Raises:
        ConfigError: with every problem, one line each.
    """
    problems: list[str] = []
    file = {} if path is None else _read_yaml(path, problems)
    return _assembled(file, problems, environment, overlay, options or {})


def load_for_daemon(path: Path | None, overlay: Path) -> tuple[Config, list[str]]:
    """The configuration, without the overlay where that is damaged: it is set aside, with a warning.

    A worn SD card damages what a request has changed, and nobody is there to read why posed does not start.

    Args:
        path: a YAML file, or None for the defaults.
        overlay: a YAML file of settings that were changed at run time; need not exist.

    Returns:
        The configuration, and the names of the settings that come from the overlay.

    Raises:
        ConfigError: with every problem of the configuration without the overlay, one line each.
    """
    problems: list[str] = []
    file = {} if path is None else _read_yaml(path, problems)
    try:
        return _assembled(file, problems, os.environ, overlay, {}), kept(overlay)
    except ConfigError as error:
        damage = "; ".join(error.problems)
    except OSError as error:
        damage = _reason(error)
    config = _assembled(file, problems, os.environ, None, {})
    _set_aside(overlay, damage)
    return config, []


def damaged_file(overlay: Path) -> Path:
    """Where an overlay that was damaged is."""
    return overlay.with_name(f"{overlay.name}.damaged")


def _set_aside(overlay: Path, damage: str) -> None:
    """Rename an overlay that cannot be used; where the disk does not take that, it stays and is left out."""
    try:
        overlay.replace(damaged_file(overlay))
        now = f"now {damaged_file(overlay).name}"
    except OSError as error:
        now = f"cannot be renamed: {_reason(error)}"
    log.warning("%s: damaged, so what requests changed is left out (%s): %s", overlay, now, damage)


def _assembled(
    file: Mapping[str, Any],
    problems: Sequence[str],
    environment: Mapping[str, str],
    overlay: Path | None,
    options: Mapping[str, tuple[str, Any]],
) -> Config:
    """The configuration from a file that was read, with these problems, and from the sources after it.

    Raises:
        ConfigError: with every problem, one line each.
        OSError: it cannot be seen whether there is an overlay.
    """
    problems = list(problems)
    tree: dict[str, Any] = copy.deepcopy(dict(file))
    origins: dict[tuple[str, ...], str] = {}
    if overlay is not None and overlay.exists():
        settings = _read_yaml(overlay, problems)
        _merge(tree, settings)
        origins.update({where: str(overlay) for where in _leaves(settings)})
    for name, where, value in _environment_settings(environment, problems):
        _merge(tree, _nest(where, value))
        origins[where] = name
    for name, (flag, value) in options.items():
        if value is not None:
            where = tuple(name.split("."))
            _merge(tree, _nest(where, value))
            origins[where] = flag
    config, details = _validated(tree)
    problems += [_problem(detail, origins) for detail in details[:_MOST_PROBLEMS]]
    if (more := len(details) - _MOST_PROBLEMS) > 0:
        problems.append(f"and {more} more problems")
    if config is None or problems:
        raise ConfigError(problems)
    return config


_NAMED_BY_OWNER: Final = ("people", "zones")
"""Whose entries have names of the owner's own; a bad one is taken out whole, lest more seem missing."""


def _validated(tree: dict[str, Any]) -> tuple[Config | None, list[ErrorDetails]]:
    """The configuration, or everything that is wrong with it.

    Rules across fields are only looked at where the fields themselves are good, so what is wrong is taken
    out and the rest looked at again; a rule about a field that was taken out says nothing new.
    """
    for section, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            tree[section] = {} if tree.get(section) is None else tree[section]
    details: list[ErrorDetails] = []
    while True:
        try:
            config = Config.model_validate(tree)
        except ValidationError as error:
            known = {_where(detail) for detail in details}
            found = [detail for detail in error.errors() if _where(detail) not in known]
            details += found
            if not found or not all(_take_out(tree, detail["loc"]) for detail in found):
                return None, details
        else:
            return (None if details else config), details


def _take_out(tree: Any, where: tuple[int | str, ...]) -> bool:
    """Remove what stands at a place, or the part of it that exists; False where nothing does."""
    if where[:2] == _NAMED_BY_OWNER:
        where = where[:3]
    *parents, last = where
    for key in parents:
        if not isinstance(tree, dict) or not isinstance(tree.get(key), dict):
            last = key
            break
        tree = tree[key]
    return isinstance(tree, dict) and tree.pop(last, tree) is not tree


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


def _first_line(where: str, path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        # What is no whole path may be a password that stands where its file should.
        got = f"{path if path.is_absolute() else 'a relative path'} ({_reason(error)})"
        raise ConfigError([f"{where}: must be a readable text file, got {got}"]) from None
    if not lines or not lines[0]:
        raise ConfigError([f"{where}: must hold a first line, got {path} (empty)"])
    return lines[0]


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML with no repeated keys, no aliases, whose expansion has no bound, and no odd numbers.

    Those are huge ones, and YAML 1.1's `1:30` for 90, of which 64 KiB take seconds.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        # Not by name: it may be a password.
        if getattr(event, "anchor", None) is not None:
            rule = "anchors and aliases are not allowed (put text that begins with & or * in quotes)"
            raise yaml.composer.ComposerError(None, None, rule, event.start_mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _NO_VALUE:
            # Without the reason, which shows the value.
            rule = "must be a value of its type (put text in quotes)"
            raise yaml.constructor.ConstructorError(None, None, rule, node.start_mark) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, "a setting's name must be plain text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {_masked(key)!r} stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        _refuse_colons(node)
        value = int(super().construct_yaml_int(node))
        if abs(value) >= _LARGEST:
            raise yaml.constructor.ConstructorError(
                None, None, "a number must have at most 18 digits", node.start_mark
            )
        return value

    def construct_yaml_float(self, node: Any) -> float:
        _refuse_colons(node)
        return float(super().construct_yaml_float(node))


def _refuse_colons(node: Any) -> None:
    if ":" in node.value:
        raise yaml.constructor.ConstructorError(
            None, None, "a number must have no colons (put text in quotes)", node.start_mark
        )


_NO_TAG: Final = "no such tag is known (put text that begins with ! in quotes)"


def _refuse_tag(_loader: _PlainLoader, node: Any) -> None:
    """Without its name: it may be a password that begins with an exclamation mark."""
    raise yaml.constructor.ConstructorError(None, None, _NO_TAG, node.start_mark)


_PlainLoader.add_constructor(None, _refuse_tag)
_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_yaml_int)
_PlainLoader.add_constructor("tag:yaml.org,2002:float", _PlainLoader.construct_yaml_float)


class _Secret(str):
    """A secret, by whatever setting it stands: shown nowhere."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "a secret"


class _Loader(_PlainLoader):
    """The same with `!secret NAME`."""

    folder = Path()
    problems: list[str]
    _secrets: dict[str, Any] | ConfigError | None = None

    def secrets(self) -> dict[str, Any]:
        """What is in `secrets.yaml`, which is read once.

        Raises:
            ConfigError: it cannot be read or is no YAML.
        """
        if self._secrets is None:
            try:
                self._secrets = _read_yaml(self.folder / "secrets.yaml", None)
            except ConfigError as error:
                self._secrets = error
        if isinstance(self._secrets, ConfigError):
            raise self._secrets
        return self._secrets


def _construct_secret(loader: _Loader, node: Any) -> str:
    try:
        return _Secret(_secret(str(loader.construct_scalar(node)), loader))
    except ConfigError as error:
        if len(loader.problems) >= _MOST_PROBLEMS:
            return "one more secret that is missing"
        place = f"{node.start_mark.line + 1}:{node.start_mark.column + 1}"
        loader.problems += [f"{loader.name}:{place}: {problem}" for problem in error.problems]
        return "a secret that is missing"


_Loader.add_constructor("!secret", _construct_secret)


def _secret(name: str, loader: _Loader) -> str:
    """A secret by name: from `secrets.yaml` beside the configuration, else a systemd credential."""
    secrets = loader.folder / "secrets.yaml"
    if secrets.exists():
        value = loader.secrets().get(name)
        if isinstance(value, str):
            return value
        if value is not None:
            raise ConfigError([f"!secret {name}: must be text in {secrets}: put it in quotes"])
    got = "neither"
    for credential in _credentials(name):
        try:
            if credential.is_file():
                return _first_line(f"!secret {name}", credential)
        except PermissionError:
            got = f"neither; {credential.parent} only root may look into"
    raise ConfigError([f"!secret {name}: must be in {secrets} or a systemd credential, got {got}"])


def _credentials(name: str) -> Iterator[Path]:
    """Where a credential may be: what systemd gave us, else from where it would give it to the service.

    Source: systemd.exec(5), LoadCredential; posed.service loads NAME from posed.NAME.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        return
    if given := os.environ.get("CREDENTIALS_DIRECTORY"):
        yield Path(given) / name
    else:
        yield from (store / f"posed.{name}" for store in CREDENTIAL_STORES)


def _read_yaml(path: Path, problems: list[str] | None) -> dict[str, Any]:
    """The settings of a file; a secret that is missing becomes one more problem.

    Args:
        path: of the file.
        problems: takes what is said of secrets; None where `!secret` is not allowed.

    Raises:
        ConfigError: the file cannot be read or is no YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: must be a readable YAML file ({_reason(error)})"]) from None
    if len(content) > _MOST_BYTES:
        raise ConfigError([f"{path}: must be at most {_MOST_BYTES} bytes, got more"])
    try:
        tree = _parse(text, path, problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = error.problem or error.context or ""
        if "tag handle" in problem:  # which may be a part of a password that begins with an exclamation mark
            problem = _NO_TAG
        raise ConfigError([f"{path}{place}: {problem}"]) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError([f"{path}: must be YAML, got {_one_line(error)}"]) from None
    except _UNREADABLE as error:
        raise ConfigError([f"{path}: must be YAML, got {type(error).__name__}"]) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        # Not what it is: it may be a secret whose name was forgotten.
        what = "a list" if isinstance(tree, list) else "a single value"
        raise ConfigError([f"{path}: must be settings as `name: value`, got {what}"])
    return tree


def _parse(text: str, path: Path, problems: list[str] | None) -> Any:
    loader: _PlainLoader
    if problems is None:
        loader = _PlainLoader(text)
    else:
        loader = _Loader(text)
        loader.folder, loader.name, loader.problems = path.parent, str(path), problems
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _merge(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        # What the owner has named is one setting: a later source has all of it.
        if isinstance(value, Mapping) and key != _NAMED_BY_OWNER[-1]:
            inner = tree.get(key)
            tree[key] = dict(inner) if isinstance(inner, Mapping) else {}
            _merge(tree[key], value)
        else:
            tree[key] = value


def _nest(where: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(where):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key))


def _environment_settings(
    environment: Mapping[str, str], problems: list[str]
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        where = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        known = _known_settings(Config)
        if where not in known:
            names = {ENVIRONMENT_PREFIX + "__".join(setting).upper() for setting in known}
            problems.append(f"{name}: unknown setting{_nearest(name, names)}")
        elif known[where]:
            yield name, where, text
        else:
            yield from _parsed(name, where, text, problems)


def _parsed(
    name: str, where: tuple[str, ...], text: str, problems: list[str]
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    try:
        yield name, where, yaml.load(text, _PlainLoader)  # noqa: S506 a safe one
    except _UNREADABLE:
        problems.append(f"{name}: must be a YAML value, got {_shown(text)}")


def _known_settings(section: type[BaseModel], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], bool]:
    """Every setting by its path, and whether it is text (which YAML would turn into numbers)."""
    known: dict[tuple[str, ...], bool] = {}
    for name, field in section.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner and get_origin(field.annotation) is not dict:
            known |= _known_settings(inner[0], (*path, name))
        if not inner or len(kinds) > 1:
            known[(*path, name)] = bool(kinds & {str, SecretStr}) or _is_choice_of_text(field.annotation)
    return known


@functools.cache
def live_settings(section: type[BaseModel] = Config, path: str = "") -> dict[str, FieldInfo]:
    """Every setting that can be changed while the daemon runs, by its dotted name."""
    found: dict[str, FieldInfo] = {}
    for name, field in section.model_fields.items():
        if LIVE in field.metadata:
            found[path + name] = field
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= live_settings(field.annotation, f"{path}{name}.")
    return found


def live_values(config: Config) -> dict[str, Any]:
    """What these settings are, as plain data."""
    tree = config.model_dump(mode="json", exclude={"mqtt": {"password"}, "web": {"token"}})
    return {name: functools.reduce(dict.__getitem__, name.split("."), tree) for name in live_settings()}


def changed(config: Config, settings: Mapping[str, Any]) -> Config:
    """A configuration with other values, each as good as in the file.

    Args:
        config: what is to be changed.
        settings: values by dotted name.

    Raises:
        ConfigError: with every problem, one line each.
    """
    known = live_settings()
    if unknown := [name for name in settings if name not in known]:
        rule = "must be a setting that can be changed at run time"
        raise ConfigError([f"{_printable(name)}: {rule}{_nearest(name, set(known))}" for name in unknown])
    tree = config.model_dump()
    for name, value in settings.items():
        *sections, last = name.split(".")
        functools.reduce(dict.__getitem__, sections, tree)[last] = value
    wanted, details = _validated(tree)
    if wanted is None:
        raise ConfigError([_problem(detail, {}) for detail in details])
    return wanted


def kept(overlay: Path) -> list[str]:
    """The settings in the overlay, by dotted name; none where it is missing.

    Raises:
        ConfigError: the file is there and cannot be read.
    """
    tree = _read_yaml(overlay, []) if overlay.exists() else {}
    found = []
    for name in live_settings():
        try:
            functools.reduce(dict.__getitem__, name.split("."), tree)
        except (KeyError, TypeError):
            continue
        found.append(name)
    return found


def keep(overlay: Path, config: Config, names: Collection[str]) -> None:
    """Write settings into the overlay, beside those that are there; a damaged one is set aside.

    Args:
        overlay: the file.
        config: has their values.
        names: of the settings, dotted.

    Raises:
        ConfigError: it would be too large.
        OSError: it cannot be written.
    """
    try:
        tree = _read_yaml(overlay, []) if overlay.exists() else {}
    except ConfigError as error:
        _set_aside(overlay, "; ".join(error.problems))
        tree = {}
    values = live_values(config)
    for name in names:
        _merge(tree, _nest(tuple(name.split(".")), values[name]))
    comment = "# Settings that were changed by requests. Later than the file, earlier than the environment.\n"
    text = comment + yaml.safe_dump(tree, sort_keys=False, default_flow_style=None)
    if len(text) > _MOST_BYTES:
        raise ConfigError([f"{overlay}: must be at most {_MOST_BYTES} bytes, got {len(text)}"])
    replace_file(overlay, text)


def overriding(environment: Mapping[str, str], names: Collection[str]) -> list[str]:
    """The variables that go before what the overlay says of these settings, whose names are dotted."""
    set_there = {".".join(where): name for name, where, _ in _environment_settings(environment, [])}
    return [set_there[name] for name in names if name in set_there]


def bounds_of(setting: str, step: float) -> tuple[float, float]:
    """The least and the most that a number may be.

    Args:
        setting: dotted name.
        step: between two numbers, where the bound itself is excluded.
    """
    bounds = {
        name: value
        for rule in live_settings()[setting].metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(rule, name, None)) is not None
    }
    least = bounds["ge"] if "ge" in bounds else bounds["gt"] + step
    most = bounds["le"] if "le" in bounds else bounds["lt"] - step
    return least, most


def _is_choice_of_text(annotation: Any) -> bool:
    choices = get_args(annotation)
    return bool(choices) and all(isinstance(choice, str) for choice in choices)


def _nearest(name: str, names: set[str]) -> str:
    match = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else f"; known: {', '.join(sorted(names))}"


def _problem(detail: ErrorDetails, origins: Mapping[tuple[str, ...], str]) -> str:
    """One line of pydantic's report in our words: path, rule, what came."""
    where, value = _where(detail), detail["input"]
    rule, shows_value = _rule(detail["type"], detail.get("ctx", {}), where, detail["msg"])
    if _is_rule_across_fields(detail):
        rule = rule.partition(": ")[2]
    elif shows_value:
        hidden = _MAY_HOLD_SECRETS & {*where} or detail["type"] in _OF_SECTIONS
        rule += ", got " + (type(value).__name__ if hidden and value is not None else _shown(value))
    origin = origins.get(where)
    return f"{'.'.join(map(_printable, where))}: {rule}" + (f" (set by {origin})" if origin else "")


def _where(detail: ErrorDetails) -> tuple[str, ...]:
    """The path of what is wrong; a rule across fields names its field at the beginning of its message."""
    where = tuple(str(part) for part in detail["loc"] if part != "[key]")
    if not _is_rule_across_fields(detail):
        return where
    return *where, detail["msg"].removeprefix("Value error, ").partition(": ")[0]


def _is_rule_across_fields(detail: ErrorDetails) -> bool:
    return detail["type"] == "value_error" and isinstance(detail["input"], BaseModel | dict)


def _printable(name: str) -> str:
    name = _masked(name)
    return name if name.isprintable() else repr(name)


def _masked(text: str) -> str:
    """Text of which nothing is left that could be a user, a password or a key in a URL."""
    text = re.sub(r"://.*", "://…", text, flags=re.DOTALL)
    return re.sub(r".*@", "…@", text, flags=re.DOTALL)


_OF_SECTIONS: Final = {"model_type", "dict_type"}
"""Rules that a value breaks where settings should stand: it may be a secret whose name was forgotten."""

_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "string": "text (put it in quotes)",
    "bool": "true or false",
    "model": "settings as `name: value`",
    "dict": "settings as `name: value`",
    "tuple": "a list of two whole numbers",
    "path": "a path",
    "too": "a list of two whole numbers",
    "missing": "a list of two whole numbers",
    "finite": "a finite number",
}


def _rule(  # noqa: C901, PLR0912 one case per rule
    kind: str, context: Mapping[str, Any], where: tuple[str, ...], message: str
) -> tuple[str, bool]:
    """The rule that was broken, and whether what came is to be shown behind it."""
    match kind:
        case "extra_forbidden":
            return "unknown key" + _nearest(where[-1], _names_beside(where)), False
        case "greater_than_equal":
            return f"must be at least {_number(context['ge'])}", True
        case "greater_than":
            return f"must be more than {_number(context['gt'])}", True
        case "less_than_equal":
            return f"must be at most {_number(context['le'])}", True
        case "less_than":
            return f"must be less than {_number(context['lt'])}", True
        case "literal_error":
            return "must be " + str(context["expected"]).replace("'", ""), True
        case "string_pattern_mismatch" if where[-1] == "device":
            return "must be empty, usb, usb:N, pci, pci:N or :N", True
        case "string_too_short":
            return "must not be empty", True
        case "string_too_long":
            return f"must be at most {context['max_length']} characters", True
        case "value_error" if where[-1] == "polygon":
            return message.removeprefix("Value error, "), False
        case "value_error":
            return message.removeprefix("Value error, "), True
        case "too_long" if where[-1] == "zones":
            return f"must be at most {context['max_length']} zones", False
        case "tuple_type" | "missing" | "too_long" if "polygon" in where:
            return "must be a point [x, y]" if where[
                -1
            ] != "polygon" else "must be a list of points [x, y]", True
        case _:
            return f"must be {_TYPES.get(kind.split('_', maxsplit=1)[0], message)}", True


def _names_beside(where: tuple[str, ...]) -> set[str]:
    depth = len(where)
    if where[:2] == _NAMED_BY_OWNER:
        return set(ZoneConfig.model_fields)
    known = _known_settings(Config)
    return {path[depth - 1] for path in known if len(path) >= depth and path[: depth - 1] == where[:-1]}


def _number(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else str(value)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict) and value:
        return "settings"
    if isinstance(value, list | tuple) and not all(isinstance(part, int | float) for part in value):
        return "a list"
    if isinstance(value, str) and not isinstance(value, _Secret):
        value = _masked(value)
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
