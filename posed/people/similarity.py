"""How alike two poses are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from posed.people.bodies import liken, view
from posed.people.size import body_size
from posed.pose import Pose

Floats = NDArray[np.float64]

_SAME: Final = 0.5
"""Two poses of one frame that are more alike are one person's."""


class Crowd(Struct, frozen=True, eq=False, gc=False):
    """Poses beside each other.

    Args:
        points: (N, 17, 2) px.
        scores: (N, 17), 0-1; 0 for a keypoint that does not count.
    """

    points: Floats
    scores: Floats

    @classmethod
    def of(cls, poses: Sequence[Pose], threshold: float) -> Self:
        """At least one pose; keypoints scored below the threshold do not count."""
        scores = np.array([pose.scores for pose in poses])
        return cls(np.array([pose.points for pose in poses]), np.where(scores >= threshold, scores, 0.0))

    def at(self, rows: Sequence[int]) -> Crowd:
        """Some of them, in this order."""
        if len(rows) == len(self.points) and list(rows) == list(range(len(rows))):
            return self  # as nearly always: a copy takes longer than to see that
        return Crowd(self.points[rows], self.scores[rows])


def similarity(crowd: Crowd, sizes_px: Floats, others: Crowd, slack: Floats) -> Floats:
    """Object keypoint similarity of everybody with everybody; keypoints count as they are scored in both.

    Args:
        crowd: M poses.
        sizes_px: (M,) heights of those people, standing upright.
        others: N poses.
        slack: (M,) by how much more keypoints may be off, as a share of the size.

    Returns:
        (M, N), 0-1.

    Source: COCO's keypoint evaluation, cocodataset.org; weighting by scores is ours.
    """
    alike = np.empty((len(crowd.points), len(others.points)))
    liken(
        view(crowd.points),
        view(crowd.scores),
        view(sizes_px),
        view(others.points),
        view(others.scores),
        view(slack),
        view(alike),
    )
    return alike


def is_same(pose: Pose, others: Sequence[Pose], threshold: float) -> bool:
    """Whether a pose shows somebody whom one of the others, of the same frame, shows too."""
    if not others or not (pose.scores >= threshold).any():
        return False
    size_px, _ = body_size(pose.points, pose.scores >= threshold)
    alike = similarity(
        Crowd.of([pose], threshold), np.array([size_px]), Crowd.of(others, threshold), np.zeros(1)
    )
    return bool(alike.max() > _SAME)
