"""Signs of life, and what `posed health` makes of them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from posed.service import heartbeat
from posed.service.heartbeat import Heartbeat, heartbeat_files, silence
from tests.run_posed import environment, posed

HEAVY = {"numpy", "cv2", "paho", "pydantic", "typer", "rich", "yaml", "logging"}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "memory" / "posed", tmp_path / "heartbeat"


def test_a_sign_of_life_counts_as_long_as_it_says(files):
    assert Heartbeat(files, lambda: 100.0).beat(30)
    assert silence(files, 100.0) == ""
    assert silence(files, 129.9) == ""
    assert silence(files, 131.0) == "no progress for 31 s, of at most 30"


def test_memory_goes_before_the_state_folder(files):
    files[0].parent.mkdir()
    assert Heartbeat(files).beat(30)
    assert (files[0].exists(), files[1].exists()) == (True, False)
    assert silence(files) == ""


def test_what_cannot_be_written_anywhere_is_said(tmp_path):
    nowhere = tmp_path / "nowhere" / "heartbeat"
    assert not Heartbeat([nowhere]).beat(30)
    assert silence([nowhere]).startswith("no sign of life: posed does not run with this state folder")


def test_a_link_that_others_have_made_is_not_followed(files):
    files[0].parent.mkdir()
    files[0].symlink_to(files[0].parent / "precious")
    assert Heartbeat(files).beat(30)
    assert not (files[0].parent / "precious").exists()
    assert silence(files) == ""


def test_the_sign_of_a_process_that_has_ended_never_counts(files):
    write = "import sys; from pathlib import Path; from posed.service.heartbeat import Heartbeat\n"
    write += "print(Heartbeat([Path(sys.argv[1])]).beat(30))"
    done = subprocess.run(
        [sys.executable, "-c", write, str(files[1])],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert done.stdout == "True\n"
    assert silence(files).endswith("which gave the last sign of life, has ended")


def test_another_process_with_its_number_does_not_count(files):
    Heartbeat(files).beat(30)
    pid, start, *rest = files[1].read_text().split()
    files[1].write_text(" ".join([pid, str(int(start) - 1), *rest]))
    assert silence(files) == f"process {os.getpid()}, which gave the last sign of life, has ended"


@pytest.mark.parametrize("content", ["", "1", "a b c d", "1 2 nan 30", "1 2 3 4 5", "\xff", "-1 2 3 4"])
def test_what_is_damaged_never_counts(files, content):
    files[1].write_bytes(content.encode("latin-1"))
    assert silence(files, 3.0)


def test_a_longer_sign_leaves_nothing_behind(files):
    Heartbeat(files, lambda: 123456789.0).beat(1800)
    Heartbeat(files, lambda: 5.0).beat(30)
    assert silence(files, 6.0) == ""


def test_the_end_takes_back_every_sign(files):
    files[0].parent.mkdir()
    for file in files:
        file.touch()
    Heartbeat(files).end()
    assert not any(file.exists() for file in files)


def test_each_state_folder_has_a_sign_of_its_own():
    assert heartbeat_files(Path("/a"))[0] != heartbeat_files(Path("/b"))[0]
    assert heartbeat_files(Path("/a"))[0].parent == heartbeat.MEMORY


def test_health_is_status_1_and_a_line_without_a_daemon(tmp_path):
    done = posed(tmp_path, "health", "--state", tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("unhealthy: no sign of life: posed does not run with this state folder")


def test_health_refuses_what_is_no_folder_as_every_command(tmp_path):
    done = posed(tmp_path, "health", "--state", "a:b")
    assert (done.returncode, done.stderr) == (2, "--state: must have no colon, got 'a:b'\n")
    assert posed(tmp_path, "health", "--nonsense").returncode == 2
    assert "--state" in posed(tmp_path, "health", "--help").stdout


def test_health_imports_nothing_heavy(tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "posed", "health"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(tmp_path), check=False)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.returncode == 1
    assert "posed" in imported
    assert not HEAVY & imported


def test_health_takes_less_than_50_ms_more_than_python(tmp_path):
    def cpu_s(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *arguments], env=environment(tmp_path), capture_output=True, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    bare_s = min(cpu_s("-c", "") for _ in range(5))
    health_s = min(cpu_s("-m", "posed", "health") for _ in range(5))
    assert health_s - bare_s < 0.05
