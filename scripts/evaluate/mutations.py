"""Measures what the tests notice: small random changes of the code, each with its module's own tests.

    scripts/python evaluate.mutations [--changes 300] [--seed 0] [--only people/down.py ...]

A change is one of these, at a random place of a module, each module as often as the others: another
comparison, a sign, `and` for `or`, a negated condition, a number that is one more or less, True for False, a
returned None. cosmic-ray makes them; each is made in a copy of the repository, and nothing here is touched.
Options of decorators and of classes, such as `frozen=True`, and `strict=` stay as they are: no behaviour
depends on them. The tests run until the first that fails. What they do not notice is listed, to be looked at:
some of it is harmless, such as a constant that was fitted to footage, which no test of a module can know.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

from scripts.paths import ROOT

COPIED: Final = ("posed", "tests", "scripts", "config", "docs", "systemd", "pyproject.toml", "README.md")
WANTED: Final = 0.85
LONGEST_S: Final = 300.0
"""Tests that take longer have noticed a change: something waits for ever."""

MODULES: Final[Mapping[str, Sequence[str]]] = {
    "people/events.py": ["people_events"],
    "people/presence.py": ["people_presence"],
    "people/zones.py": ["people_zones"],
    "people/floor.py": ["people_floor"],
    "people/pitch.py": ["people_pitch"],
    "people/posture.py": ["people_posture"],
    "people/down.py": ["people_falls_from", "people_falls"],
    "people/smooth.py": ["people_smooth"],
    "people/similarity.py": ["people_similarity", "people_tracker"],
    "people/rotated_crops.py": ["people_rotated_crops"],
    "mqtt/duplicate_devices.py": ["mqtt_duplicate_devices"],
    "mqtt/retained.py": ["mqtt_retained"],
    "mqtt/requests.py": ["mqtt_requests"],
    "model/tflite.py": ["model_tflite"],
    "pipeline/idle_gate.py": ["pipeline_idle_gate"],
    "config/polygon.py": ["config_polygon"],
    "timing.py": ["timing"],
}
"""By module, its tests."""

KINDS: Final = (
    "ReplaceComparisonOperator",
    "ReplaceUnaryOperator",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "AddNot",
    "NumberReplacer",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
)


class ReturnNone(Operator):  # type: ignore[misc] # cosmic-ray has no types
    """Returns None where a function returns something."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Where such a return is."""
        if node.type == "return_stmt" and node.children[1].get_code().strip() != "None":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, _index: int) -> Any:
        """The same return, of None."""
        node.children[1] = parso.parse(" None").children[0]
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        """cosmic-ray asks for examples; it gets none."""
        return ()


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a module, by its path in posed/: the operator and which of its occurrences."""

    module: str
    operator: str
    occurrence: int

    def apply(self, code: str) -> str | None:
        """The changed code; None where there is nothing to change."""
        changed: str | None = mutate_code(code, operator_named(self.operator), self.occurrence)
        return changed


def main() -> int:
    """Draw changes, test each, and print the shares."""
    options = parse_options()
    random.seed(options.seed)
    modules = options.only or list(MODULES)
    each = -(-options.changes // len(modules))
    changes = [change for module in modules for change in drawn(module, each)]
    with tempfile.TemporaryDirectory(prefix="posed-mutations-") as folder:
        copies = copies_in(Path(folder), options.jobs)
        with ThreadPoolExecutor(options.jobs) as workers:
            noticed = list(workers.map(lambda change: is_noticed(change, copies), changes))
    return report(changes, noticed)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python evaluate.mutations", description="What the tests notice of random changes."
    )
    parser.add_argument("--changes", type=int, default=300, help="how many changes (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="draws others (default 0)")
    parser.add_argument("--jobs", type=int, default=2, help="how many tests at a time (default 2)")
    parser.add_argument("--only", nargs="+", choices=MODULES, help="modules (default all)")
    return parser.parse_args()


def operator_named(name: str) -> Any:
    """An operator of ours or of cosmic-ray."""
    return ReturnNone() if name == ReturnNone.__name__ else get_operator(name)()


def drawn(module: str, count: int) -> list[Change]:
    """So many different changes of a module, or all there are."""
    code = (ROOT / "posed" / module).read_text(encoding="utf-8")
    operators = [
        ReturnNone.__name__,
        *(name for name in operator_names() if name.split("/")[1].startswith(KINDS)),
    ]
    # A kind first, then a place: a module has many more numbers than conditions.
    nodes = list(ast_nodes(get_ast(code)))
    kinds: dict[str, list[Change]] = {}
    for name in operators:
        operator = operator_named(name)
        # cosmic-ray counts every place, also those that stay as they are.
        places = (node for node in nodes for _ in operator.mutation_positions(node))
        changes = [Change(module, name, place) for place, node in enumerate(places) if not is_option(node)]
        if changes:
            kind = next((kind for kind in KINDS if kind in name), name)
            kinds.setdefault(kind, []).extend(changes)
    found: list[Change] = []
    while kinds and len(found) < count:
        kind = random.choice(list(kinds))  # noqa: S311
        found.append(kinds[kind].pop(random.randrange(len(kinds[kind]))))  # noqa: S311
        if not kinds[kind]:
            del kinds[kind]
    return found


def is_option(node: Any) -> bool:
    """Whether a node is in a decorator, in the head of a class, in `strict=`, or a bare `*` of parameters."""
    if node.parent is not None and node.parent.type == "parameters":
        return True
    while (parent := node.parent) is not None:
        in_head = parent.type == "classdef" and node is not parent.children[-1]
        strict = parent.type == "argument" and parent.children[0].get_code(include_prefix=False) == "strict"
        if in_head or strict or parent.type == "decorator":
            return True
        node = parent
    return False


def copies_in(folder: Path, count: int) -> SimpleQueue[Path]:
    """Copies of the repository, each for one test run at a time."""
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(count):
        copy = folder / str(number)
        copy.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, copy)
        copies.put(copy)
    return copies


def is_noticed(change: Change, copies: SimpleQueue[Path]) -> bool:
    """Whether the tests of the module fail with the change; prints the change where they do not."""
    copy = copies.get()
    path = copy / "posed" / change.module
    code = path.read_text(encoding="utf-8")
    changed = change.apply(code) or code
    try:
        path.write_text(changed, encoding="utf-8")
        noticed = not passes(copy, change.module)
    finally:
        path.write_text(code, encoding="utf-8")
        copies.put(copy)
    if not noticed:
        print(f"not noticed in {change.module}: {change.operator}\n{difference(code, changed)}", flush=True)
    return noticed


def passes(copy: Path, module: str) -> bool:
    """Whether the tests of a module pass in a copy."""
    tests = [f"tests/test_{name}.py" for name in MODULES[module]]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # No bytecode: two changes within a second would be taken for one.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def report(changes: Sequence[Change], noticed: Sequence[bool]) -> int:
    """Print the shares; returns 1 below what is wanted."""
    for module in dict.fromkeys(change.module for change in changes):
        answers = [known for change, known in zip(changes, noticed, strict=True) if change.module == module]
        print(f"{module:30s} {sum(answers):3d} of {len(answers):3d}")
    share = sum(noticed) / len(noticed)
    print(f"noticed: {sum(noticed)} of {len(noticed)}, {share:.2f} (wanted: {WANTED})")
    return int(share < WANTED)


def difference(code: str, changed: str) -> str:
    """The lines that a change touches, before and after."""
    lines = unified_diff(code.splitlines(), changed.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


if __name__ == "__main__":
    sys.exit(main())
