"""Which Python the scripts make a virtual environment of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.paths import ROOT

SAYS = """#!/bin/sh
exec {real} -c 'import sys; sys.version_info = {version}; exec(sys.argv[2])' "$@"
"""


def python(folder: Path, version: tuple[int, ...], name: str = "python3") -> Path:
    """Put a Python into a folder that takes itself for that version."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(SAYS.format(real=sys.executable, version=(*version, 0)), encoding="utf-8")
    path.chmod(0o755)
    return path


def found(checkout: Path, *path: Path | str) -> subprocess.CompletedProcess[str]:
    """What the scripts of a checkout find, with nothing but these folders in PATH."""
    tools = checkout / "tools"
    tools.mkdir(parents=True)
    for tool in ("bash", "dirname"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}")
    (checkout / "scripts").mkdir()
    (checkout / "scripts/venv.sh").symlink_to(ROOT / "scripts/venv.sh")
    # It adds the administrator's folders to PATH, which have no Python.
    command = ["bash", "-c", ". scripts/venv.sh && find_python"]
    environment = {"PATH": os.pathsep.join(map(str, (*path, tools)))}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", [(3, 11), (3, 14)])
def test_a_version_that_posed_runs_with_is_taken(tmp_path, version):
    taken = python(tmp_path / "bin", version)
    assert found(tmp_path / "checkout", taken.parent).stdout == f"{taken}\n"


@pytest.mark.parametrize("version", [(3, 10), (3, 15)])
def test_another_version_is_none(tmp_path, version):
    done = found(tmp_path / "checkout", python(tmp_path / "bin", version).parent)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "Python 3.11 to 3.14 is missing: sudo apt-get install python3 python3-venv\n"


def test_a_python_of_another_name_is_found(tmp_path):
    python(tmp_path / "bin", (3, 15))
    taken = python(tmp_path / "bin", (3, 14), "python3.14")
    assert found(tmp_path / "checkout", taken.parent).stdout == f"{taken}\n"


@pytest.mark.parametrize("relative", [False, True])
def test_the_venvs_own_python_is_passed_over(tmp_path, relative):
    """Else the venv is deleted, and then made by a Python that was in it."""
    ours = python(tmp_path / "checkout/.venv/bin", (3, 12)).parent
    other = python(tmp_path / "bin", (3, 11))
    done = found(tmp_path / "checkout", ".venv/bin" if relative else ours, other.parent)
    assert done.stdout == f"{other}\n"
