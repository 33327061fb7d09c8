"""`setup.py`: what cannot be compiled stays as it is, and the build goes on and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

HIDDEN = "raise ImportError"
FAILING = "def cythonize(*_, **__): raise CompileError"
TRANSLATING = """
def cythonize(modules, **_):
    for module in modules:
        module.sources = module.sources[1:]
    return modules
"""


def build(folder: Path, cython: str, *, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    """Build the extensions in a folder, with this as `Cython.Build`, and only programs of this path."""
    for file in ("setup.py", "posed/networks/posenet/many.py", "posed/people/bodies.py"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    errors = "class CompileError(Exception): pass\n"
    for name, text in (
        ("__init__", ""),
        ("Build", f"from Cython.Compiler.Errors import CompileError\n{cython}\n"),
        ("Compiler/__init__", ""),
        ("Compiler/Errors", errors),
    ):
        file = folder / "packages/Cython" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    more = {"PATH": path, "PYTHONPATH": str(folder / "packages")}
    return subprocess.run(
        [sys.executable, "setup.py", "build_ext"],
        cwd=folder,
        env=os.environ | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("cython", "said"),
    [
        (HIDDEN, "posed: Cython is missing, so decoder and tracker stay uncompiled"),
        (FAILING, "posed: this Cython cannot compile decoder and tracker (3.1 can): they stay uncompiled"),
    ],
)
def test_a_build_without_a_cython_that_can_goes_on(tmp_path: Path, cython: str, said: str) -> None:
    done = build(tmp_path, cython)
    assert done.returncode == 0, done.stderr
    assert said in done.stderr.splitlines()


def test_a_build_without_a_compiler_goes_on(tmp_path: Path) -> None:
    done = build(tmp_path, TRANSLATING, path="/nowhere")
    assert done.returncode == 0, done.stderr
    for name in ("posed.networks.posenet.many", "posed.people.bodies"):
        assert f'building extension "{name}" failed' in done.stdout + done.stderr
