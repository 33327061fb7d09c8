"""What viewers see of a camera as it happens: its frames with their people, how it does, and its events.

The main loop hands a frame over only where a viewer of its camera waits for one, so that nothing is encoded
of a camera at which nobody looks. A frame is encoded once, by a thread for all cameras, and sent to everybody
who has taken what came before; who is slow gets fewer frames and always the newest.

There is a page for each camera, and one for all of them, which has no frames, and figures once a second.

To the page: JSON as text (`hello`, `state`, `event`), and a frame as binary: four bytes that say how long its
JSON is, the JSON, and the JPEG, if pictures may be shown. From the page: `next`, for each frame it has drawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSCloseCode, web
from msgspec import UNSET, Struct, UnsetType

from posed import __version__
from posed.config import Config
from posed.messages.structs import CameraState, EventMessage, PageState, Person, tracked_messages
from posed.pose import EDGES, KEYPOINTS
from posed.timing import NotBefore
from posed.web.camera_stream import CameraStream, Pictures, ShownFrame, text
from posed.web.pages import no_such_camera
from posed.web.viewer import Viewer

STATE_EVERY_S: Final = 1.0

MOST_VIEWERS: Final = 32
"""At most this many viewers may look at a time, at all cameras together."""

_CLOSE_S: Final = 0.3
"""Viewers get this long to say goodbye when the daemon ends, s."""

_HEARTBEAT_S: Final = 15.0


class Glance(Struct, frozen=True, kw_only=True):
    """What every page shows of each camera."""

    status: str
    why: str | UnsetType = UNSET
    paused: bool
    sight: str | None
    people: int | None
    width: int | None
    height: int | None
    pitch_deg: float | None
    zones: dict[str, Any]
    seen: list[Person]


class Stream:
    """From the main loop to all viewers.

    Args:
        config: has the cameras, and what may be seen of each.
        loop: of the server's thread.

    Attributes:
        cameras: what goes to the viewers of each camera, by its name.
        overview: what goes to those who look at all cameras at once: no frames.
    """

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self._device = config.device
        self._timeline_days = config.web.timeline_days
        self._loop = loop
        self._encoder = ThreadPoolExecutor(1, "web-encoder")
        self._next_state = NotBefore()
        self.overview = CameraStream("", "off", self._hello, self._encoder)
        self.cameras: dict[str, CameraStream] = {}
        self.configure(config)

    @property
    def _all(self) -> list[CameraStream]:
        return [self.overview, *self.cameras.values()]

    @property
    def viewers(self) -> int:
        """How many viewers there are."""
        return sum(len(stream.viewers) for stream in self._all)

    # From the main loop

    def configure(self, config: Config) -> None:
        """Go on with other cameras, and with what may be seen of each from now on."""
        self._thresholds = {name: camera.decode.keypoint_threshold for name, camera in config.cameras.items()}
        before, was_alone = self.cameras, len(self.cameras) == 1
        # All at once, since the server's thread reads it meanwhile.
        self.cameras = {
            name: before.get(name) or CameraStream(name, camera.privacy.pictures, self._hello, self._encoder)
            for name, camera in config.cameras.items()
        }
        for name, stream in self.cameras.items():
            if stream.pictures != config.cameras[name].privacy.pictures:
                stream.pictures = config.cameras[name].privacy.pictures
                self._call(stream.greet_again)
        for name in before.keys() - self.cameras.keys():
            self._call(before[name].hang_up)
        if was_alone != (len(self.cameras) == 1):  # the page at / shows something else now
            for stream in self._all:
                self._call(stream.hang_up)

    def show(self, camera: str, shown: ShownFrame) -> None:
        """Hand a frame over, if anybody waits for one."""
        stream = self.cameras[camera]
        if stream.wants():
            self._call(stream.take, shown)

    def is_due(self, *, at_once: bool) -> bool:
        """Whether somebody looks, and it is time to say how everything does."""
        if not (self.viewers and (at_once or self._next_state.is_due)):
            return False
        self._next_state.put_off(STATE_EVERY_S)
        return True

    def refresh(self, now: PageState) -> None:
        """Say how everything does to whoever looks."""
        glances = {name: _glance(now, name, self._thresholds[name]) for name in self.cameras}
        about = {"machine": now.machine, "broker": now.broker, "falls": now.falls, "cameras": glances}
        for stream in self._all:
            if stream.viewers:
                said = text("state", camera=now.cameras.get(stream.name), **about)
                self._call(stream.say, said)

    def report(self, event: EventMessage) -> None:
        """Something happened."""
        said = text("event", event=event)
        self._call(self.overview.keep, said)
        if (stream := self.cameras.get(event.camera)) is not None:
            self._call(stream.keep, said)

    def _call(self, work: Callable[..., None], *arguments: object) -> None:
        """Have something done in the server's thread; nothing where that has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work, *arguments)

    # In the server's thread

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one viewer, of all cameras where none is named, until it leaves."""
        name, cameras = request.match_info["camera"], self.cameras
        stream = self._stream(name)
        if stream is None:
            return no_such_camera(cameras)
        if self.viewers >= MOST_VIEWERS:
            return web.Response(status=503, text=f"{MOST_VIEWERS} viewers are connected already\n")
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_S, compress=False, max_msg_size=64, timeout=_CLOSE_S
        )
        await socket.prepare(request)
        if request.transport is not None and self._stream(name) is stream:  # both may have gone meanwhile
            viewer = Viewer(socket, request.transport)
            stream.welcome(viewer)
            self._next_state.reset()
            await stream.serve(viewer)
        return socket

    def _stream(self, name: str) -> CameraStream | None:
        """That of a camera; without a name that of all of them, or of the only one."""
        if not name:
            return self.overview if len(self.cameras) > 1 else next(iter(self.cameras.values()))
        return self.cameras.get(name)

    async def close(self) -> None:
        """Disconnect every viewer."""
        viewers = [viewer for stream in self._all for viewer in stream.viewers]
        closing = [
            asyncio.ensure_future(viewer.socket.close(code=WSCloseCode.GOING_AWAY)) for viewer in viewers
        ]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_S)
        for viewer in viewers:
            viewer.hang_up()
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def _hello(self, camera: str, pictures: Pictures) -> str:
        return text(
            "hello",
            device=self._device,
            camera=camera,
            version=__version__,
            pictures=pictures,
            timeline_days=self._timeline_days,
            keypoints=KEYPOINTS,
            edges=EDGES,
        )


def _glance(now: PageState, camera: str, keypoint_threshold: float) -> Glance:
    state: CameraState = now.cameras[camera]
    return Glance(
        status=state.status,
        why=state.why,
        paused=state.paused,
        sight=state.sight,
        people=state.people,
        width=state.width,
        height=state.height,
        pitch_deg=state.pitch_deg,
        zones=state.settings["zones"],
        seen=tracked_messages(now.people[camera], keypoint_threshold),
    )
