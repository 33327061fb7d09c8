"""`posed doctor`: what each check says, what helps, and the exit status."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from msgspec.structs import replace

from posed.commands.doctor import checks, edgetpu, examine
from posed.commands.doctor.broker import EVENT_BYTES, POSES_BYTES, check_broker
from posed.commands.doctor.checks import (
    Check,
    Service,
    check_ai_camera,
    check_cameras,
    check_disk,
    check_model,
    check_numpy,
    check_overlay,
    check_pitch,
    check_power,
    check_service,
    wait_for_figures,
    who_runs,
    with_credentials,
)
from posed.commands.doctor.container import for_container
from posed.commands.doctor.driver import Kernel, check_driver
from posed.commands.doctor.edgetpu import check_edgetpu
from posed.commands.doctor.examine import show
from posed.commands.setup import check, find
from posed.commands.setup.find import FoundCamera
from posed.config import Config, secrets
from posed.messages.reports import poses_message
from posed.messages.structs import EventMessage, Sender, encode, person_message
from posed.mqtt.outbox import Message
from posed.pose import Pose
from posed.service.heartbeat import Heartbeat, heartbeat_files, silence
from tests.brokers import Amqtt, Mosquitto, Subscriber, eventually, free_port
from tests.make_movenet import MULTI, make_movenet
from tests.make_tflite import make_tflite
from tests.run_posed import Daemon, on_drawn_people, posed

STOPPED = Service()
RUNNING = Service("loaded", "active", "30 fps, 1 person, cpu ai-edge-litert 2.3.0", "success", "0", "0")
DRAWN = {"hall": {"kind": "synthetic"}}
TWO = {"hall": {"kind": "synthetic"}, "bath": {"kind": "video", "source": "/dev/video77"}}
GIVES = "camera synthetic:0: gives frames of 640×480 px"


class Closed(type(Path())):
    """A path in a folder that may not be looked into: as Python 3.14 has it, that does not exist."""

    def exists(self, **_: object) -> bool:
        return False

    def stat(self, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(self))


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate({"device": "hall", **sections})


def only_camera(config: Config, service: Service) -> Check:
    (check,) = check_cameras(config, service)
    return check


@pytest.fixture
def bus(tmp_path: Path) -> SimpleNamespace:
    """A made-up /sys and /dev."""
    sys_folder, dev = tmp_path / "sys", tmp_path / "dev"

    def plug(vendor: str, product: str, speed: str) -> None:
        folder = sys_folder / "bus/usb/devices/2-1"
        folder.mkdir(parents=True)
        values = {"idVendor": vendor, "idProduct": product, "busnum": "2", "devnum": "7", "speed": speed}
        for name, value in values.items():
            (folder / name).write_text(f"{value}\n")
        node = dev / "bus/usb/002/007"
        node.parent.mkdir(parents=True)
        node.touch()

    def insert(temperature: str) -> None:
        (sys_folder / "class/apex/apex_0").mkdir(parents=True)
        (sys_folder / "class/apex/apex_0/temp").write_text(temperature)
        dev.mkdir(exist_ok=True)
        (dev / "apex_0").touch()

    def seat(vendor: str, device: str) -> None:
        folder = sys_folder / "bus/pci/devices/0000:01:00.0"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "device").write_text(f"{device}\n")

    def load(version: str) -> None:
        (sys_folder / "module/gasket").mkdir(parents=True)
        (sys_folder / "module/gasket/version").write_text(f"{version}\n")

    return SimpleNamespace(
        plug=plug, insert=insert, seat=seat, load=load, folders={"sys_folder": sys_folder, "dev": dev}
    )


def first(bus: SimpleNamespace, kind: str = "auto") -> Check:
    return check_edgetpu(config(engine={"kind": kind}), None, STOPPED, **bus.folders)[0]


@pytest.mark.parametrize(
    ("kind", "status", "found"),
    [
        ("cpu", "unused", "engine.kind: cpu"),
        ("auto", "unused", "none on USB or PCIe; the CPU is used"),
        ("edgetpu", "failed", "none on USB or PCIe"),
    ],
)
def test_no_edge_tpu_is_a_failure_only_where_wanted(bus, kind, status, found):
    check = first(bus, kind)
    assert (check.status, check.found) == (status, found)
    assert bool(check.remedy) == (status == "failed")


def test_cameras_that_infer_themselves_need_no_edge_tpu(bus):
    own = config(cameras={"hall": {"kind": "imx500"}})
    [check] = check_edgetpu(own, None, STOPPED, **bus.folders)
    assert (check.status, check.found) == ("unused", "none on USB or PCIe; the cameras infer themselves")
    wanted = config(cameras={"hall": {"kind": "imx500"}}, engine={"kind": "edgetpu"})
    [check] = check_edgetpu(wanted, None, STOPPED, **bus.folders)
    assert (check.status, check.found) == ("warning", "none on USB or PCIe; rotated crops are left out")


@pytest.mark.parametrize(
    ("ids", "speed", "status", "state"),
    [
        (("1a6e", "089a"), "5000", "ok", "its firmware not loaded yet"),
        (("18d1", "9302"), "5000", "ok", "its firmware loaded"),
        (("18d1", "9302"), "480", "warning", "its firmware loaded, at USB 2 speed"),
    ],
)
def test_a_usb_accelerator_is_known_by_its_ids_and_speed(bus, ids, speed, status, state):
    bus.plug(*ids, speed)
    check = first(bus)
    assert (check.status, check.found) == (
        status,
        f"USB Accelerator on {bus.folders['dev']}/bus/usb/002/007, {state}",
    )


def test_a_device_of_another_group_says_which_group_may(bus, monkeypatch):
    bus.plug("18d1", "9302", "5000")
    monkeypatch.setattr(edgetpu.os, "access", lambda *_: False)
    check = first(bus)
    assert (check.status, check.found[-15:]) == ("failed", ": no permission")
    assert "usermod -aG plugdev" in check.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize(
    ("owner", "mode", "may"),
    [((0, 0), 0o660, False), ((0, 0), 0o666, True), ((0, None), 0o660, True), ((None, 0), 0o600, True)],
)
def test_root_asks_whether_the_services_user_may_open_it(bus, monkeypatch, owner, mode, may):
    """Who stands in for that user here is nobody."""
    nobody = pwd.getpwnam("nobody")
    users = {edgetpu.SERVICE_USER: nobody}
    monkeypatch.setattr(edgetpu.pwd, "getpwnam", users.__getitem__)
    bus.insert("30000")
    node = bus.folders["dev"] / "apex_0"
    uid, gid = owner
    os.chown(node, nobody.pw_uid if uid is None else uid, nobody.pw_gid if gid is None else gid)
    node.chmod(mode)
    assert first(bus).status == ("ok" if may else "failed")
    users.clear()
    assert first(bus).status == "ok", "no such user here"


def test_a_pcie_one_without_its_driver_is_a_failure(bus):
    bus.seat("0x1ac1", "0x089a")
    check = first(bus)
    assert (check.status, check.found) == ("failed", "PCIe Accelerator at 0000:01:00.0, without a driver")
    assert "gasket-dkms" in check.remedy


ON_PI_OS, NEWER, NEWEST = "6.12.47+rpt-rpi-v8", "6.18.34+rpt-rpi-v8", "6.21.1-1-generic"
ADVISED = "feranick's gasket-dkms 1.0-18.4: reported to work (google/gasket-driver#50)"


@pytest.mark.parametrize(
    ("release", "package", "found", "remedy"),
    [
        (ON_PI_OS, "", "no gasket-dkms, not loaded", ADVISED),
        (ON_PI_OS, "1.0-18", "reported to fail (google-coral/edgetpu#808)", ADVISED),
        (ON_PI_OS, "1.0-18.4", "reported to work (google/gasket-driver#50)", "modprobe apex"),
        (NEWER, "1.0-18.4", "reported to fail (glossyio/traffic-monitor#171)", "a kernel up to 6.17"),
        (NEWER, "", "reported to fail (glossyio/traffic-monitor#171)", "a kernel up to 6.17"),
        (NEWEST, "1.0-18.4", "nobody has reported", "a kernel up to 6.17"),
    ],
)
def test_a_driver_that_is_missing_fits_the_kernel(bus, release, package, found, remedy):
    bus.seat("0x1ac1", "0x089a")
    (check,) = check_driver(config(), kernel=Kernel(release, 4096, package), **bus.folders)
    assert (check.name, check.status) == ("driver", "failed")
    assert f"kernel {release}, " in check.found
    assert found in check.found
    assert remedy in check.remedy


def test_a_driver_that_works_is_good_whatever_is_reported(bus):
    bus.insert("30000")
    bus.load("1.1.4")
    (check,) = check_driver(config(), kernel=Kernel(NEWER, 4096, "1.0-18.4"), **bus.folders)
    expected = f"kernel {NEWER}, gasket-dkms 1.0-18.4, gasket 1.1.4 loaded"
    assert (check.status, check.found) == ("ok", expected)


def test_a_driver_without_device_may_lack_interrupts(bus):
    bus.seat("0x1ac1", "0x089a")
    bus.load("1.1.4")
    (check,) = check_driver(config(), kernel=Kernel(ON_PI_OS, 4096, "1.0-18.4"), **bus.folders)
    assert (check.status, "no-mip" in check.remedy) == ("failed", True)


def test_a_driver_needs_memory_pages_of_4_kb(bus):
    bus.insert("30000")
    (check,) = check_driver(config(), kernel=Kernel("6.12.47+rpt-rpi-2712", 16384, ""), **bus.folders)
    assert check.status == "failed"
    assert "memory pages of 16 kB" in check.found
    assert "kernel8.img" in check.remedy


@pytest.mark.parametrize(
    ("engine", "expected"), [({}, 0), ({"device": "pci:0"}, 1), ({"kind": "cpu", "device": "pci"}, 0)]
)
def test_only_a_pcie_one_needs_a_driver(bus, engine, expected):
    bus.plug("18d1", "9302", "5000")
    assert len(check_driver(config(engine=engine), **bus.folders)) == expected


def test_an_untried_library_says_what_is_reported(bus, monkeypatch):
    monkeypatch.setattr(edgetpu, "package_version", lambda *_: "16.0tf2.19.1-1")
    bus.plug("18d1", "9302", "5000")
    library = check_edgetpu(config(), None, STOPPED, **bus.folders)[-1]
    assert "libedgetpu 16.0tf2.19.1-1 with ai-edge-litert" in library.found
    assert "is reported to work (google-ai-edge/LiteRT#3611)" in library.found


@pytest.mark.parametrize(
    ("temperature", "status", "found"),
    [("48500", "ok", "apex_0, 48 °C"), ("91000", "warning", "apex_0, 91 °C: hot"), ("", "ok", "apex_0")],
)
def test_a_pcie_one_says_its_temperature(bus, temperature, status, found):
    bus.insert(temperature)
    check = first(bus)
    assert (check.status, check.found.rpartition("/")[2]) == (status, found)


def test_other_usb_devices_are_none(bus):
    bus.plug("18d1", "4ee7", "480")
    assert first(bus).status == "unused"


def test_a_model_that_is_missing_says_how_to_get_it():
    check, pair = check_model(config())
    assert (check.status, check.remedy, pair) == ("failed", "posed model pull coral-353x481", None)
    assert check_model(config(model={"pull": True}))[0].status == "warning"


def test_a_model_is_not_needed_where_cameras_have_their_own():
    check, pair = check_model(config(cameras={"hall": {"kind": "imx500"}}))
    assert (check.status, pair, check.remedy) == ("warning", None, "posed model pull coral-353x481")
    assert check.found.startswith("the cameras have their own; rotated crops are left out: ")


@pytest.mark.parametrize("name", ["/nowhere/net.tflite", "coral-1x1"])
def test_what_nobody_publishes_is_not_pulled_beside_either(name):
    check, _ = check_model(config(cameras={"hall": {"kind": "imx500"}}, model={"name": name}))
    assert (check.status, check.remedy) == ("warning", "model.name: a name of `posed model list`")


def test_what_an_ai_camera_takes_in_must_be_there(tmp_path):
    files = [tmp_path / name for name in ("net.rpk", "loader.fpk")]
    own = config(cameras={"hall": {"kind": "imx500"}})
    assert not list(check_ai_camera(config(), files))
    [check] = check_ai_camera(own, files)
    assert (check.status, check.remedy) == ("failed", "sudo apt install imx500-all")
    assert check.found == f"no {files[0]}, no {files[1]}"
    for file in files:
        file.touch()
    [check] = check_ai_camera(own, files)
    assert (check.status, check.found) == ("ok", "firmware, and net.rpk")
    [_, check] = check_ai_camera(config(cameras={"hall": {"kind": "imx500", "rotate": 90}}), files)
    assert (check.status, check.found.partition(" comes")[0]) == ("warning", "cameras.hall.rotate: 90")
    assert check.remedy == "mount it upright, or upside down with rotate: 180"


@pytest.mark.parametrize("name", ["/nowhere/net.tflite", "coral-1x1"])
def test_a_model_that_nobody_publishes_is_not_to_be_pulled(name):
    for pull in (False, True):
        check, _ = check_model(config(model={"name": name, "pull": pull}))
        assert (check.status, check.remedy) == ("failed", "model.name: a name of `posed model list`")


@pytest.mark.parametrize(("kind", "status"), [("edgetpu", "failed"), ("auto", "ok"), ("cpu", "ok")])
def test_a_model_of_any_size_is_for_cpus_alone(tmp_path, kind, status):
    path = tmp_path / "multi.tflite"
    path.write_bytes(make_movenet(MULTI, size=None))
    check, _ = check_model(config(model={"name": str(path)}, engine={"kind": kind}))
    assert (check.status, check.found) == (status, "multi, for CPUs alone, as its input has any size")


def test_cameras_that_infer_themselves_do_without_such_a_model(tmp_path):
    path = tmp_path / "multi.tflite"
    path.write_bytes(make_movenet(MULTI, size=None))
    ours = {"model": {"name": str(path)}, "engine": {"kind": "edgetpu"}}
    check, _ = check_model(config(**ours, cameras={"hall": {"kind": "imx500"}}))
    assert (check.status, check.remedy) == ("warning", "engine.kind: cpu, or another model")
    assert check.found.endswith("; rotated crops are left out")


def test_a_model_of_drawings_is_right_for_drawn_people_only():
    model = {"name": "drawings-257x353-16"}
    assert check_model(config(model=model))[0].status == "warning"
    assert check_model(config(model=model, cameras=DRAWN))[0].status == "ok"


def test_another_network_beside_an_ai_camera_is_warned_of(tmp_path):
    (tmp_path / "net.tflite").write_bytes(make_movenet())
    beside = config(model={"name": str(tmp_path / "net.tflite")}, cameras={"hall": {"kind": "imx500"}})
    check, _ = check_model(beside)
    assert (check.status, check.remedy) == ("warning", "model.name: coral-353x481")
    assert "scores otherwise than the PoseNet in an AI Camera" in check.found


def test_a_model_of_drawings_is_wrong_beside_one_real_camera():
    mixed = config(model={"name": "drawings-257x353-16"}, cameras=TWO)
    assert check_model(mixed)[0].status == "warning"


def test_a_camera_is_tried_unless_the_service_has_it():
    drawn = config(cameras=DRAWN)
    assert only_camera(drawn, STOPPED) == Check("camera hall", "ok", GIVES)
    assert only_camera(drawn, RUNNING).found == "synthetic: in use by the service, 30 fps"


def test_a_broken_camera_does_not_hide_the_others():
    found = {check.name: check for check in check_cameras(config(cameras=TWO), STOPPED)}
    assert (found["camera hall"].status, found["camera bath"].status) == ("ok", "failed")
    assert found["camera bath"].found == "camera /dev/video77: no such device"


def test_the_service_is_asked_for_each_camera():
    text = "waiting for camera bath: no such device; hall: 10 fps, 1 person, bath: 0 fps, 0 people, cpu x"
    hall, bath = check_cameras(config(cameras=TWO), said(text))
    assert (hall.status, hall.found) == ("ok", "synthetic: in use by the service, 10 fps")
    assert (bath.status, bath.found) == ("failed", "no such device")


def test_only_the_paused_camera_is_called_paused():
    text = "bath paused on request; hall: 0 fps, 0 people, bath: 0 fps, 0 people, cpu x"
    hall, bath = check_cameras(config(cameras=TWO), said(text))
    assert (hall.status, hall.found) == ("warning", "synthetic: in use by the service, without frames")
    assert (bath.status, bath.found) == ("ok", "video: in use by the service, paused on request")


@pytest.mark.parametrize(
    "text", ["30 fps, 1 person, cpu x", "hall: 30 fps, 1 person, attic: 2 fps, 0 people"]
)
def test_a_camera_unknown_to_the_service_needs_a_reload(text):
    check = list(check_cameras(config(cameras=TWO), said(text)))[-1]
    assert (check.name, check.status, check.remedy) == (
        "camera bath",
        "warning",
        "sudo systemctl reload posed",
    )


def test_a_device_of_another_camera_is_no_remedy(monkeypatch):
    there = [FoundCamera(f"video:/dev/video{number}", "C920") for number in (0, 2)]
    monkeypatch.setattr(checks, "find_cameras", lambda: there)
    cameras = {"hall": {"kind": "video", "source": 0}, "bath": {"kind": "video", "source": "/dev/video77"}}
    bath = list(check_cameras(config(cameras=cameras), STOPPED))[-1]
    assert bath.remedy == "there are: video:/dev/video2 (C920); sudo posed setup takes one"


def said(text: str, **more: Any) -> Service:
    """A service that runs and says so much."""
    return Service("loaded", "active", text, "success", "0", "0", **more)


@pytest.mark.parametrize(
    ("text", "status", "found"),
    [
        ("0 fps, 0 people, cpu ai-edge-litert", "warning", ", without frames"),
        ("", "warning", ", without frames"),
        ("0.5 fps, 0 people, cpu ai-edge-litert", "ok", ", 0.5 fps"),
        ("hall paused on request; 0 fps, 0 people", "ok", ", paused on request"),
        ("waiting for the engine: no Edge TPU; 0 fps, 0 people", "ok", ", which waits for its engine"),
    ],
)
def test_a_service_without_frames_is_asked_why(text, status, found):
    check = only_camera(config(cameras=DRAWN), said(text))
    assert (check.status, check.found) == (status, f"synthetic: in use by the service{found}")
    assert bool(check.remedy) == (status == "warning")


def test_a_service_just_started_gets_time_to_count_frames(monkeypatch):
    monkeypatch.setattr(checks, "ASK_AGAIN_S", 0)
    answers = iter([said("0 fps, 0 people, cpu"), said("10 fps, 1 person, cpu")])
    started = said("0 fps, 0 people, cpu", of_this=False)
    found = wait_for_figures(started, config(), lambda: next(answers))
    assert found == said("10 fps, 1 person, cpu", of_this=False)


def test_one_camera_of_several_gets_time_to_count_frames(monkeypatch):
    monkeypatch.setattr(checks, "ASK_AGAIN_S", 0)
    texts = ["hall: 10 fps, 1 person, bath: 0 fps, 0 people", "hall: 10 fps, 1 person, bath: 9 fps, 0 people"]
    found = wait_for_figures(said(texts[0]), config(cameras=TWO), lambda: said(texts[1]))
    assert found == said(texts[1])


def test_a_service_without_frames_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(checks, "FIRST_FIGURES_S", 0.1)
    monkeypatch.setattr(checks, "ASK_AGAIN_S", 0.01)
    without = said("0 fps, 0 people, cpu")
    assert wait_for_figures(without, config(), lambda: without) == without


@pytest.mark.parametrize(
    ("text", "cameras"),
    [
        ("30 fps, 1 person, cpu", DRAWN),
        ("hall paused on request; 0 fps, 0 people, cpu", DRAWN),
        ("waiting for camera bath: gone; hall: 9 fps, 1 person, bath: 0 fps, 0 people, cpu", TWO),
        ("waiting for the engine: gone; hall: 0 fps, 0 people, bath: 0 fps, 0 people", TWO),
        ("", DRAWN),
    ],
)
def test_a_service_that_says_all_is_not_asked_again(text, cameras):
    service = said(text)
    assert wait_for_figures(service, config(cameras=cameras), lambda: pytest.fail("asked again")) == service


def test_a_service_that_ends_again_and_again_has_no_camera():
    looping = Service("loaded", "activating", "30 fps, 1 person", "exit-code", "5", "7", "auto-restart")
    assert only_camera(config(cameras=DRAWN), looping).found == GIVES


def test_a_service_with_another_configuration_is_not_asked():
    other = said("30 fps, 0 people, edgetpu usb:0", of_this=False)
    drawn, device = check_cameras(config(cameras=TWO), other)
    assert drawn.found == GIVES
    assert (device.status, device.remedy) == ("unused", "sudo systemctl stop posed, and posed doctor again")
    assert device.found.startswith("video: not tried, ")


@pytest.mark.parametrize(
    ("service", "status", "found"),
    [
        (said("30 fps, 1 person, edgetpu usb:0"), "ok", "in use by the service"),
        (said("30 fps, 1 person, cpu ai-edge-litert"), "warning", "the service runs on the CPU"),
        (said("a: 9 fps, 1 person, b: 9 fps, 0 people, cpu x"), "warning", "the service runs on the CPU"),
        (said("waiting for the engine: the TPU is gone; 0 fps, 0 people"), "failed", "the TPU is gone"),
        (said("30 fps, 1 person, edgetpu usb:0", of_this=False), "unused", "not tried"),
    ],
)
def test_the_service_is_asked_what_it_runs_on(bus, tmp_path, service, status, found):
    (tmp_path / "red.tflite").write_bytes(make_tflite(edgetpu=True))
    model, pair = check_model(config(model={"name": str(tmp_path / "red.tflite")}))
    assert model.status == "ok"
    bus.plug("18d1", "9302", "5000")
    library = check_edgetpu(config(), pair, service, **bus.folders)[-1]
    assert (library.name, library.status) == ("libedgetpu", status)
    assert found in library.found


def test_a_camera_that_hangs_is_said(tmp_path, monkeypatch):
    """Nobody ever writes into this pipe."""
    os.mkfifo(tmp_path / "1.jpg")
    monkeypatch.setattr(check, "OPEN_S", 0.5)
    hung = {"kind": "images", "source": str(tmp_path / "1.jpg"), "timeout_s": 0.5}
    found = only_camera(config(cameras={"hall": hung}), STOPPED)
    assert (found.status, found.found) == ("failed", "camera images: hangs: no result within 1 s")
    assert found.remedy.startswith("unplug the camera")
    os.close(os.open(tmp_path / "1.jpg", os.O_WRONLY))  # it may go


def test_a_library_that_hangs_is_said(tmp_path, monkeypatch):
    (tmp_path / "picamera2.py").write_text("import time\ntime.sleep(60)")
    (tmp_path / "simplejpeg.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(checks, "IMPORT_S", 0.5)
    found = check_numpy()
    assert (found.status, found.found.partition("; ")[2]) == (
        "failed",
        "importing picamera2 hangs: no result within 0.5 s",
    )


def test_what_became_of_kept_settings_is_said(tmp_path):
    overlay = tmp_path / "overlay.yaml"
    assert check_overlay(overlay, "").status == "unused"
    overlay.touch()
    assert check_overlay(overlay, "").status == "ok"
    damaged = check_overlay(overlay, "no YAML")
    assert (damaged.status, damaged.found) == ("warning", f"{overlay} is damaged: no YAML")
    overlay.rename(tmp_path / "overlay.yaml.damaged")
    assert check_overlay(overlay, "").found == f"{overlay}.damaged: was damaged and is left out"


def test_a_missing_camera_fails_with_the_services_reason():
    gone = config(cameras={"bath": TWO["bath"]})
    assert only_camera(gone, STOPPED).status == "failed"
    text = "waiting for camera bath: camera /dev/video77: no such device; 0 fps, 0 people"
    check = only_camera(gone, Service("loaded", "active", text))
    assert (check.status, check.found) == ("failed", "camera /dev/video77: no such device")


@pytest.mark.parametrize(
    "why",
    ["starting", "starting: Pi camera 0: takes its network in, minutes the first time, 70 s so far, 43%"],
)
def test_a_camera_that_starts_is_waited_for(monkeypatch, why):
    monkeypatch.setattr(checks, "find_cameras", lambda: pytest.fail("offers others"))
    starting = said(f"waiting for camera hall: {why}; 0 fps, 0 people, imx500 in the camera")
    check = only_camera(config(cameras={"hall": {"kind": "imx500"}}), starting)
    assert check == Check("camera hall", "warning", why, "wait, and posed doctor again")


def test_a_service_waiting_for_its_model_has_no_camera_yet():
    waiting = Service("loaded", "active", "waiting for the model: coral-353x481 is being downloaded")
    assert only_camera(config(cameras=DRAWN), waiting).found == GIVES


def test_a_broker_is_connected_to(tmp_path):
    with Mosquitto(tmp_path, users={"posed": "right"}) as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port, "username": "posed"}
        assert check_broker(config(mqtt=mqtt | {"password": "right"})) == Check(
            "broker", "ok", f"127.0.0.1:{broker.port}, MQTT 5"
        )
        wrong = check_broker(config(mqtt=mqtt | {"password": "c4nary"}))
    assert (wrong.status, "mqtt.password" in wrong.remedy) == ("failed", True)
    assert "c4nary" not in repr(wrong)
    away = check_broker(config(mqtt={"host": "127.0.0.1", "port": free_port()}))
    assert (away.status, away.found.rpartition(": ")[2]) == ("failed", "connection refused")


@pytest.mark.parametrize(
    ("lines", "found", "remedy"),
    [
        (
            ["max_packet_size 7000"],
            "messages of discovery have up to 7",
            "homeassistant.discovery: components, or a",
        ),
        (["max_packet_size 1000"], "events have up to 2000, poses of five people", "setting of the broker"),
        (["retain_available false"], "keeps no retained messages", "retain_available true"),
        (["max_qos 0"], "takes QoS 0 alone", "max_qos 1"),
    ],
)
def test_what_the_broker_does_not_take_is_a_warning(tmp_path, lines, found, remedy):
    with Mosquitto(tmp_path, lines=tuple(lines)) as broker:
        checked = check_broker(config(mqtt={"host": "127.0.0.1", "port": broker.port, "protocol": "5"}))
    assert (checked.status, found in checked.found, remedy in checked.remedy) == ("warning", True, True)


def test_discovery_in_components_is_smaller(tmp_path):
    with Mosquitto(tmp_path, lines=("max_packet_size 7000",)) as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port}
        assert check_broker(config(mqtt=mqtt, homeassistant={"discovery": "components"})).status == "ok"


def test_a_broker_home_assistant_will_leave_is_a_warning(tmp_path):
    with Amqtt(tmp_path) as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port}
        announced = check_broker(config(mqtt=mqtt))
        silent = check_broker(config(mqtt=mqtt, homeassistant={"discovery": "off"}))
        asked = check_broker(config(mqtt=mqtt | {"protocol": "3.1.1"}))
    where = f"127.0.0.1:{broker.port}, MQTT 3.1.1"
    assert announced == Check(
        "broker",
        "warning",
        f"{where}; Home Assistant 2027.1 and later will not connect to it, since it speaks no MQTT 5",
        "for Home Assistant a broker with MQTT 5, such as mosquitto "
        "(without Home Assistant: homeassistant.discovery: off)",
    )
    assert silent == Check("broker", "ok", where)
    assert asked == silent, "nobody has asked whether it speaks MQTT 5"


def test_a_will_the_broker_does_not_take_is_a_failure(tmp_path):
    # With MQTT 3.1.1 it cannot say why; others refuse the will's topic by their rules.
    with Mosquitto(tmp_path, lines=("retain_available false",)) as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port, "protocol": "3.1.1"}
        checked = check_broker(config(mqtt=mqtt))
    assert checked.status == "failed"
    assert "(with a last will on posed/hall/availability, as the daemon has)" in checked.found


def test_a_broker_is_left_as_it_was(tmp_path):
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port) as seen:
        check_broker(config(mqtt={"host": "127.0.0.1", "port": broker.port}))
        seen.publish("end")
        seen.wait_for("end", b"")
    assert [message.topic for message in seen.messages] == ["end"]


def test_a_full_event_is_no_larger_than_doctor_says():
    pose = Pose(np.full((17, 2), 1234.5), np.full(17, 0.999), 0.999)
    detail = {"seen": "vanished", "ago_s": 12.3, "lying_s": 12.3, "before": "standing", "speed": 1.23} | {
        f"{name}_s": 12.3 for name in ("head_low", "flat", "along_view", "not_lying")
    }
    event = EventMessage(
        id="0" * 26,
        type="fall",
        device="d" * 20,
        camera="c" * 32,
        run="0" * 8,
        time="2026-11-22T11:00:00.123Z",
        person=1234,
        zone="z" * 20,
        detail=detail,
        keypoints=person_message(pose, 0.2).keypoints,
    )
    assert Message("posed/" + "d" * 20 + "/events", encode(event), 1).packet_bytes <= EVENT_BYTES


def test_poses_of_five_are_no_larger_than_doctor_says():
    pose = Pose(np.full((17, 2), 1234.5), np.full(17, 0.999), 0.999)
    person = replace(person_message(pose, 0.2), id=1234, posture="standing", zones=["z" * 20] * 2)
    poses = poses_message(
        Sender("d" * 20, "0" * 8),
        "c" * 32,
        sequence=12345678,
        time_s=0.0,
        shape=(1080, 1920, 3),
        people=[person] * 5,
        inference_ms=12.34,
        latency_ms=123.45,
    )
    size = Message(
        "posed/" + "d" * 20 + "/" + "c" * 32 + "/poses", encode(poses), 0, expiry_s=10
    ).packet_bytes
    assert POSES_BYTES / 2 < size <= POSES_BYTES


def test_components_are_recommended_only_where_they_are_small_enough(tmp_path):
    with Mosquitto(tmp_path, lines=("max_packet_size 300",)) as broker:
        checked = check_broker(config(mqtt={"host": "127.0.0.1", "port": broker.port, "protocol": "5"}))
    assert "messages of discovery have up to" in checked.found
    assert "components" not in checked.remedy


def test_the_pitch_is_found_where_the_daemon_keeps_it(tmp_path):
    file, usual = tmp_path / "pitch_hall.json", config(cameras=DRAWN)
    assert check_pitch("hall", usual, file).status == "unused"
    file.write_text(json.dumps({"seconds": [0.0] * 30 + [20.0] + [0.0] * 45}))
    learned = Check("pitch hall", "ok", "the camera looks down by about 30 degrees")
    assert check_pitch("hall", usual, file) == learned
    file.write_text("{")
    damaged = check_pitch("hall", usual, file)
    assert (damaged.status, damaged.remedy[-33:]) == ("warning", "set cameras.hall.people.pitch_deg")


def test_a_cameras_own_pitch_goes_before_that_of_all(tmp_path):
    hall = {"kind": "synthetic", "people": {"pitch_deg": 30}}
    given = config(cameras={"hall": hall, "bath": {"kind": "synthetic"}}, people={"pitch_deg": 5})
    found = [check_pitch(name, given, tmp_path / "none").found for name in ("hall", "bath")]
    assert [text[-16:] for text in found] == ["about 30 degrees", " about 5 degrees"]


def test_a_camera_at_too_steep_a_pitch_should_hang_lower(tmp_path):
    check = check_pitch("camera", config(people={"pitch_deg": 70}), tmp_path / "none")
    assert (check.status, "too steep for postures" in check.found) == ("warning", True)
    assert "mount it lower" in check.remedy


@pytest.mark.parametrize(("free_mb", "status"), [(10_000, "ok"), (150, "warning"), (5, "failed")])
def test_a_disk_that_fills_up_is_told_in_time(tmp_path, monkeypatch, free_mb, status):
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: SimpleNamespace(free=free_mb * 1_000_000))
    assert check_disk(tmp_path / "not" / "yet").status == status


@pytest.mark.parametrize(
    ("word", "status", "found"),
    [
        ("0", "ok", "never throttled since the start"),
        ("50005", "warning", "under-voltage, throttled"),
        ("50000", "warning", "under-voltage earlier, throttled earlier"),
    ],
)
def test_a_pi_that_is_held_back_says_by_what(tmp_path, word, status, found):
    file = tmp_path / "devices/platform/soc/soc:firmware/get_throttled"
    file.parent.mkdir(parents=True)
    file.write_text(word)
    check = check_power(tmp_path)
    assert (check.status, check.found) == (status, found)


@pytest.mark.parametrize(
    ("service", "status", "found"),
    [
        (STOPPED, "unused", "posed.service is not installed"),
        (RUNNING, "ok", "runs: 30 fps, 1 person, cpu ai-edge-litert 2.3.0"),
        (Service("loaded", "failed", "", "exit-code", "2", "0"), "failed", "failed: exit-code, status 2"),
        (Service("loaded", "inactive", restarts="0"), "warning", "inactive"),
        (
            Service("loaded", "activating", "30 fps", "exit-code", "5", "7", "auto-restart"),
            "failed",
            "ends again and again: exit-code, status 5, started again 7 times",
        ),
        (
            said("waiting for the engine: no Edge TPU; 0 fps, 0 people"),
            "warning",
            "runs: waiting for the engine: no Edge TPU; 0 fps, 0 people",
        ),
        (said("not reloaded: no YAML; 9 fps"), "warning", "runs: not reloaded: no YAML; 9 fps"),
        (
            Service("loaded", "activating", "", "watchdog", "6", "3"),
            "warning",
            "activating, started again 3 times: ",
        ),
    ],
)
def test_the_service_is_what_systemd_says(service, status, found):
    check = check_service(service)
    assert (check.status, check.found) == (status, found)


def test_devices_of_a_daemon_without_systemd_are_left_alone(tmp_path, monkeypatch, bus):
    """As in a container, where `docker exec` runs the doctor beside the daemon."""
    (tmp_path / "both.tflite").write_bytes(make_tflite(edgetpu=True))
    bus.plug("18d1", "9302", "5000")
    monkeypatch.setattr(examine, "ask_systemd", Service)
    beside = partial(check_edgetpu, **bus.folders)
    monkeypatch.setattr(examine, "check_edgetpu", beside)
    state, path = tmp_path / "state/posed", tmp_path / "doctor.yaml"
    devices = {
        "cameras": TWO,
        "model": {"name": str(tmp_path / "both.tflite")},
        "mqtt": {"port": free_port()},
    }
    path.write_text(yaml.safe_dump(devices))
    with Daemon(tmp_path, on_drawn_people(tmp_path)):
        eventually(lambda: not silence(heartbeat_files(state)), timeout_s=30)
        found = {check.name: check for check in examine.examine(path, state)}
    after = {check.name: check for check in examine.examine(path, state)}
    assert found["camera hall"].found == GIVES
    for name, what in (("camera bath", "video"), ("libedgetpu", "libedgetpu")):
        assert (found[name].status, found[name].remedy) == ("unused", "")
        assert found[name].found.startswith(what)
        assert found[name].found.endswith(": not tried, since it may be in use by posed, which runs here")
        assert after[name].status == "failed"
    assert found["service"].found == "posed.service is not installed"


def test_a_service_that_waits_for_its_model_holds_nothing(tmp_path):
    waiting = said("waiting for the model: coral-353x481")
    with lively(tmp_path):
        assert who_runs(waiting, tmp_path) is waiting
        assert who_runs(STOPPED, tmp_path).runs
    assert who_runs(STOPPED, tmp_path) is STOPPED


@contextmanager
def lively(state: Path) -> Iterator[None]:
    """Signs of life of this process, as a daemon of the folder gives them."""
    heartbeat = Heartbeat(heartbeat_files(state))
    heartbeat.beat(60)
    yield
    heartbeat.end()


def test_credentials_that_are_given_stay():
    assert with_credentials({"CREDENTIALS_DIRECTORY": "/here"}) == {"CREDENTIALS_DIRECTORY": "/here"}


@pytest.mark.parametrize(
    ("statuses", "status"),
    [(("ok", "unused"), 0), (("ok", "warning", "ok"), 1), (("failed", "warning"), 2)],
)
def test_the_worst_check_is_the_exit_status(capsys, statuses, status):
    found = [Check("thing", one, "found", "") for one in statuses]
    assert show(found, as_json=True) == status
    assert len(json.loads(capsys.readouterr().out)["checks"]) == len(statuses)


def test_the_command_prints_a_table_and_json(tmp_path):
    (tmp_path / "red.tflite").write_bytes(make_tflite())
    settings = {
        "cameras": DRAWN,
        "model": {"name": str(tmp_path / "red.tflite")},
        "mqtt": {"host": "127.0.0.1", "port": free_port(), "username": "posed", "password": "c4nary"},
    }
    path = tmp_path / "posed.yaml"
    path.write_text(yaml.safe_dump(settings))
    table = posed(tmp_path, "doctor", "--config", path, timeout_s=120)
    done = posed(tmp_path, "doctor", "--config", path, "--json", timeout_s=120)
    assert (table.returncode, done.returncode) == (2, 2), table.stderr
    status = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert {name: status[name] for name in ("configuration", "model", "camera hall", "broker")} == {
        "configuration": "ok",
        "model": "ok",
        "camera hall": "ok",
        "broker": "failed",
    }
    assert all(name in table.stdout for name in status)
    broker = " ".join(table.stdout.split())
    assert "connection refused → mqtt.host and mqtt.port; is the broker running?" in broker
    assert "c4nary" not in table.stdout + table.stderr + done.stdout + done.stderr


def test_a_configuration_that_may_not_be_looked_at_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(examine, "SERVICE_CONFIG", Closed(tmp_path / "posed.yaml"))
    found = {check.name: check for check in examine.examine(None)}
    assert found["configuration"].found == f"{tmp_path}/posed.yaml: Permission denied"
    assert found["configuration"].remedy == "sudo posed doctor"
    assert found["configuration"].status == "failed"


def test_kept_settings_that_may_not_be_looked_at_are_said(tmp_path):
    path = tmp_path / "posed.yaml"
    path.write_text("cameras: {hall: {kind: synthetic}}\n")
    checks = examine.examine(path, Closed(tmp_path))
    found = next(check for check in checks if check.name in ("configuration", "kept settings"))
    assert (found.status, found.found) == ("failed", f"{tmp_path}/overlay.yaml: Permission denied")


@pytest.mark.parametrize("name", ["overlay.yaml", "overlay.yaml.damaged"])
def test_each_file_of_kept_settings_is_looked_for(tmp_path, name):
    class ThisClosed(Closed):
        def stat(self, **how: Any) -> os.stat_result:
            return super().stat() if self.name == name else Path(self).stat(**how)

    with pytest.raises(PermissionError):
        check_overlay(ThisClosed(tmp_path / "overlay.yaml"), "")


def test_a_stored_password_is_found_while_the_service_is_down(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(secrets, "CREDENTIAL_STORES", (tmp_path,))
    path = tmp_path / "posed.yaml"
    path.write_text("mqtt: {username: hall, password: !secret mqtt}\ncameras: {hall: {kind: synthetic}}\n")
    found = {check.name: check for check in examine.examine(path)}
    assert "got neither" in found["configuration"].found
    assert found["configuration"].remedy.endswith("can be read only while the service runs")
    (tmp_path / "posed.mqtt").write_text("c4nary\n")
    found = {check.name: check for check in examine.examine(path)}
    assert found["configuration"].status == "ok"
    assert "c4nary" not in repr(found)


def test_another_state_folder_is_looked_into(tmp_path):
    path, state = tmp_path / "posed.yaml", tmp_path / "bath"
    state.mkdir()
    path.write_text("cameras: {hall: {kind: synthetic}}\n")
    (state / "overlay.yaml").write_text("people: {falls: true}\n")
    found = {check.name: check for check in examine.examine(path, state)}
    assert found["kept settings"].found == f"{state}/overlay.yaml"
    assert found["disk"].found.endswith(f" for {state}")


def test_a_damaged_overlay_is_said_and_the_rest_is_checked(tmp_path):
    overlay = tmp_path / "state" / "posed" / "overlay.yaml"
    overlay.parent.mkdir(parents=True)
    overlay.write_text("decode: {max_people: 0}")
    path = tmp_path / "posed.yaml"
    path.write_text(yaml.safe_dump({"cameras": DRAWN, "mqtt": {"port": free_port()}}))
    done = posed(tmp_path, "doctor", "--config", path, "--json", timeout_s=120)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (found["configuration"]["status"], found["camera hall"]["status"]) == ("ok", "ok")
    assert found["kept settings"]["status"] == "warning"
    assert "decode.max_people: must be at least 1, got 0" in found["kept settings"]["found"]
    assert overlay.exists()


def test_two_cameras_with_one_device_are_a_failure(tmp_path):
    path = tmp_path / "posed.yaml"
    path.write_text("cameras: {hall: {kind: video, source: 0}, bath: {kind: video, source: /dev/video0}}\n")
    found = {check.name: check for check in examine.examine(path)}
    assert found["configuration"].status == "failed"
    assert found["configuration"].found.startswith("cameras.bath.source: must be another device than that of")
    assert {"camera hall", "camera bath", "pitch hall", "pitch bath"} <= set(found)


@pytest.mark.parametrize(
    ("other", "number"),
    [
        ({"kind": "picamera2"}, 0),
        ({"kind": "picamera2", "source": 1}, 1),
        ({"kind": "imx500", "source": 1}, 1),
    ],
)
def test_the_first_ai_camera_is_looked_for(tmp_path, monkeypatch, other, number):
    cameras = {"hall": {"kind": "imx500"}, "bath": other}
    monkeypatch.setattr(find, "find_cameras", lambda: [FoundCamera(f"imx500:{number}", "")])
    found = configuration_of(tmp_path, cameras)
    assert (found.status, found.remedy) == ("failed", "another source for one of them")
    assert found.found.endswith(f"that of cameras.hall, which opens once only, got Pi camera {number}")
    monkeypatch.setattr(find, "find_cameras", lambda: [FoundCamera("imx500:5", "")])
    assert configuration_of(tmp_path, cameras).status == "ok"


@pytest.mark.parametrize(
    "others", [{}, {"bath": {"kind": "video", "source": 0}}, {"bath": {"kind": "synthetic"}}]
)
def test_no_camera_is_looked_for_without_need(tmp_path, monkeypatch, others):
    monkeypatch.setattr(find, "find_cameras", lambda: pytest.fail("looks for cameras"))
    assert configuration_of(tmp_path, {"hall": {"kind": "imx500"}} | others).status == "ok"


def configuration_of(folder: Path, cameras: dict[str, Any]) -> Check:
    """What is said of a configuration with these cameras."""
    path = folder / "posed.yaml"
    path.write_text(yaml.safe_dump({"cameras": cameras}, sort_keys=False))
    return next(check for check in examine.examine(path, folder) if check.name == "configuration")


def test_a_bad_configuration_is_reported_and_the_rest_is_checked(tmp_path):
    path = tmp_path / "posed.yaml"
    path.write_text("cameras: {hall: {fps: 0}}\n")
    done = posed(tmp_path, "doctor", "--config", path, "--json", timeout_s=120)
    status = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, status["configuration"], status["python"]) == (2, "failed", "ok")
    assert "broker" not in status


@pytest.mark.parametrize(
    ("name", "remedy", "said"),
    [
        ("service", "journalctl -u posed -e says why; sudo systemctl restart posed", "restart the container"),
        (
            "edge tpu",
            "posed's udev rules; sudo udevadm trigger",
            "give the container the device (/dev/bus/usb,",
        ),
        (
            "camera hall",
            "there are: 0; sudo posed setup takes one",
            "give the container the device (/dev/video0)",
        ),
        ("clock", "timedatectl set-ntp true, and a network to ask", "the clock is the host's"),
        ("disk", "make room: journalctl --vacuum-size=100M, apt clean", "make room on the host"),
        ("pitch hall", "mount it lower, or let it look more level", "mount it lower"),
        ("clock", "", ""),
    ],
)
def test_a_remedy_in_a_container_can_be_had_there(name, remedy, said):
    assert for_container(Check(name, "failed", "found", remedy)).remedy.startswith(said)


@pytest.mark.parametrize(
    ("name", "found", "remedy"),
    [
        (
            "camera hall",
            "cameras.hall.kind: imx500 needs `apt install python3-picamera2 imx500-all` and a virtual",
            "there are: video:/dev/video0 (C920); sudo posed setup takes one",
        ),
        (
            "camera hall",
            "Pi camera 1: must be connected, got 1 camera(s)",
            "a camera's cable and `rpicam-hello --list-cameras`; or another kind of camera",
        ),
        ("camera hall", "AI Camera: must be connected, got no camera", "there are: 0; sudo posed setup"),
        ("ai camera", "no /lib/firmware/imx500_loader.fpk", "sudo apt install imx500-all"),
    ],
)
def test_a_pi_camera_in_a_container_needs_the_package(name, found, remedy):
    assert for_container(Check(name, "failed", found, remedy)).remedy == (
        "a Pi's own camera cannot be opened in a container: install the Debian package on the Pi"
    )
