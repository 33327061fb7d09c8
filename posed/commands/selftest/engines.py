"""Tests the CPU and the Edge TPU: what they say of a known picture, how fast, how hot; pulls its plug."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from posed.camera.images import read_image
from posed.commands.bench.devices import bare_invokes
from posed.commands.bench.machine import throttling
from posed.commands.bench.watch import percentiles_ms
from posed.commands.doctor.checks import Check, Status
from posed.commands.selftest.heads import Difference
from posed.commands.selftest.person import Person
from posed.commands.waiting import Hangs, within
from posed.config import EngineConfig
from posed.engine.base import Engine
from posed.engine.compatibility import LIBRARY, Delegate
from posed.engine.edgetpu import open_edgetpu
from posed.engine.temperature import Thermometer, processor_c
from posed.engine.tflite import open_cpu
from posed.errors import EngineError, EngineLost, ModelError
from posed.frame import Image, Letterbox
from posed.model.catalogue import BUNDLED_FOLDER
from posed.model.outputs import Outputs, OutputTensor
from posed.networks.pair import Pair, load_pair
from posed.paths import cache_folder

PICTURE: Final = BUNDLED_FOLDER / "selftest.png"
EXPECTED: Final = BUNDLED_FOLDER / "selftest.npz"
"""Drawn people, and what `BUNDLED` says of them on x86-64. `scripts/python draw_selftest` makes both."""

BUNDLED: Final = "drawings-257x353-16"

REPEATS: Final = 20
"""An Edge TPU must say the same of the same picture so often."""

LONGEST_S: Final = 30.0
"""Opening an Edge TPU for the first time, and each of its tests, may take so much longer, s."""

PULL_S: Final = 60.0
"""Somebody has this long to pull the plug, and as long to put it back, s."""

AGAIN_S: Final = 0.25
"""A device that is away is looked for again after this long, s."""

_NOT_THE_SAME: Final = "another port, cable or power supply; then another libedgetpu"


@dataclass(frozen=True, slots=True)
class Bench:
    """What the tests of engines share.

    Args:
        config: which engine, and how many threads of the CPU.
        pair: the model.
        seconds: how long speed is measured, s.
        library: the delegate of the Edge TPU.
        cache: keeps which runtimes and delegates fit; None: the cache folder.
    """

    config: EngineConfig
    pair: Pair
    seconds: float
    library: str = LIBRARY
    cache: Path | None = None

    @property
    def picture(self) -> Image:
        """The known picture as the model takes it."""
        return fitted(read_image(PICTURE), self.pair.model.size)

    def open_edgetpu(self) -> Engine:
        """The Edge TPU, with the compiled model."""
        assert self.pair.edgetpu is not None
        delegate = Delegate(self.config.device, self.cache or cache_folder(), self.library)
        limit_s = delegate.timeout_s + LONGEST_S
        return within(
            limit_s, "the Edge TPU", partial(open_edgetpu, self.pair.edgetpu, delegate, "posed selftest")
        )


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """A picture in a model's input.

    Args:
        image: RGB uint8.
        size: (width, height) of the input, px.
    """
    height, width, _ = image.shape
    return np.asarray(Letterbox((width, height), size).apply(image), np.uint8)


def check_bundled(threads: int) -> Check:
    """Whether the CPU says of the known picture what it says elsewhere, with the model that posed brings."""
    pair = load_pair(BUNDLED)
    assert pair.cpu is not None
    try:
        with open_cpu(pair.cpu, threads, "posed selftest") as engine:
            outputs = engine.infer(fitted(read_image(PICTURE), pair.model.size))
    except (EngineError, ModelError) as error:
        return Check("cpu heads", "failed", str(error), "pip install ai-edge-litert")
    difference = Difference.between(outputs, expected_of(outputs))
    status: Status = "ok" if difference.is_small else "failed"
    remedy = "" if difference.is_small else "another version of ai-edge-litert, or another machine"
    return Check("cpu heads", status, f"{BUNDLED}, against those of x86-64: {difference.words}", remedy)


def expected_of(outputs: Outputs) -> Outputs:
    """What outputs should be, with the scales that the model's file gives them."""
    with np.load(EXPECTED) as file:
        return tuple(
            OutputTensor(file[str(index)], output.scale, output.zero_point)
            for index, output in enumerate(outputs)
        )


def check_cpu_speed(bench: Bench) -> Check:
    """How long the CPU takes for the configured model."""
    if bench.pair.cpu is None:
        return Check("cpu speed", "unused", "no plain file of the model")
    before_c = processor_c()
    try:
        with open_cpu(bench.pair.cpu, bench.config.threads, "posed selftest") as engine:
            engine.infer(bench.picture)
            found = _speed(bare_invokes(engine, bench.seconds))
    except (EngineError, ModelError) as error:
        return Check("cpu speed", "failed", str(error), "posed doctor")
    held_back = throttling()
    temperature = _warmth("the processor", before_c, processor_c())
    said = "; ".join(filter(None, [found, f"{bench.config.threads} threads", temperature]))
    if held_back:
        return Check("cpu speed", "warning", f"{said}; {', '.join(held_back)}", "cooling, and a good supply")
    return Check("cpu speed", "ok", said)


def check_edgetpu(bench: Bench, person: Person) -> Iterator[Check]:
    """Whether the Edge TPU says what the CPU of this machine says, how fast, how hot, and without its plug.

    Args:
        bench: what the tests share.
        person: may pull the plug.
    """
    if bench.pair.edgetpu is None:
        status: Status = "failed" if bench.config.kind == "edgetpu" else "unused"
        yield Check("edge tpu heads", status, "no model compiled for it", "model.name: coral-353x481")
        return
    try:
        expected = _expected(bench)
        engine = bench.open_edgetpu()
    except (EngineError, Hangs, ModelError) as error:
        yield Check("edge tpu heads", "failed", str(error), "posed doctor")
        return
    with engine:
        try:
            yield _heads(engine, bench, expected)
            yield _edgetpu_speed(engine, bench)
        except (EngineLost, Hangs) as error:
            yield Check("edge tpu", "failed", str(error), _NOT_THE_SAME)
            return
    yield check_unplugging(bench, person, expected)


def _expected(bench: Bench) -> Outputs | None:
    """What the plain file of the model says of the picture on this machine's CPU; None without one."""
    if bench.pair.cpu is None:
        return None
    with open_cpu(bench.pair.cpu, bench.config.threads, "posed selftest") as engine:
        return engine.infer(bench.picture)


def _heads(engine: Engine, bench: Bench, expected: Outputs | None) -> Check:
    """One answer is held against the CPU's, and further ones against the first."""
    answers = within(LONGEST_S, "the Edge TPU", lambda: [engine.infer(bench.picture) for _ in range(REPEATS)])
    steady = [Difference.between(answer, answers[0]) for answer in answers[1:]]
    changing = sum(difference.most_steps > 0 for difference in steady)
    again = (
        f"{REPEATS} times the same" if not changing else f"another answer {changing} of {REPEATS - 1} times"
    )
    if expected is None:
        status: Status = "failed" if changing else "warning"
        return Check("edge tpu heads", status, f"no plain file of the model to compare with; {again}", "")
    difference = Difference.between(answers[0], expected)
    found = f"against this CPU's: {difference.words}; {again}"
    if difference.is_small and not changing:
        return Check("edge tpu heads", "ok", found)
    return Check("edge tpu heads", "failed", found, _NOT_THE_SAME)


def _edgetpu_speed(engine: Engine, bench: Bench) -> Check:
    """How long an invoke takes; a PCIe module says how hot it gets."""
    thermometer = Thermometer()
    before_c = thermometer.read(engine.kind, bench.config.device)
    spans_s = within(bench.seconds + LONGEST_S, "the Edge TPU", partial(bare_invokes, engine, bench.seconds))
    after_c = Thermometer().read(engine.kind, bench.config.device)
    found = "; ".join(filter(None, [_speed(spans_s), _warmth("the Edge TPU", before_c, after_c)]))
    return Check("edge tpu speed", "ok", found)


def _speed(spans_s: list[float]) -> str:
    spans = percentiles_ms(spans_s)
    ranks = ", ".join(f"{name.removesuffix('_ms')} {value:.2f}" for name, value in spans.items())
    return f"{len(spans_s)} invokes, {ranks} ms, {len(spans_s) / sum(spans_s):.1f} per second"


def _warmth(what: str, before_c: float | None, after_c: float | None) -> str:
    if before_c is None or after_c is None:
        return ""
    return f"{what} {before_c:.0f} °C before, {after_c:.0f} °C after"


def check_unplugging(
    bench: Bench,
    person: Person,
    expected: Outputs | None,
    clock: Callable[[], float] = time.monotonic,
) -> Check:
    """Whether an Edge TPU on USB that is pulled out is missed, and works again when it is back.

    Args:
        bench: what the tests of engines share.
        person: pulls the plug.
        expected: what the CPU says of the picture; None where that is not known.
        clock: monotonic time, s.
    """
    if bench.config.device.startswith("pci") or any(Path("/dev").glob("apex_*")):
        return Check("unplugging", "unused", "a PCIe module is not to be pulled out")
    if not person.is_there:
        return Check("unplugging", "unused", "nobody to pull the plug: no terminal, or --no-unplug")
    try:
        why = _lost(bench, person, clock)
        if not why:
            return Check("unplugging", "warning", f"nobody pulled it out within {PULL_S:g} s", "")
        person.ask(f"Now put it back in (within {PULL_S:g} s).")
        took_s = _works_again(bench, expected, clock)
    except Hangs as error:
        return Check("unplugging", "failed", str(error), "what posed does then: docs/faults.md, What hangs")
    if took_s is None:
        return Check("unplugging", "failed", f"missed ({why}), but it does not come back", "plug it in again")
    return Check("unplugging", "ok", f"missed ({why}); works again {took_s:.1f} s after that was asked for")


def _lost(bench: Bench, person: Person, clock: Callable[[], float]) -> str:
    """Why the device answers no more once somebody was asked to pull it out; empty where it always did."""
    picture = bench.picture
    try:
        with bench.open_edgetpu() as engine:
            person.ask(f"Now pull the Coral out (within {PULL_S:g} s).")
            until = clock() + PULL_S
            while clock() < until:
                within(LONGEST_S, "the Edge TPU that was pulled out", partial(engine.infer, picture))
    except EngineLost as error:
        return str(error)
    return ""


def _works_again(bench: Bench, expected: Outputs | None, clock: Callable[[], float]) -> float | None:
    """How long it took until the device was back and answered as the CPU does, s; None where it did not."""
    began_at = clock()
    while clock() - began_at < PULL_S:
        try:
            with bench.open_edgetpu() as engine:
                answer = within(LONGEST_S, "the Edge TPU", partial(engine.infer, bench.picture))
        except EngineLost:
            time.sleep(AGAIN_S)
            continue
        if expected is None or Difference.between(answer, expected).is_small:
            return clock() - began_at
    return None
