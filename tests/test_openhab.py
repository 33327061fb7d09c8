"""The files for openHAB: what can be held against our own messages without an openHAB."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest

from posed.config import Config
from posed.messages.structs import EventMessage, ZoneMessage, encode
from posed.messages.topics import Topics
from scripts.standins.messages import camera_state, event, fall, state

FOLDER = Path(__file__).parent.parent / "config" / "openhab"
TOPICS = Topics.of(Config(device="pi"))
HALL = TOPICS.camera("hall")
THING = re.compile(r"Thing topic (\w+) .*?(?=\n    Thing|\Z)", re.DOTALL)
CHANNEL = re.compile(r"Type (\w+) : (\w+) \"([^\"]+)\" \[(.*?)\]\s*(?=Type|\n\s*\n|\})", re.DOTALL)
SETTING = re.compile(r"(\w+)=(\"(?:[^\"\\]|\\.)*\"|[\w.]+)")


def things() -> dict[str, str]:
    """The text of each thing, by its id."""
    text = re.sub(r"^//.*$", "", (FOLDER / "posed.things").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {thing[1]: thing[0] for thing in THING.finditer(text)}


def channels(thing: str | None = None) -> dict[str, dict[str, str]]:
    """By name, of one thing or of all: the settings, and what kind it is."""
    text = "".join(things().values()) if thing is None else things()[thing]
    assert text.count("Type ") == len(CHANNEL.findall(text))
    return {
        name: {"kind": kind}
        | {key: value.strip('"').replace(r"\"", '"') for key, value in SETTING.findall(settings)}
        for kind, name, _, settings in CHANNEL.findall(text)
    }


def zone(people: int | None) -> ZoneMessage:
    occupied = None if people is None else people > 0
    return ZoneMessage(device="pi", camera="hall", time="", zone="kitchen", occupied=occupied, people=people)


def of_hall(**changes: Any) -> EventMessage:
    return event(device="pi", camera="hall", **changes)


def read(channel: dict[str, str], message: object) -> str:
    """What openHAB makes of a message: JSONPath writes as JSON does, Jinja as its template says."""
    value = json.loads(encode(message))
    language, _, pattern = channel["transformationPattern"].partition(":")
    if language == "JINJA":
        return (
            jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(pattern).render(value_json=value)
        )
    for step in re.findall(r"\['([^']+)'\]|\.(\w+)", pattern):
        value = value["".join(step)]
    return value if isinstance(value, str) else json.dumps(value)


def shown(name: str, message: object) -> str:
    return read(channels()[name], message)


BLIND = {"people": None, "occupied": None, "posture": None}


@pytest.mark.parametrize(
    ("name", "message", "wanted"),
    [
        ("occupancy", camera_state(people=2, occupied=True), "ON"),
        ("occupancy", camera_state(people=0, occupied=False), "OFF"),
        ("occupancy", camera_state(**BLIND), ""),
        ("people", camera_state(people=2), "2"),
        ("people", camera_state(**BLIND), ""),
        ("posture", camera_state(posture="lying"), "lying"),
        ("posture", camera_state(**BLIND), "none"),
        ("kitchen_occupancy", zone(1), "ON"),
        ("kitchen_occupancy", zone(None), ""),
        ("kitchen_people", zone(1), "1"),
        ("kitchen_people", zone(None), ""),
        ("fall", fall(fallen=True), "true"),
        ("event", of_hall(type="fall"), "fall"),
        ("event", event(type="fall", camera="bedroom"), ""),
        ("gesture", of_hall(type="gesture", detail={"gesture": "left_hand_raised"}), "left_hand_raised"),
        ("gesture", of_hall(type="fall", detail={}), ""),
        ("gesture", event(type="gesture", camera="bedroom", detail={"gesture": "left_hand_raised"}), ""),
        ("pause", camera_state(paused=True), "true"),
        ("score_threshold", camera_state(settings={"decode.score_threshold": 0.4}), "0.4"),
        ("status", camera_state(), "ok"),
        ("sight", camera_state(sight="dark"), "dark"),
        ("fps", camera_state(fps=9.5), "9.5"),
        ("inference", state(), "5.9"),
        ("version", state(version="0.1.0"), "0.1.0"),
    ],
)
def test_channels_read_our_messages(name, message, wanted):
    assert shown(name, message) == wanted


def test_what_reads_as_on_is_what_the_channel_takes():
    for channel in channels().values():
        if channel["kind"] == "switch" and channel["transformationPattern"].startswith("JSONPATH"):
            assert (channel["on"], channel["off"]) == ("true", "false")


def test_topics_are_ours():
    of_hall = {HALL.state, HALL.fall, HALL.snapshot, HALL.zone("kitchen"), TOPICS.events}
    for thing, ours in {"pi": {TOPICS.state}, "pi_hall": of_hall}.items():
        assert {one["stateTopic"] for one in channels(thing).values() if "stateTopic" in one} == ours
        assert f'availabilityTopic="{TOPICS.availability}"' in things()[thing]


@pytest.mark.parametrize(
    ("name", "command", "verb", "wanted"),
    [
        ("pause", "true", "pause", {"camera": "hall", "paused": True}),
        (
            "score_threshold",
            "0.4",
            "set",
            {"camera": "hall", "settings": {"decode.score_threshold": 0.4}, "persist": True},
        ),
        ("clear_fall", "ON", "clear_fall", {"camera": "hall"}),
        ("restart", "ON", "restart", {}),
        ("take_snapshot", "ON", "snapshot", {"camera": "hall"}),
    ],
)
def test_commands_are_requests(name, command, verb, wanted):
    channel: dict[str, Any] = channels()[name]
    assert channel["commandTopic"] == TOPICS.request(verb)
    assert json.loads(channel["formatBeforePublish"].replace("%s", command)) == wanted


def test_every_item_has_its_channel():
    items = (FOLDER / "posed.items").read_text(encoding="utf-8")
    for thing in things():
        linked = re.findall(rf'channel="mqtt:topic:posed:{thing}:(\w+)"', items)
        states = {name for name, one in channels(thing).items() if one["kind"] != "trigger"}
        assert sorted(linked) == sorted(states)
