"""Defaults that depend on the network hold for what nobody set, and for nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from posed.config import Config, LiveConfig, changed, reload, with_defaults

DEFAULTS = {"decode.score_threshold": 0.11, "people.look_turned_s": 0.0}


def thresholds(config: Config) -> list[float]:
    """What holds for all cameras, then for each."""
    return [section.decode.score_threshold for section in (config, *config.cameras.values())]


def test_a_default_holds_where_nothing_is_set() -> None:
    config = with_defaults(Config(), DEFAULTS)
    assert thresholds(config) == [0.11, 0.11]
    assert (config.people.look_turned_s, config.first.people.look_turned_s) == (0, 0)
    assert config.decode.keypoint_threshold == Config().decode.keypoint_threshold


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"decode": {"score_threshold": 0.25}}, [0.25, 0.25]),
        ({"cameras": {"hall": {"decode": {"score_threshold": 0.4}}, "bath": {}}}, [0.11, 0.4, 0.11]),
        (
            {"decode": {"score_threshold": 0.3}, "cameras": {"hall": {"decode": {"score_threshold": 0.4}}}},
            [0.3, 0.4],
        ),
        ({"cameras": {"hall": {"decode": {"max_people": 2}}}}, [0.11, 0.11]),
    ],
)
def test_what_is_set_goes_before_a_default(settings: dict[str, Any], expected: list[float]) -> None:
    assert thresholds(with_defaults(Config(**settings), DEFAULTS)) == expected


def test_a_default_does_not_count_as_set() -> None:
    config = with_defaults(Config(), DEFAULTS)
    assert config.model_fields_set == Config().model_fields_set
    assert config.decode.model_fields_set == config.first.decode.model_fields_set == set()
    assert thresholds(with_defaults(config, {"decode.score_threshold": 0.2})) == [0.2, 0.2]


def test_another_setting_that_changes_leaves_a_default_alone() -> None:
    live = LiveConfig(Config())
    live.use_defaults(DEFAULTS)
    heard: list[Config] = []
    live.listen(heard.append)
    live.take_over(changed(live.config, {"decode.max_people": 3}))
    assert thresholds(live.config) == [0.11, 0.11]
    assert heard == [live.config]
    assert live.values["decode.score_threshold"] == 0.11
    assert live.values_of["camera"]["decode.score_threshold"] == 0.11


def test_a_default_gives_way_and_comes_back() -> None:
    live = LiveConfig(Config(cameras={"hall": {}}))
    live.use_defaults(DEFAULTS)
    live.take_over(changed(live.config, {"decode.score_threshold": 0.5}, "hall"))
    assert thresholds(live.config) == [0.11, 0.5]
    live.take_over(changed(live.config, {"decode.score_threshold": None}, "hall"))
    assert thresholds(live.config) == [0.11, 0.11]


def test_a_reload_finds_nothing_new_in_a_default() -> None:
    live = LiveConfig(Config())
    live.use_defaults(DEFAULTS)
    done = reload(live.config, live.filled(Config()))
    assert done.applied == done.waiting == ()
    live.take_over(done.config)
    assert thresholds(live.config) == [0.11, 0.11]
    done = reload(live.config, live.filled(Config(decode={"score_threshold": 0.3})))
    assert done.applied == ("decode.score_threshold",)
    live.take_over(done.config)
    assert thresholds(live.config) == [0.3, 0.3]


def test_a_camera_with_its_own_network_is_left_alone() -> None:
    live = LiveConfig(Config(cameras={"hall": {"kind": "imx500"}, "bath": {}}))
    live.use_defaults(DEFAULTS)
    plain = Config()
    assert thresholds(live.config) == [0.11, plain.decode.score_threshold, 0.11]
    looks_s = [camera.people.look_turned_s for camera in live.config.cameras.values()]
    assert looks_s == [plain.people.look_turned_s, 0]
    live.take_over(changed(live.config, {"decode.max_people": 3}))
    assert thresholds(live.config) == [0.11, plain.decode.score_threshold, 0.11]
