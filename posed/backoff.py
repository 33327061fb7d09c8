"""Waits between attempts at something that fails: longer each time, and never in step with others."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Waits that double, from the first to the longest, each between half of that and all of it.

    Args:
        first_s: the longest first wait.
        longest_s: the longest wait of all.
        jitter: random numbers, 0 to 1, so that devices do not return to a broker all at once.
    """

    def __init__(self, first_s: float, longest_s: float, jitter: Callable[[], float]) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._jitter = jitter
        self._wait_s = first_s

    def next_s(self) -> float:
        """How long to wait this time, s."""
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, self._longest_s)
        return wait_s * (0.5 + 0.5 * self._jitter())

    def reset(self) -> None:
        """Begin again with the first wait."""
        self._wait_s = self._first_s
