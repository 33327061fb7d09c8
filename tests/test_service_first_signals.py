"""SIGTERM and SIGINT at any moment of the daemon's start, also as the first process of a container."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.brokers import eventually, free_port
from tests.make_tflite import make_tflite
from tests.run_posed import environment

DELAYS_S = (0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1)

as_pid_1 = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root may make a namespace of processes"
)
FIRST = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")
HELD = ("env", "--block-signal=TERM,INT")
"""The image's entry point begins with this: no moment is left in which the kernel throws a signal away."""


@contextmanager
def started(folder: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """`posed run` on drawn people, with a broker that is away."""
    model, config = folder / "red.tflite", folder / "posed.yaml"
    model.write_bytes(make_tflite())
    settings = {
        "device": "hall",
        "cameras": {"camera": {"kind": "synthetic", "fps": 5}},
        "model": {"name": str(model)},
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    with subprocess.Popen(
        [*before, sys.executable, "-m", "posed", "run", "--config", str(config)],
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def has(pid: int, mask: str, number: int) -> bool:
    """Whether a signal is in one of a process's masks: SigBlk, blocked, or SigCgt, with a handler."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    bits = next(line.split()[1] for line in lines if line.startswith(mask))
    return bool(int(bits, 16) >> (number - 1) & 1)


def first_of(process: subprocess.Popen[str]) -> int:
    """The process that `unshare` has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    eventually(children.read_text)
    return int(children.read_text().split()[0])


def name_of(pid: int) -> str:
    """Its program's. `unshare` itself blocks both signals, too, until just before it becomes the next one."""
    return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()


def ended(process: subprocess.Popen[str], pid: int, number: int) -> tuple[int, str]:
    os.kill(pid, number)
    said = process.communicate(timeout=20)[1]
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_any_moment_once_heard(tmp_path, number):
    for delay_s in DELAYS_S:
        with started(tmp_path) as process:
            eventually(lambda process=process: has(process.pid, "SigCgt", signal.SIGTERM))
            time.sleep(delay_s)
            status, said = ended(process, process.pid, number)
        assert (status, said.count(f"stopping on {number.name}\n")) == (0, 1), f"{delay_s} s: {said}"
        assert "Traceback" not in said


@pytest.mark.parametrize(("number", "wanted"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_sigterm_may_have_a_status_of_its_own(tmp_path, number, wanted):
    for delay_s in DELAYS_S[::3]:
        with started(tmp_path, "env", "STOP_STATUS=143") as process:
            eventually(lambda process=process: has(process.pid, "SigCgt", signal.SIGTERM))
            time.sleep(delay_s)
            status, said = ended(process, process.pid, number)
        assert status == wanted, f"{delay_s} s: {said}"


@as_pid_1
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_process_loses_no_signal_that_was_held(tmp_path, number):
    for delay_s in DELAYS_S:
        with started(tmp_path, *FIRST, *HELD) as process:
            pid = first_of(process)
            eventually(lambda pid=pid: name_of(pid) != "unshare" and has(pid, "SigBlk", signal.SIGTERM))
            time.sleep(delay_s)
            status, said = ended(process, pid, number)
        assert (status, said.count(f"stopping on {number.name}\n")) == (0, 1), f"{delay_s} s: {said}"
        assert "Traceback" not in said


@as_pid_1
def test_the_first_process_hears_before_anything_slow_is_imported(tmp_path):
    with started(tmp_path, *FIRST) as process:
        pid = first_of(process)
        eventually(lambda: has(pid, "SigCgt", signal.SIGTERM))
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert ended(process, pid, signal.SIGTERM) == (0, "stopping on SIGTERM\n")
    assert not [library for library in ("numpy", "cv2", "pydantic_core", "typer") if library in maps]


def test_the_journal_gets_a_priority_with_the_line(tmp_path):
    program = "from posed.service.first_signals import hear_first_signals\nhear_first_signals()\n"
    program += "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n"
    with (tmp_path / "log").open("wb") as log:
        status = os.fstat(log.fileno())
        stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | stream,
            stderr=log,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    assert (done.returncode, (tmp_path / "log").read_text()) == (0, "<6>stopping on SIGTERM\n")
