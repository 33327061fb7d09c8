"""Settings that change while the daemon runs."""

from __future__ import annotations

import pytest

from posed.config import (
    Config,
    LiveConfig,
    bounds_of,
    changed,
    live_settings,
    live_values,
    mqtt_password,
)
from posed.errors import ConfigError
from tests.configs import ZONE


def test_settings_change_at_run_time_where_they_may():
    config = changed(Config(), {"decode.score_threshold": 0.4, "people.zones": {"a": ZONE}})
    assert (config.decode.score_threshold, set(config.people.zones)) == (0.4, {"a"})
    assert config.decode.keypoint_threshold == Config().decode.keypoint_threshold


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"decode.score_threshold": 2}, "decode.score_threshold: must be less than 1, got 2"),
        ({"decode.score_threshold": "0.4"}, "decode.score_threshold: must be a number, got '0.4'"),
        ({"people.zones": {"a": {"polygon": [[0, 0]]}}}, "people.zones.a.polygon: must have 3 to"),
        (
            {"people.zones": {str(number): ZONE for number in range(51)}},
            "people.zones: must be at most 50 zones",
        ),
        ({"people.zones": {"n" * 65: ZONE}}, "must be at most 64 characters"),
        ({"privacy.pictures": "full"}, "privacy.pictures: must be a setting that can be changed at run time"),
        ({"mqtt.host": "x"}, "mqtt.host: must be a setting that can be changed at run time"),
        ({"decode": {}}, "decode: must be a setting that can be changed at run time"),
        ({"decode.score_treshold": 1}, "did you mean decode.score_threshold?"),
        ({"a\nb": 1}, "'a\\nb': must be a setting"),
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
    assert {"decode.score_threshold", "people.zones", "mqtt.poses.max_rate_hz", "log.level"} < names
    assert not {name for name in names if name.startswith(("privacy.", "camera.", "web.", "mqtt.host"))}
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
