"""Messages of a daemon that is not there."""

from __future__ import annotations

import numpy as np

from posed.messages.structs import (
    CameraState,
    EngineState,
    EventMessage,
    FallMessage,
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
    """The state of a machine that does well, but for what is changed."""
    fields = {
        "device": "hall",
        "run": "8f3a",
        "time": rfc3339(0),
        "version": "0.1.0",
        "uptime_s": 1,
        "cameras": {"door": "ok"},
        "engine": EngineState("ok", "cpu", "x", "asked for", 5.9, None),
        "model": ModelState("coral-353x481", 16, 481, 353),
        "dropped": 0,
        "spool": SpoolState(0, 0, durable=True),
        "settings": {"decode.score_threshold": 0.25},
    }
    return State(**(fields | changes))


def camera_state(**changes: object) -> CameraState:
    """The state of a camera that does well, but for what is changed."""
    fields = {
        "device": "hall",
        "camera": "door",
        "run": "8f3a",
        "time": rfc3339(0),
        "status": "ok",
        "paused": False,
        "people": 1,
        "occupied": True,
        "posture": "standing",
        "kind": "video",
        "width": 640,
        "height": 480,
        "sight": "ok",
        "pitch_deg": None,
        "postures": "learning",
        "fps": 29.7,
        "inference_ms": 5.9,
        "latency_ms": 14.0,
        "dropped": 0,
        "settings": {"decode.score_threshold": 0.25},
    }
    return CameraState(**(fields | changes))


def event(**changes: object) -> EventMessage:
    """A fall, but for what is changed."""
    fields = {
        "id": "01ARYZ6S41TSV4RRFFQ69G5FAV",
        "type": "fall",
        "device": "hall",
        "camera": "door",
        "run": "8f3a",
        "time": rfc3339(0),
        "person": 7,
        "zone": None,
        "detail": {"within_s": 0.8},
        "keypoints": person_message(pose(), 0.2).keypoints,
    }
    return EventMessage(**(fields | changes))


def fall(**changes: object) -> FallMessage:
    """What is said of a fall that is not over, but for what is changed."""
    fields = {
        "device": "hall",
        "camera": "door",
        "time": rfc3339(0),
        "fallen": True,
        "since": rfc3339(0),
        "event": "01A",
        "zone": None,
    }
    return FallMessage(**(fields | changes))
