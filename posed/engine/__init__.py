"""What runs a model: the CPU or a Coral Edge TPU."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from posed.engine.auto import FallbackEngine
from posed.engine.base import Engine
from posed.engine.compatibility import LIBRARY, Delegate
from posed.engine.edgetpu import open_edgetpu
from posed.engine.tflite import open_cpu
from posed.errors import EngineError, EngineLost, ModelError
from posed.model.tflite import Model
from posed.paths import cache_folder

if TYPE_CHECKING:  # the child of posed.engine.compatibility starts without pydantic, which takes a second
    from posed.config import EngineConfig

log = logging.getLogger(__name__)


def open_engine(
    config: EngineConfig,
    cpu: Model | None,
    edgetpu: Model | None,
    *,
    library: str = LIBRARY,
    cache: Path | None = None,
) -> Engine:
    """Open a model on what the configuration says.

    Args:
        config: the kind, which Edge TPU, and the CPU's threads.
        cpu: the plain file of the model; None where there is none.
        edgetpu: the same model compiled for the Edge TPU; None where there is none.
        library: the delegate of the Edge TPU.
        cache: keeps which runtimes and delegates fit together; None: the cache folder.

    Raises:
        EngineLost: the Edge TPU is absent or failed; opening it again may help.
        EngineError: the engine can never work like this.
        ModelError: the runtime refuses the model, or there is none.
    """
    engine = _open(config, cpu, edgetpu, Delegate(config.device, cache or cache_folder(), library))
    log.info("engine: %s, %s (%s)", engine.kind, engine.device, engine.why)
    return engine


def _open(config: EngineConfig, cpu: Model | None, edgetpu: Model | None, delegate: Delegate) -> Engine:
    # A file of the wrong kind is opened all the same: its engine says what is wrong with it.
    plain, compiled = cpu or edgetpu, edgetpu or cpu
    if plain is None or compiled is None:
        raise ModelError("engine: must have a model, got none")
    match config.kind:
        case "cpu":
            return open_cpu(plain, config.threads, "engine.kind: cpu")
        case "edgetpu":
            return open_edgetpu(compiled, delegate, "engine.kind: edgetpu")
        case "auto" if edgetpu is None:
            return open_cpu(plain, config.threads, "no compiled model for an Edge TPU")
        case "auto" if cpu is None:
            try:
                return open_edgetpu(compiled, delegate, "an Edge TPU answered")
            except EngineError as error:
                why = f"{error}; for the CPU there is no plain file beside {compiled.path.name}"
                raise type(error)(why) from None
        case "auto":
            try:
                return open_edgetpu(compiled, delegate, "an Edge TPU answered")
            except EngineLost as error:
                back = partial(open_edgetpu, compiled, delegate, "the Edge TPU is back")
                return FallbackEngine(open_cpu(cpu, config.threads, str(error)), back)
            except EngineError as error:
                return open_cpu(cpu, config.threads, str(error))
