"""What FFmpeg decodes of a file or a URL: one frame after the other, each in a size of its own.

PyAV says of each frame how large it is and how it is to be turned. OpenCV keeps the size that a stream began
with.
"""

from __future__ import annotations

import math
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
from av.error import InvalidDataError
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter

from posed.camera.base import orient

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

    from posed.frame import Image

_MAJOR: Final = int(av.__version__.split(".")[0])

OPTIONS: Final = {"rtsp_flags": "prefer_tcp"}
"""RTSP comes over TCP, where no packet is lost, from a camera that can do so, and else over UDP."""

JPEG_OPTIONS: Final = OPTIONS | {"analyzeduration": "1", "fpsprobesize": "0"}
"""JPEGs without a container have no frame rate to wait for: opening would take 26 frames."""

LEAVE_OUT_DAMAGED: Final = {"err_detect": "explode"}
"""A JPEG that breaks off is no frame. Otherwise what is missing of it would be grey."""

MAX_LEFT_OUT: Final = 50
"""At most so many frames in a row are left out because FFmpeg says that pieces of them are missing: a bad
picture is better than none for long."""

MAX_FPS: Final = 240
"""No camera has a higher rate. A container of varying rate, as browsers record, may say 1000 or 90000, which
are the ticks of its clock."""

_TOLERANT: Final[dict[str, Any]] = {} if _MAJOR >= 19 else {"metadata_errors": "replace"}
"""A title that is no UTF-8 is no reason not to play: PyAV 19 takes any, and no longer this argument."""


class Decoder:
    """Decodes the video of a file or a URL. While one thread decodes, another may convert a frame.

    Args:
        source: a path, or a URL with user and password.
        timeout_s: opening, or a read, that takes longer than this fails, s; with None, none does.
        low_latency: whether each frame is there as soon as it is decoded. Threads that decode several frames
            at once delay each by as many frames (measured over RTSP at 25 frames per second: 45 ms with one
            thread, 88 ms with two).
        as_jpegs: whether to look for the beginning of each JPEG, whatever is between them. A frame then comes
            when the next one begins.

    Attributes:
        damaged: how many packets could not be decoded, and how many frames were left out because pieces of
            them are missing, as after packets were lost on the way.

    Raises:
        av.FFmpegError: it cannot be opened, or has no video.
    """

    def __init__(
        self,
        source: str,
        timeout_s: float | None = None,
        *,
        low_latency: bool = False,
        as_jpegs: bool = False,
    ) -> None:
        self._container: InputContainer = av.open(
            source,
            format="mjpeg" if as_jpegs else None,
            options=JPEG_OPTIONS if as_jpegs else OPTIONS,
            timeout=timeout_s,
            **_TOLERANT,
        )
        video = self._container.streams.video
        is_jpeg = as_jpegs or self.is_still
        if not video or (is_jpeg and not video[0].codec_context.width):
            self._container.close()
            raise InvalidDataError(0, "no video")
        self._stream = video[0]
        if low_latency:
            self._stream.codec_context.thread_count = 1
            if self._stream.codec_context.name == "mjpeg":
                self._stream.codec_context.options = LEAVE_OUT_DAMAGED
        else:
            self._stream.thread_type = "AUTO"
        self._packets = self._container.demux(self._stream)
        self._decoded: deque[tuple[VideoFrame, bool]] = deque()
        self._reformatter = VideoReformatter()
        self.damaged = 0
        self._left_out = 0

    @property
    def is_still(self) -> bool:
        """Whether this is a picture and no video."""
        name = self._container.format.name
        return name.endswith("_pipe") or name == "image2"

    @property
    def is_multipart(self) -> bool:
        """Whether these are JPEGs in parts with headers, as HTTP cameras send them."""
        return self._container.format.name == "mpjpeg"

    @property
    def fps(self) -> float:
        """Frames per second, as the container has it; 0 if it does not say, or says what no camera has."""
        rate = float(self._stream.guessed_rate or 0)
        return rate if rate <= MAX_FPS else 0.0

    @property
    def total(self) -> int:
        """How many frames there are, as the container has it or by its duration; 0 if it does not say."""
        duration_s = (self._container.duration or 0) / av.time_base
        return self._stream.frames or max(0, round(duration_s * self.fps))

    def next(self) -> VideoFrame | None:
        """The next frame; None if a packet gave none, or one with pieces missing.

        Raises:
            EOFError: there are no more.
            av.FFmpegError: the next packet cannot be read.
        """
        if not self._decoded:
            packet = next(self._packets, None)
            if packet is None:
                raise EOFError
            try:
                # Some decoders conceal what is missing and do not tell; the packet does.
                broken = packet.is_corrupt
                self._decoded.extend((frame, broken or frame.is_corrupt) for frame in packet.decode())
            except av.FFmpegError:
                self.damaged += 1
        if not self._decoded:
            return None
        frame, broken = self._decoded.popleft()
        return None if self._leaves_out(broken=broken) else frame

    def _leaves_out(self, *, broken: bool) -> bool:
        """Whether to leave a frame out: pieces that are missing would show people who are not there."""
        if not broken:
            self._left_out = 0
            return False
        if self._left_out == MAX_LEFT_OUT:
            return False
        self._left_out += 1
        self.damaged += 1
        return True

    def time_s(self, frame: VideoFrame) -> float | None:
        """When the frame is shown, s after the start of the stream; None if the container does not say."""
        if frame.pts is None or self._stream.time_base is None:
            return None
        return float((frame.pts - (self._stream.start_time or 0)) * self._stream.time_base)

    def to_rgb(self, frame: VideoFrame) -> Image:
        """The picture of a frame, turned and mirrored as its tag says: RGB uint8, (height, width, 3)."""
        image = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        return orient(np.ascontiguousarray(image, np.uint8), *_orientation(frame))

    def close(self) -> None:
        """Close the file or the connection."""
        self._container.close()


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """By how many degrees to turn a frame clockwise, and whether to mirror it then, as its tag says.

    The tag is a matrix: (x, y) goes to (a x + c y, b x + d y). PyAV's `rotation` knows no mirrors.
    """
    # One of our own: `frame.side_data` keeps the frame that keeps it, until Python looks for such circles. A
    # stream of 1280x720 so had fifty frames in memory. PyAV's types know no argument of it.
    make: Any = SideDataContainer
    side_data = make(frame)
    if "DISPLAYMATRIX" not in side_data:
        return 0, False
    a, b, _, c, d = struct.unpack_from("=5i", bytes(side_data["DISPLAYMATRIX"]))
    mirror = a * d < b * c
    return round(math.degrees(math.atan2(b, -a if mirror else a)) / 90) * 90 % 360, mirror
