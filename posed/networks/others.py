"""Networks that posed does not run, by name: so that a file is refused with what it is.

Source: the outputs of the files that MediaPipe publishes, `pose_landmark_{lite,full,heavy}.tflite` and
`pose_detection.tflite`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from posed.errors import ModelError
from posed.model.tflite import Tensor

_LANDMARKS: Final = (1, 195)
"""39 points with x, y, z, visibility and presence each."""

_BOX_VALUES: Final = 12
"""A box and four points, of each place where somebody may be."""


def refuse_others(outputs: Iterable[Tensor]) -> None:
    """Refuse a file by the name of what it holds.

    Raises:
        ModelError: posed knows what it is, and does not run it; the message does not name the file.
    """
    shapes = [tensor.shape for tensor in outputs]
    if _LANDMARKS in shapes:
        raise ModelError("a pose landmark model of MediaPipe, which posed does not run")
    boxes = [shape for shape in shapes if len(shape) == 3 and shape[2] == _BOX_VALUES]
    if any((*shape[:2], 1) in shapes for shape in boxes):
        raise ModelError("a pose detection model of MediaPipe, which posed does not run")
