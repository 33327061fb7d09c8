"""What is announced when, and taken back: the steps, when they go out, and what is remembered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from posed.config import Config
from posed.mqtt.broker import DeliveryResult
from posed.mqtt.discovery import DiscoveryPublisher, plan
from posed.mqtt.homeassistant import MIGRATE, Announcement, announcements
from tests.broker_fake import FakeBroker

DEVICE = "homeassistant/device/posed_hall/config"
BESIDE = {"posed/hall/state", "posed/hall/zones/bed"}
SQUARE = {"polygon": [[0, 0], [1, 0], [1, 1]]}


def announced(**changes: Any) -> dict[str, Announcement]:
    return announcements(Config(**({"device": "hall"} | changes)), "m", has_temperature=False)


SINGLE = {"homeassistant": {"discovery": "components"}}
OFF = {"homeassistant": {"discovery": "off"}}
ZONE = {"people": {"zones": {"bed": SQUARE}}}


def known(now: dict[str, Announcement]) -> dict[str, frozenset[str]]:
    return {topic: one.entities for topic, one in now.items()}


# The steps


def test_the_first_time_everything_is_announced_and_nothing_taken_back():
    migrate, fresh, cleared = plan({}, announced(), BESIDE)
    assert (migrate, cleared) == ([], [])
    assert [topic for topic, _ in fresh] == [DEVICE]


def test_a_former_entity_is_left_with_its_platform_alone():
    _, fresh, cleared = plan(known(announced(**ZONE)), announced(), BESIDE)
    components = json.loads(fresh[0][1])["components"]
    assert components["zone_bed_people"] == {"platform": "sensor"}
    assert components["zone_bed_occupancy"] == {"platform": "binary_sensor"}
    assert len(components["people"]) > 5
    assert cleared == []


def test_a_component_that_is_no_more_has_its_topic_emptied():
    migrate, _, cleared = plan(known(announced(**ZONE, **SINGLE)), announced(**SINGLE), BESIDE)
    assert migrate == []
    assert {topic for topic, _ in cleared} == {
        "homeassistant/sensor/posed_hall/zone_bed_people/config",
        "homeassistant/binary_sensor/posed_hall/zone_bed_occupancy/config",
    }
    assert {payload for _, payload in cleared} == {b""}


@pytest.mark.parametrize(("before", "after"), [({}, SINGLE), (SINGLE, {})])
def test_another_way_of_discovery_migrates_the_entities(before, after):
    migrate, fresh, cleared = plan(known(announced(**before)), announced(**after), BESIDE)
    assert {topic for topic, _ in migrate} == set(announced(**before))
    assert {payload for _, payload in migrate} == {MIGRATE}
    left = fresh[: len(migrate)]
    assert left == [(topic, b"") for topic in announced(**before)]
    assert {topic for topic, _ in fresh[len(left) :]} == set(announced(**after))
    assert cleared == []


def test_off_takes_everything_back():
    migrate, fresh, cleared = plan(known(announced()), announced(**OFF), BESIDE)
    assert (migrate, fresh, cleared) == ([], [], [(DEVICE, b"")])


def test_another_device_name_clears_all_of_the_old_one():
    before = known(announced()) | dict.fromkeys(BESIDE, frozenset())
    migrate, fresh, cleared = plan(before, announced(device="attic"), {"posed/attic/state"})
    assert migrate == []
    assert [topic for topic, _ in fresh] == ["homeassistant/device/posed_attic/config"]
    assert {topic for topic, _ in cleared} == {DEVICE, *BESIDE}


# When they go out


class Run:
    """One run of a daemon: its publisher, the broker, and the time that the test has."""

    def __init__(self, file: Path) -> None:
        self.now_s = 50.0
        self.broker = FakeBroker()
        self.publisher = DiscoveryPublisher(file, self.broker, lambda: self.now_s)

    @property
    def sent(self) -> list[tuple[str, bytes]]:
        assert all(message.retain for message in self.broker.messages)
        return [(message.topic, message.payload) for message in self.broker.messages]

    def settle(self) -> None:
        """Answer everything, and let all waits pass."""
        for _ in range(40):
            self.publisher.step()
            self.broker.answer()
            self.now_s += 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "announced.json"


def test_only_a_few_are_on_the_way_at_a_time(file):
    run = Run(file)
    run.publisher.announce(announced(**SINGLE), BESIDE)
    run.publisher.step()
    assert len(run.sent) == 8
    run.broker.answer()
    run.publisher.step()
    assert len(run.sent) == 16
    run.settle()
    assert set(run.broker.topics()) == set(announced(**SINGLE))
    assert len(run.sent) == len(announced(**SINGLE))


def test_what_is_too_large_is_left_out_alone(file):
    run = Run(file)
    messages = announced(**SINGLE)
    sizes = {topic: len(message.encoded()) for topic, message in messages.items()}
    run.broker.max_bytes = max(sizes.values()) - 1
    run.publisher.announce(messages, BESIDE)
    run.settle()
    assert set(run.broker.topics()) == {topic for topic, size in sizes.items() if size < max(sizes.values())}
    run.broker.messages.clear()
    run.broker.max_bytes = None
    run.publisher.again()
    run.settle()
    assert set(run.broker.topics()) == set(messages)


def test_what_is_not_taken_waits(file):
    run = Run(file)
    run.broker.full = True
    run.publisher.announce(announced(), BESIDE)
    run.publisher.step()
    run.broker.full = False
    run.publisher.step()
    assert run.broker.topics() == [DEVICE]


def test_home_assistant_gets_a_moment_before_entities_come_again(file):
    run = Run(file)
    run.publisher.announce(announced(), BESIDE)
    run.settle()
    run.broker.messages.clear()
    run.publisher.announce(announced(**SINGLE), BESIDE)
    run.publisher.step()
    assert run.sent == [(DEVICE, MIGRATE)]
    run.now_s += 1
    run.publisher.step()
    assert len(run.sent) == 1
    run.settle()
    assert run.sent[1] == (DEVICE, b"")
    assert set(run.broker.topics()[2:]) == set(announced(**SINGLE))


def test_again_sends_all_of_it_again(file):
    run = Run(file)
    run.publisher.announce(announced(), BESIDE)
    run.settle()
    run.publisher.again()
    run.settle()
    assert run.broker.topics() == [DEVICE, DEVICE]


def test_what_went_before_the_broker_answered_is_taken_back(file):
    run = Run(file)
    run.publisher.announce(announced(**ZONE), BESIDE)
    run.publisher.step()
    run.publisher.announce(announced(), BESIDE - {"posed/hall/zones/bed"})
    run.settle()
    assert ("posed/hall/zones/bed", b"") in run.sent
    assert set(json.loads(file.read_text())) == {DEVICE, "posed/hall/state"}


def test_a_connection_before_anything_is_known_takes_nothing_back(file):
    first = Run(file)
    first.publisher.announce(announced(), BESIDE)
    first.settle()
    second = Run(file)
    second.publisher.again()
    second.settle()
    assert second.sent == []


# What is kept in mind


def test_the_next_run_takes_back_what_it_does_not_have(file):
    first = Run(file)
    first.publisher.announce(announced(**ZONE), BESIDE)
    first.settle()
    second = Run(file)
    second.publisher.announce(announced(), {"posed/hall/state"})
    second.settle()
    assert json.loads(second.sent[0][1])["components"]["zone_bed_people"] == {"platform": "sensor"}
    assert second.sent[1:] == [("posed/hall/zones/bed", b"")]
    third = Run(file)
    third.publisher.announce(announced(), {"posed/hall/state"})
    third.settle()
    assert "zone_bed_people" not in json.loads(third.sent[0][1])["components"]
    assert len(third.sent) == 1


def test_the_next_run_takes_back_what_was_half_announced(file):
    first = Run(file)
    first.publisher.announce(announced(**SINGLE), BESIDE)
    first.publisher.step()
    second = Run(file)
    second.publisher.announce(announced(), BESIDE)
    second.settle()
    assert set(second.broker.topics()) == {*announced(**SINGLE), DEVICE}
    assert {topic for topic, payload in second.sent if payload == b""} == set(announced(**SINGLE))


@pytest.mark.parametrize("answer", [DeliveryResult.REFUSED, DeliveryResult.LOST])
def test_what_the_broker_refused_is_tried_by_the_next_run(file, answer):
    first = Run(file)
    first.publisher.announce(announced(**ZONE), BESIDE)
    first.settle()
    second = Run(file)
    second.publisher.announce(announced(), BESIDE)
    second.publisher.step()
    second.broker.answer(answer)
    second.publisher.step()
    third = Run(file)
    third.publisher.announce(announced(), BESIDE)
    third.settle()
    assert "zone_bed_people" in json.loads(third.sent[0][1])["components"]


def test_what_was_taken_back_stays_named_within_a_run(file):
    run = Run(file)
    for changes in (ZONE, {}, {}):
        run.publisher.announce(announced(**changes), BESIDE)
        run.settle()
    assert json.loads(run.sent[-1][1])["components"]["zone_bed_people"] == {"platform": "sensor"}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": [1]}', "null"])
def test_a_file_that_is_none_of_ours_is_no_obstacle(file, content):
    file.write_text(content)
    run = Run(file)
    run.publisher.announce(announced(), BESIDE)
    run.settle()
    assert run.broker.topics()[0] == DEVICE


def test_a_folder_that_cannot_be_written_is_said(tmp_path, caplog):
    (tmp_path / "no").write_text("a file")
    run = Run(tmp_path / "no" / "announced.json")
    run.publisher.announce(announced(), BESIDE)
    run.settle()
    assert "cannot be written: " in caplog.text
