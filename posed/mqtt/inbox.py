"""What the broker sends: requests, other daemons of this name, and Home Assistant's start."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from typing import Final

from posed.config import Config
from posed.log import Throttled
from posed.messages.topics import Topics
from posed.mqtt.attempt import Received
from posed.mqtt.client import ONLINE
from posed.mqtt.duplicate_devices import DuplicateDeviceDetector
from posed.mqtt.homeassistant import BIRTH_TOPIC
from posed.timing import NotBefore

log = logging.getLogger(__name__)

DUPLICATE_WARN_S: Final = 300.0
"""Two warnings of another daemon with this device's name are at least this far apart, s."""

BIRTH_DELAY_S: Final = 5.0
"""Everything is published again within this long after Home Assistant's start, at a random time, s."""


class Inbox:
    """Sorts what the broker sends, in the network thread.

    Args:
        config: names the device and Home Assistant's topics.
        topics: of this device.
        detector: looks for other daemons of this name, in the states that the broker has.
        on_request: takes a request.
        give_way: leaves the broker to an older daemon of this name, for the reason that it is given.
    """

    def __init__(
        self,
        config: Config,
        topics: Topics,
        detector: DuplicateDeviceDetector,
        on_request: Callable[[Received], object],
        give_way: Callable[[str], object],
    ) -> None:
        self._device = config.device
        self._state_topic, self._request_topics = topics.state, topics.requests
        self._births = {BIRTH_TOPIC, f"{config.homeassistant.prefix}/status"}
        self._detector = detector
        self._on_request = on_request
        self._give_way = give_way
        self._warn_of_duplicate = Throttled(log, DUPLICATE_WARN_S)
        self._next_birth = NotBefore()
        self._next_birth.put_off(math.inf)

    @property
    def subscriptions(self) -> list[str]:
        """Topic filters to subscribe to."""
        return [self._request_topics, *self._births]

    def receive(self, message: Received) -> None:
        """Take a message; from the network thread."""
        if message.topic == self._state_topic:
            self._check_state(message.payload)
        elif message.topic not in self._births:
            self._on_request(message)
        elif message.payload == ONLINE and not message.retained:
            self._next_birth.put_off(random.uniform(0, BIRTH_DELAY_S))  # noqa: S311

    def take_birth(self) -> bool:
        """Whether Home Assistant has started and needs everything again now; True once per start."""
        return self._next_birth.take(math.inf)

    def _check_state(self, payload: bytes) -> None:
        """Another daemon of this name: the younger gives way."""
        duplicate = self._detector.check(payload)
        if duplicate is None:
            return
        problem = f"another daemon, of run {duplicate.run!r}, has the device name {self._device}"
        if duplicate.older:
            self._give_way(f"{problem} and was there before: give one of them another `device`")
        else:
            self._warn_of_duplicate.warning(
                f"{problem} and has to give way: give one of them another `device`"
            )
