"""What viewers see as it happens: each frame with its people in one message, the state, and events.

The main loop hands a frame over only where a viewer waits for one, so that nothing is encoded while nobody
looks. It is encoded once, by a thread of its own, and sent to everybody who has taken what came before; who
is slow gets fewer frames and always the newest.

To the page: JSON as text (`hello`, `state`, `event`), and a frame as binary: four bytes that say how long its
JSON is, the JSON, and the JPEG, if pictures may be shown. From the page: `next`, for each frame it has drawn.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import cv2
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Struct

from posed import __version__
from posed.config import Config
from posed.drawing.privacy import background, jpeg
from posed.frame import Frame, Image
from posed.messages.structs import EventMessage, Person, Size, State, encode, rfc3339, tracked_messages
from posed.people.events import TrackedPerson
from posed.pose import EDGES, KEYPOINTS
from posed.timing import NotBefore

log = logging.getLogger(__name__)

SHORTEST_S: Final = 0.045
"""Two frames that are shown are at least this far apart, s: 20 per second are smooth, and of a camera's 30
every other one is shown."""

LONGEST_SIDE_PX: Final = 960
"""Pictures with a longer side are made smaller for the page, px."""

STATE_EVERY_S: Final = 1.0

IN_FLIGHT: Final = 2
"""At most this many frames may be on their way to a viewer at a time: one is drawn while the next one
travels."""

MOST_VIEWERS: Final = 32
LAST_EVENTS: Final = 20
"""A new viewer gets this many of the latest events."""

_MOST_TEXTS: Final = 50
"""At most this many texts may wait for a viewer; one with more is too slow, and is disconnected."""

_SEND_S: Final = 20.0
"""A viewer may take this long for one message, s."""

_CLOSE_S: Final = 0.3
"""Viewers get this long to say goodbye when the daemon ends, s."""

_HEARTBEAT_S: Final = 15.0


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


class Stream:
    """From the main loop to all viewers.

    Args:
        config: `privacy.pictures` decides what is sent.
    """

    def __init__(self, config: Config) -> None:
        self._pictures = config.privacy.pictures
        self._hello = encode(
            {
                "type": "hello",
                "device": config.device,
                "version": __version__,
                "pictures": config.privacy.pictures,
                "keypoints": KEYPOINTS,
                "edges": EDGES,
            }
        ).decode()
        self._encoder = ThreadPoolExecutor(1, "web-encoder")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._viewers: list[_Viewer] = []
        self._wanted = False
        self._newest: ShownFrame | None = None
        self._fresh = asyncio.Event()
        self._next_frame = NotBefore()
        self._next_state = NotBefore()
        self._events: deque[str] = deque(maxlen=LAST_EVENTS)
        self.encoded = 0
        """This many frames have been encoded so far."""

    @property
    def viewers(self) -> int:
        """How many viewers there are."""
        return len(self._viewers)

    # From the main loop

    def show(self, shown: ShownFrame) -> None:
        """Hand a frame over, if anybody waits for one."""
        if self._wanted and self._next_frame.take(SHORTEST_S):
            self._wanted = False
            self._call(self._take, shown)

    def refresh(self, state: Callable[[], State], *, at_once: bool) -> None:
        """Say how the daemon does, if anybody looks and it is time."""
        if self._viewers and (at_once or self._next_state.is_due):
            self._next_state.put_off(STATE_EVERY_S)
            self._call(self._send_to_all, _text("state", state=state()))

    def report(self, event: EventMessage) -> None:
        """Something happened."""
        self._call(self._keep, _text("event", event=event))

    def _call(self, work: Callable[..., None], *arguments: object) -> None:
        """Have something done in the server's thread; nothing where that has ended, or not begun."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(work, *arguments)

    # In the server's thread

    async def run(self) -> None:
        """Encode what viewers wait for, and give it to them."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            shown, self._newest = self._newest, None
            if shown is not None and self._is_waited_for():
                message = await self._loop.run_in_executor(self._encoder, self._encode, shown)
                for viewer in self._viewers:
                    viewer.offer(message)
            self._wanted = self._is_waited_for()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one viewer, until it leaves."""
        if len(self._viewers) >= MOST_VIEWERS:
            return web.Response(status=503, text=f"{MOST_VIEWERS} viewers are connected already\n")
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_S, compress=False, max_msg_size=64, timeout=_CLOSE_S
        )
        await socket.prepare(request)
        if request.transport is None:  # gone already
            return socket
        viewer = _Viewer(socket, request.transport)
        viewer.say(self._hello)
        for event in self._events:
            viewer.say(event)
        self._viewers.append(viewer)
        self._next_state.reset()
        sending = asyncio.create_task(viewer.send())
        try:
            self._wanted = True
            async for message in socket:
                if message.type is not WSMsgType.TEXT or message.data != "next":
                    break
                viewer.credit = min(viewer.credit + 1, IN_FLIGHT)
                self._wanted = True
        finally:
            self._viewers.remove(viewer)
            self._wanted = self._is_waited_for()
            sending.cancel()
        return socket

    async def close(self) -> None:
        """Disconnect every viewer."""
        viewers = list(self._viewers)
        closing = [
            asyncio.ensure_future(viewer.socket.close(code=WSCloseCode.GOING_AWAY)) for viewer in viewers
        ]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_S)
        for viewer in viewers:
            viewer.hang_up()
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def _is_waited_for(self) -> bool:
        return any(viewer.credit for viewer in self._viewers)

    def _take(self, shown: ShownFrame) -> None:
        self._newest = shown
        self._fresh.set()

    def _keep(self, text: str) -> None:
        self._events.append(text)
        self._send_to_all(text)

    def _send_to_all(self, text: str) -> None:
        for viewer in self._viewers:
            viewer.say(text)

    # In the encoder's thread

    def _encode(self, shown: ShownFrame) -> bytes:
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
        return len(about).to_bytes(4, "big") + about + self._picture(shown)

    def _picture(self, shown: ShownFrame) -> bytes:
        """The JPEG; empty where the figures alone are shown, which the page draws."""
        shows = self._pictures
        if shows == "off" or shows == "skeleton":  # noqa: PLR1714 - mypy narrows by nothing else
            return b""
        poses = [tracked.person.pose for tracked in shown.people]
        return jpeg(_reduced(background(shown.frame.image, poses, shows, shown.keypoint_threshold)))


class _Viewer:
    """Somebody who looks.

    Args:
        socket: the way there.
        transport: the connection below it.

    Attributes:
        credit: how many frames may be sent before the page says `next`.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.socket = socket
        self._transport = transport
        self.credit = IN_FLIGHT
        self._texts: deque[str] = deque()
        self._frame: bytes | None = None
        self._wake = asyncio.Event()

    def say(self, text: str) -> None:
        """Send a text, after those before it."""
        self._texts.append(text)
        self._wake.set()

    def offer(self, frame: bytes) -> None:
        """Send a frame, if the viewer has done with those before; it takes the place of one not sent yet."""
        if self._frame is not None:
            self._frame = frame
        elif self.credit:
            self.credit -= 1
            self._frame = frame
            self._wake.set()

    async def send(self) -> None:
        """Send what there is, until the viewer is gone or takes too long."""
        try:
            while len(self._texts) <= _MOST_TEXTS:
                await self._wake.wait()
                self._wake.clear()
                async with asyncio.timeout(_SEND_S):
                    await self._send_all()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self.hang_up()

    async def _send_all(self) -> None:
        while self._texts:
            await self.socket.send_str(self._texts.popleft())
        if (frame := self._frame) is not None:
            self._frame = None
            await self.socket.send_bytes(frame)

    def hang_up(self) -> None:
        """End the connection without a word, since none would arrive; its handler ends by that."""
        self._transport.abort()


def _text(kind: str, **parts: Any) -> str:
    """A message to the page: what it is, and its parts."""
    return encode({"type": kind} | parts).decode()


def _reduced(image: Image) -> Image:
    """A picture no larger than the page needs."""
    height, width, _ = image.shape
    scale = LONGEST_SIDE_PX / max(height, width)
    if scale >= 1:
        return image
    size = round(width * scale), round(height * scale)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)
