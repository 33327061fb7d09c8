"""What the broker keeps of us: what is published when."""

from __future__ import annotations

import pytest

from posed.messages.structs import ZoneMessage
from posed.mqtt.retained import CHECK_S, INTERVAL_S, RetainedPublisher
from tests.broker_fake import FakeBroker, Published

TOPIC = "posed/pi/hall/zones/bed"


def zone_of(people: int | None, time: str = "") -> ZoneMessage:
    return ZoneMessage(device="pi", camera="hall", time=time, zone="bed", occupied=None, people=people)


class Publisher:
    """A publisher of zones, at the time that the test has."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.broker = FakeBroker()
        self.retained = RetainedPublisher(self.broker, lambda: self.now_s)

    def publish(self, people: int | None, spacing_s: float = 0) -> bool:
        return self.retained.publish(TOPIC, lambda: zone_of(people, str(self.now_s)), spacing_s)

    @property
    def published(self) -> list[int | None]:
        for message in self.broker.messages:
            assert message == Published(TOPIC, message.payload, qos=1, retain=True)
        return [message.json["people"] for message in self.broker.messages]


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


def test_a_change_is_published_at_once_and_a_repetition_not(publisher):
    for people in (None, 0, 0, 1, 1):
        publisher.now_s += 1
        publisher.publish(people)
    assert publisher.published == [None, 0, 1]


def test_the_same_is_published_again_after_the_interval(publisher):
    publisher.publish(1)
    publisher.now_s += INTERVAL_S - 1
    publisher.publish(1)
    assert publisher.published == [1]
    publisher.now_s += 1
    publisher.publish(1)
    assert publisher.published == [1, 1]


def test_a_change_waits_for_the_spacing(publisher):
    publisher.publish(1, 1)
    publisher.now_s += 0.9
    publisher.publish(2, 1)
    assert publisher.published == [1]
    publisher.now_s += 0.1
    publisher.publish(3, 1)
    assert publisher.published == [1, 3]


def test_a_message_with_a_spacing_is_not_made_every_frame(publisher):
    made = []

    def make() -> ZoneMessage:
        made.append(publisher.now_s)
        return zone_of(1)

    for _ in range(400):
        publisher.retained.publish(TOPIC, make, 1)
        publisher.now_s += 0.01
    assert 40 <= len(made) <= 1 + 3 / CHECK_S


def test_a_broker_without_memory_gets_it_again_at_once(publisher):
    publisher.publish(1, 1)
    publisher.now_s += 2
    publisher.publish(1, 1)
    publisher.retained.again()
    publisher.publish(1, 1)
    assert publisher.published == [1, 1]


def test_what_was_not_taken_is_published_once_it_can_be(publisher):
    publisher.broker.full = True
    assert publisher.publish(1) is False
    publisher.broker.full = False
    assert publisher.publish(1) is True
    assert publisher.published == [1]


def test_what_is_repeated_or_too_soon_needs_no_try(publisher):
    assert [publisher.publish(people, 1) for people in (1, 2)] == [True, True]
    publisher.now_s += 1
    assert publisher.publish(1, 1) is True
    assert publisher.published == [1]


def test_a_broker_that_lost_its_memory_gets_everything_again(publisher):
    publisher.publish(1, 1)
    publisher.retained.again()
    publisher.publish(1, 1)
    assert publisher.published == [1, 1]
