"""The sections of the configuration: one frozen struct each. A default lives here and nowhere else."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from posed.config.values import (
    OFF_AS_TEXT,
    BrokerHost,
    CameraName,
    FilePath,
    HostNames,
    IpAddress,
    NameOrPath,
    Origins,
    PeerAddress,
    Polygon,
    Size,
    TextOrNumber,
    Token,
    Topic,
    TopicLevel,
    ZoneName,
)
from posed.errors import ConfigError

LIVE: Final = "live"
"""A setting with this mark can be changed while the daemon runs."""

LEAST_IDLE_FPS: Final = 0.5
"""Frames must come at least this often: `state` calls a camera blind after a few seconds without one, and
measures the frame rate over the last five."""


CAMERA: Final = "camera"
"""The only camera has this name where the configuration names none."""

MOST_CAMERAS: Final = 16
"""One Edge TPU serves at most this many cameras with 10 frames a second."""


def default_device() -> str:
    """The host's name, as one level of a topic."""
    name = socket.gethostname().split(".", maxsplit=1)[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "posed"


class Section(BaseModel):
    """What all sections share: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class ModelConfig(Section):
    """Which network runs."""

    name: NameOrPath = Field(default="coral-353x481", min_length=1, max_length=4096)
    """This is a name from `posed model list`, or the path of a .tflite file."""

    pull: bool = False
    """With true, the daemon downloads a catalogue model that is missing or damaged when it starts, and waits
    for it; not where every camera is an AI Camera, which needs none."""

    input_size: int = Field(default=256, ge=64, le=1280, multiple_of=32)
    """Both sides of the input of a model that takes any size, such as movenet-multipose, in px: a multiple of
    32. Larger sides see smaller people and take longer. Models of a fixed size have their own."""


class EngineConfig(Section):
    """What the model runs on."""

    kind: Literal["auto", "edgetpu", "cpu"] = "auto"
    """`auto` takes the Edge TPU if one answers, and the CPU otherwise; `edgetpu` and `cpu` take nothing
    else."""

    device: str = Field(default="", pattern=r"^((usb|pci)(:[0-9]+)?|:[0-9]+)?$")
    """Only this Edge TPU is used: `usb`, `usb:1`, `pci:0`. When empty, any of them is."""

    threads: int = Field(default=2, ge=1, le=64)
    """The CPU engine runs this many threads."""

    idle_fps: float | None = Field(default=None, ge=0, le=240)
    """While nobody is there, this many frames per second of a live camera are processed, besides those that
    look different; 0 processes all of them. With null, an only camera processes all, and several 5 each."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.idle_fps is not None and 0 < self.idle_fps < LEAST_IDLE_FPS:
            raise ValueError(f"idle_fps: must be 0 or at least {LEAST_IDLE_FPS:g}, got {self.idle_fps:g}")
        return self


class DecodeConfig(Section):
    """How poses are read out of the network's heads."""

    people: Annotated[Literal["many", "one"], LIVE] = "many"
    """`many` finds everybody; `one` takes the five steps of single-person PoseNet, which is faster. It
    assumes that nobody else is in the picture, and makes one body of several people."""

    max_people: Annotated[int, LIVE] = Field(default=10, ge=1, le=100)
    """At most this many people are found in one frame."""

    score_threshold: Annotated[float, LIVE] = Field(default=0.25, gt=0, lt=1)
    """Poses that score below this, 0-1, are dropped. Where nobody set it, a MoveNet has a default of its
    own."""

    keypoint_threshold: Annotated[float, LIVE] = Field(default=0.2, ge=0, lt=1)
    """Keypoints that score below this, 0-1, are published as null. Where nobody set it, a MoveNet has a
    default of its own."""

    nms_radius_px: Annotated[float, LIVE] = Field(default=20, ge=0, le=1000)
    """Keypoints of one kind that are closer than this, in px of the model input, belong to one person."""


class ZoneConfig(Section):
    """A place in the picture."""

    polygon: Polygon
    """A zone's corners [x, y] are listed in turn, as fractions of the frame's width and height from the top
    left."""

    kind: Literal["normal", "resting", "exclude", "exit"] = "normal"
    """In a `resting` zone lying down is normal, in an `exclude` zone nobody is reported, and somebody who is
    lost in an `exit` zone has left; a `normal` zone has none of these effects."""

    anchor: Literal["feet", "hips", "any"] = "feet"
    """A person is in the zone when their `feet`, their `hips` or `any` keypoint is inside it. Where feet or
    hips are not seen, the lowest keypoint that is seen counts."""


class PeopleConfig(Section):
    """How people are followed, and what is reported of them."""

    confirm_frames: Annotated[int, LIVE] = Field(default=3, ge=1, le=100)
    """Somebody counts as a person once they have been seen in this many frames, so that a flicker does
    not."""

    lost_after_s: Annotated[float, LIVE] = Field(default=2, ge=0.2, le=60)
    """Somebody who has not been seen for this many seconds is gone, and is somebody new when seen again. This
    must span several frames."""

    smoothing: Annotated[bool, LIVE] = True
    """With true, keypoints are smoothed."""

    smoothing_hz: Annotated[float, LIVE] = Field(default=0.15, gt=0, le=30)
    """This is the cut-off frequency for a keypoint at rest, in Hz. A lower one smooths more, and is slower to
    follow when the keypoint begins to move."""

    smoothing_speed: Annotated[float, LIVE] = Field(default=9, ge=0, le=1000)
    """The cut-off frequency rises by this many Hz when a keypoint moves by the person's height in a second; a
    higher value lags less."""

    keypoint_hold_s: Annotated[float, LIVE] = Field(default=0.3, ge=0, le=10)
    """A keypoint that is no longer seen stays where the body has it for this many seconds, and is then
    published as null."""

    presence: Annotated[bool, LIVE] = True
    """With true, posed reports when people enter and leave."""

    zone_enter_s: Annotated[float, LIVE] = Field(default=0.5, ge=0, le=60)
    """Somebody has entered a zone after being inside it for this many seconds."""

    zone_leave_s: Annotated[float, LIVE] = Field(default=1, ge=0, le=60)
    """Somebody has left a zone after being outside it for this many seconds."""

    postures: Annotated[bool, LIVE] = True
    """With true, posed reports when somebody's posture changes."""

    posture_hold_s: Annotated[float, LIVE] = Field(default=0.6, gt=0, le=10)
    """A new posture counts once it has lasted about this many seconds."""

    pitch_deg: Annotated[float | None, LIVE] = Field(default=None, ge=0, le=89)
    """In the middle of its picture, the camera looks down from level by this many degrees. With null, posed
    learns the angle from people who stand and walk."""

    gestures: Annotated[bool, LIVE] = True
    """With true, posed reports when somebody raises a hand."""

    gesture_hold_s: Annotated[float, LIVE] = Field(default=0.7, ge=0, le=10)
    """A hand counts as raised once it has been up for this many seconds."""

    falls: Annotated[bool, LIVE] = True
    """With true, posed reports when somebody falls."""

    fall_within_s: Annotated[float, LIVE] = Field(default=2, ge=0.3, le=10)
    """Somebody who goes from upright to down within this many seconds has fallen; somebody slower has lain
    down."""

    fall_confirm_s: Annotated[float, LIVE] = Field(default=10, ge=1, le=300)
    """A fall is reported once the person has stayed down for this many seconds."""

    look_turned_s: Annotated[float, LIVE] = Field(default=5, ge=0, le=3600)
    """Once in this many seconds the frame is rotated and searched again for people who lie, and so are places
    where somebody was lost or is down. With 0, no rotated frame is ever searched; where nobody set it,
    movenet-lightning has 0."""

    look_turned_share: Annotated[float, LIVE] = Field(default=0.2, gt=0, le=0.5)
    """Searches of rotated frames take at most this share of the engine's work."""


class TlsConfig(Section):
    """How the connection to the broker is secured; `tls: {}` is enough for a public certificate."""

    ca: FilePath | None = None
    """This PEM file holds the authorities to trust; with null, the system's are trusted."""

    certificate: FilePath | None = None
    """This PEM file holds our own certificate, for a broker that wants one."""

    key: FilePath | None = None
    """This PEM file holds the key of our own certificate, unless the certificate's file does."""

    insecure: bool = False
    """With true, any certificate is accepted, and whoever sits between us and the broker can read and change
    everything."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.key is not None and self.certificate is None:
            raise ValueError("key: needs tls.certificate beside it, got it alone")
        return self


class MqttEventsConfig(Section):
    """How events are kept for a broker that is away."""

    max_age_s: float = Field(default=10, ge=1, le=604800)
    """Events that are older than this many seconds are dropped, except `fall` and `fall_cleared`."""

    max_waiting: int = Field(default=1000, ge=10, le=10000)
    """At most this many events are kept, about 2 KB each; the oldest are dropped first, falls last."""


class MqttPosesConfig(Section):
    """Which `poses` messages are published; events and everything else are not touched by it."""

    publish: Annotated[Literal["all", "changes", "off"], OFF_AS_TEXT, LIVE] = "all"
    """`all` publishes one message per processed frame; `changes` publishes none while nobody is there, except
    one when that begins; `off` publishes none at all."""

    max_rate_hz: Annotated[float, LIVE] = Field(default=0, ge=0, le=240)
    """At most this many `poses` messages are published per second; 0 means no limit."""


class MqttConfig(Section):
    """The broker, and the topics below which everything is published."""

    host: BrokerHost = Field(default="localhost", min_length=1, max_length=255)
    """This is the name or the address of the broker, without port or brackets."""

    port: int = Field(default=1883, ge=1, le=65535)
    """The broker listens on this TCP port; 8883 is usual with TLS."""

    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """`auto` speaks MQTT 5, and 3.1.1 to a broker that refuses that; `5` and `3.1.1` speak only that
    version."""

    topic: Topic = Field(default="posed", max_length=256)
    """All topics begin with these levels; the device's name follows."""

    username: str | None = Field(default=None, max_length=1024)
    """We log in to the broker with this name, where the broker wants one."""

    password: SecretStr | None = None
    """We log in to the broker with this password. Better give it as `!secret NAME`, in `password_file` or in
    POSED_MQTT__PASSWORD."""

    password_file: FilePath | None = None
    """The first line of this file is the password for the broker."""

    tls: TlsConfig | None = None
    """With TLS settings, even empty ones, the connection is encrypted; with null it is not."""

    poses: MqttPosesConfig = MqttPosesConfig()
    """This section says which `poses` messages are published."""

    events: MqttEventsConfig = MqttEventsConfig()
    """This section says how events are kept for a broker that is away."""

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
    """`device` announces us in one message, for Home Assistant 2024.11 or later; `components` in one per
    entity, for older ones and openHAB; `off` does not announce us."""

    prefix: Topic = Field(default="homeassistant", max_length=256)
    """The topics of discovery begin with these levels, as set in Home Assistant."""


class PrivacyConfig(Section):
    """What pictures show, if there are any; only the file can say so."""

    pictures: Annotated[Literal["off", "skeleton", "blurred", "full"], OFF_AS_TEXT] = "off"
    """`off` allows no pictures; `skeleton` shows figures on black; `blurred` shows people so that they cannot
    be recognised; `full` shows what the camera sees."""


class CameraConfig(Section):
    """One camera: where frames come from, its zones, and its own settings.

    In a `Config`, `decode`, `people` and `privacy` are those that hold for the camera: they have its own
    values, and those for all cameras where it has none. Their `model_fields_set` says which are its own.
    """

    kind: Literal["picamera2", "imx500", "video", "images", "synthetic"] = "picamera2"
    """Frames come from the Pi camera (`picamera2`), from the Raspberry Pi AI Camera, which runs PoseNet
    itself (`imx500`), from a V4L2 device, an RTSP or HTTP URL or a file (`video`), from a picture, a folder
    or a glob (`images`), or they are drawn (`synthetic`)."""

    source: TextOrNumber = Field(default="", max_length=4096)
    """This names what to open: for picamera2 and imx500 the camera's number (the first when empty), for video
    `0`, `/dev/video0`, a URL or a file, for images a file, a folder or a glob, for synthetic a number that
    seeds the scene."""

    username: str | None = Field(default=None, min_length=1, max_length=256)
    """We log in to the camera at a URL as this user. User and password stand here as they are, while in
    `source` their signs `@ : / # ? %` have to be written as `%40 %3A %2F %23 %3F %25`."""

    password: SecretStr | None = None
    """We log in to the camera with this password, best given as `!secret NAME`."""

    size: Size | None = None
    """The camera is asked for pictures of this [width, height] in px, before `rotate`. With null, the Pi
    camera scales them to suit the model, and other cameras keep their own size."""

    fps: float = Field(default=30, ge=1, le=240)
    """The camera is asked for this many frames per second, and no more are taken where it gives more; the URL
    of a still picture is asked so often; video files keep their own rate."""

    rotate: Literal[0, 90, 180, 270] = 0
    """The picture is turned clockwise by this many degrees, after the turn that a video or picture itself
    asks for."""

    mirror: bool = False
    """With true, the picture is turned into what a mirror shows, after `rotate`."""

    timeout_s: float = Field(default=5, ge=0.5, le=300)
    """A camera that delivers no frame for this many seconds counts as stalled and is opened again."""

    loop: bool = False
    """With true, a file or folder starts again when it ends."""

    realtime: bool = True
    """With true, a file plays at its own rate and pictures come at `fps`; with false, every frame is
    processed, as fast as possible."""

    zones: Annotated[dict[ZoneName, ZoneConfig], LIVE] = Field(default={}, max_length=50)
    """Each zone has a name, which is a level of topics; there are at most 50 zones."""

    decode: DecodeConfig = DecodeConfig()
    """This camera's own settings of decoding go before those for all cameras."""

    people: PeopleConfig = PeopleConfig()
    """This camera's own settings of people go before those for all cameras."""

    privacy: PrivacyConfig = PrivacyConfig()
    """This camera's own setting of what pictures show goes before that for all cameras."""

    @property
    def has_network(self) -> bool:
        """Whether it runs a network itself."""
        return self.kind == "imx500"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind in ("video", "images") and not self.source:
            raise ValueError(f"source: needed by kind {self.kind}, got nothing")
        if self.kind != "video" and "://" in self.source:
            raise ValueError(f"source: must be a URL with kind video alone, got one with kind {self.kind}")
        self._check_login()
        if self.size is not None and not all(16 <= side <= 8192 for side in self.size):
            raise ValueError(f"size: both sides must be 16 to 8192, got {list(self.size)}")
        self._check_zones()
        return self

    def _check_zones(self) -> None:
        names: dict[str, str] = {}
        for name in self.zones:
            other = names.setdefault(name.lower(), name)
            if other != name:
                raise ValueError(f"zones: must differ in more than capitals, got {other} and {name}")

    def _check_login(self) -> None:
        if self.password is not None and self.username is None:
            raise ValueError("username: needed beside a password, got nothing")
        if self.username is None:
            return
        if "://" not in self.source:
            raise ValueError("username: must stand beside a URL in source, got another source")
        if "@" in self.source.partition("://")[2].partition("/")[0]:
            raise ValueError("username: must not stand beside a user in the URL of source, got both")

    def reads_like(self, other: CameraConfig) -> bool:
        """Whether the two open the same camera in the same way, whatever becomes of its frames."""
        beside = {"zones", "decode", "people", "privacy"}
        return self.model_dump(exclude=beside) == other.model_dump(exclude=beside)

    def _inheriting(self, config: Config) -> CameraConfig:
        """The camera with the settings for all cameras, where it has none of its own."""
        sections = {
            "decode": _own_before(self.decode, config.decode),
            "people": _own_before(self.people, config.people),
            "privacy": _own_before(self.privacy, config.privacy),
        }
        return self.model_copy(update=sections)


S = TypeVar("S", bound=Section)


def _own_before(own: S, shared: S) -> S:
    """A section with its own values, and the shared ones where it has none."""
    ours, names = own.model_fields_set, type(own).model_fields
    values = {name: getattr(own if name in ours else shared, name) for name in names}
    return type(own).model_construct(_fields_set=ours, **values)


class WebConfig(Section):
    """The live view: one page for a browser."""

    enabled: bool = False
    """With true, the live view is served."""

    host: IpAddress = "127.0.0.1"
    """The live view listens on this IP address of the machine: `127.0.0.1` for this machine alone, `0.0.0.0`
    for every IPv4 address."""

    port: int = Field(default=8460, ge=1, le=65535)
    """The live view listens on this TCP port."""

    token: Token | None = None
    """A browser must know this token where other machines can reach the live view. Better give it as `!secret
    NAME` or in POSED_WEB__TOKEN."""

    names: HostNames = Field(default=(), max_length=20)
    """Browsers may also reach the live view under these names, such as that of a proxy. It always knows
    localhost and this machine's name, also with .local."""

    frame_ancestors: Origins = Field(default=(), max_length=20)
    """Pages of these origins, such as `http://homeassistant.local:8123`, may show the live view in a frame.
    When empty, no page may."""

    trusted_proxy: PeerAddress | None = None
    """Whoever comes from this IP address needs no token, and pages of the origin that they come from may show
    the live view in a frame: a proxy that lets in only who may look, such as Home Assistant's ingress.
    Without a token nobody else is let in. With null, there is no such proxy."""

    timeline_days: int = Field(default=14, ge=0, le=366)
    """For the timeline, the page's history, events and how each camera did are kept for so many days, without
    pictures; 0: nothing is kept, and what was is deleted."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.enabled and self.token is None and self.trusted_proxy is None and not self.is_local:
            raise ValueError(
                f"token: needed where others can reach it (web.host is {self.host}), got nothing"
            )
        return self


class LogConfig(Section):
    """What the log says."""

    level: Annotated[Literal["debug", "info", "warning", "error"], LIVE] = "info"
    """Messages of this level and above are logged; `debug` adds a line per frame."""


class Config(Section):
    """All settings."""

    device: TopicLevel = Field(default_factory=default_device, max_length=64)
    """This is the device's name, a topic level; by default it is the host's name."""

    cameras: dict[CameraName, CameraConfig] = Field(
        default_factory=lambda: {CAMERA: CameraConfig()}, min_length=1, max_length=MOST_CAMERAS
    )
    """Each camera has a name, which is a level of topics. Without any, there is one of kind picamera2, named
    `camera`."""

    model: ModelConfig = ModelConfig()
    engine: EngineConfig = EngineConfig()
    decode: DecodeConfig = DecodeConfig()
    people: PeopleConfig = PeopleConfig()
    mqtt: MqttConfig = MqttConfig()
    homeassistant: HomeAssistantConfig = HomeAssistantConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    web: WebConfig = WebConfig()
    log: LogConfig = LogConfig()

    @property
    def first(self) -> CameraConfig:
        """The first camera: the only one where there is one."""
        return next(iter(self.cameras.values()))

    @property
    def infers_in_cameras(self) -> bool:
        """Whether every camera runs a network itself, so that no engine is needed."""
        return all(camera.has_network for camera in self.cameras.values())

    def chosen(self, camera: str | None) -> str:
        """The name of the camera that a command is to work with: the one that is asked for, or the only one.

        Raises:
            ConfigError: there is none of that name, or several to choose from.
        """
        if camera is None and len(self.cameras) == 1:
            return next(iter(self.cameras))
        if camera not in self.cameras:
            got = "none" if camera is None else repr(camera)
            raise ConfigError([f"--camera: must be one of {', '.join(self.cameras)}, got {got}"])
        return camera

    @model_validator(mode="after")
    def _let_cameras_inherit(self) -> Self:
        for name, camera in self.cameras.items():
            self.cameras[name] = camera._inheriting(self)  # noqa: SLF001 - of this module
        return self
