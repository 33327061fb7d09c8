"""Videos of drawn people, of which the truth is known."""

from __future__ import annotations

from pathlib import Path

import cv2

from posed.synthetic.scene import Act, Part, Scene

FPS = 10


def falling() -> Scene:
    """Somebody stands for 3 s, falls, and lies."""
    acts = (Act("stand", 0, 3), Act("fall_sideways", 3, 1.1), Act("lie_on_side", 4.1, 5))
    return Scene(3, (640, 480), script=[Part(acts, (0.0, 3.8), 0.0, 13)])


def film(path: Path, scene: Scene, seconds: float) -> Path:
    """Write a scene at `FPS` frames per second, nearly without loss."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, scene.size)
    for number in range(round(seconds * FPS)):
        writer.write(cv2.cvtColor(scene.render(number / FPS).image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path
