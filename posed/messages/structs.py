"""Every message that posed publishes, as structs, and how they are made from what the pipeline knows.

Coordinates are px of the source frame, x to the right and y down. A field that does not apply is absent,
one without a value is null.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from posed.camera.health import CameraHealth
from posed.people.events import EventType, TrackedPerson
from posed.people.pitch import PitchState
from posed.people.posture import Posture
from posed.pose import KEYPOINTS, Pose

SCHEMA: Final = 2
"""Messages have this version: additions keep it, anything else raises it."""

PartName = Literal["ok", "waiting", "paused"]
LogLevel = Literal["debug", "info", "warning", "error"]
Pictures = Literal["skeleton", "blurred", "full"]


class Keypoint(Struct, frozen=True):
    """A keypoint says where a part of a body is, in px, and how sure that is, 0-1."""

    x: float
    y: float
    score: float


class Box(Struct, frozen=True):
    """A box spans the visible keypoints: its top left corner and its size, px."""

    x: float
    y: float
    width: float
    height: float


Keypoints: Any = msgspec.defstruct(
    "Keypoints",
    [(name, Keypoint | None) for name in KEYPOINTS],
    namespace={"__doc__": "All 17 keypoints are here; one whose score is under keypoint_threshold is null."},
    frozen=True,
)


class Size(Struct, frozen=True):
    """The size of a picture is in px."""

    width: int
    height: int


class Person(Struct, frozen=True, kw_only=True):
    """A person in one frame has an id, a posture and zones where people are followed."""

    id: int | UnsetType = UNSET
    score: float
    box: Box | None
    posture: Posture | UnsetType = UNSET
    zones: list[str] | UnsetType = UNSET
    keypoints: Keypoints


class Poses(Struct, frozen=True, kw_only=True):
    """A `poses` message has everybody in one frame."""

    schema: Literal[2] = SCHEMA
    device: str
    camera: str
    run: str
    sequence: int
    time: str
    frame: Size
    inference_ms: float
    latency_ms: float
    people: list[Person]
    image: str | UnsetType = UNSET


class EngineState(Struct, frozen=True):
    """The engine's state says how it is doing, and why it is this engine."""

    status: PartName
    kind: str
    device: str | None
    why: str
    inference_ms: float | None
    temperature_c: float | None


class ModelState(Struct, frozen=True):
    """The model is the network that runs; `warning` says what it cannot do where it is used."""

    name: str
    stride: int
    width: int
    height: int
    warning: str | UnsetType = UNSET


class SpoolState(Struct, frozen=True):
    """The spool counts the events that wait for the broker, and those given up since the start.

    `durable` says whether waiting events outlive a power cut; where they do not, `why` says what is wrong
    with the file.
    """

    events: int
    dropped: int
    durable: bool
    why: str | UnsetType = UNSET


class EventMessage(Struct, frozen=True, kw_only=True):
    """An event is reported once; its message may come twice, with the same `id`."""

    schema: Literal[2] = SCHEMA
    id: str
    type: EventType
    device: str
    camera: str
    run: str
    time: str
    person: int | None
    zone: str | None
    detail: dict[str, Any]
    keypoints: Keypoints | None


class ZoneMessage(Struct, frozen=True, kw_only=True):
    """A zone's message says how many people are in it; null where `people` of the camera's state is null."""

    schema: Literal[2] = SCHEMA
    device: str
    camera: str
    time: str
    zone: str
    occupied: bool | None
    people: int | None

    @property
    def essence(self) -> int | None:
        """The part whose change is worth a message."""
        return self.people


class FallMessage(Struct, frozen=True, kw_only=True):
    """The message about falls says whether somebody lies fallen.

    `since`, `event` and `zone` are of the first fall that is not over.
    """

    schema: Literal[2] = SCHEMA
    device: str
    camera: str
    time: str
    fallen: bool
    since: str | None
    event: str | None
    zone: str | None


class CameraState(Struct, frozen=True, kw_only=True):
    """A camera's state says how it is doing, and who is there.

    People are null while nothing is known of them: the camera or the engine is being waited for, the picture
    is dark, covered or frozen and nobody is found in it, or the camera is paused or the daemon stopped.
    `dropped` counts the frames that were lost since the start for want of time. `sight` is null until a frame
    has been seen. `pitch_deg` says how far the camera looks down, and is null until that is known well
    enough. Until then (`postures`: `learning`) postures are reported as if the camera were level; where the
    view is `too_steep`, none is reported. `settings` are those that a request can change, as they hold here.
    """

    schema: Literal[2] = SCHEMA
    device: str
    camera: str
    run: str
    time: str
    status: PartName
    why: str | UnsetType = UNSET
    paused: bool
    people: int | None
    occupied: bool | None
    posture: Posture | None
    kind: str
    width: int | None
    height: int | None
    sight: CameraHealth | None
    pitch_deg: float | None
    postures: PitchState
    fps: float
    inference_ms: float | None
    latency_ms: float | None
    dropped: int
    settings: dict[str, Any]

    @property
    def essence(self) -> tuple[Any, ...]:
        """The part whose change is worth a message: everything but clocks, rates and counters."""
        how = self.status, self.why, self.paused, self.kind, self.width, self.height, self.sight
        who = self.people, self.occupied, self.posture, self.pitch_deg, self.postures
        return *how, *who, repr(self.settings)


class State(Struct, frozen=True, kw_only=True):
    """The state says how the machine is doing, and each of its cameras in a word.

    `dropped` counts the messages that were lost since the start while the broker was away. `settings` are
    those that a request can change, as they hold for every camera that has none of its own.
    """

    schema: Literal[2] = SCHEMA
    device: str
    run: str
    time: str
    version: str
    uptime_s: int
    cameras: dict[str, PartName]
    engine: EngineState
    model: ModelState
    dropped: int
    spool: SpoolState
    settings: dict[str, Any]

    @property
    def essence(self) -> tuple[Any, ...]:
        """The part whose change is worth a message: everything but clocks, rates and counters."""
        engine = msgspec.structs.replace(self.engine, inference_ms=None, temperature_c=None)
        return repr(self.cameras), engine, self.model, self.spool.durable, repr(self.settings)


class OpenFall(Struct, frozen=True):
    """An open fall is not over: it has its camera, the id of its event, since when it is open, and where."""

    camera: str
    event: str
    since: str
    zone: str | None


class PageState(Struct, frozen=True):
    """How everything does, in one piece, as the live view shows it.

    `people` has everybody who is seen now, by camera, `falls` those that are not over, oldest first, and
    `broker` whether there is a connection to it.
    """

    machine: State
    cameras: dict[str, CameraState]
    people: dict[str, Sequence[TrackedPerson]]
    falls: list[OpenFall]
    broker: bool


Share = Annotated[float, Meta(ge=0, le=1)]
"""A share is a number from 0 to 1."""

Place = Annotated[float, Meta(ge=-1e6, le=1e6)]
"""A place is a coordinate in px; keypoints may lie outside the frame."""

Side = Annotated[int, Meta(ge=1, le=65535)]
"""A side of a picture is in px."""


class RawPose(Struct, frozen=True, omit_defaults=True):
    """A raw pose is as decoded: [x, y, score] of all 17 keypoints in the order of COCO, not rounded.

    `beside` is there, and true, where it is from a rotated crop that an engine inferred beside an AI Camera.
    """

    score: Share
    keypoints: Annotated[list[tuple[Place, Place, Share]], Meta(min_length=17, max_length=17)]
    beside: bool = False


class RecordingStart(Struct, frozen=True, kw_only=True, tag_field="line", tag="start"):
    """A recording begins with this line, and goes on with another where something in it changes.

    `frame` is null before the first frame. `settings` are those that say what becomes of the poses.
    """

    schema: Literal[2] = SCHEMA
    device: str
    camera: str
    run: str
    time: str
    version: str
    model: ModelState
    frame: Size | None
    settings: dict[str, Any]


class RecordedFrame(Struct, frozen=True, kw_only=True, tag_field="line", tag="frame"):
    """A recorded frame has everybody in it, before anybody is followed or smoothed.

    Args:
        number: counts what was recorded; a gap was lost on the way.
        sequence: of the frame, as in `poses`.
        time_s: media time, s; it may leap.
        time: wall clock at capture, s since 1970.
        size: [width, height], px.
        poses: best first.
        dark: whether it was too dark for them to be believed; false in recordings that do not say so.
    """

    schema: Literal[2] = SCHEMA
    number: Annotated[int, Meta(ge=0)]
    sequence: Annotated[int, Meta(ge=0)]
    time_s: Annotated[float, Meta(ge=-1e12, le=1e12)]
    time: Annotated[float, Meta(ge=0, le=2e11)]
    size: tuple[Side, Side]
    poses: list[RawPose]
    dark: bool = False


RecordingLine = RecordingStart | RecordedFrame
"""A line of a recording is one of these."""


class Envelope(Struct, frozen=True):
    """Every request may have this, whatever else is in it."""

    transaction: str | UnsetType = UNSET


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request has the arguments of its verb; `transaction` comes back in the response."""

    transaction: str | UnsetType = UNSET


class InfoRequest(Request, frozen=True, kw_only=True):
    """The request `info` asks what runs here."""


class CameraRequest(Request, frozen=True, kw_only=True):
    """A request about one camera, by its name, or about every camera."""

    camera: str | None = None


class ClearFallRequest(CameraRequest, frozen=True, kw_only=True):
    """The request `clear_fall` says that somebody looks after this event's fall; without one, after all."""

    event: str | None = None


class TestEventRequest(CameraRequest, frozen=True, kw_only=True):
    """The request `test_event` sends an event of this type all the way, marked as a test."""

    type: EventType = "fall"


class HealthRequest(Request, frozen=True, kw_only=True):
    """The request `health` asks whether everything works."""


class PauseRequest(CameraRequest, frozen=True, kw_only=True):
    """The request `pause` closes cameras, also across restarts; with `paused` false, it opens them again."""

    paused: bool = True


class ResumeRequest(CameraRequest, frozen=True, kw_only=True):
    """The request `resume` opens cameras again."""


class SetRequest(CameraRequest, frozen=True, kw_only=True):
    """The request `set` changes settings, by dotted names; with `persist`, they outlive a restart.

    With `camera` they are that camera's own, which go before those for all. Null takes a value back:
    then the one for all holds, or the network's own.
    """

    settings: dict[str, Any]
    persist: bool = False


class SnapshotRequest(CameraRequest, frozen=True, kw_only=True):
    """The request `snapshot` asks for a picture of what is seen now."""


class RestartRequest(Request, frozen=True, kw_only=True):
    """The request `restart` ends the daemon, which then starts again."""


class LogLevelRequest(Request, frozen=True, kw_only=True):
    """The request `log_level` changes how much the log says, until the next restart."""

    level: LogLevel


class RecordRequest(CameraRequest, frozen=True, kw_only=True):
    """The request `record` asks for raw poses on the topic `recording` for so many seconds from now."""

    seconds: Annotated[float, Meta(gt=0, le=60)] = 10


Data = TypeVar("Data")


class Response(Struct, Generic[Data], frozen=True, kw_only=True):
    """A response has `data` where the request was carried out, and `error`, the reason, where it was not.

    Of several cameras, some may have failed: then it has both, and `errors` in `data` says which.
    """

    transaction: str | UnsetType = UNSET
    status: Literal["ok", "error"]
    data: Data | UnsetType = UNSET
    error: str | UnsetType = UNSET


class ByCamera(Struct, Generic[Data], frozen=True):
    """What came of a request by camera: what each of them says, and why others did not do it."""

    cameras: dict[str, Data]
    errors: dict[str, str] = {}


class Info(Struct, frozen=True, kw_only=True):
    """The response to `info` says what runs here."""

    device: str
    run: str
    time: str
    version: str
    uptime_s: int
    python: str
    platform: str
    decoder: str
    cameras: dict[str, CameraState]
    engine: EngineState
    model: ModelState
    verbs: list[str]


class CameraSummary(Struct, frozen=True):
    """How one camera does: its status, whether it stays closed on request, and frames per second."""

    status: PartName
    paused: bool
    fps: float


class Health(Struct, frozen=True, kw_only=True):
    """The response to `health` says whether the daemon works, with a line for each problem.

    A camera that is being waited for is a problem, and makes nothing unhealthy while another one works.
    """

    healthy: bool
    problems: list[str]
    cameras: dict[str, CameraSummary]


class Paused(Struct, frozen=True):
    """The responses to `pause` and `resume` say whether a camera is to stay closed."""

    paused: bool


class SettingsChanged(Struct, frozen=True, kw_only=True):
    """The responses to `set` and `log_level` have the settings as they are now, and whether they are kept.

    They are those of `camera`, if the request named one.
    """

    settings: dict[str, Any]
    persisted: bool
    camera: str | UnsetType = UNSET


class SnapshotTaken(Struct, frozen=True, kw_only=True):
    """The response to `snapshot` says where the picture is, and what it shows."""

    topic: str
    pictures: Pictures
    width: int
    height: int
    bytes: int


class Restarting(Struct, frozen=True):
    """The response to `restart` names the run that ends now."""

    run: str


class FallsCleared(Struct, frozen=True):
    """The response to `clear_fall` has the ids of the `fall_cleared` events, one for each fall."""

    events: list[str]


class EventSent(Struct, frozen=True):
    """The response to `test_event` has the id of the event that was sent."""

    event: str


VERBS: Final[Mapping[str, tuple[type[Request], type[Struct]]]] = {
    "clear_fall": (ClearFallRequest, ByCamera[FallsCleared]),
    "health": (HealthRequest, Health),
    "info": (InfoRequest, Info),
    "log_level": (LogLevelRequest, SettingsChanged),
    "pause": (PauseRequest, ByCamera[Paused]),
    "record": (RecordRequest, ByCamera[RecordingStart]),
    "restart": (RestartRequest, Restarting),
    "resume": (ResumeRequest, ByCamera[Paused]),
    "set": (SetRequest, SettingsChanged),
    "snapshot": (SnapshotRequest, ByCamera[SnapshotTaken]),
    "test_event": (TestEventRequest, ByCamera[EventSent]),
}
"""These verbs can be asked for: each has its request, and `data` of its answer."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender is a device, by its name, and a run of its daemon, by an id that is new with each start."""

    device: str
    run: str

    @classmethod
    def start(cls, device: str) -> Sender:
        """The sender of a new run of a device."""
        return cls(device, secrets.token_hex(4))


def rfc3339(time_s: float) -> str:
    """A time in RFC 3339, in UTC and with milliseconds.

    Args:
        time_s: s since 1970.
    """
    moment = datetime.datetime.fromtimestamp(round(time_s, 3), datetime.UTC)  # isoformat cuts off
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def person_message(pose: Pose, keypoint_threshold: float) -> Person:
    """A message for one pose, its coordinates rounded to a tenth of a pixel."""
    return people_messages([pose], keypoint_threshold)[0]


def people_messages(poses: Sequence[Pose], keypoint_threshold: float) -> list[Person]:
    """A message for each pose, in the same order."""
    return [
        Person(score=round(pose.score, 3), box=box, keypoints=keypoints)
        for pose, (box, keypoints) in zip(poses, _seen(poses, keypoint_threshold), strict=True)
    ]


def tracked_messages(people: Sequence[TrackedPerson], keypoint_threshold: float) -> list[Person]:
    """A message for each person who is followed, in the same order."""
    poses = [tracked.person.pose for tracked in people]
    return [
        Person(
            id=tracked.person.id,
            score=round(tracked.person.pose.score, 3),
            box=box,
            posture=tracked.posture,
            zones=list(tracked.zones),
            keypoints=keypoints,
        )
        for tracked, (box, keypoints) in zip(people, _seen(poses, keypoint_threshold), strict=True)
    ]


def _seen(poses: Sequence[Pose], keypoint_threshold: float) -> Iterator[tuple[Box | None, Keypoints]]:
    """The box and the keypoints of each pose; all are rounded at once, since numpy takes as long for one."""
    points, scores = np.array([pose.points for pose in poses]), np.array([pose.scores for pose in poses])
    visible = (scores >= keypoint_threshold).tolist()
    rounded = zip(np.round(points, 1).tolist(), np.round(scores, 3).tolist(), strict=True)
    for (places, sure), exact, seen in zip(rounded, points.tolist(), visible, strict=True):
        keypoints = Keypoints(
            *[
                Keypoint(x, y, score) if is_seen else None
                for (y, x), score, is_seen in zip(places, sure, seen, strict=True)
            ]
        )
        yield _box([point for point, is_seen in zip(exact, seen, strict=True) if is_seen]), keypoints


def raw_pose(pose: Pose) -> RawPose:
    """A pose with all 17 keypoints, not rounded."""
    ys, xs = pose.points.T.tolist()
    return RawPose(pose.score, list(zip(xs, ys, pose.scores.tolist(), strict=True)), pose.beside)


def pose_of(raw: RawPose) -> Pose:
    """The pose again, the same to the last bit."""
    values = np.array(raw.keypoints, np.float64)
    return Pose(values[:, 1::-1].copy(), values[:, 2].copy(), raw.score, raw.beside)


def _box(points: list[list[float]]) -> Box | None:
    if not points:
        return None
    ys, xs = zip(*points, strict=True)
    left, top = min(xs), min(ys)
    return Box(round(left, 1), round(top, 1), round(max(xs) - left, 1), round(max(ys) - top, 1))


encode = msgspec.json.Encoder().encode
"""This function encodes a message as JSON, UTF-8."""
