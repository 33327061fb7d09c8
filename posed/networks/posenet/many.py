# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Many people: greedy decoding from the strongest keypoints along the edges of the body.

Source: PersonLab (Papandreou et al. 2018, arXiv:1803.08225), section 3.1, with the keypoint-level soft
non-maximum suppression of Google's own decoder, and its order among equal roots (libcoral's
posenet_decoder.cc since 6589d0b of July 2021; before, it read the first backward edge, left eye to nose, from
two channels that belong to other edges).

This file runs as it is, and Cython compiles it as it is (pure-Python mode, see setup.py); COMPILED says
which of the two is running. The heads stay as the network gave them: only the cells that are read become
real numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from posed.model.outputs import OutputTensor
from posed.networks.posenet.heads import Heads
from posed.networks.posenet.logits import EDGE, LIMIT, logit_of
from posed.pose import EDGES, KEYPOINT_COUNT, Pose

try:
    import cython
except ImportError:
    from posed import uncompiled as cython

if cython.compiled:
    from cython.cimports.libc.math import exp, log
else:
    from math import exp, log

COMPILED: Final[bool] = cython.compiled
"""Whether this is the compiled decoder, not the plain Python file."""

REFINEMENTS: Final = 5
"""Steps by the short offset after each step by the mid offset."""

_ATTEMPTS = cython.declare(cython.Py_ssize_t, 500)
"""Roots followed at most: bounds the time that noise may take; pictures of people need a tenth of it."""

_BLOCK: Final = 64
"""Cells that are looked at together: most blocks have nobody, and are passed over at once."""

# What the loops without the GIL read is declared to C.
_KEYPOINTS = cython.declare(cython.Py_ssize_t, KEYPOINT_COUNT)
_STEPS = cython.declare(cython.Py_ssize_t, len(EDGES))
_REFINEMENTS = cython.declare(cython.Py_ssize_t, REFINEMENTS)
_LIMIT = cython.declare(cython.double, LIMIT)
_EDGE = cython.declare(cython.double, EDGE)
_LARGEST = cython.declare(cython.double, 3.5e38)
"""No float32 is greater, but for an infinite one."""

_FAR = cython.declare(cython.double, 1e9)
"""What an infinite offset counts as, px: it ends at the border like any other that is too long."""

Cell = cython.fused_type(cython.uchar, cython.schar, cython.float)
"""One number of a head."""


def _walks() -> NDArray[np.intc]:
    """For each root the 16 steps along the edges that lead from it to every other keypoint.

    Steps of one level, as many edges away from the root, do not depend on each other. The edges are a tree,
    so only one way leads to each keypoint.

    Returns:
        (17, 16, 5), by level: from which keypoint, to which, channels of dy and dx of the mid offsets, and
        which step is the first of the next level.
    """
    count = len(EDGES)
    neighbours: list[list[tuple[int, int, int, int]]] = [[] for _ in range(KEYPOINT_COUNT)]
    for edge, (parent, child) in enumerate(EDGES):
        neighbours[parent].append((parent, child, edge, count + edge))
        neighbours[child].append((child, parent, 2 * count + edge, 3 * count + edge))
    walks = np.empty((KEYPOINT_COUNT, count, 5), np.intc)
    for root in range(KEYPOINT_COUNT):
        reached, level, first = {root}, [root], 0
        while level:
            steps = [step for source in level for step in neighbours[source] if step[1] not in reached]
            walks[root, first : first + len(steps), :4] = steps or np.empty((0, 4))
            walks[root, first : first + len(steps), 4] = first + len(steps)
            first += len(steps)
            level = [step[1] for step in steps]
            reached.update(level)
    return walks


def _view(array: NDArray[Any]) -> Any:
    """What reads fastest: compiled the array; else its memory, whose elements come as Python numbers."""
    return array if cython.compiled else array.data


_WALKS = cython.declare(cython.int[:, :, ::1], _view(_walks()))


def decode_many(heads: Heads, max_people: int, score_threshold: float, nms_radius_px: float) -> list[Pose]:
    """Every person in the heads.

    Args:
        heads: as the network gave them.
        max_people: the most poses to find.
        score_threshold: least score of a root keypoint, of a pose as decoded, and of a pose after the
            keypoints that a better pose covers are taken out; 0-1.
        nms_radius_px: keypoints of one kind nearer than this are the same, px of the model input.

    Returns:
        At most max_people poses, best first, points in px of the model input and within it.
    """
    heatmaps, short, mid = _of_one_type(heads)
    cells = heatmaps.data.ravel()
    kind = cells.dtype.char
    logits = _Field(heatmaps, 1.0, heads.sigmoid)
    least, ceiling = _bounds(logits, kind, score_threshold)
    if least > ceiling:
        return []
    points = np.empty((max_people, KEYPOINT_COUNT, 2))
    scores = np.empty((max_people, KEYPOINT_COUNT))
    totals = np.empty((2, max_people))
    count = _DECODERS[kind](
        logits,
        _view(cells),
        _Field(short, 1.0 / heads.stride),
        _view(short.data.ravel()),
        _Field(mid, 1.0 / heads.stride),
        _view(mid.data.ravel()),
        _view(np.empty(cells.size + max_people, np.intc)),
        _view(np.empty(_BLOCK, np.uint8)),
        _view(np.empty((5, KEYPOINT_COUNT, max_people))),
        least,
        ceiling,
        score_threshold,
        nms_radius_px / heads.stride,
        heads.stride,
        _view(points),
        _view(scores),
        _view(totals),
    )
    return list(map(Pose, points[:count], scores[:count], totals[0, :count].tolist()))


def _of_one_type(heads: Heads) -> tuple[OutputTensor, OutputTensor, OutputTensor]:
    """The three heads, all as real numbers where their types differ."""
    heatmaps, short, mid = heads.heatmaps, heads.short_offsets, heads.mid_offsets
    if heatmaps.data.dtype == short.data.dtype == mid.data.dtype:
        return heatmaps, short, mid
    return OutputTensor(heatmaps.values()), OutputTensor(short.values()), OutputTensor(mid.values())


def _bounds(heatmaps: _Field, kind: str, score_threshold: float) -> tuple[float, float]:
    """The least cell of a root, and the cell above which all are equal since their logits are."""
    if kind == "f":
        real = (score_threshold, 1.0 - EDGE) if heatmaps.sigmoid else (logit_of(score_threshold), LIMIT)
        return float(np.float32(real[0])), float(np.float32(real[1]))
    last = 255 if kind == "B" else 127
    return (
        _first_step(heatmaps, last, logit_of(score_threshold)),
        _first_step(heatmaps, last, _logit(heatmaps, last)),
    )


@cython.cfunc
@cython.exceptval(check=False)
def _first_step(heatmaps: _Field, last: cython.int, logit: cython.double) -> cython.int:
    """The lowest of the 256 steps up to the last one whose logit is at least this; last + 1 if none is."""
    low: cython.int = last - 255
    high: cython.int = last
    while low <= high:
        middle: cython.int = (low + high) // 2
        if _logit(heatmaps, middle) >= logit:
            high = middle - 1
        else:
            low = middle + 1
    return low


@cython.cclass
class _Field:
    """How a head's flat cells are laid out and what they mean.

    Args:
        head: the head.
        unit: what a real value is multiplied by.
        sigmoid: whether the values are scores, not logits; for heatmaps.
    """

    height: cython.Py_ssize_t
    width: cython.Py_ssize_t
    channels: cython.Py_ssize_t
    row: cython.Py_ssize_t
    bottom: cython.double
    edge: cython.double
    scale: cython.double
    zero_point: cython.double
    sigmoid: cython.bint

    def __init__(self, head: OutputTensor, unit: float, sigmoid: bool = False) -> None:
        self.height, self.width, self.channels = head.data.shape
        self.row = self.width * self.channels
        self.bottom = self.height - 1
        self.edge = self.width - 1
        self.scale = head.scale * unit
        self.zero_point = head.zero_point
        self.sigmoid = sigmoid


def _decode(
    heatmaps: _Field,
    heat_cells: cython.const[Cell][::1],
    short: _Field,
    short_cells: cython.const[Cell][::1],
    mid: _Field,
    mid_cells: cython.const[Cell][::1],
    roots: cython.int[::1],
    marks: cython.uchar[::1],
    found: cython.double[:, :, ::1],
    least: Cell,
    ceiling: Cell,
    threshold: cython.double,
    radius: cython.double,
    stride: cython.double,
    points: cython.double[:, :, ::1],
    scores: cython.double[:, ::1],
    totals: cython.double[:, ::1],
) -> int:
    """Finds the poses; nothing here needs Python.

    Args:
        heatmaps: and the other fields: of the cells that follow each.
        heat_cells: logits, or scores where the field says so.
        short: in cells.
        short_cells: short offsets.
        mid: in cells.
        mid_cells: mid offsets.
        roots: room for one number per cell of the heatmaps and one per pose.
        marks: room for the cells that are looked at together.
        found: room for (5, 17, people): of each pose as found y, x in cells and scores; ranked y, x.
        least: a root's cell is no less than this.
        ceiling: a cell that is greater counts as equal to this.
        threshold: least score of a pose.
        radius: a root that is not farther from a keypoint found before is left out; cells.
        stride: px of the model input from cell to cell.
        points: receives (people, 17, 2), y first, px of the model input.
        scores: receives (people, 17), 0-1.
        totals: receives the poses' scores, (2, people): its second row is only used meanwhile.

    Returns:
        How many poses there are, best first; at most there is room for.
    """
    root: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    cell: cython.Py_ssize_t
    y: cython.double
    x: cython.double
    poses: cython.Py_ssize_t = 0
    attempts: cython.Py_ssize_t = _ATTEMPTS
    with cython.nogil:
        count: cython.Py_ssize_t = _find_roots(heatmaps, heat_cells, roots, marks, least, ceiling)
        for cell in range(count):
            _rise(heat_cells, roots, cell, ceiling)
        while count > 0 and attempts > 0 and poses < scores.shape[0]:
            root = _take_best(heat_cells, roots, count, ceiling)
            count -= 1
            keypoint = root % _KEYPOINTS
            cell = root // _KEYPOINTS
            y, x = _step(
                short, short_cells, cell // short.width, cell % short.width, keypoint, _KEYPOINTS + keypoint
            )
            if _is_near(found, 0, poses, keypoint, y, x, radius * radius):
                continue
            attempts -= 1
            found[0, keypoint, poses] = y
            found[1, keypoint, poses] = x
            _follow(short, short_cells, mid, mid_cells, keypoint, found, poses)
            totals[0, poses] = _score(heatmaps, heat_cells, found, poses)
            if totals[0, poses] >= threshold:
                poses += 1
        order: cython.int[::1] = roots[heat_cells.shape[0] :]
        _share(found, totals, order, poses, radius * radius)
    return _hand_over(found, totals, order, poses, threshold, stride, points, scores)


_for_any: Any = _decode
_DECODERS: Final[dict[str, Any]] = {
    letter: _for_any[cell] if cython.compiled else _for_any
    for letter, cell in {"B": "unsigned char", "b": "signed char", "f": "float"}.items()
}
"""By the type of the cells, as numpy names it: chosen so, it need not be found out at each call."""


def _local_maxima(
    heatmaps: _Field, cells: Sequence[float], least: float, ceiling: float
) -> NDArray[np.signedinteger[Any]]:
    """What `_find_roots` finds, in the order of the cells; uncompiled numpy is faster than loops."""
    values = np.minimum(np.nan_to_num(np.asarray(cells), nan=-np.inf), ceiling)
    height, width = heatmaps.height, heatmaps.width
    values = values.reshape(height, width, heatmaps.channels)
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = np.maximum(np.maximum(padded[:height], padded[1 : height + 1]), padded[2:])
    largest = np.maximum(np.maximum(rows[:, :width], rows[:, 1 : width + 1]), rows[:, 2:])
    return np.flatnonzero((values >= least) & (values >= largest))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find_roots(
    heatmaps: _Field,
    cells: cython.const[Cell][::1],
    roots: cython.int[::1],
    marks: cython.uchar[::1],
    least: Cell,
    ceiling: Cell,
) -> cython.Py_ssize_t:
    """Writes the local maxima from `least` on in the order of the cells; returns how many there are."""
    if not cython.compiled:
        found = _local_maxima(heatmaps, cells, least, ceiling)
        np.asarray(roots)[: len(found)] = found
        return len(found)
    row: cython.Py_ssize_t
    at: cython.Py_ssize_t
    count: cython.Py_ssize_t = 0
    one: cython.Py_ssize_t = _KEYPOINTS
    wide: cython.Py_ssize_t = heatmaps.width * one
    last: cython.Py_ssize_t = max(wide - one, one)
    for row in range(heatmaps.height):
        # Where there is no neighbour the cell is its own, which changes nothing.
        above: cython.Py_ssize_t = -wide if row > 0 else 0
        below: cython.Py_ssize_t = wide if row + 1 < heatmaps.height else 0
        beside: cython.Py_ssize_t = one if wide > one else 0
        at = row * wide
        count = _find_in_run(
            cells, at, at + one, above, below, 0, beside, least, ceiling, marks, roots, count
        )
        count = _find_in_run(
            cells, at + one, at + last, above, below, -one, one, least, ceiling, marks, roots, count
        )
        count = _find_in_run(
            cells, at + last, at + wide, above, below, -one, 0, least, ceiling, marks, roots, count
        )
    return count


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find_in_run(
    cells: cython.const[Cell][::1],
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    above: cython.Py_ssize_t,
    below: cython.Py_ssize_t,
    left: cython.Py_ssize_t,
    right: cython.Py_ssize_t,
    least: Cell,
    ceiling: Cell,
    marks: cython.uchar[::1],
    roots: cython.int[::1],
    count: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Adds the local maxima among cells that follow each other and have neighbours on the same sides.

    Both inner loops are without a branch, so that 16 cells are compared at once.
    """
    at: cython.Py_ssize_t
    while start < stop:
        end: cython.Py_ssize_t = min(start + marks.shape[0], stop)
        if _has_strong(cells, start, end, least):
            _mark_peaks(cells, start, end, above, below, left, right, least, ceiling, marks)
            for at in range(start, end):
                roots[count] = at  # stays if it is marked, without a branch
                count += marks[at - start]
        start = end
    return count


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _has_strong(
    cells: cython.const[Cell][::1], start: cython.Py_ssize_t, end: cython.Py_ssize_t, least: Cell
) -> cython.bint:
    """Whether one of the cells may be a root."""
    at: cython.Py_ssize_t
    strong: cython.uchar = 0
    for at in range(start, end):
        strong |= cells[at] >= least
    return strong


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _mark_peaks(
    cells: cython.const[Cell][::1],
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    above: cython.Py_ssize_t,
    below: cython.Py_ssize_t,
    left: cython.Py_ssize_t,
    right: cython.Py_ssize_t,
    least: Cell,
    ceiling: Cell,
    marks: cython.uchar[::1],
) -> cython.void:
    """Marks the cells that are strong and than which none of the eight neighbours is stronger."""
    at: cython.Py_ssize_t
    for at in range(start, end):
        value: Cell = cells[at]
        bound: Cell = value
        bound = cells[at + above + left] if cells[at + above + left] > bound else bound
        bound = cells[at + above] if cells[at + above] > bound else bound
        bound = cells[at + above + right] if cells[at + above + right] > bound else bound
        bound = cells[at + left] if cells[at + left] > bound else bound
        bound = cells[at + right] if cells[at + right] > bound else bound
        bound = cells[at + below + left] if cells[at + below + left] > bound else bound
        bound = cells[at + below] if cells[at + below] > bound else bound
        bound = cells[at + below + right] if cells[at + below + right] > bound else bound
        bound = ceiling if bound > ceiling else bound
        bound = least if bound < least else bound
        marks[at - start] = value >= bound


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_best(
    cells: cython.const[Cell][::1], roots: cython.int[::1], count: cython.Py_ssize_t, ceiling: Cell
) -> cython.Py_ssize_t:
    """The best of the roots, which are a heap and lose it.

    Of equal roots it is the one that `std::priority_queue` takes in Google's decoder: the gap goes down to
    the bottom, and the last root rises from there.
    """
    best: cython.Py_ssize_t = roots[0]
    last: cython.int = roots[count - 1]
    gap: cython.Py_ssize_t = 0
    child: cython.Py_ssize_t = 2
    count -= 1
    while child < count:
        if _is_stronger(cells, roots[child - 1], roots[child], ceiling):
            child -= 1
        roots[gap] = roots[child]
        gap = child
        child = 2 * gap + 2
    if child == count:  # a left child without a right one
        roots[gap] = roots[child - 1]
        gap = child - 1
    roots[gap] = last
    _rise(cells, roots, gap, ceiling)
    return best


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _rise(
    cells: cython.const[Cell][::1], roots: cython.int[::1], at: cython.Py_ssize_t, ceiling: Cell
) -> cython.void:
    """Moves a root up to its place in the heap of those before it."""
    root: cython.int = roots[at]
    while at > 0:
        parent: cython.Py_ssize_t = (at - 1) // 2
        if not _is_stronger(cells, root, roots[parent], ceiling):
            break
        roots[at] = roots[parent]
        at = parent
    roots[at] = root


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_stronger(
    cells: cython.const[Cell][::1], root: cython.Py_ssize_t, other: cython.Py_ssize_t, ceiling: Cell
) -> cython.bint:
    """Whether one root scores higher than another."""
    return cells[root] > cells[other] and cells[other] < ceiling


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_near(
    found: cython.double[:, :, ::1],
    plane: cython.Py_ssize_t,
    count: cython.Py_ssize_t,
    keypoint: cython.Py_ssize_t,
    y: cython.double,
    x: cython.double,
    squared_radius: cython.double,
) -> cython.bint:
    """Whether one of the first poses of this plane and the next has this keypoint here."""
    pose: cython.Py_ssize_t
    near: cython.Py_ssize_t = 0
    for pose in range(count):
        dy: cython.double = found[plane, keypoint, pose] - y
        dx: cython.double = found[plane + 1, keypoint, pose] - x
        near |= dy * dy + dx * dx <= squared_radius
        if not cython.compiled and near:  # compiled it is faster to go on, two at once
            break
    return near != 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _follow(
    short: _Field,
    short_cells: cython.const[Cell][::1],
    mid: _Field,
    mid_cells: cython.const[Cell][::1],
    root: cython.Py_ssize_t,
    found: cython.double[:, :, ::1],
    pose: cython.Py_ssize_t,
) -> cython.void:
    """Every other keypoint of a pose from its root's place, along the edges, both ways.

    Level by level: the steps of one do not wait for each other, so the processor takes several at once.
    """
    step: cython.Py_ssize_t
    _: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    y: cython.double
    x: cython.double
    first: cython.Py_ssize_t = 0
    while first < _STEPS:
        stop: cython.Py_ssize_t = _WALKS[root, first, 4]
        for step in range(first, stop):
            keypoint = _WALKS[root, step, 0]
            y, x = found[0, keypoint, pose], found[1, keypoint, pose]
            y, x = _step(mid, mid_cells, y, x, _WALKS[root, step, 2], _WALKS[root, step, 3])
            keypoint = _WALKS[root, step, 1]
            found[0, keypoint, pose] = y
            found[1, keypoint, pose] = x
        for _ in range(_REFINEMENTS):
            for step in range(first, stop):
                keypoint = _WALKS[root, step, 1]
                y, x = found[0, keypoint, pose], found[1, keypoint, pose]
                y, x = _step(short, short_cells, y, x, keypoint, _KEYPOINTS + keypoint)
                found[0, keypoint, pose] = y
                found[1, keypoint, pose] = x
        first = stop


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _step(
    offsets: _Field,
    cells: cython.const[Cell][::1],
    y: cython.double,
    x: cython.double,
    dy_channel: cython.Py_ssize_t,
    dx_channel: cython.Py_ssize_t,
) -> tuple[cython.double, cython.double]:
    """One step by the offset found here, kept inside the grid."""
    top: cython.Py_ssize_t = int(y)
    left: cython.Py_ssize_t = int(x)
    at: cython.Py_ssize_t = top * offsets.row + left * offsets.channels
    below: cython.Py_ssize_t = offsets.row if top + 1 < offsets.height else 0
    beside: cython.Py_ssize_t = offsets.channels if left + 1 < offsets.width else 0
    dy: cython.double = _between(cells, at + dy_channel, below, beside, y - top, x - left)
    dx: cython.double = _between(cells, at + dx_channel, below, beside, y - top, x - left)
    y += (dy - offsets.zero_point) * offsets.scale
    x += (dx - offsets.zero_point) * offsets.scale
    return min(max(y, 0.0), offsets.bottom), min(max(x, 0.0), offsets.edge)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _between(
    cells: cython.const[Cell][::1],
    at: cython.Py_ssize_t,
    below: cython.Py_ssize_t,
    beside: cython.Py_ssize_t,
    down: cython.double,
    right: cython.double,
) -> cython.double:
    """The bilinear sample between four cells; what is no number counts as nothing."""
    upper: cython.double = cells[at] * (1.0 - right) + cells[at + beside] * right
    lower: cython.double = cells[at + below] * (1.0 - right) + cells[at + below + beside] * right
    value: cython.double = upper * (1.0 - down) + lower * down
    if (cython.compiled and Cell is not cython.float) or -_LARGEST <= value <= _LARGEST:
        return value
    upper = _finite(cells[at]) * (1.0 - right) + _finite(cells[at + beside]) * right
    lower = _finite(cells[at + below]) * (1.0 - right) + _finite(cells[at + below + beside]) * right
    return upper * (1.0 - down) + lower * down


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _finite(offset: cython.double) -> cython.double:
    if offset > _LARGEST:
        return _FAR
    if offset < -_LARGEST:
        return -_FAR
    return offset if offset == offset else 0.0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _score(
    heatmaps: _Field,
    cells: cython.const[Cell][::1],
    found: cython.double[:, :, ::1],
    pose: cython.Py_ssize_t,
) -> cython.double:
    """Writes the scores of a pose's keypoints; returns their mean."""
    keypoint: cython.Py_ssize_t
    total: cython.double = 0.0
    for keypoint in range(_KEYPOINTS):
        y: cython.double = found[0, keypoint, pose]
        x: cython.double = found[1, keypoint, pose]
        top: cython.Py_ssize_t = int(y)
        left: cython.Py_ssize_t = int(x)
        at: cython.Py_ssize_t = top * heatmaps.row + left * heatmaps.channels + keypoint
        below: cython.Py_ssize_t = heatmaps.row if top + 1 < heatmaps.height else 0
        beside: cython.Py_ssize_t = heatmaps.channels if left + 1 < heatmaps.width else 0
        down: cython.double = y - top
        right: cython.double = x - left
        upper: cython.double = (
            _logit(heatmaps, cells[at]) * (1.0 - right) + _logit(heatmaps, cells[at + beside]) * right
        )
        lower: cython.double = (
            _logit(heatmaps, cells[at + below]) * (1.0 - right)
            + _logit(heatmaps, cells[at + below + beside]) * right
        )
        found[2, keypoint, pose] = 1.0 / (1.0 + exp(-(upper * (1.0 - down) + lower * down)))
        total += found[2, keypoint, pose]
    return total / _KEYPOINTS


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _logit(heatmaps: _Field, cell: cython.double) -> cython.double:
    """The logit that a cell means; finite, what is no number counts as nothing."""
    value: cython.double = (cell - heatmaps.zero_point) * heatmaps.scale
    if heatmaps.sigmoid:
        if value != value:
            value = 0.0
        value = min(max(value, _EDGE), 1.0 - _EDGE)
        return log(value / (1.0 - value))
    if value != value:
        return -_LIMIT
    return min(max(value, -_LIMIT), _LIMIT)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _share(
    found: cython.double[:, :, ::1],
    totals: cython.double[:, ::1],
    order: cython.int[::1],
    count: cython.Py_ssize_t,
    squared_radius: cython.double,
) -> cython.void:
    """Writes poses' scores without the keypoints that a better pose has within the radius; ranks them so."""
    pose: cython.Py_ssize_t
    rank: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    for pose in range(count):
        order[pose] = pose
    _rank(totals, 0, order, count)
    for rank in range(count):
        pose = order[rank]
        totals[1, pose] = 0.0
        for keypoint in range(_KEYPOINTS):
            y: cython.double = found[0, keypoint, pose]
            x: cython.double = found[1, keypoint, pose]
            if not _is_near(found, 3, rank, keypoint, y, x, squared_radius):
                totals[1, pose] += found[2, keypoint, pose]
            found[3, keypoint, rank] = y
            found[4, keypoint, rank] = x
        totals[1, pose] /= _KEYPOINTS
    _rank(totals, 1, order, count)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _rank(
    totals: cython.double[:, ::1], row: cython.Py_ssize_t, order: cython.int[::1], count: cython.Py_ssize_t
) -> cython.void:
    """Sorts poses by their totals, the greatest first; equal ones keep their order."""
    end: cython.Py_ssize_t
    for end in range(1, count):
        pose: cython.int = order[end]
        at: cython.Py_ssize_t = end
        while at > 0 and totals[row, order[at - 1]] < totals[row, pose]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = pose


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _hand_over(
    found: cython.double[:, :, ::1],
    totals: cython.double[:, ::1],
    order: cython.int[::1],
    count: cython.Py_ssize_t,
    threshold: cython.double,
    stride: cython.double,
    points: cython.double[:, :, ::1],
    scores: cython.double[:, ::1],
) -> cython.Py_ssize_t:
    """Writes the poses in their order, as far as they reach the threshold; returns how many do."""
    rank: cython.Py_ssize_t
    keypoint: cython.Py_ssize_t
    for rank in range(count):
        pose: cython.Py_ssize_t = order[rank]
        if totals[1, pose] < threshold:
            return rank
        totals[0, rank] = totals[1, pose]
        for keypoint in range(_KEYPOINTS):
            points[rank, keypoint, 0] = found[0, keypoint, pose] * stride
            points[rank, keypoint, 1] = found[1, keypoint, pose] * stride
            scores[rank, keypoint] = found[2, keypoint, pose]
    return count
