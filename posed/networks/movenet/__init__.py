"""From the outputs of a MoveNet to poses: pure functions, no device and no clock.

Source: the model cards of MoveNet.SinglePose and MoveNet.MultiPose at kaggle.com/models/google/movenet.
"""

from __future__ import annotations

from posed.errors import ModelError
from posed.model.tflite import Model
from posed.networks.movenet.multi import MultiPose
from posed.networks.movenet.output import check_tensors, is_movenet
from posed.networks.movenet.single import SinglePose


def movenet_of(model: Model) -> MultiPose | SinglePose | None:
    """The MoveNet that a model file holds; None where it holds another network.

    Raises:
        ModelError: it is a MoveNet of a kind that posed does not run, or lacks what is needed to read it; the
            message does not name the file.
    """
    if not is_movenet(model.outputs):
        return None
    [output] = model.outputs
    kind = next((kind for kind in (MultiPose, SinglePose) if output.shape == kind.SHAPE), None)
    if kind is not None:
        check_tensors(model)
        return kind(model)
    shape = "×".join(map(str, output.shape))
    raise ModelError(f"a MoveNet of a kind posed does not know ({shape})")


__all__ = ["MultiPose", "SinglePose", "movenet_of"]
