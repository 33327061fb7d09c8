"""The benchmarks of speed in `scripts/bench`: what they do not take."""

from __future__ import annotations

import _ctypes
import json
import subprocess
import sys

import pytest

from scripts.paths import ROOT


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--people", "2,x"], "argument --people: must be whole numbers with commas between, got '2,x'"),
        (["--people", ""], "argument --people: must be whole numbers with commas between, got ''"),
        (["--people=-1"], "argument --people: must be whole numbers with commas between, got '-1'"),
        (["--repeats", "0"], "argument --repeats: must be a whole number of at least 1, got '0'"),
        (
            ["--peer", "/nowhere.so"],
            "argument --peer: must be a library that can be loaded, got /nowhere.so: ",
        ),
        (["--peer", __file__], f"argument --peer: must be a library that can be loaded, got {__file__}: "),
        (["--peer", _ctypes.__file__], f"must have decode_all_poses, got {_ctypes.__file__} without it"),
    ],
)
def test_a_decoder_that_cannot_be_measured_is_a_usage_error(arguments: list[str], line: str) -> None:
    done = run("bench.decode", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert line in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("script", ["bench.run", "bench.overlap"])
@pytest.mark.parametrize("seconds", ["nan", "-1", "x"])
def test_a_time_that_never_ends_is_a_usage_error(script: str, seconds: str) -> None:
    done = run(script, "--seconds", seconds)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: argument --seconds: " in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["bench.run", "--model", "/nowhere.tflite"], "/nowhere_edgetpu.tflite"),
        (["bench.overlap", "--model", "/nowhere.tflite"], "/nowhere_edgetpu.tflite"),
        (["bench.cpu", "/nowhere.tflite"], "/nowhere.tflite"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(words: list[str], name: str) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert done.stderr == f"{words[0]}: {name}: must be a readable .tflite (No such file or directory)\n"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"scripts.{script}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_frame_of_an_ai_camera_is_timed() -> None:
    done = run("bench.imx500", "--people", "0,2", "--repeats", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    measured = json.loads(done.stdout)
    assert [row["found"] for row in measured["frames"]] == [0, 2]
    assert all(row["after_capture"] > 0 for row in measured["frames"])
    assert measured["ways_to_read_ms"]["struct.pack"] > 0
