"""Cameras and engines for tests of the pipeline, which play a script or wait for the test."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from posed.camera.base import FrameMaker
from posed.errors import CameraEnded, EngineLost
from posed.frame import CameraInference, Frame, Letterbox
from posed.model.outputs import Outputs, OutputTensor
from posed.pipeline.pipeline import Pipeline

SIZE = (33, 17)
"""(width, height) of frames and of the model's input, px."""


class FakeCamera:
    """Plays a script: an int is that many frames, None a wait without one, an error is raised."""

    name = "camera fake"

    def __init__(self, script: Iterable[int | Exception | None], *, live: bool) -> None:
        self.live = live
        self.closed = threading.Event()
        self.hangs = threading.Event()
        self._steps = self._play(script)
        self._maker = FrameMaker(0, mirror=False)

    def _play(self, script: Iterable[int | Exception | None]) -> Iterator[Frame | None]:
        for step in script:
            if isinstance(step, Exception):
                raise step
            for _ in range(1 if step is None else step):
                image = np.full((17, 33, 3), 100, np.uint8)
                yield None if step is None else self._maker.make(image, time.monotonic())
        while True:
            yield None

    def read(self, wait_s: float) -> Frame | None:
        frame = next(self._steps)
        if frame is None:
            self.closed.wait(wait_s)
        return frame

    def __enter__(self) -> FakeCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()


class FakeEngine:
    """Answers with heads of the right shape; may be held at its first invoke, or raise at one."""

    kind, device, why = "cpu", "fake", "asked for"

    def __init__(self, fail_at: int = -1, held: threading.Event | None = None) -> None:
        self.inputs = 0
        self.closed = False
        self._fail_at = fail_at
        self._held = held

    def infer(self, image: np.ndarray) -> Outputs:
        if self._held is not None:
            self._held.wait(10)
        self.inputs += 1
        if self.inputs - 1 == self._fail_at:
            raise EngineLost("edgetpu: invoke failed")
        return tuple(OutputTensor(np.zeros((3, 5, channels), np.float32)) for channels in (17, 34, 64))

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


class LedCamera(FakeCamera):
    """A live camera that gives a burst of so many frames each time it is told to."""

    def __init__(self, burst: int) -> None:
        super().__init__([], live=True)
        self.told = threading.Semaphore(0)
        self.idle = threading.Event()
        self.burst = burst
        self._left = 0
        self._in_burst = False

    def read(self, wait_s: float) -> Frame | None:
        if not self._left:
            if self._in_burst:
                self._in_burst = False
                self.idle.set()
            if not self.told.acquire(timeout=wait_s):
                return None
            self._in_burst, self._left = True, self.burst
        self._left -= 1
        return self._maker.make(np.full((17, 33, 3), 100, np.uint8), time.monotonic())


class StepEngine(FakeEngine):
    """Every inference takes until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.end = threading.Semaphore(0), threading.Semaphore(0)

    def infer(self, image: np.ndarray) -> Outputs:
        self.began.release()
        assert self.end.acquire(timeout=10)
        return super().infer(image)


class RememberingEngine(FakeEngine):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[np.ndarray] = []

    def infer(self, image: np.ndarray) -> Outputs:
        self.images.append(image)
        return super().infer(image)


def still(time_s: float, image: np.ndarray, sequence: int) -> Frame:
    return Frame(image, sequence, captured_at=time_s, time_s=time_s, time=time_s)


def seen_by_camera(sequence: int, *, mirrored: bool = False) -> Frame:
    """A frame in whose camera a network has seen nobody."""
    heads = tuple(np.full((2, 3, channels), -10, np.float32) for channels in (17, 34, 64))
    inference = CameraInference(heads, 16, Letterbox(SIZE, SIZE), mirrored, took_s=0.015)
    return replace(still(sequence, np.full((17, 33, 3), 100, np.uint8), sequence), inference=inference)


class TimedCamera(FakeCamera):
    """Gives these frames, then none."""

    def __init__(
        self, frames: Iterable[Frame], *, live: bool, taken: threading.Semaphore | None = None
    ) -> None:
        super().__init__([], live=live)
        self._steps = itertools.chain(frames, itertools.repeat(None))
        self._taken = taken

    def read(self, wait_s: float) -> Frame | None:
        """Waits with each until the one before is taken."""
        if self._taken is not None and not self._taken.acquire(timeout=wait_s):
            return None
        return super().read(wait_s)


def opener(things: list) -> Callable[[], object]:
    """Opens one after the other, the last one again and again; an exception is raised instead."""
    rest = iter(things[:-1])

    def open_next() -> object:
        thing = next(rest, things[-1])
        if isinstance(thing, Exception):
            raise thing
        return thing

    return open_next


def work(pipeline: Pipeline) -> list[int]:
    """What the main loop does; gives the sequence numbers of what came until a recording's end."""
    numbers = []
    try:
        while True:
            inferred = pipeline.next(0.05)
            if inferred is not None:
                numbers.append(inferred.frame.sequence)
    except CameraEnded:
        return numbers
