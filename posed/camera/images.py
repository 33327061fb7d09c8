"""Pictures from files: one, a folder of them, or a glob."""

from __future__ import annotations

import glob
import logging
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import cv2
import numpy as np

from posed.camera.base import FrameMaker, orient
from posed.camera.playback_clock import PlaybackClock
from posed.errors import CameraEnded, CameraError, ImageError
from posed.log import without_chatter
from posed.paths import exists, expanded, is_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posed.config import CameraConfig
    from posed.frame import Frame, Image

log = logging.getLogger(__name__)

SUFFIXES: Final = (
    *(
        ".bmp",
        ".dib",
        ".hdr",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".pic",
        ".png",
        ".pnm",
        ".ppm",
    ),
    *(".ras", ".sr", ".tif", ".tiff", ".webp"),
)
"""A file in a folder counts as a picture if its name ends in one of these: the formats that PyPI's builds of
OpenCV read. They read neither AVIF nor GIF."""

JPEG_START: Final = b"\xff\xd8"
JPEG_MARKER: Final = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
JPEG_END: Final = b"\xd9"

EXIF_ORIENTATION: Final = 0x0112
ORIENTATIONS: Final = {
    2: (0, True),
    3: (180, False),
    4: (180, True),
    5: (90, True),
    6: (90, False),
    7: (270, True),
    8: (270, False),
}
"""An orientation of EXIF means: turn the picture clockwise by so many degrees, then mirror it or not. Source:
EXIF 2.3, tag 0x0112."""


def read_image(path: Path) -> Image:
    """Read a picture of any format that OpenCV reads.

    Grey becomes RGB, an alpha channel is dropped, 16 bits are scaled to 8, and the orientation of EXIF is
    applied.

    Returns:
        RGB uint8, (height, width, 3).

    Raises:
        ImageError: it is missing, a folder, empty, cut short, or no picture.
    """
    data = _read_bytes(path)
    # OpenCV's warnings would double our one line.
    cv2.setLogLevel(0)
    # OpenCV turns the other formats itself.
    orientation = _webp_orientation(data)
    flags = cv2.IMREAD_COLOR if orientation is None else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with without_chatter(b"libpng "):
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"{path}: cannot be read as a picture: {error.err}") from error
    if picture is None or _is_jpeg_cut_short(data):
        raise ImageError(
            f"{path}: must be a whole picture in a format that OpenCV reads, got none or a damaged one"
        )
    image = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
    return orient(image, *ORIENTATIONS.get(orientation or 1, (0, False)))


def _webp_orientation(data: bytes) -> int | None:
    """The orientation that EXIF gives a WebP, 1 where it gives none; None for another format.

    Source: RFC 9649, 2.3 to 2.7.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"EXIF":
            return _exif_orientation(data[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0"))
        at += 8 + size + size % 2
    return 1


def _exif_orientation(exif: bytes) -> int:
    """The orientation in a block of EXIF, 1 where there is none. Source: TIFF 6.0, section 2."""
    order = ">" if exif.startswith(b"MM") else "<"
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        entries = (struct.unpack_from(f"{order}HHIH", exif, at + 2 + 12 * n) for n in range(count))
        return next((value for tag, _, _, value in entries if tag == EXIF_ORIENTATION), 1)
    except struct.error:
        return 1


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except IsADirectoryError as error:
        raise ImageError(f"{path}: must be a picture, got a folder") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
    if not data:
        raise ImageError(f"{path}: must be a picture, got an empty file")
    return data


def _is_jpeg_cut_short(data: bytes) -> bool:
    """Whether this is a JPEG without its end, which some versions of OpenCV fill up with grey.

    Source: ITU-T T.81, annex B. After a segment comes the next marker, after that of a scan its data first,
    in which 0xff is only ever followed by 0 or a restart marker.
    """
    if not data.startswith(JPEG_START) or data.endswith(b"\xff" + JPEG_END):
        return False
    at = len(JPEG_START)
    while marker := JPEG_MARKER.search(data, at):
        if marker[1] == JPEG_END:
            return False
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return True


def find_images(source: str) -> list[Path]:
    """The pictures that a file name, a folder or a glob means, in natural order (`2.png` before `10.png`).

    A folder gives its pictures only, known by suffix; a file or a glob everything that it names.

    Raises:
        CameraError: there is none.
    """
    try:
        paths = _listed(expanded(source))
    except OSError as error:
        raise CameraError(f"camera {source}: cannot be read: {error.strerror}") from error
    if not paths:
        raise CameraError(f"camera {source}: must be a picture, a folder of pictures or a glob, none found")
    return sorted(paths, key=_natural)


def _listed(path: Path) -> list[Path]:
    if is_folder(path):
        return [entry for entry in path.iterdir() if _is_picture(entry)]
    if exists(path):
        return [path]
    # Without a wildcard this finds nothing, as the file is missing. Path.glob takes no absolute pattern.
    found = (Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207
    return [entry for entry in found if not entry.is_dir()]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key: digits by value, the rest by letter; numbers before letters."""
    parts = re.findall(r"(\d+)|(\D+)", str(path))
    return [(0, int(digits), "") if digits else (1, 0, text.lower()) for digits, text in parts]


def open_images(config: CameraConfig) -> Images:
    """Find the pictures of `config.source`.

    Raises:
        CameraError: there is none.
    """
    return Images(config, find_images(config.source))


class Images:
    """A camera that shows pictures, each of them once or over and over.

    Every picture waits until it is read. They come at `fps` when `realtime`, else as fast as they are read.
    One that cannot be read is skipped with a warning. `size` does not apply: a frame has the picture's own.

    Args:
        config: the camera's section.
        paths: the pictures in the order of showing, at least one.
        clock: the clock to play by.
    """

    live = False

    def __init__(
        self, config: CameraConfig, paths: Sequence[Path], clock: PlaybackClock | None = None
    ) -> None:
        self.name = f"camera {config.source}"
        self._config = config
        self._paths = paths
        self._clock = clock or PlaybackClock()
        self._maker = FrameMaker(config.rotate, config.mirror)
        self._next = 0
        self._shown = 0
        self._unreadable: set[Path] = set()

    def read(self, wait_s: float) -> Frame | None:
        """The next picture, or None if it is not due within `wait_s` seconds.

        Raises:
            CameraEnded: all have been shown.
            CameraError: not one of them can be read.
        """
        time_s = self._shown / self._config.fps
        if self._config.realtime and not self._clock.wait_for(time_s, wait_s):
            return None
        image = self._next_image()
        self._shown += 1
        captured_at = self._clock.due_at(time_s) if self._config.realtime else self._clock.clock()
        return self._maker.make(image, captured_at, time_s)

    def _next_image(self) -> Image:
        while True:
            if self._next == len(self._paths):
                self._rewind()
            path = self._paths[self._next]
            self._next += 1
            try:
                image = read_image(path)
            except ImageError as error:
                self._skip(path, error)
            else:
                self._unreadable.discard(path)
                return image

    def _rewind(self) -> None:
        if len(self._unreadable) == len(self._paths):
            raise CameraError(f"{self.name}: none of {len(self._paths)} pictures can be read")
        if not self._config.loop:
            raise CameraEnded(f"{self.name}: all pictures have been shown, {self._shown} in all")
        self._next = 0

    def _skip(self, path: Path, error: ImageError) -> None:
        if len(self._paths) == 1:
            raise CameraError(f"camera {error}") from error
        if path not in self._unreadable:
            log.warning("%s: skipped: %s", self.name, error)
        self._unreadable.add(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing stays open between two pictures."""
