"""What the machine says of itself: memory, throttling; its name."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Final

SYS: Final = Path("/sys")
PROC: Final = Path("/proc")

_FIRMWARE: Final = "devices/platform/soc/soc:firmware/get_throttled"
_THROTTLING: Final = (
    (0, "under-voltage"),
    (1, "frequency capped"),
    (2, "throttled"),
    (3, "soft temperature limit"),
)
"""These bits of the firmware's word are set while it throttles, and those 16 higher once it has throttled
since the start. Source: Raspberry Pi's documentation of `vcgencmd get_throttled`."""


class Memory:
    """Resident memory, attributed to what was loaded between two measurements.

    Attributes:
        parts_mb: what each part added, in the order of loading, MB; together the memory of the process.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._seen_mb = 0.0
        self.parts_mb: dict[str, float] = {}

    def note(self, part: str) -> None:
        """Attribute to this part all memory that came since the last call."""
        now_mb = resident_mb(self._proc)
        self.parts_mb[part] = round(now_mb - self._seen_mb, 1)
        self._seen_mb = now_mb

    @property
    def total_mb(self) -> float:
        """Memory of the process at the last call, MB."""
        return round(self._seen_mb, 1)


def resident_mb(proc: Path = PROC) -> float:
    """Memory of this process that is in RAM, shared libraries included, MB (10^6 bytes)."""
    pages = int((proc / "self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def throttling(sys: Path = SYS) -> list[str] | None:
    """What holds a Raspberry Pi back, or has since it started; None where nothing tells, as elsewhere."""
    word = _throttled_word(sys)
    if word is None:
        return None
    return [name for bit, name in _THROTTLING if word >> bit & 1] + [
        f"{name} earlier" for bit, name in _THROTTLING if word >> bit + 16 & 1 and not word >> bit & 1
    ]


def _throttled_word(sys: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((sys / _FIRMWARE).read_text(encoding="ascii"), 16)
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        said = subprocess.run(
            ["vcgencmd", "get_throttled"],  # noqa: S607 found where the system has it
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout
        return int(said.partition("=")[2], 16)
    return None


def processor(proc: Path = PROC) -> str:
    """The processor's name and the cores that this process may use, for people."""
    name = platform.machine()
    for field in ("Model", "model name"):  # a Pi's board, which comes last; any other's processor
        for line in (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == field:
                return f"{value.strip()} ({name}), {cores()} cores"
    return f"{name}, {cores()} cores"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))
