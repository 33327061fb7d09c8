"""Builds, installs and runs posed on arm64, as a Pi 4 has it, under qemu-user.

    pytest -m release tests/system/test_arm64.py [--codename trixie]

Takes some 20 minutes a Debian, and the network (Debian, PyPI). The processor is that of a Pi 4, so that an
instruction that it lacks ends a process; never qemu's `max`, with whose SME LiteRT finds nobody. The kernel
and its page size are this machine's. The rows are what one machine lives through, in their order.

Each Debian is made once, in ${XDG_CACHE_HOME:-~/.cache}/posed-check/arm64, and lived through in a copy.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pytest
import yaml

from posed.synthetic.scene import random_still
from scripts.paths import MODELS, ROOT, SHARED
from tests.brokers import Mosquitto, Subscriber
from tests.system.conftest import Row
from tests.system.debian import Chroot, make_debian, need_chroots, proxies
from tests.system.machine import wait_for
from tests.system.needs import CACHE, cannot, locked, need_debian

pytestmark = pytest.mark.release

DEBIANS: Final = ("bookworm", "trixie")
FOLDER: Final = CACHE / "arm64"
PACKAGES: Final = (
    "ca-certificates,python3,python3-venv,python3-dev,python3-numpy,gcc,libc6-dev,systemd,procps,libstdc++6"
)

BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
QEMU: Final = "qemu-aarch64"

CPUINFO: Final = """\
processor\t: {}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
"""A Pi 4's /proc/cpuinfo, of each of its four cores. With this machine's, LiteRT crashes."""

MODEL: Final = "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n"

BUILD: Final = ("pip>=23.1", "setuptools>=77", "cython>=3.1")
TOOLS: Final = ("pytest>=8", "hypothesis>=6.100", "jsonschema>=4.20", "jinja2>=3.1", "ai-edge-litert")
"""What the tests take: LiteRT too, for the schema by which they write models."""

TESTS: Final = ("test_networks*.py", "test_model*.py", "test_people*.py")
BUNDLED: Final = ("drawings-257x353-8", "drawings-257x353-16", "drawings-257x353-32")
DRAWN: Final = 2
"""So many pictures of drawn people are looked at."""

POSES: Final = "posed/pi/hall/poses"

LARGEST_PAGE: Final = 0x4000
"""A Pi 5's kernel has pages of 16 kB. Source: Raspberry Pi's kernel_2712.img."""

MOST_UNITS: Final = 4.0
MOST_FLOAT: Final = 1e-3
MOST_PX: Final = 1.0
"""Output tensors and keypoints may differ by this much from x86-64's: units of a quantised tensor, shares of
the largest value of a float one, px. Source: ../shared/README.md; what is measured is printed."""


class Pi:
    """A Debian for arm64 that is entered by chroot, with posed's sources in /posed.

    Args:
        root: its files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "check"
        self.folder.mkdir()
        cpuinfo = root.parent / "cpuinfo"
        cpuinfo.write_text("".join(map(CPUINFO.format, range(4))) + MODEL)
        covers = {"/proc/cpuinfo": cpuinfo}
        if SHARED.is_dir():
            (self.folder / "shared").mkdir()
            covers["/check/shared"] = SHARED
        variables = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND": "noninteractive",
            "QEMU_CPU": "cortex-a72",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.chroot = Chroot(root, variables | proxies(), shows_us=True, covers=covers)
        self.chroot.take_along()

    def do(self, command: str, **variables: str) -> str:
        """Run a shell command that must succeed; what it says."""
        chroot = replace(self.chroot, variables={**self.chroot.variables, **variables})
        done = chroot.run("sh", "-e", "-c", command, stdin=subprocess.DEVNULL, capture_output=True)
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-40:])
        assert done.returncode == 0, f"{command}: status {done.returncode}:\n{last}"
        return done.stdout.strip()


def wheels(pi: Pi) -> str:
    """Every dependency has a wheel, also those that pip takes for building; this machine's pip is quicker."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = "import numpy, platform; print(numpy.__version__, *platform.python_version_tuple()[:2])"
    numpy, *version = pi.do(f"python3 -c '{asked}'").split()
    glibc = pi.do("ldd --version | sed -n '1s/.*2[.]//p'")
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in range(17, int(glibc) + 1)]
    wanted = [*project["dependencies"], f"numpy=={numpy}", *BUILD, *TOOLS]
    command = [*(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")]
    command += [
        "--only-binary",
        ":all:",
        "--python-version",
        ".".join(version),
        "--dest",
        pi.folder / "wheels",
    ]
    command += [f"--platform={name}" for name in ("manylinux2014_aarch64", *platforms)]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = sorted(path.name for path in (pi.folder / "wheels").iterdir())
    compiled = [name for name in found if "aarch64" in name]
    litert = next(name.split("-")[1] for name in found if name.startswith("ai_edge_litert"))
    python = ".".join(version)
    return f"Python {python}, numpy {numpy}: {len(found)} wheels, {len(compiled)} compiled; LiteRT {litert}"


def package(pi: Pi) -> str:
    """The .deb builds out of those wheels alone, installs and starts."""
    pi.do("/posed/scripts/build_deb /check/dist", PIP_NO_INDEX="1", PIP_FIND_LINKS="/check/wheels")
    [deb] = (pi.folder / "dist").iterdir()
    assert deb.name.endswith("_arm64.deb"), deb.name
    pi.do(f"apt-get install --yes --no-install-recommends /check/dist/{deb.name}")
    version = pi.do("posed --version")
    return f"{deb.name}, {deb.stat().st_size / 1e6:.0f} MB; {version}"


def pages(pi: Pi) -> str:
    """No library of it is aligned for pages that are smaller than a Pi 5's."""
    libraries = [path for path in pi.root.glob("opt/posed/**/*.so*") if path.is_file()]
    assert libraries
    small = {path.name: alignment for path in libraries if (alignment := alignment_of(path)) < LARGEST_PAGE}
    assert not small, f"aligned for smaller pages: {small}"
    return f"{len(libraries)} libraries, all aligned for pages of {LARGEST_PAGE // 1024} kB"


def alignment_of(library: Path) -> int:
    """The smallest of its segments that are loaded, bytes."""
    said = subprocess.run(["readelf", "-lW", library], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ +LOAD .* (0x[0-9a-f]+)$", said, re.MULTILINE)
    assert found, f"{library}: nothing of it is loaded"
    return min(int(alignment, 16) for alignment in found)


def poses(pi: Pi) -> str:
    """Models say of pictures what they say on this machine."""
    pictures, models = pi.folder / "pictures", list(BUNDLED)
    pictures.mkdir()
    for seed in range(DRAWN):
        image = random_still(seed, (640, 480), 2).image
        cv2.imwrite(str(pictures / f"drawn{seed}.png"), cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR))
    if SHARED.is_dir():
        for path in (SHARED / "testdata").glob("*.bmp"):
            shutil.copy(path, pictures)
        models += [str(path.relative_to(SHARED)) for path in sorted(MODELS.glob("*_decoder.tflite"))]
    take_tests(pi)
    inside = [f"/check/shared/{name}" if "/" in name else name for name in models]
    command = f"-m tests.system.arm64_heads /check/pictures /check/theirs.npz {' '.join(inside)}"
    pi.do(f"cd /check/src && /opt/posed/bin/python3 {command}", PYTHONPATH="/check/src:/check/tools")
    outside = [str(SHARED / name) if "/" in name else name for name in models]
    ours = [sys.executable, "-m", "tests.system.arm64_heads", str(pictures), str(pi.folder / "ours.npz")]
    subprocess.run([*ours, *outside], cwd=ROOT, check=True)
    return compared(pi.folder / "ours.npz", pi.folder / "theirs.npz")


def compared(ours: Path, theirs: Path) -> str:
    """How far apart two files of `arm64_heads` are."""
    with np.load(ours) as mine, np.load(theirs) as other:
        assert set(mine) == set(other)
        people, most_px, most_units, most_float, differing = 0, 0.0, 0.0, 0.0, 0
        for key in mine:
            one, two = mine[key], other[key]
            assert one.shape == two.shape, f"{key}: {one.shape} and {two.shape}"
            apart = float(np.abs(one.astype(np.float64) - two.astype(np.float64)).max(initial=0.0))
            if key.endswith("/poses"):
                people, most_px = people + len(one), max(most_px, apart)
            elif one.dtype == np.float32:
                most_float = max(most_float, apart / float(np.abs(one).max()))
            else:
                most_units = max(most_units, apart)
            differing += bool(apart)
        count = len(mine)
    found = (
        f"{people} people, keypoints at most {most_px:.3g} px apart; tensors {most_units:g} units, "
        f"{most_float:.2g} of a float's range; {differing} of {count} arrays differ"
    )
    assert people, found
    assert most_px <= MOST_PX, found
    assert most_units <= MOST_UNITS, found
    assert most_float <= MOST_FLOAT, found
    return found


def take_tests(pi: Pi) -> None:
    """These sources' tests beside what the package has installed, and what they take; once."""
    source = pi.folder / "src"
    if source.exists():
        return
    source.mkdir()
    for name in ("tests", "scripts"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    [installed] = pi.root.glob("opt/posed/lib/python3*/site-packages/posed")
    (source / "posed").symlink_to(Path("/") / installed.relative_to(pi.root))
    tools = " ".join(f"'{tool}'" for tool in TOOLS)
    options = "--quiet --no-index --find-links /check/wheels --no-compile --target /check/tools"
    pi.do(f"python3 -m venv /check/pip && /check/pip/bin/pip install {options} {tools}")
    # numpy is the system's, as it is for what is tested.
    for path in (pi.folder / "tools").glob("numpy*"):
        shutil.rmtree(path)


def suite(pi: Pi) -> str:
    """Those of decoding, of people and of models pass, on the decoder that the package brings."""
    take_tests(pi)
    names = " ".join(f"tests/{name}" for name in TESTS)
    command = f"cd /check/src && /opt/posed/bin/python3 -m pytest -q -p no:cacheprovider {names}"
    said = pi.do(command, PYTHONPATH="/check/tools", PYTHONDONTWRITEBYTECODE="1", CI="true")
    return said.splitlines()[-1]


def daemon(pi: Pi) -> str:
    """It sees drawn people and tells them to this machine's broker, with the compiled decoder."""
    broker_folder = pi.folder / "broker"
    broker_folder.mkdir()
    with Mosquitto(broker_folder) as broker:
        settings = {
            "device": "pi",
            "cameras": {"hall": {"kind": "synthetic", "fps": 2}},
            "model": {"name": BUNDLED[2]},
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
        }
        (pi.folder / "posed.yaml").write_text(yaml.safe_dump(settings))
        command = pi.chroot.command(
            *("posed", "run", "--config", "/check/posed.yaml", "--state", "/check/state")
        )
        log_file = pi.folder / "posed.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            with Subscriber(broker.port, POSES) as subscriber:
                took_s = wait_for("poses", lambda: seen(subscriber, process, log_file), 300)
            process.terminate()
            status = process.wait(60)
        finally:
            process.kill()
            process.wait()
    said = log_file.read_text(encoding="utf-8", errors="replace")
    assert "many people, compiled" in said, said
    assert "cpu, ai-edge-litert" in said, said
    assert status == 0, f"status {status}: {said}"
    return f"poses of people {took_s:.0f} s after its start, status 0 after SIGTERM"


def seen(subscriber: Subscriber, process: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether somebody was seen; fails where the daemon has ended."""
    assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
    return any(json.loads(payload)["people"] for payload in subscriber.payloads(POSES))


ROWS: Final[dict[str, Callable[[Pi], str]]] = {
    "wheels": wheels,
    "package": package,
    "16 kB pages": pages,
    "poses": poses,
    "tests": suite,
    "daemon": daemon,
}


@contextlib.contextmanager
def arm64_programs() -> Iterator[None]:
    """This kernel runs programs for arm64, by qemu, until the end."""
    if platform.machine() == "aarch64":
        yield
        return
    need_debian("qemu-aarch64-static", "qemu-user-static")
    if not (BINFMT / "register").exists():
        mounted = subprocess.run(
            ["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            cannot("needs a kernel with binfmt_misc")
    there_already = (BINFMT / QEMU).exists()
    if not there_already:
        # The flag F in it: the kernel opens qemu now, so that each chroot finds it.
        rule = Path(f"/usr/lib/binfmt.d/{QEMU}.conf").read_bytes().strip()
        (BINFMT / "register").write_bytes(rule)
    try:
        yield
    finally:
        if not there_already:
            (BINFMT / QEMU).write_text("-1")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every row on every Debian, one after the other."""
    asked = metafunc.config.getoption("--codename", default=None)
    metafunc.parametrize("pi", asked or DEBIANS, indirect=True, scope="module")
    metafunc.parametrize("name", ROWS)


@pytest.fixture(scope="module")
def pi(request: pytest.FixtureRequest) -> Iterator[Pi]:
    """A copy of that Debian, which is thrown away."""
    need_chroots()
    need_debian("readelf", "binutils")
    need_debian("mosquitto", "mosquitto")
    with locked("arm64"), arm64_programs():
        made, copy = FOLDER / request.param, FOLDER / f"{request.param}.lived-in"
        make_debian(made, request.param, PACKAGES, architecture="arm64")
        shutil.rmtree(copy, ignore_errors=True)
        subprocess.run(["cp", "-a", made, copy], check=True)
        try:
            yield Pi(copy)
        finally:
            shutil.rmtree(copy, ignore_errors=True)


def test_a_pi_4_does_what_this_machine_does(name: str, pi: Pi, row: Row) -> None:
    row.report(ROWS[name](pi))
