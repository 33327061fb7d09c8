"""A secret is nowhere to be seen: not in the log, the messages, the commands' output, or a process."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from posed.config import TlsConfig, load
from posed.config.settings import ANY, known_settings
from posed.config.tree import nest
from posed.errors import ConfigError
from posed.service.check import check
from tests.brokers import Mosquitto, Subscriber, eventually, free_port
from tests.make_tflite import make_tflite
from tests.run_posed import Daemon, posed
from tests.systemd import Listener

CANARY = "c4nary-in-the-mine"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder, users={"posed": CANARY, "watcher": "seen"}) as mosquitto:
        yield mosquitto


@pytest.fixture
def address() -> Iterator[str]:
    """Of a camera on the network that lets everybody in and says nothing."""
    guests = []

    def welcome() -> None:
        while True:
            try:
                guests.append(server.accept()[0])
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=welcome, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for guest in guests:
        guest.close()


@pytest.fixture
def settings(tmp_path: Path, broker: Mosquitto, address: str) -> dict[str, Any]:
    (tmp_path / "red.tflite").write_bytes(make_tflite())
    return {
        "device": "hall",
        "cameras": {
            "camera": {"kind": "video", "source": f"rtsp://me:{CANARY}@{address}/live", "timeout_s": 1}
        },
        "model": {"name": str(tmp_path / "red.tflite")},
        "mqtt": {"host": "127.0.0.1", "port": broker.port, "username": "posed", "password": CANARY},
        "web": {"enabled": True, "port": free_port(), "token": CANARY},
        "log": {"level": "debug"},
    }


def seen_of(pid: int) -> bytes:
    """What other users see of a process."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "comm", "status"))


def show_token(port: int, token: str) -> None:
    """In an address, as a browser does at first."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", f"/?token={token}")
    assert connection.getresponse().status in {303, 401}
    connection.close()


def test_the_daemon_shows_no_secret(tmp_path, broker, settings):
    with (
        Subscriber(broker.port, username="watcher", password="seen") as subscriber,
        Listener(tmp_path) as systemd,
        Daemon(tmp_path, settings, systemd.environment()) as daemon,
    ):
        subscriber.wait_for("posed/hall/availability", b"online", 60)
        eventually(lambda: b"127.0.0.1" in b"".join(subscriber.payloads("posed/hall/camera/state")), 60)
        subscriber.publish("posed/hall/request/info", b'{"transaction": "1"}')
        eventually(lambda: subscriber.payloads("posed/hall/response/info"), 60)
        for token in (CANARY, f"wrong-{CANARY}"):
            show_token(settings["web"]["port"], token)
        # A reload that changes the password, and one that is refused beside it.
        for change in ({"password": f"new-{CANARY}"}, {"password": [CANARY]}):
            daemon.config.write_text(yaml.safe_dump(settings | {"mqtt": settings["mqtt"] | change}))
            os.kill(daemon.process.pid, 1)
            eventually(lambda: "reload" in daemon.log(), 60)
        eventually(lambda: "not reloaded" in daemon.log(), 60)
        shown = seen_of(daemon.process.pid)
        daemon.process.terminate()
        assert daemon.wait() == 0
        shown += b"".join(message.payload for message in subscriber.messages)
    shown += (daemon.log() + "\n".join(systemd.messages)).encode()
    assert b"waiting for camera camera" in shown
    assert b"live view: a wrong token from 127.0.0.1" in shown
    assert b"needs a restart: mqtt.password" in shown
    assert CANARY.encode() not in shown


@pytest.mark.parametrize("command", [("check",), ("doctor",), ("doctor", "--json")])
@pytest.mark.parametrize("wrong", [False, True])
def test_no_command_shows_one(tmp_path, settings, command, wrong):
    if wrong:
        settings["mqtt"] |= {"password": {"nested": CANARY}, "port": CANARY[:0]}
        settings["web"] |= {"token": {"nested": CANARY}}
    path = tmp_path / "posed.yaml"
    path.write_text(yaml.safe_dump(settings))
    done = posed(tmp_path, *command, "--config", path, timeout_s=120)
    assert (
        "mqtt.password: " if wrong else "good" if command == ("check",) else "broker"
    ) in done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_the_environments_secret_is_not_shown_either(tmp_path, settings):
    settings["mqtt"].pop("password")
    path = tmp_path / "posed.yaml"
    path.write_text(yaml.safe_dump(settings))
    more = {"POSED_MQTT__PASSWORD": CANARY, "POSED_CAMERAS__CAMERA__FPS": "0"}
    done = posed(tmp_path, "check", "--config", path, more=more)
    assert done.returncode == 2
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        (CANARY, "got a single value"),
        (f"- {CANARY}", "got a list"),
        (f"mqtt: !{CANARY}", "no such tag"),
        (f"mqtt: *{CANARY}", "aliases are not allowed"),
        (f"mqtt: &{CANARY}\nweb: &{CANARY}", "aliases are not allowed"),
        (f"mqtt: !!int {CANARY}", "must be a value of its type"),
        (f"mqtt: !!timestamp {CANARY}", "must be a value of its type"),
        (f"mqtt: {{{CANARY}: 1}}", "must be text in"),
        (f"mqtt: {CANARY}: {CANARY}", "mapping values are not allowed here"),
        (f"mqtt: '{CANARY}", "found unexpected end of stream"),
        (f"mqtt: {CANARY}\n\0", "must be YAML"),
    ],
)
def test_a_broken_file_of_secrets_shows_none(tmp_path, settings, secrets, said):
    settings["mqtt"]["password"] = "@"
    path = tmp_path / "posed.yaml"
    path.write_text(yaml.safe_dump(settings).replace("password: '@'", "password: !secret mqtt"))
    (tmp_path / "secrets.yaml").write_text(secrets)
    done = posed(tmp_path, "check", "--config", path)
    assert done.returncode == 2
    assert said in done.stderr
    assert CANARY not in done.stdout + done.stderr


URL = f"rtsp://me:{CANARY}@camera/live?key={CANARY}"


def of_hall(where: tuple[str, ...]) -> tuple[str, ...]:
    """The setting of a camera that has a name."""
    return tuple("hall" if part == ANY else part for part in where)


SECTIONS = (
    *("camera", "cameras", "cameras.hall", "cameras.hall.zones", "cameras.hall.people"),
    *("mqtt", "web", "people", "mqtt.tls", "mqtt.poses"),
)


def odd_places() -> Iterator[str]:
    """Configurations with a secret, or a URL that holds one, where it does not belong."""
    places = [of_hall(name) for name in known_settings() if name not in SECRET_OR_FREE]
    for odd in (URL, f"http://camera/?password={CANARY}", [URL], {URL: URL}):
        yield from (yaml.safe_dump(nest(name, odd)) for name in places)
    for name in places:
        if name not in PATHS:
            yield yaml.safe_dump(nest(name, f"me:{CANARY}@camera"))
            for odd in ("!secret it", "[!secret it]", "{a: !secret it}"):
                yield yaml.safe_dump(nest(name, "@")).replace("'@'", odd)
    for section in SECTIONS:
        for odd in (CANARY, [CANARY], [[CANARY]]):
            yield yaml.safe_dump(nest(tuple(section.split(".")), odd))
    yield f"'{URL}': 1"
    yield f"'{URL}': 1\n'{URL}': 2"
    yield f"cameras: {{hall: {{kind: images, source: '{URL}'}}}}"
    yield f"cameras: {{hall: {{kind: picamera2, source: '{URL}'}}}}"
    yield f"mqtt: {{username: a, password_file: {CANARY}}}"


SECRET_OR_FREE = {
    *(("cameras", ANY, name) for name in ("source", "username", "password")),
    *(("mqtt", name) for name in ("username", "password")),
    ("web", "token"),
}
"""Where a secret is right, and where any text is."""

PATHS = {
    ("model", "name"),
    ("mqtt", "password_file"),
    *(("mqtt", "tls", name) for name in TlsConfig.model_fields),
}
"""Where any text may be a file's name, and is shown where there is none."""


def test_no_odd_place_shows_a_secret(tmp_path):
    (tmp_path / "secrets.yaml").write_text(f"it: {CANARY} of it")
    path, refused = tmp_path / "posed.yaml", 0
    for text in odd_places():
        path.write_text(text)
        with pytest.raises(ConfigError) as raised:
            check(load(path, {}))
        assert CANARY not in str(raised.value), text
        refused += 1
    assert refused > 300


@pytest.mark.parametrize("source", [["rtsp://me:{}@host/"], "rtsp://me:{}@host/" + "x" * 5000])
def test_a_wrong_source_does_not_show_its_password(tmp_path, settings, source):
    text = yaml.safe_dump(settings | {"cameras": {"hall": {"kind": "video", "source": source}}})
    path = tmp_path / "posed.yaml"
    path.write_text(text.replace("{}", CANARY))
    done = posed(tmp_path, "check", "--config", path)
    assert "cameras.hall.source: must be " in done.stderr
    assert CANARY not in done.stdout + done.stderr
