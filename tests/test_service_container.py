"""What posed refuses in a container, and how it knows that it is in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from posed.config import load
from posed.service.container import container_problems, in_container
from tests.brokers import free_port
from tests.run_posed import posed

IN_CONTAINER = {"container": "oci"}
NO_NAME = "device: must be set in a container, got none: by default it is the host's name, "
NO_KIND = "cameras.{}.kind: must be set in a container, got none: the default, picamera2, cannot be opened"
STREAM = {"kind": "video", "source": "rtsp://192.0.2.20/stream"}


@pytest.mark.parametrize(
    ("files", "environment", "contained"),
    [
        ([], {}, False),
        ([".dockerenv"], {}, True),
        (["run/.containerenv"], {}, True),
        ([], {"container": "podman"}, True),
        ([".dockerenv"], {"container": ""}, False),
        ([".dockerenv", "run/systemd/system/x"], {"container": "systemd-nspawn"}, False),
    ],
)
def test_a_container_is_known_by_its_marks(tmp_path, files, environment, contained):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert in_container(environment, tmp_path) is contained


@pytest.mark.parametrize(
    ("settings", "environment", "beginnings"),
    [
        ({}, {}, [NO_NAME, NO_KIND.format("camera")]),
        ({"device": "hall"}, {}, [NO_KIND.format("camera")]),
        ({"cameras": {"bath": STREAM, "attic": {"fps": 10}}}, {}, [NO_NAME, NO_KIND.format("attic")]),
        ({"cameras": {"bath": STREAM}}, {"POSED_DEVICE": "hall"}, []),
        ({"device": "hall", "cameras": {"attic": {"kind": "picamera2"}}}, {}, []),
    ],
)
def test_defaults_that_cannot_work_there_are_refused(tmp_path, settings, environment, beginnings):
    path = tmp_path / "posed.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    found = list(container_problems(load(path, environment)))
    assert [line[: len(beginning)] for line, beginning in zip(found, beginnings, strict=True)] == beginnings


@pytest.mark.parametrize("command", ["run", "check"])
def test_each_is_one_line_and_the_status_2(tmp_path, command):
    done = posed(tmp_path, command, more=IN_CONTAINER)
    name, kind = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert name.startswith(NO_NAME)
    assert name.endswith(
        "so each new container would be a new device in Home Assistant; set device, or POSED_DEVICE"
    )
    assert kind.startswith(NO_KIND.format("camera"))


def test_a_configured_daemon_runs_there(tmp_path):
    settings = {
        "POSED_CAMERAS__CAMERA__KIND": "images",
        "POSED_CAMERAS__CAMERA__SOURCE": str(picture(tmp_path)),
    }
    broker = {"POSED_MQTT__HOST": "127.0.0.1", "POSED_MQTT__PORT": str(free_port())}
    named = {"POSED_DEVICE": "hall", "POSED_MODEL__NAME": "drawings-257x353-16"}
    done = posed(tmp_path, "run", more=IN_CONTAINER | settings | broker | named)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def picture(folder: Path) -> Path:
    import cv2
    import numpy as np

    path = folder / "black.png"
    cv2.imwrite(str(path), np.zeros((98, 130, 3), np.uint8))
    return path


def test_doctor_names_nothing_that_is_not_there(tmp_path: Path) -> None:
    import json

    config = tmp_path / "posed.yaml"
    settings: dict[str, Any] = {"cameras": {"hall": {"kind": "video", "source": "/dev/video77"}}}
    config.write_text(yaml.safe_dump(settings | {"mqtt": {"host": "127.0.0.1", "port": free_port()}}))
    done = posed(tmp_path, "doctor", "--json", "--config", config, more=IN_CONTAINER)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["configuration"]["found"].startswith(NO_NAME)
    remedies = " ".join(check["remedy"] for check in checks.values())
    assert not {"sudo", "systemctl", "journalctl", "apt", "timedatectl"} & set(remedies.split())
