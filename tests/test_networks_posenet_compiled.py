"""The compiled decoder against the same file uncompiled."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posed.model.outputs import OutputTensor
from posed.networks.posenet import many as compiled
from posed.networks.posenet.heads import Heads
from posed.pose import Pose
from scripts.standins.heads import heads_of, person, quantised
from tests.compiled import is_of, load_source, need_compiled
from tests.test_networks_posenet_many import any_heads, row_of

SOURCE = Path(__file__).parent.parent / "posed/networks/posenet/many.py"
WITHIN_PX = 1e-4


plain = load_source(SOURCE, "uncompiled_many")


@pytest.fixture(autouse=True)
def _is_compiled(tmp_path: Path) -> None:
    need_compiled(compiled, tmp_path)


def assert_same(heads: Heads, max_people: int = 50, threshold: float = 0.3, radius_px: float = 20.0) -> None:
    ours: list[Pose] = compiled.decode_many(heads, max_people, threshold, radius_px)
    same: list[Pose] = plain.decode_many(heads, max_people, threshold, radius_px)
    assert len(ours) == len(same)
    for one, other in zip(ours, same, strict=True):
        np.testing.assert_allclose(one.points, other.points, rtol=0, atol=WITHIN_PX)
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-9)
        assert one.score == pytest.approx(other.score, abs=1e-9)


def test_the_source_runs_uncompiled_and_says_so() -> None:
    assert plain.COMPILED is False
    assert compiled.COMPILED is True
    assert Path(compiled.__file__).suffix != ".py"


def test_what_was_compiled_is_this_source() -> None:
    assert is_of(compiled, SOURCE), f"{SOURCE.name} has changed: compile it again"


def test_the_source_runs_without_the_package_cython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cython", None)
    alone = load_source(SOURCE, "many_without_cython")
    assert alone.cython.__name__ == "posed.uncompiled"
    heads = heads_of(row_of(2), (641, 481), 16)
    [one, other] = alone.decode_many(heads, 10, 0.3, 20.0)
    expected = plain.decode_many(heads, 10, 0.3, 20.0)
    np.testing.assert_array_equal([one.points, other.points], [pose.points for pose in expected])


def crowds(
    count: int, stride: int, dtype: str, *, sigmoid: bool = False, most: float = 100.0, seed: int = 0
) -> Heads:
    """People where they may stand in each other's way, with noise; logits are saturated beyond the most."""
    random = np.random.default_rng(seed)
    size = (640 // stride * stride + 1, 480 // stride * stride + 1)
    places = random.uniform((100, 20), (380, 620), (count, 2))
    heads = heads_of([person((y, x), random.uniform(100, 400)) for y, x in places], size, stride)
    noisy = [
        (head.data + random.normal(0, deviation, head.data.shape)).astype(np.float32)
        for head, deviation in ((heads.heatmaps, 1.0), (heads.short_offsets, 4.0), (heads.mid_offsets, 8.0))
    ]
    noisy[0] = np.clip(noisy[0], -most, most)
    if sigmoid:
        noisy[0] = 1 / (1 + np.exp(-noisy[0]))
    heads = Heads(OutputTensor(noisy[0]), OutputTensor(noisy[1]), OutputTensor(noisy[2]), stride, sigmoid)
    return heads if dtype == "float32" else quantised(heads, np.dtype(dtype).type)


DTYPES = ("uint8", "int8", "float32")


@settings(deadline=None, max_examples=40)
@given(
    heads=st.builds(
        crowds,
        count=st.integers(0, 50),
        stride=st.sampled_from([8, 16, 32]),
        dtype=st.sampled_from(DTYPES),
        sigmoid=st.booleans(),
        most=st.sampled_from([0.0, 2.0, 100.0]),
        seed=st.integers(0, 2**32 - 1),
    )
)
def test_both_find_the_same_crowd(heads: Heads) -> None:
    assert_same(heads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_both_find_fifty_people(stride: int, dtype: str) -> None:
    heads = crowds(50, stride, dtype, seed=1)
    assert len(compiled.decode_many(heads, 50, 0.3, 20.0)) > 5
    assert_same(heads)


@settings(deadline=None, max_examples=200)
@given(
    heads=any_heads(),
    max_people=st.integers(1, 50),
    threshold=st.floats(0.001, 0.999),
    radius_px=st.floats(0, 1000),
)
def test_both_find_the_same_in_any_heads(
    heads: Heads, max_people: int, threshold: float, radius_px: float
) -> None:
    assert_same(heads, max_people, threshold, radius_px)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    levels=st.integers(1, 4),
    dtype=st.sampled_from(DTYPES),
    rows=st.integers(1, 6),
    columns=st.integers(1, 8),
)
def test_both_take_equal_roots_in_the_same_order(
    seed: int, levels: int, dtype: str, rows: int, columns: int
) -> None:
    # Few levels: ties and plateaus everywhere, also along the borders.
    random = np.random.default_rng(seed)

    def head(channels: int, top: int) -> OutputTensor:
        return OutputTensor(random.integers(0, top, (rows, columns, channels)).astype(dtype), 1.0, 0)

    assert_same(Heads(head(17, levels), head(34, 30), head(64, 60), 16), threshold=0.4)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_heads_of_different_types_are_the_same_to_both(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1000))
    real = crowds(2, 32, "float32", seed=seed)
    steps = quantised(real, np.uint8)
    mixed = Heads(real.heatmaps, steps.short_offsets, steps.mid_offsets, 32)
    assert_same(mixed)


def test_read_only_and_read_only_heads_can_be_read() -> None:
    heads = heads_of(row_of(2), (641, 481), 16)
    wide = np.repeat(heads.heatmaps.data, 2, axis=2)[:, :, ::2]
    wide.flags.writeable = False
    expected = compiled.decode_many(heads, 10, 0.3, 20.0)
    read_only = Heads(OutputTensor(wide), heads.short_offsets, heads.mid_offsets, 16)
    got = compiled.decode_many(read_only, 10, 0.3, 20.0)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one.points, other.points)


@pytest.fixture
def switches_only_when_released() -> Iterator[None]:
    """A thread that holds the GIL keeps it, so that another only runs where it is let go."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(interval)


def test_another_thread_goes_on_while_one_decodes(switches_only_when_released: None) -> None:
    heads = crowds(50, 8, "uint8", seed=3)
    is_done = threading.Event()
    progress: list[None] = []

    def count() -> None:
        while not is_done.is_set():
            progress.append(None)
            time.sleep(0)  # lets go of the GIL

    thread = threading.Thread(target=count)
    thread.start()
    went_on = False
    for _ in range(200):
        before = len(progress)
        compiled.decode_many(heads, 50, 0.3, 20.0)
        went_on = went_on or len(progress) > before
    is_done.set()
    thread.join()
    assert went_on
