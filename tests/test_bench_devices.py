"""The devices that `posed bench` measures: what it says of one that gets ready, goes or hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from posed.commands.bench.devices import Cameras, KeptEngine
from posed.commands.bench.watch import Dropped
from posed.engine.in_camera import CropsLeftOut, InCameraEngine
from posed.errors import CameraError, CameraLost, CameraPreparing, EngineError, EngineLost
from posed.frame import Image
from posed.model.outputs import Outputs

CAMERA: Any = object()
PICTURE = np.zeros((1, 1, 3), np.uint8)


def opener(*outcomes: Exception | None) -> Callable[[], Any]:
    left = iter(outcomes)

    def open_it() -> Any:
        if (outcome := next(left)) is not None:
            raise outcome
        return CAMERA

    return open_it


def test_what_a_camera_gets_ready_with_is_told_once() -> None:
    told: list[str] = []
    slow = opener(CameraPreparing("slow"), CameraPreparing("slow"), CameraPreparing("slow; 10 s"), None)
    cameras = Cameras({"hall": slow}, told.append)
    for _ in range(3):
        with pytest.raises(CameraPreparing):
            cameras.open("hall")
    assert cameras.open("hall") is CAMERA
    assert told == ["slow", "slow; 10 s"]
    cameras.check()


def test_a_camera_that_is_to_be_opened_again_ends_it() -> None:
    cameras = Cameras({"hall": opener(None)}, print)
    ended: list[str] = []
    cameras.on_failure = lambda: ended.append("now")
    cameras.why_lost = lambda name: f"{name} gave none"
    cameras.open("hall")
    with pytest.raises(CameraError) as failed:
        cameras.open("hall")
    assert not isinstance(failed.value, CameraLost), "it would be waited for"
    assert str(failed.value) == "bench: must keep camera hall while it is measured, lost it: hall gave none"
    assert ended == ["now"]
    with pytest.raises(CameraError, match="lost it: hall gave none"):
        cameras.check()


class Device:
    """An engine that does, or waits, what it is told."""

    kind, device, why = "edgetpu", "any", "alone"

    def __init__(self, fails: str = "", until: threading.Event | None = None) -> None:
        self.fails, self.until = fails, until

    def infer(self, _image: Image) -> Outputs:
        self.invoke()
        return ()

    def invoke(self) -> None:
        if self.until is not None:
            self.until.wait()
        if self.fails:
            raise EngineLost(self.fails)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """Ends with the test."""
    event = threading.Event()
    yield event
    event.set()


def test_bare_invokes_that_hang_are_an_error(hang) -> None:
    with pytest.raises(EngineError, match=r"^the engine hangs: no result within 0.2 s$"):
        KeptEngine(Device(until=hang), 0.1).bare_invokes(0.1)


def test_an_engine_for_crops_may_fail_or_hang(hang) -> None:
    for device, why in (
        (Device(fails="gone"), "gone"),
        (Device(until=hang), "the engine hangs: no result within 0.2 s"),
    ):
        kept = KeptEngine(InCameraEngine(lambda device=device: device), 0.1)
        assert kept.bare_invokes(0.1) == []
        assert kept.lost == why
        with pytest.raises(CropsLeftOut, match=why):
            kept.infer(PICTURE)


def test_an_engine_for_crops_does_not_come_back() -> None:
    now = [0.0]
    opened: list[Device] = []

    def open_crops() -> Device:
        opened.append(Device(fails="" if opened else "gone"))
        return opened[-1]

    kept = KeptEngine(InCameraEngine(open_crops, clock=lambda: now[0]), 0.1)
    for _ in range(2):
        with pytest.raises(CropsLeftOut, match="gone"):
            kept.infer(PICTURE)
        now[0] += 60
    assert (len(opened), kept.lost, kept.bare_invokes(0.1)) == (1, "gone", [])


def test_an_engine_that_is_not_left_hangs() -> None:
    kept = KeptEngine(Device(), 0.1)
    kept.wait_until_left()  # nobody opened it
    kept.open()
    with pytest.raises(EngineError, match=r"^the engine hangs: no result within 0.1 s$"):
        kept.wait_until_left()
    with kept:
        pass
    kept.wait_until_left()


def test_an_engine_that_was_lost_is_not_opened_again() -> None:
    kept = KeptEngine(Device(fails="unplugged"), 0.1)
    kept.open()
    with pytest.raises(EngineLost, match="unplugged"):
        kept.infer(PICTURE)
    with pytest.raises(EngineError, match="must keep the engine while it is measured, lost it: unplugged"):
        kept.open()


def test_what_was_dropped_before_is_not_counted() -> None:
    before, now = Dropped({"hall": 1, "bath": 400}, 3), Dropped({"hall": 1, "bath": 412}, 4)
    assert now.since(before) == Dropped({"hall": 0, "bath": 12}, 1)
