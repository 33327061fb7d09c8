"""What is announced when, and taken back: the steps, their pace, and what is kept in mind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posed.config import Config
from posed.mqtt.client import DeliveryResult
from posed.mqtt.discovery import DiscoveryPublisher, plan
from posed.mqtt.homeassistant import MIGRATE, Announcement, announcements

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


def test_an_entity_that_is_no_more_is_left_with_its_platform_alone():
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


def test_another_name_of_the_device_clears_all_that_the_old_one_had():
    before = known(announced()) | dict.fromkeys(BESIDE, frozenset())
    migrate, fresh, cleared = plan(before, announced(device="attic"), {"posed/attic/state"})
    assert migrate == []
    assert [topic for topic, _ in fresh] == ["homeassistant/device/posed_attic/config"]
    assert {topic for topic, _ in cleared} == {DEVICE, *BESIDE}


# Their pace


class Broker:
    """Takes messages and answers when it is told to."""

    def __init__(self, file: Path) -> None:
        self.now_s = 50.0
        self.takes = True
        self.sent: list[tuple[str, bytes]] = []
        self.unanswered: list[Callable[[DeliveryResult], None]] = []
        self.announcer = DiscoveryPublisher(file, self._deliver, lambda: self.now_s)

    def _deliver(
        self, topic: str, payload: bytes, on_answer: Callable[[DeliveryResult], None], *, retain: bool
    ) -> bool:
        assert retain
        if self.takes:
            self.sent.append((topic, payload))
            self.unanswered.append(on_answer)
        return self.takes

    def topics(self) -> list[str]:
        return [topic for topic, _ in self.sent]

    def answer(self, answer: DeliveryResult = DeliveryResult.ACKNOWLEDGED) -> None:
        while self.unanswered:
            self.unanswered.pop(0)(answer)

    def settle(self) -> None:
        """Answer everything, and let all waits pass."""
        for _ in range(40):
            self.announcer.step()
            self.answer()
            self.now_s += 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "announced.json"


def test_only_a_few_are_on_the_way_at_a_time(file):
    broker = Broker(file)
    broker.announcer.announce(announced(**SINGLE), BESIDE)
    broker.announcer.step()
    assert len(broker.sent) == 8
    broker.answer()
    broker.announcer.step()
    assert len(broker.sent) == 16
    broker.settle()
    assert set(broker.topics()) == set(announced(**SINGLE))
    assert len(broker.sent) == len(announced(**SINGLE))


def test_what_is_not_taken_waits(file):
    broker = Broker(file)
    broker.takes = False
    broker.announcer.announce(announced(), BESIDE)
    broker.announcer.step()
    broker.takes = True
    broker.announcer.step()
    assert broker.topics() == [DEVICE]


def test_home_assistant_gets_a_moment_to_let_go_before_entities_come_again(file):
    broker = Broker(file)
    broker.announcer.announce(announced(), BESIDE)
    broker.settle()
    broker.sent.clear()
    broker.announcer.announce(announced(**SINGLE), BESIDE)
    broker.announcer.step()
    assert broker.sent == [(DEVICE, MIGRATE)]
    broker.now_s += 1
    broker.announcer.step()
    assert len(broker.sent) == 1
    broker.settle()
    assert broker.sent[1] == (DEVICE, b"")
    assert set(broker.topics()[2:]) == set(announced(**SINGLE))


def test_again_sends_all_of_it_again(file):
    broker = Broker(file)
    broker.announcer.announce(announced(), BESIDE)
    broker.settle()
    broker.announcer.again()
    broker.settle()
    assert broker.topics() == [DEVICE, DEVICE]


def test_what_was_gone_again_before_the_broker_had_answered_is_taken_back(file):
    broker = Broker(file)
    broker.announcer.announce(announced(**ZONE), BESIDE)
    broker.announcer.step()
    broker.announcer.announce(announced(), BESIDE - {"posed/hall/zones/bed"})
    broker.settle()
    assert ("posed/hall/zones/bed", b"") in broker.sent
    assert set(json.loads(file.read_text())) == {DEVICE, "posed/hall/state"}


def test_a_connection_before_it_is_known_what_there_is_takes_nothing_back(file):
    first = Broker(file)
    first.announcer.announce(announced(), BESIDE)
    first.settle()
    second = Broker(file)
    second.announcer.again()
    second.settle()
    assert second.sent == []


# What is kept in mind


def test_the_next_run_takes_back_what_it_does_not_have(file):
    first = Broker(file)
    first.announcer.announce(announced(**ZONE), BESIDE)
    first.settle()
    second = Broker(file)
    second.announcer.announce(announced(), {"posed/hall/state"})
    second.settle()
    assert json.loads(second.sent[0][1])["components"]["zone_bed_people"] == {"platform": "sensor"}
    assert second.sent[1:] == [("posed/hall/zones/bed", b"")]
    third = Broker(file)
    third.announcer.announce(announced(), {"posed/hall/state"})
    third.settle()
    assert "zone_bed_people" not in json.loads(third.sent[0][1])["components"]
    assert len(third.sent) == 1


def test_the_next_run_takes_back_what_one_that_ended_halfway_announced(file):
    first = Broker(file)
    first.announcer.announce(announced(**SINGLE), BESIDE)
    first.announcer.step()
    second = Broker(file)
    second.announcer.announce(announced(), BESIDE)
    second.settle()
    assert set(second.topics()) == {*announced(**SINGLE), DEVICE}
    assert {topic for topic, payload in second.sent if payload == b""} == set(announced(**SINGLE))


@pytest.mark.parametrize("answer", [DeliveryResult.REFUSED, DeliveryResult.LOST])
def test_what_the_broker_did_not_take_is_tried_again_by_the_next_run(file, answer):
    first = Broker(file)
    first.announcer.announce(announced(**ZONE), BESIDE)
    first.settle()
    second = Broker(file)
    second.announcer.announce(announced(), BESIDE)
    second.announcer.step()
    second.answer(answer)
    second.announcer.step()
    third = Broker(file)
    third.announcer.announce(announced(), BESIDE)
    third.settle()
    assert "zone_bed_people" in json.loads(third.sent[0][1])["components"]


def test_within_a_run_what_was_taken_back_stays_named_for_who_did_not_hear_it(file):
    broker = Broker(file)
    for changes in (ZONE, {}, {}):
        broker.announcer.announce(announced(**changes), BESIDE)
        broker.settle()
    assert json.loads(broker.sent[-1][1])["components"]["zone_bed_people"] == {"platform": "sensor"}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": [1]}', "null"])
def test_a_file_that_is_none_of_ours_is_no_obstacle(file, content):
    file.write_text(content)
    broker = Broker(file)
    broker.announcer.announce(announced(), BESIDE)
    broker.settle()
    assert broker.topics()[0] == DEVICE


def test_a_folder_that_cannot_be_written_is_said(tmp_path, caplog):
    (tmp_path / "no").write_text("a file")
    broker = Broker(tmp_path / "no" / "announced.json")
    broker.announcer.announce(announced(), BESIDE)
    broker.settle()
    assert "cannot be written: " in caplog.text
