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
from posed.people.pitch import Told
from posed.people.posture import Posture
from posed.pose import KEYPOINTS, Pose

SCHEMA: Final = 1
"""Messages have this version: additions keep it, anything else raises it."""

PartName = Literal["ok", "waiting", "paused"]
LogLevel = Literal["debug", "info", "warning", "error"]
Pictures = Literal["skeleton", "blurred", "full"]


class Keypoint(Struct, frozen=True):
    """Where a part of a body is, and how sure that is (0-1)."""

    x: float
    y: float
    score: float


class Box(Struct, frozen=True):
    """What the visible keypoints span: top left corner and size."""

    x: float
    y: float
    width: float
    height: float


Keypoints: Any = msgspec.defstruct(
    "Keypoints",
    [(name, Keypoint | None) for name in KEYPOINTS],
    namespace={"__doc__": "All 17 keypoints; null where the score is under keypoint_threshold."},
    frozen=True,
)


class Size(Struct, frozen=True):
    """Of a picture, px."""

    width: int
    height: int


class Person(Struct, frozen=True, kw_only=True):
    """One person in one frame; id, posture and zones where people are followed."""

    id: int | UnsetType = UNSET
    score: float
    box: Box | None
    posture: Posture | UnsetType = UNSET
    zones: list[str] | UnsetType = UNSET
    keypoints: Keypoints


class Poses(Struct, frozen=True, kw_only=True):
    """Everybody in one frame."""

    schema: Literal[1] = SCHEMA
    device: str
    run: str
    sequence: int
    time: str
    frame: Size
    inference_ms: float
    latency_ms: float
    people: list[Person]
    image: str | UnsetType = UNSET


class CameraState(Struct, frozen=True):
    """How the camera does; `sight` is null until a frame has been seen.

    `pitch_deg`, how far it looks down, is null until that is believed. Until then (`postures`: `learning`)
    postures are told as of a level camera; where the view is `too_steep` none is.
    """

    status: PartName
    kind: str
    width: int | None
    height: int | None
    sight: CameraHealth | None
    why: str | UnsetType = UNSET
    pitch_deg: float | None = None
    postures: Told = "learning"


class EngineState(Struct, frozen=True):
    """How the engine does, and why it is this one."""

    status: PartName
    kind: str
    device: str | None
    why: str
    inference_ms: float | None
    temperature_c: float | None


class ModelState(Struct, frozen=True):
    """Which network runs; `warning` says what it cannot do where it is."""

    name: str
    stride: int
    width: int
    height: int
    warning: str | UnsetType = UNSET


class Dropped(Struct, frozen=True):
    """Since the daemon started: frames nobody had time for, and messages while the broker was away."""

    camera: int
    mqtt: int


class SpoolState(Struct, frozen=True):
    """Events that wait for the broker, those given up since the start, and whether they outlive a power cut.

    Where they do not, `why` says what is wrong with the file.
    """

    events: int
    dropped: int
    durable: bool
    why: str | UnsetType = UNSET


class EventMessage(Struct, frozen=True, kw_only=True):
    """Something worth telling once; it may come twice, with the same `id`."""

    schema: Literal[1] = SCHEMA
    id: str
    type: EventType
    device: str
    run: str
    time: str
    person: int | None
    zone: str | None
    detail: dict[str, Any]
    keypoints: Keypoints | None


class ZoneMessage(Struct, frozen=True, kw_only=True):
    """Who is in a zone; null where `people` of `state` is."""

    schema: Literal[1] = SCHEMA
    device: str
    time: str
    zone: str
    occupied: bool | None
    people: int | None

    @property
    def essence(self) -> int | None:
        """What makes it worth telling."""
        return self.people


class FallMessage(Struct, frozen=True, kw_only=True):
    """Whether somebody lies fallen; `since`, `event` and `zone` are of the first fall that is not over."""

    schema: Literal[1] = SCHEMA
    device: str
    time: str
    fallen: bool
    since: str | None
    event: str | None
    zone: str | None


class State(Struct, frozen=True, kw_only=True):
    """How the daemon does.

    People are null while nothing is known of them: the camera or the engine is being waited for, the picture
    is dark, covered or frozen and nobody is found in it, or the daemon is paused or stopped. `settings` are
    those that a request can change.
    """

    schema: Literal[1] = SCHEMA
    device: str
    run: str
    time: str
    version: str
    uptime_s: int
    paused: bool
    people: int | None
    occupied: bool | None
    posture: Posture | None
    fps: float
    latency_ms: float | None
    camera: CameraState
    engine: EngineState
    model: ModelState
    dropped: Dropped
    spool: SpoolState
    settings: dict[str, Any]

    @property
    def essence(self) -> tuple[Any, ...]:
        """What makes it worth telling: everything but clocks, rates and counters."""
        engine = msgspec.structs.replace(self.engine, inference_ms=None, temperature_c=None)
        people = self.people, self.occupied, self.posture
        return *people, self.paused, self.camera, engine, self.model, self.spool.durable, repr(self.settings)


Share = Annotated[float, Meta(ge=0, le=1)]
"""A share is a number from 0 to 1."""

Place = Annotated[float, Meta(ge=-1e6, le=1e6)]
"""A place is a coordinate in px; keypoints may lie outside the frame."""

Side = Annotated[int, Meta(ge=1, le=65535)]
"""A side of a picture is in px."""


class RawPose(Struct, frozen=True):
    """A pose as decoded: [x, y, score] of all 17 keypoints in the order of COCO, not rounded."""

    score: Share
    keypoints: Annotated[list[tuple[Place, Place, Share]], Meta(min_length=17, max_length=17)]


class RecordingStart(Struct, frozen=True, kw_only=True, tag_field="line", tag="start"):
    """How a recording begins, and goes on where something of this changes.

    `frame` is null before the first frame. `settings` are those that say what becomes of the poses.
    """

    schema: Literal[1] = SCHEMA
    device: str
    run: str
    time: str
    version: str
    model: ModelState
    frame: Size | None
    settings: dict[str, Any]


class RecordedFrame(Struct, frozen=True, kw_only=True, tag_field="line", tag="frame"):
    """Everybody in one frame, before anybody is followed or steadied.

    Args:
        number: counts what was recorded; a gap was lost on the way.
        sequence: of the frame, as in `poses`.
        time_s: media time, s; it may leap.
        time: wall clock at capture, s since 1970.
        size: [width, height], px.
        poses: best first.
        dark: whether it was too dark for them to be believed; false in recordings that do not say so.
    """

    schema: Literal[1] = SCHEMA
    number: Annotated[int, Meta(ge=0)]
    sequence: Annotated[int, Meta(ge=0)]
    time_s: Annotated[float, Meta(ge=-1e12, le=1e12)]
    time: Annotated[float, Meta(ge=0, le=2e11)]
    size: tuple[Side, Side]
    poses: list[RawPose]
    dark: bool = False


Recorded = RecordingStart | RecordedFrame
"""A line of a recording is one of these."""


class Envelope(Struct, frozen=True):
    """What every request may have, whatever else is in it."""

    transaction: str | UnsetType = UNSET


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request; each verb's adds its arguments. `transaction` comes back in the response."""

    transaction: str | UnsetType = UNSET


class InfoRequest(Request, frozen=True, kw_only=True):
    """What runs here."""


class ClearFallRequest(Request, frozen=True, kw_only=True):
    """Somebody looks after the fall with this event; after all that are not over where it is absent."""

    event: str | None = None


class TestEventRequest(Request, frozen=True, kw_only=True):
    """An event of this type shall go the whole way, marked as a test."""

    type: EventType = "fall"


class HealthRequest(Request, frozen=True, kw_only=True):
    """Whether everything works."""


class PauseRequest(Request, frozen=True, kw_only=True):
    """The camera shall be closed and stay so, also across restarts; or, with `paused` false, opened again."""

    paused: bool = True


class ResumeRequest(Request, frozen=True, kw_only=True):
    """The camera shall be opened again."""


class SetRequest(Request, frozen=True, kw_only=True):
    """Settings shall be other than they are, by dotted names; with `persist` after a restart, too."""

    settings: dict[str, Any]
    persist: bool = False


class SnapshotRequest(Request, frozen=True, kw_only=True):
    """A picture of now shall be published."""


class RestartRequest(Request, frozen=True, kw_only=True):
    """The daemon shall end and start again."""


class LogLevelRequest(Request, frozen=True, kw_only=True):
    """What the log says, until the next restart."""

    level: LogLevel


class RecordRequest(Request, frozen=True, kw_only=True):
    """Raw poses shall be published on `recording` for so many seconds from now."""

    seconds: Annotated[float, Meta(gt=0, le=60)] = 10


Data = TypeVar("Data")


class Response(Struct, Generic[Data], frozen=True, kw_only=True):
    """The answer to a request: `data` where it was done, `error` with the reason where not."""

    transaction: str | UnsetType = UNSET
    status: Literal["ok", "error"]
    data: Data | UnsetType = UNSET
    error: str | UnsetType = UNSET


class Info(Struct, frozen=True, kw_only=True):
    """What runs here: `data` of the response to `info`."""

    device: str
    run: str
    time: str
    version: str
    uptime_s: int
    python: str
    platform: str
    decoder: str
    camera: CameraState
    engine: EngineState
    model: ModelState
    verbs: list[str]


class Health(Struct, frozen=True, kw_only=True):
    """Whether everything works, and a line for each thing that does not: `data` of `health`'s response."""

    healthy: bool
    problems: list[str]
    paused: bool
    fps: float


class Paused(Struct, frozen=True):
    """Whether the camera is to stay closed: `data` of the responses to `pause` and `resume`."""

    paused: bool


class SettingsChanged(Struct, frozen=True, kw_only=True):
    """What these settings are now, and whether that outlives a restart: `data` of the response to `set`."""

    settings: dict[str, Any]
    persisted: bool


class SnapshotTaken(Struct, frozen=True, kw_only=True):
    """Where the picture is, and what it shows: `data` of the response to `snapshot`."""

    topic: str
    pictures: Pictures
    width: int
    height: int
    bytes: int


class Restarting(Struct, frozen=True):
    """It ends now: `data` of the response to `restart`."""

    run: str


class FallsCleared(Struct, frozen=True):
    """Ids of the `fall_cleared` events, one for each fall: `data` of the response to `clear_fall`."""

    events: list[str]


class EventSent(Struct, frozen=True):
    """The id of the event: `data` of the response to `test_event`."""

    event: str


VERBS: Final[Mapping[str, tuple[type[Request], type[Struct]]]] = {
    "clear_fall": (ClearFallRequest, FallsCleared),
    "health": (HealthRequest, Health),
    "info": (InfoRequest, Info),
    "log_level": (LogLevelRequest, SettingsChanged),
    "pause": (PauseRequest, Paused),
    "record": (RecordRequest, RecordingStart),
    "restart": (RestartRequest, Restarting),
    "resume": (ResumeRequest, Paused),
    "set": (SetRequest, SettingsChanged),
    "snapshot": (SnapshotRequest, SnapshotTaken),
    "test_event": (TestEventRequest, EventSent),
}
"""These verbs can be asked for: each has its request, and `data` of its answer."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who speaks: the device's name, and an id of this start of the daemon."""

    device: str
    run: str

    @classmethod
    def start(cls, device: str) -> Sender:
        """A new run of a device."""
        return cls(device, secrets.token_hex(4))


def rfc3339(time_s: float) -> str:
    """UTC with milliseconds.

    Args:
        time_s: s since 1970.
    """
    moment = datetime.datetime.fromtimestamp(round(time_s, 3), datetime.UTC)  # isoformat cuts off
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def person_message(pose: Pose, keypoint_threshold: float) -> Person:
    """One person, coordinates to a tenth of a pixel."""
    return people_messages([pose], keypoint_threshold)[0]


def people_messages(poses: Sequence[Pose], keypoint_threshold: float) -> list[Person]:
    """Everybody, in the order of the poses."""
    return [
        Person(score=round(pose.score, 3), box=box, keypoints=keypoints)
        for pose, (box, keypoints) in zip(poses, _seen(poses, keypoint_threshold), strict=True)
    ]


def tracked_messages(people: Sequence[TrackedPerson], keypoint_threshold: float) -> list[Person]:
    """Everybody who is followed, in this order."""
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
    """What is seen of each; everybody is rounded at once, since numpy takes as long for one."""
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
    """A pose, every bit of it."""
    ys, xs = pose.points.T.tolist()
    return RawPose(pose.score, list(zip(xs, ys, pose.scores.tolist(), strict=True)))


def pose_of(raw: RawPose) -> Pose:
    """The pose again, the same to the last bit."""
    values = np.array(raw.keypoints, np.float64)
    return Pose(values[:, 1::-1].copy(), values[:, 2].copy(), raw.score)


def _box(points: list[list[float]]) -> Box | None:
    if not points:
        return None
    ys, xs = zip(*points, strict=True)
    left, top = min(xs), min(ys)
    return Box(round(left, 1), round(top, 1), round(max(xs) - left, 1), round(max(ys) - top, 1))


encode = msgspec.json.Encoder().encode
"""This function encodes a message as JSON, UTF-8."""
