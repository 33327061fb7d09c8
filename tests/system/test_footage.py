"""Plays labelled footage that no rule was made with, and counts falls that are missed or told wrongly."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.paths import ROOT
from tests.system.conftest import Table
from tests.system.needs import cannot

MODEL = "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"


@pytest.mark.system
@pytest.mark.shared
def test_falls_of_new_clips_are_told(shared: Path, table: Table) -> None:
    if not (shared / "footage").is_dir():
        cannot("there is no labelled footage in ../shared/footage")
    options = ["--use", "check", "--fps", "10", "--wrong", "--most-missed", "1", "--most-false", "0"]
    command = [ROOT / "scripts/python", "evaluate.footage", *options, "--models", shared / MODEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    table.row(done.stdout.rstrip())
    assert done.returncode == 0, done.stdout + done.stderr
