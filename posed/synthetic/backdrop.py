"""What is around the people: backgrounds, and what a camera does to a picture."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.frame import Image
from posed.synthetic.figure import Floats

_FIXED: Final = 4


def backdrop(rng: np.random.Generator, size: tuple[int, int], horizon_px: float | None = None) -> Image:
    """A background: a plain, textured or cluttered one, or a room.

    Args:
        rng: decides everything.
        size: (width, height), px.
        horizon_px: row where floor and wall meet, of a room; None for anything at all.
    """
    image = _gradient(rng, size)
    kind = rng.random()
    if horizon_px is not None or kind < 0.45:
        _room(rng, image, rng.uniform(0.25, 0.85) * size[1] if horizon_px is None else horizon_px)
    elif kind < 0.6:
        _pattern(rng, image)
    if rng.random() < 0.7:
        _grain(rng, image)
    if horizon_px is None and rng.random() < 0.75:
        clutter(rng, image, int(30 * rng.random() ** 2))
    if rng.random() < 0.35:
        side = max(1, round(size[1] * 0.02 * rng.random()))
        image = _uint8(cv2.blur(image, (side, side)))
    return image


def _uint8(image: object) -> Image:
    return np.asarray(image, np.uint8)


def _gradient(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    cells = int(rng.integers(1, 5))
    spread = 120 * rng.random() ** 2
    grey = rng.normal(0, spread, (cells, cells, 1))
    colours = np.clip(
        _colour(rng) + grey + rng.normal(0, 0.4 * spread * rng.random(), (cells, cells, 3)), 0, 255
    )
    colours = colours.astype(np.uint8)
    # Smooth at a small size first: a cubic resize of the whole would take longer than all the rest.
    small = cv2.resize(colours, (16, 16), interpolation=cv2.INTER_CUBIC)
    return _uint8(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR))


def _bytes(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    return np.frombuffer(rng.bytes(height * width), np.uint8).reshape(height, width)


def _grain(rng: np.random.Generator, image: Image) -> None:
    """Noise of one or two sizes, as plaster, grass, gravel and cloth have it."""
    height, width = image.shape[:2]
    coarse, fine = (_noise_cells(rng, height, width) for _ in range(2))
    share = max(0.0, rng.uniform(-1, 1))
    grey = cv2.addWeighted(coarse, 1 - share, fine, share, 0) if share else coarse
    strength = 0.55 * rng.random() ** 1.5
    cv2.addWeighted(image, 1, cv2.merge([grey] * 3), strength, -127 * strength, image)


def _noise_cells(rng: np.random.Generator, height: int, width: int) -> Image:
    """(height, width) smooth noise, its grain anything from a few pixels to a quarter of the picture."""
    cell = height / 2 ** rng.uniform(2, 7.5)
    stretch = 2 ** rng.normal(0, 0.7)
    noise = _bytes(rng, max(2, int(height / cell)), max(2, int(width / cell / stretch)))
    return _uint8(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR))


def _pattern(rng: np.random.Generator, image: Image) -> None:
    """Stripes or tiles."""
    height, width = image.shape[:2]
    colour = _colour(rng)
    pitch = max(3, int(height * rng.uniform(0.02, 0.25)))
    thickness = max(1, int(pitch * rng.uniform(0.05, 0.6)))
    slant = int(rng.integers(-1, 2) * height * rng.random())
    directions = int(rng.integers(1, 4))
    if directions & 1:
        for x in range(-abs(slant), width + abs(slant), pitch):
            cv2.line(image, (x, 0), (x + slant, height), colour, thickness, cv2.LINE_AA)
    if directions & 2:
        for y in range(0, height, pitch):
            cv2.line(image, (0, y), (width, y), colour, thickness, cv2.LINE_AA)


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    r, g, b = rng.random(3) * 255
    grey = rng.random() ** 0.4
    mean = (r + g + b) / 3
    return float(r + (mean - r) * grey), float(g + (mean - g) * grey), float(b + (mean - b) * grey)


def _room(rng: np.random.Generator, image: Image, horizon_px: float) -> None:
    """A floor with boards or tiles in perspective, a wall with windows, doors, pictures, and furniture."""
    height, width = image.shape[:2]
    horizon = round(min(max(horizon_px, -height), 2 * height))
    if horizon < height:
        floor = _gradient(rng, (width, height - max(horizon, 0)))
        image[max(horizon, 0) :] = floor
        colour = tuple(float(value) for value in floor.mean((0, 1)) * rng.uniform(0.6, 1.2))
        if rng.random() < 0.6:
            vanish = (width * rng.uniform(-0.2, 1.2), horizon - height * rng.uniform(0.1, 1.5))
            for x in np.arange(-2 * width, 3 * width, width * rng.uniform(0.15, 0.6)).tolist():
                part = (horizon - vanish[1]) / (2 * height - vanish[1])
                top = (round(vanish[0] + (x - vanish[0]) * part), horizon)
                cv2.line(image, top, (round(x), 2 * height), colour, 1, cv2.LINE_AA)
        cv2.line(image, (0, horizon), (width, horizon), _colour(rng), max(1, height // 80), cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 6))):
        _box(rng, image, horizon)


def _box(rng: np.random.Generator, image: Image, horizon: int) -> None:
    """A window, door, picture, cupboard or table before the wall."""
    height, width = image.shape[:2]
    w, h = width * rng.uniform(0.05, 0.4), height * rng.uniform(0.08, 0.6)
    x = rng.uniform(-0.1, 1) * width
    foot = (
        horizon + height * rng.uniform(0, 0.15)
        if rng.random() < 0.6
        else horizon - height * rng.uniform(0.1, 0.4)
    )
    corner, end = (round(x), round(foot - h)), (round(x + w), round(foot))
    cv2.rectangle(image, corner, end, _colour(rng), -1, cv2.LINE_AA)
    edge = _colour(rng)
    cv2.rectangle(image, corner, end, edge, max(1, height // 120), cv2.LINE_AA)
    for part in range(1, int(rng.integers(1, 5))):
        y = round(foot - h * part / 4)
        cv2.line(image, (corner[0], y), (end[0], y), edge, max(1, height // 150), cv2.LINE_AA)


def clutter(rng: np.random.Generator, image: Image, count: int) -> None:
    """Things that are no people: boxes, balls, sticks, blobs, some in the colours and shapes of limbs."""
    height, width = image.shape[:2]
    numbers = rng.random((count, 9))
    for kind, x, y, size, ratio, angle, r, g, b in numbers.tolist():
        colour = (r * 255, g * 255, b * 255) if kind < 0.8 else (90 + 150 * r, 60 + 130 * r, 40 + 110 * r)
        length = height * 0.5 * size**1.5 + 2
        middle = (round(x * width * 16), round(y * height * 16))
        dx, dy = math.cos(angle * math.pi) * length, math.sin(angle * math.pi) * length
        if kind < 0.3 or kind > 0.95:
            axes = (round(length * 8), round(length * (0.15 + 0.85 * ratio) * 8))
            cv2.ellipse(image, middle, axes, angle * 180, 0, 360, colour, -1, cv2.LINE_AA, _FIXED)
        elif kind < 0.55:
            if angle < 0.5:
                dx, dy = length, 0.0
            ex, ey = -dy * ratio * 1.5, dx * ratio * 1.5
            corners = np.array(
                [
                    [dx + ex, dy + ey],
                    [dx - ex, dy - ey],
                    [-dx - ex, -dy - ey],
                    [ex - dx * ratio, ey - dy * ratio],
                ]
            )
            points = np.rint(corners * 8 + np.array(middle)).astype(np.int32)
            cv2.fillPoly(image, [points], colour, cv2.LINE_AA, _FIXED)
        else:
            end = (round(x * width + dx), round(y * height + dy))
            thickness = max(1, round(length * 0.25 * ratio))
            cv2.line(image, (round(x * width), round(y * height)), end, colour, thickness, cv2.LINE_AA)


_NOISE_DEVIATION: Final = 32
_TILE: Final = 1024


@functools.cache
def _noise_tile(repeats: int) -> NDArray[np.uint8]:
    """Normal noise about 128, grey and colour mixed, 1024 px a side or that many times that."""
    rng = np.random.default_rng(11)
    grey = rng.standard_normal((_TILE, _TILE, 1), np.float32)
    colour = rng.standard_normal((_TILE, _TILE, 3), np.float32)
    tile = np.clip((grey * 0.8 + colour * 0.6) * _NOISE_DEVIATION + 128, 0, 255).astype(np.uint8)
    return np.tile(tile, (repeats, repeats, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """What light, optics and sensor do to a picture.

    Args:
        light: (3, 3, 3) uint8: how light of which colour falls on the picture's regions; 128 is neutral.
        gamma: (256,) uint8: the sensor's curve; None for a straight one.
        contrast: 1 for what there is.
        brightness: what becomes of middle grey, 0-255.
        blur_px: deviation of the blur; 0 for none.
        smear: (length px, angle rad) of a motion blur; length below 2 for none.
        noise: deviation of the sensor's noise, 0-255.
        shrink: the picture is seen through a sensor this much coarser; 1 for none.
        jpeg: quality, or 0 for none.
        grey: whether the camera sees no colours.
    """

    light: NDArray[np.uint8]
    gamma: NDArray[np.uint8] | None
    contrast: float
    brightness: float
    blur_px: float
    smear: tuple[float, float]
    noise: float
    shrink: float
    jpeg: int
    grey: bool

    @classmethod
    def random(cls, rng: np.random.Generator, height: int, harsh: float = 1.0) -> Lens:
        """Any lens, from a perfect one to a bad one (`harsh` 1) for pictures of a height, px."""
        dice = rng.random(13)
        unit = height / 257
        tint = 1 + harsh * rng.normal(0, 0.09, 3)
        fall = rng.normal(0, 0.4 * harsh * dice[0] ** 2, (3, 3, 1))
        exponent = 2 ** (harsh * rng.normal(0, 0.6))
        curve = np.linspace(0, 1, 256) ** exponent * 255
        return cls(
            light=np.asarray(np.clip(128 * tint * (1 + fall), 40, 230), np.uint8),
            gamma=np.asarray(np.rint(curve), np.uint8) if dice[1] < 0.3 else None,
            contrast=float(1 + harsh * (0.7 * dice[2] - 0.45)),
            brightness=float(127.5 + harsh * (85 * dice[3] - 50)),
            blur_px=float(1.6 * unit * dice[4] ** 2 * harsh) if dice[5] < 0.6 else 0,
            smear=(float(9 * unit * dice[6] * harsh) if dice[7] < 0.12 else 0, float(np.pi * dice[8])),
            noise=float(20 * harsh * dice[9] ** 2),
            shrink=float(1 + 1.5 * dice[6]) if dice[10] < 0.15 * harsh else 1,
            jpeg=int(25 + 60 * dice[6]) if dice[11] < 0.1 * harsh else 0,
            grey=bool(dice[12] < 0.06 * harsh),
        )

    def apply(self, image: Image, noise_at: tuple[int, int]) -> Image:
        """The picture as the camera gives it; `noise_at` (x, y) makes each frame's noise another."""
        height, width = image.shape[:2]
        fall = cv2.resize(self.light, (width, height), interpolation=cv2.INTER_LINEAR)
        image = _uint8(cv2.multiply(image, fall, scale=1 / 128))
        if self.shrink > 1:
            small = (max(1, round(width / self.shrink)), max(1, round(height / self.shrink)))
            image = _uint8(
                cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))
            )
        if self.blur_px > _SHARP_PX:
            side = 2 * math.ceil(2 * self.blur_px) + 1
            image = _uint8(cv2.GaussianBlur(image, (side, side), self.blur_px))
        if self.smear[0] >= _SMEAR_LEAST_PX:
            image = _uint8(cv2.filter2D(image, -1, _smear(*self.smear)))
        if self.gamma is not None:
            image = _uint8(cv2.LUT(image, self.gamma))
        if self.grey:
            image = _uint8(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
        strength = self.noise / _NOISE_DEVIATION
        offset = self.brightness - 127.5 * self.contrast - 128 * strength
        image = _uint8(
            cv2.addWeighted(image, self.contrast, _noise((height, width), noise_at), strength, offset)
        )
        if self.jpeg:
            _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])
            image = _uint8(cv2.imdecode(packed, cv2.IMREAD_COLOR))
        return image


_SHARP_PX: Final = 0.35
_SMEAR_LEAST_PX: Final = 2


def _smear(length: float, angle: float) -> Floats:
    side = int(length) | 1
    kernel = np.zeros((side, side), np.uint8)
    middle = side // 2
    reach = (np.cos(angle) * middle, np.sin(angle) * middle)
    start = (round(float(middle - reach[0])), round(float(middle - reach[1])))
    end = (round(float(middle + reach[0])), round(float(middle + reach[1])))
    cv2.line(kernel, start, end, (1,))
    return kernel / float(kernel.sum())


def _noise(shape: tuple[int, int], at: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = shape
    tile = _noise_tile(1 + max(shape) // _TILE)
    side = len(tile)
    y, x = at[1] % (side - height), at[0] % (side - width)
    return tile[y : y + height, x : x + width]
