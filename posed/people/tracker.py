"""Who is who from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import lap
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from posed.config import PeopleConfig
from posed.people.bodies import find_middles, find_ways, remember, room_for, view
from posed.people.person import Person
from posed.people.posture import LEFT_OF_PAIRS
from posed.people.similarity import Crowd, is_same, similarity
from posed.people.size import body_sizes
from posed.people.smooth import FILTERS, Floats, Records, Smoother, filters
from posed.pose import KEYPOINT_COUNT, Pose

Border = Literal["left", "right", "top", "bottom"]

_LEAST_ALIKE: Final = 0.1
"""A pose that is less like a person than this is not theirs."""

_SUDDEN_PER_S: Final = 0.5
_SLACK: Final = 0.1
_SLACK_PER_S: Final = 0.2
"""By how much a prediction is off, as a share of the person's size: by a sudden movement, such as a fall, at
first, and later by what a way may differ from a straight one."""

_VELOCITY_S: Final = 0.25
"""Over how long a person's velocity is averaged."""

_COASTING_S: Final = 1.5
"""How long people who are not seen go on as they went: the time in which a prediction slows down to 1 / e."""

_FORGET_S: Final = 0.5
"""How fast a keypoint that is not seen counts for less: the time to 1 / e."""

_GROWING_S: Final = 0.7
_SHRINKING_S: Final = 2.0
_SHRINKING_UNSEEN_S: Final = 30.0
"""Over how long a person's stature is averaged, when all of them is seen. Who turns bones towards the camera
looks smaller, so that is believed later, and only of somebody whose legs are stretched below them: whoever
sits down, crouches or lies stays as large as they were. Of whom no legs are seen nobody knows."""

_STRETCHED: Final = 0.7
"""Thighs at least this long beside the shins, in the picture, are those of somebody upright. Upright they are
as long as these from any camera; on a chair before the camera they point at it."""

_OUTGROWN: Final = 1.8
"""A pose that is so many times as large as somebody was is somebody else's; who turns bones towards the
camera may look smaller, but nobody looks larger."""

_NEAR_BORDER: Final = 0.2
"""Whose middle is so near the frame's border is leaving it, as a share of their size."""

_BEYOND: Final = 0.1
"""How far beyond the frame the middle of somebody who left is looked for, as a share of their size."""

_AHEAD_S: Final = 0.3
"""How far ahead a person's way is looked at to say whether they were leaving."""

_DROP_PER_S: Final = 0.5
"""Sizes per s downwards from which on somebody is falling, not walking."""

_KNOWN: Final = 5.0
"""Frames' worth of a whole body after which its stature is known."""

_RARELY_SEEN_S: Final = 1.0
"""Who is not a person yet may be unseen for as many frames as they were seen in; who was found in a rotated
crop beside an AI Camera, also for so long: a slow CPU makes few of them a second."""

_LYING_LOST_S: Final = 20.0
"""Who lies is hard to see, and stays who they are for so long at least while nobody sees them."""

_LEVEL: Final = 0.15
"""Whose shoulders are no higher over the hips than this, as a share of the stature, of 0.29 upright, lies."""

_SAME_PLACE: Final = 0.7
"""Who is found so near somebody who lies and is not seen is them, in statures, however they are turned."""


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """Somebody who is not followed any more.

    Args:
        person: as last seen: `seen`, with the pose of that frame.
        time_s: of the frame in which they were last seen.
        border: over which side of the frame they were leaving; None when they vanished inside it.
        cut: the frames were interrupted (a pause, a recording that began again, another size), so that nobody
            knows what became of them.
    """

    person: Person
    time_s: float
    border: Border | None
    cut: bool


_TRACKS: Final = np.dtype(
    [
        ("id", np.int64),
        ("hits", np.int64),
        ("misses", np.int64),
        ("seen_at", np.float64),
        ("points", np.float64, (KEYPOINT_COUNT, 2)),
        ("scores", np.float64, KEYPOINT_COUNT),
        ("size_px", np.float64),
        ("trusted", np.float64),
        ("lies", np.bool_),
        ("beside", np.bool_),
        ("middle", np.float64, 2),
        ("velocity", np.float64, 2),
        ("gone", np.float64, 2),
        ("frame", np.float64, 2),
        ("filters", FILTERS),
    ],
    align=True,  # see `posed.people.smooth.FILTERS`
)
"""Somebody, perhaps, and all that is known of them: `id`, 0 until they are a person; in how many frames they
were seen, and not seen since; when they were last seen, s. As of then: keypoints, px, and what they count
for; the stature, px, and how far it is trusted; whether they lay; the middle, px, and its speed in px/s;
(height, width) of the frame. `beside`: whether a rotated crop beside an AI Camera has shown them. `gone`: px
from there to where they should be by now. `filters`: of the keypoints."""


class _Detected(Struct, frozen=True, eq=False, gc=False):
    """The poses of one frame, and what is read off them.

    Args:
        crowd: N poses.
        seen: (N, 17): which of their keypoints are.
        sizes_px: (N,) statures, and `trusts` (N,) 0-1 how far each is trusted, as `body_sizes` gives them.
    """

    crowd: Crowd
    seen: NDArray[np.bool_]
    sizes_px: Floats
    trusts: Floats

    @classmethod
    def of(cls, poses: Sequence[Pose], threshold: float) -> Self:
        """At least one pose; keypoints scored below the threshold are not seen."""
        crowd = Crowd.of(poses, threshold)
        seen = crowd.scores >= threshold
        return cls(crowd, seen, *body_sizes(crowd.points, seen))

    def at(self, rows: list[int]) -> _Detected:
        """Some of them, in this order."""
        crowd = self.crowd.at(rows)
        if crowd is self.crowd:
            return self
        return _Detected(crowd, self.seen[rows], self.sizes_px[rows], self.trusts[rows])


def _see(
    tracks: Records, detected: _Detected, time_s: float, frame_size: tuple[int, int], smoother: Smoother
) -> None:
    """Poses of this frame are theirs, one of each."""
    points, scores, seen = detected.crowd.points, detected.crowd.scores, detected.seen
    elapsed_s = _elapsed_s(tracks, time_s)
    way = _ways_to(tracks, points, scores, time_s)
    _quicken(tracks, way, elapsed_s)
    believed_s, trunks_px = _below_each_other(points, seen)
    sizes_px = _measure(tracks, believed_s, detected, elapsed_s)
    moved = way - tracks["gone"]
    smoother.update(tracks["filters"], points, scores, seen, time_s, tracks["size_px"], moved)
    known, hits = tracks["points"], tracks["hits"]
    remember(
        view(known),
        view(tracks["scores"]),
        view(points),
        view(scores),
        view(seen.view(np.uint8)),
        view(way),
        view(_fading(elapsed_s)),
    )
    tracks["middle"] = _middles(known, seen)
    tracks["lies"] = [trunk <= _LEVEL * size for trunk, size in zip(trunks_px, sizes_px, strict=True)]
    tracks["frame"] = frame_size[1], frame_size[0]
    tracks["gone"] = 0.0
    hits += 1
    tracks["misses"] = 0
    tracks["seen_at"] = time_s


def _miss(tracks: Records, way: Floats, time_s: float, smoother: Smoother) -> None:
    """No pose of this frame is theirs: they go on as they went, by now this way (N, 2) px."""
    smoother.hold(tracks["filters"], time_s, way - tracks["gone"])
    tracks["gone"] = way
    tracks["misses"] += 1


def _begun(count: int, time_s: float) -> Records:
    """Somebody new each, to be seen for the first time now."""
    tracks = np.zeros(count, _TRACKS)
    tracks["filters"] = filters(count)
    tracks["seen_at"], tracks["size_px"] = time_s, 1.0
    return tracks


def _border(track: np.void) -> Border | None:
    """Over which side of the frame somebody was leaving when they were last seen."""
    # Who drops faster than anybody walks is falling, and goes no farther than the floor.
    falling = track["velocity"][0] > _DROP_PER_S * track["size_px"]
    ahead = track["middle"] + track["velocity"] * (0.0 if falling else _AHEAD_S)
    (top, left), (bottom, right) = ahead.tolist(), (track["frame"] - ahead).tolist()
    room: dict[Border, float] = {"left": left, "right": right, "top": top, "bottom": bottom}
    nearest = min(room, key=lambda side: room[side])
    return nearest if room[nearest] < _NEAR_BORDER * track["size_px"] else None


# What is one number for each person is computed in lists: for a few people an array takes longer for every
# operation than they do.


def _elapsed_s(tracks: Records, time_s: float) -> list[float]:
    """How long ago they were last seen, s."""
    return [time_s - seen_at for seen_at in tracks["seen_at"].tolist()]


def _fading(elapsed_s: Sequence[float]) -> Floats:
    """(N,): what keypoints that have not been seen for so long still count for."""
    return np.array([math.exp(-seconds / _FORGET_S) for seconds in elapsed_s])


def _ways(tracks: Records, time_s: float) -> Floats:
    """(N, 2) px from where they were last seen to where they should be by now.

    Not far beyond the border of the frame: who comes back does so from there.
    """
    elapsed_s = _elapsed_s(tracks, time_s)
    coasted_s = np.array([_COASTING_S * (1 - math.exp(-seconds / _COASTING_S)) for seconds in elapsed_s])
    beyond, middle = _BEYOND * tracks["size_px"][:, None], tracks["middle"]
    low, high = np.minimum(middle, -beyond), np.maximum(middle, tracks["frame"] + beyond)
    ahead = middle + tracks["velocity"] * coasted_s[:, None]
    return np.asarray(np.minimum(np.maximum(ahead, low), high) - middle)


def _ways_to(tracks: Records, points: Floats, scores: Floats, time_s: float) -> Floats:
    """(N, 2) px from where they were last seen to poses; what most keypoints say, as some may be wrong."""
    ways = np.empty((len(points), 2))
    before, counts = view(tracks["points"]), view(tracks["scores"])
    find_ways(before, counts, view(points), view(scores), view(ways), room_for(KEYPOINT_COUNT))
    lost = ways == math.inf
    return np.where(lost, _ways(tracks, time_s), ways) if lost.any() else ways


def _quicken(tracks: Records, way: Floats, elapsed_s: Sequence[float]) -> None:
    """The speeds from these ways (N, 2) too; no time, no speed."""
    hits = tracks["hits"].tolist()
    gains = [
        max(1 - math.exp(-seconds / _VELOCITY_S), 1 / (count + 1)) if seconds > 0 else 0.0
        for seconds, count in zip(elapsed_s, hits, strict=True)
    ]
    spans_s = [seconds if seconds > 0 else math.inf for seconds in elapsed_s]
    average, velocity = tracks["velocity"], way / np.array(spans_s)[:, None]
    average += np.array(gains)[:, None] * (velocity - average)


def _measure(
    tracks: Records, believed_s: Sequence[float], detected: _Detected, elapsed_s: Sequence[float]
) -> list[float]:
    """The statures from these poses too: slowly, and the less the less of the person is seen.

    Args:
        tracks: N people.
        believed_s: over how long to believe that they are smaller than they were.
        detected: their poses.
        elapsed_s: since they were last seen.

    Returns:
        Their statures, px.
    """
    seen = zip(detected.sizes_px.tolist(), detected.trusts.tolist(), believed_s, elapsed_s, strict=True)
    before = zip(tracks["size_px"].tolist(), tracks["trusted"].tolist(), strict=True)
    measured = [_stature(*known, *new) for known, new in zip(before, seen, strict=True)]
    sizes_px = [size_px for size_px, _ in measured]
    tracks["size_px"], tracks["trusted"] = sizes_px, [trusted for _, trusted in measured]
    return sizes_px


def _stature(  # noqa: PLR0913, PLR0917 - what was known, and what is seen
    known_px: float, trusted: float, size_px: float, trust: float, believed_s: float, elapsed_s: float
) -> tuple[float, float]:
    """The stature of somebody, px, and how far it is trusted, after another sight of them."""
    trusted_now = trusted + trust
    if trusted <= 0:
        return size_px, trusted_now
    over_s = _GROWING_S if size_px > known_px else believed_s
    gain = 1 - math.exp(-elapsed_s * trust / over_s)
    # At first the mean of what was seen counts, until stature is known.
    if trusted_now > 0 and not (trusted_now > _KNOWN and size_px < known_px):
        gain = max(gain, trust / trusted_now)
    return known_px + gain * (size_px - known_px), trusted_now


def _below_each_other(points: Floats, seen: NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    """What the rows of trunks and legs in the picture say of people.

    Returns:
        (over how long to believe that they are smaller than they were, s, how far their hips are below their
        shoulders, px, nan where that is not seen)
    """
    people = zip(points[:, :, 0].tolist(), seen.tolist(), strict=True)
    rows = [[_row_of(ys, visible, left) for left in LEFT_OF_PAIRS] for ys, visible in people]
    trunks_px = [hips - shoulders for shoulders, hips, _, _ in rows]
    believed_s = [_shrinking_s(knees - hips, ankles - knees) for _, hips, knees, ankles in rows]
    return believed_s, trunks_px


def _row_of(ys: list[float], visible: list[bool], left: int) -> float:
    """The row of what is seen of a left keypoint and the right one, px; nan where nothing is."""
    right = left + 1
    if visible[left]:
        return (ys[left] + ys[right]) / 2 if visible[right] else ys[left]
    return ys[right] if visible[right] else math.nan


def _shrinking_s(thighs_px: float, shins_px: float) -> float:
    """Over how long to believe that somebody with legs of these heights is smaller than they were, s."""
    if shins_px > 0 and thighs_px >= _STRETCHED * shins_px:
        return _SHRINKING_S
    return _SHRINKING_UNSEEN_S if math.isnan(thighs_px + shins_px) else math.inf


def _middles(points: Floats, seen: NDArray[np.bool_]) -> Floats:
    """(N, 2) px: the medians of the keypoints that are seen, the means of all where none is."""
    middles = np.empty((len(points), 2))
    find_middles(view(points), view(seen.view(np.uint8)), view(middles), room_for(KEYPOINT_COUNT))
    return middles


class Tracker:
    """Follows people: gives each the same id for as long as they are there.

    A pure function of what it is given. When time goes backwards, or leaps by more than `lost_after_s`, or
    the frames change their size, nobody is who they were: everybody ends, and whoever is there is somebody
    new.

    Everybody is computed at once, in arrays with a row for each.

    Args:
        config: of `people`.
        threshold: keypoints scored below are not seen, 0-1: `decode.keypoint_threshold`.

    Attributes:
        ended: who ended in the last update.
    """

    def __init__(self, config: PeopleConfig, threshold: float, last_id: int = 0) -> None:
        self._config, self._threshold = config, threshold
        self._smoother = Smoother(config)
        self._tracks = _begun(0, 0.0)
        self._last_seen: dict[int, Person] = {}
        self.last_id = last_id
        self._time_s: float | None = None
        self._frame_size: tuple[int, int] | None = None
        self.ended: tuple[Ended, ...] = ()

    def configure(self, config: PeopleConfig, threshold: float) -> None:
        """Go on with other settings."""
        self._config, self._threshold = config, threshold
        self._smoother = Smoother(config)

    def update(self, poses: Sequence[Pose], time_s: float, frame_size: tuple[int, int]) -> list[Person]:
        """The next frame.

        Args:
            poses: of everybody seen in it, px.
            time_s: of the frame.
            frame_size: (width, height) px.

        Returns:
            Everybody who is followed, by id, those hidden for a moment too.
        """
        self.ended = self._end(time_s, frame_size)
        self._time_s, self._frame_size = time_s, frame_size
        ways = _ways(self._tracks, time_s)
        detected = _Detected.of(poses, self._threshold) if poses else None
        theirs = self._match(detected, ways, time_s)
        if detected is not None:
            self._find_lying(theirs, detected)
        theirs += self._begin(poses, theirs, time_s)
        self._go_on(theirs, detected, ways, time_s, frame_size)
        return self._people(poses, theirs, detected)

    def _end(self, time_s: float, frame_size: tuple[int, int]) -> tuple[Ended, ...]:
        """Let go of everybody who has not been seen for too long."""
        before, longest_s, tracks = self._time_s, self._config.lost_after_s, self._tracks
        cut = before is not None and not 0 <= time_s - before <= longest_s
        cut = cut or frame_size != (self._frame_size or frame_size)
        if not cut and all(time_s - seen_at <= longest_s for seen_at in tracks["seen_at"].tolist()):
            return ()
        lying_s = max(longest_s, _LYING_LOST_S)
        gone = (time_s - tracks["seen_at"] > np.where(tracks["lies"], lying_s, longest_s)) | cut
        self._tracks = tracks[~gone]
        return tuple(
            Ended(self._last_seen.pop(int(track["id"])), float(track["seen_at"]), _border(track), cut)
            for track in tracks[gone]
            if track["id"]
        )

    def _match(self, detected: _Detected | None, ways: Floats, time_s: float) -> list[int | None]:
        """Give poses to people, so that they are most alike all in all; those who may yet be one come last.

        Args:
            detected: the poses.
            ways: (M, 2) px that each track should have gone by now.
            time_s: of the frame.

        Returns:
            For each track the index of its pose.
        """
        theirs: list[int | None] = [None] * len(self._tracks)
        if detected is None:
            return theirs
        numbers = self._tracks["id"].tolist()
        rest = list(range(len(detected.seen)))
        for are_people in (True, False):
            rows = [row for row, number in enumerate(numbers) if (number > 0) is are_people]
            if not rows or not rest:
                continue
            chosen = _assign(_at(self._tracks, rows), _at(ways, rows), detected.at(rest), time_s)
            for row, place in zip(rows, chosen, strict=True):
                theirs[row] = None if place is None else rest[place]
            rest = [index for place, index in enumerate(rest) if place not in chosen]
        return theirs

    def _find_lying(self, theirs: list[int | None], detected: _Detected) -> None:
        """Give poses that are nobody's to those who lie there and are not seen, the nearest first."""
        tracks = self._tracks
        if None not in theirs:
            return
        rows = [row for row, index in enumerate(theirs) if index is None and tracks["lies"][row]]
        free = sorted(set(range(len(detected.seen))) - set(theirs))
        if not rows or not free:
            return
        unclaimed = detected.at(free)
        middles = _middles(unclaimed.crowd.points, unclaimed.seen)
        ways = middles - tracks["middle"][rows][:, None]
        known_px = tracks["size_px"][rows][:, None]
        distances = np.hypot(ways[..., 0], ways[..., 1]) / known_px
        distances[unclaimed.sizes_px > _OUTGROWN * known_px] = np.inf
        while distances.min() <= _SAME_PLACE:
            row, place = np.unravel_index(distances.argmin(), distances.shape)
            theirs[rows[row]] = free[place]
            distances[row] = distances[:, place] = np.inf

    def _begin(self, poses: Sequence[Pose], theirs: Sequence[int | None], time_s: float) -> list[int]:
        """Poses that are nobody's are somebody new, unless somebody is seen twice; returns their indices."""
        taken = [index for index in theirs if index is not None]
        new: list[int] = []
        if len(taken) < len(poses):
            for index, pose in enumerate(poses):
                others = [poses[other] for other in (*taken, *new)]
                if index not in taken and not is_same(pose, others, self._threshold):
                    new.append(index)
            self._tracks = np.concatenate([self._tracks, _begun(len(new), time_s)])
        return new

    def _go_on(
        self,
        theirs: Sequence[int | None],
        detected: _Detected | None,
        ways: Floats,
        time_s: float,
        frame_size: tuple[int, int],
    ) -> None:
        """Take what this frame says of everybody: the index of each track's pose, or None."""
        tracks = self._tracks
        hidden = [row for row, index in enumerate(theirs) if index is None]
        chosen = [index for index in theirs if index is not None]
        if detected is not None and chosen:
            seen = [row for row, index in enumerate(theirs) if index is not None]
            some = _at(tracks, seen)
            _see(some, detected.at(chosen), time_s, frame_size, self._smoother)
            if some is not tracks:
                tracks[seen] = some
        if hidden:
            some = tracks[hidden]
            _miss(some, ways[hidden], time_s, self._smoother)
            tracks[hidden] = some

    def _people(
        self, poses: Sequence[Pose], theirs: Sequence[int | None], detected: _Detected | None
    ) -> list[Person]:
        """Everybody who is a person, as of this frame."""
        tracks = self._tracks
        if not len(tracks):
            return []
        self._name_new(poses, theirs)
        filters = tracks["filters"].copy()
        people = []
        for number, index, points, scores, visible, size_px in zip(
            tracks["id"].tolist(),
            theirs,
            filters["points"],
            filters["scores"],
            filters["visible"],
            tracks["size_px"].tolist(),
            strict=True,
        ):
            if not number:
                continue
            if index is None or detected is None:
                hidden = Pose(points, scores, self._last_seen[number].pose.score)
                people.append(Person(number, hidden, visible, False, size_px, None))
            else:
                raw = poses[index]
                smoothed = Pose(points, scores, raw.score)
                person = Person(number, smoothed, visible, True, size_px, raw, detected.seen[index])
                people.append(person)
                self._last_seen[number] = person
        if len(people) < len(tracks):
            self._tracks = tracks[(tracks["id"] > 0) | self._may_be_somebody()]
        return people

    def _may_be_somebody(self) -> NDArray[np.bool_]:
        """Which tracks were seen often or lately enough."""
        tracks = self._tracks
        assert self._time_s is not None
        lately = tracks["beside"] & (self._time_s - tracks["seen_at"] < _RARELY_SEEN_S)
        return (tracks["misses"] <= tracks["hits"]) | lately

    def _name_new(self, poses: Sequence[Pose], theirs: Sequence[int | None]) -> None:
        """Who was seen often enough is a person, and has an id."""
        tracks = self._tracks
        for row, (number, index) in enumerate(zip(tracks["id"].tolist(), theirs, strict=True)):
            if number or index is None:
                continue
            tracks["beside"][row] |= poses[index].beside
            if tracks["hits"][row] >= self._config.confirm_frames:
                self.last_id += 1
                tracks["id"][row] = self.last_id


def _at(tracks: NDArray[Any], rows: list[int]) -> NDArray[Any]:
    """Some of the tracks, a copy; or the tracks themselves where that is all of them."""
    return tracks if len(rows) == len(tracks) else tracks[rows]


def _assign(tracks: Records, ways: Floats, detected: _Detected, time_s: float) -> list[int | None]:
    """For each track, of one at least, the index of its pose: the globally optimal choice.

    Args:
        tracks: M people.
        ways: (M, 2) px that each should have gone by now.
        detected: N poses.
        time_s: of the frame.
    """
    hidden_s, sizes_px = _elapsed_s(tracks, time_s), detected.sizes_px
    expected = Crowd(tracks["points"] + ways[:, None], tracks["scores"] * _fading(hidden_s)[:, None])
    slack = np.array([min(_SUDDEN_PER_S * seconds, _SLACK + _SLACK_PER_S * seconds) for seconds in hidden_s])
    alike = similarity(expected, tracks["size_px"], detected.crowd, slack)
    if sizes_px.max() > _OUTGROWN * tracks["size_px"].min():
        known = tracks["trusted"] > _KNOWN
        alike[known[:, None] & (sizes_px > _OUTGROWN * tracks["size_px"][:, None])] = 0.0
    likeliest = [
        index if row[index] >= _LEAST_ALIKE else None
        for row, index in zip(alike.tolist(), alike.argmax(axis=1).tolist(), strict=True)
    ]
    found = [index for index in likeliest if index is not None]
    if len(set(found)) == len(found):
        return likeliest  # nobody competes for a pose: that is the optimum
    _, chosen, _ = lap.lapjv(1 - alike, extend_cost=True, cost_limit=1 - _LEAST_ALIKE)
    return [index if index >= 0 else None for index in chosen.tolist()]
