"""`scripts/bench_decode`: what it does not take."""

from __future__ import annotations

import _ctypes
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts/bench_decode.py"


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
def test_what_cannot_be_measured_is_a_usage_error(arguments: list[str], line: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert line in done.stderr.splitlines()[-1]
