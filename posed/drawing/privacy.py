"""Pictures that may leave the device, and what they show: as `privacy.pictures` says, and never more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import cv2
import numpy as np

from posed.drawing.skeletons import draw_poses, within
from posed.frame import Image
from posed.pose import FACE, LEFT_SHOULDER, RIGHT_SHOULDER, Pose

Shows = Literal["skeleton", "blurred", "full"]

BLOCKS: Final = 24
"""So many blocks of one colour go along a blurred picture's longer side: the whole of it, since not everybody
is found. Faces are hardly known by 15 blocks across any more, and one has as many only where it fills more
than half of the picture; heads that are found are covered. Source: Bachmann, European Journal of Cognitive
Psychology 3 (1991), doi:10.1080/09541449108406221."""

_HEAD_RADIUS_SHARE: Final = 0.6
"""The radius of a head's disc is this share of the breadth of the shoulders, or of what is seen of the
head."""

_QUALITY: Final = 85
_GREY: Final = (127, 127, 127)


def picture(image: Image, poses: Sequence[Pose], shows: Shows, keypoint_threshold: float) -> Image:
    """What may be seen of a frame.

    Args:
        image: RGB uint8, (height, width, 3); stays as it is.
        poses: everybody found in it, px of the image.
        shows: how much of it.
        keypoint_threshold: keypoints scored below are not seen, 0-1.
    """
    shown = background(image, poses, shows, keypoint_threshold)
    return shown if shows == "full" else draw_poses(shown, poses, keypoint_threshold)


def background(image: Image, poses: Sequence[Pose], shows: Shows, keypoint_threshold: float) -> Image:
    """What may be seen of a frame behind the figures; arguments as for `picture`."""
    match shows:
        case "skeleton":
            return np.zeros_like(image)
        case "blurred":
            blurred = _in_blocks(image)
            for pose in poses:
                _cover_head(blurred, pose, keypoint_threshold)
            return blurred
        case "full":
            return image


def jpeg(image: Image) -> bytes:
    """A JPEG without any metadata."""
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return encoded.tobytes()


def _in_blocks(image: Image) -> Image:
    """The means of blocks: what is lost in them is gone, where a smooth blur could be turned back in part."""
    height, width, _ = image.shape
    scale = BLOCKS / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    blocks = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def _cover_head(image: Image, pose: Pose, threshold: float) -> None:
    """Paint a disc over a head, where any of it is seen."""
    head = within(image, pose.points[FACE][pose.scores[FACE] >= threshold])
    if not len(head):
        return
    left, right = pose.points[LEFT_SHOULDER], pose.points[RIGHT_SHOULDER]
    breadth_px = float(np.hypot(*(left - right)))
    extent_px = float(np.hypot(*np.ptp(head, axis=0)))
    y, x = head.mean(axis=0).round().astype(int).tolist()
    radius_px = _HEAD_RADIUS_SHARE * max(breadth_px, extent_px)
    cv2.circle(image, (x, y), round(min(radius_px, 2**15)) + 1, _GREY, cv2.FILLED)
