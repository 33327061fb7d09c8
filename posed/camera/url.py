"""What a URL gives: a stream, or a still picture that is asked for again and again.

Simple HTTP cameras get the headers of their JPEGs wrong: no first boundary, a boundary without its dashes,
`image/jpg`, a wrong Content-Length, or none of a still picture. FFmpeg then gives up, and the JPEGs are read
without them.
"""

from __future__ import annotations

import errno
import logging
import re
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import av
from av.error import ExitError, HTTPForbiddenError, HTTPUnauthorizedError, InvalidDataError

from posed.camera.base import Grabbed
from posed.camera.decoder import Decoder
from posed.errors import CameraLost, LoginRefused

if TYPE_CHECKING:
    from posed.config import CameraConfig

log = logging.getLogger(__name__)

DEFAULT_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935}

ESCAPES: Final = "in a URL's user and password, write @ : / # ? % as %40 %3A %2F %23 %3F %25"


def public_name(url: str) -> str:
    """The camera's name without what could be a secret.

    User and password go, and so does the path from the level on that has a query or a `=`, where cheap
    cameras want them (`/user=admin_password=…`). A URL in which nobody can say where the host begins is
    cut to its scheme.
    """
    scheme = url.partition("://")[0]
    authority, beyond = _parts(url)
    if "@" in beyond:
        return f"camera {scheme}://…"
    path = re.split("[?#=]", beyond)[0]
    path, hidden = (path, "") if path == beyond else (path.rpartition("/")[0] + "/", "…")
    return f"camera {scheme}://{authority.rpartition('@')[2]}{path}{hidden}"


def _parts(url: str) -> tuple[str, str]:
    """User, password, host and port; and what is behind them."""
    rest = url.partition("://")[2]
    authority = re.split("[/?#]", rest)[0]
    return authority, rest.removeprefix(authority)


def _with_login(config: CameraConfig) -> str:
    """The URL with the user and the password of the configuration, escaped."""
    if config.username is None:
        return config.source
    login = quote(config.username, safe="")
    if config.password is not None:
        login += ":" + quote(config.password.get_secret_value(), safe="")
    scheme, _, rest = config.source.partition("://")
    return f"{scheme}://{login}@{rest}"


class UrlSource:
    """A URL that is open. One that gives a single picture is asked again, `fps` times per second.

    A picture that does not come, or not whole, is left out: the camera is lost once none did for `timeout_s`.

    Args:
        config: the camera's section.

    Raises:
        CameraLost: it cannot be opened.
    """

    def __init__(self, config: CameraConfig) -> None:
        self._url = _with_login(config)
        self._name = public_name(config.source)
        self._timeout_s = config.timeout_s
        self._period_s = 1 / config.fps
        self._due_at = time.monotonic()
        self._as_jpegs = False
        self._frames = 0
        self._is_still = False
        self._decoder: Decoder | None = self._open()
        self._taken_at = time.monotonic()
        if self._decoder.is_still:
            log.info("%s: a still picture, asked for at most %g times per second", self._name, config.fps)

    def _open(self) -> Decoder:
        started_at = time.monotonic()
        try:
            return self._open_decoder()
        except (HTTPUnauthorizedError, HTTPForbiddenError):
            raise LoginRefused(
                f"{self._name}: cannot be opened: the camera refuses the user or the password ({ESCAPES})"
            ) from None
        except av.FFmpegError:
            # Its own text has the URL in it, and seldom the reason.
            if time.monotonic() - started_at >= self._timeout_s:
                raise CameraLost(f"{self._name}: no answer within {self._timeout_s:g} s") from None
            why = _why_unreachable(self._url, self._timeout_s)
            raise CameraLost(f"{self._name}: cannot be opened: {why}") from None

    def _open_decoder(self) -> Decoder:
        try:
            return Decoder(self._url, self._timeout_s, low_latency=True, as_jpegs=self._as_jpegs)
        except InvalidDataError:
            if self._as_jpegs or not self._url.startswith("http"):
                raise
        decoder = Decoder(self._url, self._timeout_s, low_latency=True, as_jpegs=True)
        self._read_as_jpegs()
        return decoder

    def _read_as_jpegs(self) -> None:
        self._as_jpegs, self._frames = True, 0
        log.info("%s: its JPEGs have non-standard headers; reading them without", self._name)

    def next(self) -> Grabbed | None:
        """The next frame; None if a packet, or an ask for a picture, gave none.

        Raises:
            EOFError: the stream has ended.
            CameraLost: the connection broke, or nothing came for `timeout_s`.
        """
        if self._decoder is None:
            self._ask_again()
            return None
        try:
            frame = self._decoder.next()
        except ExitError:
            raise CameraLost(f"{self._name}: no frame within {self._timeout_s:g} s") from None
        except EOFError:
            self._go_on_after_end(self._decoder)
            return None
        except av.FFmpegError as error:
            self._go_on_after(error, self._decoder)
            return None
        if frame is None:
            return None
        self._frames += 1
        self._taken_at = time.monotonic()
        return Grabbed(partial(self._decoder.to_rgb, frame), self._taken_at)

    def _go_on_after(self, error: av.FFmpegError, decoder: Decoder) -> None:
        if error.errno == errno.EIO:  # a connection that the camera closed
            self._go_on_after_end(decoder)
        elif isinstance(error, InvalidDataError) and decoder.is_multipart:
            decoder.close()
            self._read_as_jpegs()
            self._decoder = self._open()
        else:
            raise CameraLost(f"{self._name}: the stream ended: {error.strerror}") from None

    def _go_on_after_end(self, decoder: Decoder) -> None:
        """Ask for the next picture where they are stills, as the first of them shows."""
        if not (self._is_still or decoder.is_still or (self._as_jpegs and self._frames == 1)):
            raise EOFError from None
        self._is_still = True
        self.close()
        self._ask_again()

    def _ask_again(self) -> None:
        now = time.monotonic()
        self._frames, self._decoder = 0, None
        self._due_at = max(self._due_at + self._period_s, now)
        time.sleep(self._due_at - now)
        try:
            self._decoder = self._open()
        except LoginRefused:
            raise
        except CameraLost:
            if time.monotonic() - self._taken_at >= self._timeout_s:
                raise

    def close(self) -> None:
        """Close the connection."""
        if self._decoder is not None:
            self._decoder.close()


def _why_unreachable(url: str, timeout_s: float) -> str:
    """FFmpeg seldom says why; a connection of our own tells a dead host from a wrong path."""
    not_taken = "FFmpeg does not take the URL"
    may_be_password = "@" in _parts(url)[1]
    if may_be_password:
        not_taken += f" ({ESCAPES}, or set the camera's username and password)"
    elif "@" in url:
        not_taken += f" ({ESCAPES})"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
        if not host or not port:
            return not_taken
        socket.create_connection((host, port), timeout_s).close()
    except socket.gaierror as error:  # what was taken for the host may be a part of a password
        return not_taken if may_be_password else str(error.strerror)
    except OSError as error:
        return error.strerror or "no answer"
    except ValueError:
        return not_taken
    return "the host answers, but gives no video (check path, user and password)"
