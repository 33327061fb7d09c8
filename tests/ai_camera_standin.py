"""A Raspberry Pi AI Camera without one: a picamera2 with an `IMX500`, which behave as those of 0.3.38 do.

With the folder `ai_camera` in PYTHONPATH, any process that imports picamera2 gets it. The sensor looks at a
picture that fills it, runs Coral's plain PoseNet on its region, and gives the heads in its own layout. What
there is to see, and what is wrong with the camera, is in a file that the environment variable AI_CAMERA
names; what the camera remembers, as the real one has its network in a flash memory, is beside it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.camera.imx500_loading import LOADING
from posed.engine.tflite import open_cpu
from posed.frame import Image
from posed.model.tflite import read_model
from posed.networks import INPUT_SIZE, network_of
from scripts.paths import ROOT
from tests.picamera_fake import BUFFERS, FakePicamera2, Hardware

if TYPE_CHECKING:  # a machine that is booted by tests has none
    import pytest

FOLDER = Path(__file__).resolve().parent / "ai_camera"
SENSOR = (4056, 3040)
INPUT = (481, 353)
LARGEST = 4032
"""The driver takes no larger number for a region, and says nothing."""
MODEL = "posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"
SHAPES = ((23, 31, 17), (23, 31, 34), (23, 31, 64))


@dataclass(frozen=True)
class World:
    """What the camera sees, and what is wrong with it.

    Args:
        picture: what fills the sensor; a grey wall without one.
        model: the plain PoseNet that runs on it; without one the network sees nobody.
        models: of the cameras that are connected.
        fps: frames per second.
        upload_s: how long the network takes to get in, s.
        every: the network says something with each such picture, of the one before where it is not each.
        stops_after: pictures; from then on the network says nothing.
        shapes: of the outputs, (height, width, channels) each.
        crop: `ScalerCrop`; None: all that has the picture's shape.
        kpi: what the network and its signal processor take, µs; None: the camera does not say.
        takes_region: whether the driver takes a region.
        fails: where: `import`, `debug`, `file` or `start`.
    """

    picture: str | None = None
    model: str | None = None
    models: Sequence[str] = ("imx500",)
    fps: float = 30
    upload_s: float = 0.0
    every: int = 1
    stops_after: int | None = None
    shapes: Sequence[Sequence[int]] = SHAPES
    crop: Sequence[int] | None = None
    kpi: Sequence[int] | None = (15_000, 12_000)
    takes_region: bool = True
    fails: str = ""

    def write(self, path: Path) -> None:
        """Make this the world from the next frame on."""
        path.write_text(json.dumps(asdict(self)))


class Worlds:
    """Makes what the camera sees from the next frame on; called with the settings of a `World`.

    Args:
        path: where that is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self()

    def __call__(self, **settings: Any) -> World:
        made = World(**settings)
        made.write(self._path)
        return made

    @property
    def loaded(self) -> Path:
        """Is there once the camera has its network."""
        return self._path.with_suffix(".loaded")

    @property
    def starts(self) -> list[int]:
        """The processes that have started the camera, in order."""
        path = self._path.with_suffix(".starts")
        return [int(line) for line in path.read_text().split()] if path.exists() else []


def variables(folder: Path) -> dict[str, str]:
    """The environment of a process that is to find the camera, with what it keeps in a folder."""
    return {
        "AI_CAMERA": str(folder / "world.json"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join((str(FOLDER), str(ROOT))),
    }


@contextlib.contextmanager
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worlds]:
    """The camera is there, for this process and those that it starts."""
    for name, value in variables(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(FOLDER)
    LOADING._closed_at.clear()  # of another test's camera
    yield Worlds(folder / "world.json")
    for name in [name for name in sys.modules if name.partition(".")[0] in {"picamera2", "libcamera"}]:
        del sys.modules[name]


def _path() -> Path:
    return Path(os.environ["AI_CAMERA"])


def world_now() -> World:
    """What the file says."""
    return World(**json.loads(_path().read_text()))


def _note(suffix: str) -> Path:
    """What the camera remembers, or has done."""
    return _path().with_suffix(suffix)


def part_of(picture: NDArray[Any], part: Sequence[float], size: tuple[int, int]) -> NDArray[Any]:
    """A part (left, top, width, height) of the sensor, which a picture fills, at another size."""
    left, top, width, height = part
    scale_x, scale_y = picture.shape[1] / SENSOR[0], picture.shape[0] / SENSOR[1]
    step_x, step_y = width / size[0] * scale_x, height / size[1] * scale_y
    # Centres of pixels: (x + 0.5) * step - 0.5, in px of the picture.
    matrix = np.array(
        [
            [step_x, 0, left * scale_x + 0.5 * step_x - 0.5],
            [0, step_y, top * scale_y + 0.5 * step_y - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, size, None, flags, cv2.BORDER_REPLICATE))


class Sensor:
    """What the network in the sensor gives for what the sensor sees.

    Args:
        model: the file of Coral's plain PoseNet.

    Attributes:
        network: that of the file.
        engine: runs it.
    """

    def __init__(self, model: Path) -> None:
        self.network = network_of(read_model(model), INPUT_SIZE)
        self.engine = open_cpu(self.network.model, 1, "stands in for the sensor")

    def outputs(self, network_input: Image) -> list[NDArray[np.float32]]:
        """Heatmaps as logits, short and mid offsets in px, each (rows, columns, channels)."""
        return [output.values() for output in self.engine.infer(network_input)]


def run_of(outputs: Sequence[NDArray[np.float32]]) -> tuple[float, ...]:
    """Heads as libcamera's binding gives them: one tuple, channel by channel, column by column."""
    flat = [np.transpose(output, (2, 1, 0)).ravel() for output in outputs]
    return tuple(np.concatenate(flat).astype(float).tolist())


class IMX500:
    """picamera2's, as far as posed uses it.

    Attributes:
        config: what was asked for, as picamera2 keeps it.
        region: what the driver made of the region.
    """

    newest: ClassVar[IMX500 | None] = None

    def __init__(self, network_file: str, camera_id: str = "") -> None:
        world = world_now()
        if world.fails == "debug":
            raise PermissionError(13, "Permission denied", "/sys/kernel/debug/imx500-fw:10-001a/fw_progress")
        if world.fails == "file":
            raise RuntimeError(f"Firmware file {network_file} does not exist.")
        if "imx500" not in camera_id:
            raise RuntimeError("IMX500: Requested camera dev-node not found")
        sys.stdout.write("IMX500 firmware update progress bar is not available\n")
        self.config: dict[str, Any] = {"network_file": network_file}
        self._takes_region = True
        self.region: tuple[int, ...] = ()
        self.set_inference_roi_abs((0, 0, *SENSOR))
        self._takes_region = world.takes_region
        IMX500.newest = self

    def set_inference_roi_abs(self, roi: tuple[int, int, int, int]) -> None:
        left, top, width, height = roi
        if not self._takes_region:
            sys.stdout.write("IMX500: Unable to set ROI control in the device driver: Permission denied\n")
            return
        self.region = tuple(min(number, LARGEST) for number in roi)
        self.config["roi"] = SimpleNamespace(x=left, y=top, width=width, height=height)

    def get_output_shapes(self, metadata: Mapping[str, Any]) -> list[list[int]]:
        return [list(shape) for shape in metadata["CnnOutputTensorInfo"]]


class Picamera2(FakePicamera2):
    """The fake Pi camera, with a sensor that delivers by itself and says what its network sees."""

    hardware = Hardware(
        resolution=SENSOR, model="imx500", controls={"FrameDurationLimits": (33_333, 66_666_666, None)}
    )

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        models = world_now().models
        cls.hardware.connected = len(models)
        return [
            {"Num": place, "Model": model, "Id": f"/base/soc/i2c@{place}/{model}@1a"}
            for place, model in enumerate(models)
        ]

    def start(self) -> None:
        world = world_now()
        if world.fails == "start":
            raise RuntimeError("Failed to start camera: No such file or directory")
        with _note(".starts").open("a") as starts:
            starts.write(f"{os.getpid()}\n")
        if not _note(".loaded").exists():
            # With Python's lock held, as libcamera's binding has it.
            ctypes.PyDLL(None).usleep(round(world.upload_s * 1e6))
            _note(".loaded").touch()
        super().start()
        self._thread = threading.Thread(target=self._run, name="sensor", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number, due = 0, time.monotonic()
        sensor, told, before = None, {}, None
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            world = world_now()
            due = max(due + 1 / world.fps, time.monotonic() - 1)
            if sensor is None and world.model:
                sensor = Sensor(Path(world.model))
            key = world.picture, str(world.crop)
            if key not in told:
                told = {key: self._look(world, sensor)}
            picture, crop, tensor = told[key]
            metadata: dict[str, Any] = {"ScalerCrop": crop, "FrameDuration": round(1e6 / world.fps)}
            says = number % world.every == world.every - 1
            if world.stops_after is not None and number >= world.stops_after:
                says = False
            given = tensor if world.every == 1 else before
            if says and given is not None:
                metadata |= {
                    "CnnOutputTensor": given,
                    "CnnOutputTensorInfo": tuple(map(tuple, world.shapes)),
                }
                if world.kpi is not None:
                    metadata["CnnKpiInfo"] = tuple(world.kpi)
            before = tensor
            with self._lock, contextlib.suppress(RuntimeError):
                if self.held < BUFFERS and self.is_open:
                    self.deliver(picture, time.clock_gettime(time.CLOCK_BOOTTIME), metadata)
            number += 1

    def _look(self, world: World, sensor: Sensor | None) -> tuple[Image, tuple[int, ...], tuple[float, ...]]:
        """The picture of the ISP before flips, what it shows of the sensor, and what the network says."""
        size, transform = self._configuration["main"]["size"], self._configuration["transform"]
        seen = np.full((480, 640, 3), 120, np.uint8)
        if world.picture is not None:
            seen = np.asarray(cv2.cvtColor(cv2.imread(world.picture), cv2.COLOR_BGR2RGB), np.uint8)
        # The sensor is read out flipped, so that what follows sees no difference.
        seen = seen[:: -1 if transform.vflip else 1, :: -1 if transform.hflip else 1].copy()
        crop = tuple(world.crop) if world.crop is not None else default_crop(size)
        picture = part_of(seen, crop, size)
        unflipped = picture[:: -1 if transform.vflip else 1, :: -1 if transform.hflip else 1]
        assert IMX500.newest is not None, "an IMX500 must be there before"
        network_input = part_of(seen, IMX500.newest.region, INPUT)
        outputs = [np.full(shape, -10, np.float32) for shape in world.shapes]
        if sensor is not None:
            outputs = sensor.outputs(network_input)
        return unflipped, crop, run_of(outputs)

    def capture_request(self, wait: float | bool | None = None) -> Any:
        with self._lock:
            return super().capture_request(wait)

    def cancel_all_and_flush(self) -> None:
        with self._lock:
            super().cancel_all_and_flush()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            super().close()


def default_crop(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest part of the sensor with a picture's shape, in the middle, as libcamera chooses it."""
    scale = min(SENSOR[0] / size[0], SENSOR[1] / size[1])
    width, height = int(size[0] * scale), int(size[1] * scale)
    return (SENSOR[0] - width) // 2, (SENSOR[1] - height) // 2, width, height
