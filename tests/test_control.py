"""What each verb does, and that nothing a request can hold stops the daemon; without a broker."""

from __future__ import annotations

import json
import logging
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from posed.config import Config, camera_settings, given_settings, live_settings, load
from posed.pipeline.device import DeviceStatus
from posed.pipeline.occurrence import Occurrence
from tests.controlling import Controlling
from tests.performers import posing


@pytest.fixture
def controls(tmp_path: Path) -> Iterator[Controlling]:
    level = logging.getLogger().level
    yield Controlling(tmp_path)
    logging.getLogger().setLevel(level)


def by_camera(**data: Any) -> dict[str, Any]:
    """What comes of a request that every camera carried out."""
    return {"cameras": data, "errors": {}}


# Settings


def test_a_setting_is_changed_and_said(controls):
    data = controls.ask("set", settings={"decode.score_threshold": 0.5, "people.smoothing_hz": 1})
    assert data == {
        "settings": {"decode.score_threshold": 0.5, "people.smoothing_hz": 1.0},
        "persisted": False,
    }
    assert controls.live.config.decode.score_threshold == 0.5
    assert controls.status.state().settings["decode.score_threshold"] == 0.5
    assert not (controls.state / "overlay.yaml").exists()


def test_a_network_that_follows_hears_of_new_thresholds(controls):
    assert controls.feed.followed.settings == controls.live.config.first.decode
    controls.ask("set", settings={"decode.score_threshold": 0.5})
    assert controls.feed.followed.settings.score_threshold == 0.5
    controls.ask("set", camera="camera", settings={"decode.score_threshold": 0.6})
    assert controls.feed.followed.settings.score_threshold == 0.6


def test_a_setting_that_is_to_last_is_in_the_overlay(controls):
    controls.ask("set", settings={"decode.score_threshold": 0.5}, persist=True)
    controls.ask("set", settings={"decode.max_people": 3}, persist=True)
    assert yaml.safe_load((controls.state / "overlay.yaml").read_text()) == {
        "decode": {"score_threshold": 0.5, "max_people": 3}
    }
    assert load(None, {}, overlay=controls.state / "overlay.yaml").decode.max_people == 3


def test_nothing_is_changed_where_one_value_is_bad(controls):
    error = controls.ask("set", settings={"decode.max_people": 3, "decode.score_threshold": 7}, persist=True)
    assert error == "decode.score_threshold: must be less than 1, got 7"
    assert controls.live.config.decode.max_people == 10
    assert not (controls.state / "overlay.yaml").exists()


def test_a_disk_that_does_not_take_it_is_said(controls):
    controls.state.write_text("a file")
    error = controls.ask("set", settings={"decode.max_people": 3}, persist=True)
    assert error.startswith("persist: changed, but not kept: ")
    assert controls.live.config.decode.max_people == 3


def test_what_the_environment_goes_before_is_said(tmp_path):
    controls = Controlling(tmp_path, {"POSED_DECODE__MAX_PEOPLE": "5"})
    error = controls.ask("set", settings={"decode.max_people": 3}, persist=True)
    assert error == (
        "persist: changed and kept, but a restart takes POSED_DECODE__MAX_PEOPLE from the environment"
    )
    assert controls.live.config.decode.max_people == 3
    assert controls.ask("set", settings={"log.level": "info"}, persist=True)["persisted"]


def test_zones_can_be_drawn_at_run_time(controls):
    zones = {"bed": {"polygon": [[0, 0], [1, 0], [1, 1]], "kind": "resting"}}
    controls.ask("set", settings={"zones": zones}, camera="camera")
    controls.reporter.zones(controls.channel.zone_counts())
    assert json.loads(controls.published["posed/hall/camera/zones/bed"])["people"] is None


@pytest.mark.parametrize(
    "setting", ["privacy.pictures", "mqtt.host", "device", "cameras.camera.fps", "web.host"]
)
def test_what_only_the_file_can_say_is_refused(controls, setting):
    error = controls.ask("set", settings={setting: "full"}, persist=True)
    assert error.startswith(f"{setting}: must be a setting that can be changed at run time")


def test_the_log_level_is_a_request_of_its_own(controls):
    assert controls.ask("log_level", level="error")["settings"] == {"log.level": "error"}
    assert logging.getLogger().level == logging.ERROR
    assert "level" in controls.ask("log_level", level="loud")


# The rest


def test_a_pause_lasts_across_restarts_until_it_is_ended(controls):
    assert controls.ask("pause") == by_camera(camera={"paused": True})
    assert controls.channel.state().paused
    assert controls.again().channel.state().paused
    assert controls.ask("resume") == by_camera(camera={"paused": False})
    assert not controls.again().channel.state().paused


def test_a_switch_pauses_and_resumes_with_one_verb(controls):
    assert controls.ask("pause", paused=True) == by_camera(camera={"paused": True})
    assert controls.ask("pause", paused=False) == by_camera(camera={"paused": False})


def test_a_restart_ends_the_daemon_in_order_to_start_again(controls):
    assert controls.ask("restart")["run"] == controls.run
    assert controls.restarts == ["restarting on request"]


# Several cameras

ROOMS = {"cameras": {"hall": {}, "bedroom": {"people": {"fall_confirm_s": 20.0}}}}


@pytest.fixture
def rooms(tmp_path: Path) -> Controlling:
    return Controlling(tmp_path, **ROOMS)


def paused(controls: Controlling) -> list[str]:
    return [name for name, channel in controls.channels.items() if channel.feed.paused]


def test_a_request_without_a_camera_is_for_every_camera(rooms):
    assert rooms.ask("pause") == by_camera(hall={"paused": True}, bedroom={"paused": True})
    assert paused(rooms) == ["hall", "bedroom"]


@pytest.mark.parametrize("verb", ["pause", "resume", "snapshot", "record", "clear_fall", "test_event", "set"])
def test_a_camera_that_is_none_is_refused(rooms, verb):
    arguments = {"settings": {}} if verb == "set" else {}
    assert rooms.ask(verb, camera="attic", **arguments) == (
        "camera: must be one of hall, bedroom, got 'attic'"
    )


def test_a_fall_of_a_removed_camera_is_cleared(rooms):
    event = rooms.spool.add(Occurrence("fall", 1.0, 7, camera="attic"))
    cleared = rooms.ask("clear_fall", camera="attic", event=event)
    assert len(cleared["cameras"]["attic"]["events"]) == 1
    assert rooms.spool.falls == ()


def test_one_camera_is_paused_and_stays_so_after_a_restart(rooms):
    assert rooms.ask("pause", camera="bedroom") == by_camera(bedroom={"paused": True})
    assert paused(rooms) == paused(rooms.again(**ROOMS)) == ["bedroom"]
    rooms.ask("resume", camera="hall")
    assert paused(rooms.again(**ROOMS)) == ["bedroom"]


def test_a_pause_of_all_holds_for_cameras_added_later(rooms):
    rooms.ask("pause")
    more = {"cameras": {**ROOMS["cameras"], "attic": {}}}
    assert paused(rooms.again(**more)) == ["hall", "bedroom", "attic"]
    rooms.ask("resume", camera="hall")
    assert paused(rooms.again(**more)) == ["bedroom"]


def test_a_pause_of_all_outlasts_that_of_one(rooms):
    rooms.ask("pause")
    rooms.ask("pause", camera="hall")
    more = {"cameras": {**ROOMS["cameras"], "attic": {}}}
    assert paused(rooms.again(**more)) == ["hall", "bedroom", "attic"]


def test_resuming_all_resumes_cameras_that_are_away_too(rooms):
    rooms.ask("pause", camera="bedroom")
    rooms.again(cameras={"hall": {}}).ask("resume")
    assert paused(rooms.again(**ROOMS)) == []


def test_a_pause_of_a_version_without_names_holds_for_all(rooms):
    (rooms.state / "paused").parent.mkdir(exist_ok=True)
    (rooms.state / "paused").touch()
    assert paused(rooms.again(**ROOMS)) == ["hall", "bedroom"]


def test_the_pause_of_an_absent_camera_is_not_forgotten(rooms):
    rooms.ask("pause", camera="bedroom")
    without = rooms.again(cameras={"hall": {}})
    without.ask("pause", camera="hall")
    without.ask("resume", camera="hall")
    assert paused(rooms.again(**ROOMS)) == ["bedroom"]


def test_an_error_of_one_camera_hides_nothing_of_the_others(tmp_path):
    rooms = Controlling(tmp_path, privacy={"pictures": "full"}, **ROOMS)
    rooms.see(np.zeros((48, 64, 3), np.uint8), camera="bedroom")
    response = rooms.answer("snapshot", b"{}")
    why = "snapshot: no picture of now: the camera or the engine is being waited for"
    assert (response["status"], response["error"]) == ("error", f"hall: {why}")
    assert response["data"]["errors"] == {"hall": why}
    assert response["data"]["cameras"]["bedroom"]["topic"] == "posed/hall/bedroom/snapshot"
    assert list(rooms.published) == ["posed/hall/bedroom/snapshot"]


def test_a_cameras_own_privacy_decides_about_its_picture(tmp_path):
    own = {"hall": {"privacy": {"pictures": "off"}}, "bedroom": {}}
    rooms = Controlling(tmp_path, privacy={"pictures": "skeleton"}, cameras=own)
    for name in own:
        rooms.see(np.zeros((48, 64, 3), np.uint8), camera=name)
    data = rooms.answer("snapshot", b"{}")["data"]
    assert data["cameras"]["bedroom"]["pictures"] == "skeleton"
    assert data["errors"]["hall"].startswith("snapshot: privacy.pictures is off")


def confirm_s(controls: Controlling) -> dict[str, float]:
    return {
        name: channel.state().settings["people.fall_confirm_s"] for name, channel in controls.channels.items()
    }


def test_a_setting_for_all_leaves_a_cameras_own_alone(rooms):
    rooms.ask("set", settings={"people.fall_confirm_s": 30})
    assert confirm_s(rooms) == {"hall": 30, "bedroom": 20}


def test_a_cameras_own_setting_is_kept_and_taken_back(rooms):
    overlay = rooms.state / "overlay.yaml"
    data = rooms.ask("set", camera="hall", settings={"people.fall_confirm_s": 5}, persist=True)
    assert (data["camera"], data["settings"]) == ("hall", {"people.fall_confirm_s": 5.0})
    assert yaml.safe_load(overlay.read_text()) == {"cameras": {"hall": {"people": {"fall_confirm_s": 5.0}}}}
    rooms.ask("set", camera="bedroom", settings={"people.fall_confirm_s": None}, persist=True)
    assert confirm_s(rooms) == {"hall": 5, "bedroom": 10}
    assert yaml.safe_load(overlay.read_text())["cameras"]["bedroom"] == {"people": {"fall_confirm_s": None}}


def test_a_setting_for_all_is_taken_back_for_good(controls):
    controls.live.use_defaults({"decode.score_threshold": 0.38})
    controls.ask("set", settings={"decode.score_threshold": 0.6}, persist=True)
    data = controls.ask("set", settings={"decode.score_threshold": None}, persist=True)
    assert data["settings"] == {"decode.score_threshold": 0.38}
    overlay = controls.state / "overlay.yaml"
    assert yaml.safe_load(overlay.read_text()) == {"decode": {"score_threshold": None}}
    assert given_settings(load(None, {}, overlay=overlay), None) == set()


def test_what_the_environment_says_of_a_camera_goes_before(tmp_path):
    rooms = Controlling(tmp_path, {"POSED_CAMERAS__HALL__PEOPLE__FALLS": "true"}, **ROOMS)
    error = rooms.ask("set", camera="hall", settings={"people.falls": False}, persist=True)
    assert "a restart takes POSED_CAMERAS__HALL__PEOPLE__FALLS from the environment" in error


def test_a_test_event_names_its_camera(rooms):
    data = rooms.ask("test_event", camera="bedroom")
    assert list(data["cameras"]) == ["bedroom"]
    assert [name for name, sent in rooms.ask("test_event")["cameras"].items() if sent["event"]] == [
        "hall",
        "bedroom",
    ]


def fall_in(controls: Controlling, camera: str) -> str:
    return controls.spool.add(Occurrence("fall", 0.0, 1, camera=camera))


def test_falls_are_cleared_by_camera_or_all_of_them(rooms):
    rooms.spool.start()
    fallen = {camera: fall_in(rooms, camera) for camera in ("hall", "bedroom", "attic")}
    assert list(rooms.ask("clear_fall", camera="hall")["cameras"]) == ["hall"]
    assert [fall.camera for fall in rooms.spool.falls] == ["bedroom", "attic"]
    rooms.ask("clear_fall", event=fallen["attic"])  # of a camera that is no more
    assert [fall.camera for fall in rooms.spool.falls] == ["bedroom"]
    cleared = rooms.ask("clear_fall")["cameras"]
    assert {name: len(falls["events"]) for name, falls in cleared.items()} == {"hall": 0, "bedroom": 1}
    assert rooms.spool.falls == ()
    rooms.spool.stop(1)


def test_raw_poses_are_published_of_the_camera_asked_for(rooms):
    start = rooms.ask("record", camera="bedroom", seconds=5)["cameras"]["bedroom"]
    assert (start["camera"], start["settings"]["people.fall_confirm_s"]) == ("bedroom", 20)
    assert {name: start["camera"] for name, start in rooms.ask("record")["cameras"].items()} == {
        "hall": "hall",
        "bedroom": "bedroom",
    }


# Pictures


def snapshot(controls: Controlling) -> Any:
    """What is said of the picture, or why there is none."""
    data = controls.answer("snapshot", b"{}")["data"]
    return data["cameras"].get("camera") or data["errors"]["camera"]


def test_no_picture_is_given_unless_the_file_allows_it(controls):
    controls.see(np.zeros((48, 64, 3), np.uint8))
    assert (
        snapshot(controls)
        == "snapshot: privacy.pictures is off, which only the configuration file can change"
    )
    assert "posed/hall/camera/snapshot" not in controls.published


@pytest.mark.parametrize("pictures", ["skeleton", "blurred", "full"])
def test_a_picture_shows_what_the_file_allows(tmp_path, pictures):
    controls = Controlling(tmp_path, privacy={"pictures": pictures})
    red = np.full((480, 640, 3), (255, 0, 0), np.uint8)
    controls.see(red, posing("stand", 0.5))
    data = snapshot(controls)
    assert (data["pictures"], data["width"], data["height"]) == (pictures, 640, 480)
    picture = controls.published["posed/hall/camera/snapshot"]
    assert picture.startswith(b"\xff\xd8")
    assert len(picture) == data["bytes"]


def test_no_picture_of_before_is_given(tmp_path):
    controls = Controlling(tmp_path, privacy={"pictures": "full"})
    assert "no picture of now" in snapshot(controls)
    controls.see(np.zeros((48, 64, 3), np.uint8))
    controls.ask("pause")
    assert snapshot(controls) == "snapshot: paused"
    controls.ask("resume")
    assert "no picture of now" in snapshot(controls)
    controls.see(np.zeros((48, 64, 3), np.uint8))
    controls.feed.capture.device.status = DeviceStatus("waiting", "gone")
    assert "no picture of now" in snapshot(controls)


# Whatever a request holds

CONTROLS = Controlling(Path(tempfile.mkdtemp(prefix="posed-fuzz-")), privacy={"pictures": "blurred"})
VERBS = st.sampled_from(sorted(CONTROLS.control.requests.verbs))
SETTINGS = st.sampled_from(
    [*live_settings(), "zones", "privacy.pictures", "decode", "", "a.b.c", "people.zones.a"]
)
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
        "camera": st.sampled_from(["camera", "attic"]) | JSON,
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
    b'{"camera": "camera", "settings": {"zones": {"a": {"polygon": [[0, 0], [1, 0], [1, 1]]}}}}',
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
    response = CONTROLS.answer(verb, payload)
    assert ("error" in response) == (response["status"] == "error")
    assert "data" in response or "error" in response
    assert bool(CONTROLS.restarts) == (verb == "restart" and response["status"] == "ok")
    CONTROLS.restarts.clear()


def _is_well() -> None:
    """The daemon goes on with a configuration that is good, and which the file alone can make show more."""
    config = CONTROLS.live.config
    assert Config.model_validate(config.model_dump(exclude_unset=True)) == config
    assert config.privacy.pictures == "blurred"
    assert set(CONTROLS.status.state().settings) == set(live_settings())
    assert set(CONTROLS.channel.state().settings) == set(camera_settings())
    CONTROLS.reporter.state(CONTROLS.channel.state)
    CONTROLS.reporter.zones(CONTROLS.channel.zone_counts())


@MANY
@given(VERBS, ARGUMENTS)
def test_any_arguments_have_an_answer(verb, arguments):
    _is_answered(verb, json.dumps(arguments).encode())
    _is_well()


@MANY
@given(st.dictionaries(SETTINGS, NUMBERS | ZONES | JSON, max_size=3), st.sampled_from([None, "camera"]))
def test_any_settings_have_an_answer(values, camera):
    _is_answered("set", json.dumps({"settings": values, "camera": camera}).encode())
    _is_well()


@MANY
@given(st.integers(0, 2**32))
def test_tens_of_thousands_of_damaged_requests_have_an_answer(seed):
    chance = random.Random(seed)
    verbs = sorted(CONTROLS.control.requests.verbs)
    for _ in range(EACH):
        _is_answered(chance.choice([*verbs, "set", "explode"]), _damaged(chance))
    _is_well()


def test_what_was_kept_of_all_that_can_be_loaded():
    overlay = CONTROLS.state / "overlay.yaml"
    CONTROLS.ask("set", settings={"log.level": "info"}, persist=True)
    assert load(None, {}, overlay=overlay).log.level == "info"
