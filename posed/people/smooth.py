"""Keypoints that keep still while the person does: one filter per keypoint, as fast as the keypoint moves."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.config import PeopleConfig
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
    ]
)
"""The filters of one person's keypoints. What they give: `points`, px, which say nothing of keypoints that
are not visible; `scores` from when the keypoint was last seen, 0 when it is not visible; `visible`. What they
keep: the points as last decoded, `raw`, their `velocity`, px/s, and when each was last seen, s."""

_SPEED_HZ: Final = 0.7
"""The speed's own filter has this cut-off, Hz; it is 1 in the paper, whose input is less noisy."""

_STILL: Final = 0.08
"""Keypoints that are off by 1 % of the height seem to move this fast, heights per second. It is taken from
the speed, or that noise alone would open the filter."""


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
    in heights of the person per second, less what is noise (`_STILL`).
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
        goes_on = seen & people["visible"]
        elapsed_s = np.where(goes_on, time_s - people["seen_at"], 0.0)
        filtered = self._filtered(people, points, elapsed_s, sizes_px)
        self.hold(people, time_s, moved)
        decoded, steadied = seen[:, :, None], (goes_on & self._config.smoothing)[:, :, None]
        np.copyto(people["points"], np.where(steadied, filtered, points), where=decoded)
        np.copyto(people["scores"], scores, where=seen)
        np.copyto(people["visible"], True, where=seen)
        np.copyto(people["velocity"], 0.0, where=~goes_on[:, :, None])
        np.copyto(people["raw"], points, where=decoded)
        np.copyto(people["seen_at"], time_s, where=seen)

    def hold(self, people: Records, time_s: float, moved: Floats) -> None:
        """The next frame, in which nothing of these people is seen; arguments as of `update`."""
        # Fields of their own: `people["points"] += …` would copy the field onto itself as well.
        points, scores, visible = people["points"], people["scores"], people["visible"]
        points += moved[:, None]
        visible &= time_s - people["seen_at"] <= self._config.keypoint_hold_s
        np.copyto(scores, 0.0, where=~visible)

    def _filtered(self, people: Records, points: Floats, elapsed_s: Floats, sizes_px: Floats) -> Floats:
        """(N, 17, 2): each keypoint as far towards what was decoded as its speed asks for.

        Args:
            people: (N,), whose speeds are measured.
            points: (N, 17, 2) px, as they were decoded.
            elapsed_s: (N, 17) since the keypoint was last seen; where it is 0 nothing moves.
            sizes_px: (N,) the people's heights.
        """
        velocity = (points - people["raw"]) / np.where(elapsed_s > 0, elapsed_s, np.inf)[:, :, None]
        smoothed = people["velocity"]
        smoothed += _share(_SPEED_HZ, elapsed_s)[:, :, None] * (velocity - smoothed)
        speed = np.hypot(smoothed[:, :, 0], smoothed[:, :, 1]) / sizes_px[:, None]
        moving = np.maximum(speed - _STILL, 0)
        cutoff_hz = self._config.smoothing_hz + self._config.smoothing_speed * moving
        before = people["points"]
        return np.asarray(before + _share(cutoff_hz, elapsed_s)[:, :, None] * (points - before))


def _share(cutoff_hz: Floats | float, elapsed_s: Floats) -> Floats:
    """How far a low-pass filter goes towards a new value after some time."""
    turning = 2 * math.pi * cutoff_hz * elapsed_s
    return np.asarray(turning / (turning + 1))
