"""What is on its way from capture to inference: a frame, or a rotated crop of one."""

from __future__ import annotations

from dataclasses import dataclass

from posed.frame import Frame, Image, Letterbox, RotatedCrop
from posed.pipeline.stage_timings import StageTimings


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A frame on its way to the engine.

    Args:
        frame: as the camera gave it.
        letterbox: between the frame and the model's input.
        input: the model's input, made of the frame.
        dark: whether the frame is too dark for its poses to be believed.
        live: whether it comes from a live camera.
        stages: what it has cost so far.
    """

    frame: Frame
    letterbox: Letterbox
    input: Image
    dark: bool
    live: bool
    stages: StageTimings


@dataclass(frozen=True, slots=True, eq=False)
class CropOnly:
    """A rotated crop on its way to the engine, of a frame whose camera has looked at the rest itself.

    Args:
        frame: as the camera gave it.
        crop: of the frame.
    """

    frame: Frame
    crop: RotatedCrop
