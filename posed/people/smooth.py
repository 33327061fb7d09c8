"""Keypoints that keep still while the person does: one filter per keypoint, as fast as the keypoint moves."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.config import PeopleConfig
from posed.pose import KEYPOINT_COUNT

Floats = NDArray[np.float64]

_SPEED_HZ: Final = 0.7
"""Cut-off of the speed's own filter; 1 in the paper, whose input is less noisy."""


_STILL: Final = 0.08
"""Heights per second: as fast as keypoints that are off by 1 % of the height seem to move. It is taken from
the speed, or that noise alone would open the filter."""


class Smoother:
    """One Euro filters of one person's keypoints.

    A keypoint that is not seen goes with the body for `keypoint_hold_s`, and is not visible then. Its filter
    starts anew when it is seen again after that, so that it does not glide in from where it was.

    Args:
        config: `smoothing`, `smoothing_hz`, `smoothing_speed`, `keypoint_hold_s`.
        threshold: keypoints scored below are not seen, 0-1.

    Attributes:
        points: (17, 2) px; those of keypoints that are not visible say nothing.
        scores: (17,) from when the keypoint was last seen; 0 when it is not visible.
        visible: (17,) bool.

    Source: Casiez, Roussel, Vogel, 1€ filter, CHI 2012. The speed here is that of both coordinates together,
    in heights of the person per second, less what is noise (`_STILL`).
    """

    def __init__(self, config: PeopleConfig, threshold: float) -> None:
        self._config, self._threshold = config, threshold
        self._raw = np.zeros((KEYPOINT_COUNT, 2))
        self._velocity = np.zeros((KEYPOINT_COUNT, 2))
        self._seen_at = np.full(KEYPOINT_COUNT, -math.inf)
        self.points = np.zeros((KEYPOINT_COUNT, 2))
        self.scores = np.zeros(KEYPOINT_COUNT)
        self.visible = np.zeros(KEYPOINT_COUNT, np.bool_)

    def update(self, points: Floats, scores: Floats, time_s: float, size_px: float, moved: Floats) -> None:
        """The next frame in which the person is seen.

        Args:
            points: (17, 2) px, as they were decoded.
            scores: (17,), 0-1.
            time_s: of the frame; not before the last one's.
            size_px: the person's height.
            moved: (2,) px by which the body moved since the last frame.
        """
        seen = scores >= self._threshold
        goes_on = seen & self.visible
        filtered = self._filtered(points, np.where(goes_on, time_s - self._seen_at, 0.0), size_px)
        self.hold(time_s, moved)
        steadied = goes_on & self._config.smoothing
        self.points = np.where(steadied[:, None], filtered, np.where(seen[:, None], points, self.points))
        self.scores = np.where(seen, scores, self.scores)
        self.visible = seen | self.visible
        self._velocity = np.where(goes_on[:, None], self._velocity, 0.0)
        self._raw = np.where(seen[:, None], points, self._raw)
        self._seen_at = np.where(seen, time_s, self._seen_at)

    def hold(self, time_s: float, moved: Floats) -> None:
        """The next frame, in which nothing of the person is seen; arguments as of `update`."""
        self.points = self.points + moved
        self.visible = self.visible & (time_s - self._seen_at <= self._config.keypoint_hold_s)
        self.scores = np.where(self.visible, self.scores, 0.0)

    def _filtered(self, points: Floats, elapsed_s: Floats, size_px: float) -> Floats:
        """(17, 2): each keypoint as far towards what was decoded as its speed asks for.

        Args:
            points: (17, 2) px, as they were decoded.
            elapsed_s: (17,) since the keypoint was last seen; where it is 0 nothing moves.
            size_px: the person's height.
        """
        velocity = (points - self._raw) / np.where(elapsed_s > 0, elapsed_s, np.inf)[:, None]
        self._velocity = self._velocity + _share(_SPEED_HZ, elapsed_s)[:, None] * (velocity - self._velocity)
        speed = np.hypot(self._velocity[:, 0], self._velocity[:, 1]) / size_px
        moving = np.maximum(speed - _STILL, 0)
        cutoff_hz = self._config.smoothing_hz + self._config.smoothing_speed * moving
        way = points - self.points
        return np.asarray(self.points + _share(cutoff_hz, elapsed_s)[:, None] * way)


def _share(cutoff_hz: Floats | float, elapsed_s: Floats) -> Floats:
    """How far a low-pass filter goes towards a new value after some time."""
    turning = 2 * math.pi * cutoff_hz * elapsed_s
    return np.asarray(turning / (turning + 1))
