"""Keypoints that keep still while the person does: one filter per keypoint, as fast as the keypoint moves."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.config import PeopleConfig
from posed.people.bodies import hold, steady, view
from posed.pose import KEYPOINT_COUNT

Floats = NDArray[np.float64]
Records = NDArray[np.void]

FILTERS: Final = np.dtype(
    [
        ("points", np.float64, (KEYPOINT_COUNT, 2)),
        ("scores", np.float64, KEYPOINT_COUNT),
        ("visible", np.bool_, KEYPOINT_COUNT),
        ("raw", np.float64, (KEYPOINT_COUNT, 2)),
        ("velocity", np.float64, (KEYPOINT_COUNT, 2)),
        ("seen_at", np.float64, KEYPOINT_COUNT),
    ],
    align=True,  # some ARM processors read no double from elsewhere, and a memoryview neither
)
"""The filters of one person's keypoints. What they give: `points`, px, which say nothing of keypoints that
are not visible; `scores` from when the keypoint was last seen, 0 when it is not visible; `visible`. What they
keep: the points as last decoded, `raw`, their `velocity`, px/s, and when each was last seen, s."""


def filters(count: int) -> Records:
    """(count,) of `FILTERS`, of people who were not seen yet."""
    fresh = np.zeros(count, FILTERS)
    fresh["seen_at"] = -math.inf
    return fresh


class Smoother:
    """One Euro filters, of everybody at once; what they know is in records that are given to it.

    A keypoint that is not seen goes with the body for `keypoint_hold_s`, and is not visible then. Its filter
    starts anew when it is seen again after that, so that it does not glide in from where it was.

    Args:
        config: `smoothing`, `smoothing_hz`, `smoothing_speed`, `keypoint_hold_s`.

    Source: Casiez, Roussel, Vogel, 1€ filter, CHI 2012. The speed here is that of both coordinates together,
    in heights of the person per second, less what is noise (`posed.people.bodies`).
    """

    def __init__(self, config: PeopleConfig) -> None:
        self._config = config

    def update(  # noqa: PLR0913, PLR0917 one of each person, and the time
        self,
        people: Records,
        points: Floats,
        scores: Floats,
        seen: NDArray[np.bool_],
        time_s: float,
        sizes_px: Floats,
        moved: Floats,
    ) -> None:
        """The next frame in which these people are seen.

        Args:
            people: (N,) of `FILTERS`, which go on.
            points: (N, 17, 2) px, as they were decoded.
            scores: (N, 17), 0-1.
            seen: (N, 17): which of them are.
            time_s: of the frame; not before the last one's.
            sizes_px: (N,) the people's heights.
            moved: (N, 2) px by which the bodies moved since the last frame.
        """
        config = self._config
        steady(
            view(people["points"]),
            view(people["scores"]),
            view(people["visible"].view(np.uint8)),
            view(people["raw"]),
            view(people["velocity"]),
            view(people["seen_at"]),
            view(points),
            view(scores),
            view(seen.view(np.uint8)),
            view(sizes_px),
            view(moved),
            time_s,
            config.smoothing,
            config.smoothing_hz,
            config.smoothing_speed,
            config.keypoint_hold_s,
        )

    def hold(self, people: Records, time_s: float, moved: Floats) -> None:
        """The next frame, in which nothing of these people is seen; arguments as of `update`."""
        hold(
            view(people["points"]),
            view(people["scores"]),
            view(people["visible"].view(np.uint8)),
            view(people["seen_at"]),
            view(moved),
            time_s,
            self._config.keypoint_hold_s,
        )
