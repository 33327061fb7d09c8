"""From a network's heads to poses: pure functions, no device and no clock."""

from __future__ import annotations

from posed.config import DecodeConfig
from posed.engine.base import Heads
from posed.frame import Letterbox, RotatedLetterbox
from posed.networks.posenet.many import COMPILED, decode_many
from posed.networks.posenet.one import decode_one
from posed.pose import Pose


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


def describe(config: DecodeConfig) -> str:
    """Which decoder the settings choose, and whether it is the compiled one; a few words for the log."""
    match config.people:
        case "one":
            return "one person"
        case "many" if COMPILED:
            return "many people, compiled"
        case "many":
            return "many people, plain Python (faster where a C compiler is there when posed is installed)"


__all__ = ["decode", "decode_frame", "decode_many", "decode_one", "describe"]
