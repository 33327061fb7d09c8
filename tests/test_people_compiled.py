"""The compiled arithmetic of people against the same file uncompiled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posed.config import PeopleConfig
from posed.people import bodies as compiled
from posed.people.tracker import Tracker
from posed.pose import Pose
from tests.compiled import is_of, load_source, need_compiled

SOURCE = Path(__file__).parent.parent / "posed/people/bodies.py"

plain = load_source(SOURCE, "uncompiled_bodies")

Results = list[np.ndarray]


@pytest.fixture(autouse=True)
def _is_compiled(tmp_path: Path) -> None:
    need_compiled(compiled, tmp_path)


def test_the_source_runs_uncompiled_and_says_so() -> None:
    assert plain.COMPILED is False
    assert compiled.COMPILED is True


def test_what_was_compiled_is_this_source() -> None:
    assert is_of(compiled, SOURCE), f"{SOURCE.name} has changed: compile it again"


def test_the_source_runs_without_the_package_cython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cython", None)
    alone = load_source(SOURCE, "bodies_without_cython")
    assert alone.cython.__name__ == "posed.uncompiled"
    for got, expected in zip(sized(alone, Crowd(3, 1)), sized(plain, Crowd(3, 1)), strict=True):
        np.testing.assert_array_equal(got, expected)


class Crowd:
    """Random people, and what is known of them."""

    def __init__(self, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        share = random.choice([0.0, 0.1, 0.5, 1.0], (count, 1))
        self.count = count
        self.points, self.before, self.raw, self.velocity = random.normal(0, 100, (4, count, 17, 2))
        self.scores, self.counts = random.random((2, count, 17))
        self.seen, self.visible = (random.random((2, count, 17)) < share).astype(np.uint8)
        self.counts[random.random((count, 17)) < share] = 0.0
        self.seen_at = random.choice([-np.inf, 0.5, 1.0, 1.9, 2.0], (count, 17))
        self.sizes, self.slack, self.fading = random.uniform(
            [[50], [0], [0]], [[400], [0.3], [1]], (3, count)
        )
        self.ways = random.normal(0, 9, (count, 2))


def sized(module: ModuleType, crowd: Crowd) -> Results:
    sizes, trusts = np.empty((2, crowd.count))
    given = (crowd.points, crowd.seen, sizes, trusts)
    module.measure(*map(module.view, given), module.room_for(17))
    return [sizes, trusts]


def likened(module: ModuleType, crowd: Crowd) -> Results:
    alike = np.empty((crowd.count, crowd.count))
    given = (crowd.points, crowd.scores, crowd.sizes, crowd.before, crowd.counts, crowd.slack, alike)
    module.liken(*map(module.view, given))
    return [alike]


def gone(module: ModuleType, crowd: Crowd) -> Results:
    ways = np.empty((crowd.count, 2))
    given = (crowd.before, crowd.counts, crowd.points, crowd.scores, ways)
    module.find_ways(*map(module.view, given), module.room_for(17))
    return [ways]


def remembered(module: ModuleType, crowd: Crowd) -> Results:
    known, counts, middles = crowd.before.copy(), crowd.counts.copy(), np.empty((crowd.count, 2))
    given = (known, counts, crowd.points, crowd.scores, crowd.seen, crowd.ways, crowd.fading)
    module.remember(*map(module.view, given))
    module.find_middles(*map(module.view, (known, crowd.seen, middles)), module.room_for(17))
    return [known, counts, middles]


def steadied(module: ModuleType, crowd: Crowd) -> Results:
    fields = (crowd.before, crowd.counts, crowd.visible, crowd.raw, crowd.velocity, crowd.seen_at)
    kept = [field.copy() for field in fields]
    given = (*kept, crowd.points, crowd.scores, crowd.seen, crowd.sizes, crowd.ways)
    module.steady(*map(module.view, given), 2.0, True, 1.0, 3.0, 0.6)
    return kept


def held(module: ModuleType, crowd: Crowd) -> Results:
    kept = [field.copy() for field in (crowd.before, crowd.counts, crowd.visible, crowd.seen_at)]
    module.hold(*map(module.view, (*kept, crowd.ways)), 2.0, 0.6)
    return kept


def ranked(module: ModuleType, crowd: Crowd) -> Results:
    found = np.empty(crowd.count)
    module.quantiles(
        *map(module.view, (crowd.scores, crowd.counts)), 0.7, module.view(found), module.room_for(17)
    )
    return [found]


@pytest.mark.parametrize("work", [sized, likened, gone, remembered, steadied, held, ranked])
@settings(deadline=None, max_examples=40)
@given(count=st.integers(0, 6), seed=st.integers(0, 2**32 - 1))
def test_both_give_the_same(work: Callable[[Any, Crowd], Results], count: int, seed: int) -> None:
    crowd = Crowd(count, seed)
    for got, expected in zip(work(compiled, crowd), work(plain, crowd), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-9)


def followed() -> list[list[float]]:
    """Where a tracker has the keypoints of two people in each of ten frames."""
    tracker, random = Tracker(PeopleConfig(), 0.2), np.random.default_rng(3)
    bodies = random.uniform(0, 200, (2, 17, 2)) + np.array([[[100, 100]], [[100, 400]]])
    places = []
    for number in range(10):
        poses = [Pose(body + random.normal(0, 1, (17, 2)), np.full(17, 0.9), 0.9) for body in bodies]
        people = tracker.update(poses, number / 10, (640, 480))
        places.append(np.concatenate([person.pose.points.ravel() for person in people] or [[]]).tolist())
    return places


WITHOUT = """
import json, sys
from pathlib import Path
from tests.compiled import load_source
sys.modules["posed.people.bodies"] = load_source(Path(sys.argv[1]), "posed.people.bodies")
from tests.test_people_compiled import followed
print(json.dumps(followed()))
"""


def test_people_are_followed_uncompiled_as_compiled() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, SOURCE], stdout=subprocess.PIPE, check=True)
    alone, places = json.loads(done.stdout), followed()
    assert len(places[-1]) == 2 * 17 * 2
    for got, expected in zip(alone, places, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-9)
