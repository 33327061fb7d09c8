"""Keypoints, the edges between them, and a pose."""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

KEYPOINTS: Final = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""These are COCO's names in PoseNet's order. Left and right are the person's own."""

KEYPOINT_COUNT: Final = len(KEYPOINTS)

(
    NOSE,
    LEFT_EYE,
    RIGHT_EYE,
    LEFT_EAR,
    RIGHT_EAR,
    LEFT_SHOULDER,
    RIGHT_SHOULDER,
    LEFT_ELBOW,
    RIGHT_ELBOW,
    LEFT_WRIST,
    RIGHT_WRIST,
    LEFT_HIP,
    RIGHT_HIP,
    LEFT_KNEE,
    RIGHT_KNEE,
    LEFT_ANKLE,
    RIGHT_ANKLE,
) = range(KEYPOINT_COUNT)
"""These are the indices of keypoints in arrays of all 17."""

FACE: Final = slice(NOSE, RIGHT_EAR + 1)
"""This slice of such an array has the nose, the eyes and the ears."""


def _pairs(*names: str) -> tuple[tuple[int, int], ...]:
    pairs = (name.split(">") for name in names)
    return tuple((KEYPOINTS.index(parent), KEYPOINTS.index(child)) for parent, child in pairs)


EDGES: Final = _pairs(
    "nose>left_eye",
    "left_eye>left_ear",
    "nose>right_eye",
    "right_eye>right_ear",
    "nose>left_shoulder",
    "left_shoulder>left_elbow",
    "left_elbow>left_wrist",
    "left_shoulder>left_hip",
    "left_hip>left_knee",
    "left_knee>left_ankle",
    "nose>right_shoulder",
    "right_shoulder>right_elbow",
    "right_elbow>right_wrist",
    "right_shoulder>right_hip",
    "right_hip>right_knee",
    "right_knee>right_ankle",
)
"""Mid offsets follow a tree of these edges, (parent, child), in the order of the mid-offset channels."""

MIRRORED: Final = tuple(
    KEYPOINTS.index(name.replace("left", "*").replace("right", "left").replace("*", "right"))
    for name in KEYPOINTS
)
"""A mirror turns each keypoint into the one whose index stands here in its place."""

SIGMAS: Final = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
    0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
)  # fmt: skip
"""People who mark a keypoint differ by this, as a fraction of the square root of the person's area.
Source: COCO's keypoint evaluation, cocodataset.org."""


class Pose(Struct, frozen=True, eq=False, gc=False):
    """One person as decoded from one frame; a struct, since a dataclass takes longer to make than to decode.

    Args:
        points: (17, 2) float64, y first; px of the source frame (of the model input inside `decode`).
        scores: (17,) float64, 0-1.
        score: of the whole pose, 0-1.
        beside: whether it is from a rotated crop that an engine inferred beside an AI Camera, of which there
            may be few a second.
    """

    points: NDArray[np.float64]
    scores: NDArray[np.float64]
    score: float
    beside: bool = False

    def mirrored(self) -> Pose:
        """The same pose with left and right exchanged: what a mirrored picture really showed."""
        order = list(MIRRORED)
        return Pose(self.points[order], self.scores[order], self.score, self.beside)

    def from_beside(self) -> Pose:
        """The same pose, marked as `beside`."""
        return Pose(self.points, self.scores, self.score, beside=True)
