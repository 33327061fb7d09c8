"""Runs the flow of config/node-red in a real Node-RED, sends it messages, and looks at what it does.

    scripts/check_node_red

Exit status: 0 it does what it should, 1 it does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import msgspec  # noqa: E402

from posed.mqtt.messages import encode  # noqa: E402
from posed.people.events import EventType  # noqa: E402
from tests.brokers import Mosquitto, Subscriber, eventually, free_port  # noqa: E402
from tests.test_messages import event, state  # noqa: E402

FLOW: Final = ROOT / "config" / "node-red" / "posed.json"
PATIENCE_S: Final = 120.0
QUIET_S: Final = 2.0
"""How long nothing has to come where nothing should, s."""


def main() -> int:
    """Go through all checks; returns the exit status."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="posed-node-red-") as kept:
        folder = Path(kept)
        with Mosquitto(folder) as broker, Subscriber(broker.port) as watcher:
            port = free_port()
            with (folder / "node-red.log").open("ab") as log:
                node_red = start(Path(sys.argv[1]), folder, port, broker.port, log)
            try:
                eventually(lambda: "Connected to broker" in (folder / "node-red.log").read_text(), PATIENCE_S)
                for name, check in {
                    "counts people of all devices": lambda: counts(watcher),
                    "forgets those of a device that is away": lambda: forgets_who_is_away(watcher),
                    "takes no blind device for an empty room": lambda: knows_nothing_of_blind_devices(
                        watcher
                    ),
                    "forwards a fall once": lambda: forwards_a_fall_once(watcher),
                    "forwards a test as one": lambda: forwards_a_test_as_one(watcher),
                    "leaves other events alone": lambda: leaves_other_events_alone(watcher),
                    "survives rubbish": lambda: survives_rubbish(watcher),
                    "clears a fall by its button": lambda: clears(watcher, port),
                    "survives a restart of the broker": lambda: survives_a_restart(watcher, broker),
                }.items():
                    failed += not passes(name, check)
            finally:
                node_red.terminate()
                node_red.wait()
            complaints = re.findall(r"\[(?:warn|error)\] (\[.*)", (folder / "node-red.log").read_text())
            complaints = [one for one in complaints if "JSON string" not in one]  # of the rubbish
            print(f"complaints in Node-RED's log: {complaints or 'none'}")
    return 1 if failed or complaints else 0


def start(program: Path, folder: Path, port: int, broker_port: int, log: Any) -> subprocess.Popen[bytes]:
    """Node-RED with the flow, as it is."""
    shutil.copy(FLOW, folder / "flows.json")
    settings = {
        "uiPort": port,
        "uiHost": "127.0.0.1",
        "flowFile": "flows.json",
        "telemetry": {"enabled": False},
    }
    (folder / "settings.js").write_text(f"module.exports = {json.dumps(settings)};", encoding="utf-8")
    environment = os.environ | {"MQTT_HOST": "127.0.0.1", "MQTT_PORT": str(broker_port)}
    command = ["node", str(program), "--userDir", str(folder)]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def passes(name: str, check: Callable[[], None]) -> bool:
    """Print how one check went."""
    try:
        check()
    except AssertionError as error:
        print(f"{name}: FAILED: {error}", flush=True)
        return False
    print(f"{name}: ok", flush=True)
    return True


# What the flow shall do


def counts(watcher: Subscriber) -> None:
    """Two devices together."""
    say(watcher, "hall", people=2)
    say(watcher, "stairs", people=1)
    people_are(watcher, {"people": 3, "occupied": True, "devices": ["hall", "stairs"]})
    say(watcher, "hall", people=0)
    people_are(watcher, {"people": 1, "occupied": True, "devices": ["hall", "stairs"]})


def forgets_who_is_away(watcher: Subscriber) -> None:
    """A daemon that died leaves no people behind."""
    watcher.publish("posed/stairs/availability", b"offline", retain=True)
    people_are(watcher, {"people": 0, "occupied": False, "devices": ["hall"]})
    # What the broker keeps of a dead daemon may come after its availability.
    watcher.publish("posed/stairs/state", _state("stairs", 4), retain=True)
    say(watcher, "hall", people=1)
    people_are(watcher, {"people": 1, "occupied": True, "devices": ["hall"]})


def knows_nothing_of_blind_devices(watcher: Subscriber) -> None:
    """Not zero."""
    say(watcher, "hall", people=None)
    people_are(watcher, {"people": None, "occupied": None, "devices": []})
    say(watcher, "hall", people=1)
    people_are(watcher, {"people": 1, "occupied": True, "devices": ["hall"]})


def forwards_a_fall_once(watcher: Subscriber) -> None:
    """Though it comes twice; and its end."""
    before = len(alarms(watcher))
    for _ in range(2):
        happen(watcher, "01A", "fall", zone="kitchen")
    happen(watcher, "01B", "fall_cleared")
    eventually(lambda: len(alarms(watcher)) == before + 2, PATIENCE_S)
    fall, over = alarms(watcher)[before:]
    assert (fall["fallen"], fall["test"], fall["text"]) == (True, False, "Somebody has fallen: hall, kitchen")
    assert (over["fallen"], over["text"]) == (False, "The fall is over: hall")


def forwards_a_test_as_one(watcher: Subscriber) -> None:
    """So that nobody runs."""
    before = len(alarms(watcher))
    happen(watcher, "01C", "fall", test=True)
    eventually(lambda: len(alarms(watcher)) == before + 1, PATIENCE_S)
    assert alarms(watcher)[-1]["text"] == "Test. Somebody has fallen: hall"


def leaves_other_events_alone(watcher: Subscriber) -> None:
    """A raised hand is no alarm."""
    before = len(alarms(watcher))
    happen(watcher, "01D", "gesture", gesture="left_hand_raised")
    time.sleep(QUIET_S)
    assert len(alarms(watcher)) == before, alarms(watcher)[before:]


def survives_rubbish(watcher: Subscriber) -> None:
    """And goes on."""
    for payload in (b"", b"{", b"null", b"[]", b'"fall"', b'{"type": "fall"}', b"\xff\xfe"):
        watcher.publish("posed/hall/events", payload)
        watcher.publish("posed/rubbish/state", payload)
    forwards_a_fall_named(watcher, "01E")


def forwards_a_fall_named(watcher: Subscriber, one: str) -> None:
    """With this id."""
    before = len(alarms(watcher))
    happen(watcher, one, "fall")
    eventually(lambda: len(alarms(watcher)) == before + 1, PATIENCE_S)


def clears(watcher: Subscriber, port: int) -> None:
    """The button, pressed as the editor does."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/inject/posed-button", b"", method="POST")
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - ours
    eventually(lambda: watcher.payloads("posed/hall/request/clear_fall") == [b"{}"], PATIENCE_S)


def survives_a_restart(watcher: Subscriber, broker: Mosquitto) -> None:
    """Of the broker."""
    broker.restart()
    eventually(lambda: came_through(watcher), PATIENCE_S)


def came_through(watcher: Subscriber) -> bool:
    """Whether an event gets an answer; one of its own each time, since who is not connected hears none."""
    before = len(alarms(watcher))
    with contextlib.suppress(RuntimeError):  # we are not connected again either
        happen(watcher, f"02{time.monotonic_ns()}", "fall")
    time.sleep(1)
    return len(alarms(watcher)) > before


# What is sent, and what came


def say(watcher: Subscriber, device: str, people: int | None) -> None:
    """A device tells how many it sees."""
    watcher.publish(f"posed/{device}/availability", b"online", retain=True)
    watcher.publish(f"posed/{device}/state", _state(device, people), retain=True)


def _state(device: str, people: int | None) -> bytes:
    occupied = None if people is None else people > 0
    return encode(state(device=device, people=people, occupied=occupied, posture=None))


def happen(watcher: Subscriber, one: str, kind: EventType, *, zone: str | None = None, **detail: Any) -> None:
    """An event of the device `hall`."""
    message = event(id=one, type=kind, zone=zone, detail=detail)
    watcher.publish("posed/hall/events", encode(message))


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


if __name__ == "__main__":
    sys.exit(main())
