"""The sections of the configuration: one frozen struct each. A default lives here and nowhere else."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from posed.config.values import (
    OFF_AS_TEXT,
    BrokerHost,
    FilePath,
    HostNames,
    IpAddress,
    NameOrPath,
    Polygon,
    Size,
    TextOrNumber,
    Token,
    Topic,
    TopicLevel,
    ZoneName,
)

LIVE: Final = "live"
"""Marks a setting that can be changed while the daemon runs."""

LEAST_IDLE_FPS: Final = 0.5
"""`state` calls a camera blind after seconds, and the frame rate is that of the last five."""


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

    source: TextOrNumber = Field(default="", max_length=4096)
    """What to open. picamera2: the camera's number, first one when empty; video: `0` or `/dev/video0`,
    a URL or a file; images: a file, a folder or a glob; synthetic: a number that seeds the scene."""

    size: Size | None = None
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

    name: NameOrPath = Field(default="coral-353x481", min_length=1, max_length=4096)
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

    polygon: Polygon
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

    ca: FilePath | None = None
    """PEM file of the authorities to trust; the system's when none."""

    certificate: FilePath | None = None
    """PEM file of our own certificate, where the broker wants one."""

    key: FilePath | None = None
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

    publish: Annotated[Literal["all", "changes", "off"], OFF_AS_TEXT, LIVE] = "all"
    """`all`: one per processed frame; `changes`: not while nobody is there, but once when that begins; `off`:
    none."""

    max_rate_hz: Annotated[float, LIVE] = Field(default=0, ge=0, le=240)
    """The most messages per second; 0: no limit."""


class MqttConfig(Section):
    """The broker, and the topics below which everything is published."""

    host: BrokerHost = Field(default="localhost", min_length=1, max_length=255)
    """Name or address of the broker."""

    port: int = Field(default=1883, ge=1, le=65535)
    """TCP port; 8883 is usual with TLS."""

    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """MQTT version; `auto` is 5, and 3.1.1 where the broker refuses that."""

    topic: Topic = Field(default="posed", max_length=256)
    """First level(s) of all topics; the device's name follows."""

    username: str | None = Field(default=None, max_length=1024)
    """User name, when the broker wants one."""

    password: SecretStr | None = None
    """Password; better as `!secret NAME`, `password_file` or POSED_MQTT__PASSWORD."""

    password_file: FilePath | None = None
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

    discovery: Annotated[Literal["device", "components", "off"], OFF_AS_TEXT] = "device"
    """`device`: one message, for Home Assistant 2024.11 or later; `components`: one per entity, for older
    ones and openHAB; `off`: none."""

    prefix: Topic = Field(default="homeassistant", max_length=256)
    """First level(s) of the topics of discovery, as Home Assistant has it."""


class PrivacyConfig(Section):
    """What pictures show, if there are any; only the file can say so."""

    pictures: Annotated[Literal["off", "skeleton", "blurred", "full"], OFF_AS_TEXT] = "off"
    """`off`: no pictures; `skeleton`: figures on black; `blurred`: people cannot be recognised; `full`: what
    the camera sees."""


class WebConfig(Section):
    """The live view: one page for a browser."""

    enabled: bool = False
    """Whether it is served."""

    host: IpAddress = "127.0.0.1"
    """Where to listen: an IP address of this machine. `127.0.0.1`: this machine alone; `0.0.0.0`: every IPv4
    address."""

    port: int = Field(default=8460, ge=1, le=65535)
    """TCP port."""

    token: Token | None = None
    """What a browser must know, where others than this machine can reach it; better as `!secret NAME` or
    POSED_WEB__TOKEN."""

    names: HostNames = Field(default=(), max_length=20)
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

    device: TopicLevel = Field(default_factory=default_device, max_length=64)
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
