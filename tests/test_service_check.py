"""`posed check`: what a configuration leads to, by camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posed.config import Config
from posed.errors import ConfigError
from posed.service.check import check, shared_devices

CANARY = "canary-4e7d"


def problems(**cameras: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        check(Config(cameras=cameras))
    return list(raised.value.problems)


@pytest.mark.parametrize(
    ("camera", "problem"),
    [
        ({"kind": "video", "source": "/nowhere.mp4"}, "source: must be a video, there is no such file"),
        ({"kind": "images", "source": "/nowhere"}, "source: must be a picture, a folder of pictures or a"),
        ({"kind": "synthetic", "source": "front"}, "source: must be a whole number, the scene's seed"),
        ({"kind": "picamera2", "source": "front"}, "source: must be a camera's number for kind picamera2"),
    ],
)
def test_a_source_that_cannot_be_is_named_with_its_camera(camera: dict[str, Any], problem: str) -> None:
    (found,) = problems(bath={"kind": "synthetic"}, hall=camera)
    assert found.startswith(f"cameras.hall.{problem}")


@pytest.mark.parametrize("kind", ["picamera2", "video", "images", "synthetic"])
def test_a_source_that_cannot_be_is_not_shown(kind: str) -> None:
    (found,) = problems(hall={"kind": kind, "source": f"me:{CANARY}"})
    assert CANARY not in found


def test_every_problem_of_every_camera_is_listed() -> None:
    found = problems(hall={"kind": "synthetic", "source": "a"}, bath={"kind": "video", "source": "/nowhere"})
    assert [problem.partition(":")[0] for problem in found] == ["cameras.hall.source", "cameras.bath.source"]


@pytest.mark.parametrize(
    ("first", "second", "device"),
    [
        ({}, {"source": "0"}, "Pi camera 0"),
        ({"source": 2}, {"source": "2"}, "Pi camera 2"),
        ({"kind": "video", "source": 0}, {"kind": "video", "source": "/dev/video0"}, "/dev/video0"),
        ({"kind": "imx500"}, {"kind": "imx500"}, "the first AI Camera"),
        ({"kind": "imx500"}, {"kind": "imx500", "source": 0}, "Pi camera 0"),
        ({"kind": "imx500", "source": 1}, {"source": 1}, "Pi camera 1"),
    ],
)
def test_one_device_for_two_cameras_is_refused(
    first: dict[str, Any], second: dict[str, Any], device: str
) -> None:
    rule = "must be another device than that of cameras.hall, which opens once only"
    assert problems(hall=first, bath=second) == [f"cameras.bath.source: {rule}, got {device}"]


def test_different_devices_are_good() -> None:
    check(Config(cameras={"hall": {}, "bath": {"source": "1"}, "attic": {"kind": "video", "source": 0}}))


AI = {"hall": {"kind": "imx500"}}


@pytest.mark.parametrize("name", ["/nowhere.tflite", "nowhere.tflite", "nowhere/net"])
def test_cameras_that_infer_themselves_do_without_a_file(name: str) -> None:
    said = check(Config(cameras=AI, model={"name": name}))
    assert said == f"model {name}: no such file; the cameras do without, and rotated crops are left out"
    both = AI | {"bath": {"kind": "synthetic"}}
    with pytest.raises(ConfigError, match=rf"^model\.name: model {name}: no such file$"):
        check(Config(cameras=both, model={"name": name}))


def test_an_unknown_name_of_a_model_is_always_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.name: model coralx: must be a known name or the path"):
        check(Config(cameras=AI, model={"name": "coralx"}))


@pytest.mark.usefixtures("no_models")
def test_beside_ai_cameras_alone_no_model_is_downloaded() -> None:
    assert check(Config(cameras=AI)) == "", "they need none, and nobody asked for one"
    assert check(Config(cameras=AI, model={"pull": True})) == (
        "model.pull: downloads nothing where every camera is an AI Camera, and rotated crops are left out; "
        "posed model pull coral-353x481 gets the model"
    )
    assert check(Config(cameras=AI | {"bath": {"kind": "synthetic"}}, model={"pull": True})) == ""


@pytest.fixture
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))


@pytest.mark.parametrize("other", [{"source": 0}, {}, {"kind": "imx500", "source": 1}])
def test_which_is_the_first_ai_camera_may_be_unknown(other: dict[str, Any]) -> None:
    check(Config(cameras={"hall": {"kind": "imx500"}, "bath": other}))


def test_whoever_has_looked_knows_the_first_ai_camera() -> None:
    cameras = Config(cameras={"hall": {"kind": "imx500"}, "bath": {"source": 0}}).cameras
    (found,) = shared_devices(cameras, "Pi camera 0")
    assert found.endswith("than that of cameras.hall, which opens once only, got Pi camera 0")
    assert not list(shared_devices(cameras, "Pi camera 1"))


def test_one_url_or_file_for_two_cameras_is_good(tmp_path: Path) -> None:
    picture = tmp_path / "room.png"
    assert cv2.imwrite(str(picture), np.zeros((48, 64, 3), np.uint8))
    url, file = {"kind": "video", "source": "rtsp://host/1"}, {"kind": "images", "source": str(picture)}
    check(Config(cameras={"a": url, "b": url, "c": file, "d": file, "e": {"kind": "synthetic"}}))


def test_a_stream_is_not_connected_to() -> None:
    check(Config(cameras={"hall": {"kind": "video", "source": "rtsp://192.0.2.20/stream"}}))
