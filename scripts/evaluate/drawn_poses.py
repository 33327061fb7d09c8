"""Drawn people whose truth is known, and their poses as a network would see them: with noise and misses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.config import Config
from posed.people.size import body_size
from posed.pose import KEYPOINT_COUNT, Pose
from posed.synthetic.scene import Act, Part, RenderedPerson, Scene, parts_for

Floats = NDArray[np.float64]

CONFIG: Final = Config().first
SIZE: Final = (640, 480)
FASTEST_FPS: Final = 30
DROPPED: Final = 0.1
LEAST_KEYPOINTS: Final = 5
WALKING_M_S: Final = 1.15


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Somebody in one frame, as a tracker or the truth has it: points (17, 2) px, y first."""

    id: int
    points: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame: who is there, how large they are (px), and the poses that were found."""

    time_s: float
    truth: list[Shown]
    sizes_px: list[float]
    poses: list[Pose]


Script = Callable[[np.random.Generator, float], list[Part]]
"""Who does what; the second argument: how far the frame's edge is aside, m per m of distance."""


def crossing(rng: np.random.Generator, _edge: float) -> list[Part]:
    """Two walk past each other, and again."""
    parts = []
    for part in parts_for(rng, ["cross"], 2):
        there = part.acts[0]
        back = Act("walk", there.start_s + there.duration_s + 1, there.duration_s, to=part.place)
        parts.append(Part((there, back), part.place, part.heading_deg, part.seed, part.id))
    return parts


def occlusion(rng: np.random.Generator, _edge: float) -> list[Part]:
    """One stands; another stops before them for a second or so, and walks on."""
    x = float(rng.uniform(-0.5, 0.5))
    stop_s = float(rng.uniform(0.4, 1.2))
    near = Part(
        (
            Act("walk", 0, 2, to=(x, 3.0)),
            Act("stand", 2, stop_s),
            Act("walk", 2 + stop_s, 3, to=(-x + 1.5, 3.0)),
        ),
        (-2.2 + x, 3.0), 90, int(rng.integers(2**31)), 1,
    )  # fmt: skip
    far = Part((Act("stand", 0, 9),), (x, 4.4), float(rng.uniform(-60, 60)), int(rng.integers(2**31)), 2)
    return [near, far]


def returning(rng: np.random.Generator, edge: float) -> list[Part]:
    """Out of the frame and back: after a moment, and after a long while; and somebody who stands by."""
    distance = float(rng.uniform(3.2, 4.2))
    side = 1.0 if rng.random() < 0.5 else -1.0
    gate, inside = side * (edge * distance + 0.6), side * 0.2
    walk_s = abs(gate - inside) / WALKING_M_S
    acts = []
    now = 0.0
    for place, pause_s in ((gate, 0), (inside, 1), (gate, 9), (inside, 3)):
        acts.append(Act("walk", now, walk_s, to=(place, distance)))
        acts.append(Act("stand", now + walk_s, pause_s or 0.1))
        now += walk_s + pause_s
    still = Part((Act("stand", 0, 30),), (-side * 0.9, 4.0), 0, int(rng.integers(2**31)), 2)
    return [Part(tuple(acts), (inside, distance), 0, int(rng.integers(2**31)), 1), still]


def doing(people: int) -> Script:
    """Some people who each walk, sit, stand and wave."""
    actions = ("walk", "raise_left_hand", "walk", "sit_down", "sit", "stand_up", "walk", "stand")
    return lambda rng, _edge: parts_for(rng, actions, people)


SCENES: Final[Mapping[str, tuple[Script, float]]] = {
    "crossing": (crossing, 8),
    "occlusion": (occlusion, 7),
    "returning": (returning, 26),
    **{f"{count} people": (doing(count), 14) for count in range(1, 6)},
}
"""Who does what, and for how long, s."""


def people_of(name: str, seed: int) -> list[list[RenderedPerson]]:
    """Who is in a scene, in every frame at the highest rate."""
    script, duration_s = SCENES[name]
    rng = np.random.default_rng([seed, list(SCENES).index(name)])
    view = Scene(seed, SIZE, script=[]).view
    scene = Scene(seed, SIZE, script=script(rng, SIZE[0] / 2 / view.focal_px))
    return [scene.render(number / FASTEST_FPS).people for number in range(int(duration_s * FASTEST_FPS))]


def play(people: list[list[RenderedPerson]], seed: int, fps: int) -> list[Frame]:
    """The frames of a scene: truth, and poses with noise."""
    rng = np.random.default_rng([seed, fps])
    names = Names(CONFIG.people.lost_after_s)
    frames = []
    for number in range(0, len(people), FASTEST_FPS // fps):
        time_s = number / FASTEST_FPS
        there = [one for one in people[number] if inside(one.points).sum() >= LEAST_KEYPOINTS]
        sizes_px = [body_size(one.points, np.ones(KEYPOINT_COUNT, np.bool_))[0] for one in there]
        found = [noisy(rng, one, size_px) for one, size_px in zip(there, sizes_px, strict=True)]
        poses = [pose for pose in found if pose is not None and rng.random() >= DROPPED]
        truth = [Shown(names.of(one.id, time_s), one.points) for one in there]
        frames.append(Frame(time_s, truth, sizes_px, poses))
    return frames


class Names:
    """Who counts as whom: somebody who was away for too long is somebody else."""

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._seen: dict[int, tuple[float, int]] = {}

    def of(self, person: int, time_s: float) -> int:
        """The name of a person who is in the frame now."""
        seen_at, visit = self._seen.get(person, (time_s, 0))
        visit += time_s - seen_at > self._lost_after_s
        self._seen[person] = time_s, visit
        return 100 * person + visit


def inside(points: Floats) -> NDArray[np.bool_]:
    """Which points (…, 2) are inside the frame."""
    return ((points >= 0) & (points < [SIZE[1], SIZE[0]])).all(axis=-1)


def noisy(rng: np.random.Generator, person: RenderedPerson, size_px: float) -> Pose | None:
    """How a network would see somebody; None where it would not."""
    if (person.visible | person.self_hidden).sum() < LEAST_KEYPOINTS:
        return None
    spread = np.where(person.visible, 0.01, np.where(person.self_hidden, 0.03, 0.08))
    low = np.where(person.visible, 0.6, np.where(person.self_hidden, 0.15, 0.0))
    high = np.where(person.visible, 1.0, np.where(person.self_hidden, 0.7, 0.15))
    points = person.points + rng.normal(size=(KEYPOINT_COUNT, 2)) * spread[:, None] * size_px
    scores = rng.uniform(low, high)
    points = points.clip(0, [SIZE[1] - 1, SIZE[0] - 1])
    return Pose(points, scores, float(scores.mean()))
