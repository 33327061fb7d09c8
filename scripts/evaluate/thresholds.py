"""From which scores on a network is as right as PoseNet is at its own defaults: what its own should be.

    scripts/python evaluate.thresholds                        # both MoveNets of ../shared
    scripts/python evaluate.thresholds movenet-multipose --fps 2

Scores of one network are not those of another. Two measures need no marked keypoints:

- a pose of nobody: whoever is found in a picture in which everybody was painted over;
- a wrong keypoint: one that the picture and its mirror image have in different places, by more than a tenth
  of the body.

Each is counted in labelled footage (one person, frames in which somebody is labelled) at every threshold. A
network's own threshold is the lowest at which it is wrong as seldom as PoseNet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.config import Config, DecodeConfig
from posed.errors import PosedError
from posed.frame import Image, RotatedCrop
from posed.people.size import body_size
from posed.pose import Pose
from scripts.evaluate.clips import HELD_S, Clip, FootageError, Frames, frames_at, read_footage, video_facts
from scripts.evaluate.inferences import PoseFinder
from scripts.evaluate.options import rate
from scripts.paths import CORAL_353X481, FOOTAGE, MOVENET_LIGHTNING, MOVENET_MULTIPOSE

MODELS: Final = (str(MOVENET_LIGHTNING), str(MOVENET_MULTIPOSE))

ALL: Final = DecodeConfig(score_threshold=0.01, keypoint_threshold=0.0)
"""Settings that let everything through."""

PAINT: Final = 127
AROUND: Final = 0.25
"""A box around somebody is larger than their keypoints by this, in their size, and painted grey."""

WRONG: Final = 0.1
"""Two places of a keypoint that are farther apart than this, in sizes of the body, are not both right."""

_SETTLES: Final = 3
"""A network has settled on somebody after so many more frames."""

THRESHOLDS: Final = tuple(round(0.05 * step, 2) for step in range(1, 13))
_SHOWN: Final = 0.2
"""The size of somebody is taken from keypoints that score this at least."""


@dataclass(slots=True)
class Counted:
    """What one network gave.

    Args:
        somebody: the best score in each frame with somebody.
        nobody: the best score in each of the same frames with everybody painted over.
        scores: the lower score of each keypoint in a picture and its mirror image.
        apart: how far apart the two are, in sizes of the body.
    """

    somebody: list[float] = field(default_factory=list)
    nobody: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)

    def found(self, threshold: float) -> float:
        """The share of frames in which somebody is found."""
        return share(self.somebody, threshold)

    def invented(self, threshold: float) -> float:
        """The share of frames without anybody in which somebody is found all the same."""
        return share(self.nobody, threshold)

    def shown(self, threshold: float) -> float:
        """The share of keypoints that are shown."""
        return share(self.scores, threshold)

    def wrong(self, threshold: float) -> float:
        """The share of wrong ones among the keypoints that are shown."""
        apart = np.array(self.apart)[np.array(self.scores) >= threshold]
        return float((apart > WRONG).mean()) if len(apart) else 0.0


def share(scores: Sequence[float], threshold: float) -> float:
    """How many of the scores reach a threshold."""
    return float((np.array(scores) >= threshold).mean()) if scores else 0.0


def main() -> int:
    """Count and print; returns the exit status."""
    options = parse_options()
    try:
        pictures = list(pictures_of(read_footage(options.footage), options.fps))
        models = [options.reference, *options.models]
        counted = count(pictures, models)
    except (FootageError, PosedError, OSError) as error:
        print(f"thresholds: {error}", file=sys.stderr)
        return 2
    reference = counted[options.reference]
    for model in models:
        show(Path(model).stem, counted[model], len(pictures))
        if model != options.reference:
            suggest(counted[model], reference)
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python evaluate.thresholds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--reference", default=str(CORAL_353X481), metavar="MODEL", help="a PoseNet")
    parser.add_argument("--footage", type=Path, default=FOOTAGE)
    parser.add_argument("--fps", type=rate, default=1.0, help="frames per second that are looked at (1)")
    return parser.parse_args()


def pictures_of(clips: Iterable[Clip], fps: float) -> Iterator[Image]:
    """Frames of clips of one person that rules may be made with, in which somebody is labelled."""
    for clip in clips:
        if clip.use != "try" or clip.name.startswith("intel"):
            continue
        frames_there, clip_fps, _ = video_facts(clip.path)
        frames = Frames(clip.path)
        for index in frames_at(max(1, frames_there - round(HELD_S * clip_fps)), clip_fps, fps):
            if clip.posture_at(index / clip_fps) is not None:
                yield frames.at(index)


def count(pictures: Sequence[Image], models: Sequence[str]) -> dict[str, Counted]:
    """What each network gives for the pictures; the first one says where somebody is to be painted over."""
    counted = {model: Counted() for model in models}
    finders = {model: PoseFinder(model, ALL) for model in models}
    for number, picture in enumerate(pictures, start=1):
        looks = {model: poses_in(picture, finder) for model, finder in finders.items()}
        empty = painted_over(picture, [poses[0] for poses in looks.values() if poses])
        mirrored = np.ascontiguousarray(picture[:, ::-1])
        for model, finder in finders.items():
            one, poses = counted[model], looks[model]
            one.somebody.append(poses[0].score if poses else 0.0)
            nobody = poses_in(empty, finder)
            one.nobody.append(nobody[0].score if nobody else 0.0)
            others = poses_in(mirrored, finder)
            if poses and others:
                compare(one, poses[0], others[0], picture.shape[1])
        if number % 50 == 0:
            print(f"{number} of {len(pictures)} pictures", file=sys.stderr)
    return counted


def poses_in(picture: Image, finder: PoseFinder) -> list[Pose]:
    """Everybody in a picture, once a network that follows somebody has settled on them."""
    look = finder.look(picture, None)
    for _ in range(_SETTLES):
        if look.next_region is None:
            break
        look = finder.look(picture, RotatedCrop(look.next_region, turn_deg=0))
    return look.poses


def painted_over(picture: Image, poses: Iterable[Pose]) -> Image:
    """A picture with grey boxes where networks find somebody."""
    empty = picture.copy()
    for pose in poses:
        seen = pose.scores >= _SHOWN
        points = pose.points[seen if seen.any() else slice(None)]
        margin = AROUND * float((points.max(axis=0) - points.min(axis=0)).max())
        top, left = np.maximum(points.min(axis=0) - margin, 0).astype(int)
        bottom, right = np.maximum(points.max(axis=0) + margin, 0).astype(int)
        empty[top:bottom, left:right] = PAINT
    return empty


def compare(one: Counted, pose: Pose, mirrored: Pose, width: int) -> None:
    """Note each keypoint of somebody in a picture and in its mirror image."""
    seen: NDArray[np.bool_] = pose.scores >= _SHOWN
    size_px, _ = body_size(pose.points, seen)
    if not seen.any() or size_px <= 0:
        return
    other = mirrored.mirrored()
    points = np.column_stack([other.points[:, 0], width - 1 - other.points[:, 1]])
    one.scores += np.minimum(pose.scores, other.scores).tolist()
    one.apart += (np.linalg.norm(pose.points - points, axis=1) / size_px).tolist()


def show(name: str, counted: Counted, pictures: int) -> None:
    """Print the shares of one network at each threshold."""
    print(f"\n{name}, {pictures} pictures")
    print(f"{'threshold':>10}{'found':>10}{'invented':>10}{'shown':>10}{'wrong':>10}")
    for threshold in THRESHOLDS:
        shares = (counted.found, counted.invented, counted.shown, counted.wrong)
        print(f"{threshold:>10.2f}" + "".join(f"{of(threshold):>10.3f}" for of in shares))


def suggest(counted: Counted, reference: Counted) -> None:
    """Print the thresholds at which a network is wrong as seldom as the reference at its defaults."""
    defaults = Config().decode
    steps = [step / 100 for step in range(1, 100)]
    invented = reference.invented(defaults.score_threshold)
    wrong = reference.wrong(defaults.keypoint_threshold)
    score = next((step for step in steps if counted.invented(step) <= invented), steps[-1])
    keypoint = next((step for step in steps if counted.wrong(step) <= wrong), steps[-1])
    print(f"decode.score_threshold {score:.2f}, decode.keypoint_threshold {keypoint:.2f}")


if __name__ == "__main__":
    sys.exit(main())
