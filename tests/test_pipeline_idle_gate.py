"""Which frames are processed: all while somebody is there, few of an empty scene, and any that changes."""

from __future__ import annotations

import numpy as np
import pytest

from posed.frame import Image
from posed.pipeline.idle_gate import CALM_S, IdleGate
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


def calm(idle_gate: IdleGate) -> float:
    """Let the scene be empty for long enough, with a frame just processed; gives the time."""
    idle_gate.count_people(0, 0.0)
    time_s = CALM_S + 1
    assert idle_gate.wants(ROOM, time_s)
    return time_s


def wanted(idle_gate: IdleGate, begin_s: float, seconds: float) -> int:
    """Of an unchanged, noisy room at 30 frames per second."""
    frames = range(1, round(seconds * FPS) + 1)
    return sum(idle_gate.wants(NOISY_ROOMS[number % 5], begin_s + number / FPS) for number in frames)


def test_without_an_idle_rate_every_frame_is_wanted():
    idle_gate = IdleGate(idle_fps=0)
    idle_gate.count_people(0, 0.0)
    assert wanted(idle_gate, 100.0, seconds=1) == FPS


def test_until_something_is_known_every_frame_is_wanted():
    assert wanted(IdleGate(idle_fps=2), 0.0, seconds=1) == FPS


@pytest.mark.parametrize("idle_fps", [1, 2, 5, 7])
def test_an_empty_scene_is_looked_at_at_the_idle_rate(idle_fps):
    idle_gate = IdleGate(idle_fps)
    assert wanted(idle_gate, calm(idle_gate), seconds=4) == pytest.approx(4 * idle_fps, abs=1)


def test_a_scene_empty_only_for_a_moment_is_not_idle():
    idle_gate = IdleGate(idle_fps=1)
    idle_gate.count_people(1, 10.0)
    idle_gate.count_people(0, 10.1)
    assert wanted(idle_gate, 10.1, seconds=CALM_S - 0.2) == round((CALM_S - 0.2) * FPS)


def test_a_frame_with_somebody_new_is_wanted_at_once():
    idle_gate = IdleGate(idle_fps=1)
    now = calm(idle_gate)
    assert not idle_gate.wants(noisy(ROOM, 1), now + 1 / FPS)
    assert idle_gate.wants(noisy(with_somebody(ROOM), 2), now + 2 / FPS)


def test_once_somebody_is_found_every_frame_is_wanted():
    idle_gate = IdleGate(idle_fps=1)
    now = calm(idle_gate)
    idle_gate.count_people(1, now)
    assert wanted(idle_gate, now, seconds=1) == FPS


def test_a_frame_of_another_size_is_wanted():
    idle_gate = IdleGate(idle_fps=1)
    now = calm(idle_gate)
    assert idle_gate.wants(np.zeros((20, 30, 3), np.uint8), now + 0.01)
