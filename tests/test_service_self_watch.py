"""A daemon that no systemd watches ends itself when it makes no progress, and shows that it makes some."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from posed.service.heartbeat import Heartbeat, heartbeat_files, silence
from posed.service.notify import Notifier
from posed.service.self_watch import BEAT_S, LIMIT_S, START_S, STOP_S, SelfWatch
from scripts.paths import ROOT
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.clock import Clock
from tests.run_posed import Daemon, environment, on_drawn_people, posed
from tests.systemd import Listener


class Armed:
    """A watch, what it allowed, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock(100.0)
        self.allowed_s: list[float] = []
        self.file = folder / "heartbeat"
        heartbeat = Heartbeat([self.file], self.clock)
        self.watch = SelfWatch(heartbeat, self.allowed_s.append, self.clock)

    @property
    def silence(self) -> str:
        return silence([self.file], self.clock.now_s)


@pytest.fixture
def armed(tmp_path: Path) -> Armed:
    return Armed(tmp_path)


def test_start_progress_and_end_have_the_unit_s_limits(armed):
    armed.watch.begin()
    armed.watch.progressed()
    armed.watch.end()
    armed.watch.progressed()
    assert armed.allowed_s == [START_S, LIMIT_S, STOP_S]
    unit = (ROOT / "systemd" / "posed.service").read_text(encoding="utf-8")
    lines = {f"TimeoutStartSec={START_S:g}", f"WatchdogSec={LIMIT_S:g}", f"TimeoutStopSec={STOP_S:g}"}
    assert lines <= set(unit.splitlines())


def test_progress_is_noted_every_few_seconds(armed):
    for _ in range(201):  # twenty seconds
        armed.watch.progressed()
        armed.clock.now_s += 0.1
    assert len(armed.allowed_s) == 20 / BEAT_S
    assert armed.silence == ""
    armed.clock.now_s += LIMIT_S
    assert armed.silence.startswith("no progress for ")


def test_a_download_may_take_longer(armed):
    watched = Notifier({}, armed.clock, armed.watch)
    watched.feed_within(1800)
    armed.clock.now_s += 1700
    assert armed.silence == ""
    watched.feed_within(None)
    assert armed.allowed_s == [1800, LIMIT_S]


def test_only_progress_is_a_sign_of_life(armed):
    armed.file.write_text("an earlier daemon's")
    armed.watch.begin()
    assert armed.silence.startswith("no sign of life")
    armed.watch.progressed()
    assert armed.silence == ""
    armed.watch.end()
    assert armed.silence.startswith("no sign of life")


def test_where_it_cannot_be_shown_the_log_says_so_once(tmp_path, caplog):
    watch = SelfWatch(Heartbeat([tmp_path / "nowhere" / "heartbeat"]), None, lambda: 0.0)
    watch.allow(10)
    watch.allow(20)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["heartbeat"]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A daemon on drawn people whose broker is away."""
    return on_drawn_people(tmp_path)


def healthy(folder: Path) -> bool:
    return posed(folder, "health").returncode == 0


def files(folder: Path) -> tuple[Path, Path]:
    return heartbeat_files(folder / "state" / "posed")


def test_health_follows_a_daemon_from_start_to_end(tmp_path, settings):
    assert not healthy(tmp_path)
    with Daemon(tmp_path, settings) as daemon:
        eventually(lambda: not silence(files(tmp_path)), 60)
        assert healthy(tmp_path)
        assert daemon.stop() == 0
    assert not healthy(tmp_path)


def test_a_daemon_that_was_killed_is_not_healthy_any_more(tmp_path, settings):
    with Daemon(tmp_path, settings) as daemon:
        eventually(lambda: not silence(files(tmp_path)), 60)
        daemon.process.kill()
        daemon.process.wait()
        assert posed(tmp_path, "health").stdout.endswith("which gave the last sign of life, has ended\n")
    files(tmp_path)[0].unlink()


def test_a_camera_that_is_waited_for_is_healthy(tmp_path, settings):
    settings["cameras"] = {"camera": {"kind": "video", "source": "/dev/video77"}}
    with Daemon(tmp_path, settings) as daemon:
        eventually(lambda: not silence(files(tmp_path)), 60)
        assert daemon.stop() == 0


HANGS = """
import ctypes, sys
from posed.service import self_watch
self_watch.LIMIT_S, self_watch.BEAT_S = 1.5, 0.1
from posed.daemon import Daemon
step, steps = Daemon._step, iter(range(10))
def hang(self):
    if next(steps, None) is None:
        print("HANGS", file=sys.stderr, flush=True)
        (ctypes.PyDLL if HOLDS else ctypes.CDLL)(None).sleep(60)
    step(self)
Daemon._step = hang
sys.argv = ["posed", "run", "--config", sys.argv[1]]
from posed.cli import main
main()
"""


def run_hanging(folder: Path, settings: dict[str, Any], holds: bool, **more: str) -> tuple[int | None, str]:
    """The status, None after ten seconds, and the log of a daemon whose main loop hangs.

    With `holds` no other thread can run Python meanwhile.
    """
    path = folder / "posed.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-c", HANGS.replace("HOLDS", str(holds)), str(path)],
        env=environment(folder, more),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        status = None
        with suppress(subprocess.TimeoutExpired):
            status = process.wait(10)
        process.kill()
        return status, process.stderr.read()


@pytest.mark.parametrize("holds", [False, True])
def test_a_daemon_that_hangs_ends_with_a_trace(tmp_path, settings, holds):
    status, said = run_hanging(tmp_path, settings, holds)
    assert status == 1
    before, _, trace = said.partition("Timeout (0:00:01.500000)!\n")
    assert "HANGS" in before
    assert "in hang" in trace
    assert "capture" in trace  # the camera's thread
    assert silence(files(tmp_path)).endswith("has ended")
    files(tmp_path)[0].unlink()


def test_where_systemd_watches_it_is_left_to_that(tmp_path, settings):
    with Listener(tmp_path, watchdog_s=30) as systemd:
        status, said = run_hanging(tmp_path, settings, False, **systemd.environment())
    assert (status, "HANGS" in said, "Timeout" in said) == (None, True, False)


def test_a_pause_is_healthy(tmp_path, settings):
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        settings["mqtt"]["port"] = broker.port
        with Daemon(tmp_path, settings):
            subscriber.wait_for("posed/hall/availability", b"online", 30)
            subscriber.publish("posed/hall/request/pause")
            eventually(lambda: subscriber.payloads("posed/hall/response/pause"), 30)
            eventually(files(tmp_path)[0].exists, 3 * BEAT_S)
            paused = written_at(files(tmp_path)[0])
            eventually(lambda: written_at(files(tmp_path)[0]) > paused, 3 * BEAT_S)


def written_at(file: Path) -> float:
    return float(file.read_text().split()[2])
