"""Runs posed's Pi camera on the real picamera2, with libcamera's virtual camera in place of a sensor.

Started by tests/system/test_picamera2.py, which makes what it needs. Prints one line for each check; the
exit status is 0 only if all passed.
"""

from __future__ import annotations

import itertools
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posed.camera.picamera import Picamera2Camera, open_picamera
from posed.config import CameraConfig
from posed.errors import CameraError, CameraLost
from posed.frame import Frame, Image
from tests.system.picamera.checks import open_files, run
from tests.system.picamera.virtual import VirtualPicamera2

MODEL_SIZE = (481, 353)
QUADRANTS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
"""What the virtual camera sees, RGB: red and green above blue and white."""


def opened(**settings: Any) -> Picamera2Camera:
    return open_picamera(CameraConfig(kind="picamera2", **settings), MODEL_SIZE)


def frame_of(camera: Picamera2Camera) -> Frame:
    frame = camera.read(2)
    assert frame is not None, "no frame came within 2 s"
    return frame


def quadrants_of(image: Image) -> Image:
    """The colours at the middle of each quarter, as they would be without compression."""
    height, width, _ = image.shape
    middles = image[height // 4 :: height // 2, width // 4 :: width // 2][:2, :2].astype(int)
    assert np.all((middles < 60) | (middles > 195)), f"colours are off: {middles.tolist()}"
    return np.asarray(np.where(middles > 127, 255, 0), np.uint8)


def closed_in_s(camera: Picamera2Camera) -> float:
    begun_at = time.monotonic()
    camera.__exit__(None, None, None)
    return time.monotonic() - begun_at


def until(condition: Callable[[], bool], timeout_s: float = 3) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {timeout_s} s"
        time.sleep(0.01)


@contextmanager
def blocked(camera: Picamera2Camera) -> Iterator[None]:
    """picamera2's own thread hangs."""
    hanging, release = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        release.wait()

    camera._started.device.between_frames = hang
    assert hanging.wait(2)
    try:
        yield
    finally:
        release.set()


def starve(camera: Picamera2Camera) -> list[Any]:
    """Holds every buffer, so that no frame comes any more, as when the cable comes loose."""
    held: list[Any] = []
    while True:
        job = camera._started.device.capture_request(wait=False)
        try:
            held.append(job.get_result(timeout=0.3))
        except TimeoutError:
            camera._started.device.cancel_all_and_flush()
            return held


def colours_and_size() -> str:
    with opened(size=(640, 480)) as camera:
        image = frame_of(camera).image
        stream = camera._started.stream
    assert image.shape == (480, 640, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(quadrants_of(image), QUADRANTS)
    return f"{stream['format']}, rows of {stream['stride']} bytes for {stream['size'][0]} px"


def smaller_size() -> str:
    with opened(size=(328, 246)) as camera:
        image = frame_of(camera).image
        stream = camera._started.stream
    assert image.shape == (246, 328, 3)
    np.testing.assert_array_equal(quadrants_of(image), QUADRANTS)
    return f"{stream['format']}, rows of {stream['stride']} bytes for {stream['size'][0]} px"


def size_for_the_model() -> str:
    with opened() as camera:
        height, width, _ = frame_of(camera).image.shape
    return f"{width}x{height} for a model of {MODEL_SIZE[0]}x{MODEL_SIZE[1]}"


def orientations() -> str:
    oriented_rightly()
    VirtualPicamera2.flips = False
    try:
        oriented_rightly()
    finally:
        VirtualPicamera2.flips = True
    return "8 of them, by the ISP and by the CPU"


def oriented_rightly() -> None:
    for rotate, mirror in itertools.product((0, 90, 180, 270), (False, True)):
        with opened(size=(640, 480), rotate=rotate, mirror=mirror) as camera:
            image = frame_of(camera).image
        wanted = np.rot90(QUADRANTS, -rotate // 90)
        wanted = wanted[:, ::-1] if mirror else wanted
        assert image.shape == ((640, 480, 3) if rotate in (90, 270) else (480, 640, 3))
        np.testing.assert_array_equal(quadrants_of(image), wanted, f"rotate {rotate}, mirror {mirror}")


def hundreds_of_frames() -> str:
    with opened(size=(640, 480)) as camera:
        frames, late_s = [], []
        for _ in range(300):
            frames.append(frame_of(camera))
            late_s.append(time.monotonic() - frames[-1].captured_at)
    assert [frame.sequence for frame in frames] == list(range(300))
    assert np.all(np.diff([frame.captured_at for frame in frames]) > 0), "captured_at must grow"
    assert 0 <= min(late_s) <= max(late_s) < 1
    assert all(abs(frame.time - time.time()) < 60 for frame in frames)
    return f"300, {1e3 * float(np.median(late_s)):.1f} ms from capture to reading, as median"


def stall() -> str:
    camera = opened(size=(640, 480))
    frame_of(camera)
    held = starve(camera)
    asked_at = time.monotonic()
    assert all(camera.read(0.2) is None for _ in range(5))
    assert 0.9 < time.monotonic() - asked_at < 1.5
    took_s = closed_in_s(camera)
    for request in held:
        request.release()
    assert took_s < 2
    return f"{len(held)} buffers held; None from read, then closed in {took_s:.2f} s"


def stall_that_ends() -> str:
    with opened(size=(640, 480)) as camera:
        frame_of(camera)
        held = starve(camera)
        assert camera.read(0.2) is None
        for request in held:
            request.release()
        frame_of(camera)
        frame = frame_of(camera)
    assert frame.sequence == 2
    return "frames again, from the capture that was pending"


def slow_camera() -> str:
    with opened(size=(640, 480)) as camera:
        camera._started.device.between_frames = lambda: time.sleep(0.5)
        frames = [camera.read(0.1) for _ in range(40)]
    got = sum(frame is not None for frame in frames)
    assert 3 <= got <= 12, f"got {got}"
    return f"{got} frames in 40 reads of 0.1 s at 2 frames/s"


def pause() -> str:
    with opened(size=(640, 480), fps=60) as camera:
        held = starve(camera)
        assert camera.read(0.05) is None
        for request in held:
            request.release()
        time.sleep(1.5)
        age_s = time.monotonic() - frame_of(camera).captured_at
    assert age_s < 0.5, f"the frame is {age_s:.2f} s old"
    return f"after 1.5 s the frame is {age_s * 1e3:.0f} ms old"


def hang() -> str:
    camera = opened(size=(640, 480))
    with blocked(camera):
        camera.read(0.1)  # may be the frame from before
        assert camera.read(0.2) is None
        took_s = closed_in_s(camera)
        assert took_s < 2
        try:
            opened()
        except CameraLost as error:
            raise AssertionError("a camera that still closes must not be waited for") from error
        except CameraError as error:
            said = str(error)
    until(lambda: not any(thread.name.startswith("close") for thread in threading.enumerate()))
    with opened() as camera:
        frame_of(camera)
    return f"given up in {took_s:.2f} s; {said!r}"


def exit_with_a_hang() -> str:
    begun_at = time.monotonic()
    subprocess.run([sys.executable, __file__, sys.argv[1], "hang"], check=True, timeout=30)
    return f"the process ended in {time.monotonic() - begun_at:.1f} s, its start included"


def hang_and_exit() -> None:
    """The worst hang: with picamera2's lock held, not even its jobs can be cancelled."""
    camera = opened(size=(640, 480))
    hanging = threading.Event()
    camera._started.device.pre_callback = lambda _: hanging.set() or threading.Event().wait()
    assert hanging.wait(2)
    camera.__exit__(None, None, None)


def stop_while_running() -> str:
    took_s = []
    for reads in range(5):
        camera = opened(size=(640, 480))
        for _ in range(reads):
            frame_of(camera)
        took_s.append(closed_in_s(camera))
    assert max(took_s) < 2
    return f"5 times, {max(took_s):.2f} s at worst"


def left_open(action: Callable[[], object], times: int) -> int:
    """How many more files are open after doing something again and again; frames on their way have some."""
    action()
    before = open_files()
    for _ in range(times):
        action()
    return open_files() - before


def refused(number: str) -> str:
    try:
        opened(source=number)
    except CameraLost as error:
        return str(error)
    raise AssertionError("must be CameraLost")


def in_use() -> str:
    with opened() as camera:
        files = left_open(lambda: refused("0"), 10)
        assert files < 5, f"10 attempts left {files} files open"
        said = refused("0")
        frame_of(camera)
    return said


def absent() -> str:
    files = left_open(lambda: refused("7"), 10)
    assert files < 5, f"10 attempts left {files} files open"
    return refused("7")


def opened_often() -> str:
    def once() -> None:
        with opened() as camera:
            frame_of(camera)

    files = left_open(once, 20)
    assert files < 5, f"20 times left {files} files open"
    assert threading.active_count() == 1
    return f"20 times; {files} more open files than after the first"


CHECKS: dict[str, Callable[[], str]] = {
    "colours, size": colours_and_size,
    "another size": smaller_size,
    "size for the model": size_for_the_model,
    "rotate, mirror": orientations,
    "frames in a row": hundreds_of_frames,
    "stall, close": stall,
    "stall that ends": stall_that_ends,
    "slower than read": slow_camera,
    "pause": pause,
    "stop while running": stop_while_running,
    "library hangs": hang,
    "exit with a hang": exit_with_a_hang,
    "in use": in_use,
    "absent": absent,
    "opened often": opened_often,
}


def main() -> int:
    rgb = np.kron(QUADRANTS, np.ones((240, 320, 1), np.uint8))
    cv2.imwrite(str(Path(sys.argv[1]) / "0.jpg"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)  # several checks make it complain
    if sys.argv[2:] == ["hang"]:
        hang_and_exit()
        return 0
    return run(CHECKS)


if __name__ == "__main__":
    sys.exit(main())
