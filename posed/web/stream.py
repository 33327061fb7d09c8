"""What viewers see of a camera as it happens: its frames with their people, how it does, and its events.

The main loop hands a frame over only where a viewer of its camera waits for one, so that nothing is encoded
of a camera at which nobody looks. A frame is encoded once, by a thread for all cameras, and sent to everybody
who has taken what came before; who is slow gets fewer frames and always the newest.

To the page: JSON as text (`hello`, `state`, `event`), and a frame as binary: four bytes that say how long its
JSON is, the JSON, and the JPEG, if pictures may be shown. From the page: `next`, for each frame it has drawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from aiohttp import WSCloseCode, web

from posed import __version__
from posed.config import Config
from posed.messages.structs import EventMessage, PageState
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


class Stream:
    """From the main loop to all viewers.

    Args:
        config: has the cameras, and what may be seen of each.
        loop: of the server's thread.

    Attributes:
        cameras: what goes to the viewers of each camera, by its name.
    """

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self._device = config.device
        self._loop = loop
        self._encoder = ThreadPoolExecutor(1, "web-encoder")
        self._next_state = NotBefore()
        self.cameras: dict[str, CameraStream] = {}
        self.configure(config)

    @property
    def viewers(self) -> int:
        """How many viewers there are."""
        return sum(len(camera.viewers) for camera in self.cameras.values())

    # From the main loop

    def configure(self, config: Config) -> None:
        """Go on with other cameras, and with what may be seen of each from now on."""
        before = self.cameras
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

    def show(self, camera: str, shown: ShownFrame) -> None:
        """Hand a frame over, if anybody waits for one."""
        stream = self.cameras[camera]
        if stream.wants():
            self._call(stream.take, shown)

    def refresh(self, state: Callable[[], PageState], *, at_once: bool) -> None:
        """Say how everything does, if anybody looks and it is time."""
        if not (self.viewers and (at_once or self._next_state.is_due)):
            return
        self._next_state.put_off(STATE_EVERY_S)
        now = state()
        words = {name: "fall" if name in now.fallen else now.machine.cameras[name] for name in self.cameras}
        for name, stream in self.cameras.items():
            if stream.viewers:
                said = text("state", machine=now.machine, camera=now.cameras[name], cameras=words)
                self._call(stream.say, said)

    def report(self, event: EventMessage) -> None:
        """Something happened."""
        if (stream := self.cameras.get(event.camera)) is not None:
            self._call(stream.keep, text("event", event=event))

    def _call(self, work: Callable[..., None], *arguments: object) -> None:
        """Have something done in the server's thread; nothing where that has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work, *arguments)

    # In the server's thread

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one viewer of a camera, of the first one where none is named, until it leaves."""
        cameras = self.cameras
        name = request.match_info["camera"] or next(iter(cameras))
        if name not in cameras:
            return no_such_camera(cameras)
        if self.viewers >= MOST_VIEWERS:
            return web.Response(status=503, text=f"{MOST_VIEWERS} viewers are connected already\n")
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_S, compress=False, max_msg_size=64, timeout=_CLOSE_S
        )
        await socket.prepare(request)
        is_there = self.cameras.get(name) is cameras[name]
        if request.transport is not None and is_there:  # both may have gone meanwhile
            viewer = Viewer(socket, request.transport)
            cameras[name].welcome(viewer)
            self._next_state.reset()
            await cameras[name].serve(viewer)
        return socket

    async def close(self) -> None:
        """Disconnect every viewer."""
        viewers = [viewer for camera in self.cameras.values() for viewer in camera.viewers]
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
            keypoints=KEYPOINTS,
            edges=EDGES,
        )
