"""`posed bench`: what it prints, what it leaves alone, and how it ends where it cannot measure."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from posed.commands.bench import machine, sink
from posed.commands.bench.camera import PEOPLE, SIZE, DrawnCamera
from posed.commands.bench.show import BAR_CELLS, bar, show
from posed.commands.bench.watch import percentiles_ms
from posed.config import DecodeConfig
from posed.networks.pair import load_pair
from posed.pipeline.stage_timings import STAGES as WORDS
from scripts.standins.edgetpu import Behaviour
from tests.ai_camera_standin import Worlds, variables
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.make_tflite import UPRIGHT, make_tflite
from tests.run_posed import environment, posed
from tests.standin import built

RED = {"kind": "images", "loop": True, "realtime": False}
STAGES = ["capture", "letterbox", "invoke", "decode", "follow", "encode", "publish", "look"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "red.tflite"
    path.write_bytes(make_tflite(UPRIGHT))
    return path


def config(folder: Path, **settings: Any) -> Path:
    path = folder / "posed.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


def bench(folder: Path, *arguments: object, **more: Any) -> dict[str, Any]:
    done = posed(folder, "bench", "--seconds", 3, "--json", *arguments, **more)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not any(known in line for known in OF_CAMERAS)] == []
    return json.loads(done.stdout)


PREPARES = "Pi camera 0: takes its network in, minutes the first time"
OF_CAMERAS = (PREPARES, "rotated crops are left out")
"""What is said on standard error where cameras infer themselves, and no engine is there."""


def test_every_stage_is_measured_in_the_order_of_the_way(tmp_path, model):
    figures = bench(tmp_path, "--model", model, more={"POSED_PEOPLE__LOOK_TURNED_S": "0"})
    assert [name for name in figures["stages"] if name != "turned"] == STAGES
    for stage in figures["stages"].values():
        assert 0 < stage["p50_ms"] <= stage["p90_ms"] <= stage["p99_ms"]
        assert stage["cpu_ms"] >= 0
    assert figures["latency"]["p50_ms"] > figures["stages"]["invoke"]["p50_ms"]
    assert 0 < figures["busy"] <= 1
    assert figures["frames"] == pytest.approx(figures["fps"] * figures["seconds"], rel=0.05)
    assert figures["of_bare"] == pytest.approx(figures["fps"] / figures["bare_fps"], abs=0.002)
    assert figures["looks"] == 0
    assert figures["invokes_of_bare"] == pytest.approx(figures["of_bare"], abs=0.002)
    assert (figures["model"]["file"], figures["model"]["stride"]) == ("red.tflite", 16)
    assert figures["engine"]["kind"] == "cpu"
    assert figures["dropped"]["frames"] == 0
    assert figures["dropped"]["messages"] <= figures["fps"]  # frames before the connection stands
    assert figures["verdict"]["text"].startswith("This machine handles ")


def test_turned_looks_count_as_invokes_but_not_as_frames(tmp_path, model):
    more = {"POSED_PEOPLE__LOOK_TURNED_S": "0.5", "POSED_PEOPLE__LOOK_TURNED_SHARE": "0.5"}
    figures = bench(tmp_path, "--model", model, "--fps", 30, more=more)
    assert figures["looks"] > 0
    assert "turned" in figures["stages"]
    invokes = figures["frames"] + figures["looks"]
    assert figures["invokes_per_s"] * figures["seconds"] == pytest.approx(invokes, rel=0.01)
    assert figures["invokes_of_bare"] == pytest.approx(
        figures["invokes_per_s"] / figures["bare_fps"], abs=0.002
    )


def test_cpu_and_memory_are_told_apart(tmp_path, model):
    figures = bench(tmp_path, "--model", model, more={"POSED_DECODE__PEOPLE": "one"})
    assert figures["decoder"] == "one person, assumed to be alone in the picture"
    total, *parts = figures["memory_mb"].values()
    assert sum(parts) == pytest.approx(total, abs=1)
    assert {"TFLite runtime", "model and engine", "frames at work"} <= set(figures["memory_mb"])
    cpu = figures["cpu_percent"]
    assert [name for name in cpu if name in STAGES] == STAGES
    assert cpu["total"] >= cpu["invoke"] > 0
    assert "network thread" in cpu


def test_the_chip_is_measured_through_its_delegate(tmp_path, shared):
    compiled = shared / "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder_edgetpu.tflite"
    more = built().environment(Behaviour(hold_ms=30))
    figures = bench(tmp_path, "--model", compiled, "--engine", "edgetpu", more=more)
    assert figures["engine"]["kind"] == "edgetpu"
    assert figures["model"]["file"] == compiled.name
    assert figures["stages"]["invoke"]["p50_ms"] >= 30
    assert figures["bare_fps"] <= 1000 / 30


def test_an_engine_slower_than_the_daemons_stop_is_measured(tmp_path, shared):
    compiled = shared / "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder_edgetpu.tflite"
    more = built().environment(Behaviour(hold_ms=800))
    arguments = ["--model", compiled, "--engine", "edgetpu", "--seconds", 6, "--json"]
    done = posed(tmp_path, "bench", *arguments, more=more)
    assert done.returncode == 0, done.stderr
    assert 0 < json.loads(done.stdout)["bare_fps"] <= 1 / 0.8


def test_the_bundled_model_finds_drawn_people_without_a_warning(tmp_path):
    assert bench(tmp_path, "--model", "drawings-257x353-16")["people"] > 1  # and nothing on standard error


def test_one_of_something_is_no_plural(tmp_path, model, capsys):
    figures = bench(tmp_path, "--model", model)
    show(figures | {"dropped": {"frames": 1, "messages": 1}, "looks": 1}, as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "dropped 1 frame, 1 message CPU" in said
    assert "with 1 rotated crop " in said


def test_a_slower_camera_sets_the_rate(tmp_path, model):
    figures = bench(tmp_path, "--model", model, "--fps", 20)
    assert figures["fps"] <= 25
    assert figures["busy"] < 0.5


def test_people_read_a_table_with_a_bar_per_stage(tmp_path, model):
    done = posed(tmp_path, "bench", "--model", model, "--seconds", 3)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1] == "red.tflite: 49×65 px, stride 16, uint8"
    described = load_pair("drawings-257x353-16").network.describe(DecodeConfig())
    assert lines[4] == f"decoder {described}"
    rows = {line.split()[0]: line for line in lines if line.strip()}
    for stage in STAGES:
        assert sum(line.startswith(f" {WORDS[stage]} ") for line in lines) == 1
    assert "█" in done.stdout
    for title in ("frames/s", "engine", "latency", "dropped", "CPU", "memory"):
        assert title in rows
    assert max(map(len, lines)) <= 80
    assert "\n\nThis machine handles " in done.stdout


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_output_that_cannot_be_written_is_one_line(tmp_path, model, form):
    command = [sys.executable, "-m", "posed", "bench", "--seconds", "3", "--model", model, *form]
    more = environment(tmp_path, {"PYTHONUNBUFFERED": "1"})
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=more, check=False)
    assert done.returncode == 4
    assert done.stderr == "standard output: cannot be written (No space left on device)\n"


def test_a_standard_output_that_is_closed_is_no_fault(tmp_path, model):
    command = [sys.executable, "-m", "posed", "bench", "--seconds", "3", "--model", str(model)]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command],
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_configured_camera_is_measured_and_the_broker_hears_nothing(tmp_path, model):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((98, 130, 3), (0, 0, 255), np.uint8))
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as broker, Subscriber(broker.port) as subscriber:
        path = config(
            tmp_path,
            cameras={"door": RED | {"source": str(tmp_path / "red.png")}},
            model={"name": str(model)},
            mqtt={"host": "127.0.0.1", "port": broker.port},
            web={"enabled": True, "port": broker.port},  # which is taken, so it would be waited for, and said
        )
        figures = bench(tmp_path, "--config", path)
        assert subscriber.messages == []
    assert not list((tmp_path / "state").rglob("spool*"))
    assert figures["cameras"]["door"]["kind"] == "images"
    assert figures["people"] > 0


@pytest.mark.parametrize(
    ("arguments", "camera", "status", "line"),
    [
        (["--model", "/nowhere.tflite"], None, 3, "/nowhere.tflite"),
        (["--engine", "edgetpu"], None, 5, "must be compiled for the Edge TPU"),
        (
            ["--engine", "gpu"],
            None,
            2,
            "engine.kind: must be auto, edgetpu or cpu, got 'gpu' (set by --engine)",
        ),
        ([], {"kind": "video", "source": "/dev/video77"}, 4, "/dev/video77: no such device"),
        ([], {"kind": "images", "source": "/nowhere"}, 4, "/nowhere"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_a_status(tmp_path, arguments, camera, status, line):
    (tmp_path / "red.tflite").write_bytes(make_tflite(UPRIGHT))
    cameras = {} if camera is None else {"cameras": {"door": camera}}
    path = config(tmp_path, model={"name": str(tmp_path / "red.tflite")}, **cameras)
    done = posed(tmp_path, "bench", "--config", path, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    (said,) = done.stderr.splitlines()
    assert line in said


def test_a_recording_that_is_too_short_is_said(tmp_path, model):
    cv2.imwrite(str(tmp_path / "red.png"), np.zeros((98, 130, 3), np.uint8))
    cameras = {"door": {"kind": "images", "source": str(tmp_path / "red.png")}}
    done = posed(tmp_path, "bench", "--config", config(tmp_path, cameras=cameras, model={"name": str(model)}))
    assert done.returncode == 4
    assert done.stderr == "bench: must get frames for longer than its warm-up, got too few\n"


@pytest.fixture
def two(tmp_path: Path, model: Path) -> Path:
    """A configuration of two cameras, the second slower than the first."""
    cv2.imwrite(str(tmp_path / "red.png"), np.full((98, 130, 3), (0, 0, 255), np.uint8))
    live = {"kind": "images", "source": str(tmp_path / "red.png"), "loop": True}
    return config(
        tmp_path,
        cameras={"hall": live | {"fps": 20}, "bath": live | {"fps": 5}},
        model={"name": str(model)},
        people={"look_turned_s": 0},
    )


def test_several_cameras_are_measured_at_once_each_for_itself(tmp_path, two):
    figures = bench(tmp_path, "--config", two)
    hall, bath = figures["cameras"]["hall"], figures["cameras"]["bath"]
    assert hall["kind"] == bath["kind"] == "images"
    assert hall["fps"] > 2 * bath["fps"] > 4
    assert hall["frames"] + bath["frames"] == figures["frames"]
    assert figures["fps"] == pytest.approx(hall["fps"] + bath["fps"], abs=0.02)
    assert hall["dropped"] + bath["dropped"] == figures["dropped"]["frames"]
    for camera in (hall, bath):
        assert 0 < camera["latency"]["p50_ms"] <= camera["latency"]["p99_ms"]
        assert camera["people"] > 0
    assert figures["cpu_percent"]["capture"] + figures["cpu_percent"]["hand-over"] > 0


def test_one_of_several_cameras_is_measured_alone(tmp_path, two):
    figures = bench(tmp_path, "--config", two, "--camera", "bath")
    assert list(figures["cameras"]) == ["bath"]
    assert figures["fps"] == figures["cameras"]["bath"]["fps"] <= 7


def test_drawn_people_take_the_place_of_each_camera(tmp_path, two):
    figures = bench(tmp_path, "--config", two, "--fps", 10)
    assert [camera["kind"] for camera in figures["cameras"].values()] == ["drawn", "drawn"]
    assert all(camera["fps"] <= 13 for camera in figures["cameras"].values())


def test_people_read_a_row_per_camera_where_there_are_several(tmp_path, two):
    done = posed(tmp_path, "bench", "--config", two, "--seconds", 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\ncameras hall (images), bath (images); " in done.stdout
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    assert rows["camera"] == ["camera", "frames/s", "p50", "ms", "p99", "ms", "dropped", "people"]
    assert float(rows["hall"][1]) > float(rows["bath"][1]) > 2
    assert len(rows["hall"]) == len(rows["bath"]) == 6


def test_a_camera_that_is_not_configured_cannot_be_measured(tmp_path, two):
    done = posed(tmp_path, "bench", "--config", two, "--camera", "attic")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--camera: must be one of hall, bath, got 'attic'\n"


def test_a_camera_that_fails_ends_it_though_others_work(tmp_path, model):
    cameras = {"hall": {"kind": "synthetic", "fps": 10}, "bath": {"kind": "images", "source": "/nowhere"}}
    done = posed(tmp_path, "bench", "--config", config(tmp_path, cameras=cameras, model={"name": str(model)}))
    assert (done.returncode, done.stdout) == (4, "")
    (said,) = done.stderr.splitlines()
    assert "/nowhere" in said


def test_a_recording_too_short_beside_a_camera_is_said(tmp_path, model):
    cv2.imwrite(str(tmp_path / "red.png"), np.zeros((98, 130, 3), np.uint8))
    short = {"kind": "images", "source": str(tmp_path / "red.png")}
    cameras = {"hall": {"kind": "synthetic", "fps": 10}, "bath": short}
    arguments = ["--config", config(tmp_path, cameras=cameras, model={"name": str(model)}), "--seconds", 3]
    done = posed(tmp_path, "bench", *arguments)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "bench: must get frames of bath for longer than its warm-up, got too few\n"


def test_an_engine_that_is_lost_meanwhile_ends_it(tmp_path, shared):
    compiled = shared / "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder_edgetpu.tflite"
    # Within 1.5 s at most 151 are made before the daemon runs, and 700 after that.
    more = built().environment(Behaviour(hold_ms=10, fail_at=250))
    done = posed(tmp_path, "bench", "--model", compiled, "--engine", "edgetpu", more=more)
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1].startswith(
        "bench: must keep the engine while it is measured, lost it: edgetpu any: failed to run the model ("
    )


@pytest.mark.parametrize("seconds", [0, 2.9, "x"])
def test_too_short_a_time_is_a_usage_error(tmp_path, seconds):
    assert posed(tmp_path, "bench", "--seconds", seconds).returncode == 2


@pytest.mark.parametrize("fps", [-1, 0.1, 0.99, 241])
def test_a_rate_that_no_camera_has_is_a_usage_error(tmp_path, model, fps):
    done = posed(tmp_path, "bench", "--model", model, "--seconds", 3, "--fps", fps)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Invalid value for '--fps'" in done.stderr


def test_drawn_frames_come_one_by_one_or_at_their_rate():
    with DrawnCamera(0) as camera:
        frames = [camera.read(0) for _ in range(3)]
        assert not camera.live
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert {frame.image.shape for frame in frames} == {(SIZE[1], SIZE[0], 3)}
    with DrawnCamera(50) as camera:
        assert camera.live
        began = time.monotonic()
        assert [camera.read(1) is not None for _ in range(4)] == [True] * 4
        assert time.monotonic() - began >= 3 / 50
    with DrawnCamera(0.1) as camera:
        assert camera.read(0) is not None
        assert camera.read(0) is None
    assert PEOPLE == 5


def test_a_sink_answers_what_a_client_waits_for():
    with sink.running() as port:
        for _ in range(2):
            client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
            said: list[str] = []
            client.on_log = lambda *line, said=said: said.append(line[-1])
            client.connect("127.0.0.1", port, keepalive=1)
            client.loop_start()
            infos = [
                client.publish("a/b", b"x" * size, qos=qos) for size in (0, 5000, 70000) for qos in (0, 1)
            ]
            eventually(lambda infos=infos: all(info.is_published() for info in infos))
            eventually(lambda said=said: "Received PINGRESP" in said, 20)
            assert client.is_connected()
            client.disconnect()
            client.loop_stop()


def test_a_sink_takes_no_module_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "socket.py").write_text("raise SystemExit('the wrong one')\n")
    monkeypatch.chdir(tmp_path)
    with sink.running() as port:
        assert port > 0


def test_a_sink_ends_with_its_user():
    with sink.running() as port:
        pass
    with pytest.raises(OSError, match="refused"):
        Client(CallbackAPIVersion.VERSION2).connect("127.0.0.1", port)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_measurement_that_is_ended_leaves_nothing_behind(tmp_path, model, number, status):
    with measuring(tmp_path, model) as (process, children):
        process.send_signal(number)
        said = process.communicate(timeout=30)
        assert (process.returncode, *said) == (status, b"", b"")
    assert not any(is_running(child) for child in children)
    assert not list(tmp_path.glob("posed-bench-*"))


def test_a_measurement_that_nohup_began_outlives_its_terminal(tmp_path, model):
    with measuring(tmp_path, model, before=["nohup"]) as (process, _):
        process.send_signal(signal.SIGHUP)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"frames/s" in said


def test_a_measurement_that_is_killed_leaves_no_process_behind(tmp_path, model):
    with measuring(tmp_path, model) as (process, children):
        process.kill()
        process.communicate(timeout=30)
    eventually(lambda: not any(is_running(child) for child in children))


@contextlib.contextmanager
def measuring(
    folder: Path, model: Path, before: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """`posed bench` at work, its temporary files in the folder, and its children's ids."""
    as_in_a_terminal = ["env", "--default-signal=HUP"]  # also where nohup runs the tests
    process = subprocess.Popen(
        [*as_in_a_terminal, *before, sys.executable, "-m", "posed", "bench", "--model", model],
        env=environment(folder, {"TMPDIR": str(folder)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        eventually(lambda: list(folder.glob("posed-bench-*/spool.sqlite")), timeout_s=40)
        tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
        children = [int(child) for task in tasks for child in task.read_text().split()]
        assert children
        yield process, children
    finally:
        process.kill()
        process.communicate()


def is_running(process_id: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("0", []),
        ("50005", ["under-voltage", "throttled"]),
        ("50000", ["under-voltage earlier", "throttled earlier"]),
        ("e0008", ["soft temperature limit", "frequency capped earlier", "throttled earlier"]),
    ],
)
def test_throttling_is_read_from_the_firmware_or_its_tool(tmp_path, monkeypatch, word, expected):
    firmware = tmp_path / "devices/platform/soc/soc:firmware/get_throttled"
    firmware.parent.mkdir(parents=True)
    firmware.write_text(f"{word}\n")
    assert machine.throttling(tmp_path) == expected
    firmware.unlink()
    tool = tmp_path / "bin/vcgencmd"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x{word}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    assert machine.throttling(tmp_path) == expected


def test_elsewhere_nothing_is_known_of_throttling(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.throttling(tmp_path) is None


def test_a_pi_is_named_by_its_board(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\n\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n")
    assert machine.processor(tmp_path).startswith("Raspberry Pi 4 Model B Rev 1.4 (")


def test_a_percentile_is_a_value_that_came():
    assert percentiles_ms([n / 1000 for n in range(101)]) == {"p50_ms": 50, "p90_ms": 90, "p99_ms": 99}
    assert percentiles_ms([0.002]) == {"p50_ms": 2, "p90_ms": 2, "p99_ms": 2}


def test_a_bar_is_as_long_as_its_share():
    assert bar(1) == "█" * BAR_CELLS
    assert bar(0.5) == "█" * (BAR_CELLS // 2)
    assert bar(0.5 + 1 / (8 * BAR_CELLS))[-1] == "▏"
    assert bar(0) == ""
    assert bar(7) == "█" * BAR_CELLS


@pytest.fixture
def sensor(tmp_path):
    """Makes what an AI Camera sees; it has its network."""
    worlds = Worlds(tmp_path / "world.json")
    worlds.loaded.touch()
    return worlds


AI_CAMERA = {"kind": "imx500"}


def test_an_ai_camera_is_measured_without_a_model(tmp_path, sensor):
    sensor()
    path = config(tmp_path, cameras={"hall": AI_CAMERA}, model={"name": "/nowhere.tflite"})
    figures = bench(tmp_path, "--config", path, more=variables(tmp_path))
    assert (figures["engine"], figures["model"], figures["bare_fps"]) == (None, None, None)
    assert figures["in_camera"]["name"] == "imx500_network_posenet"
    assert "rotated crops: left out, model /nowhere.tflite" in figures["crops"]
    assert "invoke" not in figures["stages"]
    assert figures["fps"] > 20
    assert (figures["busy"], figures["engine_fps"], figures["invokes_per_s"]) == (0, 0, 0)
    took = figures["cameras"]["hall"]["sensor"]
    assert [took[part]["p50_ms"] for part in ("network", "dsp")] == [15, 12]
    assert figures["verdict"]["limit"] != "engine"


def test_people_read_what_the_sensor_takes(tmp_path, sensor):
    sensor()
    path = config(tmp_path, cameras={"hall": AI_CAMERA}, model={"name": "/nowhere.tflite"})
    done = posed(tmp_path, "bench", "--config", path, "--seconds", 3, more=variables(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "imx500_network_posenet.rpk: 353×481 px, stride 16, in the camera"
    assert lines[2].startswith("engine imx500: the network runs in the camera; rotated crops: left out, ")
    assert any(line.split() == ["hall,", "network", "15.00", "15.00", "15.00"] for line in lines)
    assert any(line.split() == ["hall,", "DSP", "12.00", "12.00", "12.00"] for line in lines)
    assert "engine       none; rotated crops are left out" in lines
    assert f" {WORDS['invoke']} " not in done.stdout
    assert max(map(len, lines)) <= 80


def test_times_that_the_sensor_does_not_tell_are_left_out(tmp_path, sensor):
    sensor(kpi=None)
    path = config(tmp_path, cameras={"hall": AI_CAMERA}, model={"name": "/nowhere.tflite"})
    figures = bench(tmp_path, "--config", path, more=variables(tmp_path))
    assert figures["cameras"]["hall"]["sensor"] == {}


def test_rotated_crops_of_an_ai_camera_are_the_engines_work(tmp_path, model, sensor):
    sensor()
    often = {"look_turned_s": 0.5, "look_turned_share": 0.5}
    path = config(tmp_path, cameras={"hall": AI_CAMERA}, model={"name": str(model)}, people=often)
    figures = bench(tmp_path, "--config", path, "--engine", "cpu", more=variables(tmp_path))
    assert (figures["engine"]["kind"], figures["model"]["file"]) == ("cpu", "red.tflite")
    assert figures["bare_fps"] > figures["invokes_per_s"] > 0 == figures["engine_fps"]
    assert figures["looks"] == pytest.approx(figures["invokes_per_s"] * figures["seconds"], abs=0.1)
    assert 0 < figures["busy"] < 0.5
    assert figures["verdict"]["limit"] != "engine"


def test_an_ai_camera_beside_another_leaves_the_engine_alone(tmp_path, two, model, sensor):
    sensor()
    settings = yaml.safe_load(two.read_text())
    settings["cameras"]["hall"] = AI_CAMERA
    figures = bench(tmp_path, "--config", config(tmp_path, **settings), more=variables(tmp_path))
    hall, bath = figures["cameras"]["hall"], figures["cameras"]["bath"]
    assert (hall["kind"], "sensor" in hall, "sensor" in bath) == ("imx500", True, False)
    assert figures["engine_fps"] == pytest.approx(bath["fps"], abs=0.01)
    assert figures["of_bare"] == pytest.approx(bath["fps"] / figures["bare_fps"], abs=0.002)
    assert (figures["crops"], figures["model"]["file"]) == (None, "red.tflite")
    assert figures["stages"]["invoke"]["p50_ms"] < 15, "what the sensor takes is not among them"
    assert "One of two is an AI Camera, as here." in figures["verdict"]["text"]


def test_drawn_people_take_the_place_of_an_ai_camera(tmp_path, model, sensor):
    path = config(tmp_path, cameras={"hall": AI_CAMERA}, model={"name": str(model)})
    figures = bench(tmp_path, "--config", path, "--fps", 10)
    assert (figures["cameras"]["hall"]["kind"], figures["in_camera"]) == ("drawn", None)
    assert figures["engine_fps"] == figures["fps"] > 0


def on_a_coral(folder: Path, shared: Path, **cameras: Any) -> Path:
    """A configuration with a stand-in for the Edge TPU."""
    compiled = shared / "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder_edgetpu.tflite"
    return config(
        folder,
        cameras=cameras,
        engine={"kind": "edgetpu", "idle_fps": 0},
        model={"name": str(compiled)},
        people={"look_turned_s": 0.5, "look_turned_share": 0.5},
    )


@pytest.mark.parametrize("moment", [1, 30])
def test_a_coral_for_crops_that_fails_at_first_is_none(tmp_path, shared, sensor, moment):
    sensor()
    path = on_a_coral(tmp_path, shared, hall=AI_CAMERA)
    more = built().environment(Behaviour(hold_ms=6, fail_at=moment)) | variables(tmp_path)
    figures = bench(tmp_path, "--config", path, more=more)
    assert (figures["engine"], figures["model"], figures["bare_fps"]) == (None, None, None)
    assert "rotated crops: left out, edgetpu any: failed to " in figures["crops"]
    assert (figures["looks"], "turned" in figures["stages"]) == (0, False)


def test_a_coral_for_crops_may_go_meanwhile(tmp_path, shared, sensor):
    """One that hangs is tried with `KeptEngine`: it takes half a minute until that is sure."""
    sensor(upload_s=1)
    sensor.loaded.unlink()
    path = on_a_coral(tmp_path, shared, hall=AI_CAMERA)
    device, invokes = tmp_path / "device", tmp_path / "invokes"
    device.touch()
    more = built().environment(Behaviour(hold_ms=10, device=device, log=invokes)) | variables(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "posed", "bench", "--config", str(path), "--seconds", "10"],
        env=environment(tmp_path, more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"{PREPARES}\n", "the engine alone was measured before"
        alone = invokes.read_text().count("invoke")
        eventually(lambda: invokes.read_text().count("invoke") > alone + 5, 30)
        device.unlink()
        said, complaints = process.communicate(timeout=90)
    assert process.returncode == 0, complaints
    lines = " ".join(said.split())
    assert "rotated crops; others were left out: edgetpu any: failed to run the model (" in lines
    assert "(any), for rotated crops alone" in lines
    assert "time for" not in lines


def test_only_what_is_dropped_meanwhile_is_counted(tmp_path, shared, sensor):
    sensor(upload_s=5)
    sensor.loaded.unlink()
    path = on_a_coral(tmp_path, shared, hall=AI_CAMERA, bath={"kind": "synthetic", "fps": 30})
    more = built().environment(Behaviour(hold_ms=60)) | variables(tmp_path)
    figures = bench(tmp_path, "--config", path, more=more)
    bath = figures["cameras"]["bath"]
    assert 0 < bath["dropped"] <= 30 * figures["seconds"] + 5 - bath["frames"]
    assert figures["dropped"]["frames"] == bath["dropped"] + figures["cameras"]["hall"]["dropped"]


def test_an_ai_camera_that_gets_ready_is_waited_for(tmp_path, model):
    Worlds(tmp_path / "world.json")(upload_s=2)
    path = config(tmp_path, cameras={"hall": {"kind": "imx500"}}, model={"name": str(model)})
    arguments = ["--config", path, "--seconds", 3, "--json"]
    done = posed(tmp_path, "bench", *arguments, more=variables(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{PREPARES}\n", "once"
    assert json.loads(done.stdout)["cameras"]["hall"]["frames"] > 0


def test_a_camera_that_cannot_work_is_named(tmp_path, model, sensor):
    sensor(models=("imx500", "imx708"))
    cameras = {"hall": AI_CAMERA, "bath": AI_CAMERA | {"source": "1"}}
    path = config(tmp_path, cameras=cameras, model={"name": str(model)})
    done = posed(tmp_path, "bench", "--config", path, "--seconds", 3, more=variables(tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines()[-1].startswith("cameras.bath.source: must be an AI Camera")


def test_a_camera_that_goes_meanwhile_is_named(tmp_path, sensor):
    sensor(stops_after=45)
    cameras = {"hall": AI_CAMERA | {"timeout_s": 1}}
    path = config(tmp_path, cameras=cameras, model={"name": "/nowhere.tflite"})
    done = posed(tmp_path, "bench", "--config", path, "--seconds", 10, more=variables(tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines()[-1].startswith(
        "bench: must keep camera hall while it is measured, lost it: Pi camera 0: "
    )
