"""How far apart two answers of one network are, in steps of its quantised outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from posed.model.outputs import Outputs, OutputTensor

CLOSE_STEPS: Final = 8.0
CLOSE_SHARE: Final = 0.99
"""Two answers are the same where this share of their values is at most so many steps apart. Two runtimes, and
two processors, differ by a few; no two answers to different pictures come near."""

_STEPS_OF_A_FLOAT: Final = 255
"""The range of a float output is taken for so many steps."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two answers.

    Args:
        equal: share of the values that are the same, 0-1.
        close: share of the values that are at most `CLOSE_STEPS` apart, 0-1.
        most_steps: the largest difference.
    """

    equal: float
    close: float
    most_steps: float

    @classmethod
    def between(cls, ours: Outputs, expected: Outputs) -> Self:
        """Compare output tensors one by one, which must have the same shapes."""
        pairs = zip(ours, expected, strict=True)
        steps = np.concatenate([_steps(one, other) for one, other in pairs])
        return cls(
            float((steps < 0.5).mean()), float((steps <= CLOSE_STEPS + 0.5).mean()), float(steps.max())
        )

    @property
    def is_small(self) -> bool:
        """Whether the two are taken for the same."""
        return self.close >= CLOSE_SHARE

    @property
    def words(self) -> str:
        """For people."""
        return (
            f"{self.equal:.1%} of the values equal, {self.close:.1%} within {CLOSE_STEPS:g} steps, "
            f"at most {self.most_steps:.0f} steps apart"
        )


def _steps(one: OutputTensor, other: OutputTensor) -> NDArray[np.float32]:
    wanted = other.values()
    step = other.scale
    if other.data.dtype == np.float32:
        step = float(np.ptp(wanted)) / _STEPS_OF_A_FLOAT or 1.0
    return np.asarray(np.abs(one.values() - wanted) / step, np.float32).reshape(-1)
