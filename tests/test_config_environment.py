"""Settings from environment variables."""

from __future__ import annotations

from posed.config import (
    load,
    mqtt_password,
)
from tests.configs import problems, write


def test_a_zone_can_come_from_the_environment():
    zones = "{bed: {polygon: [[0, 0], [1, 0], [0, 1]], kind: resting}}"
    (zone,) = load(None, {"POSED_CAMERAS__CAMERA__ZONES": zones}).first.zones.values()
    assert (zone.kind, zone.polygon) == ("resting", ((0, 0), (1, 0), (0, 1)))


def test_a_byte_order_mark_is_no_part_of_a_variable():
    assert load(None, {"\ufeffPOSED_MQTT__HOST": "broker"}).mqtt.host == "broker"


def test_a_problem_says_when_it_comes_from_the_environment():
    assert problems(None, {"POSED_MQTT__PORT": "0"}) == [
        "mqtt.port: must be at least 1, got 0 (set by POSED_MQTT__PORT)"
    ]


def test_an_unknown_variable_is_a_problem_with_the_nearest_name():
    assert problems(None, {"POSED_MQTT__HSOT": "a"}) == [
        "POSED_MQTT__HSOT: unknown setting; did you mean POSED_MQTT__HOST?"
    ]


def test_text_from_the_environment_stays_text():
    config = load(None, {"POSED_MQTT__USERNAME": "007", "POSED_MQTT__PASSWORD": "1234"})
    assert (config.mqtt.username, mqtt_password(config.mqtt)) == ("007", "1234")
    assert load(None, {"POSED_MQTT__PROTOCOL": "5"}).mqtt.protocol == "5"


def test_a_list_from_the_environment_is_yaml():
    assert load(None, {"POSED_CAMERAS__CAMERA__SIZE": "[640, 480]"}).first.size == (640, 480)


def test_a_bomb_in_a_variable_is_refused_too():
    (line,) = problems(None, {"POSED_CAMERAS__CAMERA__ZONES": "{a: &a [1], b: [*a, *a]}"})
    assert line == "POSED_CAMERAS__CAMERA__ZONES: must be a YAML value, got '{a: &a [1], b: [*a, *a]}'"


def test_a_variable_that_is_no_yaml_value_is_said():
    assert problems(None, {"POSED_CAMERAS__CAMERA__FPS": "2020-13-45"}) == [
        "POSED_CAMERAS__CAMERA__FPS: must be a YAML value, got '2020-13-45'"
    ]


TWO = "cameras: {hall: {kind: synthetic}, a__b: {kind: synthetic}}"


def test_a_camera_of_the_file_is_set_by_its_name(tmp_path):
    file = write(tmp_path, TWO)
    cameras = load(file, {"POSED_CAMERAS__HALL__FPS": "15", "POSED_CAMERAS__A__B__FPS": "7"}).cameras
    assert (cameras["hall"].fps, cameras["a__b"].fps) == (15, 7)


def test_the_environment_makes_no_camera(tmp_path):
    assert problems(write(tmp_path, TWO), {"POSED_CAMERAS__ATTIC__FPS": "15"}) == [
        "POSED_CAMERAS__ATTIC__FPS: must be of a camera that the file names (hall, a__b)"
    ]


def test_an_unknown_setting_of_a_camera_names_the_nearest(tmp_path):
    assert problems(write(tmp_path, TWO), {"POSED_CAMERAS__HALL__FSP": "15"}) == [
        "POSED_CAMERAS__HALL__FSP: unknown setting; did you mean POSED_CAMERAS__HALL__FPS?"
    ]


def test_a_camera_alone_is_no_setting(tmp_path):
    (line,) = problems(write(tmp_path, TWO), {"POSED_CAMERAS__HALL": "15"})
    assert line.startswith("POSED_CAMERAS__HALL: unknown setting; did you mean POSED_CAMERAS__HALL__")
