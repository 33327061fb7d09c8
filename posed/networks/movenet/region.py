"""Where MoveNet looks in the next frame: around the person whom it sees now.

It was trained on people who fill a square, and sees somebody small better when only the part of the frame
around them is scaled to its input.

Source: the cropping algorithm in "MoveNet: Ultra fast and accurate pose detection model",
tensorflow.org/hub/tutorials/movenet, with its constants.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from posed.frame import Region
from posed.networks.movenet.output import Floats
from posed.pose import LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER

SEEN: Final = 0.2
"""A keypoint that scores less says nothing of where to look."""

TORSO_REACH: Final = 1.9
BODY_REACH: Final = 1.2
"""The square reaches so much farther from between the hips than the farthest joint of the torso, and than the
farthest keypoint of all."""

LEAST_SIDE_PX: Final = 16
"""Somebody smaller than this is nobody whom a network sees."""

_HIPS: Final = [LEFT_HIP, RIGHT_HIP]
_SHOULDERS: Final = [LEFT_SHOULDER, RIGHT_SHOULDER]


def region_around(points: Floats, scores: Floats, frame_size: tuple[int, int]) -> Region | None:
    """The square around somebody, with them in its middle; it may reach beyond the frame.

    Args:
        points: (17, 2), y first, px of the frame.
        scores: (17,), 0-1.
        frame_size: (width, height), px.

    Returns:
        None for all of the frame: nobody's torso is seen, or they fill it.
    """
    seen = scores > SEEN
    if not seen[_HIPS].any() or not seen[_SHOULDERS].any():
        return None
    width, height = frame_size
    middle = points[_HIPS].mean(axis=0)
    y, x = middle.tolist()
    if not (0 <= y < height and 0 <= x < width):
        return None
    distances = np.abs(points - middle)
    torso = float(distances[_HIPS + _SHOULDERS].max())
    body = float(distances[seen].max())
    # No farther than the frame's farthest edge: beyond that there is nothing.
    half = min(max(TORSO_REACH * torso, BODY_REACH * body), max(x, width - x, y, height - y))
    if 2 * half > max(frame_size) or 2 * half < LEAST_SIDE_PX:
        return None
    return Region(math.floor(x - half), math.floor(y - half), math.ceil(x + half), math.ceil(y + half))
