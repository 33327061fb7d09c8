"""One person: the best cell of each heatmap, moved by its short offset."""

from __future__ import annotations

import numpy as np

from posed.networks.posenet.heads import Heads
from posed.networks.posenet.logits import logits_of
from posed.pose import KEYPOINT_COUNT, Pose


def decode_one(heads: Heads) -> Pose:
    """The one person in the heads, in five steps; there always is one, perhaps with a low score.

    Nobody else is assumed to be there: each keypoint is the best one in the picture, whosever it is.

    Args:
        heads: as the network gave them.

    Returns:
        A pose in px of the model input and within it; its score is the mean of its keypoints'.

    Source: PoseNet's single-person decoder, Papandreou et al. 2017, arXiv:1701.01779.
    """
    # 1. Scores of every cell. 2. The best cell per keypoint.
    scores = 1.0 / (1.0 + np.exp(-logits_of(heads)))
    height, width, _ = scores.shape
    flat = scores.reshape(-1, KEYPOINT_COUNT)
    best = flat.argmax(axis=0)
    rows, columns = best // width, best % width
    # 3. The offsets at that cell: dy of all keypoints, then dx of all.
    offsets = np.nan_to_num(heads.short_offsets.values()[rows, columns])
    keypoints = np.arange(KEYPOINT_COUNT)
    dy, dx = offsets[keypoints, keypoints], offsets[keypoints, KEYPOINT_COUNT + keypoints]
    # 4. Cell times stride plus offset, kept within the grid as `decode_many` does it. 5. Scores from the
    # cell, the pose's is the mean.
    points = np.stack([rows * heads.stride + dy, columns * heads.stride + dx], axis=1).astype(np.float64)
    points = np.clip(points, 0.0, np.array([height - 1, width - 1]) * heads.stride)
    keypoint_scores = flat[best, keypoints]
    return Pose(points, keypoint_scores, float(keypoint_scores.mean()))
