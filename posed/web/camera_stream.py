"""What the viewers of one camera see of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
from aiohttp import WSMsgType
from msgspec import Struct

from posed.drawing.privacy import Shows, background, jpeg
from posed.frame import Frame, Image
from posed.messages.structs import Person, Size, encode, rfc3339, tracked_messages
from posed.people.events import TrackedPerson
from posed.timing import NotBefore
from posed.web.viewer import IN_FLIGHT, Viewer

Pictures = Shows | Literal["off"]
"""Figures alone are shown with `off`, and without a picture behind them."""

SHORTEST_S: Final = 0.045
"""Two frames that are shown are at least this far apart, s: 20 per second are smooth, and of a camera's 30
every other one is shown."""

LONGEST_SIDE_PX: Final = 960
"""Pictures with a longer side are made smaller for the page, px."""

LAST_EVENTS: Final = 20
"""A new viewer gets this many of the camera's latest events."""


@dataclass(frozen=True, slots=True, eq=False)
class ShownFrame:
    """A frame that was processed.

    Args:
        frame: whose image nobody changes any more.
        people: the people in the frame.
        stages_s: how long each stage took, in the order of the frame's way, s.
        keypoint_threshold: keypoints scored below are not shown, 0-1.
    """

    frame: Frame
    people: Sequence[TrackedPerson]
    stages_s: Mapping[str, float]
    keypoint_threshold: float


class FrameMessage(Struct, frozen=True):
    """What is drawn over a picture, and what it took."""

    sequence: int
    time: str
    frame: Size
    stages_ms: dict[str, float]
    people: list[Person]


class CameraStream:
    """From one camera to everybody who looks at it; for the server's thread, but for what says otherwise.

    Args:
        name: what the camera is called.
        pictures: what of it may be seen.
        hello: what a page is greeted with, for a choice of pictures.
        encoder: its thread encodes frames.

    Attributes:
        pictures: as above; the main loop changes it.
        viewers: everybody who looks at it.
        encoded: how many frames have been encoded so far.
    """

    def __init__(
        self, name: str, pictures: Pictures, hello: Callable[[str, Pictures], str], encoder: Executor
    ) -> None:
        self.name = name
        self.pictures = pictures
        self.viewers: list[Viewer] = []
        self.encoded = 0
        self._hello = hello
        self._encoder = encoder
        self._wanted = False
        self._newest: ShownFrame | None = None
        self._sending: asyncio.Task[None] | None = None
        self._next_frame = NotBefore()
        self._events: deque[str] = deque(maxlen=LAST_EVENTS)

    def wants(self) -> bool:
        """Whether somebody waits for a frame, and it is time; the main loop asks, and then brings one."""
        if not (self._wanted and self._next_frame.take(SHORTEST_S)):
            return False
        self._wanted = False
        return True

    def take(self, shown: ShownFrame) -> None:
        """Encode a frame, after the one before it, and give it to everybody who waits."""
        self._newest = shown
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send_newest())

    async def _send_newest(self) -> None:
        while (shown := self._newest) is not None:
            self._newest = None
            if self._is_waited_for():
                await self._send(shown)
            self._wanted = self._is_waited_for()

    async def _send(self, shown: ShownFrame) -> None:
        pictures = self.pictures
        loop = asyncio.get_running_loop()
        message = await loop.run_in_executor(self._encoder, self._encode, shown, pictures)
        if pictures == self.pictures:  # or it may show more than it is allowed to by now
            for viewer in self.viewers:
                viewer.offer(message)

    def welcome(self, viewer: Viewer) -> None:
        """Tell a viewer what there is to know, and count it among those who look."""
        viewer.say(self._hello(self.name, self.pictures))
        for event in self._events:
            viewer.say(event)
        self.viewers.append(viewer)

    async def serve(self, viewer: Viewer) -> None:
        """Serve a viewer that was welcomed, until it leaves."""
        sending = asyncio.create_task(viewer.send())
        try:
            self._wanted = True
            async for message in viewer.socket:
                if message.type is not WSMsgType.TEXT or message.data != "next":
                    break
                viewer.credit = min(viewer.credit + 1, IN_FLIGHT)
                self._wanted = True
        finally:
            self.viewers.remove(viewer)
            self._wanted = self._is_waited_for()
            sending.cancel()

    def greet_again(self) -> None:
        """Tell everybody that pictures show something else now; what they showed before stays here."""
        for viewer in self.viewers:
            viewer.withdraw()
            viewer.say(self._hello(self.name, self.pictures))
        self._wanted = self._is_waited_for()

    def say(self, text: str) -> None:
        """Send a text to everybody."""
        for viewer in self.viewers:
            viewer.say(text)

    def keep(self, event: str) -> None:
        """Send an event to everybody, and to whoever looks later."""
        self._events.append(event)
        self.say(event)

    def hang_up(self) -> None:
        """Disconnect everybody."""
        for viewer in self.viewers:
            viewer.hang_up()

    def _is_waited_for(self) -> bool:
        return any(viewer.credit for viewer in self.viewers)

    # In the encoder's thread

    def _encode(self, shown: ShownFrame, pictures: Pictures) -> bytes:
        self.encoded += 1
        frame, threshold = shown.frame, shown.keypoint_threshold
        height, width, _ = frame.image.shape
        about = encode(
            FrameMessage(
                frame.sequence,
                rfc3339(frame.time),
                Size(width, height),
                {stage: round(1000 * took_s, 2) for stage, took_s in shown.stages_s.items()},
                tracked_messages(shown.people, threshold),
            )
        )
        return len(about).to_bytes(4, "big") + about + _picture(shown, pictures)


def text(kind: str, **parts: Any) -> str:
    """A message to the page: what it is, and its parts."""
    return encode({"type": kind} | parts).decode()


def _picture(shown: ShownFrame, pictures: Pictures) -> bytes:
    """The JPEG; empty where the figures alone are shown, which the page draws."""
    if pictures == "off" or pictures == "skeleton":  # noqa: PLR1714 - mypy narrows by nothing else
        return b""
    poses = [tracked.person.pose for tracked in shown.people]
    return jpeg(_reduced(background(shown.frame.image, poses, pictures, shown.keypoint_threshold)))


def _reduced(image: Image) -> Image:
    """A picture no larger than the page needs."""
    height, width, _ = image.shape
    scale = LONGEST_SIDE_PX / max(height, width)
    if scale >= 1:
        return image
    size = round(width * scale), round(height * scale)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)
