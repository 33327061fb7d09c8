"""Runs `posed app` as the image of the Home Assistant app does, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from scripts.ports import free_port
from tests.make_tflite import make_tflite
from tests.run_posed import environment
from tests.supervisor import PROXY, Supervisor


class App:
    """`posed app` with drawn people, as the image runs it.

    Args:
        folder: has its options and its data, the owner's file, and what it makes of them.
        supervisor: who starts it.
        options: that are others than the defaults.
    """

    def __init__(self, folder: Path, supervisor: Supervisor | None, **options: Any) -> None:
        self.data, self.config, self.made = folder / "data", folder / "config", folder / "run" / "posed.yaml"
        self.log = folder / "log"
        for each in (self.data, self.config):
            each.mkdir(exist_ok=True)
        (folder / "red.tflite").write_bytes(make_tflite())
        self.write(
            {
                "cameras": {"hall": {"kind": "synthetic", "fps": 5}},
                "model": {"name": str(folder / "red.tflite")},
            }
        )
        self.set(**options)
        self._folder, self._supervisor = folder, supervisor
        self.port = free_port()
        self.process: subprocess.Popen[bytes]

    def started_by(self, supervisor: Supervisor) -> None:
        """Be started by this one, which had to know the app's port first."""
        self._supervisor = supervisor

    def set(self, **options: Any) -> None:
        tree = {"device": "posed", "cameras": [], "pictures": "off", "mqtt": {}} | options
        (self.data / "options.json").write_text(json.dumps(tree), encoding="utf-8")

    def write(self, settings: dict[str, Any]) -> None:
        (self.config / "posed.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        own = {"POSED_WEB__PORT": str(self.port), "POSED_WEB__TRUSTED_PROXY": PROXY}
        words = ["--data", self.data, "--config", self.config, "--made", self.made]
        if self._supervisor is not None:
            own["SUPERVISOR_TOKEN"] = self._supervisor.token
            words += ["--supervisor", self._supervisor.url]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "posed", "app", *map(str, words)],
                env=environment(self._folder, own),
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            yield self.process
        finally:
            self.process.kill()
            self.process.wait()

    def ended(self) -> tuple[int, str]:
        """Status and log of one that ends by itself."""
        with self.running() as process:
            return process.wait(60), self.log.read_text()
