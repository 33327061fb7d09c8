"""Videos of which the truth is known: drawn people, and pictures with a number."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2

from posed.synthetic.scene import Act, Part, Scene
from tests.http_camera import SIZE, picture

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


def transport_stream(folder: Path, size: tuple[int, int], count: int = 12, gop_size: int = 12) -> bytes:
    """Pictures in MPEG-2 at 25 per second; two such streams can be joined as they are."""
    path = folder / "part.ts"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg2video", 25, options={"qscale": "2", "sc_threshold": "1000000000"})
        stream.width, stream.height = size
        stream.codec_context.gop_size = gop_size
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number, size), format="bgr24")))
        container.mux(stream.encode())
    return path.read_bytes()


def varying_rate(path: Path, times_ms: list[int]) -> Path:
    """Pictures at these times in a Matroska file, which has no rate then, but the ticks of its clock."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", 1000, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
