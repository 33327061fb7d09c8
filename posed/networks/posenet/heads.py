"""PoseNet's heads, and how they are found among the output tensors of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posed.model.outputs import Outputs, OutputTensor


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

    heatmaps: OutputTensor
    short_offsets: OutputTensor
    mid_offsets: OutputTensor
    stride: int
    sigmoid: bool = False


def heads_of(outputs: Outputs, stride: int, *, sigmoid: bool) -> Heads:
    """The heads among the output tensors of a PoseNet.

    Args:
        outputs: heatmaps, short offsets, then mid offsets as one tensor of 64 channels, or as displacements
            forwards and backwards of 32 each.
        stride: output stride, px of the model input.
        sigmoid: whether the heatmaps have been through the sigmoid already.
    """
    heatmaps, short_offsets, *mid_offsets = outputs
    return Heads(heatmaps, short_offsets, _joined(mid_offsets), stride, sigmoid)


def _joined(tensors: Sequence[OutputTensor]) -> OutputTensor:
    """Mid offsets as one tensor; two come as displacements forwards and backwards."""
    first = tensors[0]
    if len(tensors) == 1:
        return first
    if len({(tensor.data.dtype, tensor.scale, tensor.zero_point) for tensor in tensors}) == 1:
        data = np.concatenate([tensor.data for tensor in tensors], axis=-1)
        return OutputTensor(data, first.scale, first.zero_point)
    return OutputTensor(np.concatenate([tensor.values() for tensor in tensors], axis=-1))
