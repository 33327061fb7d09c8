"""A network camera that sends JPEGs over HTTP, one after the other, and misbehaves when it is told to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import Self

import cv2
import numpy as np

BOUNDARY = b"frame"
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=" + BOUNDARY + b"\r\n\r\n"


def picture(size: tuple[int, int], level: int = 120, noise: int = 60, seed: int = 0) -> bytes:
    """A JPEG of some noise.

    Args:
        size: (width, height), px.
        level: its darkest value, 0-255.
        noise: how much brighter it gets.
        seed: of the noise.
    """
    chance = np.random.default_rng(seed)
    pixels = chance.integers(level, level + noise + 1, (size[1], size[0], 3), np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1])


class PictureServer:
    """Serves everybody who connects to it.

    Args:
        pictures: JPEGs, sent in turn.
        rate_hz: how many per second.

    Attributes:
        pictures, rate_hz: what is sent from now on.
        hangs: whether connections stay open and nothing is sent.
        still: whether each connection gets one picture, and ends.
        once: whether each connection gets one picture of a stream, and ends.
        noise: what each connection gets instead, before it ends; nothing else if empty.
        port: a free one of 127.0.0.1, and always the same.
    """

    def __init__(self, pictures: Sequence[bytes], rate_hz: float) -> None:
        self.pictures = pictures
        self.rate_hz = rate_hz
        self.hangs = self.still = self.once = False
        self.noise = b""
        self.port = 0
        self._began_at = time.monotonic()
        self._server: socket.socket | None = None

    def start(self) -> None:
        """The camera is there."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def stop(self) -> None:
        """The camera is gone, and so are its connections."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown(socket.SHUT_RDWR)
            server.close()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(server, client), daemon=True).start()

    def _serve(self, server: socket.socket, client: socket.socket) -> None:
        with client:
            try:
                client.recv(4096)
                if self.noise:
                    client.sendall(self.noise)
                    return
                if self.still:
                    self._send_still(client)
                    return
                client.sendall(HEAD)
                self._send_pictures(server, client)
            except OSError:
                return

    def _send_still(self, client: socket.socket) -> None:
        number = int((time.monotonic() - self._began_at) * self.rate_hz)
        jpeg = self.pictures[number % len(self.pictures)]
        head = b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
        client.sendall(head + jpeg)

    def _send_pictures(self, server: socket.socket, client: socket.socket) -> None:
        number, due_at = 0, time.monotonic()
        while self._server is server and not self.noise:
            due_at = max(due_at + 1 / self.rate_hz, time.monotonic() - 1)
            time.sleep(max(0.0, due_at - time.monotonic()))
            if self.hangs:
                continue
            jpeg = self.pictures[number % len(self.pictures)]
            number += 1
            head = b"--%b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (BOUNDARY, len(jpeg))
            client.sendall(head + jpeg + b"\r\n")
            if self.once:
                return

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
