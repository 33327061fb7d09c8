"""When something may happen again, by a clock that stands still."""

from __future__ import annotations

import math

from posed.timing import NotBefore


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_at_first_it_may_happen_at_once() -> None:
    not_before = NotBefore(Clock())
    assert not_before.is_due
    assert not not_before.is_set


def test_what_is_put_off_is_due_in_so_many_seconds() -> None:
    not_before = NotBefore(clock := Clock())
    not_before.put_off(5)
    clock.time += 4.9
    assert (not_before.is_due, not_before.is_set) == (False, True)
    clock.time += 0.1
    assert not_before.is_due


def test_what_is_reset_is_due_at_once() -> None:
    not_before = NotBefore(Clock())
    not_before.put_off(math.inf)
    not_before.reset()
    assert (not_before.is_due, not_before.is_set) == (True, False)


def test_what_is_put_off_for_ever_is_never_due() -> None:
    not_before = NotBefore(clock := Clock())
    not_before.put_off(math.inf)
    clock.time = 1e12
    assert not not_before.is_due


def test_what_is_taken_is_due_once_per_interval() -> None:
    not_before = NotBefore(clock := Clock())
    taken = []
    for _ in range(7):
        taken.append(not_before.take(3))
        clock.time += 1
    assert taken == [True, False, False, True, False, False, True]
