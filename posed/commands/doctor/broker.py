"""Whether the broker takes the daemon, with its will, and all that it publishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from posed.commands.doctor.checks import Check
from posed.commands.setup.check import Reached, try_broker
from posed.config import Config, MqttConfig, mqtt_password
from posed.errors import BrokerError, ConfigError
from posed.messages.topics import Topics
from posed.mqtt.broker_session import NotReached, broker_session
from posed.mqtt.client import OFFLINE, ONLINE
from posed.mqtt.discovered import remedies
from posed.mqtt.homeassistant import announcements
from posed.mqtt.limits import BrokerLimits
from posed.mqtt.outbox import Message

EVENT_BYTES: Final = 2000
"""The packet of an event with all keypoints has at most about this many bytes."""

POSES_BYTES: Final = 6000
"""The packet of the poses of five people who are seen whole has at most about this many bytes."""

_LOGIN: Final = "user and password in mqtt.username and mqtt.password; sudo posed setup asks for them"
_REMEDIES: Final = {
    "login": _LOGIN,
    "authority": "the authority that signed the broker's certificate in mqtt.tls.ca",
    "tls": "a broker behind TLS needs mqtt.tls: {} and usually port 8883",
}
_BROKERS_OWN: Final = "a setting of the broker (mosquitto: {})"

Shortcoming = tuple[str, str]
"""A shortcoming is what the broker does not take, and what helps."""


def check_broker(config: Config) -> Check:
    """Whether the broker accepts us as it will accept the daemon, and takes what the daemon publishes."""
    try:
        password = mqtt_password(config.mqtt)
        reached = try_broker(config.mqtt, password)
    except ConfigError as error:
        return Check("broker", "failed", "; ".join(error.problems), _LOGIN)
    except BrokerError as error:
        remedy = _REMEDIES.get((isinstance(error, NotReached) and error.remedy) or "", "")
        return Check(
            "broker", "failed", str(error), remedy or "mqtt.host and mqtt.port; is the broker running?"
        )
    will = _will(config, reached)
    try:
        with broker_session(config.mqtt, password, will=will) as session:
            limits = session.limits
    except NotReached as error:
        found = f"{error} (with a last will on {will.topic}, as the daemon has)"
        remedy = "a user that may publish there (config/mosquitto/acl), a broker that keeps retained messages"
        return Check("broker", "failed", found, remedy)
    shortcomings = [*_shortcomings(config, limits), *_too_old(config, reached.version)]
    return _judged(config.mqtt, reached.version, shortcomings)


def _will(config: Config, reached: Reached) -> Message:
    """The daemon's will, but with what its topic has now, so that it would change nothing."""
    payload = ONLINE if config.device in reached.online else OFFLINE
    return Message(Topics.of(config).availability, payload, qos=1, retain=True)


def _shortcomings(config: Config, limits: BrokerLimits) -> Iterator[Shortcoming]:
    """What the daemon has to do without at this broker."""
    if limits.max_packet_bytes is not None:
        yield from _too_large(config, limits.max_packet_bytes)
    if not limits.retain:
        yield "keeps no retained messages", _BROKERS_OWN.format("retain_available true")
    if limits.max_qos == 0:
        yield "takes QoS 0 alone, so events may be lost", _BROKERS_OWN.format("max_qos 1")
    if not limits.wildcards:
        yield "takes no wildcard subscriptions, so no requests", "another broker"


def _too_old(config: Config, version: str) -> Iterator[Shortcoming]:
    """Where Home Assistant is to find us at a broker that it will not connect to.

    Home Assistant's MQTT integration needs MQTT 5 from 2027.1 on, as 2026.6 and later tell their owners
    (https://github.com/home-assistant/core/pull/169759). What the broker speaks is known only where we asked.
    """
    if config.homeassistant.discovery != "off" and config.mqtt.protocol == "auto" and version != "5":
        yield (
            "Home Assistant 2027.1 and later will not connect to it, since it speaks no MQTT 5",
            "for Home Assistant a broker with MQTT 5, such as mosquitto (without Home Assistant: "
            "homeassistant.discovery: off)",
        )


def _too_large(config: Config, limit_bytes: int) -> Iterator[Shortcoming]:
    """Discovery, events and poses, where their packets are larger than the broker takes."""
    discovery = _largest_of_discovery(config)
    sizes = {"events": EVENT_BYTES, "poses of five people": POSES_BYTES}
    if discovery is not None:
        sizes["messages of discovery"] = discovery.packet_bytes
    short = [f"{name} have up to {size}" for name, size in sizes.items() if size > limit_bytes]
    if not short:
        return
    setting = remedies(config).get(discovery.topic) if discovery is not None else None
    helps = [_BROKERS_OWN.format("max_packet_size")]
    if setting is not None and _fits_in_components(config, limit_bytes):
        helps.insert(0, setting)
    found = f"takes packets of at most {limit_bytes} bytes; {', '.join(short)}"
    yield found, ", or ".join(helps)


def _fits_in_components(config: Config, limit_bytes: int) -> bool:
    """Whether discovery is small enough where each entity has a message of its own."""
    settings = config.homeassistant.model_copy(update={"discovery": "components"})
    largest = _largest_of_discovery(config.model_copy(update={"homeassistant": settings}))
    return largest is not None and largest.packet_bytes <= limit_bytes


def _largest_of_discovery(config: Config) -> Message | None:
    announced = announcements(config, config.model.name, has_temperature=True).items()
    messages = [Message(topic, message.encoded(), qos=1, retain=True) for topic, message in announced]
    return max(messages, key=lambda message: message.packet_bytes, default=None)


def _judged(config: MqttConfig, version: str, shortcomings: list[Shortcoming]) -> Check:
    """A warning with all that is short; a broker that may be anybody is the first of that."""
    if config.tls is not None and config.tls.insecure:
        shortcomings.insert(0, ("its certificate is not verified", "mqtt.tls.ca, without mqtt.tls.insecure"))
    where = f"{config.host}:{config.port}, MQTT {version}"
    if not shortcomings:
        return Check("broker", "ok", where)
    found, helps = zip(*shortcomings, strict=True)
    return Check("broker", "warning", "; ".join([where, *found]), "; ".join(dict.fromkeys(helps)))
