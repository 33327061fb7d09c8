"""Does to one of four cameras what happens to cameras, and counts what the three others deliver meanwhile.

    pytest -m system tests/system/test_camera_faults.py [-k "floods or stalls"]    each fault for 10 s
    pytest -m release tests/system/test_camera_faults.py                           each for a minute

`faults/cameras.py` says in what surroundings. Columns of the table that this prints:

    s        how long frames were counted before the fault, and with it
    frames   that the three delivered with it, of those without it
    least    the one of the three that lost most: its frames as share of those without the fault
    events   of the three, since the fault began; nobody moves there, so that none is due
    state    what the bad camera's own state said meanwhile

Wanted: no camera under 0.95 (0.8 where other tests run beside it), no event, a state that says what is wrong,
and a daemon that goes on.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.brokers import eventually, require_mosquitto
from tests.standin import built
from tests.system.conftest import Table
from tests.system.faults.cameras import (
    FAULTS,
    HANG_S,
    HEADER,
    LEAST_SHARE,
    RTSP,
    FourCameras,
    hangs,
    plays_a_pipe_for_ever,
)
from tests.system.needs import cannot, need_debian, venv_sh

RTSP_PACKAGES = (
    "python3-gi",
    "gir1.2-gst-rtsp-server-1.0",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
)
CAMERA_ERROR = 4
"""The daemon's exit status where a camera can never work like this."""

LEAST_SHARE_BESIDE_TESTS = 0.8
"""In ten seconds a frame is a percent, and other tests take what they can get of the same two cores."""

LENGTHS = [
    pytest.param(10, LEAST_SHARE_BESIDE_TESTS, marks=pytest.mark.system),
    pytest.param(60, LEAST_SHARE, marks=pytest.mark.release),
]


@pytest.fixture
def four(tmp_path: Path):
    need_debian("mosquitto", "mosquitto")
    require_mosquitto()
    need_debian("cc", "gcc", "libc6-dev")
    built()
    with FourCameras(tmp_path) as cameras:
        yield cameras


def need_rtsp_server() -> None:
    """Install GStreamer's, for Debian's own Python, where that can be done."""
    look = ["/usr/bin/python3", "-c", 'import gi; gi.require_version("GstRtspServer", "1.0")']

    def is_there() -> bool:
        return subprocess.run(look, capture_output=True, check=False).returncode == 0

    if not is_there():
        venv_sh("apt_install", *RTSP_PACKAGES)
    if not is_there():
        cannot(f"needs an RTSP server: {', '.join(RTSP_PACKAGES)}")


@pytest.mark.parametrize(("seconds", "least_share"), LENGTHS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_cameras_fault_costs_the_others_nothing(
    name: str, seconds: int, least_share: float, four: FourCameras, table: Table
) -> None:
    if name == RTSP:
        need_rtsp_server()
    outcome = four.run(FAULTS[name], seconds)
    table.head(HEADER)
    table.row(f"{name:34} {outcome}")
    assert outcome.share >= least_share
    assert outcome.events == []
    assert re.search(FAULTS[name].says, "; ".join(outcome.said))
    assert outcome.runs
    assert not outcome.offline


@pytest.mark.release
def test_a_third_thread_that_hangs_ends_the_daemon(four: FourCameras) -> None:
    plays_a_pipe_for_ever(four)
    four.start()
    hangs(four)
    eventually(lambda: four.daemon.log().count("left behind") == 2, 4 * HANG_S)
    assert four.daemon.wait(2 * HANG_S) == CAMERA_ERROR
