"""The daemon of a soak, but for a camera that can go away; its folder is the only argument."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from posed.camera import open_camera
from posed.camera.base import Camera
from posed.config import load
from posed.daemon import Daemon
from posed.errors import CameraLost
from posed.frame import Frame


class Unsteady:
    """A real camera that is gone while a file says so.

    Args:
        open_real: opens it.
        gone: the file.
    """

    def __init__(self, open_real: Callable[[], Camera], gone: Path) -> None:
        self._gone = gone
        self._check()
        self._real = open_real()
        self.name, self.live = self._real.name, self._real.live

    def _check(self) -> None:
        if self._gone.exists():
            raise CameraLost("camera: gone")

    def read(self, wait_s: float) -> Frame | None:
        """As the real one's."""
        self._check()
        return self._real.read(wait_s)

    def __enter__(self) -> Self:
        self._real.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._real.__exit__(*error)


def live(folder: Path) -> None:
    """Be the daemon, but for the camera that can go away."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    path = folder / "posed.yaml"
    config = load(path)
    daemon = Daemon(
        config,
        open_camera=lambda name: Unsteady(
            lambda: open_camera(config.cameras[name], (65, 49)), folder / "camera-gone"
        ),
        read_config=lambda: load(path),
    )
    signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
    signal.signal(signal.SIGHUP, lambda *_: daemon.life.ask_reload())
    daemon.run()


if __name__ == "__main__":
    live(Path(sys.argv[1]))
