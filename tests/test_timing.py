"""When something may happen again, by a clock that stands still."""

from __future__ import annotations

import math

import pytest

from posed.timing import Backoff, NotBefore, RateLimiter
from tests.clock import Clock


def test_at_first_it_may_happen_at_once() -> None:
    not_before = NotBefore(Clock())
    assert not_before.is_due
    assert not not_before.is_set


def test_what_is_put_off_is_due_in_so_many_seconds() -> None:
    not_before = NotBefore(clock := Clock())
    not_before.put_off(5)
    clock.now_s += 4.9
    assert (not_before.is_due, not_before.is_set) == (False, True)
    clock.now_s += 0.1
    assert not_before.is_due


def test_what_is_reset_is_due_at_once() -> None:
    not_before = NotBefore(Clock())
    not_before.put_off(math.inf)
    not_before.reset()
    assert (not_before.is_due, not_before.is_set) == (True, False)


def test_what_is_put_off_for_ever_is_never_due() -> None:
    not_before = NotBefore(clock := Clock())
    not_before.put_off(math.inf)
    clock.now_s = 1e12
    assert not not_before.is_due


def test_what_is_taken_is_due_once_per_interval() -> None:
    not_before = NotBefore(clock := Clock())
    taken = []
    for _ in range(7):
        taken.append(not_before.take(3))
        clock.now_s += 1
    assert taken == [True, False, False, True, False, False, True]


def test_so_many_are_granted_at_once_and_per_second() -> None:
    limiter = RateLimiter(3, 2, clock := Clock())
    assert [limiter.grants() for _ in range(5)] == [True, True, True, False, False]
    clock.now_s += 1
    assert [limiter.grants() for _ in range(4)] == [True, True, False, False]


def test_no_more_is_saved_up_than_at_once() -> None:
    limiter = RateLimiter(3, 2, clock := Clock())
    clock.now_s += 1000
    assert limiter.left == 3


def test_a_rate_tells_in_how_long_there_is_one() -> None:
    limiter = RateLimiter(1, 2, clock := Clock())
    assert limiter.wait_s == 0
    assert limiter.grants()
    assert limiter.wait_s == 0.5
    clock.now_s += 0.2
    assert limiter.wait_s == pytest.approx(0.3)


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(1, 60, jitter=lambda: 1)
    assert [backoff.next_s() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_s() == 1


@pytest.mark.parametrize(("jitter", "waits_s"), [(0, [0.5, 1, 2]), (0.5, [0.75, 1.5, 3])])
def test_jitter_takes_up_to_half_of_a_wait(jitter: float, waits_s: list[float]) -> None:
    backoff = Backoff(1, 60, jitter=lambda: jitter)
    assert [backoff.next_s() for _ in range(3)] == waits_s
