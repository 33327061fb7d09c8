"""When the daemon is ready, and what makes it end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from posed.config import CAMERA, Config, LiveConfig, changed
from posed.networks.pair import load_pair
from posed.pipeline.device import OK, DeviceStatus
from posed.pipeline.opening import opener_of, pipeline_of
from posed.pipeline.pipeline import Pipeline
from posed.service.life import Life
from tests.brokers import eventually
from tests.make_tflite import make_tflite
from tests.systemd import Listener


@pytest.fixture
def config(tmp_path) -> Config:
    (tmp_path / "red.tflite").write_bytes(make_tflite())
    return Config(device="hall", model={"name": str(tmp_path / "red.tflite")})


@pytest.fixture
def pipeline(config: Config) -> Pipeline:
    pair = load_pair(config.model.name)
    return pipeline_of(config, pair.model.size, opener_of(config, pair))


@pytest.fixture
def life(config: Config) -> Iterator[Life]:
    hook = threading.excepthook
    yield Life({}, LiveConfig(config))
    threading.excepthook = hook


def test_it_goes_on_until_it_is_told_why_not(life):
    assert life.ends is None
    life.stop("stopping on SIGTERM")
    assert (life.ends, life.restarting) == ("stopping on SIGTERM", False)


def test_a_restart_is_an_end(life):
    life.restart("restarting on request")
    assert (life.ends, life.restarting) == ("restarting on request", True)


def test_a_bug_in_a_thread_is_raised(life):
    def fail() -> None:
        raise ZeroDivisionError

    life.begin()
    life.raise_failure()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    with pytest.raises(ZeroDivisionError):
        life.raise_failure()


def test_it_is_ready_once_devices_are_open_or_waited_for(tmp_path, config, pipeline):
    with Listener(tmp_path) as systemd:
        life = Life(systemd.environment(), LiveConfig(config))
        life.report(pipeline, None, lambda: "0 fps")
        pipeline.feeds[CAMERA].capture.device.status = DeviceStatus("waiting", "gone")
        pipeline.inference.device.status = OK
        life.report(pipeline, "connection refused", lambda: "10 fps")
        eventually(lambda: systemd.said("READY=1"))
        eventually(lambda: len(systemd.said("STATUS=")) == 2)
    assert systemd.messages[0].startswith(
        "STATUS=waiting for camera camera: starting; waiting for the engine"
    )
    assert systemd.messages[1:] == [
        "READY=1",
        "STATUS=waiting for camera camera: gone; waiting for the broker: connection refused; 10 fps",
    ]


def test_settings_that_are_read_again_are_taken_over(config):
    live = LiveConfig(config)
    heard: list[int] = []
    live.listen(lambda config: heard.append(config.decode.max_people))
    life = Life({}, live, lambda: changed(config, {"decode.max_people": 3}))
    life.reload_if_asked()
    assert heard == []
    life.ask_reload()
    life.reload_if_asked()
    life.reload_if_asked()
    assert heard == [3]
    assert (live.config.decode.max_people, live.values["decode.max_people"]) == (3, 3)


@pytest.mark.parametrize(("restarting", "said"), [(False, "STOPPING=1"), (True, "RELOADING=1")])
def test_systemd_hears_how_it_ends(tmp_path, config, restarting, said):
    with Listener(tmp_path) as systemd:
        life = Life(systemd.environment(), LiveConfig(config))
        life.restarting = restarting
        life.end()
        eventually(lambda: systemd.messages)
    assert systemd.messages[0].startswith(said)
