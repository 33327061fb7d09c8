"""Events on their way to a real broker: none is lost, and none comes too late."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posed.config import MqttConfig, MqttEventsConfig
from posed.messages.structs import Sender
from posed.messages.topics import Topics
from posed.mqtt.broker import DeliveryResult, PublishResult
from posed.mqtt.client import MqttClient
from posed.mqtt.connection import Timing
from posed.mqtt.spool import Spool
from posed.mqtt.store import Moment, Store, StoredEvent
from posed.people.events import EventType
from posed.pipeline.occurrence import Evidence, Occurrence
from posed.pose import KEYPOINTS, Pose
from tests.broker_fake import FakeBroker, Published
from tests.brokers import Gate, Mosquitto, Subscriber, eventually
from tests.disks import Disk
from tests.former import FALL, WRITTEN_AT_S, leave_spool

TOPICS = Topics("posed/test")
CAMERA = "hall"
FALL_TOPIC = TOPICS.camera(CAMERA).fall
QUICK = Timing(connect_timeout_s=4, probe_timeout_s=0.3, backoff_min_s=0.02, backoff_max_s=0.1)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk") as disk:
        yield disk


class Clock:
    """The present, as the test has it."""

    def __init__(self) -> None:
        self.moment = Moment.now()

    def __call__(self) -> Moment:
        return self.moment

    def wait(self, seconds: float) -> None:
        self.moment = replace(
            self.moment,
            since_boot_s=self.moment.since_boot_s + seconds,
            time_s=self.moment.time_s + seconds,
        )

    def set(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.moment = replace(self.moment, time_s=self.moment.time_s + seconds)

    def reboot(self, since_boot_s: float) -> None:
        self.moment = Moment("another boot", since_boot_s, self.moment.time_s)


def happened(kind: EventType, time_s: float = 0, **more: Any) -> Occurrence:
    """Something before the first camera, unless another is given."""
    return Occurrence(kind, time_s, **({"camera": CAMERA} | more))


class Unanswering:
    """A client that keeps the broker's answers to itself."""

    def __init__(self, client: MqttClient) -> None:
        self._client = client

    def publish(self, topic: str, payload: bytes, **how: Any) -> PublishResult:
        return self._client.publish(topic, payload, **how)

    def deliver(self, topic: str, payload: bytes, _on_result: object, **how: Any) -> PublishResult:
        return self._client.deliver(topic, payload, lambda _: None, **how)


class Device:
    """A spool and its client.

    Args:
        file: of the spool.
        port: of the broker; the client is not started without one.
        answers: whether the spool hears what the broker answers.
        cameras: their names.
    """

    def __init__(
        self,
        file: Path,
        port: int | None = None,
        clock: Callable[[], Moment] = Moment.now,
        *,
        answers: bool = True,
        cameras: tuple[str, ...] = (CAMERA,),
        **settings: Any,
    ) -> None:
        self.client = MqttClient(
            MqttConfig(host="127.0.0.1", port=port or 1),
            password=None,
            client_id="posed-test",
            availability_topic=f"{TOPICS.base}/availability",
            on_connect=lambda: self.spool.publish_again(),  # noqa: PLW0108 - there is no spool yet
            timing=QUICK,
        )
        self.spool = Spool(
            file,
            sender=Sender.start("test"),
            topics=TOPICS,
            broker=self.client if answers else Unanswering(self.client),
            config=MqttEventsConfig(**settings),
            cameras=cameras,
            now=clock,
        )
        self._port = port

    def add(self, kind: EventType, **more: Any) -> str:
        return self.spool.add(happened(kind, time.time(), **more))

    def wait_delivered(self) -> None:
        eventually(lambda: self.spool.state.events == 0)

    def __enter__(self) -> Device:
        self.spool.start()
        if self._port is not None:
            self.client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop(2)
        self.spool.stop(5)


def spool_at(broker: FakeBroker, file: Path, **settings: Any) -> Spool:
    """A spool that publishes to a stand-in."""
    return Spool(
        file,
        sender=Sender.start("test"),
        topics=TOPICS,
        broker=broker,
        config=MqttEventsConfig(**settings),
        cameras=(CAMERA,),
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool.sqlite"


def events(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in subscriber.payloads(TOPICS.events)]


def ids(subscriber: Subscriber) -> list[str]:
    return [event["id"] for event in events(subscriber)]


def falls(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in subscriber.payloads(FALL_TOPIC)]


def on_disk(file: Path) -> list[str]:
    """What a daemon finds there that starts now."""
    store = Store(file)
    contents = store.open()
    store.close()
    return [event.id for event in contents.events]


def on_disk_now(file: Path, copy: Path) -> list[str]:
    """What a power cut leaves there; the file itself is locked while the spool has it."""
    copy.mkdir()
    for kept in file.parent.iterdir():
        shutil.copyfile(kept, copy / kept.name)
    return on_disk(copy / file.name)


# The way to the broker


def test_an_event_arrives_with_all_that_is_known_of_it(mosquitto, file):
    pose = Pose(np.arange(34.0).reshape(17, 2), np.full(17, 0.5), 0.9)
    told = happened(
        "gesture",
        1795345200.1234,
        person=7,
        zone="kitchen",
        detail={"gesture": "both_hands_raised"},
        evidence=Evidence(pose, 0.2),
    )
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as device:
        one = device.spool.add(told)
        eventually(lambda: events(seen))
        (event,) = events(seen)
        assert seen.messages[-1].qos == 1
    assert (event["id"], event["type"], event["device"]) == (one, "gesture", "test")
    assert event["camera"] == CAMERA
    assert (event["person"], event["zone"]) == (7, "kitchen")
    assert event["time"] == "2026-11-22T11:00:00.123Z"
    assert event["detail"] == {"gesture": "both_hands_raised"}
    assert tuple(event["keypoints"]) == KEYPOINTS


def test_an_event_is_on_disk_before_it_is_published(file, tmp_path):
    published: list[list[str]] = []

    def note(message: Published) -> None:
        if message.topic == TOPICS.events:
            published.append([message.json["id"], *on_disk_now(file, tmp_path / "copy")])

    spool = spool_at(FakeBroker(note), file)
    spool.start()
    one = spool.add(happened("fall"))
    eventually(lambda: published)
    assert published == [[one, one]]
    spool.stop(5)


def test_a_fall_during_another_write_is_published_once_on_disk(file, monkeypatch):
    written: set[str] = set()
    published: list[tuple[str, bool]] = []

    def note(message: Published) -> None:
        event_id = message.json["event" if message.topic == FALL_TOPIC else "id"]
        published.append((message.topic, event_id is None or event_id in written))

    spool = spool_at(FakeBroker(note), file)
    spool.start()
    write = Store.write

    def interrupted(store: Store, events: list[StoredEvent], *arguments: Any, **more: Any) -> None:
        write(store, events, *arguments, **more)
        written.update(event.id for event in events)
        if len(written) == 1:
            spool.add(happened("fall_cleared", person=7))
            spool.add(happened("fall", person=8))

    monkeypatch.setattr(Store, "write", interrupted)
    spool.add(happened("fall", person=7))
    eventually(lambda: len(written) == 3 and len(published) >= 4)
    spool.stop(5)
    assert {topic for topic, _ in published} == {TOPICS.events, FALL_TOPIC}
    assert all(was_written for _, was_written in published)


def test_an_acknowledged_event_leaves_the_disk(mosquitto, file):
    with Device(file, mosquitto.port) as device:
        device.add("fall")
        device.wait_delivered()
    assert on_disk(file) == []


def test_an_event_without_a_broker_awaits_the_next_start(mosquitto, file):
    with Device(file) as device:
        one = device.add("fall")
        assert device.spool.flush(8)
    assert on_disk(file) == [one]
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as device:
        device.wait_delivered()
        eventually(lambda: ids(seen) == [one])


def test_events_come_in_order_after_an_outage(mosquitto, file):
    with Gate(mosquitto.port, b"") as gate, Subscriber(mosquitto.port) as seen:
        gate.refusing = {4, 5}
        with Device(file, gate.port, max_age_s=60) as device:
            made = [device.add(kind) for kind in ["entered", "posture", "fall", "left"] * 10]
            assert device.spool.flush(8)
            assert ids(seen) == []
            gate.refusing = set()
            device.wait_delivered()
            eventually(lambda: len(ids(seen)) == len(made))
    assert ids(seen) == made


def test_an_unacknowledged_event_comes_again_with_the_same_id(mosquitto, file):
    with Gate(mosquitto.port, b"") as gate, Subscriber(mosquitto.port) as seen:
        gate.refusing = set()
        with Device(file, gate.port, answers=False) as device:
            eventually(lambda: device.client.connected and falls(seen))
            one = device.add("fall")
            eventually(lambda: ids(seen) == [one])
            assert device.spool.flush(8)
        with Device(file, gate.port) as device:
            device.wait_delivered()
            eventually(lambda: ids(seen) == [one, one])
        device.client.stop(1)


def test_a_connection_that_is_cut_does_not_lose_an_event(mosquitto, file):
    with Gate(mosquitto.port, b"") as gate, Subscriber(mosquitto.port) as seen:
        gate.refusing = set()
        with Device(file, gate.port) as device:
            made = []
            for _ in range(10):
                eventually(lambda: device.client.connected)
                made += [device.add("fall") for _ in range(5)]
                gate.cut()
            device.wait_delivered()
            eventually(lambda: set(ids(seen)) == set(made))


def test_a_broker_that_refuses_gets_the_event_later(tmp_path, file):
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n")
    rules.chmod(0o600)
    with Mosquitto(tmp_path, lines=(f"acl_file {rules}",)) as broker, Device(file, broker.port) as device:
        one = device.add("fall")
        eventually(lambda: broker.log().count("Denied PUBLISH from posed-test") >= 2)
        assert device.spool.state.events == 1
        rules.write_text("topic readwrite #\n")
        broker.signal(signal.SIGHUP)
        with Subscriber(broker.port) as seen:
            eventually(lambda: ids(seen) == [one], 20)


def test_a_broker_that_refuses_is_not_asked_without_pause(tmp_path, file):
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n")
    rules.chmod(0o600)
    with Mosquitto(tmp_path, lines=(f"acl_file {rules}",)) as broker, Device(file, broker.port) as device:
        asked = lambda: broker.log().count("'posed/test/events'")  # noqa: E731
        device.add("fall")
        eventually(lambda: asked() >= 1)
        began = time.monotonic()
        eventually(lambda: asked() >= 3, 60)
        # Waits of 1 and 2 s, each from half of that on, less what the first ask had taken by then.
        assert time.monotonic() - began >= 1


def test_an_event_too_large_waits_and_holds_nobody_up(file):
    broker = FakeBroker()
    spool = spool_at(broker, file)
    spool.start()
    broker.max_bytes = 300
    pose = Pose(np.arange(34.0).reshape(17, 2), np.full(17, 0.5), 0.9)
    large = spool.add(happened("fall", evidence=Evidence(pose, 0.2)))
    small = spool.add(happened("fall_cleared"))
    sent = lambda: [message.json["id"] for message in broker.messages if message.topic == TOPICS.events]  # noqa: E731
    eventually(lambda: sent() == [small])
    assert spool.state.events == 2
    broker.max_bytes = None
    spool.publish_again()
    eventually(lambda: large in sent())
    spool.stop(5)


# Too late, too many


@pytest.mark.parametrize("kind", ["entered", "left", "zone_entered", "zone_left", "posture", "gesture"])
def test_what_is_too_old_is_dropped_and_counted(file, kind):
    clock = Clock()
    with Device(file, clock=clock) as device:
        device.add(kind)
        lasting = device.add("fall")
        assert device.spool.flush(8)
        clock.wait(9)
        device.spool.publish_again()
        assert device.spool.state.dropped == 0
        clock.wait(2)
        eventually(lambda: device.spool.state.dropped == 1)
    assert on_disk(file) == [lasting]


@pytest.mark.parametrize("kind", ["fall", "fall_cleared"])
def test_falls_are_never_too_old(mosquitto, file, kind):
    clock = Clock()
    with Device(file, clock=clock) as device:
        one = device.add(kind)
        assert device.spool.flush(8)
        clock.wait(365 * 86400)
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port, clock) as device:
        eventually(lambda: ids(seen) == [one])


def test_a_clock_that_is_set_makes_nothing_old(mosquitto, file):
    clock = Clock()
    with Device(file, clock=clock) as device:
        one = device.add("gesture")
        assert device.spool.flush(8)
        clock.set(365 * 86400)
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port, clock) as device:
        eventually(lambda: ids(seen) == [one])


def test_events_from_before_a_reboot_age_without_a_clock(file):
    clock = Clock()
    with Device(file, clock=clock) as device:
        device.add("gesture")
        assert device.spool.flush(8)
    clock.reboot(since_boot_s=25)
    with Device(file, clock=clock) as device:
        eventually(lambda: device.spool.state.dropped == 1)


def test_the_broker_is_told_to_forget_what_comes_too_late(mosquitto, file):
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as device:
        device.add("gesture")
        device.add("fall")
        eventually(lambda: len(ids(seen)) == 2)
        first, second = (message for message in seen.messages if message.topic == TOPICS.events)
    assert first.properties.MessageExpiryInterval in {9, 10}
    assert not hasattr(second.properties, "MessageExpiryInterval")


def test_beyond_the_bound_the_oldest_go_first_and_falls_last(file):
    with Device(file, max_waiting=10) as device:
        first_falls = [device.add("fall") for _ in range(6)]
        for _ in range(3):
            device.add("posture")
        last = [device.add("posture") for _ in range(4)]
        assert device.spool.flush(8)
        assert (device.spool.state.events, device.spool.state.dropped) == (10, 3)
    assert on_disk(file) == [*first_falls, *last]


def test_when_only_falls_are_left_the_oldest_goes(file):
    with Device(file, max_waiting=10) as device:
        made = [device.add("fall") for _ in range(12)]
        assert device.spool.flush(8)
        assert device.spool.state.dropped == 2
    assert on_disk(file) == made[2:]


# Kills


EMITTER = """
import sys, time
from pathlib import Path
from posed.config import MqttEventsConfig
from posed.messages.structs import Sender
from posed.mqtt.spool import Spool
from posed.pipeline.occurrence import Occurrence
from posed.messages.topics import Topics
from tests.broker_fake import FakeBroker
spool = Spool(
    Path(sys.argv[1]), sender=Sender.start("test"), topics=Topics("posed/test"),
    broker=FakeBroker(full=True), config=MqttEventsConfig(max_waiting=10000), cameras=("hall",),
)
spool.start()
while True:
    one = spool.add(Occurrence("fall", time.time(), camera="hall"))
    if spool.flush(10):
        print(one, flush=True)
"""


def emitted_until_killed(file: Path, count: int, environment: dict[str, str] | None = None) -> list[str]:
    """The events that a process said were on disk until it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", EMITTER, str(file)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(count)]
    process.kill()
    said += process.stdout.read().split()
    process.stdout.close()
    process.wait()
    return said


def test_what_was_on_disk_is_there_after_a_kill(file):
    said = emitted_until_killed(file, 20)
    found = on_disk(file)
    assert found[: len(said)] == said
    assert len(found) <= len(said) + 1


@pytest.fixture
def power_cut(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder that gets what a power cut leaves, and the environment of a process that suffers it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (Debian: gcc and libc6-dev)")
    library = tmp_path / "power_cut.so"
    source = Path(__file__).with_name("power_cut.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-o", library, source], check=True)
    folder = tmp_path / "left"
    folder.mkdir()
    return folder, os.environ | {"LD_PRELOAD": str(library), "POWER_CUT": str(folder)}


def test_what_was_on_disk_is_there_after_a_power_cut(file, power_cut):
    left, environment = power_cut
    # More than fits into the WAL, so that it is carried into the file on the way.
    said = emitted_until_killed(file, 300, environment)
    assert on_disk(left / file.name)[: len(said)] == said


# Bad disks


def test_a_full_disk_is_said_and_events_still_arrive(disk, mosquitto, caplog):
    file = disk.folder / "spool.sqlite"
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as device:
        assert device.spool.state.durable
        disk.fill()
        made = [device.add("fall", detail={"text": "x" * 100_000}) for _ in range(3)]
        eventually(lambda: ids(seen) == made)
        eventually(lambda: not device.spool.state.durable)
        assert device.spool.state.why == f"{file}: database or disk is full"
    assert f"event spool: {file}: database or disk is full; events are kept in memory only" in caplog.text


def test_what_memory_kept_is_written_once_there_is_room(disk, caplog):
    file = disk.folder / "spool.sqlite"
    with caplog.at_level(logging.INFO), Device(file) as device:
        disk.fill()
        made = [device.add("fall", detail={"text": "x" * 50_000}) for _ in range(3)]
        assert not device.spool.flush(0.5)
        disk.free()
        assert device.spool.flush(20)
        assert device.spool.state.durable
        assert "event spool: durable again, 3 events waiting" in caplog.text
    assert on_disk(file) == made


def test_a_healed_disk_lacks_what_the_broker_took_meanwhile(disk, mosquitto, monkeypatch):
    file = disk.folder / "spool.sqlite"
    tries, open_store = [], Store.open
    monkeypatch.setattr(Store, "open", lambda store: tries.append(store) or open_store(store))
    with Device(file) as device:
        device.add("fall")
        assert device.spool.flush(8)
    disk.fill()
    with Device(file, mosquitto.port) as device:
        device.wait_delivered()
        before = len(tries)
        eventually(lambda: len(tries) > before + 1, 20)  # the disk was tried again in vain
        assert not device.spool.state.durable
        disk.free()
        eventually(lambda: device.spool.state.durable, 20)
    assert on_disk(file) == []


def test_a_disk_read_only_at_the_start_delays_nothing(disk, mosquitto):
    file = disk.folder / "spool.sqlite"
    with Device(file) as device:
        left = device.add("fall", person=7)
        assert device.spool.flush(8)
    disk.protect()
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as device:
        assert device.spool.state.why == f"{file}: Read-only file system"
        new = device.add("gesture")
        eventually(lambda: ids(seen) == [left, new])
        eventually(lambda: falls(seen) and falls(seen)[-1]["event"] == left)
        disk.unprotect()
        eventually(lambda: device.spool.state.durable, 20)
    assert on_disk(file) == []


def test_a_damaged_file_is_begun_anew(file, mosquitto, caplog):
    file.parent.mkdir()
    file.write_bytes(b"garbage" * 5000)
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as device:
        one = device.add("fall")
        eventually(lambda: ids(seen) == [one])
        assert device.spool.state.durable
    assert "set aside as spool.sqlite.damaged" in caplog.text


def test_a_file_removed_while_running_is_written_again(file):
    with Device(file) as device:
        first = device.add("fall")
        assert device.spool.flush(8)
        file.unlink()
        second = device.add("fall")
        assert device.spool.flush(20)
    assert on_disk(file) == [first, second]


def test_a_spool_that_another_process_has_is_left_alone(file, mosquitto):
    with Device(file) as owner:
        owner.add("fall")
        assert owner.spool.flush(8)
        with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as other:
            assert other.spool.state.why == f"{file}: database is locked"
            mine = other.add("gesture")
            eventually(lambda: ids(seen) == [mine])
            assert falls(seen) == []


def test_adding_does_not_wait_for_the_disk(file, monkeypatch):
    with Device(file) as device:
        write = Store.write
        held = []

        def slow(*arguments: Any, **more: Any) -> None:
            held.append(1)
            eventually(lambda: len(held) > 1)
            write(*arguments, **more)

        monkeypatch.setattr(Store, "write", slow)
        device.add("fall")
        eventually(lambda: held)
        began_at = time.monotonic()
        device.add("fall")
        assert time.monotonic() - began_at < 1
        assert not device.spool.flush(0)
        held.append(1)
        assert device.spool.flush(8)


def test_a_disk_that_takes_too_long_is_said(file, monkeypatch):
    clock = Clock()
    with Device(file, clock=clock) as device:
        write, begun, go_on = Store.write, threading.Event(), threading.Event()

        def slow(*arguments: Any, **more: Any) -> None:
            begun.set()
            assert go_on.wait(8)
            write(*arguments, **more)

        monkeypatch.setattr(Store, "write", slow)
        device.add("fall")
        assert begun.wait(8)
        assert device.spool.state.durable
        clock.wait(6)
        assert device.spool.state.why == "writing takes longer than 5 s"
        go_on.set()
        assert device.spool.flush(8)
        assert device.spool.state.durable


# Falls


def test_nobody_has_fallen_at_first(mosquitto, file):
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port):
        eventually(lambda: falls(seen))
        (message,) = falls(seen)
    assert (message["fallen"], message["since"], message["event"]) == (False, None, None)


def test_a_fall_is_told_and_kept_by_the_broker(mosquitto, file):
    with Device(file, mosquitto.port) as device:
        one = device.spool.add(happened("fall", 1795345200.0, person=7, zone="hall"))
        device.wait_delivered()
        with Subscriber(mosquitto.port) as late:
            eventually(lambda: falls(late) and falls(late)[-1]["fallen"])
            message = falls(late)[-1]
    assert (message["since"], message["event"], message["zone"]) == ("2026-11-22T11:00:00.000Z", one, "hall")


def test_a_fall_outlives_restarts_and_a_broker_without_memory(mosquitto, file):
    with Device(file, mosquitto.port) as device:
        one = device.add("fall", person=7)
        device.wait_delivered()
    mosquitto.restart()
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as device:
        eventually(lambda: [message["event"] for message in falls(seen)] == [one])
        mosquitto.restart()
        with Subscriber(mosquitto.port) as late:
            eventually(lambda: falls(late) and falls(late)[-1]["event"] == one)
        assert [fall.person for fall in device.spool.falls] == [7]


def test_a_fall_is_over_when_that_person_is_well(mosquitto, file):
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as device:
        one = device.add("fall", person=7)
        device.add("fall_cleared", person=8)
        cleared = device.add("fall_cleared", person=7)
        eventually(lambda: falls(seen) and not falls(seen)[-1]["fallen"] and cleared in ids(seen))
        assert events(seen)[1]["detail"] == {"fall": None}
        assert events(seen)[2]["detail"] == {"fall": one}
        assert device.spool.falls == ()


def test_another_s_fall_is_not_over(file):
    with Device(file) as device:
        device.add("fall", person=7)
        second = device.add("fall", person=8)
        device.add("fall_cleared", person=7)
        assert [fall.event for fall in device.spool.falls] == [second]


def test_person_7_of_another_run_is_somebody_else(file):
    with Device(file) as device:
        one = device.add("fall", person=7)
        assert device.spool.flush(8)
    with Device(file) as device:
        device.add("fall_cleared", person=7)
        assert [fall.event for fall in device.spool.falls] == [one]


def test_a_request_clears_all_falls_and_says_which(mosquitto, file):
    with Device(file) as device:
        earlier = device.add("fall", person=7)
        assert device.spool.flush(8)
    with Device(file) as device:
        later = device.add("fall", person=9)
        cleared = device.spool.clear_falls(time.time())[CAMERA]
        assert device.spool.flush(8)
        assert device.spool.falls == ()
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port):
        eventually(lambda: len(ids(seen)) == 4)
        assert ids(seen) == [earlier, later, *cleared]
        details = [(event["person"], event["detail"]) for event in events(seen)[2:]]
        eventually(lambda: falls(seen) and not falls(seen)[-1]["fallen"])
    assert details == [
        (None, {"by": "request", "fall": earlier}),
        (9, {"by": "request", "fall": later}),
    ]


def test_a_test_event_is_marked_and_nobody_has_fallen(mosquitto, file):
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port) as device:
        device.add("fall", test=True)
        eventually(lambda: events(seen))
        (event,) = events(seen)
        assert device.spool.falls == ()
    assert (event["type"], event["detail"]) == ("fall", {"test": True})
    assert not any(message["fallen"] for message in falls(seen))


def test_each_event_is_logged_once_in_words(file, caplog):
    caplog.set_level(logging.INFO, "posed.mqtt.spool")
    with Device(file) as device:
        fall = device.add("fall", person=7, zone="stairs", detail={"seen": "lying"})
        device.spool.clear_falls(time.time(), fall)
        device.spool.commit({device.spool.new_id(0): happened("entered", person=8)}, {})
    assert [record.getMessage() for record in caplog.records if record.name == "posed.mqtt.spool"] == [
        "Person 7 has fallen on the stairs in the hall, seen lying",
        "The fall on the stairs in the hall is over: somebody looks after it",
        "Person 8 came into the hall",
    ]


# Cameras


TWO = (CAMERA, "bedroom")
BEDROOM = TOPICS.camera("bedroom").fall


def test_each_camera_says_of_its_own_falls(mosquitto, file):
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port, cameras=TWO) as device:
        one = device.add("fall", camera="bedroom")
        eventually(lambda: seen.payloads(BEDROOM) and json.loads(seen.payloads(BEDROOM)[-1])["fallen"])
        last = json.loads(seen.payloads(BEDROOM)[-1])
        eventually(lambda: falls(seen))
    assert (last["camera"], last["event"]) == ("bedroom", one)
    assert [(message["camera"], message["fallen"]) for message in falls(seen)] == [(CAMERA, False)]


def test_a_request_clears_the_falls_of_one_camera(file):
    with Device(file, cameras=TWO) as device:
        here = device.add("fall", person=1)
        device.add("fall", person=1, camera="bedroom")
        assert device.spool.clear_falls(time.time(), here, "bedroom") == {}
        assert list(device.spool.clear_falls(time.time(), camera="bedroom")) == ["bedroom"]
        assert [fall.event for fall in device.spool.falls] == [here]
        assert list(device.spool.clear_falls(time.time())) == [CAMERA]


def test_a_new_camera_says_that_nobody_has_fallen(file):
    broker = FakeBroker()
    spool = spool_at(broker, file)
    spool.start()
    spool.publish_again()
    eventually(lambda: broker.topics() == [FALL_TOPIC])
    spool.set_cameras(TWO)
    eventually(lambda: broker.topics() == [FALL_TOPIC, BEDROOM])
    spool.stop(5)


def test_a_camera_that_comes_back_says_it_again(file):
    """Its topic was emptied while it was away."""
    broker = FakeBroker()
    spool = spool_at(broker, file)
    spool.start()
    spool.publish_again()
    spool.set_cameras(TWO)
    eventually(lambda: BEDROOM in broker.topics())
    spool.set_cameras((CAMERA,))
    spool.set_cameras(TWO)
    eventually(lambda: broker.topics() == [FALL_TOPIC, BEDROOM, BEDROOM])
    spool.stop(5)


def test_the_fall_of_a_removed_camera_is_kept(file):
    with Device(file, cameras=TWO) as device:
        one = device.add("fall", camera="bedroom")
        device.spool.set_cameras((CAMERA,))
        assert device.spool.flush(8)
    with Device(file) as device:
        assert [fall.event for fall in device.spool.falls] == [one]
        assert list(device.spool.clear_falls(time.time())) == ["bedroom"]
        assert device.spool.falls == ()


# Earlier versions


def written_then() -> Moment:
    """Right after the spool of schema 1 was written, on another start of the machine."""
    return Moment("another boot", 1.0, WRITTEN_AT_S)


def test_events_of_schema_1_are_delivered_byte_by_byte(mosquitto, file):
    payloads = leave_spool(file)
    device = Device(file, mosquitto.port, written_then, cameras=TWO)
    with Subscriber(mosquitto.port) as seen, device:
        device.wait_delivered()
        eventually(lambda: len(seen.payloads(TOPICS.events)) == len(payloads))
        assert seen.payloads(TOPICS.events) == payloads
    assert on_disk(file) == []


def test_an_open_fall_of_schema_1_is_the_first_cameras(mosquitto, file):
    leave_spool(file)
    with Subscriber(mosquitto.port) as seen, Device(file, mosquitto.port, cameras=TWO) as device:
        eventually(lambda: falls(seen) and seen.payloads(BEDROOM))
        assert [(message["camera"], message["event"]) for message in falls(seen)] == [(CAMERA, FALL)]
        assert not json.loads(seen.payloads(BEDROOM)[-1])["fallen"]
        assert list(device.spool.clear_falls(time.time(), FALL)) == [CAMERA]
    with Device(file, cameras=TWO) as device:
        assert device.spool.falls == ()


# State


def test_state_counts_what_waits(file):
    with Device(file) as device:
        device.add("fall")
        assert device.spool.flush(8)
        state = device.spool.state
    assert (state.events, state.dropped, state.durable) == (1, 0, True)


def test_draining_waits_until_the_broker_has_it_all(mosquitto, file):
    with Device(file, mosquitto.port) as device:
        device.add("fall")
        assert device.spool.drain(8)
        assert device.spool.state.events == 0
        mosquitto.pause()
        device.add("fall")
        assert not device.spool.drain(0.1)
        mosquitto.resume()


def test_stop_writes_what_was_just_handed_over(file):
    with Device(file) as device:
        made = [device.add("fall") for _ in range(50)]
    assert on_disk(file) == made


def test_an_answer_for_an_event_that_was_dropped_changes_nothing(file):
    broker = FakeBroker()
    spool = spool_at(broker, file, max_waiting=10)
    spool.start()
    made = [spool.add(happened("fall")) for _ in range(5)]
    eventually(lambda: broker.topics().count(TOPICS.events) == 5)
    made += [spool.add(happened("fall")) for _ in range(6)]
    broker.unanswered[broker.topics().index(TOPICS.events)](DeliveryResult.ACKNOWLEDGED)
    spool.stop(5)
    assert on_disk(file) == made[1:]
    assert spool.state.dropped == 1
