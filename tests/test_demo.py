"""scripts/demo: which model it runs on what, and how it ends."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from posed.config import load
from posed.errors import ConfigError
from scripts import demo
from scripts.paths import ROOT
from tests.run_posed import environment


def settings(**options: str) -> dict[str, str]:
    given = {"video": None, "camera": None, "model": None} | options
    return demo.daemon_settings(argparse.Namespace(**given), 1883)


def model_of(settings: dict[str, str]) -> str:
    return load(demo.CONFIG, settings).model.name


def test_drawn_people_are_seen_by_the_bundled_model() -> None:
    assert model_of(settings()) == "drawings-257x353-16"


@pytest.mark.parametrize("source", [{"video": "people.mp4"}, {"camera": "0"}], ids=["video", "camera"])
def test_real_people_are_not_left_to_a_model_of_drawings(source: dict[str, str]) -> None:
    assert model_of(settings(**source)) in {demo.MODEL_OF_REAL_PEOPLE, str(demo.CORAL_353X481)}


def test_a_model_that_is_named_is_taken() -> None:
    assert model_of(settings(video="people.mp4", model="drawings-257x353-32")) == "drawings-257x353-32"


def test_a_source_without_a_name_does_not_become_drawn_people() -> None:
    """As by `--video "$FILE"`, which is set nowhere."""
    with pytest.raises(ConfigError, match=r"cameras\.room\.source: needed by kind video, got nothing"):
        model_of(settings(video=""))


def test_a_state_says_what_is_waited_for_and_what_fails() -> None:
    machine: dict[str, Any] = {
        "cameras": {"room": "waiting"},
        "engine": {"status": "ok", "kind": "cpu", "why": "engine.kind: cpu"},
        "model": {"name": "drawings", "warning": "hardly sees real people"},
    }
    camera: dict[str, Any] = {
        "camera": "room",
        "people": None,
        "fps": 0.0,
        "status": "waiting",
        "why": "no such device",
    }
    assert demo.machine_line(machine) == (
        "state  room waiting, engine ok (cpu), model drawings hardly sees real people"
    )
    assert demo.camera_line(camera) == "room   people ?, 0.0 fps, waiting (no such device)"


def test_it_ends_quietly_when_nobody_reads_it_any_more(tmp_path: Path) -> None:
    """As `scripts/demo | head` does. All its processes share a stderr, which ends with the last one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.demo", "--seconds", "60"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("poses"):
            assert process.poll() is None
        process.stdout.close()
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")
