"""What the sections allow, and the commented file that shows all of them."""

from __future__ import annotations

import pytest
import yaml

from posed.config import (
    Config,
    load,
)
from scripts.paths import ROOT
from tests.configs import names_of, problems, write


def test_the_commented_file_holds_the_defaults():
    assert load(ROOT / "config" / "posed.yaml", {}) == Config()


def test_the_commented_file_names_every_setting():
    text = (ROOT / "config" / "posed.yaml").read_text(encoding="utf-8")
    uncommented = yaml.safe_load(
        "\n".join(
            line.replace("# ", "", 1) if line.lstrip().startswith("# ") and _is_setting(line) else line
            for line in text.splitlines()
        ).replace("!secret ", "")
    )
    assert _names(uncommented) == names_of(Config)


def _is_setting(line: str) -> bool:
    name, colon, _ = line.lstrip(" #").partition(":")
    return bool(colon) and name in {name for names in names_of(Config) for name in names.split(".")}


def _names(tree: dict, path: str = "") -> set[str]:
    names = set()
    for key, value in tree.items():
        names |= _names(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}"}
    return names


def test_the_demo_file_is_good():
    assert load(ROOT / "config" / "demo.yaml", {}).camera.kind == "synthetic"


def test_off_needs_no_quotes(tmp_path):
    file = write(
        tmp_path, "privacy: {pictures: off}\nhomeassistant: {discovery: off}\nmqtt: {poses: {publish: off}}\n"
    )
    config = load(file, {})
    assert (config.privacy.pictures, config.homeassistant.discovery, config.mqtt.poses.publish) == (
        "off",
    ) * 3


def test_a_cameras_number_may_be_a_number(tmp_path):
    assert load(write(tmp_path, "camera: {kind: video, source: 0}"), {}).camera.source == "0"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("camera: {kind: video}", "camera.source: needed by kind video, got nothing"),
        ("engine: {idle_fps: 0.1}", "engine.idle_fps: must be 0 or at least 0.5, got 0.1"),
        (
            "camera: {kind: video, source: 'rtsp://cam/1', password: a}",
            "camera.username: needed beside a password, got nothing",
        ),
        (
            "camera: {kind: video, source: 'rtsp://me:a@cam/1', username: me}",
            "camera.username: must not stand beside a user in the URL of source, got both",
        ),
        (
            "camera: {kind: video, source: 0, username: me}",
            "camera.username: must stand beside a URL in source, got another source",
        ),
        ("camera: {size: [8, 480]}", "camera.size: both sides must be 16 to 8192, got [8, 480]"),
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
            "people: {zones: {bed: {polygon: [[0, 0], [1, 0], [0, 1]]},"
            " Bed: {polygon: [[0, 0], [1, 0], [0, 1]]}}}",
            "people.zones: must differ in more than capitals, got bed and Bed",
        ),
        ("camera: {fps: }", "camera.fps: must be a number, got nothing"),
        ("camera: {kind: }", "camera.kind: must be picamera2, video, images or synthetic, got nothing"),
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
