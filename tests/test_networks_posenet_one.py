"""One person out of heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posed.config import DecodeConfig
from posed.model.outputs import OutputTensor
from posed.networks.posenet import decode, decode_one
from posed.networks.posenet.heads import Heads
from posed.pose import KEYPOINT_COUNT
from scripts.standins.heads import heads_of, person, quantised

SIZE = (481, 353)


def a_head_with(cells: list[tuple[int, int]], logits: list[float]) -> Heads:
    """Every keypoint in one cell of a 4×5 grid of stride 16, moved by its own (dy, dx) = (k, -k)."""
    heatmaps = np.full((4, 5, 17), -5.0, np.float32)
    short = np.full((4, 5, 34), 99.0, np.float32)
    for keypoint, ((row, column), logit) in enumerate(zip(cells, logits, strict=True)):
        heatmaps[row, column, keypoint] = logit
        short[row, column, [keypoint, KEYPOINT_COUNT + keypoint]] = keypoint / 4, -keypoint / 4
    mid = np.zeros((4, 5, 64), np.float32)
    return Heads(OutputTensor(heatmaps), OutputTensor(short), OutputTensor(mid), 16)


CELLS = [(keypoint % 4, 1 + keypoint % 4) for keypoint in range(17)]
LOGITS = [keypoint / 4 - 1 for keypoint in range(17)]


def test_a_keypoint_is_at_its_best_cell_plus_its_offset() -> None:
    pose = decode_one(a_head_with(CELLS, LOGITS))
    moves = np.array([(keypoint / 4, -keypoint / 4) for keypoint in range(17)])
    np.testing.assert_allclose(pose.points, np.clip(np.array(CELLS) * 16 + moves, 0, (48, 64)))


def test_a_keypoints_score_is_the_sigmoid_of_its_cell() -> None:
    pose = decode_one(a_head_with(CELLS, LOGITS))
    np.testing.assert_allclose(pose.scores, 1 / (1 + np.exp(-np.array(LOGITS))))


def test_the_pose_score_is_the_mean_of_the_keypoints() -> None:
    pose = decode_one(a_head_with(CELLS, LOGITS))
    assert pose.score == pytest.approx(pose.scores.mean())


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_known_person_is_found_at_every_stride(stride: int) -> None:
    points = person((180, 250), 300)
    np.testing.assert_allclose(decode_one(heads_of([points], SIZE, stride)).points, points, atol=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_quantised_heads_give_the_same_within_half_a_step(dtype: type[np.uint8] | type[np.int8]) -> None:
    heads = heads_of([person((183, 247), 310)], SIZE, 16)
    small = quantised(heads, dtype)
    exact, rounded = decode_one(heads), decode_one(small)
    assert small.short_offsets.data.dtype == dtype
    np.testing.assert_allclose(rounded.points, exact.points, atol=small.short_offsets.scale * 0.501)
    np.testing.assert_allclose(rounded.scores, exact.scores, atol=small.heatmaps.scale * 0.501)


def test_heatmaps_after_the_sigmoid_give_the_same_as_logits() -> None:
    heads = heads_of([person((180, 250), 300)], SIZE, 16)
    scores = OutputTensor((1 / (1 + np.exp(-heads.heatmaps.data))).astype(np.float32))
    after = decode_one(replace(heads, heatmaps=scores, sigmoid=True))
    before = decode_one(heads)
    np.testing.assert_allclose(after.points, before.points)
    np.testing.assert_allclose(after.scores, before.scores, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_what_is_no_number_gives_a_pose_within_input(value: float, sigmoid: bool) -> None:
    hopeless = [OutputTensor(np.full((4, 5, channels), value, np.float32)) for channels in (17, 34, 64)]
    heads = Heads(hopeless[0], hopeless[1], hopeless[2], 16, sigmoid)
    pose = decode_one(heads)
    assert np.isfinite(pose.points).all()
    assert (pose.points >= 0).all()
    assert (pose.points <= (48, 64)).all()
    assert ((pose.scores >= 0) & (pose.scores <= 1)).all()


def test_a_cell_that_is_no_number_is_not_the_best() -> None:
    heads = a_head_with(CELLS, LOGITS)
    heads.heatmaps.data[3, 0] = np.nan
    np.testing.assert_allclose(decode_one(heads).scores, 1 / (1 + np.exp(-np.array(LOGITS))))


def test_decode_drops_the_one_person_below_the_threshold() -> None:
    heads = a_head_with(CELLS, [0.0] * 17)
    assert len(decode(heads, DecodeConfig(people="one", score_threshold=0.49))) == 1
    assert decode(heads, DecodeConfig(people="one", score_threshold=0.51)) == []
