"""The sources of a configuration, their order, and an overlay that is damaged."""

from __future__ import annotations

import os

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from posed.config import (
    Config,
    keep,
    load,
    load_for_daemon,
)
from posed.errors import ConfigError
from tests.configs import problems, write


def test_without_a_file_everything_is_at_its_default():
    assert load(None, {}) == Config()


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


def test_an_overlay_that_we_may_not_read_is_a_problem(tmp_path):
    overlay = tmp_path / ("x" * 300)
    with pytest.raises(ConfigError) as caught:
        load(None, {}, overlay=overlay)
    assert caught.value.problems == (f"{overlay}: must be readable or not there (File name too long)",)


def test_an_overlay_has_all_zones_or_none(tmp_path):
    square = "polygon: [[0, 0], [1, 0], [1, 1]]"
    file = write(tmp_path, f"cameras: {{hall: {{zones: {{a: {{{square}}}, b: {{{square}}}}}}}}}\n")
    overlay = write(tmp_path, f"cameras: {{hall: {{zones: {{c: {{{square}}}}}}}}}\n", "overlay.yaml")
    assert set(load(file, {}, overlay=overlay).first.zones) == {"c"}


def test_an_overlay_that_is_not_there_is_no_problem(tmp_path):
    assert load(None, {}, overlay=tmp_path / "overlay.yaml") == Config()


DAMAGED = [
    b"\xff\xfe",
    b"\0" * 4096,
    b"decode: [",
    b"- 1",
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
    file, overlay = write(tmp_path, "cameras: {hall: {fps: 0}}"), write(tmp_path, "decode: [", "overlay.yaml")
    with pytest.raises(ConfigError) as raised:
        load_for_daemon(file, overlay)
    assert raised.value.problems == ("cameras.hall.fps: must be at least 1, got 0",)
    assert overlay.exists()


def test_a_good_overlay_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    overlay = write(tmp_path, "decode: {max_people: 3}", "overlay.yaml")
    config, names = load_for_daemon(None, overlay)
    assert (config.decode.max_people, names) == (3, ["decode.max_people"])
    assert overlay.exists()


ROOMS = "cameras: {hall: {fps: 5, people: {falls: false}}, bedroom: {}}"


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        ("decode: {max_people: 0}", "decode.max_people: must be at least 1, got 0"),
        ("decode: 3", "decode: must be settings as `name: value`, got int"),
        ("people: {zones: {a: 3}}", "people.zones: unknown key; each camera has its own"),
        ("cameras: {hall: {people: {smoothing: 3}}}", "cameras.hall.people.smoothing: must be true or false"),
        (
            "cameras: {hall: {zones: {a: {polygon: [[0, 0]]}}}}",
            "cameras.hall.zones.a.polygon: must have 3 to",
        ),
        ("cameras: 3", "cameras: must be settings as `name: value`, got int"),
        ("camera: {fps: 3}", "camera: unknown key"),
        ("cameras: {hall: {engine: {threads: 1}}}", "cameras.hall.engine: unknown key"),
        ("cameras: {hall: null}", "cameras.hall: must have a value, got nothing"),
        ("cameras: {hall: {kind: null}}", "cameras.hall.kind: must have a value, got nothing"),
        ("cameras: null", "cameras: must have a value, got nothing"),
        ("people: null", "people: must have a value, got nothing"),
        ("mqtt: {port: null}", "mqtt.port: must have a value, got nothing"),
    ],
)
def test_a_bad_setting_of_the_overlay_is_left_out_alone(tmp_path, monkeypatch, caplog, content, warning):
    monkeypatch.setattr(os, "environ", {})
    text = f"{content}\nlog: {{level: debug}}"
    file, overlay = write(tmp_path, ROOMS), write(tmp_path, text, "overlay.yaml")
    config, names = load_for_daemon(file, overlay)
    assert (config.log.level, names) == ("debug", ["log.level"])
    assert config.cameras == load(file, {}).cameras
    assert [message for message in caplog.messages if message.startswith(f"{overlay}: left out: {warning}")]
    assert overlay.read_text() == text


def test_what_belongs_to_another_camera_is_skipped_and_kept(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(os, "environ", {})
    text = "cameras: {attic: {people: {falls: true}}, hall: {people: {falls: true}}}"
    overlay = write(tmp_path, text, "overlay.yaml")
    config, names = load_for_daemon(write(tmp_path, ROOMS), overlay)
    assert (list(config.cameras), names) == (["hall", "bedroom"], ["cameras.hall.people.falls"])
    assert config.cameras["hall"].people.falls
    assert caplog.messages == [f"{overlay}: cameras.attic: skipped, as there is no such camera"]
    keep(overlay, config, ["people.smoothing"], "bedroom")
    assert yaml.safe_load(overlay.read_text())["cameras"]["attic"] == {"people": {"falls": True}}


def test_null_in_the_overlay_takes_back_what_the_file_says(tmp_path):
    overlay = write(tmp_path, "cameras: {hall: {people: {falls: null}}}", "overlay.yaml")
    assert load(write(tmp_path, ROOMS), {}, overlay=overlay).cameras["hall"].people.falls


def test_of_many_problems_the_first_are_told(tmp_path):
    lines = problems(write(tmp_path, "\n".join(f"k{number}: 1" for number in range(5000))))
    assert (len(lines), lines[-1]) == (101, "and 4900 more problems")


YAML_PIECES = st.sampled_from(
    [
        *(
            "camera",
            "cameras",
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
