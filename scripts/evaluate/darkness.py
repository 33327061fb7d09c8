"""Measures at which brightness poses stop being believable, on labelled footage that is darkened.

    scripts/python evaluate.darkness                     # the clips for making rules in ../shared/footage
    scripts/python evaluate.darkness --by p90            # by another figure of how bright a picture is
    scripts/python evaluate.darkness -o /tmp/dark    # and write pictures of it

Frames of bright clips get less light, in linear light and rounded to 8 bits again: without noise, as from a
camera that has a large sensor or takes the noise out, and with the noise of a small sensor at its highest
gain. What is found in each is held against what is found in the bright frame, and counted by how bright the
dark one is (0-255): people found again; their keypoints reported where they were; of the keypoints
reported, those elsewhere; of the poses reported, those of nobody.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.camera.health import DARK_LUMA, brightness
from posed.config import DecodeConfig
from posed.errors import PosedError
from posed.frame import Image
from posed.people.similarity import Crowd, is_same, similarity
from posed.people.size import body_size
from posed.pose import Pose
from scripts.evaluate.clips import LIES_AFTER_S, Clip, FootageError, Frames, read_footage, video_facts
from scripts.evaluate.inferences import PoseFinder
from scripts.evaluate.options import at_least_one, default_models
from scripts.paths import FOOTAGE

LIGHTS: Final = (0.3, 0.2, 0.14, 0.1, 0.07, 0.05, 0.035, 0.025, 0.017, 0.012, 0.008, 0.005, 0.003)
"""Of the light of the bright frame."""

WHITE_ELECTRONS: Final = 1000.0
READ_ELECTRONS: Final = 4.0
"""White of a small sensor at its highest gain, and its noise in the dark: pixels of 1.4 µm hold some 4500
electrons, of which a gain of 16 takes 280 for white, and have 2 of noise; four of them are averaged."""

BRIGHT_LUMA: Final = 60
"""Clips that are darker than this as they are say nothing of light."""

CLEAR: Final = 0.5
LEAST_CLEAR: Final = 9
"""Somebody who should be found has so many keypoints that score so much in the bright frame."""

FOUND: Final = 0.5
"""Object keypoint similarity from which on a pose is theirs; COCO's usual."""

NEAR: Final = 0.1
"""How far a keypoint may be off, in heights of the person."""

EDGES: Final = (0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 256)

PERCENTILES: Final[Mapping[str, float]] = {"p25": 25, "p75": 75, "p90": 90}


Counts = Counter[str]
"""Of `frames`; `people` who should be found, and those who were (`found`); their clear `keypoints`, those
reported where they were (`right`) and elsewhere (`wrong`); `poses`, and those of nobody (`invented`)."""

Tables = dict[bool, dict[int, Counts]]
"""Without and with noise, by row."""


def main() -> int:
    """Measure, and print; returns the exit status."""
    options = parse_options()
    tables: Tables = {noisy: defaultdict(Counter) for noisy in (False, True)}
    try:
        clips = list(_bright(read_footage(options.footage)))
        with PoseFinder(options.model, DecodeConfig()) as network:
            for clip in clips:
                images = list(_frames_of(clip, options.frames))
                count(images, network, _measure_of(options.by), tables)
                if options.output:
                    _draw(images, options.output / f"{clip.name}.png")
    except (FootageError, PosedError) as error:
        print(f"darkness: {error}", file=sys.stderr)
        return 2
    _print(tables, options.by, len(clips) * options.frames, len(clips))
    return 0


def count(
    images: Sequence[Image], network: PoseFinder, measure: Callable[[Image], float], tables: Tables
) -> None:
    """Darken some frames of a clip, and add to the tables what is found in them."""
    threshold = network.decode.keypoint_threshold
    random = np.random.default_rng(0)
    for image in images:
        bright = network.look(image, None).poses
        for light in LIGHTS:
            for noisy, table in tables.items():
                dark = darkened(image, light, random if noisy else None)
                table[_row_of(measure(dark))] += compare(bright, network.look(dark, None).poses, threshold)


def darkened(image: Image, light: float, random: np.random.Generator | None) -> Image:
    """The picture with a share of its light, and a sensor's noise from `random` where that is given."""
    linear = _LINEAR[image] * light
    if random is not None:
        electrons = linear * WHITE_ELECTRONS
        noise = np.sqrt(electrons + READ_ELECTRONS**2) * random.standard_normal(image.shape)
        linear = (electrons + noise) / WHITE_ELECTRONS
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(encoded * 255), np.uint8)


def _linear() -> NDArray[np.float64]:
    """By value of sRGB, IEC 61966-2-1, the light."""
    encoded = np.arange(256) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


_LINEAR: Final = _linear()


def compare(bright: Sequence[Pose], dark: Sequence[Pose], threshold: float) -> Counts:
    """What is left of what is found in the light.

    Args:
        bright: everybody found there.
        dark: everybody found in the dark.
        threshold: keypoints that score less are not reported.
    """
    counts = Counter(frames=1, poses=len(dark))
    for person in bright:
        clear = person.scores >= CLEAR
        if clear.sum() < LEAST_CLEAR:
            continue
        size_px, _ = body_size(person.points, clear)
        counts.update(people=1, keypoints=int(clear.sum()))
        again = _found(person, dark, size_px)
        if again is not None:
            reported = clear & (again.scores >= threshold)
            near = np.hypot(*(again.points - person.points).T) <= NEAR * size_px
            counts.update(found=1, right=int((reported & near).sum()), wrong=int((reported & ~near).sum()))
    counts.update(invented=sum(not is_same(pose, bright, threshold) for pose in dark))
    return counts


def _found(person: Pose, poses: Sequence[Pose], size_px: float) -> Pose | None:
    if not poses:
        return None
    others = Crowd(np.stack([pose.points for pose in poses]), np.ones((len(poses), len(person.scores))))
    alike = similarity(Crowd.of([person], CLEAR), np.array([size_px]), others, np.zeros(1))[0]
    best = int(alike.argmax())
    return poses[best] if alike[best] >= FOUND else None


def _bright(clips: Sequence[Clip]) -> Iterator[Clip]:
    for clip in clips:
        if clip.use != "try":
            continue
        luma = [brightness(image) for image in _frames_of(clip, 3)]
        if min(luma) >= BRIGHT_LUMA:
            yield clip
        else:
            print(f"left out: {clip.name}, whose median luma is {min(luma):.0f} to {max(luma):.0f}")


def _frames_of(clip: Clip, count: int) -> Iterator[Image]:
    """So many frames of a clip, up to where somebody who falls lies; what follows is the same again."""
    frames, fps, _ = video_facts(clip.path)
    until_s = _AWAKE_S if clip.fall_start_s is None else clip.fall_start_s + LIES_AFTER_S + 1
    images = Frames(clip.path)
    for index in np.linspace(0, min(frames, round(until_s * fps)) - 1, count):
        yield images.at(int(index))


_AWAKE_S: Final = 11.0


def _measure_of(name: str) -> Callable[[Image], float]:
    if name == "median":
        return brightness
    if name == "mean":
        return lambda image: float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean())
    return lambda image: float(np.percentile(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), PERCENTILES[name]))


def _row_of(luma: float) -> int:
    return int(np.searchsorted(EDGES, luma, side="right")) - 1


def _print(tables: Tables, by: str, frames: int, clips: int) -> None:
    print(f"{frames} frames of {clips} clips, each at {len(LIGHTS)} lights; dark is below {DARK_LUMA}")
    print(f"{'':10}{'without noise':>25}{'':15}{'small sensor, highest gain':>35}")
    print(f"{by:10}" + f"{'frames':>8}{'found':>8}{'right':>8}{'wrong':>8}{'invented':>10}" * 2)
    for row, (low, high) in enumerate(pairwise(EDGES)):
        print(f"{low:>3} - {high:<4}" + "".join(_cells(table[row]) for table in tables.values()))


def _cells(counts: Counts) -> str:
    parts = (("found", "people"), ("right", "keypoints"), ("invented", "poses"))
    found, right, invented = (
        f"{counts[part] / counts[whole]:.2f}" if counts[whole] else "-" for part, whole in parts
    )
    reported = counts["right"] + counts["wrong"]
    wrong = f"{counts['wrong'] / reported:.2f}" if reported else "-"
    return f"{counts['frames']:>8}{found:>8}{right:>8}{wrong:>8}{invented:>10}"


def _draw(images: Sequence[Image], path: Path) -> None:
    """A row per frame, a column per light, with noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    rows = []
    for image in images:
        dark = [darkened(image, light, random) for light in LIGHTS]
        rows.append(np.hstack([cv2.resize(one, (160, 120), interpolation=cv2.INTER_AREA) for one in dark]))
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python evaluate.darkness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--footage", type=Path, default=FOOTAGE, help=f"a folder with a manifest.csv ({FOOTAGE})"
    )
    parser.add_argument("--model", default=default_models()[0], help="a name of the catalogue or a .tflite")
    parser.add_argument("--frames", type=at_least_one, default=6, help="of each clip (6)")
    parser.add_argument("--by", choices=("median", "mean", *PERCENTILES), default="median", help="(median)")
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FOLDER", help="write a picture of each clip, darkened"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
