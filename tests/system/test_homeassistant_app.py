"""The app of Home Assistant with a stand-in for its Supervisor: ingress in a real Chromium.

    pytest -m system tests/system/test_homeassistant_app.py [--keep FOLDER]

Screenshots stay in the folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from posed.web.connection import Limits
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.run_app import App
from tests.supervisor import PROXY, Supervisor
from tests.system.browser import Page
from tests.system.conftest import Row
from tests.system.live_view import Bench, awaited, drawn_camera, live
from tests.system.test_web_setup import ZONE, close, draw_zone, save, set_up

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("row")]

FRAMES: Final = 60
"""So many pictures have to come through ingress."""


class InFrame(Page):
    """The page in the only frame of another, of the same site, which it fills: it is used like a page.

    Args:
        page: that has the frame.
    """

    def __init__(self, page: Page) -> None:
        self.__dict__ = page.__dict__

    async def value(self, expression: str) -> Any:
        """What some JavaScript gives with the frame's document and window in place of the page's own."""
        frame = "document.querySelector('iframe')"
        return await super().value(
            f"((document, window, location) => ({expression}))"
            f"({frame}.contentDocument, {frame}.contentWindow, {frame}.contentWindow.location)"
        )


@contextmanager
def started(folder: Path, broker_port: int, **options: Any) -> Iterator[tuple[App, Supervisor]]:
    """The app on drawn people, and whoever has started it."""
    app = App(folder, None, pictures="full", **options)
    app.write({"cameras": {"hall": drawn_camera(3)}, "model": {"name": "drawings-257x353-16"}})
    with Supervisor(app.port) as supervisor:
        supervisor.broker = {"host": "127.0.0.1", "port": broker_port, "ssl": False}
        app.started_by(supervisor)
        with app.running():
            yield app, supervisor


async def served(app: App) -> None:
    """Wait until the live view listens."""
    async with asyncio.timeout(60):
        while "live view: http" not in app.log.read_text():
            assert app.process.poll() is None, app.log.read_text()
            await asyncio.sleep(0.1)


@awaited
async def test_the_live_view_works_in_home_assistants_frame(bench: Bench, row: Row) -> None:
    """Pictures over its WebSocket, and a zone that is drawn there, saved, and kept in the app's data."""
    with (
        Mosquitto(bench.folder) as broker,
        Subscriber(broker.port) as subscriber,
        started(bench.folder, broker.port) as (app, supervisor),
    ):
        await served(app)
        page = await bench.browser.page()
        await page.show_as(1280, 800)
        await page.open(f"{supervisor.url}/")
        frame = InFrame(page)
        await frame.until(live(), 60)
        assert await frame.value("location.pathname") == f"{supervisor.path}/"
        begun = page.frames
        async with asyncio.timeout(30):
            while page.frames < begun + FRAMES:
                await asyncio.sleep(0.1)
        await set_up(frame)
        await draw_zone(frame, ZONE)
        await frame.write("#zones li:last-child .name input", "sofa")
        await save(frame)
        kept = yaml.safe_load((app.data / "overlay.yaml").read_text(encoding="utf-8"))
        close(kept["cameras"]["hall"]["zones"]["sofa"]["polygon"], ZONE)
        await asyncio.to_thread(eventually, lambda: subscriber.payloads("posed/posed/hall/zones/sofa"))
        await page.screenshot(bench.keep / "homeassistant-ingress.png", whole=False)
        strays = [one for one in page.requests if supervisor.path not in one and one != f"{supervisor.url}/"]
        assert not strays, strays
        assert not page.complaints, page.complaints
        row.report(f"{page.frames} pictures through ingress, and a zone kept")


@awaited
async def test_no_other_page_may_frame_it(bench: Bench) -> None:
    """Of another origin, however its reader has logged in."""
    with Mosquitto(bench.folder) as broker, started(bench.folder, broker.port) as (app, supervisor):
        await served(app)
        async with AsyncExitStack() as stack:
            server = await asyncio.start_server(
                _framing(f"{supervisor.url}{supervisor.path}/"), "127.0.0.1", 0
            )
            stack.push_async_callback(server.wait_closed)
            stack.callback(server.close)
            page = await bench.browser.page()
            await page.open(f"{supervisor.url}/")
            await InFrame(page).until(live(), 60)
            await page.open(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            await page.until("document.querySelector('iframe') !== null")
            async with asyncio.timeout(10):
                while not any("frame-ancestors 'self'" in one for one in page.complaints):
                    await asyncio.sleep(0.1)
            text = "document.querySelector('iframe').contentDocument?.body?.innerText"
            assert await page.value(text) is None


def _framing(url: str) -> Any:
    """A page of somebody else's that has this address in its frame."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = f'<!doctype html><iframe src="{url}"></iframe>'.encode()
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    return answer


@awaited
async def test_ingress_alone_and_all_of_it_is_let_in(bench: Bench) -> None:
    """More connections than an address may have; from others none, whatever their headers say."""
    with Mosquitto(bench.folder) as broker, started(bench.folder, broker.port) as (app, supervisor):
        await served(app)
        async with AsyncExitStack() as stack:
            held = [await _held(stack, app.port, PROXY) for _ in range(Limits().per_owner + 5)]
            assert held == [200] * len(held)
            client = await stack.enter_async_context(aiohttp.ClientSession(cookies=supervisor.cookies))
            async with client.get(f"{supervisor.url}{supervisor.path}/") as answer:
                assert (answer.status, answer.headers["X-Frame-Options"]) == (200, "SAMEORIGIN")
                assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
            async with client.ws_connect(
                f"{supervisor.url}{supervisor.path}/live/hall", origin=supervisor.url
            ) as view:
                assert (await view.receive(10)).type is aiohttp.WSMsgType.TEXT
            named = {"X-Forwarded-For": PROXY, "X-Ingress-Path": supervisor.path}
            async with client.get(f"http://127.0.0.1:{app.port}/", headers=named) as answer:
                assert (answer.status, await answer.text()) == (403, "must come through web.trusted_proxy\n")
        async with (
            aiohttp.ClientSession() as stranger,
            stranger.get(f"{supervisor.url}{supervisor.path}/") as answer,
        ):
            assert answer.status == 401


async def _held(stack: AsyncExitStack, port: int, address: str) -> int:
    """The status of an answer on a connection that stays."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    stack.callback(writer.close)
    writer.write(b"GET /static/app.js HTTP/1.1\r\nHost: home.example.org\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    return int(head.split()[1])
