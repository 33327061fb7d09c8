"""What is announced to Home Assistant: its entities, and that their templates read our messages."""

from __future__ import annotations

import json
import re
from typing import Any

import jinja2
import msgspec
import pytest

from posed.config import Config, live_values
from posed.messages.structs import CameraState, ZoneMessage, encode
from posed.mqtt.homeassistant import EVENT_TYPES, EXPIRE_AFTER_S, announcements, device_id_of, entities
from posed.mqtt.retained import INTERVAL_S
from scripts.standins.messages import event, state
from tests.test_messages_structs import fall

SQUARE = {"polygon": [[0, 0], [1, 0], [1, 1]]}
FULL = {
    "device": "Hall-1",
    "people": {"zones": {"kitchen": SQUARE, "bed_2": SQUARE, "tv": SQUARE | {"kind": "exclude"}}},
    "privacy": {"pictures": "skeleton"},
}


def configured(**changes: Any) -> Config:
    return Config(**(FULL | changes))


def found(**changes: Any) -> dict[str, Any]:
    return entities(configured(**changes), has_temperature=True)


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
    assert set(found()) == {
        *("occupancy", "people", "posture", "fall", "clear_fall", "test_event", "event"),
        *("zone_kitchen_occupancy", "zone_kitchen_people", "zone_bed_2_occupancy", "zone_bed_2_people"),
        *("pause", "log_level", "restart", "score_threshold", "keypoint_threshold", "poses_rate"),
        *("snapshot", "take_snapshot", "camera", "sight", "engine", "temperature"),
        *("fps", "inference", "latency", "dropped_frames", "uptime", "version"),
    }


def test_without_pictures_and_temperature_there_are_no_entities_for_them():
    config = configured(privacy={"pictures": "off"})
    assert not {"snapshot", "take_snapshot", "temperature"} & set(entities(config, has_temperature=False))


def test_ids_are_unique_and_fit_topics_and_home_assistant():
    every = found().values()
    assert len({one["unique_id"] for one in every}) == len(every)
    assert len({one["default_entity_id"] for one in every}) == len(every)
    for key, one in found().items():
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", key)
        assert one["unique_id"] == f"posed_Hall-1_{key}"
        assert re.fullmatch(rf"{one['platform']}\.hall_1_[a-z0-9_]+", one["default_entity_id"])


def test_devices_of_one_name_below_different_topics_are_different_devices():
    assert device_id_of(configured()) == "posed_Hall-1"
    assert device_id_of(configured(mqtt={"topic": "house/posed"})) == "house_posed_Hall-1"


def test_names_differ_and_do_not_repeat_the_devices():
    names = [one["name"] for one in found().values()]
    assert len(set(names)) == len(names)
    assert not any("hall" in name.lower() for name in names)


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


# Templates read our messages


@pytest.mark.parametrize(("occupied", "expected"), [(True, "ON"), (False, "OFF"), (None, "None")])
def test_occupancy_is_on_off_or_not_known(occupied, expected):
    assert shown("occupancy", state(occupied=occupied)) == expected


def test_state_fills_sensors():
    message = state(people=2, camera=CameraState("ok", "video", 640, 480, "dark"))
    assert shown("people", message) == "2"
    assert shown("posture", message) == "standing"
    assert shown("sight", message) == "dark"
    assert shown("fps", message) == "29.7"
    assert shown("inference", message) == "5.9"
    assert shown("engine", message) == "cpu"
    assert shown("uptime", message) == "1"
    assert shown("version", message) == "0.1.0"
    assert shown("pause", message) == "OFF"
    assert shown("temperature", message) == "None"


def test_settings_fill_numbers_and_the_log_level():
    message = state(settings=live_values(configured()))
    assert shown("score_threshold", message) == "0.25"
    assert shown("poses_rate", message) == "0.0"
    assert shown("log_level", message) == "info"


@pytest.mark.parametrize("key", ["occupancy", "people", "posture", "latency", "inference"])
def test_what_is_seen_is_unavailable_while_nothing_is(key):
    assert available(key, state(people=0, occupied=False)) == "online"
    assert available(key, state(people=None, occupied=None)) == "offline"


def test_a_zone_has_its_own_topic_and_availability():
    message = ZoneMessage(device="hall", time="", zone="kitchen", occupied=True, people=3)
    assert found()["zone_kitchen_people"]["state_topic"] == "posed/Hall-1/zones/kitchen"
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
    assert (rendered["event_type"], rendered["zone"], rendered["test"]) == (
        "left_hand_raised",
        "kitchen",
        False,
    )
    assert rendered["event_type"] in EVENT_TYPES
    test = json.loads(shown("event", event(detail={"test": True})))
    assert (test["event_type"], test["test"]) == ("fall", True)


@pytest.mark.parametrize(
    "changes", [{"type": "entered", "detail": {}}, {"type": "gesture", "detail": {"test": True}}]
)
def test_other_events_are_none_of_the_event_entity(changes):
    assert shown("event", event(**changes)) == ""


def test_commands_are_requests_as_json():
    number = found()["score_threshold"]
    command = jinja2.Template(number["command_template"]).render(value=0.4)
    assert number["command_topic"] == "posed/Hall-1/request/set"
    assert json.loads(command) == {"settings": {"decode.score_threshold": 0.4}, "persist": True}
    assert (number["min"], number["max"], number["step"]) == (0.01, 0.99, 0.01)
    level = found()["log_level"]
    assert json.loads(jinja2.Template(level["command_template"]).render(value="debug")) == {"level": "debug"}
    pause = found()["pause"]
    assert [json.loads(pause[one]) for one in ("payload_on", "payload_off")] == [
        {"paused": True},
        {"paused": False},
    ]


# Messages


def test_device_discovery_is_one_message_with_origin_and_everything_shared():
    ((topic, one),) = announcements(configured(), "coral-353x481", has_temperature=True).items()
    message = json.loads(one.encoded())
    assert topic == "homeassistant/device/posed_Hall-1/config"
    assert message["device"]["identifiers"] == ["posed_Hall-1"]
    assert message["origin"]["name"] == "posed"
    assert message["availability"] == [{"topic": "posed/Hall-1/availability"}]
    assert message["availability_mode"] == "all"
    assert set(message["components"]) == set(found())
    assert all("platform" in component for component in message["components"].values())


def test_component_discovery_is_one_message_per_entity():
    every = announcements(configured(homeassistant={"discovery": "components"}), "m", has_temperature=True)
    assert len(every) == len(found())
    message = json.loads(every["homeassistant/sensor/posed_Hall-1/people/config"].encoded())
    assert message["device"]["name"] == "Hall-1"
    assert message["origin"]["name"] == "posed"
    assert message["availability_mode"] == "all"
    assert [one["topic"] for one in message["availability"]] == [
        "posed/Hall-1/availability",
        "posed/Hall-1/state",
    ]
    assert "platform" not in message


def test_the_prefix_is_home_assistants_own():
    settings = {"discovery": "device", "prefix": "ha/discovery"}
    assert list(announcements(configured(homeassistant=settings), "m", has_temperature=False)) == [
        "ha/discovery/device/posed_Hall-1/config"
    ]


def test_off_announces_nothing():
    assert announcements(configured(homeassistant={"discovery": "off"}), "m", has_temperature=True) == {}


def test_both_ways_announce_the_same_entities():
    """Home Assistant knows an entity by platform, device and key, which must agree for a migration."""
    (device,) = announcements(configured(), "m", has_temperature=True).values()
    single = announcements(configured(homeassistant={"discovery": "components"}), "m", has_temperature=True)
    assert device.entities == frozenset().union(*(one.entities for one in single.values()))
    assert {f"{entity}/config" for entity in device.entities} == set(single)
