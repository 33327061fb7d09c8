"""Prints what was measured: a table with a bar per stage, or JSON."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from posed.commands.report import print_line
from posed.pipeline.stage_timings import STAGES

COLUMNS: Final = 80
"""Everything fits a terminal of this width."""

BAR_CELLS: Final = 14

_LABEL: Final = 13
"""The summary's labels have this width."""

_PARTS: Final = {"network": "network", "dsp": "DSP"}
"""Parts of an AI Camera, as people call them."""

_BETWEEN: Final = ("hand-over", "network thread", "camera threads", "library threads")


def show(figures: dict[str, Any], *, as_json: bool) -> None:
    """Print the figures of `posed.commands.bench.measure` on standard output.

    Raises:
        ImageError: standard output cannot be written.
    """
    if as_json:
        print_line(json.dumps(figures))
        return
    text = io.StringIO()  # Console.capture touches standard output, which may be full
    console = Console(file=text, force_terminal=Console().is_terminal, highlight=False, width=COLUMNS)
    for line in _heading(figures):
        console.print(_wrapped(line, 2), markup=False, soft_wrap=True)
    console.print()
    console.print(_stages(figures))
    if len(figures["cameras"]) > 1:
        console.print()
        console.print(_cameras(figures["cameras"]))
    if any(camera.get("sensor") for camera in figures["cameras"].values()):
        console.print()
        console.print(_sensors(figures["cameras"]))
    console.print()
    for line in _summary(figures):
        console.print(_wrapped(line, _LABEL), markup=False, soft_wrap=True)
    console.print()
    console.print(_wrapped(figures["verdict"]["text"], 0), markup=False, soft_wrap=True)
    print_line(text.getvalue().rstrip())


def _wrapped(line: str, indent: int) -> str:
    """A line of at most `COLUMNS` columns, those that follow it indented by so many."""
    return textwrap.fill(
        line, COLUMNS, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def _heading(figures: dict[str, Any]) -> list[str]:
    return [
        f"posed {figures['version']} on {figures['machine']}",
        *_networks(figures),
        f"{_said(figures['cameras'])}; {figures['people']:g} people found in a frame",
        f"decoder {figures['decoder']}",
    ]


def _networks(figures: dict[str, Any]) -> Iterator[str]:
    """What infers: in cameras, and here."""
    inside, model, engine = figures["in_camera"], figures["model"], figures["engine"]
    if inside is not None:
        yield f"{inside['file']}: {_size(inside)}, in the camera"
    if engine is None:
        yield f"engine imx500: {figures['crops']}"
        return
    threads = f", {engine['threads']} threads" if engine["kind"] == "cpu" else ""
    alone = ", for rotated crops alone" if figures["crops"] else ""
    yield f"{model['file']}: {_size(model)}, {model['type']}"
    yield f"engine {engine['kind']} ({engine['device']}{threads}){alone}"


def _size(model: dict[str, Any]) -> str:
    return f"{model['height']}×{model['width']} px, stride {model['stride']}"


def _stages(figures: dict[str, Any]) -> Table:
    table = Table("stage", box=None)
    for column in ("p50 ms", "p90 ms", "p99 ms", "CPU ms", "core %"):
        table.add_column(column, justify="right")
    table.add_column("p50")
    stages = figures["stages"]
    # A camera's wait for its next frame would dwarf all that is work.
    longest_ms = max(stage["p50_ms"] for name, stage in stages.items() if name != "capture") or 1.0
    for name, words in STAGES.items():
        if (stage := stages.get(name)) is None:
            continue
        table.add_row(
            words,
            *(f"{stage[column]:.2f}" for column in ("p50_ms", "p90_ms", "p99_ms", "cpu_ms")),
            f"{figures['cpu_percent'][name]:.1f}",
            bar(stage["p50_ms"] / longest_ms),
        )
    return table


def _said(cameras: dict[str, Any]) -> str:
    """Which cameras are measured."""
    if len(cameras) > 1:
        return "cameras " + ", ".join(f"{name} ({camera['kind']})" for name, camera in cameras.items())
    (camera,) = cameras.values()
    return f"camera {camera['kind']}"


def _cameras(cameras: dict[str, Any]) -> Table:
    table = Table("camera", box=None)
    for column in ("frames/s", "p50 ms", "p99 ms", "dropped", "people"):
        table.add_column(column, justify="right")
    for name, camera in cameras.items():
        latency = camera["latency"]
        table.add_row(
            name,
            f"{camera['fps']:.2f}",
            *(f"{latency[column]:.1f}" for column in ("p50_ms", "p99_ms")),
            str(camera["dropped"]),
            f"{camera['people']:g}",
        )
    return table


def _sensors(cameras: dict[str, Any]) -> Table:
    """What cameras that infer themselves say that it took them."""
    table = Table("in the camera", box=None)
    for column in ("p50 ms", "p90 ms", "p99 ms"):
        table.add_column(column, justify="right")
    for name, camera in cameras.items():
        for part, took in camera.get("sensor", {}).items():
            cells = (f"{took[column]:.2f}" for column in ("p50_ms", "p90_ms", "p99_ms"))
            table.add_row(f"{name}, {_PARTS[part]}", *cells)
    return table


def bar(share: float) -> str:
    """A bar of at most `BAR_CELLS` cells, to an eighth of one."""
    eighths = round(min(1.0, share) * BAR_CELLS * 8)
    return "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _rate(figures: dict[str, Any]) -> str:
    """How many frames there were, and what share of the engine's inferences that is."""
    frames = _count(figures["frames"], "frame")
    rate = f"frames/s     {figures['fps']:g} ({frames} in {figures['seconds']:g} s), "
    if not figures["engine_fps"]:
        return f"{rate}inferred in the camera"
    engine = f"the engine {figures['engine_fps']:g} of them, " if figures["in_camera"] else ""
    return (
        f"{rate}{engine}{figures['of_bare']:.3f} of the {figures['bare_fps']:g} inferences/s of the engine "
        "alone"
    )


def _engine(figures: dict[str, Any]) -> str:
    """How busy it was."""
    if figures["engine"] is None:
        return "engine       none; rotated crops are left out"
    crops = _count(figures["looks"], "rotated crop")
    if lost := figures["engine"]["lost"]:
        return f"engine       lost meanwhile, after {crops}; others were left out: {lost}"
    return (
        f"engine       busy {100 * figures['busy']:.1f} % of the time; with {crops} "
        f"{figures['invokes_per_s']:g} inferences/s, {figures['invokes_of_bare']:.3f} of the engine alone"
    )


def _summary(figures: dict[str, Any]) -> list[str]:
    cpu, memory, latency = figures["cpu_percent"], figures["memory_mb"], figures["latency"]
    dropped = figures["dropped"]
    parts = ", ".join(f"{name} {size:g}" for name, size in memory.items() if name != "total")
    between = ", ".join(f"{name} {share:g}" for name, share in cpu.items() if name in _BETWEEN)
    lines = [
        _rate(figures),
        _engine(figures),
        f"latency      capture to publish: p50 {latency['p50_ms']:.1f}, p90 {latency['p90_ms']:.1f}, "
        f"p99 {latency['p99_ms']:.1f} ms",
        f"dropped      {_count(dropped['frames'], 'frame')}, {_count(dropped['messages'], 'message')}",
        f"CPU          {cpu['total']:g} % of a core; besides the stages: {between}",
        f"memory       {memory['total']:g} MB ({parts})",
    ]
    if figures["temperature_c"] is not None:
        lines.append(f"temperature  {figures['temperature_c']:.1f} °C")
    if figures["throttling"] is not None:
        lines.append(f"throttling   {', '.join(figures['throttling']) or 'none'}")
    return lines
