"""What a .tflite holds: the input, PoseNet's heads, the output stride; and its decoder op, removed.

Only the few fields that posed needs are read, straight from the flatbuffer, every offset checked: a model is
input like any other.

Source: TensorFlow Lite's schema.fbs (version 3) for field numbers and enums; the FlatBuffers binary format.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flatbuffers import flexbuffers

from posed.errors import ModelError
from posed.model.architecture import (
    DISPLACEMENT_CHANNELS,
    HEATMAP_CHANNELS,
    MID_OFFSET_CHANNELS,
    SHORT_OFFSET_CHANNELS,
    STRIDES,
)
from posed.paths import read_file

DECODER_OP: Final = "PosenetDecoderOp"
EDGETPU_OP: Final = "edgetpu-custom-op"

_IDENTIFIER: Final = b"TFL3"
_TYPES: Final = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16",
    8: "complex64", 9: "int8",
}  # fmt: skip
_HEAD_TYPES: Final = ("uint8", "int8", "float32")
_LOGISTIC: Final = 14
_DEQUANTIZE, _QUANTIZE, _RESHAPE = 6, 114, 22
_DECODER_OPTIONS_LIMIT: Final = 4096
_LARGEST_SIDE_PX: Final = 8192
_LIMIT_BYTES: Final = 200_000_000


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor's description.

    Args:
        index: the tensor's number in the file, which is also the interpreter's.
        shape: the tensor's shape, as the file says.
        dtype: numpy's name of the type.
        scale: real value of one step, or 0 when it is not quantised.
        zero_point: the step that means 0.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A PoseNet, ready for an interpreter.

    Args:
        path: where it was read.
        content: the flatbuffer, without its decoder op.
        input: (1, height, width, 3).
        heatmaps: 17 channels.
        short_offsets: 34 channels.
        mid_offsets: one tensor of 64 channels, or displacement_fwd and displacement_bwd of 32 each.
        stride: output stride, px of the input.
        sigmoid: whether the heatmaps have been through the sigmoid already.
        edgetpu: whether the model is compiled for the Edge TPU.
        decoder: options of the decoder op that was removed; None where there was none.
    """

    path: Path
    content: bytes
    input: Tensor
    heatmaps: Tensor
    short_offsets: Tensor
    mid_offsets: tuple[Tensor, ...]
    stride: int
    sigmoid: bool
    edgetpu: bool
    decoder: dict[str, float] | None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the input, px."""
        return self.input.shape[2], self.input.shape[1]

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The output tensors that the network's decoder reads: heatmaps, short offsets, mid offsets."""
        return (self.heatmaps, self.short_offsets, *self.mid_offsets)

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the heads, cells."""
        return self.heatmaps.shape[1], self.heatmaps.shape[2]


def read_model(path: Path) -> Model:
    """Read a PoseNet from a file.

    Raises:
        ModelError: the file is missing, damaged, or holds no PoseNet.
    """
    try:
        content = read_file(path, _LIMIT_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: must be a readable .tflite ({error.strerror})") from None
    try:
        return parse_model(content, path)
    except _DamagedError as error:
        raise ModelError(f"{path}: must be a whole .tflite, got {len(content)} bytes ({error})") from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def parse_model(content: bytes, path: Path) -> Model:
    """Read a PoseNet from a flatbuffer.

    Raises:
        ModelError: it is damaged or no PoseNet; the message does not name the file.
    """
    file = _File(content)
    decoder_options = None
    outputs = file.outputs
    decoder = next((op for op in file.operators if op.custom_code == DECODER_OP), None)
    if decoder is not None:
        decoder_options = _decoder_options(decoder)
        outputs = decoder.inputs
        content = _without_decoder(file, decoder)
    heatmaps, short_offsets, mid_offsets = _find_heads([file.tensor(index) for index in outputs])
    image = _input(file)
    return Model(
        path=path,
        content=content,
        input=image,
        heatmaps=heatmaps,
        short_offsets=short_offsets,
        mid_offsets=mid_offsets,
        stride=_stride(image, [heatmaps, short_offsets, *mid_offsets], (decoder_options or {}).get("stride")),
        sigmoid=_is_sigmoid(file, heatmaps),
        edgetpu=any(op.custom_code == EDGETPU_OP for op in file.operators),
        decoder=decoder_options,
    )


def _input(file: _File) -> Tensor:
    if len(file.inputs) != 1:
        raise ModelError(f"input: must be one picture, got {len(file.inputs)} inputs")
    image = file.tensor(file.inputs[0])
    if len(image.shape) != 4 or image.shape[0] != 1 or image.shape[3] != 3:
        raise ModelError(f"input: must be (1, height, width, 3), got {image.shape}")
    if not all(1 <= side <= _LARGEST_SIDE_PX for side in image.shape[1:3]):
        raise ModelError(f"input: sides must be 1 to {_LARGEST_SIDE_PX} px, got {image.shape}")
    if image.dtype not in _HEAD_TYPES:
        raise ModelError(f"input: must be uint8, int8 or float32, got {image.dtype}")
    return image


def _find_heads(outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Heatmaps, short offsets and mid offsets by channel count and name, in any order."""
    heatmaps = _the_head(outputs, HEATMAP_CHANNELS, "heatmap", unlike=("part",))
    short_offsets = _the_head(outputs, SHORT_OFFSET_CHANNELS, "short offset", unlike=("long",))
    if _with_channels(outputs, MID_OFFSET_CHANNELS):
        return heatmaps, short_offsets, (_the_head(outputs, MID_OFFSET_CHANNELS, "mid offset"),)
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
    return heatmaps, short_offsets, (forward[0], backward[0])


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


def _stride(image: Tensor, heads: Sequence[Tensor], named: float | None) -> int:
    """The output stride that fits the grid, px; one that the decoder op names decides among several.

    Models that pad their own input by a pixel, as Coral's BodyPix and ResNets do, have one cell more along a
    side that is a multiple of the stride.
    """
    _, height, width, _ = image.shape
    grid = _grid(heads)
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


def _is_sigmoid(file: _File, heatmaps: Tensor) -> bool:
    """Whether a sigmoid made the heatmaps, or their quantisation can only hold 0 to 1."""
    index = heatmaps.index
    producers = {output: op for op in file.operators for output in op.outputs}
    for _ in range(4):  # the sigmoid itself, or up to three conversions behind it
        op = producers.get(index)
        if op is None or op.builtin_code not in (_LOGISTIC, _DEQUANTIZE, _QUANTIZE, _RESHAPE):
            break
        if op.builtin_code == _LOGISTIC:
            return True
        if not op.inputs:
            break
        index = op.inputs[0]
    if heatmaps.dtype == "float32":
        return "sigmoid" in heatmaps.name.lower()
    lowest = 0 if heatmaps.dtype == "uint8" else -128
    low, high = ((q - heatmaps.zero_point) * heatmaps.scale for q in (lowest, lowest + 255))
    return low >= -heatmaps.scale and high <= 1 + heatmaps.scale


def _decoder_options(op: _Operator) -> dict[str, float]:
    """The scalars of the op's flexbuffer map: what Coral baked into the file."""
    if len(op.custom_options) > _DECODER_OPTIONS_LIMIT:
        raise ModelError(f"{DECODER_OP}: options must be short, got {len(op.custom_options)} bytes")
    try:
        root = flexbuffers.GetRoot(op.custom_options)
        pairs = list(zip(root.AsMap.Keys, root.AsMap.Values, strict=True))
        return {str(key.AsKey): value.AsFloat for key, value in pairs if value.IsNumeric or value.IsBool}
    except Exception as error:  # noqa: BLE001 the library checks no bounds: damage shows as anything
        what = type(error).__name__
        raise ModelError(f"{DECODER_OP}: options must be a flexbuffer map, got {what}") from None


def _without_decoder(file: _File, decoder: _Operator) -> bytes:
    """The same flatbuffer with the last operator cut off and its inputs as outputs.

    Nothing moves: the operators vector gets one shorter, the outputs vector as short as the op's inputs.
    """
    if decoder.index != len(file.operators) - 1:
        raise ModelError(f"{DECODER_OP}: must be the last operator, got number {decoder.index}")
    if len(decoder.inputs) > len(file.outputs):
        raise ModelError(
            f"{DECODER_OP}: must have at most {len(file.outputs)} inputs, got {len(decoder.inputs)}"
        )
    patched = bytearray(file.content)
    struct.pack_into("<I", patched, file.operators_at, len(file.operators) - 1)
    struct.pack_into(
        f"<I{len(decoder.inputs)}i", patched, file.outputs_at, len(decoder.inputs), *decoder.inputs
    )
    return bytes(patched)


class _DamagedError(ModelError):
    """An offset, length or value that a whole file cannot hold."""


@dataclass(frozen=True, slots=True)
class _Operator:
    index: int
    builtin_code: int
    custom_code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    custom_options: bytes


class _File:
    """The first subgraph of a TFLite flatbuffer."""

    def __init__(self, content: bytes) -> None:
        if content[4:8] != _IDENTIFIER:
            raise _DamagedError(f"no {_IDENTIFIER.decode()} at byte 4")
        self.content = content
        # Whole files hold each vector for one purpose, or share a few; damaged ones may point at one so often
        # that reading it each time would never end.
        self._unread_bytes = 4 * len(content)
        model = self._u32(0)
        version = self._field(model, 0)
        if version is None or self._u32(version) != 3:
            raise ModelError("schema version: must be 3")
        self._codes = [self._operator_code(at) for at in self._tables(model, 1)]
        self._check_buffers(model)
        subgraphs = self._tables(model, 2)
        if len(subgraphs) != 1:
            raise ModelError(f"subgraphs: must be one, got {len(subgraphs)}")
        self._tensors = self._tables(subgraphs[0], 0)
        self.inputs = self._ints(subgraphs[0], 1)
        self.outputs = self._ints(subgraphs[0], 2)
        self.outputs_at = self._vector_at(subgraphs[0], 2) or 0
        self.operators_at = self._vector_at(subgraphs[0], 3) or 0
        self.operators = [self._operator(index, at) for index, at in enumerate(self._tables(subgraphs[0], 3))]

    def tensor(self, index: int) -> Tensor:
        """The description of one tensor."""
        if not 0 <= index < len(self._tensors):
            raise _DamagedError(f"tensor {index} of {len(self._tensors)}")
        at = self._tensors[index]
        kind = self._byte_field(at, 1)
        scale, zero_point = self._quantisation(at)
        return Tensor(
            index=index,
            name=self._text(at, 3),
            shape=self._ints(at, 0),
            dtype=_TYPES.get(kind, f"type {kind}"),
            scale=scale,
            zero_point=zero_point,
        )

    def _quantisation(self, tensor: int) -> tuple[float, int]:
        field = self._field(tensor, 4)
        if field is None:
            return 0.0, 0
        table = self._follow(field)
        scales = self._vector(table, 2, "f")
        zero_points = self._vector(table, 3, "q")
        if len(scales) != 1:  # none, or one per channel, which outputs never have
            return 0.0, 0
        if not math.isfinite(scales[0]):
            raise _DamagedError("a scale that is no number")
        return float(scales[0]), int(zero_points[0]) if zero_points else 0

    def _operator_code(self, at: int) -> tuple[int, str]:
        # Codes up to 127 stand in the old one-byte field; the larger of the two fields counts.
        new = self._field(at, 3)
        return max(self._byte_field(at, 0), self._i32(new) if new is not None else 0), self._text(at, 1)

    def _operator(self, index: int, at: int) -> _Operator:
        field = self._field(at, 0)
        code = self._u32(field) if field is not None else 0
        if code >= len(self._codes):
            raise _DamagedError(f"operator code {code} of {len(self._codes)}")
        builtin_code, custom_code = self._codes[code]
        return _Operator(
            index=index,
            builtin_code=builtin_code,
            custom_code=custom_code,
            inputs=self._ints(at, 1),
            outputs=self._ints(at, 2),
            custom_options=self._bytes(at, 5),
        )

    def _check_buffers(self, model: int) -> None:
        """The weights stand behind everything else: a truncated file lacks some of them."""
        for at in self._tables(model, 4):
            start = self._vector_at(at, 0)
            if start is not None:
                self._check(start + 4, self._u32(start))

    # The flatbuffer itself: tables with vtables, vectors, offsets relative to where they stand.

    def _check(self, at: int, size: int) -> None:
        if at < 0 or size < 0 or at + size > len(self.content):
            raise _DamagedError(f"byte {at + size} of {len(self.content)}")

    def _check_elements(self, at: int, size: int) -> None:
        self._check(at, size)
        self._unread_bytes -= size
        if self._unread_bytes < 0:
            raise _DamagedError("the same bytes are used too often")

    def _unpack(self, kind: str, at: int) -> int:
        self._check(at, struct.calcsize(kind))
        value: int = struct.unpack_from(kind, self.content, at)[0]
        return value

    def _u32(self, at: int) -> int:
        return self._unpack("<I", at)

    def _i32(self, at: int) -> int:
        return self._unpack("<i", at)

    def _follow(self, at: int) -> int:
        return at + self._u32(at)

    def _field(self, table: int, number: int) -> int | None:
        """Where a table's field stands, or None where it is absent."""
        vtable = table - self._i32(table)
        slot = 4 + 2 * number
        if slot + 2 > self._unpack("<H", vtable):
            return None
        offset = self._unpack("<H", vtable + slot)
        return table + offset if offset else None

    def _byte_field(self, table: int, number: int) -> int:
        at = self._field(table, number)
        return self._unpack("<b", at) if at is not None else 0

    def _vector_at(self, table: int, number: int) -> int | None:
        at = self._field(table, number)
        return self._follow(at) if at is not None else None

    def _vector(self, table: int, number: int, kind: str) -> tuple[float, ...] | tuple[int, ...]:
        at = self._vector_at(table, number)
        if at is None:
            return ()
        count = self._u32(at)
        self._check_elements(at + 4, count * struct.calcsize(kind))
        return struct.unpack_from(f"<{count}{kind}", self.content, at + 4)

    def _bytes(self, table: int, number: int) -> bytes:
        at = self._vector_at(table, number)
        if at is None:
            return b""
        count = self._u32(at)
        self._check_elements(at + 4, count)
        return self.content[at + 4 : at + 4 + count]

    def _ints(self, table: int, number: int) -> tuple[int, ...]:
        return tuple(int(value) for value in self._vector(table, number, "i"))

    def _tables(self, table: int, number: int) -> list[int]:
        at = self._vector_at(table, number)
        count = 0 if at is None else self._u32(at)
        if at is None:
            return []
        self._check_elements(at + 4, 4 * count)
        return [self._follow(at + 4 + 4 * index) for index in range(count)]

    def _text(self, table: int, number: int) -> str:
        return self._bytes(table, number).decode("utf-8", "replace")
