"""Skeletons on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from posed.frame import Image
from posed.pose import EDGES, Pose

_COLOURS: Final = (
    (255, 196, 0), (0, 200, 255), (255, 64, 129), (118, 255, 3), (213, 128, 255), (255, 112, 67),
)  # fmt: skip
"""RGB, one per person in turn, bright on most pictures."""

_PARTS_OF_A_LINE: Final = 200
"""A line's thickness is the picture's longer side divided by this, px."""


def draw_poses(image: Image, poses: Sequence[Pose], keypoint_threshold: float) -> Image:
    """A copy of the picture with everybody's skeleton on it.

    Args:
        image: RGB uint8, (height, width, 3).
        poses: px of the image.
        keypoint_threshold: keypoints scored below are left out, 0-1.
    """
    drawn = image.copy()
    thickness = max(1, max(image.shape[:2]) // _PARTS_OF_A_LINE)
    for index, pose in enumerate(poses):
        _draw_pose(drawn, pose, keypoint_threshold, _COLOURS[index % len(_COLOURS)], thickness)
    return drawn


def _draw_pose(
    image: Image, pose: Pose, keypoint_threshold: float, colour: tuple[int, int, int], thickness: int
) -> None:
    visible = pose.scores >= keypoint_threshold
    # Keypoints may lie far outside; OpenCV takes 32-bit coordinates.
    places = np.clip(pose.points.round(), -(2**15), 2**15).astype(int)[:, ::-1].tolist()
    for parent, child in EDGES:
        if visible[parent] and visible[child]:
            cv2.line(image, places[parent], places[child], colour, thickness, cv2.LINE_AA)
    for place, seen in zip(places, visible, strict=True):
        if seen:
            cv2.circle(image, place, 2 * thickness, colour, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(image, place, 2 * thickness, (0, 0, 0), 1, cv2.LINE_AA)
