"""PoseNet computed with numpy alone, from its architecture and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posed.model.architecture import Architecture, Layer, Weights


def random_weights(network: Architecture, seed: int = 1) -> dict[str, NDArray[np.float32]]:
    """Weights that keep a signal alive through all layers."""
    random = np.random.default_rng(seed)
    weights = {}
    for layer in network.layers(8):
        inputs = layer.kernel**2 * (1 if layer.depthwise else layer.inputs)
        kernel = random.normal(0, (2 / inputs) ** 0.5, layer.shape)
        weights[layer.weights] = kernel.astype(np.float32)
        weights[layer.bias] = random.normal(0.1, 0.2, layer.outputs).astype(np.float32)
    return weights


def forward(
    network: Architecture, weights: Weights, image: NDArray[Any], stride: int
) -> Mapping[str, NDArray[np.float32]]:
    """The four heads, (grid height, grid width, channels) each.

    Args:
        image: RGB uint8, (height, width, 3).
    """
    values = image.astype(np.float32) / np.float32(127.5) - np.float32(1)
    heads = {}
    for layer in network.layers(stride):
        result = convolve(values, weights, layer)
        if layer.relu6:
            values = np.clip(result, 0, 6)
        else:
            heads[layer.name] = result
    return heads


def convolve(values: NDArray[np.float32], weights: Weights, layer: Layer) -> NDArray[np.float32]:
    """One layer without its activation; padded alike on both sides."""
    kernel = weights[layer.weights]
    border = layer.dilation * (layer.kernel // 2)
    padded = np.pad(values, ((border, border), (border, border), (0, 0)))
    height, width = ((side - 1) // layer.stride + 1 for side in values.shape[:2])
    total = np.broadcast_to(weights[layer.bias], (height, width, layer.outputs)).copy()
    for y in range(layer.kernel):
        for x in range(layer.kernel):
            top, left = y * layer.dilation, x * layer.dilation
            rows = slice(top, top + (height - 1) * layer.stride + 1, layer.stride)
            columns = slice(left, left + (width - 1) * layer.stride + 1, layer.stride)
            seen = padded[rows, columns]
            total += seen * kernel[y, x, :, 0] if layer.depthwise else seen @ kernel[y, x]
    return total
