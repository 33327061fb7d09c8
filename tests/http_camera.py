"""A network camera that sends pictures over HTTP, each of which has a number in it."""

from __future__ import annotations

import base64
import queue
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import cv2
import numpy as np

from posed.frame import Image

SIZE = (128, 96)

PART = "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
"""What is before each JPEG of a stream."""


def picture(number: int, size: tuple[int, int] = SIZE) -> Image:
    """BGR; eight fields along the top are the bits of `number`, below it is red.

    The grain makes a JPEG as large as a camera's: FFmpeg wants 2 kB before it knows what a stream is.
    """
    image = np.zeros((size[1], size[0], 3), np.uint8)
    grain = np.random.default_rng(0).integers(-30, 30, (size[1] - size[1] // 2, size[0]))
    image[size[1] // 2 :, :, 2] = 220 + grain
    for bit in range(8):
        image[: size[1] // 2, bit * size[0] // 8 : (bit + 1) * size[0] // 8] = 255 * (number >> bit & 1)
    return image


def jpeg(number: int, size: tuple[int, int] = SIZE) -> bytes:
    """The same as a camera sends it."""
    return cv2.imencode(".jpg", picture(number, size))[1].tobytes()


def number_of(image: Image) -> int:
    height, width = image.shape[:2]
    return sum(1 << bit for bit in range(8) if image[height // 4, (2 * bit + 1) * width // 16].mean() > 127)


class MjpegServer:
    """An IP camera on 127.0.0.1 that sends what a test wants.

    Attributes:
        parts: the JPEGs of the stream `/video`; None ends it.
        part: what it sends before each of them; `{length}` is the JPEG's, in bytes.
        still: the JPEG at `/snap.jpg`, and at `/unsized.jpg` without a Content-Length.
        login: `user:password` that it wants; nothing if empty.
        served: released with each still that was sent.
    """

    def __init__(self) -> None:
        self.still = b""
        self.part = PART
        self.login = ""
        self.parts: queue.Queue[bytes | None] = queue.Queue()
        self.served = threading.Semaphore(0)
        handler = type("Handler", (_MjpegHandler,), {"camera": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, path: str = "/video", user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self._server.server_port}{path}"

    def send(self, *sent: int, size: tuple[int, int] = SIZE) -> None:
        for number in sent:
            self.parts.put(jpeg(number, size))

    def drop(self) -> None:
        self.parts.put(None)

    def close(self) -> None:
        self.drop()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _MjpegHandler(BaseHTTPRequestHandler):
    camera: ClassVar[MjpegServer]

    def do_GET(self) -> None:
        expected = f"Basic {base64.b64encode(self.camera.login.encode()).decode()}"
        if self.camera.login and self.headers["Authorization"] != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
        elif self.path in {"/snap.jpg", "/unsized.jpg"}:
            self._send_still()
        elif self.path == "/video":
            self._send_video()
        else:
            self.send_error(404)

    def _send_still(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        if self.path == "/snap.jpg":
            self.send_header("Content-Length", str(len(self.camera.still)))
        self.end_headers()
        self.wfile.write(self.camera.still)
        self.camera.served.release()

    def _send_video(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        while (part := self.camera.parts.get()) is not None:
            head = self.camera.part.format(length=len(part))
            try:
                self.wfile.write(head.encode() + part + b"\r\n")
            except OSError:
                return

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def until(happened: Callable[[], bool]) -> None:
    """Wait for another thread, 10 s at most."""
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)
