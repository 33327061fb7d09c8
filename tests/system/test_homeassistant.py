"""Looks at the daemon as a real Home Assistant sees it, over its own API.

mosquitto, the daemon with drawn people, and a Home Assistant in a chroot are started, each of them restarted
in turn, and steered from Home Assistant's side. What an entity should show is worked out from the daemon's
own messages. The tests follow one another in one house: one alone does not find what those before it left.
"""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest
import yaml

from posed import __version__
from posed.config import WebConfig, page_url
from scripts.paths import ROOT
from tests.brokers import Mosquitto, Subscriber, free_port
from tests.former import RETAINED, leave_announced, leave_spool
from tests.pages import all_blocks
from tests.run_posed import Daemon, posed
from tests.system.browser import Browser, Page
from tests.system.conftest import Row
from tests.system.debian import need_chroots
from tests.system.homeassistant import LAST_OF_PYTHON_3_13, NEWEST, HomeAssistant, make_chroot
from tests.system.house import (
    BEDROOM,
    CONFIGURATION,
    ENTITIES,
    PATIENCE_S,
    POLL_S,
    SETTINGS,
    House,
    camera,
    while_seen,
)
from tests.system.needs import locked, need_debian

pytestmark = pytest.mark.usefixtures("row")

OURS: Final = ROOT / "config" / "homeassistant"
BLUEPRINTS: Final = {path.name: path.read_text(encoding="utf-8") for path in (OURS / "blueprints").iterdir()}
DASHBOARD: Final = (OURS / "dashboard.yaml").read_text(encoding="utf-8")
[AS_A_FILE] = [block.text for block in all_blocks() if block.kind == "yaml lovelace"]
"""What the documentation says to add to configuration.yaml for the dashboard."""

PICKY: Final = """
import json
import voluptuous as vol
from homeassistant.components import persistent_notification
from homeassistant.components.notify import BaseNotificationService

async def async_get_service(hass, config, discovery_info=None):
    return Service(config.get("name", "notify"))

class Service(BaseNotificationService):
    def __init__(self, name):
        self.name = name

    async def async_send_message(self, message="", **more):
        if more.get("data") and self.name == "notify":
            raise vol.Invalid("extra keys not allowed @ data['tag']")
        said = json.dumps({"message": message, "data": more.get("data")})
        persistent_notification.async_create(self.hass, said, f"{self.name}: {more['title']}")
"""
"""A notifier: as `notify.notify` it takes no `data`, as Signal's does not, else it tells what it got."""

MORE: Final = (
    AS_A_FILE
    + """
frontend:
history:
notify picky:
  - platform: picky
  - {platform: picky, name: mobile_app_phone}
automation more:
  - id: picky
    alias: picky
    use_blueprint:
      path: posed/notify_on_a_fall.yaml
      input: {fall: binary_sensor.pi_hall_fall, clear: button.pi_hall_clear_fall, notifier: notify.notify}
  - id: phone
    alias: phone
    use_blueprint:
      path: posed/notify_on_a_fall.yaml
      input: {fall: binary_sensor.pi_hall_fall, clear: button.pi_hall_clear_fall,
              notifier: notify.mobile_app_phone}
"""
)

FILES: Final = {
    "dashboards/posed.yaml": DASHBOARD,
    **{f"blueprints/automation/posed/{name}": text for name, text in BLUEPRINTS.items()},
    "custom_components/picky/manifest.json": json.dumps(
        {"domain": "picky", "name": "Picky", "version": "1.0.0", "codeowners": [], "documentation": ""}
    ),
    "custom_components/picky/__init__.py": "",
    "custom_components/picky/notify.py": PICKY,
}

TEXT: Final = """
(function text(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data;
  if (node.nodeType === Node.ELEMENT_NODE
      && (["STYLE", "SCRIPT"].includes(node.tagName) || getComputedStyle(node).display === "none")) return "";
  return [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(text).join(" ");
})(document.body)
"""
"""All that a page shows, that of Home Assistant's elements too."""


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """A line for each test in each release, which the first test tells."""
    return Row(request.node.originalname.removeprefix("test_").replace("_", " "))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(NEWEST, id=NEWEST.version, marks=pytest.mark.system),
        pytest.param(LAST_OF_PYTHON_3_13, id=LAST_OF_PYTHON_3_13.version, marks=pytest.mark.release),
    ],
)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Everything but Home Assistant runs, which the first test starts."""
    need_chroots()
    need_debian("mosquitto", "mosquitto")
    folder = tmp_path_factory.mktemp("house")
    with locked("homeassistant"):
        home = HomeAssistant(make_chroot(request.param), free_port(), CONFIGURATION + MORE, FILES)
        with Mosquitto(folder) as broker, home, Subscriber(broker.port) as watcher:
            # Poses are not for Home Assistant.
            mqtt = {"host": "127.0.0.1", "port": broker.port, "poses": {"publish": "off"}}
            web = {"enabled": True, "host": "0.0.0.0", "port": free_port(), "token": "a-token-of-this-check"}
            settings = SETTINGS | {"mqtt": mqtt, "web": web}
            with Daemon(folder, settings) as daemon:
                yield House(folder, broker, watcher, daemon, home, settings)


def test_home_assistant_starts_and_takes_mqtt(house: House, row: Row) -> None:
    house.home.start()
    house.home.onboard()
    house.home.add_mqtt(house.broker.port)
    row.report(house.home.call("GET", "/api/config")["version"])


def test_every_entity_is_there(house: House, row: Row) -> None:
    house.wait(lambda: not house.missing(), "missing: {}", house.missing)
    entries = house.registered()
    more = entries.keys() - ENTITIES.keys()
    assert not more, f"not expected: {sorted(more)}"
    row.report(f"{len(entries)}")


def test_each_camera_is_a_device_linked_to_the_machine(house: House, row: Row) -> None:
    devices, entries = house.devices(), house.registered()
    names = {devices[name]["id"]: name for name in ("pi", "pi hall", "pi bedroom")}
    for entity, entry in entries.items():
        room = next((room for room in ("hall", "bedroom") if f".pi_{room}_" in entity), None)
        assert names[entry["device_id"]] == (f"pi {room}" if room else "pi"), f"{entity} is of another device"
        assert entry["unique_id"].startswith(f"posed/pi/{room}/" if room else "posed/pi/"), entry["unique_id"]
    assert devices["pi"]["via_device_id"] is None
    for name in ("pi hall", "pi bedroom"):
        assert devices[name]["via_device_id"] == devices["pi"]["id"], f"{name} is not linked to the machine"
    row.report(", ".join(names.values()))


def test_names_classes_units_and_categories(house: House, row: Row) -> None:
    devices, entries = house.devices(), house.registered()
    device = devices["pi"]
    assert (device["manufacturer"], device["sw_version"]) == ("posed", __version__), device
    states, names = house.home.states(), {one["id"]: name for name, one in devices.items()}
    for entity in ENTITIES:
        name, shown = entries[entity]["original_name"], states[entity]["attributes"]["friendly_name"]
        assert name, f"{entity} has no name"
        assert shown == f"{names[entries[entity]['device_id']]} {name}", f"{entity} is called {shown}"
    for entity, wanted in {
        "binary_sensor.pi_hall_occupancy": {"device_class": "occupancy"},
        "binary_sensor.pi_hall_fall": {"device_class": "safety"},
        "sensor.pi_hall_people": {"state_class": "measurement"},
        "sensor.pi_hall_latency": {"device_class": "duration", "unit_of_measurement": "ms"},
        "sensor.pi_uptime": {"device_class": "duration", "unit_of_measurement": "s"},
        "button.pi_restart": {"device_class": "restart"},
        "number.pi_hall_score_threshold": {"min": 0.01, "max": 0.99},
    }.items():
        has = {name: states[entity]["attributes"].get(name) for name in wanted}
        assert has == wanted, f"{entity} has {has}, not {wanted}"
    for entity, category in {
        "sensor.pi_hall_people": None,
        "switch.pi_hall_pause": None,
        "number.pi_hall_score_threshold": "config",
        "select.pi_log_level": "config",
        "sensor.pi_hall_fps": "diagnostic",
        "sensor.pi_version": "diagnostic",
    }.items():
        has = entries[entity]["entity_category"]
        assert has == category, f"{entity} is of category {has}, not {category}"
    row.report(f"{device['manufacturer']} {device['model']}")


def test_figures_are_hidden_where_they_can_be(house: House, row: Row) -> None:
    """By 2026.7 and later; what hides them breaks no older one."""
    version = house.home.call("GET", "/api/config")["version"]
    can = tuple(map(int, version.split(".")[:2])) >= (2026, 7)
    figures = {
        *("sensor.pi_inference", "sensor.pi_uptime", "sensor.pi_version"),
        *(
            f"sensor.pi_{room}_{key}"
            for room in ("hall", "bedroom")
            for key in ("latency", "fps", "dropped_frames")
        ),
    }
    hidden = {
        entity: entry["hidden_by"] for entity, entry in house.registered().items() if entry["hidden_by"]
    }
    assert hidden == (dict.fromkeys(figures, "integration") if can else {}), hidden
    row.report(f"{len(hidden)}")


def test_devices_know_room_model_and_page(house: House, row: Row) -> None:
    areas = {one["area_id"]: one["name"] for one in house.home.ask("config/area_registry/list")}
    page = page_url(WebConfig(**house.settings["web"]))
    assert page is not None
    for name, wanted in {
        "pi": (None, "drawings-257x353-32", None, page),
        "pi hall": ("Hall", "camera", "synthetic", f"{page}hall"),
        # Home Assistant itself begins with a room of that name.
        "pi bedroom": ("Bedroom", "camera", "synthetic", f"{page}bedroom"),
    }.items():
        one = house.devices()[name]
        has = (areas.get(one["area_id"]), one["model"], one["model_id"], one["configuration_url"])
        assert has == wanted, f"{name} has {has}, not {wanted}"
    assert len(areas.values()) == len(set(areas.values())), f"a room is there twice: {areas}"
    row.report(f"{page}, areas {', '.join(sorted(areas.values()))}")


def test_every_value_is_right(house: House, row: Row) -> None:
    house.wait(lambda: not house.wrong(), "wrong: {}", house.wrong)
    states = house.home.states()
    row.report(
        ", ".join(f"{entity.partition('pi_')[2]} {states[entity]['state']}" for entity in list(ENTITIES)[:4])
    )


people_in_the_hall = while_seen("hall/state", "people")


def test_values_follow(house: House, row: Row) -> None:
    """Until the number of people has changed three times; each has to be seen."""
    changes, slowest_s = 0, 0.0
    people = house.reported()["hall/state"]["people"]
    give_up_at = time.monotonic() + 2 * PATIENCE_S
    while changes < 3:
        assert time.monotonic() < give_up_at, f"the number of people changed {changes} times only"
        now = house.reported()["hall/state"]["people"]
        if now == people:
            time.sleep(POLL_S)
            continue
        changes, people, began_at = changes + 1, now, time.monotonic()
        house.wait(
            lambda: house.shows("sensor.pi_hall_people") == people_in_the_hall(house.reported()),
            "the number of people does not follow",
        )
        slowest_s = max(slowest_s, time.monotonic() - began_at)
    row.report(f"3 changes of people, seen within {slowest_s:.2f} s")


def test_automations_are_loaded(house: House, row: Row) -> None:
    states = house.home.states()
    found = {one: state["state"] for one, state in states.items() if one.startswith("automation.")}
    wanted = {f"automation.{one}": "on" for one in ("hand", "fall", "heating", "picky", "phone")}
    assert found == wanted, found
    row.report(", ".join(found))


def test_a_blueprint_is_imported_without_a_restart(house: House, row: Row) -> None:
    """As its head says: copied, or by an address."""
    name = "notify_on_a_fall.yaml"
    house.home.put(f"blueprints/automation/later/{name}", BLUEPRINTS[name])
    known = house.home.ask("blueprint/list", domain="automation")
    title = "posed: notify on a fall"
    assert known[f"later/{name}"]["metadata"]["name"] == title
    here = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(OURS / "blueprints"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), here) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{name}"
        found = house.home.ask("blueprint/import", url=address)
        server.shutdown()
    assert (found["blueprint"]["metadata"]["name"], found["validation_errors"]) == (title, None), found
    row.report("copied, and by an address")


PASTED: Final = "posed-pasted"
AS_FILE: Final = "posed-home"


def test_the_dashboard_is_imported_both_ways(house: House, row: Row) -> None:
    wanted = yaml.safe_load(DASHBOARD)
    house.home.ask("lovelace/dashboards/create", url_path=PASTED, title="posed", mode="storage")
    house.home.ask("lovelace/config/save", url_path=PASTED, config=wanted)
    for path in (PASTED, AS_FILE):
        assert house.home.ask("lovelace/config", url_path=path) == wanted, path
    row.report("pasted, and as a file")


def test_the_dashboard_names_only_what_is_there(house: House, row: Row) -> None:
    named = set(re.findall(r"\b[a-z_]+\.pi_\w+", DASHBOARD))
    # An Edge TPU of PCIe has a temperature; the card is hidden for others.
    missing = named - house.home.states().keys() - {"sensor.pi_temperature"}
    assert not missing, f"not there: {sorted(missing)}"
    row.report(f"{len(named)} entities")


def cards(house: House) -> dict[str, str]:
    """What the cards of the view that works for everybody say, each by what it is for."""
    [now, _] = yaml.safe_load(DASHBOARD)["views"]
    templates = [card["content"] for section in now["sections"] for card in section["cards"]]
    names = ("falls", "blind", "people", "machines")
    return {name: house.home.render(one) for name, one in zip(names, templates, strict=True)}


def test_the_dashboard_finds_every_camera_by_itself(house: House, row: Row) -> None:
    number = {"0": "nobody", "1": "one person"}

    def tells() -> bool:
        count = house.shows("sensor.pi_hall_people")
        words = number.get(count, f"{count} people")
        return count.isdigit() and f"**pi hall**: {words}" in cards(house)["people"]

    house.wait(tells, "it does not say who is in the hall: {}", lambda: cards(house))
    shown = cards(house)
    assert "**pi bedroom**: " in shown["people"], shown["people"]
    assert shown["machines"].startswith("**pi**: cpu"), shown["machines"]
    assert (shown["falls"], shown["blind"]) == ("", ""), "it complains while all is well"
    row.report("; ".join(shown["people"].split("**")[1::2]))


def test_the_dashboard_has_a_line_for_each_zone(house: House) -> None:
    [_, rooms] = yaml.safe_load(DASHBOARD)["views"]
    [hall, bedroom] = [
        card["content"]
        for section in rooms["sections"]
        for card in section["cards"]
        if card["type"] == "markdown"
    ]
    shape = r"In its zones: left \d+"
    house.wait(lambda: re.fullmatch(shape, house.home.render(hall)), "it does not tell of the zone")
    assert house.home.render(bedroom) == "", "it tells of a zone where there is none"


def test_a_raised_hand_switches_the_light(house: House) -> None:
    assert house.shows("light.check") == "off"
    # Between the names of two events of which each is one, the first may be the last's.
    house.happen("left_hand_raised")
    house.wait_for("event.pi_hall_event", "event_type", "left_hand_raised")
    assert house.shows("light.check") == "off", "another gesture than the wanted one switched the light"
    house.happen("both_hands_raised", "bedroom")
    house.wait_for("event.pi_bedroom_event", "event_type", "both_hands_raised")
    assert house.attribute("event.pi_hall_event", "event_type") == "left_hand_raised"
    assert house.shows("light.check") == "off", "a gesture in another room switched the light"
    house.happen("both_hands_raised")
    house.wait(lambda: house.shows("light.check") == "on", "the light stays off")


def test_the_heating_follows_occupancy(house: House, row: Row) -> None:
    seen = set()
    give_up_at = time.monotonic() + 2 * PATIENCE_S
    while seen != {"on", "off"}:
        assert time.monotonic() < give_up_at, f"occupancy was only ever {seen}"
        state = house.shows("binary_sensor.pi_hall_occupancy")
        if state not in {"on", "off"} - seen:
            time.sleep(POLL_S)
            # Nobody wants to wait until the drawn room happens to be empty.
            if seen == {"on"}:
                house.say_empty()
            continue
        wanted = {"on": 21, "off": 17}[state]
        if house.home_temperature() == wanted:
            seen.add(state)
    row.report("21 °C with somebody there, 17 °C without")


def test_a_number_works(house: House, row: Row) -> None:
    number_of = "number.pi_hall_score_threshold"
    house.home.service("number.set_value", entity_id=number_of, value=0.31)
    house.wait(lambda: threshold(house, "hall/state") == 0.31, "the daemon does not take it")
    house.wait(lambda: house.shows(number_of) == "0.31", "Home Assistant does not show it")
    assert threshold(house, "bedroom/state") == threshold(house, "state") == 0.25
    row.report("score threshold 0.31, of the hall alone")


def threshold(house: House, topic: str) -> float:
    """From which score on somebody is somebody, by the last message of a topic."""
    return float(house.setting("decode.score_threshold", topic))


def test_a_select_works(house: House, row: Row) -> None:
    house.home.service("select.select_option", entity_id="select.pi_log_level", option="warning")
    house.wait(lambda: house.setting("log.level") == "warning", "the daemon does not take it")
    house.wait(lambda: house.shows("select.pi_log_level") == "warning", "Home Assistant does not show it")
    house.home.service("select.select_option", entity_id="select.pi_log_level", option="info")
    house.wait(lambda: house.shows("select.pi_log_level") == "info", "it does not return")
    row.report("log level warning, and info again")


def test_the_switch_pauses_and_resumes(house: House, row: Row) -> None:
    house.home.service("switch.turn_on", entity_id="switch.pi_hall_pause")
    house.wait(lambda: house.reported()["hall/state"]["paused"], "the daemon does not pause")
    house.wait(lambda: house.shows("switch.pi_hall_pause") == "on", "the switch does not show it")
    house.wait(lambda: house.shows("sensor.pi_hall_people") == "unavailable", "people are still shown")
    house.wait(lambda: house.shows("sensor.pi_hall_status") == "paused", "the camera is not shown as paused")
    assert house.shows("binary_sensor.pi_hall_fall") != "unavailable", (
        "a pause hides that somebody has fallen"
    )
    assert house.shows("switch.pi_bedroom_pause") == "off", "the other camera is paused, too"
    house.wait(lambda: "pi hall is not watched" in cards(house)["blind"], "the dashboard does not tell")
    assert "**pi hall**: not known" in cards(house)["people"], "the hall seems empty"
    house.home.service("switch.turn_off", entity_id="switch.pi_hall_pause")
    house.wait(lambda: house.shows("switch.pi_hall_pause") == "off", "the daemon does not resume")
    house.wait(lambda: house.shows("sensor.pi_hall_people").isdigit(), "people are not shown again")
    row.report("meanwhile people are unavailable, and a fall is not")


def test_a_snapshot_comes(house: House, row: Row) -> None:
    before = house.shows("image.pi_hall_snapshot")
    house.home.service("button.press", entity_id="button.pi_hall_take_snapshot")
    house.wait(lambda: house.shows("image.pi_hall_snapshot") != before, "the image does not change")
    shown = house.home.picture("/api/image_proxy/image.pi_hall_snapshot")
    image = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, "what comes is no picture"
    height, width, _ = image.shape
    row.report(f"JPEG of {width}×{height}")


def test_a_test_event_is_sent(house: House, row: Row) -> None:
    house.home.service("button.press", entity_id="button.pi_hall_test_event")
    house.wait(lambda: house.attribute("event.pi_hall_event", "test") is True, "no event comes")
    kind = house.attribute("event.pi_hall_event", "event_type")
    assert house.shows("binary_sensor.pi_hall_fall") == "off", "a test counts as a fall"
    assert not house.attribute("event.pi_bedroom_event", "test"), "it is an event of the other room, too"
    row.report(f"event {kind}, and nobody has fallen")


def test_the_restart_button_works(house: House, row: Row) -> None:
    run = house.reported()["state"]["run"]
    house.home.service("button.press", entity_id="button.pi_restart")

    def begun() -> bool:
        assert house.daemon.process is not None
        if house.daemon.process.poll() is not None:  # what runs it starts it again, and here that is us
            house.daemon.start()
        return bool(house.reported()["state"]["run"] != run)

    house.wait(begun, "it has not started again")
    house.all_right()
    kept = threshold(house, "hall/state")
    assert kept == 0.31, f"the number that was set is {kept} now"
    row.report("and the number that was set is kept")


def test_the_killed_daemon_is_unavailable(house: House, row: Row) -> None:
    began_at = time.monotonic()
    house.daemon.stop(signal.SIGKILL)

    def left() -> list[str]:
        states = house.home.states()
        return [entity for entity in ENTITIES if states[entity]["state"] != "unavailable"]

    house.wait(lambda: not left(), "still available: {}", left)
    blind = cards(house)["blind"]
    assert all(f"{room} is not watched" in blind for room in ("pi hall", "pi bedroom")), blind
    row.report(f"all {len(ENTITIES)}, within {time.monotonic() - began_at:.1f} s")


def test_a_fall_is_told_with_its_room(house: House, row: Row) -> None:
    """Of a fall that was the last thing the daemon wrote before it died."""
    house.leave_a_fall()
    house.daemon.start()
    house.all_right()
    house.wait(lambda: house.shows("binary_sensor.pi_hall_fall") == "on", "the fall does not show")
    assert house.shows("binary_sensor.pi_bedroom_fall") == "off", "it is said of the other room, too"
    house.wait(lambda: house.notified("Somebody has fallen"), "no notification")
    told = house.notified("Somebody has fallen") or ""
    assert told.startswith("pi hall: "), f"it does not say in which room: {told}"
    row.report(f"“{told}”")


def test_only_phones_get_data_with_a_fall(house: House, row: Row) -> None:
    def told(who: str) -> Any:
        return json.loads(house.notified(f"{who}: Somebody has fallen") or "null")

    house.wait(lambda: told("notify"), "who takes no data is told nothing")
    house.wait(lambda: told("mobile_app_phone"), "the phone is told nothing")
    assert told("notify")["data"] is None
    [button] = told("mobile_app_phone")["data"]["actions"]
    assert button == {"action": ANSWER, "title": "I am looking after it"}
    row.report("a button for the phone, and the bare words for what takes no data")


ANSWER: Final = "posed_clear_binary_sensor_pi_hall_fall"
"""What the button of the notification says."""


def test_a_fall_stands_out_on_the_dashboard(house: House, row: Row) -> None:
    shown = cards(house)["falls"]
    assert "pi hall: somebody lies on the floor" in shown, shown
    assert re.search(r"Since \w+day, \d\d:\d\d, for \d+ \w+", shown), shown
    assert "more-info-entity-id=button.pi_hall_clear_fall" in shown, shown
    assert "bedroom" not in shown, shown
    row.report(" ".join(re.sub("<[^>]*>", " ", shown).split()))


async def logged_in(home: HomeAssistant, browser: Browser) -> Page:
    """A tab that Home Assistant knows."""
    page = await browser.page()
    await page.open(f"{home.url}/robots.txt")
    await page.value(f"localStorage.setItem('hassTokens', {json.dumps(home.browser_tokens())})")
    return page


async def look(
    home: HomeAssistant, browser: Browser, keep: Path, paths: dict[str, str], size: tuple[int, int]
) -> None:
    """Look at views until each shows a text, and keep what they look like."""
    page = await logged_in(home, browser)
    await page.show_as(*size, phone=size[0] < 600)
    for path, text in paths.items():
        await page.open(f"{home.url}/{path}")
        await page.until(f"{TEXT}.includes({json.dumps(text)})", timeout_s=60)
        await page.screenshot(keep / f"{path.replace('/', '_')}_{size[0]}.png", whole=False)
        shown = await page.value(TEXT)
        assert not re.search("Entity not found|Configuration error|Error", shown), shown


def test_a_browser_shows_the_fall_on_both_views(
    house: House, runner: asyncio.Runner, browser: Browser, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    keep = request.config.getoption("keep") or tmp_path
    keep.mkdir(exist_ok=True)
    views = {
        f"{AS_FILE}/now": "pi hall: somebody lies on the floor",
        f"{AS_FILE}/rooms": "I am looking after it",
        f"{PASTED}/now": "pi hall: somebody lies on the floor",
        f"config/devices/device/{house.devices()['pi hall']['id']}": "Visit",
    }
    for size in ((390, 844), (1280, 800)):
        runner.run(look(house.home, browser, keep, views, size))


def test_a_fall_is_cleared_by_the_answer(house: House, row: Row) -> None:
    house.home.call("POST", "/api/events/mobile_app_notification_action", {"action": ANSWER})
    house.wait(lambda: house.shows("binary_sensor.pi_hall_fall") == "off", "it is not cleared")
    house.wait(lambda: house.notified("The fall is over"), "no second notification")
    assert house.notified("The fall is over") == "pi hall"
    for who in ("notify", "mobile_app_phone"):
        house.wait(functools.partial(house.notified, f"{who}: The fall is over"), f"{who} is not told")
    assert cards(house)["falls"] == "", "the dashboard still shows it"
    row.report("cleared by the notification's button")


def test_all_returns_after_the_broker(house: House, row: Row) -> None:
    house.broker.stop()
    house.wait(lambda: house.shows("sensor.pi_hall_people") == "unavailable", "nobody notices")
    del house.watcher.messages[:]
    house.broker.start()
    began_at = time.monotonic()
    house.all_right()
    row.report(f"within {time.monotonic() - began_at:.0f} s, from a broker without memory")


def test_all_returns_after_home_assistant(house: House, row: Row) -> None:
    house.home.stop()
    house.home.start()
    began_at = time.monotonic()
    house.all_right()
    row.report(f"within {time.monotonic() - began_at:.0f} s of its start")


def test_a_zone_less_is_entities_less(house: House, row: Row) -> None:
    zone = {entity for entity in ENTITIES if "zone_left" in entity}
    hall = {name: value for name, value in house.settings["cameras"]["hall"].items() if name != "zones"}
    with house.configured(house.settings | {"cameras": house.settings["cameras"] | {"hall": hall}}):
        house.wait(lambda: not zone & house.home.states().keys(), "they are still there")
        assert not zone & house.registered().keys(), "they are still in the registry"
    house.all_right()
    row.report("and back again")


def test_a_camera_less_is_entities_less_and_others_stay(house: House, row: Row) -> None:
    """By a reload; nothing is sent that would make the others' entities flicker."""
    house.wait(lambda: house.reported()["hall/state"]["people"] is not None, "nothing is seen of the hall")
    house.all_right()
    others, before = ENTITIES.keys() - BEDROOM.keys(), len(house.watcher.messages)
    device = house.devices()["pi bedroom"]["id"]
    house.reload(house.settings | {"cameras": {"hall": house.settings["cameras"]["hall"]}})
    house.wait(lambda: stays(house, others) and not BEDROOM.keys() & house.home.states().keys(), "it stays")
    house.wait(lambda: not BEDROOM.keys() & house.registered().keys(), "it is still in the registry")
    assert device not in {one["id"] for one in house.devices().values()}, "its device is still there"
    sent = house.watcher.messages[before:]
    emptied = {message.topic for message in sent if not message.payload}
    assert emptied == {
        *("homeassistant/device/posed_pi/bedroom/config", "posed/pi/bedroom/state", "posed/pi/bedroom/fall")
    }
    announced = {message.topic for message in sent if message.topic.startswith("homeassistant/")}
    assert announced <= emptied, f"announced again: {announced - emptied}"
    before = len(house.watcher.messages)
    house.reload(house.settings)
    house.wait(lambda: stays(house, others) and not house.missing(), "it does not come back")
    house.all_right()
    sent = house.watcher.messages[before:]
    announced = {message.topic for message in sent if message.topic.startswith("homeassistant/")}
    assert announced == {"homeassistant/device/posed_pi/bedroom/config"}
    row.report(f"{len(BEDROOM)} entities, and back again; the other {len(others)} were there all the time")


def stays(house: House, entities: Iterable[str]) -> bool:
    """Whether entities are there; what nobody can see now is unavailable."""
    states = house.home.states()
    gone = [entity for entity in entities if entity not in states]
    away = [entity for entity in entities if entity not in gone and states[entity]["state"] == "unavailable"]
    assert not gone, f"gone: {gone}"
    assert all(house.blind(entity) for entity in away), f"unavailable: {away}"
    return True


def test_entities_move_to_components_and_back(house: House, row: Row) -> None:
    named = {"sensor.pi_hall_people": "Guests", "sensor.pi_engine": "Motor"}
    for entity, name in named.items():
        house.home.ask("config/entity_registry/update", entity_id=entity, name=name)
    components = ("sensor/posed_pi/hall-people/config", "sensor/posed_pi/engine/config")
    devices = ("device/posed_pi/config", "device/posed_pi/hall/config", "device/posed_pi/bedroom/config")
    with house.configured(house.settings | {"homeassistant": {"discovery": "components"}}):
        house.wait(lambda: all(map(house.announced, components)), "it is not announced so")
        house.wait(lambda: not any(map(house.announced, devices)), "an old message stays")
        house.all_right()
        assert {entity: house.name_of(entity) for entity in named} == named, "an entity's own name is lost"
    house.wait(lambda: all(map(house.announced, devices)), "it is not announced as devices")
    house.wait(lambda: not any(map(house.announced, components)), "an old message stays")
    house.all_right()
    assert {entity: house.name_of(entity) for entity in named} == named, "a name is lost on the way back"
    row.report("entities keep the names that their owner gave them")


def test_an_upgrade_from_schema_1_leaves_no_orphan(house: House, row: Row, tmp_path: Path) -> None:
    """Of another device, of which the broker keeps what the old version said."""
    for topic, payload in RETAINED.items():
        house.watcher.publish(topic, payload, retain=True)
    house.wait(lambda: "sensor.hall_people" in house.registered(), "the old entities do not come")
    old = {entity for entity, one in house.registered().items() if one["unique_id"].startswith("posed_hall_")}
    state = tmp_path / "state" / "posed"
    leave_announced(state / "announced.json")
    leave_spool(state / "spool.sqlite")
    with Daemon(tmp_path, house.settings | {"device": "hall", "cameras": {"door": camera()}}) as daemon:
        house.wait(lambda: "sensor.hall_door_people" in house.registered(), "the new entities do not come")
        house.wait(lambda: house.shows("binary_sensor.hall_door_fall") == "on", "its fall is lost")
        now = house.registered()
        orphans = sorted(entity for entity, one in now.items() if one["unique_id"].startswith("posed_hall_"))
        assert not orphans, f"old entities are left: {orphans}"
        assert {name for name in house.devices() if "hall" in name} == {"hall", "hall door", "pi hall"}
        assert now["sensor.hall_engine"]["unique_id"] == "posed/hall/engine", "its id was not free"
        daemon.stop(within_s=PATIENCE_S)
        done = posed(tmp_path, "mqtt", "forget", "--config", daemon.config, timeout_s=PATIENCE_S)
        assert done.returncode == 0, done.stderr + done.stdout
    left = [topic for topic in kept(house) if "posed_hall" in topic or topic.startswith("posed/hall/")]
    assert not left, f"the broker still keeps {left}"
    row.report(
        f"{len(old)} entities went, those of a machine and a camera came; its open fall is the camera's"
    )


def test_forgotten_is_gone(house: House, row: Row) -> None:
    house.daemon.stop(within_s=PATIENCE_S)
    done = posed(house.folder, "mqtt", "forget", "--config", house.daemon.config, timeout_s=PATIENCE_S)
    assert done.returncode == 0, done.stderr + done.stdout
    house.wait(lambda: not ENTITIES.keys() & house.home.states().keys(), "entities are still there")
    left = [name for name in house.devices() if name.startswith("pi")]
    assert not left, f"devices are still there: {left}"
    assert not kept(house), f"the broker still keeps {kept(house)}"
    row.report("entities, the devices, and all that the broker kept")


def kept(house: House) -> list[str]:
    """The topics of which the broker keeps a message of posed's."""
    with Subscriber(house.broker.port) as late:
        late.publish("the/end", b"")
        late.wait_for("the/end", b"")
        return [message.topic for message in late.messages if message.retain and "pos" in message.topic]


def test_nothing_to_complain_of(house: House, row: Row) -> None:
    lines = [
        line
        for line in house.home.log().splitlines()
        if re.search(r"WARNING|ERROR", line)
        and re.search(r"mqtt|posed|hall|bedroom|automation|blueprint", line)
    ]
    # We stopped the broker; and the entities had moved before the device was emptied.
    ours = re.compile(
        r"connection was lost|Failed to connect|failed to receive on socket|No device components to cleanup"
    )
    lines = [line for line in lines if not ours.search(line)]
    assert not lines, "\n" + "\n".join(lines)
    row.report("no warning of Home Assistant about MQTT, blueprints or automations")
