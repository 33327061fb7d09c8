"""From cameras to what the network says of their frames, for the main loop.

    capture: read, letterbox ─slot─▶ inference: infer ─slot─▶ main loop: decode, track, publish
                                         ▲──── rotated crops ─────┘

Each camera has a capture thread of its own; one inference thread takes from all cameras in fair turns. Every
hand-over is one slot per camera, so that nothing queues up: where frames come faster than the engine takes
them, the newest wins and the others are counted as dropped; a recording that is not live waits instead. The
main loop may request a rotated crop of one of the next frames, and gets what the
network says of it with that frame. A frame that a network in its camera has seen already passes the engine
by, which infers its rotated crops beside; what is found in them comes with a later frame.

Each thread opens the device that it uses, and opens it again with backoff when it is absent or lost. The
threads share `Slots`, which a condition guards, `RotatedCropQueue`, which a lock guards, and single values
that one thread alone changes, each of them as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from posed.engine.base import Engine
from posed.errors import CameraEnded, CameraError, EngineError
from posed.pipeline.captured import Captured, CropOnly
from posed.pipeline.counters import FrameCounts
from posed.pipeline.device import DeviceStatus
from posed.pipeline.feed import CameraSetup, Feed
from posed.pipeline.followed_region import NextRegion, look_at_all
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.hang_detector import HANG_S
from posed.pipeline.inference import Inference
from posed.pipeline.inferred import Inferred
from posed.pipeline.slots import Slots

MOST_LEFT_BEHIND: Final = 2
"""So many threads that hang in a camera's library are left behind; another one ends the daemon."""


class Pipeline:
    """Cameras and engine at work, each in its thread.

    Everything here is the main loop's to call; what it reads of the threads needs no lock, as they say.

    Args:
        cameras: how each is opened and read, by name.
        open_engine: opens the engine; raises EngineLost if it is not there now.
        input_size: (width, height) of the model's input, px.
        hang_s: after how long an inference, or a wait for the next frame, counts as hanging, s.
        next_region: where the network looks in the next frame of a camera; at all of it by default.

    Attributes:
        feeds: the cameras at work, by name.
        inference: the thread of the engine.
    """

    def __init__(
        self,
        cameras: Mapping[str, CameraSetup],
        open_engine: Callable[[], Engine],
        input_size: tuple[int, int],
        *,
        hang_s: float = HANG_S,
        next_region: NextRegion = look_at_all,
    ) -> None:
        self._captured: Slots[FrameSource, Captured | CropOnly] = Slots()
        self._inferred: Slots[FrameSource, Inferred] = Slots()
        self._input_size = input_size
        self._hang_s = hang_s
        self._removed: list[Feed] = []
        self._counted: dict[str, FrameCounts] = {}
        self.feeds: dict[str, Feed] = {name: self._feed(name, setup) for name, setup in cameras.items()}
        self.inference = Inference(
            open_engine, input_size, self._captured, self._inferred, hang_s, next_region=next_region
        )

    def _feed(self, name: str, setup: CameraSetup) -> Feed:
        source = FrameSource(name, self._counted.pop(name, FrameCounts()).continued())
        return Feed(
            source,
            setup,
            self._captured,
            self._inferred,
            input_size=self._input_size,
            hang_s=self._hang_s,
        )

    @property
    def engine(self) -> DeviceStatus:
        """How the engine does."""
        return self.inference.device.status

    @property
    def opened_engine(self) -> Engine | None:
        """The engine that runs or ran last; None before the first was opened."""
        return self.inference.engine

    @property
    def waits(self) -> bool:
        """Whether there is nothing to do: the engine is away, or no camera has a new frame."""
        return self.engine.status != "ok" or all(feed.waits for feed in self.feeds.values())

    def start(self) -> None:
        """Open cameras and engine, in the background."""
        for feed in self.feeds.values():
            feed.start()
        self.inference.start()

    def next(self, wait_s: float) -> Inferred | None:
        """The next processed frame, or None if none came within wait_s.

        Raises:
            CameraEnded: all cameras are recordings that have been played to their ends, and everything of
                them was handed over.
            CameraError, EngineError: a device can never work like this, or hangs.
        """
        for feed in self.feeds.values():
            self._tend(feed)
        if self._removed and self._left_behind > MOST_LEFT_BEHIND:
            raise CameraError("cameras that were removed hang, more of them than can be left behind")
        if hangs := self.inference.device.hangs:
            raise EngineError(hangs)
        taken = self._inferred.take(wait_s)
        if taken is None:
            self._raise_failure()
            return None
        source, inferred = taken
        source.counts.delivered += 1
        feed_now = self.feeds.get(source.name)
        return inferred if feed_now is not None and feed_now.gave(source) else None

    def add(self, name: str, setup: CameraSetup) -> Feed:
        """Take one more camera in, which is then to be started; the others do not notice."""
        feed = self.feeds[name] = self._feed(name, setup)
        return feed

    def remove(self, name: str) -> None:
        """Let go of a camera, in the background; no frame of it comes from here on."""
        feed = self.feeds.pop(name)
        self._counted[name] = feed.counts
        feed.capture.ask_to_stop()
        self._removed = [other for other in (*self._removed, feed) if not other.capture.join(0)]

    def _tend(self, feed: Feed) -> None:
        """Look after a camera that hangs, or that cannot work as it is configured while others do."""
        if hangs := feed.capture.device.hangs:
            self._leave_behind(feed, hangs)
        failure = feed.capture.failure
        if failure is None or isinstance(failure, CameraEnded):
            return
        if not isinstance(failure, CameraError):
            raise failure
        if any(other.capture.failure is None for other in self.feeds.values()):
            feed.try_again()

    @property
    def _left_behind(self) -> int:
        """How many threads hang in a camera's library, those of cameras that were removed among them."""
        removed = sum(bool(feed.capture.device.hangs) and not feed.capture.join(0) for feed in self._removed)
        return removed + sum(feed.left_behind for feed in (*self.feeds.values(), *self._removed))

    def _leave_behind(self, feed: Feed, why: str) -> None:
        """Go on without the thread of a camera that hangs: other cameras shall not miss a frame for it.

        A camera that is alone is better off with a new process, which has nothing of it open.
        """
        if len(self.feeds) == 1 or self._left_behind == MOST_LEFT_BEHIND:
            raise CameraError(why)
        feed.leave_behind()

    def _raise_failure(self) -> None:
        """Raise what ended the engine's thread, or those of all cameras; that recordings are over comes last.

        It is raised after all of their frames.
        """
        if self.inference.failure is not None:
            raise self.inference.failure
        failures = [feed.capture.failure for feed in self.feeds.values()]
        under_way = any(feed.counts.under_way for feed in self.feeds.values())
        if all(failures) and not under_way:
            for failure in failures:
                if failure is not None and not isinstance(failure, CameraEnded):
                    raise failure
            over = failures[-1]
            assert over is not None
            raise over

    def stop(self, timeout_s: float) -> bool:
        """Let go of all devices; False if one hangs and had to be left to the end of the process."""
        feeds = [*self.feeds.values(), *self._removed]
        threads = *(feed.capture for feed in feeds), self.inference
        for thread in threads:
            thread.ask_to_stop()
        deadline = time.monotonic() + timeout_s
        ended = [thread.join(max(0.0, deadline - time.monotonic())) for thread in threads]
        return all(ended) and not any(feed.left_behind for feed in feeds)
