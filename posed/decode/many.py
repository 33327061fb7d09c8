"""Many people: greedy decoding from the strongest keypoints along the edges of the body.

Source: PersonLab (Papandreou et al. 2018, arXiv:1803.08225), section 3.1, with the keypoint-level soft
non-maximum suppression of Google's own decoder. One thing differs from the latter on purpose: it reads
the first backward edge (left eye to nose) from two channels that belong to other edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from posed.decode.logits import logit_of, logits_of, sigmoid
from posed.engine.base import Head, Heads
from posed.pose import EDGES, KEYPOINT_COUNT, Pose

REFINEMENTS: Final = 5
"""Steps by the short offset after each step by the mid offset."""

_ATTEMPTS: Final = 500
"""Roots followed at most: bounds the time that noise may take; pictures of people need a tenth of it."""

_EDGE_COUNT: Final = len(EDGES)

_FAR: Final = 1e9
"""What an infinite offset counts as, px: it ends at the border like any other that is too long."""


def _neighbours() -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """For each keypoint its neighbours: (keypoint, channel of dy, channel of dx) of the mid offsets."""
    steps: list[list[tuple[int, int, int]]] = [[] for _ in range(KEYPOINT_COUNT)]
    for edge, (parent, child) in enumerate(EDGES):
        steps[parent].append((child, edge, _EDGE_COUNT + edge))
        steps[child].append((parent, 2 * _EDGE_COUNT + edge, 3 * _EDGE_COUNT + edge))
    return tuple(tuple(step) for step in steps)


_NEIGHBOURS: Final = _neighbours()


def decode_many(heads: Heads, max_people: int, score_threshold: float, nms_radius_px: float) -> list[Pose]:
    """Every person in the heads.

    Args:
        heads: as the network gave them.
        max_people: the most poses to find.
        score_threshold: least score of a root keypoint, of a pose as decoded, and of a pose after the
            keypoints that a better pose covers are taken out; 0-1.
        nms_radius_px: keypoints of one kind nearer than this are the same, px of the model input.

    Returns:
        At most max_people poses, best first, points in px of the model input and within it.
    """
    field = _Field(heads)
    found: list[tuple[Points, Scores]] = []
    attempts = _ATTEMPTS
    for keypoint, y, x in field.candidates(logit_of(score_threshold)):
        if len(found) == max_people or attempts == 0:
            break
        if _is_near(found, keypoint, y, x, nms_radius_px):
            continue
        attempts -= 1
        points, scores = field.follow(keypoint, y, x)
        if sum(scores) / KEYPOINT_COUNT >= score_threshold:
            found.append((points, scores))
    poses = _rescored(found, nms_radius_px)
    return sorted(
        (pose for pose in poses if pose.score >= score_threshold), key=lambda pose: pose.score, reverse=True
    )


Points = list[tuple[float, float]]
Scores = list[float]


class _Field:
    """The heads as a field that can be sampled between cells; positions in cells."""

    def __init__(self, heads: Heads) -> None:
        self._logits = logits_of(heads)
        self._height, self._width, _ = self._logits.shape
        self._stride = heads.stride
        self._heatmaps = _Sampler(Head(self._logits.astype(np.float32)), 1.0)
        self._short = _Sampler(heads.short_offsets, 1.0 / heads.stride)
        self._mid = _Sampler(heads.mid_offsets, 1.0 / heads.stride)

    def candidates(self, least_logit: float) -> list[tuple[int, float, float]]:
        """(keypoint, y px, x px) of every local maximum at or above least_logit, best first.

        A cell is a maximum when none of its eight neighbours is greater; its place is moved by the
        short offset.
        """
        logits = self._logits
        padded = np.pad(logits, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
        rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
        largest = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
        cells = np.argwhere((logits >= least_logit) & (logits >= largest))
        order = np.argsort(-logits[tuple(cells.T)], kind="stable")
        return [self._candidate(*cell) for cell in cells[order].tolist()]

    def _candidate(self, row: int, column: int, keypoint: int) -> tuple[int, float, float]:
        y, x = self._step(self._short, row, column, keypoint, KEYPOINT_COUNT + keypoint)
        return keypoint, y * self._stride, x * self._stride

    def follow(self, root: int, root_y: float, root_x: float) -> tuple[Points, Scores]:
        """The pose around a root keypoint: along the edges, both ways.

        The edges are a tree, so only one way leads to each keypoint, in whatever order they are walked.

        Args:
            root: keypoint.
            root_y: px of the model input, as root_x.
            root_x: px.

        Returns:
            17 points (y, x) in px of the model input and their scores.
        """
        points: Points = [(0.0, 0.0)] * KEYPOINT_COUNT
        scores: Scores = [-1.0] * KEYPOINT_COUNT
        reached = [(root, root_y / self._stride, root_x / self._stride)]
        while reached:
            keypoint, y, x = reached.pop()
            points[keypoint] = (y * self._stride, x * self._stride)
            scores[keypoint] = sigmoid(self._heatmaps.sample(y, x, keypoint))
            for neighbour, dy_channel, dx_channel in _NEIGHBOURS[keypoint]:
                if scores[neighbour] < 0:
                    reached.append((neighbour, *self._neighbour(y, x, neighbour, dy_channel, dx_channel)))
        return points, scores

    def _neighbour(
        self, y: float, x: float, keypoint: int, dy_channel: int, dx_channel: int
    ) -> tuple[float, float]:
        y, x = self._step(self._mid, y, x, dy_channel, dx_channel)
        for _ in range(REFINEMENTS):
            y, x = self._step(self._short, y, x, keypoint, KEYPOINT_COUNT + keypoint)
        return y, x

    def _step(
        self, offsets: _Sampler, y: float, x: float, dy_channel: int, dx_channel: int
    ) -> tuple[float, float]:
        """One step by the offset found here, kept inside the grid."""
        next_y = y + offsets.sample(y, x, dy_channel)
        next_x = x + offsets.sample(y, x, dx_channel)
        return min(max(next_y, 0.0), self._height - 1.0), min(max(next_x, 0.0), self._width - 1.0)


class _Sampler:
    """Bilinear samples of a head; only the cells that are read are dequantised.

    Args:
        head: (height, width, channels).
        unit: what a real value is multiplied by.
    """

    def __init__(self, head: Head, unit: float) -> None:
        self._height, self._width, self._channels = head.data.shape
        # A memoryview's elements come as Python numbers, several times faster than an array's.
        self._cells: Sequence[float] = _finite(head.data).reshape(-1).data
        self._scale: float = head.scale * unit
        self._zero_point = head.zero_point

    def sample(self, y: float, x: float, channel: int) -> float:
        """The value at a place in cells, which lies within the grid."""
        top, left = int(y), int(x)
        down, right = y - top, x - left
        row = self._width * self._channels
        at = top * row + left * self._channels + channel
        below = row if top + 1 < self._height else 0
        beside = self._channels if left + 1 < self._width else 0
        cells = self._cells
        upper: float = cells[at] * (1.0 - right) + cells[at + beside] * right
        lower: float = cells[at + below] * (1.0 - right) + cells[at + below + beside] * right
        return (upper * (1.0 - down) + lower * down - self._zero_point) * self._scale


def _finite(data: NDArray[Any]) -> NDArray[Any]:
    """Contiguous, and where it is float without what is no number."""
    if data.dtype == np.float32:
        data = np.nan_to_num(data, posinf=_FAR, neginf=-_FAR)
    return np.ascontiguousarray(data)


def _is_near(found: list[tuple[Points, Scores]], keypoint: int, y: float, x: float, radius_px: float) -> bool:
    squared = radius_px * radius_px
    return any(
        (points[keypoint][0] - y) ** 2 + (points[keypoint][1] - x) ** 2 <= squared for points, _ in found
    )


def _rescored(found: list[tuple[Points, Scores]], radius_px: float) -> list[Pose]:
    """Poses whose score leaves out the keypoints that a better pose has within the radius."""
    if not found:
        return []
    points = np.array([points for points, _ in found])
    scores = np.array([scores for _, scores in found])
    order = np.argsort(-scores.mean(axis=1), kind="stable")
    poses = []
    for rank, index in enumerate(order):
        better: NDArray[np.intp] = order[:rank]
        distances = ((points[better] - points[index]) ** 2).sum(axis=2)
        covered = (distances <= radius_px * radius_px).any(axis=0)
        score = float(np.where(covered, 0.0, scores[index]).mean())
        poses.append(Pose(points[index], scores[index], score))
    return poses
