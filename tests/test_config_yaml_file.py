"""YAML files that are missing, broken or hostile."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from posed.config import (
    load,
)
from posed.errors import ConfigError
from tests.configs import problems, write


def test_a_missing_file_is_said(tmp_path):
    path = tmp_path / "none.yaml"
    assert problems(path) == [f"{path}: must be a readable YAML file (No such file or directory)"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cameras: {hall: {fps: 1", ":1:24: expected ',' or '}', but got '<stream end>'"),
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


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("@abc", "3:13: found character '@' that cannot start any token"),
        ("`abc", "3:13: found character '`' that cannot start any token"),
        ("%abc", "3:13: found character '%' that cannot start any token"),
        ("|abc", "3:14: expected chomping or indentation indicators, but found 'a'"),
        ("}abc", "3:13: expected the node content, but found '}'"),
        ("- abc", "3:13: sequence entries are not allowed here"),
        ("abc: x", "3:16: mapping values are not allowed here"),
        ("pa#ss: @x", "3:18: mapping values are not allowed here"),
        ('"abc"def', "3:18: expected <block end>, but found '<scalar>'"),
    ],
)
def test_text_that_needs_quotes_is_said_to_need_them(tmp_path, password, problem):
    path = write(tmp_path, f"mqtt:\n  username: u\n  password: {password}\ndevice: hall\n")
    assert problems(path) == [f"{path}:{problem} (put text with special characters in quotes)"]


@pytest.mark.parametrize("setting", ["password: #abc", "token:"])
def test_a_password_that_is_a_comment_is_refused(tmp_path, setting):
    path = write(tmp_path, f"mqtt:\n  {setting}\n")
    assert problems(path) == [
        f"{path}:2:{setting.index(':') + 4}: {setting.partition(':')[0]} has no value "
        "(what follows a # is a comment: put it in quotes)"
    ]


def test_a_password_may_be_null(tmp_path):
    assert load(write(tmp_path, "mqtt: {username: u, password: null}"), {}).mqtt.password is None


@pytest.mark.parametrize("password", ["[abc", "{abc", '"abc', "'abc"])
def test_what_is_never_closed_is_named_with_its_first_line(tmp_path, password):
    (line,) = problems(write(tmp_path, f"mqtt:\n  username: u\n  password: {password}\ndevice: hall\n"))
    assert line.endswith(" (put text with special characters in quotes, in line 3)")


def test_a_tab_is_said_to_be_one(tmp_path):
    (line,) = problems(write(tmp_path, "mqtt:\n\tusername: u\n"))
    assert line.endswith(
        r":2:1: found character '\t' that cannot start any token (indent with spaces, not with tabs)"
    )


NAMES = ("no", "on", "Yes", "007", "1e3", "2020-01-01", "null")


def test_a_zone_is_called_what_the_file_calls_it(tmp_path):
    """YAML 1.1 takes each of these for something other than text."""
    lines = [f"    {name}: {{polygon: [[0, 0], [1, 0], [0, 1]]}}\n" for name in NAMES]
    config = load(write(tmp_path, "cameras:\n hall:\n  zones:\n" + "".join(lines)), {})
    assert tuple(config.first.zones) == NAMES


@pytest.mark.parametrize("name", ["no", "007", "~"])
def test_a_problem_names_a_zone_as_the_file_does(tmp_path, name):
    (line, *_) = problems(write(tmp_path, f"cameras: {{hall: {{zones: {{{name}: {{polygon: [[0, 0]]}}}}}}}}"))
    assert line.startswith(f"cameras.hall.zones.{name}")


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    (tmp_path / "secrets.yaml").write_bytes("\ufeffmqtt: s3cret\n".encode())
    path = write(tmp_path, "\ufeffmqtt: {username: u, password: !secret mqtt}\n")
    password = load(path, {}).mqtt.password
    assert password is not None
    assert password.get_secret_value() == "s3cret"


def test_a_zone_named_twice_is_refused_with_its_place(tmp_path):
    zone = "polygon: [[0, 0], [1, 0], [0, 1]]"
    file = write(tmp_path, f"cameras:\n hall:\n  zones:\n    bed: {{{zone}}}\n    bed: {{{zone}}}\n")
    assert problems(file) == [f"{file}:5:5: the key 'bed' stands here twice"]


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
    (line,) = problems(write(tmp_path, f"cameras: {{hall: {{fps: {text}}}}}"))
    assert line.endswith(":1:23: a number must have no colons (put text in quotes)")


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


def test_a_huge_file_is_not_even_read(tmp_path):
    path = tmp_path / "posed.yaml"
    with path.open("wb") as file:
        file.truncate(10**12)  # a hole: takes no room on the disk
    assert problems(path) == [f"{path}: must be at most 65536 bytes, got more"]


@pytest.mark.parametrize("text", ["device: !!timestamp abc", "mqtt: {password: !canary!x }"])
def test_an_unknown_tag_is_refused_without_showing_its_value(tmp_path, text):
    path = tmp_path / "posed.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert len(caught.value.problems) == 1
    assert "canary" not in str(caught.value)
