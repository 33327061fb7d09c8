"""Real brokers for tests, mosquitto and amqtt on free ports, and a subscriber to watch them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties

from scripts.ports import free_port

# Debian puts mosquitto where the PATH of a user does not look.
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def require_mosquitto() -> str:
    """The path of mosquitto; without it the test is skipped, but in CI it fails."""
    if MOSQUITTO is None or shutil.which("mosquitto_passwd") is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("needs mosquitto and mosquitto_passwd (Debian: mosquitto), which are not installed")
    return str(MOSQUITTO)


def eventually(condition: Callable[[], object], timeout_s: float = 8) -> None:
    """Waits until the condition holds; fails the test where it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"did not come to hold within {timeout_s} s"
        time.sleep(0.005)


class _Process:
    """A broker in a process of its own."""

    def __init__(self, command: list[str], log: Path, port: int) -> None:
        self.port = port
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it takes connections."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        self._wait_until_listening(60)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def pause(self) -> None:
        """It keeps its connections and hears nothing, as a machine that hangs."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _wait_until_listening(self, timeout_s: float) -> None:
        try:
            eventually(self._listening, timeout_s)
        except AssertionError:
            self.stop()
            raise

    def _listening(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the broker ended: {self.log()}"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True)
class Pki:
    """A private authority, a certificate for localhost, and one for a client; `other_ca` signed neither."""

    ca: Path
    other_ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    @classmethod
    def make(cls, folder: Path) -> Pki:
        """Signed by the openssl command.

        The certificate is for the name localhost and not for its address.
        """
        _self_signed(folder / "ca")
        _self_signed(folder / "other")
        _signed(folder / "server", folder / "ca", "subjectAltName=DNS:localhost")
        _signed(folder / "client", folder / "ca", "extendedKeyUsage=clientAuth")
        names = ("ca.pem", "other.pem", "server.pem", "server.key", "client.pem", "client.key")
        return cls(*(folder / name for name in names))


_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _self_signed(name: Path) -> None:
    files = ("-keyout", name.with_suffix(".key"), "-out", name.with_suffix(".pem"))
    _openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN=test {name.name}", *files)


def _signed(name: Path, ca: Path, extension: str) -> None:
    request, extensions = name.with_suffix(".csr"), name.with_suffix(".ext")
    extensions.write_text(extension)
    _openssl(
        *("req", *_NEW_KEY, "-subj", f"/CN={name.name}", "-keyout", name.with_suffix(".key"), "-out", request)
    )
    _openssl(
        *("x509", "-req", "-in", request, "-CA", ca.with_suffix(".pem"), "-CAkey", ca.with_suffix(".key")),
        *("-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", name.with_suffix(".pem")),
    )


class Mosquitto(_Process):
    """mosquitto on 127.0.0.1, without persistence.

    Args:
        folder: for its files.
        users: names and passwords; anybody may connect when None.
        pki: serves TLS with it.
        client_certificates: whether a client needs one of the authority.
        lines: more of mosquitto.conf.
        port: a free one when None.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: dict[str, str] | None = None,
        pki: Pki | None = None,
        client_certificates: bool = False,
        lines: tuple[str, ...] = (),
        port: int | None = None,
    ) -> None:
        port = port or free_port()
        self._passwords = folder / "passwords"
        settings = [
            *("log_dest stderr", "log_type all", "persistence false", f"listener {port} 127.0.0.1"),
            f"allow_anonymous {str(users is None).lower()}",
        ]
        if os.geteuid() == 0:
            settings.append("user root")
        if users is not None:
            settings.append(f"password_file {self._passwords}")
            self._passwords.touch(mode=0o600)
            for name, password in users.items():
                self._set_password(name, password)
        if pki is not None:
            settings += [f"cafile {pki.ca}", f"certfile {pki.server}", f"keyfile {pki.server_key}"]
            settings.append(f"require_certificate {str(client_certificates).lower()}")
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text("\n".join([*settings, *lines, ""]))
        super().__init__(
            [require_mosquitto(), "-c", str(self._configuration)], folder / "mosquitto.log", port
        )

    def change(self, before: str, after: str) -> None:
        """Changes its settings from the next start on."""
        settings = self._configuration.read_text()
        assert before in settings
        self._configuration.write_text(settings.replace(before, after))

    def set_password(self, name: str, password: str) -> None:
        """Changes a password while the broker runs."""
        self._set_password(name, password)
        self.signal(signal.SIGHUP)

    def _set_password(self, name: str, password: str) -> None:
        command = ["mosquitto_passwd", "-b", str(self._passwords), name, password]
        subprocess.run(command, check=True, capture_output=True)


class ConfiguredMosquitto(_Process):
    """mosquitto with a configuration as an owner would write it, but for its port.

    Args:
        folder: for its files.
        text: of mosquitto.conf, with `listener 1883`.
    """

    def __init__(self, folder: Path, text: str) -> None:
        port = free_port()
        assert "listener 1883" in text
        configuration = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        configuration.write_text(user + text.replace("listener 1883", f"listener {port} 127.0.0.1"))
        super().__init__([require_mosquitto(), "-c", str(configuration)], folder / "mosquitto.log", port)


class Amqtt(_Process):
    """amqtt on 127.0.0.1: a broker that speaks MQTT 3.1.1 only."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        configuration = folder / "amqtt.yaml"
        configuration.write_text(
            f"listeners: {{default: {{type: tcp, bind: '127.0.0.1:{port}'}}}}\n"
            "plugins: {amqtt.plugins.authentication.AnonymousAuthPlugin: {allow_anonymous: true}}\n"
        )
        command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(configuration)]
        super().__init__(command, folder / "amqtt.log", port)


def rabbitmq_server() -> Path | None:
    """Debian's, past its wrapper, which changes the user; None where it is not installed."""
    return next(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"), None)


class RabbitMq(_Process):
    """RabbitMQ on 127.0.0.1 with its MQTT plugin, a node of its own beside any other on this machine."""

    def __init__(self, folder: Path) -> None:
        port, epmd_port = free_port(), free_port()
        settings = [
            *("listeners.tcp = none", f"mqtt.listeners.tcp.1 = 127.0.0.1:{port}"),
            *("mqtt.allow_anonymous = true", "mqtt.default_user = guest", "mqtt.default_pass = guest"),
        ]
        (folder / "rabbitmq.conf").write_text("\n".join([*settings, ""]))
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"posed-{port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        self._epmd = ["epmd", "-port", str(epmd_port), "-kill"]
        server = rabbitmq_server()
        assert server is not None
        super().__init__([str(server)], folder / "rabbitmq.log", port)

    def start(self) -> None:
        """Returns once it takes connections: some 10 s, more on a busy machine."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        self._wait_until_listening(300)

    def __exit__(self, *_: object) -> None:
        self.stop()
        subprocess.run(self._epmd, capture_output=True, check=False)


class Gate:
    """Stands before a broker and turns MQTT 5 away, as brokers do that speak 3.1.1 only.

    Args:
        port: of the broker behind.
        refusal: what is answered to an MQTT 5 CONNECT before closing; nothing but the closing when empty.
    """

    def __init__(self, port: int, refusal: bytes) -> None:
        self.levels: list[int] = []
        self.refusing = {5}
        self._behind = port
        self._refusal = refusal
        self._passing: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, last: bytes = b"") -> None:
        """Ends the connections that passed, with a last packet from the broker."""
        while self._passing:
            client = self._passing.pop()
            client.sendall(last)
            with contextlib.suppress(OSError):  # who has read the last packet may have left already
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._guard, args=(client,), daemon=True).start()

    def _guard(self, client: socket.socket) -> None:
        with client:
            connect = client.recv(4096)
            # The protocol's level follows its name, which follows one or two bytes of length.
            level = connect[connect.index(b"MQTT") + 4]
            self.levels.append(level)
            if level in self.refusing:
                client.sendall(self._refusal)
                return
            with socket.create_connection(("127.0.0.1", self._behind)) as broker:
                broker.sendall(connect)
                self._passing.append(client)
                back = threading.Thread(target=_pump, args=(broker, client), daemon=True)
                back.start()
                _pump(client, broker)
                back.join(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


class Subscriber:
    """Collects what is published; connects again by itself when the broker was away.

    Args:
        port: of the broker.
        topic: filter to subscribe to.
        version: MQTT version.
        username, password: for the broker, if it wants them.
    """

    def __init__(
        self,
        port: int,
        topic: str = "#",
        *,
        version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self.messages: list[MQTTMessage] = []
        self._port = port
        self._topic = topic
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=version)
        self._client.username_pw_set(username, password)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)

    def _subscribe(self, client: Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def publish(
        self, topic: str, payload: bytes = b"", *, retain: bool = False, properties: Properties | None = None
    ) -> None:
        """With QoS 1; returns once the broker has it."""
        self._client.publish(topic, payload, 1, retain, properties).wait_for_publish(8)

    def payloads(self, topic: str) -> list[bytes]:
        """What came on one topic, oldest first."""
        return [bytes(message.payload) for message in list(self.messages) if message.topic == topic]

    def wait_for(self, topic: str, payload: bytes, timeout_s: float = 8) -> MQTTMessage:
        """The first such message, waited for."""

        def found() -> list[MQTTMessage]:
            return [m for m in list(self.messages) if m.topic == topic and m.payload == payload]

        eventually(found, timeout_s)
        return found()[0]

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._subscribed.wait(8)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
