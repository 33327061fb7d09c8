"""What tests of compiled files share: the source beside what was compiled from it."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest


def load_source(source: Path, name: str) -> ModuleType:
    """The file itself, whatever was compiled from it."""
    spec = importlib.util.spec_from_file_location(name, source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_of(compiled: ModuleType, source: Path) -> bool:
    """Whether a module was compiled from a file as it is now."""
    assert compiled.__file__ is not None
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return f"sha256:{digest}".encode() in Path(compiled.__file__).read_bytes()


def need_compiled(module: ModuleType, folder: Path) -> None:
    """Skip the test where nothing can be compiled; fail it where it only was not."""
    if module.COMPILED:
        return
    if can_compile(folder):
        pytest.fail("there is a compiler, but nothing is compiled: pip install --editable .")
    pytest.skip("no C compiler here, so nothing is compiled")


def can_compile(folder: Path) -> bool:
    """Whether there is a C compiler that finds Python's headers."""
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
    if compiler is None:
        return False
    (folder / "try.c").write_text("#include <Python.h>\n")
    command = [compiler, "-I", sysconfig.get_path("include"), "-c", "try.c", "-o", "try.o"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
