"""From the output tensors of a frame to everybody in it."""

from __future__ import annotations

from posed.config import Config
from posed.networks import Network
from posed.people.rotated_crops import merge_detections
from posed.pipeline.threads import Inferred
from posed.pose import Pose


def poses_of(inferred: Inferred, network: Network, config: Config) -> list[Pose]:
    """Every pose in a frame once, best first, px of the frame; left and right are the person's own."""
    settings, looked = config.decode, inferred.looked
    poses = network.poses(inferred.outputs, inferred.letterbox, settings)
    if looked is not None:
        turn_deg = looked.view.look.turn_deg
        found = network.poses(looked.outputs, looked.view, settings)
        poses = merge_detections(poses, found, turn_deg, settings.keypoint_threshold)
    return [pose.mirrored() for pose in poses] if config.camera.mirror else poses
