"""Draws the figures of a soak over its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.system.soak.samples import Sample

PANELS: Final = {
    "memory_mb": "memory, MB",
    "descriptors": "descriptors",
    "threads": "threads",
    "latency_ms": "latency, ms",
    "fps": "frames/s",
}
WIDTH: Final = 860
PANEL_HEIGHT: Final = 110
LEFT: Final = 70
POINTS: Final = 400


def draw(path: Path, samples: Sequence[Sample], faults_s: Sequence[float]) -> None:
    """An SVG with a panel for each figure over the frames, and a tick for each fault."""
    assert set(PANELS) <= {field.name for field in fields(Sample)}
    height = len(PANELS) * PANEL_HEIGHT + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{height}" fill="white"/>'
    ]
    frames = np.array([one.frames for one in samples], float)
    at_s = np.array([one.at_s for one in samples])
    ticks = np.interp(faults_s, at_s, frames)
    for number, (name, title) in enumerate(PANELS.items()):
        values = np.array([getattr(one, name) for one in samples], float)
        parts.append(panel(title, frames, values, ticks, 20 + number * PANEL_HEIGHT))
    parts.append(axis(frames[-1], 20 + len(PANELS) * PANEL_HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def x_of(frames: Any, most: float) -> Any:
    """From frames to where they are drawn."""
    return LEFT + frames / most * (WIDTH - LEFT - 20)


def panel(title: str, frames: Any, values: Any, ticks: Any, top: int) -> str:
    """One figure: its range of each moment, and its mean; what is rarer than one in a hundred is cut off."""
    height = PANEL_HEIGHT - 30
    least = 0.0 if "memory" not in title else float(np.floor(values.min() - 1))
    most = max(float(np.percentile(values, 99)) * 1.1, 1.0) if not least else float(np.ceil(values.max() + 1))
    groups = np.array_split(np.arange(len(values)), min(POINTS, len(values)))
    x = [x_of(frames[group].mean(), frames[-1]) for group in groups]

    def line(reduce: Callable[[Any], Any]) -> list[str]:
        parts = [(min(float(reduce(values[group])), most) - least) / (most - least) for group in groups]
        return [f"{one:.1f},{top + height * (1 - part):.1f}" for one, part in zip(x, parts, strict=True)]

    band = " ".join(line(np.min) + line(np.max)[::-1])
    marks = "".join(f"M{x_of(tick, frames[-1]):.1f},{top + height}v4" for tick in ticks)
    return (
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 20}" height="{height}" fill="none"'
        ' stroke="#ccc"/>'
        f'<text x="{LEFT}" y="{top - 5}">{title}</text>'
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.0f}</text>'
        f'<text x="{LEFT - 6}" y="{top + height}" text-anchor="end">{least:.0f}</text>'
        f'<polygon points="{band}" fill="#bcd4ee"/>'
        f'<polyline points="{" ".join(line(np.mean))}" fill="none" stroke="#1f5fa8"/>'
        f'<path d="{marks}" stroke="#c33" stroke-width="1"/>'
    )


def axis(frames: float, top: int) -> str:
    """How many frames, below all."""
    labels = [
        f'<text x="{x_of(part * frames, frames):.0f}" y="{top}" text-anchor="{anchor}">'
        f"{part * frames:,.0f}</text>"
        for part, anchor in ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1, "end"))
    ]
    note = f'<text x="{LEFT}" y="{top + 20}" fill="#c33">a mark for each fault; along: frames</text>'
    return "".join(labels) + note
