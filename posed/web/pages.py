"""The page itself, the form that asks for the token, and the files of both.

Every address in them is relative, so that a proxy may serve all of it below a path of its own, as Home
Assistant's ingress does.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Final

from aiohttp import hdrs, web

from posed.web.authenticator import LOGIN, STATIC, camera_of

_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def routes(cameras: Callable[[], Collection[str]]) -> Sequence[web.AbstractRouteDef]:
    """The page of each camera, that of all of them at `/`, and their files.

    Args:
        cameras: the names of all cameras there are now.
    """

    async def page(request: web.Request) -> web.Response:
        names = cameras()
        return _answer("index.html") if request.match_info["camera"] in names else no_such_camera(names)

    return [web.get("/", _page), web.get(STATIC + "{name}", _file), web.get("/{camera}", page)]


def no_such_camera(names: Collection[str]) -> web.Response:
    """The answer where no camera has the name that was asked for."""
    return web.Response(
        status=404, text=f"There is no camera of this name. The cameras are: {', '.join(names)}.\n"
    )


def ask_for_token(request: web.Request, status: int, problem: str) -> web.Response:
    """The form for a browser, a line for a program."""
    if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        return web.Response(
            status=status,
            text=f"{problem or 'A token is needed: Authorization: Bearer TOKEN'}\n",
            headers={hdrs.WWW_AUTHENTICATE: "Bearer"} if status == 401 else None,
        )
    form = _files()["login.html"].decode()
    camera, action = camera_of(request), LOGIN.removeprefix("/")
    page = form.replace("{action}", f"{action}?camera={camera}" if camera else action)
    page = page.replace("{problem}", html.escape(problem))
    return web.Response(status=status, text=page, content_type="text/html")


async def _page(_request: web.Request) -> web.Response:
    return _answer("index.html")


async def _file(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in _files() or name.endswith(".html"):
        raise web.HTTPNotFound
    return _answer(name)


def _answer(name: str) -> web.Response:
    kind = next(kind for ending, kind in _TYPES.items() if name.endswith(ending))
    return web.Response(body=_files()[name], content_type=kind, charset="utf-8")


@cache
def _files() -> dict[str, bytes]:
    """All files of the page, by name: what is asked for is looked up here and never on the disk."""
    folder = resources.files("posed.web") / "static"
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith((*_TYPES,))}
    spoken = " ".join(languages(files)).encode()
    return {
        name: body.replace(b"{languages}", spoken) if name.endswith(".html") else _lean(body)
        for name, body in files.items()
    }


def _lean(script: bytes) -> bytes:
    """A script or a style without what is for people: lines of comments, empty ones, and indentation."""
    return re.sub(rb"^\s*(?://.*)?\n|^\s+", b"", script, flags=re.MULTILINE)


def languages(names: Iterable[str]) -> list[str]:
    """The languages that the page speaks: there is a file of texts for each.

    Args:
        names: of the page's files.
    """
    return sorted(found[1] for name in names if (found := re.fullmatch(r"texts\.([a-z]{2})\.js", name)))
