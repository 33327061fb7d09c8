"""scripts/demo: which model it runs on what, what it says first, and how it ends."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest

from posed.config import Config, load
from scripts import demo
from scripts.narration import Messages, Sentences
from scripts.paths import CORAL_353X481, ROOT
from tests.run_posed import complaints, environment


def options(**given: Any) -> argparse.Namespace:
    usual = {"video": None, "camera": None, "model": None, "no_web": False, "verbose": False}
    return argparse.Namespace(**(usual | given))


def config_of(**given: Any) -> Config:
    return load(demo.CONFIG, demo.daemon_settings(options(**given), 1883))


def run(folder: Path, *arguments: str, script: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end, or only as far as it comes without what it needs."""
    return subprocess.run(
        [script, *arguments] if script else [sys.executable, "-m", "scripts.demo", *arguments],
        cwd=script.parent.parent if script else ROOT,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# What runs


def test_drawn_people_are_seen_by_the_bundled_model() -> None:
    assert config_of().model.name == "drawings-257x353-16"


@pytest.mark.parametrize("source", [{"video": "people.mp4"}, {"camera": "0"}], ids=["video", "camera"])
def test_real_people_are_not_left_to_a_model_of_drawings(source: dict[str, str]) -> None:
    assert config_of(**source).model.name in {demo.MODEL_OF_REAL_PEOPLE, str(CORAL_353X481)}


def test_a_model_that_is_named_is_taken() -> None:
    assert config_of(video="people.mp4", model="drawings-257x353-32").model.name == "drawings-257x353-32"


def test_only_drawn_people_do_without_rotated_crops() -> None:
    assert config_of().first.people.look_turned_s == 0
    assert config_of(video="people.mp4").first.people.look_turned_s > 0


def test_the_live_view_is_for_this_machine_alone() -> None:
    config = config_of(camera="0")
    assert (config.web.enabled, config.web.is_local, config.first.privacy.pictures) == (True, True, "full")


def test_no_web_leaves_the_live_view_out() -> None:
    config = config_of(no_web=True)
    assert not config.web.enabled
    assert list(demo.opening(config, {})) == [
        "messages: mosquitto_sub -p 1883 -t 'posed/demo/#' -v; Ctrl-C ends"
    ]


def test_a_model_that_is_not_here_is_told_of() -> None:
    config = load(demo.CONFIG, {"POSED_MODEL__NAME": "coral-353x481", "POSED_MODEL__PULL": "true"})
    [first, *_] = demo.opening(config, {"DISPLAY": ":0"})
    assert first.endswith("only), once coral-353x481 is downloaded")


def test_a_port_that_is_taken_is_left_alone() -> None:
    usual = Config().web.port
    with socket.socket() as other, suppress(OSError):  # unless somebody else has it already
        other.bind(("127.0.0.1", usual))
        other.listen()
        assert demo.web_port() != usual


def test_sentences_unless_messages_are_asked_for() -> None:
    assert isinstance(demo.narrator_of(options(), config_of()), Sentences)
    assert isinstance(demo.narrator_of(options(verbose=True), config_of()), Messages)


# What is said first


def test_the_first_line_is_where_the_live_view_is() -> None:
    config = config_of()
    first, *rest = demo.opening(config, {"DISPLAY": ":0"})
    assert first == f"live view: http://127.0.0.1:{config.web.port}/ (with pictures, for this machine only)"
    assert len(rest) == 1


def test_without_a_display_it_says_how_to_reach_it() -> None:
    config = config_of()
    port = config.web.port
    _, line, _ = demo.opening(config, {})
    assert f"ssh -L {port}:localhost:{port} {demo.user_name()}@" in line
    assert f"http://localhost:{port}/" in line


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_display_is_found(variable: str) -> None:
    assert demo.has_display({variable: ":0"})
    assert not demo.has_display({variable: ""})


# What cannot run


@pytest.mark.parametrize("source", ["nothing.mp4", "", "99"], ids=["file", "empty", "device"])
def test_a_missing_video_is_told_before_anything_is_set_up(source: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    done = run(tmp_path, "--video", source, script=tmp_path / "scripts/demo")
    what = {"": "the source", "99": "/dev/video99"}.get(source, source)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"demo: {what}: there is no such file or device\n"
    assert [path.name for path in tmp_path.iterdir()] == ["scripts"]


def test_a_file_without_pictures_is_told_before_a_download(tmp_path: Path) -> None:
    video = tmp_path / "people.mp4"
    video.write_text("nothing", encoding="utf-8")
    done = run(tmp_path, "--video", str(video))
    assert (done.returncode, done.stdout) == (4, "")
    assert (
        done.stderr == f"demo: camera {video}: must be a video that FFmpeg reads, got none or a damaged one\n"
    )


def test_a_url_is_left_to_the_daemon() -> None:
    assert demo.existing("rtsp://192.168.1.20/stream") == "rtsp://192.168.1.20/stream"
    demo.check_video(config_of(video="rtsp://192.168.1.20/stream").first)


# How it goes on, and ends


class Daemon:
    """A process that runs until it is told that it has ended, with a status."""

    def __init__(self) -> None:
        self.status: int | None = None

    def poll(self) -> int | None:
        return self.status


class Receives:
    """A subscriber that gets a message with each step, and has the daemon end with the last.

    Args:
        daemon: ends.
        poses: how many messages come.
        status: of the daemon's end.
    """

    def __init__(self, daemon: Daemon, poses: int, status: int) -> None:
        self.poses = 0
        self.narrator = Sentences(print, lambda _code, line: line)
        self._daemon, self._left, self._status = daemon, poses, status

    def run(self, seconds: float) -> None:
        if self._left:
            self.poses += 1
            self._left -= 1
        else:
            self._daemon.status = self._status


def watched(poses: int, status: int) -> tuple[int, int]:
    """What comes of it, and how many times the page was shown."""
    daemon, shown = Daemon(), []
    subscriber: Any = Receives(daemon, poses, status)
    process: Any = daemon
    return demo.watch(subscriber, process, 0, lambda: shown.append("page")), len(shown)


def test_the_page_is_shown_once_there_is_something_to_see() -> None:
    assert watched(poses=3, status=0) == (0, 1)


def test_without_poses_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert watched(poses=0, status=0) == (1, 0)
    assert capsys.readouterr().err == "demo: nothing was received of the camera\n"


def test_a_daemon_that_fails_says_why_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert watched(poses=0, status=3) == (3, 0)
    assert capsys.readouterr().err == ""


class Running:
    """The demo in the background, with the lines that it prints."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scripts.demo", "--seconds", "60", *arguments],
            cwd=ROOT,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that Ctrl-C is its processes' alone
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)

    def read_to(self, text: str) -> str:
        """Wait for a line with this text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text in line:
                return line
        raise AssertionError(self.end())

    def end(self) -> tuple[int, str]:
        """The exit status, and what it complained of."""
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, complaints(said)


def test_ctrl_c_ends_all_of_it_quietly(tmp_path: Path) -> None:
    with Running(tmp_path) as running:
        broker = re.search(r"mosquitto_sub -p (\d+)", running.read_to("messages:"))
        running.read_to("frames per second")
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.end() == (0, "")
    assert broker
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(broker[1])))
    with pytest.raises(ProcessLookupError):
        os.killpg(running.process.pid, 0)


def test_it_ends_quietly_when_nobody_reads_it_any_more(tmp_path: Path) -> None:
    """As `scripts/demo --verbose | head` does. They share one stderr, which ends with the last."""
    with Running(tmp_path, "--no-web", "--verbose") as running:
        running.read_to("poses")
        assert running.process.stdout is not None
        running.process.stdout.close()
        assert running.end() == (0, "")
