"""Drawing people with OpenCV: tapered round limbs from back to front, shaded, clothed, and with a face."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.frame import Image
from posed.pose import (
    FACE,
    KEYPOINT_COUNT,
    LEFT_ANKLE,
    LEFT_EAR,
    LEFT_ELBOW,
    LEFT_EYE,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_SHOULDER,
    LEFT_WRIST,
    NOSE,
    RIGHT_EAR,
    RIGHT_EYE,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_SHOULDER,
)
from posed.synthetic.figure import (
    CAPSULE,
    CAPSULE_ENDS,
    CAPSULES,
    CHEST_POINTS,
    CHEST_RING,
    FACE_POINTS,
    FEATURES,
    HEAD_POINTS,
    PELVIS_POINTS,
    Body,
    Floats,
    Posed,
)

Colour = tuple[float, float, float]
"""A colour is RGB, each 0-255."""

Fixed = NDArray[np.int32]

NEUTRAL: Final = 200
"""Where the shading has this value, it leaves a colour as it is."""

_NEAREST_M: Final = 0.25
_FIXED: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A pinhole camera.

    Args:
        position: (3,) m, in the world.
        rotation: (3, 3): from the world's axes to right, down and away from the viewer.
        focal_px: focal length, px.
        size: (width, height) of the picture, px.
    """

    position: Floats
    rotation: Floats
    focal_px: float
    size: tuple[int, int]

    @classmethod
    def of(
        cls, size: tuple[int, int], focal_px: float, position: Floats, down_deg: float, roll_deg: float = 0
    ) -> View:
        """A camera that looks into the depth (-z), tilted down and rolled clockwise, degrees."""
        down, roll = np.radians([down_deg, roll_deg])
        level = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
        tilt = np.array([[1, 0, 0], [0, np.cos(down), -np.sin(down)], [0, np.sin(down), np.cos(down)]])
        turn = np.array([[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        return cls(position, turn @ tilt @ level, focal_px, size)

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """(…, 2) px, x first, and (…,) depth in m, of points (…, 3) of the world."""
        seen = (points - self.position) @ self.rotation.T
        depth = np.maximum(seen[..., 2], _NEAREST_M)
        centre = (np.array(self.size) - 1) / 2
        return seen[..., :2] * (self.focal_px / depth)[..., None] + centre, depth

    def place(self, pixel: tuple[float, float], depth_m: float) -> Floats:
        """(3,) m: the point of the world that is seen at a pixel (x, y) at a depth."""
        x, y = (np.array(pixel) - (np.array(self.size) - 1) / 2) * (depth_m / self.focal_px)
        return np.asarray(self.position + np.array([x, y, depth_m]) @ self.rotation)


@dataclass(frozen=True, slots=True)
class Look:
    """Colours and clothes of a person.

    Args:
        sleeves: how far they reach: `none`, `short`, `long`.
        legwear: `trousers`, `shorts`, `skirt`.
        hair: `short`, `long`, `bald`, `hat`.
        pattern: on the top: `plain`, `stripes`, `open` (a jacket over a shirt).
        second: the colour of stripes or of the shirt under the jacket.
    """

    skin: Colour
    hair_colour: Colour
    top: Colour
    bottom: Colour
    shoes: Colour
    second: Colour
    sleeves: str = "short"
    legwear: str = "trousers"
    hair: str = "short"
    pattern: str = "plain"
    beard: bool = False
    glasses: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Chair:
    """A chair in the world.

    Args:
        parts: (6, 8, 3) m: corners of its back, its seat and its four legs.
    """

    parts: Floats
    colour: Colour

    @classmethod
    def under(cls, points: Floats, heading_deg: float, ground_m: float, colour: Colour) -> Chair:
        """The chair that fits somebody who sits, with points (N, 3) as in `Posed`."""
        hips = points[[LEFT_HIP, RIGHT_HIP]].mean(0)
        height = float(points[PELVIS_POINTS, 1].min()) - ground_m
        boxes = [((-0.2, 0.2), (-0.05, 0.5), (-0.24, -0.2)), ((-0.21, 0.21), (-0.05, 0), (-0.22, 0.2))]
        boxes += [
            ((x, x + 0.03), (-height, -0.05), (z, z + 0.03)) for x in (-0.2, 0.17) for z in (-0.21, 0.17)
        ]
        corners = np.array([list(itertools.product(*box)) for box in boxes])
        angle = np.radians(heading_deg)
        turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
        return cls(corners @ turn + (hips[0], ground_m + height, hips[2]), colour)


@dataclass(frozen=True, slots=True)
class Light:
    """Where light comes from and how soft it is.

    Args:
        towards: (x, y) in the picture, length at most 1.
        ambient: how bright the shaded side is, 0-1.
        folds: how strong the folds of clothes are, 0-1.
    """

    towards: tuple[float, float]
    ambient: float
    folds: float = 0.3


def _tile() -> NDArray[np.uint8]:
    """(640, 640) smooth noise about 128: folds of cloth."""
    noise = np.random.default_rng(7).standard_normal((160, 160)).astype(np.float32)
    coarse = cv2.resize(cv2.GaussianBlur(noise, (0, 0), 1.6), (640, 640), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(noise, (640, 640), interpolation=cv2.INTER_LINEAR)
    mixed = coarse / coarse.std() + 0.25 * fine
    return np.asarray(np.clip(mixed * 40 + 128, 0, 255), np.uint8)


_FOLDS: Final = _tile()

_SIDES: Final = ("left", "right")
_LIMBS: Final = ("arm", "forearm", "thigh", "shin", "foot")
_GROUPS: Final[tuple[str, ...]] = (
    *("torso", "neck", "head", "hair"),
    *(f"{side}_{limb}" for limb in _LIMBS for side in _SIDES),
    "skirt",
)
_GROUP: Final = {name: index for index, name in enumerate(_GROUPS)}
LABELS_PER_PERSON: Final = 16
MOST_PEOPLE: Final = 15
FURNITURE: Final = 255
"""Whatever else hides people has this label."""


def _shown_by() -> NDArray[np.bool_]:
    """(17, 16): which parts show a keypoint rather than hide it."""
    table = np.zeros((KEYPOINT_COUNT, LABELS_PER_PERSON), bool)
    table[FACE, _GROUP["head"]] = True
    table[[LEFT_EAR, RIGHT_EAR], _GROUP["hair"]] = True
    names = {
        LEFT_SHOULDER: "arm",
        LEFT_ELBOW: "arm forearm",
        LEFT_WRIST: "forearm",
        LEFT_HIP: "thigh",
        LEFT_KNEE: "thigh shin",
        LEFT_ANKLE: "shin foot",
    }
    for first, parts in names.items():
        for index, side in ((first, "left"), (first + 1, "right")):
            for part in parts.split():
                table[index, _GROUP[f"{side}_{part}"]] = True
    for index in (LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP):
        table[index, _GROUP["torso"]] = True
    table[[LEFT_SHOULDER, RIGHT_SHOULDER], _GROUP["neck"]] = True
    table[[LEFT_HIP, RIGHT_HIP, LEFT_KNEE, RIGHT_KNEE], _GROUP["skirt"]] = True
    return table


_SHOWN_BY: Final = _shown_by()

_GROUP_CAPSULES: Final = [CAPSULE[name] for name in _GROUPS if name in CAPSULE]
_ORDERED: Final = [_GROUP[name] for name in _GROUPS if name in CAPSULE]

# How much nearer than its middle a part counts when parts are put in order, m.
_NEARER_M: Final = np.array([0.0, -0.04, 0.05, -0.02] + [0.03] * 4 + [0.0] * 6 + [0.02])


_ARC: Final = np.linspace(-np.pi / 2, np.pi / 2, 7)
_OUTLINE: Final = np.concatenate([_ARC, _ARC + np.pi])
_OUTLINE_AXES: Final = np.stack([np.cos(_OUTLINE), np.sin(_OUTLINE)], 1)


def _outlines(ends: Floats, radii: Floats) -> Floats:
    """(P, K, 14, 2) px: around capsules with ends (P, K, 2, 2) and radii (P, K, 2)."""
    along = ends[:, :, 1] - ends[:, :, 0]
    along = along / np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-6)[..., None]
    across = np.stack([-along[..., 1], along[..., 0]], -1)
    rim = _OUTLINE_AXES[:, 0, None] * along[:, :, None] + _OUTLINE_AXES[:, 1, None] * across[:, :, None]
    far = rim[:, :, :7] * radii[:, :, 1, None, None] + ends[:, :, 1, None]
    near = rim[:, :, 7:] * radii[:, :, 0, None, None] + ends[:, :, 0, None]
    return np.concatenate([far, near], 2)


def _fixed(points: Floats) -> Fixed:
    return np.rint(points * (1 << _FIXED)).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class PaintedPerson:
    """What a picture shows of one person.

    Args:
        points: (17, 2) px, y first.
        in_frame: (17,) inside the picture.
        free: (17,) not hidden by somebody or something else; only of meaning inside the picture.
        self_hidden: (17,) behind the person's own body.
        area_px: pixels of the picture that show the person.
        box: (x, y, width, height) px around the whole drawn body, also outside the picture.
    """

    points: Floats
    in_frame: NDArray[np.bool_]
    free: NDArray[np.bool_]
    self_hidden: NDArray[np.bool_]
    area_px: int
    box: tuple[float, float, float, float]


class Painter:
    """Draws people into one picture, from back to front.

    Args:
        image: (height, width, 3) the background; drawn upon.
        view: the camera.
        light: how the people are lit.
        folds_at: (x, y) px: where in the cloth's noise the picture's corner is.
    """

    def __init__(self, image: Image, view: View, light: Light, folds_at: tuple[int, int] = (0, 0)) -> None:
        self.image = image
        self.view = view
        self.light = light
        height, width = image.shape[:2]
        self.labels = np.zeros((height, width), np.uint8)
        self._shade = np.full(((height + 1) // 2, (width + 1) // 2), NEUTRAL, np.uint8)
        self._folds_at = folds_at
        self._label = 0
        self._figures: list[_Figure] = []

    def people(
        self, bodies: list[Body], posed: Posed, looks: list[Look], chairs: Sequence[Chair | None] = ()
    ) -> None:
        """Draw people, once in a picture, and the chair of each, where there is one.

        Raises:
            ValueError: there are more than 15, whom the labels could not tell apart.
        """
        if not bodies:
            return
        if len(bodies) > MOST_PEOPLE:
            raise ValueError(f"bodies: must be at most {MOST_PEOPLE}, got {len(bodies)}")
        pixels, depths = self.view.project(posed.points)
        shape = (len(bodies), len(CAPSULES), 2)
        ends = pixels[:, CAPSULE_ENDS].reshape(*shape, 2)
        capsule_depths = depths[:, CAPSULE_ENDS].reshape(shape)
        radii = np.stack([body.radii for body in bodies]) * self.view.focal_px / capsule_depths
        outlines = _outlines(ends, radii)
        fixed = _fixed(outlines)
        inner = _fixed(_outlines(ends + np.array(self.light.towards) * 0.32 * radii[..., None], radii * 0.6))
        away = self.view.position - posed.points[:, HEAD_POINTS].mean(1)
        towards = (posed.heads.transpose(0, 2, 1) @ away[..., None])[..., 0]
        orders = _orders(bodies, depths, capsule_depths.mean(2))
        boxed = np.concatenate(
            [outlines[:, 2:].reshape(len(bodies), -1, 2), pixels[:, CHEST_POINTS.start : FACE_POINTS.start]],
            1,
        )
        boxes = np.stack([boxed.min(1), boxed.max(1)], 1)
        scales = self.view.focal_px / depths[:, [PELVIS_POINTS.start, HEAD_POINTS.start]]
        self._figures = [
            _Figure(
                look=look,
                pixels=pixels[index],
                depths=depths[index],
                outlines=outlines[index],
                fixed=fixed[index],
                inner=inner[index],
                order=orders[index].tolist(),
                extent=boxes[index],
                px_per_m=float(scales[index, 0]),
                face=_Face.of(
                    pixels[index, HEAD_POINTS],
                    towards[index] / body.head,
                    float(scales[index, 1] * body.head[1]),
                ),
            )
            for index, (body, look) in enumerate(zip(bodies, looks, strict=True))
        ]
        for index in np.argsort(-depths[:, PELVIS_POINTS].mean(1), kind="stable"):
            self._label = int(index) * LABELS_PER_PERSON + 1
            chair = chairs[index] if chairs else None
            if chair is None:
                self._figure(self._figures[index])
            else:
                self._seated(self._figures[index], chair)
        self._apply_shade()

    def painted_people(self) -> list[PaintedPerson]:
        """What the picture shows of each, in the order they were given."""
        if not self._figures:
            return []
        points = np.stack([figure.pixels[:KEYPOINT_COUNT] for figure in self._figures])
        height, width = self.labels.shape
        limits = np.array([width, height])
        pixels = np.rint(np.minimum(np.maximum(points, -1), limits)).astype(int)
        in_frame = ((pixels >= 0) & (pixels < limits)).all(2)
        column, row = np.moveaxis(np.minimum(np.maximum(pixels, 0), limits - 1), 2, 0)
        labels = self.labels[row, column].astype(int)
        part = labels - (np.arange(len(points)) * LABELS_PER_PERSON + 1)[:, None]
        own = (part >= 0) & (part < LABELS_PER_PERSON)
        hidden = own & ~_SHOWN_BY[np.arange(KEYPOINT_COUNT), np.where(own, part, 0)]
        towards = np.stack([figure.face.towards for figure in self._figures])
        hidden[:, :5] |= towards @ FEATURES.T <= _FEATURE_SHOWS
        free = own | (labels == 0)
        areas = self._areas_px()
        return [
            PaintedPerson(
                points[index, :, ::-1].copy(),
                in_frame[index],
                free[index],
                hidden[index],
                areas[index],
                figure.box,
            )
            for index, figure in enumerate(self._figures)
        ]

    def _areas_px(self) -> list[int]:
        """How many pixels show each."""
        counts = cv2.calcHist([self.labels], [0], None, [256], [0, 256]).ravel()
        last = 1 + LABELS_PER_PERSON * len(self._figures)
        per_person = counts[1:last].reshape(-1, LABELS_PER_PERSON).sum(1)
        return [int(count) for count in per_person]

    def shadows(self, posed: Posed, ground_m: Floats, lean: tuple[float, float], strength: float) -> None:
        """Darken the ground where people take its light; before they are drawn.

        Args:
            posed: the people.
            ground_m: (P,) height of the ground under each.
            lean: how far (to the right, away) a shadow reaches per metre of height.
            strength: 0-1.
        """
        height, width = self.labels.shape
        dark = np.full(((height + 3) // 4, (width + 3) // 4), 128, np.uint8)
        points = posed.points[:, CAPSULE_ENDS.start : FACE_POINTS.start].copy()
        above = np.maximum(points[..., 1] - ground_m[:, None], 0)
        points += np.stack([above * lean[0], -above, -above * lean[1]], -1)
        pixels, depths = self.view.project(points)
        ends = _fixed(pixels / 4)
        for person, depth in zip(ends, depths, strict=True):
            limbs = person[: 2 * len(CAPSULES)].reshape(-1, 1, 2, 2)[2:]
            thickness = max(1, round(self.view.focal_px / float(depth.mean()) * 0.09 / 4))
            cv2.polylines(
                dark, list(limbs), False, (128 * (1 - strength),), min(thickness, 200), cv2.LINE_8, _FIXED
            )
            cv2.fillConvexPoly(
                dark,
                cv2.convexHull(person[2 * len(CAPSULES) : -6]),
                (128 * (1 - strength),),
                cv2.LINE_8,
                _FIXED,
            )
        soft = cv2.resize(cv2.blur(dark, (3, 3)), (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.multiply(self.image, cv2.merge([soft] * 3), self.image, 1 / 128)

    def hide_behind(self, points: Floats, colour: Colour) -> None:
        """Draw the convex thing around points (M, 2) px, x first, before everybody drawn so far."""
        hull = np.asarray(cv2.convexHull(_fixed(points)), np.int32)
        cv2.fillConvexPoly(self.image, hull, colour, cv2.LINE_AA, _FIXED)
        cv2.fillConvexPoly(self.labels, hull, (FURNITURE,), cv2.LINE_8, _FIXED)
        cv2.fillConvexPoly(self._shade, hull, (NEUTRAL,), cv2.LINE_8, _FIXED + 1)

    def _seated(self, figure: _Figure, chair: Chair) -> None:
        parts, depths = self.view.project(chair.parts)
        back, *rest = parts
        back_is_nearer = depths[0].mean() < figure.depths[PELVIS_POINTS].mean()
        if not back_is_nearer:
            self.hide_behind(back, chair.colour)
        for part in reversed(rest):
            self.hide_behind(part, _darker(chair.colour, 0.8))
        self._figure(figure)
        if back_is_nearer:
            self.hide_behind(back, chair.colour)

    def _figure(self, figure: _Figure) -> None:
        for group in figure.order:
            match _GROUPS[group]:
                case "torso":
                    self._torso(figure)
                case "head":
                    self._head(figure)
                case "neck":
                    self._capsule(figure, group, "neck", figure.look.skin)
                case "hair":
                    if figure.look.hair == "long":
                        self._capsule(figure, group, "hair", figure.look.hair_colour)
                case "skirt":
                    if figure.look.legwear == "skirt":
                        self._skirt(figure)
                case limb:
                    self._limb(figure, group, limb)
        self._soften(figure)

    def _limb(self, figure: _Figure, group: int, limb: str) -> None:
        side, _, kind = limb.partition("_")
        look = figure.look
        long = look.sleeves == "long"
        match kind:
            case "arm":
                if not long:
                    self._capsule(figure, group, limb, look.skin)
                if look.sleeves != "none":
                    self._capsule(figure, group, limb if long else f"{side}_sleeve", look.top)
            case "forearm":
                self._capsule(figure, group, f"{side}_hand", look.skin)
                self._capsule(
                    figure, group, f"{side}_cuff" if long else limb, look.top if long else look.skin
                )
            case "thigh":
                bare = look.legwear == "skirt"
                self._capsule(
                    figure, group, limb if bare else f"{side}_leg", look.skin if bare else look.bottom
                )
            case "shin":
                bare = look.legwear != "trousers"
                self._capsule(
                    figure, group, limb if bare else f"{side}_hem", look.skin if bare else look.bottom
                )
            case _:
                self._capsule(figure, group, limb, look.shoes)

    def _capsule(self, figure: _Figure, group: int, name: str, colour: Colour) -> None:
        index = CAPSULE[name]
        self._paint(group, figure.fixed[index], figure.inner[index], colour)

    def _paint(self, group: int, outer: Fixed, inner: Fixed, colour: Colour) -> None:
        cv2.fillConvexPoly(self.image, outer, colour, cv2.LINE_AA, _FIXED)
        cv2.fillConvexPoly(self.labels, outer, (self._label + group,), cv2.LINE_8, _FIXED)
        # One more bit of fraction draws the same at half the size.
        cv2.fillConvexPoly(self._shade, outer, (NEUTRAL * self.light.ambient,), cv2.LINE_8, _FIXED + 1)
        cv2.fillConvexPoly(self._shade, inner, (NEUTRAL * 1.06,), cv2.LINE_8, _FIXED + 1)

    def _hull(self, group: int, points: Floats, colour: Colour) -> None:
        hull = np.asarray(cv2.convexHull(_fixed(points))[:, 0], np.int32)
        x, y, width, height = cv2.boundingRect(hull)
        lit_x, lit_y = self.light.towards
        reach = 0.16 * min(width, height)
        middle = (0.32 * (x + width / 2) + lit_x * reach, 0.32 * (y + height / 2) + lit_y * reach)
        self._paint(group, hull, (hull * 0.68 + middle).astype(np.int32), colour)

    def _torso(self, figure: _Figure) -> None:
        look = figure.look
        group = _GROUP["torso"]
        chest = figure.pixels[CHEST_POINTS]
        self._hull(group, figure.pixels[PELVIS_POINTS], look.bottom)
        self._hull(group, chest[2 * CHEST_RING :], look.top)
        self._hull(group, chest[: 4 * CHEST_RING], look.top)
        if look.pattern == "stripes":
            self._stripes(figure, chest.reshape(-1, CHEST_RING, 2))
        elif look.pattern == "open":
            front = chest.reshape(-1, CHEST_RING, 2)[1:, 2:5]
            outline = np.concatenate([front[:, 0], front[-1:, 1], front[::-1, 2]])
            if cv2.contourArea(outline.astype(np.float32), oriented=True) > 0:
                cv2.fillPoly(self.image, [_fixed(outline)], look.second, cv2.LINE_AA, _FIXED)

    def _stripes(self, figure: _Figure, rings: Floats) -> None:
        depths = figure.depths[CHEST_POINTS].reshape(-1, CHEST_RING)[1:]
        rings = rings[1:]
        thickness = max(1, round(figure.px_per_m * 0.025))
        for at in (0.25, 0.9, 1.3, 1.7, 2.1, 2.6):
            index, part = divmod(at, 1)
            ring = rings[int(index)] * (1 - part) + rings[int(index) + 1] * part
            depth = depths[int(index)]
            # The nearer half of the ring is the one that shows.
            start = int(depth.argmin()) - CHEST_RING // 4
            half = np.take(ring, range(start, start + CHEST_RING // 2 + 1), axis=0, mode="wrap")
            cv2.polylines(
                self.image, [_fixed(half)], False, figure.look.second, thickness, cv2.LINE_AA, _FIXED
            )

    def _skirt(self, figure: _Figure) -> None:
        legs = [figure.outlines[CAPSULE[f"{side}_leg"]] for side in ("left", "right")]
        self._hull(_GROUP["skirt"], np.concatenate([figure.pixels[PELVIS_POINTS], *legs]), figure.look.bottom)

    def _head(self, figure: _Figure) -> None:
        look = figure.look
        group = _GROUP["head"]
        face = figure.face
        self._hull(group, face.flat(face.rim()), look.skin)
        if face.radius_px > _FACELESS_PX:
            self._face(figure, face)
        for ear in (LEFT_EAR, RIGHT_EAR):
            if face.shows(ear):
                self._dot(figure.pixels[ear], face.radius_px * 0.2, _darker(look.skin, 0.85))
        if look.hair != "bald":
            cap = face.cap(*_HAIR[look.hair])
            if len(cap) > 2:
                hair = face.flat(cap * 1.09)
                self._hull(group, hair, look.hair_colour)

    def _face(self, figure: _Figure, face: _Face) -> None:
        look, radius = figure.look, face.radius_px
        points = figure.pixels[FACE_POINTS]
        thin = max(1, round(radius * 0.12))
        # A line cannot be thinner than a pixel, so it is paler instead.
        strength = min(1.0, radius * 0.12)
        if look.beard and face.towards[2] > 0:
            beard = face.flat(face.cap((0, -0.85, 0.52), 0.55))
            if len(beard):
                cv2.fillPoly(
                    self.image, [cv2.convexHull(_fixed(beard))], look.hair_colour, cv2.LINE_AA, _FIXED
                )
        if face.towards[2] > _MOUTH_SHOWS:
            lips = _mixed(look.skin, (130, 40, 45), 0.75 * strength)
            cv2.polylines(self.image, [_fixed(points[:3])], False, lips, thin, cv2.LINE_AA, _FIXED)
        for eye, brow in ((LEFT_EYE, points[3:5]), (RIGHT_EYE, points[5:7])):
            if face.shows(eye):
                colour = _mixed(look.skin, _darker(look.hair_colour, 0.6), 0.8 * strength)
                cv2.polylines(self.image, [_fixed(brow)], False, colour, thin, cv2.LINE_AA, _FIXED)
                self._dot(figure.pixels[eye], radius * 0.14, _mixed(look.skin, (205, 200, 195), 0.6))
                self._dot(figure.pixels[eye], radius * 0.1, (45, 30, 25))
                if look.glasses:
                    centre = _fixed(figure.pixels[eye])
                    rim = round(radius * 0.27 * (1 << _FIXED))
                    cv2.circle(self.image, centre.tolist(), rim, (30, 30, 35), thin, cv2.LINE_AA, _FIXED)
        if face.shows(NOSE):
            nose = figure.pixels[NOSE]
            side = points[7] * 0.25 + nose * 0.75 + (points[1] - nose) * 0.25
            wing = np.stack([points[7], nose, side])
            cv2.fillPoly(self.image, [_fixed(wing)], _darker(look.skin, 0.78), cv2.LINE_AA, _FIXED)

    def _dot(self, middle: Floats, radius: float, colour: Colour) -> None:
        cv2.circle(
            self.image,
            _fixed(middle).tolist(),
            round(radius * (1 << _FIXED)),
            colour,
            -1,
            cv2.LINE_AA,
            _FIXED,
        )

    def _soften(self, figure: _Figure) -> None:
        """Round what was shaded in two steps, and lay folds over it."""
        height, width = self._shade.shape
        low, high = figure.extent
        left, top = (min(max(int(at / 2) - 2, 0), end) for at, end in zip(low, (width, height), strict=True))
        right, bottom = (
            min(max(int(at / 2) + 3, 0), end) for at, end in zip(high, (width, height), strict=True)
        )
        if left >= right or top >= bottom:
            return
        part = self._shade[top:bottom, left:right]
        side = max(3, round(figure.px_per_m * 0.02))
        soft = cv2.blur(cv2.blur(part, (side, side)), (side, side))
        strength = self.light.folds
        x, y = self._folds_at
        folds = _FOLDS[(y + top) % 256 :, (x + left) % 256 :][: bottom - top, : right - left]
        if folds.shape != part.shape:
            folds = np.asarray(cv2.resize(folds, (right - left, bottom - top)), np.uint8)
        self._shade[top:bottom, left:right] = cv2.addWeighted(soft, 1, folds, strength, -128 * strength)

    def _apply_shade(self) -> None:
        height, width = self.labels.shape
        shade = cv2.resize(self._shade, (width, height), interpolation=cv2.INTER_LINEAR)
        np.putmask(shade, self.labels == 0, NEUTRAL)
        cv2.multiply(self.image, cv2.merge([shade] * 3), self.image, 1 / NEUTRAL)


_FACELESS_PX: Final = 2.5
_MOUTH_SHOWS: Final = 0.1
_FEATURE_SHOWS: Final = np.array([-0.12, 0.08, 0.08, -0.12, -0.12])
"""Nose, eyes and ears must be turned this far to the viewer to be seen, as the cosine of the angle."""
_HAIR: Final = {
    "short": ((0.0, 0.75, -0.66), 0.2),
    "long": ((0.0, 0.7, -0.71), 0.12),
    "hat": ((0.0, 0.96, -0.28), 0.28),
}
"""Each kind of hair covers this cap of the head: the side of a plane by its normal and distance."""

_TURN: Final = np.arange(24) * (2 * np.pi / 24)
_RIM: Final = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


def _circle_about(axis: Floats, distance: float) -> Floats:
    """(24, 3) on the unit sphere, at a distance along a unit axis from its middle."""
    x, y, z = axis.tolist()
    # Two directions across the axis and each other. Source: Duff et al. 2017, Building an Orthonormal Basis.
    sign = 1.0 if z >= 0 else -1.0
    a = -1 / (sign + z)
    b = x * y * a
    across = np.array([[1 + sign * x * x * a, sign * b, -sign * x], [b, sign + y * y * a, -y]])
    return np.asarray(axis * distance + _RIM @ across * float(np.sqrt(max(0.0, 1 - distance**2))))


@dataclass(frozen=True, slots=True, eq=False)
class _Figure:
    """One person ready to be drawn: everything in px of the picture."""

    look: Look
    pixels: Floats
    depths: Floats
    outlines: Floats
    fixed: Fixed
    inner: Fixed
    order: list[int]
    extent: Floats
    px_per_m: float
    face: _Face

    @property
    def box(self) -> tuple[float, float, float, float]:
        (left, top), (right, bottom) = self.extent.tolist()
        return left, top, right - left, bottom - top


def _orders(bodies: list[Body], depths: Floats, capsule_depths: Floats) -> NDArray[np.intp]:
    """(P, 15): each person's groups from back to front."""
    middles = np.empty((len(bodies), len(_GROUPS)))
    middles[:, _ORDERED] = capsule_depths[:, _GROUP_CAPSULES]
    middles[:, _GROUP["torso"]] = depths[:, CHEST_POINTS.start : PELVIS_POINTS.stop].mean(1)
    middles[:, _GROUP["head"]] = depths[:, HEAD_POINTS].mean(1)
    thighs = [_GROUP["left_thigh"], _GROUP["right_thigh"]]
    middles[:, _GROUP["skirt"]] = middles[:, thighs].min(1)
    middles -= _NEARER_M * np.array([[body.build.stature_m] for body in bodies])
    return np.argsort(-middles, axis=1, kind="stable")


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """A head as a ball with half axes of 1, and how it lies in the picture.

    Args:
        middle: (2,) px.
        axes: (3, 2) px: where the ball's axes point in the picture.
        towards: (3,) towards the viewer, length 1.
        radius_px: about half the height of the head.
    """

    middle: Floats
    axes: Floats
    towards: Floats
    radius_px: float

    @classmethod
    def of(cls, ends: Floats, towards: Floats, radius_px: float) -> _Face:
        """A face from the ends (6, 2) of its axes and the direction of the viewer in units of them."""
        return cls(ends.mean(0), (ends[:3] - ends[3:]) / 2, towards / np.sqrt(towards @ towards), radius_px)

    def flat(self, points: Floats) -> Floats:
        """(M, 2) px of points (M, 3) of the ball."""
        return np.asarray(points @ self.axes + self.middle)

    def rim(self) -> Floats:
        """(24, 3): the outline that the viewer sees."""
        return _circle_about(self.towards, 0)

    def cap(self, axis: tuple[float, float, float], distance: float) -> Floats:
        """(M, 3): what is seen of the cap beyond a plane, as points around it; none when it is hidden."""
        normal = np.array(axis) / np.linalg.norm(axis)
        edge, rim = _circle_about(normal, distance), self.rim()
        return np.concatenate([edge[edge @ self.towards >= 0], rim[rim @ normal >= distance]])

    def shows(self, feature: int) -> bool:
        """Whether nose, left eye, right eye, left ear or right ear (0-4) is turned to the viewer."""
        return bool(FEATURES[feature] @ self.towards > _FEATURE_SHOWS[feature])


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    r, g, b = (a * (1 - share) + c * share for a, c in zip(colour, other, strict=True))
    return r, g, b


def _darker(colour: Colour, factor: float) -> Colour:
    return _mixed((0, 0, 0), colour, factor)
