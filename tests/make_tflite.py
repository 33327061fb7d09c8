"""Makes tiny .tflite files shaped like PoseNet, so that tests need no downloaded model.

Each head is one 1×1 convolution whose stride is the output stride, so the cell (i, j) sees exactly the pixel
(i × stride, j × stride): value = bias of the channel + weight × red, red from -1 to 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import flatbuffers
import numpy as np
import pytest
from flatbuffers import flexbuffers
from numpy.typing import NDArray

from posed.pose import EDGES, KEYPOINTS

if os.environ.get("CI") == "true":  # where all these tests would go missing without a word
    from ai_edge_litert import schema_py_generated as schema
else:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="needs ai-edge-litert's schema")

QUANTISED = {"uint8": (3, 128), "int8": (9, 0)}
"""Schema's number of the type, and the step in its middle."""

INPUT_SCALE = 1 / 128
HEAD_SCALE = 1 / 8


@dataclass(frozen=True)
class HeadSpec:
    """One head.

    Args:
        name: of the tensor.
        biases: real value of each channel where red is 0; multiples of `scale`.
        weight: what full red adds and none takes away.
        scale: of the quantised tensor.
        stride: of its convolution, px; other than the grid that the file says where it is not None.
    """

    name: str
    biases: tuple[float, ...]
    weight: float = 0.0
    scale: float = HEAD_SCALE
    stride: int | None = None


def ramp(start: int, channels: int) -> tuple[float, ...]:
    """A different value for each channel, so that mixed-up ones show."""
    return tuple((start + channel) / 4 for channel in range(channels))


HEATMAPS = HeadSpec("heatmap", tuple(-2 + channel / 8 for channel in range(17)), weight=6)
SHORT_OFFSETS = HeadSpec("short_offsets", ramp(-17, 34))
MID_OFFSETS = HeadSpec("mid_offsets", ramp(-32, 64))
FORWARD = HeadSpec("displacement_fwd", ramp(-32, 32))
BACKWARD = HeadSpec("displacement_bwd", ramp(0, 32))
"""FORWARD then BACKWARD have the values of MID_OFFSETS."""

CORAL = (HEATMAPS, SHORT_OFFSETS, MID_OFFSETS)
SEPARATE = (HEATMAPS, SHORT_OFFSETS, FORWARD, BACKWARD)


_DOWN_PX = {("nose", "shoulder"): 16.0, ("shoulder", "hip"): 16.0, ("knee", "ankle"): 16.0}


def _down(edge: tuple[int, int]) -> float:
    """How far the end of an edge is below its beginning, px, in somebody upright."""
    start, end = (KEYPOINTS[index].rpartition("_")[2] for index in edge)
    return _DOWN_PX.get((start, end), 0.0)


_WAYS = tuple(map(_down, EDGES))
UPRIGHT = (
    HeadSpec("heatmap", tuple(-channel / 8 for channel in range(17)), weight=6),
    HeadSpec("short_offsets", (0.0,) * 34),
    HeadSpec("mid_offsets", (*_WAYS, *(0.0,) * 16, *(-way for way in _WAYS), *(0.0,) * 16)),
)
"""Heads in which whoever is found stands, from the nose at the top of the picture down."""


def make_tflite(
    heads: Sequence[HeadSpec] = CORAL,
    *,
    size: tuple[int, int] = (65, 49),
    stride: int = 16,
    padded: bool = False,
    dtype: str = "uint8",
    sigmoid: bool = False,
    decoder: Mapping[str, float] | None = None,
    edgetpu: bool = False,
    subgraphs: int = 1,
) -> bytes:
    """A .tflite.

    Args:
        heads: the outputs, in the order of the file.
        size: (width, height) of the input, px.
        stride: output stride, px.
        padded: whether the model pads its input by a pixel at the bottom and on the right, as BodyPix does.
        dtype: uint8, int8 or float32, of the input and all heads.
        sigmoid: whether a LOGISTIC follows the heatmaps (the head with 17 channels), compiled where they are.
        decoder: options of a PosenetDecoderOp at the end; None for none.
        edgetpu: whether one edgetpu-custom-op stands for all the convolutions.
        subgraphs: how many; all alike.
    """
    maker = Maker(dtype)
    width, height = size
    grid = (math.ceil((height + padded) / stride), math.ceil((width + padded) / stride))
    image = maker.activation("image", (1, height, width, 3), INPUT_SCALE)
    if edgetpu:
        outputs = [
            maker.scores(head.name, (1, *grid, 17))
            if sigmoid and len(head.biases) == 17
            else maker.activation(head.name, (1, *grid, len(head.biases)), head.scale)
            for head in heads
        ]
        maker.custom("edgetpu-custom-op", [image], outputs, b"compiled for nothing")
    else:
        seen = maker.padded(image) if padded else image
        outputs = [maker.convolution(seen, head, grid, head.stride or stride) for head in heads]
    if sigmoid and not edgetpu:
        outputs = [maker.logistic(output) if output.shape[3] == 17 else output for output in outputs]
    if decoder is not None:
        outputs = maker.decoder(outputs, decoder)
    return maker.finish([image], outputs, subgraphs)


@dataclass(frozen=True)
class Made:
    index: int
    name: str
    shape: tuple[int, ...]


class Maker:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.buffers = [schema.BufferT()]
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[Any] = []

    def activation(
        self, name: str, shape: tuple[int, ...], scale: float, zero_point: int | None = None
    ) -> Made:
        if self.dtype == "float32":
            return self.tensor(name, shape, 0)
        kind, middle = QUANTISED[self.dtype]
        return self.tensor(name, shape, kind, (scale, middle if zero_point is None else zero_point))

    def convolution(self, image: Made, head: HeadSpec, grid: tuple[int, int], stride: int) -> Made:
        channels = len(head.biases)
        weights = np.zeros((channels, 1, 1, 3), np.float32)
        weights[..., 0] = head.weight
        biases = np.array(head.biases, np.float32)
        output = self.activation(head.name, (1, *grid, channels), head.scale)
        if self.dtype == "float32":
            filters = self.constant("weights", weights, 0)
            offsets = self.constant("biases", biases, 0)
        else:
            kind, middle = QUANTISED[self.dtype]
            step = max(abs(head.weight), 1.0) / 127
            steps = (np.round(weights / step) + middle).astype(self.dtype)
            filters = self.constant("weights", steps, kind, (step, middle))
            bias_step = step * INPUT_SCALE
            bias_steps = np.round(biases / bias_step).astype(np.int32)
            offsets = self.constant("biases", bias_steps, 2, (bias_step, 0))
        options = schema.Conv2DOptionsT()
        options.strideH = options.strideW = stride
        self.operator(3, [image, filters, offsets], [output], 1, options)
        return output

    def padded(self, image: Made) -> Made:
        """A row more at the bottom, and a column more on the right."""
        batch, height, width, channels = image.shape
        output = self.activation("pad_input", (batch, height + 1, width + 1, channels), INPUT_SCALE)
        pixels = self.constant("paddings", np.array([[0, 0], [0, 1], [0, 1], [0, 0]], np.int32), 2)
        self.operator(34, [image, pixels], [output])
        return output

    def scores(self, name: str, shape: tuple[int, ...]) -> Made:
        # The scale and zero point that TFLite demands of a quantised LOGISTIC.
        return self.activation(name, shape, 1 / 256, 0 if self.dtype == "uint8" else -128)

    def logistic(self, tensor: Made) -> Made:
        output = self.scores(f"{tensor.name}_scores", tensor.shape)
        self.operator(14, [tensor], [output])
        return output

    def decoder(self, heads: Sequence[Made], options: Mapping[str, float]) -> list[Made]:
        shapes = {"poses": (1, 20, 17, 2), "scores": (1, 20, 17), "pose_scores": (1, 20), "count": (1,)}
        outputs = [self.tensor(name, shape, 0) for name, shape in shapes.items()]
        flexbuffer = flexbuffers.Builder()
        with flexbuffer.Map():
            for key, value in options.items():
                flexbuffer.Key(key)
                flexbuffer.Add(value)
        self.custom("PosenetDecoderOp", heads, outputs, bytes(flexbuffer.Finish()))
        return outputs

    def custom(self, code: str, inputs: Sequence[Made], outputs: Sequence[Made], options: bytes) -> None:
        self.operator(32, inputs, outputs)
        self.codes[-1].customCode = code
        self.operators[-1].customOptions = list(options)

    def finish(self, inputs: Sequence[Made], outputs: Sequence[Made], subgraphs: int) -> bytes:
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs = [tensor.index for tensor in inputs]
        graph.outputs = [tensor.index for tensor in outputs]
        model = schema.ModelT()
        model.version = 3
        model.operatorCodes, model.buffers = self.codes, self.buffers
        model.subgraphs = [graph] * subgraphs
        builder = flatbuffers.Builder(4096)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def constant(
        self, name: str, values: NDArray[Any], kind: int, quantisation: tuple[float, int] | None = None
    ) -> Made:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.buffers.append(buffer)
        made = self.tensor(name, values.shape, kind, quantisation)
        self.tensors[-1].buffer = len(self.buffers) - 1
        return made

    def tensor(
        self, name: str, shape: tuple[int, ...], kind: int, quantisation: tuple[float, int] | None = None
    ) -> Made:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(shape), kind
        if quantisation is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [quantisation[0]], [quantisation[1]]
        self.tensors.append(tensor)
        return Made(len(self.tensors) - 1, name, shape)

    def operator(
        self,
        code: int,
        inputs: Sequence[Made],
        outputs: Sequence[Made],
        options_kind: int = 0,
        options: Any = None,
    ) -> None:
        operator_code = schema.OperatorCodeT()
        operator_code.builtinCode = operator_code.deprecatedBuiltinCode = code
        operator_code.version = 1
        self.codes.append(operator_code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.codes) - 1
        operator.inputs = [tensor.index for tensor in inputs]
        operator.outputs = [tensor.index for tensor in outputs]
        operator.builtinOptionsType, operator.builtinOptions = options_kind, options
        self.operators.append(operator)


def renamed(head: HeadSpec, name: str) -> HeadSpec:
    """The same head under another name."""
    return replace(head, name=name)
