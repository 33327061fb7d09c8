"""open_camera: which camera a configuration opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from posed.camera import device_of, open_camera, picamera
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


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kind": "synthetic", "source": "front"}, r"source: must be a whole number, the scene's seed"),
        ({"kind": "picamera2", "source": "front"}, r"source: must be a camera's number for kind picamera2"),
        ({"kind": "imx500", "source": "front"}, r"source: must be a camera's number for kind imx500"),
        ({"kind": "video", "source": "a" * 300}, r"source: cannot be opened \(File name too long\)"),
    ],
)
def test_a_setting_that_cannot_work_is_named_with_its_camera(settings: dict[str, str], problem: str) -> None:
    with pytest.raises(CameraError, match=rf"^cameras\.hall\.{problem}"):
        open_camera(CameraConfig(**settings), MODEL_SIZE, "hall")


def test_a_missing_picamera2_is_named_with_its_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CameraError, match=r"^cameras\.hall\.kind: picamera2 needs `apt install"):
        open_camera(CameraConfig(), MODEL_SIZE, "hall")


@pytest.mark.parametrize(
    ("settings", "device"),
    [
        ({}, "Pi camera 0"),
        ({"source": "1"}, "Pi camera 1"),
        ({"source": "front"}, None),
        ({"kind": "imx500"}, "the first AI Camera"),
        ({"kind": "imx500", "source": "1"}, "Pi camera 1"),
        ({"kind": "imx500", "source": "front"}, None),
        ({"kind": "video", "source": "2"}, "/dev/video2"),
        ({"kind": "video", "source": "/dev/video2"}, "/dev/video2"),
        ({"kind": "video", "source": "rtsp://host/stream"}, None),
        ({"kind": "video", "source": "room.mp4"}, None),
        ({"kind": "images", "source": "/dev/shm"}, None),
        ({"kind": "synthetic", "source": "1"}, None),
    ],
)
def test_a_device_has_one_name_however_it_is_written(settings: dict[str, str], device: str | None) -> None:
    assert device_of(CameraConfig(**settings)) == device


def test_a_link_to_a_device_is_that_device() -> None:
    link = next(link for link in Path("/dev").iterdir() if link.is_symlink())
    assert device_of(CameraConfig(kind="video", source=str(link))) == str(link.resolve())


def test_importing_the_package_imports_no_camera() -> None:
    script = (
        "import posed.camera, sys; print(sorted(m for m in sys.modules if m.startswith('posed.camera.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
