"""The engine that stands for networks in cameras."""

from __future__ import annotations

import numpy as np
import pytest

from posed.engine.in_camera import InCameraEngine
from posed.errors import EngineError
from tests.pipelines import FakeEngine

IMAGE = np.zeros((17, 33, 3), np.uint8)


def test_it_says_what_infers_rotated_crops() -> None:
    engine = InCameraEngine(FakeEngine())
    assert (engine.kind, engine.device) == ("imx500", "in the camera")
    assert engine.why == "the network runs in the camera; rotated crops: cpu, fake (asked for)"


def test_it_has_another_engine_infer_and_closes_it() -> None:
    crops = FakeEngine()
    with InCameraEngine(crops) as engine:
        assert len(engine.infer(IMAGE)) == 3
    assert (crops.inputs, crops.closed) == (1, True)


def test_without_another_it_says_why_and_infers_nothing() -> None:
    with InCameraEngine(None, "no model") as engine:
        assert engine.why == "the network runs in the camera; rotated crops: left out, no model"
        engine.invoke()
        with pytest.raises(EngineError, match="must have a model for rotated crops, got none"):
            engine.infer(IMAGE)
