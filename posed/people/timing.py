"""Time as people see it: the frames' own, which may jump, and what must hold for a while before it counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

LONGEST_STEP_S: Final = 2.0
"""A longer gap between frames counts as this much: while nobody looks, nothing holds."""


class Elapsed:
    """Turns frames' times into time that never runs back and passes only while frames come."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._last_s: float | None = None

    def advance(self, time_s: float) -> float:
        """Go on to a frame.

        Returns:
            What passed since the one before, s: 0 after a jump back, at most `LONGEST_STEP_S`.
        """
        step_s = 0.0 if self._last_s is None else min(max(time_s - self._last_s, 0.0), LONGEST_STEP_S)
        self._last_s = time_s
        self.now_s += step_s
        return step_s


@dataclass(slots=True)
class Held:
    """A yes or no that changes only when the other answer has been given for a while without a break.

    Args:
        rise_s: how long a yes must last; `fall_s`: a no.
    """

    rise_s: float
    fall_s: float
    value: bool = False
    _since_s: float = math.nan

    def update(self, answer: bool, now_s: float) -> bool:
        """Take an answer; returns whether the value changed."""
        if answer == self.value:
            self._since_s = math.nan
            return False
        if math.isnan(self._since_s):
            self._since_s = now_s
        if now_s - self._since_s < (self.rise_s if answer else self.fall_s) - _ROUNDING_S:
            return False
        self.value, self._since_s = answer, math.nan
        return True


_ROUNDING_S: Final = 1e-6
"""Sums of frame times miss a limit by less."""
