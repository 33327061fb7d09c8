"""What is there for Home Assistant to import: the dashboard and the blueprints, without a Home Assistant."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from posed.config import Config
from posed.mqtt.homeassistant import announcements
from scripts.paths import ROOT
from tests.pages import all_blocks, table

FOLDER = ROOT / "config" / "homeassistant"
DASHBOARD = FOLDER / "dashboard.yaml"
BLUEPRINTS = sorted((FOLDER / "blueprints").iterdir())

CORE_CARDS = {"button", "heading", "history-graph", "markdown", "tile"}
"""Cards of Home Assistant's own that are there since 2024.11."""


class Loader(yaml.SafeLoader):
    """Reads `!input NAME` as that."""


Loader.add_constructor("!input", lambda loader, node: Input(loader.construct_scalar(node)))


class Input(str):
    """The name of an input of a blueprint, where it is used."""

    __slots__ = ()


def head_of(path: Path) -> str:
    """A file's first comment, without its marks."""
    lines = path.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def parts(of: Any) -> Iterator[Any]:
    """Everything that is in it, however deep."""
    yield of
    inside = of.values() if isinstance(of, dict) else of if isinstance(of, list) else ()
    for part in inside:
        yield from parts(part)


@pytest.fixture(scope="module")
def dashboard() -> Any:
    return yaml.safe_load(DASHBOARD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cards(dashboard: Any) -> list[Any]:
    return [card for view in dashboard["views"] for section in view["sections"] for card in section["cards"]]


def test_the_dashboard_needs_nothing_but_home_assistant(cards):
    assert {card["type"] for card in cards} <= CORE_CARDS


def test_the_dashboard_names_entities_that_are_announced():
    config = Config(device="pi", cameras={"hall": {"kind": "synthetic"}, "bedroom": {"kind": "synthetic"}})
    announced = announcements(config, "", has_temperature=True).values()
    known = {
        entity["default_entity_id"] for one in announced for entity in one.payload["components"].values()
    }
    named = set(re.findall(r"\b[a-z_]+\.pi_\w+", DASHBOARD.read_text(encoding="utf-8")))
    assert named
    assert named - known == set()


def test_the_first_view_names_no_camera(dashboard):
    assert "pi_" not in yaml.safe_dump(dashboard["views"][0])


def test_what_clears_a_fall_asks_first(cards):
    buttons = [card for card in cards if card.get("entity", "").startswith("button.")]
    assert len(buttons) == 3  # two rooms, and the machine
    assert all(card["tap_action"]["confirmation"]["text"] for card in buttons)


def test_a_fall_is_hidden_unless_there_is_one(cards):
    of_falls = [card for card in cards if re.search(r"fall$", card.get("entity", ""))]
    assert len(of_falls) == 4
    for card in of_falls:
        room = re.sub(r"^\w+\.|(_clear)?_fall$", "", card["entity"])
        shown = {"condition": "state", "entity": f"binary_sensor.{room}_fall", "state": "on"}
        assert card["visibility"] == [shown]


def test_the_dashboards_head_says_what_the_page_says():
    [block] = [one for one in all_blocks() if one.kind == "yaml lovelace"]
    [line] = re.findall(r"^  lovelace:\n(?:  .*\n?)+", head_of(DASHBOARD) + "\n", flags=re.MULTILINE)
    assert yaml.safe_load(line) == yaml.safe_load(block.text)


def test_every_dashboard_has_a_hyphen_in_its_address():
    [block] = [one for one in all_blocks() if one.kind == "yaml lovelace"]
    assert all("-" in path for path in yaml.safe_load(block.text)["lovelace"]["dashboards"])


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_says_how_to_import_it(path):
    head = head_of(path)
    assert "blueprints/automation/posed/" in head
    assert "Import blueprint" in head


def test_apps_are_called_apps_in_all_files():
    files = [file for kind in ("yaml", "md") for file in FOLDER.rglob(f"*.{kind}")]
    assert [file for file in files if "add-on" in file.read_text(encoding="utf-8").lower()] == []


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_uses_every_input_it_has(path):
    blueprint = yaml.load(path.read_text(encoding="utf-8"), Loader)
    used = {str(part) for part in parts(blueprint) if isinstance(part, Input)}
    assert used == set(blueprint["blueprint"]["input"])


def test_who_notifies_is_warned_of_data():
    blueprint = yaml.load((FOLDER / "blueprints/notify_on_a_fall.yaml").read_text(encoding="utf-8"), Loader)
    warned = blueprint["blueprint"]["input"]["for_the_app"]["description"]
    assert "notify.notify" in warned
    assert "`data`" in warned


def notified(*, has_app: bool) -> list[dict[str, Any]]:
    """What goes to the notifier: of a fall, and of its end."""
    environment = Environment()
    environment.filters["timestamp_custom"] = lambda _, shape: shape
    values = {
        "fall": "f",
        "states": {"f": SimpleNamespace(last_changed=0)},
        "state_attr": lambda *_: None,
        "as_timestamp": lambda value: value,
        "place": "pi hall",
        "answer": "a",
        "has_app": has_app,
    }
    blueprint = yaml.load((FOLDER / "blueprints/notify_on_a_fall.yaml").read_text(encoding="utf-8"), Loader)
    templates = [part["data"] for part in parts(blueprint) if isinstance(part, dict) and "data" in part]
    # As Home Assistant reads what a template gives.
    return [ast.literal_eval(environment.from_string(one).render(values).strip()) for one in templates]


def test_a_notifier_without_the_app_gets_no_data():
    fallen, over = notified(has_app=False)
    assert fallen["message"] == "pi hall: somebody lies on the floor, since %H:%M"
    assert (fallen.keys(), over.keys()) == ({"title", "message"}, {"title", "message"})


def test_the_app_gets_a_button_that_is_taken_back():
    fallen, over = notified(has_app=True)
    assert fallen["data"]["actions"][0]["action"] == "a"
    assert fallen["data"]["tag"] == over["data"]["tag"] == "a"


def test_the_page_tells_of_every_blueprint():
    rows = table(ROOT / "docs/homeassistant.md", "Blueprints")
    told = {re.search(r"\[(\w+)\]", row[0])[1] for row in rows}
    assert told == {path.stem for path in BLUEPRINTS}
