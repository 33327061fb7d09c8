"""Runs the tests of scripts/train with torch: it learns, resumes, reads COCO's format, and writes files.

torch and TensorFlow stay out of .venv: they live in ${XDG_CACHE_HOME:-~/.cache}/posed-check/torch, as for
scripts/train.
"""

from __future__ import annotations

import os
import subprocess

import pytest

from scripts.paths import ROOT
from tests.system.conftest import Table
from tests.system.needs import make_heavy

pytestmark = pytest.mark.system


def test_training_works_with_torch(table: Table) -> None:
    command = [make_heavy("torch", "train,test"), "-m", "pytest", "-q", "tests/test_training.py"]
    ours = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=ours, capture_output=True, text=True, check=False)
    table.row(done.stdout.strip().rpartition("\n")[2])
    assert done.returncode == 0, done.stdout + done.stderr
