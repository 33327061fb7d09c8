"""What systemd hears of a daemon: the datagrams on its notification socket."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Self


class Listener:
    """Collects what is sent to the socket.

    Args:
        folder: for the socket.
        watchdog_s: how often a sign of life is asked for, s; 0: not at all.

    Attributes:
        messages: every line, oldest first.
        heard_at: when the last sign of life came, monotonic, s; 0: none did.
    """

    def __init__(self, folder: Path, watchdog_s: float = 0) -> None:
        self.messages: list[str] = []
        self.heard_at = 0.0
        self._path = folder / "notify"
        self._watchdog_s = watchdog_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def environment(self) -> dict[str, str]:
        """For the daemon."""
        variables = {"NOTIFY_SOCKET": str(self._path)}
        if self._watchdog_s:
            variables["WATCHDOG_USEC"] = str(round(self._watchdog_s * 1e6))
        return variables

    def said(self, beginning: str) -> list[str]:
        """Every line that begins like this, oldest first."""
        return [line for line in list(self.messages) if line.startswith(beginning)]

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            self.messages += message.decode().splitlines()
            if "WATCHDOG=1" in message.decode():
                self.heard_at = time.monotonic()

    def __enter__(self) -> Self:
        self._socket.bind(str(self._path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.connect(str(self._path))
            last.send(b"")
        self._thread.join(5)
        self._socket.close()
