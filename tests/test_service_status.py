"""How the daemon says it does, in each state of its parts."""

from __future__ import annotations

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
    assert controls.status.state().people is None


def test_health_names_what_does_not_work(controls):
    controls.feed.capture.device.status = DeviceStatus("waiting", "camera /dev/video0: gone")
    health = controls.ask("health")
    assert not health["healthy"]
    assert "camera: camera /dev/video0: gone" in health["problems"]


def test_health_is_good_when_everything_works(controls):
    controls.spool.start()
    controls.see(np.zeros((48, 64, 3), np.uint8))
    assert controls.ask("health") == {
        "healthy": True,
        "problems": [],
        "paused": False,
        "fps": ANY,
    }
    controls.spool.stop(1)


def test_a_pause_makes_people_unknown_at_once(controls):
    controls.see(np.zeros((48, 64, 3), np.uint8))
    assert controls.status.state().people == 0
    controls.ask("pause")
    state = controls.status.state()
    assert (state.people, state.occupied, state.posture) == (None, None, None)


def test_metrics_know_no_zone_while_nothing_is_seen(tmp_path):
    controls = Controlling(tmp_path, people={"zones": {"bed": {"polygon": [[0, 0], [1, 0], [1, 1]]}}})
    assert (controls.status.metrics().frames, controls.status.metrics().zones) == (
        "stopped",
        {"bed": None},
    )
    controls.see(np.zeros((48, 64, 3), np.uint8))
    assert (controls.status.metrics().frames, controls.status.metrics().zones) == ("ok", {"bed": 0})
    controls.ask("pause")
    assert controls.status.metrics().frames == "paused"


def test_a_daemon_that_has_stopped_sees_nothing(controls):
    controls.see(np.zeros((48, 64, 3), np.uint8))
    controls.status.stopped = True
    state = controls.status.state()
    assert (state.people, state.camera.status, state.camera.why) == (None, "waiting", "stopped")


def test_a_line_for_people_says_how_it_does(controls):
    assert controls.status.line() == "0 fps, 0 people"
