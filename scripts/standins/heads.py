"""Heads made by hand, of people whose keypoints are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posed.model.outputs import OutputTensor
from posed.networks import Network
from posed.networks.posenet.heads import Heads
from posed.pose import EDGES, KEYPOINT_COUNT

PEAK = 6.0
NOBODY = -8.0


def radius_px(stride: int) -> float:
    """How far around a keypoint its offsets are written: over every cell that a bilinear sample may read."""
    return max(32.0, 2.0 * stride)


def heads_of(people: Sequence[NDArray[np.float64]], size: tuple[int, int], stride: int) -> Heads:
    """Float heads with logits that fall off around each keypoint and exact offsets in a disc around it.

    Args:
        people: per person (17, 2), y first, px of the model input.
        size: (width, height) of the model input, px.
        stride: output stride, px.
    """
    width, height = size
    rows, columns = math.ceil(height / stride), math.ceil(width / stride)
    cells = np.moveaxis(np.indices((rows, columns), np.float64), 0, -1) * stride
    logits = np.full((rows, columns, KEYPOINT_COUNT), NOBODY)
    short = np.zeros((rows, columns, 2, KEYPOINT_COUNT))
    mid = np.zeros((rows, columns, 2, 2, len(EDGES)))  # forwards or backwards, y or x, edge
    if people:
        points = np.array(people)
        for keypoint in range(KEYPOINT_COUNT):
            nearest, distance = _nearest(cells, points[:, keypoint])
            inside = distance <= radius_px(stride)
            fall = PEAK - (PEAK - NOBODY) * (distance / radius_px(stride)) ** 2
            logits[..., keypoint] = np.maximum(fall, NOBODY)
            short[inside, :, keypoint] = (points[nearest, keypoint] - cells)[inside]
            for edge, pair in enumerate(EDGES):
                for direction, (source, target) in enumerate((pair, pair[::-1])):
                    if source == keypoint:
                        mid[inside, direction, :, edge] = (points[nearest, target] - cells)[inside]
    return Heads(
        OutputTensor(logits.astype(np.float32)),
        OutputTensor(short.reshape(rows, columns, -1).astype(np.float32)),
        OutputTensor(mid.reshape(rows, columns, -1).astype(np.float32)),
        stride,
    )


def _nearest(
    cells: NDArray[np.float64], points: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each cell the person whose keypoint is nearest, and how far away it is, px."""
    distances = np.linalg.norm(cells[:, :, np.newaxis] - points, axis=-1)
    return distances.argmin(axis=-1), distances.min(axis=-1)


def in_steps(heads: Heads, network: Network) -> Heads:
    """Float heads as a quantised model gives them, in its own steps."""
    steps = [
        OutputTensor(np.clip(np.rint(head.data / tensor.scale) + tensor.zero_point, 0, 255).astype(np.uint8))
        for head, tensor in zip(
            (heads.heatmaps, heads.short_offsets, heads.mid_offsets), network.model.outputs, strict=True
        )
    ]
    return Heads(*steps, stride=network.stride)


def person(centre_yx: tuple[float, float], height_px: float) -> NDArray[np.float64]:
    """Somebody who stands upright and faces the camera; (17, 2), y first, px."""
    shape = np.array(
        [
            (-0.46, 0.00), (-0.49, 0.03), (-0.49, -0.03), (-0.47, 0.07), (-0.47, -0.07), (-0.30, 0.13),
            (-0.30, -0.13), (-0.12, 0.18), (-0.12, -0.18), (0.04, 0.21), (0.04, -0.21), (0.03, 0.09),
            (0.03, -0.09), (0.26, 0.10), (0.26, -0.10), (0.48, 0.11), (0.48, -0.11),
        ]
    )  # fmt: skip
    return np.asarray(np.array(centre_yx) + shape * height_px)


def scattered(size: tuple[int, int]) -> NDArray[np.float64]:
    """17 keypoints spread over the input, so far apart that no wrong way ends near the right one."""
    width, height = size
    lattice = [((row + 0.5) / 4.0, (column + 0.5) / 5.0) for row in range(4) for column in range(5)]
    order = np.random.default_rng(3).permutation(len(lattice))[:KEYPOINT_COUNT]
    return np.array([lattice[index] for index in order]) * (height, width)


def disturbed(head: OutputTensor, deviation: float, random: np.random.Generator) -> OutputTensor:
    """A float head with noise."""
    return OutputTensor((head.data + random.normal(0, deviation, head.data.shape)).astype(np.float32))


def quantised(heads: Heads, dtype: type[np.uint8] | type[np.int8]) -> Heads:
    """The same heads in 256 steps each, as a quantised model gives them."""

    def head(source: OutputTensor) -> OutputTensor:
        low, high = min(0.0, float(source.data.min())), max(0.0, float(source.data.max()))
        limits = np.iinfo(dtype)
        scale = (high - low) / 255 or 1.0
        zero_point = int(limits.min - round(low / scale))
        steps = np.rint(source.data / scale) + zero_point
        data: NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(dtype)
        return OutputTensor(data, scale, zero_point)

    return Heads(
        head(heads.heatmaps), head(heads.short_offsets), head(heads.mid_offsets), heads.stride, heads.sigmoid
    )
