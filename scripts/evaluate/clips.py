"""Labelled footage: a folder of clips with a `manifest.csv`.

Columns of the manifest: `file`; `use` (`try`: for making rules, `check`: for seeing whether they hold);
`label` (`fall…` or `no_fall…`); `fall_start_s`, from the clip's beginning; `activities` (`Walking 0-2.6;
Sitting 3-9`, seconds of the clip); `resting`, the polygon of a bed or sofa in fractions of the frame, as
JSON; `note`, in which `looks down` says so of the camera, and `upright whenever somebody is there` that
everybody stands. Others are passed over.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np

from posed.config.polygon import problem_of
from posed.frame import Image

MANIFEST: Final = "manifest.csv"

LIES_AFTER_S: Final = 2.5
"""Who fell is on the floor so long after the fall began, s."""

HELD_S: Final = 13.0
"""How long the last frames of a clip are played to and fro behind it, s."""

Truth = Literal["standing", "sitting", "lying", "neither"]

_POSTURES: Final[dict[str, Truth]] = {
    "walking": "standing",
    "standing": "standing",
    "exercising": "neither",
    "sitting": "sitting",
    "reading": "neither",
    "eating": "neither",
    "drinking": "neither",
    "sleeping": "lying",
    "crouching": "neither",
    "bending": "neither",
}
"""What is labelled beside a posture (reading, eating) says none, and is passed over where one is there."""


class FootageError(Exception):
    """A folder that holds no labelled footage; its message says where and what."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled clip.

    Args:
        path: of the video.
        use: `try` or `check`.
        label: `fall…` or `no_fall…`.
        fall_start_s: when the fall begins, s of the clip; None where nobody falls.
        activities: (posture, from, to), s of the clip.
        resting: polygon [x, y] in fractions of the frame; empty where there is none.
        held: whether its end is held for `HELD_S`, as that of footage is.
        looks_down: whether the camera does.
        whoever: what everybody does who is seen while nothing is labelled; None where nobody says.
    """

    path: Path
    use: str
    label: str
    fall_start_s: float | None
    activities: tuple[tuple[Truth, float, float], ...]
    resting: tuple[tuple[float, float], ...]
    held: bool = True
    looks_down: bool = False
    whoever: Truth | None = None

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def group(self) -> str:
        """Where the clip comes from, and whether somebody falls in it: a row of the table."""
        source = self.name.split("_")[0]
        return f"{source} {self.label.split(':')[0]}"

    def posture_at(self, time_s: float) -> Truth | None:
        """What the person does at a time; None where nobody labelled it."""
        if self.fall_start_s is not None and time_s >= self.fall_start_s:
            return "lying" if time_s >= self.fall_start_s + LIES_AFTER_S else None
        truths = {truth for truth, start_s, end_s in self.activities if start_s <= time_s <= end_s}
        postures = truths - {"neither"}
        if len(postures) == 1:
            return postures.pop()
        return "neither" if truths and not postures else None


def read_footage(folder: Path) -> list[Clip]:
    """Every clip of a folder's manifest.

    Raises:
        FootageError: there is no manifest, or a row of it is wrong.
    """
    manifest = folder / MANIFEST
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise FootageError(f"{manifest}: cannot be read ({reason})") from None
    if not rows:
        raise FootageError(f"{manifest}: must name a clip, got none")
    clips = []
    for number, row in enumerate(rows, start=2):
        try:
            clips.append(_clip(folder, row))
        except KeyError as error:
            raise FootageError(f"{manifest}, line {number}: must have a column {error}") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise FootageError(f"{manifest}, line {number}: {error}") from None
    return clips


def _clip(folder: Path, row: dict[str, str]) -> Clip:
    path = folder / row["file"]
    if not path.is_file():
        raise ValueError(f"file: must be there, got {row['file']!r}")
    label = row["label"] or ""
    if not label.startswith(("fall", "no_fall")):
        raise ValueError(f"label: must begin with fall or no_fall, got {label!r}")
    start = row.get("fall_start_s") or ""
    if label.startswith("fall") and not start:
        raise ValueError("fall_start_s: must say when the fall begins, got nothing")
    resting = row.get("resting") or "[]"
    return Clip(
        path,
        row.get("use") or "try",
        label,
        _seconds("fall_start_s", start) if start else None,
        tuple(_activities(row.get("activities") or "")),
        _polygon(resting),
        looks_down="looks down" in (row.get("note") or ""),
        whoever="standing" if "upright whenever somebody is there" in (row.get("note") or "") else None,
    )


def _seconds(column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{column}: must be seconds, got {text!r}")
    return value


def _polygon(text: str) -> tuple[tuple[float, float], ...]:
    """As in the configuration of a zone, or empty."""
    try:
        corners = tuple((float(x), float(y)) for x, y in json.loads(text))
    except (TypeError, ValueError):
        raise ValueError(f"resting: must be [[x, y], …], got {text!r}") from None
    problem = problem_of(corners) if corners else None
    if problem:
        raise ValueError(f"resting: {problem}")
    return corners


def _activities(text: str) -> Iterator[tuple[Truth, float, float]]:
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = re.fullmatch(r"(.+?) ([\d.]+)-([\d.]+)", part)
        if match is None:
            raise ValueError(f"activities: must be `Walking 0-2.6; …`, got {part!r}")
        name, start_s, end_s = match.groups()
        truth = _POSTURES.get(name.lower())
        if truth is not None:  # how somebody falls is no posture
            yield truth, _seconds("activities", start_s), _seconds("activities", end_s)


class Frames:
    """The pictures of a clip by their numbers, decoded when they are asked for, forwards.

    Args:
        path: of the video.
        mirror: whether they are as in a mirror.
    """

    def __init__(self, path: Path, *, mirror: bool = False) -> None:
        self._path, self._mirror = path, mirror
        self._capture: cv2.VideoCapture | None = None
        self._newest: tuple[int, Image] | None = None

    def at(self, index: int) -> Image:
        """One picture, RGB uint8 (height, width, 3).

        Raises:
            FootageError: the video has no such frame.
        """
        if self._newest is not None and self._newest[0] == index:
            return self._newest[1]
        if self._capture is None or (self._newest is not None and self._newest[0] > index):
            self._capture, self._newest = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG), None
        before = -1 if self._newest is None else self._newest[0]
        for _ in range(index - before - 1):
            self._capture.grab()
        read, bgr = self._capture.read()
        if not read:
            raise FootageError(f"{self._path}: frame {index} cannot be read")
        image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        if self._mirror:
            image = np.ascontiguousarray(image[:, ::-1])
        self._newest = index, image
        return image


def video_facts(path: Path) -> tuple[int, float, tuple[int, int]]:
    """How many frames a video has, how many per second, and its (width, height), px."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    facts = [capture.get(which) for which in _FACTS]
    capture.release()
    count, fps, width, height = facts
    if count < 1 or fps <= 0:
        raise FootageError(f"{path}: must be a video that OpenCV reads")
    return int(count), fps, (int(width), int(height))


_FACTS: Final = (
    cv2.CAP_PROP_FRAME_COUNT,
    cv2.CAP_PROP_FPS,
    cv2.CAP_PROP_FRAME_WIDTH,
    cv2.CAP_PROP_FRAME_HEIGHT,
)


def frames_at(count: int, clip_fps: float, fps: float) -> list[int]:
    """Numbers of the frames that a slower camera would have given: those whose time passes the next step."""
    if fps >= clip_fps:
        return list(range(count))
    chosen, due = [], 0
    for index in range(count):
        if index / clip_fps * fps >= due - 1e-6:
            chosen.append(index)
            due = int(index / clip_fps * fps + 1e-6) + 1
    return chosen


def frame_times(count: int, clip_fps: float, fps: float) -> list[tuple[int, float]]:
    """Numbers and times, s, of a camera's frames; one faster than the clip shows each several times."""
    if fps <= clip_fps:
        return [(index, index / clip_fps) for index in frames_at(count, clip_fps, fps)]
    return [
        (int(number / fps * clip_fps + 1e-6), number / fps) for number in range(int(count * fps / clip_fps))
    ]
