"""A camera as all threads of the pipeline know it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from posed.frame import Frame
from posed.pipeline.counters import FrameCounts
from posed.pipeline.followed_region import FollowedRegion
from posed.pipeline.inferred import RotatedInference
from posed.pipeline.rotated_crop_queue import RotatedCropQueue
from posed.pipeline.stage_timings import StageTimings


@dataclass(frozen=True, slots=True, eq=False)
class FrameSource:
    """One camera, which goes with each of its frames from capture through inference to the main loop.

    Any thread may use it: the queue has its own lock, each count has one thread that changes it, to append to
    a deque, or to take from it, is one step, and the region is the inference thread's
    alone, whose settings the main loop replaces.

    Args:
        name: what the camera is called.
        counts: its frames since the start.
        crops: the rotated crops that the main loop requested and inference has not taken yet.
        found: what inference found in a crop alone, of which frame, and what that cost, until it goes on with
            a frame.
        paused: set while the camera is to stay closed.
        followed: where the network looks in the next frame.
    """

    name: str
    counts: FrameCounts = field(default_factory=FrameCounts)
    crops: RotatedCropQueue = field(default_factory=RotatedCropQueue)
    found: deque[tuple[Frame, RotatedInference, StageTimings]] = field(
        default_factory=lambda: deque(maxlen=1)
    )
    paused: threading.Event = field(default_factory=threading.Event)
    followed: FollowedRegion = field(default_factory=FollowedRegion)
