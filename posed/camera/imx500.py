"""The Raspberry Pi AI Camera (IMX500), in whose sensor a PoseNet runs.

It is the network of Coral's 353×481 at stride 16, from `imx500-models`, and its raw heads come with the
metadata of the pictures. Written against picamera2 0.3.38.

Sources: rpicam-apps' imx500_posenet.cpp for what the heads are; libcamera's cam_helper_imx500.cpp for how
they come with pictures; the kernel's imx500.c for when the network is loaded.
"""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.camera.base import FrameMaker, SettingError
from posed.camera.imx500_view import INPUT, REGION, WHOLE, Rectangle, SensorView
from posed.camera.pi_device import FAULTS, StartedDevice, left_to_orient, name_of, reason, start
from posed.config import CameraConfig
from posed.errors import CameraError, CameraLost
from posed.frame import CameraInference, Frame, Image

log = logging.getLogger(__name__)

NETWORK: Final = Path("/usr/share/imx500-models/imx500_network_posenet.rpk")
"""The package imx500-models has it here."""

FIRMWARE: Final = (Path("/lib/firmware/imx500_loader.fpk"), Path("/lib/firmware/imx500_firmware.fpk"))
"""The package imx500-firmware has it here, from where the kernel takes it when the camera starts."""

MODEL: Final = "imx500"
"""libcamera calls the sensor this."""

STRIDE: Final = 16
ROWS: Final = 23
COLUMNS: Final = 31
CHANNELS: Final = (17, 34, 64)
"""Of heatmaps, short offsets and mid offsets, in the order in which they come."""

VALUES: Final = ROWS * COLUMNS * sum(CHANNELS)

_RUN: Final = struct.Struct(f"{VALUES}f")
"""This packs a tuple of floats in a quarter of the time that numpy takes to make an array of it
(`scripts/python bench.imx500`)."""

INSTALL: Final = "`apt install imx500-all`"

_PRINTING: Final = threading.Lock()
"""Where it writes is the whole process's, so only one thread at a time may change that."""

_CONSECUTIVE: Final = 1.5
"""A picture follows the one before at once if it comes within so many frames' times."""


class _Picture(NamedTuple):
    captured_at: float
    image: Image


class _Speech:
    """Whether the network of a camera still says something of its pictures.

    Args:
        name: what messages call the camera.
        timeout_s: how long it may say nothing, s.
        clock: monotonic, s.
    """

    def __init__(self, name: str, timeout_s: float, clock: Callable[[], float]) -> None:
        self._name, self._timeout_s, self._clock = name, timeout_s, clock
        self._said_at = self._silent_at = clock()

    def note(self, *, says: bool) -> None:
        """Take one picture."""
        if says:
            self._said_at = self._clock()
        else:
            self._silent_at = self._clock()

    def check(self) -> None:
        """Give up a network that says nothing any more, while pictures come.

        Raises:
            CameraLost: it does.
        """
        pictures_come = self._silent_at - self._said_at > self._timeout_s / 2
        if pictures_come and self._clock() - self._said_at > self._timeout_s:
            raise CameraLost(
                f"{self._name}: must give what its network says within {self._timeout_s:g} s, "
                "got pictures without it"
            )


class Imx500Camera:
    """A started AI Camera; see `posed.camera.base.Camera`. Each of its frames has an inference.

    Args:
        started: the device.
        sensor: picamera2's `IMX500`, which is kept for as long as the camera.
        config: of the camera.
        closed: called once the camera was closed.
        clock: monotonic time, s.

    Attributes:
        silent: how many pictures came without anything that the network says.
    """

    live = True

    def __init__(
        self,
        started: StartedDevice,
        sensor: Any,
        config: CameraConfig,
        closed: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = started.name
        self._closed = closed
        self._started = started
        self._sensor = sensor
        self._orient = left_to_orient(config.rotate, config.mirror, started.flips)
        self._mirrored = started.flips[0] != started.flips[1]
        self._frames = FrameMaker(*self._orient)
        self._fps = config.fps
        self._clock = clock
        self._speech = _Speech(started.name, config.timeout_s, clock)
        self._unseen: _Picture | None = None
        self._view: tuple[Rectangle, SensorView] | None = None
        self._checked = False
        self.silent = 0

    def read(self, wait_s: float) -> Frame | None:
        """The newest frame of which the network says something, or None if none came within `wait_s` seconds.

        Raises:
            CameraError: the network in the camera is another.
            CameraLost: the camera reports an error, or its network says nothing any more.
        """
        until = self._clock() + wait_s
        try:
            while (taken := self._started.requests.next(max(0.0, until - self._clock()))) is not None:
                request, metadata = taken
                try:
                    frame = self._frame_of(request, metadata)
                finally:
                    # With every buffer held the camera stops.
                    request.release()
                if frame is not None:
                    return frame
            # Before whoever reads gives up, and says that no picture came.
            self._speech.check()
        except (*FAULTS, cv2.error) as error:
            if isinstance(error, CameraError):
                raise
            raise CameraLost(f"{self.name}: {reason(error)}") from error
        return None

    def _frame_of(self, request: Any, metadata: Mapping[str, Any]) -> Frame | None:
        """A frame; None where the network says nothing of the picture, or not yet.

        A network that takes longer than a frame says nothing with the picture that it looks at, and has the
        outputs with the next one. Source: `CamHelperImx500::parseInferenceData`.
        """
        captured_at = self._started.requests.captured_at(metadata)
        before, self._unseen = self._unseen, None
        tensor = metadata.get("CnnOutputTensor")
        if not tensor:
            self.silent += 1
            self._speech.note(says=False)
            self._unseen = _Picture(captured_at, self._started.image_of(request))
            self._speech.check()
            return None
        if not self._checked:
            self._check_shapes(metadata)
        frame_s = metadata.get("FrameDuration", 1e6 / self._fps) / 1e6
        if before is None or captured_at - before.captured_at > _CONSECUTIVE * frame_s:
            before = _Picture(captured_at, self._started.image_of(request))
        inference = CameraInference(
            self._heads(tensor), STRIDE, self._view_of(metadata), self._mirrored, *_took_s(metadata)
        )
        self._speech.note(says=True)
        return self._frames.make(before.image, before.captured_at, inference=inference)

    def _check_shapes(self, metadata: Mapping[str, Any]) -> None:
        """Hold what the network says of its outputs against a PoseNet's.

        Raises:
            CameraError: it is another.
        """
        self._checked = True
        try:
            shapes = [tuple(shape) for shape in self._sensor.get_output_shapes(metadata)]
        except FAULTS:  # a libcamera of another version than picamera2: the number of values is checked still
            return
        wanted = [(ROWS, COLUMNS, channels) for channels in CHANNELS]
        if shapes and shapes != wanted:
            raise CameraError(
                f"{self.name}: its network must give {_said(wanted)} ({NETWORK}), got {_said(shapes)}"
            )

    def _heads(self, tensor: Sequence[float]) -> tuple[NDArray[np.float32], ...]:
        if len(tensor) != VALUES:
            raise CameraError(
                f"{self.name}: its network must give {VALUES} values ({NETWORK}), got {len(tensor)}"
            )
        return heads_of(tensor)

    def _view_of(self, metadata: Mapping[str, Any]) -> SensorView:
        crop = Rectangle(*metadata["ScalerCrop"])
        if not (crop.width > 0 and crop.height > 0):
            raise CameraLost(
                f"{self.name}: its pictures must show some of the sensor, got a ScalerCrop of {crop[2:]}"
            )
        if self._view is None or self._view[0] != crop:
            region = _region_of(self._sensor)
            self._view = crop, SensorView(region, crop, self._started.stream["size"], *self._orient)
            log.debug("%s: the picture shows %s of the sensor, the network sees %s", self.name, crop, region)
        return self._view[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()
        self._closed()


def heads_of(tensor: Sequence[float]) -> tuple[NDArray[np.float32], ...]:
    """The heads (rows, columns, channels) of a frame, which come as one run of numbers.

    Each is there channel by channel, and in a channel column by column.
    """
    flat, heads, at = np.frombuffer(_RUN.pack(*tensor), np.float32), [], 0
    for channels in CHANNELS:
        size = channels * COLUMNS * ROWS
        heads.append(flat[at : at + size].reshape(channels, COLUMNS, ROWS).transpose(2, 1, 0))
        at += size
    return tuple(heads)


def _region_of(sensor: Any) -> Rectangle:
    """What the network sees.

    picamera2 prints where the camera would not take a region, and goes on. It keeps the one it asked for, and
    not what the driver made of that.
    """
    region = sensor.config.get("roi")
    return WHOLE if region is None else Rectangle(region.x, region.y, region.width, region.height).taken


def _took_s(metadata: Mapping[str, Any]) -> tuple[float, float]:
    """How long the network took, and its signal processor before, s; 0 where the camera does not say."""
    match metadata.get("CnnKpiInfo"):
        case [int() | float() as network_us, int() | float() as processor_us] if (
            network_us >= 0 and processor_us >= 0
        ):
            return network_us / 1e6, processor_us / 1e6
    return 0.0, 0.0


def _said(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes)


def camera_number(source: str) -> int | None:
    """The camera's place in picamera2's list; None for the first AI Camera.

    Raises:
        SettingError: the source is no number, and not shown: it may be a secret.
    """
    if source and not (source.isascii() and source.isdecimal()):
        raise SettingError("source: must be a camera's number for kind imx500, got other text")
    return int(source) if source else None


def find(source: str) -> tuple[int, str]:
    """The place of an AI Camera in picamera2's list, and libcamera's id of it.

    Raises:
        SettingError: picamera2 is missing, or the camera is no AI Camera.
        CameraLost: there is none.
    """
    number = camera_number(source)
    try:
        from picamera2 import Picamera2
    except (ImportError, ValueError) as error:
        raise SettingError(
            f"kind: imx500 needs `apt install python3-picamera2 imx500-all` and a virtual environment made "
            f"with --system-site-packages that keeps apt's numpy, got: {reason(error)}"
        ) from error
    try:
        cameras = Picamera2.global_camera_info()
    except FAULTS as error:
        raise CameraLost(f"AI Camera: libcamera cannot list cameras ({reason(error)})") from error
    if number is None:
        number = next((place for place, one in enumerate(cameras) if one.get("Model") == MODEL), None)
        if number is None:
            raise CameraLost(f"AI Camera: must be connected, got {_models(cameras)}")
    if number >= len(cameras):
        raise CameraLost(f"{name_of(number)}: must be connected, got {len(cameras)} camera(s)")
    if cameras[number].get("Model") != MODEL:
        raise SettingError(
            f"source: must be an AI Camera (imx500) for kind imx500, got camera {number}, "
            f"{cameras[number].get('Model', 'of unknown model')}"
        )
    return number, str(cameras[number]["Id"])


def _models(cameras: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(str(one.get("Model", "a camera of unknown model")) for one in cameras) or "no camera"


def start_sensor(number: int, identity: str, config: CameraConfig) -> tuple[Any, StartedDevice]:
    """Start an AI Camera with its network; it takes minutes if the network has to be loaded.

    Args:
        number: the camera's place in picamera2's list.
        identity: libcamera's id of it.
        config: of the camera.

    Raises:
        SettingError: something has to be installed.
        CameraLost: the camera is absent, in use or broken.
    """
    try:
        from picamera2.devices.imx500 import IMX500
    except (ImportError, ValueError) as error:
        raise SettingError(f"kind: imx500 needs {INSTALL}, got: {reason(error)}") from error
    try:
        # It writes to the terminal.
        nowhere = io.StringIO()
        with _PRINTING, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            sensor = IMX500(str(NETWORK), identity)
            sensor.set_inference_roi_abs(tuple(REGION))
    except PermissionError as error:
        raise SettingError(
            "kind: imx500 needs picamera2 0.3.35 or later, got one that insists on reading the kernel's "
            f"debug files: {error}"
        ) from error
    except FAULTS as error:
        if not NETWORK.is_file():
            raise SettingError(f"kind: imx500 needs {INSTALL}, got no {NETWORK}") from error
        raise CameraLost(f"{name_of(number)}: cannot take its network ({reason(error)})") from error
    try:
        return sensor, start(number, config, INPUT)
    except CameraLost as error:
        missing = [str(path) for path in FIRMWARE if not path.is_file()]
        if missing and "cannot be started" in str(error):
            raise SettingError(f"kind: imx500 needs {INSTALL}, got no {' and no '.join(missing)}") from error
        raise


def open_imx500(config: CameraConfig) -> Imx500Camera:
    """Start the AI Camera.

    Args:
        config: the camera's settings; `source` is the camera's number, the first AI Camera when empty.

    Raises:
        CameraError: something is missing, or the configuration can never work.
        CameraPreparing: the camera takes its network in.
        CameraLost: the camera is absent, in use or broken.
    """
    from posed.camera.imx500_loading import LOADING

    number, identity = find(config.source)
    LOADING.ensure(number)
    sensor, started = start_sensor(number, identity, config)
    return Imx500Camera(started, sensor, config, closed=lambda: LOADING.closed(number))
