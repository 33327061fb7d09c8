"""Runs the tests of everything that leans on a library against the versions it meets in the field.

Each in a virtual environment of its own in ${XDG_CACHE_HOME:-~/.cache}/posed-check/versions; the decoder
plain and, where there is a C compiler, compiled by that Python. The tests run beside one another.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from scripts.paths import ROOT
from tests.system.conftest import Table
from tests.system.needs import CACHE, cannot, locked, need_debian

pytestmark = pytest.mark.system

ARRAYS: Final = (
    *("frame", "networks_posenet_one", "networks_posenet_many", "networks_posenet_compiled", "model_tflite"),
    *("engine_cpu", "engine_edgetpu", "engine_auto", "camera_video", "camera_images", "camera_health"),
    *("camera_picamera", "messages_structs"),
)
"""These lean on numpy, the runtime and PyAV."""

CONFIG: Final = tuple(sorted(path.stem.removeprefix("test_") for path in ROOT.glob("tests/test_config_*.py")))

PYENV: Final = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
BUILD: Final = ("setuptools>=68", "cython>=3.1")


@dataclass(frozen=True)
class Versions:
    """Of Python, of the packages that a system brings or holds back, and which tests lean on any of them."""

    python: str
    packages: tuple[str, ...]
    tests: tuple[str, ...]


VERSIONS: Final = {
    "bookworm": Versions("3.11", ("numpy==1.24.2",), ARRAYS),
    # The only runtime of 32-bit Raspberry Pi OS, and the oldest aiohttp and PyAV.
    "old": Versions(
        "3.11", ("numpy==1.24.2", "tflite-runtime==2.14.0", "aiohttp==3.10.0", "av==15.1.0"), (*ARRAYS, "web")
    ),
    "trixie": Versions("3.13", ("numpy==2.2.4",), (*CONFIG, *ARRAYS, "mqtt_client", "web", "cli")),
}


@dataclass
class Run:
    """The tests with some versions, begun, or why they could not be."""

    folder: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    why_not: str = ""


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Run]]:
    """Of those versions that were asked for."""
    need_debian("mosquitto", "mosquitto")
    names = [item.callspec.params["name"] for item in request.session.items if item.path == request.path]
    logs = tmp_path_factory.mktemp("versions")
    with locked("versions"):
        begun = {name: Run(CACHE / "versions" / name, logs / name) for name in names}
        ready = [run for name, run in begun.items() if prepare(run, VERSIONS[name])]
        for run in ready:
            start(run, VERSIONS[run.folder.name].tests)
        yield begun
        for run in begun.values():
            if run.process is not None:
                run.process.kill()
                run.process.wait()


@pytest.mark.parametrize("name", VERSIONS)
def test_tests_pass_with_the_versions(name: str, runs: dict[str, Run], table: Table) -> None:
    run, versions = runs[name], VERSIONS[name]
    if python_of(versions.python) is None:
        cannot(f"there is no Python {versions.python}")
    assert run.process is not None, run.why_not
    status = run.process.wait()
    said = run.log.read_text(encoding="utf-8", errors="replace")
    _, _, summary = said.partition("short test summary info")
    table.row(f"== {name}: Python {versions.python}, {', '.join(versions.packages)}")
    table.row((summary.partition("\n")[2] or said.rpartition("\n")[2]).strip())
    assert status == 0, said


def python_of(version: str) -> str | None:
    """Find a Python by its version, also among those that pyenv keeps."""
    kept = sorted(map(str, PYENV.glob(f"versions/{version}.*/bin/python3")))
    for name in (f"python{version}", "python3", *kept):
        if (program := shutil.which(name)) is not None:
            ask = [program, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            if subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() == version:
                return program
    return None


def prepare(run: Run, versions: Versions) -> bool:
    """Install what posed needs, then exactly these, and compile the decoder; whether that could be done."""
    python = python_of(versions.python)
    if python is None:
        return False
    stamp = run.folder / ".installed"
    wanted = f"{versions.python} {versions.packages} {zlib.crc32((ROOT / 'pyproject.toml').read_bytes())}"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        try:
            install(run.folder, python, versions.packages)
        except subprocess.CalledProcessError as error:
            run.why_not = f"{error}\n{error.stdout}\n{error.stderr}"
            return False
        stamp.write_text(wanted, encoding="utf-8")
    build = [run.folder / "bin/python", "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=False)  # tests say where it did not compile
    return True


def install(folder: Path, python: str, packages: tuple[str, ...]) -> None:
    """Everything but posed itself, whose sources are tested where they are."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True, text=True)
    pip(folder, "install", "--disable-pip-version-check", ".[test]", *packages, *BUILD)
    pip(folder, "uninstall", "--yes", "posed")
    if any(package.startswith("tflite-runtime") for package in packages):
        leave_the_schema(folder)


def leave_the_schema(folder: Path) -> None:
    """Of ai-edge-litert only what tests write their models with: tflite-runtime has no such thing."""
    [schema] = folder.glob("lib/python3*/site-packages/ai_edge_litert/schema_py_generated.py")
    text = schema.read_bytes()
    pip(folder, "uninstall", "--yes", "ai-edge-litert")
    schema.parent.mkdir(exist_ok=True)
    schema.write_bytes(text)


def pip(folder: Path, *arguments: str) -> None:
    """One command of it; raises CalledProcessError."""
    command = [folder / "bin/python", "-m", "pip", "--quiet", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


def start(run: Run, names: Iterable[str]) -> None:
    """Begin the tests."""
    tests = [f"tests/test_{name}.py" for name in names]
    command = [run.folder / "bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    with run.log.open("wb") as log:
        run.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
