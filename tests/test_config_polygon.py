"""Polygons: the rules they must keep."""

from __future__ import annotations

import pytest

from posed.config.polygon import area, problem_of

SQUARE = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5))
STRAIGHT = ((0.0, 0.0), (0.25, 0.0), (0.5, 0.0), (0.5, 0.25), (0.5, 0.5), (0.0, 0.5))
HOLLOW = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.8, 0.2), (0.0, 1.0))
CROSSED = ((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9))
TOUCHING = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.0), (0.0, 1.0))
"""A corner lies on a side."""


@pytest.mark.parametrize("polygon", [SQUARE, SQUARE[::-1], STRAIGHT, HOLLOW, SQUARE[:3]])
def test_good_polygons_have_no_problem_either_way_round(polygon):
    assert problem_of(polygon) is None


@pytest.mark.parametrize(
    ("polygon", "rule"),
    [
        (CROSSED, "must not cross itself"),
        (TOUCHING, "must not cross itself"),
        (((0, 0), (0.5, 0), (1, 0)), "must not cross itself"),
        (((0, 0), (1, 0), (1, 0), (0, 1)), "must have each point once"),
        (((0, 0), (0.001, 0), (0, 0.001)), "must enclose at least"),
        (((0, -0.1), (1, 0), (0, 1)), "must be inside the frame"),
        (((float("nan"), 0), (1, 0), (0, 1)), "must be inside the frame"),
        (tuple((i / 200, (i % 2) / 2) for i in range(101)), "must have 3 to 100 points"),
    ],
)
def test_bad_polygons_are_told_the_rule(polygon, rule):
    assert (problem_of(polygon) or "").startswith(rule)


@pytest.mark.parametrize("polygon", [SQUARE, STRAIGHT, HOLLOW, CROSSED, TOUCHING])
@pytest.mark.parametrize("turned", [False, True])
def test_a_polygon_is_as_good_elsewhere_smaller_and_turned(polygon, turned):
    smaller = [(0.25 + x / 2, 0.5 - y / 4)[:: -1 if turned else 1] for x, y in polygon]
    assert (problem_of(smaller) is None) == (problem_of(polygon) is None)


@pytest.mark.parametrize(
    ("polygon", "sides"),
    [
        (CROSSED, "[0.1, 0.1] and [0.9, 0.1]"),
        (TOUCHING, "[0, 0] and [1, 1]"),
        (((0, 0), (1, 0), (0.5, 0)), "[0, 0] and [1, 0]"),
    ],
)
def test_sides_that_meet_are_named_by_where_they_begin(polygon, sides):
    assert problem_of(polygon) == f"must not cross itself, got sides from {sides} that meet"


def test_the_area_of_half_the_frame():
    assert abs(area(((0, 0), (1, 0), (0, 1)))) == 0.5
