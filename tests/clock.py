"""A clock that tests set."""

from __future__ import annotations


class Clock:
    """Time that stands still, but for what the test sets and what somebody sleeps.

    Args:
        now_s: the time at first, s.
    """

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
