"""How an AI Camera takes its network in: in another process, so that ours goes on meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posed.camera.base import SettingError
from posed.camera.imx500 import Imx500Camera, open_imx500
from posed.camera.imx500_loading import LIMIT_S, RELY_S, Loading
from posed.config import CameraConfig
from posed.errors import CameraLost, CameraPreparing
from tests.ai_camera_standin import Worlds, installed
from tests.brokers import eventually

CONFIG = CameraConfig(kind="imx500")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worlds]:
    """Makes what an AI Camera sees; it does not have its network yet."""
    with installed(tmp_path, monkeypatch) as worlds:
        yield worlds


def opened_when_ready(tell: Callable[[str], object] = lambda _: None) -> Imx500Camera:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            return open_imx500(CONFIG)
        except CameraPreparing as why:
            tell(str(why))
            time.sleep(0.05)
    raise AssertionError("still not ready")


@pytest.fixture
def now_s() -> list[float]:
    return [0.0]


@pytest.fixture
def loading(world: Worlds, now_s: list[float], tmp_path: Path) -> Iterator[Loading]:
    made = Loading(clock=lambda: now_s[0], debug=tmp_path)
    yield made
    for child in made._children.values():
        child.end()


def outcome(loading: Loading) -> None:
    """Ask until there is one."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            return loading.ensure(0)
        except CameraPreparing:
            time.sleep(0.05)
    raise AssertionError("still not ready")


def test_a_network_is_taken_in_by_another_process(world: Worlds) -> None:
    world(upload_s=1.5)
    news: list[str] = []
    ticks, done = [0], threading.Event()

    def tick() -> None:
        while not done.wait(0.01):
            ticks[0] += 1

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        with opened_when_ready(news.append) as camera:
            assert camera.read(5) is not None
    finally:
        done.set()
        ticking.join()
    assert news[0] == "Pi camera 0: takes its network in, minutes the first time"
    assert ticks[0] > 50, "what else there is goes on"
    [child, ours] = world.starts
    assert ours == os.getpid() != child


def test_a_camera_that_was_just_closed_is_opened_at_once(world: Worlds) -> None:
    with opened_when_ready():
        pass
    before = len(world.starts)
    with open_imx500(CONFIG) as camera:
        assert camera.read(5) is not None
    assert world.starts[before:] == [os.getpid()]


def test_only_who_was_just_closed_has_its_network(loading: Loading, now_s: list[float]) -> None:
    """Another program may have given the camera another network, and ours would hang while it gets in."""
    outcome(loading)
    with pytest.raises(CameraPreparing):
        loading.ensure(0)
    outcome(loading)
    loading.closed(0)
    now_s[0] += RELY_S
    loading.ensure(0)
    loading.closed(0)
    now_s[0] += RELY_S + 1
    with pytest.raises(CameraPreparing):
        loading.ensure(0)


def test_a_process_that_cannot_begin_is_a_lost_camera(
    loading: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(
        CameraLost, match=r"^Pi camera 0: cannot take its network in \(.*No such file"
    ) as error:
        loading.ensure(0)
    assert not isinstance(error.value, CameraPreparing)


def test_nothing_in_the_folder_that_we_are_in_runs(
    loading: Loading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv2.py").write_text("raise SystemExit('from the folder')\n")
    monkeypatch.chdir(tmp_path)
    outcome(loading)


def test_what_the_other_process_misses_is_said(world: Worlds, loading: Loading) -> None:
    world(fails="start")
    with pytest.raises(SettingError, match=r"^kind: imx500 needs `apt install imx500-all`, got no /lib/"):
        outcome(loading)


def test_a_camera_that_is_gone_meanwhile_is_lost(world: Worlds, loading: Loading) -> None:
    world(models=())
    with pytest.raises(CameraLost, match=r"^Pi camera 0: must be connected, got 0 camera\(s\)$") as error:
        outcome(loading)
    assert not isinstance(error.value, CameraPreparing)


def test_a_network_that_never_gets_in_is_given_up(
    world: Worlds, loading: Loading, now_s: list[float]
) -> None:
    world(upload_s=60)
    for now_s[0], said in ((0.0, ""), (59.0, ", 50 s so far"), (LIMIT_S, ", 900 s so far")):
        with pytest.raises(CameraPreparing, match=f"the first time{said}$"):
            loading.ensure(0)
    now_s[0] = LIMIT_S + 1
    with pytest.raises(CameraLost, match="must take its network in within 900 s, still does") as error:
        loading.ensure(0)
    assert not isinstance(error.value, CameraPreparing)


def test_how_far_it_is_is_said_where_the_kernel_tells(
    loading: Loading, now_s: list[float], tmp_path: Path
) -> None:
    firmware, bridge = tmp_path / "imx500-fw:10-001a", tmp_path / "rp2040-spi:10-0040"
    for folder in (firmware, bridge):
        folder.mkdir()
    (firmware / "fw_progress").write_text("2 1048576 2097152\n")
    (bridge / "transfer_progress").write_text("524288\n")
    with pytest.raises(CameraPreparing, match=r"the first time, 75%$"):
        loading.ensure(0)
    now_s[0] = 19.0
    with pytest.raises(CameraPreparing, match=r"the first time, 10 s so far, 75%$"):
        loading.ensure(0)
    (firmware / "fw_progress").write_text("1 0 2097152\n")
    with pytest.raises(CameraPreparing, match=r"the first time, 10 s so far$"):
        loading.ensure(0)


OPENS = """
import sys
from posed.camera.imx500 import open_imx500
from posed.config import CameraConfig
from posed.errors import CameraPreparing
try:
    open_imx500(CameraConfig(kind="imx500"))
except CameraPreparing as why:
    print(why, flush=True)
sys.stdin.read()
"""
"""A program that has a camera take its network in, until its input ends."""


def begun(world: Worlds) -> int:
    """The process that takes the network in, once it does."""
    eventually(lambda: world.starts, 30)
    return world.starts[-1]


def is_there(pid: int) -> bool:
    """Whether a process runs, or waits for its parent to hear of its end."""
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("by_force", [False, True])
def test_the_end_of_the_process_ends_the_other_one(world: Worlds, *, by_force: bool) -> None:
    world(upload_s=60)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", OPENS], stdin=pipe, stdout=pipe, stderr=pipe) as program:
        child = begun(world)
        assert is_there(child)
        if by_force:
            program.kill()
        said, complaints = program.communicate(timeout=10)
    assert said.startswith(b"Pi camera 0: takes its network in")
    assert complaints == b""
    eventually(lambda: not is_there(child), 5)


def test_who_gives_up_leaves_no_process_behind(world: Worlds, loading: Loading) -> None:
    world(upload_s=60)
    with pytest.raises(CameraPreparing) as preparing:
        loading.ensure(0)
    child = begun(world)
    preparing.value.give_up()
    eventually(lambda: not is_there(child), 5)
    world(upload_s=0)
    outcome(loading)
    assert len(world.starts) == 2, "the camera is free for another"
