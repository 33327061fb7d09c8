"""What Google's Edge TPU compiler will do with a .tflite, foretold: the compiler itself runs on x86-64 only.

Sources: "TensorFlow models on the Edge TPU" and "Edge TPU Compiler" at coral.ai/docs/edgetpu for operators
and for what becomes of those behind the first that is not mapped; google-coral/edgetpu#631 for versions.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from posed.errors import ModelError

COMPILER: Final = "edgetpu_compiler 16.0"
"""This is the last version of the compiler that Google published."""

_NEWEST: Final = {"CONV_2D": 5, "QUANTIZE": 2}
"""The compiler reads these operators up to this version; it refuses the whole file for a newer one."""

_MAPPED: Final = (
    *("ADD", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "PAD"),
    *("QUANTIZE", "RELU", "RELU6", "RESHAPE"),
)
"""Of the operators that a PoseNet may hold, these can run on the Edge TPU."""

_QUANTISED: Final = (2, 3, 9)
"""These types are quantised: int32 (biases), uint8 and int8, as the schema numbers them."""

_FLOAT: Final = "is not quantised"


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a model.

    Args:
        kind: `CONV_2D`, as the schema names it.
        version: the version of the operator's definition.
        obstacle: why it stays on the CPU; empty if the Edge TPU runs it.
    """

    kind: str
    version: int
    obstacle: str


def operators_of(content: bytes) -> tuple[Operator, ...]:
    """The operators of a model that is whole, in the order they run.

    Raises:
        ModelError: the runtime that describes them is not installed.
    """
    schema = tflite_schema()
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    found: list[Operator] = []
    behind = ""
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        obstacle = _obstacle(kind, operator, graph.tensors) or behind
        found.append(Operator(kind, code.version, obstacle))
        # The compiler cuts the graph once: what is mapped comes first, the rest stays on the CPU.
        behind = obstacle and "comes after one that is left"
    return tuple(found)


def tflite_schema() -> Any:
    """The module of classes for a .tflite that comes with the runtime.

    Raises:
        ModelError: the runtime is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise ModelError("export: needs ai-edge-litert: pip install 'posed[export]'") from None
    return schema_py_generated


def _obstacle(kind: str, operator: Any, tensors: list[Any]) -> str:
    used = [tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    if any(tensor.type not in _QUANTISED for tensor in used):
        return _FLOAT
    if kind not in _MAPPED:
        return "is unknown to the Edge TPU"
    options = operator.builtinOptions
    if kind == "DEPTHWISE_CONV_2D" and (options.dilationWFactor, options.dilationHFactor) != (1, 1):
        return f"is dilated by {options.dilationHFactor}"
    return ""


def compiler_lines(operators: tuple[Operator, ...], path: Path) -> Iterator[str]:
    """Say, line by line, what the compiler will do with a model.

    Args:
        operators: the model's operators.
        path: the model's file, for the command.
    """
    if all(operator.obstacle == _FLOAT for operator in operators):
        yield "Edge TPU: maps nothing of a float32 model; it needs --quantize uint8"
        return
    versions = sorted({(operator.kind, operator.version) for operator in operators})
    too_new = [f"{kind} {version}" for kind, version in versions if version > _NEWEST.get(kind, version)]
    if too_new:
        newest = ", ".join(f"{kind} {version}" for kind, version in _NEWEST.items())
        yield f"Edge TPU: {COMPILER} refuses {', '.join(too_new)}; the newest versions it reads are {newest}"
        return
    listed = ", ".join(f"{kind} {version}" for kind, version in versions)
    yield f"Edge TPU: no operator's version is too new for {COMPILER} ({listed})"
    left = [operator for operator in operators if operator.obstacle]
    if left:
        counts = Counter((operator.kind, operator.obstacle) for operator in left)
        why = "; ".join(f"{count} {kind}: {obstacle}" for (kind, obstacle), count in counts.items())
        mapped = len(operators) - len(left)
        yield f"Edge TPU: {mapped} of {len(operators)} operators are mapped, better for CPUs; left: {why}"
        comes = "would all the same come of"
    else:
        yield f"Edge TPU: all {len(operators)} operators are mapped"
        comes = "comes of"
    command = ["edgetpu_compiler", "--show_operations", "--out_dir", str(path.parent), str(path)]
    yield f"Edge TPU: {path.with_name(path.stem + '_edgetpu' + path.suffix)} {comes}: {shlex.join(command)}"
