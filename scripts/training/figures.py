"""How good poses are, held against the truth: PCK, and precision and recall of people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.config import DecodeConfig
from posed.networks.posenet import decode
from posed.networks.posenet.heads import Heads
from posed.pose import LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER, SIGMAS, Pose
from scripts.training.pool import SHOWN, Sample

PCK_SHARE: Final = 0.2
"""A keypoint is right when it is nearer to the truth than this share of the torso."""

OKS_LEAST: Final = 0.5
"""A person is found when a pose is at least this similar."""

LEAST_SHOWN: Final = 5
"""People of whom fewer keypoints show need not be found, and whoever finds them is not wrong."""

GROUPS: Final = {"small": (0.0, 0.25), "middle": (0.25, 0.5), "large": (0.5, np.inf)}
"""Sizes of people: the longer side of the box around their keypoints over the picture's height."""

_SIGMAS: Final = np.array(SIGMAS)
"""How exactly people mark each keypoint; from COCO's evaluation (cocoapi, cocoeval.py)."""

_BODY_SHARE: Final = 0.53
"""Of a box around a person, what the person fills, where the person's area is not known."""

_THIN: Final = 0.25
"""Least width of that box over its height: somebody seen from the side is no line."""

_FORESHORTENED: Final = 0.2
"""Least torso over the box's longer side: seen along its axis, it has no length."""

_CORNERS: Final = (LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER, LEFT_HIP)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One person of a picture.

    Args:
        points: (17, 2) px, y first.
        shown: (17,): those that count.
        area_px: how much of the picture shows the person, px²; nan where nobody knows.
    """

    points: NDArray[np.float32]
    shown: NDArray[np.bool_]
    area_px: float = math.nan

    @property
    def counts(self) -> bool:
        """Whether this person must be found."""
        return int(self.shown.sum()) >= LEAST_SHOWN

    @property
    def sides_px(self) -> NDArray[np.float64]:
        """The shorter and the longer side of the box around what shows."""
        inside = self.points[self.shown]
        return np.sort((inside.max(axis=0) - inside.min(axis=0)).astype(np.float64))

    @property
    def torso_px(self) -> float:
        """The longer diagonal of the torso."""
        ends = self.points[list(_CORNERS)]
        diagonals = np.linalg.norm(ends[::2] - ends[1::2], axis=1)
        return float(max(*diagonals, _FORESHORTENED * self.sides_px[1]))

    def similarity(self, pose: Pose) -> float:
        """OKS of a pose, 0-1, by the area that shows the person. Source: COCO's keypoint evaluation."""
        area = self._boxed_area_px if math.isnan(self.area_px) else self.area_px
        squared = ((pose.points - self.points) ** 2).sum(axis=1)[self.shown]
        return float(np.exp(-squared / (2 * area * (2 * _SIGMAS[self.shown]) ** 2 + 1e-9)).mean())

    @property
    def _boxed_area_px(self) -> float:
        shorter, longer = self.sides_px
        return float(_BODY_SHARE * longer * max(shorter, _THIN * longer, 1.0))

    def right(self, pose: Pose) -> int:
        """How many of the keypoints that show a pose has right."""
        distances = np.linalg.norm(pose.points - self.points, axis=1)[self.shown]
        return int((distances <= PCK_SHARE * self.torso_px).sum())


@dataclass(slots=True)
class Count:
    """Of people of one size."""

    people: int = 0
    found: int = 0
    keypoints: int = 0
    found_keypoints: int = 0
    right: int = 0


@dataclass(slots=True)
class Figures:
    """What comes out over many pictures; filled by `add`."""

    pictures: int = 0
    false: int = 0
    groups: dict[str, Count] = field(default_factory=lambda: {name: Count() for name in GROUPS})

    def add(self, sample: Sample, poses: Sequence[Pose]) -> None:
        """Hold the poses found in a picture, best first, against its people."""
        self.pictures += 1
        people = truths(sample)
        pairs = matched(people, poses)
        for index, person in enumerate(people):
            if not person.counts:
                continue
            count = self.groups[_group(person, sample.image.shape[0])]
            shown = int(person.shown.sum())
            count.people += 1
            count.keypoints += shown
            if index in pairs:
                count.found += 1
                count.found_keypoints += shown
                count.right += person.right(poses[pairs[index]])
        self.false += len(poses) - len(pairs)

    def summary(self) -> dict[str, float]:
        """Shares 0-1: of everybody, then recall and PCK by size, with how many people there are of each."""
        every = Count(
            *(
                sum(getattr(count, name) for count in self.groups.values())
                for name in Count.__dataclass_fields__
            )
        )
        found = {
            "pictures": self.pictures,
            "people": every.people,
            "pck": _share(every.right, every.found_keypoints),
            "pck_of_all": _share(every.right, every.keypoints),
            "recall": _share(every.found, every.people),
            "precision": _share(every.found, every.found + self.false),
        }
        for name, count in self.groups.items():
            found[f"{name}_people"] = count.people
            found[f"{name}_pck"] = _share(count.right, count.found_keypoints)
            found[f"{name}_recall"] = _share(count.found, count.people)
        return found


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else float("nan")


def _group(person: Truth, height: int) -> str:
    size = person.sides_px[1] / height
    return next(name for name, (low, high) in GROUPS.items() if low <= size < high)


def truths(sample: Sample) -> list[Truth]:
    """Everybody of whom something shows."""
    shown = sample.states == SHOWN
    people = zip(sample.points, shown, sample.areas.tolist(), strict=True)
    return [Truth(points, mine, area) for points, mine, area in people if mine.any()]


def matched(people: Sequence[Truth], poses: Sequence[Pose]) -> dict[int, int]:
    """Person -> pose: each pose, best first, takes the person that is left and most similar, if enough.

    Those who need not be found are taken last, so that they cost nobody a pose.
    """
    pairs: dict[int, int] = {}
    for index, pose in enumerate(poses):
        left = [
            (people[who].counts, people[who].similarity(pose), who)
            for who in range(len(people))
            if who not in pairs
        ]
        good = [one for one in left if one[1] >= OKS_LEAST]
        if good:
            pairs[max(good)[2]] = index
    return pairs


def figures_of(found: Iterable[tuple[Sample, Heads]], config: DecodeConfig | None = None) -> Figures:
    """Decode the heads of every picture, with posed's defaults unless told otherwise, and count."""
    figures = Figures()
    for sample, heads in found:
        figures.add(sample, decode(heads, config or DecodeConfig()))
    return figures
