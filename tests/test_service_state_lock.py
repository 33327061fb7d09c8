"""A state folder belongs to one daemon at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from posed.errors import StateInUse
from posed.service.state_lock import LOCK, lock_state
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.run_posed import Daemon, posed


def test_a_folder_that_is_locked_says_whose_it_is(tmp_path):
    with lock_state(tmp_path / "state", "hall"), pytest.raises(StateInUse) as caught:
        lock_state(tmp_path / "state", "bath").__enter__()
    assert str(caught.value) == (
        f"{tmp_path}/state: must be the state folder of one daemon, got one in use by device hall, process "
        f"{os.getpid()}; --state DIR or XDG_STATE_HOME chooses another"
    )


def test_a_folder_is_free_again_afterwards(tmp_path):
    for device in ("hall", "bath"):
        with lock_state(tmp_path, device):
            assert (tmp_path / LOCK).read_text() == f"device {device}, process {os.getpid()}\n"


def test_a_process_that_is_killed_lets_go(tmp_path):
    program = "import os, sys; from pathlib import Path; from posed.service.state_lock import lock_state; "
    program += "lock_state(Path(sys.argv[1]), 'hall').__enter__(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", program, tmp_path], check=False).returncode == -9
    with lock_state(tmp_path, "bath"):
        pass


def test_an_owner_that_could_not_be_written_is_another_daemon(tmp_path):
    with lock_state(tmp_path, "hall"):
        (tmp_path / LOCK).write_bytes(b"")
        with pytest.raises(StateInUse, match="in use by another daemon;"):
            lock_state(tmp_path, "bath").__enter__()


def test_a_folder_that_cannot_be_made_keeps_nobody_out():
    with lock_state(Path("/dev/null/none"), "hall"), lock_state(Path("/dev/null/none"), "bath"):
        pass


def test_a_folder_on_nfs_is_locked(tmp_path, monkeypatch):
    """NFS locks exclusively only what is open for writing. Source: flock(2)."""
    lock = fcntl.flock

    def as_nfs(descriptor: int, operation: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", as_nfs)
    with lock_state(tmp_path, "hall"), pytest.raises(StateInUse):
        lock_state(tmp_path, "bath").__enter__()


def test_no_process_that_the_daemon_starts_keeps_the_folder(tmp_path):
    with lock_state(tmp_path, "hall"):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with lock_state(tmp_path, "bath"):
            pass
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("command", [["run"], ["mqtt", "forget"]])
def test_a_second_daemon_ends_with_a_status_that_systemd_retries(tmp_path, settings, command):
    config = tmp_path / "posed.yaml"
    config.write_text(yaml.safe_dump(settings))
    with lock_state(tmp_path / "state" / "posed", "bath"):
        done = posed(tmp_path, *command, "--config", config)
    assert done.returncode == 7
    (line,) = done.stderr.splitlines()
    assert re.search(r"in use by device bath, process \d+; --state DIR or XDG_STATE_HOME", line)


def test_a_second_daemon_leaves_a_damaged_overlay_to_the_first(tmp_path, settings):
    config, folder = tmp_path / "posed.yaml", tmp_path / "state" / "posed"
    config.write_text(yaml.safe_dump(settings))
    with lock_state(folder, "bath"):
        (folder / "overlay.yaml").write_text("of_a_newer_version: 1\n")
        assert posed(tmp_path, "run", "--config", config).returncode == 7
    assert (folder / "overlay.yaml").exists()


def test_who_has_locked_a_folder_can_be_said_later(tmp_path):
    with lock_state(tmp_path) as sign:
        assert not (tmp_path / LOCK).read_text()
        sign("hall")
        assert (tmp_path / LOCK).read_text() == f"device hall, process {os.getpid()}\n"


def test_two_daemons_with_a_state_folder_each_tell_of_themselves(
    tmp_path: Path, broker: Mosquitto, settings: dict[str, Any]
):
    settings["mqtt"] |= {"port": broker.port}
    config = tmp_path / "bath.yaml"
    config.write_text(yaml.safe_dump(settings | {"device": "bath"}))
    state = tmp_path / "other"
    with Subscriber(broker.port, "posed/+/availability") as heard, Daemon(tmp_path, settings):
        eventually(lambda: heard.payloads("posed/hall/availability") == [b"online"], 20)
        done = posed(tmp_path, "run", "--config", config)
        assert (done.returncode, heard.payloads("posed/bath/availability")) == (7, [])
        with subprocess.Popen(
            [sys.executable, "-m", "posed", "run", "--config", config, "--state", state],
            env=os.environ,
            stderr=subprocess.DEVNULL,
        ) as second:
            eventually(lambda: heard.payloads("posed/bath/availability") == [b"online"], 20)
            second.terminate()
            assert second.wait(5) == 0
        assert (state / "spool.sqlite").exists()
        assert heard.payloads("posed/hall/availability") == [b"online"]


def test_a_state_folder_with_a_colon_is_refused(tmp_path):
    done = posed(tmp_path, "run", "--state", "a:b")
    assert (done.returncode, done.stderr) == (2, "--state: must have no colon, got 'a:b'\n")
