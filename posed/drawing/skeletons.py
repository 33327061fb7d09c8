"""Skeletons on pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.config import ZoneConfig
from posed.frame import Image
from posed.people.events import TrackedPerson
from posed.pose import EDGES, Pose

_COLOURS: Final = (
    (255, 196, 0), (0, 200, 255), (255, 64, 129), (118, 255, 3), (213, 128, 255), (255, 112, 67),
)  # fmt: skip
"""People get these colours in turn, RGB, bright on most pictures."""

_PARTS_OF_A_LINE: Final = 200
"""A line's thickness is the picture's longer side divided by this, px."""


_ZONE_COLOUR: Final = (255, 255, 255)

_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_LETTER_PX: Final = 22
"""A capital letter is this high at scale 1, px. Source: OpenCV's FONT_HERSHEY_SIMPLEX."""

_LETTERS_OF_A_PICTURE: Final = 45
"""Letters are as high as the picture's longer side divided by this, px."""


def draw_people(
    image: Image, people: Sequence[TrackedPerson], zones: Mapping[str, ZoneConfig], keypoint_threshold: float
) -> Image:
    """A copy of the picture with the zones, and everybody's skeleton, id and posture on it.

    Args:
        image: RGB uint8, (height, width, 3).
        people: px of the image; each keeps a colour.
        zones: by name.
        keypoint_threshold: keypoints scored below are left out, 0-1.
    """
    drawn = image.copy()
    thickness = _thickness(image)
    for name, zone in zones.items():
        _draw_zone(drawn, name, zone, thickness)
    for tracked in people:
        colour = _COLOURS[tracked.person.id % len(_COLOURS)]
        pose = tracked.person.pose
        _draw_pose(drawn, pose, keypoint_threshold, colour, thickness)
        seen = pose.points[pose.scores >= keypoint_threshold]
        if len(seen):
            top, left = within(image, seen.min(axis=0)).round().astype(int).tolist()
            _write(drawn, f"{tracked.person.id} {tracked.posture}", (left, top), colour)
    return drawn


def _draw_zone(image: Image, name: str, zone: ZoneConfig, thickness: int) -> None:
    height, width, _ = image.shape
    corners = (np.array(zone.polygon) * (width - 1, height - 1)).round().astype(np.int32)
    cv2.polylines(image, [corners], True, _ZONE_COLOUR, thickness, cv2.LINE_AA)
    words = name if zone.kind == "normal" else f"{name} ({zone.kind})"
    left, top = corners[corners[:, 1].argmin()].tolist()
    _write(image, words, (left, top), _ZONE_COLOUR)


def _write(image: Image, words: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Words above a corner (x, y), or as near to that as there is room; dark around, to be read anywhere."""
    height, width, _ = image.shape
    scale = max(width, height) / _LETTERS_OF_A_PICTURE / _LETTER_PX
    thickness = max(1, round(scale * 2))
    (words_width, words_height), below = cv2.getTextSize(words, _FONT, scale, thickness)
    x = max(0, min(corner[0], width - words_width))
    y = min(max(words_height + below, corner[1] - below), height - below)
    for shade, width_px in (((0, 0, 0), 3 * thickness), (colour, thickness)):
        cv2.putText(image, words, (x, y), _FONT, scale, shade, width_px, cv2.LINE_AA)


def draw_poses(image: Image, poses: Sequence[Pose], keypoint_threshold: float) -> Image:
    """A copy of the picture with everybody's skeleton on it.

    Args:
        image: RGB uint8, (height, width, 3).
        poses: px of the image.
        keypoint_threshold: keypoints scored below are left out, 0-1.
    """
    drawn = image.copy()
    thickness = _thickness(image)
    for index, pose in enumerate(poses):
        _draw_pose(drawn, pose, keypoint_threshold, _COLOURS[index % len(_COLOURS)], thickness)
    return drawn


def _thickness(image: Image) -> int:
    longer_px: int = max(image.shape[:2])
    return max(1, longer_px // _PARTS_OF_A_LINE)


def within(image: Image, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (…, 2), y first, px, each at the edge of the picture where it lies outside."""
    return np.clip(points, 0, np.array(image.shape[:2]) - 1)


def _draw_pose(
    image: Image, pose: Pose, keypoint_threshold: float, colour: tuple[int, int, int], thickness: int
) -> None:
    visible = pose.scores >= keypoint_threshold
    places = within(image, pose.points).round().astype(int)[:, ::-1].tolist()
    for parent, child in EDGES:
        if visible[parent] and visible[child]:
            cv2.line(image, places[parent], places[child], colour, thickness, cv2.LINE_AA)
    for place, seen in zip(places, visible, strict=True):
        if seen:
            cv2.circle(image, place, 2 * thickness, colour, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(image, place, 2 * thickness, (0, 0, 0), 1, cv2.LINE_AA)
