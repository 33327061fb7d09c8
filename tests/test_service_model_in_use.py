"""Which networks run: that of the engine, and those that cameras have themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from posed.config import CameraConfig, Config, DecodeConfig
from posed.errors import ModelError
from posed.service.check import check
from posed.service.model_in_use import model_in_use
from posed.service.notify import Notifier
from tests.make_movenet import make_movenet
from tests.make_tflite import make_tflite


def config_of(folder: Path, *kinds: str, model: str | None = None) -> Config:
    (folder / "red.tflite").write_bytes(make_tflite())
    cameras = {f"camera{number}": {"kind": kind} for number, kind in enumerate(kinds)}
    name = str(folder / "red.tflite") if model is None else model
    return Config.model_validate({"cameras": cameras, "model": {"name": name}})


def used_by(config: Config, **more: Any) -> Any:
    return model_in_use(config, Notifier({}), **{"cameras_are_ours": True} | more)


def test_the_engines_model_is_that_of_the_frames(tmp_path: Path) -> None:
    config = config_of(tmp_path, "synthetic", "imx500")
    used = used_by(config)
    assert (used.name, used.in_cameras, used.size) == ("red", False, used.pair.model.size)
    assert used.state(config).name == "red"


def test_cameras_that_infer_themselves_need_no_model(tmp_path: Path) -> None:
    config = config_of(tmp_path, "imx500", model="/nowhere.tflite")
    used = used_by(config)
    assert (used.network, used.size, used.in_cameras) == (None, (481, 353), True)
    assert "/nowhere.tflite" in used.why_none
    state = used.state(config)
    assert (state.name, state.stride, state.width, state.height) == ("imx500_network_posenet", 16, 481, 353)
    assert used.describe(DecodeConfig()).startswith("many people")


def test_what_is_not_downloaded_for_them_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    config = config_of(tmp_path, "imx500", model="coral-353x481")
    used_by(config)
    assert caplog.messages == []
    pulls = Config.model_validate({"cameras": {"hall": {"kind": "imx500"}}, "model": {"pull": True}})
    assert used_by(pulls).network is None
    assert caplog.messages == [check(pulls)]


def test_a_model_that_is_there_infers_their_rotated_crops(tmp_path: Path) -> None:
    used = used_by(config_of(tmp_path, "imx500"))
    assert used.network is not None
    assert (used.name, used.why_none) == ("imx500_network_posenet", "")
    assert used.size == used.pair.model.size


def test_any_other_camera_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="/nowhere"):
        used_by(config_of(tmp_path, "imx500", "synthetic", model="/nowhere.tflite"))


def test_another_way_to_open_them_needs_no_model_either(tmp_path: Path) -> None:
    config = config_of(tmp_path, "imx500", model="/nowhere.tflite")
    assert used_by(config, cameras_are_ours=False).network is None


@pytest.mark.parametrize(
    ("others", "about"),
    [((), "leaves rotated crops to net, which scores otherwise"), (("synthetic",), "scores otherwise")],
)
def test_another_network_beside_an_ai_camera_is_warned_of(
    tmp_path: Path, others: tuple[str, ...], about: str
) -> None:
    (tmp_path / "net.tflite").write_bytes(make_movenet())
    config = config_of(tmp_path, "imx500", *others, model=str(tmp_path / "net.tflite"))
    warning = used_by(config).state(config).warning
    assert warning.startswith(f"{about} than the PoseNet in an AI Camera")
    assert warning.endswith("take a PoseNet, such as coral-353x481")
    without = config_of(tmp_path, "synthetic", model=str(tmp_path / "net.tflite"))
    assert used_by(without).state(without).warning is UNSET


def test_a_network_that_no_engine_runs_is_not_warned_of(tmp_path: Path) -> None:
    """Of it is said that rotated crops are left out."""
    (tmp_path / "net.tflite").write_bytes(make_movenet())
    beside = {"cameras": {"hall": {"kind": "imx500"}}, "model": {"name": str(tmp_path / "net.tflite")}}
    for kind, warned in (("edgetpu", False), ("cpu", True), ("auto", True)):
        config = Config.model_validate(beside | {"engine": {"kind": kind}})
        assert (used_by(config).state(config).warning is not UNSET) is warned, kind


def test_a_network_on_its_side_is_warned_of(tmp_path: Path) -> None:
    config = config_of(tmp_path, "imx500", model="coral-353x481")
    turned = config.model_copy(update={"cameras": {"hall": CameraConfig(kind="imx500", rotate=270)}})
    warning = used_by(turned).state(turned).warning
    assert warning.startswith("cameras.hall.rotate: 270 comes after the network in the camera")
    assert check(turned).splitlines()[-1] == warning
    assert used_by(config).state(config).warning is UNSET
