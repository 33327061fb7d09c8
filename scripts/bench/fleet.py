"""Finds how many devices one mosquitto carries on this machine, each at 10 messages/s, before any is lost.

    scripts/python bench.fleet [--devices 100 200 …] [--seconds 8] [--people 2]

Every device is a client of its own: a connection with a last will, `poses` ten times a second (QoS 0,
expiring after 5 s), an event every 10 s and both its states every 30 s (QoS 1), all encoded from posed's own
structs.
One subscriber takes the poses and the events of all of them through a shared subscription, as one worker of
a backend would.

A message's latency is from when it was due, so it counts how late the devices are, too; `late` says how
much that is. Devices and subscriber speak MQTT over bare sockets: a library in Python would cost more than
the broker does. The `cpu` of the three says which of them is at its end: each is one thread, so at 100 %.

Exit status: 0, or 77 it cannot run here (no mosquitto).
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import selectors
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from posed.config import CAMERA, Config, live_values
from posed.messages.structs import Poses, Size, encode, person_message, rfc3339
from posed.messages.topics import Topics
from posed.pose import KEYPOINT_COUNT, Pose
from scripts.ports import free_port
from scripts.standins.messages import camera_state, event, state

RATE_HZ: Final = 10
EVENT_EVERY: Final = 100
STATE_EVERY: Final = 300
"""Messages of `poses` from one to the next."""

EXPIRY_S: Final = 5
DRAIN_S: Final = 3.0
KNEE_MS: Final = 100.0
"""Where the 99th percentile is above this, somebody waits for every hundredth message."""

FIRST_SEQUENCE: Final = 10**9
"""All as long as the other, so that a message is encoded once and then only stamped."""

_CONNECT, _PUBLISH, _PUBACK, _SUBSCRIBE = 0x10, 0x30, 0x40, 0x82
_QOS1, _RETAIN = 0x02, 0x01


def main() -> int:
    """Try one number of devices after another, and print a row for each."""
    options = parse_options()
    if shutil.which("mosquitto") is None:
        print("bench.fleet: cannot run here: needs mosquitto", file=sys.stderr)
        return 77
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    size = len(poses_of(0, options.people))
    print(
        f"{os.cpu_count()} cores; {options.people} people, poses of {size} bytes, {options.seconds:g} s a row"
    )
    print(Row.HEADER)
    best = None
    for devices in options.devices:
        row = measure(devices, options)
        print(row, flush=True)
        if row.lost or row.held_up:
            break
        if row.p99_ms < KNEE_MS:
            best = devices
    print(f"most devices without loss and with p99 under {KNEE_MS:g} ms: {best or 'none of these'}")
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/python bench.fleet", description=__doc__.splitlines()[0])
    numbers = [100, 200, 500, 1000, 1500, 2000, 2500, 3000, 4000]
    parser.add_argument("--devices", type=int, nargs="+", default=numbers, help="rising numbers of devices")
    parser.add_argument("--seconds", type=float, default=8, help="of each row (default 8)")
    parser.add_argument("--people", type=int, default=2, help="in every frame (default 2)")
    return parser.parse_args()


# What is sent


def topics_of(device: int) -> Topics:
    """Of one device of the fleet."""
    return Topics(f"posed/fleet-{device:05d}")


def poses_of(device: int, people: int) -> bytes:
    """A message about so many people who stand somewhere, as the daemon encodes it."""
    chance = np.random.default_rng(device)
    found = [
        Pose(chance.uniform(0, 480, (KEYPOINT_COUNT, 2)), chance.uniform(0.3, 1, KEYPOINT_COUNT), 0.8)
        for _ in range(people)
    ]
    message = Poses(
        device=f"fleet-{device:05d}",
        camera=CAMERA,
        run="8f3a90c1",
        sequence=FIRST_SEQUENCE,
        time=rfc3339(time.time()),
        frame=Size(640, 480),
        inference_ms=5.81,
        latency_ms=14.23,
        people=[
            msgspec.structs.replace(
                person_message(one, 0.2), id=number, posture="standing", zones=["kitchen"]
            )
            for number, one in enumerate(found)
        ],
    )
    return encode(message)


def event_of(device: int) -> bytes:
    """A message about a raised hand."""
    detail = {"gesture": "left_hand_raised"}
    return encode(event(device=f"fleet-{device:05d}", camera=CAMERA, type="gesture", detail=detail))


def states_of(device: int) -> tuple[bytes, bytes]:
    """The messages about a machine, and about its camera, that do well."""
    config = Config(device=f"fleet-{device:05d}")
    settings, of_camera = live_values(config), live_values(config, CAMERA)
    return (
        encode(state(device=config.device, cameras={CAMERA: "ok"}, settings=settings)),
        encode(camera_state(device=config.device, camera=CAMERA, settings=of_camera)),
    )


# MQTT 5, as much as is needed. Source: MQTT 5.0, chapters 2 and 3.


def text(value: str) -> bytes:
    """A string with its length."""
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def packet(kind: int, body: bytes) -> bytes:
    """Fixed header and body."""
    length, header = len(body), bytearray([kind])
    while True:
        length, digit = divmod(length, 128)
        header.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(header) + body


def connect_packet(client_id: str, will: str | None) -> bytes:
    """A clean start, kept alive for ever; the will is retained and of QoS 1."""
    flags = 0x02 | (0x2C if will else 0)
    body = text("MQTT") + bytes([5, flags]) + struct.pack("!HB", 0, 0) + text(client_id)
    return packet(_CONNECT, body + (b"\0" + text(will) + text("offline") if will else b""))


def publish_packet(
    topic: str, payload: bytes, *, mid: int | None = None, retain: bool = False, expiry_s: int | None = None
) -> bytes:
    """Of QoS 1 where it has a message id."""
    properties = b"\0" if expiry_s is None else b"\x05\x02" + struct.pack("!I", expiry_s)
    kind = _PUBLISH | (_QOS1 if mid is not None else 0) | (_RETAIN if retain else 0)
    numbered = b"" if mid is None else struct.pack("!H", mid)
    return packet(kind, text(topic) + numbered + properties + payload)


def subscribe_packet(*topics: tuple[str, int]) -> bytes:
    """To filters, each with a QoS."""
    return packet(_SUBSCRIBE, b"\0\1\0" + b"".join(text(topic) + bytes([qos]) for topic, qos in topics))


def packets(buffer: bytearray) -> Iterator[tuple[int, memoryview]]:
    """Take whole packets off the beginning of what was received: first byte, and what follows the length."""
    start, view = 0, memoryview(bytes(buffer))
    while len(view) - start >= 2:
        at, length, shift = start + 1, 0, 0
        while at < len(view):
            length |= (view[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not view[at - 1] & 0x80:
                break
        else:
            break
        if len(view) - at < length or view[at - 1] & 0x80:
            break
        yield view[start], view[at : at + length]
        start = at + length
    del buffer[:start]


def dial(port: int, connect: bytes) -> socket.socket:
    """A connection that the broker has accepted; blocking."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(connect)
    answer = sock.recv(256)
    if answer[0] != 0x20 or answer[3] != 0:
        raise SystemExit(f"the broker does not accept a device: {answer!r}")
    return sock


# The devices


class Device:
    """One client of the broker."""

    def __init__(self, number: int, port: int, people: int) -> None:
        topics = topics_of(number)
        self._socket = dial(port, connect_packet(f"posed-fleet-{number:05d}", topics.availability))
        self._socket.setblocking(False)
        camera = topics.camera(CAMERA)
        self._poses = bytearray(publish_packet(camera.poses, poses_of(number, people), expiry_s=EXPIRY_S))
        self._at = self._poses.index(str(FIRST_SEQUENCE).encode())
        self._event = publish_packet(topics.events, event_of(number), mid=1)
        machine, of_camera = states_of(number)
        self._states = (
            publish_packet(topics.state, machine, mid=2, retain=True),
            publish_packet(camera.state, of_camera, mid=3, retain=True),
        )
        self._rest = b""
        self.held_up = self.unacknowledged = 0

    def publish(self, sequence: int) -> None:
        """One frame's message, and what else is due with it."""
        self._poses[self._at : self._at + 10] = b"%d" % (FIRST_SEQUENCE + sequence)
        self._send(self._poses)

    def publish_event(self) -> None:
        """With QoS 1; the answer to the one before has come long ago."""
        self.hear()
        self.unacknowledged += self._send(self._event)

    def publish_states(self) -> None:
        """Retained."""
        self.hear()
        for packet_of_state in self._states:
            self.unacknowledged += self._send(packet_of_state)

    def hear(self) -> None:
        """Take acknowledgements."""
        with contextlib.suppress(BlockingIOError):
            self.unacknowledged -= len(list(packets(bytearray(self._socket.recv(4096)))))

    def _send(self, data: bytes | bytearray) -> bool:
        """False where the broker does not read, so that it had to be dropped, as the daemon does."""
        try:
            if self._rest:
                self._rest = self._rest[self._socket.send(self._rest) :]
            if not self._rest:
                self._rest = bytes(data[self._socket.send(data) :])
                return True
        except BlockingIOError:
            pass
        self.held_up += 1
        return False


@dataclass
class Sent:
    """What the devices report when they are done."""

    events: int = 0
    held_up: int = 0
    unacknowledged: int = 0
    late_s: array[float] = field(default_factory=lambda: array("d"))
    cpu_s: float = 0


def be_devices(port: int, devices: int, frames: int, people: int, parent: Connection) -> None:
    """Connect all of them, and send when the parent says when to begin."""
    clients = [Device(number, port, people) for number in range(devices)]
    parent.send("connected")
    begin_at = parent.recv()
    sent, began_s, spacing_s = Sent(), time.process_time(), 1 / RATE_HZ / devices
    for number in range(frames * devices):
        frame, index = divmod(number, devices)
        due_at = begin_at + number * spacing_s
        if (early_s := due_at - time.monotonic()) > 0:
            time.sleep(early_s)
        client = clients[index]
        client.publish(frame)
        if frame % EVENT_EVERY == index % EVENT_EVERY:
            client.publish_event()
            sent.events += 1
        if frame % STATE_EVERY == index % STATE_EVERY:
            client.publish_states()
        if number % 16 == 0:
            sent.late_s.append(time.monotonic() - due_at)
    sent.cpu_s = time.process_time() - began_s
    time.sleep(DRAIN_S / 2)
    for client in clients:
        client.hear()
    sent.held_up = sum(client.held_up for client in clients)
    sent.unacknowledged = sum(client.unacknowledged for client in clients)
    parent.send(sent)


# The subscriber


@dataclass
class Came:
    """What the subscriber reports when it is done."""

    poses: int = 0
    events: int = 0
    latency_s: array[float] = field(default_factory=lambda: array("d"))
    cpu_s: float = 0


def be_subscriber(port: int, devices: int, frames: int, parent: Connection) -> None:
    """Take everything until nothing more comes."""
    sock = dial(port, connect_packet("fleet-worker", None))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    sock.sendall(subscribe_packet(("$share/fleet/posed/+/+/poses", 0), ("$share/fleet/posed/+/events", 1)))
    sock.recv(256)
    parent.send("subscribed")
    begin_at = parent.recv()
    came, began_s, spacing_s = Came(), time.process_time(), 1 / RATE_HZ / devices
    end_at = begin_at + frames / RATE_HZ + DRAIN_S
    buffer = bytearray()
    chooser = selectors.DefaultSelector()
    chooser.register(sock, selectors.EVENT_READ)
    while (left_s := end_at - time.monotonic()) > 0:
        if not chooser.select(left_s):
            break
        buffer += sock.recv(262144)
        now = time.monotonic()
        for kind, body in packets(buffer):
            if kind & 0x06:
                came.events += 1
                (length,) = struct.unpack_from("!H", body)
                sock.sendall(packet(_PUBACK, body[2 + length : 4 + length]))
            else:
                data = bytes(body[:300])
                at = data.index(b'"sequence":') + 11
                frame = int(data[at : at + 10]) - FIRST_SEQUENCE
                index = int(data[14:19])  # of posed/fleet-00000/camera/poses
                came.poses += 1
                came.latency_s.append(now - begin_at - (frame * devices + index) * spacing_s)
    came.cpu_s = time.process_time() - began_s
    parent.send(came)


# The account


@dataclass(frozen=True)
class Row:
    """One number of devices."""

    devices: int
    poses: int
    came: Came
    sent: Sent
    broker_cpu_s: float
    seconds: float

    HEADER = (
        "devices  messages/s   lost  events lost  p50 ms  p99 ms  worst ms  late p99 ms"
        "  cpu %: broker  devices  subscriber"
    )

    @property
    def lost(self) -> int:
        """Poses and events that did not come."""
        return self.poses - self.came.poses + self.events_lost

    @property
    def events_lost(self) -> int:
        """Events alone."""
        return self.sent.events - self.came.events

    @property
    def held_up(self) -> int:
        """What devices had to drop, since the broker did not read."""
        return self.sent.held_up

    @property
    def p99_ms(self) -> float:
        """Of the poses' latency."""
        return percentile_ms(self.came.latency_s, 99)

    def __str__(self) -> str:
        cpu = (self.broker_cpu_s, self.sent.cpu_s, self.came.cpu_s)
        broker, devices, subscriber = (f"{100 * one / self.seconds:.0f}" for one in cpu)
        p50_ms, worst_ms = (percentile_ms(self.came.latency_s, percent) for percent in (50, 100))
        late_ms = percentile_ms(self.sent.late_s, 99)
        return (
            f"{self.devices:7d}  {self.came.poses / self.seconds:10.0f}  {self.lost - self.events_lost:5d}"
            f"  {self.events_lost:11d}  {p50_ms:6.2f}  {self.p99_ms:6.1f}  {worst_ms:8.0f}  {late_ms:11.1f}"
            f"  {broker:>13}  {devices:>7}  {subscriber:>10}"
        )


def percentile_ms(values_s: array[float], percent: int) -> float:
    """Of seconds, in ms."""
    return 1000 * float(np.percentile(values_s, percent)) if values_s else 0.0


class Child:
    """A function in a process of its own, whose last argument is the way to its parent."""

    def __init__(self, function: Callable[..., None], *arguments: int) -> None:
        processes = multiprocessing.get_context("fork")
        self._way, theirs = processes.Pipe()
        self._process = processes.Process(target=function, args=(*arguments, theirs), daemon=True)
        self._process.start()

    def tell(self, what: object) -> None:
        """Something it waits for."""
        self._way.send(what)

    def hear(self) -> Any:
        """What it says next."""
        wait([self._way, self._process.sentinel])
        if not self._way.poll():
            raise SystemExit("bench.fleet: see above")
        return self._way.recv()


def measure(devices: int, options: argparse.Namespace) -> Row:
    """One mosquitto, so many devices, one subscriber."""
    frames = round(options.seconds * RATE_HZ)
    with mosquitto() as (broker, port):
        subscriber = Child(be_subscriber, port, devices, frames)
        fleet = Child(be_devices, port, devices, frames, options.people)
        subscriber.hear()
        fleet.hear()
        before_s = cpu_s(broker)
        begin_at = time.monotonic() + 0.5
        subscriber.tell(begin_at)
        fleet.tell(begin_at)
        sent, came = fleet.hear(), subscriber.hear()
        used_s = cpu_s(broker) - before_s
    return Row(devices, frames * devices, came, sent, used_s, options.seconds)


@contextlib.contextmanager
def mosquitto() -> Iterator[tuple[int, int]]:
    """A broker with its own settings, apart from the port; its process id and that port."""
    lines = ["allow_anonymous true", "log_type none"]
    if os.geteuid() == 0:
        lines.append("user root")
    with tempfile.TemporaryDirectory(prefix="posed-fleet-") as folder:
        port, configuration = free_port(), Path(folder) / "mosquitto.conf"
        configuration.write_text("\n".join([f"listener {port} 127.0.0.1", *lines, ""]), encoding="utf-8")
        command = ["mosquitto", "-c", str(configuration)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(port)
                yield process.pid, port
            finally:
                process.terminate()


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    for _ in range(400):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit("mosquitto does not start")


def cpu_s(pid: int) -> float:
    """What a process has used. Source: proc(5), utime and stime."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
