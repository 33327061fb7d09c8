"""Kills a process that emits events, again and again while its broker comes and goes, and counts the losses.

    scripts/check_spool [--kills 500] [--seed N]

Each life of the emitter ends with kill -9 within 0.4 s, from its first line on. It notes each event twice in
a file of its own: once the spool has taken it, and once the spool said that it is on disk, from where on it
may not get lost. Meanwhile a real mosquitto, which keeps sessions over restarts, is stopped, hangs, and runs,
for random times. One subscriber with a persistent session lives through it all. At the end the emitter is
left alone until the spool is empty.

Exit status: 0 nothing lost and no event under two ids, 1 otherwise, 77 it cannot run here (no mosquitto).
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self, get_args

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from paho.mqtt.client import Client, MQTTMessage  # noqa: E402
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion  # noqa: E402
from paho.mqtt.packettypes import PacketTypes  # noqa: E402
from paho.mqtt.properties import Properties  # noqa: E402

from posed.config import MqttConfig, MqttEventsConfig  # noqa: E402
from posed.mqtt.client import MqttClient, Timing  # noqa: E402
from posed.mqtt.messages import Sender  # noqa: E402
from posed.mqtt.spool import Occurrence, Spool  # noqa: E402
from posed.mqtt.topics import Topics  # noqa: E402
from posed.people.events import EventType  # noqa: E402

TOPICS: Final = Topics("posed/check")
TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
LONGEST_LIFE_S: Final = 0.4
NEVER_OLD: Final = MqttEventsConfig(max_age_s=604800, max_waiting=10000)
QUICK: Final = Timing(backoff_min_s=0.02, backoff_max_s=0.2)
PATIENCE_S: Final = 60.0


def main() -> int:
    """Run, and print the figures."""
    options = parse_options()
    if shutil.which("mosquitto") is None:
        print("check_spool: cannot run here: needs mosquitto", file=sys.stderr)
        return 77
    began_at = time.monotonic()
    chance = random.Random(options.seed)  # noqa: S311
    others = random.Random(options.seed + 1)  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="posed-check-") as name:
        folder = Path(name)
        with Broker(folder, others) as broker, Subscriber(broker.port) as subscriber:
            broker.come_and_go()
            for number in range(options.kills):
                live_and_die(folder, broker.port, number, chance)
            broker.stay()
            falls = drain(folder, broker.port)
            told = Told.read(folder / "told")
            subscriber.wait_for(told.on_disk)
        result = Result(told, subscriber.came, falls, broker.outages)
    print(f"{options.kills} kills, seed {options.seed}, {time.monotonic() - began_at:.0f} s")
    return result.report()


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/check_spool", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500, help="how often (default 500)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="of what is random")
    return parser.parse_args()


# The emitter


def spool_and_client(folder: Path, port: int) -> tuple[Spool, MqttClient]:
    """As the daemon has them."""
    logging.disable(logging.WARNING)
    client = MqttClient(
        MqttConfig(host="127.0.0.1", port=port),
        password=None,
        client_id="posed-check",
        availability_topic=TOPICS.availability,
        on_connect=lambda: spool.tell_again(),  # noqa: PLW0108 - there is no spool yet
        timing=QUICK,
    )
    spool = Spool(
        folder / "spool.sqlite",
        sender=Sender.start("check"),
        topics=TOPICS,
        deliver=client.deliver,
        config=NEVER_OLD,
    )
    return spool, client


def emit(folder: Path, port: int, life: int, born: Connection) -> None:
    """One life of the emitter: until it is killed."""
    born.send_bytes(b"born")
    chance = random.Random(life)  # noqa: S311
    notes = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    spool, client = spool_and_client(folder, port)
    spool.start()
    client.start()
    number = 0
    while True:
        ids = []
        for _ in range(chance.randint(1, 4)):
            number += 1
            name = f"{life}.{number}"
            occurrence = Occurrence(
                chance.choice(TYPES), time.time(), person=chance.randint(1, 3), detail={"name": name}
            )
            ids.append(spool.add(occurrence))
            os.write(notes, f"taken {ids[-1]} {name}\n".encode())
        if spool.flush(PATIENCE_S):
            os.write(notes, "".join(f"disk {one}\n" for one in ids).encode())
        if chance.random() < 0.02:
            spool.clear_falls(time.time())
        time.sleep(chance.uniform(0, 0.004))


_processes: Final = multiprocessing.get_context("forkserver")


def live_and_die(folder: Path, port: int, number: int, chance: random.Random) -> None:
    """Start the emitter, and kill it some time later."""
    hears, born = _processes.Pipe(duplex=False)
    process = _processes.Process(target=emit, args=(folder, port, number, born))
    process.start()
    hears.recv_bytes()
    time.sleep(chance.uniform(0, LONGEST_LIFE_S))
    process.kill()
    process.join()
    hears.close()
    born.close()
    if process.exitcode != -signal.SIGKILL:
        raise SystemExit(f"the emitter ended by itself with status {process.exitcode}")


def drain(folder: Path, port: int) -> set[str]:
    """Let the emitter publish what is left; returns the events of the falls that are not over."""
    spool, client = spool_and_client(folder, port)
    spool.start()
    client.start()
    give_up_at = time.monotonic() + PATIENCE_S
    while spool.state.events and time.monotonic() < give_up_at:
        time.sleep(0.01)
    client.stop(2)
    spool.stop(2)
    if spool.state.events:
        raise SystemExit(f"after {PATIENCE_S:g} s there are {spool.state.events} events left in the spool")
    return {fall.event for fall in spool.falls}


# The broker


class Broker:
    """mosquitto, which keeps sessions and what waits for them when it is stopped."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.port = free_port()
        self.outages: Counter[str] = Counter()
        self._chance = chance
        self._configuration = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
            "log_type none",
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        self._configuration.write_text("\n".join([*lines, ""]), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._come_and_go)

    def come_and_go(self) -> None:
        """From now on."""
        self._thread.start()

    def stay(self) -> None:
        """Come and go no more."""
        self._enough.set()
        if self._thread.is_alive():
            self._thread.join()

    def _come_and_go(self) -> None:
        while not self._enough.wait(self._chance.uniform(0.1, 2)):
            assert self._process is not None
            if self._chance.random() < 0.3:
                self.outages["hung"] += 1
                self._process.send_signal(signal.SIGSTOP)
                self._enough.wait(self._chance.uniform(0.05, 1))
                self._process.send_signal(signal.SIGCONT)
            else:
                self.outages["stopped"] += 1
                self._stop()
                self._enough.wait(self._chance.uniform(0, 1.5))
                self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._configuration)], stderr=subprocess.DEVNULL
        )

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stay()
        self._stop()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Subscriber:
    """Somebody whose session outlives every outage; `came` has the messages under each id."""

    def __init__(self, port: int) -> None:
        self.came: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._port = port
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="subscriber", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(TOPICS.events, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        event = json.loads(message.payload)
        self.came[event["id"]].append(event)

    def wait_for(self, ids: set[str]) -> None:
        """Until all are there, or nothing comes any more."""
        quiet_since, count = time.monotonic(), -1
        while not ids <= self.came.keys() and time.monotonic() - quiet_since < 10:
            if len(self.came) != count:
                quiet_since, count = time.monotonic(), len(self.came)
            time.sleep(0.05)

    def __enter__(self) -> Self:
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 2**32 - 1
        for _ in range(100):
            try:
                self._client.connect("127.0.0.1", self._port, clean_start=False, properties=kept)
            except OSError:
                time.sleep(0.05)
            else:
                break
        self._client.loop_start()
        if not self._subscribed.wait(10):
            raise SystemExit("the subscriber could not subscribe")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


# The account


@dataclass
class Told:
    """What the emitter noted: the names of events by their ids, and the ids of those on disk."""

    names: dict[str, str] = field(default_factory=dict)
    on_disk: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, file: Path) -> Told:
        """All its lives."""
        told = cls()
        for line in file.read_text(encoding="ascii").splitlines():
            match line.split():
                case ["taken", one, name]:
                    told.names[one] = name
                case ["disk", one]:
                    told.on_disk.add(one)
        return told


@dataclass
class Result:
    """What came of it."""

    told: Told
    came: dict[str, list[dict[str, Any]]]
    falls: set[str]
    outages: Counter[str]

    def report(self) -> int:
        """Print the figures; returns the exit status."""
        lost = self.told.on_disk - self.came.keys()
        young = self.told.names.keys() - self.told.on_disk
        twice = [messages for messages in self.came.values() if len(messages) > 1]
        changed = sum(any(message != messages[0] for message in messages) for messages in twice)
        split = self._under_two_ids()
        open_falls = self._falls_by_events()
        print(f"broker: {self.outages['stopped']} times stopped, {self.outages['hung']} times hung")
        print(f"events taken by the spool            {len(self.told.names):7}")
        print(f"on disk, as the spool said           {len(self.told.on_disk):7}")
        print(f"  of them lost                       {len(lost):7}")
        print(f"killed before the spool had said so  {len(young):7}")
        print(f"  of them not arrived                {len(young - self.came.keys()):7}")
        print(f"arrived more than once               {len(twice):7}, always with the same id")
        print(f"  of them with another content       {changed:7}")
        print(f"events under two ids                 {split:7}")
        print(f"falls not over: {len(self.falls)} in the spool, {len(open_falls)} by the events that came")
        bad = lost or changed or split or self.falls != open_falls or not self.told.on_disk
        return 1 if bad else 0

    def _under_two_ids(self) -> int:
        """How many events came, each of which the emitter told once, under more than one id."""
        ids = defaultdict(set)
        for one, messages in self.came.items():
            if (name := messages[0]["detail"].get("name")) is not None:
                ids[name].add(one)
        return sum(len(of_one) > 1 for of_one in ids.values())

    def _falls_by_events(self) -> set[str]:
        """The falls that are not over as far as a subscriber knows."""
        events = [messages[0] for messages in self.came.values()]
        fell = {event["id"] for event in events if event["type"] == "fall"}
        return fell - {event["detail"]["fall"] for event in events if event["type"] == "fall_cleared"}


if __name__ == "__main__":
    _processes.set_forkserver_preload(["posed.mqtt.spool"])
    sys.exit(main())
