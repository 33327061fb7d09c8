"""Measures how people are followed and steadied, side by side with norfair on the same poses.

    scripts/python evaluate.tracking [--fps 10 30] [--seeds 4]

Scenes: drawn people whose truth is known (posed.synthetic.scene). Their poses are the truth with noise:
keypoints that are seen are off by 1 % of the person's height, those behind the own body by 3 %, with low
scores, those hidden by somebody else or outside the frame by 8 %, with scores near nothing. Nobody is
detected of whom fewer than 5 keypoints can be seen, and a tenth of all detections is dropped.

The truth is everybody of whom 5 keypoints are inside the frame, also while somebody else hides them; who is
away for longer than `lost_after_s` is somebody else. What a tracker says counts where the middle of its
keypoints is inside the frame, and is right within a quarter of the person's height. IDF1 (Ristani 2016) and
identity switches are motmetrics'.

norfair is shown as in its own OpenPose demo, and with the same patience and confirmation as posed at the
distance (of those in `norfairs`) with which it has the highest IDF1 on these very scenes, and at the one with
which it has the fewest switches.

Jitter: RMS distance of a still person's keypoints from their mean place, and between frames, with 1 % of
noise. Lag: how many frames late the trunk of somebody walking past is.

Nobody has marked the people in the video. It shows how many each tracker makes of those who walk there, how
long they last, how many of the poses they cover, how often one leaps by more than 40 px between two frames
(faster than anybody walks: somebody else, or found again after a gap), and by how much the trunk's way bends
from frame to frame (median).
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import motmetrics
import norfair
import numpy as np
from numpy.typing import NDArray

from posed.camera import open_camera
from posed.config import CameraConfig, EngineConfig
from posed.engine import open_engine
from posed.errors import CameraEnded
from posed.frame import Letterbox
from posed.model.tflite import read_model
from posed.networks import INPUT_SIZE, network_of
from posed.people.size import body_size
from posed.people.tracker import Tracker
from posed.pose import KEYPOINT_COUNT, LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER, Pose
from posed.synthetic.scene import Act, Part, Scene
from scripts.evaluate.drawn_poses import (
    CONFIG,
    SCENES,
    SIZE,
    WALKING_M_S,
    Frame,
    Shown,
    inside,
    people_of,
    play,
)
from scripts.paths import CORAL_481X641, WALKERS

Floats = NDArray[np.float64]

LEAP_PX: Final = 40
RIGHT_WITHIN: Final = 0.25
"""Of the person's height."""

TRUNK: Final = [LEFT_SHOULDER, LEFT_HIP, RIGHT_SHOULDER, RIGHT_HIP]


Follow = Callable[[Frame], list[Shown]]
"""A tracker: from one frame after the other to who is there."""


def main() -> int:
    """Print all tables."""
    options = parse_options()
    warnings.simplefilter("ignore")
    # norfair says with every tracker that ours has a slow distance.
    logging.disable(logging.WARNING)
    people = {name: [people_of(name, seed) for seed in range(options.seeds)] for name in SCENES}
    for fps in options.fps:
        compare(
            {
                name: [play(one, seed, fps) for seed, one in enumerate(plays)]
                for name, plays in people.items()
            },
            fps,
        )
        steadiness(fps)
    walkers()
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python evaluate.tracking", description="People followed and steadied."
    )
    parser.add_argument(
        "--fps",
        type=int,
        nargs="+",
        default=[10, 30],
        choices=[5, 10, 15, 30],
        help="frame rates (default 10 30)",
    )
    parser.add_argument("--seeds", type=int, default=4, help="scenes of each kind (default 4)")
    return parser.parse_args()


def posed_follows() -> Follow:
    """Our own tracker, with the default settings."""
    tracker = Tracker(CONFIG.people, CONFIG.decode.keypoint_threshold)

    def follow(frame: Frame) -> list[Shown]:
        return [
            Shown(person.id, person.pose.points) for person in tracker.update(frame.poses, frame.time_s, SIZE)
        ]

    return follow


def norfair_follows(
    distance: Callable[[Any, Any], float], limit: float, patience: int, delay: int, threshold: float
) -> Follow:
    """The tracker of norfair.

    Args:
        distance: between a detection and somebody.
        limit: the largest distance that is a match.
        patience: for how many frames somebody who is not seen is kept.
        delay: frames until somebody counts.
        threshold: keypoints scored below are not used.
    """
    tracker = norfair.Tracker(
        distance,
        distance_threshold=limit,
        hit_counter_max=patience,
        initialization_delay=delay,
        pointwise_hit_counter_max=10,
        detection_threshold=threshold,
    )

    def follow(frame: Frame) -> list[Shown]:
        detections = [norfair.Detection(pose.points, scores=pose.scores) for pose in frame.poses]
        return [Shown(one.id, one.estimate) for one in tracker.update(detections)]

    return follow


def mean_distance(detection: Any, person: Any) -> float:
    """Mean distance of the keypoints that are seen, as a share of the frame's height."""
    seen = detection.scores >= CONFIG.decode.keypoint_threshold
    return float(np.linalg.norm(detection.points - person.estimate, axis=1)[seen].mean() / SIZE[1])


def norfairs(fps: int) -> dict[str, Callable[[], Follow]]:
    """Every norfair that is tried, by name."""
    patience = round(CONFIG.people.lost_after_s * fps)
    delay = CONFIG.people.confirm_frames - 1
    threshold = CONFIG.decode.keypoint_threshold
    demo = norfair.distances.create_keypoints_voting_distance(SIZE[1] / 25, 0.01)
    tried: dict[str, Callable[[], Follow]] = {
        "norfair, its demo": partial(norfair_follows, demo, 0.4, 30, 4, 0.01)
    }
    for share in (0.05, 0.15):
        voting = norfair.distances.create_keypoints_voting_distance(SIZE[1] * share, threshold)
        for limit in (0.4, 0.8):
            tried[f"norfair, votes {share:g}, {limit}"] = partial(
                norfair_follows, voting, limit, patience, delay, threshold
            )
    for limit in (0.1, 0.2, 0.4):
        tried[f"norfair, mean {limit}"] = partial(
            norfair_follows, mean_distance, limit, patience, delay, threshold
        )
    return tried


def scored(frames: Sequence[Frame], follow: Follow) -> motmetrics.MOTAccumulator:
    """What a tracker says of a scene against the truth."""
    score = motmetrics.MOTAccumulator(auto_id=True)
    for frame in frames:
        said = [one for one in follow(frame) if inside(np.median(one.points, axis=0))]
        apart = np.full((len(frame.truth), len(said)), np.nan)
        for row, (one, size_px) in enumerate(zip(frame.truth, frame.sizes_px, strict=True)):
            for column, other in enumerate(said):
                distance = np.linalg.norm(middle(one) - middle(other)) / size_px
                apart[row, column] = distance if distance <= RIGHT_WITHIN else np.nan
        score.update([one.id for one in frame.truth], [one.id for one in said], apart)
    return score


def middle(one: Shown) -> Floats:
    """(2,) px: of the trunk."""
    return np.asarray(one.points[TRUNK].mean(axis=0))


def compare(scenes: Mapping[str, list[list[Frame]]], fps: int) -> None:
    """Print IDF1 and switches of every kind of scene, by posed and by norfair."""
    host = motmetrics.metrics.create()

    def figures(follows: Callable[[], Follow]) -> Any:
        runs = [(name, scored(frames, follows())) for name, plays in scenes.items() for frames in plays]
        table = host.compute_many(
            [run for _, run in runs],
            metrics=["idtp", "idfp", "idfn", "num_switches"],
            names=[f"{name}|{number}" for number, (name, _) in enumerate(runs)],
        )
        table.index = [name for name, _ in runs]
        sums = table.groupby(level=0, sort=False).sum()
        sums.loc["all"] = sums.sum()
        sums["idf1"] = 2 * sums.idtp / (2 * sums.idtp + sums.idfp + sums.idfn)
        return sums

    others = {name: figures(follows) for name, follows in norfairs(fps).items()}
    demo = next(iter(others))
    best = max(others, key=lambda name: others[name].idf1["all"])
    fewest = min(others, key=lambda name: (others[name].num_switches["all"], -others[name].idf1["all"]))
    shown = {
        "posed": figures(posed_follows),
        **{name: others[name] for name in dict.fromkeys((demo, best, fewest))},
    }
    print(f"\n{fps} fps: IDF1 and identity switches")
    print(f"{'':12}" + "".join(f"{name:>28}" for name in shown))
    for name in [*SCENES, "all"]:
        print(
            f"{name:12}"
            + "".join(
                f"{table.idf1[name]:20.3f} {int(table.num_switches[name]):7}" for table in shown.values()
            )
        )


def steadiness(fps: int) -> None:
    """Print the jitter of somebody who stands still, and how late somebody is who walks past."""
    truth = Scene(1, SIZE, script=[Part((Act("stand", 0, 9),), (0.0, 3.5), 20, 1)]).render(0).people[0].points
    size_px, _ = body_size(truth, np.ones(KEYPOINT_COUNT, np.bool_))
    rng = np.random.default_rng(fps)
    still = [truth] * (20 * fps)
    step_px = np.array([0.0, WALKING_M_S / 1.7 * size_px / fps])
    walk = [truth + step_px * (number - 2 * fps) for number in range(4 * fps)]
    print(
        f"\n{fps} fps: jitter of a still person, px of {size_px:.0f} px of height; lag at {WALKING_M_S} m/s"
    )
    print(f"{'':12}{'from the mean':>16}{'between frames':>16}{'lag, frames':>16}")
    for name, follows in {
        "as decoded": decoded,
        "posed": posed_follows,
        "norfair": partial(norfair_follows, mean_distance, 0.4, 60, 2, CONFIG.decode.keypoint_threshold),
    }.items():
        places = followed(rng, still, size_px, fps, follows)[4 * fps :]
        mean_px = float(np.sqrt(((places - places.mean(axis=0)) ** 2).mean()))
        between_px = float(np.sqrt((np.diff(places, axis=0) ** 2).mean()))
        behind = (np.array(walk) - followed(rng, walk, size_px, fps, follows))[2 * fps :, TRUNK, 1]
        print(f"{name:12}{mean_px:16.2f}{between_px:16.2f}{behind.mean() / step_px[1]:16.2f}")


def followed(
    rng: np.random.Generator, truth: Sequence[Floats], size_px: float, fps: int, follows: Callable[[], Follow]
) -> Floats:
    """(frames, 17, 2) where a tracker has somebody who is always detected; NaN before it has them."""
    follow, places = follows(), []
    for number, points in enumerate(truth):
        seen = points + rng.normal(0, 0.01 * size_px, points.shape)
        pose = Pose(seen, np.full(KEYPOINT_COUNT, 0.9), 0.9)
        people = follow(Frame(number / fps, [], [], [pose]))
        places.append(people[0].points if people else np.full_like(points, np.nan))
    return np.array(places)


def decoded() -> Follow:
    """No tracker: poses as they come."""
    return lambda frame: [Shown(0, pose.points) for pose in frame.poses]


def walkers() -> None:
    """Print what each tracker makes of real people."""
    if not WALKERS.exists() or not CORAL_481X641.exists():
        print("\nwalkers: needs ../shared (model and video)")
        return
    frames, size = frames_of(WALKERS, CORAL_481X641)
    seen = sum(len(frame.poses) for frame in frames)
    print(f"\n{WALKERS.name}, {CORAL_481X641.name}: {len(frames)} frames, {seen} poses; no truth")
    print(f"{'':20}{'ids':>6}{'mean life, s':>16}{'poses covered':>16}{'leaps':>8}{'bend, px':>12}")
    threshold = CONFIG.decode.keypoint_threshold
    demo = norfair.distances.create_keypoints_voting_distance(size[1] / 25, 0.01)
    for name, follows in {
        "posed": posed_follows,
        "norfair, its demo": partial(norfair_follows, demo, 0.4, 30, 4, 0.01),
        "norfair, mean 0.1": partial(norfair_follows, mean_distance, 0.1, 20, 2, threshold),
        "norfair, mean 0.4": partial(norfair_follows, mean_distance, 0.4, 20, 2, threshold),
    }.items():
        report_walkers(name, frames, follows())


def report_walkers(name: str, frames: Sequence[Frame], follow: Follow) -> None:
    """Print one tracker's line."""
    tracks: dict[int, dict[int, Floats]] = {}
    covered, leaps, bends = 0, 0, []
    for number, frame in enumerate(frames):
        people = follow(frame)
        for one in people:
            track = tracks.setdefault(one.id, {})
            track[number] = middle(one)
            before, last = track.get(number - 2), track.get(number - 1)
            if last is not None:
                leaps += bool(np.linalg.norm(track[number] - last) > LEAP_PX)
            if before is not None and last is not None:
                bends.append(np.linalg.norm(before - 2 * last + track[number]))
        for pose in frame.poses:
            size_px, _ = body_size(pose.points, pose.scores >= CONFIG.decode.keypoint_threshold)
            apart = [np.linalg.norm(middle(one) - pose.points[TRUNK].mean(axis=0)) for one in people]
            covered += bool(min(apart, default=np.inf) < RIGHT_WITHIN * size_px)
    rate = 1 / (frames[1].time_s - frames[0].time_s)
    life_s = float(np.mean([(max(track) - min(track) + 1) / rate for track in tracks.values()]))
    share = covered / sum(len(frame.poses) for frame in frames)
    print(f"{name:20}{len(tracks):6}{life_s:16.1f}{share:16.1%}{leaps:8}{float(np.median(bends)):12.2f}")


def frames_of(video: Path, model: Path) -> tuple[list[Frame], tuple[int, int]]:
    """The poses of a video as a real network finds them, once for all trackers, and its frame size."""
    network = network_of(read_model(model), INPUT_SIZE)
    frames: list[Frame] = []
    size = (0, 0)
    config = CameraConfig(kind="video", source=str(video), realtime=False)
    with (
        open_camera(config, network.model.size) as camera,
        open_engine(EngineConfig(kind="cpu"), network.model, None) as engine,
    ):
        while True:
            try:
                frame = camera.read(1)
            except CameraEnded:
                return frames, size
            if frame is not None:
                size = (frame.image.shape[1], frame.image.shape[0])
                letterbox = Letterbox(size, network.model.size)
                outputs = engine.infer(letterbox.apply(frame.image))
                poses = network.poses(outputs, letterbox, CONFIG.decode)
                frames.append(Frame(frame.time_s, [], [], poses))


if __name__ == "__main__":
    sys.exit(main())
