"""A person who is followed."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from posed.pose import Pose


class Person(Struct, frozen=True, eq=False, gc=False):
    """Somebody who is followed from frame to frame.

    Args:
        id: lasts as long as the person is followed; never used again in a run.
        pose: smoothed; points (17, 2) y first, px of the source frame.
        visible: (17,) bool: keypoints that are seen, or were a moment ago; the others' points say nothing.
        seen: whether a pose of this very frame is theirs; else they are hidden for a moment.
        size_px: of the body: about the height of the person standing upright, px of the source frame,
            whatever the person does; changes slowly.
        raw: the pose as it was decoded from this frame; None unless `seen`.
        raw_visible: (17,) bool: which of its keypoints are seen; None unless `seen`.
    """

    id: int
    pose: Pose
    visible: NDArray[np.bool_]
    seen: bool
    size_px: float
    raw: Pose | None
    raw_visible: NDArray[np.bool_] | None = None
