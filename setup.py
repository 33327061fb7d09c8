"""Compiles decoder and tracker where there is a C compiler; everything else is in pyproject.toml."""

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

SOURCES = [Path("posed/networks/posenet/many.py"), Path("posed/people/bodies.py")]


def fingerprint(source: Path, name: str) -> str:
    """A C file that says which source was compiled, so that a test can tell a stale one; its path."""
    path = Path(f"build/fingerprint_{source.stem}.c")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    text = f'const char {name.replace(".", "_")}_source[] = "sha256:{digest}";\n'
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(path)


def extension(source: Path) -> Extension:
    """One file, as it is to be compiled."""
    # Contracted multiply-adds, gcc's choice on aarch64, would round unlike the uncompiled file. Python's own
    # flags ask for debugging symbols, six times the size.
    flags = ["-O3", "-ffp-contract=off", "-g0"]
    name = ".".join(source.with_suffix("").parts)
    return Extension(name, [str(source), fingerprint(source, name)], extra_compile_args=flags)


def extensions() -> list[Extension]:
    """What is compiled; where that cannot be done the build says so and goes on, and they run as they are."""
    if cythonize is None:
        print("posed: Cython is missing, so decoder and tracker stay uncompiled", file=sys.stderr)
        return []
    try:
        compiled = cythonize([extension(source) for source in SOURCES], build_dir="build", language_level=3)
    except CompileError:  # without build isolation, too: Debian 12 has 0.29
        print(
            "posed: this Cython cannot compile decoder and tracker (3.1 can): they stay uncompiled",
            file=sys.stderr,
        )
        return []
    for one in compiled:
        one.optional = True
    return list(compiled)


setup(ext_modules=extensions())
