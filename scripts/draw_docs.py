"""Draws the pictures of README.md and docs/: drawn people, and what posed's own models make of them.

    scripts/draw_docs [FOLDER]

demo.jpg: a frame of the synthetic camera with everybody found in it. decoding.jpg: the five steps from heads
to a pose, and the walk along the edges of many people. strides.jpg: one keypoint's cells at each stride.
Nothing is touched up: every square, arrow and line comes from the tensors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from posed.config import DecodeConfig, EngineConfig
from posed.drawing.privacy import jpeg
from posed.drawing.skeletons import draw_poses
from posed.engine import open_engine
from posed.frame import Image, Letterbox
from posed.networks.pair import load_pair
from posed.networks.posenet import PoseNet, decode_frame
from posed.networks.posenet.heads import Heads
from posed.networks.posenet.logits import logits_of
from posed.networks.posenet.many import REFINEMENTS
from posed.networks.posenet.one import decode_one
from posed.pose import EDGES, KEYPOINT_COUNT, LEFT_WRIST, Pose
from posed.synthetic.scene import Scene, random_still
from scripts.paths import ROOT

Floats = NDArray[np.float64]

DOCS: Final = ROOT / "docs"

DEMO_SEED: Final = 2
DEMO_AT_S: Final = 36.0
DEMO_SIZE: Final = (640, 480)
"""What a camera of `{kind: synthetic, source: 2}` sees after 36 s."""

STILL_SEED: Final = 900399
STILL_SIZE: Final = (353, 257)
"""One person, exactly the size of the models' input, so that there is no letterbox in between."""

CROP_PX: Final = (slice(22, 257), slice(134, 302))
SCALE: Final = 2.1
"""What of the still is shown, rows and columns, and how much it is enlarged."""

YELLOW: Final = (255, 196, 0)
BLUE: Final = (0, 110, 255)
RED: Final = (235, 30, 30)
WHITE: Final = (255, 255, 255)
THRESHOLD: Final = DecodeConfig().keypoint_threshold


def main() -> int:
    """Write every picture into the folder; returns the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/draw_docs", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DOCS, help="where to (default: docs)")
    folder: Path = parser.parse_args().folder
    for name, draw in (("demo", demo), ("decoding", decoding), ("strides", strides)):
        (folder / f"{name}.jpg").write_bytes(jpeg(draw()))
        print(folder / f"{name}.jpg")
    return 0


def demo() -> Image:
    """A frame of the synthetic camera, as `posed detect --output` would draw it."""
    frame = Scene(DEMO_SEED, DEMO_SIZE).render(DEMO_AT_S).image
    letterbox = Letterbox(DEMO_SIZE, STILL_SIZE)
    poses = decode_frame(heads_of(letterbox.apply(frame), 16), letterbox, DecodeConfig())
    return draw_poses(frame, poses, THRESHOLD)


def decoding() -> Image:
    """The five steps of one person, and a sixth panel: how many people are told apart."""
    still = random_still(STILL_SEED, STILL_SIZE, 1, tame=True).image
    heads = heads_of(still, 16)
    scores = 1 / (1 + np.exp(-logits_of(heads)))
    cells = best_cells(scores)
    pose = decode_one(heads)
    panels = [
        Panel(still).cells(scores.max(2), heads.stride),
        Panel(still).grid(scores.shape, heads.stride).boxes(cells, heads.stride),
        Panel(still).boxes(cells, heads.stride).arrows(zip(cells * heads.stride, pose.points, strict=True)),
        Panel(still).dots(pose.points),
        Panel(still).pose(pose),
        Panel(still).arrows(walk(heads, pose)),
    ]
    return tiled([panel.numbered(number) for number, panel in enumerate(panels, 1)], columns=3)


def strides() -> Image:
    """The cells of the left wrist at stride 32, 16 and 8, and where it is found."""
    still = random_still(STILL_SEED, STILL_SIZE, 1, tame=True).image
    panels = []
    for stride in (32, 16, 8):
        heads = heads_of(still, stride)
        scores = 1 / (1 + np.exp(-logits_of(heads)))
        panel = Panel(still).cells(scores[:, :, LEFT_WRIST], stride).grid(scores.shape, stride)
        panels.append(panel.dots(decode_one(heads).points[[LEFT_WRIST]]).numbered(stride))
    return tiled(panels, columns=3)


def heads_of(image: Image, stride: int) -> Heads:
    """What posed's own model of a stride says of a picture of its input's size."""
    pair = load_pair(f"drawings-257x353-{stride}")
    with open_engine(EngineConfig(kind="cpu"), pair.cpu, None) as engine:
        return PoseNet.of(pair.model).heads(engine.infer(image))


def best_cells(scores: Floats) -> Floats:
    """(17, 2): row and column of each keypoint's best cell; scores are (rows, columns, 17)."""
    best = scores.reshape(-1, KEYPOINT_COUNT).argmax(0)
    return np.stack(np.unravel_index(best, scores.shape[:2]), 1).astype(np.float64)


def walk(heads: Heads, pose: Pose) -> Iterator[tuple[Floats, Floats]]:
    """From the surest keypoint along the edges of the body: each step by the mid offset, as (from, to), px.

    What follows starts where the short offsets have moved the step's end to.
    """
    mid, short = heads.mid_offsets.values(), heads.short_offsets.values()
    count = len(EDGES)
    root = int(pose.scores.argmax())
    points, level = {root: pose.points[root]}, [root]
    while level:
        source = level.pop(0)
        for edge, (parent, child) in enumerate(EDGES):
            if source not in (parent, child):
                continue
            target = child if source == parent else parent
            if target in points:
                continue
            first = edge if source == parent else 2 * count + edge
            end = points[source] + offset_at(heads, mid, points[source], first, count)
            yield points[source], end
            for _ in range(REFINEMENTS):
                row, column = cell_of(heads, end)
                end = (
                    np.array([row, column]) * heads.stride
                    + short[row, column, [target, KEYPOINT_COUNT + target]]
                )
            points[target] = end
            level.append(target)


def offset_at(heads: Heads, offsets: Floats, point: Floats, channel: int, dx_after: int) -> Floats:
    """The offset (dy, dx) at the cell nearest to a point, px; the decoder reads between four cells."""
    row, column = cell_of(heads, point)
    return np.asarray(offsets[row, column, [channel, channel + dx_after]], np.float64)


def cell_of(heads: Heads, point: Floats) -> tuple[int, int]:
    """Row and column of the cell nearest to a point, y first, px."""
    rows, columns, _ = heads.heatmaps.data.shape
    row, column = np.clip((point / heads.stride).round(), 0, (rows - 1, columns - 1)).astype(int).tolist()
    return row, column


class Panel:
    """The part of the still that is shown, enlarged, to draw on in px of the still."""

    def __init__(self, still: Image) -> None:
        rows, columns = CROP_PX
        crop = still[rows, columns]
        self._origin = np.array([rows.start, columns.start], np.float64)
        self.image = cv2.resize(crop, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)

    def cells(self, scores: Floats, stride: int) -> Panel:
        """Every cell as red as its score; (rows, columns), 0-1."""
        red = np.full_like(self.image, RED)
        strength = np.zeros(self.image.shape[:2], np.float32)
        for row, column in np.ndindex(*scores.shape):
            self._cell(
                row,
                column,
                stride,
                lambda a, b, s=scores[row, column]: cv2.rectangle(strength, a, b, float(s), -1),
            )
        strength = strength[:, :, np.newaxis] * 0.85
        self.image = (self.image * (1 - strength) + red * strength).astype(np.uint8)
        return self

    def grid(self, shape: tuple[int, ...], stride: int) -> Panel:
        """The borders of all cells."""
        lines = self.image.copy()
        for row, column in np.ndindex(*shape[:2]):
            self._cell(row, column, stride, lambda a, b: cv2.rectangle(lines, a, b, WHITE, 1))
        self.image = cv2.addWeighted(lines, 0.45, self.image, 0.55, 0)
        return self

    def boxes(self, cells: Floats, stride: int) -> Panel:
        """Some cells; (n, 2) rows and columns."""
        for row, column in cells.astype(int).tolist():
            self._cell(row, column, stride, lambda a, b: cv2.rectangle(self.image, a, b, RED, 2))
        return self

    def arrows(self, steps: Iterator[tuple[Floats, Floats]]) -> Panel:
        """From a point to a point, y first."""
        for start, end in steps:
            if np.linalg.norm(end - start) < 1:
                continue
            length = max(float(np.linalg.norm(end - start)) * SCALE, 1.0)
            cv2.arrowedLine(
                self.image,
                self._place(start),
                self._place(end),
                BLUE,
                2,
                cv2.LINE_AA,
                tipLength=min(0.4, 9 / length),
            )
        return self

    def dots(self, points: Floats) -> Panel:
        """Points, y first."""
        for point in points:
            cv2.circle(self.image, self._place(point), 5, YELLOW, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(self.image, self._place(point), 5, (0, 0, 0), 1, cv2.LINE_AA)
        return self

    def pose(self, pose: Pose) -> Panel:
        """A skeleton, as everywhere in posed."""
        moved = Pose((pose.points - self._origin) * SCALE, pose.scores, pose.score)
        self.image = draw_poses(self.image, [moved], THRESHOLD)
        return self

    def numbered(self, number: int) -> Image:
        """The panel with a number in its corner."""
        text = str(number)
        cv2.rectangle(self.image, (0, 0), (16 + 16 * len(text), 34), (20, 20, 20), cv2.FILLED)
        cv2.putText(self.image, text, (8, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.8, WHITE, 2, cv2.LINE_AA)
        return self.image

    def _cell(
        self, row: int, column: int, stride: int, draw: Callable[[list[int], list[int]], object]
    ) -> None:
        middle = np.array([row, column]) * stride
        draw(self._place(middle - stride / 2), self._place(middle + stride / 2))

    def _place(self, point: Floats) -> list[int]:
        y, x = ((point - self._origin) * SCALE).round().astype(int).tolist()
        return [x, y]


def tiled(panels: list[Image], columns: int) -> Image:
    """Panels in rows, with white between them."""
    framed = [cv2.copyMakeBorder(panel, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=WHITE) for panel in panels]
    rows = [np.hstack(framed[start : start + columns]) for start in range(0, len(framed), columns)]
    return np.vstack(rows)


if __name__ == "__main__":
    sys.exit(main())
