"""MoveNet single-pose: the person in the middle of what it looks at, whom it follows from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from posed.config import DecodeConfig
from posed.frame import Letterbox, Region, View
from posed.model.outputs import Outputs
from posed.networks.movenet.output import PER_KEYPOINT, MoveNet, keypoints_of, read_people
from posed.networks.movenet.region import region_around
from posed.pose import KEYPOINT_COUNT, Pose

_VARIANTS: Final = {(192, 192): " (Lightning)", (256, 256): " (Thunder)"}
"""They differ in the size of their input."""

DEFAULTS: Final = {
    "decode.score_threshold": 0.38,
    "decode.keypoint_threshold": 0.25,
    "people.look_turned_s": 0.0,
}
"""With these thresholds it is wrong as seldom as PoseNet at its own; and rotated crops add nothing to the
falls that are reported. Sources: `scripts/python evaluate.thresholds` and `evaluate.footage`."""


@dataclass(frozen=True, slots=True)
class SinglePose(MoveNet):
    """The network `posed.networks.Network` of a model file that holds a MoveNet for one person.

    Args:
        model: the file; its output is 17 × (y, x, score).
    """

    SHAPE: ClassVar[tuple[int, ...]] = (1, 1, KEYPOINT_COUNT, PER_KEYPOINT)

    @property
    def defaults(self) -> Mapping[str, float]:
        """Settings, by dotted name, whose defaults are others than in `posed.config`."""
        return DEFAULTS

    def poses(self, outputs: Outputs, view: View, settings: DecodeConfig) -> list[Pose]:
        """The one person in the output, px of the frame, if the settings let them through.

        There always is one, perhaps with a low score; the score of the pose is the mean of its keypoints'.
        """
        pose = self._pose(outputs, view)
        return [pose] if pose.score >= settings.score_threshold else []

    def next_region(
        self, outputs: Outputs, view: View, settings: DecodeConfig, frame_size: tuple[int, int]
    ) -> Region | None:
        """Where to look in the next frame: around the person; None, when they are lost: at all of it.

        Somebody small may score enough only where they are looked at closely. So whoever is seen in all of
        the frame gets one such look; who is not reported then either may be nobody, and others be elsewhere.
        """
        pose = self._pose(outputs, view)
        if pose.score < settings.score_threshold and not isinstance(view, Letterbox):
            return None
        return region_around(pose.points, pose.scores, frame_size)

    def _pose(self, outputs: Outputs, view: View) -> Pose:
        [output] = outputs
        keypoints = read_people(output, (1, KEYPOINT_COUNT, PER_KEYPOINT))
        points, scores = keypoints_of(keypoints, self.model.size)
        return Pose(view.to_source(points[0]), scores[0], float(scores[0].mean()))

    def describe(self, _settings: DecodeConfig) -> str:
        """What the network does by itself; a few words for people."""
        return "one person, followed from frame to frame"

    def facts(self) -> list[tuple[str, str]]:
        """What the file says of its network, as pairs of a name and a few words."""
        return self._facts(f"MoveNet single-pose{_VARIANTS.get(self.model.size, '')}", "one person")
