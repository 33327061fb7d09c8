"""How large a person is, whatever they do and however little of them is seen."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.pose import KEYPOINT_COUNT, KEYPOINTS

Floats = NDArray[np.float64]

_BONES: Final = (
    ("left_shoulder right_shoulder", "left_hip right_hip", 0.27),
    ("left_shoulder", "left_hip", 0.275),
    ("right_shoulder", "right_hip", 0.275),
    ("left_hip", "left_knee", 0.245),
    ("right_hip", "right_knee", 0.245),
    ("left_knee", "left_ankle", 0.246),
    ("right_knee", "right_ankle", 0.246),
    ("left_shoulder", "left_elbow", 0.18),
    ("right_shoulder", "right_elbow", 0.18),
    ("left_elbow", "left_wrist", 0.146),
    ("right_elbow", "right_wrist", 0.146),
    ("left_shoulder", "right_shoulder", 0.196),
    ("nose", "left_shoulder right_shoulder", 0.144),
    ("left_ear", "right_ear", 0.096),
    ("nose", "left_ear", 0.089),
    ("nose", "right_ear", 0.089),
)
"""Each bone is (from, to, length as a share of the height), of the drawn figure, whose limbs are those of
Drillis and Contini, Body segment parameters, 1966; several names mean the middle between them."""


def _ends(index: int) -> Floats:
    """(17, bones): what an end of every bone takes of each keypoint."""
    shares = np.zeros((KEYPOINT_COUNT, len(_BONES)))
    for bone, ends in enumerate(_BONES):
        names = str(ends[index]).split()
        for name in names:
            shares[KEYPOINTS.index(name), bone] = 1 / len(names)
    return shares


_FROM: Final = _ends(0)
_TO: Final = _ends(1)
_ALONG: Final = _TO - _FROM
_PARTS: Final = ((_FROM + _TO) > 0).astype(np.int8)
_SHARES: Final = np.array([share for _, _, share in _BONES])

_QUANTILE: Final = 0.7
"""This quantile of the bones gives the size: bones that point at the camera look short and none looks long,
but keypoints are off, so it is not the longest."""


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
    seen = (~scored).view(np.int8) @ _PARTS == 0
    along = points.swapaxes(1, 2) @ _ALONG
    sizes = np.hypot(along[:, 0], along[:, 1]) / _SHARES
    # A keypoint that is off by some px is worth less where the bone is short.
    weights = np.where(seen, _SHARES, 0.0)
    trusts = weights.sum(axis=1) / _SHARES.sum()
    whole = weighted_quantiles(sizes, weights, _QUANTILE)
    if not trusts.all():
        whole = np.where(trusts > 0, whole, _extents(points, scored))
    return np.maximum(whole, 1.0), trusts


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
    counted = np.where(weights > 0, values, np.inf)
    # Places in the flat arrays: `take` is quicker than two indices.
    starts = np.arange(0, values.size, values.shape[1])
    order = counted.argsort(axis=1) + starts[:, None]
    reached = weights.take(order).cumsum(axis=1)
    chosen = (reached < quantile * reached[:, -1:]).sum(axis=1)
    return np.asarray(counted.take(order.take(chosen + starts)))


def _extents(points: Floats, scored: NDArray[np.bool_]) -> Floats:
    """(N,) px: the diagonals of the boxes around what is seen; 0 where nothing is."""
    seen = scored[:, :, None]
    low = np.where(seen, points, np.inf).min(axis=1)
    high = np.where(seen, points, -np.inf).max(axis=1)
    across = np.where(seen.any(axis=1), high - low, 0.0)
    return np.hypot(across[:, 0], across[:, 1])
