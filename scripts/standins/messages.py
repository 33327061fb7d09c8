"""Messages of a daemon that is not there."""

from __future__ import annotations

import numpy as np

from posed.messages.structs import (
    CameraState,
    Dropped,
    EngineState,
    EventMessage,
    ModelState,
    SpoolState,
    State,
    person_message,
    rfc3339,
)
from posed.pose import Pose


def pose(score: float = 0.9) -> Pose:
    """Somebody one of whose keypoints, the fourth, is hardly seen."""
    points = np.stack([np.arange(17) * 2.0 + 10.04, np.arange(17) + 100.06], axis=1)
    scores = np.full(17, 0.5)
    scores[3] = 0.1
    return Pose(points, scores, score)


def state(**changes: object) -> State:
    """The state of a daemon that does well, but for what is changed."""
    fields = {
        "device": "hall",
        "run": "8f3a",
        "time": rfc3339(0),
        "version": "0.1.0",
        "uptime_s": 1,
        "paused": False,
        "people": 1,
        "occupied": True,
        "posture": "standing",
        "fps": 29.7,
        "latency_ms": 14.0,
        "camera": CameraState("ok", "video", 640, 480, "ok"),
        "engine": EngineState("ok", "cpu", "x", "asked for", 5.9, None),
        "model": ModelState("coral-353x481", 16, 481, 353),
        "dropped": Dropped(0, 0),
        "spool": SpoolState(0, 0, durable=True),
        "settings": {"decode.score_threshold": 0.25},
    }
    return State(**(fields | changes))


def event(**changes: object) -> EventMessage:
    """A fall, but for what is changed."""
    fields = {
        "id": "01ARYZ6S41TSV4RRFFQ69G5FAV",
        "type": "fall",
        "device": "hall",
        "run": "8f3a",
        "time": rfc3339(0),
        "person": 7,
        "zone": None,
        "detail": {"within_s": 0.8},
        "keypoints": person_message(pose(), 0.2).keypoints,
    }
    return EventMessage(**(fields | changes))
