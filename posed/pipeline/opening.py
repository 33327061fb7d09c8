"""Builds the pipeline that a configuration asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posed import camera, engine
from posed.camera.base import Camera
from posed.config import Config
from posed.engine.base import Engine
from posed.networks.pair import Pair
from posed.pipeline.feed import CameraSetup
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.pipeline import Pipeline

CAMERA: Final = "camera"
"""What the only camera is called."""


def pipeline_of(
    config: Config,
    pair: Pair,
    open_camera: Callable[[], Camera] | None = None,
    open_engine: Callable[[], Engine] | None = None,
) -> Pipeline:
    """A pipeline that is not started yet.

    Args:
        config: names camera and engine.
        pair: the model.
        open_camera: another way to a camera than the configured one.
        open_engine: another way to an engine than the configured one.
    """
    size = pair.model.size
    setup = CameraSetup(
        open_camera or (lambda: camera.open_camera(config.camera, size)),
        config.camera.timeout_s,
        IdleGate(config.engine.idle_fps),
    )
    return Pipeline(
        {CAMERA: setup},
        open_engine or (lambda: engine.open_engine(config.engine, pair.cpu, pair.edgetpu)),
        size,
    )
