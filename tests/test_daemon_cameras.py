"""`posed run` with several cameras, against a real broker: each on its own, and none in another's way."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from tests.brokers import Mosquitto, Subscriber, eventually
from tests.make_tflite import make_tflite
from tests.run_posed import Daemon

TOPIC = "posed/house"
DISCOVERY = "homeassistant/device/posed_house"
DRAWN = {"kind": "synthetic", "fps": 5}
EVERYWHERE = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}


@pytest.fixture
def settings(tmp_path: Path, broker: Mosquitto) -> dict[str, Any]:
    (tmp_path / "red.tflite").write_bytes(make_tflite())
    return {
        "device": "house",
        "model": {"name": str(tmp_path / "red.tflite")},
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "cameras": {"hall": dict(DRAWN), "bath": dict(DRAWN)},
    }


def messages(subscriber: Subscriber, name: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in subscriber.payloads(f"{TOPIC}/{name}") if payload]


def reload(daemon: Daemon, settings: dict[str, Any]) -> None:
    """Change the file, and wait until the daemon has taken it over."""
    before = daemon.log().count(" reloaded: ")
    daemon.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: daemon.log().count(" reloaded: ") > before, 20)


def recording(path: Path, frames: int) -> dict[str, Any]:
    """A camera that plays every one of so many frames, as fast as they are processed."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (130, 98))
    for _ in range(frames):
        writer.write(np.full((98, 130, 3), (0, 0, 255), np.uint8))
    writer.release()
    return {"kind": "video", "source": str(path), "realtime": False}


def test_each_camera_has_topics_of_its_own(tmp_path, broker, settings):
    settings["cameras"]["hall"]["zones"] = {"room": EVERYWHERE}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings):
        eventually(lambda: messages(subscriber, "hall/poses") and messages(subscriber, "bath/poses"), 30)
        eventually(lambda: messages(subscriber, "hall/zones/room"))
        for name in ("hall", "bath"):
            assert {one["camera"] for one in messages(subscriber, f"{name}/poses")} == {name}
            eventually(lambda name=name: messages(subscriber, f"{name}/fall"))
        eventually(lambda: messages(subscriber, "state")[-1]["cameras"] == {"hall": "ok", "bath": "ok"})
        assert messages(subscriber, "bath/zones/room") == []
        eventually(lambda: subscriber.payloads(f"{DISCOVERY}/bath/config"))
        device = json.loads(subscriber.payloads(f"{DISCOVERY}/bath/config")[-1])["device"]
        assert (device["name"], device["via_device"]) == ("house bath", TOPIC)


def test_a_reload_costs_the_other_cameras_nothing(tmp_path, broker, settings):
    frames = 1500
    settings["cameras"]["hall"] = recording(tmp_path / "red.avi", frames)
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        eventually(lambda: len(messages(subscriber, "hall/poses")) > 20, 30)
        eventually(lambda: subscriber.payloads(f"{DISCOVERY}/hall/config"))
        settings["cameras"] |= {"attic": dict(DRAWN), "bath": DRAWN | {"fps": 7}}
        reload(daemon, settings)
        eventually(lambda: messages(subscriber, "attic/poses"), 20)
        del settings["cameras"]["bath"]
        reload(daemon, settings)
        ended = f"{tmp_path}/red.avi: played to its end, {frames} frames"

        def seen() -> list[int]:
            return [one["sequence"] for one in messages(subscriber, "hall/poses")]

        eventually(lambda: (messages(subscriber, "hall/state")[-1].get("why") or "").endswith(ended), 90)
        # At full speed there may be more messages than go out on a busy machine.
        eventually(lambda: frames - len(seen()) <= messages(subscriber, "state")[-1]["dropped"])
        assert seen() == sorted(set(seen()))
        assert messages(subscriber, "hall/state")[-1]["dropped"] == 0
        while_it_played = messages(subscriber, "hall/state")[:-1]
        assert {one["status"] for one in while_it_played[1:]} <= {"ok"}
        assert len(subscriber.payloads(f"{DISCOVERY}/hall/config")) == 1
        assert daemon.stop() == 0


def test_a_camera_that_is_removed_leaves_nothing_behind(tmp_path, broker, settings):
    settings["cameras"]["bath"]["zones"] = {"tub": EVERYWHERE}
    own = [f"{TOPIC}/bath/{name}" for name in ("state", "fall", "zones/tub")]
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        eventually(lambda: all(subscriber.payloads(topic) for topic in own), 30)
        eventually(lambda: subscriber.payloads(f"{DISCOVERY}/bath/config"))
        del settings["cameras"]["bath"]
        reload(daemon, settings)
        for topic in [*own, f"{DISCOVERY}/bath/config"]:
            eventually(lambda topic=topic: subscriber.payloads(topic)[-1] == b"", 20)
        eventually(lambda: messages(subscriber, "state")[-1]["cameras"] == {"hall": "ok"})
        with Subscriber(broker.port) as late:
            eventually(lambda: messages(late, "hall/poses"))
            assert not [one.topic for one in late.messages if "bath" in one.topic and one.retain]


def test_a_camera_that_is_added_is_announced_and_seen(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        eventually(lambda: messages(subscriber, "hall/poses"), 30)
        settings["cameras"]["attic"] = dict(DRAWN)
        reload(daemon, settings)
        eventually(lambda: messages(subscriber, "attic/poses"), 20)
        eventually(lambda: subscriber.payloads(f"{DISCOVERY}/attic/config"), 20)
        eventually(lambda: messages(subscriber, "attic/fall") and messages(subscriber, "attic/state"), 20)


def test_a_camera_that_is_away_stops_nothing_else(tmp_path, broker, settings):
    settings["cameras"]["bath"] = {"kind": "video", "source": "/dev/video77"}
    settings["cameras"]["attic"] = {"kind": "video", "source": "/nowhere.mp4"}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        eventually(lambda: messages(subscriber, "hall/poses"), 30)
        eventually(lambda: "/dev/video77" in messages(subscriber, "bath/state")[-1].get("why", ""), 20)
        eventually(lambda: "/nowhere.mp4" in messages(subscriber, "attic/state")[-1].get("why", ""), 20)
        subscriber.publish(f"{TOPIC}/request/health")
        eventually(lambda: messages(subscriber, "response/health"))
        health = messages(subscriber, "response/health")[-1]["data"]
        assert (health["healthy"], len(health["problems"])) == (True, 2)
        assert {name: one["status"] for name, one in health["cameras"].items()} == {
            "hall": "ok",
            "bath": "waiting",
            "attic": "waiting",
        }
        assert daemon.process.poll() is None
        assert daemon.stop() == 0


def test_each_cameras_own_privacy_is_taken_over_at_a_reload(tmp_path, broker, settings):
    settings["cameras"]["hall"]["privacy"] = {"pictures": "full"}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        eventually(lambda: messages(subscriber, "bath/poses") and messages(subscriber, "hall/poses"), 30)

        def pictures() -> dict[str, str]:
            before = len(messages(subscriber, "response/snapshot"))
            subscriber.publish(f"{TOPIC}/request/snapshot")
            eventually(lambda: len(messages(subscriber, "response/snapshot")) > before)
            data = messages(subscriber, "response/snapshot")[-1]["data"]
            return {name: taken["pictures"] for name, taken in data["cameras"].items()}

        assert pictures() == {"hall": "full"}
        settings["privacy"] = {"pictures": "skeleton"}
        reload(daemon, settings)
        assert pictures() == {"hall": "full", "bath": "skeleton"}
        components = json.loads(subscriber.payloads(f"{DISCOVERY}/bath/config")[-1])["components"]
        eventually(lambda: "bath-snapshot" in subscriber.payloads(f"{DISCOVERY}/bath/config")[-1].decode())
        assert components


def test_what_a_version_without_names_left_is_kept(tmp_path, broker, settings):
    state = tmp_path / "state" / "posed"
    state.mkdir(parents=True)
    (state / "paused").touch()
    (state / "overlay.yaml").write_text("decode: {max_people: 3}\npeople: {zones: {bed: {}}}\n")
    (state / "pitch.json").write_text("{}")  # the first camera by name, as yaml writes them, is the bath
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:
        eventually(lambda: messages(subscriber, "state"), 30)
        eventually(
            lambda: messages(subscriber, "state")[-1]["cameras"] == {"hall": "paused", "bath": "paused"}, 20
        )
        assert messages(subscriber, "hall/state")[-1]["settings"]["decode.max_people"] == 3
        assert "left out: people.zones: unknown key" in daemon.log()
    assert (state / "pitch_bath.json").exists()


def test_nobody_has_an_id_twice_when_a_camera_changes(tmp_path, broker, settings):
    settings["model"] = {"name": "drawings-257x353-16"}
    del settings["cameras"]["bath"]
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings) as daemon:

        def entered() -> list[int]:
            return [one["person"] for one in messages(subscriber, "events") if one["type"] == "entered"]

        eventually(entered, 60)
        settings["cameras"]["hall"]["fps"] = 6
        reload(daemon, settings)
        before = len(entered())
        eventually(lambda: len(entered()) > before, 60)
        assert len(set(entered())) == len(entered())
        sequences = [one["sequence"] for one in messages(subscriber, "hall/poses")]
        assert sequences == sorted(set(sequences))
