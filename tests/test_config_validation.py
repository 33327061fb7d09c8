"""Every problem in one go, and none that only follows from another."""

from __future__ import annotations

from posed.config import (
    Config,
    load,
)
from tests.configs import problems, write


def test_rules_across_fields_are_looked_at_beside_other_problems(tmp_path):
    text = "cameras: {hall: {kind: video, fps: 0}}\nmqtt: {password: x, port: 0, hots: y}\n"
    assert sorted(problems(write(tmp_path, text))) == [
        "cameras.hall.fps: must be at least 1, got 0",
        "cameras.hall.source: needed by kind video, got nothing",
        "mqtt.hots: unknown key; did you mean host?",
        "mqtt.port: must be at least 1, got 0",
        "mqtt.username: needed beside a password, got nothing",
    ]


def test_a_wrong_field_is_not_reported_as_missing_too(tmp_path):
    assert problems(write(tmp_path, "mqtt: {username: 3, password: x}")) == [
        "mqtt.username: must be text (put it in quotes), got 3"
    ]


def test_a_section_without_settings_is_at_its_defaults(tmp_path):
    assert load(write(tmp_path, "mqtt:\ncameras:\n"), {}) == Config()
