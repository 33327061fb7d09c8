"""Who gets what the broker sends."""

from __future__ import annotations

import json
import time

import pytest

from posed.config import Config
from posed.messages.structs import rfc3339
from posed.messages.topics import Topics
from posed.mqtt import inbox as module
from posed.mqtt.attempt import Received
from posed.mqtt.duplicate_devices import DuplicateDeviceDetector
from posed.mqtt.inbox import Inbox

CONFIG = Config(device="hall", homeassistant={"prefix": "ha"})
UPTIME_S = 100.0


class House:
    """An inbox, and what came of its messages."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.reasons: list[str] = []
        detector = DuplicateDeviceDetector("run-1", lambda: UPTIME_S)
        self.inbox = Inbox(CONFIG, Topics.of(CONFIG), detector, self.requests.append, self.reasons.append)

    def hear(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        self.inbox.receive(Received(topic, payload, retained=retained))

    def hear_state(self, run: str, uptime_s: float) -> None:
        state = {"run": run, "time": rfc3339(time.time()), "uptime_s": uptime_s}
        self.hear("posed/hall/state", json.dumps(state).encode())


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(module, "BIRTH_DELAY_S", 0.0)
    return House()


def test_it_listens_for_requests_and_home_assistants_start(house):
    assert set(house.inbox.subscriptions) == {"posed/hall/request/+", "homeassistant/status", "ha/status"}


def test_a_request_is_handed_on(house):
    house.hear("posed/hall/request/info", b"{}")
    assert [message.topic for message in house.requests] == ["posed/hall/request/info"]


@pytest.mark.parametrize("topic", ["homeassistant/status", "ha/status"])
def test_home_assistants_start_is_taken_once(house, topic):
    assert not house.inbox.take_birth()
    house.hear(topic, b"online")
    assert house.inbox.take_birth()
    assert not house.inbox.take_birth()
    assert house.requests == []


def test_what_is_no_start_of_home_assistant_is_none(house):
    house.hear("ha/status", b"online", retained=True)
    house.hear("ha/status", b"offline")
    assert not house.inbox.take_birth()


def test_an_older_daemon_of_this_name_gets_the_broker(house):
    house.hear_state("run-1", UPTIME_S)
    house.hear_state("run-2", UPTIME_S + 50)
    (reason,) = house.reasons
    assert reason.startswith("another daemon, of run 'run-2', has the device name hall and was there before")


def test_a_younger_daemon_of_this_name_is_warned_of_once(house, caplog):
    house.hear_state("run-1", UPTIME_S)
    for _ in range(3):
        house.hear_state("run-2", UPTIME_S - 50)
    assert house.reasons == []
    assert [message for message in caplog.messages if "has to give way" in message] == caplog.messages
    assert len(caplog.messages) == 1
