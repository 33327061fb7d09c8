"""Keeps what Home Assistant discovers of this device true, as settings and sensors change."""

from __future__ import annotations

from collections.abc import Callable
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
        model: name of the network that runs.
        temperature_c: reads the temperature of the accelerator; None where there is none.
    """

    def __init__(
        self,
        file: Path,
        broker: Broker,
        model: str,
        temperature_c: Callable[[], float | None],
    ) -> None:
        self._publisher = DiscoveryPublisher(file, broker)
        self._model = model
        self._temperature_c = temperature_c
        self._announced: tuple[Config, bool] | None = None

    def again(self) -> None:
        """Announce everything once more; from any thread."""
        self._publisher.again()

    def update(self, config: Config, *, engine_is_known: bool) -> set[str]:
        """Announce what is there now, if it is not what was announced.

        Args:
            config: the settings of now.
            engine_is_known: whether an engine has been opened.

        Returns:
            The names of the cameras that are new, or have changed: what is retained of them is then to be
            published again, too, since topics of an earlier one of that name may just have been emptied.
        """
        now = config, self._has_temperature(engine_is_known=engine_is_known)
        if now == self._announced:
            return set()
        before, self._announced = self._announced, now
        self._publisher.announce(
            announcements(config, self._model, has_temperature=now[1]), retained_topics(config)
        )
        known = before[0].cameras if before else {}
        return {name for name, camera in config.cameras.items() if known.get(name) != camera}

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


def retained_topics(config: Config) -> set[str]:
    """The topics on which something else than discovery is retained."""
    device = Topics.of(config)
    topics = {device.availability, device.state}
    for name, camera in config.cameras.items():
        of_camera = device.camera(name)
        topics |= {of_camera.state, of_camera.fall}
        topics |= {
            of_camera.zone(zone) for zone, settings in camera.zones.items() if settings.kind != "exclude"
        }
    return topics


def remedies(config: Config) -> dict[str, str]:
    """By topic, which setting helps where the broker takes no message as large as discovery's."""
    remedy = "homeassistant.discovery: components"
    return dict.fromkeys(
        [device_topic(config), *(device_topic(config, name) for name in config.cameras)], remedy
    )
