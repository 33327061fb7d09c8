"""Recordings of poses: what is in them, bit by bit, and what is said of bad ones."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import numpy as np
import pytest

from posed.commands.recording_file import lines_of
from posed.errors import RecordingError
from posed.frame import Frame
from posed.messages.structs import (
    ModelState,
    RecordedFrame,
    RecordingStart,
    RecordRequest,
    encode,
    pose_of,
    raw_pose,
)
from posed.mqtt.raw_poses import EXPIRY_S, RawPosePublisher
from posed.pose import Pose
from tests.broker_fake import FakeBroker
from tests.clock import Clock

TOPIC = "posed/hall/door/recording"
KEYPOINT = [1.5, 2.5, 0.5]
OF_SCHEMA_1 = (
    b'{"line":"start","schema":1,"device":"hall","run":"8f3a","time":"2026-11-22T11:00:00.123Z",'
    b'"version":"0.1.0","model":{"name":"red","stride":16,"width":65,"height":49},"frame":null,'
    b'"settings":{"people.zones":{}}}\n'
)
"""A recording began so when a device had one camera, without a name."""


def start(**changes: Any) -> RecordingStart:
    settings = {
        "device": "hall",
        "camera": "door",
        "run": "8f3a",
        "time": "2026-11-22T11:00:00.123Z",
        "version": "0.1.0",
        "model": ModelState("red", 16, 65, 49),
        "frame": None,
        "settings": {},
    }
    return RecordingStart(**settings | changes)


def frame(number: int = 0, poses: tuple[Pose, ...] = (), **changes: Any) -> RecordedFrame:
    settings = {
        "number": number,
        "sequence": number,
        "time_s": number / 10,
        "time": 1e9 + number / 10,
        "size": (640, 480),
        "poses": [raw_pose(pose) for pose in poses],
    }
    return RecordedFrame(**settings | changes)


def file_of(*lines: object) -> io.BytesIO:
    return io.BytesIO(b"".join(encode(line) + b"\n" for line in lines))


def a_pose() -> Pose:
    generator = np.random.default_rng(1)
    return Pose(generator.uniform(-50, 900, (17, 2)), generator.uniform(0, 1, 17), 1 / 3)


# The file


@pytest.mark.parametrize("beside", [False, True])
def test_a_pose_comes_back_to_the_last_bit(beside: bool):
    pose = a_pose().from_beside() if beside else a_pose()
    file = file_of(start(), frame(poses=(pose,)))
    _, line = lines_of(file, "x")
    assert isinstance(line, RecordedFrame)
    back = pose_of(line.poses[0])
    assert np.array_equal(back.points, pose.points)
    assert np.array_equal(back.scores, pose.scores)
    assert (back.score, back.beside) == (pose.score, beside)
    assert (b"beside" in file.getvalue()) is beside


def test_a_frame_that_does_not_say_so_is_not_dark():
    lines = lines_of(file_of(start(), frame(), frame(dark=True)), "x")
    next(lines)
    assert [line.dark for line in lines] == [False, True]
    old = file_of(start(), frame())
    assert b'"dark":false' in old.getvalue()
    bare = io.BytesIO(old.getvalue().replace(b',"dark":false', b""))
    assert [line.dark for line in list(lines_of(bare, "x"))[1:]] == [False]


def as_json(**changes: Any) -> bytes:
    """A frame with something else in it."""
    plain = json.loads(encode(frame()))
    return json.dumps(plain | changes).encode() + b"\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{}\n", "x.jsonl:2: object missing required field `line`"),
        (b"[1]\n", "x.jsonl:2: expected `object`, got `array`"),
        (b'{"line": "end"}\n', "x.jsonl:2: line: invalid value 'end'"),
        (as_json(schema=1), "x.jsonl:2: schema: must be 2, got 1: recorded by an earlier version"),
        (as_json(schema=3), "x.jsonl:2: schema: must be 2, got 3: recorded by a later version"),
        (as_json(schema="2"), "x.jsonl:2: schema: expected `int`, got `str`"),
        (
            encode(start(camera="attic")) + b"\n",
            "x.jsonl:2: camera: must be 'door', as in line 1, got 'attic'",
        ),
        (as_json(size=[0, 480]), "x.jsonl:2: size[0]: expected `int` >= 1"),
        (as_json(time=-1), "x.jsonl:2: time: expected `float` >= 0.0"),
        (
            as_json(poses=[{"score": 0.5, "keypoints": [KEYPOINT] * 16}]),
            "x.jsonl:2: poses[0].keypoints: expected `array` of length >= 17",
        ),
        (
            as_json(poses=[{"score": 0.5, "keypoints": [KEYPOINT] * 16 + [[1e9, 0, 0]]}]),
            "x.jsonl:2: poses[0].keypoints[16][0]: expected `float` <= 1000000.0",
        ),
        (b"not at all\n", "x.jsonl:2: must be JSON in UTF-8 ("),
        (b'{"line": "frame", "size": [1e999]}\n', "x.jsonl:2: size[0]: number out of range"),
        (b'"\xff"\n', "x.jsonl:2: expected `object`, got `str`"),
        (b"[" * 100_000 + b"\n", "x.jsonl:2: expected `object`, got `array`"),
        (b" " * (1024 * 1024 + 5) + b"\n", "x.jsonl:2: must be at most 1048576 bytes long, is longer"),
        (b"\n", "x.jsonl:2: must be JSON in UTF-8 ("),
    ],
)
def test_a_bad_line_is_named_with_its_rule(line, said):
    file = io.BytesIO(encode(start()) + b"\n" + line + encode(frame()) + b"\n")
    with pytest.raises(RecordingError) as error:
        list(lines_of(file, "x.jsonl"))
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "x.jsonl: must be a recording of `posed record`, is empty"),
        (encode(frame()) + b"\n", "x.jsonl:1: must be the start of a recording, got a frame"),
        (OF_SCHEMA_1, "x.jsonl:1: schema: must be 2, got 1: recorded by an earlier version"),
        (b"\x00\x01", "x.jsonl:1: must be JSON in UTF-8 ("),
        (b"a,b,c", "x.jsonl:1: must be JSON in UTF-8 ("),
    ],
)
def test_what_is_no_recording_is_said(content, said):
    with pytest.raises(RecordingError) as error:
        list(lines_of(io.BytesIO(content), "x.jsonl"))
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_a_last_line_that_breaks_off_is_left_out(caplog):
    whole = file_of(start(), frame(0, (a_pose(),)), frame(1, (a_pose(),))).getvalue()
    with caplog.at_level(logging.WARNING):
        lines = list(lines_of(io.BytesIO(whole[:-40]), "x.jsonl"))
    assert len(lines) == 2
    assert "x.jsonl:3: the last line is cut off, and left out" in caplog.text


def test_a_last_line_without_its_newline_is_a_line(caplog):
    whole = file_of(start(), frame()).getvalue()
    assert len(list(lines_of(io.BytesIO(whole.rstrip(b"\n")), "x.jsonl"))) == 2
    assert not caplog.text


# The daemon's side


def a_frame() -> Frame:
    return Frame(np.zeros((48, 64, 3), np.uint8), 7, 1.5, 1.5, 1e9)


def test_nothing_is_published_but_while_it_is_asked_for():
    broker, clock = FakeBroker(), Clock()
    recording = RawPosePublisher(TOPIC, broker, start, clock)
    recording.take(a_frame(), [a_pose()])
    recording.settings_changed()
    assert broker.messages == []
    assert recording.ask(RecordRequest(seconds=2)) == start()
    recording.take(a_frame(), [a_pose()])
    clock.now_s += 2.5
    recording.take(a_frame(), [a_pose()])
    recording.ask(RecordRequest(seconds=2))
    recording.take(a_frame(), [])
    assert {(message.topic, message.expiry_s) for message in broker.messages} == {(TOPIC, EXPIRY_S)}
    first, second = (message.json for message in broker.messages)
    assert (first["number"], first["sequence"], first["size"]) == (0, 7, [64, 48])
    assert (len(first["poses"]), second["number"], second["poses"]) == (1, 1, [])


def test_of_two_who_record_the_longer_time_counts():
    broker, clock = FakeBroker(), Clock()
    recording = RawPosePublisher(TOPIC, broker, start, clock)
    recording.ask(RecordRequest(seconds=20))
    recording.ask(RecordRequest(seconds=1))
    clock.now_s += 10
    recording.take(a_frame(), [])
    assert len(broker.messages) == 1


def test_other_settings_are_told_where_they_begin():
    broker = FakeBroker()
    recording = RawPosePublisher(TOPIC, broker, start)
    recording.ask(RecordRequest())
    recording.take(a_frame(), [])
    recording.settings_changed()
    recording.take(a_frame(), [])
    assert [message.json["line"] for message in broker.messages] == ["frame", "start", "frame"]
