"""What goes wrong in a day: broker, camera and Edge TPU go away and come back, and somebody asks much."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Final

from tests.brokers import Mosquitto
from tests.system.watcher import Watcher

CALM_S: Final = (4.0, 20.0)
"""Between two faults, s."""

PATIENCE_S: Final = 60.0


class Faults(threading.Thread):
    """Does something to the daemon now and then.

    Args:
        folder: with its files.
        broker: it speaks to.
        pid: of the daemon.
        watcher: who asks for things.
        chance: of what and when.

    Attributes:
        done: what was done, and when, monotonic, s.
    """

    def __init__(
        self, folder: Path, broker: Mosquitto, pid: int, watcher: Watcher, chance: random.Random
    ) -> None:
        super().__init__(daemon=True)
        self.done: list[tuple[float, str]] = []
        self._folder, self._broker, self._pid = folder, broker, pid
        self._watcher, self._chance = watcher, chance
        self._enough = threading.Event()

    def stop(self) -> None:
        """No more; returns once everything is well again."""
        self._enough.set()
        self.join(PATIENCE_S)

    def run(self) -> None:
        """Until `stop`."""
        faults = (self.restart_broker, self.hang_broker, self.lose_camera, self.lose_engine)
        while not self._enough.wait(self._chance.uniform(*CALM_S)):
            fault = self._chance.choice((*faults, self.ask, self.reload))
            self.done.append((time.monotonic(), fault.__name__))
            fault()

    def _last(self) -> None:
        self._enough.wait(self._chance.uniform(0.1, 3))

    def restart_broker(self) -> None:
        """It is away for up to three seconds."""
        self._broker.stop()
        self._last()
        self._broker.start()

    def hang_broker(self) -> None:
        """It keeps its connections and hears nothing for up to three seconds."""
        self._broker.pause()
        self._last()
        self._broker.resume()

    def lose_camera(self) -> None:
        """It goes away."""
        gone = self._folder / "camera-gone"
        gone.touch()
        self._last()
        gone.unlink(missing_ok=True)

    def lose_engine(self) -> None:
        """It goes away: invokes fail, and so does opening it."""
        device = self._folder / "edge-tpu"
        device.unlink()
        self._last()
        device.touch()

    def ask(self) -> None:
        """For all that is harmless, and a picture."""
        for verb, payload in (
            ("info", b""),
            ("health", b""),
            ("snapshot", b""),
            ("test_event", b'{"type": "fall"}'),
            ("test_event", b'{"type": "gesture"}'),
            ("set", b'{"settings": {"decode.max_people": %d}}' % self._chance.randint(1, 10)),
            ("set", b'{"settings": {"decode.max_people": 0}}'),
            ("nonsense", b"\xff"),
            ("pause", b""),
            ("resume", b""),
        ):
            self._watcher.ask(verb, payload)

    def reload(self) -> None:
        """A good configuration, or one that is refused."""
        path = self._folder / "posed.yaml"
        good = path.read_text(encoding="utf-8")
        if self._chance.random() < 0.5:
            path.write_text("cameras: {room: {kind: none}}\n", encoding="utf-8")
        os.kill(self._pid, signal.SIGHUP)
        time.sleep(1)
        path.write_text(good, encoding="utf-8")
