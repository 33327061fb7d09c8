"""A call that takes too long is noticed."""

from __future__ import annotations

import pytest

from posed.pipeline.hang_detector import HangDetector


class Clock:
    """Shows what the test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def detector(clock) -> HangDetector:
    return HangDetector("camera", clock)


def test_nothing_hangs_while_there_is_no_call(detector, clock):
    clock.now_s = 1000
    assert detector.problem is None


def test_a_call_hangs_beyond_its_limit(detector, clock):
    detector.begin(20)
    clock.now_s = 20
    assert detector.problem is None
    clock.now_s = 20.1
    assert detector.problem == "camera: must answer within 20 s, got nothing: it hangs"


def test_a_call_that_ended_does_not_hang(detector, clock):
    detector.begin(20)
    detector.end()
    clock.now_s = 1000
    assert detector.problem is None


def test_the_next_call_has_its_own_limit(detector, clock):
    detector.begin(20)
    clock.now_s = 15
    detector.begin(20)
    clock.now_s = 30
    assert detector.problem is None


def test_it_knows_how_long_a_call_lasts(detector, clock):
    assert detector.lasts_s == 0
    detector.begin(20)
    clock.now_s = 3
    assert detector.lasts_s == 3
    detector.end()
    assert detector.lasts_s == 0
