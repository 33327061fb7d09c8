"""Who is who from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import lap
import numpy as np
from numpy.typing import NDArray

from posed.config import PeopleConfig
from posed.people.person import Person
from posed.people.similarity import Crowd, similarity
from posed.people.size import body_size, weighted_quantile
from posed.people.smooth import Smoother
from posed.pose import SIGMAS, Pose

Floats = NDArray[np.float64]
Border = Literal["left", "right", "top", "bottom"]

_LEAST_ALIKE: Final = 0.1
"""A pose that is less like a person than this is not theirs."""

_SAME: Final = 0.5
"""Two poses of one frame that are more alike are taken for one person."""

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
"""Over how long a person's size is averaged, when all of them is seen. Who turns bones towards the camera
looks smaller, so that is believed later."""

_NEAR_BORDER: Final = 0.2
"""Whose middle is so near the frame's border is leaving it, as a share of their size."""

_BEYOND: Final = 0.1
"""How far beyond the frame the middle of somebody who left is looked for, as a share of their size."""

_AHEAD_S: Final = 0.3
"""How far ahead a person's way is looked at to say whether they were leaving."""

_SPREADS: Final = np.array(SIGMAS)


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """Somebody who is not followed any more.

    Args:
        person: as last seen: `seen`, with the pose of that frame.
        time_s: of the frame in which they were last seen.
        border: over which side of the frame they were leaving; None when they vanished inside it.
        cut: the frames were interrupted (a pause, a recording that began again), so that nobody knows what
            became of them.
    """

    person: Person
    time_s: float
    border: Border | None
    cut: bool


class _Track:
    """Somebody, perhaps, and all that is known of them; starts with the pose in which they are first seen."""

    def __init__(
        self, pose: Pose, time_s: float, frame_size: tuple[int, int], config: PeopleConfig, threshold: float
    ) -> None:
        self.id: int | None = None
        self.last_seen: Person | None = None
        self.hits, self.misses = 0, 0
        self.seen_at = time_s
        self.size_px = 1.0
        self._threshold = threshold
        self._trusted = 0.0
        self._points, self._scores = pose.points, np.zeros(len(pose.scores))
        self._velocity = np.zeros(2)
        self._gone = np.zeros(2)
        self._middle, self._frame = np.zeros(2), np.zeros(2)
        self._smoother = Smoother(config, threshold)
        self.see(pose, time_s, frame_size)

    def see(self, pose: Pose, time_s: float, frame_size: tuple[int, int]) -> None:
        """A pose of this frame is theirs."""
        elapsed_s = time_s - self.seen_at
        seen = pose.scores >= self._threshold
        way = self._way_to(pose, seen, time_s)
        if elapsed_s > 0:
            gain = max(1 - math.exp(-elapsed_s / _VELOCITY_S), 1 / (self.hits + 1))
            self._velocity = self._velocity + gain * (way / elapsed_s - self._velocity)
        self._measure(pose, seen, elapsed_s)
        self._smoother.update(pose.points, pose.scores, time_s, self.size_px, way - self._gone)
        self._scores = np.where(seen, pose.scores, self._scores * math.exp(-elapsed_s / _FORGET_S))
        self._points = np.where(seen[:, None], pose.points, self._points + way)
        self._middle = np.median(self._points[seen], axis=0) if seen.any() else self._points.mean(axis=0)
        self._frame = np.array([frame_size[1], frame_size[0]], np.float64)
        self._gone = np.zeros(2)
        self.hits, self.misses = self.hits + 1, 0
        self.pose, self.seen_at = pose, time_s

    def miss(self, time_s: float) -> None:
        """No pose of this frame is theirs: they go on as they went."""
        way = self._way(time_s)
        self._smoother.hold(time_s, way - self._gone)
        self._gone = way
        self.misses += 1

    def predicted(self, time_s: float) -> tuple[Floats, Floats]:
        """Points (17, 2) px and scores (17,) to expect in a frame."""
        return (
            self._points + self._way(time_s),
            self._scores * math.exp(-(time_s - self.seen_at) / _FORGET_S),
        )

    def person(self, number: int) -> Person:
        """What is told of them, as of the last frame."""
        smoother, seen = self._smoother, self.misses == 0
        pose = Pose(smoother.points, smoother.scores, self.pose.score)
        return Person(number, pose, smoother.visible, seen, self.size_px, self.pose if seen else None)

    def border(self) -> Border | None:
        """Over which side of the frame they were leaving when they were last seen."""
        ahead = self._middle + self._velocity * _AHEAD_S
        (top, left), (bottom, right) = ahead.tolist(), (self._frame - ahead).tolist()
        room: dict[Border, float] = {"left": left, "right": right, "top": top, "bottom": bottom}
        nearest = min(room, key=lambda side: room[side])
        return nearest if room[nearest] < _NEAR_BORDER * self.size_px else None

    def _way(self, time_s: float) -> Floats:
        """(2,) px from where they were last seen to where they should be by now.

        Not far beyond the border of the frame: who comes back does so from there.
        """
        coasted_s = _COASTING_S * (1 - math.exp(-(time_s - self.seen_at) / _COASTING_S))
        beyond = _BEYOND * self.size_px
        low, high = np.minimum(self._middle, -beyond), np.maximum(self._middle, self._frame + beyond)
        return np.asarray(np.clip(self._middle + self._velocity * coasted_s, low, high) - self._middle)

    def _way_to(self, pose: Pose, seen: NDArray[np.bool_], time_s: float) -> Floats:
        """(2,) px from where they were last seen to a pose; what most keypoints say, as some may be wrong."""
        common = seen & (self._scores > 0)
        if not common.any():
            return self._way(time_s)
        ways = pose.points[common] - self._points[common]
        weights = np.sqrt(self._scores[common] * pose.scores[common]) / _SPREADS[common]
        return np.array([weighted_quantile(ways[:, axis], weights, 0.5) for axis in (0, 1)])

    def _measure(self, pose: Pose, seen: NDArray[np.bool_], elapsed_s: float) -> None:
        """The size from this pose too: slowly, and the less the less of the person is seen."""
        size_px, trust = body_size(pose.points, seen)
        if not self._trusted:
            self.size_px = size_px
        elif trust:
            over_s = _GROWING_S if size_px > self.size_px else _SHRINKING_S
            gain = max(1 - math.exp(-elapsed_s * trust / over_s), trust / (self._trusted + trust))
            self.size_px += gain * (size_px - self.size_px)
        self._trusted += trust


class Tracker:
    """Follows people: gives each the same id for as long as they are there.

    A pure function of what it is given. When time goes backwards, or leaps by more than `lost_after_s`,
    nobody is who they were: everybody ends, and whoever is there is somebody new.

    Args:
        config: of `people`.
        threshold: keypoints scored below are not seen, 0-1: `decode.keypoint_threshold`.

    Attributes:
        ended: who ended in the last update.
    """

    def __init__(self, config: PeopleConfig, threshold: float) -> None:
        self._config, self._threshold = config, threshold
        self._tracks: list[_Track] = []
        self._last_id = 0
        self._time_s: float | None = None
        self.ended: tuple[Ended, ...] = ()

    def update(self, poses: Sequence[Pose], time_s: float, frame_size: tuple[int, int]) -> list[Person]:
        """The next frame.

        Args:
            poses: of everybody seen in it, px.
            time_s: of the frame.
            frame_size: (width, height) px.

        Returns:
            Everybody who is followed, by id, those hidden for a moment too.
        """
        self.ended = self._end(time_s)
        self._time_s = time_s
        confirmed = [track for track in self._tracks if track.id is not None]
        perhaps = [track for track in self._tracks if track.id is None]
        rest = list(poses)
        for tracks in (confirmed, perhaps):
            rest = self._match(tracks, rest, time_s, frame_size)
        self._begin(rest, poses, time_s, frame_size)
        return self._people()

    def _end(self, time_s: float) -> tuple[Ended, ...]:
        """Let go of everybody who has not been seen for too long."""
        before, longest_s = self._time_s, self._config.lost_after_s
        cut = before is not None and not 0 <= time_s - before <= longest_s
        gone = [track for track in self._tracks if cut or time_s - track.seen_at > longest_s]
        self._tracks = [track for track in self._tracks if track not in gone]
        return tuple(
            Ended(track.last_seen, track.seen_at, track.border(), cut)
            for track in gone
            if track.last_seen is not None
        )

    def _match(
        self, tracks: list[_Track], poses: list[Pose], time_s: float, frame_size: tuple[int, int]
    ) -> list[Pose]:
        """Give poses to people, so that they are most alike all in all.

        Returns:
            The poses that are nobody's.
        """
        chosen = _assign(tracks, poses, time_s, self._threshold)
        for track, index in zip(tracks, chosen, strict=True):
            if index is None:
                track.miss(time_s)
            else:
                track.see(poses[index], time_s, frame_size)
        return [pose for index, pose in enumerate(poses) if index not in chosen]

    def _begin(
        self, rest: list[Pose], poses: Sequence[Pose], time_s: float, frame_size: tuple[int, int]
    ) -> None:
        """Poses that are nobody's are somebody new, unless somebody is seen twice."""
        taken = [pose for pose in poses if not any(pose is other for other in rest)]
        for pose in rest:
            if not _is_among(pose, taken, self._threshold):
                self._tracks.append(_Track(pose, time_s, frame_size, self._config, self._threshold))
                taken.append(pose)

    def _people(self) -> list[Person]:
        people = []
        for track in self._tracks:
            if track.id is None and track.hits >= self._config.confirm_frames:
                self._last_id += 1
                track.id = self._last_id
            if track.id is not None:
                person = track.person(track.id)
                people.append(person)
                if person.seen:
                    track.last_seen = person
        self._tracks = [one for one in self._tracks if one.id is not None or one.misses <= one.hits]
        return people


def _assign(
    tracks: Sequence[_Track], poses: Sequence[Pose], time_s: float, threshold: float
) -> list[int | None]:
    """For each track the index of its pose: the globally optimal choice."""
    if not tracks or not poses:
        return [None] * len(tracks)
    expected = [track.predicted(time_s) for track in tracks]
    crowd = Crowd(np.stack([points for points, _ in expected]), np.stack([scores for _, scores in expected]))
    sizes_px = np.array([track.size_px for track in tracks])
    hidden_s = np.array([time_s - track.seen_at for track in tracks])
    slack = np.minimum(_SUDDEN_PER_S * hidden_s, _SLACK + _SLACK_PER_S * hidden_s)
    alike = similarity(crowd, sizes_px, Crowd.of(poses, threshold), slack)
    _, chosen, _ = lap.lapjv(1 - alike, extend_cost=True, cost_limit=1 - _LEAST_ALIKE)
    return [index if index >= 0 else None for index in chosen.tolist()]


def _is_among(pose: Pose, others: Sequence[Pose], threshold: float) -> bool:
    """Whether a pose shows somebody whom one of the others shows too."""
    if not others:
        return False
    one = Crowd.of([pose], threshold)
    size_px, _ = body_size(pose.points, pose.scores >= threshold)
    alike = similarity(one, np.array([size_px]), Crowd.of(others, threshold), np.zeros(1))
    return bool(alike.max() > _SAME)
