"""What the viewers of one camera are sent while more privacy is asked for, on a socket that is none."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from posed.frame import Frame
from posed.web.camera_stream import CameraStream, Pictures, ShownFrame
from posed.web.viewer import IN_FLIGHT, Viewer
from tests.test_web_connection import Transport, in_loop


class Socket:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.frames: list[bytes] = []

    async def send_str(self, text: str) -> None:
        self.texts.append(text)

    async def send_bytes(self, frame: bytes) -> None:
        self.frames.append(frame)


class Encoder(Executor):
    """Encodes when it is told to."""

    def __init__(self) -> None:
        self._work: list[tuple[Future[Any], Any, tuple[Any, ...]]] = []

    def submit(self, work: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
        self._work.append((future := Future(), work, arguments))
        return future

    def encode(self) -> None:
        for future, work, arguments in self._work:
            future.set_result(work(*arguments))
        self._work.clear()


def hello(_camera: str, pictures: Pictures) -> str:
    return pictures


def shown() -> ShownFrame:
    now = time.monotonic()
    return ShownFrame(Frame(np.zeros((48, 64, 3), np.uint8), 1, now, now, time.time()), [], {}, 0.2)


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


@in_loop
async def test_a_picture_of_less_privacy_is_not_sent() -> None:
    encoder, socket = Encoder(), Socket()
    stream, viewer = CameraStream("hall", "full", hello, encoder), Viewer(socket, Transport("10.0.0.1"))
    stream.welcome(viewer)
    sending = asyncio.create_task(viewer.send())
    stream.take(shown())
    await settled()
    stream.pictures = "off"
    stream.greet_again()
    encoder.encode()
    await settled()
    assert (socket.texts, socket.frames) == (["full", "off"], [])
    stream.take(shown())
    await settled()
    encoder.encode()
    await settled()
    [frame] = socket.frames
    assert len(frame) == 4 + int.from_bytes(frame[:4], "big")
    sending.cancel()


@in_loop
async def test_a_picture_that_waits_is_withdrawn_and_owed_again() -> None:
    socket = Socket()
    stream, viewer = CameraStream("hall", "full", hello, Encoder()), Viewer(socket, Transport("10.0.0.1"))
    stream.welcome(viewer)
    viewer.offer(b"of before")
    stream.pictures = "off"
    stream.greet_again()
    sending = asyncio.create_task(viewer.send())
    await settled()
    assert (socket.texts, socket.frames, viewer.credit) == (["full", "off"], [], IN_FLIGHT)
    sending.cancel()
