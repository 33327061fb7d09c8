"""Measures models on the CPU: a row for each file and number of threads, as a table for the README.

Frames per second and times are those of `posed bench` with drawn people; the last column is the fastest
inference without XNNPACK, TFLite's fast kernels, which posed never does without.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from posed.commands.bench.machine import processor
from posed.engine.tflite import find_runtime
from posed.errors import PosedError
from posed.model.tflite import Model, read_model
from scripts.paths import MODELS

PLAIN_INVOKES = 5


def main() -> int:
    """Print the table; returns 1 if a row is missing."""
    options = parse_options()
    paths = options.models or sorted(MODELS.rglob("*.tflite"))
    if not paths:
        raise SystemExit(f"bench.cpu: no model: name some, there is none in {MODELS}")
    print(f"{processor()}; {find_runtime().name}; {options.seconds:g} s for each row\n")
    print(
        "| file | type | size | stride | threads | inference p50 / p99 ms | frames/s | of bare | "
        "memory MB | without XNNPACK, ms |\n" + "|---" * 10 + "|"
    )
    status = 0
    for path in paths:
        model = read_model(path)
        if model.edgetpu:
            continue
        for threads in options.threads:
            figures = bench(path, threads, options.seconds)
            status |= figures is None
            if figures is not None:
                print(row(figures, plain_ms(model, threads)), flush=True)
    return status


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/python bench.cpu", description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, help="files; those of ../shared/models without")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=6, help="for each row (default 6)")
    return parser.parse_args()


def bench(path: Path, threads: int, seconds: float) -> dict[str, Any] | None:
    """What `posed bench` says; None if it fails, which it has explained."""
    command = [sys.executable, "-m", "posed", "bench", "--json", "--engine", "cpu", "--model", str(path)]
    command += ["--threads", str(threads), "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return None if done.returncode else json.loads(done.stdout)


def plain_ms(model: Model, threads: int) -> float:
    """The fastest inference without XNNPACK, ms."""
    module = importlib.import_module(find_runtime().module.__name__)
    interpreter = module.Interpreter(
        model_content=model.content,
        num_threads=threads,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    spans = []
    for _ in range(PLAIN_INVOKES):
        began = time.perf_counter()
        interpreter.invoke()
        spans.append(time.perf_counter() - began)
    return min(spans) * 1000


def row(figures: dict[str, Any], without_ms: float) -> str:
    """One line of the table."""
    model, invoke = figures["model"], figures["stages"]["invoke"]
    times = f"{invoke['p50_ms']:.0f} / {invoke['p99_ms']:.0f}"
    return (
        f"| {model['file'].removesuffix('.tflite')} | {model['type']} | {model['height']}×{model['width']} "
        f"| {model['stride']} | {figures['engine']['threads']} | {times} "
        f"| {figures['fps']:.1f} | {figures['of_bare']:.2f} | {figures['memory_mb']['total']:.0f} "
        f"| {without_ms:.0f} |"
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PosedError as error:
        sys.exit(f"bench.cpu: {error}")
