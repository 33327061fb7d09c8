"""What a running daemon leaves open to others: nothing, unless it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.brokers import Mosquitto, Subscriber
from tests.make_tflite import make_tflite
from tests.run_posed import Daemon

LISTENS = "0A"
"""The state of a TCP socket. Source: include/net/tcp_states.h."""


def open_sockets(pid: int) -> dict[str, list[tuple[str, str]]]:
    """Of a process: (local address, state) of its sockets, by protocol."""
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    found: dict[str, list[tuple[str, str]]] = {}
    for protocol in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"):
        table = Path(f"/proc/{pid}/net/{protocol}")
        for row in table.read_text().splitlines()[1:] if table.exists() else []:
            columns = row.split()
            inode = columns[8] if protocol == "packet" else columns[9]
            if f"socket:[{inode}]" in links:
                found.setdefault(protocol, []).append((columns[1], columns[3]))
    return found


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "red.tflite").write_bytes(make_tflite())
    return {
        "device": "hall",
        "cameras": {"camera": {"kind": "synthetic", "fps": 5}},
        "model": {"name": str(tmp_path / "red.tflite")},
        "mqtt": {"host": "127.0.0.1"},
    }


def test_nothing_listens_by_default(tmp_path, settings):
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        settings["mqtt"]["port"] = broker.port
        with Daemon(tmp_path, settings) as daemon:
            subscriber.wait_for("posed/hall/availability", b"online", 60)
            sockets = open_sockets(daemon.process.pid)
    # To the broker, and paho's pair to itself; they show that sockets are seen at all.
    states = [state for _, state in sockets.pop("tcp")]
    assert states
    assert LISTENS not in states
    assert sockets == {}
