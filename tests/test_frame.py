"""The letterbox: aspect kept, and points brought back to the source frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posed.frame import PADDING, Letterbox

SIDES = st.integers(1, 4000)


def test_a_frame_of_the_inputs_size_passes_without_a_copy():
    image = np.random.default_rng(0).integers(0, 256, (353, 481, 3), np.uint8)
    assert Letterbox((481, 353), (481, 353)).apply(image) is image


@settings(max_examples=50, deadline=None)
@given(width=st.integers(1, 1300), height=st.integers(1, 1300), seed=st.integers(0, 99))
def test_a_frame_is_scaled_into_the_input_as_opencv_scales_it(width, height, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    letterbox = Letterbox((width, height), (257, 193))
    inside = letterbox.inside(np.empty((193, 257, 3)))
    shrunk = min(257 / width, 193 / height) < 0.5
    how = cv2.INTER_AREA if shrunk else cv2.INTER_LINEAR
    expected = np.full((193, 257, 3), PADDING, np.uint8)
    letterbox.inside(expected)[:] = cv2.resize(image, inside.shape[1::-1], interpolation=how)
    assert (letterbox.apply(image) == expected).all()


def test_a_wide_frame_gets_bars_above_and_below():
    box = Letterbox((640, 320), (160, 160)).apply(np.full((320, 640, 3), 255, np.uint8))
    assert (box[:40] == PADDING).all()
    assert (box[120:] == PADDING).all()
    assert (box[40:120] == 255).all()


def test_inside_is_what_shows_the_frame():
    letterbox = Letterbox((640, 320), (160, 160))
    box = letterbox.apply(np.full((320, 640, 3), 255, np.uint8))
    assert letterbox.inside(box).shape == (80, 160, 3)
    assert (letterbox.inside(box) == 255).all()


@pytest.mark.parametrize("source_size", [(640, 480), (480, 640), (1280, 720), (200, 100)])
def test_a_point_comes_back_to_where_it_was(source_size):
    width, height = source_size
    letterbox = Letterbox(source_size, (481, 353))
    image = np.zeros((height, width, 3), np.uint8)
    y, x = height // 3, width // 4
    cv2.circle(image, (x, y), 12, (255, 255, 255), cv2.FILLED)
    ys, xs = np.nonzero(letterbox.apply(image)[:, :, 0] > 190)
    (back,) = letterbox.to_source(np.array([[ys.mean(), xs.mean()]]))
    assert back == pytest.approx([y, x], abs=1)


@settings(max_examples=50, deadline=None)
@given(width=SIDES, height=SIDES)
def test_any_size_fits(width, height):
    letterbox = Letterbox((width, height), (257, 193))
    inside = letterbox.inside(np.zeros((193, 257, 3), np.uint8))
    assert 257 in inside.shape or 193 in inside.shape
    assert inside.shape[0] >= 1
    assert inside.shape[1] >= 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (3000, 4000, 3), (1, 4000, 3)])
def test_tiny_and_huge_pictures_fit(shape):
    image = np.full(shape, 9, np.uint8)
    assert Letterbox((shape[1], shape[0]), (481, 353)).apply(image).shape == (353, 481, 3)
