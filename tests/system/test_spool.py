"""Kills a process that emits events, again and again while its broker comes and goes, and counts the losses.

    pytest -m system tests/system/test_spool.py [--kills 500] [--seed N]

Each life of the emitter ends with kill -9 within 0.4 s, from its first line on. It notes each event twice in
a file of its own: once the spool has taken it, and once the spool said that it is on disk, from where on it
may not get lost. Meanwhile a real mosquitto, which keeps sessions over restarts, is stopped, hangs, and runs,
for random times. One subscriber with a persistent session lives through it all. At the end the emitter is
left alone until the spool is empty.
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.brokers import Mosquitto, eventually
from tests.system.conftest import Table
from tests.system.emitter import PATIENCE_S, emit, spool_and_client
from tests.system.needs import need_debian
from tests.system.watcher import LASTING, Watcher

pytestmark = pytest.mark.system

LONGEST_LIFE_S: Final = 0.4
QUIET_S: Final = 10.0
"""Nothing more is waited for once nothing has come for so long, s."""

_processes: Final = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["pytest", "tests.system.emitter"])


def test_no_event_on_disk_is_lost_by_kills(
    tmp_path: Path, seed: int, table: Table, request: pytest.FixtureRequest
) -> None:
    need_debian("mosquitto", "mosquitto")
    kills = request.config.getoption("--kills", default=500)
    began_at = time.monotonic()
    chance = random.Random(seed)
    with (
        Restless(tmp_path, random.Random(seed + 1)) as broker,
        Watcher(broker.port, "posed/check", keeps=("events",)) as watcher,
    ):
        broker.come_and_go()
        for number in range(kills):
            live_and_die(tmp_path, broker.port, number, chance)
        broker.stay()
        falls = drain(tmp_path, broker.port)
        told = Told.read(tmp_path / "told")
        wait_for(watcher, told.on_disk)
        result = Result(told, by_id(watcher), falls)
    table.head(f"{kills} kills, seed {seed}, {time.monotonic() - began_at:.0f} s")
    table.row(f"broker: {broker.outages['stopped']} times stopped, {broker.outages['hung']} times hung")
    result.write(table)
    result.check()


# The emitter


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
    assert process.exitcode == -signal.SIGKILL, f"it ended by itself with status {process.exitcode}"


def drain(folder: Path, port: int) -> set[str]:
    """Let the emitter publish what is left; returns the events of the falls that are not over."""
    logging.getLogger("posed").setLevel(logging.ERROR)
    spool, client = spool_and_client(folder, port)
    spool.start()
    client.start()
    try:
        eventually(lambda: not spool.state.events, PATIENCE_S)
    finally:
        client.stop(2)
        spool.stop(2)
    return {fall.event for fall in spool.falls}


# The broker


class Restless(Mosquitto):
    """mosquitto that comes, hangs and goes, and keeps sessions and what waits for them.

    Args:
        folder: for its files.
        chance: of what and when.

    Attributes:
        outages: how often it was `stopped` and `hung`.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(folder, lines=(*LASTING, f"persistence_location {folder}/"))
        self.outages: Counter[str] = Counter()
        self._chance = chance
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
            if self._chance.random() < 0.3:
                self.outages["hung"] += 1
                self.pause()
                self._enough.wait(self._chance.uniform(0.05, 1))
                self.resume()
            else:
                self.outages["stopped"] += 1
                self.stop()
                self._enough.wait(self._chance.uniform(0, 1.5))
                self.start()

    def __exit__(self, *error: object) -> None:
        self.stay()
        super().__exit__(*error)


# The account


def wait_for(watcher: Watcher, ids: set[str]) -> None:
    """Until all are there, or nothing comes any more, nor is anything on its way that the broker has."""
    watcher.ask("end")  # it hears its own request behind everything else
    eventually(lambda: watcher.counts["request/end"], PATIENCE_S)
    count, quiet_since = -1, time.monotonic()
    while not ids <= watcher.arrived() and time.monotonic() - quiet_since < QUIET_S:
        if watcher.counts["events"] != count:
            count, quiet_since = watcher.counts["events"], time.monotonic()
        time.sleep(0.05)


def by_id(watcher: Watcher) -> dict[str, list[dict[str, Any]]]:
    """The messages that came under each id."""
    came = defaultdict(list)
    for event in watcher.messages("events"):
        came[event["id"]].append(event)
    return came


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
                case ["taken", event_id, name]:
                    told.names[event_id] = name
                case ["disk", event_id]:
                    told.on_disk.add(event_id)
        return told


@dataclass
class Result:
    """What came of it: what was told, the messages that came under each id, and the falls in the spool."""

    told: Told
    came: dict[str, list[dict[str, Any]]]
    falls: set[str]

    def __post_init__(self) -> None:
        self.lost = self.told.on_disk - self.came.keys()
        self.twice = [messages for messages in self.came.values() if len(messages) > 1]
        self.changed = sum(any(message != messages[0] for message in messages) for messages in self.twice)
        self.split = self._under_two_ids()
        self.open_falls = self._falls_by_events()

    def write(self, table: Table) -> None:
        """The figures."""
        young = self.told.names.keys() - self.told.on_disk
        table.row(f"events taken by the spool            {len(self.told.names):7}")
        table.row(f"on disk, as the spool said           {len(self.told.on_disk):7}")
        table.row(f"  of them lost                       {len(self.lost):7}")
        table.row(f"killed before the spool had said so  {len(young):7}")
        table.row(f"  of them not arrived                {len(young - self.came.keys()):7}")
        table.row(f"arrived more than once               {len(self.twice):7}, always with the same id")
        table.row(f"  of them with another content       {self.changed:7}")
        table.row(f"events under two ids                 {self.split:7}")
        table.row(
            f"falls not over: {len(self.falls)} in the spool, {len(self.open_falls)} by the events that came"
        )

    def check(self) -> None:
        """Nothing is lost, changed or doubled, and both sides know the same falls."""
        assert self.told.on_disk
        assert not self.lost
        assert (self.changed, self.split) == (0, 0)
        assert self.falls == self.open_falls

    def _under_two_ids(self) -> int:
        """How many events came, each of which the emitter told once, under more than one id."""
        ids = defaultdict(set)
        for event_id, messages in self.came.items():
            if (name := messages[0]["detail"].get("name")) is not None:
                ids[name].add(event_id)
        return sum(len(of_one) > 1 for of_one in ids.values())

    def _falls_by_events(self) -> set[str]:
        """The falls that are not over as far as a subscriber knows."""
        events = [messages[0] for messages in self.came.values()]
        fell = {event["id"] for event in events if event["type"] == "fall"}
        return fell - {event["detail"]["fall"] for event in events if event["type"] == "fall_cleared"}
