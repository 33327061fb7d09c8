"""Runs posed's AI Camera on the real picamera2 and its class `IMX500`, with libcamera's virtual camera.

Started by tests/system/test_picamera2.py, which makes what it needs. These stand in for what is not here: a
folder for /sys/class, `memory.c` for the sensor's driver, `imx500.cpp` for what libcamera says with pictures,
of the network, and of `ScalerCrop`, and a network's file as `IMX500` reads it, without a network.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import logging
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import libarchive
import numpy as np
from picamera2.devices.imx500.imx500 import CnnOutputTensorInfoExported

from posed.camera.base import SettingError
from posed.camera.imx500 import (
    CHANNELS,
    COLUMNS,
    NETWORK,
    ROWS,
    VALUES,
    Imx500Camera,
    find,
    heads_of,
    open_imx500,
    start_sensor,
)
from posed.camera.imx500_view import REGION
from posed.config import CameraConfig, DecodeConfig
from posed.errors import CameraError, CameraLost, CameraPreparing
from posed.frame import Frame
from posed.model.outputs import OutputTensor
from posed.pipeline.detection import poses_in_camera
from tests.system.picamera.checks import open_files, run

AI = Path("/check/ai")
"""What the camera says of a picture, and what its driver got, are here."""

MODULE = Path("/check/class/10-001a/driver/module")
"""Shows that the device is that of an AI Camera."""

SIZE = (640, 480)
SHAPES = tuple((ROWS, COLUMNS, channels) for channels in CHANNELS)
TOOK_US = (15_000, 12_000)
OUTPUTS, SHAPES_FILE = AI / "outputs", AI / "shapes"

INFO = """networkID=000001
apParamSize=0
networkNum=1
networkOrdinal=0
inputTensorWidth=481
inputTensorHeight=353
inputTensorFormat=RGB
inputTensorNorm_K00=0x400
inputTensorNorm_K02=0x0
inputTensorNorm_K03=0x1800
inputTensorNorm_K11=0x400
inputTensorNorm_K13=0x1800
inputTensorNorm_K20=0x0
inputTensorNorm_K22=0x400
inputTensorNorm_K23=0x1800
"""
"""This is in the file of a network, for picamera2."""


def write_network() -> None:
    """A file as `IMX500` reads it: a block of firmware, and what is in it of the network's input."""
    NETWORK.parent.mkdir(parents=True, exist_ok=True)
    with libarchive.file_writer(str(NETWORK), "cpio") as archive:
        archive.add_file_from_memory("network_info.txt", len(INFO), INFO.encode())
    size = 16
    block = struct.pack(">4sI", b"9464", size) + bytes(size + 60 - 8) + b"3695"
    NETWORK.write_bytes(block + NETWORK.read_bytes())


def shapes(*wanted: Sequence[int]) -> bytes:
    """Shapes of outputs, as libcamera says them."""
    told = CnnOutputTensorInfoExported(network_name=b"posenet", num_tensors=len(wanted))
    for info, shape in zip(told.info, wanted, strict=False):
        info.tensor_data_num, info.num_dimensions = int(np.prod(shape)), len(shape)
        info.size[: len(shape)] = shape
    return ctypes.string_at(ctypes.addressof(told), ctypes.sizeof(told))


def config(**settings: Any) -> CameraConfig:
    return CameraConfig.model_validate({"kind": "imx500", "size": SIZE} | settings)


def opened(**settings: Any) -> Imx500Camera:
    """The camera once it has its network."""
    return waited_for(**settings)[0]


def waited_for(**settings: Any) -> tuple[Imx500Camera, list[str]]:
    """The camera, and what was said until it had its network."""
    said = []
    for _ in range(300):
        try:
            return open_imx500(config(**settings)), said
        except CameraPreparing as news:
            said.append(str(news))
            time.sleep(0.1)
    raise AssertionError("must have its network within 30 s")


def frame_of(camera: Imx500Camera) -> Frame:
    frame = camera.read(2)
    assert frame is not None, "no frame came within 2 s"
    return frame


def refused(action: Callable[[], object]) -> CameraError:
    try:
        action()
    except CameraPreparing:
        raise
    except CameraError as error:
        return error
    raise AssertionError("must be refused")


@contextlib.contextmanager
def away(path: Path) -> Iterator[None]:
    """A file is not there."""
    aside = path.rename(path.with_name("aside"))
    try:
        yield
    finally:
        aside.rename(path)


@contextlib.contextmanager
def other(path: Path, content: bytes) -> Iterator[None]:
    """A file has other content."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def people_of(frame: Frame) -> np.ndarray:
    """Keypoints of everybody, from the left, px of the frame."""
    own = frame.inference
    assert own is not None
    poses = poses_in_camera(own, tuple(OutputTensor(head) for head in own.heads), DecodeConfig())
    return np.array(sorted((pose.points for pose in poses), key=lambda points: float(points[:, 1].mean())))


def placed_well(frame: Frame) -> float:
    """How far from where the CPU engine found them people are, px of a picture of `SIZE`."""
    scale = np.array(SIZE[::-1]) / frame.image.shape[:2]
    expected = np.array(json.loads((AI / "people.json").read_text()))
    seen = (people_of(frame) + 0.5) * scale - 0.5
    assert seen.shape == expected.shape, f"{len(seen)} people, must be {len(expected)}"
    error_px = float(np.abs(seen - expected).max())
    assert error_px < 0.1, f"people are {error_px:.2f} px off"
    return error_px


def network_first() -> str:
    camera, said = waited_for()
    with camera:
        frame_of(camera)
    assert said, "another process must have started the camera before"
    assert said[0].startswith("Pi camera 0: takes its network in, minutes the first time")
    camera, again = waited_for()
    with camera:
        frame_of(camera)
    assert not again, "a camera that was just closed has its network"
    return f"another process began; {len(said)} times not yet, then opened; again at once"


def driver() -> str:
    with opened() as camera:
        frame_of(camera)
    *region, size = struct.unpack("4IQ", (AI / "driver").read_bytes())
    assert tuple(region) == REGION
    assert size == NETWORK.stat().st_size
    return f"got a network of {size} bytes, and the region {region}"


def people() -> str:
    with opened() as camera:
        frame = frame_of(camera)
    assert frame.inference is not None
    assert (frame.inference.took_s, frame.inference.prepared_s) == (0.015, 0.012)
    assert [head.shape for head in frame.inference.heads] == list(SHAPES)
    return f"{len(people_of(frame))}, {placed_well(frame):.2f} px from where the CPU finds them"


def orientations() -> str:
    """The network sees what the camera has flipped: the same outputs are of the same places."""
    for settings, mirrored in (({"rotate": 180}, False), ({"mirror": True}, True)):
        with opened(**settings) as camera:
            frame = frame_of(camera)
        assert frame.inference is not None
        assert frame.inference.mirrored is mirrored
        placed_well(frame)
    return "rotate: 180 and mirror"


def smaller_size() -> str:
    with opened(size=(328, 246)) as camera:
        frame = frame_of(camera)
    assert frame.image.shape == (246, 328, 3)
    return f"{placed_well(frame):.2f} px"


def pictures_in_a_row() -> str:
    with opened() as camera:
        frames = [frame_of(camera) for _ in range(100)]
    assert [frame.sequence for frame in frames] == list(range(100))
    assert np.all(np.diff([frame.captured_at for frame in frames]) > 0), "captured_at must grow"
    assert camera.silent == 0
    return "100"


def nothing_said() -> str:
    with opened(timeout_s=0.5) as camera:
        frame_of(camera)
        with away(OUTPUTS):
            lost = refused(lambda: [camera.read(1) for _ in range(3)])
    assert isinstance(lost, CameraLost)
    assert camera.silent > 3
    return str(lost)


def another_network() -> str:
    with other(SHAPES_FILE, shapes((144, 192, 17))), opened() as camera:
        error = refused(lambda: camera.read(2))
    assert not isinstance(error, CameraLost)
    assert str(error).endswith("got 144×192×17")
    return str(error)


def another_number() -> str:
    with other(OUTPUTS, OUTPUTS.read_bytes()[:-4]), opened() as camera:
        error = refused(lambda: camera.read(2))
    assert not isinstance(error, CameraLost)
    assert str(error).endswith(f"got {VALUES - 1}")
    return str(error)


def no_driver() -> str:
    with away(MODULE):
        error = refused(lambda: start_sensor(*find(""), config()))
    assert isinstance(error, CameraLost)
    return str(error)


def no_network() -> str:
    with away(NETWORK):
        error = refused(lambda: start_sensor(*find(""), config()))
    assert isinstance(error, SettingError)
    return str(error)


def in_use() -> str:
    with opened() as camera:
        error = refused(lambda: start_sensor(*find(""), config()))
        frame_of(camera)
    assert isinstance(error, CameraLost)
    return str(error)


def nothing_printed() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed, opened() as camera:
        frame_of(camera)
    assert not printed.getvalue()
    return "though picamera2 says where it finds no progress"


def opened_often() -> str:
    def once() -> None:
        with opened() as camera:
            frame_of(camera)

    once()
    before = open_files()
    for _ in range(10):
        once()
    files = open_files() - before
    assert files < 5, f"10 times left {files} files open"
    return f"10 times; {files} more open files than after the first"


def costs() -> str:
    """What becomes of the outputs on their way to Python, and to heads."""
    spent_ms: dict[str, list[float]] = {"metadata": [], "heads": []}
    with opened() as camera:
        for _ in range(40):
            request = camera._started.device.capture_request()
            began = time.thread_time()
            metadata = request.get_metadata()
            spent_ms["metadata"].append(1e3 * (time.thread_time() - began))
            request.release()
            began = time.thread_time()
            heads_of(metadata["CnnOutputTensor"])
            spent_ms["heads"].append(1e3 * (time.thread_time() - began))
            assert type(metadata["CnnOutputTensor"]) is tuple
            assert len(metadata["CnnOutputTensor"]) == VALUES
    return ", ".join(f"{what} {statistics.median(ms):.2f} ms" for what, ms in spent_ms.items())


CHECKS: dict[str, Callable[[], str]] = {
    "network first": network_first,
    "driver": driver,
    "people": people,
    "rotate, mirror": orientations,
    "another size": smaller_size,
    "pictures in a row": pictures_in_a_row,
    "nothing said": nothing_said,
    "another network": another_network,
    "another number": another_number,
    "no driver": no_driver,
    "no network": no_network,
    "in use": in_use,
    "nothing printed": nothing_printed,
    "opened often": opened_often,
    "costs": costs,
}


def main() -> int:
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)  # several checks make it complain
    write_network()
    SHAPES_FILE.write_bytes(shapes(*SHAPES))
    (AI / "took").write_bytes(struct.pack("2i", *TOOK_US))
    return run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
