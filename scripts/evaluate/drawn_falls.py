"""Measures falls: which actions of drawn people count as one, with all that PoseNet misses of them.

Every scene is one action of varied people, places, headings, cameras and durations. What a network would find
in its frames is the truth plus noise, less one person in ten, less those whom PoseNet misses because they are
turned from upright in the picture (measured on crops of real photographs). That goes through all that the
daemon does with poses: it follows people, asks for rotated crops of a frame within their budget, and gets
them as late as from a recording. A rotated crop suffers the same misses, by the angle that is left.

Prints in how many scenes of each action a fall was reported, and exits with 1 where falls are missed or
invented more often than wanted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.config import Config
from posed.frame import Frame, Region, RotatedCrop
from posed.people.rotated_crops import lean_of, merge_detections
from posed.people.size import body_size
from posed.pipeline.journal import MemoryJournal
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.rotated_crop_queue import RotatedCropQueue
from posed.pipeline.scene import Scene as CameraScene
from posed.pose import KEYPOINT_COUNT, Pose
from posed.synthetic.actions import ACTIONS, FALLS
from posed.synthetic.scene import Act, Part, Scene, parts_for

Floats = NDArray[np.float64]

CONFIG: Final = Config().first
SIZE: Final = (640, 480)
IMAGE: Final = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
"""Nobody looks at it: what is in the picture is known."""

SMALL: Final = (160, 120)
"""Scenes are played in a small picture, which is quicker to draw."""

HIDDEN_EVERY_S: Final = 0.4
HIDDEN_STILL_EVERY_S: Final = 2.0
"""While people act, and when all is done."""

DROPPED: Final = 0.1
NOISE: Final = 0.012
"""Standard deviation of a keypoint, of the person's size; three times that for one that cannot be seen."""

FOUND: Final = ((0, 1.0), (30, 22 / 27), (45, 9.5 / 27), (60, 4.5 / 27), (90, 0.5 / 27), (180, 0.0))
"""Share of people found at so many degrees from upright. Source: 27 crops of real people, PoseNet 0.75."""

FOUND_ROTATED: Final = 0.9
"""Of what is found upright, the share that is found in a rotated crop; evaluate.rotated_crops has more."""

LUCK_S: Final = 1.0
"""Whether a turned person is found is decided anew so often, for all crops alike: frames of one moment are
much alike, and who is missed at 45 degrees one way is missed the other way too (evaluate.rotated_crops)."""

NOT_FALLS: Final = (
    "stand",
    "walk",
    "sit_down",
    "stand_up",
    "bend_down",
    "pick_up",
    "tie_shoes",
    "lie_down_slowly",
    "get_up",
    "cross",
)
ACTION_NAMES: Final = (*FALLS, *NOT_FALLS)
WANTED_FOUND, WANTED_INVENTED = 0.97, 0.003

SWAY_EVERY_S: Final = 0.2
"""How often it is looked where people are who only sway."""

AFTER_S: Final = 4.0
"""How long scenes go on after the time in which a fall is confirmed."""

LEAST_KEYPOINTS: Final = 5
"""Of whom less is in the picture, nobody is found."""


@dataclass(frozen=True)
class Played:
    """The truth of a scene.

    Args:
        times_s: (T,).
        points: by person: (T, 17, 2) px.
        clear: by person: (T, 17) 0 outside the picture or behind something, 1 behind the own body, 2 seen.
        sizes: by person: (T,) px, of their body standing upright.
    """

    times_s: Floats
    points: dict[int, Floats]
    clear: dict[int, NDArray[np.int8]]
    sizes: dict[int, Floats]

    def every(self, nth: int) -> Played:
        """The same with fewer frames."""
        return Played(
            self.times_s[::nth],
            {number: points[::nth] for number, points in self.points.items()},
            {number: clear[::nth] for number, clear in self.clear.items()},
            {number: sizes[::nth] for number, sizes in self.sizes.items()},
        )


def script(rng: np.random.Generator, action: str, after_s: float) -> tuple[list[Part], float]:
    """Who does what, and how long the scene lasts, s."""
    if action == "cross":
        parts = parts_for(rng, ["cross"], 2)
        return parts, max(part.acts[-1].start_s + part.acts[-1].duration_s for part in parts) + after_s
    before = {"stand_up": "sit", "get_up": "lie"}.get(action, "stand" if rng.random() < 0.6 else "walk")
    place = (float(rng.uniform(-1.1, 1.1)), float(rng.uniform(3.0, 5.2)))
    stretch = float(rng.uniform(0.75, 1.35))
    side = bool(rng.random() < 0.5)
    start = 2.5
    acts: list[Act] = []
    if before == "walk":
        to = (float(rng.uniform(-1.1, 1.1)), float(rng.uniform(3.0, 5.2)))
        start = max(1.2, float(np.hypot(to[0] - place[0], to[1] - place[1])) / 1.15)
        acts.append(Act("walk", 0, start, to=to))
    else:
        acts.append(Act(before, 0, start))
    if action == "walk":
        away = 3.5 if side else -3.5
        acts.append(Act("walk", start, 4 * stretch, to=(away, float(rng.uniform(3.0, 5.2)))))
    else:
        duration = ACTIONS[action].usual_s * stretch
        acts.append(Act(action, start, duration, other_side=side))
        if action == "sit_down":
            acts.append(Act("sit", start + duration, 5))
    end = acts[-1].start_s + acts[-1].duration_s
    part = Part(tuple(acts), place, float(rng.uniform(-180, 180)), int(rng.integers(2**31)), 1)
    return [part], end + after_s


def play(seed: int, action: str, fps: float, after_s: float) -> Played:
    """The truth of one scene of an action."""
    rng = np.random.default_rng([seed, 5])
    parts, length_s = script(rng, action, after_s)
    scene = Scene(seed, SMALL, script=parts)
    times, still_s = np.arange(0, length_s, 1 / fps), length_s - after_s
    drawn_s = np.append(
        np.arange(0, still_s, HIDDEN_EVERY_S), np.arange(still_s, length_s, HIDDEN_STILL_EVERY_S)
    )
    drawn = [{one.id: one for one in scene.render(at).people} for at in drawn_s.tolist()]
    nearest = np.abs(times[:, None] - drawn_s).argmin(1)
    # While people only sway, a few instants say it all.
    known = np.append(times[times < still_s], np.arange(still_s, length_s + SWAY_EVERY_S, SWAY_EVERY_S))
    all_points, clear, sizes = {}, {}, {}
    for number, where in scene.keypoints(known).items():
        points = (between(times, known, where) + 0.5) * (SIZE[0] / SMALL[0]) - 0.5
        rows = [
            drawn_at[number].visible * 2 + drawn_at[number].self_hidden
            if number in drawn_at
            else np.zeros(KEYPOINT_COUNT, np.int8)
            for drawn_at in drawn
        ]
        all_points[number] = points
        clear[number] = np.array(rows, np.int8)[nearest] * inside(points, Region.whole(SIZE))
        sizes[number] = np.interp(times, drawn_s, [size_of(one) for one in between(drawn_s, times, points)])
    return Played(times, all_points, clear, sizes)


def between(times_s: Floats, known_s: Floats, values: Floats) -> Floats:
    """Values (T, …) at some instants, straight between those at which they are known."""
    index = np.clip(np.searchsorted(known_s, times_s, side="right") - 1, 0, len(known_s) - 2)
    share = np.clip((times_s - known_s[index]) / (known_s[index + 1] - known_s[index]), 0, 1)
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[index] * (1 - share) + values[index + 1] * share)


def size_of(points: Floats) -> float:
    """px: how large somebody is, of whom everything is known."""
    return body_size(points, np.ones(KEYPOINT_COUNT, np.bool_))[0]


class SimulatedNetwork:
    """What PoseNet would find in the frames of a scene.

    Args:
        played: the scene.
        rng: decides who is missed, and how points are off.
    """

    def __init__(self, played: Played, rng: np.random.Generator) -> None:
        self._played, self._rng = played, rng
        blocks = int(played.times_s[-1] / LUCK_S) + 1
        self._luck = {number: rng.random(blocks) for number in played.points}

    def find(self, frame: int, crop: RotatedCrop) -> list[Pose]:
        """Everybody who is found in a part of a frame, turned."""
        poses = []
        for number, points in self._played.points.items():
            clear = self._played.clear[number][frame] * inside(points[frame], crop.region)
            if (clear > 0).sum() < LEAST_KEYPOINTS or self._rng.random() < DROPPED:
                continue
            chance = chance_found(points[frame], crop.turn_deg) * (FOUND_ROTATED if crop.turn_deg else 1)
            if self._luck[number][int(self._played.times_s[frame] / LUCK_S)] < chance:
                poses.append(spoilt(self._rng, points[frame], clear, self._played.sizes[number][frame]))
        return poses


def inside(points: Floats, region: Region) -> NDArray[np.bool_]:
    """Which points (…, 2) are inside a region."""
    low, high = (region.top, region.left), (region.bottom, region.right)
    return np.asarray(((points >= low) & (points < high)).all(axis=-1))


def chance_found(points: Floats, turn_deg: int) -> float:
    """Of somebody (17, 2) in a picture that is turned clockwise by so much."""
    lean_deg = lean_of(points, np.ones(KEYPOINT_COUNT, np.bool_)) or 0.0
    angle_deg = abs((lean_deg + turn_deg + 180) % 360 - 180)
    return float(np.interp(angle_deg, *zip(*FOUND, strict=True)))


def spoilt(rng: np.random.Generator, points: Floats, clear: NDArray[np.int8], size_px: float) -> Pose:
    """A pose as a network would give it."""
    low, high = np.array([0.0, 0.1, 0.5])[clear], np.array([0.15, 0.6, 1.0])[clear]
    scores = rng.uniform(low, high)
    spread = NOISE * size_px * np.where(clear == 2, 1, 3)
    return Pose(points + rng.normal(0, 1, points.shape) * spread[:, None], scores, float(scores.mean()))


def falls_reported(seed: int, played: Played) -> int:
    """How many falls are reported of a scene."""
    network = SimulatedNetwork(played, np.random.default_rng([seed, 6]))
    reported: list[Occurrence] = []

    def report(event: Occurrence) -> str:
        reported.append(event)
        return str(len(reported))

    crops = RotatedCropQueue()
    upright = RotatedCrop(Region.whole(SIZE), 0)
    threshold = CONFIG.decode.keypoint_threshold
    followed = CameraScene(CONFIG, MemoryJournal(report))
    for number, time_s in enumerate(played.times_s.tolist()):
        frame = Frame(IMAGE, number, time_s, time_s, time_s)
        poses = network.find(number, upright)
        if (crop := crops.take(frame, live=False)) is not None:
            poses = merge_detections(poses, network.find(number, crop), crop.turn_deg, threshold)
        followed.update(poses, frame)
        if (crop := followed.next_crop()) is not None:
            crops.add(crop, frame)
    return sum(event.type == "fall" for event in reported)


def measure(options: argparse.Namespace, task: tuple[int, str]) -> list[int]:
    """How many falls are reported of one scene, at each number of frames per second."""
    number, action = task
    seed = number * 1000 + ACTION_NAMES.index(action)
    fastest = max(options.fps)
    played = play(seed, action, fastest, CONFIG.people.fall_confirm_s + AFTER_S)
    return [falls_reported(seed, played.every(round(fastest / fps))) for fps in options.fps]


def main() -> int:
    """Measure, and print the table; returns 1 where too many falls are missed or invented."""
    options = parse_options()
    numbers = range(options.first, options.first + options.scenes)
    tasks = [(number, action) for number in numbers for action in options.actions]
    with multiprocessing.Pool(options.processes) as pool:
        results = pool.map(partial(measure, options), tasks, chunksize=4)
    counts = {(action, fps): Counter[int]() for action in options.actions for fps in options.fps}
    for (number, action), found in zip(tasks, results, strict=True):
        for fps, falls in zip(options.fps, found, strict=True):
            counts[action, fps][min(falls, 2)] += 1
            if options.wrong and (falls != 1 if action in FALLS else falls != 0):
                print(f"{action} {number}, {fps:g} fps: {falls} falls")
    return report(options, counts)


def report(options: argparse.Namespace, counts: dict[tuple[str, float], Counter[int]]) -> int:
    """Print in how many scenes of each action no fall, one, or more were reported; returns the status."""
    print(f"{options.scenes} scenes per action, from {options.first}; falls reported in a scene:")
    heads = (f"{fps:g} fps {falls}" for fps in options.fps for falls in ("none", "one", "more"))
    print(f"{'':18}" + "".join(f"{head:>14}" for head in heads))
    for action in options.actions:
        cells = [counts[action, fps][falls] for fps in options.fps for falls in (0, 1, 2)]
        print(f"{action:18}" + "".join(f"{cell:>14}" for cell in cells))
    good = True
    for name, actions in (("falls found", FALLS), ("falls invented", NOT_FALLS)):
        chosen = [action for action in actions if action in options.actions]
        if not chosen:
            continue
        sums = [sum((counts[action, fps] for action in chosen), Counter[int]()) for fps in options.fps]
        shares = [1 - total[0] / total.total() for total in sums]
        print(f"{name:18}" + "".join(f"{share:>28.2%}{'':14}" for share in shares).rstrip())
        good = good and (min(shares) >= WANTED_FOUND if actions is FALLS else max(shares) <= WANTED_INVENTED)
    return 0 if good else 1


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/python evaluate.drawn_falls", description=__doc__)
    parser.add_argument("--scenes", type=int, default=200, help="of each action (default 200)")
    parser.add_argument(
        "--first",
        type=int,
        default=1000,
        help="number of the first (default 1000; the rules were made with those below)",
    )
    parser.add_argument("--fps", type=float, nargs="+", default=[10.0, 30.0], help="(default 10 30)")
    parser.add_argument("--actions", nargs="+", type=action_name, metavar="NAME", help="(default: all)")
    parser.add_argument("--wrong", action="store_true", help="name every scene that was taken wrongly")
    parser.add_argument("--processes", type=int, help="(default: one per core)")
    options = parser.parse_args()
    options.actions = options.actions or list(ACTION_NAMES)
    return options


def action_name(text: str) -> str:
    """The name of an action, if there is one of it."""
    if text not in ACTION_NAMES:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(ACTION_NAMES)}, got {text!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
