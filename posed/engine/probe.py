"""Run a compiled model once on an Edge TPU, in a process that may crash, for `engine.compatibility`.

Arguments: library, device, the model's path (for messages), timeout in s; the model comes through stdin.
Exit status 0 says that it ran; otherwise a line names the error, or the process is dead.
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from posed.engine.compatibility import CHILD_SAYS, library_version
from posed.engine.edgetpu import connect
from posed.errors import PosedError
from posed.model.tflite import parse_model

_PR_SET_PDEATHSIG: Final = 1


def main(library: str, device: str, path: str, timeout_s: str) -> int:
    """Run it.

    Returns:
        The exit status.
    """
    _die_with_parent()
    signal.alarm(int(float(timeout_s)) + 2)  # for a parent that lives, but no longer waits
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash here is an answer, nothing to keep
    try:
        # It is only to run: what it gives is nothing to this trial.
        model = replace(parse_model(sys.stdin.buffer.read(), Path(path)), outputs=())
        _say(version=library_version(library))
        width, height = model.size
        with connect(model, device, library, why="tried") as engine:
            engine.infer(np.zeros((height, width, 3), np.uint8))
    except PosedError as error:
        _say(error=type(error).__name__, text=str(error))
        return 1
    return 0


def _die_with_parent() -> None:
    """A daemon that is stopped meanwhile must not leave us behind, holding the device. Source: prctl(2)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _say(**words: str) -> None:
    sys.stdout.write(f"{CHILD_SAYS}{json.dumps(words)}\n")
    sys.stdout.flush()  # a crash would lose it


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
