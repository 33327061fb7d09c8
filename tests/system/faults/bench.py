"""What a row of the table of faults needs: a broker, a daemon that is kept running, and somebody who watches.

Each row has a network and mounts of its own (unshare), a real mosquitto that keeps sessions, and a real
`posed run` that something starts again 2 s after it ends and ends when its watchdog is not fed for 30 s, as
posed.service has it. A small real network takes red pictures for people, so that people come and go and make
events all the while; test events are asked for beside them. A subscriber with a session sees all that the
broker gives out.
"""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import cv2
import msgspec
import numpy as np

from posed.messages.structs import EventMessage
from posed.messages.words import event_in_words
from tests.brokers import Mosquitto
from tests.make_tflite import UPRIGHT, make_tflite
from tests.run_posed import Daemon
from tests.system.faults.account import CAMERA, CAMERA_STATE, POSES, Account, account
from tests.system.faults.keeper import Keeper
from tests.system.watcher import LASTING, Watcher
from tests.systemd import Listener

TOPIC: Final = "posed/pi"
FPS: Final = 20
SIZE: Final = (130, 98)
PATIENCE_S: Final = 60.0
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
            "device": "pi",
            "cameras": {
                CAMERA: {"kind": "images", "source": str(folder / "pictures"), "loop": True, "fps": FPS}
            },
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
        keeps = ("availability", "events", "state", CAMERA_STATE)
        watcher = Watcher(self.watcher_port or self.broker.port, TOPIC, keeps, **self.watcher_options)
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
        return self.watcher.times[POSES]

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
        """The machine's newest `state`, or a part of it; None where there is none."""
        value: Any = self.watcher.state()
        for name in names:
            value = (value or {}).get(name)
        return value

    def camera(self, name: str) -> Any:
        """What the camera's newest `state` says of it; None where there is none."""
        states = self.watcher.payloads(CAMERA_STATE)
        return json.loads(states[-1])[name] if states else None

    def wait_for(self, what: str, condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> float:
        """How long it took until it held, s."""
        began_at = time.monotonic()
        while not condition():
            if time.monotonic() - began_at > timeout_s:
                raise FailedError(f"no {what} within {timeout_s:g} s")
            time.sleep(0.02)
        return time.monotonic() - began_at

    def waits_for_camera(self) -> float:
        """Wait until the camera's `state` says that it is waited for; how long that took, s."""
        return self.wait_for("camera that is waited for", lambda: self.camera("status") == "waiting")

    def waits_for_engine(self) -> float:
        """The same of the engine."""
        return self.wait_for("engine that is waited for", lambda: self.state("engine", "status") == "waiting")

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
        newest = self.watcher.kept(POSES)[-1:]
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
            self._account = account(
                self.watcher, list(self.keeper.lives), back_s, queued_s, missing, self.taken()
            )
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
        lost: Counter[tuple[object, ...]] = Counter((event_id,) for event_id in granted.keys() - ids)
        told = Counter(
            (event_in_words(msgspec.convert(event, EventMessage)),)
            for event in unique(arrived)
            if "test" not in event["detail"]
        )
        return lost + (self.logged() - told)

    def logged(self) -> Counter[tuple[object, ...]]:
        """The events that the log tells of in words, but for tests, and for the last ones before a kill."""
        found: Counter[tuple[object, ...]] = Counter()
        lives = re.split(r"(?m)^.*INFO posed \S+: device.*$", self.log())[1:]
        for number, text in enumerate(lives):
            deaths = self.keeper.deaths
            killed = number < len(deaths) and deaths[number].status == -signal.SIGKILL
            lines = re.findall(r"(?m)^(\S+ \S+) INFO ((?:Person \d+|Somebody|The fall) .*)$", text)
            last = max((stamp(line) for line in re.findall(r"(?m)^(\d\S+ \d\S+) ", text)), default=0.0)
            for at, words in lines:
                if not words.endswith(" (a test)") and (not killed or last - stamp(at) > YOUNG_S):
                    found[words,] += 1
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
