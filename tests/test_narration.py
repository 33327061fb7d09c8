"""What the demo prints: sentences for people, and every message with --verbose."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from posed.config import load
from posed.pose import KEYPOINTS
from scripts.demo import CONFIG
from scripts.narration import Messages, Sentences, Truth, camera_line, machine_line, painter, people_in_words
from tests.clock import Clock

RED, FAINT = "1;31", "2"


def poses(*postures: str, sequence: int = 8) -> bytes:
    nothing = dict.fromkeys(KEYPOINTS)
    people = [{"posture": one, "score": 0.9, "keypoints": nothing} for one in postures]
    return json.dumps({"sequence": sequence, "inference_ms": 31.2, "people": people}).encode()


def event(kind: str, **detail: Any) -> bytes:
    known = {"schema": 2, "id": "01M", "device": "demo", "camera": "room", "run": "8f", "keypoints": None}
    what = {"type": kind, "time": "2026-11-22T18:02:11.250Z", "person": 2, "zone": None, "detail": detail}
    return json.dumps(known | what).encode()


def fall(since: str | None) -> bytes:
    known = {"device": "demo", "camera": "room", "time": "2026-11-22T18:02:12Z", "event": None, "zone": None}
    return json.dumps(known | {"fallen": since is not None, "since": since}).encode()


def machine(**engine: Any) -> dict[str, Any]:
    known = {"status": "ok", "kind": "cpu", "why": "engine.kind: cpu"}
    return {"cameras": {"room": "ok"}, "engine": known | engine, "model": {"name": "drawings"}}


def camera(**values: Any) -> dict[str, Any]:
    return {"camera": "room", "people": 1, "fps": 9.8, "status": "ok", "sight": "ok"} | values


class Told:
    """What sentences have said, each line with how it is painted."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.sentences = Sentences(self.lines.append, lambda code, line: f"<{code}>{line}", self.clock)

    def take(self, kind: str, message: bytes | dict[str, Any]) -> None:
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.sentences.take(kind, payload)

    def second(self) -> tuple[str, str]:
        """How the line is painted that comes with the next second, and what it says behind the time."""
        before = len(self.lines)
        self.clock.sleep(1)
        self.sentences.tick()
        assert len(self.lines) == before + 1
        found = re.fullmatch(r"<(.+)>\d\d:\d\d:\d\d  (.+)", self.lines[-1])
        assert found, self.lines[-1]
        return found[1], found[2]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Where it is an hour later than in Greenwich."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "CET-1")
        time.tzset()
        yield Told()
    time.tzset()


def test_an_event_is_a_sentence_with_the_local_time(told: Told) -> None:
    told.take("events", event("posture", posture="lying", before="standing"))
    assert told.lines == ["19:02:11  Person 2 lay down in the room"]


def test_a_fall_stands_out(told: Told) -> None:
    told.take("events", event("fall", seen="lying"))
    assert told.lines == [f"<{RED}>19:02:11  Person 2 has fallen in the room, seen lying"]


def test_each_second_tells_of_a_fall_until_it_is_over(told: Told) -> None:
    told.take("poses", poses("lying"))
    told.take("fall", fall("2026-11-22T18:02:11.250Z"))
    assert told.second() == (RED, "1 person, lying; FALLEN since 19:02:11")
    told.take("fall", fall(None))
    assert told.second() == (FAINT, "1 person, lying")


def test_each_second_says_who_is_there(told: Told) -> None:
    for number in range(20):
        told.take("poses", poses("standing", "lying", sequence=number))
        told.clock.sleep(0.1)
    assert told.second() == (FAINT, "2 people: one standing, one lying; 10.0 frames per second")


def test_nothing_is_said_before_the_second_is_over(told: Told) -> None:
    told.clock.sleep(0.9)
    told.sentences.tick()
    assert told.lines == []


def test_a_late_second_is_said_once(told: Told) -> None:
    told.clock.sleep(5)
    told.second()
    told.sentences.tick()
    assert len(told.lines) == 1


def test_without_pictures_nobody_is_said_to_be_there(told: Told) -> None:
    told.take("poses", poses("standing"))
    told.clock.sleep(5)
    assert told.second() == (FAINT, "waiting for a picture")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (camera(status="waiting", why="no such device"), "waiting for the camera: no such device"),
        (camera(status="paused"), "the camera is paused"),
        (camera(sight=None), "waiting for a picture"),
        (machine(status="waiting", why="no Edge TPU"), "waiting for the engine: no Edge TPU"),
    ],
    ids=["camera", "paused", "not yet", "engine"],
)
def test_each_second_says_what_is_waited_for(told: Told, state: dict[str, Any], said: str) -> None:
    told.take("state", state)
    assert told.second() == (FAINT, said)


def test_a_blind_camera_is_told_beside_who_is_there(told: Told) -> None:
    told.take("state", camera(sight="covered"))
    told.take("poses", poses())
    assert told.second() == (FAINT, "nobody; the picture is covered")


def test_pictures_say_more_than_what_was_waited_for(told: Told) -> None:
    told.take("state", camera(status="waiting", why="starting"))
    told.take("poses", poses("standing"))
    assert told.second() == (FAINT, "1 person, standing")


def test_what_is_not_waited_for_any_more_is_not_said(told: Told) -> None:
    told.take("state", camera(status="waiting", why="starting"))
    told.take("state", camera())
    assert told.second() == (FAINT, "waiting for a picture")


def test_the_end_says_how_much_it_was(told: Told) -> None:
    told.take("poses", poses())
    told.sentences.end()
    told.take("poses", poses())
    told.take("events", event("fall"))
    told.sentences.end()
    assert (told.lines[0], told.lines[-1]) == ("the end: 1 frame", "the end: 2 frames, 1 fall")


@pytest.mark.parametrize(
    ("postures", "said"),
    [
        ([], "nobody"),
        (["standing"], "1 person, standing"),
        (["unknown"], "1 person, in between"),
        (["sitting"] * 2, "2 people, both sitting"),
        (["sitting"] * 3, "3 people, all sitting"),
        (["lying", "standing", "standing"], "3 people: two standing, one lying"),
        (["standing"] * 12 + ["lying"], "13 people: 12 standing, one lying"),
    ],
)
def test_people_are_counted_by_posture(postures: list[str], said: str) -> None:
    assert people_in_words(postures) == said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals() -> None:
    assert painter(Terminal(), {"TERM": "xterm"})(RED, "a fall") == "\x1b[1;31ma fall\x1b[0m"
    assert painter(io.StringIO(), {"TERM": "xterm"})(RED, "a fall") == "a fall"


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=" ".join)
def test_who_wants_no_colours_gets_none(variables: dict[str, str]) -> None:
    assert painter(Terminal(), variables)(RED, "a fall") == "a fall"


def test_messages_are_all_told() -> None:
    lines: list[str] = []
    messages = Messages(lines.append, None)
    messages.take("availability", b"online")
    messages.take("poses", poses("standing"))
    messages.take("state", json.dumps(camera()).encode())
    messages.take("state", json.dumps(machine()).encode())
    messages.take("events", b'{"type": "fall"}')
    messages.tick()
    messages.end()
    assert lines == [
        "availability online",
        "poses       8   31.2 ms  1 person",
        "         score 0.90  nose -  left_wrist -  right_wrist -",
        "room   people 1, 9.8 fps, ok",
        "state  room ok, engine ok (cpu)",
        'events {"type": "fall"}',
        "1 poses messages received",
    ]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth(load(CONFIG, {}).first)


@pytest.fixture(scope="module")
def seen(truth: Truth) -> tuple[int, dict[str, Any]]:
    """A frame with one drawn person in it alone, and how they are found 5 px beside where they are."""
    number, drawn = next(
        (number, people[0])
        for number in range(0, 900, 5)
        if len(people := truth.people(number)) == 1 and people[0].visible.sum() > 9
    )
    return number, {
        name: {"y": y + 3, "x": x + 4, "score": 1.0} if visible else None
        for name, (y, x), visible in zip(KEYPOINTS, drawn.points.tolist(), drawn.visible, strict=True)
    }


def told_of(truth: Truth, number: int, *found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    messages = Messages(lines.append, truth)
    people = [{"posture": "standing", "score": 0.9, "keypoints": one} for one in found]
    poses = {"sequence": number, "inference_ms": 9, "people": people}
    messages.take("poses", json.dumps(poses).encode())
    messages.end()
    return lines


def test_messages_say_how_far_off_people_are(truth: Truth, seen: tuple[int, dict[str, Any]]) -> None:
    number, keypoints = seen
    lines = told_of(truth, number, keypoints)
    assert lines[1].endswith("  (5.0 px off)")
    assert lines[-1] == "median distance from the truth: 5.0 px"


def test_who_is_not_drawn_is_not_measured_by_others(truth: Truth, seen: tuple[int, dict[str, Any]]) -> None:
    """As somebody who has just left the picture, and is still followed."""
    number, keypoints = seen
    gone = {name: place and place | {"x": place["x"] + 300} for name, place in keypoints.items()}
    lines = told_of(truth, number, gone, keypoints)
    assert lines[1].endswith("  (nobody is there)")
    assert lines[2].endswith("  (5.0 px off)")
    assert lines[-1] == "median distance from the truth: 5.0 px"


def test_a_state_says_what_is_waited_for_and_what_fails() -> None:
    failing = machine() | {"cameras": {"room": "waiting"}}
    failing["model"]["warning"] = "hardly sees real people"
    assert machine_line(failing) == (
        "state  room waiting, engine ok (cpu), model drawings hardly sees real people"
    )
    waiting = camera(people=None, fps=0.0, status="waiting", why="no such device")
    assert camera_line(waiting) == "room   people ?, 0.0 fps, waiting (no such device)"
