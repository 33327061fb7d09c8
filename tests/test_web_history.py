"""What the page asks of the timeline, over HTTP."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from posed.messages.structs import EventMessage, rfc3339
from posed.web.history import handler
from posed.web.timeline import Timeline
from tests.clock import Clock

NOON = 1_700_000_000.0
RANGE = f"from={NOON - 100}&to={NOON + 100.5}"


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    clock = Clock(NOON)
    timeline = Timeline(tmp_path / "timeline.sqlite", 14, clock)
    timeline.note({"hall": "lying", "bath": "empty"})
    for event_id, camera, kind in (("1", "hall", "fall"), ("2", "bath", "left"), ("3", "bath", "entered")):
        timeline.add(
            EventMessage(
                id=event_id,
                type=kind,
                device="pi",
                camera=camera,
                run="8f3a",
                time=rfc3339(NOON),
                person=7,
                zone="bed",
                detail={"test": True},
                keypoints=None,
            )
        )
    clock.sleep(10)
    return timeline


def asked(timeline: Timeline, query: str) -> tuple[int, Any]:
    """Status and answer; a text where it is no JSON."""

    async def ask() -> tuple[int, Any]:
        app = web.Application()
        app.add_routes([web.get("/timeline", handler(timeline))])
        async with TestClient(TestServer(app)) as client:
            answer = await client.get(f"/timeline?{query}")
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    return asyncio.run(ask())


def test_a_time_is_answered(timeline):
    status, day = asked(timeline, RANGE)
    assert status == 200
    assert day["first"] == NOON
    assert day["bands"] == {"bath": [[NOON, NOON + 10, "empty"]], "hall": [[NOON, NOON + 10, "lying"]]}
    assert [event["id"] for event in day["events"]] == ["3", "2", "1"]
    assert day["events"][-1] == {
        "id": "1",
        "time": NOON,
        "type": "fall",
        "camera": "hall",
        "person": 7,
        "zone": "bed",
        "detail": {"test": True},
    }
    assert day["more"] is False


def test_one_camera_and_some_types_may_be_asked_for(timeline):
    _, day = asked(timeline, f"{RANGE}&camera=bath&types=fall,left")
    assert list(day["bands"]) == ["bath"]
    assert [event["id"] for event in day["events"]] == ["2"]


def test_a_camera_that_nobody_knows_has_nothing(timeline):
    status, day = asked(timeline, f"{RANGE}&camera=attic")
    assert (status, day["bands"], day["events"]) == (200, {}, [])


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("", "from: must be a number of seconds since 1970"),
        ("from=1", "to: must be a number of seconds since 1970"),
        ("from=noon&to=2", "from: must be a number of seconds since 1970"),
        ("from=nan&to=2", "from: must be a number of seconds since 1970"),
        ("from=1&to=inf", "to: must be a number of seconds since 1970"),
        ("from=2&to=2", "to: must be after from"),
        ("from=0&to=2764801", "to: must be at most 32 days after from"),
        ("from=1&to=2&camera=Hall", "camera: must be the name of a camera"),
        ("from=1&to=2&camera=", "camera: must be the name of a camera"),
        (
            "from=1&to=2&types=fall,dance",
            "types: must be of entered, left, zone_entered, zone_left, posture, gesture, fall, fall_cleared, "
            "joined by commas",
        ),
    ],
)
def test_a_wrong_question_is_answered_in_a_line(timeline, query, problem):
    assert asked(timeline, query) == (400, f"{problem}\n")


def test_the_longest_time_is_answered(timeline):
    assert asked(timeline, "from=0&to=2764800")[0] == 200


def test_the_servers_thread_does_not_wait_for_the_disk(timeline, monkeypatch):
    readers = []
    read = timeline.read
    monkeypatch.setattr(
        timeline, "read", lambda *given: readers.append(threading.current_thread()) or read(*given)
    )
    asked(timeline, RANGE)
    assert readers != [threading.current_thread()]
    assert len(readers) == 1
