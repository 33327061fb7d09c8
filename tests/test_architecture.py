"""The packages of posed, against the design's order and their drawing."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from scripts.architecture import DRAWN, PACKAGES, POSED, arrows, drawing
from scripts.paths import ROOT

ORDER = list(PACKAGES)


def test_a_package_imports_only_those_above_it():
    wrong = {ends: by for ends, by in arrows().items() if ORDER.index(ends[1]) > ORDER.index(ends[0])}
    assert not wrong


def test_the_drawing_shows_the_imports_as_they_are():
    assert DRAWN.read_text(encoding="utf-8") == drawing()


def test_every_package_is_in_the_drawing():
    folders = {path.name for path in POSED.iterdir() if (path / "__init__.py").is_file()}
    assert folders <= PACKAGES.keys()


def test_the_root_holds_only_the_vocabulary():
    names = {path.name for path in POSED.glob("*.py")}
    assert len(names) <= 12, names


def loaded_by(modules: str) -> set[str]:
    """What a new process has loaded once it has imported these modules."""
    command = [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    return set(done.stdout.split())


DEVICES = {"tflite_runtime", "ai_edge_litert", "pycoral", "picamera2", "paho"}


@pytest.mark.parametrize("package", ["networks", "people"])
def test_what_is_pure_loads_no_engine_and_no_device(package):
    modules = [
        ".".join(("posed", *path.relative_to(POSED).with_suffix("").parts))
        for path in (POSED / package).rglob("*.py")
        if path.stem != "__init__"
    ]
    loaded = loaded_by(", ".join(modules))
    assert not {"posed.engine", "posed.camera", "posed.mqtt", *DEVICES} & loaded


def test_engines_load_no_network():
    loaded = loaded_by("posed.engine, posed.engine.edgetpu")
    assert not {"posed.networks", *DEVICES} & loaded


def test_no_module_imports_more_than_25_of_ours():
    for path in POSED.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("posed")
        }
        assert len(modules) <= 25, path


def test_no_test_has_a_name_of_over_ten_words():
    names = {
        node.name
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    assert not [name for name in names if len(name.removeprefix("test_").split("_")) > 10]


def methods_of(node: ast.ClassDef) -> list[str]:
    return [inner.name for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)]


def fields_of(node: ast.ClassDef) -> set[str]:
    """What a class declares in its body, as dataclasses and structs do."""
    return {
        inner.target.id
        for inner in node.body
        if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name)
    }


def assigned_in(node: ast.ClassDef) -> set[str]:
    """What the methods of a class set of `self`."""
    return {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute)
        and isinstance(inner.ctx, ast.Store)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "self"
    }


def test_no_class_has_more_than_20_methods_or_15_attributes():
    large = {}
    for path in sorted(POSED.rglob("*.py")):
        # A section of the configuration, or a message, has as many fields as there are settings or facts.
        holds_records = path.relative_to(POSED).parts[0] in {"config", "messages"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                fields = set() if holds_records else fields_of(node)
                methods, attributes = len(methods_of(node)), len(fields | assigned_in(node))
                if methods > 20 or attributes > 15:
                    large[node.name] = f"{path}: {methods} methods, {attributes} attributes"
    assert not large
