"""Downloads the files of the catalogue: whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import http
import http.client
import logging
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import BaseHandler, Request, build_opener

from posed import __version__
from posed.errors import DownloadError, one_line
from posed.model.catalogue import ModelFile
from posed.paths import replace_file

log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""A function of this type is called with the bytes that have come and the bytes that will come, None where
that is not known."""

ATTEMPTS: Final = 4
"""A transfer that breaks off is begun this many times, in all."""

PAUSE_S: Final = 1.0
"""The pause between two attempts lasts this long, s."""

TIMEOUT_S: Final = 15.0
"""A server that says nothing for this long counts as stalled, s."""

LIMIT_BYTES: Final = 32_000_000
"""A file may have at most this many bytes where the catalogue does not know its size: it is held in
memory."""

_CHUNK_BYTES: Final = 1 << 16


class _Failed(Exception):
    """Why there is no file, in words for the message; trying again now would not help."""


class _Broken(Exception):
    """Why the transfer broke off, in words for the message; another attempt may succeed."""


def pull(
    file: ModelFile,
    folder: Path,
    progress: Progress = lambda _done, _total: None,
    *,
    timeout_s: float = TIMEOUT_S,
    pause_s: float = PAUSE_S,
) -> Path:
    """Download a file, unless it is there already.

    The file is held in memory until its checksum is verified. The catalogue's have 1.5 MB, so a transfer that
    breaks off starts over. Several processes may pull the same file at a time: each puts the same there.

    Args:
        file: what, from where, and how to know that it is right.
        folder: where it is to be; made if it is not there.
        progress: is called with every chunk; whatever it raises, like Ctrl-C, interrupts the download.
        timeout_s: how long the server may say nothing, s.
        pause_s: how long to wait between two attempts at a transfer that breaks off, s.

    Returns:
        The file in the folder, its checksum verified.

    Raises:
        DownloadError: nothing came, or something else than the file; or it cannot be written.
    """
    target = folder / file.name
    try:
        if not is_whole(file, target):
            folder.mkdir(parents=True, exist_ok=True)
            content = _download(file, progress, timeout_s, pause_s)
            # A name of its own for each process that writes the same file.
            replace_file(target, content, target.with_name(f"{file.name}.{secrets.token_hex(4)}.part"))
    except (_Failed, OSError) as error:
        # Errors of the network have become a _Failed where they came up, so an OSError is one of the folder.
        reason = f"cannot keep it in {folder}: {_reason(error)}" if isinstance(error, OSError) else error
        where = urlsplit(file.url).hostname
        raise DownloadError(f"{file.name}: cannot be downloaded from {where}: {reason}") from error
    return target


def is_whole(file: ModelFile, path: Path) -> bool:
    """Whether a file is there, and the one that was published.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as found:
            return hashlib.file_digest(found, "sha256").hexdigest() == file.sha256
    except (FileNotFoundError, NotADirectoryError):
        return False


def _download(file: ModelFile, progress: Progress, timeout_s: float, pause_s: float) -> bytes:
    """The verified content; only a transfer that breaks off is tried again."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            content = _transfer(file, progress, timeout_s)
            break
        except _Broken as broken:
            if attempt == ATTEMPTS:
                raise _Failed(f"{broken}; gave up after {ATTEMPTS} attempts") from broken
            log.info("%s: %s; trying again", file.name, broken)
            time.sleep(pause_s)
    came = hashlib.sha256(content).hexdigest()
    if came != file.sha256:
        raise _Failed(f"got something other than the file (SHA-256 {came}, must be {file.sha256})")
    return content


def _transfer(file: ModelFile, progress: Progress, timeout_s: float) -> bytes:
    """Whatever the server sends, no longer than the file may be."""
    limit_bytes = LIMIT_BYTES if file.size_bytes is None else file.size_bytes
    content = bytearray()
    with _open(file.url, timeout_s) as response:
        if response.status != http.HTTPStatus.OK:
            raise _Failed(_answered(response.status))
        total_bytes = file.size_bytes if response.length is None else response.length
        log.info("downloading %s", file.url)
        progress(0, total_bytes)
        for chunk in _chunks(response, timeout_s):
            content += chunk
            if len(content) > limit_bytes:
                raise _Failed(f"must be at most {limit_bytes} bytes, got {len(content)} or more")
            progress(len(content), total_bytes)
    if total_bytes is not None and len(content) < total_bytes:
        raise _Broken(f"the connection broke off after {len(content)} of {total_bytes} bytes")
    return bytes(content)


class _StaysSecure(BaseHandler):
    """Refuses redirects from https to what anybody on the way can read and change."""

    def http_request(self, request: Request) -> NoReturn:
        """Refuse the redirect before anything is sent."""
        raise _Failed(f"must not redirect from https to {request.type}")

    ftp_request = http_request


def _open(url: str, timeout_s: float) -> http.client.HTTPResponse:
    """Ask for the file, with the proxies and authorities of the system."""
    opener = build_opener(_StaysSecure) if urlsplit(url).scheme == "https" else build_opener()
    request = Request(url, headers={"User-Agent": f"posed/{__version__}"})  # noqa: S310 - the catalogue's own URL
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    except HTTPError as error:
        error.close()
        raise _Failed(_answered(error.code)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Failed(_network_reason(error, timeout_s)) from error
    return response


def _chunks(response: http.client.HTTPResponse, timeout_s: float) -> Iterator[bytes]:
    # read1, not read: a slow line is to show as slow progress, and only silence is a stall.
    try:
        while chunk := response.read1(_CHUNK_BYTES):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_network_reason(error, timeout_s)) from error


def _network_reason(error: Exception, timeout_s: float) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    match cause:
        case TimeoutError():
            return f"nothing came for {timeout_s:g} s"
        case socket.gaierror():
            return f"its name cannot be looked up: {_reason(cause)}"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {cause.verify_message}"
        case http.client.IncompleteRead():
            return "the connection broke off"
        case Exception():
            return _reason(cause)
        case _:
            return one_line(cause)


def _answered(status: int) -> str:
    # The phrase of the standard, not the server's: that could be anything.
    return f"the server answered {status} {http.client.responses.get(status, '')}".strip()


def _reason(error: Exception) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return one_line(strerror or str(error) or type(error).__name__)
