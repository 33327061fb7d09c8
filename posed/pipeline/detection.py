"""From a frame to everybody in it."""

from __future__ import annotations

from posed.config import DecodeConfig
from posed.engine.base import Engine
from posed.frame import CameraInference, Frame, Letterbox
from posed.model.outputs import Outputs
from posed.networks import Network
from posed.networks.posenet import decode_frame, heads_of
from posed.people.rotated_crops import merge_detections
from posed.pipeline.inferred import Inferred
from posed.pipeline.stage_timings import StageTimings
from posed.pose import Pose


def infer(frame: Frame, engine: Engine, input_size: tuple[int, int]) -> Inferred:
    """Run a model on one frame here and now, where no thread of the pipeline does it.

    Args:
        frame: any size.
        engine: opened.
        input_size: (width, height) of the model's input, px.

    Raises:
        EngineLost: the device failed or is gone; opening it again may help.
    """
    stages = StageTimings()
    with stages.time("letterbox"):
        letterbox = Letterbox((frame.image.shape[1], frame.image.shape[0]), input_size)
        network_input = letterbox.apply(frame.image)
    with stages.time("invoke"):
        outputs = engine.infer(network_input)
    return Inferred(frame, letterbox, outputs, stages)


def poses_of(
    inferred: Inferred, network: Network | None, settings: DecodeConfig, *, mirror: bool = False
) -> list[Pose]:
    """Every pose in a frame once.

    Args:
        inferred: what the model gave for the frame, and for a rotated crop of it.
        network: of that model; a camera's own is a PoseNet, and None will do if there is no other.
        settings: thresholds and limits.
        mirror: whether the frame shows what a mirror shows.

    Returns:
        Best first, px of the frame; left and right are the person's own.
    """
    rotated = inferred.rotated
    poses = _poses_of_frame(inferred, network, settings, mirror=mirror)
    if rotated is not None and network is not None:
        turn_deg = rotated.view.crop.turn_deg
        found = network.poses(rotated.outputs, rotated.view, settings)
        if inferred.frame.inference is not None:
            found = [pose.from_beside() for pose in found]
        poses = merge_detections(poses, found, turn_deg, settings.keypoint_threshold)
    return [pose.mirrored() for pose in poses] if mirror else poses


def _poses_of_frame(
    inferred: Inferred, network: Network | None, settings: DecodeConfig, *, mirror: bool
) -> list[Pose]:
    """Every pose that was seen in the frame as it is; left and right are what they look like in it."""
    own = inferred.frame.inference
    if own is None:
        assert network is not None
        return network.poses(inferred.outputs, inferred.view, settings)
    poses = poses_in_camera(own, inferred.outputs, settings)
    return poses if own.mirrored == mirror else [pose.mirrored() for pose in poses]


def poses_in_camera(own: CameraInference, outputs: Outputs, settings: DecodeConfig) -> list[Pose]:
    """Every pose that the network in a camera saw; left and right as in the picture that it saw.

    Args:
        own: what that network said.
        outputs: its heads, as an engine would have given them.
        settings: thresholds and limits.

    Returns:
        Best first, px of the frame.
    """
    return decode_frame(heads_of(outputs, own.stride, sigmoid=False), own.view, settings)
