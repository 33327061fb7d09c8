"""Builds the stand-in for libedgetpu once, and says by which environment it is found and told what to do.

It is a TFLite delegate in C, built with the system's compiler.

In this process: `library=str(built().path)`, with `Behaviour(...).environment()` put into `os.environ`. In
another one, such as the daemon: `built().environment(Behaviour(...))`, which makes the dynamic linker find it
as `libedgetpu.so.1`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posed.networks.posenet.heads import Heads

SOURCE = Path(__file__).with_name("edgetpu.c")


class NoCompilerError(Exception):
    """The stand-in cannot be built here; the text says why."""


@dataclass(frozen=True)
class Behaviour:
    """What the stand-in is to do; see the top of edgetpu.c."""

    heads: Path | None = None
    hold_ms: int | None = None
    fail_at: int | None = None
    hang_at: int | None = None
    hang: Path | None = None
    crash: str | None = None
    device: Path | None = None
    reset_ms: int | None = None
    log: Path | None = None

    def environment(self) -> dict[str, str]:
        """The variables that say so."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {f"STANDIN_{name.upper()}": str(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Standin:
    """A built stand-in.

    Args:
        path: the library, named libedgetpu.so.1.
    """

    path: Path

    def environment(self, behaviour: Behaviour) -> dict[str, str]:
        """For a process of its own that loads `libedgetpu.so.1`."""
        return {"LD_LIBRARY_PATH": str(self.path.parent)} | behaviour.environment()


@functools.cache
def built() -> Standin:
    """The stand-in; kept in the temporary folder until its source changes.

    Raises:
        NoCompilerError: there is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompilerError("needs a C compiler (cc) for the stand-in of the Edge TPU")
    identity = SOURCE.read_bytes() + sys.platform.encode() + os.uname().machine.encode()
    name = f"posed-standin-{os.getuid()}-{hashlib.sha256(identity).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / name
    library = folder / "libedgetpu.so.1"
    if not library.is_file():
        build(compiler, library)
    return Standin(library)


def build(compiler: str, library: Path) -> None:
    """Compile it; another process may do the same at the same time."""
    library.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = library.with_name(f"fresh-{os.getpid()}.so")
    command = [compiler, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(fresh), str(SOURCE)], check=True)
    fresh.replace(library)


def write_heads(path: Path, *records: Heads) -> Path:
    """A file of heads as the compiled Coral models give them, one record for each invoke in turn."""
    return write_outputs(
        path,
        *([head.data for head in (one.heatmaps, one.short_offsets, one.mid_offsets)] for one in records),
    )


def write_outputs(path: Path, *records: Iterable[NDArray[Any]]) -> Path:
    """A file of what the chip gives in the order of its outputs, one record for each invoke in turn."""
    fresh = path.with_suffix(".fresh")
    with fresh.open("wb") as file:
        for outputs in records:
            for data in outputs:
                file.write(np.ascontiguousarray(data).tobytes())
    return fresh.replace(path)  # at once: the stand-in reads it at any time
