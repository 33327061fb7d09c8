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
"""(from, to, length as a share of the height): of the drawn figure, whose limbs are those of
Drillis and Contini, Body segment parameters, 1966; several names mean the middle between them."""


def _ends(index: int) -> Floats:
    """(bones, 17): what an end of every bone takes of each keypoint."""
    shares = np.zeros((len(_BONES), KEYPOINT_COUNT))
    for bone, ends in enumerate(_BONES):
        names = str(ends[index]).split()
        for name in names:
            shares[bone, KEYPOINTS.index(name)] = 1 / len(names)
    return shares


_FROM: Final = _ends(0)
_TO: Final = _ends(1)
_ALONG: Final = _TO - _FROM
_PARTS: Final = (_FROM + _TO) > 0
_SHARES: Final = np.array([share for _, _, share in _BONES])

_QUANTILE: Final = 0.7
"""Bones that point at the camera look short, none looks long; but keypoints are off, so not the longest."""


def body_size(points: Floats, scored: NDArray[np.bool_]) -> tuple[float, float]:
    """About the height of a person standing upright, from the lengths of the bones that are seen.

    Sitting, lying or bending shortens no bone, and one that is cut off takes only its own away.

    Args:
        points: (17, 2), y first, px.
        scored: (17,): which of them are seen.

    Returns:
        (size px, trust 0-1: the share of the bones that were seen); the extent of the keypoints, and 0,
        where no bone is.
    """
    seen = ~(_PARTS & ~scored).any(axis=1)
    if not seen.any():
        extent = np.ptp(points[scored], axis=0) if scored.any() else np.zeros(2)
        return float(max(np.hypot(*extent), 1.0)), 0.0
    along = _ALONG[seen] @ points
    sizes = np.hypot(along[:, 0], along[:, 1]) / _SHARES[seen]
    # A keypoint that is off by some px is worth less where the bone is short.
    size = weighted_quantile(sizes, _SHARES[seen], _QUANTILE)
    return max(size, 1.0), float(_SHARES[seen].sum() / _SHARES.sum())


def weighted_quantile(values: Floats, weights: Floats, quantile: float) -> float:
    """The smallest of the values (n,) that has this share of the weights (n,) at or below it."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order[int(np.searchsorted(reached, quantile * reached[-1]))]])
