"""A small picamera2 and libcamera of our own, that behave and fail as picamera2 0.3.38 does.

The test is the camera's own thread: `FakePicamera2.deliver` is a frame that arrives.
"""

from __future__ import annotations

import os
import threading
import types
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from posed.frame import Image

BUFFERS = 4


@dataclass
class Hardware:
    """What is connected, and what is wrong with it."""

    connected: int = 1
    resolution: tuple[int, int] = (3280, 2464)
    model: str = "imx219"
    controls: Mapping[str, Any] = field(default_factory=dict)
    in_use: bool = False
    configurable: bool = True
    flips: bool = True
    stream_format: str = "BGR888"
    """What comes, whatever was asked for."""
    padding_px: int = 0
    healthy: threading.Event = field(default_factory=threading.Event)
    """While it is cleared, whoever stops the camera hangs."""
    fails_to_close: bool = False
    devices: list[FakePicamera2] = field(default_factory=list)
    pipes: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.healthy.set()


@dataclass(frozen=True)
class Transform:
    hflip: bool = False
    vflip: bool = False


class Job:
    """A capture that is waited for."""

    def __init__(self) -> None:
        self.future: Future[Request] = Future()

    def get_result(self, timeout: float | None = None) -> Request:
        return self.future.result(timeout)


class Request:
    """A frame in one of the camera's buffers."""

    def __init__(self, device: FakePicamera2, array: np.ndarray, metadata: Mapping[str, Any]) -> None:
        self._device = device
        self._array: np.ndarray | None = array
        self._metadata = metadata
        self.fault: Exception | None = None

    def get_metadata(self) -> dict[str, Any]:
        assert self._array is not None, "used after its release"
        return dict(self._metadata)

    def make_array(self, name: str) -> np.ndarray:
        assert name == "main"
        assert self._array is not None, "used after its release"
        if self.fault:
            raise self.fault
        return self._array.copy()

    def release(self) -> None:
        if self._array is None:
            raise RuntimeError("CompletedRequest: lock now has negative ref_count")
        self._array = None
        self._device.held -= 1


class FakePicamera2:
    hardware: Hardware

    def __init__(self, number: int) -> None:
        self.is_open = False
        self.notifyme_r, self.notifyme_w = os.pipe()
        self.notifymeread = os.fdopen(self.notifyme_r, "rb")
        self.hardware.pipes.append((self.notifyme_r, self.notifyme_w))
        if self.hardware.in_use:
            cause = RuntimeError("Failed to acquire camera: Device or resource busy")
            raise RuntimeError("Camera __init__ sequence did not complete.") from cause
        self.number = number
        self.is_open = True
        self.started = False
        self.held = 0
        self.captures = 0
        self.asked = threading.Event()
        self._jobs: list[Job] = []
        self._newest: Request | None = None
        self._configuration: dict[str, Any] = {}
        self.wanted: dict[str, Any] = {}
        self.hardware.devices.append(self)

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        model, places = cls.hardware.model, range(cls.hardware.connected)
        return [{"Num": place, "Model": model, "Id": f"/base/i2c@{place}/{model}@1a"} for place in places]

    @property
    def camera_controls(self) -> Mapping[str, Any]:
        return self.hardware.controls

    @property
    def camera_properties(self) -> dict[str, Any]:
        return {"Model": self.hardware.model}

    @property
    def sensor_resolution(self) -> tuple[int, int]:
        return self.hardware.resolution

    def create_video_configuration(self, **wanted: Any) -> dict[str, Any]:
        return wanted

    def configure(self, configuration: dict[str, Any]) -> None:
        self.wanted = configuration
        if not self.hardware.configurable:
            raise RuntimeError("Invalid camera configuration")
        for name in configuration["controls"]:
            if name not in self.hardware.controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        width, height = configuration["main"]["size"]
        assert width % 2 == height % 2 == 0, "width and height should be even"
        transform = configuration["transform"] if self.hardware.flips else Transform()
        main = {"size": (width, height), "format": self.hardware.stream_format}
        self._configuration = {"main": main, "transform": transform}

    def camera_configuration(self) -> dict[str, Any]:
        return self._configuration

    def start(self) -> None:
        self.started = True

    def capture_request(self, wait: float | bool | None = None) -> Any:
        self.captures += 1
        job = Job()
        if self._newest and not self._jobs:
            job.future.set_result(self._newest)
            self._newest = None
        else:
            self._jobs.append(job)
        self.asked.set()
        if wait is False:
            return job
        return job.get_result(None if wait is None or wait is True else wait)

    def cancel_all_and_flush(self) -> None:
        self.hardware.healthy.wait()
        for job in self._jobs:
            job.future.set_exception(CancelledError())
        self._jobs.clear()

    def close(self) -> None:
        if self._jobs:
            # Stopping is a job too, behind those.
            threading.Event().wait()
        if self.hardware.fails_to_close:
            raise RuntimeError("Failed to release camera")
        self.started = self.is_open = False
        self.notifymeread.close()
        os.close(self.notifyme_w)

    def deliver(
        self, picture: Image, timestamp_s: float | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Request:
        """A frame arrives that shows a picture, which is RGB and as large as the stream."""
        assert self.held < BUFFERS, "the camera has stopped: every buffer is held"
        transform = self._configuration["transform"]
        seen = picture[:: -1 if transform.vflip else 1, :: -1 if transform.hflip else 1]
        array = encoded(seen, self.hardware.stream_format, self.hardware.padding_px)
        stamp = {} if timestamp_s is None else {"SensorTimestamp": round(timestamp_s * 1e9)}
        request = Request(self, array, stamp | dict(metadata or {}))
        self.held += 1
        if self._jobs:
            self._jobs.pop(0).future.set_result(request)
        else:
            if self._newest:
                self._newest.release()
            self._newest = request
        return request

    def fail(self, error: Exception) -> None:
        """What a job does that picamera2 could not do."""
        self._jobs.pop(0).future.set_exception(error)


def encoded(picture: Image, stream_format: str, padding_px: int) -> np.ndarray:
    """A picture as `make_array` gives it in a format, with rows longer by some pixels."""
    opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
    packed = {
        "BGR888": picture,
        "RGB888": picture[..., ::-1],
        "XBGR8888": np.dstack([picture, opaque]),
        "XRGB8888": np.dstack([picture[..., ::-1], opaque]),
    }
    if stream_format in packed:
        return np.ascontiguousarray(packed[stream_format])
    padded = np.pad(picture, ((0, 0), (0, padding_px), (0, 0)), constant_values=200)
    height, width, _ = padded.shape
    planes = cv2.cvtColor(padded, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    luma, blue, red = np.split(planes, [height * width, height * width * 5 // 4])
    if stream_format == "YUYV":
        pairs = np.repeat(np.dstack([blue, red]).reshape(height // 2, width // 2, 2), 2, axis=0)
        return np.dstack([luma.reshape(height, width), pairs.reshape(height, width)])
    chroma = {
        "YUV420": [blue, red],
        "YVU420": [red, blue],
        "NV12": [np.dstack([blue, red]).reshape(-1)],
        "NV21": [np.dstack([red, blue]).reshape(-1)],
    }
    return np.concatenate([luma, *chroma[stream_format]]).reshape(height * 3 // 2, width)


def modules(hardware: Hardware) -> dict[str, types.ModuleType]:
    """What `import picamera2` and `import libcamera` are to find."""
    picamera2, libcamera = types.ModuleType("picamera2"), types.ModuleType("libcamera")
    picamera2.Picamera2 = type("Picamera2", (FakePicamera2,), {"hardware": hardware})  # type: ignore[attr-defined]
    libcamera.Transform = Transform  # type: ignore[attr-defined]
    libcamera.ColorSpace = types.SimpleNamespace(Smpte170m=lambda: "Smpte170m")  # type: ignore[attr-defined]
    modes = types.SimpleNamespace(Continuous="continuous")
    libcamera.controls = types.SimpleNamespace(AfModeEnum=modes)  # type: ignore[attr-defined]
    return {"picamera2": picamera2, "libcamera": libcamera}
