"""How a device does: its status, what is counted, and how long the next attempt waits."""

from __future__ import annotations

import logging

import pytest

from posed.camera.base import NEWS_AFTER_S
from posed.errors import CameraLost, CameraPreparing
from posed.pipeline.device import PAUSED, STARTING, DeviceMonitor, DeviceStatus
from tests.test_pipeline_hang_detector import Clock

GONE = CameraLost("camera fake: gone")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def device(clock) -> DeviceMonitor:
    return DeviceMonitor("camera", hang_s=20, open_hang_s=90, clock=clock, jitter=lambda: 1)


def test_a_device_is_starting_at_first(device):
    assert (device.status, device.errors, device.reopened) == (STARTING, 0, 0)


def test_the_wait_grows_each_time_a_device_soon_fails_again(device, clock):
    delays_s = []
    for _ in range(5):
        device.begin_opening()
        delays_s.append(device.lost(GONE))
    assert delays_s == [0.5, 1, 2, 4, 4]
    device.begin_opening()
    device.opened()
    clock.now_s += 4.1
    assert device.lost(GONE) == 0.5


def test_a_lost_device_counts_as_reopened_once_it_is_open(device):
    device.begin_opening()
    device.opened()
    device.lost(GONE)
    device.lost(GONE)
    assert (device.errors, device.reopened) == (2, 0)
    device.opened()
    device.opened()
    assert (device.errors, device.reopened) == (2, 1)


def test_what_is_waited_for_is_logged_once_per_reason(device, caplog):
    for error in (GONE, GONE, CameraLost("camera fake: busy"), GONE):
        device.lost(error)
    assert device.status == DeviceStatus("waiting", "camera fake: gone")
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, f"waiting for the camera: camera fake: {why}") for why in ("gone", "busy", "gone")
    ]


def test_opening_may_take_longer_than_a_call(device, clock):
    device.begin_opening()
    clock.now_s = 90
    assert device.hangs is None
    device.opened()
    device.begin_call()
    clock.now_s += 20.1
    assert device.hangs == "camera: must answer within 20 s, got nothing: it hangs"
    device.end_call()
    assert device.hangs is None


def test_a_device_that_is_lost_does_not_hang(device, clock):
    device.begin_opening()
    device.lost(GONE)
    clock.now_s = 1000
    assert device.hangs is None


GETS_READY = CameraPreparing("camera fake: 10 s so far")


def test_a_device_that_gets_ready_has_not_failed(device, clock, caplog):
    device.begin_opening()
    assert device.prepares(GETS_READY) == 0.5
    assert device.status == STARTING
    clock.now_s += NEWS_AFTER_S
    device.prepares(GETS_READY)
    assert device.status == DeviceStatus("waiting", "starting: camera fake: 10 s so far")
    assert (device.errors, device.hangs, caplog.records) == (0, None, [])
    device.opened()
    assert device.reopened == 0


def test_what_fails_while_it_gets_ready_says_one_thing(device, clock, caplog):
    for _ in range(3):
        device.begin_opening()
        device.prepares(GETS_READY)
        clock.now_s += 4
        device.prepares(GETS_READY)
        device.lost(GONE)
        assert device.status == DeviceStatus("waiting", "camera fake: gone")
        device.prepares(GETS_READY)
        assert device.status == DeviceStatus("waiting", "camera fake: gone")
        clock.now_s += 4
    assert len(caplog.records) == 1


def test_what_gets_ready_after_a_failure_is_not_starting(device, clock):
    device.begin_opening()
    device.lost(GONE)
    device.prepares(GETS_READY)
    clock.now_s += NEWS_AFTER_S
    device.prepares(GETS_READY)
    assert device.status == DeviceStatus("waiting", "camera fake: 10 s so far")


def test_a_device_that_gets_ready_after_a_pause_starts(device):
    device.status = PAUSED
    device.prepares(GETS_READY)
    assert device.status == STARTING
