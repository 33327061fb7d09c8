"""What `engine.kind` chooses, and the reason it gives."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from posed.config import EngineConfig
from posed.engine import open_engine
from posed.engine.auto import FallbackEngine
from posed.engine.base import Engine
from posed.engine.tflite import open_cpu
from posed.errors import EngineError, EngineLost
from posed.model.tflite import Model, parse_model
from posed.timing import Backoff
from scripts.standins.edgetpu import Behaviour
from tests.brokers import eventually
from tests.make_tflite import make_tflite
from tests.standin import built

AUTO = EngineConfig(kind="auto")


@pytest.fixture(scope="module")
def plain() -> Model:
    return parse_model(make_tflite(), Path("pose.tflite"))


@pytest.fixture(scope="module")
def compiled() -> Model:
    return parse_model(make_tflite(edgetpu=True), Path("pose_edgetpu.tflite"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def unplugged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in Behaviour(device=tmp_path / "unplugged").environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The Edge TPU is there while this file is; it is looked for often."""
    path = tmp_path / "edge-tpu"
    monkeypatch.setenv("STANDIN_DEVICE", str(path))
    monkeypatch.setenv("STANDIN_LOG", str(path.with_name("log")))
    monkeypatch.setattr("posed.engine.auto.FIRST_SEARCH_S", 0.05)
    return path


def is_searching() -> bool:
    """Whether a thread searches for the Edge TPU."""
    return "edgetpu" in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def library() -> str:
    return str(built().path)


def test_auto_takes_an_edge_tpu_that_answers(
    plain: Model, compiled: Model, library: str, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with open_engine(AUTO, plain, compiled, library=library, cache=cache) as engine:
        assert (engine.kind, engine.device, engine.why) == ("edgetpu", "any", "an Edge TPU answered")
    assert "engine: edgetpu, any (an Edge TPU answered)" in caplog.messages


def test_auto_takes_the_cpu_where_the_library_is_missing(
    plain: Model, compiled: Model, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with open_engine(AUTO, plain, compiled, library="libnone.so.1", cache=cache) as engine:
        assert engine.kind == "cpu"
        assert engine.why.startswith("no Edge TPU: libnone.so.1 is not installed")
        assert f"engine: cpu, {engine.device} ({engine.why})" in caplog.messages


@pytest.mark.usefixtures("unplugged")
def test_auto_takes_the_cpu_where_no_device_answers(
    plain: Model, compiled: Model, library: str, cache: Path
) -> None:
    with open_engine(AUTO, plain, compiled, library=library, cache=cache) as engine:
        assert engine.kind == "cpu"
        assert engine.why.startswith("no Edge TPU answered (device: any)")


def test_auto_takes_the_cpu_where_the_pair_crashes(
    plain: Model, compiled: Model, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_CRASH", "prepare")
    with open_engine(AUTO, plain, compiled, library=library, cache=tmp_path) as engine:
        assert engine.kind == "cpu"
        assert "do not fit together, got SIGSEGV" in engine.why


def test_auto_takes_the_cpu_where_there_is_no_compiled_model(plain: Model, library: str, cache: Path) -> None:
    with open_engine(AUTO, plain, None, library=library, cache=cache) as engine:
        assert (engine.kind, engine.why) == ("cpu", "no compiled model for an Edge TPU")


def test_auto_returns_to_the_edge_tpu_between_two_frames(
    plain: Model, compiled: Model, library: str, cache: Path, device: Path
) -> None:
    image = np.zeros((*plain.size[::-1], 3), np.uint8)
    with open_engine(AUTO, plain, compiled, library=library, cache=cache) as engine:
        engine.infer(image)
        assert (engine.kind, engine.why[:22]) == ("cpu", "no Edge TPU answered (")
        device.touch()
        eventually(lambda: engine.infer(image) and engine.kind == "edgetpu", 20)
        assert (engine.device, engine.why) == ("any", "the Edge TPU is back")
        device.unlink()
        with pytest.raises(EngineLost):
            engine.infer(image)
    with open_engine(AUTO, plain, compiled, library=library, cache=cache) as engine:
        assert engine.kind == "cpu"  # and so on, for ever


def test_a_device_that_came_back_unused_is_let_go_of(
    plain: Model, compiled: Model, library: str, cache: Path, device: Path
) -> None:
    with open_engine(AUTO, plain, compiled, library=library, cache=cache):
        device.touch()
        eventually(lambda: not is_searching(), 20)
    lines = device.with_name("log").read_text().splitlines()
    assert lines[-1] == "destroy"


def test_an_edge_tpu_that_can_never_work_ends_the_search(
    plain: Model, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> Engine:
        raise EngineError("they do not fit together")

    cpu = open_cpu(plain, 1, "away")
    caplog.clear()
    with FallbackEngine(cpu, refuse, Backoff(0.01, 0.01, lambda: 1.0)):
        eventually(lambda: not is_searching())
    assert caplog.messages == ["no longer searching for the Edge TPU: they do not fit together"]


@pytest.mark.usefixtures("unplugged")
def test_auto_with_a_compiled_model_alone_awaits_the_edge_tpu(
    compiled: Model, library: str, cache: Path
) -> None:
    alone = "; for the CPU there is no plain file beside pose_edgetpu.tflite$"
    with pytest.raises(EngineLost, match=f"no Edge TPU answered.*{alone}"):
        open_engine(AUTO, None, compiled, library=library, cache=cache)


def test_auto_with_only_a_compiled_model_needs_the_library(compiled: Model, cache: Path) -> None:
    alone = "; for the CPU there is no plain file beside pose_edgetpu.tflite$"
    with pytest.raises(EngineError, match=f"is not installed.*{alone}") as caught:
        open_engine(AUTO, None, compiled, library="libnone.so.1", cache=cache)
    assert not isinstance(caught.value, EngineLost)


@pytest.mark.usefixtures("unplugged")
def test_edgetpu_never_becomes_the_cpu(plain: Model, compiled: Model, library: str, cache: Path) -> None:
    config = EngineConfig(kind="edgetpu", device="pci:0")
    with pytest.raises(EngineLost, match="device: pci:0"):
        open_engine(config, plain, compiled, library=library, cache=cache)


def test_edgetpu_with_a_plain_model_asks_for_a_compiled_one(plain: Model, library: str, cache: Path) -> None:
    with pytest.raises(EngineError, match="must be compiled for the Edge TPU"):
        open_engine(EngineConfig(kind="edgetpu"), plain, None, library=library, cache=cache)


def test_cpu_never_looks_for_an_edge_tpu(
    plain: Model, compiled: Model, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_LOG", str(tmp_path / "log"))
    with open_engine(EngineConfig(kind="cpu"), plain, compiled, library=library, cache=tmp_path) as engine:
        assert (engine.kind, engine.why) == ("cpu", "engine.kind: cpu")
    assert not list(tmp_path.iterdir())
