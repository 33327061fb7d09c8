"""What the broker keeps of us: when it is told what."""

from __future__ import annotations

import json

import pytest

from posed.messages.structs import ZoneMessage
from posed.mqtt.retained import INTERVAL_S, RetainedPublisher

TOPIC = "posed/hall/zones/bed"


class Broker:
    """Takes messages, or not, at the time that the test has."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.takes = True
        self.told: list[int | None] = []
        self.retained = RetainedPublisher(self._publish, lambda: self.now_s)

    def tell(self, people: int | None, spacing_s: float = 0) -> None:
        message = ZoneMessage(device="hall", time=str(self.now_s), zone="bed", occupied=None, people=people)
        self.retained.tell(TOPIC, lambda: message, spacing_s)

    def _publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> bool:
        assert (topic, qos, retain) == (TOPIC, 1, True)
        if self.takes:
            self.told.append(json.loads(payload)["people"])
        return self.takes


@pytest.fixture
def broker() -> Broker:
    return Broker()


def test_a_change_is_told_at_once_and_the_same_is_not(broker):
    for people in (None, 0, 0, 1, 1):
        broker.now_s += 1
        broker.tell(people)
    assert broker.told == [None, 0, 1]


def test_the_same_is_told_again_after_the_interval(broker):
    broker.tell(1)
    broker.now_s += INTERVAL_S - 1
    broker.tell(1)
    assert broker.told == [1]
    broker.now_s += 1
    broker.tell(1)
    assert broker.told == [1, 1]


def test_a_change_waits_for_the_spacing(broker):
    broker.tell(1, 1)
    broker.now_s += 0.9
    broker.tell(2, 1)
    assert broker.told == [1]
    broker.now_s += 0.1
    broker.tell(3, 1)
    assert broker.told == [1, 3]


def test_what_was_not_taken_is_told_once_it_can_be(broker):
    broker.takes = False
    broker.tell(1)
    broker.takes = True
    broker.tell(1)
    assert broker.told == [1]


def test_everything_is_told_again_to_a_broker_that_lost_its_memory(broker):
    broker.tell(1, 1)
    broker.retained.again()
    broker.tell(1, 1)
    assert broker.told == [1, 1]
