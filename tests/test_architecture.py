"""The packages of posed, against the design's order and their drawing."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from scripts.architecture import DRAWN, PACKAGES, POSED, arrows, drawing

ORDER = list(PACKAGES)

AGAINST_THE_ORDER = {
    ("pipeline", "messages"): "an event carries the keypoints of its message",
    ("pipeline", "mqtt"): "an event is handed over in the spool's own words",
}
"""What has not been mended yet, and why; nothing is added here."""


def test_a_package_imports_only_those_above_it():
    wrong = {ends: by for ends, by in arrows().items() if ORDER.index(ends[1]) > ORDER.index(ends[0])}
    assert wrong.keys() == AGAINST_THE_ORDER.keys(), wrong


def test_the_drawing_shows_the_imports_as_they_are():
    assert DRAWN.read_text(encoding="utf-8") == drawing()


def test_every_package_is_in_the_drawing():
    folders = {path.name for path in POSED.iterdir() if (path / "__init__.py").is_file()}
    assert folders <= PACKAGES.keys()


def test_the_root_holds_only_the_vocabulary():
    names = {path.name for path in POSED.glob("*.py")}
    assert len(names) <= 12, names


@pytest.mark.parametrize("package", ["networks", "people"])
def test_what_is_pure_loads_no_runtime_and_no_broker(package):
    code = f"import sys, posed.{package}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"ai_edge_litert", "tflite_runtime", "pycoral", "picamera2", "paho"}


def test_no_module_imports_more_than_25_of_ours():
    for path in POSED.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("posed")
        }
        limit = KNOWN_TO_IMPORT_MORE.get(path.relative_to(POSED).as_posix(), 25)
        assert len(modules) <= limit, path


KNOWN_TO_IMPORT_MORE = {"daemon.py": 60}
"""What has not been split yet; nothing is added here."""
