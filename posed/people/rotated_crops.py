"""Rotated crops, in which people who lie are found: where and when, and what to make of what is found.

PoseNet was taught with people upright, and hardly finds who lies across the picture; turned so that the head
is up, it does. So some frames are inferred a second time, as a rotated crop:

- the whole frame every `look_turned_s`, and where somebody was lost inside the frame or is known to be down:
  by one turn after the other, for some frames in a row, so that who is found is a person and no flicker;
- around everybody who is followed and leans, by the turn that brings them upright.

There is one rotated crop at most in a frame, and `look_turned_share` of all inferences at most are of crops:
what is not used is kept for one round of crops, so that these begin at once. While somebody is down and that
has not been reported yet, there may be one in every frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.config import PeopleConfig, ZoneConfig
from posed.frame import Region, RotatedCrop
from posed.people.down import Down
from posed.people.falls import Departed
from posed.people.person import Person
from posed.people.posture import middle_of
from posed.people.similarity import is_same
from posed.people.timing import Elapsed
from posed.people.zones import NO_ZONES, Zones
from posed.pose import LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, Pose

Floats = NDArray[np.float64]

FRAME_TURNS: Final = (90, -90)
"""The whole frame is turned by these, degrees clockwise, where nobody knows how somebody lies."""

SEARCH_TURNS: Final = (90, -90, 180, 45, -45, 135, -135)
"""A place where somebody must be is turned by these, degrees clockwise; those by which most are found come
first."""

TURN_STEP_DEG: Final = 45
"""Who is followed is turned upright to half of this."""

LEANING_DEG: Final = 40.0
"""Whose trunk is turned this far from upright, in the picture, is hard to see as it is."""

FOLLOW_S: Final = 0.5
"""The crop of somebody who leans is inferred this often, even if somebody else is to be searched for, s."""

SEARCH_EVERY_S: Final = 1.0
"""A round of crops of a place where somebody was lost, or is down, is followed by this pause, s."""

SEARCH_FOR_S: Final = 10.0
"""Somebody who was lost inside the frame, and is not known to be down, is searched for this long, s."""

HIDDEN_S: Final = 0.5
"""Whoever is not seen for this long, s, is searched for, though still followed."""

_AT_BORDER: Final = 0.05
"""Whose keypoints are so near the side or the top of the frame, in sizes, is leaving it."""

_REACH: Final = 2.0
"""The square in which somebody is searched for has this side, in sizes: whoever falls lies beside their
feet."""

_BELOW_HIPS: Final = 0.25
"""The middle of that square is this far below the hips of somebody upright, in sizes: halfway to the feet."""

_AROUND: Final = 1.5
"""The square around somebody who is followed has this side, in sizes at least, and in extents of the
keypoints."""

_TOUCHES: Final = 0.25
_COVERS: Final = 0.6
"""A pose from a rotated crop shows somebody again of whose box it has this share of its keypoints inside, or
whose keypoints are to this share inside its own. People upright, rotated, are at times taken for limbs of
somebody who lies."""

_LEAST_SCORE: Final = 0.3
"""Poses from a rotated crop that score less are nobody: it is the usual reason why one is invented."""

_UPRIGHT_DEG: Final = 50.0
"""In a rotated crop, a trunk is at most this far from upright: whoever is not upright there is seen better
otherwise, or is nobody."""


@dataclass(slots=True)
class _Search:
    """A place where somebody may lie whom nobody sees.

    Args:
        region: of the frame.
        every_s: pause after each round.
        until_s: when it is given up.
        due_s: when the next crop is due.
        turns: by which its crops are rotated.
        rounds: how many turns were begun.
    """

    region: Region
    turns: tuple[int, ...]
    every_s: float
    until_s: float
    due_s: float
    rounds: int = 0


@dataclass(slots=True)
class _Leaning:
    """Somebody who is followed and leans: the crop in which they are upright, and when it was inferred."""

    crop: RotatedCrop
    inferred_s: float


class RotatedCropScheduler:
    """Chooses the crops; a pure function of people and the frames' times.

    Args:
        config: `look_turned_s`, `look_turned_share`, `confirm_frames`.
        zones: the camera's zones, by name.
    """

    def __init__(self, config: PeopleConfig, zones: Mapping[str, ZoneConfig] = NO_ZONES) -> None:
        self.configure(config, zones)
        self._saved = self._most
        self._elapsed = Elapsed()
        self._searches: dict[tuple[str, int], _Search] = {}
        self._leaning: dict[int, _Leaning] = {}
        self._seen_s: dict[int, float] = {}
        self._row: list[RotatedCrop] = []
        self._followed = 0
        self._frame_size: tuple[int, int] | None = None

    def configure(self, config: PeopleConfig, zones: Mapping[str, ZoneConfig] = NO_ZONES) -> None:
        """Go on with other settings, with what was saved up and the searches that run."""
        self._on = config.look_turned_s > 0
        self._every_s = config.look_turned_s
        self._income = config.look_turned_share / (1 - config.look_turned_share)
        # One frame more than it takes to be a person: one of them may be missed.
        self._in_a_row = config.confirm_frames + 1
        self._most = float(self._in_a_row * len(FRAME_TURNS))
        self._zones = Zones(config, zones)

    def next(  # noqa: PLR0913 - what is known of a frame, and of the engine
        self,
        people: Sequence[Person],
        ended: Iterable[Departed],
        down: Iterable[Down],
        time_s: float,
        frame_size: tuple[int, int],
        *,
        has_room: bool = True,
    ) -> RotatedCrop | None:
        """Take one frame; returns the crop to infer in one of the next, if any.

        Args:
            people: everybody who is followed, hidden ones too.
            ended: whose tracks ended with this frame.
            down: who went down, as `Falls.down`.
            time_s: of the frame; may jump.
            frame_size: (width, height), px.
            has_room: whether the engine can take another one; without, what was begun goes on later.
        """
        if not self._on:
            return None
        self._elapsed.advance(time_s)
        if frame_size != self._frame_size:
            self._frame_size, self._row, self._searches, self._leaning = frame_size, [], {}, {}
        down = list(down)
        unreported = not all(one.confirmed for one in down)
        self._saved = min(self._saved + (1.0 if unreported else self._income), self._most)
        self._note_leaning(people, frame_size)
        self._note_hidden(people, frame_size)
        self._note_searches(ended, down, frame_size)
        if self._saved < 1 or not has_room:
            return None
        crop = self._choose()
        if crop is not None:
            self._saved -= 1
        return crop

    def _choose(self) -> RotatedCrop | None:
        now_s = self._elapsed.now_s
        if self._row:
            return self._row.pop()
        first = min(self._leaning.values(), key=lambda one: one.inferred_s, default=None)
        due = [search for search in self._searches.values() if search.due_s <= now_s]
        may_begin = bool(due) and self._saved >= self._in_a_row
        # Where there is room for few, those who lean leave every second row to the searches.
        is_their_turn = not (may_begin and self._followed >= self._in_a_row)
        if first is not None and is_their_turn and (not due or now_s - first.inferred_s >= FOLLOW_S):
            first.inferred_s = now_s
            self._followed += 1
            return first.crop
        if not may_begin:
            return None
        self._row, self._followed = self._begin(min(due, key=lambda search: search.due_s)), 0
        return self._row.pop()

    def _begin(self, search: _Search) -> list[RotatedCrop]:
        """The crops of a place by its next turn."""
        turn_deg = search.turns[search.rounds % len(search.turns)]
        search.rounds += 1
        if search.rounds % len(search.turns) == 0:
            search.due_s = self._elapsed.now_s + search.every_s
        return [RotatedCrop(search.region, turn_deg)] * self._in_a_row

    def _note_leaning(self, people: Sequence[Person], frame_size: tuple[int, int]) -> None:
        """Who leans, and how; nothing new of those who are hidden."""
        before, self._leaning = self._leaning, {}
        for person in people:
            known = before.get(person.id)
            if not person.seen:
                if known is not None:
                    self._leaning[person.id] = known
                continue
            lean_deg = lean_of(person.pose.points, person.visible)
            if lean_deg is not None and abs(lean_deg) >= LEANING_DEG:
                turn_deg = round(-lean_deg / TURN_STEP_DEG) * TURN_STEP_DEG
                crop = RotatedCrop(_around(person, frame_size), turn_deg)
                self._leaning[person.id] = _Leaning(crop, known.inferred_s if known else -math.inf)

    def _note_hidden(self, people: Sequence[Person], frame_size: tuple[int, int]) -> None:
        """Search for those who are not seen inside the frame, and no longer for those who are."""
        now_s = self._elapsed.now_s
        before, self._seen_s = self._seen_s, {}
        for person in people:
            key = "lost", person.id
            self._seen_s[person.id] = seen_s = now_s if person.seen else before.get(person.id, now_s)
            if person.seen:
                self._searches.pop(key, None)
            elif now_s - seen_s >= HIDDEN_S and key not in self._searches and self._stays(person, frame_size):
                self._searches[key] = self._search_near(person, frame_size)

    def _stays(self, person: Person, frame_size: tuple[int, int]) -> bool:
        """Whether somebody was not about to leave when last seen."""
        return not _at_border(person, frame_size) and not self._zones.in_exit(person, frame_size)

    def _search_near(self, person: Person, frame_size: tuple[int, int]) -> _Search:
        now_s = self._elapsed.now_s
        region = _beside(person, frame_size)
        return _Search(region, SEARCH_TURNS, SEARCH_EVERY_S, now_s + SEARCH_FOR_S, now_s)

    def _note_searches(
        self, ended: Iterable[Departed], down: Iterable[Down], frame_size: tuple[int, int]
    ) -> None:
        """Where to search by now: the frame, where people were lost, and where they are down and not seen."""
        now_s = self._elapsed.now_s
        searches = {key: one for key, one in self._searches.items() if one.until_s > now_s}
        whole = Region.whole(frame_size)
        frame = searches.setdefault(("frame", 0), _Search(whole, FRAME_TURNS, self._every_s, math.inf, now_s))
        frame.region = whole
        for one in ended:
            key = "lost", one.person.id
            if one.border is not None or one.cut or self._zones.in_exit(one.person, frame_size):
                searches.pop(key, None)
            elif key not in searches:
                searches[key] = self._search_near(one.person, frame_size)
        searches = {key: one for key, one in searches.items() if key[0] != "down"} | {
            ("down", one.number): self._search_for(one, frame_size)
            for one in down
            if not self._leaning.keys() & one.tracks
        }
        self._searches = searches

    def _search_for(self, down: Down, frame_size: tuple[int, int]) -> _Search:
        """The search for somebody who is down, which goes on."""
        width, height = frame_size
        place = down.place
        size_px = place.size * height
        y = place.y * height + (_BELOW_HIPS * size_px if down.seen == "vanished" else 0.0)
        region = Region.around(y, place.x * width, _REACH * size_px, frame_size)
        search = self._searches.get(("down", down.number))
        if search is None:
            return _Search(region, SEARCH_TURNS, SEARCH_EVERY_S, math.inf, self._elapsed.now_s)
        search.region = region
        return search


def _at_border(person: Person, frame_size: tuple[int, int]) -> bool:
    """Whether somebody is at a side or the top of the frame; below it there is more floor to fall on."""
    points = person.pose.points[person.visible]
    if not len(points):
        return True
    margin = _AT_BORDER * person.size_px
    (top, left), right = points.min(axis=0).tolist(), float(points[:, 1].max())
    return top < margin or left < margin or right > frame_size[0] - margin


def _beside(person: Person, frame_size: tuple[int, int]) -> Region:
    """Where somebody may lie who was upright when last seen."""
    hips = [index for index in (LEFT_HIP, RIGHT_HIP) if person.visible[index]]
    points = person.pose.points[hips] if hips else person.pose.points[person.visible]
    y, x = (points if len(points) else person.pose.points).mean(axis=0).tolist()
    return Region.around(y + _BELOW_HIPS * person.size_px, x, _REACH * person.size_px, frame_size)


def _around(person: Person, frame_size: tuple[int, int]) -> Region:
    """Where somebody is who is seen."""
    points = person.pose.points[person.visible]
    low, high = points.min(axis=0), points.max(axis=0)
    y, x = ((low + high) / 2).tolist()
    side = _AROUND * max(float((high - low).max()), person.size_px)
    return Region.around(y, x, side, frame_size)


def lean_of(points: Floats, seen: NDArray[np.bool_]) -> float | None:
    """How far a trunk is turned from upright in the picture, clockwise, -180 to 180 degrees.

    Args:
        points: (17, 2), y first, px.
        seen: (17,): which of them say something.

    Returns:
        None where shoulders or hips are not seen.
    """
    (ys, xs), visible = points.T.tolist(), seen.tolist()
    shoulders, hips = middle_of(ys, xs, visible, LEFT_SHOULDER), middle_of(ys, xs, visible, LEFT_HIP)
    if shoulders is None or hips is None:
        return None
    return math.degrees(math.atan2(shoulders[1] - hips[1], hips[0] - shoulders[0]))


def merge_detections(
    upright: Sequence[Pose], rotated: Sequence[Pose], turn_deg: int, threshold: float
) -> list[Pose]:
    """Everybody in a frame, once: of two poses of one person the one with the better score.

    Args:
        upright: poses of the frame as it is, px.
        rotated: poses that were found in a rotated crop, px of the frame as well.
        turn_deg: by which.
        threshold: keypoints scored below are not seen, 0-1.

    Returns:
        Best first.
    """
    poses = list(upright)
    for pose in rotated:
        if pose.score < _LEAST_SCORE or not _is_upright(pose, turn_deg, threshold):
            continue
        same = [other for other in poses if _shows_same(pose, other, threshold)]
        if all(other.score < pose.score for other in same):
            poses = [other for other in poses if not any(other is one for one in same)] + [pose]
    return sorted(poses, key=lambda one: -one.score)


def _is_upright(pose: Pose, turn_deg: int, threshold: float) -> bool:
    """Whether somebody is upright in the turned picture."""
    lean_deg = lean_of(pose.points, pose.scores >= threshold)
    if lean_deg is None:
        return False
    return abs((lean_deg + turn_deg + 180) % 360 - 180) <= _UPRIGHT_DEG


def _shows_same(pose: Pose, other: Pose, threshold: float) -> bool:
    """Whether a pose found turned shows somebody of another pose: alike, or in the same place."""
    seen, other_seen = pose.scores >= threshold, other.scores >= threshold
    if not seen.any() or not other_seen.any():
        return False
    if is_same(other, [pose], threshold):
        return True
    points, other_points = pose.points[seen], other.points[other_seen]
    return _share_inside(points, other_points) > _TOUCHES or _share_inside(other_points, points) > _COVERS


def _share_inside(points: Floats, others: Floats) -> float:
    """Of the points (n, 2), the share inside the box of the others."""
    low, high = others.min(axis=0), others.max(axis=0)
    return float(((points >= low) & (points <= high)).all(axis=1).mean())
