"""From PoseNet's heads to poses: pure functions, no device and no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from posed.config import DecodeConfig
from posed.frame import Region, View
from posed.model.outputs import Outputs
from posed.model.tflite import Model
from posed.networks.posenet.heads import Heads, heads_of
from posed.networks.posenet.many import COMPILED, decode_many
from posed.networks.posenet.model_file import find_heads, is_bodypix, is_padded, is_sigmoid, stride_of
from posed.networks.posenet.one import decode_one
from posed.pose import Pose


@dataclass(frozen=True, slots=True)
class PoseNet:
    """The network `posed.networks.Network` of a model file that holds a PoseNet.

    Args:
        model: the file; its outputs are the heads, in the order of `find_heads`.
        stride: output stride, px of the model input.
        sigmoid: whether the heatmaps have been through the sigmoid already.
        bodypix: whether the file is a BodyPix, of which the heads of its PoseNet are taken.
    """

    model: Model
    stride: int
    sigmoid: bool = False
    bodypix: bool = False

    @classmethod
    def of(cls, model: Model) -> PoseNet:
        """The PoseNet that a model file holds.

        Raises:
            ModelError: it holds none; the message does not name the file.
        """
        heads = find_heads(model.outputs)
        stride = stride_of(model, heads)
        return cls(
            replace(model, outputs=heads),
            stride,
            is_sigmoid(model.nodes, heads[0]),
            is_bodypix(model.outputs),
        )

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the heads, cells."""
        heatmaps = self.model.outputs[0]
        return heatmaps.shape[1], heatmaps.shape[2]

    @property
    def defaults(self) -> Mapping[str, float]:
        """None: those of `posed.config` are PoseNet's."""
        return {}

    def facts(self) -> list[tuple[str, str]]:
        """What the file says of its PoseNet, as pairs of a name and a few words."""
        cells_high, cells_wide = self.grid
        heatmaps, short_offsets, *mid_offsets = self.model.outputs
        mid_names = ("mid offsets",) if len(mid_offsets) == 1 else ("forward displacements", "backward …")
        heads = [("heatmaps", heatmaps), ("short offsets", short_offsets)]
        heads += list(zip(mid_names, mid_offsets, strict=True))
        padded = is_padded(self.grid, self.model.size, self.stride)
        return [
            ("network", "BodyPix, run as a PoseNet: its masks are left out" if self.bodypix else "PoseNet"),
            ("output stride", f"{self.stride} px"),
            ("padding", "the model pads its input by a pixel" if padded else "none"),
            ("grid", f"{cells_high}×{cells_wide} cells"),
            *((name, f"{head.shape[3]} channels, {head.describe()}") for name, head in heads),
            ("heatmap values", "scores (after the sigmoid)" if self.sigmoid else "logits"),
        ]

    def heads(self, outputs: Outputs) -> Heads:
        """The heads among the output tensors, as an engine gave them for this model."""
        return heads_of(outputs, self.stride, sigmoid=self.sigmoid)

    def poses(self, outputs: Outputs, view: View, settings: DecodeConfig) -> list[Pose]:
        """Every person in the output tensors that the settings let through, best first, px of the frame."""
        return decode_frame(self.heads(outputs), view, settings)

    def next_region(
        self, _outputs: Outputs, _view: View, _settings: DecodeConfig, _frame_size: tuple[int, int]
    ) -> Region | None:
        """All of the frame: it looks for everybody."""
        return None

    def describe(self, settings: DecodeConfig) -> str:
        """Which decoder the settings choose, and whether it is the compiled one; a few words for people."""
        return describe_decoder(settings)


def describe_decoder(settings: DecodeConfig) -> str:
    """Which decoder the settings choose, and whether it is the compiled one; a few words for people."""
    match settings.people:
        case "one":
            return "one person, assumed to be alone in the picture"
        case "many" if COMPILED:
            return "many people, compiled"
        case "many":
            return "many people, plain Python (faster where a C compiler is there when posed is installed)"


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


def decode_frame(heads: Heads, view: View, config: DecodeConfig) -> list[Pose]:
    """The same as `decode`, px of the source frame that was fitted into the model's input."""
    poses = decode(heads, config)
    return [Pose(view.to_source(pose.points), pose.scores, pose.score) for pose in poses]


__all__ = [
    "Heads",
    "PoseNet",
    "decode",
    "decode_frame",
    "decode_many",
    "decode_one",
    "describe_decoder",
    "heads_of",
]
