"""From PoseNet's heads to poses: pure functions, no device and no clock."""

from __future__ import annotations

from dataclasses import dataclass

from posed.config import DecodeConfig
from posed.frame import Letterbox, RotatedLetterbox
from posed.model.outputs import Outputs
from posed.model.tflite import Model
from posed.networks.posenet.heads import Heads, heads_of
from posed.networks.posenet.many import COMPILED, decode_many
from posed.networks.posenet.one import decode_one
from posed.pose import Pose


@dataclass(frozen=True, slots=True)
class PoseNet:
    """The network `posed.networks.Network` of a model file that holds a PoseNet.

    Args:
        model: the file.
        stride: output stride, px of the model input.
        sigmoid: whether the heatmaps have been through the sigmoid already.
    """

    model: Model
    stride: int
    sigmoid: bool = False

    @classmethod
    def of(cls, model: Model) -> PoseNet:
        """The PoseNet that a model file holds."""
        return cls(model, model.stride, model.sigmoid)

    def heads(self, outputs: Outputs) -> Heads:
        """The heads among the output tensors, as an engine gave them for this model."""
        return heads_of(outputs, self.stride, sigmoid=self.sigmoid)

    def poses(
        self, outputs: Outputs, view: Letterbox | RotatedLetterbox, settings: DecodeConfig
    ) -> list[Pose]:
        """Every person in the output tensors that the settings let through, best first, px of the frame."""
        return decode_frame(self.heads(outputs), view, settings)

    def describe(self, settings: DecodeConfig) -> str:
        """Which decoder the settings choose, and whether it is the compiled one; a few words for people."""
        match settings.people:
            case "one":
                return "one person, assumed to be alone in the picture"
            case "many" if COMPILED:
                return "many people, compiled"
            case "many":
                return (
                    "many people, plain Python (faster where a C compiler is there when posed is installed)"
                )


def decode(heads: Heads, config: DecodeConfig) -> list[Pose]:
    """Every person in the heads that the settings let through, best first, px of the model input."""
    match config.people:
        case "one":
            pose = decode_one(heads)
            return [pose] if pose.score >= config.score_threshold else []
        case "many":
            return decode_many(
                heads,
                max_people=config.max_people,
                score_threshold=config.score_threshold,
                nms_radius_px=config.nms_radius_px,
            )


def decode_frame(heads: Heads, view: Letterbox | RotatedLetterbox, config: DecodeConfig) -> list[Pose]:
    """The same as `decode`, px of the source frame that was fitted into the model's input."""
    poses = decode(heads, config)
    return [Pose(view.to_source(pose.points), pose.scores, pose.score) for pose in poses]


__all__ = ["Heads", "PoseNet", "decode", "decode_frame", "decode_many", "decode_one"]
