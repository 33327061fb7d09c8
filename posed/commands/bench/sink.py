"""A listener on 127.0.0.1 that takes what one MQTT client publishes, in a process of its own.

`posed bench` publishes here, so that it needs no broker and no subscriber hears of it. It answers what a
client waits for (CONNECT, PINGREQ, a PUBLISH of QoS 1) and throws the rest away. It is no broker. It ends
with its standard input, which its starter holds: also where that was killed.

Source: MQTT 3.1.1, chapter 3; MQTT 5, chapter 3.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Final

_CONNECT, _PUBLISH, _PUBACK, _PINGREQ, _PINGRESP, _DISCONNECT = 1, 3, 4, 12, 13, 14
_CONNACK_5: Final = bytes([0x20, 3, 0, 0, 0])
"""This MQTT 5 packet accepts a connection, without properties."""


@contextlib.contextmanager
def running() -> Iterator[int]:
    """A sink in a child process; gives its port."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "posed.commands.bench.sink"],  # whatever lies in the current folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline())
    finally:
        child.kill()
        child.communicate()


def main() -> None:
    """Say the port, and serve one client after the other until standard input ends."""
    threading.Thread(target=_end_with_user, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)  # noqa: T201 what the parent reads
        while True:
            client, _ = server.accept()
            with client, client.makefile("rwb") as stream, contextlib.suppress(OSError, EOFError):
                serve(stream)


def _end_with_user() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def serve(stream: io.BufferedRWPair) -> None:
    """Answer one client until it leaves.

    Raises:
        EOFError: it left in the middle of a packet.
    """
    while first := stream.read(1):
        kind, body = first[0] >> 4, _read(stream, _length(stream))
        if kind == _DISCONNECT:
            return
        answer = _answer(kind, first[0], body)
        if answer:
            stream.write(answer)
            stream.flush()


def _answer(kind: int, first: int, body: bytes) -> bytes:
    if kind == _CONNECT:
        return _CONNACK_5
    if kind == _PINGREQ:
        return bytes([_PINGRESP << 4, 0])
    if kind == _PUBLISH and first & 0b0110:
        at = 2 + int.from_bytes(body[:2], "big")  # the packet's identifier follows the topic
        return bytes([_PUBACK << 4, 2]) + body[at : at + 2]
    return b""


def _length(stream: io.BufferedRWPair) -> int:
    """The remaining length: seven bits per byte, lowest first, the eighth says that more come."""
    length = 0
    for shift in (0, 7, 14, 21):
        byte = _read(stream, 1)[0]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    return length


def _read(stream: io.BufferedRWPair, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


if __name__ == "__main__":
    main()
