"""What is announced to Home Assistant: its entities, and that their templates read our messages."""

from __future__ import annotations

import json
import re
from typing import Any

import jinja2
import msgspec
import pytest

from posed.config import CAMERA, CameraConfig, Config, LiveConfig
from posed.messages.structs import VERBS, ZoneMessage, encode
from posed.mqtt.homeassistant import (
    EVENT_TYPES,
    EXPIRE_AFTER_S,
    announcements,
    camera_entities,
    device_id_of,
    machine_entities,
)
from posed.mqtt.retained import INTERVAL_S
from scripts.standins.messages import camera_state, event, fall, state
from tests.former import leave_spool

SQUARE = {"polygon": [[0, 0], [1, 0], [1, 1]]}
DOOR = {
    "zones": {"kitchen": SQUARE, "bed_2": SQUARE, "tv": SQUARE | {"kind": "exclude"}},
    "privacy": {"pictures": "skeleton"},
}
FULL = {"device": "Hall-1", "cameras": {"door": DOOR, "back_stairs": {}}}
COMPONENTS = {"homeassistant": {"discovery": "components"}}


def configured(**changes: Any) -> Config:
    return Config(**(FULL | changes))


def of_machine(**changes: Any) -> dict[str, Any]:
    return machine_entities(configured(**changes), has_temperature=True)


def of_camera(camera: str = "door", **changes: Any) -> dict[str, Any]:
    return camera_entities(configured(**changes), camera)


def found() -> dict[str, Any]:
    """Everything of the machine and of a camera, whose keys differ."""
    return of_machine() | of_camera()


def announced(**changes: Any) -> dict[str, Any]:
    """What is announced, by topic, as it is read again."""
    every = announcements(configured(**changes), "coral-353x481", has_temperature=True)
    return {topic: json.loads(one.encoded()) for topic, one in every.items()}


def render(template: str, message: object) -> str:
    value = json.loads(encode(message))
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(value_json=value)


def shown(key: str, message: object) -> str:
    return render(found()[key]["value_template"], message)


def available(key: str, message: object) -> str:
    (_, one) = found()[key]["availability"]
    return render(one["value_template"], message)


def test_every_entity_of_the_contract_is_there():
    assert set(of_machine()) == {
        *("log_level", "restart", "poses_rate"),
        *("inference", "engine", "temperature", "uptime", "version"),
    }
    assert set(of_camera()) == {
        *("occupancy", "people", "posture", "latency", "fall", "clear_fall", "test_event", "event"),
        *("zone_kitchen_occupancy", "zone_kitchen_people", "zone_bed_2_occupancy", "zone_bed_2_people"),
        *("pause", "score_threshold", "keypoint_threshold"),
        *("snapshot", "take_snapshot", "status", "sight", "fps", "dropped_frames"),
    }


def test_without_a_temperature_there_is_no_entity_for_it():
    assert "temperature" not in machine_entities(configured(), has_temperature=False)


def test_each_cameras_privacy_decides_about_its_pictures():
    pictures = {"snapshot", "take_snapshot"}
    assert pictures <= set(of_camera("door"))
    assert not pictures & set(of_camera("back_stairs"))


def test_ids_are_unique_and_fit_topics_and_home_assistant():
    machine, door, stairs = of_machine(), of_camera("door"), of_camera("back_stairs")
    every = [*machine.values(), *door.values(), *stairs.values()]
    assert len({one["unique_id"] for one in every}) == len(every)
    assert len({one["default_entity_id"] for one in every}) == len(every)
    for found, base, slug in (
        (machine, "posed/Hall-1", "hall_1"),
        (stairs, "posed/Hall-1/back_stairs", "hall_1_back_stairs"),
    ):
        for key, one in found.items():
            assert re.fullmatch(r"[a-zA-Z0-9_-]+", key)
            assert one["unique_id"] == f"{base}/{key}"
            assert re.fullmatch(rf"{one['platform']}\.{slug}_[a-z0-9_]+", one["default_entity_id"])


@pytest.mark.parametrize("way", ["device", "components"])
def test_a_b_and_c_never_meet_a_and_b_c(way):
    """Neither in topics, nor in anything by which Home Assistant tells devices and entities apart."""
    one, other = (
        announced(device=device, cameras={camera: DOOR}, homeassistant={"discovery": way})
        for device, camera in (("a_b", "c"), ("a", "b_c"))
    )
    assert not one.keys() & other.keys()
    assert not identities(one) & identities(other)


def identities(messages: dict[str, Any]) -> set[str]:
    """Identifiers of devices, unique ids of entities, and topics of their states."""
    entities = [entity for one in messages.values() for entity in one.get("components", {"": one}).values()]
    return {identifier for one in messages.values() for identifier in one["device"]["identifiers"]} | {
        entity[name] for entity in entities for name in ("unique_id", "state_topic") if name in entity
    }


def test_devices_of_one_name_below_different_topics_are_different_devices():
    assert device_id_of(configured()) == "posed_Hall-1"
    assert device_id_of(configured(mqtt={"topic": "house/posed"})) == "house_posed_Hall-1"


def test_names_differ_and_do_not_repeat_the_devices():
    for entities in (of_machine(), of_camera()):
        names = [one["name"] for one in entities.values()]
        assert len(set(names)) == len(names)
        assert not any("hall" in name.lower() or "door" in name.lower() for name in names)


def test_everything_but_buttons_has_an_icon_or_a_device_class():
    for one in found().values():
        assert one["platform"] == "image" or "icon" in one or "device_class" in one


def test_values_that_go_stale_expire_after_their_repetition():
    assert EXPIRE_AFTER_S > INTERVAL_S
    for key, one in found().items():
        stale = one["platform"] in {"sensor", "binary_sensor"} and key != "fall"
        assert ("expire_after" in one) is stale


def test_diagnostics_and_settings_are_marked():
    categories = {key: one.get("entity_category") for key, one in found().items()}
    assert {key for key, kind in categories.items() if kind == "config"} == {
        *("score_threshold", "keypoint_threshold", "poses_rate", "log_level", "restart"),
    }
    assert {"fps", "sight", "version", "temperature"} < {
        key for key, kind in categories.items() if kind == "diagnostic"
    }


def test_figures_are_hidden_and_what_tells_of_trouble_is_not():
    """A new diagnostic is one or the other on purpose."""
    categories = {key: one.get("entity_category") for key, one in found().items()}
    hidden = {key for key, one in found().items() if one.get("visible_by_default") is False}
    assert hidden == {*("latency", "fps", "dropped_frames", "inference", "uptime", "version")}
    diagnostics = {key for key, kind in categories.items() if kind == "diagnostic"}
    assert diagnostics - hidden == {"status", "sight", "engine", "temperature", "test_event"}
    assert not any("visible_by_default" in one for key, one in found().items() if key not in hidden)


# Templates read our messages


@pytest.mark.parametrize(("occupied", "expected"), [(True, "ON"), (False, "OFF"), (None, "None")])
def test_occupancy_is_on_off_or_not_known(occupied, expected):
    assert shown("occupancy", camera_state(occupied=occupied)) == expected


def test_a_cameras_state_fills_its_sensors():
    message = camera_state(people=2, sight="dark", dropped=12)
    assert shown("people", message) == "2"
    assert shown("posture", message) == "standing"
    assert shown("sight", message) == "dark"
    assert shown("status", message) == "ok"
    assert shown("fps", message) == "29.7"
    assert shown("latency", message) == "14.0"
    assert shown("dropped_frames", message) == "12"
    assert shown("pause", message) == "OFF"


def test_the_machines_state_fills_its_sensors():
    assert shown("inference", state()) == "5.9"
    assert shown("engine", state()) == "cpu"
    assert shown("uptime", state()) == "1"
    assert shown("version", state()) == "0.1.0"
    assert shown("temperature", state()) == "None"


def test_settings_fill_numbers_and_the_log_level():
    live = LiveConfig(configured(cameras={"door": DOOR | {"decode": {"score_threshold": 0.4}}}))
    assert shown("score_threshold", camera_state(settings=live.values_of["door"])) == "0.4"
    assert shown("poses_rate", state(settings=live.values)) == "0.0"
    assert shown("log_level", state(settings=live.values)) == "info"


@pytest.mark.parametrize("key", ["occupancy", "people", "posture", "latency"])
def test_what_is_seen_is_unavailable_while_nothing_is(key):
    assert available(key, camera_state(people=0, occupied=False)) == "online"
    assert available(key, camera_state(people=None, occupied=None)) == "offline"


def test_each_cameras_entities_read_its_own_topics():
    for camera in ("door", "back_stairs"):
        topics = {one["state_topic"] for one in of_camera(camera).values() if "state_topic" in one}
        of_others = {topic for topic in topics if not topic.startswith(f"posed/Hall-1/{camera}/")}
        assert of_others == {"posed/Hall-1/events"}


def test_a_zone_has_its_own_topic_and_availability():
    message = ZoneMessage(device="hall", camera="door", time="", zone="kitchen", occupied=True, people=3)
    assert of_camera()["zone_kitchen_people"]["state_topic"] == "posed/Hall-1/door/zones/kitchen"
    assert shown("zone_kitchen_people", message) == "3"
    assert shown("zone_kitchen_occupancy", message) == "ON"
    assert available("zone_kitchen_people", message) == "online"
    assert available("zone_kitchen_people", msgspec.structs.replace(message, people=None)) == "offline"


def test_a_fall_is_unsafe_and_says_since_when():
    one = found()["fall"]
    assert one["device_class"] == "safety"
    assert shown("fall", fall()) == "ON"
    assert shown("fall", fall(fallen=False, since=None, event=None)) == "OFF"
    assert json.loads(render(one["json_attributes_template"], fall()))["event"] == "01A"


def test_gestures_and_falls_are_events_by_their_own_names():
    raised = event(type="gesture", detail={"gesture": "left_hand_raised"}, zone="kitchen")
    rendered = json.loads(shown("event", raised))
    assert rendered["event_type"] == "left_hand_raised"
    assert (rendered["camera"], rendered["zone"], rendered["test"]) == ("door", "kitchen", False)
    assert rendered["event_type"] in EVENT_TYPES
    test = json.loads(shown("event", event(detail={"test": True})))
    assert (test["event_type"], test["test"]) == ("fall", True)


def test_an_event_entity_takes_only_its_own_cameras_events():
    raised = event(type="gesture", detail={"gesture": "left_hand_raised"}, camera="back_stairs")
    assert shown("event", raised) == ""
    rendered = render(of_camera("back_stairs")["event"]["value_template"], raised)
    assert json.loads(rendered)["camera"] == "back_stairs"


def test_no_event_entity_takes_an_event_of_schema_1(tmp_path):
    """It names no camera, and Home Assistant gets nothing to complain of."""
    (*_, payload) = leave_spool(tmp_path / "spool.sqlite")
    template = jinja2.Environment().from_string(of_camera()["event"]["value_template"])
    assert template.render(value_json=json.loads(payload)) == ""


@pytest.mark.parametrize(
    "changes", [{"type": "entered", "detail": {}}, {"type": "gesture", "detail": {"test": True}}]
)
def test_other_events_are_none_of_the_event_entity(changes):
    assert shown("event", event(**changes)) == ""


def test_commands_are_requests_as_json():
    number = found()["score_threshold"]
    command = jinja2.Template(number["command_template"]).render(value=0.4)
    assert number["command_topic"] == "posed/Hall-1/request/set"
    assert json.loads(command) == {
        "camera": "door",
        "settings": {"decode.score_threshold": 0.4},
        "persist": True,
    }
    assert (number["min"], number["max"], number["step"]) == (0.01, 0.99, 0.01)
    rate = jinja2.Template(found()["poses_rate"]["command_template"]).render(value=5)
    assert json.loads(rate) == {"settings": {"mqtt.poses.max_rate_hz": 5}, "persist": True}
    level = found()["log_level"]
    assert json.loads(jinja2.Template(level["command_template"]).render(value="debug")) == {"level": "debug"}
    pause = found()["pause"]
    assert [json.loads(pause[one]) for one in ("payload_on", "payload_off")] == [
        {"camera": "door", "paused": True},
        {"camera": "door", "paused": False},
    ]


def test_buttons_of_a_camera_ask_for_that_camera_alone():
    for key in ("clear_fall", "test_event", "take_snapshot"):
        assert json.loads(of_camera()[key]["payload_press"]) == {"camera": "door"}


def test_every_command_is_a_request_that_is_taken():
    for one in found().values():
        if "command_topic" not in one:
            continue
        request, _ = VERBS[one["command_topic"].removeprefix("posed/Hall-1/request/")]
        template = one.get("command_template", "")
        payloads = [one[name] for name in ("payload_press", "payload_on", "payload_off") if name in one]
        value = "info" if one["platform"] == "select" else 0.4
        for payload in payloads or [jinja2.Template(template).render(value=value)]:
            msgspec.json.decode(payload, type=request)


# Messages


def test_machine_and_cameras_are_a_device_and_a_message_each():
    assert list(announced()) == [
        "homeassistant/device/posed_Hall-1/config",
        "homeassistant/device/posed_Hall-1/door/config",
        "homeassistant/device/posed_Hall-1/back_stairs/config",
    ]
    for message in announced().values():
        assert message["origin"]["name"] == "posed"
        assert message["availability"] == [{"topic": "posed/Hall-1/availability"}]
        assert message["availability_mode"] == "all"
        assert all("platform" in component for component in message["components"].values())


def test_each_cameras_device_is_linked_to_the_machines():
    machine, *cameras = (message["device"] for message in announced().values())
    assert machine["identifiers"] == ["posed/Hall-1"]
    assert "via_device" not in machine
    assert [camera["identifiers"] for camera in cameras] == [
        ["posed/Hall-1/door"],
        ["posed/Hall-1/back_stairs"],
    ]
    assert [camera["via_device"] for camera in cameras] == ["posed/Hall-1"] * 2
    assert [camera["name"] for camera in cameras] == ["Hall-1 door", "Hall-1 back stairs"]


def test_devices_say_their_model_and_its_variant():
    machine, door, _ = (message["device"] for message in announced().values())
    assert machine["model"] == "coral-353x481"
    assert "model_id" not in machine
    assert (door["model"], door["model_id"]) == ("camera", "picamera2")


def test_a_camera_that_somebody_named_suggests_its_room():
    machine, door, stairs = (message["device"] for message in announced().values())
    assert "suggested_area" not in machine
    assert (door["suggested_area"], stairs["suggested_area"]) == ("Door", "Back stairs")
    only = Config(device="Hall-1").model_copy(update={"cameras": {CAMERA: CameraConfig()}})
    [_, camera] = announcements(only, "m", has_temperature=True).values()
    assert "suggested_area" not in camera.payload["device"]


TOKEN = "a-token-of-more-than-16-characters"


@pytest.mark.parametrize("way", ["device", "components"])
def test_devices_link_to_the_live_view_without_its_token(way):
    web = {"enabled": True, "host": "192.168.1.5", "port": 8461, "token": TOKEN}
    found = announced(web=web, homeassistant={"discovery": way})
    links = {message["device"]["name"]: message["device"]["configuration_url"] for message in found.values()}
    assert links == {
        "Hall-1": "http://192.168.1.5:8461/",
        "Hall-1 door": "http://192.168.1.5:8461/door",
        "Hall-1 back stairs": "http://192.168.1.5:8461/back_stairs",
    }
    assert TOKEN not in json.dumps(found)


@pytest.mark.parametrize(
    "web",
    [
        {"enabled": False, "host": "0.0.0.0", "token": TOKEN},
        {"enabled": True, "host": "127.0.0.1", "token": TOKEN},
        {"enabled": True, "host": "::1", "token": TOKEN},
        {"enabled": True, "host": "0.0.0.0", "trusted_proxy": "172.30.32.2"},
    ],
)
def test_no_device_links_to_a_page_others_cannot_open(web):
    assert not any("configuration_url" in message["device"] for message in announced(web=web).values())


def test_component_discovery_is_one_message_per_entity():
    every = announced(**COMPONENTS)
    assert len(every) == len(of_machine()) + len(of_camera("door")) + len(of_camera("back_stairs"))
    message = every["homeassistant/sensor/posed_Hall-1/door-people/config"]
    assert message["device"]["name"] == "Hall-1 door"
    assert message["device"]["via_device"] == "posed/Hall-1"
    assert message["origin"]["name"] == "posed"
    assert message["availability_mode"] == "all"
    assert [one["topic"] for one in message["availability"]] == [
        "posed/Hall-1/availability",
        "posed/Hall-1/door/state",
    ]
    assert "platform" not in message
    assert "via_device" not in every["homeassistant/sensor/posed_Hall-1/engine/config"]["device"]


@pytest.mark.parametrize("way", ["device", "components"])
def test_another_camera_changes_no_message_of_the_others(way):
    settings = {"homeassistant": {"discovery": way}}
    fewer, more = announced(**settings, cameras={"door": DOOR}), announced(**settings)
    assert fewer.items() <= more.items()


def test_the_prefix_is_home_assistants_own():
    settings = {"discovery": "device", "prefix": "ha/discovery"}
    assert list(announced(homeassistant=settings, cameras={"door": {}})) == [
        "ha/discovery/device/posed_Hall-1/config",
        "ha/discovery/device/posed_Hall-1/door/config",
    ]


def test_off_announces_nothing():
    assert announced(homeassistant={"discovery": "off"}) == {}


def test_both_ways_announce_the_same_entities():
    """Home Assistant knows an entity by its unique id, which must agree for a migration; we by its path."""
    device = announcements(configured(), "m", has_temperature=True)
    single = announcements(configured(**COMPONENTS), "m", has_temperature=True)
    entities = frozenset().union(*(one.entities for one in device.values()))
    assert entities == frozenset().union(*(one.entities for one in single.values()))
    assert {f"{entity}/config" for entity in entities} == set(single)
    assert identities(announced()) == identities(announced(**COMPONENTS))
