"""Runs the Pi camera on the real picamera2 and libcamera, with libcamera's virtual camera for a sensor.

It runs in a Debian forky, the first whose libcamera has such a camera (about 1.5 GB), which is made once, in
${XDG_CACHE_HOME:-~/.cache}/posed-check/picamera2; delete that folder to start afresh.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.system.conftest import Table
from tests.system.debian import Chroot, make_debian, need_chroots, proxies
from tests.system.needs import CACHE, cannot, locked

pytestmark = pytest.mark.system

LONGEST_S: Final = 300
FOLDER: Final = Path(__file__).resolve().parent / "picamera"
INSIDE: Final = "/posed/tests/system/picamera"
VIRTUAL: Final = "usr/share/libcamera/pipeline/virtual/virtual.yaml"

INSTALL: Final = """
# A mirror may be a frozen copy, whose testing and unstable expire.
apt-get -o Acquire::Check-Valid-Until=false update
apt-get install --yes --no-install-recommends python3-libcamera libcamera-ipa \\
    python3-venv python3-pip python3-dev python3-numpy gcc libc6-dev linux-libc-dev libcap-dev
python3 -m venv --system-site-packages /venv
# picamera2's compiled parts are bound to apt's numpy, as on a Pi: pip must not replace it.
/venv/bin/pip install picamera2==0.3.38 "opencv-python-headless<4.12" pydantic PyYAML \\
    "numpy==$(python3 -c 'import numpy; print(numpy.__version__)')"
"""


def make_chroot() -> Chroot:
    """A Debian with libcamera, picamera2 and these sources; made once, which takes minutes."""
    root = CACHE / "picamera2" / "root"
    variables = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "DEBIAN_FRONTEND": "noninteractive",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    chroot = Chroot(root, variables | proxies(), shows_us=True)
    make_debian(root, "forky", "ca-certificates", made=".base-made")
    if not (root / ".packages-made").exists():
        install(chroot)
    return chroot


def install(chroot: Chroot) -> None:
    """What comes by apt and pip."""
    chroot.take_along()
    log = chroot.root.parent / "install.log"
    with log.open("wb") as file:
        done = chroot.run("sh", "-e", "-c", INSTALL, stdout=file, stderr=file)
    if done.returncode != 0:
        cannot(f"installing failed, see {log}")
    (chroot.root / ".packages-made").touch()


def test_camera_works_with_the_real_picamera2(table: Table) -> None:
    need_chroots()
    with locked("picamera2"):
        chroot = make_chroot()
        done = run(chroot)
    table.row(done.stdout.rstrip())
    assert done.returncode == 0, done.stdout + done.stderr


def run(chroot: Chroot) -> subprocess.CompletedProcess[str]:
    """Every check, on a camera whose buffers are memory files."""
    (chroot.root / "check/frames").mkdir(parents=True, exist_ok=True)
    shutil.copy(FOLDER / "virtual.yaml", chroot.root / VIRTUAL)
    compiler = ["gcc", "-shared", "-fPIC", "-Wall", "-O1", "-o", "/check/memory.so", f"{INSIDE}/memory.c"]
    compiled = chroot.run(*compiler, capture_output=True)
    assert compiled.returncode == 0, compiled.stderr
    ours = {
        "PYTHONPATH": "/posed",
        "LIBCAMERA_LOG_LEVELS": "*:FATAL",
        "LD_PRELOAD": "/check/memory.so",
    }
    command = ["timeout", "--signal", "KILL", str(LONGEST_S), "/venv/bin/python", f"{INSIDE}/check.py"]
    checking = replace(chroot, variables=chroot.variables | ours)
    return checking.run(*command, "/check/frames", capture_output=True)
