"""A camera as all threads of the pipeline know it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from posed.pipeline.counters import FrameCounts
from posed.pipeline.followed_region import FollowedRegion
from posed.pipeline.rotated_crop_queue import RotatedCropQueue


@dataclass(frozen=True, slots=True, eq=False)
class FrameSource:
    """One camera, which goes with each of its frames from capture through inference to the main loop.

    Any thread may use it: the queue has its own lock, each count has one thread that changes it, and the
    region is the inference thread's alone.

    Args:
        name: what the camera is called.
        counts: its frames since the start.
        crops: the rotated crops that the main loop requested and inference has not taken yet.
        paused: set while the camera is to stay closed.
        followed: where the network looks in the next frame.
    """

    name: str
    counts: FrameCounts = field(default_factory=FrameCounts)
    crops: RotatedCropQueue = field(default_factory=RotatedCropQueue)
    paused: threading.Event = field(default_factory=threading.Event)
    followed: FollowedRegion = field(default_factory=FollowedRegion)
