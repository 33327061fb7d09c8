"""What a network gives for one input: raw arrays, whatever they mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class OutputTensor:
    """One output tensor as the network gave it.

    Args:
        data: the array without its batch dimension, uint8, int8 or float32; a head of PoseNet is
            (grid height, grid width, channels).
        scale: real value of one step; 1 for float data.
        zero_point: the step that means 0; 0 for float data.
    """

    data: NDArray[np.uint8] | NDArray[np.int8] | NDArray[np.float32]
    scale: float = 1.0
    zero_point: int = 0

    def values(self) -> NDArray[np.float32]:
        """Real values, float32, the shape of `data`."""
        if self.data.dtype == np.float32:
            return np.asarray(self.data, np.float32)
        return (self.data.astype(np.float32) - self.zero_point) * np.float32(self.scale)


Outputs = tuple[OutputTensor, ...]
"""The output tensors of one inference, in the order of `posed.model.tflite.Model.outputs`."""
