"""How clearly somebody lies who went down, and what says so."""

from __future__ import annotations

from typing import Final, Literal

from posed.people.floor import UP, Floor
from posed.people.posture import LYING, Joints, Posture, Shape

Kind = Literal["head_low", "flat", "along_view", "not_lying"]
KINDS: Final[tuple[Kind, ...]] = ("head_low", "flat", "along_view", "not_lying")
"""Evidence is of these kinds: a head as low as on the floor; a body that lies flat, on whatever; one that
lies along the view, with the head away from the camera; and, against all of these, crouching, sitting or
bending."""

FITS: Final = 0.5
"""A posture counts here from this score on."""

_FLAT: Final = 0.28
_LEVEL_DEG: Final = 60.0
_LEVEL: Final = 0.12
"""Who lies is no higher than this, from the highest keypoint to the lowest, in statures, or their trunk leans
by so much and their head is no higher over the hips than this. Crouching with a bowed head people are 0.30 to
0.51 high, with a trunk of 0.13 to 0.22 that leans by up to 66 degrees."""


def belief(score: float) -> float:
    """How far a pose of that score is believed, 0-1."""
    return min(max((score - _DOUBTED) / (_BELIEVED - _DOUBTED), 0.0), 1.0)


_DOUBTED: Final = 0.25
_BELIEVED: Final = 0.5
"""Between these scores a pose counts in part: those that the network invents score little."""


def _is_flat(shape: Shape) -> bool:
    """Whether a body lies, on whatever."""
    level = shape.lean_deg >= _LEVEL_DEG and shape.trunk <= _LEVEL
    return shape.scores[LYING] >= FITS and (shape.height <= _FLAT or level)


def lying_evidence(shape: Shape, joints: Joints, floor: Floor, before: Posture) -> tuple[float, Kind]:
    """How clearly somebody lies who went down: on the floor, or from standing on anything.

    Returns:
        (1, or -1 where they clearly do not; nan where nothing says so, what says so)
    """
    head_height, evidence = floor.head_height(joints), floor.lying_evidence(joints, shape)
    if before == "standing" and not head_height >= UP and shape.scores[LYING] >= FITS:
        if _is_flat(shape) and not evidence >= _FLAT_COUNTS:
            return _FLAT_COUNTS, "flat"
        if _has_high_hips(shape, head_height) and not evidence >= _AWAY_COUNTS:
            return _AWAY_COUNTS, "along_view"
    return evidence, "head_low" if evidence > 0 else "not_lying"


def _has_high_hips(shape: Shape, head_height: float) -> bool:
    """Whether somebody lies with the head away from a camera that looks down: who crouches has lower hips."""
    return head_height - shape.trunk >= _HIPS_AWAY and shape.trunk <= _TRUNK_AWAY


_HIPS_AWAY: Final = 0.16
_TRUNK_AWAY: Final = 0.2
"""Whoever lies with the head away has the hips at least `_HIPS_AWAY` over the floor, and the head at most
this over the hips, in statures."""

_AWAY_COUNTS: Final = 0.2
_FLAT_COUNTS: Final = 0.5
"""Beside the 1 of a head as low as on the floor, the other two kinds of evidence count for this much."""
