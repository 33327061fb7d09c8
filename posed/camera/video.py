"""Videos: a V4L2 device, which OpenCV reads, an RTSP or HTTP URL or a file, which FFmpeg does.

A device or URL is live: a thread drains it, so that a frame is never older than the newest one. A file is
read in the caller's thread, at its own rate or as fast as it is read.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

import av
import cv2
import numpy as np

from posed.camera.base import FrameMaker, Grabbed
from posed.camera.decoder import Decoder
from posed.camera.playback_clock import PlaybackClock
from posed.camera.url import UrlSource, public_name
from posed.errors import CameraEnded, CameraError, CameraLost
from posed.paths import expanded, is_file, is_folder
from posed.timing import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from av import VideoFrame

    from posed.camera.base import Camera
    from posed.config import CameraConfig
    from posed.frame import Frame, Image

log = logging.getLogger(__name__)

CLOSE_WAIT_S: Final = 1.0
"""Closing waits this long for a read inside a library, s; the daemon has 2 s to stop in all."""

OPEN_MARGIN_S: Final = 1.0
"""Opening may take this much longer than `timeout_s`, s: the library's own timeout knows a better reason."""

MAX_STEP_S: Final = 2.0
"""A longer step from one timestamp of a file to the next counts as broken, s; it would be taken for a
stall."""

MAX_BAD_FRAMES: Final = 10
"""A device counts as gone after this many failed reads in a row: one damaged frame fails one read."""

YUYV_SIZE: Final = (640, 480)
"""This is the largest (width, height), px, that a USB 2 camera sends uncompressed at 30 frames per second; a
camera is asked for MJPEG above it (1280x720 in YUYV is 10 frames per second on common webcams)."""


def open_video(config: CameraConfig) -> Camera:
    """Open `config.source`: `0`, `/dev/video0`, a URL or a file.

    Raises:
        CameraLost: a device or URL that cannot be opened (now).
        CameraError: a file that is missing or no video.
    """
    _quieten()
    source = f"/dev/video{config.source}" if config.source.isdecimal() else config.source
    if "://" in source:
        return LiveVideo(config, public_name(source), lambda: UrlSource(config))
    if source.startswith("/dev/") and not is_file(Path(source)):
        return LiveVideo(config, f"camera {source}", lambda: _open_device(Path(source), config))
    return VideoFile(config)


def _quieten() -> None:
    """Silence OpenCV and FFmpeg, which write to stderr what our errors say better, even URLs' passwords."""
    cv2.setLogLevel(0)
    av.logging.set_level(None)


# Live sources


class LiveSource(Protocol):
    """A live source that is open; for one thread."""

    def next(self) -> Grabbed | None:
        """The next frame; None where a read gave none.

        Raises:
            EOFError: the source has ended.
            CameraLost: it broke, or timed out.
        """
        ...

    def close(self) -> None:
        """Let the source go."""
        ...


class _Device:
    """A V4L2 device that is open."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._bad_frames = 0

    def next(self) -> Grabbed | None:
        grabbed = self._capture.grab()
        captured_at = time.monotonic()
        read, bgr = self._capture.retrieve() if grabbed else (False, None)
        if read:
            self._bad_frames = 0
            return Grabbed(partial(_rgb, np.asarray(bgr, np.uint8)), captured_at)
        self._bad_frames += 1
        if self._bad_frames > MAX_BAD_FRAMES:
            raise EOFError
        return None

    def close(self) -> None:
        self._capture.release()


def _rgb(bgr: Image) -> Image:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _open_device(path: Path, config: CameraConfig) -> _Device:
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
    return _Device(capture)


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

    A library's calls may hang for longer than any timeout; then the thread is left behind, and goes when the
    call returns. A frame that nobody takes, or that is beyond `fps`, is decoded and not converted.

    Args:
        config: the camera's section.
        name: without secrets.
        open_source: opens the source, or raises CameraLost.

    Raises:
        CameraLost: it cannot be opened, or not within `timeout_s`.
    """

    live = True

    def __init__(self, config: CameraConfig, name: str, open_source: Callable[[], LiveSource]) -> None:
        self.name = name
        self._timeout_s = config.timeout_s
        self._maker = FrameMaker(config.rotate, config.mirror)
        self._open_source = open_source
        # Two, so that frames which come at this very rate, now early and now late, are all taken.
        self._rate = RateLimiter(at_once=2, per_s=config.fps)
        self._changed = threading.Condition()
        self._newest: Grabbed | None = None
        self._opened = False
        self._lost: CameraLost | None = None
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
                raise self._lost or CameraLost(f"{self.name}: opening hangs for over {wait_s:g} s")

    def read(self, wait_s: float) -> Frame | None:
        """The newest frame that was not read yet, or None if none is due within `wait_s` seconds.

        Raises:
            CameraLost: the source dropped, or gave nothing for `timeout_s`.
        """
        until = time.monotonic() + wait_s
        time.sleep(min(self._rate.wait_s, wait_s))
        if self._rate.wait_s:
            return None
        with self._changed:
            rest_s = until - time.monotonic()
            self._changed.wait_for(lambda: self._newest is not None or self._lost is not None, rest_s)
            newest, self._newest = self._newest, None
            if newest is None:
                if self._lost is not None:
                    raise self._lost
                return None
        self._rate.grants()
        return self._maker.make(newest.to_rgb(), newest.captured_at)

    def _drain(self) -> None:
        try:
            source = self._open_source()
        except CameraLost as error:
            self._give_up(error)
            return
        try:
            self._hear(None)
            self._take_all(source)
        except CameraLost as error:
            self._give_up(error)
        except EOFError:
            self._give_up(CameraLost(f"{self.name}: the stream ended"))
        except cv2.error as error:
            self._give_up(CameraLost(f"{self.name}: OpenCV failed: {error.err}"))
        finally:
            # After the reader was told: taking leave of an RTSP server that hangs takes its time, too.
            source.close()

    def _take_all(self, source: LiveSource) -> None:
        taken_at = time.monotonic()
        while not self._closing.is_set():
            grabbed = source.next()
            now = time.monotonic()
            if now - taken_at >= self._timeout_s:
                raise CameraLost(f"{self.name}: no frame within {self._timeout_s:g} s")
            if grabbed is not None:
                taken_at = now
                self._hear(grabbed)

    def _hear(self, newest: Grabbed | None) -> None:
        with self._changed:
            self._newest = newest
            self._opened = True
            self._changed.notify_all()

    def _give_up(self, why: CameraLost) -> None:
        with self._changed:
            self._lost = why
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread; one that hangs inside a library is not waited for over `CLOSE_WAIT_S`."""
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
        try:
            self._decoder = Decoder(str(path))
        except av.FFmpegError:
            raise CameraError(
                f"camera {path}: must be a video that FFmpeg reads, got none or a damaged one"
            ) from None
        fps = self._decoder.fps
        self.usual_step_s = 1 / (fps if fps >= 1 else default_fps)
        self.total = self._decoder.total
        self.count = 0
        self.step_s = 0.0
        self.broke_at: int | None = None
        self._frame: VideoFrame | None = None
        self._stamp_s: float | None = None
        self._went_back = False
        self._played_s = 0.0

    def grab(self) -> bool:
        """Go to the next frame that can be decoded; False at the end."""
        damaged = self._decoder.damaged
        try:
            self._frame = self._next()
        except (EOFError, av.FFmpegError):
            self._finish()
            return False
        if self._decoder.damaged > damaged:
            self._break()
        self.step_s = self._step(self._decoder.time_s(self._frame))
        self.count += 1
        self._played_s += self.step_s
        return True

    def _next(self) -> VideoFrame:
        while (frame := self._decoder.next()) is None:
            pass
        return frame

    def _step(self, stamp_s: float | None) -> float:
        """Time since the last frame, s: by timestamps, or by the file's rate where one is broken or leaps.

        A single one that goes back is out of order, as behind a hole in a file. From two on they begin anew.
        """
        before_s = self._stamp_s
        goes_back = stamp_s is not None and before_s is not None and stamp_s <= before_s
        if not goes_back or self._went_back:
            self._stamp_s = stamp_s
        self._went_back = goes_back
        if self.count == 0:
            return self._first_step(stamp_s or 0.0)
        step_s = stamp_s - before_s if stamp_s is not None and before_s is not None else 0.0
        return step_s if 0 < step_s <= MAX_STEP_S else self.usual_step_s

    def _first_step(self, stamp_s: float) -> float:
        if stamp_s > MAX_STEP_S:  # some decoders pass over what they cannot decode, and do not tell
            self._break()
        return stamp_s if 0 <= stamp_s <= MAX_STEP_S else 0.0

    def _finish(self) -> None:
        # Some containers do not count their frames: the total is then their duration times the rate, and a
        # file of varying rate has fewer. It is cut short only if it also stops early.
        ends_at_s = self._played_s + 2 * self.usual_step_s
        if self.count < self.total and ends_at_s < self.total * self.usual_step_s:
            self._break()

    def _break(self) -> None:
        if self.broke_at is None:
            self.broke_at = self.count

    def picture(self) -> Image:
        """The picture of the frame that `grab` went to, RGB."""
        assert self._frame is not None
        return self._decoder.to_rgb(self._frame)

    def close(self) -> None:
        self._decoder.close()


class VideoFile:
    """A file as a camera.

    With `realtime` it plays at its own rate as a live camera would: a frame that nobody took is gone.
    Without, every frame waits to be read. Frames come in the file's size, `size` does not apply. Damage is
    skipped as far as FFmpeg can decode again, and a warning says so at the end.

    Args:
        config: the camera's section.
        clock: the clock to play by.

    Raises:
        CameraError: the file is missing or no video.
    """

    def __init__(self, config: CameraConfig, clock: PlaybackClock | None = None) -> None:
        self.name = f"camera {config.source}"
        self.live = config.realtime
        self._config = config
        self._path = expanded(config.source).absolute()
        self._clock = clock or PlaybackClock()
        self._maker = FrameMaker(config.rotate, config.mirror)
        self._play = self._start()
        self._time_s = self._play.step_s
        self._count = 1
        self._waiting = True
        self._damage_reported = False

    @property
    def fps(self) -> float:
        """The rate that the file says it has, or else the configured one."""
        return 1 / self._play.usual_step_s

    @property
    def total(self) -> int | None:
        """How many frames the file says it has; None if it does not say."""
        return self._play.total or None

    def _start(self) -> _Play:
        if not is_file(self._path):
            what = "is a folder" if is_folder(self._path) else "there is no such file"
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
        if not self._waiting:
            self._advance()
        if self._config.realtime:
            if not self._clock.wait_for(self._time_s, wait_s):
                return None
            self._skip_to_newest()
        self._waiting = False
        return self._maker.make(self._play.picture(), self._captured_at(), self._time_s)

    def _captured_at(self) -> float:
        return self._clock.due_at(self._time_s) if self._config.realtime else self._clock.clock()

    def _skip_to_newest(self) -> None:
        now = self._clock.clock()
        while self._clock.due_at(self._time_s + self._play.usual_step_s) <= now:
            self._advance()

    def _advance(self) -> None:
        """Go to the next frame, from the end back to the start if the file loops."""
        gap_s = 0.0
        if not self._play.grab():
            self._report_damage()
            if not self._config.loop:
                raise CameraEnded(f"{self.name}: played to its end, {self._count} frames")
            gap_s = self._play.usual_step_s
            self._play.close()
            self._play = self._start()
        self._time_s += gap_s + self._play.step_s
        self._count += 1
        self._waiting = True

    def _report_damage(self) -> None:
        play = self._play
        if play.broke_at is not None and not self._damage_reported:
            self._damage_reported = True
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
