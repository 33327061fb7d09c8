"""How often frames come, and whether they are of now."""

from __future__ import annotations

from posed.pipeline.frame_rate import WINDOW_S, FrameRate, Took


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_frames_per_second_are_those_of_the_last_seconds():
    clock = Clock()
    rate = FrameRate(clock)
    for _ in range(100):
        clock.now += 0.1
        rate.count(clock.now, 0.01, 0.02)
    assert abs(rate.fps() - 10) < 0.5
    clock.now += WINDOW_S + 0.1
    assert rate.fps() == 0


def test_a_start_counts_no_time_before_it():
    clock = Clock()
    rate = FrameRate(clock)
    clock.now += 1
    for _ in range(10):
        rate.count(clock.now, 0.01, 0.02)
    assert rate.fps() == 10


def test_frames_that_stop_are_not_of_now():
    clock = Clock()
    rate = FrameRate(clock)
    assert not rate.are_of_now
    rate.count(clock.now, 0.01, 0.02)
    assert rate.are_of_now
    clock.now += WINDOW_S + 0.1
    assert not rate.are_of_now


def test_times_are_in_hundredths_of_a_millisecond():
    rate = FrameRate()
    assert rate.newest is None
    assert rate.count(0, 0.0123456, 0.0234567) == Took(12.35, 23.46)
    assert rate.newest == Took(12.35, 23.46)
