"""What systemd is told, and what the daemon does when a signal or a request reloads or restarts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from posed import daemon as posed_daemon
from posed.config import Config
from posed.service.notify import STATUS_INTERVAL_S, Notifier
from scripts.standins.edgetpu import Behaviour
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.clock import Clock
from tests.make_tflite import make_tflite
from tests.run_posed import Daemon, environment, on_drawn_people
from tests.standin import built
from tests.systemd import Listener


def heard(tmp_path: Path, tell: Callable[[Notifier, Clock], object], watchdog_s: float = 0) -> list[str]:
    """The lines that a Notifier sends."""
    clock = Clock(100.0)
    with Listener(tmp_path, watchdog_s) as systemd:
        tell(Notifier(systemd.environment(), clock), clock)
        return _after_the_last(systemd)


def _after_the_last(systemd: Listener) -> list[str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
        last.sendto(b"LAST=1", systemd.environment()["NOTIFY_SOCKET"])
    eventually(lambda: systemd.said("LAST=1"))
    return systemd.messages[:-1]


def test_ready_reloading_and_stopping_are_said_in_systemds_words(tmp_path):
    def tell(notifier: Notifier, _clock: Clock) -> None:
        notifier.ready()
        notifier.reloading()
        notifier.stopping()

    ready, reloading, at, *stopping = heard(tmp_path, tell)
    assert (ready, reloading) == ("READY=1", "RELOADING=1")
    assert abs(int(at.removeprefix("MONOTONIC_USEC=")) / 1e6 - time.monotonic()) < 10
    assert stopping == ["STOPPING=1", "STATUS=stopping"]


def test_a_socket_in_the_abstract_namespace_is_found():
    name = f"posed-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{name}")
        systemd.settimeout(5)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert systemd.recv(100) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_who_listens_is_no_error(environment):
    Notifier(environment | {"WATCHDOG_USEC": "1000000"}).progressed()


def test_the_watchdog_is_fed_by_progress_four_times_per_interval(tmp_path):
    def tell(notifier: Notifier, clock: Clock) -> None:
        for _ in range(81):  # eight seconds
            notifier.progressed()
            clock.now_s += 0.1
        clock.now_s += 60

    assert heard(tmp_path, tell, watchdog_s=4) == ["WATCHDOG=1"] * 8


@pytest.mark.parametrize("variables", [{}, {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}])
def test_a_watchdog_that_is_not_ours_is_not_fed(tmp_path, variables):
    with Listener(tmp_path) as systemd:
        notifier = Notifier(systemd.environment() | variables)
        notifier.progressed()
        notifier.feed_within(9)
        assert _after_the_last(systemd) == []


def test_patience_of_the_watchdog_ends_as_it_was_before(tmp_path):
    def tell(notifier: Notifier, _clock: Clock) -> None:
        notifier.feed_within(60)
        notifier.feed_within(None)

    assert heard(tmp_path, tell, watchdog_s=4) == ["WATCHDOG_USEC=60000000", "WATCHDOG_USEC=4000000"]


def test_the_status_follows_conditions_at_once_and_figures_at_times(tmp_path):
    def tell(notifier: Notifier, clock: Clock) -> None:
        notifier.status("waiting for the camera: gone\nfor good", lambda: "0 fps")
        notifier.status("waiting for the camera: gone\nfor good", lambda: "1 fps")
        notifier.status("", lambda: "2 fps")
        notifier.status("", lambda: "3 fps")
        clock.now_s += STATUS_INTERVAL_S
        notifier.status("", lambda: "4 fps")

    assert heard(tmp_path, tell) == [
        "STATUS=waiting for the camera: gone for good; 0 fps",
        "STATUS=2 fps",
        "STATUS=4 fps",
    ]


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate({"device": "hall", **sections})


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A daemon on drawn people whose broker is away."""
    return on_drawn_people(tmp_path)


def test_it_gets_ready_feeds_the_watchdog_and_reports_its_status(tmp_path, settings):
    """With the broker away, which stops none of it."""
    with (
        Listener(tmp_path, watchdog_s=1) as systemd,
        Daemon(tmp_path, settings, systemd.environment()) as daemon,
    ):
        eventually(lambda: systemd.said("READY=1"), 60)
        eventually(lambda: len(systemd.said("WATCHDOG=1")) > 4)
        eventually(lambda: any(" fps, 0 people, cpu " in line for line in systemd.said("STATUS=")))
        assert any("waiting for the broker: mqtt 127.0.0.1:" in line for line in systemd.said("STATUS="))
        assert daemon.stop() == 0
        assert systemd.messages[-2:] == ["STOPPING=1", "STATUS=stopping"]
    assert systemd.messages.count("READY=1") == 1


def test_a_camera_that_is_away_holds_nothing_up(tmp_path, settings):
    settings["cameras"] = {"camera": {"kind": "video", "source": "/dev/video77"}}
    with Listener(tmp_path, watchdog_s=1) as systemd, Daemon(tmp_path, settings, systemd.environment()):
        eventually(lambda: systemd.said("READY=1"), 60)
        eventually(lambda: len(systemd.said("WATCHDOG=1")) > 4)
        eventually(
            lambda: any("camera /dev/video77: no such device" in one for one in systemd.said("STATUS="))
        )


def test_a_daemon_that_is_frozen_does_not_feed_the_watchdog(tmp_path, settings):
    with (
        Listener(tmp_path, watchdog_s=0.4) as systemd,
        Daemon(tmp_path, settings, systemd.environment()) as daemon,
    ):
        eventually(lambda: systemd.said("WATCHDOG=1"), 60)
        daemon.process.send_signal(signal.SIGSTOP)
        eventually(daemon.stopped)
        before = len(systemd.said("WATCHDOG=1"))
        time.sleep(1)  # nothing tells that nothing comes
        assert len(systemd.said("WATCHDOG=1")) <= before + 1  # one may have been on its way
        daemon.process.send_signal(signal.SIGCONT)


def change(daemon: Daemon, settings: dict[str, Any]) -> None:
    daemon.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    daemon.process.send_signal(signal.SIGHUP)


def test_sighup_takes_over_a_good_file(tmp_path, settings):
    with Listener(tmp_path) as systemd, Daemon(tmp_path, settings, systemd.environment()) as daemon:
        eventually(lambda: systemd.said("READY=1"), 60)
        change(
            daemon,
            settings
            | {"decode": {"score_threshold": 0.5}, "cameras": {"camera": {"kind": "synthetic", "fps": 5}}},
        )
        eventually(lambda: "reloaded: cameras.camera.fps, decode.score_threshold\n" in daemon.log())
        eventually(lambda: systemd.messages.count("READY=1") == 2)
        change(daemon, settings | {"log": {"level": "debug"}, "engine": {"threads": 1}})
        eventually(lambda: "needs a restart: engine.threads\n" in daemon.log())
        eventually(lambda: " DEBUG camera: frame " in daemon.log())
    lines = [line for line in systemd.messages if not line.startswith(("STATUS=", "MONOTONIC"))]
    assert lines[:3] == ["READY=1", "RELOADING=1", "READY=1"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("decode: {score_threshold: 7}", "decode.score_threshold: must be less than 1, got 7"),
        ("decode: [", "posed.yaml:1:10: expected the node content, but found '<stream end>'"),
        ("mqtt: {username: a, password: !secret none}", "!secret none: must be in"),
        ("model: {name: nonsense}", "model.name: "),
        ("mqtt: {tls: {ca: /nowhere.pem}}", "mqtt.tls.ca: must be a readable PEM file"),
        ("\0", "posed.yaml: must be YAML"),
        (None, "posed.yaml: must be a readable YAML file"),
    ],
)
def test_sighup_refuses_a_bad_file_and_goes_on_as_before(tmp_path, settings, text, problem):
    with Listener(tmp_path) as systemd, Daemon(tmp_path, settings, systemd.environment()) as daemon:
        eventually(lambda: systemd.said("READY=1"), 60)
        if text is None:
            daemon.config.unlink()
        else:
            daemon.config.write_text(text, encoding="utf-8")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "not reloaded: the configuration stays as it was" in daemon.log())
        assert problem in daemon.log()
        eventually(lambda: systemd.messages.count("READY=1") == 2)
        eventually(lambda: systemd.said("STATUS=not reloaded: "))
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.log()


def test_a_damaged_overlay_keeps_nothing_from_starting(tmp_path, settings):
    overlay = tmp_path / "state" / "posed" / "overlay.yaml"
    overlay.parent.mkdir(parents=True)
    overlay.write_bytes(b"\0\0\0")
    with Listener(tmp_path) as systemd, Daemon(tmp_path, settings, systemd.environment()) as daemon:
        eventually(lambda: systemd.said("READY=1"), 60)
        assert f"WARNING {overlay}: damaged, so what requests changed is left out" in daemon.log()
        assert overlay.with_name("overlay.yaml.damaged").exists()
        # And so it is when it is damaged later.
        overlay.write_text("decode: {max_people: 0}")
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "INFO reloaded" in daemon.log())
        assert f"{overlay}: left out: decode.max_people: must be at least 1, got 0" in daemon.log()
        assert daemon.stop() == 0


def test_a_restart_on_request_is_no_stop_to_systemd(tmp_path, settings):
    """It would kill, some seconds later, what says that it stops and does not."""
    with Mosquitto(tmp_path) as broker, Listener(tmp_path) as systemd:
        settings["mqtt"]["port"] = broker.port
        with (
            Subscriber(broker.port) as subscriber,
            Daemon(tmp_path, settings, systemd.environment()) as daemon,
        ):
            subscriber.wait_for("posed/hall/availability", b"online", 30)
            eventually(lambda: systemd.said("READY=1"), 30)
            subscriber.publish("posed/hall/request/restart")
            eventually(lambda: systemd.messages.count("READY=1") == 2, 30)
            assert daemon.process.poll() is None
            assert not systemd.said("STOPPING=1")
            assert len(systemd.said("RELOADING=1")) == 1


SLOW_RESTART = """
import os, sys, time
real, os.execv = os.execv, lambda *command: (print("LEAVING", flush=True), time.sleep(1), real(*command))
sys.argv = ["posed", "run", "--config", sys.argv[1]]
from posed.cli import main
main()
"""


def test_a_sigterm_while_it_starts_again_ends_the_new_process(tmp_path, settings):
    """As the first process of a container, too, where one without a handler would be lost."""
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        settings["mqtt"]["port"] = broker.port
        path = tmp_path / "posed.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = [sys.executable, "-c", SLOW_RESTART, str(path)]
        with subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.PIPE) as process:
            try:
                subscriber.wait_for("posed/hall/availability", b"online", 60)
                subscriber.publish("posed/hall/request/restart")
                assert process.stdout.readline() == b"LEAVING\n"
                process.terminate()
                assert process.wait(20) == 0
            finally:
                process.kill()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(5, "Input/output error", "/c4nary"), "OSError: Input/output error"),
        (RuntimeError("c4nary"), "RuntimeError: a fault inside posed"),
        (MemoryError(), "MemoryError: a fault inside posed"),
    ],
)
def test_whatever_goes_wrong_with_a_reload_the_daemon_goes_on(tmp_path, settings, caplog, error, why):
    def read_config() -> Config:
        raise error

    path = tmp_path / "state"
    running = config(**{name: part for name, part in settings.items() if name != "device"})
    with Listener(tmp_path) as systemd:
        own = systemd.environment() | {"STATE_DIRECTORY": str(path)}
        daemon = posed_daemon.Daemon(running, read_config=read_config, environment=own)
        daemon.life.ask_reload()
        daemon.life.reload_if_asked()
        daemon.life.report(daemon.pipeline, None, daemon.status.line)
        eventually(lambda: systemd.said(f"STATUS=not reloaded: {why}; "))
    assert caplog.messages[-2:] == [why, "not reloaded: the configuration stays as it was"]
    assert "in read_config" in caplog.text
    assert "c4nary" not in caplog.text + "".join(systemd.messages)


def test_an_edge_tpu_that_hangs_does_not_hold_up_stopping(tmp_path, settings):
    compiled = tmp_path / "compiled.tflite"
    compiled.write_bytes(make_tflite(edgetpu=True))
    settings |= {"model": {"name": str(compiled)}, "engine": {"kind": "edgetpu"}}
    asked = tmp_path / "asked"
    standin = built().environment(Behaviour(hang_at=5, log=asked))
    with Listener(tmp_path) as systemd, Daemon(tmp_path, settings, systemd.environment() | standin) as daemon:
        eventually(lambda: systemd.said("READY=1"), 60)
        eventually(lambda: asked.read_text().count("invoke") >= 6, 60)  # the first is the probe's
        assert daemon.stop(within_s=5) == 0
    assert "a device hangs and is left behind" in daemon.log()


def test_a_pause_feeds_the_watchdog(tmp_path, settings):
    with Mosquitto(tmp_path) as broker, Listener(tmp_path, watchdog_s=1) as systemd:
        settings["mqtt"]["port"] = broker.port
        with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings, systemd.environment()):
            subscriber.wait_for("posed/hall/availability", b"online", 30)
            subscriber.publish("posed/hall/request/pause")
            eventually(lambda: subscriber.payloads("posed/hall/response/pause"), 30)
            assert b'"paused":true' in subscriber.payloads("posed/hall/response/pause")[0]
            before = len(systemd.said("WATCHDOG=1"))
            eventually(lambda: len(systemd.said("WATCHDOG=1")) >= before + 4)
            eventually(lambda: any("paused on request; " in line for line in systemd.said("STATUS=")))
