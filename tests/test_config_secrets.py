"""Secrets from the file beside the configuration, from systemd, and from a password file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from posed.config import (
    load,
    mqtt_password,
    secrets,
)
from posed.config.yaml_file import read_yaml
from posed.errors import ConfigError
from tests.configs import problems, write


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


def test_a_closed_store_of_credentials_is_named(tmp_path, monkeypatch):
    class Closed(type(tmp_path)):
        def stat(self, **_: object) -> os.stat_result:
            raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(secrets, "CREDENTIAL_STORES", (Closed(tmp_path / "etc"),))
    (line,) = problems(write(tmp_path, "mqtt: {username: u, password: !secret mqtt}"))
    assert line.endswith(f"got neither; {tmp_path}/etc only root may look into")


def test_secrets_that_cannot_be_looked_at_are_not_missing(tmp_path):
    """Of a link to itself exists() says that there is none, and of a closed folder Python 3.14's does."""
    (tmp_path / "secrets.yaml").symlink_to("secrets.yaml")
    (line,) = problems(write(tmp_path, "mqtt: {username: u, password: !secret mqtt}"))
    assert f"{tmp_path}/secrets.yaml: must be a readable YAML file (" in line


def test_a_missing_secret_is_said(tmp_path):
    path = write(tmp_path, "mqtt: {username: u, password: !secret mqtt}")
    assert problems(path) == [
        f"{path}:1:31: !secret mqtt: must be in {tmp_path}/secrets.yaml or a systemd credential, got neither"
    ]


def test_a_missing_secret_does_not_hide_other_problems(tmp_path):
    path = write(tmp_path, "mqtt: {username: u, password: !secret mqtt}\ncameras: {hall: {fps: 0}}")
    secret, fps = problems(path)
    assert "!secret mqtt" in secret
    assert fps == "cameras.hall.fps: must be at least 1, got 0"


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


def test_a_secret_that_is_a_comment_has_no_value(tmp_path):
    write(tmp_path, "mqtt: #abc\n", "secrets.yaml")
    path = write(tmp_path, "mqtt: {username: u, password: !secret mqtt}")
    assert problems(path) == [
        f"{path}:1:31: !secret mqtt: has no value in {tmp_path}/secrets.yaml "
        "(what follows a # is a comment: put it in quotes)"
    ]


def test_a_secret_leads_to_no_other(tmp_path):
    """Three thousand that do would never be done."""
    write(tmp_path, "\n".join(f"k{number}: !secret k0" for number in range(3000)), "secrets.yaml")
    line, _ = problems(write(tmp_path, "device: !secret k0"))
    assert "secrets.yaml:1:5: no such tag is known" in line


def test_of_many_missing_secrets_the_first_are_told(tmp_path):
    lines = problems(write(tmp_path, f"cameras: {{hall: {{zones: {{a: [{'!secret x, ' * 5000}]}}}}}}"))
    assert sum("!secret x" in line for line in lines) == 100


def test_a_password_file_gives_its_first_line(tmp_path):
    password = write(tmp_path, "s3cret\nmore\n", "password")
    config = load(write(tmp_path, f"mqtt: {{username: u, password_file: {password}}}"), {})
    assert mqtt_password(config.mqtt) == "s3cret"


def test_a_byte_order_mark_is_no_part_of_a_password(tmp_path):
    password = write(tmp_path, "\ufeffs3cret\n", "password")
    config = load(write(tmp_path, f"mqtt: {{username: u, password_file: {password}}}"), {})
    assert mqtt_password(config.mqtt) == "s3cret"


@pytest.mark.parametrize("content", [None, "", "\ufeff\n"])
def test_a_password_file_that_holds_nothing_is_a_problem(tmp_path, content):
    password = tmp_path / "password"
    if content is not None:
        password.write_text(content)
    config = load(write(tmp_path, f"mqtt: {{username: u, password_file: {password}}}"), {})
    with pytest.raises(ConfigError, match=r"^mqtt\.password_file: must "):
        mqtt_password(config.mqtt)
