"""The configuration: sources and their order, secrets, and every problem in one go."""

from __future__ import annotations

import math
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import get_origin

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from posed.config import (
    Config,
    bounds_of,
    changed,
    keep,
    kept,
    live_settings,
    live_values,
    load,
    load_for_daemon,
    mqtt_password,
    secrets,
)
from posed.config.yaml_file import read_yaml
from posed.errors import ConfigError
from tests.conftest import ROOT

ZONE = {"polygon": [[0, 0], [1, 0], [1, 1]]}


def write(folder: Path, text: str, name: str = "posed.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path | None, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(path, environment or {})
    return list(raised.value.problems)


def test_without_a_file_everything_is_at_its_default():
    assert load(None, {}) == Config()


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
    assert _names(uncommented) == _names_of(Config)


def _is_setting(line: str) -> bool:
    name, colon, _ = line.lstrip(" #").partition(":")
    return bool(colon) and name in {name for names in _names_of(Config) for name in names.split(".")}


def _names(tree: dict, path: str = "") -> set[str]:
    names = set()
    for key, value in tree.items():
        names |= _names(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}"}
    return names


def _names_of(section: type[BaseModel], path: str = "") -> set[str]:
    names = set()
    for name, field in section.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        # Zones have names of their owner's.
        below = f"{path}{name}.NAME." if get_origin(field.annotation) is dict else f"{path}{name}."
        names |= _names_of(inner[0], below) if inner else {f"{path}{name}"}
    return names


def test_the_demo_file_is_good():
    assert load(ROOT / "config" / "demo.yaml", {}).camera.kind == "synthetic"


def test_later_sources_win(tmp_path):
    file = write(tmp_path, "mqtt: {host: file, port: 1}\ndecode: {max_people: 1}\nlog: {level: debug}\n")
    overlay = write(tmp_path, "mqtt: {port: 2}\ndecode: {max_people: 2}\n", "overlay.yaml")
    config = load(file, {"POSED_DECODE__MAX_PEOPLE": "3"}, overlay=overlay)
    assert (config.log.level, config.mqtt.host, config.mqtt.port) == ("debug", "file", 2)
    assert config.decode.max_people == 3
    assert (
        load(file, {}, overlay=overlay, options={"decode.max_people": ("--max-people", 4)}).decode.max_people
        == 4
    )


def test_an_overlay_has_all_zones_or_none(tmp_path):
    square = "polygon: [[0, 0], [1, 0], [1, 1]]"
    file = write(tmp_path, f"people: {{zones: {{a: {{{square}}}, b: {{{square}}}}}}}\n")
    overlay = write(tmp_path, f"people: {{zones: {{c: {{{square}}}}}}}\n", "overlay.yaml")
    assert set(load(file, {}, overlay=overlay).people.zones) == {"c"}


def test_settings_change_at_run_time_where_they_may():
    config = changed(Config(), {"decode.score_threshold": 0.4, "people.zones": {"a": ZONE}})
    assert (config.decode.score_threshold, set(config.people.zones)) == (0.4, {"a"})
    assert config.decode.keypoint_threshold == Config().decode.keypoint_threshold


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"decode.score_threshold": 2}, "decode.score_threshold: must be less than 1, got 2"),
        ({"decode.score_threshold": "0.4"}, "decode.score_threshold: must be a number, got '0.4'"),
        ({"people.zones": {"a": {"polygon": [[0, 0]]}}}, "people.zones.a.polygon: must have 3 to"),
        (
            {"people.zones": {str(number): ZONE for number in range(51)}},
            "people.zones: must be at most 50 zones",
        ),
        ({"people.zones": {"n" * 65: ZONE}}, "must be at most 64 characters"),
        ({"privacy.pictures": "full"}, "privacy.pictures: must be a setting that can be changed at run time"),
        ({"mqtt.host": "x"}, "mqtt.host: must be a setting that can be changed at run time"),
        ({"decode": {}}, "decode: must be a setting that can be changed at run time"),
        ({"decode.score_treshold": 1}, "did you mean decode.score_threshold?"),
        ({"a\nb": 1}, "'a\\nb': must be a setting"),
    ],
)
def test_a_change_is_looked_at_as_the_file_is(settings, problem):
    with pytest.raises(ConfigError) as raised:
        changed(Config(), settings)
    assert problem in str(raised.value)


def test_a_password_stays_secret_and_itself_through_a_change():
    config = Config(mqtt={"username": "posed", "password": "c4nary"})
    assert mqtt_password(changed(config, {"log.level": "debug"}).mqtt) == "c4nary"
    assert "c4nary" not in str(live_values(config))


def test_changed_settings_are_kept_in_the_overlay_beside_others(tmp_path):
    overlay = write(tmp_path, "decode: {max_people: 3}\n", "overlay.yaml")
    config = changed(Config(), {"decode.score_threshold": 0.4, "people.zones": {"a": ZONE}})
    keep(overlay, config, ["decode.score_threshold", "people.zones"])
    assert kept(overlay) == ["decode.max_people", "decode.score_threshold", "people.zones"]
    again = load(None, {}, overlay=overlay)
    assert again.decode.max_people == 3
    assert again.decode.score_threshold == 0.4
    assert again.people == config.people


@pytest.mark.parametrize("content", [None, "", "decode: 3\n"])
def test_an_overlay_that_is_none_has_no_settings(tmp_path, content):
    overlay = tmp_path / "overlay.yaml"
    if content is not None:
        overlay.write_text(content)
    assert kept(overlay) == []


DAMAGED = [
    b"\xff\xfe",
    b"\0" * 4096,
    b"decode: [",
    b"- 1",
    b"decode: {max_people: 0}",
    b"decode: 3",
    b"!secret x",
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_overlay_is_set_aside(tmp_path, monkeypatch, caplog, content):
    monkeypatch.setattr(os, "environ", {})
    file, overlay = write(tmp_path, "decode: {max_people: 7}\n"), tmp_path / "overlay.yaml"
    for _ in range(2):  # again, in place of the one before
        overlay.write_bytes(content)
        config, names = load_for_daemon(file, overlay)
        assert (config.decode.max_people, names) == (7, [])
        assert (tmp_path / "overlay.yaml.damaged").read_bytes() == content
        assert not overlay.exists()
    assert caplog.messages[-1].startswith(
        f"{overlay}: damaged, so what requests changed is left out (now overl"
    )


def test_an_overlay_that_cannot_even_be_renamed_is_left_out(tmp_path, monkeypatch, caplog):
    """As on a read-only disk, which root's tests cannot have otherwise."""
    monkeypatch.setattr(os, "environ", {})
    overlay = write(tmp_path, "decode: [", "overlay.yaml")
    (tmp_path / "overlay.yaml.damaged").mkdir()
    assert load_for_daemon(None, overlay) == (Config(), [])
    assert overlay.exists()
    assert "cannot be renamed: Is a directory" in caplog.text


def test_a_bad_configuration_is_not_the_overlays_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    file, overlay = write(tmp_path, "camera: {fps: 0}"), write(tmp_path, "decode: [", "overlay.yaml")
    with pytest.raises(ConfigError) as raised:
        load_for_daemon(file, overlay)
    assert raised.value.problems == ("camera.fps: must be at least 1, got 0",)
    assert overlay.exists()


def test_a_good_overlay_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    overlay = write(tmp_path, "decode: {max_people: 3}", "overlay.yaml")
    config, names = load_for_daemon(None, overlay)
    assert (config.decode.max_people, names) == (3, ["decode.max_people"])
    assert overlay.exists()


def test_a_change_is_kept_beside_a_damaged_overlay(tmp_path):
    overlay = write(tmp_path, "decode: [", "overlay.yaml")
    keep(overlay, Config(), ["decode.max_people"])
    assert kept(overlay) == ["decode.max_people"]
    assert (tmp_path / "overlay.yaml.damaged").read_text() == "decode: ["


def test_settings_that_change_at_run_time_are_those_that_are_marked():
    names = set(live_settings())
    assert {"decode.score_threshold", "people.zones", "mqtt.poses.max_rate_hz", "log.level"} < names
    assert not {name for name in names if name.startswith(("privacy.", "camera.", "web.", "mqtt.host"))}
    assert set(live_values(Config())) == names


@pytest.mark.parametrize(
    ("setting", "bounds"), [("decode.score_threshold", (0.01, 0.99)), ("mqtt.poses.max_rate_hz", (0, 240))]
)
def test_bounds_are_those_of_the_rules(setting, bounds):
    assert bounds_of(setting, 0.01) == bounds


def test_off_needs_no_quotes(tmp_path):
    file = write(
        tmp_path, "privacy: {pictures: off}\nhomeassistant: {discovery: off}\nmqtt: {poses: {publish: off}}\n"
    )
    config = load(file, {})
    assert (config.privacy.pictures, config.homeassistant.discovery, config.mqtt.poses.publish) == (
        "off",
    ) * 3


def test_an_overlay_that_is_not_there_is_no_problem(tmp_path):
    assert load(None, {}, overlay=tmp_path / "overlay.yaml") == Config()


def test_every_problem_is_listed_with_path_rule_and_what_came(tmp_path):
    file = write(
        tmp_path,
        "camera: {fps: 0, kind: vide, szie: [1, 2], rotate: 45, size: [1, 2, 3]}\n"
        "decode: {score_threshold: 1.5, nms_radius_px: .nan}\n"
        "engine: {device: gpu, threads: two}\n"
        "mqtt: {port: true, topic: 'a/+'}\n"
        "modle: {}\n"
        "log: 3\n",
    )
    assert problems(file) == [
        "camera.kind: must be picamera2, video, images or synthetic, got 'vide'",
        "camera.size: must be a list of two whole numbers, got [1, 2, 3]",
        "camera.fps: must be at least 1, got 0",
        "camera.rotate: must be 0, 90, 180 or 270, got 45",
        "camera.szie: unknown key; did you mean size?",
        "engine.device: must be empty, usb, usb:N, pci, pci:N or :N, got 'gpu'",
        "engine.threads: must be a whole number, got 'two'",
        "decode.score_threshold: must be less than 1, got 1.5",
        "decode.nms_radius_px: must be a finite number, got nan",
        "mqtt.port: must be a whole number, got True",
        "mqtt.topic: must be levels of letters, digits, - and _, joined by /, got 'a/+'",
        "log: must be settings as `name: value`, got int",
        "modle: unknown key; did you mean model?",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("camera: {kind: video}", "camera.source: needed by kind video, got nothing"),
        ("engine: {idle_fps: 0.1}", "engine.idle_fps: must be 0 or at least 0.5, got 0.1"),
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


@pytest.mark.parametrize("section", sorted({name.rpartition(".")[0] for name in _names_of(Config)}))
def test_an_unknown_key_is_found_in_every_section(tmp_path, section):
    text = "nonsense: 1"
    if section == "people.zones.NAME":
        text += ", polygon: [[0, 0], [1, 0], [0, 1]]"
    for level in reversed(section.split(".") if section else []):
        text = f"{level}: {{{text}}}"
    (line,) = problems(write(tmp_path, text))
    assert line.startswith(f"{section}.nonsense: unknown key; ".removeprefix("."))


def test_every_bad_zone_is_listed_with_its_name(tmp_path):
    file = write(
        tmp_path,
        "people:\n"
        "  zones:\n"
        "    crossed: {polygon: [[0, 0], [1, 1], [1, 0], [0, 1]], knd: normal}\n"
        "    flat: {polygon: [[0, 0], [1, 0]], kind: sofa}\n"
        "    outside: {polygon: [[0, 0], [1.5, 0], [1, 1]]}\n"
        "    back: {polygon: [[0, 0], [1, 0], [0.5, 0]]}\n"
        "    thin: {polygon: [[0, 0], [1, 0], [0.5, 0.0001]]}\n"
        "    twice: {polygon: [[0, 0], [1, 0], [1, 1], [0, 0]]}\n"
        "    a/b: {polygon: [[0, 0], [1, 0], [0.5, 1]]}\n"
        "    text: {polygon: [[0, 0], [1, a], [0.5, 1]]}\n"
        "    three: {polygon: [[0, 0], [1, 0, 1], [0.5, 1]]}\n"
        "    empty: {}\n"
        "camera: {kind: video}\n",
    )
    assert problems(file) == [
        "camera.source: needed by kind video, got nothing",
        "people.zones.crossed.polygon: must not cross itself, got sides from [0, 0] and [1, 0] that meet",
        "people.zones.crossed.knd: unknown key; did you mean kind?",
        "people.zones.flat.polygon: must have 3 to 100 points, got 2",
        "people.zones.flat.kind: must be normal, resting, exclude or exit, got 'sofa'",
        "people.zones.outside.polygon: must be inside the frame, 0 to 1, got [1.5, 0]",
        "people.zones.back.polygon: must not cross itself, got sides from [0, 0] and [1, 0] that meet",
        "people.zones.thin.polygon: must enclose at least 0.0001 of the frame, got 5e-05",
        "people.zones.twice.polygon: must have each point once, got [0, 0] twice",
        "people.zones.a/b: must be letters, digits, - and _ only (it is one level of an MQTT topic), "
        "got 'a/b'",
        "people.zones.text.polygon.1.1: must be a number, got 'a'",
        "people.zones.three.polygon.1: must be a point [x, y], got [1, 0, 1]",
        "people.zones.empty.polygon: must be a list of points [x, y], got {}",
    ]


def test_a_zone_that_stands_there_twice_is_refused_with_its_place(tmp_path):
    zone = "polygon: [[0, 0], [1, 0], [0, 1]]"
    file = write(tmp_path, f"people:\n  zones:\n    bed: {{{zone}}}\n    bed: {{{zone}}}\n")
    assert problems(file) == [f"{file}:4:5: the key 'bed' stands here twice"]


def test_a_zone_can_come_from_the_environment():
    zones = "{bed: {polygon: [[0, 0], [1, 0], [0, 1]], kind: resting}}"
    (zone,) = load(None, {"POSED_PEOPLE__ZONES": zones}).people.zones.values()
    assert (zone.kind, zone.polygon) == ("resting", ((0, 0), (1, 0), (0, 1)))


def test_rules_across_fields_are_looked_at_beside_other_problems(tmp_path):
    text = "camera: {kind: video, fps: 0}\nmqtt: {password: x, port: 0, hots: y}\n"
    assert sorted(problems(write(tmp_path, text))) == [
        "camera.fps: must be at least 1, got 0",
        "camera.source: needed by kind video, got nothing",
        "mqtt.hots: unknown key; did you mean host?",
        "mqtt.port: must be at least 1, got 0",
        "mqtt.username: needed beside a password, got nothing",
    ]


def test_a_wrong_field_is_not_missed_by_a_rule_as_well(tmp_path):
    assert problems(write(tmp_path, "mqtt: {username: 3, password: x}")) == [
        "mqtt.username: must be text (put it in quotes), got 3"
    ]


def test_a_section_without_settings_is_at_its_defaults(tmp_path):
    assert load(write(tmp_path, "mqtt:\ncamera:\n"), {}) == Config()


def test_a_cameras_number_may_be_a_number(tmp_path):
    assert load(write(tmp_path, "camera: {kind: video, source: 0}"), {}).camera.source == "0"


def test_a_name_with_control_characters_is_shown_harmlessly(tmp_path):
    (line,) = problems(write(tmp_path, 'camera: {"a\\nb\\e[31m": 2}'))
    assert line.startswith(r"camera.'a\nb\x1b[31m': unknown key")


def test_a_password_of_the_wrong_type_is_not_shown(tmp_path):
    assert problems(write(tmp_path, "mqtt: {username: u, password: 123456}")) == [
        "mqtt.password: must be text (put it in quotes), got int"
    ]


def test_a_problem_says_when_it_comes_from_the_environment():
    assert problems(None, {"POSED_MQTT__PORT": "0"}) == [
        "mqtt.port: must be at least 1, got 0 (set by POSED_MQTT__PORT)"
    ]


def test_an_unknown_variable_is_a_problem_with_the_nearest_name():
    assert problems(None, {"POSED_MQTT__HSOT": "a"}) == [
        "POSED_MQTT__HSOT: unknown setting; did you mean POSED_MQTT__HOST?"
    ]


def test_text_from_the_environment_stays_text():
    config = load(None, {"POSED_MQTT__USERNAME": "007", "POSED_MQTT__PASSWORD": "1234"})
    assert (config.mqtt.username, mqtt_password(config.mqtt)) == ("007", "1234")
    assert load(None, {"POSED_MQTT__PROTOCOL": "5"}).mqtt.protocol == "5"


def test_a_list_from_the_environment_is_yaml():
    assert load(None, {"POSED_CAMERA__SIZE": "[640, 480]"}).camera.size == (640, 480)


def test_a_missing_file_is_said(tmp_path):
    path = tmp_path / "none.yaml"
    assert problems(path) == [f"{path}: must be a readable YAML file (No such file or directory)"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("camera: {fps: 1", ":1:16: expected ',' or '}', but got '<stream end>'"),
        ("a: 1\na: 2", ":2:1: the key 'a' stands here twice"),
        ("- 1", ": must be settings as `name: value`, got a list"),
        ("c4nary", ": must be settings as `name: value`, got a single value"),
        ("a: &x [1]\nb: 2", ":1:4: anchors and aliases are not allowed (put text that begins with & or"),
        ("a: 1\nb: *x", ":2:4: anchors and aliases are not allowed (put text that begins with & or"),
        (
            "a: !!python/object:os.system x",
            ":1:4: no such tag is known (put text that begins with ! in quotes)",
        ),
        ("[1, 2]: 3", ":1:1: a setting's name must be plain text"),
        ("? {a: 1}\n: 2", ":1:3: a setting's name must be plain text"),
        ("a: \0", ": must be YAML, got unacceptable character #x0000: "),
        ("a: 2020-13-45", ":1:4: must be a value of its type (put text in quotes)"),
        ("a: !!bool c4nary", ":1:4: must be a value of its type (put text in quotes)"),
    ],
)
def test_broken_yaml_is_one_line_with_its_place(tmp_path, text, problem):
    path = write(tmp_path, text)
    (line,) = problems(path)
    assert line.startswith(f"{path}{problem}")
    assert "\n" not in line


def test_a_file_that_is_no_text_is_said(tmp_path):
    path = tmp_path / "posed.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    (line,) = problems(path)
    assert line.startswith(f"{path}: must be a readable YAML file (")


def test_deep_nesting_is_refused_not_a_crash(tmp_path):
    (line,) = problems(write(tmp_path, "[" * 5000))
    assert line.startswith(str(tmp_path))


@pytest.mark.parametrize(
    "text", ["0x" + "f" * 9000, "1" + "_1" * 900, "9223372036854775808", "1" + "0" * 400]
)
def test_a_huge_number_is_one_line(tmp_path, text):
    (line,) = problems(write(tmp_path, f"mqtt: {{port: {text}}}"))
    assert line.endswith(":1:14: a number must have at most 18 digits")


@pytest.mark.parametrize("text", ["1:30", "1:30.5", "1" + ":1" * 400 + ".5"])
def test_a_number_with_colons_is_refused(tmp_path, text):
    """In YAML 1.1 the first is 90, and many of them take seconds to be read."""
    (line,) = problems(write(tmp_path, f"camera: {{fps: {text}}}"))
    assert line.endswith(":1:15: a number must have no colons (put text in quotes)")


def test_a_file_of_secrets_is_read_once(tmp_path, monkeypatch):
    reads = []
    monkeypatch.setattr(secrets, "read_yaml", counting(read_yaml, reads))
    write(tmp_path, "a: x\n", "secrets.yaml")
    load(write(tmp_path, "mqtt: {username: !secret a, password: !secret a}"), {})
    assert [path.name for path in reads] == ["posed.yaml", "secrets.yaml"]
    write(tmp_path, "a: [", "secrets.yaml")  # also where it is broken
    assert len(problems(write(tmp_path, "mqtt: {username: !secret a, password: !secret a}"))) == 2
    assert [path.name for path in reads[2:]] == ["posed.yaml", "secrets.yaml"]


def counting(read: Callable[..., object], reads: list[Path]) -> Callable[..., object]:
    def counted(path: Path, *rest: object) -> object:
        reads.append(path)
        return read(path, *rest)

    return counted


def test_a_secret_leads_to_no_other(tmp_path):
    """Three thousand that do would never be done."""
    write(tmp_path, "\n".join(f"k{number}: !secret k0" for number in range(3000)), "secrets.yaml")
    line, _ = problems(write(tmp_path, "device: !secret k0"))
    assert "secrets.yaml:1:5: no such tag is known" in line


def test_of_many_missing_secrets_the_first_are_told(tmp_path):
    lines = problems(write(tmp_path, f"people: {{zones: {{a: [{'!secret x, ' * 5000}]}}}}"))
    assert sum("!secret x" in line for line in lines) == 100


def test_an_overlay_that_could_not_be_read_again_is_not_written(tmp_path):
    angles = [2 * math.pi * number / 100 for number in range(100)]
    corners = [[0.5 + math.cos(angle) / 3, 0.5 + math.sin(angle) / 3] for angle in angles]
    zones = {f"zone{number}": {"polygon": corners} for number in range(50)}
    overlay = tmp_path / "overlay.yaml"
    config = Config(people={"zones": zones})
    with pytest.raises(ConfigError, match="must be at most 65536 bytes, got"):
        keep(overlay, config, ["people.zones"])
    assert not overlay.exists()


def bomb(levels: int) -> str:
    """Nine times as many at each level: a billion and more of nine."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_a_bomb_of_aliases_is_refused_before_it_grows(tmp_path):
    tracemalloc.start()
    began_at = time.process_time()
    try:
        (line,) = problems(write(tmp_path, bomb(12)))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ":1:5: anchors and aliases are not allowed" in line
    assert most_bytes < 10e6
    assert time.process_time() - began_at < 10


def test_a_bomb_in_a_variable_is_refused_too():
    (line,) = problems(None, {"POSED_PEOPLE__ZONES": "{a: &a [1], b: [*a, *a]}"})
    assert line == "POSED_PEOPLE__ZONES: must be a YAML value, got '{a: &a [1], b: [*a, *a]}'"


def test_a_huge_file_is_not_even_read(tmp_path):
    path = tmp_path / "posed.yaml"
    with path.open("wb") as file:
        file.truncate(10**12)  # a hole: takes no room on the disk
    assert problems(path) == [f"{path}: must be at most 65536 bytes, got more"]


def test_of_many_problems_the_first_are_told(tmp_path):
    lines = problems(write(tmp_path, "\n".join(f"k{number}: 1" for number in range(5000))))
    assert (len(lines), lines[-1]) == (101, "and 4900 more problems")


YAML_PIECES = st.sampled_from(
    [
        *(
            "camera",
            "fps",
            "mqtt",
            "port",
            "device",
            "people",
            "zones",
            "polygon",
            "password",
            "x",
            "!secret",
        ),
        *(
            ": ",
            ":",
            "- ",
            ", ",
            "\n",
            "\n  ",
            "{",
            "}",
            "[",
            "]",
            "&a ",
            "*a",
            "<<",
            "? ",
            "| ",
            "> ",
            "#",
            "~",
        ),
        *(
            "'",
            '"',
            "%",
            "@",
            "`",
            "---",
            "...",
            "!!int ",
            "!!float ",
            "!!set ",
            "!!omap ",
            "!!binary ",
            "!!x ",
        ),
        *(
            "0",
            "1",
            "-1",
            "1e999",
            ".inf",
            ".nan",
            "0x",
            "0b",
            "0o7",
            "2020-13-45",
            "1:1",
            "yes",
            "null",
            "\t",
        ),
    ]
)


@given(st.lists(st.one_of(YAML_PIECES, st.text(max_size=5)), max_size=40).map("".join))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_the_file_holds_it_is_a_configuration_or_lines(tmp_path, text):
    path = tmp_path / "posed.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    lines: tuple[str, ...] = ("good",)
    try:
        load(path, {})
    except ConfigError as error:
        lines = error.problems
    assert lines
    assert not any("\n" in line for line in lines)


def test_a_secret_comes_from_the_file_beside(tmp_path):
    write(tmp_path, "mqtt: s3cret\n", "secrets.yaml")
    config = load(write(tmp_path, "mqtt: {username: u, password: !secret mqtt}"), {})
    assert mqtt_password(config.mqtt) == "s3cret"
    assert "s3cret" not in repr(config)


def test_a_secret_comes_from_a_systemd_credential(tmp_path, monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    write(credentials, "s3cret\n", "mqtt")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    config = load(write(tmp_path, "mqtt: {username: u, password: !secret mqtt}"), {})
    assert mqtt_password(config.mqtt) == "s3cret"


def test_root_reads_a_credential_where_systemd_takes_it_from(tmp_path, monkeypatch):
    """As `posed doctor` and `posed check` do while the service is down."""
    empty, store = tmp_path / "etc", tmp_path / "run"
    store.mkdir()
    write(store, "s3cret\n", "posed.mqtt")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(secrets, "CREDENTIAL_STORES", (empty, store))
    config = load(write(tmp_path, "mqtt: {username: u, password: !secret mqtt}"), {})
    assert mqtt_password(config.mqtt) == "s3cret"
    assert "got neither" in problems(write(tmp_path, "mqtt: {username: u, password: !secret web}"))[0]


def test_a_store_of_credentials_that_may_not_be_looked_into_is_said(tmp_path, monkeypatch):
    class Closed(type(tmp_path)):
        def is_file(self, **_: object) -> bool:
            raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(secrets, "CREDENTIAL_STORES", (Closed(tmp_path / "etc"),))
    (line,) = problems(write(tmp_path, "mqtt: {username: u, password: !secret mqtt}"))
    assert line.endswith(f"got neither; {tmp_path}/etc only root may look into")


def test_a_missing_secret_is_said(tmp_path):
    path = write(tmp_path, "mqtt: {username: u, password: !secret mqtt}")
    assert problems(path) == [
        f"{path}:1:31: !secret mqtt: must be in {tmp_path}/secrets.yaml or a systemd credential, got neither"
    ]


def test_a_missing_secret_does_not_hide_other_problems(tmp_path):
    path = write(tmp_path, "mqtt: {username: u, password: !secret mqtt}\ncamera: {fps: 0}")
    secret, fps = problems(path)
    assert "!secret mqtt" in secret
    assert fps == "camera.fps: must be at least 1, got 0"


def test_a_variable_that_is_no_yaml_value_is_said():
    assert problems(None, {"POSED_CAMERA__FPS": "2020-13-45"}) == [
        "POSED_CAMERA__FPS: must be a YAML value, got '2020-13-45'"
    ]


def test_a_password_file_gives_its_first_line(tmp_path):
    password = write(tmp_path, "s3cret\nmore\n", "password")
    config = load(write(tmp_path, f"mqtt: {{username: u, password_file: {password}}}"), {})
    assert mqtt_password(config.mqtt) == "s3cret"


@pytest.mark.parametrize("content", [None, ""])
def test_a_password_file_that_holds_nothing_is_a_problem(tmp_path, content):
    password = tmp_path / "password"
    if content is not None:
        password.write_text(content)
    config = load(write(tmp_path, f"mqtt: {{username: u, password_file: {password}}}"), {})
    with pytest.raises(ConfigError, match=r"^mqtt\.password_file: must "):
        mqtt_password(config.mqtt)


@pytest.mark.parametrize("text", ["device: !!timestamp abc", "mqtt: {password: !canary!x }"])
def test_a_tag_that_means_nothing_is_refused_in_one_line_without_what_it_marks(tmp_path, text):
    path = tmp_path / "posed.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert len(caught.value.problems) == 1
    assert "canary" not in str(caught.value)
