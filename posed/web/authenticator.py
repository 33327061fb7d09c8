"""Who may look: every request is held against its Host, its Origin and the token before anything answers it.

- Host, so that a name that somebody else controls cannot be pointed at this machine (DNS rebinding).
- Origin and Sec-Fetch-Site, so that no other page in the owner's browser reaches this one.
- The token, once; from then on a signed cookie, which outlives a restart of the daemon and not its own time.

A proxy that lets in only who may look (`web.trusted_proxy`) is asked for neither token nor Host. It is known
by the address that it connects from, which no header changes: `X-Forwarded-For` decides nothing. The Origin
still has to be that of the page, which is at the proxy's Host (`X-Forwarded-Host`), since another page in the
browser of somebody who is let in is as foreign there.

Wrong tokens are counted by the way they come, and the cookie is looked at before all of them: a link that
somebody else made can use up the tries of links alone, and not those of the form or of programs. Browsers say
`Sec-Fetch-Site` only over TLS and to this machine itself, so it is no help against that.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import math
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from posed.config import WebConfig
from posed.log import Throttled
from posed.timing import RateLimiter

log = logging.getLogger(__name__)

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    # With `no-referrer` browsers send a form's Origin as null.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Every answer to a request has these headers, unless pages of others may show it in a frame."""

COOKIE_LASTS_S: Final = 30 * 24 * 3600

TRIES_AT_ONCE: Final = 5
TRIES_PER_S: Final = 0.1
"""An address may send `TRIES_AT_ONCE` wrong tokens in one way at once, and this many per second in the long
run."""

_MOST_COUNTED: Final = 1000
"""At most this many addresses and ways are counted; whoever has been quiet for the longest is forgotten
first."""

LOGIN: Final = "/login"
STATIC: Final = "/static/"
"""No token is needed to send the form to `LOGIN`, nor for the page's files below `STATIC`, which hold nothing
of this device."""

_WARN_EVERY_S: Final = 60.0

READS: Final = {"GET", "HEAD"}
_FOREIGN: Final = {"cross-site", "same-site"}
_USUAL_PORTS: Final = {"http": ":80", "https": ":443"}

_warn = Throttled(log, _WARN_EVERY_S)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Way = Literal["form", "link", "foreign link", "header"]
"""A token comes in one of these ways. Another page can make its reader's browser send a link, and nothing
else: its form is refused for its Origin, and its header is not sent without asking first, which is refused,
too."""


class TrustedProxy:
    """The proxy that has let in who comes through it.

    Args:
        address: its IP address; None where there is no such proxy.
    """

    def __init__(self, address: str | None) -> None:
        self._address = None if address is None else ipaddress.ip_address(address)

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self._address is not None

    def is_at(self, remote: str | None) -> bool:
        """Whether it has this address, of a connection's other end."""
        if not remote or self._address is None:
            return False
        return ipaddress.ip_address(remote) == self._address


class Authenticator:
    """Decides about requests.

    Args:
        config: where it listens, the token, the names.
        ask: the answer to who has shown no token, or a wrong one: a status, and what was wrong.
        clock: wall clock, s since 1970, for how long a cookie lasts.
    """

    def __init__(
        self,
        config: WebConfig,
        ask: Callable[[web.Request, int, str], web.Response],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._token = b"" if config.token is None else config.token.get_secret_value().encode()
        self._cookie = f"posed_{config.port}"  # browsers send cookies to every port of a host
        self._names = {"localhost", *config.names} | (set() if config.is_local else own_names())
        self._takes_any_address = not config.is_local
        self._proxy = TrustedProxy(config.trusted_proxy)
        self._destinations = {"document", "iframe"} if config.frame_ancestors else {"document"}
        self._ask = ask
        self._clock = clock
        self._tries: OrderedDict[tuple[str, Way], RateLimiter] = OrderedDict()

    @property
    def middleware(self) -> Middleware:
        """The application's first middleware, which checks each request."""
        return self._authenticate

    async def login(self, request: web.Request) -> web.StreamResponse:
        """Take the token from the form, which nobody is shown who needs none."""
        if not self._token or self._proxy.is_at(request.remote):
            raise web.HTTPNotFound
        try:
            given = (await request.post()).get("token")
        except ValueError:  # what says that it is a form and is none
            return web.Response(status=400, text="must be a form\n")
        refusal = self._try(request, "form", given if isinstance(given, str) else "")
        return self._welcome(camera_of(request)) if refusal is None else refusal

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        is_trusted = self._proxy.is_at(request.remote)
        if problem := self._problem(request, is_trusted=is_trusted):
            return web.Response(status=403, text=f"{problem}\n")
        if is_trusted:
            return await handler(request)
        is_answer = request.path == LOGIN and request.method == "POST"
        if not self._token or is_answer or request.path.startswith(STATIC):
            return await handler(request)
        knows = self._knows(request.cookies.get(self._cookie, ""))
        if request.method == "GET" and "token" in request.query:
            there = str(request.rel_url.without_query_params("token")).rpartition("/")[2]
            way: Way = "foreign link" if _is_foreign(request) else "link"
            refusal = None if knows else self._try(request, way, request.query["token"])
            return self._welcome(there) if refusal is None else refusal
        if knows:
            return await handler(request)
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "bearer":
            refusal = self._try(request, "header", given.strip())
            return await handler(request) if refusal is None else refusal
        return self._ask(request, 401, "")

    def _problem(self, request: web.Request, *, is_trusted: bool) -> str | None:
        """Why a request is not even asked for its token."""
        if not is_trusted and self._proxy and not self._token:
            return "must come through web.trusted_proxy"
        host = request.headers.get(hdrs.HOST, "")
        if not is_trusted and not self._is_ours(host):
            return "Host: must be this machine, or a name of web.names"
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None and (request.method not in READS or hdrs.UPGRADE in request.headers):
            return "Origin: must be there"
        if origin is not None and not _is_of(origin, _hosts_of(request, is_trusted=is_trusted)):
            return "Origin: must be this page"
        if _is_foreign(request) and not self._is_navigation(request):
            return "Sec-Fetch-Site: must be this page"
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host is an address, which nobody can point elsewhere, or a name of this machine."""
        name = _name_of(host)
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return self._takes_any_address or address.is_loopback or name in self._names

    def _is_navigation(self, request: web.Request) -> bool:
        """Whether a link or a frame opens the page, which shows nothing to whoever made the link or frame."""
        return (
            request.method == "GET"
            and request.headers.get("Sec-Fetch-Mode") == "navigate"
            and request.headers.get("Sec-Fetch-Dest") in self._destinations
        )

    def _try(self, request: web.Request, way: Way, given: str) -> web.Response | None:
        """None for the right token, else the refusal; the right one is refused too after many wrong ones.

        Ask `is None`: to aiohttp before 3.12 every answer is an empty mapping, and so false.
        """
        limiter = self._limiter_of(request.remote or "", way)
        if (wait_s := math.ceil(limiter.wait_s)) > 0:
            refusal = self._ask(request, 429, f"Too many wrong tokens: wait {wait_s} s.")
            refusal.headers[hdrs.RETRY_AFTER] = str(wait_s)
            return refusal
        if hmac.compare_digest(given.encode(errors="replace"), self._token) and self._token:
            return None
        limiter.grants()
        _warn.warning(f"live view: a wrong token from {request.remote}")
        return self._ask(request, 401, "That is not the token.")

    def _limiter_of(self, remote: str, way: Way) -> RateLimiter:
        """What limits the tries of an address."""
        key = owner_of(remote), way
        limiter = self._tries.pop(key, None) or RateLimiter(TRIES_AT_ONCE, TRIES_PER_S)
        self._tries[key] = limiter
        if len(self._tries) > _MOST_COUNTED:
            self._tries.popitem(last=False)
        return limiter

    def _welcome(self, to: str) -> web.Response:
        """Send the browser on to a page, with the cookie; the token is in no address any more.

        Args:
            to: beside the address that was asked for, since a proxy may have put it below another.
        """
        until = f"{self._clock() + COOKIE_LASTS_S:.0f}"
        answer = web.Response(status=303, headers={hdrs.LOCATION: f"./{to}"})
        answer.set_cookie(
            self._cookie,
            f"{until}.{self._signature(until)}",
            max_age=COOKIE_LASTS_S,
            path="/",
            httponly=True,
            samesite="Strict",
        )
        return answer

    def _knows(self, cookie: str) -> bool:
        until, _, signature = cookie.partition(".")
        right = hmac.compare_digest(signature.encode(errors="replace"), self._signature(until).encode())
        return right and until.isdigit() and int(until) > self._clock()

    def _signature(self, until: str) -> str:
        return hmac.new(
            self._token, b"posed live view " + until.encode(errors="replace"), hashlib.sha256
        ).hexdigest()


def headers_of(config: WebConfig) -> Callable[[web.Request], dict[str, str]]:
    """The headers of every answer, by its request: who comes through the trusted proxy may frame the page.

    X-Frame-Options, which can name no origin, is left out where frames of others may be.
    """
    proxy = TrustedProxy(config.trusted_proxy)
    direct = _framed_by(config.frame_ancestors) if config.frame_ancestors else HEADERS
    through_proxy = _framed_by(("'self'", *config.frame_ancestors))
    return lambda request: through_proxy if proxy.is_at(request.remote) else direct


def _framed_by(ancestors: Sequence[str]) -> dict[str, str]:
    headers = dict(HEADERS)
    allowed = f"frame-ancestors {' '.join(ancestors)}"
    policy = headers["Content-Security-Policy"].replace("frame-ancestors 'none'", allowed)
    headers["Content-Security-Policy"] = policy
    del headers["X-Frame-Options"]
    return headers


def own_names() -> set[str]:
    """What this machine is called in its network."""
    full = socket.gethostname().lower()
    short = full.partition(".")[0]
    return {full, short, f"{short}.local"}


def camera_of(request: web.Request) -> str:
    """The camera whose page is asked for, or was before the form; empty for that of the first one."""
    name = request.query.get("camera", "") if request.path == LOGIN else request.path.removeprefix("/")
    return name if re.fullmatch(r"[a-z0-9_]{1,32}", name) else ""


def owner_of(remote: str) -> str:
    """An address, or in IPv6 a network of one owner."""
    address = ipaddress.ip_address(remote.partition("%")[0] or "::")
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))


def _name_of(host: str) -> str:
    """The name or address of a Host, without port and brackets; empty where there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _hosts_of(request: web.Request, *, is_trusted: bool) -> set[str]:
    """Where the page is that a request belongs to; a proxy may pass on its own Host or put ours into it."""
    hosts = [request.headers.get(hdrs.HOST, "")]
    if is_trusted:  # the first of the proxies on the way is the one that the browser knows
        hosts.append(request.headers.get(hdrs.X_FORWARDED_HOST, "").partition(",")[0].strip())
    return {host.lower() for host in hosts if host}


def _is_of(origin: str, hosts: set[str]) -> bool:
    """Whether an Origin is at one of the hosts; a browser leaves out the usual port, a proxy may add it."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    usual = _USUAL_PORTS.get(parts.scheme, "")
    return parts.netloc.lower().removesuffix(usual) in {host.removesuffix(usual) for host in hosts}


def _is_foreign(request: web.Request) -> bool:
    """Whether the browser says that another page made it ask."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") in _FOREIGN
