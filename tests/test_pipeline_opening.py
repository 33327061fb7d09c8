"""The pipeline that a configuration asks for."""

from __future__ import annotations

from typing import Any

import pytest

from posed.config import Config
from posed.pipeline.opening import IDLE_FPS, idle_fps, setup_of

ONE: dict[str, Any] = {"hall": {}}
TWO: dict[str, Any] = {"hall": {"timeout_s": 7.0}, "bath": {}}


@pytest.mark.parametrize(
    ("cameras", "given", "expected"),
    [(ONE, None, 0), (TWO, None, IDLE_FPS), (ONE, 2.0, 2), (TWO, 2.0, 2), (TWO, 0.0, 0)],
)
def test_empty_rooms_share_the_engine_unless_the_file_says_otherwise(cameras, given, expected):
    assert idle_fps(Config(cameras=cameras, engine={"idle_fps": given})) == expected


def test_each_camera_is_opened_as_its_own_section_says():
    opened: list[str] = []
    config = Config(cameras=TWO)
    setups = {name: setup_of(config, name, (33, 17), opened.append) for name in config.cameras}
    assert [setup.timeout_s for setup in setups.values()] == [7, 5]
    setups["bath"].open()
    assert opened == ["bath"]
