"""Does to the daemon what happens to brokers, cameras, Edge TPUs, processes, disks and clocks, one at a time.

    scripts/check_faults [--jobs 3] [WORD...]      all rows, or those whose names hold one of the words

Each row has a network and mounts of its own (unshare), a real mosquitto that keeps sessions, and a real
`posed run` that something starts again 2 s after it ends and ends when its watchdog is not fed for 30 s, as
posed.service has it. A small real network takes red pictures for people, so that people come and go and make
events all the while; test events are asked for beside them. A subscriber with a session sees all that the
broker gives out.

Columns:

    back     from the fault's end until a frame that was captured after it came as poses, s; for some rows
             until what the row names was well again, if that took longer. A hang ends with its process.
    queue    how much of that the daemon was ready to run and stood in line for a processor behind others, s:
             what is the machine's, not the daemon's, and not counted among its 10 s
    gap      the longest time without poses, s, the fault included
    silent   the longest part of such a gap in which nothing told of it: no `offline`, no `state` that says
             that something is waited for or nothing is seen, and the subscriber itself was connected, s
    wrong    how long `availability` did not tell the truth: `online` more than 2 s after the process had
             ended, or `offline` while poses came, s
    lost     events that the daemon had taken and that never came, of how many: those it granted, and those
             its log tells of. What it took in the last quarter of a second before a kill need not be on
             disk yet, and is not counted
    again    how often it was started again, and how the processes had ended

Wanted: back within 10 s but for the queue, no event lost, no silence over 30 s, availability never wrong.

Exit status: 0 every row as wanted, 1 one was not, 77 it cannot run here.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import yaml  # noqa: E402

from posed.model.tflite import parse_model  # noqa: E402
from tests.brokers import Mosquitto, Pki, free_port  # noqa: E402
from tests.heads import heads_of, in_steps, person  # noqa: E402
from tests.keeper import Keeper  # noqa: E402
from tests.make_tflite import UPRIGHT, make_tflite  # noqa: E402
from tests.picture_server import PictureServer  # noqa: E402
from tests.run_posed import Daemon  # noqa: E402
from tests.standin.standin import Behaviour, built, write_heads  # noqa: E402
from tests.systemd import Listener  # noqa: E402
from tests.watcher import LASTING, Watcher  # noqa: E402

TOPIC: Final = "posed/hall"
FPS: Final = 20
SIZE: Final = (130, 98)
PATIENCE_S: Final = 60.0
BACK_S: Final = 10.0
SILENT_S: Final = 30.0
SLACK_S: Final = 2.0
"""How long after an end or a beginning `availability` may still say the other thing."""

YOUNG_S: Final = 0.25
"""An event that is younger than this when the process is killed need not be on disk yet."""

STOP_S: Final = 5.0
ASK_S: Final = 0.5
ARRIVE_S: Final = 15.0


class FailedError(Exception):
    """Something that a row waits for did not come."""


class Bench:
    """What a row needs: a broker, settings, a daemon that is kept running, and somebody who watches.

    Args:
        folder: for everything.

    Attributes:
        settings, environment, before: of the daemon; to be changed before `start`.
        keeper, watcher: once it is started.
        lines: of the daemon's log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {}
        self.before: list[str] = []
        self.broker_lines: list[str] = [*LASTING, f"persistence_location {folder}/broker/"]
        self.broker_options: dict[str, Any] = {}
        self.watcher_options: dict[str, Any] = {}
        self.watcher_port: int | None = None
        self.ended_at = self.ended_time = 0.0
        self.fakes_time = False
        self.until: Callable[[], object] = lambda: True
        self._queued_before: dict[int, float] = {}
        self._stack = ExitStack()
        self._asking = threading.Event()
        self._account: Account | None = None
        (folder / "broker").mkdir()
        (folder / "pictures").mkdir()
        (folder / "red.tflite").write_bytes(make_tflite(UPRIGHT))
        for number in range(3 * FPS):
            name = folder / f"pictures/{number}.jpg"
            name.write_bytes(red(number) if number < 1.5 * FPS else blue(number))
        self.settings: dict[str, Any] = {
            "device": "hall",
            "camera": {"kind": "images", "source": str(folder / "pictures"), "loop": True, "fps": FPS},
            "model": {"name": str(folder / "red.tflite")},
            "decode": {"max_people": 1},
            "engine": {"kind": "cpu", "threads": 1},
            "people": {"lost_after_s": 0.3, "look_turned_s": 0},
            "mqtt": {"host": "127.0.0.1", "events": {"max_age_s": 3600}},
        }

    def watch(self) -> None:
        """Broker and subscriber."""
        lines = tuple(self.broker_lines)
        broker = Mosquitto(self.folder / "broker", lines=lines, **self.broker_options)
        self.broker = self._stack.enter_context(broker)
        self.settings["mqtt"].setdefault("port", self.broker.port)
        watcher = Watcher(self.watcher_port or self.broker.port, TOPIC, **self.watcher_options)
        self.watcher = self._stack.enter_context(watcher)

    def start(self, *, works: bool = True) -> None:
        """All of it; until the first poses, where there can be some, and two seconds more."""
        self.watch()
        self.start_daemon()
        if works:
            self.wait_for("poses", self.poses)
            self.wait_for("granted event", self.watcher.granted)
            time.sleep(2)

    def start_daemon(self) -> None:
        """As posed.service does; and from now on somebody asks for test events."""
        listener = self._stack.enter_context(Listener(self.folder, watchdog_s=30))
        daemon = Daemon(self.folder, self.settings, self.environment | listener.environment(), self.before)
        self.keeper = self._stack.enter_context(Keeper(daemon, listener))
        self._stack.callback(self._asking.set)
        threading.Thread(target=self._ask, daemon=True).start()

    def poses(self) -> list[float]:
        """When messages of poses came."""
        return self.watcher.times["poses"]

    def _ask(self) -> None:
        number = 0
        while not self._asking.wait(ASK_S):
            number += 1
            self.watcher.ask("test_event", b'{"type": "fall"}' if number % 2 else b'{"type": "gesture"}')

    def log(self) -> str:
        """The daemon's, of all its lives."""
        return self.keeper.daemon.log()

    def says(self, text: str, times: int = 1) -> None:
        """Wait until the log does."""
        self.wait_for(f"{text!r} in the log", lambda: self.log().count(text) >= times)

    def state(self, *names: str) -> Any:
        """The newest `state`, or a part of it; None where there is none."""
        value: Any = self.watcher.state()
        for name in names:
            value = (value or {}).get(name)
        return value

    def wait_for(self, what: str, condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> float:
        """How long it took until it held, s."""
        began_at = time.monotonic()
        while not condition():
            if time.monotonic() - began_at > timeout_s:
                raise FailedError(f"no {what} within {timeout_s:g} s")
            time.sleep(0.02)
        return time.monotonic() - began_at

    def waits(self, part: str) -> float:
        """Wait until `state` says that a part is waited for; how long that took, s."""
        return self.wait_for(
            f"state that waits for the {part}", lambda: self.state(part, "status") == "waiting"
        )

    def ends(self, until: Callable[[], object] = lambda: True) -> None:
        """The fault is over; what is to be well again but for poses."""
        self.ended_at, self.ended_time = time.monotonic(), time.time()
        self.until = until
        self._queued_before = self._queued()

    def _queued(self) -> dict[int, float]:
        """How long the main thread of the daemon's process has stood in line for a processor, s."""
        pid = self.keeper.process.pid
        try:
            text = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii")
        except OSError:  # it has ended
            return {}
        return {pid: int(text.split()[1]) / 1e9}

    def queued_s(self) -> float:
        """The same, since the fault's end or, where it was started again, since its start."""
        return sum(seconds - self._queued_before.get(pid, 0.0) for pid, seconds in self._queued().items())

    def dies(self, deaths: int = 1) -> None:
        """Wait until the process has ended by itself so often: that ends the fault."""
        self.wait_for("end of the process", lambda: len(self.keeper.deaths) >= deaths, 90)
        self.ends()

    def back_s(self) -> float:
        """Wait until all is well; how long that took since the fault's end, s."""
        self.wait_for("fresh poses", self._fresh)
        self.wait_for("end of what the row names", self.until)
        return time.monotonic() - self.ended_at

    def _fresh(self) -> bool:
        newest = self.watcher.kept("poses")[-1:]
        for at, payload in newest:
            time_s = datetime.fromisoformat(json.loads(payload)["time"]).timestamp()
            return at > self.ended_at and (self.fakes_time or time_s > self.ended_time)
        return False

    def finish(self, words: str = "") -> Account:
        """Wait until all is well, and end the daemon; the account, which is taken once."""
        if self._account is None:
            back_s, queued_s = self.back_s(), self.queued_s()
            time.sleep(2)
            self._asking.set()
            missing, give_up_at = self.missing(), time.monotonic() + ARRIVE_S
            while missing and time.monotonic() < give_up_at:
                time.sleep(0.25)
                missing = self.missing()
            self._account = account(self, back_s, queued_s, missing)
            self._stop()
        return replace(self._account, words=words)

    def _stop(self) -> None:
        """It ends well, in time, and says so."""
        began_at = time.monotonic()
        status = self.keeper.stop()
        if status != 0 or time.monotonic() - began_at > STOP_S:
            raise FailedError(f"stopping took {time.monotonic() - began_at:.1f} s, status {status}")
        self.wait_for("`offline`", lambda: self.watcher.payloads("availability")[-1] == b"offline", 5)

    def missing(self) -> Counter[tuple[object, ...]]:
        """The events that were taken and did not come: ids of those granted, and what the log tells of."""
        kills = [
            life.ended_at for life in self.keeper.deaths if life.status == -signal.SIGKILL and life.ended_at
        ]
        arrived = self.watcher.messages("events")
        ids = {event["id"] for event in arrived}
        granted = {
            one: at
            for one, at in self.watcher.granted().items()
            if not any(0 <= kill - at < YOUNG_S for kill in kills)
        }
        lost: Counter[tuple[object, ...]] = Counter((one,) for one in granted.keys() - ids)
        told = Counter(
            (event["type"], event["person"]) for event in unique(arrived) if "test" not in event["detail"]
        )
        return lost + (self.logged() - told)

    def logged(self) -> Counter[tuple[object, ...]]:
        """Type and person of the events that the log tells of, but for the last ones before a kill."""
        found: Counter[tuple[object, ...]] = Counter()
        lives = re.split(r"(?m)^.*INFO posed \S+: device.*$", self.log())[1:]
        for number, text in enumerate(lives):
            deaths = self.keeper.deaths
            killed = number < len(deaths) and deaths[number].status == -signal.SIGKILL
            lines = re.findall(r"(?m)^(\S+ \S+) INFO (\w+): person (\d+)", text)
            last = max((stamp(line) for line in re.findall(r"(?m)^(\d\S+ \d\S+) ", text)), default=0.0)
            for at, kind, who in lines:
                if not killed or last - stamp(at) > YOUNG_S:
                    found[kind, int(who)] += 1
        return found

    def taken(self) -> int:
        """How many events it took."""
        return len(self.watcher.granted()) + self.logged().total()

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()


def stamp(text: str) -> float:
    """The time of a line of the log, s."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").timestamp()  # noqa: DTZ007 only differences count


def unique(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each event once."""
    return list({event["id"]: event for event in events}.values())


def red(seed: int) -> bytes:
    """A picture that the network takes for people."""
    return tinted(seed, 2)


def blue(seed: int) -> bytes:
    """One in which it sees nobody."""
    return tinted(seed, 0)


def tinted(seed: int, channel: int) -> bytes:
    """A JPEG of one colour, bright and noisy enough to be no covered camera."""
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    pixels[..., channel] = 255
    pixels[..., 1] = (
        np.random.default_rng(seed)
        .integers(0, 120, (SIZE[1] // 7, SIZE[0] // 10), np.uint8)
        .repeat(7, 0)
        .repeat(10, 1)
    )
    return bytes(cv2.imencode(".jpg", pixels)[1])


# What a subscriber saw of it


@dataclass(frozen=True)
class Account:
    """The figures of a row; see the top."""

    back_s: float
    queued_s: float
    gap_s: float
    silent_s: float
    wrong_s: float
    lost: int
    taken: int
    statuses: list[int]
    words: str = ""
    names: tuple[str, ...] = ()
    """Of the lost events, which are told behind the words."""

    @property
    def good(self) -> bool:
        """Whether it came out as wanted."""
        back_s = self.back_s - self.queued_s
        return back_s <= BACK_S and self.silent_s <= SILENT_S and self.wrong_s == 0 and self.lost == 0

    def __str__(self) -> str:
        again = f"{len(self.statuses)}" + (
            f" ({', '.join(map(ending, self.statuses))})" if self.statuses else ""
        )
        times = (self.back_s, self.queued_s, self.gap_s, self.silent_s, self.wrong_s)
        figures = "".join(
            f"{time_s:{width}.1f}" for time_s, width in zip(times, (5, 7, 7, 8, 7), strict=True)
        )
        told = "; ".join((self.words, *self.names))
        return f"{figures} {self.lost:5} of {self.taken:<4} {again:<14} {told}"


HEADER: Final = (
    f"{'':6} {'fault':31} {'back':>5} {'queue':>6} {'gap':>6} {'silent':>7} {'wrong':>6} {'lost':>13} "
    f"{'again':<14} what happens"
)


def ending(status: int) -> str:
    """How a process ended."""
    return signal.Signals(-status).name if status < 0 else str(status)


def account(bench: Bench, back_s: float, queued_s: float, missing: Counter[tuple[object, ...]]) -> Account:
    """Look back at a row."""
    poses, now = list(bench.poses()), time.monotonic()
    gaps = [
        (before, after)
        for before, after in zip(poses, [*poses[1:], now], strict=True)
        if after - before > 0.5
    ]
    return Account(
        back_s=round(back_s, 1),
        queued_s=round(queued_s, 1),
        gap_s=round(max((after - before for before, after in gaps), default=0.0), 1),
        silent_s=round(max((silence(bench, *gap) for gap in gaps), default=0.0), 1),
        wrong_s=round(wrong(bench, poses, now), 1),
        lost=missing.total(),
        taken=bench.taken(),
        statuses=[life.status for life in bench.keeper.deaths if life.status is not None],
        names=tuple(" ".join(map(str, one)) for one in missing),
    )


def silence(bench: Bench, began_at: float, ended_at: float) -> float:
    """How long nothing told a subscriber that there are no poses because something is wrong, s."""
    told = [(at, True) for at, connected in bench.watcher.connections if not connected]
    told += [(at, True) for at, payload in bench.watcher.kept("availability") if payload == b"offline"]
    told += [(at, tells(json.loads(payload))) for at, payload in bench.watcher.kept("state")]
    known = False
    for at, bad in sorted(told):
        if at <= began_at:
            known = bad
        elif bad and at < ended_at:
            return 0.0 if known else at - began_at
    return 0.0 if known else ended_at - began_at


def tells(state: dict[str, Any]) -> bool:
    """Whether a `state` says that nothing is seen."""
    parts = (state["camera"]["status"], state["engine"]["status"])
    return parts != ("ok", "ok") or state["people"] is None or state["fps"] == 0


def wrong(bench: Bench, poses: Sequence[float], now: float) -> float:
    """How long `availability` did not tell the truth, s."""
    said = [(at, payload == b"online") for at, payload in bench.watcher.kept("availability")]
    step_s, total_s = 0.1, 0.0
    heard = np.array([*poses, np.inf])
    for at in np.arange(said[0][0], now, step_s):
        online = [value for when, value in said if when <= at][-1]
        connected = [value for when, value in bench.watcher.connections if when <= at][-1]
        if not connected:
            continue
        if online:
            total_s += step_s * dead(bench, at)
        else:
            # Poses before and after, and none of them near the change of what was said.
            changes = [when for when, _ in said if abs(when - at) < SLACK_S]
            total_s += step_s * (not changes and float(np.abs(heard - at).min()) < 0.5)
    return total_s


def dead(bench: Bench, at: float) -> bool:
    """Whether the process had ended for some time, and no other had been started."""
    return any(
        life.ended_at is not None and life.ended_at + SLACK_S < at < life.ended_at + SLACK_S + 60
        for life in bench.keeper.lives
        if not any(
            other.began_at > (life.ended_at or 0) and other.began_at <= at for other in bench.keeper.lives
        )
    )


# The rows. Each does something to the daemon, says `ends`, and returns what happened in a few words.


def broker_absent(bench: Bench) -> str:
    """No broker at the start: the daemon runs all the same, and tells the events of that time later."""
    bench.watch()
    bench.broker.stop()
    bench.start_daemon()
    bench.says("connection refused")
    bench.says("entered:", 3)
    bench.broker.start()
    bench.ends()
    return "waits, and works meanwhile"


def broker_restarts(bench: Bench) -> str:
    """The broker ends and comes back: events are kept, poses dropped and counted."""
    bench.start()
    bench.broker.stop()
    time.sleep(8)
    bench.broker.start()
    bench.ends()
    return "away for 8 s"


def broker_refuses(bench: Bench) -> str:
    """The broker takes the password no more, and then again: asked again and again."""
    users = {"posed": "right", "watcher": "seen"}
    bench.broker_options = {"users": users}
    bench.settings["mqtt"] |= {"username": "posed", "password": "right"}
    bench.watcher_options = {"username": "watcher", "password": "seen"}
    bench.start()
    bench.broker.set_password("posed", "other")
    bench.broker.restart()
    bench.says("not authorized")
    time.sleep(6)
    bench.broker.set_password("posed", "right")
    bench.ends()
    return "asks again, says so once"


def wrong_certificate(bench: Bench) -> str:
    """The broker has a certificate of another authority for a while: refused, and asked again."""
    (bench.folder / "other").mkdir()
    right, wrong = Pki.make(bench.folder), Pki.make(bench.folder / "other")
    bench.watcher_port = free_port()
    bench.broker_options = {"pki": right}
    bench.broker_lines += [f"listener {bench.watcher_port} 127.0.0.1"]
    bench.settings["mqtt"] |= {"host": "localhost", "tls": {"ca": str(right.ca)}}
    bench.start()
    for before, after in ((right, wrong), (wrong, right)):
        bench.broker.stop()
        bench.broker.change(f"certfile {before.server}", f"certfile {after.server}")
        bench.broker.change(f"keyfile {before.server_key}", f"keyfile {after.server_key}")
        bench.broker.start()
        if after is wrong:
            bench.says("certificate not accepted")
            time.sleep(5)
    bench.ends()
    return "not connected to, says why"


def cut(bench: Bench, *match: str, seconds: float) -> None:
    """Drop the packets between daemon and broker, and no others, for some time."""
    rules = [
        ["iptables", "{}", chain, "-p", "tcp", side, str(bench.broker.port), *match, "-j", "DROP"]
        for chain, side in (("INPUT", "--dport"), ("INPUT", "--sport"))
    ]
    for action, wait_s in (("-A", seconds), ("-D", 0)):
        for rule in rules:
            subprocess.run([part.format(action) for part in rule], check=True)
        time.sleep(wait_s)


def beside(bench: Bench) -> None:
    """The subscriber gets a port of its own, so that the daemon's can be cut."""
    bench.watcher_port = free_port()
    bench.broker_lines += [f"listener {bench.watcher_port} 127.0.0.1"]


def half_open(seconds: float) -> Callable[[Bench], str]:
    """Packets between daemon and broker are dropped, and nobody says so, as by a router or a cable."""

    def row(bench: Bench) -> str:
        beside(bench)
        bench.start()
        cut(bench, seconds=seconds)
        bench.ends()
        return f"packets dropped for {seconds:g} s"

    return row


def broker_slow(bench: Bench) -> str:
    """Four packets of five are dropped: what is in a hurry is dropped and counted, events get through."""
    beside(bench)
    bench.start()
    cut(bench, "-m", "statistic", "--mode", "random", "--probability", "0.8", seconds=20)
    bench.ends()
    return "80 % of packets dropped for 20 s"


def broker_hangs(bench: Bench) -> str:
    """The broker keeps its connections and reads nothing until every queue is full: events wait on disk."""
    # Buffers as small as those of a broker that has many clients.
    for name in ("tcp_rmem", "tcp_wmem"):
        Path(f"/proc/sys/net/ipv4/{name}").write_text("4096 4096 4096", encoding="ascii")
    bench.start()
    bench.broker.pause()
    time.sleep(14)
    bench.broker.resume()
    bench.ends()
    bench.wait_for("count of dropped messages", lambda: (bench.state("dropped", "mqtt") or 0) > 0)
    return f"frozen for 14 s; {bench.state('dropped', 'mqtt')} poses dropped and counted"


def camera(bench: Bench) -> PictureServer:
    """A camera on the network instead of pictures, not there yet."""
    names = sorted((bench.folder / "pictures").iterdir(), key=lambda path: int(path.stem))
    server = PictureServer([name.read_bytes() for name in names], FPS)
    server.start()
    source = f"http://127.0.0.1:{server.port}/"
    bench.settings["camera"] = {"kind": "video", "source": source, "timeout_s": 2}
    return server


def camera_absent(bench: Bench) -> str:
    """No camera at the start: the daemon is online, and says what it waits for."""
    server = camera(bench)
    server.stop()
    bench.start(works=False)
    bench.waits("camera")
    time.sleep(8)
    people = bench.state("people")
    server.start()
    bench.ends()
    return f"waits; people: {json.dumps(people)}"


def camera_hangs(bench: Bench) -> str:
    """The camera keeps its connection and gives no frame: opened again after `camera.timeout_s`."""
    server = camera(bench)
    bench.start()
    server.hangs = True
    noticed_s = bench.waits("camera")
    time.sleep(8)
    server.hangs = False
    bench.ends()
    return f"waits after {noticed_s:.1f} s"


def camera_disconnects(bench: Bench) -> str:
    """The camera ends its connections and takes no new ones."""
    server = camera(bench)
    bench.start()
    server.stop()
    noticed_s = bench.waits("camera")
    time.sleep(10)
    server.start()
    bench.ends()
    return f"waits after {noticed_s:.1f} s"


def camera_black(bench: Bench) -> str:
    """The camera gives black frames: no empty room, but a blind camera."""
    server = camera(bench)
    bench.start()
    good = server.pictures
    black = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    server.pictures = [bytes(cv2.imencode(".jpg", black)[1])]
    noticed_s = bench.wait_for("dark camera", lambda: bench.state("camera", "sight") == "dark")
    bench.wait_for("people: null", lambda: bench.state("people") is None)
    server.pictures = good
    bench.ends(lambda: bench.state("camera", "sight") == "ok")
    return f"sight: dark after {noticed_s:.1f} s"


def camera_corrupt(bench: Bench) -> str:
    """The camera gives damaged frames: left out, as far as they cannot be decoded."""
    server = camera(bench)
    bench.start()
    good = server.pictures
    chance = random.Random(1)  # noqa: S311 no secret
    server.pictures = [damaged(one, chance) for one in good]
    time.sleep(8)
    server.pictures = good
    bench.ends()
    return "damaged for 8 s; left out"


def damaged(jpeg: bytes, chance: random.Random) -> bytes:
    """A picture with bytes of chance in its middle, cut short, or none at all."""
    at = chance.randrange(2, len(jpeg))
    return chance.choice(
        (jpeg[:at] + chance.randbytes(40) + jpeg[at + 40 :], jpeg[:at], chance.randbytes(at))
    )


def camera_other_size(bench: Bench) -> str:
    """The camera changes the size of its frames in the middle of the stream, and back."""
    server = camera(bench)
    bench.start()
    good = server.pictures
    for size in ((260, 196), (64, 48)):
        server.pictures = [
            bytes(cv2.imencode(".jpg", cv2.resize(cv2.imdecode(np.frombuffer(one, np.uint8), 1), size))[1])
            for one in good
        ]
        time.sleep(4)
    server.pictures = good
    bench.ends()
    return "twice as large, then half"


def video_ends(bench: Bench) -> str:
    """A video that does not loop is played to its end: the daemon ends well, and is started again."""
    path = bench.folder / "short.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIZE)
    for name in sorted((bench.folder / "pictures").iterdir(), key=lambda path: int(path.stem)) * 4:
        writer.write(cv2.imread(str(name)))
    writer.release()
    bench.settings["camera"] = {"kind": "video", "source": str(path)}
    bench.start()
    bench.dies()
    return "ends with status 0"


def edge_tpu(bench: Bench, kind: str, **behaviour: Any) -> Path:
    """The stand-in behind the real delegate, and the file that is the device; it is not there yet."""
    content = make_tflite(edgetpu=True)
    (bench.folder / "red_edgetpu.tflite").write_bytes(content)
    model = parse_model(content, bench.folder)
    somebody = [person((model.size[1] / 2, model.size[0] / 2), 0.6 * model.size[1])]
    records = [in_steps(heads_of(people, model.size, model.stride), model) for people in (somebody, [])]
    heads = write_heads(bench.folder / "heads", *[records[0]] * (2 * FPS), *[records[1]] * FPS)
    device = bench.folder / "edge-tpu"
    bench.environment = built().environment(Behaviour(heads=heads, device=device, **behaviour))
    bench.settings["engine"]["kind"] = kind
    if kind == "edgetpu":
        bench.settings["model"]["name"] = str(bench.folder / "red_edgetpu.tflite")
    return device


def engine_absent(bench: Bench) -> str:
    """No Edge TPU at the start, and no other wanted: waits, and says so."""
    device = edge_tpu(bench, "edgetpu")
    bench.start(works=False)
    bench.wait_for("refusal", lambda: "no Edge TPU answered" in (bench.state("engine", "why") or ""))
    time.sleep(8)
    device.touch()
    bench.ends()
    return "waits, says so"


def engine_fails(bench: Bench) -> str:
    """Every 60th invoke fails: opened again each time, one frame lost."""
    edge_tpu(bench, "edgetpu", fail_at=60).touch()
    bench.start()
    bench.says("waiting for the engine", 2)
    bench.ends()
    return "opened again"


def engine_gone(bench: Bench) -> str:
    """The Edge TPU is unplugged and plugged in again."""
    device = edge_tpu(bench, "edgetpu")
    device.touch()
    bench.start()
    device.unlink()
    noticed_s = bench.waits("engine")
    time.sleep(10)
    device.touch()
    bench.ends()
    return f"waits after {noticed_s:.1f} s"


def engine_hangs(bench: Bench) -> str:
    """An invoke never returns: after 20 s the process ends with status 5 and is started again."""
    hang = bench.folder / "hang"
    edge_tpu(bench, "edgetpu", hang=hang).touch()
    bench.start()
    hang.touch()
    began_at = time.monotonic()
    bench.wait_for("silence", lambda: time.monotonic() - bench.poses()[-1] > 2)
    hang.unlink()
    bench.dies()
    return f"ends with status 5 after {bench.ended_at - began_at:.0f} s"


def engine_auto(bench: Bench) -> str:
    """The Edge TPU goes away under `auto`: the CPU takes over, and gives way when it is back."""
    device = edge_tpu(bench, "auto")
    device.touch()
    bench.start()
    bench.wait_for("Edge TPU", lambda: bench.state("engine", "kind") == "edgetpu")
    device.unlink()
    fell_s = bench.wait_for("CPU", lambda: bench.state("engine", "kind") == "cpu")
    time.sleep(10)
    device.touch()
    bench.ends(lambda: bench.state("engine", "kind") == "edgetpu")
    return f"CPU after {fell_s:.1f} s, then the Edge TPU"


def kills(bench: Bench) -> str:
    """Killed (-9) at random moments, also while it starts."""
    bench.start()
    chance = random.Random()  # noqa: S311 no secret
    for number in range(6):
        time.sleep(chance.uniform(0, 5) if number else 0)
        bench.wait_for("process", lambda: bench.keeper.process.poll() is None)
        bench.keeper.kill(signal.SIGKILL)
        bench.wait_for("death", lambda number=number: len(bench.keeper.deaths) > number)
    bench.ends()
    return "six times"


def storm(bench: Bench) -> str:
    """SIGTERM and SIGHUP, hundreds of them, until it ends: while it works, and while it starts."""
    bench.start()
    longest_s = 0.0
    for number in (1, 2):
        began_at = time.monotonic()
        while len(bench.keeper.deaths) < number:
            bench.keeper.kill(signal.SIGTERM)
            bench.keeper.kill(signal.SIGHUP)
            time.sleep(0.002)
        longest_s = max(longest_s, time.monotonic() - began_at)
        bench.wait_for("new process", lambda number=number: len(bench.keeper.lives) > number)
        time.sleep(0.5)
    bench.ends()
    return f"ends within {longest_s:.1f} s"


def frozen(bench: Bench) -> str:
    """The whole process stands still (SIGSTOP): the watchdog ends it, 30 s after the last sign of life."""
    bench.start()
    bench.keeper.kill(signal.SIGSTOP)
    bench.dies()
    return "the watchdog ends it; the broker says `offline`"


CGROUPS: Final = Path("/sys/fs/cgroup")
MEMORY_BYTES: Final = 500 * 10**6
HOG: Final = """
import os, time
held = []
while True:
    held.append(os.urandom(10**6))
    time.sleep(0.001)
"""


@contextmanager
def memory_limit(folder: Path) -> Iterator[Path]:
    """A cgroup with little memory, of either version; its file for processes."""
    legacy = (CGROUPS / "memory").is_dir()
    group = (CGROUPS / "memory" if legacy else CGROUPS) / folder.name
    if not legacy:
        (CGROUPS / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
    group.mkdir()
    limit = group / ("memory.limit_in_bytes" if legacy else "memory.max")
    try:
        limit.write_text(str(MEMORY_BYTES), encoding="ascii")
        yield group / "cgroup.procs"
    finally:
        for _ in range(50):
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.1)
            else:
                break


def in_group(processes: Path, first: int) -> list[str]:
    """A command that runs another one in a cgroup; the kernel kills who has the highest `first` (to 1000)."""
    return ["sh", "-c", f'echo $$ >{processes}; echo {first} >/proc/$$/oom_score_adj; exec "$@"', "sh"]


def out_of_memory(bench: Bench) -> str:
    """Something else takes all the memory there is, and the kernel kills the daemon for it."""
    with memory_limit(bench.folder) as processes:
        bench.before = in_group(processes, 1000)
        bench.start()
        hog = subprocess.Popen([*in_group(processes, 0), sys.executable, "-c", HOG])
        try:
            bench.wait_for("kill by the kernel", lambda: bench.keeper.deaths)
            time.sleep(5)
        finally:
            hog.kill()
            hog.wait()
        bench.ends()
        bench.finish()
    return "killed by the kernel"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of a megabyte over a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def durable(bench: Bench) -> bool:
    """Whether the daemon says that its events outlive a power cut."""
    return bench.state("spool", "durable") is True


def disk_full(bench: Bench) -> str:
    """The disk of the state folder is full: events are kept in memory and told, and `state` says so."""
    with small_disk(bench.folder / "state"):
        bench.start()
        filler = bench.folder / "state/filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        bench.wait_for("word of it", lambda: not durable(bench))
        time.sleep(8)
        filler.unlink()
        bench.ends(lambda: durable(bench))
        bench.finish()
    return "in memory meanwhile; `durable: false`"


def read_only(bench: Bench) -> str:
    """The state folder turns read-only under the daemon, and back."""
    state = bench.folder / "state"
    bench.start()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(state)], check=True)
    bench.wait_for("word of it", lambda: not durable(bench))
    time.sleep(8)
    subprocess.run(["umount", str(state)], check=True)
    bench.ends(lambda: durable(bench))
    return "in memory meanwhile; `durable: false`"


def read_only_at_start(bench: Bench) -> str:
    """The state folder is read-only at the start, and later is not."""
    state = bench.folder / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(state)], check=True)
    bench.start()
    bench.wait_for("word of it", lambda: not durable(bench))
    subprocess.run(["umount", str(state)], check=True)
    bench.ends(lambda: durable(bench))
    return "in memory meanwhile; `durable: false`"


def overlay_damaged(bench: Bench) -> str:
    """What requests had changed is zeros after a crash."""
    bench.start()
    (bench.folder / "state/posed/overlay.yaml").write_bytes(bytes(4096))
    bench.keeper.kill(signal.SIGKILL)
    bench.dies()
    bench.says("overlay.yaml: damaged")
    return "set aside as `overlay.yaml.damaged`; starts without it"


HOUR: Final = 3600
YEAR: Final = 365 * 24 * HOUR


def clock_jumps(seconds: int) -> Callable[[Bench], str]:
    """The wall clock is set forwards, back, back behind the start, and right again."""

    def row(bench: Bench) -> str:
        library, offset = bench.folder / "clock.so", bench.folder / "offset"
        source = ROOT / "tests/clock.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        offset.write_text("0", encoding="ascii")
        bench.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)}
        bench.fakes_time = True
        bench.start()
        for jump in (seconds, 0, -seconds, 0):
            fresh = offset.with_suffix(".fresh")
            fresh.write_text(str(jump), encoding="ascii")
            fresh.replace(offset)
            time.sleep(4)
            shown = datetime.fromisoformat(bench.state("time")).timestamp() - time.time()
            if abs(shown - jump) > 60:
                raise FailedError(f"the clock was to jump by {jump} s, and state has it {shown:.0f} s off")
        bench.ends()
        return "forwards, back, behind the start, right again"

    return row


def bad_configurations(bench: Bench) -> dict[str, str]:
    """Files with each kind of error, by the words that the log has for it."""
    good = yaml.safe_dump(bench.settings)
    mqtt = f"port: {bench.broker.port}\n"
    return {
        "expected the node content": good + "camera: [\n",
        "found character": "\tcamera: {}\n",
        "twice": good + "device: other\n",
        "aliases are not allowed": "device: &name hall\nmodel: {name: *name}\n",
        "unknown key": good + "kamera: {}\n",
        "fps: must be at least 1": good.replace(f"fps: {FPS}", "fps: 0"),
        "must be a number": good.replace(f"fps: {FPS}", "fps: many"),
        "got 'eyes'": good.replace("kind: images", "kind: eyes"),
        "polygon": good.replace("lost_after_s", "zones: {bed: {polygon: [[0, 0], [1, 1]]}}\n  lost_after_s"),
        "got neither": good.replace(mqtt, mqtt + "  username: me\n  password: !secret none\n"),
        "must be a readable PEM file": good.replace(mqtt, mqtt + "  tls: {ca: /none.pem}\n"),
        "password_file: must be a readable": good.replace(
            mqtt, mqtt + "  username: me\n  password_file: /none\n"
        ),
        "model.name": good.replace("red.tflite", "none.tflite"),
        "must be settings": "- a list\n",
        "must be a readable YAML file": "\udcff",
        "special characters": "device: \x01\n",
    }


def bad_reloads(bench: Bench) -> str:
    """SIGHUP with a file of each kind of error in turn: refused with its problems, the old one stays."""
    bench.start()
    path, bad = bench.keeper.daemon.config, bad_configurations(bench)
    good = path.read_bytes()
    for number, (words, text) in enumerate(bad.items(), 1):
        path.write_bytes(text.encode(errors="surrogateescape"))
        bench.keeper.kill(signal.SIGHUP)
        bench.says("not reloaded", number)
        if words not in bench.log():
            raise FailedError(f"no {words!r} in the log")
    path.unlink()
    bench.keeper.kill(signal.SIGHUP)
    bench.says("not reloaded", len(bad) + 1)
    path.write_bytes(good)
    bench.keeper.kill(signal.SIGHUP)
    bench.says("INFO reloaded")
    bench.ends()
    return f"{len(bad) + 1} kinds refused, a good file taken"


def flood(bench: Bench) -> str:
    """Requests without end: ten a second are done, the others dropped with a warning a minute."""
    bench.start()
    before = len(bench.poses())
    began_at = time.monotonic()
    for number in range(20_000):
        verb = ("info", "health", "snapshot", "set", "nonsense")[number % 5]
        bench.watcher.ask(verb, b'{"transaction": "%d"}' % number, qos=0)
    for _ in range(50):
        bench.watcher.ask("set", b"x" * 200_000, qos=0)
    bench.wait_for("end of the flood", bench.watcher.has_sent)
    bench.ends()
    lasted_s = time.monotonic() - began_at
    return f"20,050 in {lasted_s:.0f} s; {(len(bench.poses()) - before) / lasted_s:.0f} poses/s meanwhile"


ROWS: Final[dict[str, Callable[[Bench], str]]] = {
    "broker: absent at start": broker_absent,
    "broker: restarted": broker_restarts,
    "broker: refuses": broker_refuses,
    "broker: wrong certificate": wrong_certificate,
    "broker: half-open, short": half_open(8),
    "broker: half-open, long": half_open(40),
    "broker: slow": broker_slow,
    "broker: hangs, full queue": broker_hangs,
    "camera: absent at start": camera_absent,
    "camera: hangs in read": camera_hangs,
    "camera: disconnects": camera_disconnects,
    "camera: black frames": camera_black,
    "camera: corrupt frames": camera_corrupt,
    "camera: other size": camera_other_size,
    "camera: a video ends": video_ends,
    "Edge TPU: absent at start": engine_absent,
    "Edge TPU: fails at an invoke": engine_fails,
    "Edge TPU: gone and back": engine_gone,
    "Edge TPU: hangs in an invoke": engine_hangs,
    "Edge TPU: gone and back, auto": engine_auto,
    "process: kill -9": kills,
    "process: SIGTERM storm": storm,
    "process: frozen (SIGSTOP)": frozen,
    "process: out of memory": out_of_memory,
    "disk: full": disk_full,
    "disk: turns read-only": read_only,
    "disk: read-only at start": read_only_at_start,
    "disk: damaged overlay.yaml": overlay_damaged,
    "clock: ±1 h": clock_jumps(HOUR),
    "clock: ±1 year": clock_jumps(YEAR),
    "configuration: bad reloads": bad_reloads,
    "requests: flood": flood,
}


# The table


def do_row(name: str, result: Path) -> None:
    """Do one row, in namespaces of its own, and write its account, or what went wrong."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    folder = Path(tempfile.mkdtemp(prefix="posed-fault-"))
    bench = Bench(folder)
    try:
        words = ROWS[name](bench)
        done = bench.finish(words)
        result.write_text(json.dumps(asdict(done)), encoding="utf-8")
    except (FailedError, AssertionError, OSError, subprocess.SubprocessError) as error:
        log = bench.log() if hasattr(bench, "keeper") else ""
        text = f"{type(error).__name__}: {error}\n{log[-6000:]}"
        result.with_suffix(".error").write_text(text, encoding="utf-8")
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)


def start_row(name: str, folder: Path) -> tuple[str, Account | str]:
    """Do a row in another process; what came of it."""
    result = folder / f"{list(ROWS).index(name)}.json"
    command = [sys.executable, __file__, "--row", name, "--result", str(result)]
    with result.with_suffix(".log").open("wb") as log:
        subprocess.run(["unshare", "--net", "--mount", *command], stdout=log, stderr=log, check=False)
    if result.exists():
        return name, Account(**json.loads(result.read_text(encoding="utf-8")))
    for suffix in (".error", ".log"):
        if (file := result.with_suffix(suffix)).exists():
            return name, file.read_text(encoding="utf-8", errors="replace")
    return name, "no result"


def main() -> int:
    """Do the rows, and print the table."""
    parser = argparse.ArgumentParser(prog="scripts/check_faults", description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="only rows whose names hold one of these")
    parser.add_argument("--jobs", type=int, default=3, help="rows at a time (default 3)")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        do_row(options.row, options.result)
        return 0
    names = [name for name in ROWS if not options.words or any(word in name for word in options.words)]
    bad = []
    built()
    began_at = time.monotonic()
    print(HEADER, flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="posed-faults-") as folder,
        ThreadPoolExecutor(options.jobs) as pool,
    ):
        for name, done in pool.map(lambda name: start_row(name, Path(folder)), names):
            good = isinstance(done, Account) and done.good
            if not good:
                bad.append(name)
            print(f"{'ok' if good else 'FAILED':6} {name:31} {done}", flush=True)
    print(f"{len(names)} rows in {time.monotonic() - began_at:.0f} s, {len(bad)} not as wanted", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
