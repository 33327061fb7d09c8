"""Whether a TFLite runtime and a libedgetpu fit together, tried once in a child process.

A libedgetpu built for another TensorFlow than the runtime crashes the process instead of raising.

Source: google-coral/edgetpu issue 812.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from posed.engine.reported import GOOD_LIBRARY
from posed.engine.tflite import error_text, find_runtime
from posed.errors import EngineError, EngineLost, ModelError
from posed.model.tflite import Model

LIBRARY: Final = "libedgetpu.so.1"
"""The dynamic linker finds the delegate by this name."""

CHILD_SAYS: Final = "posed-probe: "
"""The child puts this before its own lines, which come among those of libraries."""

_DISTRIBUTIONS: Final = ("ai-edge-litert", "tflite-runtime", "pycoral")
_ENTRY_POINT: Final = "tflite_plugin_create_delegate"
_GOOD_PAIR: Final = f"ai-edge-litert with {GOOD_LIBRARY}"
_CRASHES: Final = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delegate:
    """A way to an Edge TPU.

    Args:
        device: `usb`, `usb:1`, `pci:0`, …; empty for any.
        cache: folder that keeps which runtimes and libraries fit.
        library: the libedgetpu.
        timeout_s: how long trying a new pair may take; a Pi needs seconds for Python and the model to load.
    """

    device: str
    cache: Path
    library: str = LIBRARY
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class _Pair:
    """A runtime and a library, told apart without running any code of theirs."""

    runtime: str
    library: str
    library_bytes: int
    library_mtime_ns: int

    def result_file(self, cache: Path) -> Path:
        """The file that says whether they fit."""
        return cache / f"edgetpu-{hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]}.json"


def check_compatibility(model: Model, delegate: Delegate) -> bool:
    """Find out whether the installed runtime and library fit: from what is kept, or by trying.

    Args:
        model: compiled for the Edge TPU.
        delegate: which device, through which library.

    Returns:
        Whether they were tried, so that a device has just been let go of.

    Raises:
        EngineError: they crash together; or the library is missing or no libedgetpu.
        EngineLost: no device answered, or it failed: nothing is known yet.
        ModelError: the runtime refuses the model.
    """
    pair = _pair(delegate.library)
    if _known_to_fit(pair, model, delegate.cache):
        return False
    _try(pair, model, delegate)
    return True


def library_version(library: str) -> str:
    """What a libedgetpu says of itself; empty where it says nothing."""
    try:
        function = ctypes.CDLL(library).edgetpu_version
    except (OSError, AttributeError):
        return ""
    function.restype = ctypes.c_char_p
    return (function() or b"").decode("utf-8", "replace")


class _DlInfo(ctypes.Structure):
    """Source: dladdr(3)."""

    _fields_ = (
        ("file_name", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol_name", ctypes.c_char_p),
        ("symbol", ctypes.c_void_p),
    )


def _pair(library: str) -> _Pair:
    path = _loaded_from(library)
    status = path.stat()
    return _Pair(_installed_runtimes(), str(path), status.st_size, status.st_mtime_ns)


def _loaded_from(library: str) -> Path:
    """The file behind a library's name, which loading it shows."""
    try:
        entry = getattr(ctypes.CDLL(library), _ENTRY_POINT)
    except OSError as error:
        raise EngineError(
            f"no Edge TPU: {library} is not installed ({error_text(error)}); "
            "install feranick's libedgetpu1-std"
        ) from None
    except AttributeError:
        raise EngineError(
            f"no Edge TPU: {library} must be a libedgetpu, got a library without {_ENTRY_POINT}"
        ) from None
    info = _DlInfo()
    dladdr = ctypes.CDLL(None).dladdr
    dladdr.argtypes = (ctypes.c_void_p, ctypes.POINTER(_DlInfo))
    dladdr(ctypes.cast(entry, ctypes.c_void_p), ctypes.byref(info))
    return Path(os.fsdecode(info.file_name)).resolve()


def _installed_runtimes() -> str:
    """All that may be used, since pycoral brings tflite-runtime whatever else there is."""
    runtime = find_runtime().name
    found = []
    for name in _DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found) or runtime


def _known_to_fit(pair: _Pair, model: Model, cache: Path) -> bool:
    """Whether the pair has been tried and fits; False where it has not been tried."""
    try:
        result = json.loads(pair.result_file(cache).read_bytes())
        crash, of_model = str(result["crash"]), result["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    # A crash may have been the fault of the model that was tried, so another one gets its own chance.
    if crash and of_model == _digest(model):
        raise EngineError(_crashed(crash, pair, cache))
    return not crash


def _keep(pair: _Pair, model: Model, cache: Path, crash: str) -> None:
    file = pair.result_file(cache)
    result = {"crash": crash, "model": _digest(model), "pair": asdict(pair)}
    fresh = file.with_suffix(f".{os.getpid()}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(result, indent=1) + "\n")
        fresh.replace(file)
    except OSError as error:
        log.warning("%s: cannot be written (%s); the Edge TPU is tried again at the next start", file, error)


def _digest(model: Model) -> str:
    return hashlib.sha256(model.content).hexdigest()


def _crashed(crash: str, pair: _Pair, cache: Path) -> str:
    return f"{crash}; delete {pair.result_file(cache)} to try again"


def _try(pair: _Pair, model: Model, delegate: Delegate) -> None:
    """Run the model once in a child process; what is certain then is kept."""
    name = delegate.device or "any"
    log.debug("edgetpu: trying %s with %s in a child process", pair.runtime, pair.library)
    try:
        status, said = _run_child(model, delegate)
    except subprocess.TimeoutExpired:
        raise EngineLost(
            f"edgetpu {name}: must run the model within {delegate.timeout_s:g} s, got no answer; "
            f"plug it in again"
        ) from None
    if status == 0:
        _keep(pair, model, delegate.cache, crash="")
        return
    if -status in _CRASHES:
        version = said.get("version") or f"{pair.library} ({pair.library_bytes} bytes)"
        crash = (
            f"edgetpu: {pair.runtime} and libedgetpu {version} do not fit together, got "
            f"{signal.Signals(-status).name}; install {_GOOD_PAIR}"
        )
        _keep(pair, model, delegate.cache, crash)
        raise EngineError(_crashed(crash, pair, delegate.cache))
    kinds = {kind.__name__: kind for kind in (EngineError, ModelError)}
    ended = f"edgetpu {name}: trying it in a child process ended with status {status} ({said['complaint']})"
    text = said.get("text", ended)
    raise kinds.get(said.get("error", ""), EngineLost)(text)


def _run_child(model: Model, delegate: Delegate) -> tuple[int, dict[str, str]]:
    """The child's exit status, as subprocess gives it, and what it said.

    Raises:
        subprocess.TimeoutExpired: it has been killed.
    """
    arguments = [delegate.library, delegate.device, str(model.path), str(delegate.timeout_s)]
    child = subprocess.Popen(  # noqa: S603 our own module
        [sys.executable, "-P", "-m", "posed.engine.probe", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,  # a Ctrl-C for us is none for it
    )
    try:
        output, complaints = child.communicate(model.content, delegate.timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=1)  # one that is stuck in the kernel cannot be waited for
        raise
    complained = complaints.decode("utf-8", "replace").strip()
    log.debug("edgetpu: child ended with %d: %s", child.returncode, complained)
    said = {"complaint": complained.rpartition("\n")[2][:200]}
    for line in output.decode("utf-8", "replace").splitlines():
        if line.startswith(CHILD_SAYS):
            said |= json.loads(line.removeprefix(CHILD_SAYS))
    return child.returncode, said
