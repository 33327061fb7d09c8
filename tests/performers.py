"""People for tests: drawn people's keypoints as a tracker would give them, without noise unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec.structs import replace as changed

from posed.config import PeopleConfig, ZoneConfig
from posed.people.events import Event, EventDetector
from posed.people.person import Person
from posed.people.zones import NO_ZONES
from posed.pose import KEYPOINTS, LEFT_ANKLE, LEFT_EYE, RIGHT_ANKLE, RIGHT_EYE, Pose
from posed.synthetic.actions import ACTIONS
from posed.synthetic.scene import Act, Part, Scene

SIZE = (320, 240)
INDEX = {name: index for index, name in enumerate(KEYPOINTS)}


@dataclass(frozen=True)
class Ended:
    """A track that ended."""

    person: Person
    border: str | None = None
    cut: bool = False


def part(*acts: Act | str, place=(0.0, 4.0), heading=30.0, number=1, seed=5) -> Part:
    """Somebody who does these things one after the other, each for its usual time unless it is an `Act`."""
    timed, now = [], 0.0
    for act in acts:
        one = Act(act, now, ACTIONS[act].usual_s) if isinstance(act, str) else replace(act, start_s=now)
        timed.append(one)
        now += one.duration_s
    return Part(tuple(timed), place, heading, seed, number)


def lasting(action: str, seconds: float, to: tuple[float, float] | None = None, **how) -> Act:
    return Act(action, 0, seconds, to=to, **how)


def performed(
    parts: Sequence[Part], until_s: float, fps: float = 10, seed: int = 3
) -> Iterator[tuple[float, list[Person]]]:
    """(time, people) of every frame; all keypoints inside the frame are visible."""
    scene = Scene(seed, SIZE, script=parts)
    times = np.arange(0, until_s, 1 / fps)
    points = scene.keypoints(times)
    heights = {one.id: _height(one, scene, times) for one in parts}
    for frame, time_s in enumerate(times.tolist()):
        people = []
        for number, where in points.items():
            inside = ((where[frame] >= 0) & (where[frame] < (SIZE[1], SIZE[0]))).all(1)
            if inside.any():
                people.append(person_at(where[frame], float(heights[number][frame]), number, inside))
        yield time_s, people


def person_at(points, size_px: float, number: int = 1, visible=None) -> Person:
    """Somebody who is seen with these points (17, 2), y first."""
    visible = np.ones(len(KEYPOINTS), bool) if visible is None else visible
    pose = Pose(np.asarray(points, np.float64), visible * 0.9, 0.9)
    return Person(number, pose, visible, True, size_px, pose)


def posing(action: str, at: float, heading: float = 30, seed: int = 5, place=(0.0, 4.0)) -> Person:
    """Somebody at an instant of an action, a fraction of it."""
    usual_s = ACTIONS[action].usual_s
    one = part(action, heading=heading, seed=seed, place=place)
    scene = Scene(3, SIZE, script=[one])
    times = np.array([at * usual_s])
    return person_at(scene.keypoints(times)[1][0], float(_height(one, scene, times)[0]))


def _height(one: Part, scene: Scene, times) -> np.ndarray:
    acts = tuple(replace(act, action="stand") for act in one.acts)
    upright = Scene(0, SIZE, script=[replace(one, acts=acts)])
    upright.view = scene.view
    points = upright.keypoints(times)[one.id]
    ankles, eyes = (points[:, pair, 0].mean(1) for pair in ([LEFT_ANKLE, RIGHT_ANKLE], [LEFT_EYE, RIGHT_EYE]))
    return (ankles - eyes) / 0.89


def hide(person: Person, *names: str) -> Person:
    """The person without some keypoints."""
    visible = person.visible.copy()
    visible[[INDEX[name] for name in names]] = False
    return changed(person, visible=visible)


def unseen(person: Person) -> Person:
    """The person in a frame in which nobody was found there."""
    return changed(person, seen=False, raw=None)


def zone(*polygon: tuple[float, float], **settings) -> ZoneConfig:
    return ZoneConfig(polygon=polygon, **settings)


def watched(
    frames: Iterable[tuple[float, list[Person]]],
    config: PeopleConfig | None = None,
    spoil: Callable[[float, Person], Person | None] = lambda _, person: person,
    lost_after_s: float = 2,
    detector: EventDetector | None = None,
    *,
    zones: Mapping[str, ZoneConfig] = NO_ZONES,
    dark: Callable[[float], bool] = lambda _: False,
) -> list[Event]:
    """All events of a scene, in which people have tracks that end when they are not seen for long.

    Args:
        spoil: what becomes of a person in a frame; None: not found.
        zones: the camera's.
        dark: when it is.
    """
    detector = detector or EventDetector(config or PeopleConfig(), zones)
    tracks: dict[int, tuple[Person, float]] = {}
    aliases: dict[int, int] = {}
    events: list[Event] = []
    for time_s, truth in frames:
        people, ended = [], []
        for one in truth:
            found = spoil(time_s, one)
            if found is not None:
                number = aliases.setdefault(one.id, one.id)
                tracks[one.id] = changed(found, id=number), time_s
                people.append(tracks[one.id][0])
        for key, (last, seen_s) in list(tracks.items()):
            if time_s - seen_s > lost_after_s:
                del tracks[key]
                aliases[key] = aliases[key] + 100
                x = last.pose.points[last.visible][:, 1].mean()
                side = (
                    "left"
                    if x < 0.25 * last.size_px
                    else "right"
                    if x > SIZE[0] - 0.25 * last.size_px
                    else None
                )
                ended.append(Ended(last, side))
            elif seen_s < time_s:
                people.append(unseen(last))
        events += detector.update(people, ended, time_s, SIZE, dark=dark(time_s))
    return events


def told(events: Iterable[Event], kind: str) -> list[Event]:
    """Those of one type."""
    return [event for event in events if event.type == kind]
