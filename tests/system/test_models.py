"""Damages real .tflite files and reads them: nothing but a model or ModelError may come of it.

    pytest -m system tests/system/test_models.py [--inputs 20000] [--seed N]

Damages what the reader looks at: it is watched reading each whole file, and 1 to 6 changes are made at or
near those places: bytes, words that are edges of their range, small steps, words from elsewhere in the file,
cuts, and repeated or missing pieces. Files are those that come with posed, those of ../shared where it is
there, and small ones of the tests. A read that takes longer than 2 s counts as a failure, too. The input of
a failure is kept.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from posed.errors import ModelError
from posed.model import tflite
from posed.model.catalogue import BUNDLED_FOLDER
from posed.model.tflite import parse_model
from posed.networks import INPUT_SIZE, network_of
from scripts.paths import SHARED
from tests.make_tflite import make_tflite
from tests.system.conftest import Table

pytestmark = pytest.mark.system

LONGEST_READ_S: Final = 2.0
EDGES: Final = (
    0,
    1,
    2,
    3,
    4,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFC,
    0xFFFFFFFF,
)
LARGEST: Final = 3_000_000
"""Of the files that are damaged, bytes: copying larger ones takes longer than reading them."""


def test_damaged_models_are_read_or_refused(seed: int, table: Table, request: pytest.FixtureRequest) -> None:
    inputs, workers = request.config.getoption("--inputs", default=20_000), len(os.sched_getaffinity(0))
    jobs = [(seed + number, share) for number, share in enumerate(shares(inputs, workers))]
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    with multiprocessing.get_context("forkserver").Pool(workers) as pool:
        for counted, found in pool.starmap(work, jobs):
            outcomes += counted
            bad += found
    table.row(f"seed {seed}: {outcomes.total()} damaged files: {dict(outcomes)}")
    assert outcomes.total() == inputs
    assert not bad, "\n".join(bad[:20])


@dataclass(frozen=True)
class Whole:
    """A file, and where the reader looks."""

    name: str
    content: bytes
    places: list[int]


def whole(name: str, content: bytes) -> Whole:
    """Watch the reader reading a whole file."""
    places: set[int] = set()

    class Watched(tflite._File):
        def _check(self, at: int, size: int) -> None:
            places.update((at, at + size - 1))
            super()._check(at, size)

        def _check_elements(self, at: int, size: int) -> None:
            places.update(range(at, at + min(size, 4096)))
            super()._check_elements(at, size)

    real = tflite._File
    tflite._File = Watched
    try:
        parse_model(content, Path(name))
    finally:
        tflite._File = real
    return Whole(name, content, sorted(place for place in places if 0 <= place < len(content)))


def wholes() -> list[Whole]:
    """The files to damage."""
    folders = (BUNDLED_FOLDER, SHARED / "models")
    paths = [path for folder in folders for path in sorted(folder.rglob("*.tflite"))]
    files = [whole(path.name, path.read_bytes()) for path in paths if path.stat().st_size <= LARGEST]
    for name, content in (("small", make_tflite()), ("decoder", make_tflite(decoder={"stride": 16}))):
        files += [whole(name, content)] * 4  # quick to read, so most of the inputs
    return files


def damaged(one: Whole, chance: random.Random) -> bytes:
    """The file with a few changes."""
    content = bytearray(one.content)
    for _ in range(chance.randint(1, 6)):
        at = min(
            max(chance.choice(one.places) + chance.choice((0, 0, 0, -1, 1, 2, -4, 4)), 0), len(content) - 1
        )
        match chance.randrange(8):
            case 0:
                content[at] = chance.randrange(256)
            case 1:
                content[at] ^= 1 << chance.randrange(8)
            case 2 | 3:
                write(content, at, chance.choice(EDGES))
            case 4:
                write(content, at, read(content, at) + chance.randint(-16, 16))
            case 5:
                write(content, at, read(content, chance.choice(one.places)))
            case 6:
                write(content, at, chance.randrange(2 * len(content)))
            case _ if chance.random() < 0.3:
                del content[at : at + chance.choice((1, 4, 64, len(content)))]
                content = content or bytearray(1)
            case _:
                content[at:at] = content[at : at + chance.choice((1, 4, 64))]
    return bytes(content)


def read(content: bytearray, at: int) -> int:
    """A word, as far as there is one."""
    return int.from_bytes(content[at : at + 4], "little")


def write(content: bytearray, at: int, word: int) -> None:
    """Over what is there."""
    new = struct.pack("<I", word & 0xFFFFFFFF)[: len(content) - at]
    content[at : at + len(new)] = new


def work(seed: int, inputs: int) -> tuple[Counter[str], list[str]]:
    """Read damaged files; what came of them, and what should not have."""
    chance = random.Random(seed)
    files = wholes()
    outcomes: Counter[str] = Counter()
    bad = []
    for _ in range(inputs):
        one = chance.choice(files)
        content = damaged(one, chance)
        began_at = time.process_time()
        try:
            network_of(parse_model(content, Path(one.name)), INPUT_SIZE)
            outcomes["a model"] += 1
        except ModelError:
            outcomes["ModelError"] += 1
        except BaseException as error:  # noqa: BLE001 that is what is looked for
            outcomes[type(error).__name__] += 1
            bad.append(keep(content, one, repr(error)))
        if time.process_time() - began_at > LONGEST_READ_S:
            bad.append(keep(content, one, f"took {time.process_time() - began_at:.1f} s"))
    return outcomes, bad


def keep(content: bytes, one: Whole, what: str) -> str:
    """For whoever mends it."""
    with tempfile.NamedTemporaryFile(prefix="posed-damaged-", suffix=".tflite", delete=False) as file:
        file.write(content)
    return f"{one.name}: {what}: {file.name}"


def shares(inputs: int, count: int) -> Iterator[int]:
    """So many inputs for each worker."""
    for worker in range(count):
        yield inputs // count + (worker < inputs % count)
