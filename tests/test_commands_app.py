"""posed as an app of Home Assistant: its broker from the Supervisor, and the command that the image runs."""

from __future__ import annotations

import signal
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from posed.commands.app.broker import RETRY_S, Broker, wait_for_broker
from posed.errors import BrokerError, ConfigError
from posed.service.heartbeat import heartbeat_files, silence
from scripts.ports import free_port
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.run_app import App
from tests.supervisor import Supervisor

MOSQUITTO = {
    "host": "core-mosquitto",
    "port": 1883,
    "ssl": False,
    "protocol": "3.1.1",
    "addon": "core_mosquitto",
}
LOGIN = {"username": "addons", "password": "secret"}


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor(free_port()) as running:
        yield running


def too_long(_seconds: float) -> None:
    raise TimeoutError


def asked(supervisor: Supervisor, wait: Any = too_long, **more: Any) -> Broker:
    """The broker that it tells of; whoever has to wait fails, unless they say how."""
    return wait_for_broker(supervisor.url, {"SUPERVISOR_TOKEN": supervisor.token}, wait, **more)


def test_the_broker_is_the_services(supervisor):
    supervisor.broker = MOSQUITTO | LOGIN
    assert asked(supervisor) == Broker("core-mosquitto", 1883, "addons", "secret")


def test_a_broker_without_users_and_with_tls(supervisor):
    supervisor.broker = MOSQUITTO | {"ssl": True, "port": 8883}
    assert asked(supervisor) == Broker("core-mosquitto", 8883, ssl=True)


def test_a_broker_that_comes_later_is_waited_for(supervisor, caplog):
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            supervisor.broker = MOSQUITTO

    alive: list[int] = []
    assert asked(supervisor, wait, alive=lambda: alive.append(1)).host == "core-mosquitto"
    assert (waits, supervisor.asked, len(alive)) == ([RETRY_S] * 3, 4, 4)
    assert [record.message for record in caplog.records] == [
        "no MQTT broker yet: install and start the app Mosquitto broker, or set mqtt.host in the options of "
        "this app; waiting for one (the Supervisor: status 400: Service not enabled)"
    ]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_supervisor_that_is_not_ready_is_waited_for(supervisor, status):
    supervisor.status, supervisor.broker = status, MOSQUITTO

    def wait(_seconds: float) -> None:
        supervisor.status = None

    assert asked(supervisor, wait).host == "core-mosquitto"


def test_a_supervisor_that_is_not_there_is_waited_for(caplog):
    with pytest.raises(TimeoutError):
        wait_for_broker(f"http://127.0.0.1:{free_port()}", {"SUPERVISOR_TOKEN": "x"}, too_long)
    assert "(the Supervisor: Connection refused)" in caplog.text


def test_a_token_that_is_refused_ends_it(supervisor):
    supervisor.broker = MOSQUITTO | LOGIN
    with pytest.raises(BrokerError, match=r"^broker: the Supervisor does not say which \(status 403\)$"):
        wait_for_broker(supervisor.url, {"SUPERVISOR_TOKEN": "wrong"}, too_long)


def test_without_a_token_nobody_is_asked(supervisor):
    with pytest.raises(ConfigError, match=r"^SUPERVISOR_TOKEN: must be set, got nothing"):
        wait_for_broker(supervisor.url, {})
    assert supervisor.asked == 0


@pytest.mark.parametrize("token", ["abc\ndef", "abc\n", "käse", "a b"])
def test_a_token_that_no_header_takes_is_told(token):
    with pytest.raises(ConfigError, match=r"^SUPERVISOR_TOKEN: must be letters, digits and signs"):
        wait_for_broker("http://127.0.0.1:1", {"SUPERVISOR_TOKEN": token}, too_long)


@pytest.mark.parametrize(
    "url",
    [
        "http://x:abc",
        "http://x:99999",
        "http://[::1",
        "http://",
        "supervisor",
        "ftp://x",
        "http://a..b",
        "http://a b",
    ],
)
def test_a_url_that_is_none_is_told(url):
    with pytest.raises(ConfigError) as raised:
        wait_for_broker(url, {"SUPERVISOR_TOKEN": "x"}, too_long)
    assert str(raised.value) == "--supervisor: must be a URL, such as http://supervisor, got other text"


def test_a_supervisor_may_have_an_ipv6_address():
    with pytest.raises(TimeoutError):
        wait_for_broker(f"http://[::1]:{free_port()}", {"SUPERVISOR_TOKEN": "x"}, too_long)


@pytest.mark.parametrize(
    ("broker", "problem"),
    [
        ({}, "host: must be there, got nothing; port: must be there, got nothing"),
        ({"host": "x"}, "port: must be there, got nothing"),
        ({"host": "", "port": 1883}, "host: must be there, got nothing"),
        ({"host": 1, "port": 1883}, "host: must be text, got something else"),
        ({"host": "x", "port": "1883"}, "port: must be a whole number, got '1883'"),
        ({"host": "x", "port": True}, "port: must be a whole number, got True"),
        ({"host": "x", "port": 99999}, "port: must be at most 65535, got 99999"),
        ({"host": "x", "port": 1883, "username": 5}, "username: must be text, got something else"),
        (
            {"host": "x", "port": 1883, "username": "u", "password": 55},
            "password: must be text, got something else",
        ),
    ],
)
def test_an_answer_without_a_broker_ends_it(supervisor, broker, problem):
    supervisor.broker = broker
    with pytest.raises(BrokerError) as raised:
        asked(supervisor)
    assert str(raised.value) == f"broker: the Supervisor's answer: {problem}"


def test_a_password_without_a_user_is_left_out(supervisor):
    supervisor.broker = MOSQUITTO | {"username": "", "password": "x"}
    assert asked(supervisor) == Broker("core-mosquitto", 1883)


class Line:
    """A server that answers one visitor, and then drips.

    Args:
        answer: what comes first.
        drop: what comes then every 50 ms, for 10 s or until the visitor is gone; empty: nothing more.
    """

    def __init__(self, answer: bytes, drop: bytes = b"") -> None:
        self._answer, self._drop = answer, drop
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Line:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)
        self._socket.close()

    def _serve(self) -> None:
        visitor, _ = self._socket.accept()
        with visitor, suppress(OSError):
            visitor.recv(4096)
            visitor.sendall(self._answer)
            for _ in range(200 if self._drop else 0):
                if self._over.wait(0.05):
                    break
                visitor.sendall(self._drop)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"[" * 60_000])
def test_an_answer_that_is_no_json_object_is_waited_for(caplog, body):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with Line(head + body) as line, pytest.raises(TimeoutError):
        wait_for_broker(line.url, {"SUPERVISOR_TOKEN": "x"}, too_long)
    assert "(the Supervisor: status 200, but no JSON object)" in caplog.text


@pytest.mark.parametrize(
    ("head", "drop"),
    [(b"HTTP/1.1 200 OK\r\nX: ", b"x"), (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" ")],
    ids=["head", "body"],
)
def test_an_answer_that_drips_has_a_deadline(caplog, head, drop):
    with Line(head, drop) as line, pytest.raises(TimeoutError):
        wait_for_broker(line.url, {"SUPERVISOR_TOKEN": "x"}, too_long, timeout_s=0.5)
    assert "(the Supervisor: TimeoutError)" in caplog.text


# The command


def test_it_runs_with_the_broker_of_the_supervisor(tmp_path, supervisor):
    app = App(tmp_path, supervisor)
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        supervisor.broker = MOSQUITTO | {"host": "127.0.0.1", "port": broker.port}
        with app.running() as process:
            subscriber.wait_for("posed/posed/availability", b"online", 60)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    assert {"options.json", "spool.sqlite", "timeline.sqlite"} <= {file.name for file in app.data.iterdir()}


def test_options_are_read_again_with_each_start(tmp_path, supervisor):
    app = App(tmp_path, supervisor)
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        supervisor.broker = MOSQUITTO | {"host": "127.0.0.1", "port": broker.port}
        with app.running():
            subscriber.wait_for("posed/posed/availability", b"online", 60)
            app.set(device="other")
            subscriber.publish("posed/posed/request/restart", b"{}")
            subscriber.wait_for("posed/other/availability", b"online", 60)
    assert supervisor.asked == 2


def test_waiting_for_a_broker_is_healthy_and_ends_at_once(tmp_path, supervisor):
    app = App(tmp_path, supervisor)
    with app.running() as process:
        eventually(lambda: "waiting for one" in app.log.read_text(), 30)
        assert silence(heartbeat_files(app.data)) == ""
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 0
    assert app.log.read_text().endswith("stopping on SIGTERM\n")


def test_nobody_else_reads_the_configuration_that_is_made(tmp_path, supervisor):
    app = App(tmp_path, supervisor, mqtt={"host": "127.0.0.1", "port": 1})
    with app.running():
        eventually(app.made.exists, 60)
    assert stat.S_IMODE(app.made.parent.stat().st_mode) == 0o700
    assert supervisor.asked == 0


def test_a_broker_in_the_owners_file_needs_no_supervisor(tmp_path):
    app = App(tmp_path, None)
    app.write({"mqtt": {"host": "127.0.0.1", "port": 1}, "cameras": {"hall": {"kind": "picamera"}}})
    status, said = app.ended()
    assert (status, said.count("\n")) == (2, 1)
    assert said.startswith("cameras.hall.kind: must be picamera2, imx500, video, images or synthetic")


@pytest.mark.parametrize(
    ("options", "status", "line"),
    [
        ({"pictures": "some"}, 2, "options.pictures: must be off, skeleton, blurred or full, got 'some'\n"),
        (
            {},
            2,
            "SUPERVISOR_TOKEN: must be set, got nothing: Home Assistant's Supervisor sets it for its apps\n",
        ),
    ],
)
def test_what_cannot_be_used_has_a_line_and_a_status(tmp_path, options, status, line):
    assert App(tmp_path, None, **options).ended() == (status, line)


def test_options_that_nest_too_deeply_have_a_line(tmp_path):
    app = App(tmp_path, None)
    (app.data / "options.json").write_text("[" * 100_000)
    problem = f"{app.data / 'options.json'}: must be JSON that is not nested too deeply\n"
    assert app.ended() == (2, problem)


def test_a_setting_of_the_options_is_said_to_be_theirs(tmp_path):
    camera = {"name": "desk", "url": "rtsp://me@192.0.2.20/", "username": "you"}
    app = App(tmp_path, None, mqtt={"host": "a b"}, cameras=[camera])
    app.write({"people": {"fall_confirm_s": "x"}})
    status, said = app.ended()
    ours = {
        line.partition(":")[0]: line.endswith(" (set by the app's options)") for line in said.splitlines()
    }
    assert (status, ours) == (
        2,
        {"mqtt.host": True, "people.fall_confirm_s": False, "cameras.desk.username": True},
    )


def test_a_refusal_of_the_supervisor_has_its_status(tmp_path, supervisor):
    app = App(tmp_path, supervisor)
    supervisor.token, supervisor.status = "x", 403
    assert app.ended() == (6, "broker: the Supervisor does not say which (status 403)\n")


def test_an_owners_file_that_cannot_be_looked_at_is_told(tmp_path):
    app = App(tmp_path, None)
    own = app.config / "posed.yaml"
    own.unlink()
    own.symlink_to(own.name)
    status, said = app.ended()
    assert (status, f"{own}: must be a readable YAML file (" in said) == (2, True)


def test_a_secret_in_the_owners_file_is_beside_it(tmp_path):
    app = App(tmp_path, None)
    (app.config / "posed.yaml").write_text("mqtt: {host: x, username: y, password: !secret mqtt}\n")
    status, said = app.ended()
    assert (status, f"!secret mqtt: must be in {app.config / 'secrets.yaml'}" in said) == (2, True)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    app = App(tmp_path, None, mqtt={"host": "x"})
    app.made = Path("/dev/null/posed/posed.yaml")
    status, said = app.ended()
    assert (status, "must be a file that can be written" in said) == (2, True)
