"""MoveNet MultiPose: up to six people at once, in an input of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from posed.config import DecodeConfig
from posed.frame import Region, View
from posed.model.outputs import Outputs
from posed.networks.movenet.output import (
    BOX_VALUES,
    KEYPOINT_VALUES,
    PER_KEYPOINT,
    MoveNet,
    keypoints_of,
    read_people,
)
from posed.pose import KEYPOINT_COUNT, Pose

PEOPLE: Final = 6
"""It looks for so many people; where there are fewer, the others score next to nothing."""

NOBODY: Final = 0.08
SURE: Final = 0.72
"""What it scores a person by itself, from NOBODY to SURE, becomes 0 to 1: the rules of people are made for
PoseNet's scores. Above 0.25 it then invents as few people as PoseNet does, and above 0.5 it finds as many.
By itself it scores people who plainly lie 0.25 to 0.4, which those rules hardly believe. Source:
`scripts/python evaluate.thresholds`."""

DEFAULTS: Final = {"decode.keypoint_threshold": 0.1}
"""With this it is wrong as seldom as PoseNet at its own. Source: the same, which says 0.06: that hides next
to none, and 0.1 hides 1 % of them, most of which are wrong."""


@dataclass(frozen=True, slots=True)
class MultiPose(MoveNet):
    """The network `posed.networks.Network` of a model file that holds a MoveNet MultiPose.

    Args:
        model: the file; its output is, for each person, 17 × (y, x, score), then a box and
            the person's score.
    """

    SHAPE: ClassVar[tuple[int, ...]] = (1, PEOPLE, KEYPOINT_VALUES + BOX_VALUES)

    @property
    def defaults(self) -> Mapping[str, float]:
        """Settings, by dotted name, whose defaults are others than in `posed.config`."""
        return DEFAULTS

    def poses(self, outputs: Outputs, view: View, settings: DecodeConfig) -> list[Pose]:
        """Every person in the output that the settings let through, best first, px of the frame."""
        [output] = outputs
        people = read_people(output, (PEOPLE, -1))
        keypoints = people[:, :KEYPOINT_VALUES].reshape(PEOPLE, KEYPOINT_COUNT, PER_KEYPOINT)
        points, scores = keypoints_of(keypoints, self.model.size)
        given = people[:, -1].astype(np.float64)
        person_scores = np.interp(np.where(np.isfinite(given), given, 0.0), (NOBODY, SURE), (0.0, 1.0))
        most = 1 if settings.people == "one" else settings.max_people
        best = np.argsort(-person_scores, kind="stable")[:most]
        return [
            Pose(view.to_source(points[one]), scores[one], float(person_scores[one]))
            for one in best.tolist()
            if person_scores[one] >= settings.score_threshold
        ]

    def next_region(
        self, _outputs: Outputs, _view: View, _settings: DecodeConfig, _frame_size: tuple[int, int]
    ) -> Region | None:
        """All of the frame: it looks for everybody."""
        return None

    def describe(self, settings: DecodeConfig) -> str:
        """Whether the settings want everybody or one person; a few words for people."""
        if settings.people == "one":
            return "the best one of up to six people, found by the model itself"
        return "up to six people, found by the model itself"

    def facts(self) -> list[tuple[str, str]]:
        """What the file says of its network, as pairs of a name and a few words."""
        boxes = ("boxes", "one of each person, not used")
        return [*self._facts("MoveNet MultiPose", f"{PEOPLE} people"), boxes]
