"""Home Assistant's MQTT discovery: which entities a device has, and the messages that announce them.

Templates keep to what Jinja and openHAB's Jinjava both read. Topics and fields are those of Home Assistant
2024.11 and later. Source: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec

from posed import __version__
from posed.camera.health import CameraHealth
from posed.config import CAMERA, Config, bounds_of, page_url
from posed.messages.structs import PartName
from posed.messages.topics import CameraTopics, Topics
from posed.people.posture import Gesture, Posture

Entity = dict[str, Any]

BIRTH_TOPIC: Final = "homeassistant/status"
"""Home Assistant says `online` here, whatever the prefix of discovery, unless told otherwise."""

EXPIRE_AFTER_S: Final = 90
"""Values that are not repeated for this long become unknown, s: three times the interval of `state`."""

MIGRATE: Final = b'{"migrate_discovery": true}'
"""This message makes Home Assistant let go of an entity that is about to be announced elsewhere, and keep its
settings."""

EVENT_TYPES: Final = (*get_args(Gesture), "fall", "fall_cleared")
"""The event entity has these types: gestures by their own names, so that automations need no template."""

_DIAGNOSTIC: Final = {"entity_category": "diagnostic"}
_FIGURE: Final = _DIAGNOSTIC | {"visible_by_default": False}
"""A diagnostic that tells nobody whether all is well. Home Assistant 2026.7 and later hide it when they first
hear of it, and older ones ignore that."""

_SETTING: Final = {"entity_category": "config"}
_FALL_DETAIL: Final = (
    "{{ {'since': value_json.since, 'event': value_json.event, 'zone': value_json.zone} | tojson }}"
)
_MEASURED: Final = {"state_class": "measurement", "expire_after": EXPIRE_AFTER_S}


@dataclass(frozen=True, slots=True)
class Announcement:
    """One retained message of discovery.

    Args:
        payload: the message as it is announced; `removed` makes it one that takes entities back.
        entities: which entities it announces, each as `<prefix>/<platform>/<device>/<key>`.
    """

    payload: Mapping[str, Any]
    entities: frozenset[str]

    def encoded(self, removed: frozenset[str] = frozenset()) -> bytes:
        """The message.

        Args:
            removed: entities that are no more, of which a device's message names nothing but the platform.
        """
        payload = dict(self.payload)
        if removed:
            gone = {key_of(entity): {"platform": _platform(entity)} for entity in removed}
            payload["components"] = gone | payload["components"]
        return msgspec.json.encode(payload)


def _platform(entity: str) -> str:
    return entity.split("/")[-3]


TEMPERATURE: Final = "temperature"
"""The entity with this key exists only with some Edge TPUs."""


def key_of(entity: str) -> str:
    """The last part of an entity's path: its name among those of a device."""
    return entity.rpartition("/")[2]


def announcements(config: Config, model: str, *, has_temperature: bool) -> dict[str, Announcement]:
    """What is to be announced, by topic, the machine first; nothing where discovery is off.

    Args:
        config: says how to announce, and what there is.
        model: name of the network.
        has_temperature: whether the engine reports its temperature.
    """
    if config.homeassistant.discovery == "off":
        return {}
    announced = _announced(
        config, _of_machine(config, model), machine_entities(config, has_temperature=has_temperature)
    )
    for camera in config.cameras:
        announced |= _announced(config, _of_camera(config, camera), camera_entities(config, camera), camera)
    return announced


def _announced(
    config: Config, about: dict[str, Any], found: dict[str, Entity], camera: str = ""
) -> dict[str, Announcement]:
    """The messages that announce the machine, or one camera."""
    settings, device_id = config.homeassistant, device_id_of(config)
    # No camera's name has a hyphen, so that two of these are never the same.
    named = {f"{camera}-{key}" if camera else key: entity for key, entity in found.items()}
    path = {key: f"{settings.prefix}/{entity['platform']}/{device_id}/{key}" for key, entity in named.items()}
    if settings.discovery == "device":
        payload = about | {"components": named}
        return {device_topic(config, camera): Announcement(payload, frozenset(path.values()))}
    return {
        f"{path[key]}/config": Announcement(
            about | {name: value for name, value in entity.items() if name != "platform"},
            frozenset({path[key]}),
        )
        for key, entity in named.items()
    }


def device_topic(config: Config, camera: str = "") -> str:
    """Where everything of the machine, or of one camera, is announced in one message."""
    level = f"/{camera}" if camera else ""
    return f"{config.homeassistant.prefix}/device/{device_id_of(config)}{level}/config"


def device_id_of(config: Config) -> str:
    """An id that is stable, and unique among all that Home Assistant hears of: `posed_hall`."""
    return f"{config.mqtt.topic}_{config.device}".replace("/", "_")


def _of_machine(config: Config, model: str) -> dict[str, Any]:
    """What all entities of the machine have in common."""
    about = {"name": config.device, "model": model, **_page(config)}
    return _about(config, Topics.of(config).base, about)


def _of_camera(config: Config, camera: str) -> dict[str, Any]:
    """What all entities of a camera have in common."""
    topics = Topics.of(config)
    about = {
        "name": f"{config.device} {_words(camera)}",
        "model": "camera",
        "model_id": config.cameras[camera].kind,
        "via_device": topics.base,
        **_room(camera),
        **_page(config, camera),
    }
    return _about(config, topics.camera(camera).base, about)


def _room(camera: str) -> dict[str, str]:
    """The area in which Home Assistant puts a device that it first hears of, which it makes if there is none.

    Cameras are called by what they see, mostly a room, but for the one whose name nobody has chosen.
    """
    return {} if camera == CAMERA else {"suggested_area": _words(camera).capitalize()}


def _page(config: Config, camera: str = "") -> dict[str, str]:
    """What Home Assistant links the device to: the live view, where others in the network may open it."""
    web = config.web
    # Without a token it is open to this machine, or to a proxy, alone.
    is_open = web.enabled and not web.is_local and web.token is not None
    page = page_url(web) if is_open else None
    return {} if page is None else {"configuration_url": f"{page}{camera}"}


def _about(config: Config, identifier: str, device: dict[str, str]) -> dict[str, Any]:
    shared = {"identifiers": [identifier], "manufacturer": "posed", "sw_version": __version__}
    return {
        "device": shared | device,
        "origin": {"name": "posed", "sw_version": __version__},
        "availability": [{"topic": Topics.of(config).availability}],
        "availability_mode": "all",
        "qos": 1,
    }


def machine_entities(config: Config, *, has_temperature: bool) -> dict[str, Entity]:
    """Every entity of the machine by its key, which is a part of its unique id.

    Args:
        config: says what there is.
        has_temperature: whether the engine reports its temperature.
    """
    topics = Topics.of(config)
    found = _machine_controls(topics) | _machine_diagnostics(topics)
    if has_temperature:
        found |= _temperature(topics)
    return _identified(found, topics.base, config.device)


def camera_entities(config: Config, camera: str) -> dict[str, Entity]:
    """Every entity of a camera by its key, which is a part of its unique id.

    Args:
        config: says what there is.
        camera: its name.
    """
    device = Topics.of(config)
    topics = device.camera(camera)
    found = _presence(device, topics)
    for zone, settings in config.cameras[camera].zones.items():
        if settings.kind != "exclude":
            found |= _zone(device, topics, zone)
    found |= _falls_and_gestures(device, topics, camera) | _camera_controls(device, topics, camera)
    found |= _camera_diagnostics(topics)
    if config.cameras[camera].privacy.pictures != "off":
        found |= _pictures(device, topics, camera)
    return _identified(found, topics.base, f"{config.device}_{camera}")


def _identified(found: dict[str, Entity], base: str, name: str) -> dict[str, Entity]:
    """Entities with the ids by which Home Assistant knows them, and those that it suggests to people."""
    for key, entity in found.items():
        slug = f"{name}_{key}".lower().replace("-", "_")
        entity["unique_id"] = f"{base}/{key}"
        entity["default_entity_id"] = f"{entity['platform']}.{slug}"
    return found


def _words(name: str) -> str:
    return name.replace("_", " ")


def _presence(device: Topics, topics: CameraTopics) -> dict[str, Entity]:
    """What is known of people while the camera delivers, and only then."""
    seen = {"availability": _while_seen(device, topics.state), "state_topic": topics.state}
    return {
        "occupancy": seen | _occupancy("Occupancy"),
        "people": seen | _count("People"),
        "posture": seen | _choice("Posture", "mdi:human-handsdown", "value_json.posture", get_args(Posture)),
        "latency": seen | _milliseconds("Latency", "mdi:timer-outline", "value_json.latency_ms") | _FIGURE,
    }


def _zone(device: Topics, topics: CameraTopics, zone: str) -> dict[str, Entity]:
    topic, name = topics.zone(zone), _words(zone)
    seen = {"availability": _while_seen(device, topic), "state_topic": topic}
    return {
        f"zone_{zone}_occupancy": seen | _occupancy(f"Occupancy {name}"),
        f"zone_{zone}_people": seen | _count(f"People {name}"),
    }


def _while_seen(device: Topics, topic: str) -> list[dict[str, str]]:
    """The daemon is there, and `people` of the topic's message is known."""
    template = "{{ 'offline' if value_json.people is none else 'online' }}"
    return [{"topic": device.availability}, {"topic": topic, "value_template": template}]


def _occupancy(name: str) -> Entity:
    return {
        "platform": "binary_sensor",
        "name": name,
        "device_class": "occupancy",
        "value_template": _on_or_off("value_json.occupied"),
        "expire_after": EXPIRE_AFTER_S,
    }


def _count(name: str) -> Entity:
    return (
        _sensor(name, "mdi:account-group", "value_json.people")
        | {"unit_of_measurement": "people"}
        | _MEASURED
    )


def _falls_and_gestures(device: Topics, topics: CameraTopics, camera: str) -> dict[str, Entity]:
    return {
        "fall": {
            "platform": "binary_sensor",
            "name": "Fall",
            "device_class": "safety",
            "state_topic": topics.fall,
            "value_template": _on_or_off("value_json.fallen"),
            "json_attributes_topic": topics.fall,
            "json_attributes_template": _FALL_DETAIL,
        },
        "clear_fall": _button("Clear fall", "mdi:account-check", device.request("clear_fall"), camera),
        "test_event": _button(
            "Send test event", "mdi:bell-ring-outline", device.request("test_event"), camera
        )
        | _DIAGNOSTIC,
        "event": {
            "platform": "event",
            "name": "Gestures and falls",
            "icon": "mdi:human-greeting",
            "event_types": list(EVENT_TYPES),
            "state_topic": device.events,
            "value_template": _event_of(camera),
        },
    }


def _event_of(camera: str) -> str:
    """Reads an event of one camera; what renders as nothing is no event."""
    return (
        "{% set kind = value_json.type %}"
        "{% set kind = value_json.detail.gesture | default('') if kind == 'gesture' else kind %}"
        f"{{% if value_json.camera == '{camera}' and kind in [{', '.join(map(repr, EVENT_TYPES))}] %}}"
        "{{ {'event_type': kind, 'id': value_json.id, 'time': value_json.time, "
        "'camera': value_json.camera, 'person': value_json.person, 'zone': value_json.zone, "
        "'test': value_json.detail.test | default(false)} | tojson }}"
        "{% endif %}"
    )


def _camera_controls(device: Topics, topics: CameraTopics, camera: str) -> dict[str, Entity]:
    return {
        "pause": {
            "platform": "switch",
            "name": "Pause",
            "icon": "mdi:cctv-off",
            "state_topic": topics.state,
            "value_template": _on_or_off("value_json.paused"),
            "state_on": "ON",
            "state_off": "OFF",
            "command_topic": device.request("pause"),
            "payload_on": f'{{"camera": "{camera}", "paused": true}}',
            "payload_off": f'{{"camera": "{camera}", "paused": false}}',
        },
        "score_threshold": _number(
            topics, device, "decode.score_threshold", "Score threshold", "mdi:account-filter", 0.01, camera
        ),
        "keypoint_threshold": _number(
            topics,
            device,
            "decode.keypoint_threshold",
            "Keypoint threshold",
            "mdi:vector-point",
            0.01,
            camera,
        ),
    }


def _machine_controls(topics: Topics) -> dict[str, Entity]:
    return {
        "log_level": {
            "platform": "select",
            "name": "Log level",
            "icon": "mdi:math-log",
            "options": ["debug", "info", "warning", "error"],
            "state_topic": topics.state,
            "value_template": "{{ value_json.settings['log.level'] }}",
            "command_topic": topics.request("log_level"),
            "command_template": '{"level": "{{ value }}"}',
        }
        | _SETTING,
        "restart": _button("Restart", None, topics.request("restart"))
        | {"device_class": "restart"}
        | _SETTING,
        "poses_rate": _number(
            topics, topics, "mqtt.poses.max_rate_hz", "Poses rate limit", "mdi:speedometer", 0.5
        )
        | {"unit_of_measurement": "Hz"},
    }


def _number(  # noqa: PLR0913, PLR0917 - one of a kind
    shown: Topics | CameraTopics,
    device: Topics,
    setting: str,
    name: str,
    icon: str,
    step: float,
    camera: str = "",
) -> Entity:
    """A setting that is changed, kept, and shown as `state` has it."""
    least, most = bounds_of(setting, step)
    of_camera = f'"camera": "{camera}", ' if camera else ""
    return {
        "platform": "number",
        "name": name,
        "icon": icon,
        "min": least,
        "max": most,
        "step": step,
        "mode": "box",
        "state_topic": shown.state,
        "value_template": f"{{{{ value_json.settings['{setting}'] }}}}",
        "command_topic": device.request("set"),
        "command_template": f'{{{of_camera}"settings": {{"{setting}": {{{{ value }}}}}}, "persist": true}}',
    } | _SETTING


def _camera_diagnostics(topics: CameraTopics) -> dict[str, Entity]:
    state = {"state_topic": topics.state, **_DIAGNOSTIC}
    return {
        "fps": state
        | _sensor("Frame rate", "mdi:filmstrip", "value_json.fps")
        | {"unit_of_measurement": "fps"}
        | _MEASURED
        | _FIGURE,
        "status": state | _choice("Status", "mdi:cctv", "value_json.status", get_args(PartName)),
        "sight": state | _choice("Sight", "mdi:eye", "value_json.sight", get_args(CameraHealth)),
        "dropped_frames": state
        | _sensor("Dropped frames", "mdi:filmstrip-off", "value_json.dropped")
        | {
            "state_class": "total_increasing",
            "unit_of_measurement": "frames",
            "expire_after": EXPIRE_AFTER_S,
        }
        | _FIGURE,
    }


def _machine_diagnostics(topics: Topics) -> dict[str, Entity]:
    state = {"state_topic": topics.state, **_DIAGNOSTIC}
    return {
        "inference": state
        | _milliseconds("Inference time", "mdi:chip", "value_json.engine.inference_ms")
        | _FIGURE,
        "engine": state
        | _sensor("Engine", "mdi:expansion-card", "value_json.engine.kind")
        | {"expire_after": EXPIRE_AFTER_S},
        "uptime": state
        | _sensor("Uptime", "mdi:clock-start", "value_json.uptime_s")
        | {"device_class": "duration", "unit_of_measurement": "s", "expire_after": EXPIRE_AFTER_S}
        | _FIGURE,
        "version": state
        | _sensor("Version", "mdi:tag-outline", "value_json.version")
        | {"expire_after": EXPIRE_AFTER_S}
        | _FIGURE,
    }


def _temperature(topics: Topics) -> dict[str, Entity]:
    known = _sensor("Edge TPU temperature", "mdi:thermometer", "value_json.engine.temperature_c")
    unit = {"device_class": "temperature", "unit_of_measurement": "°C"}
    return {TEMPERATURE: {"state_topic": topics.state} | known | unit | _MEASURED | _DIAGNOSTIC}


def _pictures(device: Topics, topics: CameraTopics, camera: str) -> dict[str, Entity]:
    return {
        "snapshot": {
            "platform": "image",
            "name": "Snapshot",
            "image_topic": topics.snapshot,
            "content_type": "image/jpeg",
        },
        "take_snapshot": _button("Take snapshot", "mdi:camera", device.request("snapshot"), camera),
    }


def _sensor(name: str, icon: str, value: str) -> Entity:
    return {"platform": "sensor", "name": name, "icon": icon, "value_template": f"{{{{ {value} }}}}"}


def _choice(name: str, icon: str, value: str, options: tuple[str, ...]) -> Entity:
    return _sensor(name, icon, value) | {
        "device_class": "enum",
        "options": list(options),
        "expire_after": EXPIRE_AFTER_S,
    }


def _milliseconds(name: str, icon: str, value: str) -> Entity:
    duration = {"device_class": "duration", "unit_of_measurement": "ms", "suggested_display_precision": 1}
    return _sensor(name, icon, value) | duration | _MEASURED


def _button(name: str, icon: str | None, topic: str, camera: str = "") -> Entity:
    payload = f'{{"camera": "{camera}"}}' if camera else "{}"
    button = {"platform": "button", "name": name, "command_topic": topic, "payload_press": payload}
    return button if icon is None else button | {"icon": icon}


def _on_or_off(value: str) -> str:
    """`None` is what Home Assistant takes for not known."""
    return f"{{{{ 'None' if {value} is none else 'ON' if {value} else 'OFF' }}}}"
