"""The page itself, the form that asks for the token, and the files of both."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

from aiohttp import hdrs, web

from posed.web.authenticator import STATIC

_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def routes() -> Sequence[web.AbstractRouteDef]:
    """The page at `/`, and its files."""
    return [web.get("/", _page), web.get(STATIC + "{name}", _file)]


def ask_for_token(request: web.Request, status: int, problem: str) -> web.Response:
    """The form for a browser, a line for a program."""
    if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        return web.Response(
            status=status,
            text=f"{problem or 'A token is needed: Authorization: Bearer TOKEN'}\n",
            headers={hdrs.WWW_AUTHENTICATE: "Bearer"} if status == 401 else None,
        )
    page = _files()["login.html"].decode().replace("{problem}", html.escape(problem))
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
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith((*_TYPES,))}
