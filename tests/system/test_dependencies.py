"""Asks PyPI's advisories, by pip-audit, whether what the tests run with has known holes."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Table
from tests.system.needs import CACHE, cannot, locked

pytestmark = pytest.mark.system


def test_no_dependency_has_a_known_hole(table: Table) -> None:
    packages = audited(pip_audit(), Path(sysconfig.get_path("purelib")))
    asked = [one for one in packages if "vulns" in one]
    if not asked:
        cannot("no advisories for any package")
    holes = [(one, hole) for one in asked for hole in one["vulns"]]
    for one, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "none yet"
        table.row(f"{one['name']} {one['version']}: {hole['id']}, mended in: {mended}")
    table.foot(f"{len(asked)} packages, {len(holes)} known holes; not on PyPI: {len(packages) - len(asked)}")
    assert not holes


def pip_audit() -> Path:
    """The program, in a virtual environment of its own."""
    folder = CACHE / "audit"
    program = folder / "bin/pip-audit"
    with locked("audit"):
        if not program.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            command = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "pip-audit"]
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                cannot("pip-audit cannot be installed")
    return program


def audited(program: Path, folder: Path) -> list[dict[str, Any]]:
    """Every package in a folder, with `vulns` where it was asked about; none where nothing could be asked."""
    options = ["--path", folder, "--format", "json", "--progress-spinner", "off", "--timeout", "30"]
    done = subprocess.run([program, *options], capture_output=True, text=True, check=False)
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return []
    return packages
