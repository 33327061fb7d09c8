"""A machine on which no file can be written, such as a container that is started with `--read-only`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from scripts.standins.edgetpu import Behaviour
from tests.brokers import free_port
from tests.make_tflite import make_tflite
from tests.standin import built

PROTECT = """
for folder in / /tmp /var/tmp /run /dev/shm; do
    mountpoint -q $folder && mount -o remount,ro,bind $folder
done
touch "$1/written" 2>/dev/null && exit 77
shift
exec "$@"
"""
PROTECTED = ["unshare", "--mount", "sh", "-c", PROTECT, "sh"]


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root may mount")
@pytest.mark.parametrize("edgetpu", [False, True])
def test_it_runs_where_nothing_can_be_written(tmp_path: Path, edgetpu: bool):
    model, config = tmp_path / "red.tflite", tmp_path / "posed.yaml"
    model.write_bytes(make_tflite(edgetpu=edgetpu))
    picture = tmp_path / "black.png"
    cv2.imwrite(str(picture), np.zeros((98, 130, 3), np.uint8))
    settings = {
        "device": "hall",
        "cameras": {"camera": {"kind": "images", "source": str(picture), "fps": 20}},
        "model": {"name": str(model)},
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
        "web": {"enabled": True, "port": free_port()},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    standin = built().environment(Behaviour())
    done = subprocess.run(
        [*PROTECTED, str(tmp_path), sys.executable, "-m", "posed", "run", "--config", str(config)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)} | standin,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("these file systems cannot be made read-only here")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "all pictures have been shown, 1 in all" in done.stderr
    assert f"engine: {'edgetpu' if edgetpu else 'cpu'}" in done.stderr
