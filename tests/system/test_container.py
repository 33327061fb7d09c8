"""Builds the image of config/container, and runs it as people do who have Docker.

Building takes a quarter of an hour the first time (Debian, PyPI, OpenCV's compilation); what was built is
kept. The camera is drawn, and the model comes with posed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from posed.camera.images import read_image
from posed.commands.detect import write_image
from posed.commands.selftest.engines import PICTURE
from posed.config import MqttEventsConfig
from posed.messages.structs import Sender
from posed.messages.topics import Topics
from posed.mqtt.spool import Spool
from posed.pipeline.occurrence import Occurrence
from scripts.paths import ROOT
from scripts.ports import free_port
from tests.broker_fake import FakeBroker
from tests.brokers import Mosquitto, Subscriber, eventually, require_mosquitto
from tests.system.conftest import Row
from tests.system.containers import Docker, docker
from tests.system.needs import need_debian

pytestmark = pytest.mark.release

IMAGE: Final = "posed"
MOST_BYTES: Final = 120e6
"""Of all layers, compressed."""

STRICT: Final = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true")
"""As config/container/compose.yaml runs it."""

PATIENCE_S: Final = 120.0
STOP_S: Final = 2.0
UID: Final = 1000
STRANGER: Final = 12345
"""Users: the image's own, and one that it does not know."""

BROKER: Final = "192.0.2.1"
"""Where it is on a network that there is not at first."""

STOPPED: Final = 143
DELAYS_S: Final = (0, 0.01, 0.02, 0.05, 0.1, 0.3, 1, 3)
WITH_INIT: Final = ("tini", "-g", "--", "posed")
WITHOUT_INIT: Final = ("env", "--block-signal=TERM,INT", "posed")
RUN: Final = ("run", "--config", "/config/posed.yaml")

END_AFTER: Final = """
(until grep -q "$1" /proc/1/comm; do :; done; sleep "$2"; date +%s.%N >&2; kill -TERM 1) &
shift 2
exec "$@"
"""
"""Becomes the first process of that name, to which somebody sends a SIGTERM after so many seconds."""

WITHOUT_HOME: Final = ("env", "-u", "HOME", *WITH_INIT)
EMPTIED: Final = ("cpuinfo", "meminfo", "stat", "loadavg", "uptime")
"""Files of /proc that a runtime may replace."""

COMPOSED: Final = """\
cameras: {door: {kind: synthetic}}
model: {name: drawings-257x353-32}
mqtt: {username: hall, password: !secret mqtt}
"""
COMPOSER: Final = """\
FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends docker-cli docker-compose
"""
ECLIPSES: Final = """\
FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends mosquitto
RUN printf '#!/bin/sh\\nchown -R mosquitto /mosquitto; exec "$@"\\n' >/start && chmod +x /start
VOLUME /mosquitto/data
ENTRYPOINT ["/start"]
CMD ["mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
"""
"""As the image of Eclipse's own: it gives its files to its user, and starts."""

EVERYTHING: Final = """
import importlib, pathlib, pkgutil, re, cv2, numpy, posed
from cv2 import videoio_registry
for module in pkgutil.walk_packages(posed.__path__, "posed."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
sources = [file.read_text("utf-8") for file in pathlib.Path(posed.__file__).parent.rglob("*.py")]
names = {name for source in sources for name in re.findall(r"\\bcv2\\.(\\w+)", source)}
assert {"resize", "putText", "VideoCapture"} <= names, names
assert not [name for name in names if not hasattr(cv2, name)], names
backends = [videoio_registry.getBackendName(one) for one in videoio_registry.getCameraBackends()]
assert "V4L2" in backends, backends
picture = numpy.full((64, 64, 3), 200, numpy.uint8)
for suffix in (".jpg", ".png", ".tif", ".webp", ".bmp", ".jp2", ".hdr", ".ppm", ".ras"):
    done, packed = cv2.imencode(suffix, picture.astype(numpy.float32) if suffix == ".hdr" else picture)
    assert done and cv2.imdecode(packed, cv2.IMREAD_COLOR).shape == picture.shape, suffix
"""
"""Imports every module, looks for what they take of OpenCV, and writes and reads a picture of every kind."""

NO_CAMERA: Final = "--device=/dev/null:/dev/video0"
"""A device that opens, and knows nothing of video."""

ASKED: Final = """
import cv2
assert not cv2.VideoCapture("/dev/video0", cv2.CAP_V4L2).isOpened()
"""


@dataclass(frozen=True)
class House:
    """The image, a folder for its configuration and its state, and a broker.

    Args:
        client: of Docker.
        folder: of the test.
        broker: where messages go.
    """

    client: Docker
    folder: Path
    broker: Mosquitto

    def configure(self, **more: Any) -> None:
        """Write a configuration on drawn people, and make both folders as anybody may use them."""
        settings = {
            "device": "hall",
            "cameras": {"door": {"kind": "synthetic", "fps": 10, "size": [320, 240]}},
            "model": {"name": "drawings-257x353-32"},
            "mqtt": {"host": "127.0.0.1", "port": self.broker.port},
        }
        for name in ("config", "state"):
            (self.folder / name).mkdir(exist_ok=True)
            (self.folder / name).chmod(0o1777)
        text = yaml.safe_dump(settings | more)
        (self.folder / "config" / "posed.yaml").write_text(text, encoding="utf-8")

    @property
    def folders(self) -> tuple[str, str]:
        """The options by which a container has them."""
        return f"-v{self.folder}/config:/config:ro", f"-v{self.folder}/state:/state"

    @contextmanager
    def running(self, *options: str, command: Sequence[str] = ()) -> Iterator[str]:
        """A container of the image in the background, until then; its id."""
        with self.client.running(*self.folders, *options, IMAGE, *command) as container:
            yield container

    def sees_people(self, container: str, watcher: Subscriber) -> None:
        """Waits until a message says that somebody is there."""

        def seen() -> bool:
            assert self.client.inspect(container)["State"]["Running"], "it has ended"
            return any(json.loads(one)["people"] for one in watcher.payloads("posed/hall/door/poses"))

        eventually(seen, PATIENCE_S)


@pytest.fixture(scope="module")
def client() -> Iterator[Docker]:
    """A daemon that has the image, built of these sources."""
    need_debian("mosquitto", "mosquitto")
    need_debian("mosquitto_sub", "mosquitto-clients")
    need_debian("ip", "iproute2")
    need_debian("iptables", "iptables")  # by which Docker answers for a container's name
    with docker("image") as running:
        running.build(ROOT, ROOT / "config/container/Dockerfile", IMAGE)
        yield running


@pytest.fixture
def house(client: Docker, tmp_path: Path) -> Iterator[House]:
    with Mosquitto(tmp_path) as broker:
        made = House(client, tmp_path, broker)
        made.configure()
        yield made


def test_it_is_small(client: Docker, row: Row) -> None:
    size, packed = client.inspect(IMAGE)["Size"], compressed_bytes(client.command("save", IMAGE))
    row.report(f"{size / 1e6:.0f} MB, {packed / 1e6:.1f} compressed")
    assert packed <= MOST_BYTES


def test_nothing_that_was_left_out_is_missing(client: Docker) -> None:
    done = client.run("--entrypoint=/opt/posed/bin/python3", IMAGE, "-W", "error", "-c", EVERYTHING)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_it_sees_people_in_a_folder_of_pictures(house: House, suffix: str) -> None:
    folder = house.folder / "config/pictures"
    folder.mkdir()
    write_image(folder / f"1{suffix}", read_image(PICTURE))
    house.configure(cameras={"door": {"kind": "images", "source": "/config/pictures", "loop": True}})
    with Subscriber(house.broker.port, "posed/#") as watcher, house.running(*STRICT) as container:
        house.sees_people(container, watcher)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param((), "no such device", id="missing"),
        pytest.param(
            (NO_CAMERA,), "cannot be opened: in use by another program, or no camera", id="no camera"
        ),
    ],
)
def test_it_waits_for_a_usb_camera(house: House, options: tuple[str, ...], said: str) -> None:
    house.configure(cameras={"door": {"kind": "video", "source": "/dev/video0"}})
    with house.running(*STRICT, *options) as container:
        line = f"waiting for the camera: camera /dev/video0: {said}"
        eventually(lambda: line in house.client.logs(container), PATIENCE_S)


def test_a_device_is_asked_whether_it_is_a_camera(client: Docker) -> None:
    """By Video4Linux: who lacks that would say the same of it."""
    options = (NO_CAMERA, "--env=OPENCV_LOG_LEVEL=DEBUG", "--entrypoint=/opt/posed/bin/python3")
    done = client.run(*options, IMAGE, "-c", ASKED)
    assert done.returncode == 0, done.stderr
    assert "VIDIOC_QUERYCAP" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="as it is"),
        pytest.param(STRICT, id="read-only without capabilities"),
        pytest.param(
            (*STRICT, f"--user={STRANGER}:{STRANGER}", "--entrypoint=env"), id="any user without a home"
        ),
        pytest.param(
            (*STRICT, "--mount=type=tmpfs,dst=/sys,ro", *(f"-v/dev/null:/proc/{one}:ro" for one in EMPTIED)),
            id="masked /sys and /proc",
        ),
    ],
)
def test_its_messages_reach_a_broker(house: House, options: tuple[str, ...]) -> None:
    command = (*WITHOUT_HOME[1:], *RUN) if "--entrypoint=env" in options else ()
    with (
        Subscriber(house.broker.port, "posed/#") as watcher,
        house.running(*options, command=command) as container,
    ):
        house.sees_people(container, watcher)
        house.client.do("stop", container)
        assert house.client.inspect(container)["State"]["ExitCode"] == STOPPED
        said = house.client.logs(container)
    assert "Traceback" not in said
    assert "in memory" not in said
    assert (house.folder / "state" / "posed" / "spool.sqlite").exists()
    assert watcher.payloads("posed/hall/availability")[-1] == b"offline"


@pytest.mark.parametrize("delay_s", DELAYS_S)
@pytest.mark.parametrize("first", [WITH_INIT, WITHOUT_INIT], ids=lambda first: first[0])
def test_sigterm_ends_it_at_any_moment(
    house: House, first: tuple[str, ...], delay_s: float, row: Row
) -> None:
    name = "tini" if first is WITH_INIT else "env|posed"
    begun = ("-c", END_AFTER, "sh", name.replace("|", "\\|"), str(delay_s), *first, *RUN)
    done = house.client.run(*house.folders, "--entrypoint=sh", IMAGE, *begun, timeout=PATIENCE_S)
    asked_at = float(re.findall(r"^[0-9]+\.[0-9]+$", done.stderr, re.MULTILINE)[0])
    took_s = time.time() - asked_at
    row.report(f"status {done.returncode} after {took_s:.1f} s")
    assert done.returncode == STOPPED, done.stderr
    assert took_s < STOP_S
    assert "Traceback" not in done.stderr


def test_without_a_name_it_is_refused_in_a_line(client: Docker) -> None:
    done = client.run(*STRICT, "-ePOSED_CAMERAS__CAMERA__KIND=synthetic", IMAGE, "run")
    assert done.returncode == 2
    assert re.fullmatch(r"[^\n]*device: must be set in a container, got none: [^\n]*\n", done.stderr), done


def test_doctor_names_no_command_of_a_machine(house: House, row: Row) -> None:
    done = house.client.run(*STRICT, *house.folders, IMAGE, "doctor", "--json", "--config", RUN[-1])
    checks = json.loads(done.stdout)["checks"]
    assert done.returncode in (0, 1), done.stdout
    remedies = [one["remedy"] for one in checks if one["remedy"]]
    row.report(f"status {done.returncode}; {remedies}")
    for remedy in remedies:
        assert not re.search(r"\b(sudo|systemctl|journalctl|apt|pip)\b", remedy), remedy


def test_it_is_healthy_until_it_hangs(house: House, row: Row) -> None:
    with (
        Subscriber(house.broker.port, "posed/#") as watcher,
        house.running(*STRICT, "--health-interval=1s") as container,
    ):
        house.sees_people(container, watcher)
        eventually(lambda: health(house.client, container) == "healthy", PATIENCE_S)
        pid = daemon_of(house.client, container)
        os.kill(pid, 19)  # SIGSTOP
        began_at = time.monotonic()
        eventually(lambda: health(house.client, container) == "unhealthy", PATIENCE_S)
        row.report(f"unhealthy {time.monotonic() - began_at:.0f} s after it hung")
        os.kill(pid, 18)  # SIGCONT
        assert house.client.do("wait", container) == "1"
        said = house.client.logs(container)
    assert "Timeout" in said
    assert "most recent call first" in said


def test_it_waits_for_the_network_and_the_broker(house: House) -> None:
    """There is none at first; then there is one, and then the broker on it."""
    house.configure(mqtt={"host": BROKER, "port": 1883})
    with house.running(*STRICT, "--network=none", "--health-interval=1s") as container:
        eventually(lambda: BROKER in house.client.logs(container), PATIENCE_S)
        eventually(lambda: health(house.client, container) == "healthy", PATIENCE_S)
        with elsewhere(house.client.inspect(container)["State"]["Pid"]) as there:
            listen = ("mosquitto_sub", "-h", BROKER, "-t", "posed/hall/door/poses", "-C", "1", "-W", "60")
            with serving([*there, *broker_of_its_own(house.folder)]):
                eventually(lambda: subprocess.run([*there, *listen], check=False).returncode == 0, PATIENCE_S)


def broker_of_its_own(folder: Path) -> tuple[str, ...]:
    """What runs a broker that anybody on its network may use."""
    config = folder / "elsewhere.conf"
    config.write_text(f"listener 1883 {BROKER}\nallow_anonymous true\nuser root\n", encoding="ascii")
    return require_mosquitto(), "-c", str(config)


@contextmanager
def serving(command: Sequence[str]) -> Iterator[None]:
    """While a command runs in the background."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def elsewhere(pid: int) -> Iterator[tuple[str, ...]]:
    """Another machine on a network with a container; what runs a command there."""
    with subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) as other:
        here, there = (("nsenter", "-t", str(one), "-n") for one in (pid, other.pid))
        try:
            mine = Path("/proc/self/ns/net").readlink()
            eventually(lambda: Path(f"/proc/{other.pid}/ns/net").readlink() != mine)
            for command in (
                (
                    *there,
                    "ip",
                    "link",
                    "add",
                    "eth0",
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "eth0",
                    "netns",
                    str(pid),
                ),
                (*there, "ip", "address", "add", f"{BROKER}/30", "dev", "eth0"),
                (*there, "ip", "link", "set", "eth0", "up"),
                (*there, "ip", "link", "set", "lo", "up"),  # to reach itself
                (*here, "ip", "address", "add", "192.0.2.2/30", "dev", "eth0"),
                (*here, "ip", "link", "set", "eth0", "up"),
            ):
                subprocess.run(command, check=True, capture_output=True)
            yield there
        finally:
            other.kill()


def test_an_upgrade_keeps_its_state(house: House) -> None:
    with Subscriber(house.broker.port, "posed/#") as watcher, house.running(*STRICT) as container:
        house.sees_people(container, watcher)
        request = {"camera": "door", "settings": {"people.fall_confirm_s": 77}, "persist": True}
        watcher.publish("posed/hall/request/set", json.dumps(request).encode())
        eventually(lambda: watcher.payloads("posed/hall/response/set"), PATIENCE_S)
        house.client.do("stop", container)
    house.broker.stop()
    leave_a_fall(house.folder / "state" / "posed" / "spool.sqlite")
    house.broker.start()
    with Subscriber(house.broker.port, "posed/#") as watcher, house.running(*STRICT) as container:
        house.sees_people(container, watcher)
        events = [json.loads(one) for one in watcher.payloads("posed/hall/events")]
        assert [one["type"] for one in events].count("fall") == 1, "the event that waited is lost"
        assert json.loads(watcher.payloads("posed/hall/door/fall")[-1])["fallen"], "the open fall is lost"
        settings = json.loads(watcher.payloads("posed/hall/door/state")[-1])["settings"]
        assert settings["people.fall_confirm_s"] == 77


def test_docker_compose_runs_it_with_a_broker(client: Docker, tmp_path: Path) -> None:
    """Debian's docker compose, and a broker whose image is made as Eclipse's."""
    folder = tmp_path / "config/container"
    shutil.copytree(ROOT / "config/container", folder)
    shutil.copytree(ROOT / "config/mosquitto", tmp_path / "config/mosquitto")
    compose = folder / "compose.yaml"
    compose.write_text(compose.read_text(encoding="utf-8").replace("1883:1883", f"{free_port()}:1883"))
    (folder / "posed").mkdir()
    (folder / "posed/posed.yaml").write_text(COMPOSED, encoding="utf-8")
    (folder / "posed/secrets.yaml").write_text("mqtt: a password\n", encoding="utf-8")
    subprocess.run(["chmod", "-R", "a+rX", str(tmp_path)], check=True)
    for name, text in (("docker-compose", COMPOSER), ("eclipse-mosquitto:2", ECLIPSES)):
        (tmp_path / "Dockerfile").write_text(text, encoding="ascii")
        client.build(folder, tmp_path / "Dockerfile", name)
    here = (f"-v{client.socket}:/var/run/docker.sock", f"-v{folder.parent}:{folder.parent}", f"-w{folder}")

    def run(*words: str) -> str:
        done = client.run(*here, "docker-compose", "docker", "compose", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    add = ("run", "--rm", "broker", "mosquitto_passwd", "-b")
    run(*add, "-c", "/mosquitto/data/passwords", "home", "a password")
    run(*add, "/mosquitto/data/passwords", "hall", "a password")
    assert run("run", "--rm", "posed", "check", "--config", RUN[-1]).endswith(": good\n")
    run("up", "--detach")
    eventually(lambda: "connected with MQTT 5" in run("logs", "posed"), PATIENCE_S)
    eventually(lambda: "came to the door" in run("logs", "posed"), PATIENCE_S)
    run("down", "--volumes")


def leave_a_fall(file: Path) -> None:
    """Write a fall as the last thing that the daemon did before it died."""
    spool = Spool(
        file,
        sender=Sender.start("hall"),
        topics=Topics("posed/hall"),
        broker=FakeBroker(full=True),
        config=MqttEventsConfig(),
        cameras=("door",),
    )
    spool.start()
    spool.add(Occurrence("fall", time.time(), person=1, camera="door"))
    assert spool.flush(PATIENCE_S)
    spool.stop(PATIENCE_S)
    for one in file.parent.glob("spool.sqlite*"):
        os.chown(one, UID, UID)


def health(client: Docker, container: str) -> str:
    """What Docker says of it."""
    return str(client.inspect(container)["State"]["Health"]["Status"])


def daemon_of(client: Docker, container: str) -> int:
    """The process of posed, as this machine counts it."""
    lines = client.do("top", container, "-eo", "pid,args").splitlines()[1:]
    return next(int(line.split()[0]) for line in lines if "python" in line and " run " in line)


def compressed_bytes(command: Sequence[str]) -> int:
    """How much a command says, compressed as registries keep it."""
    packer, size = zlib.compressobj(6), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while chunk := process.stdout.read(1 << 20):
            size += len(packer.compress(chunk))
    return size + len(packer.flush())
