"""What a .tflite holds, whatever its network: input, outputs, operators; and its decoder op, removed.

Only the few fields that posed needs are read, straight from the flatbuffer, every offset checked: a model is
input like any other.

Source: TensorFlow Lite's schema.fbs (version 3) for field numbers and enums; the FlatBuffers binary format.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from flatbuffers import flexbuffers

from posed.errors import ModelError
from posed.paths import read_file

DECODER_OP: Final = "PosenetDecoderOp"
EDGETPU_OP: Final = "edgetpu-custom-op"

_IDENTIFIER: Final = b"TFL3"
_TYPES: Final = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16",
    8: "complex64", 9: "int8",
}  # fmt: skip
_INPUT_TYPES: Final = ("uint8", "int8", "float32")
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
        is_open: whether the file leaves height and width open, which are 1 in `shape` then.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    is_open: bool = False

    def describe(self) -> str:
        """Its type and quantisation; a few words for people."""
        if not self.scale:
            return self.dtype
        return f"{self.dtype}, scale {self.scale:.6g}, zero point {self.zero_point}"


@dataclass(frozen=True, slots=True)
class Node:
    """One operator at its place in the graph.

    Args:
        builtin_code: which operator, as the schema numbers them.
        inputs: the tensors' numbers in the file.
        outputs: as `inputs`.
    """

    builtin_code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model, ready for an interpreter.

    Args:
        path: where it was read.
        content: the flatbuffer, without its decoder op.
        input: (1, height, width, 3).
        outputs: the tensors that an engine reads after each run, in this order: as read, all that the file
            gives, or that its decoder op takes.
        nodes: the operators but for the decoder op, in the order they run.
        edgetpu: whether the model is compiled for the Edge TPU.
        decoder: options of the decoder op that was removed; None where there was none.
    """

    path: Path
    content: bytes
    input: Tensor
    outputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    edgetpu: bool
    decoder: dict[str, float] | None

    @property
    def resizable(self) -> bool:
        """Whether the file leaves the sides of the input open; then those of `input` are what engines set."""
        return self.input.is_open

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the input, px."""
        return self.input.shape[2], self.input.shape[1]

    def resized(self, size: tuple[int, int]) -> Model:
        """The same model for an input of another (width, height), px, where the file leaves that open."""
        width, height = size
        return replace(self, input=replace(self.input, shape=(1, height, width, 3)))


def read_model(path: Path) -> Model:
    """Read a model from a file.

    Raises:
        ModelError: the file is missing or damaged, or its model takes no picture.
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
    """Read a model from a flatbuffer.

    Raises:
        ModelError: it is damaged, or takes no picture; the message does not name the file.
    """
    file = _File(content)
    decoder_options = None
    outputs, operators = file.outputs, file.operators
    decoder = next((op for op in file.operators if op.custom_code == DECODER_OP), None)
    if decoder is not None:
        decoder_options = _decoder_options(decoder)
        outputs, operators = decoder.inputs, operators[:-1]
        content = _without_decoder(file, decoder)
    return Model(
        path=path,
        content=content,
        outputs=tuple(file.tensor(index) for index in outputs),
        input=_input(file),
        nodes=tuple(Node(op.builtin_code, op.inputs, op.outputs) for op in operators),
        edgetpu=any(op.custom_code == EDGETPU_OP for op in operators),
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
    if image.dtype not in _INPUT_TYPES:
        raise ModelError(f"input: must be uint8, int8 or float32, got {image.dtype}")
    return image


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
        kind, shape = self._byte_field(at, 1), self._ints(at, 0)
        scale, zero_point = self._quantisation(at)
        return Tensor(
            index=index,
            name=self._text(at, 3),
            shape=shape,
            dtype=_TYPES.get(kind, f"type {kind}"),
            scale=scale,
            zero_point=zero_point,
            is_open=shape[1:3] == (1, 1) and self._ints(at, 7)[1:3] == (-1, -1),
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
