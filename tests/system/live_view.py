"""A daemon with its live view, on drawn people, and a real Chromium that looks at it; for tests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.brokers import free_port
from tests.run_posed import Daemon
from tests.system.browser import Browser, Page

SEED: Final = 3
FPS: Final = 10
SIZE: Final = (640, 480)

VIOLATIONS: Final = """axe.run(document, {resultTypes: ['violations']}).then(({violations}) =>
  violations.map(({id, help, nodes}) =>
    `${id}: ${help}: ${nodes.map(({html}) => html).join(' ').slice(0, 300)}`))"""
"""What axe-core, once it is there, finds that keeps people from using the page."""


class Bench:
    """A daemon, a browser, and where screenshots are kept."""

    def __init__(self, runner: asyncio.Runner, browser: Browser, folder: Path, keep: Path) -> None:
        self.runner = runner
        self.browser = browser
        self.folder = folder
        self.keep = keep
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def daemon(
        self,
        name: str,
        pictures: str = "full",
        cameras: Sequence[str] | Mapping[str, Any] = ("hall",),
        broker_port: int | None = None,
        variables: Mapping[str, str] | None = None,
        **web: Any,
    ) -> Iterator[Daemon]:
        """One with a state of its own, and more variables in its environment."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        settings = {
            "device": "pi",
            "cameras": cameras if isinstance(cameras, Mapping) else drawn_cameras(cameras),
            "model": {"name": "drawings-257x353-16"},
            "mqtt": {"host": "127.0.0.1", "port": broker_port or free_port()},
            "privacy": {"pictures": pictures},
            "web": {"enabled": True, "port": self.port} | web,
        }
        with Daemon(folder, settings, variables) as running:
            yield running

    async def page(self, path: str = "/") -> Page:
        """The live view, once it shows a frame."""
        page = await self.browser.page()
        await page.show_as(1280, 800)
        await self.open(page, path)
        return page

    async def open(self, page: Page, path: str = "/") -> None:
        """Look, as soon as the daemon listens."""
        await self.listens()
        await page.open(self.url + path)
        await page.until("document.getElementById('canvas').dataset.sequence")

    async def listens(self) -> None:
        """Wait until somebody can come in."""
        async with asyncio.timeout(40):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.1)


def awaited(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in the loop of its bench."""

    @functools.wraps(test)
    def run(bench: Bench, **fixtures: Any) -> None:
        bench.runner.run(test(bench, **fixtures))

    return run


def drawn_cameras(names: Sequence[str]) -> dict[str, Any]:
    """One or two cameras by name, each before a room and people of its own."""
    return {name: drawn_camera(seed) for name, seed in zip(names, (SEED, SEED + 2), strict=False)}


def drawn_camera(seed: int) -> dict[str, Any]:
    """A camera before the room and the people of this number."""
    return {"kind": "synthetic", "source": str(seed), "fps": FPS, "size": list(SIZE)}


def live(*, canvas: bool = True) -> str:
    """Whether there is contact, and on the page of one camera a picture of now; for `Page.until`."""
    contact = "document.getElementById('contact').textContent === 'live'"
    if not canvas:
        return contact
    return (
        f"{contact} && document.getElementById('canvas').dataset.sequence"
        " && !document.getElementById('canvas').classList.contains('stale')"
    )


def reload(daemon: Daemon, settings: dict[str, Any]) -> None:
    """Another configuration, which the daemon reads now."""
    daemon.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
