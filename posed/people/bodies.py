# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What is computed of everybody's keypoints in every frame: sizes, likeness, ways, and smoothed places.

A frame has few people, of whom numpy would take longer to begin each of a hundred operations than for the
operation. So these are loops: this file runs as it is, and Cython compiles it as it is (pure-Python mode, see
setup.py); COMPILED says which of the two is running.

Arrays of N people are (N, 17, 2) for points, y first, px; (N, 17) for scores, 0-1, and for what is seen,
uint8. What a function gives is written into arrays that it gets. `room` is (2, n) for n values at least.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from posed.pose import KEYPOINT_COUNT, KEYPOINTS, SIGMAS

try:
    import cython
except ImportError:
    from posed import uncompiled as cython

if cython.compiled:
    from cython.cimports.libc.math import exp, hypot, sqrt
else:
    from math import exp, hypot, sqrt

COMPILED: Final[bool] = cython.compiled
"""Whether this is compiled, not the plain Python file."""


def view(array: NDArray[Any]) -> Any:
    """What these functions take for an array: compiled itself; else its memory, of Python's numbers."""
    return array if cython.compiled else array.data


def room_for(count: int) -> Any:
    """Room for so many values."""
    return view(np.empty((2, count)))


_KEYPOINTS = cython.declare(cython.Py_ssize_t, KEYPOINT_COUNT)
_INFINITE = cython.declare(cython.double, float("inf"))

BONES: Final = (
    ("left_shoulder right_shoulder", "left_hip right_hip", 0.27),
    ("left_shoulder", "left_hip", 0.275),
    ("right_shoulder", "right_hip", 0.275),
    ("left_hip", "left_knee", 0.245),
    ("right_hip", "right_knee", 0.245),
    ("left_knee", "left_ankle", 0.246),
    ("right_knee", "right_ankle", 0.246),
    ("left_shoulder", "left_elbow", 0.18),
    ("right_shoulder", "right_elbow", 0.18),
    ("left_elbow", "left_wrist", 0.146),
    ("right_elbow", "right_wrist", 0.146),
    ("left_shoulder", "right_shoulder", 0.196),
    ("nose", "left_shoulder right_shoulder", 0.144),
    ("left_ear", "right_ear", 0.096),
    ("nose", "left_ear", 0.089),
    ("nose", "right_ear", 0.089),
)
"""Each bone is (from, to, length as a share of the height), of the drawn figure, whose limbs are those of
Drillis and Contini, Body segment parameters, 1966; two names mean the middle between them."""


def _ends_of(names: str) -> list[int]:
    """The two keypoints between which an end is, twice the same where it is one."""
    first, _, second = names.partition(" ")
    return [KEYPOINTS.index(first), KEYPOINTS.index(second or first)]


_BONES = cython.declare(cython.Py_ssize_t, len(BONES))
_ENDS = cython.declare(
    cython.int[:, ::1],
    view(np.array([_ends_of(start) + _ends_of(end) for start, end, _ in BONES], np.intc)),
)
_SHARES = cython.declare(cython.double[::1], view(np.array([share for _, _, share in BONES])))
_ALL_SHARES = cython.declare(cython.double, sum(share for _, _, share in BONES))

_QUANTILE = cython.declare(cython.double, 0.7)
"""This quantile of the bones gives the size: bones that point at the camera look short and none looks long,
but keypoints are off, so it is not the longest."""

_AREA: Final = 0.2
"""A person upright covers this share of their height squared: half of a box 0.4 times as wide as high."""

_SPREADS = cython.declare(cython.double[::1], view(np.array(SIGMAS)))
_VARIANCES = cython.declare(cython.double[::1], view((2 * np.array(SIGMAS)) ** 2 * _AREA))
"""Each of the 17 keypoints may be off by this, in (px / size px)². Source: COCO's k = 2 sigma, s² = area."""

_DOUBT = cython.declare(cython.double, 0.5)
"""Two poses with fewer keypoints in common than this are hardly alike."""

_TURN = cython.declare(cython.double, 2 * np.pi)

_SPEED_HZ = cython.declare(cython.double, 0.7)
"""The speed's own filter has this cut-off, Hz; it is 1 in the paper, whose input is less noisy."""

_STILL = cython.declare(cython.double, 0.08)
"""Keypoints that are off by 1 % of the height seem to move this fast, heights per second. It is taken from
the speed, or that noise alone would open the filter."""


def measure(
    points: cython.const[cython.double][:, :, :],
    seen: cython.const[cython.uchar][:, :],
    sizes: cython.double[:],
    trusts: cython.double[:],
    room: cython.double[:, ::1],
) -> None:
    """Writes everybody's size, px, and how far it is trusted, 0-1; see `posed.people.size.body_sizes`."""
    person: cython.Py_ssize_t
    bone: cython.Py_ssize_t
    for person in range(points.shape[0]):
        count: cython.Py_ssize_t = 0
        shares: cython.double = 0.0
        for bone in range(_BONES):
            first: cython.Py_ssize_t = _ENDS[bone, 0]
            second: cython.Py_ssize_t = _ENDS[bone, 1]
            third: cython.Py_ssize_t = _ENDS[bone, 2]
            fourth: cython.Py_ssize_t = _ENDS[bone, 3]
            if seen[person, first] and seen[person, second] and seen[person, third] and seen[person, fourth]:
                down: cython.double = (points[person, third, 0] + points[person, fourth, 0]) / 2 - (
                    points[person, first, 0] + points[person, second, 0]
                ) / 2
                right: cython.double = (points[person, third, 1] + points[person, fourth, 1]) / 2 - (
                    points[person, first, 1] + points[person, second, 1]
                ) / 2
                # A keypoint that is off by some px is worth less where the bone is short.
                share: cython.double = _SHARES[bone]
                count = _insert(room, count, hypot(down, right) / share, share)
                shares += share
        size: cython.double = _reached(room, count, _QUANTILE) if count else _extent(points, seen, person)
        sizes[person] = max(size, 1.0)
        trusts[person] = shares / _ALL_SHARES


@cython.cfunc
@cython.exceptval(check=False)
def _extent(
    points: cython.const[cython.double][:, :, :],
    seen: cython.const[cython.uchar][:, :],
    person: cython.Py_ssize_t,
) -> cython.double:
    """The diagonal of the box around what is seen, px; 0 where nothing is."""
    top: cython.double = _INFINITE
    left: cython.double = _INFINITE
    bottom: cython.double = -_INFINITE
    right: cython.double = -_INFINITE
    keypoint: cython.Py_ssize_t
    for keypoint in range(_KEYPOINTS):
        if seen[person, keypoint]:
            y: cython.double = points[person, keypoint, 0]
            x: cython.double = points[person, keypoint, 1]
            top, left = min(top, y), min(left, x)
            bottom, right = max(bottom, y), max(right, x)
    return hypot(bottom - top, right - left) if bottom >= top else 0.0


def quantiles(
    values: cython.const[cython.double][:, :],
    weights: cython.const[cython.double][:, :],
    quantile: cython.double,
    found: cython.double[:],
    room: cython.double[:, ::1],
) -> None:
    """Writes the weighted quantile of each row; see `posed.people.size.weighted_quantiles`."""
    row: cython.Py_ssize_t
    column: cython.Py_ssize_t
    for row in range(values.shape[0]):
        count: cython.Py_ssize_t = 0
        for column in range(values.shape[1]):
            if weights[row, column] > 0:
                count = _insert(room, count, values[row, column], weights[row, column])
        found[row] = _reached(room, count, quantile)


@cython.cfunc
@cython.exceptval(check=False)
def _insert(
    room: cython.double[:, ::1], count: cython.Py_ssize_t, value: cython.double, weight: cython.double
) -> cython.Py_ssize_t:
    """Puts a value among the first ones, which are sorted; returns how many there are now."""
    at: cython.Py_ssize_t = count
    while at > 0 and room[0, at - 1] > value:
        room[0, at] = room[0, at - 1]
        room[1, at] = room[1, at - 1]
        at -= 1
    room[0, at] = value
    room[1, at] = weight
    return count + 1


@cython.cfunc
@cython.exceptval(check=False)
def _reached(room: cython.double[:, ::1], count: cython.Py_ssize_t, quantile: cython.double) -> cython.double:
    """The first of the sorted values by which this share of the weights is reached; inf where none is."""
    at: cython.Py_ssize_t
    total: cython.double = 0.0
    for at in range(count):
        total += room[1, at]
    reached: cython.double = 0.0
    for at in range(count):
        reached += room[1, at]
        if not reached < quantile * total:
            return room[0, at]
    return _INFINITE


def liken(
    points: cython.const[cython.double][:, :, :],
    scores: cython.const[cython.double][:, :],
    sizes: cython.const[cython.double][:],
    other_points: cython.const[cython.double][:, :, :],
    other_scores: cython.const[cython.double][:, :],
    slack: cython.const[cython.double][:],
    alike: cython.double[:, ::1],
) -> None:
    """Writes how alike everybody is to everybody; see `posed.people.similarity.similarity`."""
    person: cython.Py_ssize_t
    other: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    for person in range(points.shape[0]):
        more: cython.double = slack[person] * slack[person]
        for other in range(other_points.shape[0]):
            total: cython.double = 0.0
            weights: cython.double = 0.0
            for keypoint in range(_KEYPOINTS):
                weight: cython.double = sqrt(scores[person, keypoint] * other_scores[other, keypoint])
                y: cython.double = (points[person, keypoint, 0] - other_points[other, keypoint, 0]) / sizes[
                    person
                ]
                x: cython.double = (points[person, keypoint, 1] - other_points[other, keypoint, 1]) / sizes[
                    person
                ]
                if weight > 0:
                    total += exp(-(y * y + x * x) / (2 * (_VARIANCES[keypoint] + more))) * weight
                weights += weight
            alike[person, other] = total / (weights + _DOUBT)


def find_ways(
    before: cython.const[cython.double][:, :, :],
    counts: cython.const[cython.double][:, :],
    points: cython.const[cython.double][:, :, :],
    scores: cython.const[cython.double][:, :],
    ways: cython.double[:, ::1],
    room: cython.double[:, ::1],
) -> None:
    """Writes (N, 2) px that people went: what most keypoints say, as some may be wrong; inf where none does.

    Args:
        before: where the keypoints were.
        counts: what these count for, as scores.
        points: where they are.
        scores: of these.
        ways: receives the ways.
        room: see above.
    """
    person: cython.Py_ssize_t
    axis: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    for person in range(points.shape[0]):
        for axis in range(2):
            count: cython.Py_ssize_t = 0
            for keypoint in range(_KEYPOINTS):
                weight: cython.double = (
                    sqrt(counts[person, keypoint] * scores[person, keypoint]) / _SPREADS[keypoint]
                )
                if weight > 0:
                    way: cython.double = points[person, keypoint, axis] - before[person, keypoint, axis]
                    count = _insert(room, count, way, weight)
            ways[person, axis] = _reached(room, count, 0.5)


def remember(
    known: cython.double[:, :, :],
    counts: cython.double[:, :],
    points: cython.const[cython.double][:, :, :],
    scores: cython.const[cython.double][:, :],
    seen: cython.const[cython.uchar][:, :],
    ways: cython.const[cython.double][:, :],
    fading: cython.const[cython.double][:],
) -> None:
    """Takes over the keypoints that are seen; the others go with the body, and count for less.

    Args:
        known: where keypoints were, and are by now.
        counts: what they count for.
        points: as decoded.
        scores: of these.
        seen: which of them are.
        ways: (N, 2) px that the bodies went.
        fading: (N,) what is left of what a keypoint counts for that is not seen.
    """
    person: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    for person in range(points.shape[0]):
        for keypoint in range(_KEYPOINTS):
            if seen[person, keypoint]:
                known[person, keypoint, 0] = points[person, keypoint, 0]
                known[person, keypoint, 1] = points[person, keypoint, 1]
                counts[person, keypoint] = scores[person, keypoint]
            else:
                known[person, keypoint, 0] += ways[person, 0]
                known[person, keypoint, 1] += ways[person, 1]
                counts[person, keypoint] *= fading[person]


def find_middles(
    points: cython.const[cython.double][:, :, :],
    seen: cython.const[cython.uchar][:, :],
    middles: cython.double[:, :],
    room: cython.double[:, ::1],
) -> None:
    """Writes (N, 2) px: the medians of the keypoints that are seen, the means of all where none is."""
    person: cython.Py_ssize_t
    axis: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    for person in range(points.shape[0]):
        for axis in range(2):
            count: cython.Py_ssize_t = 0
            total: cython.double = 0.0
            for keypoint in range(_KEYPOINTS):
                total += points[person, keypoint, axis]
                if seen[person, keypoint]:
                    count = _insert(room, count, points[person, keypoint, axis], 1.0)
            if count:
                middles[person, axis] = (room[0, (count - 1) // 2] + room[0, count // 2]) / 2
            else:
                middles[person, axis] = total / _KEYPOINTS


def steady(
    points: cython.double[:, :, :],
    scores: cython.double[:, :],
    visible: cython.uchar[:, :],
    raw: cython.double[:, :, :],
    velocity: cython.double[:, :, :],
    seen_at: cython.double[:, :],
    decoded: cython.const[cython.double][:, :, :],
    decoded_scores: cython.const[cython.double][:, :],
    seen: cython.const[cython.uchar][:, :],
    sizes: cython.const[cython.double][:],
    moved: cython.const[cython.double][:, :],
    time_s: cython.double,
    smoothing: cython.bint,
    hz: cython.double,
    hz_by_speed: cython.double,
    hold_s: cython.double,
) -> None:
    """The next frame for the filters of people who are seen; see `posed.people.smooth`.

    Args:
        points: and the next five: the fields of `posed.people.smooth.FILTERS`.
        scores: as above.
        visible: as above.
        raw: as above.
        velocity: as above.
        seen_at: as above.
        decoded: the points of this frame.
        decoded_scores: theirs.
        seen: which of them are.
        sizes: (N,) px.
        moved: (N, 2) px by which the bodies moved.
        time_s: of the frame.
        smoothing: whether points are smoothed at all.
        hz: cut-off of a keypoint that keeps still.
        hz_by_speed: what is added to it for each height per second.
        hold_s: how long a keypoint that is not seen stays visible.
    """
    person: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    for person in range(decoded.shape[0]):
        for keypoint in range(_KEYPOINTS):
            if not seen[person, keypoint]:
                _hold(points, scores, visible, seen_at, person, keypoint, moved, time_s, hold_s)
                velocity[person, keypoint, 0] = velocity[person, keypoint, 1] = 0.0
                continue
            y: cython.double = decoded[person, keypoint, 0]
            x: cython.double = decoded[person, keypoint, 1]
            if visible[person, keypoint]:
                elapsed_s: cython.double = time_s - seen_at[person, keypoint]
                dy: cython.double = 0.0
                dx: cython.double = 0.0
                if elapsed_s > 0:
                    dy = (y - raw[person, keypoint, 0]) / elapsed_s
                    dx = (x - raw[person, keypoint, 1]) / elapsed_s
                share: cython.double = _share(_SPEED_HZ, elapsed_s)
                velocity[person, keypoint, 0] += share * (dy - velocity[person, keypoint, 0])
                velocity[person, keypoint, 1] += share * (dx - velocity[person, keypoint, 1])
                speed: cython.double = (
                    hypot(velocity[person, keypoint, 0], velocity[person, keypoint, 1]) / sizes[person]
                )
                share = _share(hz + hz_by_speed * max(speed - _STILL, 0.0), elapsed_s)
                if smoothing:
                    y = points[person, keypoint, 0] + share * (y - points[person, keypoint, 0])
                    x = points[person, keypoint, 1] + share * (x - points[person, keypoint, 1])
            else:
                velocity[person, keypoint, 0] = velocity[person, keypoint, 1] = 0.0
            points[person, keypoint, 0] = y
            points[person, keypoint, 1] = x
            raw[person, keypoint, 0] = decoded[person, keypoint, 0]
            raw[person, keypoint, 1] = decoded[person, keypoint, 1]
            scores[person, keypoint] = decoded_scores[person, keypoint]
            visible[person, keypoint] = 1
            seen_at[person, keypoint] = time_s


def hold(
    points: cython.double[:, :, :],
    scores: cython.double[:, :],
    visible: cython.uchar[:, :],
    seen_at: cython.double[:, :],
    moved: cython.const[cython.double][:, :],
    time_s: cython.double,
    hold_s: cython.double,
) -> None:
    """The next frame for the filters of people of whom nothing is seen; arguments as of `steady`."""
    person: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    for person in range(points.shape[0]):
        for keypoint in range(_KEYPOINTS):
            _hold(points, scores, visible, seen_at, person, keypoint, moved, time_s, hold_s)


@cython.cfunc
@cython.exceptval(check=False)
def _hold(
    points: cython.double[:, :, :],
    scores: cython.double[:, :],
    visible: cython.uchar[:, :],
    seen_at: cython.double[:, :],
    person: cython.Py_ssize_t,
    keypoint: cython.Py_ssize_t,
    moved: cython.const[cython.double][:, :],
    time_s: cython.double,
    hold_s: cython.double,
) -> cython.void:
    """A keypoint that is not seen goes with the body for a while, and is not visible then."""
    points[person, keypoint, 0] += moved[person, 0]
    points[person, keypoint, 1] += moved[person, 1]
    if not time_s - seen_at[person, keypoint] <= hold_s:
        visible[person, keypoint] = 0
    if not visible[person, keypoint]:
        scores[person, keypoint] = 0.0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _share(cutoff_hz: cython.double, elapsed_s: cython.double) -> cython.double:
    """How far a low-pass filter goes towards a new value after some time."""
    turning: cython.double = _TURN * cutoff_hz * elapsed_s
    return turning / (turning + 1)
