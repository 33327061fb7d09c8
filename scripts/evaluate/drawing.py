"""Pictures of a clip with what was seen in it, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from posed.config import CameraConfig
from posed.drawing.skeletons import draw_people
from posed.frame import Image
from scripts.evaluate.clips import Frames
from scripts.evaluate.play import Moment, Played, config_for

_COLUMNS: Final = 6
_WIDTH_PX: Final = 320


def draw_strip(played: Played, folder: Path, base: CameraConfig, every_s: float) -> Path:
    """Write one picture of a clip: a frame every so often, with everybody who is reported, and the time."""
    folder.mkdir(parents=True, exist_ok=True)
    config = config_for(played.clip, base)
    frames, cells, due_s = Frames(played.clip.path), [], 0.0
    for moment in played.moments:
        if moment.time_s >= due_s:
            due_s = moment.time_s + every_s - 1e-6
            cells.append(_cell(frames.at(moment.index), moment, played, config))
    path = folder / f"{played.clip.name}.png"
    cv2.imwrite(str(path), cv2.cvtColor(_grid(cells), cv2.COLOR_RGB2BGR))
    return path


def _cell(image: Image, moment: Moment, played: Played, config: CameraConfig) -> Image:
    scale = _WIDTH_PX / image.shape[1]
    drawn = draw_people(image, moment.people, config.zones, config.decode.keypoint_threshold)
    if moment.crop is not None:
        region = moment.crop.region
        cv2.rectangle(
            drawn, (region.left, region.top), (region.right - 1, region.bottom - 1), (255, 255, 0), 1
        )
    cell = cv2.resize(drawn, (_WIDTH_PX, round(image.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    seen = sum(one.person.seen for one in moment.people)
    words = f"{moment.time_s:.1f} s  {seen} seen"
    if moment.crop is not None:
        words += f"  turned {moment.crop.turn_deg}"
    reported = [event.type for at, event in played.reported if event.type == "fall" and at <= moment.time_s]
    words += "  FALL" * bool(reported)
    cv2.putText(cell, words, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(cell, words, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(cell, np.uint8)


def _grid(cells: list[Image]) -> Image:
    height, width, _ = cells[0].shape
    rows = -(-len(cells) // _COLUMNS)
    grid = np.zeros((rows * height, _COLUMNS * width, 3), np.uint8)
    for number, cell in enumerate(cells):
        row, column = divmod(number, _COLUMNS)
        grid[row * height : (row + 1) * height, column * width : (column + 1) * width] = cell
    return grid
