"""`posed setup`: real brokers, real mDNS, answers typed into a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import cv2
import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from zeroconf import IPVersion, ServiceInfo, Zeroconf

from posed.camera import device_of
from posed.commands.setup.answers import Answers, Given
from posed.commands.setup.camera import CameraQuestion
from posed.commands.setup.check import try_camera
from posed.commands.setup.dialog import setup
from posed.commands.setup.find import FoundBroker, FoundCamera, find_brokers, find_cameras, free_cameras
from posed.commands.setup.prompt import Prompt
from posed.commands.setup.secret import Secret
from posed.commands.setup.write import write
from posed.config import CameraConfig, TlsConfig, load, mqtt_password
from posed.errors import BrokerError, CameraError, ConfigError, ModelError
from tests.ai_camera_standin import installed
from tests.brokers import Amqtt, Mosquitto, Pki, Subscriber, free_port
from tests.http_camera import MjpegServer, jpeg

POSED = "from posed.cli import main; main()"
CANARY = "canary-4e7d"

Setup = Callable[..., None]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where setup runs, with a picture to be a camera and something to be a model."""
    folder = tmp_path / "home"
    folder.mkdir()
    assert cv2.imwrite(str(folder / "room.png"), np.zeros((48, 64, 3), np.uint8))
    return folder


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, users={"hall": CANARY}) as broker:
        yield broker


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.make(tmp_path_factory.mktemp("pki"))


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POSED_", "XDG_"))}
    return {**kept, "HOME": str(home), "TERM": "dumb"}


def run_setup(home: Path, *flags: str, within: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """`posed setup` without a terminal, started by another command where that is given."""
    return subprocess.run(
        [*within, sys.executable, "-c", POSED, "setup", *flags],
        cwd=home,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def flags_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """Setup as it is called for a command without a terminal, in this process."""
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)
    for name in set(os.environ) - set(environment(home)):
        monkeypatch.delenv(name)
    monkeypatch.chdir(home)

    def run(port: int | None = None, path: Path | None = None, **given: Any) -> None:
        usual = {"broker": f"localhost:{port}", "device": "hall", "cameras": ("room.png",)}
        setup(path, Given(**{**usual, **given}))

    return run


def flags_for(broker: Mosquitto | Amqtt, *more: str) -> tuple[str, ...]:
    return ("--broker", f"localhost:{broker.port}", "--device", "hall", "--camera", "room.png", *more)


class Terminal:
    """`posed setup` with somebody before it, who waits for each question."""

    def __init__(self, home: Path, *flags: str, inside: Sequence[str] = ()) -> None:
        self.text = ""
        self._read_to = 0
        self._terminal, terminal = pty.openpty()
        # The password is read from the controlling terminal, which a session without one gets by opening it.
        become = "import os; os.close(os.open(os.ttyname(0), os.O_RDWR)); "
        self._process = subprocess.Popen(
            [*inside, sys.executable, "-c", become + POSED, "setup", *flags],
            cwd=home,
            env=environment(home),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)

    def expect(self, words: str, timeout_s: float = 30) -> str:
        """What came up to and with these words, since the last time."""
        deadline = time.monotonic() + timeout_s
        while words not in self.text[self._read_to :]:
            assert time.monotonic() < deadline, f"{words!r} did not come in {self.text!r}"
            assert self._read(), f"ended without {words!r}: {self.text!r}"
        start, self._read_to = self._read_to, self.text.index(words, self._read_to) + len(words)
        return self.text[start : self._read_to]

    def type(self, line: str) -> None:
        os.write(self._terminal, line.encode() + b"\n")

    def answer(self, question: str, line: str) -> str:
        before = self.expect(question)
        self.expect(": ")
        self.type(line)
        return before

    def end(self) -> int:
        """The exit status, after everything was read."""
        while self._read():
            pass
        return self._process.wait(timeout=30)

    def _read(self) -> bool:
        if not select.select([self._terminal], [], [], 1)[0]:
            return True
        try:
            data = os.read(self._terminal, 4096)
        except OSError:
            # Linux says EIO when nobody has the other end any more.
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture(scope="module")
def mdns() -> Iterator[Zeroconf]:
    """Real multicast DNS on the loopback interface."""
    try:
        zeroconf = Zeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    except OSError as error:
        pytest.skip(f"multicast is impossible here: {error}")
    yield zeroconf
    zeroconf.close()


def announce(mdns: Zeroconf, port: int, service: str = "_mqtt._tcp.local.") -> str:
    """Announces a broker under a name of its own, which is returned."""
    name = f"posed-test-{port}"
    address = socket.inet_aton("127.0.0.1")
    try:
        mdns.register_service(
            ServiceInfo(service, f"{name}.{service}", port, addresses=[address], server=f"{name}.local.")
        )
    except OSError as error:
        pytest.skip(f"multicast is impossible here: {error}")
    return name


# Finding


def test_brokers_that_announce_themselves_are_found_with_and_without_tls(mdns: Zeroconf) -> None:
    port, secure_port = free_port(), free_port()
    name = announce(mdns, port)
    secure_name = announce(mdns, secure_port, "_secure-mqtt._tcp.local.")
    found = find_brokers()
    assert FoundBroker("127.0.0.1", port, False, f"mDNS: {name}") in found
    assert FoundBroker("127.0.0.1", secure_port, True, f"mDNS: {secure_name}") in found


def test_a_broker_on_this_machine_comes_first(mosquitto: Mosquitto) -> None:
    found = find_brokers(search_s=0, local_port=mosquitto.port)
    assert found[0] == FoundBroker("localhost", mosquitto.port, False, "on this machine")


def without_network() -> list[str]:
    """What runs a command in a network without interfaces; skips where that is not possible."""
    unshare = shutil.which("unshare")
    if (
        unshare is None
        or subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs a network namespace without interfaces, which unshare may not make here")
    return [unshare, "-rn"]


def test_without_a_network_no_broker_is_found_and_nothing_said(home: Path) -> None:
    search = "from posed.commands.setup.find import find_brokers; print(find_brokers(0.1))"
    found = subprocess.run(
        [*without_network(), sys.executable, "-c", search], capture_output=True, text=True, check=True
    )
    assert (found.stdout, found.stderr) == ("[]\n", "")


def test_capture_devices_are_found_and_codecs_are_not(tmp_path: Path) -> None:
    nodes = {
        "video10": ("bcm2835-codec-decode", "0"),
        "video13": ("bcm2835-isp-output0", "0"),
        "video19": ("rpi-hevc-dec", "0"),
        "video20": ("pispbe-input", "0"),
        "video4": ("rp1-cfe-csi2_ch0", "0"),
        "video2": ("unicam-image", "0"),
        "video0": ("HD Pro Webcam C920", "0"),
        "video1": ("HD Pro Webcam C920", "1"),
        "video11": ("USB Camera: front", "0"),
    }
    for node, (name, index) in nodes.items():
        (tmp_path / node).mkdir()
        (tmp_path / node / "name").write_text(name + "\n")
        (tmp_path / node / "index").write_text(index + "\n")
    assert [camera for camera in find_cameras(tmp_path) if camera.answer.startswith("video")] == [
        FoundCamera("video:/dev/video0", "HD Pro Webcam C920"),
        FoundCamera("video:/dev/video11", "USB Camera: front"),
    ]


def test_a_machine_without_video_devices_has_none(tmp_path: Path) -> None:
    assert not [c for c in find_cameras(tmp_path / "none") if c.answer.startswith("video")]


def test_pi_cameras_are_found_and_not_taken_for_usb_cameras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As picamera2 0.3.38 lists a Pi camera and a webcam.
    cameras = [
        {"Model": "imx708", "Location": 2, "Rotation": 180, "Id": "/base/soc/i2c0mux/imx708@1a", "Num": 1},
        {"Model": "C920", "Location": 2, "Id": "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.2:1.0", "Num": 0},
    ]
    library = types.ModuleType("picamera2")
    library.Picamera2 = types.SimpleNamespace(global_camera_info=lambda: cameras)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", library)
    assert find_cameras(tmp_path) == [FoundCamera("picamera2:0", "Pi camera imx708")]


def test_an_ai_camera_is_offered_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = [
        {"Model": "imx708", "Id": "/base/soc/i2c@80000/imx708@1a", "Num": 0},
        {"Model": "imx500", "Id": "/base/soc/i2c@88000/imx500@1a", "Num": 1},
    ]
    library = types.ModuleType("picamera2")
    library.Picamera2 = types.SimpleNamespace(global_camera_info=lambda: cameras)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", library)
    first, second = find_cameras(tmp_path)
    assert first == FoundCamera("imx500:1", "Raspberry Pi AI Camera, which runs PoseNet itself")
    assert (second.answer, first.device) == ("picamera2:0", "Pi camera 1")


def test_a_camera_that_gets_ready_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with installed(tmp_path, monkeypatch) as world:
        world(upload_s=0.5)
        said = try_camera(CameraConfig(kind="imx500"), "hall", told.append, 0.05)
    assert told[0] == "Pi camera 0: takes its network in, minutes the first time"
    assert said == "Pi camera 0: gives frames of 482×362 px"


# Flags only


def test_flags_alone_write_a_configuration_that_is_good(home: Path, mosquitto: Mosquitto) -> None:
    done = run_setup(home, *flags_for(mosquitto))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"mqtt localhost:{mosquitto.port}: connected with MQTT 5" in done.stdout
    assert "gives frames of 64×48 px" in done.stdout
    end = done.stdout.partition(f"{home / 'posed.yaml'}: written\n")[2].splitlines()
    assert end[:3] == [
        "found:",
        f"  broker   localhost:{mosquitto.port}, MQTT 5",
        "  cameras  camera (images)",
    ]
    assert end[3].startswith("  coral    ")
    assert end[-3:] == [
        f"next: posed run --config {home / 'posed.yaml'}",
        "live view: off; `posed setup` offers it, and web.enabled in the file is its switch",
        f"test alarm: mosquitto_pub -h localhost -p {mosquitto.port} -t posed/hall/request/test_event -n",
    ]
    config = load(home / "posed.yaml", {})
    assert (config.device, config.mqtt.port) == ("hall", mosquitto.port)
    assert list(config.cameras) == ["camera"]
    assert (config.first.kind, config.first.source) == ("images", str(home / "room.png"))


def test_an_absent_broker_is_status_6_and_writes_nothing(home: Path) -> None:
    port = free_port()
    done = run_setup(home, "--broker", f"localhost:{port}", "--camera", "room.png")
    assert (done.returncode, done.stderr) == (6, f"mqtt localhost:{port}: connection refused\n")
    assert not (home / "posed.yaml").exists()


def test_what_is_at_its_default_is_not_written(home: Path, mosquitto: Mosquitto, flags_only: Setup) -> None:
    flags_only(mosquitto.port)
    settings = [line for line in (home / "posed.yaml").read_text().splitlines() if "#" not in line and line]
    assert settings == [
        "device: hall",
        "cameras:",
        "  camera:",
        "    kind: images",
        f"    source: {home / 'room.png'}",
        "mqtt:",
        f"  port: {mosquitto.port}",
    ]


def test_nothing_but_the_configuration_is_left_behind(
    home: Path, mosquitto: Mosquitto, flags_only: Setup
) -> None:
    flags_only(mosquitto.port)
    assert sorted(file.name for file in home.iterdir()) == ["posed.yaml", "room.png"]


def test_nothing_is_published_at_the_broker(mosquitto: Mosquitto, flags_only: Setup) -> None:
    with Subscriber(mosquitto.port) as subscriber:
        flags_only(mosquitto.port)
        publish(mosquitto.port, "end", b"", retain=False)
        subscriber.wait_for("end", b"")
        assert [message.topic for message in subscriber.messages] == ["end"]


def publish(port: int, topic: str, payload: bytes, *, retain: bool) -> None:
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(8)
    client.disconnect()
    client.loop_stop()


def test_a_broker_of_mqtt_3_1_1_is_named_so(
    tmp_path: Path, flags_only: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    with Amqtt(tmp_path) as broker:
        flags_only(broker.port)
    assert f"localhost:{broker.port}: connected with MQTT 3.1.1" in capsys.readouterr().out


def test_without_a_terminal_a_missing_camera_names_the_flag(mosquitto: Mosquitto, flags_only: Setup) -> None:
    if find_cameras():
        pytest.skip("this machine has a camera")
    with pytest.raises(ConfigError) as raised:
        flags_only(mosquitto.port, cameras=(), yes=True)
    rule = "give one with --camera KIND[:SOURCE] (--camera synthetic draws people)"
    assert raised.value.problems == (f"camera: none found; {rule}",)


def test_without_a_terminal_no_broker_says_what_helps(home: Path) -> None:
    done = run_setup(home, "--camera", "room.png", within=without_network())
    wanted = "give one with --broker HOST[:PORT], or install one here: sudo apt-get install mosquitto"
    assert (done.returncode, done.stderr) == (2, f"broker: none found by mDNS or on this machine; {wanted}\n")


def test_drawn_people_get_their_model_unless_one_is_given(
    home: Path, mosquitto: Mosquitto, flags_only: Setup
) -> None:
    flags_only(mosquitto.port, cameras=("synthetic",))
    assert load(home / "posed.yaml", {}).model.name == "drawings-257x353-16"
    flags_only(mosquitto.port, cameras=("synthetic",), model="drawings-257x353-8", force=True)
    assert load(home / "posed.yaml", {}).model.name == "drawings-257x353-8"


def test_the_live_view_and_its_pictures_have_flags(
    home: Path, mosquitto: Mosquitto, flags_only: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    flags_only(mosquitto.port, web="local", pictures="blurred")
    config = load(home / "posed.yaml", {})
    assert (config.web.enabled, config.web.is_local, config.privacy.pictures) == (True, True, "blurred")
    said = capsys.readouterr().out
    assert "live view: http://127.0.0.1:8460/ on this machine, once posed runs\n" in said
    assert re.search(r"  from another one: ssh -L 8460:localhost:8460 \S+@\S+, then open http", said)
    assert said.endswith("  or on the page: Set up, Send a test alarm\n")


def test_a_network_view_gets_a_token_that_no_log_has(
    home: Path, mosquitto: Mosquitto, flags_only: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    flags_only(mosquitto.port, web="network")
    web = load(home / "posed.yaml", {}).web
    assert (web.enabled, web.host) == (True, "0.0.0.0")
    assert "token: !secret web\n" in (home / "posed.yaml").read_text()
    assert web.token is not None
    said = capsys.readouterr().out
    assert web.token.get_secret_value() not in said
    assert f"http://{socket.gethostname()}.local:8460/?token=TOKEN (web in secrets.yaml) in your" in said


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"web": "yes"}, "--web: must be local, network or off, got 'yes'"),
        ({"pictures": "on"}, "--pictures: must be off, skeleton, blurred or full, got 'on'"),
    ],
)
def test_a_word_that_is_no_choice_is_told_first(
    given: dict[str, str], problem: str, flags_only: Setup
) -> None:
    with pytest.raises(ConfigError) as raised:
        flags_only(free_port(), **given)
    assert raised.value.problems == (problem,)


def test_an_absent_broker_is_kept_by_force(
    home: Path, flags_only: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    flags_only(port, force=True)
    assert "connection refused\nkept anyway (--force)\n" in capsys.readouterr().out
    assert load(home / "posed.yaml", {}).mqtt.port == port


def test_an_absent_camera_is_an_error_and_writes_nothing(
    home: Path, mosquitto: Mosquitto, flags_only: Setup
) -> None:
    with pytest.raises(CameraError, match=r"^camera /dev/video99: no such device$"):
        flags_only(mosquitto.port, cameras=("video:/dev/video99",))
    assert not (home / "posed.yaml").exists()


def test_a_bad_device_name_is_told_with_the_rule(mosquitto: Mosquitto, flags_only: Setup) -> None:
    with pytest.raises(ConfigError, match=r"^device: must be letters, digits, .*, got 'the hall'$"):
        flags_only(mosquitto.port, device="the hall")


def test_an_unknown_model_is_told_before_anything_else(flags_only: Setup) -> None:
    with pytest.raises(ModelError, match="did you mean coral-353x481"):
        flags_only(free_port(), model="coral-353x482")


def test_a_file_that_is_no_model_is_refused(home: Path, flags_only: Setup) -> None:
    with pytest.raises(ModelError, match=r"room\.png"):
        flags_only(free_port(), model="room.png")


def test_a_missing_model_is_reported_and_not_in_the_way(
    home: Path, mosquitto: Mosquitto, flags_only: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    flags_only(mosquitto.port, model="coral-481x641")
    assert "first: posed model pull coral-481x641\n" in capsys.readouterr().out
    assert load(home / "posed.yaml", {}).model.name == "coral-481x641"


@pytest.mark.parametrize("broker", ["", "b/c", "host:0", "host:x", "http://host", "mqtt://u:p@host"])
def test_what_is_no_broker_is_told_with_the_rule(broker: str, flags_only: Setup) -> None:
    with pytest.raises(ConfigError, match=r"^broker: must be HOST, HOST:PORT, or .* for TLS, got ") as raised:
        flags_only(broker=broker)
    assert "u:p" not in str(raised.value)


def test_a_name_that_is_online_already_is_warned_about(
    mosquitto: Mosquitto, flags_only: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(mosquitto.port, "posed/hall/availability", b"online", retain=True)
    flags_only(mosquitto.port)
    assert "device hall: is online at this broker already" in capsys.readouterr().out


def test_a_name_that_is_offline_is_free(
    mosquitto: Mosquitto, flags_only: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(mosquitto.port, "posed/hall/availability", b"offline", retain=True)
    flags_only(mosquitto.port)
    assert "already" not in capsys.readouterr().out


# Passwords and TLS


def test_a_password_file_is_used_and_only_named(home: Path, guarded: Mosquitto) -> None:
    (home / "password").write_text(CANARY + "\n")
    done = run_setup(home, *flags_for(guarded, "--username", "hall", "--password-file", "password"))
    assert done.returncode == 0
    assert CANARY not in (home / "posed.yaml").read_text() + done.stdout + done.stderr
    assert mqtt_password(load(home / "posed.yaml", {}).mqtt) == CANARY


def test_a_password_of_the_environment_is_used_and_stays_there(
    home: Path,
    guarded: Mosquitto,
    flags_only: Setup,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("POSED_MQTT__PASSWORD", CANARY)
    flags_only(guarded.port, username="hall")
    said = capsys.readouterr().out
    assert "the daemon needs POSED_MQTT__PASSWORD in its environment" in said
    assert CANARY not in (home / "posed.yaml").read_text() + said
    assert not (home / "secrets.yaml").exists()


def test_a_wrong_password_names_the_flags(
    guarded: Mosquitto, flags_only: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSED_MQTT__PASSWORD", "wrong")
    with pytest.raises(BrokerError) as raised:
        flags_only(guarded.port, username="hall")
    assert str(raised.value) == (
        f"mqtt localhost:{guarded.port}: connection refused by the broker: not authorized "
        "(see --username and --password-file)"
    )


def test_a_missing_password_file_is_told(guarded: Mosquitto, flags_only: Setup) -> None:
    with pytest.raises(ConfigError, match=r"^mqtt\.password_file: must be a readable text file, got "):
        flags_only(guarded.port, username="hall", password_file=Path("none"))


# paho does not close a socket whose handshake failed.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_a_broker_behind_tls_is_reached_with_its_authority(
    home: Path, tmp_path: Path, pki: Pki, flags_only: Setup
) -> None:
    with Mosquitto(tmp_path, pki=pki) as broker:
        with pytest.raises(BrokerError, match=r"\(see --tls\)$"):
            flags_only(broker.port)
        with pytest.raises(BrokerError, match=r"certificate not accepted: .* \(see --ca\)$"):
            flags_only(broker.port, tls=True)
        flags_only(broker.port, ca=pki.ca)
    assert load(home / "posed.yaml", {}).mqtt.tls == TlsConfig(ca=pki.ca)


# Files that are there


def test_an_existing_file_is_not_replaced_without_force(home: Path, flags_only: Setup) -> None:
    (home / "posed.yaml").write_text("device: old\n")
    with pytest.raises(ConfigError, match=r"exists already; --force replaces it .*, --camera alone adds"):
        flags_only(yes=True)
    assert (home / "posed.yaml").read_text() == "device: old\n"


def test_force_replaces_an_existing_file_and_keeps_it(
    home: Path, mosquitto: Mosquitto, flags_only: Setup
) -> None:
    (home / "posed.yaml").write_text("device: old\n")
    (home / "posed.yaml").chmod(0o640)
    flags_only(mosquitto.port, force=True)
    assert (home / "posed.yaml.bak").read_text() == "device: old\n"
    assert load(home / "posed.yaml", {}).device == "hall"
    assert (home / "posed.yaml").stat().st_mode & 0o777 == 0o640


def test_the_services_configuration_is_meant_where_it_is_there(
    home: Path, mosquitto: Mosquitto, flags_only: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = home / "etc" / "posed.yaml"
    service.parent.mkdir()
    service.write_text("device: old\n")
    monkeypatch.setattr("posed.commands.setup.dialog.SERVICE_CONFIG", service)
    flags_only(mosquitto.port, force=True)
    assert load(service, {}).device == "hall"
    assert not (home / "posed.yaml").exists()


def test_a_missing_folder_is_reported_before_any_question(flags_only: Setup) -> None:
    with pytest.raises(ConfigError, match=r"must be a file in a folder that is there and writable$"):
        flags_only(free_port(), path=Path("none/posed.yaml"))


def test_a_camera_url_with_a_password_goes_to_the_secrets(
    home: Path, mosquitto: Mosquitto, flags_only: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"rtsp://me:{CANARY}@127.0.0.1:{free_port()}/live"
    flags_only(mosquitto.port, cameras=(url,), force=True)
    assert CANARY not in (home / "posed.yaml").read_text() + capsys.readouterr().out
    assert load(home / "posed.yaml", {}).first.source == url


@pytest.mark.parametrize(("mode", "expected"), [(0o640, 0o640), (0o644, 0o600), (0o600, 0o600)])
def test_a_group_that_reads_the_configuration_reads_its_secrets(home: Path, mode: int, expected: int) -> None:
    path = home / "posed.yaml"
    path.touch()
    path.chmod(mode)
    write(path, {"mqtt.username": "hall", "mqtt.password": Secret("mqtt", "123")})
    assert path.stat().st_mode & 0o777 == mode
    assert path.with_name("secrets.yaml").stat().st_mode & 0o777 == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# mine\nother: kept\nmqtt: old\n", "# mine\nother: kept\nmqtt: '123'\n"),
        ("mqtt: |\n  over\n  lines\nother: kept\n", "mqtt: '123'\nother: kept\n"),
        ("", "mqtt: '123'\n"),
        ("\ufeffmqtt: old\n", "mqtt: '123'\n"),
    ],
)
def test_other_secrets_are_kept(home: Path, before: str, after: str) -> None:
    (home / "secrets.yaml").write_text(before)
    write(home / "posed.yaml", {"mqtt.username": "hall", "mqtt.password": Secret("mqtt", "123")})
    assert (home / "secrets.yaml").read_text() == after
    assert (home / "secrets.yaml").stat().st_mode & 0o777 == 0o600
    assert mqtt_password(load(home / "posed.yaml", {}).mqtt) == "123"


def test_what_is_not_good_replaces_nothing(home: Path) -> None:
    (home / "posed.yaml").write_text("device: old\n")
    with pytest.raises(ConfigError, match=r"^mqtt\.username: needed beside a password"):
        write(home / "posed.yaml", {"mqtt.password": Secret("mqtt", "123")})
    assert sorted(file.name for file in home.iterdir()) == ["posed.yaml", "room.png"]
    assert (home / "posed.yaml").read_text() == "device: old\n"


# Somebody at a terminal


def test_a_whole_run_at_a_terminal(home: Path, guarded: Mosquitto, mdns: Zeroconf) -> None:
    announce(mdns, guarded.port)
    with Terminal(home) as terminal:
        offered = terminal.answer("Broker: number", f"127.0.0.1:{free_port()}")
        assert "connection refused" in terminal.answer("Keep it anyway?", "n")
        offered = terminal.answer("Broker: number", number_of(f"127.0.0.1:{guarded.port}", offered))
        terminal.answer("User name", "hall")
        terminal.answer("Password", "wrong")
        terminal.answer("User name", "")
        terminal.answer("Password", CANARY)
        assert "connected with MQTT 5" in terminal.answer("Name of this device", "the hall")
        assert "must be letters" in terminal.answer("Name of this device", "hall")
        terminal.answer("Name of this camera", "the hall")
        assert "cameras.the hall: must be " in terminal.answer("Name of this camera", "hall")
        assert "synthetic" in terminal.answer("Camera: number", "/dev/video99")
        assert "no such device" in terminal.answer("Keep it anyway?", "n")
        terminal.answer("Camera: number", "room.png")
        assert "64×48 px" in terminal.answer("Is there another camera?", "y")
        terminal.answer("Name of this camera", "hall")
        assert "got hall twice" in terminal.answer("Name of this camera", "")
        terminal.answer("Camera: number", "synthetic:5")
        assert "640×480 px" in terminal.answer("Is there another camera?", "")
        assert "1  local  (for browsers on this" in terminal.answer("Live view: number", "internet")
        assert "must be local, network or off, got 'internet'" in terminal.answer("Live view: number", "2")
        assert "1  off  (no picture, ever" in terminal.answer("Pictures: number", "full")
        terminal.answer("Download it now?", "n")
        assert terminal.end() == 0
    assert "first: posed model pull coral-353x481" in terminal.text
    assert f"next: posed run --config {home}/posed.yaml" in terminal.text
    config = load(home / "posed.yaml", {})
    assert (config.device, config.mqtt.host, config.mqtt.port) == ("hall", "127.0.0.1", guarded.port)
    assert (config.mqtt.username, mqtt_password(config.mqtt)) == ("hall", CANARY)
    assert {name: camera.source for name, camera in config.cameras.items()} == {
        "hall": str(home / "room.png"),
        "camera": "5",
    }
    assert (home / "secrets.yaml").stat().st_mode & 0o777 == 0o600
    assert "password: !secret mqtt\n" in (home / "posed.yaml").read_text()
    assert CANARY not in terminal.text + (home / "posed.yaml").read_text()
    assert (config.web.host, config.privacy.pictures) == ("0.0.0.0", "full")
    assert config.web.token is not None
    assert f"?token={config.web.token.get_secret_value()} in your network" in terminal.text
    alarm = (
        f"mosquitto_pub -h 127.0.0.1 -p {guarded.port} -u hall -P PASSWORD -t posed/hall/request/test_event"
    )
    assert f"test alarm: {alarm} -n" in terminal.text


def test_without_broker_and_camera_there_is_still_something_to_see(home: Path) -> None:
    with Terminal(home, inside=without_network()) as terminal:
        assert "sudo apt-get install mosquitto" in terminal.answer("Broker: HOST[:PORT]", "")
        assert "no broker found, by mDNS or on this machine" in terminal.answer(
            "Broker: HOST[:PORT]", "localhost"
        )
        assert "mqtt localhost:1883: " in terminal.answer("Keep it anyway?", "y")
        terminal.answer("Name of this device", "hall")
        terminal.answer("Name of this camera", "")
        terminal.answer("Camera: ", "synthetic")
        terminal.answer("Is there another camera?", "")
        offered = terminal.answer("Model: number", "none.tflite")
        assert "1  drawings-257x353-16  (comes with posed, for drawn people, stride 16)" in offered
        assert "none.tflite" in terminal.answer("Model: number", "")
        terminal.answer("Live view: number", "")
        terminal.answer("Pictures: number", "")
        assert terminal.end() == 0
    assert "live view: http://127.0.0.1:8460/ on this machine" in terminal.text
    assert "broker   localhost:1883, no connection yet" in terminal.text
    config = load(home / "posed.yaml", {})
    assert (config.first.kind, config.model.name) == ("synthetic", "drawings-257x353-16")
    assert (config.mqtt.host, config.web.enabled) == ("localhost", True)


def test_a_camera_that_wants_a_login_is_asked_with_it(home: Path, mosquitto: Mosquitto) -> None:
    password = f"{CANARY}@/:#?%"
    camera = MjpegServer()
    camera.login, camera.still = f"me:{password}", jpeg(1)
    try:
        with Terminal(home, "--broker", f"localhost:{mosquitto.port}", "--device", "hall") as terminal:
            terminal.answer("Name of this camera", "porch")
            terminal.answer("Camera: number", camera.url("/snap.jpg", "me:wrong@"))
            assert "refuses the user or the password" in terminal.answer("User name at the camera", "me")
            terminal.answer("Password", password)
            assert "128×96 px" in terminal.answer("Is there another camera?", "n")
            terminal.answer("Live view: number", "off")
            terminal.answer("Download it now?", "n")
            assert terminal.end() == 0
    finally:
        camera.close()
    config = load(home / "posed.yaml", {}).cameras["porch"]
    assert (config.source, config.username) == (camera.url("/snap.jpg"), "me")
    assert config.password is not None
    assert config.password.get_secret_value() == password
    assert CANARY not in terminal.text + (home / "posed.yaml").read_text()
    assert "password: !secret camera_porch_password\n" in (home / "posed.yaml").read_text()


def number_of(address: str, offered: str) -> str:
    """Under which number the address was offered."""
    line = next(line for line in offered.splitlines() if f"//{address} " in line)
    return line.split()[0]


def test_tls_and_its_authority_are_asked_for_where_wanted(home: Path, tmp_path: Path, pki: Pki) -> None:
    with Mosquitto(tmp_path, pki=pki) as broker, Terminal(home, *flags_for(broker)) as terminal:
        terminal.answer("Try with TLS?", "y")
        assert "certificate not accepted" in terminal.answer("PEM file of the authority", "none.pem")
        assert "must be a readable PEM file" in terminal.answer("PEM file of the authority", str(pki.ca))
        terminal.answer("Live view: number", "off")
        terminal.answer("Download it now?", "n")
        assert terminal.end() == 0
    assert load(home / "posed.yaml", {}).mqtt.tls == TlsConfig(ca=pki.ca)


def test_a_taken_name_is_asked_again(home: Path, mosquitto: Mosquitto) -> None:
    publish(mosquitto.port, "posed/hall/availability", b"online", retain=True)
    with Terminal(home, *flags_for(mosquitto)) as terminal:
        assert "is online at this broker already" in terminal.answer("Use it anyway?", "n")
        terminal.answer("Name of this device", "attic")
        terminal.answer("Live view: number", "off")
        terminal.answer("Download it now?", "n")
        assert terminal.end() == 0
    assert load(home / "posed.yaml", {}).device == "attic"


def test_at_a_terminal_an_existing_file_is_asked_about(home: Path) -> None:
    (home / "posed.yaml").write_text("device: old\n")
    with Terminal(home) as terminal:
        assert "exists already, without a camera" in terminal.answer("Keep it, and add", "n")
        terminal.answer("exists already; replace it", "n")
        assert terminal.end() == 1
    assert (home / "posed.yaml").read_text() == "device: old\n"


def test_at_a_terminal_other_answers_mean_a_new_file(home: Path) -> None:
    (home / "posed.yaml").write_text("device: old\n")
    with Terminal(home, "--device", "new") as terminal:
        terminal.answer("exists already; replace it", "n")
        assert terminal.end() == 1


# Cameras of a configuration that is there


OWNERS: Final = """\
# Mine.
device: pi   # in the cupboard
cameras:
  hall:
    kind: images
    source: {picture}   # for now
    fps: 2
    zones: {{bed: {{polygon: [[0, 0], [1, 0], [1, 1]], kind: resting}}}}
    # people: {{fall_confirm_s: 20}}

mqtt: {{host: broker.test}}   # never asked here
"""


@pytest.fixture
def owners(home: Path) -> Path:
    """A configuration as its owner wrote it."""
    path = home / "posed.yaml"
    path.write_text(OWNERS.format(picture=home / "room.png"))
    return path


def add(path: Path, *cameras: str, **given: Any) -> None:
    setup(path, Given(cameras=cameras, **given))


def test_a_camera_is_added_and_all_else_stays(owners: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = owners.read_text()
    add(owners, "bath=synthetic:5")
    added = "  bath:\n    kind: synthetic\n    source: '5'\n"
    assert owners.read_text() == before.replace("\nmqtt:", f"{added}\nmqtt:")
    assert owners.with_name("posed.yaml.bak").read_text() == before
    assert "camera synthetic:5: gives frames of 640×480 px" in capsys.readouterr().out


def test_cameras_without_names_get_free_ones(owners: Path) -> None:
    add(owners, "synthetic", "camera2=synthetic:2", "synthetic:3")
    config = load(owners, {})
    assert list(config.cameras) == ["hall", "camera", "camera2", "camera3"]


def test_a_camera_that_is_changed_keeps_the_rest(owners: Path) -> None:
    before = owners.read_text()
    add(owners, "hall=synthetic", yes=True)
    lines = [line for line in before.splitlines() if "source" not in line]
    assert owners.read_text().splitlines() == [line.replace("images", "synthetic") for line in lines]
    assert load(owners, {}).first.zones.keys() == {"bed"}


def test_a_camera_in_one_line_is_changed_there(home: Path) -> None:
    path = home / "posed.yaml"
    path.write_text("device: pi\ncameras: {hall: {kind: video, source: 0, fps: 9}}   # mine\n")
    add(path, "hall=synthetic", f"bath={home}/room.png", yes=True)
    assert path.read_text() == (
        "device: pi\ncameras: {hall: {kind: synthetic, fps: 9}, "
        f"bath: {{kind: images, source: {home}/room.png}}}}   # mine\n"
    )


@pytest.mark.parametrize("before", ["device: pi\n", "device: pi", "cameras:\ndevice: pi\n"])
def test_a_file_without_cameras_gets_its_first(home: Path, before: str) -> None:
    path = home / "posed.yaml"
    path.write_text(before)
    add(path, "hall=synthetic")
    config = load(path, {})
    assert (config.device, list(config.cameras)) == ("pi", ["hall"])


def test_a_file_that_cannot_be_edited_stays(home: Path) -> None:
    path = home / "posed.yaml"
    path.write_text("device: pi\ncameras: null\n")
    with pytest.raises(ConfigError, match=r"must have its cameras below `cameras:`, a setting a line"):
        add(path, "hall=synthetic")
    assert path.read_text() == "device: pi\ncameras: null\n"


def test_each_camera_has_secrets_of_its_own(owners: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urls = {name: f"rtsp://me:{CANARY}{name}@127.0.0.1:{free_port()}/live" for name in ("a", "b")}
    owners.with_name("secrets.yaml").write_text("mqtt: mine\n")
    owners.write_text(owners.read_text().replace("broker.test", "x, username: me, password: !secret mqtt"))
    add(owners, *(f"{name}={url}" for name, url in urls.items()), force=True)
    config = load(owners, {})
    assert {name: config.cameras[name].source for name in urls} == urls
    assert mqtt_password(config.mqtt) == "mine"
    assert owners.with_name("secrets.yaml").stat().st_mode & 0o777 == 0o600
    assert CANARY not in owners.read_text() + capsys.readouterr().out


def test_adding_a_camera_leaves_its_secrets_file_alone(owners: Path) -> None:
    secrets = owners.with_name("secrets.yaml")
    secrets.write_text("mqtt: mine  # by hand\n")
    owners.write_text(owners.read_text().replace("broker.test", "x, username: me, password: !secret mqtt"))
    before = secrets.stat()
    add(owners, "bath=synthetic")
    assert secrets.read_text() == "mqtt: mine  # by hand\n"
    assert secrets.stat().st_ino == before.st_ino


def test_a_camera_that_fails_its_test_is_not_added(owners: Path) -> None:
    before = owners.read_text()
    with pytest.raises(CameraError, match=r"^camera /dev/video99: no such device$"):
        add(owners, "good=synthetic", "bath=video:/dev/video99")
    assert owners.read_text() == before


def test_a_failing_camera_is_added_by_force(owners: Path) -> None:
    add(owners, "bath=video:/dev/video99", force=True)
    assert list(load(owners, {}).cameras) == ["hall", "bath"]


def test_a_device_of_another_camera_is_refused(home: Path) -> None:
    path = home / "posed.yaml"
    path.write_text("cameras: {hall: {kind: video, source: 7}}\n")
    with pytest.raises(ConfigError) as raised:
        add(path, "bath=/dev/video7", force=True)
    rule = "must be another device than that of cameras.hall, which opens once only"
    assert raised.value.problems == (f"cameras.bath.source: {rule}, got /dev/video7",)


@pytest.mark.parametrize(
    ("cameras", "problem"),
    [
        (("a=synthetic", "a=synthetic:1"), "--camera: must name each camera once, got a 2 times"),
        (
            ("Hall=synthetic",),
            "cameras.Hall: must be 1 to 32 small letters, digits and _ (it is one level of",
        ),
        (("state=synthetic",), "cameras.state: must be none of availability, state, "),
        (("=synthetic",), "cameras.: must be 1 to 32 small letters"),
    ],
)
def test_a_name_that_cannot_be_is_told_first(owners: Path, cameras: tuple[str, ...], problem: str) -> None:
    before = owners.read_text()
    with pytest.raises(ConfigError) as raised:
        add(owners, *cameras)
    assert str(raised.value).startswith(problem)
    assert owners.read_text() == before


def test_a_file_that_is_not_good_gets_no_camera(home: Path) -> None:
    (home / "posed.yaml").write_text("camera: {kind: synthetic}\n")
    with pytest.raises(ConfigError, match=r"^camera: cameras have names now, write "):
        add(home / "posed.yaml", "bath=synthetic")


def test_an_equals_sign_in_a_url_begins_no_name(home: Path, mosquitto: Mosquitto, flags_only: Setup) -> None:
    url = f"http://127.0.0.1:{free_port()}/user=admin"
    flags_only(mosquitto.port, cameras=(url,), force=True)
    assert load(home / "posed.yaml", {}).cameras["camera"].source == url


def test_a_drawn_model_before_a_real_camera_is_warned_of(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "posed.yaml"
    path.write_text("model: {name: drawings-257x353-16}\ncameras: {hall: {kind: synthetic}}\n")
    add(path, f"bath={home}/room.png")
    assert "hardly sees real ones; take another, such as coral-353x481" in capsys.readouterr().out


def test_a_file_without_settings_needs_no_force(home: Path, mosquitto: Mosquitto, flags_only: Setup) -> None:
    (home / "posed.yaml").write_text("# as the package brings it\n{}\n")
    flags_only(mosquitto.port)
    assert load(home / "posed.yaml", {}).device == "hall"


def test_cameras_in_use_are_not_offered_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = [FoundCamera(f"video:/dev/video{number}", "C920") for number in (90, 92)]
    monkeypatch.setattr("posed.commands.setup.camera.find_cameras", lambda: there)
    path = home / "posed.yaml"
    path.write_text("cameras: {hall: {kind: video, source: 90}}\n")
    question = CameraQuestion(
        Given(), Answers(), Prompt(interactive=False, force=True), load(path, {}).cameras
    )
    question.ask_all()
    assert question.kinds == {"video"}
    assert {device_of(camera) for camera in question.cameras.values()} == {"/dev/video90", "/dev/video92"}


AI_CAMERA = FoundCamera("imx500:0", "Raspberry Pi AI Camera")
OTHER_PI_CAMERA = FoundCamera("picamera2:1", "Pi camera imx708")


@pytest.mark.parametrize(
    ("hall", "free"),
    [
        ({"kind": "imx500"}, [OTHER_PI_CAMERA]),
        ({"kind": "imx500", "source": "0"}, [OTHER_PI_CAMERA]),
        ({"kind": "picamera2", "source": "0"}, [OTHER_PI_CAMERA]),
        ({"kind": "picamera2", "source": "1"}, [AI_CAMERA]),
        ({"kind": "synthetic"}, [AI_CAMERA, OTHER_PI_CAMERA]),
    ],
)
def test_a_pi_camera_in_use_is_not_offered_again(hall: dict[str, str], free: list[FoundCamera]) -> None:
    assert free_cameras([AI_CAMERA, OTHER_PI_CAMERA], [CameraConfig.model_validate(hall)]) == free


def test_the_first_ai_camera_is_known_where_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posed.commands.setup.find.find_cameras", lambda: [AI_CAMERA, OTHER_PI_CAMERA])
    path = home / "posed.yaml"
    path.write_text("cameras: {hall: {kind: picamera2, source: 0}}\n")
    with pytest.raises(ConfigError) as raised:
        add(path, "bath=imx500", force=True)
    assert raised.value.problems[0].endswith("cameras.hall, which opens once only, got Pi camera 0")


def test_at_a_terminal_a_camera_is_changed_only_if_wanted(owners: Path) -> None:
    with Terminal(owners.parent) as terminal:
        assert "with the camera hall" in terminal.answer("Keep it, and add or change a camera?", "")
        terminal.answer("Name of this camera", "hall")
        terminal.answer("camera hall: is there already (images); change it?", "")
        terminal.answer("Name of this camera", "")
        terminal.answer("Camera: number", "synthetic")
        terminal.answer("Is there another camera?", "y")
        terminal.answer("Name of this camera", "hall")
        terminal.answer("change it?", "y")
        terminal.answer("Camera: number", "synthetic:3")
        terminal.answer("Is there another camera?", "")
        assert terminal.end() == 0
    config = load(owners, {})
    assert {name: (camera.source, camera.fps) for name, camera in config.cameras.items()} == {
        "hall": ("3", 2),
        "camera": ("", 30),
    }
    assert "never asked here" in owners.read_text()
