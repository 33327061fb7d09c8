"""Measures falls: which actions of drawn people count as one, on the truth spoilt as PoseNet would.

Every scene is one action of varied people, places, headings, cameras and durations. Its poses are the truth
plus noise, less one frame in ten, less what PoseNet misses of people who are turned from upright in the
picture (measured on crops of real photographs). That is done twice: as it is, and with a second look at the
frame turned by 90 degrees every so often, when somebody was lost inside the frame, and while somebody is
down. Prints a table with a line per action, and exits with 1 where falls
are missed or invented more often than wanted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.config import PeopleConfig
from posed.people.events import Event, Observer
from posed.people.falls import Departed
from posed.people.person import Person
from posed.people.track import Tracker
from posed.pose import KEYPOINT_COUNT, Pose
from posed.render.actions import ACTIONS, FALLS
from posed.render.scene import Act, Part, Scene, parts_for

Floats = NDArray[np.float64]

SIZE: Final = (640, 480)
SMALL: Final = (160, 120)
"""Who hides whom is taken from a small picture, which is quicker to draw."""

HIDDEN_EVERY_S: Final = 0.4
HIDDEN_STILL_EVERY_S: Final = 2.0
"""While people act, and when all is done."""

DROPPED: Final = 0.1
NOISE: Final = 0.012
"""Standard deviation of a keypoint, of the person's size; three times that for one that cannot be seen."""

FOUND: Final = ((0, 1.0), (30, 22 / 27), (45, 10 / 27), (60, 5 / 27), (90, 0.5 / 27), (180, 0.0))
"""Share of people found at so many degrees from upright. Source: 27 crops of real people, PoseNet 0.75."""

FOUND_TURNED: Final = 0.9
"""Of what is found upright, the share that the look at the turned frame finds."""

LUCK_S: Final = 1.0
"""Whether a turned person is found is decided anew so often: frames of one moment are much alike."""

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
EYES_OVER_ANKLES: Final = 0.89
"""Of the stature. Source: Drillis and Contini, as the figure."""

ACTION_NAMES: Final = (*FALLS, *NOT_FALLS)
WANTED_FOUND, WANTED_INVENTED = 0.95, 0.01

AFTER_S: Final = 4.0
"""How long scenes go on after the time in which a fall is confirmed."""

LOOK_AFTER_S: Final = 1.0
"""How long turned looks go on after somebody was lost inside the frame."""

LEAST_KEYPOINTS: Final = 5
KEYPOINT_THRESHOLD: Final = 0.2
LOST_AFTER_S: Final = 2.0
SIZE_NOISE: Final = 0.06

HIPS, SHOULDERS = [11, 12], [5, 6]


@dataclass(frozen=True)
class Ended:
    """A track of `KnownTracks` that ended."""

    person: Person
    border: str | None
    cut: bool = False


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
    scene, small = Scene(seed, SIZE, script=parts), Scene(seed, SMALL, script=parts)
    times = np.arange(0, length_s, 1 / fps)
    points = scene.keypoints(times)
    looks = np.concatenate(
        [
            np.arange(0, length_s - after_s, HIDDEN_EVERY_S),
            np.arange(length_s - after_s, length_s, HIDDEN_STILL_EVERY_S),
        ]
    )
    drawn = [{one.id: one for one in small.render(at).people} for at in looks.tolist()]
    nearest = np.abs(times[:, None] - looks).argmin(1)
    clear, sizes = {}, {}
    for number, where in points.items():
        rows = [
            drawn_at[number].visible * 2 + drawn_at[number].self_hidden
            if number in drawn_at
            else np.zeros(KEYPOINT_COUNT, np.int8)
            for drawn_at in drawn
        ]
        inside = (where >= 0).all(2) & (where < (SIZE[1], SIZE[0])).all(2)
        clear[number] = (np.array(rows, np.int8)[nearest] * inside).astype(np.int8)
        sizes[number] = np.interp(times, looks, standing_heights(parts[number - 1], scene, looks))
    return Played(times, points, clear, sizes)


def standing_heights(part: Part, scene: Scene, times_s: Floats) -> Floats:
    """(T,) px: how high the person would be in the picture if they only stood, wherever they are."""
    acts = tuple(replace(act, action="stand") for act in part.acts)
    upright = Scene(0, scene.size, script=[replace(part, acts=acts)])
    upright.view = scene.view
    points = upright.keypoints(times_s)[part.id]
    return np.asarray((points[:, 15:17, 0].mean(1) - points[:, 1:3, 0].mean(1)) / EYES_OVER_ANKLES)


def turned_deg(points: Floats) -> Floats:
    """(T,) how far trunks are turned from upright in the picture, 0-180."""
    trunk = points[:, SHOULDERS].mean(1) - points[:, HIPS].mean(1)
    return np.asarray(np.degrees(np.arctan2(np.abs(trunk[:, 1]), -trunk[:, 0])))


def chance_found(angles_deg: Floats) -> Floats:
    """Of somebody turned so far in the picture, by PoseNet as it looks at frames."""
    return np.asarray(np.interp(angles_deg, *zip(*FOUND, strict=True)))


def detected(rng: np.random.Generator, played: Played, *, turned: bool) -> dict[int, list[bool]]:
    """By person, in which frames they are found, by looks at the frame as it is or turned as well."""
    times = played.times_s
    found = {}
    for number, points in played.points.items():
        angles = turned_deg(points)
        chance = chance_found(angles)
        if turned:
            chance = np.maximum(chance, FOUND_TURNED * chance_found(np.abs(90 - angles)))
        luck = rng.random(int(times[-1] / LUCK_S) + 1)[(times / LUCK_S).astype(int)]
        there = (played.clear[number] > 0).sum(1) >= LEAST_KEYPOINTS
        found[number] = ((luck < chance) & there & (rng.random(len(times)) >= DROPPED)).tolist()
    return found


def spoilt(rng: np.random.Generator, points: Floats, clear: NDArray[np.int8], size_px: float) -> Pose:
    """A pose as a network would give it."""
    low, high = np.array([0.0, 0.1, 0.5])[clear], np.array([0.15, 0.6, 1.0])[clear]
    scores = rng.uniform(low, high)
    spread = NOISE * size_px * np.where(clear == 2, 1, 3)
    return Pose(points + rng.normal(0, 1, points.shape) * spread[:, None], scores, float(scores.mean()))


class KnownTracks:
    """Follows people as a perfect tracker would: by who they are; a person lost for long gets a new id.

    Args:
        sizes: by person: (T,) px.
    """

    def __init__(self, sizes: dict[int, Floats], luck: np.random.Generator) -> None:
        self._sizes = {number: size * luck.normal(1, SIZE_NOISE) for number, size in sizes.items()}
        self._tracks: dict[int, tuple[Person, float]] = {}
        self._next = 1

    def update(self, poses: dict[int, Pose], time_s: float, frame: int) -> tuple[list[Person], list[Ended]]:
        """Take one frame; returns everybody who is followed, and whose track ended."""
        people = []
        for number, pose in poses.items():
            if number not in self._tracks:
                identity, self._next = self._next, self._next + 1
            else:
                identity = self._tracks[number][0].id
            visible = pose.scores >= KEYPOINT_THRESHOLD
            size_px = float(self._sizes[number][frame])
            person = Person(identity, pose, visible, True, size_px, pose)
            self._tracks[number] = person, time_s
            people.append(person)
        ended = []
        for number, (person, seen_s) in list(self._tracks.items()):
            if time_s - seen_s > LOST_AFTER_S:
                del self._tracks[number]
                ended.append(Ended(person, border_of(person)))
            elif seen_s < time_s:
                people.append(replace(person, seen=False, raw=None))
        return people, ended


class Followed:
    """Follows people with posed's own tracker."""

    def __init__(self, config: PeopleConfig) -> None:
        self._tracker = Tracker(config, KEYPOINT_THRESHOLD)

    def update(
        self, poses: dict[int, Pose], time_s: float, _frame: int
    ) -> tuple[list[Person], Sequence[Departed]]:
        """Take one frame; returns everybody who is followed, and whose track ended."""
        people = self._tracker.update(list(poses.values()), time_s, SIZE)
        return people, self._tracker.ended


def border_of(person: Person) -> str | None:
    """Over which side of the frame somebody leaves who is at it."""
    _, x = person.pose.points[person.visible].mean(0) if person.visible.any() else (0.0, 0.0)
    reach = 0.25 * person.size_px
    return "left" if x < reach else "right" if x > SIZE[0] - reach else None


def falls_told(seed: int, played: Played, turned_every_s: float | None, tracker: bool) -> list[Event]:
    """All `fall` events of a scene."""
    rng = np.random.default_rng([seed, 6])
    found = [detected(rng, played, turned=turned) for turned in (False, True)]
    config = PeopleConfig()
    follower = Followed(config) if tracker else KnownTracks(played.sizes, rng)
    observer = Observer(config)
    told = []
    next_look_s, look_until_s = 0.0, 0.0
    for frame, time_s in enumerate(played.times_s.tolist()):
        looks = turned_every_s is not None and (
            time_s >= next_look_s or time_s < look_until_s or bool(observer.falls.down)
        )
        if turned_every_s is not None and time_s >= next_look_s:
            next_look_s += turned_every_s
        poses = {
            number: spoilt(rng, points[frame], played.clear[number][frame], played.sizes[number][frame])
            for number, points in played.points.items()
            if found[looks][number][frame]
        }
        people, ended = follower.update(poses, time_s, frame)
        if any(one.border is None for one in ended):
            look_until_s = time_s + LOOK_AFTER_S
        told += observer.update(people, ended, time_s, SIZE)
    return [event for event in told if event.type == "fall"]


def measure(options: argparse.Namespace, task: tuple[int, str]) -> list[tuple[float, bool, int]]:
    """(frames per second, turned looks, falls told) of every way to see one scene."""
    number, action = task
    seed = number * 1000 + ACTION_NAMES.index(action)
    fastest = max(options.fps)
    played = play(seed, action, fastest, PeopleConfig().fall_confirm_s + AFTER_S)
    results = []
    for fps in options.fps:
        every = round(fastest / fps)
        thinned = Played(
            played.times_s[::every],
            {number: points[::every] for number, points in played.points.items()},
            {number: clear[::every] for number, clear in played.clear.items()},
            {number: sizes[::every] for number, sizes in played.sizes.items()},
        )
        for looks in (False, True):
            turned_every_s = options.look_turned_s if looks else None
            told = falls_told(seed, thinned, turned_every_s, options.tracker)
            results.append((fps, looks, len(told)))
    return results


def main() -> int:
    """Measure, and print the table; returns 1 where too many falls are missed or invented."""
    options = parse_options()
    tasks = [(number, action) for action in options.actions for number in range(options.scenes)]
    with multiprocessing.Pool(options.processes) as pool:
        results = pool.map(partial(measure, options), tasks, chunksize=10)
    ways = [(fps, looks) for fps in options.fps for looks in (False, True)]
    counts = {(action, way): [0, 0] for action in options.actions for way in ways}
    for (_, action), found in zip(tasks, results, strict=True):
        for fps, looks, falls in found:
            counts[action, (fps, looks)][min(falls, 1)] += 1
    return report(options, ways, counts)


def report(
    options: argparse.Namespace,
    ways: list[tuple[float, bool]],
    counts: dict[tuple[str, tuple[float, bool]], list[int]],
) -> int:
    """Print how many scenes of each action were told to be a fall, each way."""
    follower = "posed's tracker" if options.tracker else "people known by their truth"
    print(f"{options.scenes} scenes per action, {follower}; scenes told to be falls")
    heads = [f"{fps:g} fps{', turned looks' if looks else ''}" for fps, looks in ways]
    print(f"{'':18}" + "".join(f"{head:>22}" for head in heads))
    for action in options.actions:
        cells = [f"{counts[action, way][1]} of {sum(counts[action, way])}" for way in ways]
        print(f"{action:18}" + "".join(f"{cell:>22}" for cell in cells))
    good = True
    for name, actions in (("falls found", FALLS), ("falls invented", NOT_FALLS)):
        shares = []
        for way in ways:
            cells = [counts[action, way] for action in actions if action in options.actions]
            shares.append(sum(told for _, told in cells) / max(sum(map(sum, cells)), 1))
        print(f"{name:18}" + "".join(f"{share:>22.2%}" for share in shares))
        looked = [share for share, (_, looks) in zip(shares, ways, strict=True) if looks]
        if set(actions) & set(options.actions):
            enough = min(looked) >= WANTED_FOUND if actions is FALLS else max(looked) <= WANTED_INVENTED
            good = good and enough
    return 0 if good else 1


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench_falls", description=__doc__)
    parser.add_argument("--scenes", type=int, default=200, help="of each action (default 200)")
    parser.add_argument("--fps", type=float, nargs="+", default=[10.0, 30.0], help="(default 10 30)")
    parser.add_argument("--look-turned-s", type=float, default=2.0, help="between turned looks (default 2)")
    parser.add_argument(
        "--actions", nargs="+", default=list(ACTION_NAMES), choices=ACTION_NAMES, metavar="NAME"
    )
    parser.add_argument("--processes", type=int, help="(default: one per core)")
    parser.add_argument("--tracker", action="store_true", help="follow people with posed's own tracker")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
