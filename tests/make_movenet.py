"""Makes tiny .tflite files shaped like MoveNets, which see people the better the redder the picture is.

Every value is its bias, and each score grows with the mean of red, 0-1, by `SEEN`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posed.pose import KEYPOINT_COUNT
from tests.make_tflite import Maker, schema

SEEN = 0.8
"""What a picture that is all red adds to each score."""

SINGLE = (1, 1, KEYPOINT_COUNT, 3)
MULTI = (1, 6, 56)

UPRIGHT = np.array(
    [
        (0.10, 0.50), (0.08, 0.52), (0.08, 0.48), (0.09, 0.54), (0.09, 0.46), (0.25, 0.58),
        (0.25, 0.42), (0.38, 0.60), (0.38, 0.40), (0.50, 0.61), (0.50, 0.39), (0.52, 0.55),
        (0.52, 0.45), (0.70, 0.55), (0.70, 0.45), (0.90, 0.55), (0.90, 0.45),
    ]
)  # fmt: skip
"""Somebody upright in the middle; (17, 2), y first, fractions of the input."""


def person(points: NDArray[np.float64], score: float) -> NDArray[np.float32]:
    """The (17, 3) of somebody whose keypoints all have this score."""
    return np.column_stack([points, np.full(KEYPOINT_COUNT, score)]).astype(np.float32)


def multi_values(*people: tuple[NDArray[np.float32], float]) -> NDArray[np.float32]:
    """The (1, 6, 56) of some people, each (17, 3) with the score of the whole person; no others are there."""
    rows = np.zeros((6, 56), np.float32)
    for row, (keypoints, score) in zip(rows, people, strict=False):
        row[:51], row[55] = keypoints.ravel(), score
    return rows[np.newaxis]


def make_movenet(
    shape: Sequence[int] = SINGLE,
    values: NDArray[np.float32] | None = None,
    *,
    size: tuple[int, int] | None = (64, 64),
    dtype: str = "uint8",
    edgetpu: bool = False,
) -> bytes:
    """A .tflite.

    Args:
        shape: of the output.
        values: biases of the output, any shape of as many values; by default somebody upright, unseen where
            nothing is red.
        size: (width, height) of the input, px; None leaves it open.
        dtype: of the input.
        edgetpu: whether an edgetpu-custom-op stands for what finds the values, before the last operator.
    """
    maker = Maker("float32")
    count = int(np.prod(shape))
    biases = _someone(count) if values is None else values.ravel()
    width, height = size or (1, 1)
    image = maker.tensor("image", (1, height, width, 3), {"uint8": 3, "float32": 0}[dtype])
    if size is None:
        maker.tensors[-1].shapeSignature = [1, -1, -1, 3]
    found = maker.tensor("found", (1, count), 0)
    if edgetpu:
        maker.custom("edgetpu-custom-op", [image], [found], b"compiled for nothing")
    else:
        real = maker.tensor("real", image.shape, 0)
        maker.operator(53, [image], [real])
        mean = maker.tensor("mean", (1, 3), 0)
        maker.operator(40, [real, maker.constant("axes", np.array([1, 2], np.int32), 2)], [mean])
        weights = np.zeros((count, 3), np.float32)
        weights[_scores(count), 0] = SEEN / 255
        maker.operator(
            9,
            [mean, maker.constant("weights", weights, 0), maker.constant("biases", biases, 0)],
            [found],
            8,
            schema.FullyConnectedOptionsT(),
        )
    output = maker.tensor("StatefulPartitionedCall:0", tuple(shape), 0)
    maker.operator(22, [found, maker.constant("shape", np.array(shape, np.int32), 2)], [output])
    return maker.finish([image], [output], 1)


def _scores(count: int) -> list[int]:
    """Where in the values the scores of keypoints are, and that of a whole person, of the first person."""
    scores = list(range(2, min(count, 51), 3))
    return scores + ([55] if count >= 56 else [])


def _someone(count: int) -> NDArray[np.float32]:
    values = np.zeros(count, np.float32)
    someone = person(UPRIGHT, 0.0).ravel()[:count]
    values[: len(someone)] = someone
    return values
