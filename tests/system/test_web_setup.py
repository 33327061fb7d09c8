"""Looks at the set-up of the live view in a real Chromium: zones, settings and mounting.

    pytest -m system tests/system/test_web_setup.py [--keep FOLDER]

Screenshots stay in the folder.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest
import yaml

from posed.config import load
from posed.people.pitch import _FOCAL
from tests.brokers import Mosquitto, Subscriber
from tests.system.browser import Page
from tests.system.conftest import Row
from tests.system.live_view import VIOLATIONS, Bench, awaited, reload

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("row")]

Corners = Sequence[tuple[float, float]]

ZONE: Final = [(0.1, 0.2), (0.5, 0.25), (0.45, 0.7), (0.12, 0.6)]

SIZES: Final = ((320, 640), (640, 320), (390, 844), (1280, 800), (2560, 1440))
"""Phones upright and on their side, and desks, px."""


# Zones


async def corner_px(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place in the picture is in the window, px."""
    box = await page.value(
        "(({x, y, width, height}) => [x, y, width, height])"
        "(document.getElementById('canvas').getBoundingClientRect())"
    )
    return box[0] + x * box[2], box[1] + y * box[3]


def saved(bench: Bench, name: str, camera: str = "hall") -> dict[str, Any]:
    """What a camera has of its own in the overlay, which the configuration takes."""
    overlay = bench.folder / name / "state" / "posed" / "overlay.yaml"
    own: dict[str, Any] = yaml.safe_load(overlay.read_text(encoding="utf-8"))["cameras"][camera]
    load(bench.folder / name / "posed.yaml", {}, overlay=overlay)
    return own


_SETTLED: Final = """(() => {
  const said = document.getElementById('notices').innerText;
  const [before, since] = window.settled ?? [null, 0];
  if (said !== before) window.settled = [said, performance.now()];
  return said === before && !said.includes('starting') && performance.now() - since > 1500;
})()"""
"""Whether what is said above the picture has been the same for a while."""


async def set_up(page: Page, part: str = "zones") -> None:
    """Open the set-up, and a part of it, once nothing moves the picture any more."""
    await page.until(_SETTLED)
    await page.press("#edit")
    await page.press(f"#tab-{part}")


async def press_with_mouse(page: Page, selector: str) -> None:
    """As a hand does it, so that the page can tell it from a key."""
    await page.value(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
    x, y = await page.value(
        f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
        f"(document.querySelector('{selector}').getBoundingClientRect())"
    )
    await page.click(x, y)


async def draw_zone(page: Page, corners: Corners, *, finger: bool = False) -> None:
    """A new zone, its corners in turn and the first one again."""
    await press_with_mouse(page, "#add")
    for x, y in [*corners, corners[0]]:
        place = await corner_px(page, x, y)
        await (page.tap(*place) if finger else page.click(*place))


async def save(page: Page) -> None:
    """Save the zones, and wait until they are kept."""
    await page.press("#save")
    await page.until("document.getElementById('zone-word').textContent === 'Saved.'")


async def key(page: Page, name: str, *, shift: bool = False) -> None:
    """Press a key where the focus is."""
    text = {"Enter": "\r"}.get(name, name if len(name) == 1 else "")
    for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
        await page.do(
            "Input.dispatchKeyEvent",
            type=kind,
            key=name,
            text=text if kind == "keyDown" else "",
            windowsVirtualKeyCode={"Enter": 13, "Tab": 9}.get(name, 0),
            modifiers=8 if shift else 0,
        )


def close(polygon: Any, wanted: Corners, by: float = 0.004) -> None:
    """Whether two polygons are one, but for the pixel that was hit."""
    assert np.shape(polygon) == np.shape(wanted), polygon
    assert np.abs(np.array(polygon) - wanted).max() < by, polygon


@awaited
async def test_zones_are_drawn_with_the_mouse(bench: Bench) -> None:
    """Drawn, named, saved; a corner dragged, and a kind chosen."""
    with bench.daemon("zones"):
        page = await bench.page()
        await set_up(page)
        await draw_zone(page, ZONE)
        await page.write("#zones li:last-child .name input", "sofa")
        await save(page)
        close(saved(bench, "zones")["zones"]["sofa"]["polygon"], ZONE)

        await page.drag(await corner_px(page, *ZONE[0]), await corner_px(page, 0.05, 0.1))
        await page.value(
            "(field => { field.value = 'resting'; field.dispatchEvent(new Event('change')); })"
            "(document.querySelector('#zones .kind select'))"
        )
        await save(page)
        zone = saved(bench, "zones")["zones"]["sofa"]
        close(zone["polygon"], [(0.05, 0.1), *ZONE[1:]])
        assert zone["kind"] == "resting"


@awaited
async def test_a_rule_that_is_broken_is_told_beside_save(bench: Bench) -> None:
    """A zone that crosses itself is not kept, and may be mended."""
    with bench.daemon("rule"):
        page = await bench.page()
        await set_up(page)
        await draw_zone(page, [(0.6, 0.2), (0.9, 0.6), (0.9, 0.2), (0.6, 0.6)])
        await page.press("#save")
        problem = await page.until("document.querySelector('#keep #problem').textContent")
        assert "cameras.hall.zones.zone_1.polygon: must not cross itself" in problem, problem
        await page.screenshot(bench.keep / "zones-problem.png", whole=False)
        assert not (bench.folder / "rule" / "state" / "posed" / "overlay.yaml").exists()
        await page.press("#zones .delete")
        await save(page)
        assert saved(bench, "rule")["zones"] == {}


_TOP: Final = "document.getElementById('canvas').getBoundingClientRect().top"


@awaited
async def test_zones_are_drawn_with_a_finger(bench: Bench) -> None:
    """On a phone: a corner that is dragged from beside it moves, and the page does not."""
    with bench.daemon("finger"):
        page = await bench.page()
        await page.show_as(390, 844, phone=True)
        await set_up(page)
        await draw_zone(page, ZONE, finger=True)
        top = await page.value(_TOP)
        x, y = await corner_px(page, *ZONE[2])
        to_x, to_y = await corner_px(page, 0.6, 0.9)
        points = [(x + 15, y + 10), (to_x, (y + to_y) / 2), (to_x, to_y)]
        for kind, (at_x, at_y) in zip(("touchStart", "touchMove", "touchMove"), points, strict=True):
            await page.do("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": at_x, "y": at_y}])
        await page.do("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        assert await page.value(_TOP) == top
        await page.screenshot(bench.keep / "zones-finger.png", whole=False)
        await save(page)
        close(saved(bench, "finger")["zones"]["zone_1"]["polygon"], [*ZONE[:2], (0.6, 0.9), ZONE[3]], 0.01)


_FOCUSED: Final = "document.activeElement.id"


@awaited
async def test_zones_are_drawn_by_keyboard_alone(bench: Bench) -> None:
    """From opening the set-up to saving, told at each step."""
    with bench.daemon("keys"):
        page = await bench.page()
        await page.value("document.getElementById('edit').focus()")
        await key(page, "Enter")
        await _tab_to(page, "add")
        await key(page, "Enter")
        assert await page.value(_FOCUSED) == "canvas"
        said = "document.getElementById('zone-word').textContent"
        assert await page.value(said) == (
            "Corner 1 of 4 of zone 1: 40\u00a0% from the left, 40\u00a0% from the top."
        )
        for name, shift in (("ArrowLeft", True), ("ArrowUp", False), ("n", False), ("Insert", False)):
            await key(page, name, shift=shift)
        assert await page.value(said) == (
            "Corner 3 of 5 of zone 1: 60\u00a0% from the left, 50\u00a0% from the top."
        )
        for name in ("ArrowRight", "n", "Delete"):
            await key(page, name)
        assert "of 4 of zone 1" in await page.value(said)
        await key(page, "Escape")  # lets go of the corner: now all of it moves
        await key(page, "ArrowDown", shift=True)
        await page.screenshot(bench.keep / "zones-keys.png", whole=False)
        await key(page, "Escape")
        assert await page.value(_FOCUSED) == "save"
        await key(page, "Enter")
        await page.until(f"{said} === 'Saved.'")
        close(
            saved(bench, "keys")["zones"]["zone_1"]["polygon"],
            [(0.35, 0.44), (0.6, 0.45), (0.61, 0.55), (0.4, 0.65)],
            1e-6,
        )


async def _tab_to(page: Page, wanted: str) -> None:
    for _ in range(20):
        await key(page, "Tab")
        if await page.value(_FOCUSED) == wanted:
            return
    raise AssertionError(f"{wanted} cannot be reached")


_IN_VIEW: Final = """['frame', 'save'].map(id => document.getElementById(id).getBoundingClientRect())
  .every(box => box.top >= -1 && box.left >= 0 && box.bottom <= innerHeight + 1 && box.right <= innerWidth)"""


@awaited
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"in view at {size[0]}x{size[1]}")
async def test_picture_and_save_stay_in_view(bench: Bench, size: tuple[int, int]) -> None:
    """However far the list of zones is scrolled; and nothing goes over the side."""
    with bench.daemon("view"):
        page = await bench.page()
        await page.show_as(*size, phone=size[0] < 700)
        await page.value(_request("set", {"settings": {"zones": _many(8)}}))
        await page.until("document.querySelectorAll('#zones li').length === 0")
        await set_up(page)
        await page.until("document.querySelectorAll('#zones li').length === 8")
        await page.value("document.getElementById('frame').scrollIntoView()")
        for _ in range(4):
            assert await page.value(_IN_VIEW)
            await page.value("scrollBy({top: 200, behavior: 'instant'})")
        await page.screenshot(bench.keep / f"set-up-{size[0]}x{size[1]}.png", whole=False)
        assert await page.value("document.documentElement.scrollWidth") <= size[0]


def _many(count: int) -> dict[str, Any]:
    """Zones that lie on each other."""
    shifts = [0.015 * number for number in range(count)]
    return {
        f"a_zone_with_a_name_{number}": {
            "polygon": [
                [0.1 + by, 0.1 + by],
                [0.6 + by, 0.1 + by],
                [0.6 + by, 0.6 + by],
                [0.1 + by, 0.6 + by],
            ]
        }
        for number, by in enumerate(shifts)
    }


def _request(verb: str, body: dict[str, Any]) -> str:
    """JavaScript that asks for something of the camera `hall`, for good."""
    text = json.dumps(json.dumps({"camera": "hall", "persist": True} | body))
    head = "{'Content-Type': 'application/json'}"
    return f"fetch('api/request/{verb}', {{method: 'POST', headers: {head}, body: {text}}}).then(a => a.ok)"


_LABELS: Final = """(async () => {
  const { Painter } = await import('./static/draw.js');
  const frame = document.createElement('div');
  frame.style.width = WIDTH + 'px';
  document.body.append(frame);
  frame.append(document.createElement('canvas'));
  const painter = new Painter(frame.firstChild);
  const zones = ZONES;
  const draft = {zones, selected: 3, corner: 0};
  painter.paint({frame: {width: 640, height: 480}, people: [], show: {}, draft});
  frame.remove();
  return painter.labels.map(({x, y, width, height}) => [x, y, x + width, y + height]);
})()"""


@awaited
@pytest.mark.parametrize("width", [300, 1200], ids=lambda width: f"names apart at {width} px")
async def test_names_cover_neither_each_other_nor_a_corner(bench: Bench, width: int) -> None:
    """Of eight zones that lie on each other, in a small picture and a large one."""
    with bench.daemon("names"):
        page = await bench.page()
        zones = [{"name": name, **zone} for name, zone in _many(8).items()]
        boxes = await page.value(_LABELS.replace("WIDTH", str(width)).replace("ZONES", json.dumps(zones)))
    corners, names = boxes[:4], boxes[4:]
    assert len(names) == 8
    for index, one in enumerate(names):
        assert not [other for other in [*corners, *names[:index]] if _overlap(one, other)]


def _overlap(one: list[float], other: list[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@awaited
async def test_changes_are_not_lost_by_closing(bench: Bench) -> None:
    """Whoever closes the set-up with zones that are not saved is asked."""
    with bench.daemon("closing"):
        page = await bench.page()
        await set_up(page)
        await draw_zone(page, ZONE)
        await page.press("#edit")
        await page.until("document.getElementById('dialog').open")
        await page.press("#dialog button:not(.main)")
        assert await page.value("document.querySelectorAll('#zones li').length") == 1
        await page.press("#edit")
        await page.press("#dialog button.main")
        await page.until("document.getElementById('setup').hidden")
        assert await page.value("document.getElementById('edit').textContent") == "Set up"


@awaited
async def test_saved_is_not_said_of_the_save_before(bench: Bench) -> None:
    with bench.daemon("again"):
        page = await bench.page()
        await set_up(page)
        await save(page)
        await page.press("#save")
        assert await page.value("document.getElementById('zone-word').textContent") == ""


_NAMES: Final = "[...document.querySelectorAll('#zones .name input')].map(one => one.value)"


@awaited
async def test_two_who_draw_keep_each_others_zones(bench: Bench) -> None:
    """One adds, one removes and changes; a name that both take is refused to the second."""
    square = [(0.7, 0.1), (0.9, 0.1), (0.9, 0.3)]
    with bench.daemon("two"):
        page, other = await bench.page(), await bench.page()
        await page.value(_request("set", {"settings": {"zones": _many(2)}}))
        for one in (page, other):
            await set_up(one)
            await one.until(f"{_NAMES}.length === 2")
            await draw_zone(one, square if one is page else ZONE)
        await page.press("#zones li .delete")
        await save(page)
        await asyncio.sleep(1.5)  # the other one hears of it
        await other.press("#save")
        problem = "document.getElementById('problem').textContent"
        assert await other.until(problem) == "Two zones are called zone_1."
        await other.write("#zones li:last-child .name input", "sofa")
        await save(other)
        zones = saved(bench, "two")["zones"]
        assert set(zones) == {"a_zone_with_a_name_1", "zone_1", "sofa"}
        close(zones["zone_1"]["polygon"], square)
        close(zones["sofa"]["polygon"], ZONE)
        for one in (page, other):
            await one.until(f"{_NAMES}.sort().join() === 'a_zone_with_a_name_1,sofa,zone_1'")


@awaited
async def test_deleting_another_zone_leaves_the_one_being_drawn(bench: Bench) -> None:
    with bench.daemon("drawing"):
        page = await bench.page()
        await set_up(page)
        await draw_zone(page, ZONE)
        await press_with_mouse(page, "#add")
        await page.press("#zones .delete")
        assert await page.value("document.getElementById('add-corner').disabled")
        for x, y in [*ZONE, ZONE[0]]:
            await page.click(*await corner_px(page, x, y))
        await save(page)
        assert list(saved(bench, "drawing")["zones"]) == ["zone_2"]
        assert not page.complaints, page.complaints


@awaited
async def test_zones_named_with_digits_are_saved_for_good(bench: Bench) -> None:
    with bench.daemon("digits"):
        page = await bench.page()
        await set_up(page)
        for name in ("sofa", "1"):
            await draw_zone(page, ZONE)
            await page.write("#zones li:last-child .name input", name)
        await save(page)
        await page.press("#edit")
        assert await page.value("document.getElementById('setup').hidden")


@awaited
async def test_a_reload_asks_while_zones_are_not_saved(bench: Bench) -> None:
    with bench.daemon("reload"):
        page = await bench.page()
        await set_up(page)
        await draw_zone(page, ZONE)
        await page.do("Page.reload")
        await asyncio.sleep(1)
        await page.do("Page.handleJavaScriptDialog", accept=False)
        assert await page.value(f"{_NAMES}.length") == 1
        await save(page)
        await page.do("Page.reload")
        await page.until("document.getElementById('setup')?.hidden")


_UNCOVERED: Final = """(() => {
  const [row, frame, keep] = [document.querySelector('#zones .selected'), ...['frame', 'keep'].map(id =>
    document.getElementById(id))].map(one => one.getBoundingClientRect());
  return row.top >= frame.bottom && row.bottom <= keep.top;
})()"""


@awaited
async def test_the_row_in_hand_is_in_view(bench: Bench) -> None:
    """On a phone, of a zone that is chosen in the picture, and of a new one."""
    with bench.daemon("row"):
        page = await bench.page()
        await page.show_as(390, 844, phone=True)
        await page.value(_request("set", {"settings": {"zones": _many(8)}}))
        await set_up(page)
        await page.until(f"{_NAMES}.length === 8")
        await page.tap(*await corner_px(page, 0.697, 0.697))
        await page.until("document.querySelector('#zones li:last-child').className === 'selected'")
        found = await page.value(_UNCOVERED)
        assert found is True, found
        await page.screenshot(bench.keep / "zones-row.png", whole=False)
        await press_with_mouse(page, "#add")
        found = await page.value(_UNCOVERED)
        assert found is True, found
        for x, y in [*ZONE, ZONE[0]]:
            await page.tap(*await corner_px(page, x, y))
        assert await page.value(f"{_NAMES}.length") == 9
        found = await page.value(_UNCOVERED)
        assert found is True, found


# A still


@awaited
async def test_zones_are_drawn_on_a_still_where_pictures_are_off(bench: Bench) -> None:
    """Kept while pictures are full, shown while they are off and zones are drawn, and deleted for good."""
    with bench.daemon("still") as daemon:
        page = await bench.page()
        await set_up(page)
        await page.press("#keep-still")
        await page.until("!document.getElementById('delete-still').hidden")
        kept = json.loads(await page.value("localStorage.getItem('posed still hall')"))
        assert kept["jpeg"].startswith("/9j/")  # as JPEGs begin
        settings = yaml.safe_load(daemon.config.read_text(encoding="utf-8"))
        reload(daemon, settings | {"privacy": {"pictures": "off"}})
        await page.until("document.getElementById('canvas').dataset.pictures === 'off'")
        await asyncio.sleep(0.5)
        with_still = await page.value(_COLOURS)
        await page.screenshot(bench.keep / "still.png", whole=False)
        await page.press("#delete-still")
        await asyncio.sleep(0.5)
        assert await page.value(_COLOURS) < with_still / 4
        assert await page.value("localStorage.getItem('posed still hall')") is None
        assert not page.complaints, page.complaints


_COLOURS: Final = """(() => {
  const copy = new OffscreenCanvas(320, 240).getContext('2d', {willReadFrequently: true});
  copy.drawImage(document.getElementById('canvas'), 0, 0, 320, 240);
  const { data } = copy.getImageData(0, 0, 320, 240);
  return new Set(new Uint32Array(data.buffer)).size;
})()"""
"""How many colours are on the canvas: many in a picture."""


@awaited
async def test_a_browser_that_keeps_nothing_says_so(bench: Bench) -> None:
    with bench.daemon("refused"):
        page = await bench.page()
        await set_up(page)
        await page.value("Storage.prototype.setItem = () => { throw new Error('full'); }")
        await page.press("#keep-still")
        said = await page.until("document.querySelector('#still p').textContent.includes('keeps nothing')")
        assert said
        assert await page.value("document.getElementById('delete-still').hidden")


# Settings


async def slide(page: Page, name: str, way: str) -> None:
    """Move a slider to its left or right end, and let go."""
    await page.value(
        f"(field => {{ field.value = field.{way}; field.dispatchEvent(new Event('input'));"
        " field.dispatchEvent(new Event('change')); })"
        f"(document.querySelector('[data-setting=\"{name}\"] input'))"
    )


async def shown(page: Page, name: str) -> str:
    """The value beside a slider."""
    return str(await page.value(f"document.querySelector('[data-setting=\"{name}\"] .value').textContent"))


async def open_settings(bench: Bench) -> Page:
    """The page, with the sliders."""
    page = await bench.page()
    await set_up(page, "settings")
    await page.until("document.querySelectorAll('[data-setting]').length > 10")
    return page


@awaited
async def test_a_slider_reaches_what_the_configuration_allows(bench: Bench) -> None:
    """It is kept for this camera, and one press takes it back."""
    name = "people.fall_confirm_s"
    with bench.daemon("sliders"):
        page = await open_settings(bench)
        assert await shown(page, name) == "10 s"
        for way, wanted in (("max", 300), ("min", 1)):
            await slide(page, name, way)
            await page.until(f"!document.querySelector('[data-setting=\"{name}\"] button').hidden")
            await _until_saved(bench, wanted)
            assert await shown(page, name) == f"{wanted} s"
        await page.screenshot(bench.keep / "settings.png", whole=False)
        await page.press(f'[data-setting="{name}"] button')
        await page.until(f"document.querySelector('[data-setting=\"{name}\"] button').hidden")
        assert await shown(page, name) == "10 s"
        await _until_saved(bench, None)


async def _until_saved(bench: Bench, wanted: float | None) -> None:
    async with asyncio.timeout(5):
        while _own(bench, "sliders", "people", "fall_confirm_s") != wanted:
            await asyncio.sleep(0.1)


@awaited
async def test_the_daemon_takes_both_ends_of_every_slider(bench: Bench) -> None:
    with bench.daemon("ends"):
        page = await open_settings(bench)
        names = await page.value(
            "[...document.querySelectorAll('#settings [type=range]')]"
            ".map(one => one.closest('.setting').dataset.setting)"
        )
        assert len(names) > 5
        for name in names:
            for way in ("min", "max"):
                await slide(page, name, way)
                wanted = await shown(page, name)
                section, _, key = name.partition(".")
                async with asyncio.timeout(5):
                    while (value := _own(bench, "ends", section, key)) is None or _worded(
                        name, value
                    ) != wanted:
                        await asyncio.sleep(0.1)
        problems = "[...document.querySelectorAll('#settings .problem')].map(one => one.textContent).join('')"
        assert await page.value(problems) == ""


def _own(bench: Bench, name: str, section: str, key: str) -> float | None:
    """A setting of the camera in the overlay; None where it is not there yet."""
    overlay = bench.folder / name / "state" / "posed" / "overlay.yaml"
    value: float | None = saved(bench, name).get(section, {}).get(key) if overlay.exists() else None
    return value


def _worded(name: str, value: float) -> str:
    return f"{value:g} s" if name.endswith("_s") else f"{100 * value:g}\u00a0%"


@awaited
async def test_a_slider_that_cannot_be_set_goes_back(bench: Bench) -> None:
    """It says why, beside it."""
    name = "people.lost_after_s"
    with bench.daemon("refuses") as daemon:
        page = await open_settings(bench)
        daemon.stop(signal.SIGTERM, within_s=5)
        await slide(page, name, "max")
        await page.until(f"document.querySelector('[data-setting=\"{name}\"] .problem').textContent")
        assert await shown(page, name) == "2 s"


@awaited
async def test_falls_are_not_turned_off_by_a_slip(bench: Bench) -> None:
    with bench.daemon("slip"):
        page = await open_settings(bench)
        box = "document.getElementById('set-people-falls')"
        await page.value(f"{box}.click()")
        await page.until("document.getElementById('dialog').open")
        assert await page.value(f"{box}.checked")
        await page.press("#dialog button.main")
        await page.until(f"!{box}.checked")
        assert saved(bench, "slip")["people"] == {"falls": False}


@awaited
async def test_a_test_alarm_goes_all_the_way(bench: Bench) -> None:
    """Only after a confirmation, marked as a test, and the page says where to look for it."""
    with (
        Mosquitto(bench.folder) as broker,
        Subscriber(broker.port) as subscriber,
        bench.daemon("alarm", broker_port=broker.port),
    ):
        page = await open_settings(bench)
        await page.press("#try")
        await page.until("document.getElementById('dialog').open")
        assert not _tests(subscriber)
        await page.press("#dialog button.main")
        said = await page.until("document.getElementById('tried').textContent")
        assert said.startswith("Sent at"), said
        async with asyncio.timeout(5):
            while not _tests(subscriber):
                await asyncio.sleep(0.1)
        assert len(_tests(subscriber)) == 1
        assert await page.value("document.getElementById('falls').children.length") == 0


def _tests(subscriber: Subscriber) -> list[dict[str, Any]]:
    """The falls that came, marked as tests."""
    events = [json.loads(payload) for payload in subscriber.payloads("posed/pi/events")]
    return [event for event in events if event["type"] == "fall" and event["detail"].get("test")]


@awaited
async def test_a_camera_is_paused_and_watched_again(bench: Bench) -> None:
    with bench.daemon("pause"):
        page = await bench.page()
        await set_up(page)
        await page.press("#pause")
        await page.press("#dialog button.main")
        await page.until("document.getElementById('pause').textContent === 'Watch again'")
        await page.press("#pause")
        await page.until("document.getElementById('pause').textContent === 'Pause this camera'")


# Mounting


def standing(height_m: float, pitch_deg: float, metres: float, frame: tuple[int, int]) -> dict[str, Any]:
    """Somebody of 1.68 m who stands so far away, as a pinhole camera sees them."""
    width, height = frame
    pitch, focal = math.radians(pitch_deg), _FOCAL * max(width, height)
    heights = {
        "nose": 1.56,
        "shoulder": 1.38,
        "hip": 0.89,
        "knee": 0.48,
        "ankle": 0.065,
    }  # m, by Drillis and Contini
    rows = {
        name: height / 2 + focal * math.tan(math.atan2(height_m - up, metres) - pitch)
        for name, up in heights.items()
    }
    keypoints: dict[str, Any] = {"nose": {"x": width / 2, "y": rows.pop("nose"), "score": 0.9}}
    for name, y in rows.items():
        for side, x in (("left", 6), ("right", -6)):
            keypoints[f"{side}_{name}"] = {"x": width / 2 + x, "y": y, "score": 0.9}
    return {"id": 1, "keypoints": keypoints}


_JUDGED: Final = """(async () => {
  const { agreedHeight, judge, sighting } = await import('./static/mounting.js');
  const [people, frame, pitch] = ARGUMENTS;
  const sightings = people.map(one => sighting(one, frame)).filter(Boolean);
  const camera = {sight: 'ok', pitch_deg: pitch, postures: pitch < 50 ? 'ok' : 'too_steep'};
  return [agreedHeight(sightings, frame, pitch), judge({sightings, frame, camera, luma: 120})];
})()"""


async def judged(
    page: Page, people: Sequence[dict[str, Any]], pitch_deg: float, frame: tuple[int, int] = (640, 480)
) -> tuple[float | None, dict[str, list[str]]]:
    """The height that the page finds, and what it says, of people each of whom is seen often."""
    often = [one for one in people for _ in range(30)]
    arguments = json.dumps([often, {"width": frame[0], "height": frame[1]}, pitch_deg])
    metres, lines = await page.value(_JUDGED.replace("ARGUMENTS", arguments))
    return metres, lines


@awaited
async def test_the_height_is_found_from_people_who_stand(bench: Bench, row: Row) -> None:
    """Of cameras at known heights and pitches, also on their side, and of people near and far."""
    worst = 0.0
    with bench.daemon("height"):
        page = await bench.page()
        for frame in ((640, 480), (480, 640), (1280, 720)):
            for height_m, pitch_deg in ((1.0, 0), (1.4, 0), (2.0, 15), (2.4, 25), (2.9, 30), (3.5, 45)):
                people = [standing(height_m, pitch_deg, metres, frame) for metres in (3, 4, 5, 6)]
                found, lines = await judged(page, people, pitch_deg, frame)
                if found is None:  # nobody fits into the picture
                    assert lines["height"][0] == "wait"
                    continue
                worst = max(worst, abs(found / height_m - 1))
                wanted = "ok" if 1.3 <= height_m <= 2.5 else "mend"
                assert lines["height"][0] == wanted, (frame, height_m, pitch_deg, found)
    row.report(f"the height is found to {worst:.1%}")
    assert 0 < worst < 0.06


@awaited
async def test_the_mounting_help_says_what_to_mend(bench: Bench) -> None:
    """Too small, cut off below or above, or too steep; each by itself."""
    frame = (640, 480)
    with bench.daemon("mend"):
        page = await bench.page()
        good = [standing(2.0, 15, metres, frame) for metres in (3, 4, 5, 6)]
        cases = {
            (): (good, 15),
            ("size",): ([standing(2.0, 5, metres, frame) for metres in (4, 8, 12, 16)], 5),
            ("feet",): ([standing(1.6, -0.0, metres, frame) for metres in (1.5, 1.8, 2.2, 5)], 0),
            ("pitch", "height", "heads"): (
                [standing(2.8, 55, metres, frame) for metres in (3, 3.5, 4, 2)],
                55,
            ),
        }
        for wanted, (people, pitch_deg) in cases.items():
            _, lines = await judged(page, people, pitch_deg, frame)
            mend = {what for what, (how, *_) in lines.items() if how == "mend"}
            assert mend == set(wanted), (wanted, lines)


@awaited
async def test_nothing_is_said_of_mounting_before_enough_is_seen(bench: Bench) -> None:
    with bench.daemon("unknown"):
        page = await bench.page()
        _, lines = await judged(page, [standing(2.0, 15, 3, (640, 480))], 15)
    assert {how for what, (how, *_) in lines.items() if what not in {"light", "pitch"}} == {"wait"}


@awaited
async def test_the_mounting_help_looks_at_what_comes(bench: Bench) -> None:
    """Drawn people walk through the room; a new look begins anew."""
    with bench.daemon("mounting"):
        page = await bench.page()
        await set_up(page, "mounting")
        how = "document.querySelector('#mounting [data-what=\"feet\"]').className"
        await page.until(f"{how} !== 'wait'", 60)
        assert await page.value("document.querySelector('#mounting [data-what=\"light\"]').className") == "ok"
        await page.screenshot(bench.keep / "mounting.png", whole=False)
        await page.press("#look-again")
        assert await page.value(how) == "wait"


# For everybody


@awaited
async def test_axe_finds_nothing_in_any_part(bench: Bench, axe: str) -> None:
    """Zones while they are drawn and refused, settings that were changed, mounting, and what is asked."""
    found: list[str] = []
    with bench.daemon("axe"):
        page = await bench.page()
        await page.value(axe + "; 0")

        async def look(where: str) -> None:
            for scheme in ("light", "dark"):
                await page.show_as(390, 844, scheme=scheme, phone=True)
                found.extend(f"{where}, {scheme}: {one}" for one in await page.value(VIOLATIONS))

        await set_up(page)
        await look("no zones")
        await draw_zone(page, [(0.6, 0.2), (0.9, 0.6), (0.9, 0.2), (0.6, 0.6)])
        await page.press("#save")
        await page.until("document.getElementById('problem').textContent")
        await look("zones")
        await page.press("#discard")
        await page.press("#tab-settings")
        await page.until("document.querySelectorAll('[data-setting]').length > 10")
        await slide(page, "people.lost_after_s", "max")
        await page.until("!document.querySelector('[data-setting=\"people.lost_after_s\"] button').hidden")
        await look("settings")
        await page.press("#try")
        await look("asked")
        await page.press("#dialog button:not(.main)")
        await page.press("#tab-mounting")
        await look("mounting")
    assert not found, "\n".join(found)


_LOW: Final = """[...document.querySelectorAll('#setup :is(button, select, input:not([type=checkbox]))')]
  .filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 44)
  .map(one => one.outerHTML.slice(0, 80))"""


@awaited
async def test_a_finger_hits_everything(bench: Bench) -> None:
    """On a phone all of the set-up is 44 px high or more."""
    with bench.daemon("low"):
        page = await bench.page()
        await page.show_as(320, 640, phone=True)
        await page.value(_request("set", {"settings": {"zones": _many(2)}}))
        await set_up(page)
        for part in ("zones", "settings", "mounting"):
            await page.press(f"#tab-{part}")
            await page.until(f"document.getElementById('part-{part}').textContent.length > 50")
            await asyncio.sleep(1.2)  # settings come with the next state
            assert await page.value(_LOW) == [], part
