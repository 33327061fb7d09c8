"""What every engine is, and what it gives: the heads of PoseNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from posed.frame import Image


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One output tensor as the network gave it.

    Args:
        data: (grid height, grid width, channels), uint8, int8 or float32.
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


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """What PoseNet says of one input.

    Args:
        heatmaps: 17 channels, one per keypoint; logits, or scores 0-1 where `sigmoid` says so.
        short_offsets: 34 channels, [dy x 17, dx x 17]: from a cell to the keypoint, px of the model input.
        mid_offsets: 64 channels, [fwd dy x 16, fwd dx x 16, bwd dy x 16, bwd dx x 16]: from a keypoint to
            its neighbour along each edge of `EDGES`, forwards and backwards, px of the model input.
        stride: output stride: px of the model input from cell to cell.
        sigmoid: whether the heatmaps have been through the sigmoid already.

    Source: PersonLab, arXiv:1803.08225; channel orders as in Google's models.
    """

    heatmaps: Head
    short_offsets: Head
    mid_offsets: Head
    stride: int
    sigmoid: bool = False


class Engine(Protocol):
    """An opened model on a device; a context manager that lets go of both.

    Attributes:
        kind: `cpu` or `edgetpu`.
        device: which one: `usb:0`; the runtime's name for a CPU.
        why: one line that says why it was chosen.
    """

    kind: str
    device: str
    why: str

    def infer(self, image: Image) -> Heads:
        """Run the network.

        Args:
            image: RGB uint8, exactly the size of the model's input.

        Raises:
            EngineLost: the device failed or is gone; opening it again may help.
        """
        ...

    def invoke(self) -> None:
        """Run the network on the input that is there: what the device does of `infer`.

        Raises:
            EngineLost: as `infer`.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
