"""How the daemon says it does, in each state of its parts."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest

from posed.pipeline.device import DeviceStatus
from tests.controlling import Controlling


@pytest.fixture
def desk(tmp_path: Path) -> Controlling:
    return Controlling(tmp_path)


@pytest.mark.parametrize("sight", ["dark", "covered", "frozen"])
def test_a_blind_camera_is_no_empty_room(desk, sight):
    desk.see(np.zeros((48, 64, 3), np.uint8))
    desk.feed.capture.preparer.camera_health = sight
    assert desk.status.state().people is None


def test_health_names_what_does_not_work(desk):
    desk.feed.capture.device.status = DeviceStatus("waiting", "camera /dev/video0: gone")
    health = desk.ask("health")
    assert not health["healthy"]
    assert "camera: camera /dev/video0: gone" in health["problems"]


def test_health_is_good_when_everything_works(desk):
    desk.spool.start()
    desk.see(np.zeros((48, 64, 3), np.uint8))
    assert desk.ask("health") == {
        "healthy": True,
        "problems": [],
        "paused": False,
        "fps": ANY,
    }
    desk.spool.stop(1)


def test_a_pause_makes_people_unknown_at_once(desk):
    desk.see(np.zeros((48, 64, 3), np.uint8))
    assert desk.status.state().people == 0
    desk.ask("pause")
    state = desk.status.state()
    assert (state.people, state.occupied, state.posture) == (None, None, None)


def test_metrics_know_no_zone_while_nothing_is_seen(tmp_path):
    desk = Controlling(tmp_path, people={"zones": {"bed": {"polygon": [[0, 0], [1, 0], [1, 1]]}}})
    assert (desk.status.metrics().frames, desk.status.metrics().zones) == ("stopped", {"bed": None})
    desk.see(np.zeros((48, 64, 3), np.uint8))
    assert (desk.status.metrics().frames, desk.status.metrics().zones) == ("ok", {"bed": 0})
    desk.ask("pause")
    assert desk.status.metrics().frames == "paused"


def test_a_daemon_that_has_stopped_sees_nothing(desk):
    desk.see(np.zeros((48, 64, 3), np.uint8))
    desk.status.stopped = True
    state = desk.status.state()
    assert (state.people, state.camera.status, state.camera.why) == (None, "waiting", "stopped")


def test_a_line_for_people_says_how_it_does(desk):
    assert desk.status.line() == "0 fps, 0 people"
