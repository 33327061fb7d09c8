"""Reads PoseNet's weights as Google publishes them: a folder with a TF.js graph model and its shards.

Of the graph only what tells one MobileNetV1 PoseNet from another is read: which layers stride. The channels
come from the weights.

Source: the TF.js weights manifest (tfjs-core, io/types and io_utils): shards are one stream of bytes, little
endian; a quantised value q means q x scale + min.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from posed.errors import ModelError, one_line
from posed.model.architecture import HEADS, Architecture
from posed.paths import read_file

_MANIFEST: Final = "model-stride*.json"
_TYPES: Final = {"float32": "<f4", "int32": "<i4", "uint8": "u1", "uint16": "<u2"}
_BODY_LAYERS: Final = 14
_LIMIT_BYTES: Final = 100_000_000
"""A file may have at most this many bytes; all weights of the largest network have 13 MB."""

_SIDE_LIMIT: Final = 4096
"""No side of an array may be longer: no MobileNet has this many channels, and damaged shapes cannot ask for
all memory."""

_NAME: Final = re.compile(
    r"(?:MobilenetV1/)+"
    rf"(?:(?P<head>{'|'.join(HEADS)})_2|Conv2d_(?P<index>\d+)(?:_(?P<half>depthwise|pointwise))?)/"
    r"(?P<what>(?:depthwise_)?weights|(?:Conv2D|depthwise)_bias)"
)
"""Names of arrays look like this: `MobilenetV1/Conv2d_3_depthwise/depthwise_weights`,
`MobilenetV1/heatmap_2/Conv2D_bias`, …"""

_DEPTHWISE: Final = re.compile(r"(?:MobilenetV1/)+Conv2d_(\d+)_depthwise/")


def read_tfjs(folder: Path) -> tuple[dict[str, NDArray[np.float32]], Architecture]:
    """Read weights and the network that they belong to.

    Args:
        folder: holds one `model-stride*.json`, of any stride, and the shards it names.

    Returns:
        The weights, named as in `posed.model.architecture`, dequantised; and the architecture, whose native
        stride is read off the graph.

    Raises:
        ModelError: a file is missing or damaged, or holds no MobileNetV1 PoseNet.
    """
    path = _manifest(folder)
    model = _parsed(path)
    try:
        weights = {name: values for name, values in _weights(model["weightsManifest"], folder) if name}
        strides = _native_strides(model["modelTopology"]["node"])
        network = _network(weights, strides)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        if isinstance(error, ModelError):
            raise ModelError(f"{path}: {one_line(error)}") from None
        what = one_line(f"{type(error).__name__}: {error}")
        raise ModelError(f"{path}: must be a TF.js graph model of a MobileNetV1 PoseNet ({what})") from None
    return weights, network


def _manifest(folder: Path) -> Path:
    try:
        found = sorted(folder.glob(_MANIFEST)) if folder.is_dir() else None
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read ({error.strerror})") from None
    if found is None:
        raise ModelError(
            f"{folder}: must be a folder with Google's {_MANIFEST} and its shards, got no folder"
        )
    if not found:
        raise ModelError(f"{folder}: must hold a {_MANIFEST}, got none")
    return found[0]  # every stride's file names the same weights


def _parsed(path: Path) -> dict[str, Any]:
    try:
        model = json.loads(read_file(path, _LIMIT_BYTES))
    except OSError as error:
        raise ModelError(f"{path}: must be readable ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: must be JSON ({error})") from None
    if not isinstance(model, dict):
        raise ModelError(f"{path}: must be a JSON object, got {type(model).__name__}")
    return model


def _weights(
    manifest: list[dict[str, Any]], folder: Path
) -> Iterator[tuple[str | None, NDArray[np.float32]]]:
    """Every array with its name here; None for the name of one that no layer of PoseNet has."""
    for group in manifest:
        if len(set(group["paths"])) < len(group["paths"]):
            raise ModelError("shards: must be named once each")
        stream = b"".join(_shard(folder, name) for name in group["paths"])
        at = 0
        for entry in group["weights"]:
            values, at = _array(entry, stream, at)
            yield _name(entry["name"]), values
        if at != len(stream):
            raise ModelError(f"shards {', '.join(group['paths'])}: must hold {at} bytes, got {len(stream)}")


def _shard(folder: Path, name: str) -> bytes:
    if Path(name).name != name:
        raise ModelError(f"shard {name!r}: must be a file's name")
    try:
        return read_file(folder / name, _LIMIT_BYTES)
    except OSError as error:
        raise ModelError(f"shard {name}: must be beside it ({error.strerror})") from None


def _array(entry: Mapping[str, Any], stream: bytes, at: int) -> tuple[NDArray[np.float32], int]:
    """One array of the stream, dequantised, and where the next begins."""
    quantisation = entry.get("quantization")
    kind = (quantisation or entry)["dtype"]
    if kind not in _TYPES:
        raise ModelError(f"{entry['name']}: must be one of {', '.join(_TYPES)}, got {kind}")
    shape = tuple(int(side) for side in entry["shape"])
    if not all(1 <= side <= _SIDE_LIMIT for side in shape):
        raise ModelError(f"{entry['name']}: sides must be 1 to {_SIDE_LIMIT}, got {shape}")
    dtype = np.dtype(_TYPES[kind])
    end = at + math.prod(shape) * dtype.itemsize
    if end > len(stream):
        raise ModelError(f"{entry['name']}: must end at byte {end} of the shards, which have {len(stream)}")
    values = np.frombuffer(stream[at:end], dtype).reshape(shape)
    if quantisation:
        scale, lowest = float(quantisation["scale"]), float(quantisation["min"])
        if not math.isfinite(scale) or not math.isfinite(lowest):
            raise ModelError(f"{entry['name']}: scale and min must be finite, got {scale} and {lowest}")
        with np.errstate(over="ignore"):  # infinity is refused with the layer's name
            values = (values * scale + lowest).astype(np.float32)
    return values.astype(np.float32), end


def _name(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    layer = match["head"] or f"{match['half'] or 'conv'}_{match['index']}"
    return f"{layer}/{'bias' if match['what'].endswith('bias') else 'weights'}"


def _native_strides(nodes: list[dict[str, Any]]) -> tuple[int, ...]:
    """The strides of the body's layers, as they were before some were traded for dilation.

    A layer natively strides where it does here, or where the dilation grows behind it.
    """
    strides, dilations = [2] + [0] * (_BODY_LAYERS - 1), [1] * (_BODY_LAYERS + 1)
    for node in nodes:
        match = _DEPTHWISE.match(node["name"])
        if node["op"] == "DepthwiseConv2dNative" and match:
            index = int(match[1])
            strides[index] = int(node["attr"]["strides"]["list"]["i"][1])
            dilations[index] = int(node["attr"]["dilations"]["list"]["i"][1])
    if 0 in strides:
        raise ModelError(f"graph: must have the layer depthwise_{strides.index(0)} of MobileNetV1, got none")
    dilations[_BODY_LAYERS] = dilations[_BODY_LAYERS - 1]
    native = tuple(
        stride * max(1, after // here)
        for stride, here, after in zip(strides, dilations, dilations[1:], strict=False)
    )
    if not set(native) <= {1, 2}:
        raise ModelError(f"graph: every layer must stride by 1 or 2, got {native}")
    return native


def _network(weights: Mapping[str, NDArray[np.float32]], strides: tuple[int, ...]) -> Architecture:
    layers = ["conv_0", *(f"pointwise_{index}" for index in range(1, _BODY_LAYERS))]
    for layer in layers:
        if f"{layer}/bias" not in weights:
            raise ModelError(f"weights: must have layer {layer}/bias of MobileNetV1, got none")
    channels = tuple(len(weights[f"{layer}/bias"]) for layer in layers)
    network = Architecture(f"mobilenet_v1_{round(channels[0] / 32 * 100):03d}", channels, strides)
    if network.native_stride not in (16, 32):
        raise ModelError(f"graph: must shrink the picture 16 or 32 times, got {network.native_stride}")
    network.check_weights(weights)
    return network
