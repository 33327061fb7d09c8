"""The files for openHAB: what can be held against our own messages without an openHAB."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest

from posed.config import Config
from posed.messages.structs import ZoneMessage, encode
from posed.messages.topics import Topics
from scripts.standins.messages import event, state
from tests.test_messages_structs import fall

FOLDER = Path(__file__).parent.parent / "config" / "openhab"
TOPICS = Topics.of(Config(device="hall"))
CHANNEL = re.compile(r"Type (\w+) : (\w+) \"([^\"]+)\" \[(.*?)\]\s*(?=Type|\n\s*\n|\})", re.DOTALL)
SETTING = re.compile(r"(\w+)=(\"(?:[^\"\\]|\\.)*\"|[\w.]+)")


def channels() -> dict[str, dict[str, str]]:
    """By name: the settings, and what kind it is."""
    text = re.sub(r"^//.*$", "", (FOLDER / "posed.things").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert text.count("Type ") == len(CHANNEL.findall(text))
    return {
        name: {"kind": kind}
        | {key: value.strip('"').replace(r"\"", '"') for key, value in SETTING.findall(settings)}
        for kind, name, _, settings in CHANNEL.findall(text)
    }


def zone(people: int | None) -> ZoneMessage:
    occupied = None if people is None else people > 0
    return ZoneMessage(device="hall", time="", zone="kitchen", occupied=occupied, people=people)


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
        ("occupancy", state(people=2, occupied=True), "ON"),
        ("occupancy", state(people=0, occupied=False), "OFF"),
        ("occupancy", state(**BLIND), ""),
        ("people", state(people=2), "2"),
        ("people", state(**BLIND), ""),
        ("posture", state(posture="lying"), "lying"),
        ("posture", state(**BLIND), "none"),
        ("kitchen_occupancy", zone(1), "ON"),
        ("kitchen_occupancy", zone(None), ""),
        ("kitchen_people", zone(1), "1"),
        ("kitchen_people", zone(None), ""),
        ("fall", fall(fallen=True), "true"),
        ("event", event(type="fall"), "fall"),
        ("gesture", event(type="gesture", detail={"gesture": "left_hand_raised"}), "left_hand_raised"),
        ("pause", state(paused=True), "true"),
        ("score_threshold", state(settings={"decode.score_threshold": 0.4}), "0.4"),
        ("camera", state(), "ok"),
        ("fps", state(fps=9.5), "9.5"),
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
    ours = {TOPICS.state, TOPICS.fall, TOPICS.events, TOPICS.snapshot, TOPICS.zone("kitchen")}
    assert {one["stateTopic"] for one in channels().values() if "stateTopic" in one} == ours


@pytest.mark.parametrize(
    ("name", "command", "verb", "wanted"),
    [
        ("pause", "true", "pause", {"paused": True}),
        ("score_threshold", "0.4", "set", {"settings": {"decode.score_threshold": 0.4}, "persist": True}),
        ("clear_fall", "ON", "clear_fall", {}),
        ("restart", "ON", "restart", {}),
        ("take_snapshot", "ON", "snapshot", {}),
    ],
)
def test_commands_are_requests(name, command, verb, wanted):
    channel: dict[str, Any] = channels()[name]
    assert channel["commandTopic"] == TOPICS.request(verb)
    assert json.loads(channel["formatBeforePublish"].replace("%s", command)) == wanted


def test_every_item_has_its_channel():
    items = (FOLDER / "posed.items").read_text(encoding="utf-8")
    linked = re.findall(r'channel="mqtt:topic:posed:hall:(\w+)"', items)
    states = {name for name, one in channels().items() if one["kind"] != "trigger"}
    assert sorted(linked) == sorted(states)
