"""Every problem in one line: where, the rule, and what came."""

from __future__ import annotations

import pytest

from posed.config import (
    Config,
)
from tests.configs import names_of, problems, write


def test_every_problem_is_listed_with_path_rule_and_what_came(tmp_path):
    file = write(
        tmp_path,
        "cameras: {hall: {fps: 0, kind: vide, szie: [1, 2], rotate: 45, size: [1, 2, 3]}}\n"
        "decode: {score_threshold: 1.5, nms_radius_px: .nan}\n"
        "engine: {device: gpu, threads: two}\n"
        "mqtt: {port: true, topic: 'a/+'}\n"
        "modle: {}\n"
        "log: 3\n",
    )
    assert problems(file) == [
        "cameras.hall.kind: must be picamera2, imx500, video, images or synthetic, got 'vide'",
        "cameras.hall.size: must be a list of two whole numbers, got [1, 2, 3]",
        "cameras.hall.fps: must be at least 1, got 0",
        "cameras.hall.rotate: must be 0, 90, 180 or 270, got 45",
        "cameras.hall.szie: unknown key; did you mean size?",
        "engine.device: must be empty, usb, usb:N, pci, pci:N or :N, got 'gpu'",
        "engine.threads: must be a whole number, got 'two'",
        "decode.score_threshold: must be less than 1, got 1.5",
        "decode.nms_radius_px: must be a finite number, got nan",
        "mqtt.port: must be a whole number, got True",
        "mqtt.topic: must be levels of letters, digits, - and _, joined by /, got 'a/+'",
        "log: must be settings as `name: value`, got int",
        "modle: unknown key; did you mean model?",
    ]


def test_a_list_of_text_is_no_list_of_numbers(tmp_path):
    names = ", ".join(f"host{number}" for number in range(21))
    file = write(tmp_path, f"web: {{frame_ancestors: 'http://ha.local', names: [{names}]}}")
    assert problems(file) == [
        "web.names: must be a list of at most 20",
        "web.frame_ancestors: must be a list, as `[first, second]`, got 'http://…'",
    ]


@pytest.mark.parametrize("section", sorted({name.rpartition(".")[0] for name in names_of(Config)}))
def test_an_unknown_key_is_found_in_every_section(tmp_path, section):
    text = "nonsense: 1"
    if section == "cameras.name.zones.name":
        text += ", polygon: [[0, 0], [1, 0], [0, 1]]"
    for level in reversed(section.split(".") if section else []):
        text = f"{level}: {{{text}}}"
    (line,) = problems(write(tmp_path, text))
    assert line.startswith(f"{section}.nonsense: unknown key; ".removeprefix("."))


def test_every_bad_zone_is_listed_with_its_name(tmp_path):
    file = write(
        tmp_path,
        "cameras:\n"
        "  hall:\n"
        "    zones:\n"
        "      crossed: {polygon: [[0, 0], [1, 1], [1, 0], [0, 1]], knd: normal}\n"
        "      flat: {polygon: [[0, 0], [1, 0]], kind: sofa}\n"
        "      outside: {polygon: [[0, 0], [1.5, 0], [1, 1]]}\n"
        "      back: {polygon: [[0, 0], [1, 0], [0.5, 0]]}\n"
        "      thin: {polygon: [[0, 0], [1, 0], [0.5, 0.0001]]}\n"
        "      twice: {polygon: [[0, 0], [1, 0], [1, 1], [0, 0]]}\n"
        "      a/b: {polygon: [[0, 0], [1, 0], [0.5, 1]]}\n"
        "      text: {polygon: [[0, 0], [1, a], [0.5, 1]]}\n"
        "      three: {polygon: [[0, 0], [1, 0, 1], [0.5, 1]]}\n"
        "      empty: {}\n",
    )
    assert problems(file) == [
        "cameras.hall.zones.crossed.polygon: must not cross itself, "
        "got sides from [0, 0] and [1, 0] that meet",
        "cameras.hall.zones.crossed.knd: unknown key; did you mean kind?",
        "cameras.hall.zones.flat.polygon: must have 3 to 100 points, got 2",
        "cameras.hall.zones.flat.kind: must be normal, resting, exclude or exit, got 'sofa'",
        "cameras.hall.zones.outside.polygon: must be inside the frame, 0 to 1, got [1.5, 0]",
        "cameras.hall.zones.back.polygon: must not cross itself, got sides from [0, 0] and [1, 0] that meet",
        "cameras.hall.zones.thin.polygon: must enclose at least 0.0001 of the frame, got 5e-05",
        "cameras.hall.zones.twice.polygon: must have each point once, got [0, 0] twice",
        "cameras.hall.zones.a/b: must be letters, digits, - and _ only (it is one level of an MQTT topic), "
        "got 'a/b'",
        "cameras.hall.zones.text.polygon.1.1: must be a number, got 'a'",
        "cameras.hall.zones.three.polygon.1: must be a point [x, y], got [1, 0, 1]",
        "cameras.hall.zones.empty.polygon: must be a list of points [x, y], got {}",
    ]


def test_a_name_with_control_characters_is_shown_harmlessly(tmp_path):
    (line,) = problems(write(tmp_path, 'cameras: {hall: {"a\\nb\\e[31m": 2}}'))
    assert line.startswith(r"cameras.hall.'a\nb\x1b[31m': unknown key")


def test_a_password_of_the_wrong_type_is_not_shown(tmp_path):
    assert problems(write(tmp_path, "mqtt: {username: u, password: 123456}")) == [
        "mqtt.password: must be text (put it in quotes), got int"
    ]


def test_an_old_camera_section_is_refused_with_the_new_one(tmp_path):
    file = write(
        tmp_path,
        "camera: {kind: video, source: 'rtsp://me:c4nary@cam/1', fps: 5}\n"
        "people: {zones: {bed: {polygon: [[0, 0], [1, 0], [0, 1]]}}}\n",
    )
    assert problems(file) == [
        "camera: cameras have names now, write cameras: {camera: {kind: video, source: 'rtsp://…', fps: 5, "
        "zones: {bed: {polygon: [[0, 0], [1, 0], [0, 1]]}}}}"
    ]


def test_what_is_shown_of_an_old_section_is_no_secret(tmp_path):
    write(tmp_path, "camera: c4nary", "secrets.yaml")
    file = write(tmp_path, "camera: {source: rtsp://cam/1, username: me, password: !secret camera}\n")
    (line,) = problems(file)
    assert line.endswith("write cameras: {camera: {source: 'rtsp://…', username: …, password: …}}")


def test_a_misplaced_secret_of_an_old_section_is_hidden(tmp_path):
    text = "camera: {source: ['rtsp://me:c4nary@cam/1'], password: [c4nary], x: {password: c4nary}}\n"
    (line,) = problems(write(tmp_path, text))
    assert "c4nary" not in line


def test_zones_for_all_cameras_are_refused(tmp_path):
    (line,) = problems(write(tmp_path, "people: {zones: {bed: {polygon: [[0, 0], [1, 0], [0, 1]]}}}\n"))
    assert line.startswith("people.zones: cameras have names now, write cameras: {camera: {zones: {bed:")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Hall", "must be 1 to 32 small letters, digits and _"),
        ("a-b", "must be 1 to 32 small letters, digits and _"),
        ("n" * 33, "must be 1 to 32 small letters, digits and _"),
        ("poses", "must be none of availability, state, events"),
        ("request", "must be none of availability, state, events"),
        ("metrics", "must be none of healthz, metrics"),
    ],
)
def test_a_cameras_name_is_a_level_of_topics(tmp_path, name, rule):
    (line,) = problems(write(tmp_path, f"cameras: {{{name}: {{}}}}"))
    assert line.startswith(f"cameras.{name}: {rule}")


def test_each_problem_names_its_camera(tmp_path):
    file = write(tmp_path, "cameras: {hall: {fps: 0}, bedroom: {people: {falls: 1}, zones: 3}}")
    assert problems(file) == [
        "cameras.hall.fps: must be at least 1, got 0",
        "cameras.bedroom.zones: must be settings as `name: value`, got int",
        "cameras.bedroom.people.falls: must be true or false, got 1",
    ]


def test_there_are_at_most_sixteen_cameras(tmp_path):
    cameras = ", ".join(f"c{number}: {{}}" for number in range(17))
    (line,) = problems(write(tmp_path, f"cameras: {{{cameras}}}"))
    assert line == "cameras: must be at most 16 cameras, got more"
