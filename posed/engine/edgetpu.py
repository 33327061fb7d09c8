"""The Coral Edge TPU, through the TFLite delegate libedgetpu."""

from __future__ import annotations

import importlib
import time
from typing import Any, Final

from posed.engine.compatibility import LIBRARY, Delegate, check_compatibility
from posed.engine.tflite import TfliteEngine, check_outputs, error_text, find_runtime
from posed.errors import EngineError, EngineLost, ModelError
from posed.model.tflite import Model

_SETTLE_S: Final = 5.0
"""A USB accelerator may stay away for this long, s, after another process let go of it, which resets it."""


def open_edgetpu(model: Model, delegate: Delegate, why: str) -> TfliteEngine:
    """Open a compiled model on an Edge TPU.

    Args:
        model: compiled for the Edge TPU.
        delegate: which device, through which library.
        why: one line that says why the Edge TPU was chosen.

    Raises:
        EngineLost: no device answered, or it failed; opening it again may help.
        EngineError: the library is missing, is no libedgetpu or does not fit the runtime; or the model is not
            compiled for the Edge TPU.
        ModelError: the runtime refuses the model.
    """
    _check_compiled(model)
    give_up_at = time.monotonic()
    if check_compatibility(model, delegate):
        give_up_at += _SETTLE_S
    while True:
        try:
            return connect(model, delegate.device, delegate.library, why)
        except EngineLost:
            if time.monotonic() >= give_up_at:
                raise
        time.sleep(0.25)


def connect(model: Model, device: str, library: str, why: str) -> TfliteEngine:
    """Open a compiled model in this process, which crashes where runtime and delegate do not fit.

    Raises:
        EngineLost, EngineError, ModelError: as `open_edgetpu`.
    """
    name = device or "any"
    try:
        interpreter = _interpreter(model.content, device, library)
    except ValueError as error:
        text = error_text(error)
        if "load delegate" not in text:  # pycoral does both in one call
            raise ModelError(f"{model.path}: must be a model that the runtime can run, got: {text}") from None
        raise EngineLost(
            f"no Edge TPU answered (device: {name}); is it plugged in, free, and may this user open it?"
        ) from None
    except RuntimeError as error:
        raise EngineLost(f"edgetpu {name}: failed to take the model ({error_text(error)})") from None
    check_outputs(model, interpreter)
    return TfliteEngine(model, interpreter, kind="edgetpu", device=name, why=why)


def _interpreter(content: bytes, device: str, library: str) -> Any:
    make = _pycoral() if library == LIBRARY else None  # pycoral knows no other
    if make is not None:
        interpreter = make(content, device=device or None)
    else:
        runtime = find_runtime().module
        delegate = runtime.load_delegate(library, {"device": device} if device else {})
        interpreter = runtime.Interpreter(model_content=content, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    return interpreter


def _pycoral() -> Any:
    """Coral's make_interpreter, or None; the package of that name on PyPI is another one."""
    try:
        return getattr(importlib.import_module("pycoral.utils.edgetpu"), "make_interpreter", None)
    except ImportError:
        return None


def _check_compiled(model: Model) -> None:
    if model.edgetpu:
        return
    if model.resizable:
        raise EngineError(
            f"{model.path}: must be compiled for the Edge TPU, got a model whose input may have any size, "
            "which runs on CPUs alone; set engine.kind: cpu"
        )
    sibling = model.path.with_name(f"{model.path.stem}_edgetpu.tflite")
    what = f"{sibling} beside it is" if sibling.is_file() else f"such files are named like {sibling.name}"
    raise EngineError(f"{model.path}: must be compiled for the Edge TPU, got a plain model; {what}")
