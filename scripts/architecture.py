"""Which package of posed imports which, read off the code, and the drawing of it in docs/architecture.svg.

    scripts/python architecture      # writes the drawing

A package imports only those above it: that is what `tests/test_architecture.py` holds the code to.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

POSED: Final = Path(__file__).resolve().parent.parent / "posed"

VOCABULARY: Final = "the vocabulary"

PACKAGES: Final = {
    VOCABULARY: "errors, pose, frame, paths, log, files, timing, uncompiled: leaves that know nothing else",
    "config": "sections, loading, overlay, problems in words",
    "synthetic": "drawn people with known keypoints",
    "camera": "opens a source and yields frames",
    "model": "model files: catalogue, pull, parse, export",
    "engine": "runs a model: image in, arrays out, on CPU or Edge TPU",
    "networks": "what the arrays mean: poses",
    "people": "tracker, smoothing, zones, posture, gestures, falls",
    "drawing": "skeletons on pictures, privacy",
    "pipeline": "capture, inference, scene, idle gate, stage timings",
    "messages": "structs, schemas, topics: what is said",
    "mqtt": "client, event spool, retained state, discovery: how it is said",
    "service": "systemd and the life of the process",
    "control": "what may be asked of a running daemon",
    "web": "the live view",
    "daemon": "builds the parts and runs the main loop",
    "commands": "detect, draw, record, replay, setup, doctor, bench",
    "cli": "the command line",
}
"""Every package, in the order of the design, and what it is for."""


def place_of(module: str) -> str:
    """The package that a module of posed stands in, by its dotted name."""
    name = module.split(".")[1] if "." in module else ""
    if name == "__main__":
        return "cli"
    return name if name in PACKAGES else VOCABULARY


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names of the modules of posed that a file imports, but for type checking alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "posed":
            # `from posed import engine` names a package in what it takes.
            yield from (
                [f"posed.{taken.name}" for taken in node.names] if node.module == "posed" else [node.module]
            )
        elif isinstance(node, ast.Import):
            yield from (taken.name for taken in node.names if taken.name.startswith("posed."))


def arrows() -> dict[tuple[str, str], set[str]]:
    """By (importing, imported) package: the modules that do it, as dotted names."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in sorted(POSED.rglob("*.py")):
        module = ".".join(("posed", *path.relative_to(POSED).with_suffix("").parts))
        for imported in imports_of(path):
            ends = place_of(module), place_of(imported)
            if ends[0] != ends[1]:
                found.setdefault(ends, set()).add(module)
    return found


_ROW, _LEFT, _CELL, _TOP = 26, 520, 26, 120


def drawing() -> str:
    """An SVG: a row and a column for each package; a dot where the row's imports the column's."""
    names = list(PACKAGES)
    width, height = _LEFT + _CELL * len(names) + 20, _TOP + _ROW * len(names) + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        "<title>Which package of posed imports which</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for index, (name, purpose) in enumerate(PACKAGES.items()):
        y, x = _TOP + _ROW * index, _LEFT + _CELL * index
        if index % 2 == 0:
            lines.append(f'<rect x="10" y="{y}" width="{width - 20}" height="{_ROW}" fill="#f2f4f7"/>')
        lines += [
            f'<text x="16" y="{y + 17}" font-size="13" font-weight="bold">{escape(name)}</text>',
            f'<text x="136" y="{y + 17}" font-size="10" fill="#444">{escape(purpose)}</text>',
            f'<text transform="translate({x + 17} {_TOP - 8}) rotate(-60)" font-size="12">',
            f"{escape(name)}</text>",
            f'<rect x="{x + 3}" y="{y + 3}" width="{_CELL - 6}" height="{_ROW - 6}" fill="#c9d2de"/>',
        ]
    for importing, imported in sorted(arrows()):
        x, y = _LEFT + _CELL * names.index(imported), _TOP + _ROW * names.index(importing)
        lines.append(f'<circle cx="{x + 13}" cy="{y + 13}" r="6" fill="#0b57d0"/>')
    return "\n".join([*lines, "</svg>", ""])


DRAWN: Final = POSED.parent / "docs" / "architecture.svg"


def main() -> int:
    """Write the drawing; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/python architecture", description="Draws docs/architecture.svg from the code's imports."
    )
    parser.parse_args()
    DRAWN.write_text(drawing(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
