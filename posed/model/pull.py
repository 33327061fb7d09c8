"""Downloads the files of the catalogue: resumable, verified, and there under their name only when whole."""

from __future__ import annotations

import fcntl
import hashlib
import http
import http.client
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from posed import __version__
from posed.errors import DownloadError
from posed.model.catalogue import ModelFile
from posed.text import one_line

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with the bytes there are and the bytes there will be, None where that is not known."""

ATTEMPTS: Final = 4
"""How often a transfer that breaks off is begun or continued, in all."""

PAUSE_S: Final = 1.0
"""Between two attempts."""

TIMEOUT_S: Final = 15.0
"""How long a server may say nothing before it counts as stalled."""

LIMIT_BYTES: Final = 200_000_000
"""The most that is accepted of a file whose size the catalogue does not know."""

_CHUNK_BYTES: Final = 1 << 16
_LOCK_POLL_S: Final = 0.2


class _Failed(Exception):
    """Why there is no file, in words for the message; trying again now would not help."""


class _Broken(_Failed):
    """The transfer broke off; what came so far is good to go on from."""


class _Wrong(_Failed):
    """What came cannot be the file; nothing of it may be kept."""


def pull(
    file: ModelFile,
    folder: Path,
    progress: Progress = lambda _done, _total: None,
    *,
    timeout_s: float = TIMEOUT_S,
    pause_s: float = PAUSE_S,
) -> Path:
    """Download a file, unless it is there already.

    What an interrupted download got is kept as `NAME.part`, and the next one goes on from there. Two
    processes may pull the same file: one does, the other waits for it. `progress` is called while
    waiting, too; whatever it raises, like Ctrl-C, interrupts the download.

    Args:
        file: what, from where, and how to know that it is right.
        folder: where it is to be; made if it is not there.
        progress: told of every chunk.
        timeout_s: how long the server may say nothing.
        pause_s: between two attempts at a transfer that breaks off.

    Returns:
        The file in the folder, its checksum verified.

    Raises:
        DownloadError: nothing came, or something else than the file; or it cannot be written.
    """
    try:
        return _Pull(file, folder, progress, timeout_s, pause_s).run()
    except _Failed as failure:
        raise _error(file, str(failure)) from failure
    except OSError as error:
        # Those of the network have become a _Failed where they came up.
        raise _error(file, f"cannot keep it in {folder}: {_reason(error)}") from error


def is_whole(file: ModelFile, path: Path) -> bool:
    """Whether a file is there, and the one that was published.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as found:
            return _sha256(found) == file.sha256
    except FileNotFoundError:
        return False


def _error(file: ModelFile, reason: str) -> DownloadError:
    return DownloadError(f"{file.name}: cannot be downloaded from {urlsplit(file.url).hostname}: {reason}")


class _Pull:
    """One call of `pull`."""

    def __init__(
        self,
        file: ModelFile,
        folder: Path,
        progress: Progress,
        timeout_s: float,
        pause_s: float,
    ) -> None:
        self._file = file
        self._target = folder / file.name
        self._part = folder / f"{file.name}.part"
        self._progress = progress
        self._opener = build_opener(_Redirects)  # with the system's proxies and authorities
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._limit_bytes = LIMIT_BYTES if file.size_bytes is None else file.size_bytes

    def run(self) -> Path:
        if is_whole(self._file, self._target):
            return self._target
        self._part.parent.mkdir(parents=True, exist_ok=True)
        with self._locked_part() as part:
            if not is_whole(self._file, self._target):
                self._fill(part)
                os.fsync(part.fileno())
                self._part.replace(self._target)
                _sync(self._target.parent)
        return self._target

    def _is_right(self, stream: BufferedReader | FileIO) -> bool:
        return _sha256(stream) == self._file.sha256

    @contextmanager
    def _locked_part(self) -> Iterator[FileIO]:
        """The .part file, held by us alone, and removed in the end if there is nothing in it.

        It is its own lock: a lock file beside it would have to be left behind, since removing one
        while another process may be opening it undoes the lock.
        """
        while True:
            with self._part.open("a+b", buffering=0) as part:
                self._lock(part)
                if not _is_at(self._part, part):
                    continue  # the one who held it has finished it, or given it up
                try:
                    yield part
                finally:
                    if _is_at(self._part, part) and _size(part) == 0:
                        self._part.unlink()
                return

    def _lock(self, part: FileIO) -> None:
        waiting = False
        while True:
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waiting:
                    logger.info("%s is being downloaded by another process: waiting", self._file.name)
                waiting = True
                self._progress(_size(part), self._file.size_bytes)
                time.sleep(_LOCK_POLL_S)
            else:
                return

    def _fill(self, part: FileIO) -> None:
        """Bring the .part to the whole, verified content.

        Raises:
            _Failed: that cannot be done.
        """
        if _size(part) and self._is_right(part):
            return
        if _size(part) >= self._limit_bytes:
            part.truncate(0)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._attempt(part)
            except _Broken as broken:
                if attempt == ATTEMPTS:
                    raise _Failed(f"{broken}; gave up after {ATTEMPTS} attempts") from broken
                logger.info("%s: %s; trying again", self._file.name, broken)
                time.sleep(self._pause_s)
            except (_Wrong, OSError):
                part.truncate(0)  # on a full disk, too, where what is kept is in the way
                raise
            else:
                return

    def _attempt(self, part: FileIO) -> None:
        started_bytes = self._transfer(part)
        if self._is_right(part):
            return
        came = f"got something else than the file (SHA-256 {_sha256(part)}, must be {self._file.sha256})"
        if not started_bytes:
            raise _Wrong(came)
        # What was there before may be what is wrong, so it does not speak against the server yet.
        part.truncate(0)
        raise _Broken(came)

    def _transfer(self, part: FileIO) -> int:
        """Append what the server sends; return how many bytes of what was there before were kept.

        No If-Range or ETag: the checksum of the whole tells whether the pieces fit.
        """
        with self._open(_size(part)) as response:
            done_bytes = kept_bytes = _kept(response, part)
            total_bytes = self._file.size_bytes if response.length is None else kept_bytes + response.length
            self._check_size(total_bytes or 0)
            logger.info("downloading %s, from byte %d", self._file.url, kept_bytes)
            self._progress(done_bytes, total_bytes)
            while chunk := self._read(response):
                done_bytes += len(chunk)
                self._check_size(done_bytes)
                _write(part, chunk)
                self._progress(done_bytes, total_bytes)
        if total_bytes is not None and done_bytes < total_bytes:
            raise _Broken(f"the connection broke off after {done_bytes} of {total_bytes} bytes")
        return kept_bytes

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            raise _Wrong(f"must be at most {self._limit_bytes} bytes, got {size_bytes} or more")

    def _open(self, offset_bytes: int) -> http.client.HTTPResponse:
        headers = {"User-Agent": f"posed/{__version__}"}
        if offset_bytes:
            headers["Range"] = f"bytes={offset_bytes}-"
        request = Request(self._file.url, headers=headers)  # noqa: S310 - the catalogue's own URL
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=self._timeout_s)
        except HTTPError as error:
            error.close()
            if offset_bytes and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return self._open(0)
            raise _Failed(_status(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _Failed(self._network_reason(error)) from error
        return response

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        # read1, not read: a slow line is to show as slow progress, and only silence is a stall.
        try:
            return response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(self._network_reason(error)) from error

    def _network_reason(self, error: Exception) -> str:
        cause = error.reason if isinstance(error, URLError) else error
        match cause:
            case TimeoutError():
                return f"nothing came for {self._timeout_s:g} s"
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


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, but never from https to something that anybody on the way can change."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - the base class's
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in {"https", req.type}:
            fp.close()
            raise _Failed(f"must not redirect from {req.type} to {scheme}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _kept(response: http.client.HTTPResponse, part: FileIO) -> int:
    """How much of the .part the answer goes on from, in bytes; the .part ends there then."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        content_range = response.headers.get("Content-Range", "")
        if re.match(rf"bytes {_size(part)}-", content_range):
            return _size(part)
        part.truncate(0)
        raise _Broken("the server sent another part than the one asked for")
    if response.status != http.HTTPStatus.OK:
        raise _Failed(_answered(response.status))
    part.truncate(0)
    return 0


def _status(error: HTTPError) -> str:
    if error.msg.startswith(HTTPRedirectHandler.inf_msg):
        return "it redirects in a circle"
    return _answered(error.code)


def _answered(status: int) -> str:
    # The phrase of the standard, not the server's: that could be anything.
    return f"the server answered {status} {http.client.responses.get(status, '')}".strip()


def _reason(error: Exception) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return one_line(strerror or str(error) or type(error).__name__)


def _write(part: FileIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[part.write(view) :]


def _sha256(stream: BufferedReader | FileIO) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _size(stream: FileIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _is_at(path: Path, stream: FileIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _sync(folder: Path) -> None:
    """Make a rename in the folder outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
