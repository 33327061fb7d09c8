"""The articulated figure: proportions, joint angles with their limits, and where every point of it is.

A figure's own axes are x to its left, y up and z ahead. The world's are x to the right of a viewer, y up and
z towards that viewer, so a figure with heading 0 faces the viewer. Angles are degrees, lengths metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.pose import KEYPOINT_COUNT, LEFT_WRIST, RIGHT_WRIST

Floats = NDArray[np.float64]

_TRUNK: Final = {
    "pitch": (-100, 100),
    "roll": (-100, 100),
    "ahead": (-1, 1),
    "aside": (-1, 1),
    "bend": (-25, 60),
    "lean": (-30, 30),
    "twist": (-45, 45),
    "nod": (-50, 45),
    "tilt": (-35, 35),
    "look": (-75, 75),
}
_LIMB: Final = {
    "arm_raise": (-50, 180),
    "arm_out": (-20, 170),
    "arm_twist": (-90, 90),
    "elbow": (0, 150),
    "leg_raise": (-25, 125),
    "leg_out": (-15, 45),
    "leg_twist": (-35, 35),
    "knee": (0, 145),
    "foot": (-25, 50),
}

LIMITS: Final = {
    **_TRUNK,
    **{f"{side}_{name}": limits for side in ("left", "right") for name, limits in _LIMB.items()},
}
"""Each channel of a posture has this least and this greatest value.

Whole body: pitch (forwards is positive) and roll (to the own left), degrees; ahead and aside (to the own
left): where the pelvis is off its place, in statures. Spine: bend, lean, twist. Head: nod, tilt, look (to
the own left). Arms and legs: raise is forwards, out is away from the body, twist inwards; elbow and knee are
0 when straight, foot is 0 at a right angle, positive with the toes down. Source: the usual clinical ranges of
motion, rounded.
"""

CHANNELS: Final = tuple(LIMITS)
CHANNEL: Final = {name: index for index, name in enumerate(CHANNELS)}
_LOWEST: Final = np.array([low for low, _ in LIMITS.values()], np.float64)
_HIGHEST: Final = np.array([high for _, high in LIMITS.values()], np.float64)
_EASY: Final = {"arm_out": 8, "elbow": 14, "arm_twist": 15}


def posture(**channels: float) -> Floats:
    """All channels of a posture, standing easily where nothing else is said.

    Args:
        **channels: values by name; one of an arm or leg without its side (`knee`) is of both sides.
    """
    values = np.zeros(len(CHANNELS))
    for name, value in (*_EASY.items(), *channels.items()):
        for channel in [name] if name in CHANNEL else [f"left_{name}", f"right_{name}"]:
            values[CHANNEL[channel]] = value
    return values


def _other_side(channel: str) -> str:
    return channel.replace("left_", "*").replace("right_", "left_").replace("*", "right_")


_SWAP: Final = np.array([CHANNEL[_other_side(name)] for name in CHANNELS])
_FLIP: Final = np.array(
    [-1.0 if name in ("roll", "aside", "lean", "twist", "tilt", "look") else 1.0 for name in CHANNELS]
)


def mirrored(channels: Floats) -> Floats:
    """The posture with left and right exchanged."""
    return np.asarray(channels[..., _SWAP] * _FLIP)


def within_limits(channels: Floats) -> Floats:
    """The nearest posture that joints allow."""
    return np.minimum(np.maximum(channels, _LOWEST), _HIGHEST)


@dataclass(frozen=True, slots=True)
class Build:
    """How a person is built; all but the stature as factors of the average.

    Source of the average: Drillis and Contini's segment lengths as fractions of the stature.
    """

    stature_m: float = 1.7
    girth: float = 1.0
    head: float = 1.0
    torso: float = 1.0
    shoulders: float = 1.0
    hips: float = 1.0
    arms: float = 1.0
    legs: float = 1.0


SEGMENTS: Final = (
    "pelvis",
    "chest",
    "head",
    "left_arm",
    "right_arm",
    "left_forearm",
    "right_forearm",
    "left_thigh",
    "right_thigh",
    "left_shin",
    "right_shin",
    "left_foot",
    "right_foot",
)
_SEGMENT: Final = {name: index for index, name in enumerate(SEGMENTS)}
_GENERATIONS: Final = (
    ([1, 7, 8], [0, 0, 0]),
    ([2, 3, 4, 9, 10], [1, 1, 1, 7, 8]),
    ([5, 6, 11, 12], [3, 4, 9, 10]),
)
"""Each pair has segments and the ones that carry them, from the pelvis outwards."""
HEAD: Final = _SEGMENT["head"]

CAPSULES: Final = (
    "neck",
    "hair",
    *(
        f"{side}_{name}"
        for side in ("left", "right")
        for name in ("arm", "sleeve", "forearm", "cuff", "hand", "thigh", "leg", "shin", "hem", "foot")
    ),
)
"""These are the tapered round parts; sleeve, cuff, leg and hem are the clothes over arm, forearm, thigh and
shin."""
CAPSULE: Final = {name: index for index, name in enumerate(CAPSULES)}

_RING: Final = 12
_ANGLES: Final = np.arange(_RING) * (2 * np.pi / _RING)
_CIRCLE: Final = np.stack([np.cos(_ANGLES), np.zeros(_RING), np.sin(_ANGLES)], 1)
HEAD_AXES: Final = np.concatenate([np.eye(3), -np.eye(3)])
"""The points of `HEAD_POINTS` lie in these directions from the head's middle, (6, 3)."""

_CAPSULE_START: Final = KEYPOINT_COUNT
_CHEST_START: Final = _CAPSULE_START + 2 * len(CAPSULES)
_CHEST_RINGS: Final = (
    (0.24, 0.032, 0.034),
    (0.212, 0.092, 0.045),
    (0.13, 0.098, 0.067),
    (-0.005, 0.08, 0.058),
    (-0.05, 0.086, 0.062),
)
_PELVIS_RINGS: Final = ((0.05, 0.08, 0.056), (-0.02, 0.09, 0.066), (-0.065, 0.07, 0.05))
_PELVIS_START: Final = _CHEST_START + _RING * len(_CHEST_RINGS)
_HEAD_START: Final = _PELVIS_START + _RING * len(_PELVIS_RINGS)
_FACE_START: Final = _HEAD_START + len(HEAD_AXES)

CAPSULE_ENDS: Final = slice(_CAPSULE_START, _CHEST_START)
CHEST_POINTS: Final = slice(_CHEST_START, _PELVIS_START)
PELVIS_POINTS: Final = slice(_PELVIS_START, _HEAD_START)
HEAD_POINTS: Final = slice(_HEAD_START, _FACE_START)
FACE_POINTS: Final = slice(_FACE_START, _FACE_START + 9)
"""The points of the face are, in this order: mouth left, middle, right; left brow out, in; right brow in,
out; bridge of the nose; chin."""
CHEST_RING: Final = _RING


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A build as points fixed to segments.

    Args:
        build: the build that the body was made from.
        joints: (13, 3) m: where each segment begins, in the axes of the one before it.
        local: (N, 3) m: all points, in the axes of their segment; keypoints first, then the slices above.
        radii: (22, 2) m: of both ends of each capsule.
        head: (3,) m: half axes of the head.
    """

    build: Build
    joints: Floats
    local: Floats
    radii: Floats
    head: Floats

    @classmethod
    def of(cls, build: Build) -> Body:
        """The body of a build."""
        torso, legs, arms = build.torso, build.legs, build.arms
        size = np.array([0.048, 0.066, 0.059]) * build.head
        neck = np.array([0, 0.25 * torso, 0.005])
        centre = np.array([0, 0.075, 0.012]) * build.head
        shoulder = 0.098 * build.shoulders
        hip = 0.058 * build.hips
        joints = np.zeros((len(SEGMENTS), 3))
        joints[1] = (0, 0.04, 0)
        joints[2] = neck
        for side, first in ((1, 0), (-1, 1)):
            joints[3 + first] = (side * shoulder, 0.2 * torso, -0.005)
            joints[5 + first] = (0, -0.18 * arms, 0)
            joints[7 + first] = (side * hip, -0.03, 0)
            joints[9 + first] = (0, -0.245 * legs, 0)
            joints[11 + first] = (0, -0.246 * legs, 0)
        ends, radii = _capsules(build)
        chest = _CHEST * (build.shoulders, torso, 1)
        pelvis = _PELVIS * (build.hips, 1, 1)
        width = np.array([0.6 + 0.4 * build.girth, 1, build.girth])
        local = np.concatenate(
            [
                _keypoints(centre, size),
                ends.reshape(-1, 3),
                chest * width,
                pelvis * width,
                centre + HEAD_AXES * size,
                centre + _FACE * size,
            ]
        )
        return cls(
            build,
            joints * build.stature_m,
            local * build.stature_m,
            radii * build.stature_m,
            size * build.stature_m,
        )


def _rings(rings: tuple[tuple[float, float, float], ...]) -> Floats:
    """(12 R, 3) in statures, of R rings (height, half width, half depth)."""
    return np.concatenate([_CIRCLE * (x, 1, z) + np.array([0, y, 0]) for y, x, z in rings])


_CHEST: Final = _rings(_CHEST_RINGS)
_PELVIS: Final = _rings(_PELVIS_RINGS)

FEATURES: Final = np.array(
    # In half axes of the head: nose, eyes, ears.
    [[0, -0.2, 1.16], [0.39, 0.13, 0.89], [-0.39, 0.13, 0.89], [1.0, -0.02, -0.1], [-1.0, -0.02, -0.1]]
)
_FACE: Final = np.array(
    [
        [0.3, -0.54, 0.82],
        [0, -0.56, 0.88],
        [-0.3, -0.54, 0.82],
        [0.58, 0.3, 0.78],
        [0.2, 0.34, 0.94],
        [-0.2, 0.34, 0.94],
        [-0.58, 0.3, 0.78],
        [0, 0.1, 1.0],
        [0, -0.92, 0.45],
    ]
)


def _keypoints(centre: Floats, size: Floats) -> Floats:
    """(17, 3): the face's on the head, all others where their segment begins."""
    points = np.zeros((KEYPOINT_COUNT, 3))
    points[:5] = centre + FEATURES * size
    return points


_ENDS: Final = {
    "neck": ((0, 0.2, 0), (0, 0.285, 0.005)),
    "hair": ((0, 0.092, -0.009), (0, -0.03, -0.025)),
    "arm": ((0, -0.004, 0), (0, -0.18, 0)),
    "sleeve": ((0, -0.004, 0), (0, -0.108, 0)),
    "forearm": ((0, 0, 0), (0, -0.146, 0)),
    "cuff": ((0, 0, 0), (0, -0.139, 0)),
    "hand": ((0, -0.16, 0.004), (0, -0.211, 0.006)),
    "thigh": ((0, 0, 0), (0, -0.245, 0)),
    "leg": ((0, 0, 0), (0, -0.245, 0)),
    "shin": ((0, 0, -0.004), (0, -0.246, 0)),
    "hem": ((0, 0, -0.004), (0, -0.236, 0)),
    "foot": ((0, -0.014, -0.015), (0, -0.022, 0.098)),
}
_RADII: Final = {
    "neck": (0.031, 0.028),
    "hair": (0.05, 0.044),
    "arm": (0.032, 0.027),
    "sleeve": (0.035, 0.034),
    "forearm": (0.026, 0.017),
    "cuff": (0.029, 0.022),
    "hand": (0.018, 0.015),
    "thigh": (0.055, 0.037),
    "leg": (0.058, 0.042),
    "shin": (0.036, 0.021),
    "hem": (0.041, 0.03),
    "foot": (0.024, 0.019),
}
_FLESH: Final = {"neck": 0.6, "hair": 0.0, "hand": 0.2, "foot": 0.1}
"""A part takes on this much of the girth; the others take 0.8."""

_KINDS: Final = [name.rpartition("_")[2] for name in CAPSULES]
_CAPSULE_ENDS: Final = np.array([_ENDS[kind] for kind in _KINDS], np.float64)
_CAPSULE_RADII: Final = np.array([_RADII[kind] for kind in _KINDS])
_CAPSULE_FLESH: Final = np.array([_FLESH.get(kind, 0.8) for kind in _KINDS])[:, None]
_SCALED_BY: Final = {"neck": 0, "hair": 1, "foot": 4, "thigh": 3, "leg": 3, "shin": 3, "hem": 3}
_CAPSULE_SCALE: Final = np.array([_SCALED_BY.get(kind, 2) for kind in _KINDS])


def _capsules(build: Build) -> tuple[Floats, Floats]:
    """Ends (22, 2, 3) and radii (22, 2), in statures."""
    scales = np.array([build.torso, build.head, build.arms, build.legs, 1.0])[_CAPSULE_SCALE]
    radii = _CAPSULE_RADII * (1 + (build.girth - 1) * _CAPSULE_FLESH)
    radii[CAPSULE["hair"]] *= build.head
    return _CAPSULE_ENDS * scales[:, None, None], radii


def _point_segments() -> NDArray[np.intp]:
    keypoints = ["head"] * 5 + [
        f"{side}_{name}"
        for name in ("arm", "forearm", "hand", "thigh", "shin", "foot")
        for side in ("left", "right")
    ]
    # The wrist has no segment of its own: it is the forearm's far end.
    keypoints = [name.replace("hand", "forearm") for name in keypoints]
    owners = {
        "neck": "chest",
        "hair": "head",
        "sleeve": "arm",
        "cuff": "forearm",
        "hand": "forearm",
        "leg": "thigh",
        "hem": "shin",
    }
    capsules = []
    for name in CAPSULES:
        side, _, kind = name.rpartition("_")
        owner = owners.get(kind, kind)
        capsules += [f"{side}_{owner}" if side else owner] * 2
    rest = ["chest"] * (_RING * len(_CHEST_RINGS)) + ["pelvis"] * (_RING * len(_PELVIS_RINGS))
    rest += ["head"] * (len(HEAD_AXES) + len(_FACE))
    return np.array([_SEGMENT[name] for name in keypoints + capsules + rest])


_POINT_SEGMENT: Final = _point_segments()


def _columns(*names: str) -> list[int]:
    return [CHANNEL[name] for name in names]


# Which channels turn a segment about its x, z and y axis, and with which sign: (segment, channels, signs).
_TURNS: Final = (
    (0, _columns("pitch", "roll"), (1, -1)),
    (1, _columns("bend", "lean", "twist"), (1, -1, 1)),
    (2, _columns("nod", "tilt", "look"), (1, -1, 1)),
    (3, _columns("left_arm_raise", "left_arm_out", "left_arm_twist"), (-1, 1, -1)),
    (4, _columns("right_arm_raise", "right_arm_out", "right_arm_twist"), (-1, -1, 1)),
    (5, _columns("left_elbow"), (-1,)),
    (6, _columns("right_elbow"), (-1,)),
    (7, _columns("left_leg_raise", "left_leg_out", "left_leg_twist"), (-1, 1, -1)),
    (8, _columns("right_leg_raise", "right_leg_out", "right_leg_twist"), (-1, -1, 1)),
    (9, _columns("left_knee"), (1,)),
    (10, _columns("right_knee"), (1,)),
    (11, _columns("left_foot"), (1,)),
    (12, _columns("right_foot"), (1,)),
)


def _turn_matrix() -> Floats:
    """(C, 39): from channels to the angles of all segments."""
    matrix = np.zeros((len(CHANNELS), len(SEGMENTS), 3))
    for segment, columns, signs in _TURNS:
        for axis, (column, sign) in enumerate(zip(columns, signs, strict=True)):
            matrix[column, segment, axis] = sign
    return matrix.reshape(len(CHANNELS), -1)


_TURN_MATRIX: Final = _turn_matrix()


def _joint_angles(channels: Floats) -> Floats:
    """(P, 13, 3) rad about x, z and y; the pelvis' are those of the whole body."""
    return np.radians(channels @ _TURN_MATRIX).reshape(len(channels), len(SEGMENTS), 3)


def _rotations(angles: Floats) -> Floats:
    """(…, 3, 3) = X @ Z @ Y of angles (…, 3) about x, z and y, rad."""
    cosines, sines = np.cos(angles), np.sin(angles)
    cx, cz, cy = cosines[..., 0], cosines[..., 1], cosines[..., 2]
    sx, sz, sy = sines[..., 0], sines[..., 1], sines[..., 2]
    turned = np.empty((*angles.shape[:-1], 3, 3))
    turned[..., 0, 0], turned[..., 0, 1], turned[..., 0, 2] = cz * cy, -sz, cz * sy
    turned[..., 1, 0] = cx * sz * cy + sx * sy
    turned[..., 1, 1] = cx * cz
    turned[..., 1, 2] = cx * sz * sy - sx * cy
    turned[..., 2, 0] = sx * sz * cy - cx * sy
    turned[..., 2, 1] = sx * cz
    turned[..., 2, 2] = sx * sz * sy + cx * cy
    return turned


@dataclass(frozen=True, slots=True, eq=False)
class Posed:
    """Bodies in a posture, in the world.

    Args:
        points: (P, N, 3) m, in the order of `Body.local`.
        heads: (P, 3, 3): rotation from the head's axes to the world's.
    """

    points: Floats
    heads: Floats


def stand_on_ground(bodies: list[Body], channels: Floats, headings: Floats, places: Floats) -> Posed:
    """Put bodies into postures, their lowest part on the ground.

    Args:
        bodies: P of them.
        channels: (P, C) in the order of `CHANNELS`; held within the limits.
        headings: (P,) degrees; 0 faces the viewer, 90 the viewer's right.
        places: (P, 3) m: the ground's point under the pelvis, before `ahead` and `aside`.
    """
    channels = within_limits(channels)
    rotations = _rotations(_joint_angles(channels))
    heading = _rotations(np.radians(headings)[:, None] * (0, 0, 1))
    rotations[:, 0] = heading @ rotations[:, 0]
    joints = np.stack([body.joints for body in bodies])
    origins = np.zeros_like(joints)
    for segments, parents in _GENERATIONS:
        turned = rotations[:, parents]
        origins[:, segments] = origins[:, parents] + np.einsum("psij,psj->psi", turned, joints[:, segments])
        rotations[:, segments] = turned @ rotations[:, segments]
    local = np.stack([body.local for body in bodies])
    points = np.einsum("pnij,pnj->pni", rotations[:, _POINT_SEGMENT], local) + origins[:, _POINT_SEGMENT]
    hands = [_CAPSULE_START + 2 * CAPSULE[f"{side}_forearm"] + 1 for side in ("left", "right")]
    points[:, [LEFT_WRIST, RIGHT_WRIST]] = points[:, hands]
    shift = np.array([[body.build.stature_m] for body in bodies]) * channels[:, _columns("aside", "ahead")]
    moved = heading @ np.stack([shift[:, 0], 0 * shift[:, 0], shift[:, 1]], -1)[..., None]
    points += (places + moved[..., 0])[:, None]
    points[..., 1] -= (_lowest(bodies, points) - places[:, 1])[:, None]
    return Posed(points, rotations[:, HEAD])


def _lowest(bodies: list[Body], points: Floats) -> Floats:
    """(P,) m: the height of the lowest part."""
    radii = np.stack([body.radii for body in bodies]).reshape(len(bodies), -1)
    # Hair hangs through the ground rather than lifting the head.
    radii[:, 2 * CAPSULE["hair"] : 2 * CAPSULE["hair"] + 2] = -1
    round_parts = (points[:, CAPSULE_ENDS, 1] - radii).min(1)
    return np.asarray(np.minimum(round_parts, points[:, CHEST_POINTS.start : _FACE_START, 1].min(1)))
