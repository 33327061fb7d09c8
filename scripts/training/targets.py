"""What the heads should say of a picture, and pictures changed a little so that no two are the same."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.frame import PADDING, Image
from posed.model.architecture import grid_of
from posed.pose import EDGES, KEYPOINT_COUNT, LEFT_HIP, LEFT_SHOULDER, MIRRORED, RIGHT_HIP, RIGHT_SHOULDER
from scripts.training.pool import SHOWN, Sample

HEAT_RADIUS_CELLS: Final = 1.0
"""Radius of the discs in the heatmaps, in cells: a bilinear sample at a keypoint hardly weighs those farther
away. Larger discs would be the same for left and right of all but large people."""

OFFSET_RADIUS_CELLS: Final = 1.6
"""Radius of the discs in which offsets are learned, in cells: a bilinear sample at a keypoint reads cells up
to 1.41 away, and a decoder comes to it over a mid offset that is a little wrong."""

_LEAST_PERSON_PX: Final = 16.0
"""People smaller than this count as this large when the errors of their offsets are weighed."""

_AT_SOMEBODY: Final = 0.75
"""Share of the pictures that are cut around somebody."""

_LYING_MORE: Final = 4.0
"""How much more often than somebody upright somebody who lies is chosen for that."""

_ANYHOW: Final = 0.03
_ON_ITS_SIDE: Final = 0.1
"""Shares of the pictures that are turned by any angle, and by about a right one."""

_PERSON_SHARES: Final = (0.45, 1.2)
"""Size of that person over the shorter side of the result, smallest and largest: mostly somebody is there
from head to foot, since the face says which of the feet is the left one."""

_SCALES: Final = (0.45, 1.6)
"""Least and most that a picture is scaled for it: less aliases, and more is a blur."""

_PARENTS: Final = np.array([parent for parent, _ in EDGES])
_CHILDREN: Final = np.array([child for _, child in EDGES])
_SOURCES: Final = np.concatenate([_PARENTS, _CHILDREN])
_ENDS: Final = np.concatenate([_CHILDREN, _PARENTS])


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What the heads should say; channels first, as torch has it, all float32.

    Args:
        heat: (17, rows, columns): 1 in the discs around keypoints, else 0.
        heat_weight: the same shape: 0 where nobody knows.
        short: (34, rows, columns) px: dy of all keypoints, then dx, from the cell to the keypoint.
        short_weight: (17, rows, columns): 1 over the person's size in px inside the discs, else 0.
        mid: (64, rows, columns) px: fwd dy, fwd dx, bwd dy, bwd dx, from the cell at one end of an edge to
            the keypoint at the other.
        mid_weight: (32, rows, columns): as `short_weight`; forwards, then backwards.
        facing: (3, rows, columns): way (dy, dx) from the right to the left side of the body of whoever is
            there, in parts of the person's size; how much the front shows, 0-1. Helps to learn the rest.
        facing_weight: (1, rows, columns): 1 where somebody is, else 0.
    """

    heat: NDArray[np.float32]
    heat_weight: NDArray[np.float32]
    short: NDArray[np.float32]
    short_weight: NDArray[np.float32]
    mid: NDArray[np.float32]
    mid_weight: NDArray[np.float32]
    facing: NDArray[np.float32]
    facing_weight: NDArray[np.float32]

    def arrays(self) -> tuple[NDArray[np.float32], ...]:
        """All of them, in the order above."""
        return tuple(getattr(self, field.name) for field in fields(self))


def targets_of(sample: Sample, stride: int) -> Targets:
    """What the heads should say of a picture at an output stride, px.

    Source: PersonLab, arXiv:1803.08225, section 3.1; but each error counts in parts of the person's size.
    """
    rows, columns = grid_of((sample.image.shape[1], sample.image.shape[0]), stride)
    cells = np.moveaxis(np.indices((rows, columns)), 0, -1).reshape(-1, 2).astype(np.float32) * stride
    heat_radius, offset_radius = HEAT_RADIUS_CELLS * stride, OFFSET_RADIUS_CELLS * stride
    unknown = _in_boxes(cells, sample.ignored)
    if not len(sample.points):
        return _nobody(rows, columns, unknown)
    steps = sample.points[:, :, None] - cells  # people, keypoints, cells, (y, x)
    distances = np.hypot(steps[..., 0], steps[..., 1])
    distances[sample.states == 0] = np.inf
    shown = (sample.states == SHOWN)[..., None]
    heat = ((distances <= heat_radius) & shown).any(axis=0)
    hidden = ((distances <= heat_radius) & ~shown).any(axis=0)
    # Offsets lead to hidden keypoints too, where they are known: the way to those behind goes through them.
    nearest = distances.argmin(axis=0)  # keypoints, cells: which person
    inside = distances.min(axis=0) <= offset_radius

    keypoints = np.arange(KEYPOINT_COUNT)[:, None]
    cell = np.arange(len(cells))
    weights = 1 / _sizes_px(sample)
    owner = nearest[_SOURCES]
    known = inside[_SOURCES] & (sample.states[owner, _ENDS[:, None]] > 0)
    short = np.where(inside[..., None], steps[nearest, keypoints, cell], 0)
    mid = np.where(known[..., None], steps[owner, _ENDS[:, None], cell], 0)
    halves = mid.reshape(2, len(EDGES), len(cells), 2)
    return _shaped(
        rows,
        columns,
        heat,
        heat | ~(hidden | unknown),
        np.moveaxis(short, -1, 0),
        inside * weights[nearest],
        np.moveaxis(halves, -1, 1),
        known * weights[owner],
        *_facing(sample, steps, heat_radius),
    )


def _facing(
    sample: Sample, steps: NDArray[np.float32], radius: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(3, cells) and (cells,) of `Targets`; `steps` lead from cells to keypoints, as in `targets_of`."""
    distances = np.hypot(steps[..., 0], steps[..., 1])
    distances[sample.states != SHOWN] = np.inf
    torso = (sample.states[:, _LEFT + _RIGHT] > 0).all(axis=1)
    distances[~torso] = np.inf
    there = distances.min(axis=(0, 1)) <= radius
    who = distances.min(axis=1).argmin(axis=0)
    left, right = sample.points[:, _LEFT], sample.points[:, _RIGHT]
    sizes = _sizes_px(sample)[:, None]
    across = (left - right).mean(axis=1) / sizes
    down = (left + right)[:, 1] / 2 - (left + right)[:, 0] / 2
    down /= np.maximum(np.linalg.norm(down, axis=1, keepdims=True), 1e-3)
    # Seen from the front the left is to the right of somebody who stands, whichever way up the picture is.
    front = across[:, 1] * down[:, 0] - across[:, 0] * down[:, 1]
    front = np.clip(0.5 + front / (2 * _BROAD), 0, 1)
    values = np.column_stack([across, front])[who] * there[:, None]
    return values.T, there


_LEFT: Final = [LEFT_SHOULDER, LEFT_HIP]
_RIGHT: Final = [RIGHT_SHOULDER, RIGHT_HIP]

_SIDES: Final = tuple(zip(_LEFT, _RIGHT, strict=True))
"""Left and right shoulder, then left and right hip."""

_BROAD: Final = 0.1
"""Width of the torso, in parts of the person's size, from which on somebody is seen from the front."""


def _nobody(rows: int, columns: int, unknown: NDArray[np.bool_]) -> Targets:
    count = rows * columns
    nothing = np.zeros((KEYPOINT_COUNT, count))
    edges = np.zeros((2 * len(EDGES), count))
    known = np.broadcast_to(~unknown, nothing.shape)
    facing = np.zeros((3, count))
    return _shaped(
        rows,
        columns,
        nothing,
        known,
        np.stack([nothing] * 2),
        nothing,
        np.stack([edges] * 2),
        edges,
        facing,
        facing[:1],
    )


def _shaped(rows: int, columns: int, *arrays: NDArray[np.generic]) -> Targets:
    return Targets(*(np.ascontiguousarray(a, np.float32).reshape(-1, rows, columns) for a in arrays))


def _in_boxes(cells: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(cells,): whether each is in any of the boxes."""
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    return np.asarray(((cells >= low) & (cells <= high)).all(axis=-1).any(axis=0))


def _sizes_px(sample: Sample) -> NDArray[np.float32]:
    """(people,): the longer side of the box around what shows of each, px."""
    known = (sample.states > 0)[..., None]
    low = np.where(known, sample.points, np.inf).min(axis=1)
    high = np.where(known, sample.points, -np.inf).max(axis=1)
    return np.asarray(np.maximum((high - low).max(axis=1), _LEAST_PERSON_PX), np.float32)


def varied(sample: Sample, size: tuple[int, int], rng: np.random.Generator) -> Sample:
    """The picture moved, turned, scaled, mirrored and in other colours; people follow.

    Args:
        sample: a picture of any size.
        size: (width, height) of the result, px.
        rng: decides everything.
    """
    centre, scale, room = _cut(sample, size, rng)
    matrix = cv2.getRotationMatrix2D((0, 0), _turn_deg(rng), scale)
    matrix[:, 2] = np.array(size) / 2 - matrix[:, :2] @ centre + room * rng.uniform(-1, 1, 2)
    if rng.random() < 0.5:
        border, mode = (PADDING,) * 3, cv2.BORDER_CONSTANT
    else:
        border, mode = (0,) * 3, cv2.BORDER_REPLICATE
    image = cv2.warpAffine(
        sample.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=mode, borderValue=border
    )
    moved = _moved(sample, matrix, size)
    if rng.random() < 0.5:
        image, moved = cv2.flip(image, 1), mirrored(moved)
    return replace(moved, image=_recoloured(np.asarray(image, np.uint8), rng))


def _turn_deg(rng: np.random.Generator) -> float:
    """Mostly about upright; now and then on its side, since whoever stands then lies; seldom anyhow."""
    dice = rng.random()
    if dice < _ANYHOW:
        return float(rng.uniform(-180, 180))
    side = rng.choice((-90.0, 90.0)) if dice < _ANYHOW + _ON_ITS_SIDE else 0.0
    return float(side + rng.normal(0, 9))


def _cut(
    sample: Sample, size: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """What to look at: mostly at somebody, of any size, since empty corners teach little.

    Returns:
        centre (x, y) px of the picture, scale, and how far the centre may be off, (x, y) px of the result.
    """
    height, width = sample.image.shape[:2]
    people = np.flatnonzero(sample.states.any(axis=1))
    if len(people) and rng.random() < _AT_SOMEBODY:
        chances = 1 + _LYING_MORE * lying(sample)[people]
        who = int(rng.choice(people, p=chances / chances.sum()))
        known = sample.points[who, sample.states[who] > 0].astype(np.float64)
        middle = (known.min(axis=0) + known.max(axis=0)) / 2
        wanted_px = min(size) * np.exp(rng.uniform(*np.log(_PERSON_SHARES)))
        scale = float(np.clip(wanted_px / _sizes_px(sample)[who], *_SCALES))
        return middle[::-1], scale, 0.2 * np.array(size)
    scale = max(size[0] / width, size[1] / height) * 2 ** rng.uniform(-0.45, 0.6)
    # What sticks out on each side may be moved into view, and a little more.
    room = np.abs(scale * np.array([width, height]) - size) / 2 + 0.08 * np.array(size)
    return np.array([width, height]) / 2, scale, room


def lying(sample: Sample) -> NDArray[np.bool_]:
    """(people,): whose torso is more across the picture than upright, as far as it is known."""
    known = (sample.states[:, _LEFT + _RIGHT] > 0).all(axis=1)
    shoulders, hips = ((sample.points[:, left] + sample.points[:, right]) / 2 for left, right in _SIDES)
    down = hips - shoulders
    return np.asarray(known & (down[:, 0] < np.abs(down[:, 1])))


def _moved(sample: Sample, matrix: NDArray[np.float64], size: tuple[int, int]) -> Sample:
    """Everybody after a change of the picture by a matrix of OpenCV's; the picture is still the old one."""
    xy = sample.points[..., ::-1] @ matrix[:, :2].T + matrix[:, 2]
    points = xy[..., ::-1].astype(np.float32)
    inside = ((points >= 0) & (points <= (size[1] - 1, size[0] - 1))).all(axis=-1)
    states = np.where(inside, sample.states, 0).astype(np.uint8)
    there = states.any(axis=1)
    image = np.broadcast_to(np.uint8(0), (size[1], size[0], 3))
    areas = sample.areas[there] * abs(float(np.linalg.det(matrix[:, :2])))
    return Sample(image, points[there], states[there], _moved_boxes(sample.ignored, matrix), areas)


def _moved_boxes(boxes: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Upright boxes around the boxes after the change."""
    if not len(boxes):
        return boxes
    y, x, height, width = boxes.T
    xy = np.stack([(x, y), (x + width, y), (x, y + height), (x + width, y + height)]).transpose(2, 0, 1)
    xy = xy @ matrix[:, :2].T + matrix[:, 2]
    low, high = xy.min(axis=1)[:, ::-1], xy.max(axis=1)[:, ::-1]
    return np.asarray(np.concatenate([low, high - low], axis=1), np.float32)


def mirrored(sample: Sample) -> Sample:
    """Everybody as in a mirror, where left is right; the picture itself is left as it is."""
    last = sample.image.shape[1] - 1
    points = sample.points[:, list(MIRRORED)] * (1, -1) + (0, last)
    ignored = sample.ignored.copy()
    ignored[:, 1] = last - ignored[:, 1] - ignored[:, 3]
    return replace(
        sample, points=points.astype(np.float32), states=sample.states[:, list(MIRRORED)], ignored=ignored
    )


def _recoloured(image: Image, rng: np.random.Generator) -> Image:
    """Other light, and now and then grey, blurred or noisy."""
    levels = np.arange(256)[:, None] / 255
    gamma = 2 ** rng.normal(0, 0.12)
    gain = 2 ** rng.normal(0, 0.1) * 2 ** rng.normal(0, 0.06, 3)
    table = np.clip(255 * gain * levels**gamma + rng.normal(0, 5), 0, 255).astype(np.uint8)
    if rng.random() < 0.03:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = np.asarray(cv2.merge([grey, grey, grey]), np.uint8)
    changed = cv2.LUT(image, table[:, None])
    if rng.random() < 0.05:
        changed = cv2.GaussianBlur(changed, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.05:
        noise = rng.normal(0, rng.uniform(2, 12), changed.shape).astype(np.int8)
        changed = cv2.add(changed, noise, dtype=cv2.CV_8U)
    return np.asarray(changed, np.uint8)
