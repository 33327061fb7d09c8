"""What all MoveNets share: one output of keypoints, in fractions of the input, and what a file must have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.errors import ModelError
from posed.model.outputs import OutputTensor
from posed.model.tflite import Model, Tensor
from posed.pose import KEYPOINT_COUNT

Floats = NDArray[np.float64]

STRIDE: Final = 4
"""MoveNet's output stride, px of the input. Source: its model cards."""

PER_KEYPOINT: Final = 3
"""A keypoint has y, x and a score."""

KEYPOINT_VALUES: Final = KEYPOINT_COUNT * PER_KEYPOINT

BOX_VALUES: Final = 5
"""Behind the keypoints of a person there may be ymin, xmin, ymax, xmax and a score."""

_MOST_PEOPLE: Final = 20
"""Networks that give as many values for each of hundreds of boxes, as YOLO does, are no MoveNets."""

_OUTPUT_TYPES: Final = ("uint8", "int8", "float32")


@dataclass(frozen=True, slots=True)
class MoveNet:
    """What the networks of all MoveNets have in common.

    Args:
        model: the file.
    """

    model: Model

    @property
    def stride(self) -> int:
        """Output stride, px of the model input."""
        return STRIDE

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of what the network sees inside, cells."""
        width, height = self.model.size
        return height // STRIDE, width // STRIDE

    def _facts(self, name: str, people: str) -> list[tuple[str, str]]:
        """What the file says of its network, as pairs of a name and a few words."""
        cells_high, cells_wide = self.grid
        return [
            ("network", name),
            ("output stride", f"{self.stride} px"),
            ("padding", "none"),
            ("grid", f"{cells_high}×{cells_wide} cells"),
            ("poses", f"{people} with 17 × (y, x, score), {self.model.outputs[0].describe()}"),
        ]


def is_movenet(outputs: Sequence[Tensor]) -> bool:
    """Whether a file's only output has the keypoints of people in its last dimensions, as every MoveNet's."""
    if len(outputs) != 1:
        return False
    shape = outputs[0].shape
    return shape[-2:] == (KEYPOINT_COUNT, PER_KEYPOINT) or (
        len(shape) == 3
        and shape[1] <= _MOST_PEOPLE
        and shape[2] in (KEYPOINT_VALUES, KEYPOINT_VALUES + BOX_VALUES)
    )


def check_tensors(model: Model) -> None:
    """Refuse a MoveNet whose input or output nobody could fill or read.

    Raises:
        ModelError: as said; the message does not name the file.
    """
    [output] = model.outputs
    if model.input.dtype != "uint8":
        raise ModelError(f"input: must be uint8 for a MoveNet, got {model.input.dtype}")
    if output.dtype not in _OUTPUT_TYPES:
        raise ModelError(f"output: must be uint8, int8 or float32, got {output.dtype}")
    if output.dtype != "float32" and output.scale <= 0:
        raise ModelError(f"output: {output.dtype} needs a scale, got none in {output.name[:60]!r}")


def keypoints_of(values: NDArray[np.float32], size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Points and scores of some people, whatever the network gave; what is no number counts as not seen.

    Args:
        values: (people, 17, 3): y and x as fractions of the input, and the score.
        size: (width, height) of the input, px.

    Returns:
        Points (people, 17, 2), y first, px of the input and within it; scores (people, 17), 0-1. A fraction
        counts pixels from the centre of the first: so a picture and its mirror image give the same points.
    """
    width, height = size
    values = values.astype(np.float64)
    seen = np.isfinite(values).all(axis=-1, keepdims=True)
    values = np.where(seen, values, 0.0)
    points = np.clip(values[..., :2] * (height, width), 0.0, (height - 1, width - 1))
    return points, np.clip(values[..., 2], 0.0, 1.0)


def read_people(output: OutputTensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The real values of an output in another shape."""
    return output.values().reshape(shape)
