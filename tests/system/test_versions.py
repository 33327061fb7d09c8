"""Runs the tests of everything that leans on a library against the versions it meets in the field.

Each in a virtual environment of its own, in ${XDG_CACHE_HOME:-~/.cache}/posed-check/versions or in the Debian
that has its Python; the decoder plain and, where there is a C compiler, compiled by that Python. These run
beside one another. Those of a release, each alone, run all of the quick tests.
"""

from __future__ import annotations

import email
import os
import platform
import shutil
import subprocess
import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.paths import ROOT, SHARED
from tests.system.conftest import Table
from tests.system.debian import Chroot, need_chroots, proxies
from tests.system.needs import CACHE, cannot, locked, need_debian
from tests.system.pythons import make_debian_of

ARRAYS: Final = (
    *("frame", "networks_posenet_one", "networks_posenet_many", "networks_posenet_compiled", "model_tflite"),
    *("engine_cpu", "engine_edgetpu", "engine_auto", "camera_video", "camera_images", "camera_health"),
    *("camera_picamera", "messages_structs"),
)
"""These lean on numpy, the runtime and PyAV."""

CONFIG: Final = tuple(sorted(path.stem.removeprefix("test_") for path in ROOT.glob("tests/test_config_*.py")))

PYENV: Final = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
BUILD: Final = ("setuptools>=68", "cython>=3.1")
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lowest(machine: str) -> tuple[str, ...]:
    """What posed and its demonstration need on a kind of machine, each package at its lower bound."""
    wanted = map(Requirement, (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["demo"]))
    bounds = [
        (one.name, [bound.version for bound in one.specifier if bound.operator == ">="])
        for one in wanted
        if one.marker is None or one.marker.evaluate({"platform_machine": machine})
    ]
    return tuple(f"{name}=={version}" for name, [version] in bounds)


@dataclass(frozen=True)
class Versions:
    """Of Python, of the packages that a system brings or holds back, and which tests lean on any of them.

    Args:
        python: its version.
        packages: what pip is held to.
        tests: the names of their modules; all of the quick ones where there is none.
        codename: of the Debian in which they run; empty for this machine.
    """

    python: str
    packages: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    codename: str = ""


SOME: Final = {
    "bookworm": Versions("3.11", ("numpy==1.24.2",), ARRAYS),
    # 32-bit Raspberry Pi OS, which has another runtime.
    "oldest_armv7l": Versions("3.11", lowest("armv7l"), (*ARRAYS, "web")),
    "trixie": Versions("3.13", ("numpy==2.2.4",), ARRAYS),
    "forky": Versions("3.14", (), (*CONFIG, *ARRAYS, "mqtt_client", "web", "cli"), "forky"),
}
ALL: Final = {
    "all_oldest": Versions("3.11", lowest(platform.machine())),
    "all_3.11": Versions("3.11"),
    "all_3.13": Versions("3.13"),
    "all_3.14": Versions("3.14", codename="forky"),
}
VERSIONS: Final = SOME | ALL


@dataclass(frozen=True)
class Place:
    """Where tests run with some versions.

    Args:
        folder: of the virtual environment, as its own programs see it.
        python: that makes it.
        chroot: in which it lies; None for this machine.
    """

    folder: Path
    python: str
    chroot: Chroot | None = None

    @property
    def outside(self) -> Path:
        """The folder as it is seen from outside."""
        return self.folder if self.chroot is None else self.chroot.root / self.folder.relative_to("/")

    def command(self, program: str, *arguments: str) -> list[str]:
        """What runs a program of the virtual environment, or one by its path, among our sources."""
        words = [str(self.folder / program), *arguments]
        if self.chroot is None:
            return words
        return self.chroot.command("sh", "-c", 'cd "$0" && exec "$@"', str(ROOT), *words)

    def run(self, program: str, *arguments: str, check: bool = True) -> None:
        """Run it to its end; raises CalledProcessError."""
        command = self.command(program, *arguments)
        subprocess.run(command, cwd=ROOT, check=check, capture_output=True, text=True)


@dataclass
class Run:
    """The tests with some versions, begun, or why they could not be."""

    log: Path
    place: Place | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
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
        begun = {name: Run(logs / name) for name in names}
        ready = [name for name, run in begun.items() if prepare(run, name)]
        for name in ready:
            if name in SOME:
                start(begun[name], VERSIONS[name])
        yield begun
        for run in begun.values():
            if run.process is not None:
                run.process.kill()
                run.process.wait()


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.system) for name in SOME),
        *(pytest.param(name, marks=pytest.mark.release) for name in ALL),
    ],
)
def test_tests_pass_with_the_versions(name: str, runs: dict[str, Run], table: Table) -> None:
    run, versions = runs[name], VERSIONS[name]
    if run.place is None:
        cannot(run.why_not)
    assert not run.why_not, run.why_not
    if run.process is None:
        start(run, versions)
    assert run.process is not None
    status = run.process.wait()
    said = run.log.read_text(encoding="utf-8", errors="replace")
    _, _, summary = said.partition("short test summary info")
    table.row(f"== {name}: Python {versions.python}, {', '.join(versions.packages) or 'what pip finds'}")
    table.row((summary.partition("\n")[2] or said.rpartition("\n")[2]).strip())
    assert status == 0, said


def prepare(run: Run, name: str) -> bool:
    """Install what posed needs, then exactly these, and compile the decoder; whether that could be done."""
    versions = VERSIONS[name]
    try:
        run.place = find_place(versions)
    except pytest.skip.Exception as skipped:
        run.why_not = str(skipped)
        return False
    stamp = run.place.outside / ".installed"
    wanted = f"{versions.python} {versions.packages} {zlib.crc32((ROOT / 'pyproject.toml').read_bytes())}"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        try:
            install(run.place, versions.packages)
        except subprocess.CalledProcessError as error:
            run.why_not = f"{error}\n{error.stdout}\n{error.stderr}"
            return False
        stamp.write_text(wanted, encoding="utf-8")
    let_us_in(run.place)
    # Tests say where it did not compile.
    run.place.run("bin/python", "setup.py", "--quiet", "build_ext", "--inplace", check=False)
    return True


def find_place(versions: Versions) -> Place:
    """Where there is such a Python; skips the test where that is nowhere."""
    # Who wants the same packages shares them.
    name = next(one for one in VERSIONS if replace(VERSIONS[one], tests=()) == replace(versions, tests=()))
    if versions.codename:
        return Place(Path("/opt/versions") / name, "/usr/bin/python3", debian_with_us(versions.codename))
    python = python_of(versions.python)
    if python is None:
        cannot(f"there is no Python {versions.python}")
    return Place(CACHE / "versions" / name, python)


def python_of(version: str) -> str | None:
    """Find a Python by its version, also among those that pyenv keeps."""
    kept = sorted(map(str, PYENV.glob(f"versions/{version}.*/bin/python3")))
    for name in (f"python{version}", "python3", *kept):
        if (program := shutil.which(name)) is not None:
            ask = [program, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            if subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() == version:
                return program
    return None


def debian_with_us(codename: str) -> Chroot:
    """A Debian where our sources, and what lies beside them, are at the place that they have here."""
    need_chroots()
    root = make_debian_of(codename)
    ours = {str(path): path for path in (ROOT, SHARED) if path.is_dir()}
    for path in ours.values():
        (root / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
    variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **proxies()}
    chroot = Chroot(root, variables, covers=ours)
    chroot.take_along()
    return chroot


def install(place: Place, packages: tuple[str, ...]) -> None:
    """Everything but posed itself, whose sources are tested where they are."""
    shutil.rmtree(place.outside, ignore_errors=True)
    place.run(place.python, "-m", "venv", str(place.folder))
    extras = PROJECT["optional-dependencies"]
    tools = [tool for tool in extras["test"] if not tool.startswith("posed")]
    held = {named(package): package for package in packages}
    wanted = [held.pop(named(one), one) for one in (*PROJECT["dependencies"], *extras["demo"])]
    brokers = [one for one in wanted if named(one) == "amqtt"]
    pip(place, "install", *(one for one in wanted if one not in brokers), *held.values(), *tools, *BUILD)
    install_apart(place, brokers, {named(package) for package in packages})
    if "tflite-runtime" in map(named, packages):
        leave_the_schema(place)


def let_us_in(place: Place) -> None:
    """Make our sources as good as installed: found from any folder, and with their program."""
    [packages] = place.outside.glob("lib/python3*/site-packages")
    (packages / "posed.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    program = place.outside / "bin/posed"
    lines = (f"#!{place.folder}/bin/python", "from posed.__main__ import main", "raise SystemExit(main())")
    program.write_text("\n".join([*lines, ""]), encoding="utf-8")
    program.chmod(0o755)


def named(requirement: str) -> str:
    """The name in a requirement, as PyPI compares it."""
    return canonicalize_name(Requirement(requirement).name)


def install_apart(place: Place, packages: list[str], held: set[str]) -> None:
    """What the tests run beside posed: its own bounds, some of one version alone, must not decide for ours.

    Args:
        place: where.
        packages: to be installed.
        held: names of the packages that stay as they are, whatever it asks for.
    """
    pip(place, "install", "--no-deps", *packages)
    for package in packages:
        [about] = place.outside.glob(f"lib/python3*/site-packages/{named(package)}-*.dist-info/METADATA")
        asked = email.message_from_string(about.read_text(encoding="utf-8")).get_all("Requires-Dist", [])
        more = [one for one in asked if "extra ==" not in one and named(one) not in held]
        pip(place, "install", *more)


def leave_the_schema(place: Place) -> None:
    """Of ai-edge-litert only what tests write their models with: tflite-runtime has no such thing."""
    [schema] = place.outside.glob("lib/python3*/site-packages/ai_edge_litert/schema_py_generated.py")
    text = schema.read_bytes()
    pip(place, "uninstall", "--yes", "ai-edge-litert")
    schema.parent.mkdir(exist_ok=True)
    schema.write_bytes(text)


def pip(place: Place, *arguments: str) -> None:
    """One command of it; raises CalledProcessError."""
    place.run("bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def start(run: Run, versions: Versions) -> None:
    """Begin the tests: some beside one another, or all of the quick ones in two processes."""
    assert run.place is not None
    tests = [f"tests/test_{name}.py" for name in versions.tests]
    options = [] if tests else ["--numprocesses", "2", "--dist", "worksteal"]
    command = run.place.command(
        "bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *tests
    )
    with run.log.open("wb") as log:
        run.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
