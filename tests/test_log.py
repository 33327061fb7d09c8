"""The log, where it goes to the journal and where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run_posed import environment


def log_of(folder: Path, text: str, *, journal: bool) -> tuple[int, list[str]]:
    """Exit status and log of a daemon that plays one picture, or has this configuration."""
    (folder / "posed.yaml").write_text(text)
    log = folder / "log"
    with log.open("wb") as stream:
        status = os.fstat(stream.fileno())
        given = f"{status.st_dev}:{status.st_ino}" if journal else "8:1"
        done = subprocess.run(
            [sys.executable, "-m", "posed", "run", "--config", str(folder / "posed.yaml")],
            env=environment(folder, {"JOURNAL_STREAM": given}),
            stdin=subprocess.DEVNULL,
            stderr=stream,
            timeout=60,
            check=False,
        )
    return done.returncode, log.read_text().splitlines()


GOOD = """\
device: hall
model: {name: drawings-257x353-16}
cameras: {camera: {kind: images, source: PICTURE, fps: 10}}
mqtt: {host: 127.0.0.1, port: 1}
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    import cv2
    import numpy as np

    picture = tmp_path / "red.png"
    cv2.imwrite(str(picture), np.zeros((98, 130, 3), np.uint8))
    return GOOD.replace("PICTURE", str(picture))


def test_lines_for_the_journal_have_a_priority_and_no_time(tmp_path, good):
    status, lines = log_of(tmp_path, good, journal=True)
    assert status == 0
    assert any(line.startswith("<6>INFO posed ") for line in lines)
    assert any(line.startswith("<4>WARNING ") for line in lines)
    assert all(line.startswith("<") for line in lines)


def test_a_terminal_that_inherited_the_journals_variable_gets_times(tmp_path, good):
    _, lines = log_of(tmp_path, good, journal=False)
    assert not any(line.startswith("<") for line in lines)
    assert any(" INFO posed " in line for line in lines)


def test_what_ends_it_is_an_error_to_the_journal(tmp_path):
    status, lines = log_of(tmp_path, "camera: {fps: 0}\nweb: 7\n", journal=True)
    assert status == 2
    assert len(lines) == 2
    assert all(line.startswith("<3>") for line in lines)


CHATTER = """
import os
from posed.log import without_chatter
if {forbidden}:
    def refuse(_name): raise PermissionError(1, "Operation not permitted")
    os.memfd_create = refuse
with without_chatter(b"INFO: "):
    os.write(2, b"INFO: created\\n")
    os.write(2, b"ERROR: lost\\n")
os.write(2, b"after\\n")
"""


@pytest.mark.parametrize(
    ("forbidden", "said"),
    [(False, ["ERROR: lost", "after"]), (True, ["INFO: created", "ERROR: lost", "after"])],
)
def test_chatter_is_left_out_without_a_temporary_folder(tmp_path, forbidden, said):
    done = subprocess.run(
        [sys.executable, "-c", CHATTER.format(forbidden=forbidden)],
        env=os.environ | {"TMPDIR": "/nowhere"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr.splitlines() == said
