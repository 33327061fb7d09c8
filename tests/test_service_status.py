"""How the daemon says it does, in each state of its parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest

from posed.pipeline.device import DeviceStatus
from tests.controlling import Controlling


@pytest.fixture
def controls(tmp_path: Path) -> Controlling:
    return Controlling(tmp_path)


@pytest.mark.parametrize("sight", ["dark", "covered", "frozen"])
def test_a_blind_camera_is_no_empty_room(controls, sight):
    controls.see(np.zeros((48, 64, 3), np.uint8))
    controls.feed.capture.preparer.camera_health = sight
    assert controls.channel.state().people is None


def test_health_names_what_does_not_work(controls):
    controls.feed.capture.device.status = DeviceStatus("waiting", "camera /dev/video0: gone")
    health = controls.ask("health")
    assert not health["healthy"]
    assert "camera camera: camera /dev/video0: gone" in health["problems"]


def test_health_is_good_when_everything_works(controls):
    controls.spool.start()
    controls.see(np.zeros((48, 64, 3), np.uint8))
    assert controls.ask("health") == {
        "healthy": True,
        "problems": [],
        "cameras": {"camera": {"status": "ok", "paused": False, "fps": ANY}},
    }
    controls.spool.stop(1)


def test_a_pause_makes_people_unknown_at_once(controls):
    controls.see(np.zeros((48, 64, 3), np.uint8))
    assert controls.channel.state().people == 0
    controls.ask("pause")
    state = controls.channel.state()
    assert (state.people, state.occupied, state.posture) == (None, None, None)


def test_metrics_know_no_zone_while_nothing_is_seen(tmp_path):
    zones = {"bed": {"polygon": [[0, 0], [1, 0], [1, 1]]}}
    controls = Controlling(tmp_path, cameras={"hall": {"zones": zones}})

    def known() -> tuple[str, Mapping[str, int | None]]:
        metrics = controls.status.metrics()
        return metrics.frames, metrics.cameras["hall"].zones

    assert known() == ("stopped", {"bed": None})
    controls.see(np.zeros((48, 64, 3), np.uint8))
    assert known() == ("ok", {"bed": 0})
    controls.ask("pause")
    assert controls.status.metrics().frames == "paused"


def test_a_daemon_that_has_stopped_sees_nothing(controls):
    controls.see(np.zeros((48, 64, 3), np.uint8))
    controls.channel.stopped = True
    state = controls.channel.state()
    assert (state.people, state.status, state.why) == (None, "waiting", "stopped")


def test_a_model_is_not_blamed_for_a_camera(tmp_path, caplog):
    caplog.set_level("WARNING")
    controls = Controlling(tmp_path, cameras={"hall": {"kind": "imx500", "rotate": 90}})
    controls.status.log_start()
    (line,) = caplog.messages
    assert line.startswith("cameras.hall.rotate: 90 comes after the network in the camera")
    assert controls.status.state().model.warning == line


def test_a_line_for_people_says_how_it_does(controls):
    assert controls.status.line() == "0 fps, 0 people"


@pytest.fixture
def rooms(tmp_path: Path) -> Controlling:
    return Controlling(tmp_path, cameras={"hall": {}, "bedroom": {}})


def test_one_camera_that_is_away_makes_nothing_unhealthy(rooms):
    rooms.spool.start()
    rooms.see(np.zeros((48, 64, 3), np.uint8), camera="hall")
    rooms.channels["bedroom"].feed.capture.device.status = DeviceStatus("waiting", "gone")
    health = rooms.ask("health")
    assert (health["healthy"], health["problems"]) == (True, ["camera bedroom: gone"])
    assert (rooms.status.metrics().frames, rooms.status.state().cameras) == (
        "ok",
        {"hall": "ok", "bedroom": "waiting"},
    )
    rooms.channels["hall"].feed.capture.device.status = DeviceStatus("waiting", "gone")
    assert not rooms.ask("health")["healthy"]
    assert rooms.status.metrics().frames == "stopped"
    rooms.spool.stop(1)


def test_what_each_camera_sees_is_its_own(rooms):
    rooms.see(np.zeros((48, 64, 3), np.uint8), camera="hall")
    assert [channel.state().people for channel in rooms.channels.values()] == [0, None]
    assert re.fullmatch(r"hall: [\d.]+ fps, 0 people, bedroom: 0 fps, 0 people", rooms.status.line())
