"""A frame on its way from inference to the main loop."""

from __future__ import annotations

from dataclasses import dataclass

from posed.frame import Frame, RotatedLetterbox, View
from posed.model.outputs import Outputs
from posed.pipeline.stage_timings import StageTimings


@dataclass(frozen=True, slots=True, eq=False)
class RotatedInference:
    """What the network says of a rotated crop.

    Args:
        view: between the frame and the model's input.
        outputs: of the model.
    """

    view: RotatedLetterbox
    outputs: Outputs


@dataclass(frozen=True, slots=True, eq=False)
class Inferred:
    """What the network says of a frame.

    Args:
        frame: as the camera gave it.
        view: what the network saw of the frame, or of a part of it.
        outputs: of the network.
        stages: what it has cost: `capture`, `letterbox`, `invoke`, and `turned` if a crop was inferred.
        rotated: of the rotated crop that was inferred as well; None if there was none. Where the camera has a
            network of its own, it is one of an earlier frame.
        dark: whether the frame is too dark for its poses to be believed.
        camera: the name of the camera; empty where there is none.
    """

    frame: Frame
    view: View
    outputs: Outputs
    stages: StageTimings
    rotated: RotatedInference | None = None
    dark: bool = False
    camera: str = ""
