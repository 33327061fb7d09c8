"""Heatmaps as logits, whatever the network gave, and back to scores."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.networks.posenet.heads import Heads

LIMIT: Final = 50.0
"""Logits are kept within ±LIMIT, where the sigmoid is 0 or 1 in any precision."""

EDGE: Final = 1e-7
"""How near to 0 and 1 a score may be when it is turned back into a logit."""


def logits_of(heads: Heads) -> NDArray[np.float64]:
    """The heatmaps as finite logits, (grid height, grid width, 17); what is no number counts as nothing."""
    values = heads.heatmaps.values().astype(np.float64)
    if heads.sigmoid:
        scores = np.clip(np.nan_to_num(values), EDGE, 1 - EDGE)
        return np.asarray(np.log(scores / (1 - scores)))
    return np.clip(np.nan_to_num(values, nan=-LIMIT), -LIMIT, LIMIT)


def sigmoid(logit: float) -> float:
    """The score of a logit; 0-1."""
    return 1.0 / (1.0 + math.exp(-logit))


def logit_of(score: float) -> float:
    """The logit of a score between 0 and 1."""
    return math.log(score / (1.0 - score))
