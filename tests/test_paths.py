"""Where files are kept, and how they are written and read."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from posed.paths import (
    cache_folder,
    exists,
    expanded,
    may_exist,
    read_file,
    replace_file,
    state_folder,
    with_state,
)
from tests.brokers import free_port

HOMES = ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
AS_NOBODY_KNOWN = "import os; os.getuid = lambda: 2**31 - 7; from posed.cli import main; main()"


@pytest.fixture
def homeless(monkeypatch):
    """A user whom the system does not know, as in a container."""

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in HOMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HOME": "/home/a"}, "/home/a/.local/state/posed"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "/b"}, "/b/posed"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "b"}, "/home/a/.local/state/posed"),
        ({"HOME": "/home/a", "STATE_DIRECTORY": "/c:/d"}, "/c"),
    ],
)
def test_the_environment_says_where_state_is(environment, folder):
    assert state_folder(environment) == Path(folder)


def test_a_user_without_a_home_gets_impossible_folders(homeless):
    assert state_folder({}) == Path("/dev/null/XDG_STATE_HOME is not set")
    assert cache_folder({"XDG_STATE_HOME": "/b"}) == Path("/dev/null/XDG_CACHE_HOME is not set")
    with pytest.raises(NotADirectoryError):
        state_folder({}).mkdir(parents=True)


def test_a_home_that_nobody_knows_stays_as_it_is_written(homeless):
    assert expanded("~/film.mp4") == Path("~/film.mp4")
    assert expanded("~nobody-of-this-name/film.mp4") == Path("~nobody-of-this-name/film.mp4")


def test_a_home_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/a")
    assert expanded("~/film.mp4") == Path("/home/a/film.mp4")


def homeless_run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command of a user without a home."""
    environment = {name: value for name, value in os.environ.items() if name not in HOMES}
    command = [sys.executable, "-c", AS_NOBODY_KNOWN, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", [["check"], ["model", "list"], ["model", "info", "drawings-257x353-16"]])
def test_commands_run_without_a_home(command):
    done = homeless_run(*command)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_download_without_a_home_says_what_to_set():
    done = homeless_run("model", "pull", "coral-353x481")
    assert done.returncode == 3
    assert done.stderr.rstrip().endswith(
        "cannot keep it in /dev/null/XDG_CACHE_HOME is not set/models: Not a directory"
    )


def test_the_daemon_keeps_state_in_memory_and_says_so(tmp_path: Path, settings: dict[str, Any]):
    settings["cameras"]["camera"] |= {"loop": False}
    settings["mqtt"] |= {"port": free_port()}
    config = tmp_path / "posed.yaml"
    config.write_text(yaml.safe_dump(settings))
    done = homeless_run("run", "--config", config)
    assert done.returncode == 0
    (line,) = (line for line in done.stderr.splitlines() if "WARNING" in line and "mqtt" not in line)
    assert "XDG_STATE_HOME is not set/spool.sqlite: Not a directory; events are kept in memory only" in line


def test_doctor_says_that_state_is_in_memory(tmp_path: Path):
    config = tmp_path / "posed.yaml"
    config.write_text(f"cameras: {{hall: {{kind: synthetic}}}}\nmqtt: {{port: {free_port()}}}\n")
    done = homeless_run("doctor", "--config", config, "--json")
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["disk"]["status"] == "warning"
    assert found["disk"]["found"].endswith("cannot be written: events and settings are kept in memory only")
    assert found["disk"]["remedy"] == "XDG_STATE_HOME: a folder that can be written"
    assert found["pitch hall"]["status"] == "unused"


def test_a_given_state_folder_may_be_below_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert state_folder(with_state(Path("~/hall"), {})) == Path("/home/me/hall")


# Files that are written whole, and read with care


@pytest.mark.parametrize("content", ["zwölf\n", "zwölf\n".encode()])
def test_a_file_is_replaced_by_text_or_bytes(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "folder" / "a.yaml"
    replace_file(path, "older")
    replace_file(path, content)
    assert path.read_bytes() == "zwölf\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "a", "text", tmp_path / "mine.part")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="longer than 4 bytes"):
        read_file(tmp_path / "a", 4)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(OSError, match="no file, but a pipe or device"):
        read_file(tmp_path / "a", 5)


def test_a_device_without_end_is_not_read() -> None:
    with pytest.raises(OSError, match="no file, but a pipe or device"):
        read_file(Path("/dev/zero"), 5)


def test_a_folder_is_none(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 5)


def test_what_cannot_be_seen_is_an_error_and_not_missing(tmp_path):
    """Python 3.14's Path.exists() says that it is not there."""
    (tmp_path / "file").touch()
    assert exists(tmp_path / "file")
    assert not exists(tmp_path / "missing")
    assert not exists(tmp_path / "file" / "below")
    with pytest.raises(OSError, match="File name too long"):
        exists(tmp_path / ("x" * 300))
    assert may_exist(tmp_path / ("x" * 300))
    assert not may_exist(tmp_path / "missing")
