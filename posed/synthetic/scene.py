"""People in pictures: stills for training, and scenes that play over time, with the truth about everybody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from posed.frame import Image
from posed.pose import KEYPOINT_COUNT
from posed.synthetic.actions import ACTIONS, CYCLE_M, SEATED, Posture
from posed.synthetic.backdrop import Lens, backdrop
from posed.synthetic.figure import (
    CHANNEL,
    CHANNELS,
    Body,
    Build,
    Floats,
    Posed,
    mirrored,
    stand_on_ground,
    within_limits,
)
from posed.synthetic.painting import Chair, Colour, Light, Look, PaintedPerson, Painter, View


@dataclass(frozen=True, slots=True, eq=False)
class RenderedPerson:
    """The truth about one person in one picture.

    Args:
        id: the person's number, the same in every picture of a scene, from 1.
        points: (17, 2) float64 px, y first; also those that cannot be seen.
        visible: (17,): inside the picture and hidden by nothing, the own body included.
        self_hidden: (17,): inside the picture and hidden by nothing but the own body.
        area_px: pixels of the picture that show the person.
        posture: `standing`, `sitting`, `lying`; `unknown` between two of them.
        action: what the person does, a name of `ACTIONS`.
        box: (x, y, width, height) px around the drawn body, also where it leaves the picture.
    """

    id: int
    points: Floats
    visible: NDArray[np.bool_]
    self_hidden: NDArray[np.bool_]
    area_px: int
    posture: Posture
    action: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A picture, RGB uint8 (height, width, 3), and everybody of whom some part is inside it."""

    image: Image
    people: list[RenderedPerson]


_SKINS: Final = (
    (255, 224, 196),
    (241, 194, 160),
    (224, 172, 125),
    (198, 134, 90),
    (150, 95, 60),
    (95, 58, 40),
    (62, 40, 30),
)
_HAIRS: Final = (
    (25, 20, 18),
    (60, 40, 28),
    (110, 70, 40),
    (170, 125, 70),
    (215, 185, 130),
    (150, 60, 30),
    (165, 165, 165),
    (235, 232, 228),
)


def random_build(rng: np.random.Generator) -> Build:
    """Anybody from a child to a tall adult."""
    factors = 1 + rng.normal(0, 1, 7) * (0.16, 0.05, 0.03, 0.07, 0.08, 0.03, 0.04)
    girth, head, torso, shoulders, hips, arms, legs = factors.clip(0.78, 1.45).tolist()
    stature = float(np.clip(rng.normal(1.7, 0.09), 1.45, 2.0))
    if rng.random() < 0.12:
        stature = float(rng.uniform(0.95, 1.45))
        head *= 1 + 0.55 * (1.5 - stature)
        legs *= 0.95
    return Build(stature, girth, head, torso, shoulders, hips, arms, legs)


def _cloths(rng: np.random.Generator, count: int) -> list[Colour]:
    """Colours of clothes: any, half of them nearly grey."""
    colours = rng.random((count, 3)) * 235 + 10
    greys = colours.sum(1, keepdims=True) / 3
    colours = np.where(rng.random((count, 1)) < 0.5, greys + (colours - greys) * 0.25, colours)
    return [(r, g, b) for r, g, b in colours.tolist()]


def random_look(rng: np.random.Generator) -> Look:
    """Any skin, hair and clothes."""
    dice = rng.random(8)
    top, bottom, shoes, second, hat = _cloths(rng, 5)
    skin = np.clip(np.array(_SKINS[int(dice[0] * len(_SKINS))]) * rng.normal(1, 0.06, 3), 20, 255).tolist()
    hair = np.clip(np.array(_HAIRS[int(dice[1] * len(_HAIRS))]) * rng.normal(1, 0.1), 8, 250).tolist()
    style = "short" if dice[2] < 0.5 else "long" if dice[2] < 0.8 else "hat" if dice[2] < 0.92 else "bald"
    return Look(
        skin=(skin[0], skin[1], skin[2]),
        hair_colour=hat if style == "hat" else (hair[0], hair[1], hair[2]),
        top=top,
        bottom=bottom,
        shoes=shoes if dice[3] < 0.85 else (skin[0], skin[1], skin[2]),
        second=second,
        sleeves="long" if dice[4] < 0.5 else "short" if dice[4] < 0.9 else "none",
        legwear="trousers" if dice[5] < 0.65 else "shorts" if dice[5] < 0.85 else "skirt",
        hair=style,
        pattern="plain" if dice[6] < 0.55 else "stripes" if dice[6] < 0.75 else "open",
        beard=bool(dice[7] < 0.15),
        glasses=bool(dice[7] > 0.85),
    )


def _light(rng: np.random.Generator) -> Light:
    angle = rng.uniform(-np.pi, 0)
    strength = rng.random()
    return Light(
        towards=(float(np.cos(angle) * strength), float(np.sin(angle) * strength)),
        ambient=float(rng.uniform(0.5, 0.9)),
        folds=float(rng.uniform(0.05, 0.45)),
    )


# What people do in stills, and how often.
_STILL_ACTIONS: Final = {
    "stand": 16, "walk": 18, "sit": 13, "sit_on_floor": 5, "sit_down": 4, "stand_up": 2,
    "lie": 6, "lie_on_front": 5, "lie_on_side": 6, "lie_stretched": 4, "lie_down_slowly": 4, "get_up": 2,
    "fall_forwards": 3, "fall_backwards": 3, "fall_sideways": 3, "slump": 3,
    "bend_down": 3, "pick_up": 3, "tie_shoes": 4,
    "raise_left_hand": 4, "raise_right_hand": 4, "raise_both_hands": 4,
}  # fmt: skip
_TAME_ACTIONS: Final = {
    "stand": 22, "walk": 22, "sit": 16, "sit_on_floor": 3, "sit_down": 3, "stand_up": 2,
    "lie": 4, "lie_on_front": 2, "lie_on_side": 3, "lie_stretched": 2, "slump": 1,
    "fall_forwards": 1, "fall_backwards": 1, "fall_sideways": 1, "bend_down": 2, "pick_up": 2,
    "raise_left_hand": 5, "raise_right_hand": 5, "raise_both_hands": 4,
}  # fmt: skip
_LOW_ACTIONS: Final = {
    "stand": 6, "walk": 6, "sit": 6, "sit_on_floor": 4, "sit_down": 3, "stand_up": 3, "get_up": 4,
    "lie": 10, "lie_on_front": 8, "lie_on_side": 9, "lie_stretched": 8, "lie_down_slowly": 5, "slump": 5,
    "fall_forwards": 5, "fall_backwards": 5, "fall_sideways": 5, "bend_down": 5, "pick_up": 5, "tie_shoes": 5,
}  # fmt: skip
_LOOSE: Final = np.array([0.0 if name in ("pitch", "roll", "ahead", "aside") else 1.0 for name in CHANNELS])
_ARMS: Final = [
    CHANNEL[f"{side}_{name}"]
    for side in ("left", "right")
    for name in ("arm_raise", "arm_out", "arm_twist", "elbow")
]
_ARM_LOWEST: Final = np.array([-40, -10, -50, 0] * 2)
_ARM_HIGHEST: Final = np.array([175, 110, 80, 140] * 2)


def _chosen(rng: np.random.Generator, shares: Mapping[str, float], count: int) -> list[str]:
    bounds = np.cumsum(list(shares.values())) / sum(shares.values())
    names = tuple(shares)
    return [names[int(np.searchsorted(bounds, dice))] for dice in rng.random(count)]


def _still_channels(rng: np.random.Generator, name: str) -> tuple[Floats, Posture]:
    at = rng.random()
    channels = ACTIONS[name].channels(at)
    posture = ACTIONS[name].posture(at)
    channels = channels + rng.normal(0, 9, len(CHANNELS)) * _LOOSE
    if rng.random() < 0.2:
        channels[_ARMS] = rng.uniform(_ARM_LOWEST, _ARM_HIGHEST)
    if rng.random() < 0.5:
        channels = mirrored(channels)
    return channels, posture


def random_still(
    seed: int, size: tuple[int, int], people: int | None = None, *, tame: bool = False, low: bool = False
) -> Rendered:
    """A picture like no other, for training.

    Args:
        seed: decides everything.
        size: (width, height), px.
        people: how many; None for any number from 0 to 5, mostly 1 to 3.
        tame: as a camera in a room sees people: side by side, from about half of the frame high to all of
            it when they stand, from the front, or lying across the picture, mostly before a room, through a
            fair lens; else from a tenth, from anywhere, over each other, before anything, with any lens.
        low: more of them lie, fall or bend down than stand.
    """
    rng = np.random.default_rng([seed, 1])
    height = size[1]
    count = int(np.searchsorted([0.04, 0.42, 0.72, 0.88, 0.95], rng.random())) if people is None else people
    view = View.of(
        size,
        height / 2 / np.tan(np.radians(rng.uniform(20, 62)) / 2),
        np.zeros(3),
        down_deg=float(rng.normal(5, 8) if rng.random() < (0.95 if tame else 0.7) else rng.uniform(0, 65)),
        roll_deg=float(
            rng.normal(0, 4) if rng.random() < (0.99 if tame else 0.85) else rng.uniform(-180, 180)
        ),
    )
    names = _chosen(rng, _LOW_ACTIONS if low else _TAME_ACTIONS if tame else _STILL_ACTIONS, count)
    plain = tame and rng.random() < 0.7
    image = backdrop(rng, size, rng.uniform(0.25, 0.85) * height if plain else None)
    light, lens = _light(rng), Lens.random(rng, height, harsh=0.35 if tame else 1)
    noise = (int(rng.integers(512)), int(rng.integers(512)))
    if not count:
        return Rendered(lens.apply(image, noise), [])
    bodies = [Body.of(random_build(rng)) for _ in names]
    channels, postures = zip(*(_still_channels(rng, name) for name in names), strict=True)
    headings = rng.uniform(-180, 180, count)
    if tame:
        lying = np.array([posture == "lying" for posture in postures])
        across = np.where(headings < 0, -90, 90) + rng.normal(0, 18, count)
        headings = np.where(lying, across, rng.normal(0, 33, count))
    placed = stand_on_ground(bodies, np.stack(channels), headings, np.zeros((count, 3)))
    moves = _still_places(rng, view, bodies, tame=tame) - placed.points.mean(1)
    placed = Posed(placed.points + moves[:, None], placed.heads)
    painter = Painter(image, view, light, noise)
    if rng.random() < 0.5:
        lean = (float(rng.normal(0, 0.5)), float(rng.normal(0, 0.5)))
        painter.shadows(placed, moves[:, 1], lean, 0.6 * float(rng.random()))
    chairs = [
        Chair.under(placed.points[index], headings[index], moves[index, 1], _cloths(rng, 1)[0])
        if postures[index] == "sitting" and names[index] in SEATED and rng.random() < 0.7
        else None
        for index in range(count)
    ]
    painter.people(bodies, placed, [random_look(rng) for _ in names], chairs)
    if rng.random() < (0.05 if tame else 0.15):
        _foreground(rng, painter, size)
    painted = painter.painted_people()
    truth = [_person(index + 1, painted[index], postures[index], names[index]) for index in range(count)]
    return Rendered(
        lens.apply(painter.image, noise), [person for person in truth if _inside(person.box, size)]
    )


def _still_places(rng: np.random.Generator, view: View, bodies: list[Body], *, tame: bool) -> Floats:
    """(P, 3) m: where the middles of people are, from a tenth (tame: half) of the frame high to all of it."""
    width, height = view.size
    size = height * 10 ** (rng.uniform(-0.35, 0) if tame else rng.uniform(-0.92, 0.12))
    spread = rng.normal(0, 0.06 if tame else 0.12, len(bodies))
    places = np.zeros((len(bodies), 3))
    x = 0.0
    slots = rng.permutation(len(bodies))
    for index, body in enumerate(bodies):
        stature = body.build.stature_m
        # Nearer than this, hands would reach through the lens.
        depth = max(view.focal_px * stature / (size * 10 ** spread[index]), 1.3 * stature)
        own = view.focal_px * stature / depth
        near = index > 0 and rng.random() < (0.1 if tame else 0.4)
        if near:
            x += own * rng.normal(0, 0.3)
        elif tame:
            x = width * (slots[index] + 0.5 + 0.25 * rng.uniform(-1, 1)) / len(bodies)
        else:
            x = width * (0.5 + 0.42 * rng.uniform(-1, 1))
        room = max(0.1 * height, height - own) / 2
        y = height / 2 + room * rng.uniform(-1, 1)
        places[index] = view.place((x, y), depth)
    return places


def _foreground(rng: np.random.Generator, painter: Painter, size: tuple[int, int]) -> None:
    """Something that stands before the people: a table, a pillar, a parapet."""
    width, height = size
    w, h = width * rng.uniform(0.05, 0.5), height * rng.uniform(0.1, 0.5)
    x, y = width * rng.uniform(-0.1, 1), height * rng.uniform(0.4, 1)
    slant = rng.normal(0, 0.1) * w
    painter.hide_behind(
        np.array([[x, y], [x + w, y + slant], [x + w, y + h], [x, y + h]]), _cloths(rng, 1)[0]
    )


def _person(number: int, painted: PaintedPerson, posture: Posture, action: str) -> RenderedPerson:
    clear = painted.in_frame & painted.free
    return RenderedPerson(
        number,
        painted.points,
        clear & ~painted.self_hidden,
        clear & painted.self_hidden,
        painted.area_px,
        posture,
        action,
        painted.box,
    )


def _inside(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    x, y, width, height = box
    return x < size[0] and y < size[1] and x + width > 0 and y + height > 0


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that somebody does.

    Args:
        action: a name of `ACTIONS`, or `hold`: stay as the act before ended.
        start_s: when it begins, s of the scene.
        duration_s: how long it takes; its last key then holds until the next act.
        to: (x, distance) m where a walk ends; None stays where it is.
        heading_deg: the heading to turn to; None keeps it (a walk faces where it goes).
        other_side: mirrored: the other hand, a fall to the other side.
    """

    action: str
    start_s: float
    duration_s: float
    to: tuple[float, float] | None = None
    heading_deg: float | None = None
    other_side: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What one person does in a scene.

    Args:
        acts: at least one, in order of time; the person is there from the first's start.
        place: (x to the right, distance from the camera) m at the start.
        heading_deg: the heading at the start; 0 faces the camera, 90 the picture's right.
        seed: decides build, look and little movements.
        id: the person's.
        until_s: when the person is gone; None for never.
    """

    acts: tuple[Act, ...]
    place: tuple[float, float] = (0.0, 4.0)
    heading_deg: float = 0.0
    seed: int = 0
    id: int = 1
    until_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """Somebody at an instant."""

    channels: Floats
    heading_deg: float
    place: tuple[float, float]
    posture: Posture
    action: str


_BLEND_S: Final = 0.35
_TURN_S: Final = 0.5
_HOLD: Final = "hold"


def _eased(elapsed_s: float, whole_s: float) -> float:
    share = min(max(elapsed_s / whole_s, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _turned(start_deg: float, end_deg: float, share: float) -> float:
    return start_deg + ((end_deg - start_deg + 180) % 360 - 180) * share


def _moment(part: Part, time_s: float) -> _Moment:
    """How somebody is at an instant: each act goes on from where the one before was left."""
    moment = _Moment(ACTIONS["stand"].channels(0), part.heading_deg, part.place, "standing", "stand")
    for index, act in enumerate(part.acts):
        if index and act.start_s > time_s:
            break
        end_s = part.acts[index + 1].start_s if index + 1 < len(part.acts) else np.inf
        moment = _acted(moment, act, min(time_s, end_s) - act.start_s, first=index == 0)
    return moment


def _acted(before: _Moment, act: Act, elapsed_s: float, *, first: bool) -> _Moment:
    share = min(max(elapsed_s / act.duration_s, 0.0), 1.0)
    heading, place = before.heading_deg, before.place
    distance = 0.0
    if act.to is not None:
        dx, dz = act.to[0] - place[0], act.to[1] - place[1]
        distance = float(np.hypot(dx, dz))
        heading = _turned(heading, float(np.degrees(np.arctan2(dx, -dz))), _eased(elapsed_s, _TURN_S))
        place = (place[0] + dx * share, place[1] + dz * share)
    elif act.heading_deg is not None:
        heading = _turned(heading, act.heading_deg, _eased(elapsed_s, _TURN_S))
    if act.action == _HOLD:
        return _Moment(before.channels, heading, place, before.posture, before.action)
    action = ACTIONS[act.action]
    if action.cyclic:
        share *= max(1, round(distance / CYCLE_M if distance else act.duration_s / action.usual_s))
    channels = action.channels(share)
    if act.other_side:
        channels = mirrored(channels)
    if not first:
        blend = _eased(elapsed_s, min(_BLEND_S, act.duration_s))
        channels = before.channels * (1 - blend) + channels * blend
    return _Moment(channels, heading, place, action.posture(share), act.action)


_SWAY: Final = (
    np.array([{"look": 9.0, "nod": 3.0, "tilt": 2.0, "twist": 2.0}.get(name, 1.2) for name in CHANNELS])
    * _LOOSE
)


class _Performer:
    """A part with the body and the look of its seed."""

    def __init__(self, part: Part) -> None:
        self.part = part
        rng = np.random.default_rng([part.seed, 2])
        self.body = Body.of(random_build(rng))
        self.look = random_look(rng)
        self._sway = rng.uniform(0.4, 2.2, len(CHANNELS)), rng.uniform(0, 2 * np.pi, len(CHANNELS))
        self.chair = self._chair(_cloths(rng, 1)[0])

    def _chair(self, colour: Colour) -> Chair | None:
        """Where somebody sits first; it stands there all the time."""
        seat = next((act for act in self.part.acts if act.action in SEATED), None)
        if seat is None:
            return None
        before = _moment(self.part, seat.start_s)
        heading = before.heading_deg if seat.heading_deg is None else seat.heading_deg
        place = np.array([[before.place[0], 0, -before.place[1]]])
        sitting = stand_on_ground([self.body], ACTIONS["sit"].keys[:1], np.array([heading]), place)
        return Chair.under(sitting.points[0], heading, 0, colour)

    def there(self, time_s: float) -> bool:
        until = self.part.until_s
        return self.part.acts[0].start_s <= time_s and (until is None or time_s < until)

    def moment(self, time_s: float) -> _Moment:
        moment = _moment(self.part, time_s)
        speed, phase = self._sway
        still = 0.3 if moment.posture == "lying" else 1.0
        swayed = moment.channels + _SWAY * still * np.sin(speed * time_s + phase)
        return _Moment(within_limits(swayed), moment.heading_deg, moment.place, moment.posture, moment.action)


class Scene:
    """People who do things before one camera: a picture for every instant, whichever way they are asked for.

    Args:
        seed: decides everything that is not given.
        size: (width, height), px.
        people: how many at most at a time; None for 1 to 3.
        actions: what each of them does in turn, each for its usual time: names of `ACTIONS`, `cross`
            (two people cross) or `empty`. None: people come and go for ever.
        script: who does what, when and where; instead of `people` and `actions`.
    """

    def __init__(
        self,
        seed: int,
        size: tuple[int, int],
        people: int | None = None,
        actions: Sequence[str] | None = None,
        script: Iterable[Part] | None = None,
    ) -> None:
        self.size = size
        self._seed = seed
        rng = np.random.default_rng([seed, 3])
        height = size[1]
        camera_m = float(rng.uniform(1.3, 2.4))
        down = float(np.degrees(np.arctan2(camera_m - 0.85, 4.0)))
        focal = height / 2 / np.tan(np.radians(rng.uniform(48, 60)) / 2)
        self.view = View.of(size, focal, np.array([0, camera_m, 0]), down)
        wall, _ = self.view.project(np.array([0, 0, -rng.uniform(6.5, 9)]))
        self._backdrop = backdrop(rng, size, float(wall[1]))
        self._light, self._lens = _light(rng), Lens.random(rng, height, 0.4)
        self._lean = (float(rng.normal(0, 0.4)), float(rng.normal(0, 0.3)))
        self._lanes = int(rng.integers(1, 4)) if people is None else people
        self._cast: list[_Performer] | None = None
        self._visits: dict[tuple[int, int], _Performer] = {}
        if script is not None:
            self._cast = [_Performer(part) for part in script]
        elif actions is not None:
            self._cast = [_Performer(part) for part in parts_for(rng, actions, self._lanes)]

    def render(self, time_s: float) -> Rendered:
        """The picture at an instant, s, and everybody in it; a pure function of the scene and the time."""
        cast = [performer for performer in self._performers(time_s) if performer.there(time_s)]
        moments = [performer.moment(time_s) for performer in cast]
        tick = round(time_s * 1000)
        noise = (tick * 7919 % 509, tick * 104729 % 503)
        painter = Painter(self._backdrop.copy(), self.view, self._light)
        if cast:
            bodies = [performer.body for performer in cast]
            placed = stand_on_ground(
                bodies,
                np.stack([moment.channels for moment in moments]),
                np.array([moment.heading_deg for moment in moments]),
                np.array([[moment.place[0], 0.0, -moment.place[1]] for moment in moments]),
            )
            painter.shadows(placed, np.zeros(len(cast)), self._lean, 0.4)
            looks, chairs = [performer.look for performer in cast], [performer.chair for performer in cast]
            painter.people(bodies, placed, looks, chairs)
        truth = [
            _person(performer.part.id, painted, moment.posture, moment.action)
            for performer, moment, painted in zip(cast, moments, painter.painted_people(), strict=True)
        ]
        image = self._lens.apply(painter.image, noise)
        return Rendered(image, [person for person in truth if _inside(person.box, self.size)])

    def keypoints(self, times_s: Floats) -> dict[int, Floats]:
        """Where everybody of a scripted scene is, without a picture, which is far quicker.

        Args:
            times_s: (T,) instants of the scene, s.

        Returns:
            By the person's id: (T, 17, 2) px, y first, wherever a picture of that instant has them or would
            if it were larger; nan while the person is not there.

        Raises:
            ValueError: the scene has no script; in that case people come and go for ever.
        """
        if self._cast is None:
            raise ValueError("script: needed, got none")
        return {performer.part.id: self._followed(performer, times_s) for performer in self._cast}

    def _followed(self, performer: _Performer, times_s: Floats) -> Floats:
        points = np.full((len(times_s), KEYPOINT_COUNT, 2), np.nan)
        there = np.array([performer.there(time_s) for time_s in times_s.tolist()], bool)
        moments = [performer.moment(time_s) for time_s in times_s[there].tolist()]
        if moments:
            posed = stand_on_ground(
                [performer.body] * len(moments),
                np.stack([moment.channels for moment in moments]),
                np.array([moment.heading_deg for moment in moments]),
                np.array([[moment.place[0], 0.0, -moment.place[1]] for moment in moments]),
            )
            points[there] = self.view.project(posed.points[:, :KEYPOINT_COUNT])[0][..., ::-1]
        return points

    def _performers(self, time_s: float) -> list[_Performer]:
        if self._cast is not None:
            return self._cast
        visits = [
            (lane, int((time_s + _visit_shift(lane, self._lanes)) // _VISIT_S)) for lane in range(self._lanes)
        ]
        for visit in visits:
            if visit not in self._visits:
                self._visits[visit] = _Performer(self._visit(*visit))
        # Only the visits of now are kept, so that an endless scene does not grow.
        self._visits = {visit: self._visits[visit] for visit in visits}
        return list(self._visits.values())

    def _visit(self, lane: int, number: int) -> Part:
        """Somebody comes in at one side, does a few things and leaves."""
        rng = np.random.default_rng([self._seed, 4, lane, max(number, 0)])
        start = number * _VISIT_S - _visit_shift(lane, self._lanes) + float(rng.uniform(0, 2))
        distance = float(rng.uniform(2.9, 5.2))
        side = 1.0 if rng.random() < 0.5 else -1.0
        gate = side * (self.view.size[0] / 2 / self.view.focal_px * distance + 0.7)
        spot = (float(rng.uniform(-0.5, 0.5)) * abs(gate), distance)
        acts = [Act("walk", start, abs(gate - spot[0]) / _SPEED_M_S, to=spot)]
        facing = float(rng.normal(0, 30))
        leave_s = start + _VISIT_S - 3 - 2 * abs(gate) / _SPEED_M_S
        while True:
            things = _THINGS[int(rng.integers(len(_THINGS)))]
            # Whoever lies does so across the picture.
            heading = facing - 90 * side if things in _LOW_THINGS else facing
            now = acts[-1].start_s + acts[-1].duration_s
            if now + sum(ACTIONS[name].usual_s for name in things) > leave_s:
                break
            for name in things:
                acts.append(Act(name, now, ACTIONS[name].usual_s, heading_deg=heading))
                now += ACTIONS[name].usual_s
        now = acts[-1].start_s + acts[-1].duration_s
        exit_x = gate if rng.random() < 0.4 else -gate
        acts.append(Act("walk", now, abs(exit_x - spot[0]) / _SPEED_M_S, to=(exit_x, distance)))
        until = now + acts[-1].duration_s
        seed = int(rng.integers(2**31))
        return Part(tuple(acts), (gate, distance), -90 * side, seed, number * self._lanes + lane + 1, until)


_VISIT_S: Final = 32.0
_SPEED_M_S: Final = 1.15
_LOW_THINGS: Final = (
    ("lie_down_slowly", "lie", "get_up"),
    ("fall_backwards", "lie", "lie", "get_up"),
)
_THINGS: Final = (
    *_LOW_THINGS,
    ("stand",),
    ("raise_left_hand",),
    ("raise_right_hand",),
    ("raise_both_hands",),
    ("sit_down", "sit", "stand_up"),
    ("bend_down",),
    ("pick_up",),
)


def _visit_shift(lane: int, lanes: int) -> float:
    """How many seconds a lane is ahead of the first, so that they do not all come at once."""
    return lane * _VISIT_S / lanes


def parts_for(rng: np.random.Generator, actions: Sequence[str], people: int) -> list[Part]:
    """Parts for people who each do the same actions in turn, each for its usual time.

    Args:
        rng: decides places, headings, sides and looks.
        actions: names of `ACTIONS`; or `cross` or `empty` alone.
        people: how many.
    """
    if list(actions) == ["empty"]:
        return []
    if list(actions) == ["cross"]:
        return _crossing(rng)
    parts = []
    for index in range(people):
        x = float(1.1 * (index - (people - 1) / 2) + rng.uniform(-0.3, 0.3))
        place = (x, float(rng.uniform(3.2, 5.0)))
        acts: list[Act] = []
        now, side = 0.0, bool(rng.random() < 0.5)
        heading = float(rng.uniform(-180, 180))
        for name in actions:
            to = (float(rng.uniform(-1.5, 1.5)), float(rng.uniform(3.2, 5.2))) if name == "walk" else None
            duration = (
                ACTIONS[name].usual_s
                if to is None
                else float(max(1.1, np.hypot(to[0] - place[0], to[1] - place[1]) / _SPEED_M_S))
            )
            place_before, place = place, to or place
            acts.append(Act(name, now, duration, to=to, other_side=side))
            now += duration
            if len(acts) == 1:
                first_place = place_before
        parts.append(Part(tuple(acts), first_place, heading, int(rng.integers(2**31)), index + 1))
    return parts


def _crossing(rng: np.random.Generator) -> list[Part]:
    """Two people walk past each other."""
    parts = []
    for index, side in enumerate((-1.0, 1.0)):
        distance = float(rng.uniform(3.2, 4.0) + 0.7 * index)
        reach = float(rng.uniform(1.3, 2.0))
        act = Act("walk", 0.0, 2 * reach / float(rng.uniform(0.9, 1.4)), to=(side * -reach, distance))
        parts.append(Part((act,), (side * reach, distance), -90 * side, int(rng.integers(2**31)), index + 1))
    return parts
