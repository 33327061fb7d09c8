"""Runs the daemon against every broker that can be had here: mosquitto, amqtt, RabbitMQ, TLS, passwords.

The daemon looks at drawn people with the small model that comes with posed. For each broker it is started,
asked something, told to send an event, left without its broker for a moment, killed, and stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from scripts.paths import ROOT
from tests.brokers import Amqtt, Mosquitto, Pki, RabbitMq, Subscriber, eventually, free_port, rabbitmq_server
from tests.run_posed import Daemon
from tests.system.conftest import Table
from tests.system.needs import cannot, need_debian, venv_sh

pytestmark = pytest.mark.system

BASE: Final = "posed/check"
CAMERA: Final = "hall"
PATIENCE_S: Final = 180.0
"""How long anything may take on a busy machine, s."""

PASSWORD: Final = "a secret"
ACL: Final = ROOT / "config" / "mosquitto" / "acl"
BRIDGE: Final = ROOT / "config" / "mosquitto" / "bridge.conf"

LEFT: Final = {"polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
NAMES: Final = ("state", "availability", f"{CAMERA}/state", f"{CAMERA}/fall", f"{CAMERA}/zones/left")
KEPT: Final = tuple(f"{BASE}/{name}" for name in NAMES)
ANNOUNCED: Final = (
    "homeassistant/device/posed_check/config",
    f"homeassistant/device/posed_check/{CAMERA}/config",
)

CHECKS: Final = {
    "state": "`state` of machine and camera arrives",
    "poses": "`poses` arrive",
    "discovery": "Home Assistant is told of machine and camera",
    "retained": "a late subscriber gets every `state`, `zones`, `fall` and `availability`",
    "wildcard": "also by a filter with wildcards",
    "request": "a request is answered",
    "event": "an event arrives",
    "restart": "the broker restarts: all is there again",
    "killed": "the daemon is killed: `offline`",
    "stopped": "the daemon stops: `offline`",
}


@dataclass
class Trial:
    """A broker that runs, and how it is reached.

    Args:
        broker: with `port`, `stop` and `start`.
        mqtt: more of the daemon's settings under `mqtt`.
        port: where the check itself listens, which has no certificate.
        who: user and password of the check.
        newest: what the check speaks.
        lacks: checks which this broker is known to fail.
    """

    broker: Any
    mqtt: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    who: dict[str, str] = field(default_factory=dict)
    newest: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5
    lacks: frozenset[str] = frozenset()

    def subscriber(self, topic: str) -> Subscriber:
        """Somebody who listens, and may publish."""
        return Subscriber(self.port or self.broker.port, topic, version=self.newest, **self.who)


# The brokers


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[Trial]:
    """As it comes, which speaks MQTT 5."""
    with Mosquitto(folder) as broker:
        yield Trial(broker)


@contextlib.contextmanager
def mosquitto_311(folder: Path) -> Iterator[Trial]:
    """The same, spoken to as of old."""
    with Mosquitto(folder) as broker:
        yield Trial(broker, {"protocol": "3.1.1"}, newest=MQTTProtocolVersion.MQTTv311)


@contextlib.contextmanager
def amqtt(folder: Path) -> Iterator[Trial]:
    """A broker in Python."""
    with Amqtt(folder) as broker:
        yield Trial(broker, newest=MQTTProtocolVersion.MQTTv311)


@contextlib.contextmanager
def rabbitmq(folder: Path) -> Iterator[Trial]:
    """With its MQTT plugin, which keeps retained messages to exact subscriptions."""
    with RabbitMq(folder) as broker:
        yield Trial(broker, newest=MQTTProtocolVersion.MQTTv311, lacks=frozenset({"wildcard"}))


@contextlib.contextmanager
def tls(folder: Path) -> Iterator[Trial]:
    """A certificate that a private authority has signed."""
    pki, plain = Pki.make(folder), free_port()
    with Mosquitto(folder, pki=pki, lines=(f"listener {plain} 127.0.0.1",)) as broker:
        yield Trial(broker, {"host": "localhost", "tls": {"ca": str(pki.ca)}}, plain)


@contextlib.contextmanager
def tls_client(folder: Path) -> Iterator[Trial]:
    """The same, and the broker wants a certificate of each client."""
    pki, plain = Pki.make(folder), free_port()
    ours = {"ca": str(pki.ca), "certificate": str(pki.client), "key": str(pki.client_key)}
    lines = (f"listener {plain} 127.0.0.1",)
    with Mosquitto(folder, pki=pki, client_certificates=True, lines=lines) as broker:
        yield Trial(broker, {"host": "localhost", "tls": ours}, plain)


@contextlib.contextmanager
def acl(folder: Path) -> Iterator[Trial]:
    """Passwords, and for everybody what config/mosquitto/acl lets them."""
    users = {"check": PASSWORD, "home": PASSWORD}
    with Mosquitto(folder, users=users, lines=(f"acl_file {ACL}",)) as broker:
        who = {"username": "home", "password": PASSWORD}
        yield Trial(broker, {"username": "check", "password": PASSWORD}, who=who)


@contextlib.contextmanager
def bridge(folder: Path) -> Iterator[Trial]:
    """A broker at the site, with config/mosquitto/bridge.conf, and the check at the central one."""
    folders = [folder / name for name in ("central", "site")]
    for one in folders:
        one.mkdir()
    with Mosquitto(folders[0]) as central:
        lines = BRIDGE.read_text(encoding="ascii").replace(
            "central.example.org:1883", f"127.0.0.1:{central.port}"
        )
        with Mosquitto(folders[1], lines=(lines,)) as broker:
            yield Trial(broker, port=central.port, lacks=frozenset({"poses"}))


TRIALS: Final[dict[str, Callable[[Path], AbstractContextManager[Trial]]]] = {
    "mosquitto": mosquitto,
    "mosquitto-3.1.1": mosquitto_311,
    "amqtt": amqtt,
    "rabbitmq": rabbitmq,
    "mosquitto-tls": tls,
    "mosquitto-tls-client": tls_client,
    "mosquitto-acl": acl,
    "mosquitto-bridge": bridge,
}


# What is tried


@pytest.mark.parametrize("name", TRIALS)
def test_daemon_works_with_the_broker(name: str, tmp_path: Path, table: Table) -> None:
    install(name)
    with TRIALS[name](tmp_path) as trial:
        eventually(lambda: listens(trial.port or trial.broker.port), PATIENCE_S)
        daemon = Daemon(tmp_path, settings_of(trial))
        failed, version = run_checks(trial, daemon)
    cells = ["no" if check in failed else "yes" for check in CHECKS]
    table.head(" | ".join(["broker", "MQTT", *CHECKS]))
    table.row(" | ".join([name, version, *cells]))
    table.foot("\n".join(f"{check}: {what}" for check, what in CHECKS.items()))
    assert failed == trial.lacks, daemon.log()


def install(name: str) -> None:
    """What the broker takes, as far as it can be had."""
    need_debian("mosquitto", "mosquitto")
    need_debian("openssl", "openssl")
    if name == "rabbitmq" and rabbitmq_server() is None:
        if os.geteuid() == 0:
            # RUNLEVEL keeps apt from starting one of the machine's own.
            venv_sh("apt_install", "rabbitmq-server", RUNLEVEL="1")
        if rabbitmq_server() is None:
            cannot("needs rabbitmq-server (Debian)")


def listens(port: int) -> bool:
    """Whether somebody does; of a broker's two listeners one is there before the other."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def settings_of(trial: Trial) -> dict[str, Any]:
    """Of a daemon that needs little of the machine."""
    return {
        "device": "check",
        "cameras": {CAMERA: {"kind": "synthetic", "fps": 5, "size": [320, 240], "zones": {"left": LEFT}}},
        "model": {"name": "drawings-257x353-32"},
        "engine": {"kind": "cpu", "threads": 1},
        "mqtt": {"host": "127.0.0.1", "port": trial.broker.port, **trial.mqtt},
    }


def run_checks(trial: Trial, daemon: Daemon) -> tuple[frozenset[str], str]:
    """Do everything in turn; returns which checks failed, and the version that the daemon settled on."""
    failed: set[str] = set()

    def check(name: str, what: Callable[[], object]) -> None:
        try:
            what()
        except AssertionError:
            failed.add(name)

    with daemon, trial.subscriber(f"{BASE}/#") as watcher:
        check("state", lambda: (comes(watcher, "state"), comes(watcher, f"{CAMERA}/state")))
        check("poses", lambda: comes(watcher, f"{CAMERA}/poses", 10))
        check("discovery", lambda: retained(trial, *ANNOUNCED))
        check("retained", lambda: retained(trial, *KEPT))
        check("wildcard", lambda: retained(trial, f"{BASE}/+"))
        check("request", lambda: answered(watcher, "info"))
        check("event", lambda: event_comes(watcher))
        check("restart", lambda: comes_back(trial, watcher))
        daemon.stop(signal.SIGKILL)
        check("killed", lambda: last_is(watcher, b"offline"))
        daemon.start()
        check("stopped", lambda: last_is(watcher, b"online"))
        daemon.stop(within_s=PATIENCE_S)
        check("stopped", lambda: last_is(watcher, b"offline"))
    _, _, version = daemon.log().partition("connected with MQTT ")
    return frozenset(failed), version.split("\n")[0]


def comes(watcher: Subscriber, name: str, timeout_s: float = PATIENCE_S) -> None:
    """A message on one of the daemon's topics, from now on."""
    before = len(watcher.payloads(f"{BASE}/{name}"))
    eventually(lambda: len(watcher.payloads(f"{BASE}/{name}")) > before, timeout_s)


def retained(trial: Trial, *topics: str) -> None:
    """Who comes now hears of the past."""
    for topic in topics:
        with trial.subscriber(topic) as late:
            wanted = {f"{BASE}/state", f"{BASE}/availability"} if topic.endswith("+") else {topic}
            eventually(lambda: wanted <= {kept.topic for kept in list(late.messages) if kept.retain}, 5)  # noqa: B023


def answered(watcher: Subscriber, verb: str, **arguments: Any) -> dict[str, Any]:
    """The data of the response."""
    before = len(watcher.payloads(f"{BASE}/response/{verb}"))
    watcher.publish(f"{BASE}/request/{verb}", json.dumps(arguments).encode())
    eventually(lambda: len(watcher.payloads(f"{BASE}/response/{verb}")) > before, PATIENCE_S)
    response = json.loads(watcher.payloads(f"{BASE}/response/{verb}")[before])
    assert response["status"] == "ok", response
    return dict(response["data"])


def event_comes(watcher: Subscriber) -> None:
    """The one that was asked for."""
    wanted = answered(watcher, "test_event", type="gesture")["cameras"][CAMERA]["event"]
    events = f"{BASE}/events"
    eventually(
        lambda: any(json.loads(payload)["id"] == wanted for payload in watcher.payloads(events)), PATIENCE_S
    )


def comes_back(trial: Trial, watcher: Subscriber) -> None:
    """A broker without memory is told everything again."""
    trial.broker.stop()
    del watcher.messages[:]
    trial.broker.start()
    # The watcher may be back later than the daemon, and a wildcard gets what was retained not everywhere.
    comes(watcher, "state")
    if "poses" not in trial.lacks:
        comes(watcher, f"{CAMERA}/poses")
    retained(trial, f"{BASE}/state")
    with trial.subscriber(f"{BASE}/availability") as late:
        eventually(lambda: late.payloads(f"{BASE}/availability")[-1:] == [b"online"], 5)
    answered(watcher, "info")


def last_is(watcher: Subscriber, availability: bytes) -> None:
    """What was last said of the daemon."""
    eventually(lambda: watcher.payloads(f"{BASE}/availability")[-1:] == [availability], PATIENCE_S)
