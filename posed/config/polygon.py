"""Polygons in fractions of the frame: what is wrong with one. Settings need this, and no numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

Point = tuple[float, float]
"""A point is (x, y), fractions of the frame's width and height; x goes right, y goes down."""

MOST_POINTS: Final = 100
"""A polygon has at most this many points."""

LEAST_AREA: Final = 1e-4
"""A polygon covers at least this share of the frame; less is a line or a dot (30 px of 640×480)."""


def problem_of(polygon: Sequence[Point]) -> str | None:
    """The rule that a polygon breaks, worded to follow its name; None for a good one."""
    if not 3 <= len(polygon) <= MOST_POINTS:
        return f"must have 3 to {MOST_POINTS} points, got {len(polygon)}"
    outside = [point for point in polygon if not all(0 <= value <= 1 for value in point)]
    if outside:
        return f"must be inside the frame, 0 to 1, got {_shown(outside[0])}"
    repeated = [point for index, point in enumerate(polygon) if point in polygon[:index]]
    if repeated:
        return f"must have each point once, got {_shown(repeated[0])} twice"
    crossing = _crossing(polygon)
    if crossing:
        first, second = crossing
        return f"must not cross itself, got sides from {_shown(first)} and {_shown(second)} that meet"
    size = abs(area(polygon))
    if size < LEAST_AREA:
        return f"must enclose at least {LEAST_AREA:g} of the frame, got {size:.2g}"
    return None


def area(polygon: Sequence[Point]) -> float:
    """The area of a polygon that does not cross itself, as a fraction of the frame; its sign is its turn."""
    following = [*polygon[1:], polygon[0]]
    return sum(x * b - a * y for (x, y), (a, b) in zip(polygon, following, strict=True)) / 2


def _crossing(polygon: Sequence[Point]) -> tuple[Point, Point] | None:
    """The starts of two sides that meet where they should not; None if there are none."""
    count = len(polygon)
    sides = [(polygon[index], polygon[(index + 1) % count]) for index in range(count)]
    for index in range(count):
        for other in range(index + 1, count):
            if other == index + 1 or (other + 1) % count == index:
                first, second = (index, other) if other == index + 1 else (other, index)
                if _folds_back(sides[first], sides[second]):
                    return sides[first][0], sides[second][0]
            elif _meet(sides[index], sides[other]):
                return sides[index][0], sides[other][0]
    return None


def _turn(a: Point, b: Point, c: Point) -> float:
    """Twice the area of a triangle: positive, negative, or 0 on one line."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _folds_back(side: tuple[Point, Point], following: tuple[Point, Point]) -> bool:
    """Whether a side runs back over the one before it."""
    (a, b), (_, c) = side, following
    ahead = (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1])
    return _turn(a, b, c) == 0 and ahead < 0


def _meet(side: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    """Whether two sides without a common end touch or cross."""
    (a, b), (c, d) = side, other
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((turns[0], a, b, c), (turns[1], a, b, d), (turns[2], c, d, a), (turns[3], c, d, b))
    return any(turn == 0 and _between(start, end, point) for turn, start, end, point in ends)


def _between(start: Point, end: Point, point: Point) -> bool:
    return all(min(a, b) <= value <= max(a, b) for a, b, value in zip(start, end, point, strict=True))


def _shown(point: Point) -> str:
    return f"[{point[0]:g}, {point[1]:g}]"
