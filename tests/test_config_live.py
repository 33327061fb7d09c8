"""Settings that change while the daemon runs."""

from __future__ import annotations

import pytest

from posed.config import (
    Config,
    LiveConfig,
    bounds_of,
    camera_settings,
    changed,
    given_settings,
    live_settings,
    live_values,
    mqtt_password,
)
from posed.errors import ConfigError
from tests.configs import ZONE


def test_settings_change_at_run_time_where_they_may():
    config = changed(Config(), {"decode.score_threshold": 0.4})
    assert config.decode.score_threshold == 0.4
    assert config.decode.keypoint_threshold == Config().decode.keypoint_threshold


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"decode.score_threshold": 2}, "decode.score_threshold: must be less than 1, got 2"),
        ({"decode.score_threshold": "0.4"}, "decode.score_threshold: must be a number, got '0.4'"),
        ({"privacy.pictures": "full"}, "privacy.pictures: must be a setting that can be changed at run time"),
        ({"mqtt.host": "x"}, "mqtt.host: must be a setting that can be changed at run time"),
        ({"decode": {}}, "decode: must be a setting that can be changed at run time"),
        ({"decode.score_treshold": 1}, "did you mean decode.score_threshold?"),
        ({"a\nb": 1}, "'a\\nb': must be a setting"),
        ({"zones": {}}, "zones: needs the name of a camera beside it, as each has its own"),
    ],
)
def test_a_change_is_looked_at_as_the_file_is(settings, problem):
    with pytest.raises(ConfigError) as raised:
        changed(Config(), settings)
    assert problem in str(raised.value)


def test_a_password_stays_secret_and_itself_through_a_change():
    config = Config(mqtt={"username": "posed", "password": "c4nary"})
    assert mqtt_password(changed(config, {"log.level": "debug"}).mqtt) == "c4nary"
    assert "c4nary" not in str(live_values(config))


def test_settings_that_change_at_run_time_are_those_marked():
    names = set(live_settings())
    assert {"decode.score_threshold", "people.falls", "mqtt.poses.max_rate_hz", "log.level"} < names
    assert not {
        name for name in names if name.startswith(("privacy.", "cameras.", "zones", "web.", "mqtt.host"))
    }
    assert set(live_values(Config())) == names


@pytest.mark.parametrize(
    ("setting", "bounds"), [("decode.score_threshold", (0.01, 0.99)), ("mqtt.poses.max_rate_hz", (0, 240))]
)
def test_bounds_are_those_of_the_rules(setting, bounds):
    assert bounds_of(setting, 0.01) == bounds


def test_who_listens_hears_of_settings_that_are_taken_over():
    live, heard = LiveConfig(Config()), []
    live.listen(heard.append)
    wanted = changed(live.config, {"decode.max_people": 3})
    live.take_over(wanted)
    assert heard == [wanted]
    assert live.config == wanted
    assert live.values["decode.max_people"] == 3


ROOMS = Config(cameras={"hall": {}, "bedroom": {"people": {"fall_confirm_s": 20.0}}})


def confirm_s(config):
    return [camera.people.fall_confirm_s for camera in config.cameras.values()]


@pytest.mark.parametrize(
    ("settings", "camera", "expected"),
    [
        ({"people.fall_confirm_s": 30}, None, [30, 20]),
        ({"people.fall_confirm_s": 30}, "bedroom", [10, 30]),
        ({"people.fall_confirm_s": 30}, "hall", [30, 20]),
        ({"people.fall_confirm_s": None}, "bedroom", [10, 10]),
        ({"people.fall_confirm_s": None}, "hall", [10, 20]),
        ({"people.fall_confirm_s": None}, None, [10, 20]),
    ],
)
def test_a_cameras_own_value_goes_before_that_for_all(settings, camera, expected):
    assert confirm_s(changed(ROOMS, settings, camera)) == expected


def test_a_value_for_all_taken_back_leaves_the_networks_own():
    live = LiveConfig(Config())
    live.use_defaults({"decode.score_threshold": 0.38})
    for value, now in ((0.6, 0.6), (None, 0.38)):
        live.take_over(changed(live.config, {"decode.score_threshold": value}))
        assert live.values["decode.score_threshold"] == now
        assert live.config.first.decode.score_threshold == now


def test_what_is_taken_back_follows_the_value_for_all_again():
    config = changed(changed(ROOMS, {"people.fall_confirm_s": None}, "bedroom"), {"people.fall_confirm_s": 7})
    assert confirm_s(config) == [7, 7]
    assert given_settings(config, "bedroom") == set()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"people.fall_confirm_s": 0}, "cameras.hall.people.fall_confirm_s: must be at least 1, got 0"),
        ({"zones": {"a": {"polygon": [[0, 0]]}}}, "cameras.hall.zones.a.polygon: must have 3 to"),
        (
            {"zones": {str(number): ZONE for number in range(51)}},
            "cameras.hall.zones: must be at most 50 zones, got more",
        ),
        ({"zones": {"n" * 65: ZONE}}, "must be at most 64 characters"),
        ({"log.level": "debug"}, "log.level: is for all cameras, got that of hall"),
        ({"fps": 3}, "fps: must be a setting that can be changed at run time"),
        ({"privacy.pictures": "full"}, "privacy.pictures: must be a setting that can be changed at run time"),
    ],
)
def test_a_cameras_change_is_looked_at_as_the_file_is(settings, problem):
    with pytest.raises(ConfigError) as raised:
        changed(ROOMS, settings, "hall")
    assert problem in str(raised.value)


def test_each_cameras_values_are_those_that_hold_for_it():
    live = LiveConfig(changed(ROOMS, {"zones": {"bed": ZONE}}, "hall"))
    assert {name: values["people.fall_confirm_s"] for name, values in live.values_of.items()} == {
        "hall": 10,
        "bedroom": 20,
    }
    assert set(live.values_of["hall"]["zones"]) == {"bed"}
    assert set(live.values_of["hall"]) == set(camera_settings())
