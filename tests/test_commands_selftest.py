"""`posed selftest`: what it says of processors, Edge TPUs and cameras, good and bad; its report."""

from __future__ import annotations

import getpass
import itertools
import os
import platform
import pwd
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import yaml

from posed.commands.doctor.checks import Check, Service
from posed.commands.selftest import engines, run
from posed.commands.selftest.cameras import Watched, check_camera, judged
from posed.commands.selftest.engines import (
    Bench,
    check_bundled,
    check_cpu_speed,
    check_edgetpu,
    check_unplugging,
)
from posed.commands.selftest.heads import Difference
from posed.commands.selftest.person import AtTerminal
from posed.commands.selftest.report import Private, check_new, write_report
from posed.commands.selftest.run import exit_status, load_tested, run_tests
from posed.commands.waiting import Hangs, within
from posed.config import CameraConfig, Config, EngineConfig
from posed.engine.base import Engine
from posed.engine.tflite import open_cpu
from posed.errors import ConfigError, EngineError, ModelError
from posed.model.outputs import OutputTensor
from posed.networks.pair import Pair, load_pair
from posed.service.heartbeat import heartbeat_files, silence
from scripts.standins.edgetpu import Behaviour
from tests.ai_camera_standin import MODEL, installed
from tests.brokers import eventually
from tests.make_tflite import make_tflite
from tests.picamera_fake import Hardware, modules
from tests.run_posed import Daemon, on_drawn_people, posed
from tests.standin import built

STOPPED = Service()
RUNNING = Service("loaded", "active", "30 fps, 1 person, edgetpu usb:0")
NEVER = threading.Event()


class Somebody:
    """Does what is asked for, in turn."""

    is_there = True

    def __init__(self, *deeds: Callable[[], object]) -> None:
        self._deeds = iter(deeds)

    def ask(self, what: str) -> None:
        next(self._deeds)()


class Nobody:
    is_there = False

    def ask(self, what: str) -> None:
        raise AssertionError("nobody is there")


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch) -> Callable[[Behaviour], None]:
    def behave(behaviour: Behaviour) -> None:
        for name, value in behaviour.environment().items():
            monkeypatch.setenv(name, value)

    return behave


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A small model for both engines."""
    (tmp_path / "small.tflite").write_bytes(make_tflite())
    (tmp_path / "small_edgetpu.tflite").write_bytes(make_tflite(edgetpu=True))
    return load_pair(str(tmp_path / "small.tflite"))


@pytest.fixture
def bench(pair: Pair, tmp_path: Path) -> Bench:
    """The stand-in for an Edge TPU."""
    return Bench(EngineConfig(), pair, 0.05, str(built().path), tmp_path / "cache")


@pytest.fixture
def right(bench: Bench, tmp_path: Path) -> Path:
    """What the chip should say of the picture."""
    assert bench.pair.cpu is not None
    with open_cpu(bench.pair.cpu, 1, "a test") as engine:
        outputs = engine.infer(bench.picture)
    path = tmp_path / "heads"
    path.write_bytes(b"".join(np.ascontiguousarray(output.data).tobytes() for output in outputs))
    return path


@pytest.fixture
def device(behave: Callable[[Behaviour], None], right: Path, tmp_path: Path) -> Path:
    """An Edge TPU that is right, plugged in long since."""
    path = tmp_path / "device"
    plug_in(path)
    behave(Behaviour(device=path, heads=right))
    return path


def plug_in(device: Path) -> None:
    device.touch()
    os.utime(device, (0, 0))


def found(bench: Bench) -> dict[str, Check]:
    return {check.name: check for check in check_edgetpu(bench, Nobody())}


def test_the_bundled_picture_gives_here_what_it_gives_elsewhere():
    check = check_bundled(threads=1)
    assert (check.status, check.remedy) == ("ok", "")
    assert "within 8 steps" in check.found


def test_a_processor_that_computes_wrongly_fails(monkeypatch, tmp_path):
    with np.load(engines.EXPECTED) as file:
        np.savez(tmp_path / "other.npz", **{name: np.roll(file[name], 9, axis=0) for name in file})
    monkeypatch.setattr(engines, "EXPECTED", tmp_path / "other.npz")
    assert check_bundled(threads=1).status == "failed"


@pytest.mark.parametrize(
    ("apart", "equal", "small"), [(0, 1.0, True), (1, 0.0, True), (8, 0.0, True), (9, 0.0, False)]
)
def test_a_few_steps_are_the_same_answer(apart, equal, small):
    one = (OutputTensor(np.full((4, 4, 2), 100, np.uint8), 0.1, 90),)
    other = (OutputTensor(np.full((4, 4, 2), 100 + apart, np.uint8), 0.1, 90),)
    difference = Difference.between(one, other)
    assert (difference.equal, difference.is_small) == (equal, small)
    assert difference.most_steps == pytest.approx(apart)


def test_one_value_in_a_hundred_may_be_far_off():
    expected = np.zeros((100, 1, 1), np.float32)
    expected[0] = 255  # which makes a step 1
    few, many = expected.copy(), expected.copy()
    few[:1] += 50
    many[:2] += 50
    assert Difference.between((OutputTensor(few),), (OutputTensor(expected),)).is_small
    assert not Difference.between((OutputTensor(many),), (OutputTensor(expected),)).is_small


def test_what_does_not_return_hangs():
    with pytest.raises(Hangs, match=r"^the lamp hangs: no result within 0\.01 s$"):
        within(0.01, "the lamp", NEVER.wait)


def test_a_good_edge_tpu_says_what_the_cpu_says(bench, device):
    checks = found(bench)
    assert [check.status for check in checks.values()] == ["ok", "ok", "unused"]
    assert checks["edge tpu heads"].found.startswith("against this CPU's: 100.0% of the values equal")
    assert checks["edge tpu heads"].found.endswith("20 times the same")
    assert "per second" in checks["edge tpu speed"].found
    assert "p50 " in checks["edge tpu speed"].found


def test_an_edge_tpu_that_answers_wrongly_fails(bench, device, right):
    right.write_bytes(bytes(right.stat().st_size))
    check = found(bench)["edge tpu heads"]
    assert check.status == "failed"
    assert "cable or power supply" in check.remedy


def test_an_edge_tpu_that_changes_its_mind_fails(bench, device, right):
    answer = right.read_bytes()
    right.write_bytes(answer * 3 + bytes([answer[0] ^ 1]) + answer[1:])
    check = found(bench)["edge tpu heads"]
    assert check.status == "failed"
    assert "100.0% within 8 steps" in check.found
    assert "another answer 5 of 19 times" in check.found


def test_without_a_plain_model_answers_are_compared_among_themselves(bench, device):
    check = found(replace(bench, pair=replace(bench.pair, plain=None)))["edge tpu heads"]
    assert check.status == "warning"
    assert check.found == "no plain file of the model to compare with; 20 times the same"


def test_a_missing_edge_tpu_fails(bench, device):
    device.unlink()
    check = found(bench)["edge tpu heads"]
    assert (check.status, "no Edge TPU answered" in check.found) == ("failed", True)


def test_an_edge_tpu_that_dies_under_load_fails(bench, device, behave):
    behave(Behaviour(fail_at=engines.REPEATS + 5))
    checks = found(bench)
    assert checks["edge tpu heads"].status == "ok"
    assert checks["edge tpu"].status == "failed"
    assert "failed to run the model" in checks["edge tpu"].found
    assert "unplugging" not in checks


def test_an_edge_tpu_that_hangs_is_given_up(bench, device, behave, monkeypatch):
    found(bench)  # whether it fits is known from now on, and needs no child that hangs
    monkeypatch.setattr(engines, "LONGEST_S", 0.3)
    behave(Behaviour(hang_at=3))
    check = found(bench)["edge tpu"]
    assert (check.status, check.found) == ("failed", "the Edge TPU hangs: no result within 0.3 s")


@pytest.mark.parametrize(("kind", "status"), [("auto", "unused"), ("edgetpu", "failed")])
def test_a_model_for_the_cpu_alone_tests_no_edge_tpu(bench, kind, status):
    plain = replace(bench, config=EngineConfig(kind=kind), pair=replace(bench.pair, compiled=None))
    check = found(plain)["edge tpu heads"]
    assert (check.status, check.remedy) == (status, "model.name: coral-353x481")


@pytest.mark.parametrize("error", [EngineError, ModelError])
def test_a_cpu_that_runs_no_model_fails(bench, monkeypatch, error):
    def broken(*_: object) -> Engine:
        raise error("no runtime")

    monkeypatch.setattr(engines, "open_cpu", broken)
    checks = [check_cpu_speed(bench), *check_edgetpu(bench, Nobody())]
    assert [(check.name, check.status, check.found) for check in checks] == [
        ("cpu speed", "failed", "no runtime"),
        ("edge tpu heads", "failed", "no runtime"),
    ]


def test_an_edge_tpu_that_is_pulled_out_works_again(bench, device):
    somebody = Somebody(device.unlink, lambda: plug_in(device))
    check = check_unplugging(bench, somebody, None)
    assert check.status == "ok"
    assert check.found.startswith(
        "missed (edgetpu any: failed to run the model (stand-in: the device is gone"
    )
    assert "works again" in check.found


def test_an_edge_tpu_that_stays_away_fails(bench, device):
    somebody = Somebody(device.unlink, lambda: None)
    ticks = itertools.count(step=engines.PULL_S / 4)
    check = check_unplugging(bench, somebody, None, lambda: next(ticks))
    assert (check.status, "it does not come back" in check.found) == ("failed", True)


def test_an_edge_tpu_that_nobody_pulls_is_a_warning(bench, device):
    ticks = itertools.count(step=engines.PULL_S / 4)
    check = check_unplugging(bench, Somebody(lambda: None), None, lambda: next(ticks))
    assert (check.status, check.found) == ("warning", "nobody pulled it out within 60 s")


def test_a_pcie_module_is_never_pulled_out(bench, device):
    pcie = replace(bench, config=EngineConfig(device="pci:0"))
    assert check_unplugging(pcie, Somebody(), None).status == "unused"


def config(**sections: Any) -> Config:
    return Config.model_validate({"device": "hall", **sections})


def test_a_camera_that_works_says_its_rate_and_size():
    [check] = check_camera("camera 1", "hall", CameraConfig(kind="synthetic", fps=20), 0.5)
    assert check.name == "camera 1"
    assert check.status in ("ok", "warning"), "a warning where this machine is too busy for all frames"
    assert "synthetic, 640×480 px: " in check.found
    assert "frames per second (asked for 20), " in check.found
    assert "sees ok" in check.found


def test_a_camera_that_stops_fails(monkeypatch):
    hardware = Hardware()
    for name, module in modules(hardware).items():
        monkeypatch.setitem(sys.modules, name, module)

    def deliver_two() -> None:
        eventually(lambda: hardware.devices and hardware.devices[0].started)
        camera = hardware.devices[0]
        width, height = camera.camera_configuration()["main"]["size"]
        for brightness in (90, 91):
            assert camera.asked.wait(8)
            camera.asked.clear()
            camera.deliver(np.full((height, width, 3), brightness, np.uint8))

    driver = threading.Thread(target=deliver_two)
    driver.start()
    [check] = check_camera("camera 1", "hall", CameraConfig(kind="picamera2", timeout_s=0.5), 5)
    driver.join()
    assert check.status == "failed"
    assert "Pi camera 0: no frame within 0.5 s, after 2 frames" in check.found


def test_a_camera_that_is_not_there_fails():
    gone = CameraConfig(kind="video", source="/dev/video77", timeout_s=0.5)
    [check] = check_camera("camera 1", "hall", gone, 1)
    assert (check.status, check.found[:19]) == ("failed", "video: camera /dev/")


def watched(**changes: Any) -> Watched:
    """100 frames in 10 s."""
    good = Watched([index / 10 for index in range(100)], {(640, 480)}, [120.0] * 100)
    return replace(good, **changes)


@pytest.mark.parametrize(
    ("kind", "changes", "found"),
    [
        ("synthetic", {}, ""),
        ("synthetic", {"health": "dark"}, "sees dark"),
        ("synthetic", {"health": "frozen"}, "sees frozen"),
        ("synthetic", {"sizes": {(640, 480), (320, 240)}}, "the size changes"),
        ("picamera2", {}, "slow"),
        ("synthetic", {"at_s": [index / 10 + index // 20 for index in range(100)]}, "drops frames"),
    ],
)
def test_a_camera_with_shortcomings_deserves_a_warning(kind, changes, found):
    check = judged("camera 1", CameraConfig(kind=kind), watched(**changes))
    assert (check.status, found in check.found) == ("warning" if found else "ok", True)
    assert bool(check.remedy) == bool(found)


def test_gaps_are_waits_much_longer_than_usual():
    assert watched(at_s=[0.0, 0.1, 0.2, 0.5, 0.6, 0.7, 0.9]).gaps == 1


def test_everything_is_tested_in_turn(pair):
    tested = config(cameras={"hall": {"kind": "synthetic", "fps": 20}}, engine={"kind": "cpu", "threads": 1})
    checks = list(run_tests(tested, pair, Nobody(), service=STOPPED, speed_s=0.02, camera_s=0.2))
    assert [check.name for check in checks] == ["cpu heads", "cpu speed", "edge tpu heads", "camera 1"]
    assert [check.status for check in checks[:3]] == ["ok", "ok", "unused"]
    assert checks[3].status != "failed"


@pytest.mark.parametrize(("kind", "status"), [("auto", "unused"), ("edgetpu", "failed")])
def test_no_edge_tpu_is_a_failure_only_where_wanted(pair, monkeypatch, kind, status, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(run, "accelerators", list)
    tested = config(cameras={"hall": {"kind": "synthetic"}}, engine={"kind": kind})
    checks = run_tests(tested, pair, Nobody(), service=STOPPED, speed_s=0.02, camera_s=0.1)
    assert next(check.status for check in checks if check.name == "edge tpu heads") == status


@pytest.mark.parametrize(
    ("may_be_asked", "terminal", "is_there"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_somebody_is_asked_only_at_a_terminal(monkeypatch, may_be_asked, terminal, is_there):
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
    assert AtTerminal(may_be_asked=may_be_asked).is_there == is_there


def test_what_the_service_uses_is_left_alone(pair):
    tested = config(cameras={"hall": {"kind": "picamera2"}}, engine={"kind": "edgetpu"})
    checks = list(run_tests(tested, pair, Nobody(), service=RUNNING, speed_s=0.02))
    left = [check for check in checks if check.status == "unused"]
    assert [check.name for check in left] == ["edge tpu heads", "camera 1"]
    assert all("systemctl stop posed" in check.remedy for check in left)


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        ([("cpu heads", "ok"), ("unplugging", "warning"), ("camera 1", "ok")], 0),
        ([("cpu heads", "ok"), ("camera 1", "failed")], 4),
        ([("edge tpu heads", "failed"), ("camera 1", "failed")], 5),
        ([("model", "failed"), ("camera 1", "failed")], 3),
    ],
)
def test_the_exit_status_is_that_of_the_first_failure(checks, status):
    assert exit_status([Check(name, result, "") for name, result in checks]) == status


SECRETS = {
    "device": "annas-pi",
    "cameras": {
        "annas_room": {
            "kind": "video",
            "source": "rtsp://viewer:hunter2@garden.example.net:8554/stream?key=abcdef",
            "zones": {"annas_bed": {"polygon": [[0, 0], [1, 0], [1, 1]]}},
        },
        "cellar": {"kind": "images", "source": "/home/anna/pictures"},
    },
    "mqtt": {"host": "broker.example.net", "username": "mqttuser", "password": "topsecret99"},
    "web": {"enabled": True, "host": "0.0.0.0", "token": "Jw3xVb7Nk2Lq9Rt5Yz8Pc4Md6Hs1Gf0Aa"},
}
HARMFUL = (
    "Pi of annas-pi: cannot reach rtsp://viewer:hunter2@garden.example.net:8554/stream?key=abcdef, nor "
    "garden.example.net, 192.0.2.20:8554, [2001:db8::17], b8:27:eb:12:34:56, anna@example.net; "
    "user mqttuser with topsecret99 at broker.example.net; token Jw3xVb7Nk2Lq9Rt5Yz8Pc4Md6Hs1Gf0Aa; "
    "files /home/anna/pictures/1.jpg and /root/posed.yaml; cameras annas_room, zone annas_bed"
)


def test_a_report_names_nobody(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "kitchen-pi")
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")
    monkeypatch.setenv("SUDO_USER", "frieda")
    path, tested = tmp_path / "report.md", config(**SECRETS)
    write_report(
        path, tested, pair, None, [Check("camera 1", "failed", f"{HARMFUL}; kitchen-pi, anna, frieda")]
    )
    text = path.read_text(encoding="utf-8")
    for private in (
        *("annas", "anna", "viewer", "hunter2", "example.net", "abcdef", "192.0.2", "2001:db8", "b8:27"),
        *(
            "mqttuser",
            "topsecret99",
            "Jw3x",
            "/home",
            "/root",
            "kitchen-pi",
            "frieda",
            str(tmp_path),
            "cellar",
        ),
    ):
        assert private not in text, private
    assert "| camera 1 | failed | Pi of [left out]: cannot reach [left out]" in text
    assert "| cameras | video, images |" in text
    assert "| model | a file of one's own, " in text


def test_a_report_can_be_written_by_a_user_without_name(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: pwd.getpwuid(4_000_000_000))
    assert Private.of(config(device="kitchen")).without("kitchen and hall") == "[left out] and hall"


def test_a_report_quotes_only_what_is_about_the_machine(pair, tmp_path):
    write_report(tmp_path / "report.md", config(), pair, tmp_path / "missing.yaml", [])
    lines = (tmp_path / "report.md").read_text(encoding="utf-8").splitlines()
    assert "| configuration | failed |  |" in lines
    assert any(line.startswith("| runtime | ok | ai-edge-litert") for line in lines)


def test_a_report_has_the_versions_that_matter(pair, tmp_path):
    write_report(tmp_path / "report.md", config(), pair, None, [])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for name in (
        "posed",
        "machine",
        "kernel",
        "Python",
        "numpy",
        "av",
        "libedgetpu",
        "gasket-dkms",
        "engine",
    ):
        assert f"\n| {name} | " in text
    assert "| opencv-python-headless | 4." in text


def test_a_report_of_a_table_stays_a_table(pair, tmp_path):
    write_report(tmp_path / "report.md", config(), pair, None, [Check("camera 1", "ok", "a | b\nc")])
    assert (
        "| camera 1 | ok | a \\| b c |" in (tmp_path / "report.md").read_text(encoding="utf-8").splitlines()
    )


@pytest.mark.parametrize(
    "address",
    [
        *("192.0.2.20", "192.0.2.20:8554", "16.0.2.17", "b8:27:eb:12:34:56", "b8-27-eb-12-34-56"),
        *(
            "::1",
            "[::1]",
            "fe80::1",
            "fe80::1%eth0",
            "2001:db8::17",
            "::ffff:192.0.2.1",
            "2001:db8:0:0:1:2:3:4",
        ),
    ],
)
def test_an_address_is_left_out(address):
    left = Private(()).without(f"cannot reach {address}, {address}: refused ({address}).")
    assert re.fullmatch(r"cannot reach \[left out\],? \[left out\]:? refused \(\[left out\]\)\.", left)


@pytest.mark.parametrize(
    "plain",
    [
        *("16.0.2.17.1", "6.18.34.300", "v4.11.0.86", "2.17.1-1", "16.0TF2.17.1-1", "6.12.47+rpt-rpi-v8"),
        *(
            "1a6e:089a",
            "0000:01:00.0",
            "12:34:56",
            "std::string",
            "google/gasket-driver#50",
            "km/h",
            "CPU/TPU/x",
        ),
        *("/dev/apex_0", "/dev/video0", "/dev/bus/usb/002/007", "p50 1.02, p99 2.11 ms", "docs/faults.md"),
    ],
)
def test_what_looks_like_an_address_stays(plain):
    assert Private(()).without(f"it is {plain}, ({plain})") == f"it is {plain}, ({plain})"


@pytest.mark.parametrize(
    "folder",
    [
        *("/home/anna", "/home", "/root", "~/anna", "~anna/pictures", "/opt/anna/posed.yaml", "/data/anna"),
        *("/tmp/anna/x", "/var/lib/posed", "/dev/v4l/by-id/usb-ANNA_1234-index0", "/dev/shm/anna"),
    ],
)
def test_folders_are_left_out(folder):
    assert (
        Private(()).without(f"no {folder}: gone, '{folder}'").startswith("no [left out]: gone, '[left out]")
    )
    assert "anna" not in Private(()).without(f"no {folder}: gone, '{folder}'").lower()


def test_words_are_left_out_whatever_their_case():
    private = Private.of(config(device="Anna", mqtt={"host": "Broker.Example.net"}))
    assert private.without("ANNA, anna at broker.example.NET") == "[left out], [left out] at [left out]"


def test_a_decoded_password_of_a_url_is_left_out():
    source = "rtsp://anna%40home:hunter%21two@192.0.2.1/stream"
    private = Private.of(config(cameras={"hall": {"kind": "video", "source": source}}))
    said = private.without("hunter!two, hunter%21two for anna@home refused")
    assert said == "[left out], [left out] for [left out] refused"


def test_a_model_of_ones_own_has_no_name():
    private = Private.of(config(model={"name": "annas-model"}))
    assert private.without("model annas-model: not there") == "model [left out]: not there"
    assert "coral-353x481" not in Private.of(config(model={"name": "coral-353x481"})).words


def test_a_report_is_written_where_the_system_is_unknown(pair, tmp_path, monkeypatch):
    def missing() -> dict[str, str]:
        raise FileNotFoundError(2, "No such file or directory", "/etc/os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    write_report(tmp_path / "report.md", config(), pair, None, [])
    assert "\n| system | Linux |\n" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_report_replaces_no_file(tmp_path):
    (tmp_path / "posed.yaml").write_text("device: hall\n")
    done = posed(tmp_path, "selftest", "--report", tmp_path / "posed.yaml")
    assert done.returncode == ConfigError.exit_status, done.stderr
    assert done.stderr.rstrip().endswith("posed.yaml: must be a new file, got one that is there")
    assert (tmp_path / "posed.yaml").read_text() == "device: hall\n"


def test_a_link_that_leads_nowhere_is_no_new_report(tmp_path):
    (tmp_path / "report.md").symlink_to("missing/report.md")
    with pytest.raises(ConfigError, match="must be a new file"):
        check_new(tmp_path / "report.md")


def test_a_folder_that_takes_no_report_is_told_before():
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        with unprivileged(), pytest.raises(ConfigError, match="in a folder that can be written, got /"):
            check_new(Path(folder, "report.md"))
        Path(folder).chmod(0o755)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's rights, where root runs the tests."""
    if os.geteuid() != 0:
        yield
        return
    nobody = pwd.getpwnam("nobody").pw_uid
    os.setresuid(nobody, nobody, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_missing_model_is_reported_with_all_the_rest(tmp_path):
    path, report = tmp_path / "posed.yaml", tmp_path / "report.md"
    missing = {"cameras": {"hall": {"kind": "images", "source": f"{tmp_path}/none"}}}
    path.write_text(yaml.safe_dump(missing | {"model": {"name": f"{tmp_path}/missing.tflite"}}))
    done = posed(tmp_path, "selftest", "--config", path, "--report", report)
    assert done.returncode == ModelError.exit_status, done.stderr
    text = report.read_text(encoding="utf-8")
    assert "\n| model | cannot be used: see below |\n" in text
    assert re.search(r"^\| model \| failed \| .*\[left out\]", text, re.MULTILINE)
    assert "\n| cpu heads | ok | " in text
    assert "\n| camera 1 | failed | " in text
    assert "missing.tflite" not in text


def test_a_closed_configuration_of_the_service_is_told(tmp_path, monkeypatch):
    class Closed(type(tmp_path)):
        def exists(self, **_: object) -> bool:
            return False  # as Python 3.14's does

        def stat(self, **_: object) -> os.stat_result:
            raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(run, "SERVICE_CONFIG", Closed(tmp_path / "posed.yaml"))
    with pytest.raises(ConfigError, match=r"posed\.yaml: Permission denied: take sudo posed selftest"):
        load_tested(None)


def test_devices_of_a_daemon_without_systemd_are_left_alone(tmp_path):
    """As in a container, where the service is not systemd's."""
    with Daemon(tmp_path, on_drawn_people(tmp_path)) as daemon:
        eventually(lambda: not silence(heartbeat_files(tmp_path / "state/posed")), 30)
        done = posed(tmp_path, "selftest", "--config", daemon.config)
    assert "camera 1: synthetic: not tested\n" in done.stdout
    assert "→ the posed that runs here may use it: stop it, then once more" in done.stdout
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("kind", "known"), [("imx500", True), ("synthetic", False)])
def test_a_missing_model_is_none_of_an_ai_cameras(tmp_path, kind, known):
    path = tmp_path / "posed.yaml"
    path.write_text(
        f"device: pi\ncameras: {{hall: {{kind: {kind}}}}}\nmodel: {{name: {tmp_path}/missing.tflite}}\n"
    )
    _, pair = load_tested(path)
    if known:
        assert isinstance(pair, Pair)
        assert pair.name == engines.BUNDLED
    else:
        assert isinstance(pair, ModelError)
        assert "missing.tflite" in str(pair)


def test_an_ai_camera_is_waited_for_and_its_network_judged(tmp_path, monkeypatch, shared):
    told: list[str] = []
    with installed(tmp_path, monkeypatch) as world:
        picture = str(shared / "testdata/couple_640x480.bmp")
        world(upload_s=0.5, every=2, picture=picture, model=str(shared / "models" / MODEL))
        camera = CameraConfig(kind="imx500")
        seen, network = check_camera("camera 1", "hall", camera, 0.5, tell=told.append, wait_s=0.05)
    assert told[0].startswith("Pi camera 0: takes its network in")
    assert seen.name == "camera 1"
    assert seen.found.startswith("imx500, 482×362 px: ")
    assert (network.name, network.status) == ("ai camera 1", "ok")
    assert "the network takes 15.0 ms, its signal processor 12.0 ms" in network.found
    assert "sees 2 people at most" in network.found
    silent, pictures = re.search(r"says nothing with (\d+) of (\d+) pictures", network.found).groups()
    assert int(silent) == pytest.approx(int(pictures) / 2, abs=1)
