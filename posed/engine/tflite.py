"""A model in a TFLite interpreter: the CPU engine, and what the Edge TPU's shares with it."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Self

import numpy as np

from posed.errors import EngineError, EngineLost, ModelError
from posed.frame import Image
from posed.log import without_chatter
from posed.model.outputs import Outputs, OutputTensor
from posed.model.tflite import Model, Tensor

RUNTIMES: Final = ("ai_edge_litert", "tflite_runtime")
"""These packages have an interpreter, best first: the first is 11 times faster on quantised PoseNet."""

log = logging.getLogger(__name__)

_LONGEST_QUOTE: Final = 200


@dataclass(frozen=True, slots=True)
class Runtime:
    """A TFLite runtime.

    Args:
        module: has `Interpreter` and `load_delegate`.
        name: its name and version, for people.
        slow: whether it lacks the fast kernels for quantised models on a CPU.
    """

    module: ModuleType
    name: str
    slow: bool


def find_runtime(packages: Sequence[str] = RUNTIMES) -> Runtime:
    """Import the first runtime that there is.

    Raises:
        EngineError: there is none.
    """
    problems = []
    for package in packages:
        try:
            module = importlib.import_module(f"{package}.interpreter")
        except ImportError as error:  # also one that is there but does not fit its numpy
            problems.append(error_text(error))
        else:
            version = getattr(importlib.import_module(package), "__version__", "of unknown version")
            return Runtime(module, f"{package.replace('_', '-')} {version}", slow=package != RUNTIMES[0])
    raise EngineError(
        "no TFLite runtime: install ai-edge-litert, or tflite-runtime where there is none "
        f"({'; '.join(problems)})"
    )


def error_text(error: Exception) -> str:
    """What a runtime said, as a part of one line of ours.

    The exception loses its traceback, whose frames would hold the interpreter, and that the device, for as
    long as somebody looks at an error made from it.
    """
    error.__traceback__ = None
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"


class TfliteEngine:
    """A model in an interpreter.

    Args:
        model: what the interpreter holds.
        interpreter: with its tensors allocated.
        kind: `cpu` or `edgetpu`.
        device: which one.
        why: one line that says why it was chosen.
    """

    def __init__(self, model: Model, interpreter: Any, *, kind: str, device: str, why: str) -> None:
        self.kind = kind
        self.device = device
        self.why = why
        self._model = model
        self._interpreter = interpreter

    def infer(self, image: Image) -> Outputs:
        """Run the network.

        Args:
            image: RGB uint8, exactly the size of the model's input.

        Raises:
            EngineLost: the device failed or is gone; opening it again may help.
        """
        self._write_input(image)
        self.invoke()
        return tuple(self._output(tensor) for tensor in self._model.outputs)

    def invoke(self) -> None:
        """Run the network on the input that is there, and leave its outputs where they are, as the chip does.

        Raises:
            EngineLost: the device failed or is gone; opening it again may help.
        """
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise EngineLost(
                f"{self.kind} {self.device}: failed to run the model ({error_text(error)})"
            ) from None

    def _write_input(self, image: Image) -> None:
        """Put the picture into the input tensor in the model's own type, with no copy in between.

        Source: PoseNet's input is -1 to 1, quantised with 128 (uint8) or 0 (int8) for its middle.
        """
        tensor = self._model.input
        if tensor.dtype == "uint8":
            # numpy would let go of the GIL while it copies, and get it back a thread's turn later.
            self._interpreter.set_tensor(tensor.index, image[np.newaxis])
            return
        # A view of the interpreter's own memory, which it does not run with while anybody holds one.
        memory = self._interpreter.tensor(tensor.index)()[0]
        if tensor.dtype == "int8":
            np.bitwise_xor(image, np.uint8(128), out=memory.view(np.uint8))  # pixel - 128
        else:
            np.multiply(image, np.float32(1 / 127.5), out=memory)
            np.subtract(memory, np.float32(1), out=memory)

    def _output(self, tensor: Tensor) -> OutputTensor:
        data = self._interpreter.get_tensor(tensor.index)[0]  # a copy
        if tensor.dtype == "float32":
            return OutputTensor(data)
        return OutputTensor(data, tensor.scale, tensor.zero_point)

    def close(self) -> None:
        """Let go of the device; nothing can be inferred after that."""
        self._interpreter = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_cpu(model: Model, threads: int, why: str) -> TfliteEngine:
    """Open a model on the CPU.

    Raises:
        EngineError: there is no runtime.
        ModelError: the model is compiled for the Edge TPU, or the runtime refuses it.
    """
    if model.edgetpu:
        raise ModelError(
            f"{model.path}: must be a plain model for the CPU, got one compiled for the Edge TPU; "
            f"take the file without _edgetpu, or set engine.kind: edgetpu"
        )
    runtime = find_runtime()
    if runtime.slow:
        log.warning(
            "%s is the only TFLite runtime here, and takes 11 times as long as ai-edge-litert for quantised "
            "PoseNet on a CPU: install ai-edge-litert, which there is for 64-bit systems",
            runtime.name,
        )
    try:
        interpreter = _ready(runtime, model, threads)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{model.path}: must be a model that {runtime.name} can run, got: {error_text(error)}"
        ) from None
    check_outputs(model, interpreter)
    return TfliteEngine(model, interpreter, kind="cpu", device=runtime.name, why=why)


def check_outputs(model: Model, interpreter: Any) -> None:
    """The network gives the shapes that its file says: the decoder reads no others.

    Raises:
        ModelError: it gives others.
    """
    outputs = interpreter.get_output_details()
    shapes = {output["index"]: tuple(map(int, output["shape"])) for output in outputs}
    for tensor in model.outputs:
        if (shape := shapes.get(tensor.index)) != tensor.shape:
            raise ModelError(
                f"{model.path}: {tensor.name[:60]!r} must be {tensor.shape} as the file says, got {shape}"
            )


def _ready(runtime: Runtime, model: Model, threads: int) -> Any:
    with without_chatter(b"INFO: Created TensorFlow Lite"):
        interpreter = runtime.module.Interpreter(model_content=model.content, num_threads=threads)
        if model.resizable:
            interpreter.resize_tensor_input(model.input.index, model.input.shape)
        interpreter.allocate_tensors()
    interpreter.invoke()  # some damage shows only here, and would look like a device that failed
    return interpreter
