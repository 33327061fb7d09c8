"""Measures rotated crops: who is found at which angle, before and after, and who is invented.

Recall: people whom the model finds upright in real pictures, and finds again in a square around them, are the
crops. Each is turned about its middle in steps of 15 degrees; whoever is found where they were, by object
keypoint similarity, counts. `as it is` is one inference, `+-90` adds the two crops that the whole frame gets,
and `all turns` those of a search around somebody.

False people: on pictures of people upright (every frame, and every crop) and on empty ones (the video's
median over time, whole and in squares, and drawn rooms), whoever the crops add. Exits with 1
where too few are found at 90 degrees, or too many invented.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.config import DecodeConfig, EngineConfig
from posed.engine import open_engine
from posed.engine.base import Engine
from posed.frame import PADDING, Image, Letterbox, Region, RotatedCrop, RotatedLetterbox
from posed.networks import Network
from posed.networks.pair import load_pair
from posed.people.rotated_crops import FRAME_TURNS, SEARCH_TURNS, merge_detections
from posed.people.similarity import Crowd, similarity
from posed.people.size import body_size
from posed.pose import Pose
from posed.synthetic.scene import Scene
from scripts.paths import CORAL_353X481, SHARED

Floats = NDArray[np.float64]

PICTURES: Final = ("couple_640x480.bmp", "squat.bmp")
VIDEO: Final = "walkers_768x576.mp4"

ANGLES: Final = (0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180)
MORE_TURNS: Final = tuple(turn for turn in SEARCH_TURNS if turn not in FRAME_TURNS)
WANTED_AT_90, WANTED_INVENTED = 0.9, 0.01

AROUND: Final = 1.5
"""Side of a crop, in extents of the person's keypoints."""

CLEAR: Final = 0.5
LEAST_CLEAR: Final = 9
"""A crop is of somebody of whom that many keypoints score above that."""

FOUND: Final = 0.5
"""Object keypoint similarity from which on a pose is theirs; COCO's usual."""

SHIFTS_PX: Final = (0, 6, -6)
"""Empty squares are moved by so much, since each answer depends on where the cells of the grid are."""

ROOMS: Final = 30
ROOM_SIZE: Final = (640, 480)


@dataclass(frozen=True)
class Crop:
    """Somebody who is found upright.

    Args:
        picture: it is of.
        middle: (y, x) px.
        side: of the square, px.
        pose: px of the picture.
    """

    picture: Image
    middle: Floats
    side: float
    pose: Pose

    def rotated(self, angle_deg: float) -> tuple[Image, Pose]:
        """The square with its content turned clockwise, and where the person is in it."""
        y, x = self.middle.tolist()
        size = round(self.side)
        matrix = cv2.getRotationMatrix2D((x, y), -angle_deg, 1)
        matrix[:, 2] += (size - 1) / 2 - np.array([x, y])
        bars = cv2.BORDER_CONSTANT, (PADDING, PADDING, PADDING)
        image = cv2.warpAffine(self.picture, matrix, (size, size), None, cv2.INTER_LINEAR, *bars)
        points = (self.pose.points[:, ::-1] @ matrix[:, :2].T + matrix[:, 2])[:, ::-1]
        return np.asarray(image, np.uint8), Pose(points, self.pose.scores, self.pose.score)


class Eyes:
    """A model that looks at pictures.

    Args:
        engine: opened.
        network: of the model that the engine has opened.
    """

    def __init__(self, engine: Engine, network: Network) -> None:
        self._engine = engine
        self._input_size = network.model.size
        self._network = network
        self._settings = DecodeConfig()

    def see(self, image: Image) -> list[Pose]:
        """Everybody in a picture as it is."""
        letterbox = Letterbox((image.shape[1], image.shape[0]), self._input_size)
        return self._network.poses(self._engine.infer(letterbox.apply(image)), letterbox, self._settings)

    def see_with_crops(self, image: Image, poses: list[Pose], turns: Sequence[int]) -> list[Pose]:
        """Everybody, also those who are found only in rotated crops."""
        for turn_deg in turns:
            view = RotatedLetterbox(
                RotatedCrop(Region.whole((image.shape[1], image.shape[0])), turn_deg), self._input_size
            )
            found = self._network.poses(self._engine.infer(view.apply(image)), view, self._settings)
            poses = merge_detections(poses, found, turn_deg, self._settings.keypoint_threshold)
        return poses


def pictures(options: argparse.Namespace) -> Iterator[Image]:
    """The photographs, then frames of the video."""
    for name in PICTURES:
        yield cv2.cvtColor(cv2.imread(str(options.testdata / name)), cv2.COLOR_BGR2RGB)
    video = cv2.VideoCapture(str(options.testdata / VIDEO))
    number = 0
    while True:
        fine, frame = video.read()
        if not fine:
            return
        if number % options.every == 0:
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        number += 1


def crops_of(eyes: Eyes, picture: Image, poses: Sequence[Pose]) -> Iterator[Crop]:
    """Squares around people who are found again in them."""
    for pose in poses:
        clear = pose.scores >= CLEAR
        if clear.sum() < LEAST_CLEAR:
            continue
        low, high = pose.points[clear].min(axis=0), pose.points[clear].max(axis=0)
        crop = Crop(picture, (low + high) / 2, AROUND * float((high - low).max()), pose)
        image, expected = crop.rotated(0)
        if is_found(expected, eyes.see(image)):
            yield crop


def is_found(expected: Pose, poses: Sequence[Pose]) -> bool:
    """Whether one of the poses is of somebody who should be there."""
    if not poses:
        return False
    clear = expected.scores >= CLEAR
    size_px, _ = body_size(expected.points, clear)
    crowd = Crowd.of([expected], CLEAR)
    others = Crowd(np.stack([pose.points for pose in poses]), np.ones((len(poses), len(clear))))
    return bool(similarity(crowd, np.array([size_px]), others, np.zeros(1)).max() >= FOUND)


def recall(eyes: Eyes, crops: Sequence[Crop], angles: Sequence[int]) -> float:
    """Print who is found at each angle; returns the share at +-90 degrees after crops rotated by +-90."""
    print(f"\n{len(crops)} crops; share found of those turned by + and - the angle")
    print(f"{'angle':>6}{'as it is':>10}{'+-90':>8}{'all turns':>11}")
    at_90 = WANTED_AT_90
    for angle in angles:
        counts = np.zeros(3)
        signs = (1,) if angle in (0, 180) else (1, -1)
        for crop in crops:
            for sign in signs:
                image, expected = crop.rotated(sign * angle)
                poses = eyes.see(image)
                by_frame_turns = eyes.see_with_crops(image, poses, FRAME_TURNS)
                by_all = eyes.see_with_crops(image, by_frame_turns, MORE_TURNS)
                counts += [is_found(expected, way) for way in (poses, by_frame_turns, by_all)]
        shares = counts / (len(crops) * len(signs))
        print(f"{angle:>6}{shares[0]:>10.2f}{shares[1]:>8.2f}{shares[2]:>11.2f}", flush=True)
        if angle == 90:
            at_90 = float(shares[1])
    return at_90


def invented(eyes: Eyes, name: str, images: Sequence[Image], turns: Sequence[int]) -> float:
    """Print how many people the crops add on pictures; returns by how many per picture."""
    before = after = spoilt = 0
    for image in images:
        poses = eyes.see(image)
        more = eyes.see_with_crops(image, poses, turns)
        before, after = before + len(poses), after + len(more)
        spoilt += len(more) > len(poses)
    print(
        f"{name:34}{len(images):>9}{before:>8}{after:>8}{spoilt:>11}{(after - before) / len(images):>9.2%}",
        flush=True,
    )
    return (after - before) / len(images)


def empty_squares(empty: Image, crops: Sequence[Crop]) -> list[Image]:
    """The places of people, without them."""
    return [
        Crop(empty, crop.middle + shift, crop.side, crop.pose).rotated(0)[0]
        for crop in crops
        for shift in SHIFTS_PX
        if crop.picture.shape == empty.shape
    ]


def rooms() -> list[Image]:
    """Drawn rooms with nobody in them."""
    return [Scene(seed, ROOM_SIZE, script=[]).render(0.0).image for seed in range(ROOMS)]


def main() -> int:
    """Measure, and print; returns 1 where too few are found or too many invented."""
    options = parse_options()
    pair = load_pair(str(options.model), pull_missing=False)
    with open_engine(EngineConfig(kind="cpu", threads=options.threads), pair.cpu, pair.edgetpu) as engine:
        eyes = Eyes(engine, pair.network)
        images = list(pictures(options))
        crops = [crop for image in images for crop in crops_of(eyes, image, eyes.see(image))]
        empty = np.median(np.stack(images[len(PICTURES) :]), axis=0).astype(np.uint8)
        at_90 = recall(eyes, crops, options.angles)
        upright_crops = [crop.rotated(0)[0] for crop in crops]
        print(f"\n{'':34}{'pictures':>9}{'before':>8}{'after':>8}{'with more':>11}{'more':>9}")
        shares = [
            invented(eyes, "people upright, frame, +-90", images, FRAME_TURNS),
            invented(eyes, "people upright, crops, all turns", upright_crops, SEARCH_TURNS),
            invented(eyes, "empty, video's median, +-90", [empty], FRAME_TURNS),
            invented(eyes, "empty, squares of it, all turns", empty_squares(empty, crops), SEARCH_TURNS),
            invented(eyes, "empty, drawn rooms, +-90", rooms(), FRAME_TURNS),
        ]
    return 0 if at_90 >= WANTED_AT_90 and max(shares) <= WANTED_INVENTED else 1


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/python evaluate.rotated_crops", description=__doc__)
    parser.add_argument("--model", type=Path, default=CORAL_353X481, help="a .tflite for the CPU")
    parser.add_argument("--testdata", type=Path, default=SHARED / "testdata", help="pictures and the video")
    parser.add_argument("--every", type=int, default=4, help="frame of the video (default 4)")
    parser.add_argument("--angles", type=int, nargs="+", default=list(ANGLES), help="(default 0 15 … 180)")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU engine (default 2)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
