"""The Pi camera, on a picamera2 of our own; tests/system/test_picamera2.py runs it on the real one."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posed.camera import pi_device
from posed.camera.base import FrameMaker, orient
from posed.camera.pi_device import Requests, StartedDevice
from posed.camera.picamera import Picamera2Camera, open_picamera
from posed.config import CameraConfig
from posed.errors import CameraError, CameraLost
from posed.frame import Image
from tests.picamera_fake import BUFFERS, FakePicamera2, Hardware, modules

MODEL_SIZE = (481, 353)
SIZE = (64, 48)


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hardware]:
    hardware = Hardware()
    for name, module in modules(hardware).items():
        monkeypatch.setitem(sys.modules, name, module)
    yield hardware
    hardware.healthy.set()
    for thread in closing():
        thread.join(5)


def closing() -> list[threading.Thread]:
    """The threads in which a camera is still being closed."""
    return [thread for thread in threading.enumerate() if thread.name == "close Pi camera 0"]


class Clocks:
    """The clocks of a machine that has slept for most of its life.

    Args:
        interrupted: before which reading of a clock the process loses the CPU for half a second.
    """

    def __init__(self, interrupted: int = 0) -> None:
        self.boottime, self.monotonic = 50_000.0, 1_000.0
        self._interrupted = interrupted
        self._readings = 0

    def __call__(self, clock: int) -> float:
        self._readings += 1
        if self._readings == self._interrupted:
            self.advance(0.5)
        return {time.CLOCK_BOOTTIME: self.boottime, time.CLOCK_MONOTONIC: self.monotonic}[clock]

    def advance(self, seconds: float) -> None:
        self.boottime += seconds
        self.monotonic += seconds


def opened(**settings: Any) -> Picamera2Camera:
    settings = {"size": SIZE, **settings}
    return open_picamera(CameraConfig(kind="picamera2", **settings), MODEL_SIZE)


def opened_on(
    hardware: Hardware, clocks: Clocks, stale_s: float = 1
) -> tuple[Picamera2Camera, FakePicamera2]:
    """A camera whose clocks are ours."""
    with opened():
        pass
    device = modules(hardware)["picamera2"].Picamera2(0)
    device.configure(hardware.devices[0].wanted)
    device.start()
    requests = Requests(device, stale_s, clocks)
    stream = device.camera_configuration()["main"]
    started = StartedDevice("Pi camera 0", device, 0, stream, (False, False), requests)
    return Picamera2Camera(started, FrameMaker(0, False)), device


def picture(size: tuple[int, int] = SIZE) -> Image:
    """Red and green above blue and yellow."""
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)
    return np.kron(colours, np.ones((size[1] // 2, size[0] // 2, 1), np.uint8))


def grey(level: int) -> Image:
    return np.full((SIZE[1], SIZE[0], 3), level, np.uint8)


def one_line(error: pytest.ExceptionInfo[CameraError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# Opening


def test_a_missing_picamera2_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    monkeypatch.setitem(sys.modules, "libcamera", None)
    with pytest.raises(CameraError) as error:
        opened()
    assert not isinstance(error.value, CameraLost)
    assert "apt install python3-picamera2" in one_line(error)
    assert "--system-site-packages" in one_line(error)


def test_a_picamera2_that_does_not_fit_numpy_is_an_error(
    hardware: Hardware, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, "picamera2")
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CameraError) as error:
        opened()
    assert one_line(error).endswith("got: numpy.dtype size changed")
    assert not hardware.devices


def test_no_camera_is_lost(hardware: Hardware) -> None:
    hardware.connected = 0
    with pytest.raises(CameraLost) as error:
        opened()
    assert str(error.value) == "Pi camera 0: must be connected, got 0 camera(s)"


def test_a_camera_in_use_is_lost_with_the_reason(hardware: Hardware) -> None:
    hardware.in_use = True
    with pytest.raises(CameraLost, match="Failed to acquire camera: Device or resource busy"):
        opened()


def test_opening_a_camera_in_use_leaves_no_file_open(hardware: Hardware) -> None:
    hardware.in_use = True
    with pytest.raises(CameraLost):
        opened()
    for end in hardware.pipes[0]:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


@pytest.mark.parametrize(("source", "number"), [("", 0), ("0", 0), ("1", 1)])
def test_the_source_is_the_cameras_number(hardware: Hardware, source: str, number: int) -> None:
    hardware.connected = 2
    with opened(source=source) as camera:
        assert hardware.devices[0].number == number
        assert camera.name == f"Pi camera {number}"


@pytest.mark.parametrize("source", ["/dev/video0", "-1", "1.5", "²"])
def test_a_source_that_is_no_number_is_an_error(hardware: Hardware, source: str) -> None:
    with pytest.raises(CameraError) as error:
        opened(source=source)
    assert not isinstance(error.value, CameraLost)
    assert str(error.value) == "source: must be a camera's number for kind picamera2, got other text"
    assert not hardware.devices


def test_a_camera_that_cannot_be_configured_is_lost_and_closed(hardware: Hardware) -> None:
    hardware.configurable = False
    with pytest.raises(CameraLost) as error:
        opened()
    assert str(error.value) == "Pi camera 0: cannot be started (Invalid camera configuration)"
    assert not hardware.devices[0].is_open


def test_an_unknown_format_is_an_error_and_closes_the_camera(hardware: Hardware) -> None:
    hardware.stream_format = "MJPEG"
    with pytest.raises(CameraError, match="got MJPEG") as error:
        opened()
    assert not isinstance(error.value, CameraLost)
    assert not hardware.devices[0].is_open


def test_rate_and_autofocus_are_set(hardware: Hardware) -> None:
    hardware.controls = {"FrameDurationLimits": (1, 2, 3), "AfMode": (0, 2, 0), "Brightness": (-1, 1, 0)}
    with opened(fps=25):
        pass
    assert hardware.devices[0].wanted["controls"] == {
        "FrameDurationLimits": (40_000, 40_000),
        "AfMode": "continuous",
    }


def test_controls_that_the_camera_lacks_are_left_alone(hardware: Hardware) -> None:
    with opened(fps=25):
        pass
    assert hardware.devices[0].wanted["controls"] == {}


@pytest.mark.parametrize(
    ("resolution", "model_size", "rotate", "size"),
    [
        ((3280, 2464), (481, 353), 0, (482, 362)),
        ((4608, 2592), (481, 353), 0, (628, 354)),
        ((4608, 2592), (257, 257), 180, (458, 258)),
        ((4608, 2592), (353, 481), 90, (628, 354)),
        ((1600, 1200), (480, 360), 0, (480, 360)),
        ((320, 240), (481, 353), 270, (320, 240)),
    ],
)
def test_the_isp_scales_to_the_least_that_covers_the_model(
    hardware: Hardware,
    resolution: tuple[int, int],
    model_size: tuple[int, int],
    rotate: int,
    size: tuple[int, int],
) -> None:
    hardware.resolution = resolution
    with open_picamera(CameraConfig(kind="picamera2", rotate=rotate), model_size):
        pass
    assert hardware.devices[0].wanted["main"]["size"] == size


def test_a_size_in_the_settings_is_asked_for(hardware: Hardware) -> None:
    with opened(size=(1280, 720)):
        pass
    assert hardware.devices[0].wanted["main"] == {"format": "BGR888", "size": (1280, 720)}


@pytest.mark.parametrize(("fps", "sensor"), [(30, {"output_size": (1640, 1232)}), (60, {})])
def test_the_whole_view_is_taken_from_a_fast_sensor(
    hardware: Hardware, fps: float, sensor: dict[str, Any]
) -> None:
    with opened(fps=fps):
        pass
    assert hardware.devices[0].wanted["sensor"] == sensor


# Reading


@pytest.mark.parametrize(
    ("stream_format", "padding_px"),
    [
        ("BGR888", 0),
        ("RGB888", 0),
        ("XBGR8888", 0),
        ("XRGB8888", 0),
        ("NV12", 0),
        ("NV12", 32),
        ("NV21", 32),
        ("YUV420", 0),
        ("YUV420", 32),
        ("YVU420", 32),
        ("YUYV", 32),
    ],
)
def test_every_format_becomes_rgb(hardware: Hardware, stream_format: str, padding_px: int) -> None:
    hardware.stream_format, hardware.padding_px = stream_format, padding_px
    with opened() as camera:
        hardware.devices[0].deliver(picture())
        frame = camera.read(1)
    assert frame is not None
    assert (frame.image.shape, frame.image.dtype) == ((48, 64, 3), np.uint8)
    assert frame.image.flags.c_contiguous
    np.testing.assert_allclose(frame.image.astype(int), picture().astype(int), atol=4)


@pytest.mark.parametrize("flips", [True, False], ids=["by the ISP", "by the CPU"])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_pictures_are_turned_and_then_mirrored(
    hardware: Hardware, rotate: int, mirror: bool, flips: bool
) -> None:
    hardware.flips = flips
    with opened(rotate=rotate, mirror=mirror) as camera:
        hardware.devices[0].deliver(picture())
        frame = camera.read(1)
    assert frame is not None
    np.testing.assert_array_equal(frame.image, orient(picture(), rotate, mirror))


@pytest.mark.parametrize(
    ("rotate", "mirror", "flips"),
    [
        (0, True, (True, False)),
        (180, False, (True, True)),
        (180, True, (False, True)),
        (90, True, (False, True)),
    ],
)
def test_the_isp_flips(hardware: Hardware, rotate: int, mirror: bool, flips: tuple[bool, bool]) -> None:
    with opened(rotate=rotate, mirror=mirror):
        pass
    transform = hardware.devices[0].wanted["transform"]
    assert (transform.hflip, transform.vflip) == flips


def test_the_time_since_boot_becomes_monotonic_time(hardware: Hardware) -> None:
    clocks = Clocks()
    camera, device = opened_on(hardware, clocks)
    with camera:
        device.deliver(grey(1), timestamp_s=clocks.boottime - 0.125)
        frame = camera.read(1)
    assert frame is not None
    assert frame.captured_at == pytest.approx(clocks.monotonic - 0.125)
    assert frame.time_s == frame.captured_at


@pytest.mark.parametrize("timestamp_s", [None, 60_000.0])
def test_a_frame_of_no_or_future_time_is_from_now(hardware: Hardware, timestamp_s: float | None) -> None:
    clocks = Clocks()
    camera, device = opened_on(hardware, clocks)
    with camera:
        device.deliver(grey(1), timestamp_s)
        frame = camera.read(1)
    assert frame is not None
    assert frame.captured_at == clocks.monotonic


@pytest.mark.parametrize("interrupted", range(1, 12))
def test_losing_the_cpu_between_clocks_keeps_a_frames_time(hardware: Hardware, interrupted: int) -> None:
    clocks = Clocks(interrupted)
    camera, device = opened_on(hardware, clocks)
    with camera:
        device.deliver(grey(1), timestamp_s=49_999)
        frame = camera.read(1)
    assert frame is not None
    assert frame.captured_at == pytest.approx(999)


def test_frames_are_numbered_and_every_buffer_given_back(hardware: Hardware) -> None:
    with opened() as camera:
        device = hardware.devices[0]
        for number in range(5 * BUFFERS):
            device.deliver(grey(number))
            frame = camera.read(1)
            assert frame is not None
            assert (frame.sequence, frame.image[0, 0, 0]) == (number, number)
        assert device.held == 0


def test_the_newest_frame_is_read(hardware: Hardware) -> None:
    with opened() as camera:
        for level in (1, 2, 3):
            hardware.devices[0].deliver(grey(level))
        frame = camera.read(1)
        assert frame is not None
        assert frame.image[0, 0, 0] == 3
        assert camera.read(0) is None


def test_a_frame_that_comes_during_the_wait_is_read(hardware: Hardware) -> None:
    with opened() as camera:
        device = hardware.devices[0]

        def arrive() -> None:
            device.asked.wait(5)
            device.deliver(grey(7))

        arriving = threading.Thread(target=arrive)
        arriving.start()
        frame = camera.read(5)
        arriving.join()
    assert frame is not None
    assert frame.image[0, 0, 0] == 7


def test_a_capture_outlives_short_waits(hardware: Hardware) -> None:
    with opened() as camera:
        device = hardware.devices[0]
        assert [camera.read(0.001) for _ in range(5)] == [None] * 5
        assert device.captures == 1
        device.deliver(grey(7))
        frame = camera.read(0.001)
    assert frame is not None
    assert frame.image[0, 0, 0] == 7


def test_a_capture_from_before_a_pause_gives_way_to_another(hardware: Hardware) -> None:
    clocks = Clocks()
    camera, device = opened_on(hardware, clocks)
    with camera:
        assert camera.read(0) is None
        device.deliver(grey(1), clocks.boottime)
        clocks.advance(60)
        device.deliver(grey(2), clocks.boottime)
        frame = camera.read(0)
        assert frame is not None
        assert frame.image[0, 0, 0] == 2
        assert device.held == 0


def test_a_capture_that_lay_for_a_moment_is_read(hardware: Hardware) -> None:
    clocks = Clocks()
    camera, device = opened_on(hardware, clocks, stale_s=1)
    with camera:
        assert camera.read(0) is None
        device.deliver(grey(1), clocks.boottime)
        clocks.advance(0.9)
        frame = camera.read(0)
    assert frame is not None
    assert frame.image[0, 0, 0] == 1


def test_a_frame_that_cannot_be_had_is_a_lost_camera(hardware: Hardware) -> None:
    with opened() as camera:
        device = hardware.devices[0]
        assert camera.read(0) is None
        device.fail(RuntimeError("Failed to\nqueue request"))
        with pytest.raises(CameraLost) as error:
            camera.read(0)
    assert str(error.value) == "Pi camera 0: Failed to queue request"


def test_a_frame_that_cannot_be_copied_loses_the_camera(hardware: Hardware) -> None:
    with opened() as camera:
        device = hardware.devices[0]
        device.deliver(grey(1)).fault = RuntimeError("failed to find buffer")
        with pytest.raises(CameraLost, match="failed to find buffer"):
            camera.read(0)
        assert device.held == 0


# Closing


def test_a_camera_closes_and_opens_again(hardware: Hardware) -> None:
    for _ in range(2):
        with opened():
            assert hardware.devices[-1].started
        assert not hardware.devices[-1].is_open


def test_a_stalled_camera_closes_although_a_capture_waits(hardware: Hardware) -> None:
    with opened() as camera:
        assert camera.read(0.001) is None
    assert not hardware.devices[0].is_open


def test_closing_gives_back_a_frame_that_nobody_read(hardware: Hardware) -> None:
    with opened() as camera:
        device = hardware.devices[0]
        assert camera.read(0) is None
        device.deliver(grey(1))
        assert device.held == 1
    assert device.held == 0
    assert not device.is_open


def test_a_camera_that_hangs_is_given_up_and_freed_later(
    hardware: Hardware, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pi_device, "CLOSE_TIMEOUT_S", 0.05)
    with opened():
        hardware.healthy.clear()
    assert caplog.messages == ["Pi camera 0: must close within 0.05 s, still waiting for it"]
    with pytest.raises(CameraError) as error:
        opened()
    assert not isinstance(error.value, CameraLost), "only a new process helps"
    assert str(error.value) == "Pi camera 0: must have closed to be opened again, but closing it hangs"
    [thread] = closing()
    hardware.healthy.set()
    thread.join(5)
    with opened():
        assert hardware.devices[-1].started


def test_a_camera_that_fails_to_close_is_logged(hardware: Hardware, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with opened():
        hardware.fails_to_close = True
    assert caplog.messages == ["Pi camera 0: closed with an error: Failed to release camera"]
    device = hardware.devices[0]
    hardware.fails_to_close = False
    device.close()
