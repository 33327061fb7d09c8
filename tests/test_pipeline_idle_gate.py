"""Which frames are processed: all while somebody is there, few of an empty scene, and any that changes."""

from __future__ import annotations

import numpy as np
import pytest

from posed.frame import Image
from posed.pipeline.idle_gate import CALM_S, Attention
from posed.synthetic.scene import random_still

ROOM = random_still(3, (640, 480), 0).image
FPS = 30


def noisy(image: Image, seed: int) -> Image:
    """With a sensor's noise of 8."""
    noise = np.random.default_rng(seed).normal(0, 8, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


NOISY_ROOMS = [noisy(ROOM, seed) for seed in range(5)]


def with_somebody(image: Image) -> Image:
    """A figure of an ordinary grey, 40 px wide and 160 high."""
    changed = image.copy()
    changed[200:360, 300:340] = np.where(image[200:360, 300:340] > 128, 60, 200)
    return changed


def calm(attention: Attention) -> float:
    """Let the scene be empty for long enough, with a frame just processed; gives the time."""
    attention.heed(0, 0.0)
    time_s = CALM_S + 1
    assert attention.wants(ROOM, time_s)
    return time_s


def wanted(attention: Attention, begin_s: float, seconds: float) -> int:
    """Of an unchanged, noisy room at 30 frames per second."""
    frames = range(1, round(seconds * FPS) + 1)
    return sum(attention.wants(NOISY_ROOMS[number % 5], begin_s + number / FPS) for number in frames)


def test_without_an_idle_rate_every_frame_is_wanted():
    attention = Attention(idle_fps=0)
    attention.heed(0, 0.0)
    assert wanted(attention, 100.0, seconds=1) == FPS


def test_until_something_is_known_every_frame_is_wanted():
    assert wanted(Attention(idle_fps=2), 0.0, seconds=1) == FPS


@pytest.mark.parametrize("idle_fps", [1, 2, 5])
def test_an_empty_scene_is_looked_at_at_the_idle_rate(idle_fps):
    attention = Attention(idle_fps)
    assert wanted(attention, calm(attention), seconds=4) == pytest.approx(4 * idle_fps, abs=1)


def test_a_scene_that_was_empty_only_for_a_moment_is_not_idle():
    attention = Attention(idle_fps=1)
    attention.heed(1, 10.0)
    attention.heed(0, 10.1)
    assert wanted(attention, 10.1, seconds=CALM_S - 0.2) == round((CALM_S - 0.2) * FPS)


def test_a_frame_with_somebody_new_in_it_is_wanted_at_once():
    attention = Attention(idle_fps=1)
    now = calm(attention)
    assert not attention.wants(noisy(ROOM, 1), now + 1 / FPS)
    assert attention.wants(noisy(with_somebody(ROOM), 2), now + 2 / FPS)


def test_once_somebody_is_found_every_frame_is_wanted():
    attention = Attention(idle_fps=1)
    now = calm(attention)
    attention.heed(1, now)
    assert wanted(attention, now, seconds=1) == FPS


def test_a_frame_of_another_size_is_wanted():
    attention = Attention(idle_fps=1)
    now = calm(attention)
    assert attention.wants(np.zeros((20, 30, 3), np.uint8), now + 0.01)
