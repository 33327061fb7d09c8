"""What requests changed is kept in the overlay."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from posed.config import (
    CAMERA,
    Config,
    changed,
    given_settings,
    keep,
    load,
    load_for_daemon,
    with_defaults,
)
from posed.errors import ConfigError
from tests.configs import ZONE, write


def names_in(overlay: Path) -> list[str]:
    """The settings that the daemon takes from the overlay."""
    return load_for_daemon(None, overlay)[1]


def test_changed_settings_are_kept_in_the_overlay_beside_others(tmp_path):
    overlay = write(tmp_path, "decode: {max_people: 3}\n", "overlay.yaml")
    config = changed(Config(), {"decode.score_threshold": 0.4})
    config = changed(config, {"zones": {"a": ZONE}, "people.falls": False}, CAMERA)
    keep(overlay, config, ["decode.score_threshold"])
    keep(overlay, config, ["zones", "people.falls"], CAMERA)
    assert names_in(overlay) == [
        "decode.max_people",
        "decode.score_threshold",
        "cameras.camera.zones",
        "cameras.camera.people.falls",
    ]
    again = load(None, {}, overlay=overlay)
    assert again.decode.max_people == 3
    assert again.decode.score_threshold == 0.4
    assert again.first.zones == config.first.zones
    assert (again.people.falls, again.first.people.falls) == (True, False)


def test_a_value_that_was_taken_back_stays_taken_back(tmp_path):
    file, overlay = write(tmp_path, "cameras: {hall: {people: {falls: false}}}"), tmp_path / "overlay.yaml"
    config = changed(load(file, {}), {"people.falls": None}, "hall")
    keep(overlay, config, ["people.falls"], "hall")
    assert load(file, {}, overlay=overlay).first.people.falls


def test_a_value_for_all_that_was_taken_back_stays_so(tmp_path):
    file, overlay = write(tmp_path, "decode: {score_threshold: 0.6}"), tmp_path / "overlay.yaml"
    config = changed(load(file, {}), {"decode.score_threshold": None})
    keep(overlay, config, ["decode.score_threshold"])
    again = load(file, {}, overlay=overlay)
    assert given_settings(again, None) == set()
    assert with_defaults(again, {"decode.score_threshold": 0.38}).first.decode.score_threshold == 0.38


@pytest.mark.parametrize("content", [None, "", "decode: 3\n"])
def test_an_overlay_that_is_none_has_no_settings(tmp_path, content):
    overlay = tmp_path / "overlay.yaml"
    if content is not None:
        overlay.write_text(content)
    assert names_in(overlay) == []


def test_a_change_is_kept_beside_a_damaged_overlay(tmp_path):
    overlay = write(tmp_path, "decode: [", "overlay.yaml")
    keep(overlay, Config(), ["decode.max_people"])
    assert names_in(overlay) == ["decode.max_people"]
    assert (tmp_path / "overlay.yaml.damaged").read_text() == "decode: ["


def test_an_overlay_too_large_to_read_again_is_not_written(tmp_path):
    angles = [2 * math.pi * number / 100 for number in range(100)]
    corners = [[0.5 + math.cos(angle) / 3, 0.5 + math.sin(angle) / 3] for angle in angles]
    zones = {f"zone{number}": {"polygon": corners} for number in range(50)}
    overlay = tmp_path / "overlay.yaml"
    config = Config(cameras={CAMERA: {"zones": zones}})
    with pytest.raises(ConfigError, match="must be at most 65536 bytes, got"):
        keep(overlay, config, ["zones"], CAMERA)
    assert not overlay.exists()
