"""Runs the flow of config/node-red in a real Node-RED, sends it messages, and looks at what it does.

Node-RED (100 MB) lives in ${XDG_CACHE_HOME:-~/.cache}/posed-check/node-red; it is set up once.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from posed.messages.structs import encode
from posed.people.events import EventType
from scripts.paths import ROOT
from scripts.standins.messages import camera_state, event, state
from tests.brokers import Mosquitto, Subscriber, eventually, free_port
from tests.former import leave_spool
from tests.system.needs import need_debian, need_npm

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("row")]

VERSION: Final = "4.1.8"
"""Node-RED 5 needs a newer Node than 20."""

FLOW: Final = ROOT / "config" / "node-red" / "posed.json"
PATIENCE_S: Final = 120.0
QUIET_S: Final = 2.0
"""How long nothing has to come where nothing should, s."""


@pytest.fixture(scope="module")
def program() -> Path:
    """Node-RED's, installed once."""
    return need_npm("node-red", "node-red", VERSION) / "node-red/red.js"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Node-RED's own files, and its log."""
    return tmp_path_factory.mktemp("node-red")


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[Mosquitto]:
    """Between us and the flow."""
    need_debian("mosquitto", "mosquitto")
    with Mosquitto(folder) as mosquitto:
        yield mosquitto


@pytest.fixture(scope="module")
def port(program: Path, folder: Path, broker: Mosquitto) -> Iterator[int]:
    """Where Node-RED listens, which has the flow as it is, connected to the broker."""
    shutil.copy(FLOW, folder / "flows.json")
    port = free_port()
    settings = {
        "uiPort": port,
        "uiHost": "127.0.0.1",
        "flowFile": "flows.json",
        "telemetry": {"enabled": False},
    }
    (folder / "settings.js").write_text(f"module.exports = {json.dumps(settings)};", encoding="utf-8")
    environment = os.environ | {"MQTT_HOST": "127.0.0.1", "MQTT_PORT": str(broker.port)}
    command = ["node", str(program), "--userDir", str(folder)]
    with (folder / "node-red.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: "Connected to broker" in log_of(folder), PATIENCE_S)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def watcher(broker: Mosquitto, port: int) -> Iterator[Subscriber]:
    """Speaks as the devices do, and hears what the flow tells."""
    with Subscriber(broker.port) as subscriber:
        yield subscriber


def log_of(folder: Path) -> str:
    """What Node-RED has said."""
    return (folder / "node-red.log").read_text(encoding="utf-8")


# What the flow shall do


def test_counts_people_of_all_cameras_and_devices(watcher: Subscriber) -> None:
    say(watcher, "pi/hall", people=2)
    say(watcher, "pi/bedroom", people=1)
    say(watcher, "attic/stairs", people=1)
    cameras = ["attic/stairs", "pi/bedroom", "pi/hall"]
    people_are(watcher, {"people": 4, "occupied": True, "cameras": cameras})
    say(watcher, "pi/hall", people=0)
    people_are(watcher, {"people": 2, "occupied": True, "cameras": cameras})


def test_forgets_people_of_a_device_that_is_away(watcher: Subscriber) -> None:
    watcher.publish("posed/attic/availability", b"offline", retain=True)
    people_are(watcher, {"people": 1, "occupied": True, "cameras": ["pi/bedroom", "pi/hall"]})
    # What the broker keeps of a dead daemon may come after its availability.
    watcher.publish("posed/attic/stairs/state", _state("attic/stairs", 4), retain=True)
    say(watcher, "pi/hall", people=1)
    people_are(watcher, {"people": 2, "occupied": True, "cameras": ["pi/bedroom", "pi/hall"]})


def test_takes_no_blind_camera_for_an_empty_room(watcher: Subscriber) -> None:
    say(watcher, "pi/hall", people=None)
    people_are(watcher, {"people": 1, "occupied": True, "cameras": ["pi/bedroom"]})
    say(watcher, "pi/bedroom", people=None)
    people_are(watcher, {"people": None, "occupied": None, "cameras": []})
    say(watcher, "pi/hall", people=1)
    say(watcher, "pi/bedroom", people=1)
    people_are(watcher, {"people": 2, "occupied": True, "cameras": ["pi/bedroom", "pi/hall"]})


def test_forgets_people_of_a_camera_that_is_no_more(watcher: Subscriber) -> None:
    watcher.publish("posed/pi/bedroom/state", b"", retain=True)
    people_are(watcher, {"people": 1, "occupied": True, "cameras": ["pi/hall"]})


def test_takes_the_state_of_a_machine_for_no_camera(watcher: Subscriber) -> None:
    watcher.publish("posed/pi/state", encode(state(device="pi")), retain=True)
    say(watcher, "pi/hall", people=3)
    people_are(watcher, {"people": 3, "occupied": True, "cameras": ["pi/hall"]})


def test_forwards_a_fall_once_with_its_room(watcher: Subscriber) -> None:
    before = len(alarms(watcher))
    for _ in range(2):
        happen(watcher, "01A", "fall", zone="rug")
    happen(watcher, "01B", "fall_cleared")
    eventually(lambda: len(alarms(watcher)) == before + 2, PATIENCE_S)
    fall, over = alarms(watcher)[before:]
    assert (fall["fallen"], fall["test"]) == (True, False)
    assert (fall["camera"], fall["text"]) == ("hall", "Somebody has fallen: pi, hall, rug")
    assert (over["fallen"], over["text"]) == (False, "The fall is over: pi, hall")


def test_forwards_a_fall_that_schema_1_left(watcher: Subscriber, tmp_path: Path) -> None:
    """A new daemon delivers it as it is, without a camera."""
    before = len(alarms(watcher))
    watcher.publish("posed/hall/events", leave_spool(tmp_path / "spool.sqlite")[-1])
    eventually(lambda: len(alarms(watcher)) == before + 1, PATIENCE_S)
    assert alarms(watcher)[-1]["text"] == "Somebody has fallen: hall"


def test_forwards_a_test_as_one(watcher: Subscriber) -> None:
    before = len(alarms(watcher))
    happen(watcher, "01C", "fall", test=True)
    eventually(lambda: len(alarms(watcher)) == before + 1, PATIENCE_S)
    assert alarms(watcher)[-1]["text"] == "Test. Somebody has fallen: pi, hall"


def test_leaves_other_events_alone(watcher: Subscriber) -> None:
    before = len(alarms(watcher))
    happen(watcher, "01D", "gesture", gesture="left_hand_raised")
    time.sleep(QUIET_S)
    assert len(alarms(watcher)) == before, alarms(watcher)[before:]


def test_survives_rubbish(watcher: Subscriber) -> None:
    for payload in (b"", b"{", b"null", b"[]", b'"fall"', b'{"type": "fall"}', b"\xff\xfe"):
        watcher.publish("posed/pi/events", payload)
        watcher.publish("posed/pi/rubbish/state", payload)
    forwards_a_fall_named(watcher, "01E")


def forwards_a_fall_named(watcher: Subscriber, one: str) -> None:
    """With this id."""
    before = len(alarms(watcher))
    happen(watcher, one, "fall")
    eventually(lambda: len(alarms(watcher)) == before + 1, PATIENCE_S)


def test_clears_a_fall_by_its_button(watcher: Subscriber, port: int) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/inject/posed-button", b"", method="POST")
    urllib.request.urlopen(request, timeout=30).close()
    requests = "posed/pi/request/clear_fall"
    eventually(lambda: watcher.payloads(requests) == [b'{"camera":"hall"}'], PATIENCE_S)


def test_survives_a_restart_of_the_broker(watcher: Subscriber, broker: Mosquitto) -> None:
    broker.restart()
    eventually(lambda: came_through(watcher), PATIENCE_S)


def test_has_nothing_to_complain_of(watcher: Subscriber, folder: Path) -> None:
    complaints = re.findall(r"\[(?:warn|error)\] (\[.*)", log_of(folder))
    assert [one for one in complaints if "JSON string" not in one] == []  # of the rubbish


def came_through(watcher: Subscriber) -> bool:
    """Whether an event gets an answer; one of its own each time, since who is not connected hears none."""
    before = len(alarms(watcher))
    with contextlib.suppress(RuntimeError):  # we are not connected again either
        happen(watcher, f"02{time.monotonic_ns()}", "fall")
    time.sleep(1)
    return len(alarms(watcher)) > before


# What is sent, and what came


def say(watcher: Subscriber, camera: str, people: int | None) -> None:
    """A camera, such as `pi/hall`, tells how many it sees."""
    device, _, _ = camera.partition("/")
    watcher.publish(f"posed/{device}/availability", b"online", retain=True)
    watcher.publish(f"posed/{camera}/state", _state(camera, people), retain=True)


def _state(camera: str, people: int | None) -> bytes:
    device, _, name = camera.partition("/")
    occupied = None if people is None else people > 0
    return encode(camera_state(device=device, camera=name, people=people, occupied=occupied, posture=None))


def happen(watcher: Subscriber, one: str, kind: EventType, *, zone: str | None = None, **detail: Any) -> None:
    """An event before the camera `hall` of the device `pi`."""
    message = event(id=one, type=kind, device="pi", camera="hall", zone=zone, detail=detail)
    watcher.publish("posed/pi/events", encode(message))


def alarms(watcher: Subscriber) -> list[dict[str, Any]]:
    """What the flow has told of falls."""
    return [msgspec.json.decode(one) for one in watcher.payloads("home/alarm")]


def people_are(watcher: Subscriber, wanted: dict[str, Any]) -> None:
    """What the flow tells last."""

    def told() -> list[dict[str, Any]]:
        return [msgspec.json.decode(one) for one in watcher.payloads("home/people")][-1:]

    try:
        eventually(lambda: told() == [wanted], PATIENCE_S)
    except AssertionError:
        raise AssertionError(f"home/people is {told()}, not {wanted}") from None
