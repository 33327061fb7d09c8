"""The letterbox: aspect kept, and points brought back to the source frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posed.frame import PADDING, Letterbox, Region, RotatedCrop, RotatedLetterbox

SIDES = st.integers(1, 4000)


def test_a_frame_of_the_inputs_size_passes_without_a_copy():
    image = np.random.default_rng(0).integers(0, 256, (353, 481, 3), np.uint8)
    assert Letterbox((481, 353), (481, 353)).apply(image) is image


@settings(max_examples=50, deadline=None)
@given(width=st.integers(1, 1300), height=st.integers(1, 1300), seed=st.integers(0, 99))
def test_a_frame_is_scaled_as_opencv_scales_it(width, height, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    letterbox = Letterbox((width, height), (257, 193))
    expected = np.full((193, 257, 3), PADDING, np.uint8)
    size = letterbox.inside(expected).shape[1::-1]
    scale, part = min(257 / width, 193 / height), image
    while scale < 0.4 and width % 2 == height % 2 == 0:
        width, height, scale = width // 2, height // 2, scale * 2
        part = part.reshape(height, 2, width, 2, 3).sum(axis=(1, 3), dtype=np.uint16)
        part = ((part + 2) // 4).astype(np.uint8)
    how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    letterbox.inside(expected)[:] = cv2.resize(part, size, interpolation=how)
    assert (letterbox.apply(image) == expected).all()


@pytest.mark.parametrize("source_size", [(1280, 720), (1296, 972), (1640, 1232), (1920, 1080), (3280, 2464)])
def test_a_large_frame_looks_as_if_averaged_by_every_pixel(source_size):
    width, height = source_size
    noise = np.random.default_rng(1).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    image = cv2.resize(noise, source_size, interpolation=cv2.INTER_CUBIC)
    letterbox = Letterbox(source_size, (481, 353))
    inside = letterbox.inside(letterbox.apply(image)).astype(float)
    averaged = cv2.resize(image, inside.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(inside - averaged).mean() < 3
    assert np.abs((inside - averaged).mean()) < 0.2


def test_what_is_in_between_does_not_stay():
    letterbox = Letterbox((1280, 720), (481, 353))
    first = letterbox.apply(np.full((720, 1280, 3), 200, np.uint8))
    second = letterbox.apply(np.full((720, 1280, 3), 50, np.uint8))
    assert (letterbox.inside(first) == 200).all()
    assert (letterbox.inside(second) == 50).all()


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


@pytest.mark.parametrize(
    "source_size", [(640, 480), (480, 640), (1280, 720), (1281, 721), (2592, 1944), (200, 100)]
)
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


@settings(max_examples=50, deadline=None)
@given(y=st.floats(-500, 1000), x=st.floats(-500, 1000), side=st.floats(0, 3000))
def test_a_region_around_any_point_is_inside_the_frame(y, x, side):
    region = Region.around(y, x, side, (640, 480))
    assert 0 <= region.left < region.right <= 640
    assert 0 <= region.top < region.bottom <= 480


def test_a_region_is_a_square_around_its_point():
    assert Region.around(200, 300, 100, (640, 480)) == Region(250, 150, 350, 250)


@pytest.mark.parametrize("turn_deg", [0, 45, 90, -45, -90, 135, 180])
@pytest.mark.parametrize(
    "region", [Region(0, 0, 640, 480), Region(30, 40, 130, 190), Region(0, 0, 1600, 1200)]
)
def test_a_point_in_a_rotated_region_comes_back(turn_deg, region):
    image = np.zeros((1200, 1600, 3), np.uint8)
    y, x = region.top + (region.bottom - region.top) // 3, region.left + (region.right - region.left) // 4
    radius = (region.bottom - region.top) // 12
    cv2.circle(image, (x, y), radius, (255, 255, 255), cv2.FILLED)
    view = RotatedLetterbox(RotatedCrop(region, turn_deg), (481, 353))
    ys, xs = np.nonzero(view.apply(image)[:, :, 0] > 190)
    (back,) = view.to_source(np.array([[ys.mean(), xs.mean()]]))
    assert back == pytest.approx([y, x], abs=1)


@pytest.mark.parametrize("turn_deg", [0, 45, 90])
@pytest.mark.parametrize(
    "region", [Region(-50, -20, 110, 140), Region(300, 200, 500, 400), Region(-300, -300, 900, 900)]
)
def test_beyond_the_frame_a_region_is_grey(turn_deg, region):
    image = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    image = cv2.blur(image, (31, 31))
    view = RotatedLetterbox(RotatedCrop(region, turn_deg), (97, 65))
    room = 1000
    padded = np.full((240 + 2 * room, 320 + 2 * room, 3), PADDING, np.uint8)
    padded[room : room + 240, room : room + 320] = image
    shifted = Region(*(side + room for side in (region.left, region.top, region.right, region.bottom)))
    expected = RotatedLetterbox(RotatedCrop(shifted, turn_deg), (97, 65)).apply(padded)
    difference = np.abs(view.apply(image).astype(int) - expected)
    assert difference.mean() < 2
    points = np.array([[10.0, 20.0], [60.0, 90.0]])
    np.testing.assert_allclose(
        view.to_source(points),
        RotatedLetterbox(RotatedCrop(shifted, turn_deg), (97, 65)).to_source(points) - room,
    )


@pytest.mark.parametrize("region", [Region(-50, 0, 0, 50), Region(320, 240, 400, 300), Region(0, -90, 9, -1)])
def test_a_region_beside_the_frame_is_grey(region):
    view = RotatedLetterbox(RotatedCrop(region, 0), (97, 65))
    assert (view.apply(np.zeros((240, 320, 3), np.uint8)) == PADDING).all()


def test_who_lies_head_left_is_upright_after_a_quarter_clockwise():
    view = RotatedLetterbox(RotatedCrop(Region(0, 0, 100, 100), 90), (100, 100))
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, :20] = 255
    turned = view.apply(image)
    assert turned[:20, 40:60].min() == 255
    assert turned[20:].max() == 0


@pytest.mark.parametrize("turn_deg", [45, 90])
def test_all_of_a_turned_region_fits_between_grey_bars(turn_deg):
    turned = RotatedLetterbox(RotatedCrop(Region(10, 10, 74, 58), turn_deg), (97, 65)).apply(
        np.full((80, 80, 3), 255, np.uint8)
    )
    assert turned.shape == (65, 97, 3)
    white = (turned[:, :, 0] == 255).sum()
    scale = min(65 / 64, 97 / 48) if turn_deg == 90 else 65 / ((64 + 48) * 0.5**0.5)
    assert white == pytest.approx(64 * 48 * scale**2, rel=0.1)
    assert (turned[0, 0] == PADDING).all()
