"""What figures do: actions as keyframes, and the posture a figure is in meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from posed.synthetic.figure import Floats, mirrored, posture

Posture = Literal["standing", "sitting", "lying", "unknown"]


@dataclass(frozen=True, slots=True, eq=False)
class Action:
    """Postures at instants, and smooth ways between them.

    Args:
        instants: (K,) rising from 0 to 1, fractions of the action's duration (of one cycle).
        keys: (K, C) channels at those instants.
        slopes: (K, C) of the channels at those instants.
        postures: (K,): the posture from each instant on; `unknown` in between two.
        usual_s: how long the action takes unless told otherwise, s.
        cyclic: whether the action repeats; a cycle then takes `usual_s`.
    """

    instants: Floats
    keys: Floats
    slopes: Floats
    postures: tuple[Posture, ...]
    usual_s: float
    cyclic: bool = False

    def channels(self, at: float) -> Floats:
        """(C,) at a fraction of the duration; the last key holds."""
        at = self._within(at)
        index = min(self._key_before(at), len(self.instants) - 2)
        width = float(self.instants[index + 1] - self.instants[index])
        u = (at - float(self.instants[index])) / width
        weights = np.array([2 * u**3 - 3 * u**2 + 1, 3 * u**2 - 2 * u**3])
        slope_weights = np.array([u**3 - 2 * u**2 + u, u**3 - u**2]) * width
        return np.asarray(
            weights @ self.keys[index : index + 2] + slope_weights @ self.slopes[index : index + 2]
        )

    def posture(self, at: float) -> Posture:
        """What the figure counts as at a fraction of the duration."""
        return self.postures[self._key_before(self._within(at))]

    def other_side(self) -> Action:
        """The same by the other hand, or to the other side."""
        keys, slopes = mirrored(self.keys), mirrored(self.slopes)
        return replace(self, keys=keys, slopes=slopes)

    def _within(self, at: float) -> float:
        return at % 1.0 if self.cyclic else min(max(at, 0.0), 1.0)

    def _key_before(self, at: float) -> int:
        return int(np.searchsorted(self.instants, at, side="right")) - 1


def _slopes(instants: Floats, keys: Floats, *, cyclic: bool) -> Floats:
    """(K, C) per unit of time: at rest at the ends and wherever the way turns round.

    Nothing swings beyond its keys, so joints stay within their limits. Source: Fritsch and Butland 1984.
    """
    rises = np.diff(keys, axis=0) / np.diff(instants)[:, None]
    around = np.zeros_like(rises[:1])
    before = np.concatenate([rises[-1:] if cyclic else around, rises])
    after = np.concatenate([rises, rises[:1] if cyclic else around])
    onwards = before * after > 0
    return np.where(onwards, 2 * before * after / np.where(onwards, before + after, 1), 0.0)


def _action(usual_s: float, *keys: tuple[float, Posture, Floats], cyclic: bool = False) -> Action:
    instants = np.array([at for at, _, _ in keys], np.float64)
    channels = np.stack([values for _, _, values in keys])
    postures = tuple(posture_name for _, posture_name, _ in keys)
    return Action(instants, channels, _slopes(instants, channels, cyclic=cyclic), postures, usual_s, cyclic)


def _held(posture_name: Posture, channels: Floats, usual_s: float = 5) -> Action:
    return _action(usual_s, (0, posture_name, channels), (1, posture_name, channels))


_STAND: Final = posture()
_STEP: Final = posture(
    pitch=4,
    twist=-8,
    left_leg_raise=27,
    left_knee=6,
    left_foot=-8,
    right_leg_raise=-18,
    right_knee=22,
    right_foot=22,
    left_arm_raise=-22,
    right_arm_raise=26,
    left_elbow=14,
    right_elbow=28,
)
_PASS: Final = posture(
    pitch=4,
    left_leg_raise=6,
    left_knee=10,
    right_leg_raise=20,
    right_knee=58,
    right_foot=8,
    left_arm_raise=-4,
    right_arm_raise=8,
    elbow=20,
)
_SIT: Final = posture(
    pitch=-6,
    ahead=-0.2,
    bend=8,
    leg_raise=84,
    leg_out=7,
    knee=88,
    arm_raise=24,
    elbow=62,
    arm_out=9,
    arm_twist=30,
)
_SITTING_DOWN: Final = posture(
    pitch=38, ahead=-0.13, bend=14, leg_raise=92, knee=80, foot=-18, arm_raise=45, elbow=45
)
_SQUAT: Final = posture(pitch=28, bend=25, leg_raise=120, knee=135, foot=-20, arm_raise=50, elbow=40)
_FLOOR: Final = posture(
    pitch=-14, ahead=-0.25, bend=18, leg_raise=82, knee=35, arm_raise=-20, arm_out=22, elbow=10
)
_PROPPED: Final = posture(
    pitch=-48, ahead=-0.3, bend=22, nod=20, leg_raise=42, knee=40, arm_raise=-25, arm_out=18, elbow=60
)
_SUPINE: Final = posture(
    pitch=-90, ahead=-0.35, leg_out=6, arm_out=24, elbow=22, leg_raise=2, knee=6, foot=25
)
_PRONE: Final = posture(
    pitch=90, ahead=0.45, leg_out=8, arm_raise=4, arm_out=118, arm_twist=-86, elbow=75, look=55, foot=45
)
_ON_SIDE: Final = posture(
    roll=90,
    aside=0.4,
    bend=20,
    nod=12,
    leg_raise=45,
    right_leg_raise=60,
    knee=65,
    arm_raise=55,
    elbow=70,
    right_arm_twist=40,
)
_STRETCHED: Final = posture(
    roll=88, aside=0.42, left_arm_raise=150, right_arm_raise=15, right_elbow=35, leg_raise=8, knee=14
)
_BENT: Final = posture(pitch=72, ahead=-0.1, bend=38, leg_raise=80, knee=22, arm_raise=92, elbow=8, nod=-10)
_REACH: Final = posture(
    pitch=48,
    ahead=-0.06,
    bend=38,
    leg_raise=92,
    knee=84,
    foot=-15,
    right_arm_raise=72,
    elbow=10,
    left_arm_raise=35,
)
_KNEEL: Final = posture(
    pitch=42,
    bend=40,
    left_leg_raise=122,
    left_knee=105,
    right_leg_raise=48,
    right_knee=112,
    right_foot=35,
    nod=18,
    arm_raise=68,
    elbow=30,
    arm_twist=35,
)
_LEFT_UP: Final = posture(left_arm_raise=165, left_arm_out=12, left_elbow=18)
_BOTH_UP: Final = posture(arm_raise=162, arm_out=14, elbow=20)


def _fall(usual_s: float, *keys: tuple[float, Posture, Floats]) -> Action:
    return _action(usual_s, (0, "standing", _STAND), *keys)


ACTIONS: Final[dict[str, Action]] = {
    "stand": _held("standing", _STAND),
    "walk": _action(
        1.1,
        (0, "standing", _STEP),
        (0.25, "standing", _PASS),
        (0.5, "standing", mirrored(_STEP)),
        (0.75, "standing", mirrored(_PASS)),
        (1, "standing", _STEP),
        cyclic=True,
    ),
    "sit_down": _action(
        1.8,
        (0, "standing", _STAND),
        (0.5, "unknown", _SITTING_DOWN),
        (0.9, "sitting", _SIT),
        (1, "sitting", _SIT),
    ),
    "sit": _held("sitting", _SIT),
    "stand_up": _action(
        1.6,
        (0, "sitting", _SIT),
        (0.45, "unknown", _SITTING_DOWN),
        (0.9, "standing", _STAND),
        (1, "standing", _STAND),
    ),
    "sit_on_floor": _held("sitting", _FLOOR),
    "lie_down_slowly": _action(
        5,
        (0, "standing", _STAND),
        (0.25, "unknown", _SQUAT),
        (0.45, "sitting", _FLOOR),
        (0.7, "unknown", _PROPPED),
        (0.9, "lying", _SUPINE),
        (1, "lying", _SUPINE),
    ),
    "lie": _held("lying", _SUPINE),
    "lie_on_front": _held("lying", _PRONE),
    "lie_on_side": _held("lying", _ON_SIDE),
    "lie_stretched": _held("lying", _STRETCHED),
    "get_up": _action(
        4.5,
        (0, "lying", _SUPINE),
        (0.3, "unknown", _PROPPED),
        (0.5, "sitting", _FLOOR),
        (0.75, "unknown", _SQUAT),
        (1, "standing", _STAND),
    ),
    "fall_forwards": _fall(
        1.1,
        (
            0.25,
            "standing",
            posture(
                pitch=14, ahead=0.05, left_leg_raise=22, left_knee=30, arm_raise=35, arm_out=15, elbow=30
            ),
        ),
        (
            0.65,
            "unknown",
            posture(pitch=54, ahead=0.3, leg_raise=12, knee=42, arm_raise=95, arm_out=18, elbow=35, nod=-20),
        ),
        (
            0.9,
            "lying",
            posture(
                pitch=88,
                ahead=0.48,
                arm_raise=160,
                arm_out=30,
                arm_twist=-50,
                elbow=60,
                nod=-15,
                knee=14,
                foot=40,
            ),
        ),
        (1, "lying", _PRONE),
    ),
    "fall_backwards": _fall(
        1.1,
        (0.25, "standing", posture(pitch=-12, ahead=-0.04, arm_raise=45, arm_out=30, leg_raise=8, knee=14)),
        (
            0.65,
            "unknown",
            posture(
                pitch=-46, ahead=-0.28, leg_raise=48, knee=55, arm_raise=30, arm_out=55, elbow=25, nod=25
            ),
        ),
        (0.9, "lying", posture(pitch=-86, ahead=-0.45, leg_raise=26, knee=38, arm_out=60, elbow=30, nod=10)),
        (1, "lying", posture(pitch=-90, ahead=-0.46, leg_raise=12, knee=22, leg_out=9, arm_out=55, elbow=35)),
    ),
    "fall_sideways": _fall(
        1.1,
        (
            0.25,
            "standing",
            posture(roll=14, aside=0.05, left_arm_out=40, right_arm_out=35, left_knee=18, left_leg_raise=12),
        ),
        (
            0.65,
            "unknown",
            posture(roll=52, aside=0.3, left_arm_out=75, right_arm_out=40, leg_raise=15, knee=35, lean=-12),
        ),
        (
            0.9,
            "lying",
            posture(
                roll=88,
                aside=0.46,
                left_arm_raise=95,
                left_elbow=45,
                right_arm_raise=30,
                leg_raise=22,
                knee=34,
            ),
        ),
        (
            1,
            "lying",
            posture(
                roll=92,
                aside=0.46,
                left_arm_raise=110,
                left_elbow=50,
                right_arm_raise=40,
                leg_raise=25,
                knee=40,
            ),
        ),
    ),
    "slump": _fall(
        1.7,
        (0.3, "standing", posture(bend=16, nod=30, leg_raise=28, knee=48, foot=-15, arm_out=6)),
        (0.6, "unknown", posture(pitch=-8, bend=36, nod=40, leg_raise=70, knee=128, foot=10, ahead=-0.1)),
        (
            0.85,
            "lying",
            posture(
                roll=66, aside=0.22, bend=32, nod=30, lean=12, leg_raise=62, knee=100, arm_raise=40, elbow=50
            ),
        ),
        (
            1,
            "lying",
            posture(roll=88, aside=0.28, bend=26, nod=22, leg_raise=52, knee=86, arm_raise=48, elbow=55),
        ),
    ),
    "bend_down": _action(
        3,
        (0, "standing", _STAND),
        (0.4, "standing", _BENT),
        (0.6, "standing", _BENT),
        (1, "standing", _STAND),
    ),
    "pick_up": _action(
        2.4,
        (0, "standing", _STAND),
        (0.45, "unknown", _REACH),
        (0.55, "unknown", _REACH),
        (0.75, "standing", _BENT * 0.4 + _STAND * 0.6),
        (1, "standing", _STAND),
    ),
    "tie_shoes": _action(
        6,
        (0, "standing", _STAND),
        (0.2, "unknown", _KNEEL),
        (0.8, "unknown", _KNEEL),
        (1, "standing", _STAND),
    ),
    "raise_left_hand": _action(
        3,
        (0, "standing", _STAND),
        (0.2, "standing", _LEFT_UP),
        (0.8, "standing", _LEFT_UP),
        (1, "standing", _STAND),
    ),
    "raise_both_hands": _action(
        3,
        (0, "standing", _STAND),
        (0.2, "standing", _BOTH_UP),
        (0.8, "standing", _BOTH_UP),
        (1, "standing", _STAND),
    ),
}
ACTIONS["raise_right_hand"] = ACTIONS["raise_left_hand"].other_side()
"""`ACTIONS` has every action by its name."""

SEATED: Final = ("sit_down", "sit", "stand_up")
"""These actions need a chair."""

FALLS: Final = ("fall_forwards", "fall_backwards", "fall_sideways", "slump")
"""These actions are falls."""

CYCLE_M: Final = 1.35
"""A walker comes this far in one cycle, m."""
