"""Builds the pipeline that a configuration asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from posed import camera, engine
from posed.camera.base import Camera
from posed.config import Config
from posed.engine.base import Engine
from posed.engine.in_camera import InCameraEngine
from posed.networks.pair import Pair
from posed.pipeline.feed import CameraSetup
from posed.pipeline.followed_region import NextRegion, look_at_all
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.pipeline import Pipeline

IDLE_FPS: Final = 5.0
"""Of several cameras, each has so many frames a second processed while nobody is there. Whoever comes in is
seen in the next frame, by what has changed; what this rate is for is who moves too little for that. An empty
room so takes half of the chip's time that a room with people takes at 10 frames a second."""


def idle_fps(config: Config) -> float:
    """How many frames of an empty scene are processed a second; 0: all of them."""
    given = config.engine.idle_fps
    return given if given is not None else IDLE_FPS if len(config.cameras) > 1 else 0.0


def setup_of(
    config: Config, name: str, size: tuple[int, int], open_camera: Callable[[str], Camera] | None = None
) -> CameraSetup:
    """How a camera is opened and read.

    Args:
        config: has the camera.
        name: of the camera.
        size: (width, height) of the model's input, px.
        open_camera: another way to a camera of this name than the configured one.
    """
    settings = config.cameras[name]
    opens = partial(open_camera, name) if open_camera else partial(camera.open_camera, settings, size, name)
    return CameraSetup(opens, settings.timeout_s, IdleGate(idle_fps(config)))


def pipeline_of(
    config: Config,
    size: tuple[int, int],
    open_engine: Callable[[], Engine],
    open_camera: Callable[[str], Camera] | None = None,
    *,
    next_region: NextRegion = look_at_all,
) -> Pipeline:
    """A pipeline that is not started yet.

    Args:
        config: names cameras and engine.
        size: (width, height) of the model's input, px.
        open_engine: the way to the engine.
        open_camera: another way to a camera, by its name, than the configured one.
        next_region: where the network looks in the next frame of a camera.
    """
    return Pipeline(
        {name: setup_of(config, name, size, open_camera) for name in config.cameras},
        open_engine,
        size,
        next_region=next_region,
    )


def opener_of(config: Config, pair: Pair | None, why_none: str = "") -> Callable[[], Engine]:
    """The way to the engine of a configuration.

    Args:
        config: says which, and whether every camera has a network of its own.
        pair: the model; None where there is none for rotated crops.
        why_none: why not.
    """

    def open_engine() -> Engine:
        assert pair is not None
        return engine.open_engine(config.engine, pair.cpu, pair.edgetpu)

    if not config.infers_in_cameras:
        return open_engine
    return lambda: InCameraEngine(None if pair is None else open_engine, why_none)
