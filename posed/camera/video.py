"""What OpenCV opens: a V4L2 device, an RTSP or HTTP URL, a file.

A device or URL is live: a thread drains it, so that a frame is never older than the newest one. A file is
read in the caller's thread, at its own rate or as fast as it is read.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import cv2
import numpy as np

from posed.camera.base import FrameMaker
from posed.camera.playback_clock import PlaybackClock
from posed.errors import CameraEnded, CameraError, CameraLost
from posed.paths import expanded

if TYPE_CHECKING:
    from collections.abc import Callable

    from posed.camera.base import Camera
    from posed.config import CameraConfig
    from posed.frame import Frame, Image

log = logging.getLogger(__name__)

CLOSE_WAIT_S: Final = 1.0
"""Closing waits this long for a read inside OpenCV, s; the daemon has 2 s to stop in all."""

OPEN_MARGIN_S: Final = 1.0
"""Opening may take this much longer than `timeout_s`, s: OpenCV's own timeout knows a better reason."""

MAX_STEP_S: Final = 2.0
"""A longer step from one timestamp of a file to the next counts as broken, s; it would be taken for a
stall."""

MAX_LOST: Final = 1000
"""A file counts as ended after this many frames in a row that cannot be decoded; its own count of frames may
lie."""

MAX_BAD_FRAMES: Final = 10
"""A live source counts as gone after this many failed reads in a row: one damaged packet fails one read."""

YUYV_SIZE: Final = (640, 480)
"""This is the largest (width, height), px, that a USB 2 camera sends uncompressed at 30 frames per second; a
camera is asked for MJPEG above it (1280x720 in YUYV is 10 frames per second on common webcams)."""

DEFAULT_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}


def open_video(config: CameraConfig) -> Camera:
    """Open `config.source`: `0`, `/dev/video0`, a URL or a file.

    Raises:
        CameraLost: a device or URL that cannot be opened (now).
        CameraError: a file that is missing or no video.
    """
    _quieten()
    source = f"/dev/video{config.source}" if config.source.isdecimal() else config.source
    if "://" in source:
        return LiveVideo(config, public_name(source), lambda: _open_url(source, config.timeout_s))
    if source.startswith("/dev/") and not Path(source).is_file():
        return LiveVideo(config, f"camera {source}", lambda: _open_device(Path(source), config))
    return VideoFile(config)


def _quieten() -> None:
    """Silence OpenCV and FFmpeg, which write to stderr what our errors say better, even URLs' passwords."""
    cv2.setLogLevel(0)
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"


def public_name(url: str) -> str:
    """The camera's name without what could be a secret.

    User and password go, and so does the path from the level on that has a query or a `=`, where cheap
    cameras want them (`/user=admin_password=…`). A URL in which nobody can say where the host begins is
    cut to its scheme.
    """
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest)[0]
    beyond = rest.removeprefix(authority)
    if "@" in beyond:
        return f"camera {scheme}://…"
    path = re.split("[?#=]", beyond)[0]
    path, hidden = (path, "") if path == beyond else (path.rpartition("/")[0] + "/", "…")
    return f"camera {scheme}://{authority.rpartition('@')[2]}{path}{hidden}"


def _rgb(bgr: Image) -> Image:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


# Live sources


def _open_url(url: str, timeout_s: float) -> cv2.VideoCapture:
    timeout_ms = round(timeout_s * 1000)
    params = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms),
        # More threads decode several frames at once, which delays each by as many frames (measured over
        # RTSP at 25 frames per second: 45 ms with one thread, 88 ms with two).
        *(cv2.CAP_PROP_N_THREADS, 1),
    ]
    started_at = time.monotonic()
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, params)
    if capture.isOpened():
        return capture
    if time.monotonic() - started_at >= timeout_s:
        raise CameraLost(f"{public_name(url)}: no answer within {timeout_s:g} s")
    raise CameraLost(f"{public_name(url)}: cannot be opened: {_why_unreachable(url, timeout_s)}")


def _why_unreachable(url: str, timeout_s: float) -> str:
    """OpenCV says only that it failed; a connection of our own tells a dead host from a wrong path."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
        if not host or not port:
            return "FFmpeg does not take the URL"
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        return error.strerror or "no answer"
    except ValueError:
        return "FFmpeg does not take the URL"
    return "the host answers, but gives no video (check path, user and password)"


def _open_device(path: Path, config: CameraConfig) -> cv2.VideoCapture:
    # V4L2 knows no other timeout, and reads this one once per process.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(max(1, round(config.timeout_s))))
    if not path.exists():
        raise CameraLost(f"camera {path}: no such device")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraLost(f"camera {path}: no permission (the user must be in the group video)")
    capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise CameraLost(f"camera {path}: cannot be opened: in use by another program, or no camera")
    _ask_for(capture, config)
    return capture


def _ask_for(capture: cv2.VideoCapture, config: CameraConfig) -> None:
    """Ask the device for a size and a rate; it takes the nearest that it has, and the frames show which."""
    if config.size is not None:
        width, height = config.size
        if width * height > YUYV_SIZE[0] * YUYV_SIZE[1]:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
    capture.set(cv2.CAP_PROP_FPS, config.fps)


class LiveVideo:
    """A device or URL, drained by a thread of its own.

    OpenCV's calls may hang for longer than any timeout; then the thread is left behind, and goes when the
    call returns. OpenCV keeps the size that a stream began with and does not tell when it changes: after
    that a larger picture shows as a frozen one, and a smaller one is drawn into a part of the old.

    Args:
        config: the section `camera`.
        name: without secrets.
        open_capture: opens the source, or raises CameraLost.

    Raises:
        CameraLost: it cannot be opened, or not within `timeout_s`.
    """

    live = True

    def __init__(self, config: CameraConfig, name: str, open_capture: Callable[[], cv2.VideoCapture]) -> None:
        self.name = name
        self._timeout_s = config.timeout_s
        self._maker = FrameMaker(config.rotate, config.mirror)
        self._open_capture = open_capture
        self._changed = threading.Condition()
        self._newest: tuple[Image, float] | None = None
        self._opened = False
        self._lost: str | None = None
        self._bad_frames = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._drain, name=name, daemon=True)
        self._thread.start()
        self._wait_until_open()

    def _wait_until_open(self) -> None:
        with self._changed:
            wait_s = self._timeout_s + OPEN_MARGIN_S
            self._changed.wait_for(lambda: self._opened or self._lost is not None, wait_s)
            if not self._opened:
                self._closing.set()
                raise CameraLost(self._lost or f"{self.name}: opening hangs for over {wait_s:g} s")

    def read(self, wait_s: float) -> Frame | None:
        """The newest frame that was not read yet, or None if none came within `wait_s` seconds.

        Raises:
            CameraLost: the source dropped, or gave nothing for `timeout_s`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._lost is not None, wait_s)
            newest, self._newest = self._newest, None
            if newest is None:
                if self._lost is not None:
                    raise CameraLost(self._lost)
                return None
        bgr, captured_at = newest
        return self._maker.make(_rgb(bgr), captured_at)

    def _drain(self) -> None:
        try:
            capture = self._open_capture()
        except CameraLost as error:
            self._give_up(str(error))
            return
        try:
            self._hear(None)
            while not self._closing.is_set():
                self._take(capture)
        except CameraLost as error:
            self._give_up(str(error))
        except cv2.error as error:
            self._give_up(f"{self.name}: OpenCV failed: {error.err}")
        finally:
            # After the reader was told: taking leave of an RTSP server that hangs takes its time, too.
            capture.release()

    def _take(self, capture: cv2.VideoCapture) -> None:
        started_at = time.monotonic()
        grabbed = capture.grab()
        captured_at = time.monotonic()
        # After a timeout FFmpeg may still hand out a frame that its decoder had kept back.
        if captured_at - started_at >= self._timeout_s:
            raise CameraLost(f"{self.name}: no frame within {self._timeout_s:g} s")
        read, bgr = capture.retrieve() if grabbed else (False, None)
        if read:
            self._bad_frames = 0
            self._hear((np.asarray(bgr, np.uint8), captured_at))
            return
        self._bad_frames += 1
        if self._bad_frames > MAX_BAD_FRAMES:
            raise CameraLost(f"{self.name}: the stream ended")

    def _hear(self, newest: tuple[Image, float] | None) -> None:
        with self._changed:
            self._newest = newest
            self._opened = True
            self._changed.notify_all()

    def _give_up(self, why: str) -> None:
        with self._changed:
            self._lost = why
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread; one that hangs inside OpenCV is not waited for over `CLOSE_WAIT_S`."""
        self._closing.set()
        self._thread.join(CLOSE_WAIT_S)
        if self._thread.is_alive():
            log.debug("%s: a read hangs; going on without it", self.name)


# Files


class _Play:
    """A file, once from its first frame to its last.

    Attributes:
        total: the frames that it says it has, 0 if it does not say.
        count: the frames so far.
        step_s: how long the last frame came after the one before (the first: after the start), s.
        usual_step_s: how long one frame comes after another at the file's frame rate, s.
        broke_at: the frame at which damage began, None while there is none.
    """

    def __init__(self, path: Path, default_fps: float) -> None:
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise CameraError(f"camera {path}: must be a video that OpenCV reads, got none or a damaged one")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.usual_step_s = 1 / (fps if 1 <= fps <= 1000 else default_fps)
        self.total = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.count = 0
        self.step_s = 0.0
        self.broke_at: int | None = None
        self._lost = 0
        self._stamp_s: float | None = None
        self._played_s = 0.0

    def grab(self) -> bool:
        """Go to the next frame that can be decoded; False at the end."""
        lost = 0
        while not self._capture.grab():
            lost += 1
            if self.count + self._lost + lost >= self.total or lost > MAX_LOST:
                self._finish()
                return False
        if lost:
            self._break()
        self._lost += lost
        self.count += 1
        self.step_s = self._step()
        self._played_s += self.step_s
        return True

    def _step(self) -> float:
        """Time since the last frame, s: by timestamps, or by the file's rate where one is broken or leaps."""
        before_s = self._stamp_s
        self._stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if before_s is None:
            return self._stamp_s if 0 <= self._stamp_s <= MAX_STEP_S else 0.0
        step_s = self._stamp_s - before_s
        return step_s if 0 < step_s <= MAX_STEP_S else self.usual_step_s

    def _finish(self) -> None:
        # Some containers do not count their frames: OpenCV then multiplies duration and rate, and a file
        # of varying rate has fewer. It is cut short only if it also stops early.
        ends_at_s = self._played_s + 2 * self.usual_step_s
        if self.count < self.total and ends_at_s < self.total * self.usual_step_s:
            self._break()

    def _break(self) -> None:
        if self.broke_at is None:
            self.broke_at = self.count

    def retrieve(self) -> Image | None:
        """The picture of the frame, BGR; None if it cannot be converted."""
        read, bgr = self._capture.retrieve()
        return np.asarray(bgr, np.uint8) if read else None

    def close(self) -> None:
        self._capture.release()


class VideoFile:
    """A file as a camera.

    With `realtime` it plays at its own rate as a live camera would: a frame that nobody took is gone.
    Without, every frame waits to be read. Frames come in the file's size, `size` does not apply. Damage is
    skipped as far as OpenCV can decode again, and told in a warning at the end.

    Args:
        config: the section `camera`.
        pace: the clock to play by.

    Raises:
        CameraError: the file is missing or no video.
    """

    def __init__(self, config: CameraConfig, pace: PlaybackClock | None = None) -> None:
        self.name = f"camera {config.source}"
        self.live = config.realtime
        self._config = config
        self._path = expanded(config.source).absolute()
        self._pace = pace or PlaybackClock()
        self._maker = FrameMaker(config.rotate, config.mirror)
        self._play = self._start()
        self._time_s = self._play.step_s
        self._count = 1
        self._waiting = True
        self._told = False

    @property
    def fps(self) -> float:
        """The rate that the file says it has, or else the configured one."""
        return 1 / self._play.usual_step_s

    @property
    def total(self) -> int | None:
        """How many frames the file says it has; None if it does not say."""
        return self._play.total or None

    def _start(self) -> _Play:
        if not self._path.is_file():
            what = "is a folder" if self._path.is_dir() else "there is no such file"
            raise CameraError(f"{self.name}: must be a video, {what}")
        play = _Play(self._path, self._config.fps)
        if not play.grab():
            play.close()
            raise CameraError(f"{self.name}: must be a video, not one frame of it can be decoded")
        return play

    def read(self, wait_s: float) -> Frame | None:
        """The newest frame that is due, or without `realtime` the next one.

        Returns:
            None if no frame is due within `wait_s` seconds.

        Raises:
            CameraEnded: the file has been played to its end.
        """
        while True:
            if not self._waiting:
                self._advance()
            if self._config.realtime:
                if not self._pace.wait_for(self._time_s, wait_s):
                    return None
                self._skip_to_newest()
            bgr = self._play.retrieve()
            self._waiting = False
            if bgr is not None:
                return self._maker.make(_rgb(bgr), self._captured_at(), self._time_s)

    def _captured_at(self) -> float:
        return self._pace.due_at(self._time_s) if self._config.realtime else self._pace.clock()

    def _skip_to_newest(self) -> None:
        now = self._pace.clock()
        while self._pace.due_at(self._time_s + self._play.usual_step_s) <= now:
            self._advance()

    def _advance(self) -> None:
        """Go to the next frame, from the end back to the start if the file loops."""
        gap_s = 0.0
        if not self._play.grab():
            self._tell_damage()
            if not self._config.loop:
                raise CameraEnded(f"{self.name}: played to its end, {self._count} frames")
            gap_s = self._play.usual_step_s
            self._play.close()
            self._play = self._start()
        self._time_s += gap_s + self._play.step_s
        self._count += 1
        self._waiting = True

    def _tell_damage(self) -> None:
        play = self._play
        if play.broke_at is not None and not self._told:
            self._told = True
            log.warning(
                "%s: damaged at frame %d of %d, %d could be read",
                self.name,
                play.broke_at,
                play.total,
                play.count,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._play.close()
