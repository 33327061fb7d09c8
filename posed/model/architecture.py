"""The architecture of PoseNet as data: a MobileNetV1 body and four heads, at any output stride.

    network = mobilenet_v1(0.75, native_stride=16)
    for layer in network.layers(stride=8):      # conv_0, depthwise_1, pointwise_1, … heads last
        layer.stride, layer.dilation, weights[layer.weights], weights[layer.bias]

Weights are a dict, name -> float32 array. Every layer has two entries, `NAME/weights` and `NAME/bias`,
batch normalisation folded in: `conv_0`, then `depthwise_1`, `pointwise_1` … `depthwise_13`, `pointwise_13`,
then the heads `heatmap`, `offset`, `displacement_fwd`, `displacement_bwd`, all fed by the last pointwise
layer. ReLU6 follows every layer but the heads. Every layer is padded as TensorFlow's SAME does, which for the
sizes that `check_size` accepts is dilation x (kernel - 1) / 2 px on each side. The input is RGB / 127.5 - 1;
heatmaps are logits; offsets are px of the model input. One set of weights serves every stride that
`check_stride` accepts. This module needs numpy alone; a .tflite is made of weights by

    posed.model.export.export(weights, network, stride=16, size=(width, height), quantize="uint8",
                              calibration=[RGB uint8 (height, width, 3), …], out=Path("out.tflite"))

Source: MobileNets, arXiv:1704.04861, table 1; PersonLab, arXiv:1803.08225, for heads and atrous strides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.errors import ModelError

STRIDES: Final = (8, 16, 32)
"""PoseNet is trained for these output strides, px."""

HEATMAP_CHANNELS: Final = 17
SHORT_OFFSET_CHANNELS: Final = 34
DISPLACEMENT_CHANNELS: Final = 32
MID_OFFSET_CHANNELS: Final = 2 * DISPLACEMENT_CHANNELS

Weights = Mapping[str, NDArray[np.float32]]
"""The weights of a network have `NAME/weights` and `NAME/bias` for every layer."""

HEADS: Final = {
    "heatmap": HEATMAP_CHANNELS,
    "offset": SHORT_OFFSET_CHANNELS,
    "displacement_fwd": DISPLACEMENT_CHANNELS,
    "displacement_bwd": DISPLACEMENT_CHANNELS,
}
"""Each head has this many channels; offsets are as in `posed.networks.posenet.heads.Heads`."""

_CHANNELS: Final = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_STRIDES: Final = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""The first convolution and the 13 separable ones behind it have these channels and strides, at multiplier
1.0."""

_CHANNEL_STEP: Final = 8

SIDE_LIMIT_PX: Final = 4097
"""A side of an input may have at most this many px: far more than any PoseNet has, and still no more memory
than a machine has."""

_INPUT_CHANNELS: Final = 3


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution with its bias.

    Args:
        name: prefix of its weights.
        depthwise: each channel by itself; weights are then (kernel, kernel, channels, 1).
        kernel: side, px.
        inputs: channels that come in.
        outputs: channels that go out.
        stride: the layer's own stride, px of its input.
        dilation: distance between the kernel's taps, px of its input.
        relu6: whether ReLU6 follows.
    """

    name: str
    depthwise: bool
    kernel: int
    inputs: int
    outputs: int
    stride: int = 1
    dilation: int = 1
    relu6: bool = True

    @property
    def weights(self) -> str:
        """Key of the kernel in a dict of weights."""
        return f"{self.name}/weights"

    @property
    def bias(self) -> str:
        """Key of the bias in a dict of weights."""
        return f"{self.name}/bias"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The kernel's shape, as in TensorFlow: (kernel, kernel, inputs, outputs), or 1 last if depthwise."""
        return (self.kernel, self.kernel, self.inputs, 1 if self.depthwise else self.outputs)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A PoseNet without its weights.

    Args:
        name: what messages and the file call it: `mobilenet_v1_075`.
        channels: how many leave conv_0, then each of the separable layers.
        strides: those of conv_0 and each separable layer's depthwise half, at the native output stride.
    """

    name: str
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def native_stride(self) -> int:
        """The coarsest output stride; the one it has without dilation, px of the model input."""
        return int(np.prod(self.strides))

    def layers(self, stride: int) -> tuple[Layer, ...]:
        """Every layer at an output stride, in order, the four heads last.

        Once the wanted output stride is reached, later strides become 1 and the depthwise layers after them
        are dilated instead, so that each kernel sees the same pixels of the picture as natively.

        Raises:
            ModelError: the network cannot have that stride.
        """
        self.check_stride(stride)
        return (*self._body(stride), *self._heads())

    def check_stride(self, stride: int) -> None:
        """Refuse an output stride that this network cannot have.

        Raises:
            ModelError: as said.
        """
        if stride not in STRIDES:
            raise ModelError(f"stride: must be one of {', '.join(map(str, STRIDES))}, got {stride}")
        if stride > self.native_stride:
            raise ModelError(
                f"stride: must be at most {self.native_stride} for {self.name}, got {stride}; "
                f"its layers shrink the picture {self.native_stride} times, and were trained to do that"
            )

    def check_weights(self, weights: Weights) -> None:
        """Refuse weights that are not those of this network.

        Raises:
            ModelError: a layer is missing, or has another shape or type, or values that are no numbers.
        """
        for layer in self.layers(min(STRIDES)):
            for key, shape in ((layer.weights, layer.shape), (layer.bias, (layer.outputs,))):
                if key not in weights:
                    raise ModelError(f"weights: must have layer {key} of {self.name}, got none")
                got = weights[key]
                if got.shape != shape or got.dtype != np.float32:
                    raise ModelError(f"weights: {key} must be {shape} float32, got {got.shape} {got.dtype}")
                if not np.isfinite(got).all():
                    raise ModelError(f"weights: {key} must be finite, got NaN or infinity")

    def dilated(self, stride: int) -> tuple[str, ...]:
        """Names of the layers that are dilated at an output stride: those the Edge TPU leaves to the CPU."""
        return tuple(layer.name for layer in self.layers(stride) if layer.dilation > 1)

    def _body(self, stride: int) -> Iterator[Layer]:
        inputs, reached, dilation = _INPUT_CHANNELS, 1, 1
        for index, (outputs, native) in enumerate(zip(self.channels, self.strides, strict=True)):
            here = native if reached < stride else 1
            if index == 0:
                yield Layer("conv_0", False, 3, inputs, outputs, here)
            else:
                yield Layer(f"depthwise_{index}", True, 3, inputs, inputs, here, dilation)
                yield Layer(f"pointwise_{index}", False, 1, inputs, outputs)
            reached *= here
            dilation *= native // here
            inputs = outputs

    def _heads(self) -> Iterator[Layer]:
        for name, outputs in HEADS.items():
            yield Layer(name, False, 1, self.channels[-1], outputs, relu6=False)


def mobilenet_v1(multiplier: float, native_stride: int = 32) -> Architecture:
    """A PoseNet on MobileNetV1.

    Args:
        multiplier: of every layer's channels, which are rounded to a multiple of 8 (exact for 0.50, 0.75, 1).
        native_stride: 32, or 16 for a body whose last two layers neither stride nor widen, as Google's 0.75.

    Raises:
        ModelError: there is no such body.
    """
    if native_stride not in (16, 32):
        raise ModelError(f"native stride: must be 16 or 32, got {native_stride}")
    if not 0 < multiplier <= 2:
        raise ModelError(f"multiplier: must be above 0 and at most 2, got {multiplier}")
    widths, strides = _CHANNELS, _STRIDES
    if native_stride == 16:
        widths, strides = (*widths[:12], widths[11], widths[11]), (*strides[:12], 1, 1)
    channels = tuple(
        max(_CHANNEL_STEP, round(width * multiplier / _CHANNEL_STEP) * _CHANNEL_STEP) for width in widths
    )
    return Architecture(f"mobilenet_v1_{round(multiplier * 100):03d}", channels, strides)


def grid_of(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """(height, width) in cells of the heads for an input of `size` (width, height) px."""
    width, height = size
    return (height - 1) // stride + 1, (width - 1) // stride + 1


def check_size(size: tuple[int, int], stride: int) -> None:
    """Refuse an input size whose last pixels no cell would stand on, or that no machine could hold.

    Args:
        size: (width, height), px.
        stride: output stride, px.

    Raises:
        ModelError: a side is too long, or minus 1 no multiple of the stride; names the nearest that are.
    """
    if max(size) > SIDE_LIMIT_PX:
        raise ModelError(f"size: sides must be at most {SIDE_LIMIT_PX}, got {size[0]}x{size[1]}")
    if all(side > stride and (side - 1) % stride == 0 for side in size):
        return
    lower = tuple(max(1, (side - 1) // stride) * stride + 1 for side in size)
    upper = tuple(low if low >= side else low + stride for low, side in zip(lower, size, strict=True))
    near = " or ".join(dict.fromkeys(f"{width}x{height}" for width, height in (lower, upper)))
    raise ModelError(
        f"size: width - 1 and height - 1 must be multiples of the stride {stride}, "
        f"got {size[0]}x{size[1]}; nearest: {near}"
    )
