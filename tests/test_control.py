"""What each verb does, and that nothing a request can hold stops the daemon; without a broker."""

from __future__ import annotations

import json
import logging
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import jsonschema
import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from posed.config import Config, LiveConfig, live_settings, load
from posed.control import Control, Controlled
from posed.log import set_level
from posed.messages.structs import Response, Sender, encode
from posed.messages.topics import Topics
from posed.model.pair import load_pair
from posed.mqtt.client import MqttClient
from posed.mqtt.recording import Recording
from posed.mqtt.reporter import Reporter
from posed.mqtt.spool import Spool
from posed.paths import falls_file, spool_file
from posed.people.events import TrackedPerson
from posed.people.person import Person
from posed.pipeline.opening import pipeline_of
from posed.pipeline.scene import Scene
from posed.pipeline.threads import DeviceStatus
from posed.service.status import Parts, Status
from tests.make_tflite import make_tflite
from tests.performers import posing

CONTRACT = jsonschema.Draft202012Validator(msgspec.json.schema(Response))


class Controlling:
    """Control over the parts of a daemon that never runs, and what it would publish.

    Args:
        folder: for the model and the state.
        environment: variables that go before what is kept.
        changes: sections of the configuration.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None, **changes: Any) -> None:
        (folder / "red.tflite").write_bytes(make_tflite())
        config = Config(**({"device": "hall", "model": {"name": str(folder / "red.tflite")}} | changes))
        self.state = folder / "state"
        self.published: dict[str, bytes] = {}
        self.restarts: list[str] = []
        own = {"STATE_DIRECTORY": str(self.state)} | dict(environment or {})
        topics, sender = Topics.of(config), Sender.start("hall")
        pair = load_pair(config.model.name)
        mqtt = MqttClient(
            config.mqtt,
            password=None,
            client_id="hall",
            availability_topic=topics.availability,
            on_connect=lambda: None,
        )
        self.live = LiveConfig(config)
        self.spool = Spool(
            spool_file(own), sender=sender, topics=topics, deliver=mqtt.deliver, config=config.mqtt.events
        )
        self.scene = Scene(config, self.spool.add, falls_file(own))
        self.pipeline = pipeline_of(config, pair)
        self.status = Status(Parts(sender, self.live, pair, self.pipeline, self.scene, self.spool, mqtt))
        self.reporter = Reporter(sender, topics, self._publish, config.mqtt.poses)
        parts = Controlled(
            live=self.live,
            status=self.status,
            pipeline=self.pipeline,
            scene=self.scene,
            spool=self.spool,
            reporter=self.reporter,
            recording=Recording(topics.recording, self._publish, self.status.recording_start),
            restart=self.restarts.append,
        )
        self.live.listen(self.scene.configure)
        self.live.listen(lambda config: set_level(config.log.level))
        self.control = Control(parts, topics, sender.run, own)
        self.control.restore_pause()
        self.run = sender.run

    def _publish(self, topic: str, payload: bytes, **_: object) -> bool:
        self.published[topic] = payload
        return True

    def answer(self, verb: str, payload: bytes) -> dict[str, Any]:
        """As the main loop does it."""
        self.published.clear()
        response = json.loads(encode(self.control.requests.answer(verb, payload)))
        CONTRACT.validate(response)
        return response

    def ask(self, verb: str, **arguments: Any) -> Any:
        """`data` of an answer, or its error."""
        response = self.answer(verb, json.dumps(arguments).encode())
        return response["data"] if response["status"] == "ok" else response["error"]

    def see(self, image: np.ndarray, *people: Person) -> None:
        """As if a frame had been processed just now."""
        self.pipeline.camera = self.pipeline.engine = DeviceStatus("ok")
        self.scene.figures.count(time.monotonic(), 0.01, 0.02)
        self.scene.newest = image, [TrackedPerson(one, "standing", 1.0, ()) for one in people]

    def again(self) -> Controlling:
        """After a restart."""
        return Controlling(self.state.parent)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Controlling]:
    level = logging.getLogger().level
    yield Controlling(tmp_path)
    logging.getLogger().setLevel(level)


# Settings


def test_a_setting_is_changed_and_said(desk):
    data = desk.ask("set", settings={"decode.score_threshold": 0.5, "people.smoothing_hz": 1})
    assert data == {
        "settings": {"decode.score_threshold": 0.5, "people.smoothing_hz": 1.0},
        "persisted": False,
    }
    assert desk.live.config.decode.score_threshold == 0.5
    assert desk.status.state().settings["decode.score_threshold"] == 0.5
    assert not (desk.state / "overlay.yaml").exists()


def test_a_setting_that_is_to_last_is_in_the_overlay(desk):
    desk.ask("set", settings={"decode.score_threshold": 0.5}, persist=True)
    desk.ask("set", settings={"decode.max_people": 3}, persist=True)
    assert yaml.safe_load((desk.state / "overlay.yaml").read_text()) == {
        "decode": {"score_threshold": 0.5, "max_people": 3}
    }
    assert load(None, {}, overlay=desk.state / "overlay.yaml").decode.max_people == 3


def test_nothing_is_changed_where_one_value_is_bad(desk):
    error = desk.ask("set", settings={"decode.max_people": 3, "decode.score_threshold": 7}, persist=True)
    assert error == "decode.score_threshold: must be less than 1, got 7"
    assert desk.live.config.decode.max_people == 10
    assert not (desk.state / "overlay.yaml").exists()


def test_a_disk_that_does_not_take_it_is_said(desk):
    desk.state.write_text("a file")
    error = desk.ask("set", settings={"decode.max_people": 3}, persist=True)
    assert error.startswith("persist: changed, but not kept: ")
    assert desk.live.config.decode.max_people == 3


def test_what_the_environment_goes_before_is_said(tmp_path):
    desk = Controlling(tmp_path, {"POSED_DECODE__MAX_PEOPLE": "5"})
    error = desk.ask("set", settings={"decode.max_people": 3}, persist=True)
    assert error == (
        "persist: changed and kept, but a restart takes POSED_DECODE__MAX_PEOPLE from the environment"
    )
    assert desk.live.config.decode.max_people == 3
    assert desk.ask("set", settings={"log.level": "info"}, persist=True)["persisted"]


def test_zones_can_be_drawn_at_run_time(desk):
    zones = {"bed": {"polygon": [[0, 0], [1, 0], [1, 1]], "kind": "resting"}}
    desk.ask("set", settings={"people.zones": zones})
    desk.reporter.zones(desk.status.zone_counts())
    assert json.loads(desk.published["posed/hall/zones/bed"])["people"] is None


@pytest.mark.parametrize("setting", ["privacy.pictures", "mqtt.host", "device", "camera.source", "web.host"])
def test_what_only_the_file_can_say_is_refused(desk, setting):
    error = desk.ask("set", settings={setting: "full"}, persist=True)
    assert error.startswith(f"{setting}: must be a setting that can be changed at run time")


def test_the_log_level_is_a_request_of_its_own(desk):
    assert desk.ask("log_level", level="error")["settings"] == {"log.level": "error"}
    assert logging.getLogger().level == logging.ERROR
    assert "level" in desk.ask("log_level", level="loud")


# The rest


def test_a_pause_lasts_across_restarts_until_it_is_ended(desk):
    assert desk.ask("pause") == {"paused": True}
    assert desk.status.state().paused
    assert desk.again().status.state().paused
    assert desk.ask("resume") == {"paused": False}
    assert not desk.again().status.state().paused


def test_a_switch_pauses_and_resumes_with_one_verb(desk):
    assert desk.ask("pause", paused=True) == {"paused": True}
    assert desk.ask("pause", paused=False) == {"paused": False}


def test_a_pause_makes_people_unknown_at_once(desk):
    desk.see(np.zeros((48, 64, 3), np.uint8))
    assert desk.status.state().people == 0
    desk.ask("pause")
    state = desk.status.state()
    assert (state.people, state.occupied, state.posture) == (None, None, None)


@pytest.mark.parametrize("sight", ["dark", "covered", "frozen"])
def test_a_blind_camera_is_no_empty_room(desk, sight):
    desk.see(np.zeros((48, 64, 3), np.uint8))
    desk.pipeline.sight = sight
    assert desk.status.state().people is None


def test_health_names_what_does_not_work(desk):
    desk.pipeline.camera = DeviceStatus("waiting", "camera /dev/video0: gone")
    health = desk.ask("health")
    assert not health["healthy"]
    assert "camera: camera /dev/video0: gone" in health["problems"]


def test_health_is_good_when_everything_works(desk):
    desk.spool.start()
    desk.see(np.zeros((48, 64, 3), np.uint8))
    assert desk.ask("health") == {
        "healthy": True,
        "problems": [],
        "paused": False,
        "fps": ANY,
    }
    desk.spool.stop(1)


def test_a_restart_ends_the_daemon_in_order_to_start_again(desk):
    assert desk.ask("restart")["run"] == desk.run
    assert desk.restarts == ["restarting on request"]


# Pictures


def snapshot(desk: Controlling) -> Any:
    return desk.ask("snapshot")


def test_no_picture_is_given_unless_the_file_allows_it(desk):
    desk.see(np.zeros((48, 64, 3), np.uint8))
    assert snapshot(desk) == "snapshot: privacy.pictures is off, which only the configuration file can change"
    assert "posed/hall/snapshot" not in desk.published


@pytest.mark.parametrize("pictures", ["skeleton", "blurred", "full"])
def test_a_picture_shows_what_the_file_allows(tmp_path, pictures):
    desk = Controlling(tmp_path, privacy={"pictures": pictures})
    red = np.full((480, 640, 3), (255, 0, 0), np.uint8)
    desk.see(red, posing("stand", 0.5))
    data = snapshot(desk)
    assert (data["pictures"], data["width"], data["height"]) == (pictures, 640, 480)
    picture = desk.published["posed/hall/snapshot"]
    assert picture.startswith(b"\xff\xd8")
    assert len(picture) == data["bytes"]


def test_no_picture_of_before_is_given(tmp_path):
    desk = Controlling(tmp_path, privacy={"pictures": "full"})
    assert "no picture of now" in snapshot(desk)
    desk.see(np.zeros((48, 64, 3), np.uint8))
    desk.ask("pause")
    assert snapshot(desk) == "snapshot: paused"
    desk.ask("resume")
    assert "no picture of now" in snapshot(desk)
    desk.see(np.zeros((48, 64, 3), np.uint8))
    desk.pipeline.camera = DeviceStatus("waiting", "gone")
    assert "no picture of now" in snapshot(desk)


# Whatever a request holds

DESK = Controlling(Path(tempfile.mkdtemp(prefix="posed-fuzz-")), privacy={"pictures": "blurred"})
VERBS = st.sampled_from(sorted(DESK.control.requests.verbs))
SETTINGS = st.sampled_from([*live_settings(), "privacy.pictures", "decode", "", "a.b.c", "people.zones.a"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS | st.sampled_from(["all", "off", "many", "one", "debug", "error", "fall"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
ZONES = st.dictionaries(
    st.text(max_size=4),
    st.fixed_dictionaries(
        {"polygon": st.lists(st.lists(st.floats(-1, 2), min_size=1, max_size=3), max_size=6) | JSON},
        optional={"kind": st.sampled_from(["normal", "exclude", "exit"]) | JSON, "x": JSON},
    ),
    max_size=3,
)
NUMBERS = st.floats(0, 1) | st.integers(0, 20) | st.booleans()
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "transaction": st.text(max_size=5) | JSON,
        "settings": st.dictionaries(SETTINGS, NUMBERS | ZONES | JSON, max_size=3) | JSON,
        "persist": st.booleans() | JSON,
        "paused": st.booleans() | JSON,
        "level": st.sampled_from(["debug", "info", "warning", "error"]) | JSON,
        "type": JSON,
        "event": JSON,
        "else": JSON,
    },
)
MANY = settings(max_examples=500, deadline=None, database=None)

GOOD = [
    b'{"transaction": "abc", "settings": {"decode.max_people": 3, "log.level": "info"}, "persist": false}',
    b'{"settings": {"people.zones": {"a": {"polygon": [[0, 0], [1, 0], [1, 1]], "kind": "exit"}}}}',
    b'{"paused": true}',
    b'{"level": "debug"}',
    b'{"type": "gesture", "event": null}',
    '{"transaction": "\\ud83d\\ude00 ß😀\\u0000", "settings": {"mqtt.poses.publish": "off"}}'.encode(),
]
PIECES = [
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"-", b"1e999", b"0" * 400, b"NaN"),
    *(
        b"\xff",
        b"\x00",
        b"\xed\xa0\x80",
        b"\\u",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"decode.",
        b"privacy.pictures",
    ),
]
EACH = 50
"""Payloads that one seed makes: making them takes hypothesis longer than answering them."""


def _damaged(chance: random.Random) -> bytes:
    """A good request of which some pieces are others, or bytes of no order at all."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(200))
    payload = chance.choice(GOOD)
    for _ in range(chance.randrange(4)):
        place, length = chance.randrange(len(payload) + 1), chance.randrange(12)
        piece = chance.choice([*PIECES, chance.randbytes(chance.randrange(4))])
        payload = payload[:place] + piece + payload[place + length :]
    return payload


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the fuzz makes of the log's level is nobody else's."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def _is_answered(verb: str, payload: bytes) -> None:
    """In a way that the contract allows, and without another end than the one that was asked for."""
    response = DESK.answer(verb, payload)
    assert ("data" in response) != ("error" in response)
    assert bool(DESK.restarts) == (verb == "restart" and response["status"] == "ok")
    DESK.restarts.clear()


def _is_well() -> None:
    """The daemon goes on with a configuration that is good, and which the file alone can make show more."""
    config = DESK.live.config
    assert Config.model_validate(config.model_dump()) == config
    assert config.privacy.pictures == "blurred"
    assert set(DESK.status.state().settings) == set(live_settings())
    DESK.reporter.state(DESK.status.state)
    DESK.reporter.zones(DESK.status.zone_counts())


@MANY
@given(VERBS, ARGUMENTS)
def test_any_arguments_have_an_answer(verb, arguments):
    _is_answered(verb, json.dumps(arguments).encode())
    _is_well()


@MANY
@given(st.dictionaries(SETTINGS, NUMBERS | ZONES | JSON, max_size=3))
def test_any_settings_have_an_answer(values):
    _is_answered("set", json.dumps({"settings": values}).encode())
    _is_well()


@MANY
@given(st.integers(0, 2**32))
def test_tens_of_thousands_of_damaged_requests_have_an_answer(seed):
    chance = random.Random(seed)
    verbs = sorted(DESK.control.requests.verbs)
    for _ in range(EACH):
        _is_answered(chance.choice([*verbs, "set", "explode"]), _damaged(chance))
    _is_well()


def test_what_was_kept_of_all_that_can_be_loaded():
    overlay = DESK.state / "overlay.yaml"
    DESK.ask("set", settings={"log.level": "info"}, persist=True)
    assert load(None, {}, overlay=overlay).log.level == "info"
