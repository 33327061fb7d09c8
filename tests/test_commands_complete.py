"""What a shell offers for a command line that is not finished."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run_posed import environment

POSED = Path(sys.executable).with_name("posed")


def offered(folder: Path, line: str) -> list[str]:
    """What bash is told when somebody presses Tab at the end of a line."""
    words = line.split(" ")
    asked = {"_POSED_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [POSED], env=environment(folder, asked), capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("posed do", ["doctor"]),
        ("posed model in", ["info"]),
        ("posed detect --outp", ["--output"]),
        ("posed bench --model coral-3", ["coral-353x481"]),
        ("posed detect --model draw", ["drawings-257x353-32", "drawings-257x353-16", "drawings-257x353-8"]),
        ("posed model info coral-7", ["coral-721x1281"]),
        ("posed model pull tfjs", ["tfjs-quant2-075"]),
        ("posed model export tfjs-float-0", ["tfjs-float-050", "tfjs-float-075"]),
        ("posed bench --engine ", ["auto", "edgetpu", "cpu"]),
        ("posed schema request/se", ["request/set"]),
        ("posed bench --model /etc/", []),  # so that the shell offers files
    ],
)
def test_names_are_offered(tmp_path, line, words):
    assert offered(tmp_path, line) == words


def test_the_cameras_of_the_configuration_are_offered(tmp_path):
    (tmp_path / "posed.yaml").write_text("cameras: {hall: {kind: synthetic}, bath: {kind: synthetic}}\n")
    assert offered(tmp_path, "posed record --config posed.yaml --camera ") == ["hall", "bath"]
    assert offered(tmp_path, "posed bench -c posed.yaml --camera b") == ["bath"]


def test_a_bad_configuration_offers_no_camera(tmp_path):
    (tmp_path / "posed.yaml").write_text("cameras: [")
    assert offered(tmp_path, "posed record --config posed.yaml --camera ") == []
    assert offered(tmp_path, f"posed record --config {os.devnull}/none --camera ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_by_one_command(tmp_path, shell):
    home = environment(tmp_path, {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    command = [POSED, "--install-completion", shell]
    done = subprocess.run(command, env=home, capture_output=True, text=True, check=True)
    assert f"{shell} completion installed" in done.stdout
    assert any("_POSED_COMPLETE" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())
