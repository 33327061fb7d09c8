"""open_camera: which camera a configuration opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from posed.camera import open_camera, picamera
from posed.camera.images import Images
from posed.camera.video import VideoFile
from posed.config import CameraConfig
from posed.errors import CameraError

MODEL_SIZE = (481, 353)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((24, 32, 3), np.uint8))
    return path


def test_images_opens_pictures(picture: Path) -> None:
    with open_camera(CameraConfig(kind="images", source=str(picture)), MODEL_SIZE) as camera:
        assert isinstance(camera, Images)
        assert camera.name == f"camera {picture}"


def test_video_opens_a_file(picture: Path) -> None:
    with open_camera(CameraConfig(kind="video", source=str(picture)), MODEL_SIZE) as camera:
        assert isinstance(camera, VideoFile)
        assert camera.name == f"camera {picture}"


def test_picamera2_is_told_the_size_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(picamera, "open_picamera", lambda *arguments: asked.append(arguments))
    config = CameraConfig(kind="picamera2")
    open_camera(config, MODEL_SIZE)
    assert asked == [(config, MODEL_SIZE)]


def test_what_cannot_be_opened_is_a_camera_error(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="there is no such file"):
        open_camera(CameraConfig(kind="video", source=f"{tmp_path}/none.mp4"), MODEL_SIZE)


def test_importing_the_package_imports_no_camera() -> None:
    script = (
        "import posed.camera, sys; print(sorted(m for m in sys.modules if m.startswith('posed.camera.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
