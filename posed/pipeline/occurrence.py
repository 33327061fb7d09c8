"""An event of one camera, as it is handed over to be reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posed.people.events import EventType
from posed.pose import Pose


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The pose in which somebody was seen to do something.

    Args:
        pose: px of the source frame.
        keypoint_threshold: from which score on a keypoint is visible.
    """

    pose: Pose
    keypoint_threshold: float


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that is reported once.

    Args:
        type: of event.
        time_s: when, wall clock, s since 1970.
        person: who, an id of this run; None if that is not known.
        zone: where.
        detail: more about it, as JSON has it.
        evidence: what it was seen by.
        test: whether somebody only wants to see it arrive; `detail.test` says so, and no fall comes of it.
        camera: the name of the camera; whoever knows it fills it in.
    """

    type: EventType
    time_s: float
    person: int | None = None
    zone: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    evidence: Evidence | None = None
    test: bool = False
    camera: str = ""
