"""The engine that stands for networks in cameras."""

from __future__ import annotations

import numpy as np
import pytest

from posed.engine.in_camera import AGAIN_S, CropsLeftOut, InCameraEngine
from posed.errors import EngineError, EngineLost
from tests.pipelines import FakeEngine

IMAGE = np.zeros((17, 33, 3), np.uint8)


def test_it_says_what_infers_rotated_crops() -> None:
    engine = InCameraEngine(FakeEngine)
    assert (engine.kind, engine.device) == ("imx500", "in the camera")
    assert engine.why == "the network runs in the camera; rotated crops: cpu, fake (asked for)"


def test_it_has_another_engine_infer_and_closes_it() -> None:
    crops = FakeEngine()
    with InCameraEngine(lambda: crops) as engine:
        assert len(engine.infer(IMAGE)) == 3
    assert (crops.inputs, crops.closed) == (1, True)


def test_without_another_it_says_why_and_infers_nothing() -> None:
    with InCameraEngine(None, "no model") as engine:
        assert engine.why == "the network runs in the camera; rotated crops: left out, no model"
        engine.invoke()
        with pytest.raises(CropsLeftOut, match="no model"):
            engine.infer(IMAGE)


class Device:
    """An engine that is opened, or not; counts how often that was tried."""

    def __init__(self, error: EngineError | None) -> None:
        self.error = error
        self.tries = 0

    def open(self) -> FakeEngine:
        self.tries += 1
        if self.error is not None:
            raise self.error
        return FakeEngine()


def left_out(engine: InCameraEngine) -> str:
    with pytest.raises(CropsLeftOut):
        engine.infer(IMAGE)
    return engine.why.rpartition("rotated crops: ")[2]


def test_an_engine_that_never_works_leaves_crops_out(caplog: pytest.LogCaptureFixture) -> None:
    device, now_s = Device(EngineError("no libedgetpu")), [0.0]
    with InCameraEngine(device.open, clock=lambda: now_s[0]) as engine:
        now_s[0] = 100
        assert left_out(engine) == "left out, no libedgetpu"
    assert device.tries == 1
    assert caplog.messages == ["rotated crops are left out: no libedgetpu"]


def test_an_engine_that_is_away_is_looked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    device, now_s = Device(EngineLost("no Edge TPU answered")), [0.0]
    with InCameraEngine(device.open, clock=lambda: now_s[0]) as engine:
        for _ in range(3):
            assert left_out(engine) == "left out, no Edge TPU answered"
        now_s[0] = AGAIN_S
        assert left_out(engine) == "left out, no Edge TPU answered"
        assert (device.tries, len(caplog.messages)) == (2, 1)
        device.error, now_s[0] = None, 2 * AGAIN_S
        assert len(engine.infer(IMAGE)) == 3
        assert engine.why.endswith("rotated crops: cpu, fake (asked for)")


def test_an_engine_that_fails_leaves_crops_out_for_a_while() -> None:
    crops, now_s = FakeEngine(fail_at=1), [0.0]
    with InCameraEngine(lambda: crops, clock=lambda: now_s[0]) as engine:
        engine.infer(IMAGE)
        assert left_out(engine) == "left out, edgetpu: invoke failed"
        assert crops.closed
        now_s[0] = AGAIN_S
        assert len(engine.infer(IMAGE)) == 3
