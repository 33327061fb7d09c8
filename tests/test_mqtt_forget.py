"""`posed mqtt forget` against a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.brokers import Mosquitto, Subscriber, eventually
from tests.former import RETAINED, leave_announced
from tests.run_posed import environment, posed

DEVICE = "homeassistant/device/posed_hall/config"
OURS = {
    DEVICE: b"{}",
    "homeassistant/device/posed_hall/door/config": b"{}",
    "homeassistant/sensor/posed_hall/door-people/config": b"{}",
    "posed/hall/state": b"{}",
    "posed/hall/door/state": b"{}",
    "posed/hall/door/zones/old": b"{}",
    "posed/hall/availability": b"offline",
}
OTHERS = {
    "homeassistant/device/posed_hallway/config": b"{}",
    "homeassistant/device/posed_hallway/door/config": b"{}",
    "homeassistant/sensor/hall/people/config": b"{}",
    "posed/attic/state": b"{}",
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as mosquitto:
        yield mosquitto


@pytest.fixture
def config(tmp_path: Path, broker: Mosquitto) -> Path:
    path = tmp_path / "posed.yaml"
    mqtt = {"host": "127.0.0.1", "port": broker.port}
    settings: dict[str, Any] = {"device": "hall", "cameras": {"door": {}}, "mqtt": mqtt}
    path.write_text(yaml.safe_dump(settings))
    return path


def retain(broker: Mosquitto, messages: dict[str, bytes]) -> None:
    with Subscriber(broker.port) as subscriber:
        for topic, payload in messages.items():
            subscriber.publish(topic, payload, retain=True)


def kept(broker: Mosquitto) -> set[str]:
    with Subscriber(broker.port) as late:
        late.publish("the/end", b"")
        late.wait_for("the/end", b"")
        return {message.topic for message in late.messages if message.retain}


def test_everything_of_a_device_is_gone_and_nothing_of_others(tmp_path, broker, config):
    retain(broker, OURS | OTHERS)
    done = posed(tmp_path, "mqtt", "forget", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"emptied {DEVICE}" in done.stdout
    assert kept(broker) == set(OTHERS)


def test_what_the_state_folder_knows_is_emptied_too(tmp_path, broker, config):
    file = Path(environment(tmp_path)["XDG_STATE_HOME"]) / "posed" / "announced.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"homeassistant/device/posed_former/config": [], "posed/former/state": []}))
    retain(broker, {"homeassistant/device/posed_former/config": b"{}", "posed/former/state": b"{}"})
    assert posed(tmp_path, "mqtt", "forget", "--config", config).returncode == 0
    assert kept(broker) == set()
    assert not file.exists()


def test_what_schema_1_left_is_gone_as_well(tmp_path, broker, config):
    leave_announced(Path(environment(tmp_path)["XDG_STATE_HOME"]) / "posed" / "announced.json")
    retain(broker, RETAINED)
    assert posed(tmp_path, "mqtt", "forget", "--config", config).returncode == 0
    assert kept(broker) == set()


def test_a_state_folder_that_cannot_be_there_knows_nothing(tmp_path, broker, config):
    retain(broker, OURS)
    nowhere = {"STATE_DIRECTORY": "/dev/null/posed"}
    done = posed(tmp_path, "mqtt", "forget", "--config", config, more=nowhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept(broker) == set()


def test_home_assistant_hears_of_it_before_the_rest_is_gone(tmp_path, broker, config):
    retain(broker, OURS)
    with Subscriber(broker.port) as watcher:
        before = len(watcher.messages)
        eventually(lambda: len(watcher.messages) >= len(OURS))
        before = len(watcher.messages)
        assert posed(tmp_path, "mqtt", "forget", "--config", config).returncode == 0
        topics = [message.topic for message in watcher.messages[before:]]
    first_own = next(index for index, topic in enumerate(topics) if topic.startswith("posed/"))
    assert all(topic.startswith("posed/") for topic in topics[first_own:])


def test_a_device_that_is_online_is_not_forgotten_unless_forced(tmp_path, broker, config):
    retain(broker, OURS | {"posed/hall/availability": b"online"})
    done = posed(tmp_path, "mqtt", "forget", "--config", config)
    assert done.returncode == 6
    assert "is online, and would announce itself again; stop its daemon first" in done.stderr
    assert kept(broker) == set(OURS)
    assert posed(tmp_path, "mqtt", "forget", "--config", config, "--force").returncode == 0
    assert kept(broker) == set()


def test_a_broker_that_keeps_nothing_has_its_subscribers_forget(tmp_path):
    with (
        Mosquitto(tmp_path, lines=("retain_available false", "max_qos 0")) as broker,
        Subscriber(broker.port) as home,
    ):
        mqtt = {"host": "127.0.0.1", "port": broker.port}
        settings = {"device": "hall", "cameras": {"door": {}}, "mqtt": mqtt}
        (tmp_path / "posed.yaml").write_text(yaml.safe_dump(settings))
        done = posed(tmp_path, "mqtt", "forget", "--config", tmp_path / "posed.yaml")
        assert (done.returncode, done.stderr) == (0, "")
        home.wait_for(DEVICE, b"")
        home.wait_for("homeassistant/device/posed_hall/door/config", b"")
        home.wait_for("posed/hall/door/fall", b"")
