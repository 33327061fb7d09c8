"""Looks at the live view in a real Chromium: the daemon, on drawn people, in a process of its own.

    pytest -m system tests/system/test_web.py [--keep FOLDER]

Screenshots stay in the folder.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import json
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from posed.camera.synthetic import SyntheticCamera
from posed.config import CameraConfig
from posed.pose import EDGES
from posed.synthetic.scene import RenderedPerson, Scene
from tests.ai_camera_standin import Worlds, variables
from tests.brokers import Mosquitto, Subscriber
from tests.system.browser import NAME_OF_OTHERS, Page
from tests.system.conftest import Row
from tests.system.live_view import FPS, SEED, SIZE, Bench, awaited, live, reload

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("row")]

TOKEN: Final = "a-token-for-this-check"

_LIVE: Final = live()

FRAMES: Final = 12
"""Frames that are compared with the truth."""

ASIDE: Final = 0.12
"""How far a drawn figure may lie from the true one, as a share of the person's height."""

LATER: Final = 10
"""Frames by which the truth is shifted, to see that a picture of another time would be told."""

MOVED: Final = 0.3
"""How far somebody must get in that time, in their heights: of people who stand any time's truth is right."""

ROOM_SHADES: Final = 60
"""An outline of a room has fewer shades of grey than this, and a picture has more."""


# What is on the canvas, held against the truth

_CANVAS: Final = """(() => {
  const canvas = document.getElementById('canvas');
  return [Number(canvas.dataset.sequence), canvas.toDataURL('image/png')];
})()"""


async def drawn(page: Page) -> tuple[int, NDArray[np.uint8]]:
    """A frame's sequence and what is on the canvas, RGBA in the size of the camera's frame."""
    sequence, address = await page.value(_CANVAS)
    png = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
    image = cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    return sequence, np.asarray(cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA), np.uint8)


async def show_only(page: Page, *shown: str) -> None:
    """Leave everything else off the picture."""
    for what in ("skeletons", "boxes", "names", "zones"):
        wanted = str(what in shown).lower()
        await page.value(
            f"(box => box.checked !== {wanted} && box.click())(document.getElementById('show-{what}'))"
        )


def bones(person: RenderedPerson) -> NDArray[np.float64]:
    """Points along all bones, (n, 2) y first, px."""
    ends = person.points[np.array(EDGES)]
    steps = np.linspace(0, 1, 12)[:, None, None]
    return np.concatenate(list(ends[:, 0] * (1 - steps) + ends[:, 1] * steps))


def astray(image: NDArray[np.uint8], people: list[RenderedPerson]) -> float:
    """How far a figure's pixels lie from the nearest true bone, but for the worst tenth; in heights."""
    places = np.argwhere(image[..., :3].max(2) > 96)[::7].astype(float)
    distances = []
    for person in people:
        along = bones(person)
        nearest = np.sqrt(((places[:, None] - along[None]) ** 2).sum(2)).min(1)
        distances.append(nearest / max(person.box[3], 40))
    return float(np.quantile(np.min(distances, 0), 0.9))


def moves(before: list[RenderedPerson], after: list[RenderedPerson]) -> bool:
    """Whether somebody is elsewhere, by `MOVED`."""
    then = {one.id: one.points.mean(0) for one in after}
    return any(
        np.hypot(*(then.get(one.id, np.inf) - one.points.mean(0))) > MOVED * one.box[3] for one in before
    )


@awaited
async def test_figures_are_where_people_are(bench: Bench, row: Row) -> None:
    """Only figures are on black, so every bright pixel is one's; and they are of the frame named."""
    camera = SyntheticCamera(CameraConfig(kind="synthetic", source=str(SEED), fps=FPS, size=SIZE))
    now, later, frames = [], [], 0
    with bench.daemon("figures", "skeleton"):
        page = await bench.page()
        await show_only(page, "skeletons")
        async with asyncio.timeout(120):
            while frames < FRAMES:
                sequence, image = await drawn(page)
                people, then = camera.truth(sequence), camera.truth(sequence + LATER)
                if image[..., :3].any() and then and moves(people, then):
                    frames += 1
                    now.append(astray(image, people))
                    later.append(astray(image, then))
                await asyncio.sleep(0.2)
        await show_only(page, "skeletons", "boxes", "names", "zones")
        await asyncio.sleep(0.5)
        await page.screenshot(bench.keep / "figures-on-black.png")
    row.report(
        f"{frames} frames: figures lie {np.median(now):.3f} heights from the truth, {max(now):.3f} at most"
    )
    row.report(f"{np.median(later):.3f} from that of {LATER} frames later")
    assert np.median(now) < ASIDE, now
    assert np.median(later) > np.median(now), "the truth of another time fits as well"


@awaited
async def test_the_picture_is_the_frame(bench: Bench, row: Row) -> None:
    """With nothing drawn over it, it is the frame whose number it has, but for what JPEG loses."""
    scene = Scene(SEED, SIZE)
    with bench.daemon("picture"):
        page = await bench.page()
        await show_only(page)
        for _ in range(4):
            sequence, image = await drawn(page)
            away = [_difference(image, scene, sequence + by) for by in (0, LATER)]
            assert away[0] < 6, away
            assert away[0] < away[1], away
            await asyncio.sleep(0.7)
    row.report(f"grey values differ by {away[0]:.2f} from the frame's, by {away[1]:.2f} from a later one's")


def _difference(image: NDArray[np.uint8], scene: Scene, sequence: int) -> float:
    """Of the tenth of the pixels that differ most: people who move are a small part of a picture."""
    frame = scene.render(sequence / FPS).image
    smooth = [cv2.GaussianBlur(one, (0, 0), 2).astype(float) for one in (image[..., :3], frame)]
    differences = np.abs(smooth[0] - smooth[1]).max(2).ravel()
    return float(np.sort(differences)[-differences.size // 10 :].mean())


# Several cameras

_STATE: Final = """[...document.querySelectorAll('#cameras a')].map(link =>
  [link.pathname, link.textContent, link.getAttribute('aria-current')])"""


async def sees(page: Page, bench: Bench, name: str, seed: int) -> None:
    """Whether it is this camera's frame that is drawn, and not another's."""
    await page.until("document.getElementById('canvas').dataset.sequence")
    await show_only(page)
    await asyncio.sleep(0.5)
    sequence, image = await drawn(page)
    away = {one: _difference(image, Scene(one, SIZE), sequence) for one in (SEED, SEED + 2)}
    assert min(away, key=lambda one: away[one]) == seed, (name, away)
    assert away[seed] < 6, (name, away)


@awaited
async def test_each_camera_is_seen_at_its_address(bench: Bench) -> None:
    """All of them are at `/`, as tiles that lead there."""
    with bench.daemon("two", cameras=("hall", "kitchen")):
        await bench.listens()
        page = await bench.browser.page()
        await page.show_as(1280, 800)
        await page.open(f"{bench.url}/")
        chosen = [["/", "All cameras", "page"], ["/hall", "hall", None], ["/kitchen", "kitchen", None]]
        await page.until(f"JSON.stringify({_STATE}) === '{json.dumps(chosen, separators=(',', ':'))}'")
        tiles = "[...document.querySelectorAll('.tile')].map(tile => tile.pathname).join()"
        assert await page.value(tiles) == "/hall,/kitchen"
        await page.until(f"{_FIGURES}.every(Boolean)", 40)
        await page.screenshot(bench.keep / "tiles.png")
        await page.press(".tile[href$='kitchen']")
        await page.until("location.pathname === '/kitchen'")
        await sees(page, bench, "kitchen", SEED + 2)
        assert await page.value("document.title") == "kitchen · pi · posed"
        await page.press("#cameras a:nth-child(2)")
        await page.until("location.pathname === '/hall'")
        await sees(page, bench, "hall", SEED)


_FIGURES: Final = """[...document.querySelectorAll('.tile canvas')].map(canvas => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < data.length; at += 4) {
    if (Math.max(data[at], data[at + 1], data[at + 2]) > 150) return true;
  }
  return false;
})"""
"""Of each tile, whether a figure is on it: a room alone is dark."""


@awaited
async def test_a_pause_is_said_and_ended(bench: Bench) -> None:
    """The link that somebody is at keeps its focus; the sentence in amber has what helps."""
    with (
        Mosquitto(bench.folder) as broker,
        Subscriber(broker.port) as subscriber,
        bench.daemon("marks", cameras=("hall", "kitchen"), broker_port=broker.port),
    ):
        page = await bench.page("/hall")
        await page.until(f"{_STATE}.length === 3")
        await page.value("document.querySelectorAll('#cameras a')[1].focus()")
        subscriber.publish("posed/pi/request/pause", b'{"camera": "kitchen"}')
        await page.until(f"{_STATE}[2][1] === 'kitchen paused'")
        assert await page.value("document.activeElement.pathname") == "/hall"
        assert await notices(page) == ["The camera in the kitchen is paused: nobody is watched there."]
        await page.screenshot(bench.keep / "paused-elsewhere.png")
        await page.press(".notice button")
        await page.until(f"{_STATE}[2][1] === 'kitchen'")
        await page.until("!document.querySelector('.notice')")


@awaited
async def test_a_camera_that_gets_ready_is_not_called_absent(bench: Bench) -> None:
    """An AI Camera takes its network in for minutes; nobody is to look for its cable meanwhile."""
    world = Worlds(bench.folder / "world.json")
    world(upload_s=600)
    cameras = {"hall": {"kind": "imx500"}, "kitchen": {"kind": "video", "source": "http://127.0.0.1:1/"}}
    with bench.daemon("ready", cameras=cameras, variables=variables(bench.folder)):
        page = await bench.browser.page()
        await page.show_as(1280, 800)
        await bench.listens()
        await page.open(bench.url)
        await page.until(f"{_STATE}.length === 3 && {_STATE}[1][1] === 'hall starting'")
        await page.until(f"{_STATE}[2][1] === 'kitchen not there'")
        await page.until("document.getElementById('notices').textContent.includes('so far')")
        hall, kitchen = [said for said in await notices(page) if said.startswith("The camera")]
        await page.screenshot(bench.keep / "gets-ready.png")
    assert hall.startswith("The camera in the hall is starting: Pi camera 0: takes its network in")
    assert kitchen.startswith("The camera in the kitchen is not there: ")
    assert ["Check its cable" in said for said in (hall, kitchen)] == [False, True]


async def notices(page: Page) -> list[str]:
    """What is said in amber."""
    said: list[str] = await page.value(
        "[...document.querySelectorAll('.notice p')].map(one => one.textContent)"
    )
    return said


@awaited
async def test_a_broker_that_is_away_is_said(bench: Bench) -> None:
    """Nobody hears of a fall meanwhile, but for whoever has the page open."""
    with bench.daemon("brokerless"):
        page = await bench.page()
        said = "document.querySelector('.notice p')?.textContent"
        await page.until(f"{said}?.startsWith('Alarms do not get out')")


@awaited
async def test_a_camera_that_is_removed_says_so(bench: Bench) -> None:
    """It comes back by itself with the camera; the page of another one goes on."""
    with bench.daemon("removed", cameras=("hall", "kitchen")) as daemon:
        page, other = await bench.page("/kitchen"), await bench.page("/hall")
        settings = yaml.safe_load(daemon.config.read_text(encoding="utf-8"))
        less = settings | {"cameras": {"hall": settings["cameras"]["hall"]}}
        await other.value("window.sameAsBefore = true")
        reload(daemon, less)
        gone = "There is no camera kitchen any more."
        await page.until(f"document.querySelector('.notice p')?.textContent === '{gone}'")
        assert await page.value("document.getElementById('contact').textContent") == "removed"
        assert (await page.value(_STATE))[0] == ["/", "All cameras", None]
        await page.screenshot(bench.keep / "removed.png")
        await other.until("document.getElementById('cameras').hidden")
        await other.until(_LIVE)
        reload(daemon, settings)
        await page.until(_LIVE, 15)
        await other.until(f"{_STATE}.length === 3")
        assert await other.value("window.sameAsBefore"), "the page was loaded anew"
        await page.open(f"{bench.url}/attic")
        said = await page.value("document.body.textContent")
        assert said == "There is no camera of this name. The cameras are: hall, kitchen.\n", said


@awaited
async def test_more_privacy_takes_the_picture_away(bench: Bench) -> None:
    """At once, of that camera alone, and while somebody looks."""
    with bench.daemon("privacy", cameras=("hall", "kitchen")) as daemon:
        page, other = await bench.page("/kitchen"), await bench.page("/hall")
        settings = yaml.safe_load(daemon.config.read_text(encoding="utf-8"))
        settings["cameras"]["kitchen"]["privacy"] = {"pictures": "off"}
        reload(daemon, settings)
        await page.until("document.getElementById('canvas').dataset.pictures === 'off'")
        await show_only(page)
        await page.until(_LIVE)
        assert len(np.unique((await drawn(page))[1][..., :3].max(2))) < ROOM_SHADES
        assert await other.value("document.getElementById('canvas').dataset.pictures") == "full"
        assert len(np.unique((await drawn(other))[1][..., :3].max(2))) > ROOM_SHADES


# Contact


@awaited
async def test_contact_comes_back_after_a_restart(bench: Bench) -> None:
    """The page says that it has none, and goes on by itself."""
    with bench.daemon("restart") as daemon:
        page = await bench.page()
        await page.value("window.sameAsBefore = true")
        daemon.stop(signal.SIGTERM, within_s=5)
        await page.until("document.getElementById('contact').textContent === 'no contact'")
        await page.until("document.getElementById('canvas').classList.contains('stale')")
        await page.screenshot(bench.keep / "no-contact.png")
        daemon.start()
        await page.until("document.getElementById('contact').textContent === 'live'", 40)
        await page.until("!document.getElementById('canvas').classList.contains('stale')")
        assert await page.value("window.sameAsBefore"), "the page was loaded anew"


class Cable:
    """The way to a port, which can be cut in silence: nothing is closed, and nothing comes through any more.

    Args:
        port: where it leads.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._cut = asyncio.Event()
        self._carrying: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """From now on: what was connected, and what will be until it is mended."""
        self._cut.set()

    def mend(self) -> None:
        """For connections from now on; those before stay dead."""
        self._cut = asyncio.Event()

    async def __aenter__(self) -> str:
        """Returns: the URL at this end."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for one in self._carrying:
            one.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for ends in ((reader, back), (there, writer)):
            task = asyncio.create_task(_carry(*ends, self._cut))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
    """One way, until it ends or is cut."""
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            if cut.is_set():
                await asyncio.Event().wait()
            writer.write(data)
            await writer.drain()


_SAYS: Final = """[
  document.getElementById('contact').textContent, document.querySelector('.notice p')?.textContent,
  document.getElementById('canvas').classList.contains('stale'), document.body.classList.contains('old')]"""


_LOST: Final = {
    "silent": "posed has not said anything for a while.",
    "no contact": "There is no contact with posed.",
}


@awaited
async def test_a_connection_that_dies_in_silence_is_noticed(bench: Bench, row: Row) -> None:
    """The picture is marked within seconds, and the page finds back by itself, however long it was away."""
    cable = Cable(bench.port)
    with bench.daemon("silence"):
        await bench.listens()
        async with cable as url:
            page = await bench.browser.page()
            await page.show_as(1280, 800)
            await page.open(url)
            await page.until(_LIVE, 40)
            for away_s in (4, 14, 25):
                await page.value("window.sameAsBefore = true")
                cable.cut()
                began = time.monotonic()
                await page.until("document.getElementById('canvas').classList.contains('stale')", 5)
                marked_s = time.monotonic() - began
                await asyncio.sleep(max(0.0, away_s - marked_s))
                contact, notice, *stale = await page.value(_SAYS)
                assert stale == [True, True]
                assert notice.startswith(_LOST[contact]), (contact, notice)
                await page.screenshot(bench.keep / f"silence-{away_s}.png")
                cable.mend()
                mended = time.monotonic()
                await page.until(_LIVE, 15)
                back_s = time.monotonic() - mended
                assert await page.value("window.sameAsBefore"), "the page was loaded anew"
                row.report(
                    f"away for {away_s} s: marked after {marked_s:.1f} s ({contact!r}, {notice!r}), "
                    f"back {back_s:.1f} s after the network"
                )


@awaited
async def test_a_hidden_page_takes_no_frames(bench: Bench, row: Row) -> None:
    """Another tab is in front: no picture is sent, and the page goes on as soon as it is seen again."""
    with bench.daemon("hidden") as daemon:
        page = await bench.page()
        other = await bench.browser.page(in_front_of=page)
        await page.until("document.hidden")
        await asyncio.sleep(2)  # for those on their way
        before = page.frames
        await asyncio.sleep(3)
        assert page.frames == before, f"{page.frames - before} frames in 3 s for nobody"
        await page.do("Page.bringToFront")
        await page.until(_LIVE, 3)
        await asyncio.sleep(3)
        seen = page.frames - before
        assert seen > 3, seen
        row.report(f"0 frames in 3 s while hidden, {seen} in 3 s and a little when seen again")

        await other.do("Page.bringToFront")
        daemon.stop(signal.SIGTERM, within_s=5)
        await asyncio.sleep(20)  # attempts are as far apart as they get
        daemon.start()
        await bench.listens()
        await page.do("Page.bringToFront")
        began = time.monotonic()
        await page.until("document.getElementById('contact').textContent === 'live'", 3)
        row.report(
            f"after a restart behind another tab: live {time.monotonic() - began:.1f} s after it is seen"
        )


@awaited
async def test_a_token_is_asked_for(bench: Bench) -> None:
    """A wrong one is refused; the right one is taken once and is in no address and no script's reach."""
    with bench.daemon("token", host="0.0.0.0", token=TOKEN):
        page = await bench.browser.page()
        await page.show_as(390, 844, scheme="dark", phone=True)
        await bench.listens()
        await page.open(f"{bench.url}/")
        await page.until("document.getElementById('token') !== null")
        await page.screenshot(bench.keep / "token.png")
        for token, then in (
            ("wrong", "document.querySelector('.problem').textContent"),
            (TOKEN, "document.getElementById('canvas') !== null"),
        ):
            await page.write("#token", token)
            await page.press("button")
            said = await page.until(then)
            assert token == TOKEN or said == "That is not the token.", said
        await page.until("document.getElementById('contact').textContent === 'live'")
        assert await page.value("document.cookie") == ""
        assert TOKEN not in await page.value("location.href")
        other = await bench.browser.page()
        await other.open(f"{bench.url}/?token={TOKEN}")
        await other.until("document.getElementById('contact').textContent === 'live'")
        assert await other.value("location.search") == ""


_ATTACK: Final = """(async () => {
  const gone = {};
  const url = URL_OF_DAEMON;
  gone.read = await fetch(url).then(() => 'read', () => 'refused');
  gone.socket = await new Promise(done => {
    const socket = new WebSocket(url.replace('http', 'ws') + '/live/hall');
    socket.onopen = () => done('open');
    socket.onerror = () => done('refused');
  });
  await fetch(url + '/api/request/pause', {method: 'POST', mode: 'no-cors', body: '{}'}).catch(() => 0);
  gone.script = await new Promise(done => {
    const script = document.createElement('script');
    script.onload = () => done('loaded');
    script.onerror = () => done('refused');
    script.src = url + '/static/app.js';
    document.head.append(script);
  });
  const frame = document.createElement('iframe');
  frame.src = url;
  document.body.append(frame);
  await new Promise(done => setTimeout(done, 1500));
  gone.frame = frame.contentDocument === null ? 'refused' : 'open';
  return gone;
})()"""


@awaited
async def test_other_pages_reach_nothing(bench: Bench) -> None:
    """One of another port, and one whose name was pointed at this machine."""
    with bench.daemon("hostile") as daemon, other_site() as other:
        ours = await bench.page()
        page = await bench.browser.page()
        await page.open(other)
        found = await page.value(_ATTACK.replace("URL_OF_DAEMON", f"'{bench.url}'"))
        assert found == dict.fromkeys(("read", "socket", "script", "frame"), "refused"), found
        assert "on request" not in daemon.log()
        await page.open(f"http://{NAME_OF_OTHERS}:{bench.port}/")
        assert (await page.value("document.body.textContent")).startswith("Host: must be this machine")
        await ours.until("document.getElementById('contact').textContent === 'live'")


_FRAME: Final = """(async () => {
  const frame = document.createElement('iframe');
  await new Promise(done => { frame.onload = done; frame.src = URL_OF_DAEMON; document.body.append(frame); });
})()"""


@awaited
async def test_a_dashboard_that_is_named_frames_the_live_view(bench: Bench) -> None:
    """With its token, which the frame is asked for once; a dashboard of another port sees nothing of it."""
    with other_site() as dashboard, other_site() as other:
        origin = dashboard.removesuffix("/")
        with bench.daemon("framed", token=TOKEN, frame_ancestors=[origin]):
            await bench.listens()
            page = await bench.browser.page()
            await page.open(other)
            await page.value(_FRAME.replace("URL_OF_DAEMON", f"'{bench.url}'"))
            assert await page.framed("document.getElementById('token') === null")
            assert any("frame-ancestors" in said for said in page.complaints), page.complaints

            await page.open(dashboard)
            await page.value(_FRAME.replace("URL_OF_DAEMON", f"'{bench.url}'"))
            await page.framed(f"document.getElementById('token').value = '{TOKEN}'")
            await page.framed("document.querySelector('form button').click()")
            async with asyncio.timeout(20):
                while not await page.framed("document.getElementById('canvas')?.dataset.sequence"):
                    await asyncio.sleep(0.2)
            await page.screenshot(bench.keep / "framed.png")
            await page.open(dashboard)
            await page.value(_FRAME.replace("URL_OF_DAEMON", f"'{bench.url}'"))
            assert await page.framed("document.getElementById('token') === null")


@contextlib.contextmanager
def other_site() -> Iterator[str]:
    """Any other page in the owner's browser."""

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>other</title><body></body>")

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
