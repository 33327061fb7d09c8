"""Polygons: the rules they must keep, and what is inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posed.polygon import area, contains, problem_of

SQUARE = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5))
HOLLOW = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.8, 0.2), (0.0, 1.0))


@pytest.mark.parametrize("polygon", [SQUARE, SQUARE[::-1], HOLLOW, SQUARE[:3]])
def test_good_polygons_have_no_problem_either_way_round(polygon):
    assert problem_of(polygon) is None


@pytest.mark.parametrize(
    ("polygon", "rule"),
    [
        (((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)), "must not cross itself"),
        (((0, 0), (1, 0), (1, 1), (0.5, 0), (0, 1)), "must not cross itself"),  # a corner on a side
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


def test_the_area_of_half_the_frame():
    assert abs(area(((0, 0), (1, 0), (0, 1)))) == 0.5


def test_a_notch_is_outside():
    points = np.array([[0.2, 0.5], [0.7, 0.6], [0.99, 0.5], [-0.1, 0.5], [np.nan, 0.5]])
    assert contains(np.array(HOLLOW), points).tolist() == [True, False, True, False, False]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_every_point_of_the_frame_is_in_exactly_one_of_two_halves(points):
    inside = np.array([(x, y) for x, y in points if abs(x - y) > 1e-9 and x < 1 and y < 1] or [(0.5, 0.25)])
    upper = contains(np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]), inside)
    lower = contains(np.array([(0.0, 0.0), (1.0, 1.0), (0.0, 1.0)]), inside)
    assert (upper ^ lower).all()
