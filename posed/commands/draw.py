"""From a video to the same video with what posed sees drawn over it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import av.container
import av.error
import av.video.stream

from posed import engine
from posed.camera.video import VideoFile
from posed.config import CameraConfig, Config, with_defaults
from posed.drawing.skeletons import draw_people
from posed.errors import CameraEnded, ImageError
from posed.frame import Image, Letterbox
from posed.networks import Network
from posed.networks.pair import load_pair
from posed.pipeline.feed import CameraSetup
from posed.pipeline.journal import MemoryJournal
from posed.pipeline.pipeline import Pipeline
from posed.pipeline.scene import Scene

CODEC: Final = "mpeg4"
"""Videos are written as MPEG-4 part 2: every FFmpeg can write that, and not every one H.264."""

_QUALITY: Final = "3"
"""At least this, of FFmpeg's scale from 2, the best, to 31."""

_MOST_TICKS: Final = 1001
"""A rate such as 29.97 is 30000/1001 in so many ticks; MPEG-4 has no more than 65535."""

_WAIT_S: Final = 0.1
_STOP_S: Final = 2.0

_VIDEO: Final = "video"
"""What the pipeline calls the only camera."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Args:
        frames: how many have been drawn.
        total: how many the video says it has; None where it does not say.
    """

    frames: int
    total: int | None


def draw_video(
    video: Path, out: Path, config: Config, camera: str, show: Callable[[Progress], object]
) -> int:
    """Write a video with everybody's skeleton, id and posture, and the zones; without sound.

    `out` is there once all of it is done, and as it was before otherwise.

    Args:
        video: any video that FFmpeg reads.
        out: an .mp4.
        config: the model and the engine.
        camera: the name of the camera whose thresholds, zones, `rotate` and `mirror` are taken.
        show: called after each frame.

    Returns:
        How many frames it has.

    Raises:
        ImageError: `out` cannot be written, or is the video itself.
        CameraError: the video cannot be read.
        ModelError, EngineError: of the network.
    """
    _check(video, out)
    settings = config.cameras[camera]
    source = CameraConfig(
        kind="video", source=str(video), realtime=False, rotate=settings.rotate, mirror=settings.mirror
    )
    with VideoFile(source) as opened:
        fps, total = opened.fps, opened.total
    pair = load_pair(config.model.name, input_size=config.model.input_size, pull_missing=config.model.pull)
    settings = with_defaults(config, pair.network.defaults).cameras[camera]
    pipeline = Pipeline(
        {_VIDEO: CameraSetup(lambda: VideoFile(source), settings.timeout_s)},
        lambda: engine.open_engine(config.engine, pair.cpu, pair.edgetpu),
        pair.model.size,
        next_region=pair.network.next_region,
    )
    part = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        writer = _Writer(part, out, fps)
        _draw(pipeline, pair.network, settings, writer, lambda: show(Progress(writer.taken, total)))
        writer.close()
        part.replace(out)
    finally:
        pipeline.stop(_STOP_S)
        part.unlink(missing_ok=True)
    return writer.taken


def _check(video: Path, out: Path) -> None:
    if out.suffix.lower() != ".mp4":
        raise ImageError(f"{out}: must end in .mp4, got {out.suffix!r}")
    if out.is_dir():
        raise ImageError(f"{out}: must be a file, is a folder")
    if out.exists() and video.exists() and out.samefile(video):
        raise ImageError(f"{out}: must be another file than the video that is drawn")
    if not os.access(out.parent, os.W_OK):
        raise ImageError(f"{out}: cannot be written: {out.parent} is no folder that can be written to")


def _draw(
    pipeline: Pipeline, network: Network, settings: CameraConfig, writer: _Writer, show: Callable[[], object]
) -> None:
    """Draw every frame of the video, to its end."""
    scene, feed = Scene(settings, MemoryJournal()), pipeline.feeds[_VIDEO]
    feed.followed.settings = settings.decode
    pipeline.start()
    while True:
        try:
            inferred = pipeline.next(_WAIT_S)
        except CameraEnded:
            return
        if inferred is None:
            continue
        frame = inferred.frame
        people = scene.update(scene.decode(inferred, network), frame, dark=inferred.dark)
        if (crop := scene.next_crop()) is not None:
            feed.request_crop(crop, frame)
        drawn = draw_people(frame.image, people, settings.zones, scene.keypoint_threshold)
        writer.write(drawn, frame.time_s)
        show()


class _Writer:
    """A video that is being written, at a constant rate: frames are repeated, or left out, to be in time.

    It has the size of the first picture; one of another size is fitted into that, with grey bars.

    Args:
        path: the file to write to.
        out: what messages to people call the file.
        fps: frames per second.

    Attributes:
        taken: frames that were given.
    """

    def __init__(self, path: Path, out: Path, fps: float) -> None:
        self.taken = 0
        self._path = path
        self._out = out
        self._fps = fps
        self._written = 0
        self._first_s = 0.0
        self._size = (0, 0)
        self._file: av.container.OutputContainer | None = None
        self._stream: av.video.stream.VideoStream | None = None

    def write(self, image: Image, time_s: float) -> None:
        """Add a picture.

        Args:
            image: RGB, (height, width, 3).
            time_s: when it is shown, media time.

        Raises:
            ImageError: it cannot be written.
        """
        if self._stream is None:
            self._stream, self._first_s = self._opened(image), time_s
        self.taken += 1
        until = round((time_s - self._first_s) * self._fps) + 1
        fitted = Letterbox((image.shape[1], image.shape[0]), self._size).apply(image)
        while self._written < until:
            self._put(av.VideoFrame.from_ndarray(fitted, format="rgb24"))
            self._written += 1

    def close(self) -> None:
        """Write what is left.

        Raises:
            ImageError: it cannot be written.
        """
        if self._file is not None:
            self._put(None)
            try:
                self._file.close()
            except av.error.FFmpegError as error:
                raise self._failure(error) from None

    def _opened(self, image: Image) -> av.video.stream.VideoStream:
        self._size = image.shape[1], image.shape[0]
        try:
            self._file = av.open(str(self._path), "w")
        except av.error.FFmpegError as error:
            raise self._failure(error) from None
        rate = Fraction(self._fps).limit_denominator(_MOST_TICKS)
        stream = self._file.add_stream(CODEC, rate, options={"qmax": _QUALITY})
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        return stream

    def _put(self, frame: av.VideoFrame | None) -> None:
        """Add a frame; None: there are no more."""
        assert self._file is not None
        assert self._stream is not None
        try:
            self._file.mux(self._stream.encode(frame))
        except av.error.FFmpegError as error:
            raise self._failure(error) from None

    def _failure(self, error: av.error.FFmpegError) -> ImageError:
        return ImageError(f"{self._out}: cannot be written: {error.strerror}")
