"""Takes back everything that a broker keeps of a device, and Home Assistant with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from posed.config import Config, mqtt_password
from posed.errors import BrokerError
from posed.messages.topics import Topics
from posed.mqtt.broker_session import broker_session
from posed.mqtt.client import ONLINE
from posed.mqtt.discovered import retained_topics
from posed.mqtt.discovery import known_topics
from posed.mqtt.homeassistant import announcements, device_id_of


def forget(config: Config, announced: Path, *, force: bool) -> Sequence[str]:
    """Empty every retained topic of a device: discovery first, then its own.

    What the broker hands out is emptied, and what the configuration and the state folder know of as well: not
    every broker hands retained messages out to wildcards.

    Args:
        config: names the broker and the device.
        announced: file of what the daemon announced.
        force: whether a device that is online is forgotten, too; its daemon announces it again.

    Returns:
        The topics that were emptied.

    Raises:
        BrokerError: the broker cannot be reached, or the device is online.
        ConfigError: the configuration cannot be used.
    """
    topics, device_id, prefix = Topics.of(config), device_id_of(config), config.homeassistant.prefix
    with broker_session(config.mqtt, mqtt_password(config.mqtt)) as session:
        own = session.retained(f"{topics.base}/#")
        if own.get(topics.availability) == ONLINE and not force:
            raise BrokerError(
                f"device {config.device}: is online, and would announce itself again; stop its daemon first"
            )
        discovery = session.retained(f"{prefix}/+/{device_id}/config", f"{prefix}/+/{device_id}/+/config")
        found = {*own, *discovery, *_known(config), *known_topics(announced)}
        emptied = _in_order(found, prefix, discovery)
        for topic in emptied:
            session.empty(topic)
    with suppress(OSError):  # it is not there, or the disk cannot be written
        announced.unlink()
    return emptied


def _known(config: Config) -> set[str]:
    """What this configuration makes a broker keep, whatever way it is announced."""
    announced: set[str] = set()
    for way in ("device", "components"):
        settings = config.homeassistant.model_copy(update={"discovery": way})
        other = config.model_copy(update={"homeassistant": settings})
        announced |= set(announcements(other, "", has_temperature=True))
    return announced | retained_topics(config)


def _in_order(found: Collection[str], prefix: str, there: Collection[str]) -> list[str]:
    """Discovery first, so that Home Assistant does not read of the rest that it is empty.

    Of that first what is there: Home Assistant complains where an entity is emptied by another way.
    """
    return sorted(found, key=lambda topic: (not topic.startswith(f"{prefix}/"), topic not in there, topic))
