"""Runs the `posed` command as a user does, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from scripts.ports import free_port
from tests.make_tflite import make_tflite

STOP_S = 2.0
"""How long the daemon may take to end, s."""


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, with state and cache in a folder of the test."""
    cleaned = {name: value for name, value in os.environ.items() if not name.startswith("POSED_")}
    own = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CACHE_HOME": str(folder / "cache")}
    return cleaned | own | dict(more or {})


def posed(
    folder: Path, *arguments: object, more: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "posed", *map(str, arguments)],
        env=environment(folder, more),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def complaints(stderr: str) -> str:
    """What a command said, less the warning of a slow runtime, which is right where there is no other."""
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if "is the only TFLite runtime here" not in line)


def on_drawn_people(folder: Path) -> dict[str, Any]:
    """The configuration of a daemon on drawn people, with a small model, whose broker is away."""
    (folder / "red.tflite").write_bytes(make_tflite())
    return {
        "device": "hall",
        "cameras": {"camera": {"kind": "synthetic", "fps": 10}},
        "model": {"name": str(folder / "red.tflite")},
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
    }


class Daemon:
    """`posed run` in the background.

    Args:
        folder: for configuration, log, state and cache.
        settings: the configuration.
        more: variables of its environment.
        before: a command that runs it, such as `nice`.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        more: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self.config = folder / "posed.yaml"
        self.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self._log = folder / "posed.log"
        self._environment = environment(folder, more)
        self._before = list(before)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._before, sys.executable, "-m", "posed", "run", "--config", str(self.config)],
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM, within_s: float = STOP_S) -> int:
        """Ends it with a signal; fails where it takes longer than it may."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(within_s)

    def wait(self, timeout_s: float = 30) -> int:
        """Its exit status, once it ends by itself."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def stopped(self) -> bool:
        """Whether a SIGSTOP has taken effect."""
        assert self.process is not None
        state = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0]
        return state == "T"

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
