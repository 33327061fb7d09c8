"""`scripts/python bench.cameras`: what it does not take, what it measures, and what it wants."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.bench.cameras import Processed, Row, chip_s
from scripts.paths import ROOT
from tests.brokers import require_mosquitto
from tests.make_tflite import CORAL, make_tflite
from tests.standin import built

GOOD = Row(
    cameras=4,
    fps=30,
    inferred_per_s=119.0,
    bare_per_s=160.0,
    share=0.99,
    of="asked",
    least=0.98,
    latency_ms=(10.0, 20.0),
    beside_ms=(3.0, 6.0),
    cpu_ms=2.0,
    memory_mb=130.0,
    left=1.4,
    more_mb=3.0,
)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--seconds", "nan"], "argument --seconds: must be 1 to 86400, got nan"),
        (["--cameras", "0"], "argument --cameras: must be a whole number of at least 1, got '0'"),
        (["--fps", "1.5"], "argument --fps: must be a whole number of at least 1, got '1.5'"),
    ],
)
def test_what_cannot_be_measured_is_a_usage_error(arguments: list[str], line: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert line in done.stderr.splitlines()[-1]


def test_a_model_that_is_not_there_is_one_line() -> None:
    done = run("--model", "/nowhere.tflite", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "bench.cameras: /nowhere_edgetpu.tflite: must be a readable .tflite (No such file or directory)\n"
    )


def test_cameras_share_the_chip_beside_bare_invokes(tmp_path: Path) -> None:
    built()
    require_mosquitto()
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("needs mosquitto_sub (Debian: mosquitto-clients)")
    (tmp_path / "small_edgetpu.tflite").write_bytes(make_tflite(CORAL, size=(481, 353), edgetpu=True))
    options = ("--cameras", "2", "--fps", "20", "--seconds", "1", "--json")
    done = run("--model", str(tmp_path / "small.tflite"), *options)
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    row = json.loads(line)
    assert (row["cameras"], row["fps"], row["of"], row["more_mb"]) == (2, 20, "asked", None)
    assert 0 < row["inferred_per_s"] < 60
    assert 60 < row["bare_per_s"] < 1000 / 6
    assert 0 < row["least"] <= 1
    assert 6 < row["latency_ms"][0] <= row["latency_ms"][1]
    assert row["beside_ms"][0] < row["latency_ms"][0] - 5


def test_a_good_row_misses_nothing() -> None:
    assert GOOD.missed() == []


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (replace(GOOD, share=0.94), "4 cameras at 30 fps: the share must be at least 0.95, got 0.940"),
        (replace(GOOD, least=0.89), "4 cameras at 30 fps: no camera may be under 0.9, got 0.890"),
        (replace(GOOD, more_mb=12.5), "4 cameras at 30 fps: a further one may take 12 MB, got 12.5"),
    ],
)
def test_a_row_says_what_it_misses(row: Row, line: str) -> None:
    assert row.missed() == [line]


@pytest.mark.parametrize("row", [replace(GOOD, share=0.5, left=0.9), replace(GOOD, share=0.5, cameras=1)])
def test_one_camera_or_no_core_left_asks_for_no_share(row: Row) -> None:
    assert row.missed() == []


def test_the_chips_work_is_counted_from_capture_to_inference() -> None:
    busy = [(1.0, 2.0), (3.0, 4.0), (4.0, 5.0)]
    frames = [
        Processed("room", captured, inferred, 9.0) for captured, inferred in ((0, 2), (1.5, 4), (2.5, 5))
    ]
    np.testing.assert_allclose(chip_s(busy, frames), [1.0, 1.5, 2.0])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.bench.cameras", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
