"""A Pi camera's device, through picamera2 and libcamera: Raspberry Pi OS's own libraries, from apt.

Written against picamera2 0.3.38. Its `Job`s are what reading is built on: a capture is queued, the
library's own thread fulfils it with the next frame, and a wait for it may end early and be taken up again
by the next one. A job that is still queued makes `stop()` wait for ever, so it is cancelled first.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from posed.camera.base import SettingError
from posed.config import CameraConfig
from posed.errors import CameraError, CameraLost
from posed.frame import Image

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S: Final = 1.5
"""Closing may take this long, s: it leaves time for the rest of a daemon that has 2 s to end."""

FULL_VIEW_FPS: Final = 40
"""Up to this rate every Raspberry Pi sensor reads its whole view at half its resolution: imx477 at 40,
imx219 at 41, ov5647 at 46, imx708 at 56 frames/s (Raspberry Pi's camera documentation)."""

FAULTS: Final = (RuntimeError, OSError, ValueError, LookupError, CancelledError)
"""picamera2 raises these when a camera is absent, busy or broken; libcamera's own errors arrive as the first
two."""

_TO_RGB: Final[dict[str, int | None]] = {
    # libcamera names formats by the bytes of a little-endian word: BGR888 lies in memory as R, G, B.
    "BGR888": None,
    "RGB888": cv2.COLOR_BGR2RGB,
    "XBGR8888": cv2.COLOR_RGBA2RGB,
    "XRGB8888": cv2.COLOR_BGRA2RGB,
    "NV12": cv2.COLOR_YUV2RGB_NV12,
    "NV21": cv2.COLOR_YUV2RGB_NV21,
    "YUV420": cv2.COLOR_YUV2RGB_I420,
    "YVU420": cv2.COLOR_YUV2RGB_YV12,
    "YUYV": cv2.COLOR_YUV2RGB_YUY2,
}

_closing: Final[dict[int, threading.Thread]] = {}
"""This has the latest close of each camera: libcamera lets a process have a camera only once."""


class Requests:
    """The completed requests of a started Pi camera: each has a frame and what the camera says of it.

    Args:
        device: the started `picamera2.Picamera2`.
        stale_s: a capture that waited longer than this for somebody to read it is dropped for a new one, s.
        clock: `time.clock_gettime`: the time of a clock by its id, s.
    """

    def __init__(
        self, device: Any, stale_s: float, clock: Callable[[int], float] = time.clock_gettime
    ) -> None:
        self._device = device
        self._stale_s = stale_s
        self._clock = clock
        self.job: Any = None

    def next(self, wait_s: float) -> tuple[Any, dict[str, Any]] | None:
        """The next request, which is to be released, and its metadata; None if none came within `wait_s`.

        One that a pause left lying is not the newest frame, and left out.
        """
        deadline = self._clock(time.CLOCK_MONOTONIC) + wait_s
        carried = self.job is not None
        taken = self._wait(wait_s)
        if carried and taken is not None and self._age_s(taken[1]) > self._stale_s:
            taken[0].release()
            taken = self._wait(max(0.0, deadline - self._clock(time.CLOCK_MONOTONIC)))
        return taken

    def _wait(self, wait_s: float) -> tuple[Any, dict[str, Any]] | None:
        if self.job is None:
            self.job = self._device.capture_request(wait=False)
        try:
            request = self.job.get_result(timeout=wait_s)
        except TimeoutError:
            return None
        self.job = None
        try:
            # Once: each call converts all of it anew, tensors too, which takes longer than the picture does.
            return request, request.get_metadata()
        except BaseException:
            request.release()
            raise

    def _age_s(self, metadata: Mapping[str, Any]) -> float:
        return self._clock(time.CLOCK_MONOTONIC) - self.captured_at(metadata)

    def captured_at(self, metadata: Mapping[str, Any]) -> float:
        """When a frame was captured, `time.monotonic()`, s."""
        now = self._clock(time.CLOCK_MONOTONIC)
        timestamp_ns: int | None = metadata.get("SensorTimestamp")  # of CLOCK_BOOTTIME
        return now if timestamp_ns is None else min(now, timestamp_ns / 1e9 - _asleep_s(self._clock))


@dataclass(frozen=True, slots=True, eq=False)
class StartedDevice:
    """A Pi camera that gives frames.

    Args:
        name: what messages to people call it.
        device: the started `picamera2.Picamera2`.
        number: the camera's place in picamera2's list.
        stream: the format and size of the pictures, as picamera2 has them.
        flips: (hflip, vflip) that the pictures have been through.
        requests: its completed requests.
    """

    name: str
    device: Any
    number: int
    stream: Mapping[str, Any]
    flips: tuple[bool, bool]
    requests: Requests

    def image_of(self, request: Any) -> Image:
        """RGB of a request's picture."""
        return _to_rgb(request.make_array("main"), self.stream)

    def close(self) -> None:
        """Close the camera, or give up on that after `CLOSE_TIMEOUT_S`."""
        _close(self.device, self.number, self.requests.job)


def start(number: int, config: CameraConfig, model_size: tuple[int, int]) -> StartedDevice:
    """Start a Pi camera.

    Args:
        number: the camera's place in picamera2's list.
        config: the camera's settings.
        model_size: (width, height) of the model's input, px: what the ISP scales to, about, when
            `config.size` is None.

    Raises:
        CameraError: picamera2 is missing, or the configuration can never work.
        CameraLost: the camera is absent, in use or broken.
    """
    picamera2, libcamera = libraries()
    if number in _closing and _closing[number].is_alive():
        raise CameraError(f"{name_of(number)}: must have closed to be opened again, but closing it hangs")
    device = _acquire(picamera2.Picamera2, number)
    with contextlib.ExitStack() as stack:
        stack.callback(_close, device, number)
        try:
            device.configure(_configuration(device, libcamera, config, model_size))
            device.start()
        except FAULTS as error:
            raise CameraLost(f"{name_of(number)}: cannot be started ({reason(error)})") from error
        started = _started(device, number, config)
        stack.pop_all()
    return started


def _started(device: Any, number: int, config: CameraConfig) -> StartedDevice:
    got = device.camera_configuration()
    stream, transform = got["main"], got["transform"]
    if stream["format"] not in _TO_RGB:
        known = ", ".join(_TO_RGB)
        raise CameraError(f"{name_of(number)}: its format must be one of {known}, got {stream['format']}")
    model = device.camera_properties.get("Model", "unknown model")
    log.info("%s: %s, %dx%d %s", name_of(number), model, *stream["size"], stream["format"])
    flips, requests = (transform.hflip, transform.vflip), Requests(device, stale_s=1 + 2 / config.fps)
    return StartedDevice(name_of(number), device, number, stream, flips, requests)


def _asleep_s(clock: Callable[[int], float]) -> float:
    """How long the machine has slept since it was started: how far CLOCK_BOOTTIME is ahead, s.

    The quickest of three readings, for the process may lose the CPU between its two clocks.
    """
    readings = []
    for _ in range(3):
        before, boottime = clock(time.CLOCK_MONOTONIC), clock(time.CLOCK_BOOTTIME)
        readings.append((clock(time.CLOCK_MONOTONIC) - before, boottime - before))
    return min(readings)[1]


def name_of(number: int) -> str:
    """What messages to people call a camera."""
    return f"Pi camera {number}"


def reason(error: BaseException) -> str:
    """What went wrong at the bottom, in one line: picamera2 wraps libcamera's words in its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


def libraries() -> tuple[Any, Any]:
    """picamera2 and libcamera.

    Raises:
        SettingError: they are missing, or do not fit numpy.
    """
    try:
        import libcamera
        import picamera2
    except (ImportError, ValueError) as error:
        # ValueError: a numpy of another major version than the one its compiled parts were made for.
        raise SettingError(
            "kind: picamera2 needs `apt install python3-picamera2` and a virtual environment made "
            f"with --system-site-packages that keeps apt's numpy, got: {reason(error)}"
        ) from error
    return picamera2, libcamera


def _acquire(kind: Any, number: int) -> Any:
    """An opened `Picamera2`.

    Its constructor leaves a pipe behind when it fails, which would use up a waiting daemon's file
    descriptors; so the object is made first, to be at hand for tidying up.
    """
    try:
        connected = len(kind.global_camera_info())
    except FAULTS as error:
        raise CameraLost(f"{name_of(number)}: libcamera cannot list cameras ({reason(error)})") from error
    if number >= connected:
        raise CameraLost(f"{name_of(number)}: must be connected, got {connected} camera(s)")
    device = kind.__new__(kind)
    try:
        device.__init__(number)
    except FAULTS as error:
        _tidy_up(device)
        raise CameraLost(f"{name_of(number)}: cannot be opened, or is in use ({reason(error)})") from error
    return device


def _tidy_up(device: Any) -> None:
    with contextlib.suppress(*FAULTS, AttributeError):
        if device.is_open:
            device.close()
        else:
            device.notifymeread.close()
            os.close(device.notifyme_w)


def _configuration(
    device: Any, libcamera: Any, config: CameraConfig, model_size: tuple[int, int]
) -> dict[str, Any]:
    hflip, vflip = _isp_flips(config.rotate, config.mirror)
    configuration: dict[str, Any] = device.create_video_configuration(
        main={"format": "BGR888", "size": _stream_size(config, device.sensor_resolution, model_size)},
        transform=libcamera.Transform(hflip=hflip, vflip=vflip),
        # The one that OpenCV's conversions assume, should the stream become YUV.
        colour_space=libcamera.ColorSpace.Smpte170m(),
        controls=_controls(device.camera_controls, libcamera, config.fps),
        sensor=_sensor(device.sensor_resolution, config.fps),
    )
    return configuration


def _controls(advertised: dict[str, Any], libcamera: Any, fps: float) -> dict[str, Any]:
    """Settings of the camera; picamera2 raises on one that the camera does not advertise."""
    duration_us = round(1e6 / fps)
    wanted = {
        "FrameDurationLimits": (duration_us, duration_us),
        # Without it a camera with autofocus stays where its lens happens to rest.
        "AfMode": libcamera.controls.AfModeEnum.Continuous,
    }
    return {name: value for name, value in wanted.items() if name in advertised}


def _sensor(resolution: tuple[int, int], fps: float) -> dict[str, Any]:
    """Which of the sensor's modes to take.

    Left alone libcamera takes the smallest that holds the stream, and that one shows only the middle of
    the view. Half the resolution is the smallest that shows all of it.
    """
    if fps > FULL_VIEW_FPS:
        return {}
    return {"output_size": (resolution[0] // 2, resolution[1] // 2)}


def _stream_size(
    config: CameraConfig, resolution: tuple[int, int], model_size: tuple[int, int]
) -> tuple[int, int]:
    """The wanted (width, height), or the smallest of the sensor's shape that covers the model's input."""
    if config.size is not None:
        return config.size
    wanted = model_size[::-1] if config.rotate in (90, 270) else model_size
    scale = min(1.0, max(want / have for want, have in zip(wanted, resolution, strict=True)))
    width, height = (2 * math.ceil(round(side * scale / 2, 6)) for side in resolution)
    return width, height


def _isp_flips(rotate: int, mirror: bool) -> tuple[bool, bool]:
    """(hflip, vflip) that come before the CPU's quarter turn, if any.

    Mirroring after a quarter turn is the same as turning upside down, by a flip, before it.
    """
    if rotate in (90, 270):
        return False, mirror
    return (rotate == 180) != mirror, rotate == 180


def left_to_orient(rotate: int, mirror: bool, flips: tuple[bool, bool]) -> tuple[int, bool]:
    """The `rotate` and `mirror` still to be done after the (hflip, vflip) that the ISP really does."""
    hflip, vflip = flips
    mirrored = hflip != vflip
    turn = rotate + (180 if vflip else 0)
    return (-turn if mirrored else turn) % 360, mirror != mirrored


def _to_rgb(array: Any, stream: Mapping[str, Any]) -> Image:
    """RGB of a stream's array, without what pads its rows: picamera2 leaves that in for some formats."""
    code = _TO_RGB[stream["format"]]
    image = array if code is None else cv2.cvtColor(array, code)
    return np.ascontiguousarray(image[:, : stream["size"][0]], np.uint8)


def _close(device: Any, number: int, job: Any = None) -> None:
    """Close a camera in a thread, so that one that hangs cannot hang the daemon."""
    thread = threading.Thread(
        target=_close_now, args=(device, number, job), name=f"close {name_of(number)}", daemon=True
    )
    _closing[number] = thread
    thread.start()
    thread.join(CLOSE_TIMEOUT_S)
    if thread.is_alive():
        # picamera2 would try once more when the process ends, and hang there.
        atexit.unregister(device.close)
        log.warning("%s: must close within %g s, still waiting for it", name_of(number), CLOSE_TIMEOUT_S)


def _close_now(device: Any, number: int, job: Any) -> None:
    try:
        device.cancel_all_and_flush()
        if job is not None:
            with contextlib.suppress(*FAULTS):
                # It may have got its frame before it could be cancelled.
                job.get_result(timeout=0.1).release()
        device.close()
    except FAULTS as error:
        log.warning("%s: closed with an error: %s", name_of(number), reason(error))
