"""What is announced when, and taken back: the steps, when they go out, and what is remembered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from posed.config import Config
from posed.mqtt.broker import DeliveryResult
from posed.mqtt.discovered import retained_topics
from posed.mqtt.discovery import DiscoveryPublisher, plan
from posed.mqtt.homeassistant import MIGRATE, Announcement, announcements
from tests.broker_fake import FakeBroker
from tests.former import FOLDER, leave_announced

MACHINE = "homeassistant/device/posed_hall/config"
DOOR = "homeassistant/device/posed_hall/door/config"
STAIRS = "homeassistant/device/posed_hall/stairs/config"
BESIDE = {"posed/hall/state", "posed/hall/door/state", "posed/hall/door/zones/bed"}
SQUARE = {"polygon": [[0, 0], [1, 0], [1, 1]]}


def configured(**changes: Any) -> Config:
    return Config(**({"device": "hall", "cameras": {"door": {}}} | changes))


def announced(**changes: Any) -> dict[str, Announcement]:
    return announcements(configured(**changes), "m", has_temperature=False)


SINGLE = {"homeassistant": {"discovery": "components"}}
OFF = {"homeassistant": {"discovery": "off"}}
ZONE = {"cameras": {"door": {"zones": {"bed": SQUARE}}}}
TWO = {"cameras": {"door": {}, "stairs": {"zones": {"top": SQUARE}}}}


def known(now: dict[str, Announcement]) -> dict[str, frozenset[str]]:
    return {topic: one.entities for topic, one in now.items()}


# The steps


def test_the_first_time_everything_is_announced_and_nothing_taken_back():
    former, migrate, fresh, cleared = plan({}, announced(), BESIDE)
    assert (former, migrate, cleared) == ([], [], [])
    assert [topic for topic, _ in fresh] == [MACHINE, DOOR]


def test_a_former_entity_is_left_with_its_platform_alone():
    _, _, fresh, cleared = plan(known(announced(**ZONE)), announced(), BESIDE)
    components = json.loads(dict(fresh)[DOOR])["components"]
    assert components["door-zone_bed_people"] == {"platform": "sensor"}
    assert components["door-zone_bed_occupancy"] == {"platform": "binary_sensor"}
    assert len(components["door-people"]) > 5
    assert cleared == []


def test_a_component_that_is_no_more_has_its_topic_emptied():
    _, migrate, _, cleared = plan(known(announced(**ZONE, **SINGLE)), announced(**SINGLE), BESIDE)
    assert migrate == []
    assert set(cleared) == {
        ("homeassistant/sensor/posed_hall/door-zone_bed_people/config", b""),
        ("homeassistant/binary_sensor/posed_hall/door-zone_bed_occupancy/config", b""),
    }


@pytest.mark.parametrize(("before", "after"), [({}, SINGLE), (SINGLE, {})])
def test_another_way_of_discovery_migrates_the_entities(before, after):
    _, migrate, fresh, cleared = plan(known(announced(**before)), announced(**after), BESIDE)
    assert {topic for topic, _ in migrate} == set(announced(**before))
    assert {payload for _, payload in migrate} == {MIGRATE}
    left = fresh[: len(migrate)]
    assert left == [(topic, b"") for topic in announced(**before)]
    assert {topic for topic, _ in fresh[len(left) :]} == set(announced(**after))
    assert cleared == []


def test_off_takes_everything_back():
    _, migrate, fresh, cleared = plan(known(announced()), announced(**OFF), BESIDE)
    assert (migrate, fresh, cleared) == ([], [], [(MACHINE, b""), (DOOR, b"")])


def test_another_device_name_clears_all_of_the_old_one():
    before = known(announced()) | dict.fromkeys(BESIDE, frozenset())
    _, migrate, fresh, cleared = plan(before, announced(device="attic"), {"posed/attic/state"})
    assert migrate == []
    assert [topic for topic, _ in fresh] == [
        "homeassistant/device/posed_attic/config",
        "homeassistant/device/posed_attic/door/config",
    ]
    assert {topic for topic, _ in cleared} == {MACHINE, DOOR, *BESIDE}


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

    def announce(self, **changes: Any) -> None:
        """Announce as the daemon does of a configuration, and let all of it be taken."""
        self.broker.messages.clear()
        self.publisher.announce(announced(**changes), retained_topics(configured(**changes)))
        self.settle()

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
    assert run.broker.topics() == [MACHINE, DOOR]


def test_home_assistant_gets_a_moment_before_entities_come_again(file):
    run = Run(file)
    run.publisher.announce(announced(), BESIDE)
    run.settle()
    run.broker.messages.clear()
    run.publisher.announce(announced(**SINGLE), BESIDE)
    run.publisher.step()
    assert run.sent == [(MACHINE, MIGRATE), (DOOR, MIGRATE)]
    run.now_s += 1
    run.publisher.step()
    assert len(run.sent) == 2
    run.settle()
    assert run.sent[2:4] == [(MACHINE, b""), (DOOR, b"")]
    assert set(run.broker.topics()[4:]) == set(announced(**SINGLE))


def test_again_sends_all_of_it_again(file):
    run = Run(file)
    run.publisher.announce(announced(), BESIDE)
    run.settle()
    run.publisher.again()
    run.settle()
    assert run.broker.topics() == [MACHINE, DOOR] * 2


def test_what_went_before_the_broker_answered_is_taken_back(file):
    run = Run(file)
    run.publisher.announce(announced(**ZONE), BESIDE)
    run.publisher.step()
    run.publisher.announce(announced(), BESIDE - {"posed/hall/door/zones/bed"})
    run.settle()
    assert ("posed/hall/door/zones/bed", b"") in run.sent
    assert kept_in(file) == {MACHINE, DOOR, "posed/hall/state", "posed/hall/door/state"}


def test_a_connection_before_anything_is_known_takes_nothing_back(file):
    first = Run(file)
    first.publisher.announce(announced(), BESIDE)
    first.settle()
    second = Run(file)
    second.publisher.again()
    second.settle()
    assert second.sent == []


# Cameras that come and go


WITH_DOOR = {
    *(MACHINE, DOOR, "posed/hall/availability", "posed/hall/state"),
    *("posed/hall/door/state", "posed/hall/door/fall"),
}
OF_STAIRS = {STAIRS, *(f"posed/hall/stairs/{name}" for name in ("state", "fall", "zones/top"))}


def test_a_new_camera_is_announced_alone(file):
    run = Run(file)
    run.announce()
    run.announce(**TWO)
    assert run.broker.topics() == [STAIRS]
    assert kept_in(file) == WITH_DOOR | OF_STAIRS


def test_a_camera_less_is_emptied_and_others_are_left_alone(file):
    run = Run(file)
    run.announce(**TWO)
    run.announce()
    assert sorted(run.sent) == [(topic, b"") for topic in sorted(OF_STAIRS)]
    assert kept_in(file) == WITH_DOOR


def test_a_renamed_camera_is_emptied_and_announced_anew(file):
    run = Run(file)
    run.announce(**TWO)
    run.announce(cameras={"door": {}, "landing": {"zones": {"top": SQUARE}}})
    (fresh, *emptied) = run.sent
    assert fresh[0] == "homeassistant/device/posed_hall/landing/config"
    assert set(emptied) == {(topic, b"") for topic in OF_STAIRS}


def test_a_camera_less_has_each_of_its_components_emptied(file):
    run = Run(file)
    run.announce(**TWO, **SINGLE)
    run.announce(**SINGLE)
    gone = set(announced(**TWO, **SINGLE)) - set(announced(**SINGLE)) | OF_STAIRS - {STAIRS}
    assert set(run.sent) == {(topic, b"") for topic in gone}
    assert all("stairs" in topic for topic in gone)


def test_a_camera_that_comes_back_is_announced_again(file):
    run = Run(file)
    for cameras in (TWO, {}, TWO):
        run.announce(**cameras)
    assert run.broker.topics() == [STAIRS]


def test_a_change_undone_before_its_answer_is_sent_again(file):
    run = Run(file)
    run.announce()
    run.broker.messages.clear()
    run.publisher.announce(announced(**ZONE), BESIDE)
    run.publisher.step()
    run.announce()
    assert DOOR in run.broker.topics()


def test_the_next_run_empties_a_camera_that_went_meanwhile(file):
    Run(file).announce(**TWO)
    run = Run(file)
    run.announce()
    assert {topic for topic, payload in run.sent if payload == b""} == OF_STAIRS


# What an earlier version left


OF_SCHEMA_1 = {"posed/hall/fall", "posed/hall/zones/left", MACHINE}


def test_what_schema_1_left_is_emptied_before_anything_is_announced(file):
    leave_announced(file)
    run = Run(file)
    run.publisher.announce(announced(), retained_topics(configured()))
    run.publisher.step()
    assert run.sent[0] == (MACHINE, b"")
    assert {topic for topic, payload in run.sent if payload == b""} == OF_SCHEMA_1
    assert len(run.sent) == len(OF_SCHEMA_1)
    run.broker.answer()
    run.now_s += 1
    run.publisher.step()
    assert len(run.sent) == len(OF_SCHEMA_1)
    run.settle()
    assert run.broker.topics()[len(OF_SCHEMA_1) :] == [MACHINE, DOOR]
    assert all("platform" in one and len(one) > 1 for one in components_of(run.sent[-2][1]))


def components_of(payload: bytes) -> list[dict[str, Any]]:
    return list(json.loads(payload)["components"].values())


def test_what_schema_1_left_is_emptied_once(file):
    leave_announced(file)
    first = Run(file)
    first.announce()
    first.broker.messages.clear()
    first.publisher.again()
    first.settle()
    assert first.broker.topics() == [MACHINE, DOOR]
    assert kept_in(file) == WITH_DOOR
    second = Run(file)
    second.announce()
    assert second.broker.topics() == [MACHINE, DOOR]


def test_components_of_schema_1_are_emptied_each(file):
    announced_then = json.loads((FOLDER / "announced.json").read_text())
    entities = announced_then.pop(MACHINE)
    file.write_text(json.dumps(announced_then | {f"{one}/config": [one] for one in entities}))
    run = Run(file)
    run.announce(**SINGLE)
    emptied = {topic for topic, payload in run.sent if payload == b""}
    assert emptied == {f"{one}/config" for one in entities} | OF_SCHEMA_1 - {MACHINE}
    assert set(run.broker.topics()[len(emptied) :]) == set(announced(**SINGLE))


def test_an_emptying_that_the_broker_lost_is_done_again(file):
    leave_announced(file)
    first = Run(file)
    first.publisher.announce(announced(), retained_topics(configured()))
    first.publisher.step()
    first.broker.answer(DeliveryResult.LOST)
    first.publisher.again()
    first.broker.messages.clear()
    first.settle()
    assert {topic for topic, payload in first.sent if payload == b""} == OF_SCHEMA_1
    assert first.broker.topics()[len(OF_SCHEMA_1) :] == [MACHINE, DOOR]


def test_the_next_run_empties_what_one_left(file):
    leave_announced(file)
    first = Run(file)
    first.publisher.announce(announced(), retained_topics(configured()))
    first.publisher.step()
    second = Run(file)
    second.announce()
    assert second.sent[0] == (MACHINE, b"")
    assert {topic for topic, payload in second.sent if payload == b""} >= OF_SCHEMA_1
    assert second.broker.topics()[-2:] == [MACHINE, DOOR]


# What is kept in mind


def kept_in(file: Path) -> set[str]:
    """The topics that a file names."""
    return set(json.loads(file.read_text(encoding="utf-8"))["topics"])


def test_the_next_run_takes_back_what_it_does_not_have(file):
    first = Run(file)
    first.publisher.announce(announced(**ZONE), BESIDE)
    first.settle()
    second = Run(file)
    second.publisher.announce(announced(), {"posed/hall/state", "posed/hall/door/state"})
    second.settle()
    assert zone_in(second.sent) == {"platform": "sensor"}
    assert second.sent[2:] == [("posed/hall/door/zones/bed", b"")]
    third = Run(file)
    third.publisher.announce(announced(), {"posed/hall/state", "posed/hall/door/state"})
    third.settle()
    assert zone_in(third.sent) is None
    assert len(third.sent) == 2


def zone_in(sent: list[tuple[str, bytes]]) -> dict[str, Any] | None:
    """What was said last of the sensor of a zone."""
    (*_, payload) = (payload for topic, payload in sent if topic == DOOR)
    component: dict[str, Any] | None = json.loads(payload)["components"].get("door-zone_bed_people")
    return component


def test_the_next_run_takes_back_what_was_half_announced(file):
    first = Run(file)
    first.publisher.announce(announced(**SINGLE), BESIDE)
    first.publisher.step()
    second = Run(file)
    second.publisher.announce(announced(), BESIDE)
    second.settle()
    assert set(second.broker.topics()) == {*announced(**SINGLE), MACHINE, DOOR}
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
    assert zone_in(third.sent) == {"platform": "sensor"}


def test_what_was_taken_back_stays_named_within_a_run(file):
    run = Run(file)
    for changes in (ZONE, {}):
        run.publisher.announce(announced(**changes), BESIDE)
        run.settle()
    run.publisher.again()
    run.settle()
    assert zone_in(run.sent) == {"platform": "sensor"}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": [1]}', "null"])
def test_a_file_that_is_none_of_ours_is_no_obstacle(file, content):
    file.write_text(content)
    run = Run(file)
    run.publisher.announce(announced(), BESIDE)
    run.settle()
    assert run.broker.topics()[-2:] == [MACHINE, DOOR]


def test_a_folder_that_cannot_be_written_is_said(tmp_path, caplog):
    (tmp_path / "no").write_text("a file")
    run = Run(tmp_path / "no" / "announced.json")
    run.publisher.announce(announced(), BESIDE)
    run.settle()
    assert "cannot be written: " in caplog.text


def test_what_is_removed_again_is_emptied_again(file):
    """A camera that came back used its topics again."""
    run = Run(file)
    for _ in range(2):
        run.announce(**TWO)
        run.announce()
        assert {topic for topic, payload in run.sent if payload == b""} == OF_STAIRS
