"""Messages as the contract has them."""

from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest

from posed.messages.structs import (
    CameraState,
    EngineState,
    EventMessage,
    FallMessage,
    Poses,
    Sender,
    Size,
    SpoolState,
    State,
    encode,
    people_messages,
    person_message,
    rfc3339,
)
from posed.pose import KEYPOINTS, Pose
from scripts.standins.messages import camera_state, event, fall, pose, state


def plain(message: object) -> dict:
    return json.loads(encode(message))


def test_times_are_rfc_3339_utc_with_milliseconds():
    assert rfc3339(1795345200.1234) == "2026-11-22T11:00:00.123Z"


def test_all_keypoints_are_there_and_a_weak_one_is_null():
    keypoints = plain(person_message(pose(), 0.2))["keypoints"]
    assert tuple(keypoints) == KEYPOINTS
    assert keypoints["left_ear"] is None
    assert keypoints["nose"] == {"x": 100.1, "y": 10.0, "score": 0.5}


def test_the_box_spans_the_visible_keypoints():
    assert plain(person_message(pose(), 0.2))["box"] == {"x": 100.1, "y": 10.0, "width": 16.0, "height": 32.0}


def test_nobody_visible_has_no_box():
    assert plain(person_message(pose(), 0.99))["box"] is None


def poses(people: list[Pose]) -> Poses:
    return Poses(
        device="hall",
        camera="door",
        run="8f3a",
        sequence=3,
        time=rfc3339(0),
        frame=Size(640, 480),
        inference_ms=1.0,
        latency_ms=2.0,
        people=people_messages(people, 0.2),
    )


def test_a_poses_message_is_as_in_the_contract():
    message = poses([pose()])
    assert list(plain(message)) == [
        *("schema", "device", "camera", "run", "sequence", "time"),
        *("frame", "inference_ms", "latency_ms", "people"),
    ]
    assert plain(message)["schema"] == 2
    assert list(plain(message)["people"][0]) == ["score", "box", "keypoints"]


def test_state_is_as_in_the_contract():
    message = plain(state())
    assert message["schema"] == 2
    assert message["cameras"] == {"door": "ok"}
    assert message["model"] == {"name": "coral-353x481", "stride": 16, "width": 481, "height": 353}


def test_a_cameras_state_is_as_in_the_contract():
    assert list(plain(camera_state())) == [
        *("schema", "device", "camera", "run", "time", "status", "paused", "people", "occupied", "posture"),
        *("kind", "width", "height", "sight", "pitch_deg", "postures", "fps", "inference_ms", "latency_ms"),
        *("dropped", "settings"),
    ]


def test_why_is_there_when_something_is_waited_for():
    waiting = plain(camera_state(status="waiting", why="gone"))
    assert (waiting["status"], waiting["why"]) == ("waiting", "gone")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"time": rfc3339(9), "uptime_s": 9, "dropped": 4}, True),
        ({"engine": EngineState("ok", "cpu", "x", "asked for", 6.1, 40.0)}, True),
        ({"spool": SpoolState(3, 4, durable=True)}, True),
        ({"spool": SpoolState(0, 0, durable=False, why="full")}, False),
        ({"cameras": {"door": "waiting"}}, False),
        ({"cameras": {"door": "ok", "bed": "ok"}}, False),
        ({"settings": {"decode.score_threshold": 0.5}}, False),
        ({"engine": EngineState("waiting", "cpu", "x", "gone", 5.9, None)}, False),
    ],
)
def test_clocks_and_rates_alone_are_no_change(change, same):
    assert (state().essence == state(**change).essence) is same


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"fps": 1.0, "time": rfc3339(9), "latency_ms": 1.0, "inference_ms": 7.0, "dropped": 3}, True),
        ({"people": 2}, False),
        ({"paused": True}, False),
        ({"status": "waiting", "why": "gone"}, False),
        ({"sight": "dark"}, False),
        ({"pitch_deg": 60.0, "postures": "too_steep"}, False),
        ({"settings": {"decode.score_threshold": 0.5}}, False),
    ],
)
def test_clocks_and_rates_alone_are_no_change_of_a_camera(change, same):
    assert (camera_state().essence == camera_state(**change).essence) is same


def test_an_event_is_as_in_the_contract():
    message = plain(event())
    assert list(message) == [
        *("schema", "id", "type", "device", "camera", "run", "time", "person", "zone", "detail", "keypoints")
    ]
    assert tuple(message["keypoints"]) == KEYPOINTS


def test_a_fall_is_as_in_the_contract():
    assert list(plain(fall())) == ["schema", "device", "camera", "time", "fallen", "since", "event", "zone"]


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        (Poses, lambda: poses([pose()])),
        (State, state),
        (CameraState, camera_state),
        (EventMessage, event),
        (EventMessage, lambda: event(person=None, keypoints=None, zone="kitchen")),
        (FallMessage, fall),
        (FallMessage, lambda: fall(fallen=False, since=None, event=None)),
    ],
)
def test_messages_keep_to_the_schema_of_their_struct(kind, made):
    schema = msgspec.json.schema(kind)
    message = plain(made())
    jsonschema.Draft202012Validator(schema).validate(message)
    del message["device"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(message)


def test_every_start_is_another_run():
    assert Sender.start("hall").run != Sender.start("hall").run
