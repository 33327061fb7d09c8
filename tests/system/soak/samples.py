"""What is noted of the daemon every second, and whether it grows with the frames.

A slope is the one of a straight line through 20 means over equal parts of the time after the first tenth,
with its 95 % confidence interval: means, because what follows closely upon another sample is no sample of its
own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tests.system.soak.faults import Faults
from tests.system.watcher import Watcher

POSES: Final = "room/poses"
"""The frames of the only camera come here, below the device's topic."""

WARM_UP: Final = 0.1
PARTS: Final = 20
T_95: Final = 2.101
"""Student's t for a two-sided 95 % and 18 degrees of freedom: two fewer than parts."""


@dataclass(frozen=True)
class Sample:
    """The daemon at one time."""

    at_s: float
    frames: int
    memory_mb: float
    descriptors: int
    threads: int
    latency_ms: float
    fps: float


def sample(pid: int, began_at: float, watcher: Watcher, before: Sample | None) -> Sample:
    """Look at the process, and at the newest message."""
    proc = Path(f"/proc/{pid}")
    pages = int((proc / "statm").read_text(encoding="ascii").split()[1])
    poses = watcher.messages(POSES)
    at_s, frames = time.monotonic() - began_at, poses[-1]["sequence"] + 1 if poses else 0
    fps = (frames - before.frames) / (at_s - before.at_s) if before else 0.0
    return Sample(
        at_s=round(at_s, 2),
        frames=frames,
        memory_mb=round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 3),
        descriptors=len(list((proc / "fd").iterdir())),
        threads=len(list((proc / "task").iterdir())),
        latency_ms=poses[-1]["latency_ms"] if poses else 0.0,
        fps=round(fps, 1),
    )


@dataclass(frozen=True)
class Slope:
    """Of a straight line, per million frames, and half the width of its confidence interval."""

    mean: float
    per_million: float
    within: float

    @classmethod
    def of(cls, frames: Sequence[float], values: Sequence[float]) -> Slope:
        """Through the means of equal parts, after the warm-up."""
        x, y = np.array(frames, float) / 1e6, np.array(values, float)
        late = x >= WARM_UP * x[-1]
        parts = np.array_split(np.flatnonzero(late), PARTS)
        x, y = (np.array([axis[part].mean() for part in parts]) for axis in (x, y))
        slope, level = np.polyfit(x, y, 1)
        spread = np.sqrt(((y - slope * x - level) ** 2).sum() / (PARTS - 2) / ((x - x.mean()) ** 2).sum())
        return cls(float(y.mean()), float(slope), float(T_95 * spread))

    def grows(self, tolerated: float) -> bool:
        """Whether it certainly rises, by more than may be."""
        return self.per_million - self.within > 0 and self.per_million > tolerated


def write_samples(path: Path, samples: Sequence[Sample], faults: Faults, began_at: float) -> None:
    """One line of JSON for each, and one for the faults."""
    lines = [json.dumps(asdict(one)) for one in samples]
    lines.append(json.dumps({"faults": [(round(at - began_at, 2), name) for at, name in faults.done]}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
