"""What tests share: the folder ../shared, a broker, settings of a daemon, and Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posed.config import CAMERA
from scripts.paths import SHARED
from tests.brokers import Mosquitto

# What shells start in the background ignores Ctrl-C, and so would each process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests may run in a container; what posed does there is tested where this is set to something else.
os.environ["container"] = ""  # noqa: SIM112 - its name


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """The level of the log is the same for each test: a daemon in this process sets its own."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and pictures beside the checkout, which a fresh clone lacks."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real models and pictures), which is not there")
    return SHARED


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto of the test's own."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as mosquitto:
        yield mosquitto


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A daemon on a tiny model, which takes red for people, and a folder of one red picture."""
    from tests.make_tflite import UPRIGHT, make_tflite  # which skips the test where there is no schema

    (tmp_path / "red.tflite").write_bytes(make_tflite(UPRIGHT))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "1.png"), np.full((98, 130, 3), (0, 0, 255), np.uint8))
    return {
        "device": "hall",
        "cameras": {CAMERA: {"kind": "images", "source": str(pictures), "loop": True, "fps": 20}},
        "model": {"name": str(tmp_path / "red.tflite")},
        "decode": {"max_people": 1},
        "mqtt": {"host": "127.0.0.1"},
    }
