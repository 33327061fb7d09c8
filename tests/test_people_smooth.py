"""Keypoints that keep still while the person does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posed.config import PeopleConfig
from posed.people.smooth import Floats, Smoother, filters
from posed.pose import LEFT_WRIST

CONFIG = PeopleConfig()
THRESHOLD = 0.2
SIZE_PX = 300.0
STILL = np.zeros(2)
SURE, UNSURE = np.full(17, 0.9), np.full(17, 0.1)
PLACE = np.linspace(100, 400, 34).reshape(17, 2)


class OnePerson:
    """The filters of one person."""

    def __init__(self, **settings: float) -> None:
        self._smoother = Smoother(CONFIG.model_copy(update=settings))
        self._filters = filters(1)

    def update(self, points: Floats, scores: Floats, time_s: float, size_px: float, moved: Floats) -> None:
        self._smoother.update(
            self._filters,
            points[None],
            scores[None],
            scores[None] >= THRESHOLD,
            time_s,
            np.array([size_px]),
            moved[None],
        )

    def __getattr__(self, name: str) -> Floats:
        return np.array(self._filters[name][0])


def smoother(**settings: float) -> OnePerson:
    return OnePerson(**settings)


def smoothed(frames: Floats, fps: float, size_px: float = SIZE_PX, **settings: float) -> Floats:
    """(frames, 17, 2) of frames (frames, 17, 2)."""
    one, out = smoother(**settings), []
    for number, points in enumerate(frames):
        one.update(points, SURE, number / fps, size_px, STILL)
        out.append(one.points)
    return np.array(out)


def noise(frames: int, share: float = 0.01) -> Floats:
    return np.random.default_rng(0).normal(0, share * SIZE_PX, (frames, 17, 2))


def half_way_s(fps: int) -> float:
    """When a keypoint that leapt is half-way there."""
    leap = np.concatenate([np.zeros((1, 17, 2)), np.full((4 * fps, 17, 2), 60.0)])
    y = smoothed(leap, fps, smoothing_speed=0)[:, 0, 0]
    return float(np.interp(30.0, y, np.arange(len(y)) / fps))


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_a_still_person_jitters_at_most_a_quarter(fps: int) -> None:
    raw = PLACE + noise(20 * fps)
    steady = smoothed(raw, fps)[4 * fps :]

    assert (steady - PLACE).std() < (raw - PLACE).std() / 4


@pytest.mark.parametrize("fps", [10, 30])
def test_somebody_walking_is_less_than_a_frame_late(fps: int) -> None:
    step = 0.68 * SIZE_PX / fps  # 1.15 m/s at 1.7 m
    raw = PLACE + np.arange(4 * fps)[:, None, None] * np.array([0, step])
    late_px = (raw - smoothed(raw, fps))[2 * fps :, :, 1]

    assert 0 < late_px.max() < step


def test_a_leap_takes_as_long_at_every_frame_rate() -> None:
    times_s = [half_way_s(fps) for fps in (10, 30, 120)]

    assert max(times_s) < 1.2 * min(times_s)


@given(scale=st.floats(0.05, 20), shift=st.floats(-1e3, 1e3))
@settings(deadline=None)
def test_large_and_small_people_are_smoothed_alike(scale: float, shift: float) -> None:
    raw = PLACE + noise(12)

    np.testing.assert_allclose(
        smoothed(raw * scale + shift, 30, SIZE_PX * scale),
        smoothed(raw, 30) * scale + shift,
        atol=1e-6 * max(1, scale),
    )


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=12), st.floats(1, 240))
@settings(deadline=None)
def test_smoothed_keypoints_never_leave_what_was_seen(ys: list[float], fps: float) -> None:
    out = smoothed(np.array(ys)[:, None, None] * np.ones((17, 2)), fps)

    assert out.min() >= min(ys) - 1e-6
    assert out.max() <= max(ys) + 1e-6


def test_without_smoothing_keypoints_are_as_decoded() -> None:
    raw = PLACE + noise(5)

    np.testing.assert_array_equal(smoothed(raw, 30, smoothing=False), raw)


def test_a_frame_that_comes_twice_at_one_time_changes_nothing() -> None:
    one = smoother()
    one.update(PLACE, SURE, 1.0, SIZE_PX, STILL)
    one.update(PLACE + 5, SURE, 1.0, SIZE_PX, STILL)

    np.testing.assert_array_equal(one.points, PLACE)


def test_a_hidden_keypoint_goes_with_the_body_then_becomes_invisible() -> None:
    one, scores = smoother(keypoint_hold_s=0.3), SURE.copy()
    one.update(PLACE, scores, 0.0, SIZE_PX, STILL)
    scores[LEFT_WRIST] = 0.05
    step = np.array([0.0, 10.0])
    elsewhere = PLACE + step
    elsewhere[LEFT_WRIST] = (0, 0)
    one.update(elsewhere, scores, 0.2, SIZE_PX, step)
    np.testing.assert_allclose(one.points[LEFT_WRIST], PLACE[LEFT_WRIST] + step)
    assert one.visible.all()
    assert one.scores[LEFT_WRIST] == 0.9

    one.update(elsewhere, scores, 0.4, SIZE_PX, STILL)
    assert np.flatnonzero(~one.visible).tolist() == [LEFT_WRIST]
    assert one.scores[LEFT_WRIST] == 0


def test_a_keypoint_seen_again_after_long_does_not_glide_in() -> None:
    one = smoother()
    one.update(PLACE, SURE, 0.0, SIZE_PX, STILL)
    one.update(PLACE, UNSURE, 1.0, SIZE_PX, STILL)
    assert not one.visible.any()

    one.update(PLACE + 100, SURE, 1.1, SIZE_PX, STILL)
    np.testing.assert_array_equal(one.points, PLACE + 100)


def test_a_keypoint_that_flickers_stays_steady() -> None:
    one, raw, places = smoother(), PLACE + noise(300), []
    for number, points in enumerate(raw):
        one.update(points, SURE if number % 2 else UNSURE, number / 30, SIZE_PX, STILL)
        places.append(one.points)

    assert (np.array(places)[60:] - PLACE).std() < raw.std(axis=0).mean() / 2


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 6))
@settings(deadline=None, max_examples=30)
def test_people_smoothed_at_once_are_smoothed_as_each_alone(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    alone, together = [OnePerson() for _ in range(count)], filters(count)
    for number in range(8):
        points, scores = random.normal(200, 50, (count, 17, 2)), random.random((count, 17)) * 0.5
        sizes_px, moved = random.uniform(50, 500, count), random.normal(0, 5, (count, 2))
        seen = scores >= THRESHOLD
        Smoother(CONFIG).update(together, points, scores, seen, number / 10, sizes_px, moved)
        for one, row in zip(alone, range(count), strict=True):
            one.update(points[row], scores[row], number / 10, sizes_px[row], moved[row])
            for name in ("points", "scores", "visible"):
                np.testing.assert_allclose(together[name][row], getattr(one, name), rtol=0, atol=1e-9)
