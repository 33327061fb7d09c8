"""Looks at the live view as a carer does: a fall from its beginning to its end, the night, on any screen.

    pytest -m system tests/system/test_web_page.py [--keep FOLDER]

Screenshots stay in the folder; `live.png` is the one of the docs.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import cv2
import numpy as np
import pytest

from posed.messages.structs import EventMessage, encode
from posed.messages.words import event_in_words
from posed.people.events import EventType
from posed.web.timeline import Kind, Timeline
from scripts.standins.messages import event
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.system.browser import Page
from tests.system.conftest import Row
from tests.system.live_view import SEED, VIOLATIONS, Bench, awaited, drawn_camera, live

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("row")]

FALLER: Final = 0
"""The drawn scene of this number has somebody who soon falls, and lies for a while."""

DEMO: Final = 1388
"""That of the demo is sharper, and the fall comes later."""

SCREENS: Final = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}
DETAILS: Final[list[dict[str, Any]]] = [
    *({}, {"how": "border"}, {"how": "lost"}, {"seen": "lying"}, {"seen": "vanished", "test": True}),
    *({"gesture": "both_hands_raised"}, {"by": "upright"}, {"by": "left"}, {"by": "request"}),
    *(
        {"posture": now, "before": before}
        for now in ("standing", "sitting", "lying")
        for before in ("unknown", "standing", "sitting", "lying")
    ),
]
ZONES: Final = (None, "sofa", "front_door", "bed_2", "rug", "hall")
CAMERAS: Final = ("hall", "camera", "cam_2", "balcony", "living_room")

NARROWEST: Final = (320, 640)
WIDEST: Final = (2560, 1440)


# A fall


_BANNER: Final = "document.querySelector('#falls .fall')"
_FALLEN: Final = f"{_BANNER} !== null"


@awaited
async def test_a_fall_is_seen_until_somebody_looks_after_it(bench: Bench, row: Row) -> None:
    """On drawn people: in red, in title and icon, to be heard, and over once somebody says so."""
    # Soon enough for a picture of it, since drawn people get up again.
    hall = drawn_camera(DEMO) | {"people": {"fall_confirm_s": 4.0}}
    cameras = {"hall": hall, "kitchen": drawn_camera(SEED)}
    with (
        Mosquitto(bench.folder) as broker,
        Subscriber(broker.port) as subscriber,
        bench.daemon("fall", cameras=cameras, broker_port=broker.port) as daemon,
    ):
        await bench.listens()
        desktop = await bench.page("/hall")
        await desktop.show_as(*SCREENS["desktop"])
        page = await bench.browser.page()
        await page.show_as(*SCREENS["phone"], phone=True)
        await page.open(f"{bench.url}/")
        await page.until(live(canvas=False), 20)
        for name in ("phone", "desktop"):
            await page.show_as(*SCREENS[name], phone=name == "phone")
            await asyncio.sleep(1)
            await page.screenshot(bench.keep / f"calm-{name}.png")
        await page.show_as(*SCREENS["phone"], phone=True)
        await page.tap(*(await middle(page, "#sound")))
        await page.until("document.getElementById('sound').textContent === 'Sound on'")
        beeps = int(await page.value("document.getElementById('sound').dataset.beeps ?? 0"))
        await page.until(_FALLEN, 120)
        said = await page.value(f"{_BANNER}.innerText")
        assert said.startswith("Fall in the hall"), said
        assert "They were seen lying for" in said, said
        assert await page.value("document.getElementById('alarm').textContent") == "Fall in the hall."
        assert await page.value("document.getElementById('alarm').getAttribute('role')") == "alert"
        assert await page.value("document.title") == "FALL in the hall"
        assert (await page.value("document.getElementById('favicon').href")).endswith("icon-fall.svg")
        assert await page.value(f"{_BANNER}.getBoundingClientRect().top < 200")
        await page.until(f"Number(document.getElementById('sound').dataset.beeps) > {beeps}", 4)
        await desktop.screenshot(bench.keep / "fall-desktop.png", whole=False)
        await page.screenshot(bench.keep / "fall-phone.png", whole=False)
        side_by_side(bench.keep, "fall-desktop.png", "fall-phone.png", "live.png")
        await take_care(page, bench.keep)
        over = await page.value("document.getElementById('word').textContent")
        assert over == "The fall in the hall is over.", over
        assert not (await page.value("document.title")).startswith("FALL")
        await page.until(
            "[...document.querySelectorAll('#events span')].some(one => "
            "one.textContent === 'The fall in the hall is over: somebody looks after it')"
        )
        await asyncio.to_thread(eventually, lambda: cleared(subscriber), 8)
        row.report(said.replace("\n", " | "))
        row.report(next(line for line in daemon.log().splitlines() if "has fallen" in line)[:100])


async def take_care(page: Page, keep: Path) -> None:
    """Press the button and confirm, after a moment of doubt."""
    # What somebody is about to press stays where it is, though the text beside it changes each second.
    await page.value("document.querySelector('.fall .care').focus()")
    about = await page.value("document.querySelector('.fall .about').innerText")
    await page.until(f"document.querySelector('.fall .about').innerText !== {json.dumps(about)}", 7)
    assert await page.value("document.activeElement.className") == "care"
    await page.press(".fall .care")
    await page.until("document.getElementById('dialog').open")
    assert await page.value("document.activeElement.textContent") == "Not yet"
    await page.screenshot(keep / "fall-confirm.png", whole=False)
    await page.press("#dialog button:last-child")
    assert await page.value(_FALLEN), "cleared without a confirmation"
    await page.press(".fall .care")
    await page.press("#dialog .main")
    await page.until(f"{_BANNER} === null")
    assert not await page.value("document.getElementById('dialog').open")


def side_by_side(folder: Path, desktop: str, phone: str, both: str) -> None:
    """One picture of a desktop and a phone, which docs/live.png is."""
    pictures = [cv2.imread(str(folder / name)) for name in (desktop, phone)]
    height = 640
    small = [
        cv2.resize(one, (one.shape[1] * height // one.shape[0], height), interpolation=cv2.INTER_AREA)
        for one in pictures
    ]
    gap = np.full((height, 24, 3), 255, np.uint8)
    cv2.imwrite(str(folder / both), np.hstack([small[0], gap, small[1]]))


def cleared(subscriber: Subscriber) -> bool:
    """Whether subscribers have heard that somebody looks after the fall."""
    events = [json.loads(payload) for payload in subscriber.payloads("posed/pi/events")]
    return any(one["type"] == "fall_cleared" and one["detail"].get("by") == "request" for one in events)


async def middle(page: Page, selector: str) -> tuple[float, float]:
    """Where something is in the window, px."""
    place: list[float] = await page.value(
        f"(box => [box.x + box.width / 2, box.y + box.height / 2])"
        f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
    )
    return place[0], place[1]


@awaited
async def test_an_older_fall_says_what_it_rests_on(bench: Bench) -> None:
    """From the timeline, since its event came before the page was opened."""
    with bench.daemon("before", cameras={"hall": drawn_camera(FALLER)}):
        page = await bench.page()
        await page.until(_FALLEN, 120)
        await page.open(f"{bench.url}/")
        await page.until(f"{_BANNER}?.innerText.includes('They were seen lying for')", 5)
        await page.show_as(*SCREENS["tablet"])
        await asyncio.sleep(0.3)
        await page.screenshot(bench.keep / "fall-tablet.png", whole=False)


# The night


def is_still_night(now: datetime.datetime) -> bool:
    """Whether the page's night is not over, nor what follows it here: the one before is looked at."""
    return now.hour < 10


def night(file: Path, device: str) -> None:
    """What a daemon would have kept of a night: somebody in bed, who gets up twice and falls once."""
    now = datetime.datetime.now().astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    midnight -= 24 * 3600 * is_still_night(now)
    now_s = midnight - 4 * 3600
    timeline = Timeline(file, 14, clock=lambda: now_s)
    timeline.start()
    course: Sequence[tuple[float, Mapping[str, Kind]]] = [
        (-4.0, {"bedroom": "empty", "hall": "empty"}),
        (-2.5, {"bedroom": "somebody", "hall": "empty"}),
        (-2.2, {"bedroom": "lying", "hall": "empty"}),
        (1.5, {"bedroom": "somebody", "hall": "somebody"}),
        (1.7, {"bedroom": "lying", "hall": "empty"}),
        (3.0, {"bedroom": "blind", "hall": "empty"}),
        (3.5, {"bedroom": "lying", "hall": "empty"}),
        (5.2, {"bedroom": "somebody", "hall": "fall"}),
        (5.4, {"bedroom": "empty", "hall": "somebody"}),
        (6.0, {"bedroom": "lying", "hall": "empty"}),
        (7.0, {"bedroom": "empty", "hall": "paused"}),
        (9.5, {"bedroom": "empty", "hall": "empty"}),
    ]
    by_hour = dict(course)
    kinds: Mapping[str, Kind] = {}
    second = round(midnight - 4 * 3600)
    for at in range(second, round(midnight + 9.5 * 3600), 30):
        now_s = float(at)
        kinds = next((by_hour[hour] for hour in reversed(by_hour) if hour * 3600 <= at - midnight), kinds)
        timeline.note(kinds)
    said = [
        (1.5, "posture", "bedroom", {"posture": "standing", "before": "lying", "confidence": 1.0}),
        (1.52, "entered", "hall", {}),
        (1.69, "left", "hall", {"how": "border"}),
        (5.2, "fall", "hall", {"seen": "lying", "lying_s": 10.0, "ago_s": 11.5, "before": "standing"}),
        (5.4, "fall_cleared", "hall", {"fall": "x", "by": "request"}),
    ]
    for number, (hour, kind, camera, detail) in enumerate(said):
        time = datetime.datetime.fromtimestamp(midnight + hour * 3600, datetime.UTC).isoformat()
        about: dict[str, Any] = {"device": device, "camera": camera, "run": "x", "person": 2, "zone": None}
        timeline.add(
            EventMessage(id=f"{number}", type=kind, time=time, detail=detail, keypoints=None, **about)  # type: ignore[arg-type]
        )
    timeline.stop(10)


@awaited
async def test_the_page_tells_how_the_night_was(bench: Bench, row: Row) -> None:
    """In a sentence for each camera, as a band, and by the events that are asked for."""
    state = bench.folder / "night" / "state" / "posed"
    state.mkdir(parents=True)
    night(state / "timeline.sqlite", "pi")
    with bench.daemon("night", cameras=("hall", "bedroom")):
        await bench.listens()
        page = await bench.browser.page()
        await page.show_as(*SCREENS["desktop"])
        await page.open(f"{bench.url}/")
        await page.until(live(canvas=False), 20)
        await page.until("document.querySelector('#said li') !== null")
        # What is shown from the press on is of the night: an answer about today would come too late.
        await page.value(
            "window.today = document.querySelector('#said').firstChild;"
            "document.querySelector('#timeline button:nth-child(2)').click()"
        )
        if is_still_night(datetime.datetime.now().astimezone()):
            await page.value("document.querySelector('#timeline button[aria-label=\"Day before\"]').click()")
        await page.until("document.querySelector('#said').firstChild !== window.today")
        await page.until("document.querySelector('#said li').textContent.includes('lying for 7 hours')")
        said = await page.value("[...document.querySelectorAll('#said li')].map(one => one.textContent)")
        assert said[0].startswith("bedroom: lying for 7 hours"), said
        assert "up 2 times" in said[0], said
        assert "not seen for 30 minutes" in said[0], said
        assert said[1].startswith("hall: 1 fall"), said
        label = "document.querySelector('.band').getAttribute('aria-label')"
        assert await page.value(label) == said[0]
        texts = "[...document.querySelectorAll('#events span')].map(one => one.textContent)"
        assert "Person 2 stood up in the bedroom" in await page.value(texts)
        for group in ("presence", "posture", "zone", "gesture"):
            await page.press(f"#event-{group}")
        await page.until(f"{texts}.length === 2")
        assert await page.value(texts) == [
            "The fall in the hall is over: somebody looks after it",
            "Person 2 has fallen in the hall, seen lying",
        ]
        await page.screenshot(bench.keep / "night-desktop.png")
        await page.show_as(*SCREENS["phone"], scheme="dark", phone=True)
        await asyncio.sleep(1)
        await page.screenshot(bench.keep / "night-phone.png")
        row.report("; ".join(said))


@awaited
async def test_page_and_log_say_the_same_of_events(bench: Bench) -> None:
    """Of every type, with every detail, in zones and before cameras of all kinds."""
    told = [
        event(type=kind, detail=detail, zone=zone, camera=camera, person=person)
        for kind, detail, zone, camera, person in itertools.product(
            get_args(EventType), DETAILS, ZONES, CAMERAS, (None, 2)
        )
    ]
    with bench.daemon("words"):
        page = await bench.page()
        in_words = f"{encode(told).decode()}.map(texts.event)"
        said = await page.value(f"import('./static/texts.en.js').then(({{default: texts}}) => {in_words})")
    assert said == [event_in_words(one) for one in told]


# For everybody


@awaited
async def test_axe_finds_nothing(bench: Bench, axe: str) -> None:
    """On all cameras and on one, calm and fallen, set up, with figures, asking; dark and light."""
    found: list[str] = []
    with bench.daemon("axe", cameras={"hall": drawn_camera(FALLER), "kitchen": drawn_camera(SEED)}):
        await bench.listens()
        page = await bench.browser.page()

        async def look(where: str) -> None:
            for scheme in ("light", "dark"):
                await page.show_as(*SCREENS["phone"], scheme=scheme, phone=True)
                found.extend(f"{where}, {scheme}: {one}" for one in await page.value(VIOLATIONS))

        for path in ("/", "/hall"):
            await page.open(bench.url + path)
            await page.until(live(canvas=path != "/"), 20)
            await page.value(axe + "; 0")
            await look(path)
            await page.press("#show-figures")
            if path == "/hall":
                await page.press("#edit")
            await look(f"{path}, set up")
        await page.until(_FALLEN, 120)
        await page.press(".fall .care")
        await look("/hall, fallen and asked")
    assert not found, "\n".join(found)


@awaited
async def test_all_of_it_can_be_done_with_the_keyboard(bench: Bench) -> None:
    """Everything that can be pressed can be reached by Tab, and shows that it is."""
    with bench.daemon("keys", cameras=("hall", "kitchen")):
        page = await bench.page("/hall")
        await page.until("document.querySelectorAll('#cameras a').length === 3")
        wanted = set(await page.value(f"{_PRESSABLE}.map(one => one.outerHTML)"))
        reached = set()
        for _ in range(3 * len(wanted)):
            for kind in ("rawKeyDown", "keyUp"):
                await page.do("Input.dispatchKeyEvent", type=kind, key="Tab", windowsVirtualKeyCode=9)
            html, outline = await page.value(
                "[document.activeElement.outerHTML, getComputedStyle(document.activeElement).outlineStyle]"
            )
            if html in wanted:
                assert outline != "none", html
                reached.add(html)
        assert reached == wanted, wanted - reached


_PRESSABLE: Final = """[...document.querySelectorAll('a, button, input, select')]
  .filter(one => one.checkVisibility() && !one.disabled)"""


_BESIDE: Final = """[...document.querySelectorAll('button, input, select, a, .card, .pill, .tile, p, li')]
  .filter(one => one.checkVisibility())
  .filter(one => {
    const box = one.getBoundingClientRect();
    return box.width && (box.left < 0 || box.right > innerWidth + 0.5);
  })
  .map(one => one.outerHTML.slice(0, 80))"""


@awaited
async def test_it_fits_any_screen(bench: Bench) -> None:
    """From a small phone to a wall; in dark and light; and it asks for nothing from elsewhere."""
    with bench.daemon("looks", cameras=("hall", "kitchen")):
        page = await bench.page("/hall")
        await page.until("document.getElementById('events').children.length > 1", 60)
        for path in ("/hall", "/"):
            await page.open(bench.url + path)
            await page.until(live(canvas=path != "/"), 20)
            for width, height in (NARROWEST, *SCREENS.values(), WIDEST):
                for scheme in ("dark", "light"):
                    await page.show_as(width, height, scheme=scheme, phone=width < 500)
                    await asyncio.sleep(0.7)
                    name = f"{path.strip('/') or 'all'}-{width}-{scheme}.png"
                    await page.screenshot(bench.keep / name, whole=width < 500)
                    assert await page.value("document.documentElement.scrollWidth") <= width, name
                    assert await page.value(_BESIDE) == [], name
        elsewhere = [url for url in page.requests if f"//127.0.0.1:{bench.port}/" not in url]
        assert not elsewhere, elsewhere
        assert not page.complaints, page.complaints


# Below another path


class Ingress:
    """A proxy that serves the live view below a path, as Home Assistant's ingress does.

    Args:
        port: of the live view.
        path: before its own.
    """

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path

    async def __aenter__(self) -> str:
        """Returns: the URL of the live view's own root."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self._path}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request for each connection, but for WebSockets, which go on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        verb, path, rest = head.split(" ", 2)
        if not path.startswith(self._path):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        rest = rest.replace("Connection: keep-alive", "Connection: close")
        back.write(f"{verb} {path.removeprefix(self._path) or '/'} {rest}".encode())
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@awaited
async def test_it_works_below_the_path_of_a_proxy(bench: Bench) -> None:
    """Page, files, frames, timeline, requests and the form for the token."""
    token = "a-token-for-this-check"
    with bench.daemon("below", cameras=("hall", "kitchen"), token=token):
        await bench.listens()
        async with Ingress(bench.port, "/api/hassio_ingress/x1") as url:
            page = await bench.browser.page()
            await page.open(f"{url}/hall")
            await page.until("document.getElementById('token') !== null")
            await page.write("#token", token)
            await page.press("form button")
            await page.until(live(), 20)
            assert await page.value("location.pathname") == "/api/hassio_ingress/x1/hall"
            await page.press("#cameras a:first-child")
            await page.until("document.querySelectorAll('.tile').length === 2", 20)
            await page.until("document.querySelectorAll('.band').length === 2")
            assert await page.value("location.pathname") == "/api/hassio_ingress/x1/"
            said = "Host: must be this machine"
            assert not any(said in one for one in page.complaints)
            strays = [one for one in page.requests if "/api/hassio_ingress/x1/" not in one]
            assert not strays, strays
