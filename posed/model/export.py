"""Makes a .tflite of a network and its weights, with TensorFlow's own converter.

TensorFlow is large and only this needs it, so it is imported when a model is made; it comes with the extra
`posed[export]`.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from posed.camera.images import find_images, read_image
from posed.errors import CameraError, ModelError
from posed.frame import Image, Letterbox
from posed.log import without_chatter
from posed.model.architecture import Architecture, Layer, Weights, check_size
from posed.model.edgetpu import Operator, compiler_lines, operators_of, tflite_schema
from posed.model.tfjs import read_tfjs
from posed.model.tflite import Model, read_model
from posed.paths import exists, is_file, is_folder

Precision = Literal["float32", "uint8"]

HEADS: Final = {
    "heatmaps": ("heatmap",),
    "short_offsets": ("offset",),
    "mid_offsets": ("displacement_fwd", "displacement_bwd"),
}
"""Each output, named as in `networks.posenet.heads.Heads`, has these heads of the network side by side."""

HEATMAP_LIMIT: Final = 10.0
"""Logits beyond this are clipped: scores go from 0.00005 to 0.99995, in steps of 0.08."""

SHORT_OFFSET_LIMIT_PX: Final = 48.0
SHORT_OFFSET_LIMIT_CELLS: Final = 2.0
"""Short offsets beyond the larger of the two are clipped. They are trained in discs around a keypoint, of 32
px (PersonLab) or of the nearest cells, and mean nothing beyond."""

CALIBRATION_LIMIT: Final = 200
"""At most this many pictures of a folder are used: more change nothing, and all are in memory at once."""

MID_OFFSET_LIMIT: Final = 0.5
"""Mid offsets beyond this fraction of the input's shorter side are clipped: the thigh of a person who fills
the frame takes a quarter of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """What was made.

    Args:
        network: the network that was asked for.
        stride: the output stride that was asked for, px of the input.
        model: the file, read back.
        operators: the model's operators, and what the Edge TPU does with each.
    """

    network: Architecture
    stride: int
    model: Model
    operators: tuple[Operator, ...]

    def lines(self) -> Iterator[str]:
        """What there is to say about the model, line by line."""
        (width, height), path = self.model.size, self.model.path
        yield (
            f"{path}: {self.network.name}, {height}×{width} at stride {self.stride}, "
            f"{self.model.input.dtype}, {len(self.model.content) / 1e6:.2f} MB"
        )
        yield from compiler_lines(self.operators, path)


def parsed_size(text: str) -> tuple[int, int]:
    """(width, height) of a text like `481x353`.

    Raises:
        ModelError: it is none.
    """
    match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text, re.ASCII)
    if match is None:
        raise ModelError(f"size: must be WIDTHxHEIGHT, got {text!r}")
    return int(match[1]), int(match[2])


def parsed_precision(text: str) -> Precision:
    """The precision of that name.

    Raises:
        ModelError: there is none.
    """
    for precision in get_args(Precision):
        if text == precision:
            return cast(Precision, precision)
    raise ModelError(f"quantize: must be {' or '.join(get_args(Precision))}, got {text!r}")


def export_tfjs(  # noqa: PLR0913 each is a decision of the caller's
    folder: Path,
    *,
    stride: int,
    size: tuple[int, int],
    quantize: Precision,
    calibrate: Path | None,
    out: Path,
) -> Export:
    """Make a .tflite of Google's TF.js weights.

    Args:
        folder: holds `model-stride*.json` and its shards.
        stride: output stride, px of the input: 8, 16 or 32.
        size: (width, height) of the input, px.
        quantize: type of input and heads.
        calibrate: folder of pictures like those the model will see; for uint8 only.
        out: the file to write; replaced only when all went well.

    Raises:
        ModelError: the weights, stride, size or calibration are no good, or TensorFlow is missing.
        ImageError: a picture cannot be read.
    """
    weights, network = read_tfjs(folder)
    network.check_stride(stride)
    check_size(size, stride)
    if calibrate is not None and quantize == "float32":
        raise ModelError(f"calibrate: must be left out for float32, got {calibrate}")
    calibration = () if calibrate is None else calibration_pictures(calibrate, size)
    return export(
        weights, network, stride=stride, size=size, quantize=quantize, calibration=calibration, out=out
    )


def calibration_pictures(folder: Path, size: tuple[int, int]) -> list[Image]:
    """The pictures of a folder, letterboxed; of many a sample, evenly spread.

    Args:
        folder: or a single picture, or a glob.
        size: (width, height) of the model's input, px.

    Raises:
        ModelError: there is none.
        ImageError: one cannot be read.
    """
    try:
        paths = find_images(str(folder))
    except CameraError as error:
        raise ModelError(f"calibrate {str(error).removeprefix('camera ')}") from None
    every = math.ceil(len(paths) / CALIBRATION_LIMIT)
    pictures = (read_image(path) for path in paths[::every])
    return [Letterbox((image.shape[1], image.shape[0]), size).apply(image) for image in pictures]


def export(  # noqa: PLR0913 each is a decision of the caller's
    weights: Weights,
    network: Architecture,
    *,
    stride: int,
    size: tuple[int, int],
    quantize: Precision = "float32",
    calibration: Iterable[Image] = (),
    out: Path,
) -> Export:
    """Make a .tflite: heatmaps (logits), short offsets and mid offsets at an output stride.

    A float32 model takes RGB / 127.5 - 1. A uint8 one takes RGB as it is, and is integer all through; its
    heads have fixed ranges, so that neither one outlier costs them their resolution nor calibration on small
    people clips the offsets of large ones.

    Args:
        weights: the weights of every layer, see `posed.model.architecture`.
        network: the network that the weights belong to.
        stride: output stride, px of the input: 8, 16 or 32.
        size: (width, height) of the input, px.
        quantize: type of input and heads.
        calibration: for uint8, pictures like those the model will see, RGB uint8 (height, width, 3) of
            `size`; a hundred are plenty. Not used for float32.
        out: the file to write; replaced only when all went well.

    Raises:
        ModelError: something of that is no good, or TensorFlow is missing.
    """
    network.check_weights(weights)
    network.check_stride(stride)
    check_size(size, stride)
    _check_out(out)
    pictures = _checked(calibration, size) if quantize == "uint8" else ()
    content = bytearray(_converted(weights, network.layers(stride), size, pictures))
    _finish(content, size, stride)
    _write(out, bytes(content))
    return Export(network, stride, read_model(out), operators_of(bytes(content)))


def _check_out(out: Path) -> None:
    """Refuse, before the minutes that a conversion takes, what could not be written after it."""
    try:
        if not is_folder(out.parent):
            raise ModelError(f"{out}: must be in a folder that is there")
        if exists(out) and not is_file(out):
            raise ModelError(f"{out}: must be a file, got a folder or device")
    except OSError as error:
        raise ModelError(f"{out}: cannot be accessed ({error.strerror})") from None
    if not os.access(out.parent, os.W_OK):
        raise ModelError(f"{out}: must be in a folder that can be written to")


def _checked(calibration: Iterable[Image], size: tuple[int, int]) -> tuple[Image, ...]:
    pictures = tuple(calibration)
    if not pictures:
        raise ModelError("calibrate: uint8 needs at least one picture, got none")
    wanted = (size[1], size[0], 3)
    for picture in pictures:
        if picture.shape != wanted or picture.dtype != np.uint8:
            raise ModelError(f"calibrate: must be {wanted} uint8, got {picture.shape} {picture.dtype}")
    return pictures


def _tensorflow() -> Any:
    # Its C++ code logs the CPU's features and the like; errors come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return importlib.import_module("tensorflow")
    except ImportError as error:
        raise ModelError(f"export: needs TensorFlow: pip install 'posed[export]' ({error})") from None


def _converted(
    weights: Weights, layers: Sequence[Layer], size: tuple[int, int], pictures: Sequence[Image]
) -> bytes:
    """What TensorFlow's converter makes of the network; uint8 if there are pictures."""
    tf = _tensorflow()
    if pictures:
        weights = _corrected(tf, weights, layers, pictures)
    shape = (1, size[1], size[0], 3)
    module = tf.Module()
    module.run = tf.function(
        lambda image: _graph(tf, image, weights, layers),
        input_signature=[tf.TensorSpec(shape, tf.float32, name="image")],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.run.get_concrete_function()], module)
    if pictures:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([_sample(picture)] for picture in pictures)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    with without_chatter(b"fully_quantize:"):
        content: bytes = converter.convert()
    return content


def _corrected(tf: Any, weights: Weights, layers: Sequence[Layer], pictures: Sequence[Image]) -> Weights:
    """The weights, with biases that make up for what rounding the kernels to 8 bits adds on average.

    A layer's inputs are mostly positive, after ReLU6, so rounding errors do not cancel out: without this the
    heatmaps of Google's 1.0 network are half a logit off, and people are lost.

    Source: Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction,
    arXiv:1906.04721, section 4.2, with the means of the inputs measured on pictures.
    """
    measure = tf.function(
        lambda image: [tf.reduce_mean(inputs, (0, 1, 2)) for inputs in _inputs(tf, image, weights, layers)]
    )
    by_picture = [[mean.numpy() for mean in measure(_sample(picture))] for picture in pictures]
    means = [np.mean(each, axis=0) for each in zip(*by_picture, strict=True)]
    body = len(means) - 1
    corrected = dict(weights)
    for index, layer in enumerate(layers):
        kernel = weights[layer.weights].astype(np.float64)
        # As the converter rounds: in steps of a 127th of the largest weight of each output channel.
        axes = (0, 1, 3) if layer.depthwise else (0, 1, 2)
        step = np.maximum(np.abs(kernel).max(axes, keepdims=True), np.finfo(np.float32).tiny) / 127
        error = ((np.rint(kernel / step) * step - kernel) * means[min(index, body)][:, np.newaxis]).sum(axes)
        corrected[layer.bias] = (weights[layer.bias] - error).astype(np.float32)
    return corrected


def _graph(tf: Any, image: Any, weights: Weights, layers: Sequence[Layer]) -> dict[str, Any]:
    *_, features = _inputs(tf, image, weights, layers)
    heads = {layer.name: layer for layer in layers if not layer.relu6}
    return {
        output: _head(tf, features, weights, [heads[name] for name in names])
        for output, names in HEADS.items()
    }


def _inputs(tf: Any, image: Any, weights: Weights, layers: Sequence[Layer]) -> Iterator[Any]:
    """What goes into each layer of the body, and at last into the heads."""
    values = image
    for layer in layers:
        if not layer.relu6:
            break
        yield values
        strides, kernel = [1, layer.stride, layer.stride, 1], weights[layer.weights]
        if layer.depthwise:
            values = tf.nn.depthwise_conv2d(values, kernel, strides, "SAME", dilations=[layer.dilation] * 2)
        else:
            values = tf.nn.conv2d(values, kernel, strides, "SAME")
        values = tf.nn.relu6(tf.nn.bias_add(values, weights[layer.bias]))
    yield values


def _head(tf: Any, values: Any, weights: Weights, layers: Sequence[Layer]) -> Any:
    """Heads side by side, as one convolution: no operator is needed to put them together."""
    kernel = np.concatenate([weights[layer.weights] for layer in layers], axis=-1)
    bias = np.concatenate([weights[layer.bias] for layer in layers])
    return tf.nn.bias_add(tf.nn.conv2d(values, kernel, 1, "SAME"), bias)


def _sample(picture: Image) -> NDArray[np.float32]:
    """A picture as the network sees it, with one black and one white pixel.

    Calibration then finds the input to range from -1 to 1 exactly, which makes its steps the pixels' values.
    """
    marked = picture.copy()
    marked[0, 0], marked[0, -1] = 0, 255
    return (marked[np.newaxis].astype(np.float32) / np.float32(127.5)) - np.float32(1)


def _finish(content: bytearray, size: tuple[int, int], stride: int) -> None:
    """Name input and outputs, and set the ranges of quantised heads, without moving a byte of the file.

    The converter names outputs after its own call (`StatefulPartitionedCall:1`). A quantised convolution's
    output may have any scale: the kernel derives its factors from it when the model is loaded.
    """
    schema = tflite_schema()
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    limits = {
        "heatmaps": HEATMAP_LIMIT,
        "short_offsets": max(SHORT_OFFSET_LIMIT_PX, SHORT_OFFSET_LIMIT_CELLS * stride),
        "mid_offsets": MID_OFFSET_LIMIT * min(size),
    }
    channels = {17: "heatmaps", 34: "short_offsets", 64: "mid_offsets"}
    _rename(content, graph.Tensors(graph.Inputs(0)).Name(), b"image")
    for index in graph.OutputsAsNumpy():
        output = graph.Tensors(index)
        head = channels[output.Shape(3)]
        _rename(content, output.Name(), head.encode())
        if output.Type() == schema.TensorType.UINT8:
            inner = graph.Tensors(_producer(graph, index).Inputs(0))  # int8, made uint8 by a QUANTIZE
            step = 2 * limits[head] / 255
            for tensor, zero_point in ((output, 128), (inner, 0)):
                tensor.Quantization().ScaleAsNumpy()[0] = step
                tensor.Quantization().ZeroPointAsNumpy()[0] = zero_point


def _producer(graph: Any, tensor: int) -> Any:
    operators = (graph.Operators(index) for index in range(graph.OperatorsLength()))
    return next(operator for operator in operators if tensor in operator.OutputsAsNumpy())


def _rename(content: bytearray, old: bytes, new: bytes) -> None:
    """Write a shorter name over a tensor's, which stands in the file with its length before it.

    Raises:
        ModelError: it is not shorter: TensorFlow had no room for the network in the temporary folder, and
            converted it in another way, without a word, that names outputs `Identity`.
    """
    if len(new) > len(old):
        raise ModelError(
            f"export: TensorFlow must have room in {tempfile.gettempdir()} for a copy of the network, "
            f"or another TMPDIR; it named {new.decode()} {old.decode()}"
        )
    before = struct.pack("<I", len(old)) + old + b"\0"
    after = (struct.pack("<I", len(new)) + new).ljust(len(before), b"\0")
    at = content.index(before)
    content[at : at + len(before)] = after


def _write(path: Path, content: bytes) -> None:
    """Write the whole file or nothing."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            part.chmod(0o644)
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror})") from None
