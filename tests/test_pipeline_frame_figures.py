"""How often frames come, and whether they are of now."""

from __future__ import annotations

from posed.pipeline.frame_figures import WINDOW_S, FrameFigures, Took


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_frames_per_second_are_those_of_the_last_seconds():
    clock = Clock()
    figures = FrameFigures(clock)
    for _ in range(100):
        clock.now += 0.1
        figures.count(clock.now, 0.01, 0.02)
    assert abs(figures.fps() - 10) < 0.5
    clock.now += WINDOW_S + 0.1
    assert figures.fps() == 0


def test_a_start_counts_no_time_before_it():
    clock = Clock()
    figures = FrameFigures(clock)
    clock.now += 1
    for _ in range(10):
        figures.count(clock.now, 0.01, 0.02)
    assert figures.fps() == 10


def test_frames_that_stop_are_not_of_now():
    clock = Clock()
    figures = FrameFigures(clock)
    assert not figures.are_of_now
    figures.count(clock.now, 0.01, 0.02)
    assert figures.are_of_now
    clock.now += WINDOW_S + 0.1
    assert not figures.are_of_now


def test_times_are_in_hundredths_of_a_millisecond():
    figures = FrameFigures()
    assert figures.newest is None
    assert figures.count(0, 0.0123456, 0.0234567) == Took(12.35, 23.46)
    assert figures.newest == Took(12.35, 23.46)
