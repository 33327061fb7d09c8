"""What the sections allow, and the commented file that shows all of them."""

from __future__ import annotations

import re

import pytest
import yaml

from posed.config import (
    Config,
    load,
)
from posed.errors import ConfigError
from scripts.paths import ROOT
from tests.configs import names_of, problems, write


def test_the_commented_file_holds_the_defaults():
    assert load(ROOT / "config" / "posed.yaml", {}) == Config()


def test_the_commented_file_names_every_setting():
    settings = uncommented()
    cameras = settings.pop("cameras")
    names = _names(settings | {"cameras": {"name": cameras["camera"]}})
    assert {name.replace(".NAME.", ".name.") for name in names} == {
        name for name in names_of(Config) if not re.match(r"cameras\.name\.(decode|people|privacy)\.", name)
    }


def test_the_commented_file_shows_a_cameras_own_settings():
    example = Config(cameras={"bedroom": uncommented()["cameras"]["bedroom"]}).first
    assert {"zones", "decode", "people", "privacy"} <= example.model_fields_set
    for section in ("decode", "people", "privacy"):
        ours = getattr(example, section)
        assert ours.model_fields_set
        assert ours != getattr(Config(), section)


EXAMPLES = {"NAME", "bedroom", "bed"}
"""The names that the commented file gives a zone, a second camera and its zone."""


def uncommented() -> dict:
    """The commented file with every setting in it."""
    text = (ROOT / "config" / "posed.yaml").read_text(encoding="utf-8")
    lines = [
        line.replace("# ", "", 1) if line.lstrip().startswith("# ") and _is_setting(line) else line
        for line in text.splitlines()
    ]
    return yaml.safe_load("\n".join(lines).replace("!secret ", ""))


def _is_setting(line: str) -> bool:
    name, colon, _ = line.lstrip(" #").partition(":")
    known = {name for names in names_of(Config) for name in names.split(".")}
    return bool(colon) and name in known | EXAMPLES


def _names(tree: dict, path: str = "") -> set[str]:
    names = set()
    for key, value in tree.items():
        names |= _names(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}"}
    return names


def test_the_demo_file_is_good():
    assert load(ROOT / "config" / "demo.yaml", {}).first.kind == "synthetic"


def test_off_needs_no_quotes(tmp_path):
    file = write(
        tmp_path, "privacy: {pictures: off}\nhomeassistant: {discovery: off}\nmqtt: {poses: {publish: off}}\n"
    )
    config = load(file, {})
    assert (config.privacy.pictures, config.homeassistant.discovery, config.mqtt.poses.publish) == (
        "off",
    ) * 3


def test_a_cameras_number_may_be_a_number(tmp_path):
    assert load(write(tmp_path, "cameras: {hall: {kind: video, source: 0}}"), {}).first.source == "0"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cameras: {hall: {kind: video}}", "cameras.hall.source: needed by kind video, got nothing"),
        ("engine: {idle_fps: 0.1}", "engine.idle_fps: must be 0 or at least 0.5, got 0.1"),
        (
            "cameras: {hall: {kind: video, source: 'rtsp://cam/1', password: a}}",
            "cameras.hall.username: needed beside a password, got nothing",
        ),
        (
            "cameras: {hall: {kind: video, source: 'rtsp://me:a@cam/1', username: me}}",
            "cameras.hall.username: must not stand beside a user in the URL of source, got both",
        ),
        (
            "cameras: {hall: {kind: video, source: 0, username: me}}",
            "cameras.hall.username: must stand beside a URL in source, got another source",
        ),
        (
            "cameras: {hall: {size: [8, 480]}}",
            "cameras.hall.size: both sides must be 16 to 8192, got [8, 480]",
        ),
        ("model: {input_size: 250}", "model.input_size: must be a multiple of 32, got 250"),
        ("mqtt: {password: a}", "mqtt.username: needed beside a password, got nothing"),
        (
            "mqtt: {username: u, password: a, password_file: b}",
            "mqtt.password_file: must not stand beside mqtt.password, got both",
        ),
        ("mqtt: {tls: {key: k}}", "mqtt.tls.key: needs tls.certificate beside it, got it alone"),
        (
            "device: a/b",
            "device: must be letters, digits, - and _ only (it is one level of an MQTT topic), got 'a/b'",
        ),
        ("device: 3", "device: must be text (put it in quotes), got 3"),
        (f"device: {'a' * 65}", f"device: must be at most 64 characters, got '{'a' * 58}…"),
        ("mqtt: {tls: {cafile: x}}", "mqtt.tls.cafile: unknown key; did you mean ca?"),
        (
            "cameras: {hall: {zones: {bed: {polygon: [[0, 0], [1, 0], [0, 1]]},"
            " Bed: {polygon: [[0, 0], [1, 0], [0, 1]]}}}}",
            "cameras.hall.zones: must differ in more than capitals, got bed and Bed",
        ),
        ("cameras: {hall: {fps: }}", "cameras.hall.fps: must be a number, got nothing"),
        (
            "cameras: {hall: {kind: }}",
            "cameras.hall.kind: must be picamera2, imx500, video, images or synthetic, got nothing",
        ),
    ],
)
def test_rules_across_fields(tmp_path, text, problem):
    assert problems(write(tmp_path, text)) == [problem]


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("localhost:1883", ' (write host: "localhost", port: 1883)'),
        ("[::1]", ' (write host: "::1")'),
        ("[fe80::2]:8883", ' (write host: "fe80::2", port: 8883)'),
        ("fe80::zz", ""),
    ],
)
def test_a_broker_with_port_or_brackets_says_the_right_way(tmp_path, host, wanted):
    (problem,) = problems(write(tmp_path, f"mqtt: {{host: '{host}'}}\n"))
    rule = "must be a name or address alone, without port or brackets"
    assert problem == f"mqtt.host: {rule}{wanted}, got '{host}'"


@pytest.mark.parametrize("host", ["192.168.1.300", "broker..lan", "x" * 64])
def test_what_can_be_no_host_is_refused(tmp_path, host):
    (problem,) = problems(write(tmp_path, f"mqtt: {{host: '{host}'}}\n"))
    assert problem.startswith("mqtt.host: must be ")


@pytest.mark.parametrize(
    "host", ["::1", "fe80::1%eth0", "192.168.1.3", "mqtt_broker", "broker.local.", "bücher.lan"]
)
def test_names_and_addresses_of_brokers_are_good(tmp_path, host):
    assert load(write(tmp_path, f"mqtt: {{host: '{host}'}}\n"), {}).mqtt.host == host


def test_naming_a_camera_takes_the_place_of_the_default_one(tmp_path):
    assert list(load(None, {}).cameras) == ["camera"]
    assert list(load(write(tmp_path, "cameras: {hall: {}}"), {}).cameras) == ["hall"]


def test_a_cameras_own_sections_go_before_those_for_all(tmp_path):
    text = """
        decode: {max_people: 3}
        people: {falls: false, gestures: false}
        privacy: {pictures: full}
        cameras:
          hall:
          bedroom: {decode: {max_people: 1}, people: {falls: true}, privacy: {pictures: off}}
    """
    hall, bedroom = load(write(tmp_path, text), {}).cameras.values()
    assert (hall.decode.max_people, hall.people.falls, hall.privacy.pictures) == (3, False, "full")
    assert (bedroom.decode.max_people, bedroom.people.falls, bedroom.privacy.pictures) == (1, True, "off")
    assert (hall.people.gestures, bedroom.people.gestures) == (False, False)


def test_a_camera_is_chosen_by_name_unless_alone():
    one, two = Config(cameras={"hall": {}}), Config(cameras={"hall": {}, "bedroom": {}})
    assert (one.chosen(None), two.chosen("bedroom")) == ("hall", "bedroom")
    for config, name in ((two, None), (two, "attic"), (one, "attic")):
        with pytest.raises(ConfigError, match="--camera: must be one of hall"):
            config.chosen(name)


def test_only_what_becomes_of_frames_lets_a_camera_go_on():
    camera = Config().first
    assert camera.reads_like(Config(people={"falls": False}, privacy={"pictures": "full"}).first)
    assert not camera.reads_like(Config(cameras={"camera": {"fps": 5.0}}).first)
