"""Which packages of ours may import which, and what is loaded with them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from scripts.paths import ROOT

VOCABULARY: Final = (
    "allowance", "backoff", "errors", "files", "frame", "log", "paths", "pose", "text", "timing",
)  # fmt: skip
"""What knows nothing else of ours."""

ORDER: Final = (
    *VOCABULARY, "config", "synthetic", "camera", "model", "engine", "networks", "people", "drawing",
    "pipeline", "messages", "mqtt", "service", "control", "web", "daemon", "commands", "cli", "__main__",
)  # fmt: skip
"""From what is imported by all to what imports all: a package imports itself and what stands before it."""

EXCEPTIONS: Final = {
    ("posed.pipeline.scene", "messages"): "turns the evidence of an event into a message itself",
    ("posed.pipeline.scene", "mqtt"): "hands events over as what the spool takes",
}
"""(module, package that stands below it) and why it imports that for now: these only ever get fewer."""


def imports() -> Iterator[tuple[str, str]]:
    """(module, module of ours that it imports), both by full name, wherever in the file it does."""
    for path in sorted((ROOT / "posed").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((module, name.name) for name in node.names if name.name.startswith("posed."))
            elif isinstance(node, ast.ImportFrom) and node.module == "posed":
                yield from ((module, f"posed.{name.name}") for name in node.names)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("posed."):
                yield module, str(node.module)


def place(module: str) -> int:
    """Where a module's package stands in the order."""
    package = module.split(".")[1]
    return ORDER.index("errors" if package in VOCABULARY else package)


def out_of_order() -> set[tuple[str, str]]:
    """(module, package that stands below its own), as it is."""
    return {
        (module, imported.split(".")[1])
        for module, imported in imports()
        if module != "posed" and imported != "posed.__version__" and place(imported) > place(module)
    }


def test_a_package_imports_only_what_stands_above_it() -> None:
    assert sorted(out_of_order() - EXCEPTIONS.keys()) == []


def test_every_exception_is_still_needed() -> None:
    assert sorted(EXCEPTIONS.keys() - out_of_order()) == []


def test_every_module_has_its_place_in_the_order() -> None:
    packages = {imported.split(".")[1] for edge in imports() for imported in edge if "." in imported}
    assert sorted(packages - {"__version__", *ORDER}) == []


def loaded_by(module: str) -> set[str]:
    """What a new process has loaded once it has imported a module."""
    command = [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


DEVICES: Final = {"tflite_runtime", "ai_edge_litert", "pycoral", "picamera2", "paho"}


@pytest.mark.parametrize("module", ["posed.networks", "posed.people.events", "posed.people.rotated_crops"])
def test_networks_and_people_load_no_engine_and_no_device(module: str) -> None:
    assert {"posed.engine", "posed.camera", "posed.mqtt", *DEVICES} & loaded_by(module) == set()


def test_networks_load_no_more_of_ours_than_they_name() -> None:
    ours = {name.split(".")[1] for name in loaded_by("posed.networks") if name.startswith("posed.")}
    assert ours <= {*VOCABULARY, "config", "model", "networks"}


def test_engines_load_no_network() -> None:
    loaded = loaded_by("posed.engine, posed.engine.edgetpu")
    assert "posed.networks" not in loaded
    assert not DEVICES & loaded
