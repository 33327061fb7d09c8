"""Measures what video streams cost: four of a real RTSP server, 720p at 25 frames per second.

A row is a codec and how many frames per second of each stream are taken; every frame has to be decoded, since
the next one builds on it, and one that nobody takes is not converted. CPU is that of the process that reads,
in percent of one core for each stream, and MB the memory that each further one takes in it; the server is
another process. The streams show drawn people with a sensor's noise, at 2 Mbit/s, with a keyframe every two
seconds and no B-frames, as cameras send them. The last rows are the same cameras' sub-streams, 640x360.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from posed.camera.base import Camera
from posed.camera.video import open_video
from posed.config import CameraConfig
from posed.synthetic.scene import Scene
from scripts.bench.options import seconds
from scripts.bench.run import resident_mb
from scripts.ports import free_port

FPS = 25
STREAMS = 4
SIZES = ((1280, 720), (640, 360))
KBIT_PER_S = {(1280, 720): 2000, (640, 360): 600}
ENCODERS = {"h264": "libx264", "h265": "libx265"}
NOISE = 4.0
"""Standard deviation of the noise, of 255."""

TAKEN_PER_S = (25, 10, 0)
SERVER = Path(__file__).parents[1] / "standins" / "rtsp_server.py"


@dataclass(frozen=True)
class Row:
    """A codec, the streams' size, and how many frames per second of each are taken."""

    codec: str
    size: tuple[int, int]
    taken_per_s: int


class Cost(NamedTuple):
    """What a stream takes of one core, and its memory, MB."""

    share: float
    memory_mb: float


def main() -> int:
    """Print the table."""
    options = parse_options()
    rows = [Row(codec, size, taken) for size in SIZES for codec in ENCODERS for taken in TAKEN_PER_S]
    with tempfile.TemporaryDirectory(prefix="posed-bench-") as name:
        files = {
            (codec, size): film(Path(name), codec, size, options.seconds + 10)
            for codec in ENCODERS
            for size in SIZES
        }
        print(
            f"{STREAMS} streams, {FPS} frames per second each, {os.cpu_count()} cores; {options.seconds:g} s"
        )
        print("codec   size       taken per s   CPU % of a core per stream   ms per frame     MB")
        for row in rows:
            with serving([files[row.codec, row.size]] * STREAMS) as urls:
                found = cost(urls, row.taken_per_s, options.seconds)
            size = "x".join(map(str, row.size))
            figures = f"{100 * found.share:28.1f} {1000 * found.share / FPS:14.2f} {found.memory_mb:6.1f}"
            print(f"{row.codec:7s} {size:10s} {row.taken_per_s:11d} {figures}", flush=True)
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.streams",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=seconds, default=15, help="for each row (default 15)")
    return parser.parse_args()


def film(folder: Path, codec: str, size: tuple[int, int], length_s: float) -> Path:
    """Drawn people as a camera would send them."""
    path, scene, random = folder / f"{size[0]}.{codec}.mkv", Scene(7, size), np.random.default_rng(0)
    noise = [random.normal(0, NOISE, (size[1], size[0], 3)) for _ in range(5)]
    options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "g": str(2 * FPS),
    }
    with av.open(path, "w") as container:
        stream = container.add_stream(ENCODERS[codec], FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 1000 * KBIT_PER_S[size]
        for number in range(round(length_s * FPS)):
            # A picture every fifth frame, since they take long to draw; the noise is new in each.
            if number % 5 == 0:
                image = scene.render(number / FPS).image.astype(np.float32)
            noisy = np.clip(image + noise[number % 5], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode())
    return path


@contextmanager
def serving(files: Sequence[Path]) -> Iterator[list[str]]:
    """The URLs of files that an RTSP server has."""
    port = free_port()
    command = ["/usr/bin/python3", str(SERVER), str(port), *map(str, files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout is not None
            if not server.stdout.readline():
                raise SystemExit("bench.streams: the RTSP server does not start")
            yield [f"rtsp://127.0.0.1:{port}/{number}" for number in range(len(files))]
        finally:
            server.kill()


def cost(urls: Sequence[str], taken_per_s: int, length_s: float) -> Cost:
    """What a stream costs, in a process of its own: memory that was freed before would count as none."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(cost_here, urls, taken_per_s, length_s).result()


def cost_here(urls: Sequence[str], taken_per_s: int, length_s: float) -> Cost:
    """The same, in this process: the first stream's memory has what all have in common."""
    stopping = threading.Event()
    with ExitStack() as stack:
        first_mb = 0.0
        for url in urls:
            config = CameraConfig(kind="video", source=url, fps=taken_per_s or FPS)
            camera = stack.enter_context(open_video(config))
            reader = threading.Thread(target=take_all, args=(camera, stopping))
            if taken_per_s:
                reader.start()
                stack.callback(reader.join)
            stack.callback(stopping.set)
            time.sleep(1)
            first_mb = first_mb or resident_mb(os.getpid())
        began_s, began_at = time.process_time(), time.monotonic()
        time.sleep(length_s)
        share = (time.process_time() - began_s) / (time.monotonic() - began_at) / len(urls)
        return Cost(share, (resident_mb(os.getpid()) - first_mb) / (len(urls) - 1))


def take_all(camera: Camera, stopping: threading.Event) -> None:
    """Take the frames of a camera, as many per second as it is configured for."""
    while not stopping.is_set():
        camera.read(0.5)


if __name__ == "__main__":
    sys.exit(main())
