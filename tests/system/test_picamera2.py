"""Runs Pi cameras on the real picamera2 and libcamera, with libcamera's virtual camera for a sensor.

It runs in a Debian forky, the first whose libcamera has such a camera (about 1.5 GB), which is made once, in
${XDG_CACHE_HOME:-~/.cache}/posed-check/picamera2; delete that folder to start afresh.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pytest

from posed.camera.imx500_view import INPUT, REGION
from posed.config import DecodeConfig
from posed.frame import Frame, Image
from posed.pipeline.detection import infer, poses_of
from tests import ai_camera_standin
from tests.ai_camera_standin import part_of, run_of
from tests.system.conftest import Table
from tests.system.debian import Chroot, make_debian, need_chroots, proxies
from tests.system.needs import CACHE, cannot, locked

pytestmark = pytest.mark.system

LONGEST_S: Final = 300
FOLDER: Final = Path(__file__).resolve().parent / "picamera"
INSIDE: Final = "/posed/tests/system/picamera"
SIZE: Final = (640, 480)
IDENTITY: Final = "/base/soc/i2c0mux/i2c@1/imx500@1a"
"""What libcamera calls an AI Camera."""

LIBRARIES: Final = {
    "memory.so": ("gcc", "memory.c"),
    "imx500.so": ("g++", "imx500.cpp", "-std=c++20", "-I/usr/include/libcamera", "-lcamera", "-lcamera-base"),
}
"""How these are compiled, which stand in for what is not here."""

VIRTUAL: Final = "usr/share/libcamera/pipeline/virtual/virtual.yaml"

MADE: Final = ".packages-made-2"
"""This file says that all packages below are there."""

INSTALL: Final = """
# A mirror may be a frozen copy, whose testing and unstable expire.
apt-get -o Acquire::Check-Valid-Until=false update
apt-get install --yes --no-install-recommends python3-libcamera libcamera-ipa libcamera-dev libarchive13t64 \\
    python3-venv python3-pip python3-dev python3-numpy g++ libc6-dev linux-libc-dev libcap-dev
python3 -m venv --system-site-packages /venv
# picamera2's compiled parts are bound to apt's numpy, as on a Pi: pip must not replace it.
/venv/bin/pip install picamera2==0.3.38 "opencv-python-headless<4.12" pydantic PyYAML msgspec flatbuffers \\
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
    if not (root / MADE).exists():
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
    (chroot.root / MADE).touch()


def test_camera_works_with_the_real_picamera2(table: Table) -> None:
    need_chroots()
    with locked("picamera2"):
        chroot = make_chroot()
        (chroot.root / VIRTUAL).write_text((FOLDER / "virtual.yaml").read_text())
        done = run(chroot, "check.py", "memory.so")
    table.row(done.stdout.rstrip())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.shared
def test_ai_camera_works_with_the_real_picamera2(shared: Path, table: Table) -> None:
    need_chroots()
    with locked("picamera2"):
        chroot = make_chroot()
        write_ai_camera(chroot.root, shared)
        with_device = replace(chroot, covers={"/sys/class": chroot.root / "check/class"})
        done = run(with_device, "check_imx500.py", "memory.so", "imx500.so")
    table.row(done.stdout.rstrip())
    assert done.returncode == 0, done.stdout + done.stderr


def run(chroot: Chroot, script: str, *libraries: str) -> subprocess.CompletedProcess[str]:
    """Every check of a script, with what stands in for devices."""
    (chroot.root / "check/frames").mkdir(parents=True, exist_ok=True)
    for library in libraries:
        compiler, source, *more = LIBRARIES[library]
        flags = ["-shared", "-fPIC", "-Wall", "-O1", "-o", f"/check/{library}", f"{INSIDE}/{source}", *more]
        compiled = chroot.run(compiler, *flags, capture_output=True)
        assert compiled.returncode == 0, compiled.stderr
    ours = {
        "PATH": f"/check/bin:{chroot.variables['PATH']}",
        "PYTHONPATH": f"/posed:{INSIDE}",
        "LIBCAMERA_LOG_LEVELS": "*:FATAL",
        "LD_PRELOAD": " ".join(f"/check/{library}" for library in libraries),
    }
    command = ["timeout", "--signal", "KILL", str(LONGEST_S), "/venv/bin/python", f"{INSIDE}/{script}"]
    checking = replace(chroot, variables=chroot.variables | ours)
    return checking.run(*command, "/check/frames", capture_output=True)


def write_ai_camera(root: Path, shared: Path) -> None:
    """What there is of an AI Camera, what it sees and says of it, and where the CPU engine finds people."""
    camera = (FOLDER / "virtual.yaml").read_text()
    (root / VIRTUAL).write_text(camera.replace("Virtual0", IDENTITY).replace('"virtual"', '"imx500"'))
    check = root / "check"
    for folder in ("ai", "bin", "class", "frames"):
        shutil.rmtree(check / folder, ignore_errors=True)
        (check / folder).mkdir(parents=True)
    write_device(check / "class")
    (check / "ai/driver").touch()
    refuses = check / "bin/sudo"  # as in posed's sandbox; picamera2 asks it for the kernel's debug files
    refuses.write_text("#!/bin/sh\nexit 1\n")
    refuses.chmod(0o755)
    seen = np.asarray(cv2.imread(str(shared / "testdata/couple_640x480.bmp")))
    crop = ai_camera_standin.default_crop(SIZE)
    cv2.imwrite(str(check / "frames/0.jpg"), part_of(seen, crop, SIZE))
    np.array(crop, np.int32).tofile(check / "ai/crop")
    sensor = ai_camera_standin.Sensor(shared / "models" / ai_camera_standin.MODEL)
    network_input = cv2.cvtColor(part_of(seen, REGION, INPUT), cv2.COLOR_BGR2RGB)
    np.array(run_of(sensor.outputs(network_input)), np.float32).tofile(check / "ai/outputs")
    people = people_in(network_input, sensor, crop)
    (check / "ai/people.json").write_text(json.dumps(people.tolist()))


def write_device(sysfs: Path) -> None:
    """The sensor's device, as the kernel shows it below /sys/class."""
    device = sysfs / "10-001a"
    (device / "driver").mkdir(parents=True)
    (sysfs / "imx500").mkdir()
    (device / "driver/module").symlink_to("/check/class/imx500")
    (device / "of_node").symlink_to(f"/sys/firmware/devicetree{IDENTITY}")
    (sysfs / "video4linux/v4l-subdev0").mkdir(parents=True)
    (sysfs / "video4linux/v4l-subdev0/device").symlink_to("/check/class/10-001a")


def people_in(network_input: Image, sensor: ai_camera_standin.Sensor, crop: tuple[int, ...]) -> np.ndarray:
    """Keypoints of everybody, y first, from the left, px of the picture: where the CPU engine finds them."""
    frame = Frame(network_input, 0, 0.0, 0.0, 0.0)
    poses = poses_of(infer(frame, sensor.engine, INPUT), sensor.network, DecodeConfig())
    points = np.array(sorted((pose.points for pose in poses), key=lambda one: float(one[:, 1].mean())))
    (left, top, width, height), (columns, rows) = REGION, INPUT
    on_sensor = (points + 0.5) * [height / rows, width / columns] + [top, left]
    return np.asarray((on_sensor - crop[1::-1]) * [SIZE[1] / crop[3], SIZE[0] / crop[2]] - 0.5)
