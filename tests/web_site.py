"""The live view of a daemon whose main loop is the test, and visitors to it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import numpy as np

from posed.config import Config, reload
from posed.daemon import Daemon
from posed.frame import Frame
from posed.people.events import TrackedPerson
from posed.people.person import Person
from posed.pipeline.stage_timings import StageTimings
from posed.web.connection import Limits
from tests.brokers import eventually, free_port
from tests.make_tflite import make_tflite

T = TypeVar("T")

TOKEN = "0123456789abcdef"


class Site:
    """A daemon with its live view of cameras that are never opened, without a broker.

    Args:
        folder: for its state.
        web: settings of the live view; others are sections of their own.
        limits: of connections.
        cameras: by name; `hall` is the first one.
    """

    def __init__(
        self,
        folder: Path,
        web: dict[str, Any] | None = None,
        limits: Limits | None = None,
        cameras: dict[str, Any] | None = None,
        **sections: Any,
    ) -> None:
        (folder / "red.tflite").write_bytes(make_tflite())
        self.port = free_port()
        self.state = folder / "state"
        self.daemon = Daemon(
            Config(
                device="pi",
                cameras=cameras or {"hall": {}, "bedroom": {}},
                model={"name": str(folder / "red.tflite")},
                web={"enabled": True, "port": self.port} | (web or {}),
                **sections,
            ),
            environment={"STATE_DIRECTORY": str(self.state)},
        )
        assert self.daemon.web is not None
        self.server = self.daemon.web
        self.server.limits = limits or Limits()
        self.url = f"http://127.0.0.1:{self.port}"
        self._sequence = 0

    def __enter__(self) -> Site:
        self.server.start()
        eventually(self.listens)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(5)

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def show(self, image: np.ndarray, *people: Person, camera: str = "hall") -> None:
        """As if a frame of a camera had been processed just now."""
        self._sequence += 1
        frame = Frame(image, self._sequence, time.monotonic(), time.monotonic(), time.time())
        stages = StageTimings()
        stages.wall_s["invoke"] = 0.0125
        tracked = [TrackedPerson(one, "standing", 1.0, ("room",)) for one in people]
        self.server.show(camera, frame, tracked, stages, 0.2)

    def reload(self, **sections: Any) -> None:
        """As if the configuration had other sections by now, and had been read again."""
        running = self.daemon.live.config
        wanted = Config(**(running.model_dump(exclude_unset=True) | sections))
        self.daemon.live.take_over(reload(running, wanted).config)

    def visit(self, work: Callable[[aiohttp.ClientSession], Awaitable[T]]) -> T:
        """What a visitor does meanwhile."""
        return asyncio.run(self._visited(work))

    async def _visited(self, work: Callable[[aiohttp.ClientSession], Awaitable[T]]) -> T:
        async def main_loop() -> None:
            while True:
                self.server.serve()
                await asyncio.sleep(0.005)

        looping = asyncio.create_task(main_loop())
        try:
            jar = aiohttp.CookieJar(unsafe=True)  # of addresses, too
            async with aiohttp.ClientSession(self.url, cookie_jar=jar) as client:
                async with asyncio.timeout(30):
                    return await work(client)
        finally:
            looping.cancel()

    def get(self, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of an answer; `_` in headers stands for `-`."""

        async def work(client: aiohttp.ClientSession) -> tuple[int, dict[str, str], str]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            async with client.get(path, headers=named, allow_redirects=False) as answer:
                return answer.status, dict(answer.headers), await answer.text()

        return self.visit(work)

    @asynccontextmanager
    async def view(self, client: aiohttp.ClientSession, camera: str = "hall") -> AsyncIterator[Viewer]:
        """The WebSocket of a camera, or with an empty name of all of them, as its page opens it."""
        async with client.ws_connect(f"/live/{camera}", origin=self.url) as socket_:
            yield Viewer(self, socket_)


class Viewer:
    """A viewer."""

    def __init__(self, site: Site, socket_: aiohttp.ClientWebSocketResponse) -> None:
        self._site = site
        self.socket = socket_

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next text of a kind."""
        while True:
            message = await self.socket.receive()
            assert message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}, message
            if message.type is aiohttp.WSMsgType.TEXT and (said := json.loads(message.data))["type"] == kind:
                return said

    async def see(self) -> tuple[dict[str, Any], bytes]:
        """What is said of the next frame, and its JPEG."""
        while True:
            message = await self.socket.receive()
            assert message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}, message
            if message.type is aiohttp.WSMsgType.BINARY:
                length = int.from_bytes(message.data[:4], "big")
                return json.loads(message.data[4 : 4 + length]), message.data[4 + length :]

    async def shown(
        self, image: np.ndarray, *people: Person, camera: str = "hall"
    ) -> tuple[dict[str, Any], bytes]:
        """A frame of a camera that is shown until it comes."""

        async def showing() -> None:
            while True:
                self._site.show(image, *people, camera=camera)
                await asyncio.sleep(0.02)

        task = asyncio.create_task(showing())
        try:
            return await self.see()
        finally:
            task.cancel()
