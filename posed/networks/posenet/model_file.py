"""What of a model file is PoseNet's: its heads, its output stride, and whether heatmaps are scores.

Source: TensorFlow Lite's schema.fbs (version 3) for the numbers of operators.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from posed.errors import ModelError
from posed.model.architecture import (
    DISPLACEMENT_CHANNELS,
    HEATMAP_CHANNELS,
    MID_OFFSET_CHANNELS,
    SHORT_OFFSET_CHANNELS,
    STRIDES,
)
from posed.model.tflite import Model, Node, Tensor

_HEAD_TYPES: Final = ("uint8", "int8", "float32")
_LOGISTIC: Final = 14
_DEQUANTIZE, _QUANTIZE, _RESHAPE = 6, 114, 22


def find_heads(outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The heads among a file's outputs, by channel count and name, in whatever order they come.

    Returns:
        Heatmaps, short offsets, then mid offsets as one tensor of 64 channels, or as displacements forwards
        and backwards of 32 each.

    Raises:
        ModelError: some are missing, or cannot be told apart.
    """
    heatmaps = _the_head(outputs, HEATMAP_CHANNELS, "heatmap", unlike=("part",))
    short_offsets = _the_head(outputs, SHORT_OFFSET_CHANNELS, "short offset", unlike=("long",))
    if _with_channels(outputs, MID_OFFSET_CHANNELS):
        return heatmaps, short_offsets, _the_head(outputs, MID_OFFSET_CHANNELS, "mid offset")
    pair = _with_channels(outputs, DISPLACEMENT_CHANNELS)
    if not pair:
        raise ModelError(
            f"heads: must include mid offsets ({MID_OFFSET_CHANNELS} channels) or displacement_fwd and "
            f"displacement_bwd ({DISPLACEMENT_CHANNELS} each), got {_listed(outputs)}"
        )
    forward = [tensor for tensor in pair if _has_word(tensor, ("fwd", "forward"))]
    backward = [tensor for tensor in pair if _has_word(tensor, ("bwd", "backward"))]
    if len(forward) != 1 or len(backward) != 1 or forward == backward:
        raise ModelError(
            f"heads: the two with {DISPLACEMENT_CHANNELS} channels must have fwd and bwd in their names, "
            f"got {_listed(pair)}"
        )
    return heatmaps, short_offsets, forward[0], backward[0]


def _the_head(outputs: Sequence[Tensor], channels: int, what: str, unlike: tuple[str, ...] = ()) -> Tensor:
    found = _with_channels(outputs, channels)
    if len(found) > 1:
        found = [tensor for tensor in found if not _has_word(tensor, unlike)]
    if len(found) > 1:
        found = [tensor for tensor in found if _has_word(tensor, (what.replace(" ", "_"),))]
    if len(found) != 1:
        raise ModelError(f"heads: must include one {what} head ({channels} channels), got {_listed(outputs)}")
    return found[0]


def _with_channels(outputs: Iterable[Tensor], channels: int) -> list[Tensor]:
    return [tensor for tensor in outputs if len(tensor.shape) == 4 and tensor.shape[3] == channels]


def _has_word(tensor: Tensor, words: tuple[str, ...]) -> bool:
    return any(word in tensor.name.lower() for word in words)


def _listed(tensors: Sequence[Tensor]) -> str:
    shown = [f"{tensor.name[:60]!r} {tensor.shape}" for tensor in tensors[:8]]
    return ", ".join(shown + ["…"] * (len(tensors) > len(shown))) or "no outputs"


def stride_of(model: Model, heads: Sequence[Tensor]) -> int:
    """The output stride that fits the grid, px; one that the decoder op names decides among several.

    Models that pad their own input by a pixel, as Coral's BodyPix and ResNets do, have one cell more along a
    side that is a multiple of the stride.

    Raises:
        ModelError: none fits, or several do; or the heads are of other shapes or types than PoseNet's.
    """
    width, height = model.size
    grid = _grid(heads)
    named = (model.decoder or {}).get("stride")
    plain, padded = (_strides_of(grid, (height, width), padding) for padding in (0, 1))
    if named in plain + padded:
        return int(named)
    for fits in (plain, padded):
        if len(fits) == 1:
            return fits[0]
    raise ModelError(
        "output stride: must be one of 8, 16, 32 with cells = ceil(side / stride), or ceil((side - 1) / "
        f"stride) + 1 where the model pads its input, got an input of {height}×{width} px and a grid of "
        f"{grid[0]}×{grid[1]} cells"
    )


def is_padded(grid: tuple[int, int], size: tuple[int, int], stride: int) -> bool:
    """Whether a model pads its own input by a pixel.

    Args:
        grid: (height, width), cells.
        size: (width, height) of the input, px.
        stride: output stride, px.
    """
    return grid != tuple(math.ceil(side / stride) for side in size[::-1])


def is_bodypix(outputs: Iterable[Tensor]) -> bool:
    """Whether some outputs are masks, or the long offsets that tell whose mask is whose, as in a BodyPix."""
    return any(_has_word(tensor, ("segment", "part_", "long_")) for tensor in outputs)


def _strides_of(grid: tuple[int, ...], sides: tuple[int, int], padding: int) -> list[int]:
    """Each stride that makes this grid of the input, which the model pads by so many pixels, 0 or 1."""
    return [
        stride
        for stride in STRIDES
        if grid == tuple(math.ceil((side - padding) / stride) + padding for side in sides)
    ]


def _grid(heads: Sequence[Tensor]) -> tuple[int, ...]:
    """(height, width) of all heads, cells; their types and scales are checked, too."""
    grids = {head.shape[:3] for head in heads}
    if len(grids) != 1 or next(iter(grids))[0] != 1:
        raise ModelError(f"heads: must share one grid (1, height, width), got {_listed(heads)}")
    for head in heads:
        if head.dtype not in _HEAD_TYPES:
            raise ModelError(f"heads: must be uint8, int8 or float32, got {head.dtype} in {head.name!r}")
        if head.dtype != "float32" and head.scale <= 0:
            raise ModelError(f"heads: {head.dtype} needs a scale, got none in {head.name!r}")
    return next(iter(grids))[1:]


def is_sigmoid(nodes: Iterable[Node], heatmaps: Tensor) -> bool:
    """Whether a sigmoid made the heatmaps, or their quantisation can only hold 0 to 1."""
    index = heatmaps.index
    producers = {output: node for node in nodes for output in node.outputs}
    for _ in range(4):  # the sigmoid itself, or up to three conversions behind it
        node = producers.get(index)
        if node is None or node.builtin_code not in (_LOGISTIC, _DEQUANTIZE, _QUANTIZE, _RESHAPE):
            break
        if node.builtin_code == _LOGISTIC:
            return True
        if not node.inputs:
            break
        index = node.inputs[0]
    if heatmaps.dtype == "float32":
        return "sigmoid" in heatmaps.name.lower()
    lowest = 0 if heatmaps.dtype == "uint8" else -128
    low, high = ((q - heatmaps.zero_point) * heatmaps.scale for q in (lowest, lowest + 255))
    return low >= -heatmaps.scale and high <= 1 + heatmaps.scale
