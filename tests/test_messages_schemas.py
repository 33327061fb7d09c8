"""JSON Schemas: what they demand, and that every message of a running daemon keeps to them."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from posed.messages import schemas
from posed.messages.structs import VERBS
from scripts.standins.messages import event, state
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.run_posed import Daemon, posed
from tests.test_messages_structs import plain

TOPIC = "posed/hall"


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schemas.schema(name))


def name_of(topic: str) -> str:
    """The schema of a topic below the device's."""
    return "camera/zones" if topic.startswith("camera/zones/") else topic


@pytest.mark.parametrize("name", schemas.NAMES)
def test_each_is_a_good_schema_of_its_dialect(name):
    made = schemas.schema(name)
    jsonschema.Draft202012Validator.check_schema(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_there_is_one_for_every_topic_and_verb():
    assert set(schemas.NAMES) == {
        *("state", "events"),
        *(f"camera/{name}" for name in ("poses", "state", "zones", "fall", "recording")),
        *(f"{way}/{verb}" for verb in VERBS for way in ("request", "response")),
    }


@pytest.mark.parametrize(("name", "message"), [("state", state), ("events", event)])
def test_the_version_is_demanded(name, message):
    good = plain(message())
    validator(name).validate(good)
    for bad in ({**good, "schema": 1}, {key: value for key, value in good.items() if key != "schema"}):
        with pytest.raises(jsonschema.ValidationError):
            validator(name).validate(bad)


def test_an_addition_keeps_the_version():
    validator("state").validate({**plain(state()), "more": 1})


def test_an_answer_has_the_data_of_its_verb():
    good = {"cameras": {"hall": {"paused": True}}, "errors": {"bedroom": "no"}}
    validator("response/pause").validate({"status": "error", "data": good, "error": "bedroom: no"})
    validator("response/pause").validate({"status": "error", "error": "no"})
    bad_data = {"cameras": {"hall": {"paused": 1}}}
    for bad in ({"status": "ok", "data": bad_data}, {"status": "fine"}, {"data": good}):
        with pytest.raises(jsonschema.ValidationError):
            validator("response/pause").validate(bad)


def test_the_command_prints_one_or_all_and_names_them_otherwise(tmp_path):
    one = posed(tmp_path, "schema", "request/set")
    assert json.loads(one.stdout) == schemas.schema("request/set")
    every = posed(tmp_path, "schema")
    assert set(json.loads(every.stdout)) == set(schemas.NAMES)
    wrong = posed(tmp_path, "schema", "stat")
    assert wrong.returncode == 2
    assert "request/clear_fall" in wrong.stderr.replace("\n", "")


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("info", {}),
    ("health", {"transaction": "abc"}),
    ("set", {"settings": {"decode.score_threshold": 0.3}, "persist": True}),
    ("set", {"settings": {"decode.score_threshold": 3}}),
    ("log_level", {"level": "info"}),
    ("record", {"seconds": 5}),
    ("record", {"seconds": 5000}),
    ("test_event", {"type": "fall"}),
    ("test_event", {"type": 1}),
    ("clear_fall", {}),
    ("snapshot", {}),
    ("set", {"settings": {"people.zone_enter_s": 0.4}}),
    ("set", {"camera": "camera", "settings": {"people.zone_enter_s": None}}),
    ("pause", {}),
    ("snapshot", {}),
    ("resume", {}),
    ("restart", {}),
]


def _has(subscriber: Subscriber, topic: str, count: int) -> bool:
    return len(subscriber.payloads(topic)) >= count


def test_every_message_of_a_full_run_keeps_to_its_schema(tmp_path: Path) -> None:
    """Drawn people before the model that comes with posed; every request; a restart; a clean stop."""
    room, bed = (
        {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]], "kind": kind} for kind in ("normal", "resting")
    )
    (tmp_path / "broker").mkdir()
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker.port, f"{TOPIC}/#") as subscriber:
        settings = {
            "device": "hall",
            "cameras": {
                "camera": {
                    "kind": "synthetic",
                    "source": "1",
                    "fps": 10,
                    "zones": {"room": room, "bed": bed},
                }
            },
            "model": {"name": "drawings-257x353-16"},
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "privacy": {"pictures": "skeleton"},
        }
        with Daemon(tmp_path, settings) as daemon:
            eventually(lambda: subscriber.payloads(f"{TOPIC}/events"), 60)
            for verb, arguments in REQUESTS:
                answers = f"{TOPIC}/response/{verb}"
                count = len(subscriber.payloads(answers)) + 1
                subscriber.publish(f"{TOPIC}/request/{verb}", json.dumps(arguments).encode())
                eventually(partial(_has, subscriber, answers, count), 20)
            eventually(partial(_has, subscriber, f"{TOPIC}/availability", 3), 30)
            daemon.process.terminate()
            assert daemon.wait() == 0
            eventually(lambda: subscriber.payloads(f"{TOPIC}/availability")[-1] == b"offline")
        seen: Counter[str] = Counter()
        for message in subscriber.messages:
            topic = message.topic.removeprefix(f"{TOPIC}/")
            if topic not in {"availability", "camera/snapshot"} and not topic.startswith("request/"):
                validator(name_of(topic)).validate(json.loads(message.payload))
                seen[name_of(topic)] += 1
    assert set(seen) == {one for one in schemas.NAMES if not one.startswith("request/")}
