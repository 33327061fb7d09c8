"""What a device announces as its configuration changes, and which topics it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from posed.config import Config
from posed.mqtt.discovered import DiscoveredDevice, remedies, retained_topics
from tests.broker_fake import FakeBroker

SQUARE = {"polygon": [[0, 0], [1, 0], [1, 1]]}
TWO = {"hall": {"zones": {"rug": SQUARE, "tv": SQUARE | {"kind": "exclude"}}}, "bedroom": {}}
MACHINE = "homeassistant/device/posed_pi/config"
HALL = "homeassistant/device/posed_pi/hall/config"
BEDROOM = "homeassistant/device/posed_pi/bedroom/config"


def configured(**cameras: dict[str, Any]) -> Config:
    return Config(device="pi", cameras=cameras)


class Device:
    """A device, its broker, and the temperature of its engine."""

    def __init__(self, folder: Path) -> None:
        self.broker = FakeBroker()
        self.temperature_c: float | None = None
        self.discovered = DiscoveredDevice(
            folder / "announced.json", self.broker, "m", lambda: self.temperature_c
        )

    def update(self, config: Config) -> set[str]:
        """Go on with a configuration; returns which cameras are new or have changed."""
        self.broker.messages.clear()
        changed = self.discovered.update(config, engine_is_known=True)
        for _ in range(4):
            self.discovered.step()
            self.broker.answer()
        return changed


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_at_first_every_camera_is_new(device):
    assert device.update(configured(**TWO)) == {"hall", "bedroom"}
    assert device.broker.topics() == [MACHINE, HALL, BEDROOM]


def test_the_same_configuration_sends_nothing(device):
    device.update(configured(**TWO))
    assert device.update(configured(**TWO)) == set()
    assert device.broker.messages == []


def test_only_the_camera_that_changed_is_told_of(device):
    device.update(configured(**TWO))
    assert device.update(configured(**TWO | {"bedroom": {"zones": {"bed": SQUARE}}})) == {"bedroom"}
    assert device.broker.topics() == [BEDROOM]


def test_a_camera_less_changes_no_other(device):
    device.update(configured(**TWO))
    assert device.update(configured(hall=TWO["hall"])) == set()
    assert {message.payload for message in device.broker.messages} == {b""}
    assert set(device.broker.topics()) == {BEDROOM, "posed/pi/bedroom/state", "posed/pi/bedroom/fall"}


def test_a_temperature_that_comes_is_the_machines_alone(device):
    device.update(configured(**TWO))
    device.temperature_c = 50.0
    assert device.update(configured(**TWO)) == set()
    assert device.broker.topics() == [MACHINE]


def test_what_is_retained_is_the_machines_and_each_cameras():
    assert retained_topics(configured(**TWO)) == {
        *("posed/pi/availability", "posed/pi/state"),
        *("posed/pi/hall/state", "posed/pi/hall/fall", "posed/pi/hall/zones/rug"),
        *("posed/pi/bedroom/state", "posed/pi/bedroom/fall"),
    }


def test_machine_and_cameras_have_a_remedy_when_too_large():
    assert set(remedies(configured(**TWO))) == {MACHINE, HALL, BEDROOM}
    assert set(remedies(configured(**TWO)).values()) == {"homeassistant.discovery: components"}
