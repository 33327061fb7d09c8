"""How large a person is, whatever they do and however little of them is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posed.people.bodies import measure, quantiles, room_for, view
from posed.pose import KEYPOINT_COUNT

Floats = NDArray[np.float64]


def body_sizes(points: Floats, scored: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """About the heights of people standing upright, from the lengths of the bones that are seen.

    Sitting, lying or bending shortens no bone, and one that is cut off takes only its own away.

    Args:
        points: (N, 17, 2), y first, px.
        scored: (N, 17): which of them are seen.

    Returns:
        (sizes (N,) px, trusts (N,) 0-1: the share of the bones that were seen); the extent of the keypoints,
        and 0, where no bone is.
    """
    sizes, trusts = np.empty((2, len(points)))
    measure(view(points), view(scored.view(np.uint8)), view(sizes), view(trusts), room_for(KEYPOINT_COUNT))
    return sizes, trusts


def body_size(points: Floats, scored: NDArray[np.bool_]) -> tuple[float, float]:
    """The same of one person: points (17, 2), scored (17,)."""
    sizes, trusts = body_sizes(points[None], scored[None])
    return float(sizes[0]), float(trusts[0])


def weighted_quantiles(values: Floats, weights: Floats, quantile: float) -> Floats:
    """Of each row the smallest value that has this share of the row's weights at or below it.

    Args:
        values: (N, n).
        weights: (N, n); 0 for a value that does not count.
        quantile: 0-1.

    Returns:
        (N,); inf where nothing counts.
    """
    found = np.empty(len(values))
    quantiles(view(values), view(weights), quantile, view(found), room_for(values.shape[1]))
    return found
