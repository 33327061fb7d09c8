"""Compiles the decoder where there is a C compiler; everything else is in pyproject.toml."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
    from Cython.Compiler.Errors import CompileError
except ImportError:  # without build isolation
    cythonize = None

SOURCE = Path("posed/networks/posenet/many.py")


def fingerprint() -> str:
    """A C file that says which source was compiled, so that a test can tell a stale one; its path."""
    path = Path("build/fingerprint.c")
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    text = f'const char posed_networks_posenet_many_source[] = "sha256:{digest}";\n'
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(path)


def extensions() -> list[Extension]:
    """The decoder; where it cannot be compiled the build says so and goes on, and many.py runs as it is."""
    if cythonize is None:
        print("posed: Cython is missing, so the decoder stays uncompiled", file=sys.stderr)
        return []
    # Contracted multiply-adds, gcc's choice on aarch64, would round unlike the uncompiled file. Python's own
    # flags ask for debugging symbols, six times the size.
    flags = ["-O3", "-ffp-contract=off", "-g0"]
    many = Extension("posed.networks.posenet.many", [str(SOURCE), fingerprint()], extra_compile_args=flags)
    try:
        compiled = cythonize([many], build_dir="build", language_level=3)
    except CompileError:  # without build isolation, too: Debian 12 has 0.29
        print("posed: this Cython cannot compile the decoder (3.1 can): it stays uncompiled", file=sys.stderr)
        return []
    for extension in compiled:
        extension.optional = True
    return list(compiled)


setup(ext_modules=extensions())
