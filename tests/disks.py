"""Small disks of their own for tests: full, read-only, and well again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Self

import pytest


class Disk:
    """A file system in memory; the test is skipped where it may not be mounted.

    Args:
        folder: where, made if it is missing.
        size_bytes: how much it holds.
    """

    def __init__(self, folder: Path, size_bytes: int = 512 * 1024) -> None:
        self.folder = folder
        self._size_bytes = size_bytes

    def fill(self) -> None:
        """Leaves no room at all."""
        with (self.folder / "fill").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        (self.folder / "fill").unlink()

    def protect(self) -> None:
        """Makes it read-only, also for root; nobody may have a file open for writing."""
        self._mount("-o", "remount,ro")

    def unprotect(self) -> None:
        self._mount("-o", "remount,rw")

    def _mount(self, *arguments: str) -> None:
        done = subprocess.run(
            ["mount", *arguments, str(self.folder)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"needs to mount a file system: {done.stderr.strip()}")

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            pytest.skip("needs root, to mount a file system")
        self.folder.mkdir(exist_ok=True)
        self._mount("-t", "tmpfs", "-o", f"size={self._size_bytes}", "tmpfs")
        return self

    def __exit__(self, *_: object) -> None:
        # Lazy, so that a spool which a failed test left open does not keep it mounted.
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
