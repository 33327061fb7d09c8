"""Keeps what Home Assistant discovers of this device true, as settings and sensors change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from posed.config import Config
from posed.messages.topics import Topics
from posed.mqtt.broker import Broker
from posed.mqtt.discovery import DiscoveryPublisher
from posed.mqtt.homeassistant import TEMPERATURE, announcements, device_topic


class DiscoveredDevice:
    """Announces the device anew whenever something else is to be discovered of it.

    Args:
        file: for what was announced.
        broker: retains the messages.
        topics: of the device.
        model: name of the network that runs.
        temperature_c: reads the temperature of the accelerator; None where there is none.
    """

    def __init__(
        self,
        file: Path,
        broker: Broker,
        topics: Topics,
        model: str,
        temperature_c: Callable[[], float | None],
    ) -> None:
        self._publisher = DiscoveryPublisher(file, broker)
        self._topics = topics
        self._model = model
        self._temperature_c = temperature_c
        self._announced: tuple[Config, bool] | None = None

    def again(self) -> None:
        """Announce everything once more; from any thread."""
        self._publisher.again()

    def update(self, config: Config, zones: Iterable[str], *, engine_is_known: bool) -> bool:
        """Announce what is there now, if it is not what was announced.

        Args:
            config: the settings of now.
            zones: names of all zones.
            engine_is_known: whether an engine has been opened.

        Returns:
            Whether something is announced anew: its state is then to be published again, too.
        """
        now = config, self._has_temperature(engine_is_known=engine_is_known)
        if now == self._announced:
            return False
        self._announced = now
        topics = self._topics
        self._publisher.announce(
            announcements(config, self._model, has_temperature=now[1]),
            {topics.availability, topics.state, topics.fall, *map(topics.zone, zones)},
        )
        return True

    def step(self) -> None:
        """Send what is due, without waiting."""
        self._publisher.step()

    def _has_temperature(self, *, engine_is_known: bool) -> bool:
        """Before there is an engine, and where one reading fails, it has what it had."""
        return (
            (self._announced is not None and self._announced[1])
            or self._temperature_c() is not None
            or (not engine_is_known and self._publisher.knows(TEMPERATURE))
        )


def remedies(config: Config) -> dict[str, str]:
    """By topic, which setting helps where the broker takes no message as large as discovery's."""
    return {device_topic(config): "homeassistant.discovery: components"}
