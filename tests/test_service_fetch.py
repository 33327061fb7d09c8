"""A daemon whose model is still to be downloaded: it waits, and says so."""

from __future__ import annotations

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from posed.config import CameraConfig, ModelConfig
from posed.errors import CameraError, ModelError
from posed.model import catalogue
from posed.model.catalogue import Entry, ModelFile
from posed.service.fetch import DOWNLOAD_S, FIRST_WAIT_S, wait_for_model
from posed.service.notify import Notifier
from tests.brokers import eventually, free_port
from tests.make_movenet import MULTI, make_movenet
from tests.make_tflite import make_tflite
from tests.run_posed import Daemon
from tests.systemd import Listener

MODEL = make_tflite()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.server.bodies.pop(0)
        self.send_response(200 if body else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Sends its bodies in turn; an empty one is a 503."""

    daemon_threads = True

    def __init__(self, *bodies: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies = list(bodies)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Server:
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def entry_of(server: Server, edgetpu: bytes | None = None) -> Entry:
    """A model whose files that server has."""
    cpu, compiled = (
        None
        if content is None
        else ModelFile(name, f"{server.url}/{name}", hashlib.sha256(content).hexdigest(), len(content))
        for name, content in (("net.tflite", MODEL), ("net_edgetpu.tflite", edgetpu))
    )
    return Entry("net", 16, (33, 33), "", "", cpu, compiled)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "models"
    folder.mkdir(parents=True)
    return folder


def test_an_open_input_has_the_configured_size(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(make_movenet(MULTI, size=None))
    pair = wait_for_model(ModelConfig(name=str(path), input_size=192), Notifier({}), pytest.fail)
    assert pair.model.size == (192, 192)


@pytest.mark.usefixtures("cache")
def test_a_model_is_downloaded_however_often_that_fails(tmp_path, monkeypatch):
    waited: list[float] = []
    with Server(b"", b"something else", MODEL) as server, Listener(tmp_path, watchdog_s=30) as systemd:
        monkeypatch.setattr(catalogue, "CATALOGUE", (entry_of(server),))
        pair = wait_for_model(
            ModelConfig(name="net", pull=True), Notifier(systemd.environment()), waited.append
        )
        eventually(lambda: systemd.said("WATCHDOG_USEC=30000000"))
    assert pair.cpu is not None
    assert len(waited) == 2
    assert FIRST_WAIT_S / 2 <= waited[0] <= FIRST_WAIT_S
    assert systemd.messages[:3] == [
        "READY=1",
        f"WATCHDOG_USEC={DOWNLOAD_S * 1e6:.0f}",
        "STATUS=waiting for the model: net is being downloaded",
    ]
    (why,) = systemd.said("STATUS=waiting for the model: net.tflite: ")[:1]
    assert why.endswith("cannot be downloaded from 127.0.0.1: the server answered 503 Service Unavailable")


def test_a_download_that_was_damaged_since_comes_again(cache: Path, monkeypatch):
    (cache / "net.tflite").write_bytes(MODEL[:1000])
    with Server(MODEL) as server:
        monkeypatch.setattr(catalogue, "CATALOGUE", (entry_of(server),))
        with pytest.raises(ModelError, match=r"get it again with: posed model pull net$"):
            wait_for_model(ModelConfig(name="net"), Notifier({}), pytest.fail)
        pair = wait_for_model(ModelConfig(name="net", pull=True), Notifier({}), pytest.fail)
    assert pair.cpu is not None
    assert (cache / "net.tflite").read_bytes() == MODEL


def test_the_other_file_of_a_pair_is_fetched_too(cache: Path, monkeypatch):
    compiled = make_tflite(edgetpu=True)
    (cache / "net.tflite").write_bytes(MODEL)
    with Server(compiled) as server:
        monkeypatch.setattr(catalogue, "CATALOGUE", (entry_of(server, compiled),))
        pair = wait_for_model(ModelConfig(name="net", pull=True), Notifier({}), pytest.fail)
    assert pair.is_whole
    assert pair.edgetpu is not None


def test_one_file_of_a_pair_is_enough_to_start_with(cache: Path, monkeypatch, caplog):
    (cache / "net.tflite").write_bytes(MODEL)
    with Server(b"") as server:
        monkeypatch.setattr(catalogue, "CATALOGUE", (entry_of(server, b"compiled"),))
        pair = wait_for_model(ModelConfig(name="net", pull=True), Notifier({}), pytest.fail)
    assert pair.cpu is not None
    assert not pair.is_whole
    assert "model net: runs without this file: net_edgetpu.tflite: cannot be downloaded" in caplog.text


@pytest.mark.parametrize(
    "config", [ModelConfig(name="coral-353x481"), ModelConfig(name="/nowhere/net.tflite", pull=True)]
)
def test_what_no_download_can_mend_is_not_waited_for(tmp_path, monkeypatch, config):
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    with pytest.raises(ModelError):
        wait_for_model(config, Notifier({}), pytest.fail)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("camera", "problem"),
    [
        ({"kind": "video", "source": "/nowhere/film.mp4"}, "must be a video, there is no such file"),
        (
            {"kind": "images", "source": "/nowhere"},
            "must be a picture, a folder of pictures or a glob, none found",
        ),
    ],
)
def test_nothing_is_downloaded_for_a_camera_whose_file_is_missing(camera, problem):
    config = ModelConfig(name="coral-353x481", pull=True)
    with pytest.raises(CameraError) as caught:
        wait_for_model(config, Notifier({}), pytest.fail, cameras=[CameraConfig(**camera)])
    assert str(caught.value) == f"camera {camera['source']}: {problem}"


def test_a_model_is_downloaded_while_one_camera_is_there(cache: Path, monkeypatch):
    with Server(MODEL) as server:
        monkeypatch.setattr(catalogue, "CATALOGUE", (entry_of(server),))
        cameras = [CameraConfig(kind="video", source="/nowhere.mp4"), CameraConfig(kind="synthetic")]
        config = ModelConfig(name="net", pull=True)
        assert wait_for_model(config, Notifier({}), pytest.fail, cameras=cameras).cpu is not None


@pytest.mark.parametrize("source", ["0", "/dev/video7", "rtsp://192.0.2.1/live"])
def test_a_model_is_downloaded_for_a_camera_that_may_come(cache: Path, monkeypatch, source):
    with Server(MODEL) as server:
        monkeypatch.setattr(catalogue, "CATALOGUE", (entry_of(server),))
        config, camera = ModelConfig(name="net", pull=True), CameraConfig(kind="video", source=source)
        assert wait_for_model(config, Notifier({}), pytest.fail, cameras=[camera]).cpu is not None


def settings() -> dict[str, Any]:
    return {
        "device": "hall",
        "cameras": {"camera": {"kind": "synthetic"}},
        "model": {"name": "coral-353x481", "pull": True},
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
    }


def test_a_network_not_there_yet_is_waited_for_without_delay(tmp_path: Path):
    away = {"https_proxy": f"http://127.0.0.1:{free_port()}"}
    with (
        Listener(tmp_path, watchdog_s=30) as systemd,
        Daemon(tmp_path, settings(), systemd.environment() | away) as daemon,
    ):
        eventually(lambda: systemd.said("READY=1"), 60)
        eventually(lambda: "; trying again in " in daemon.log())
        eventually(lambda: any(line.endswith(": Connection refused") for line in systemd.said("STATUS=")))
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.log()
