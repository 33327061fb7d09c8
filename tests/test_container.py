"""config/container, held against the code as far as that goes without Docker; tests/system has the rest."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from fnmatch import fnmatch

import yaml

from posed.config import load
from posed.service.self_watch import START_S
from scripts.paths import ROOT
from tests.brokers import ConfiguredMosquitto, Subscriber

FOLDER = ROOT / "config/container"
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
TIDY = ROOT / "scripts/tidy_venv"

LOADED = """
import importlib, pkgutil, sys, posed, ai_edge_litert.interpreter, ai_edge_litert.schema_py_generated, av, cv2
for module in pkgutil.walk_packages(posed.__path__, "posed."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*sorted(sys.modules))
"""
"""What is loaded once every module of posed is, and what it drives."""


def settings() -> dict[str, str]:
    """The words of the image's lines that have one value."""
    return dict(re.findall(r"^(CMD|ENTRYPOINT|HEALTHCHECK|USER|VOLUME) (.*)$", DOCKERFILE, re.MULTILINE))


def test_everything_that_is_copied_is_let_through():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for source in sources.split()
    }
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)


def test_the_health_check_gives_a_start_enough_time():
    said = re.search(r"--start-period=(\d+)s .* CMD (.*)$", settings()["HEALTHCHECK"])
    assert float(said[1]) >= START_S
    assert said[2] == '["posed", "health"]'


def test_the_variables_of_the_compose_file_are_settings(tmp_path):
    service = COMPOSE["services"]["posed"]
    config = load(None, service["environment"])
    assert (config.device, config.mqtt.host) == ("hall", "broker")
    assert set(service["volumes"]) >= {"./posed:/config:ro", "state:/state"}
    assert settings()["VOLUME"] == '["/config", "/state"]'


def test_a_refused_configuration_is_not_started_for_ever():
    service = COMPOSE["services"]["posed"]
    assert service["restart"] == "on-failure:5"
    assert service["read_only"]
    assert "init" not in service


def test_the_devices_that_are_commented_out_fit_the_rest():
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    whole = yaml.safe_load(
        re.sub(r"^(\s*)# ((?=[-a-z_]+:|  - |- /)[^`\n]*)$", r"\1\2", text, flags=re.MULTILINE)
    )
    service = whole["services"]["posed"]
    assert service["devices"] == ["/dev/video0", "/dev/apex_0"]
    assert "/dev/bus/usb:/dev/bus/usb" in service["volumes"]
    assert service["device_cgroup_rules"] == ["c 189:* rw"]
    assert service["ports"] == ["8460:8460"]
    assert service["group_add"] == ["44", "46"]


def test_the_broker_lets_in_who_has_a_password(tmp_path):
    text = (FOLDER / "mosquitto.conf").read_text(encoding="utf-8")
    text = text.replace("/mosquitto/data", str(tmp_path)).replace("/mosquitto/acl", str(tmp_path / "acl"))
    shutil.copy(ROOT / "config/mosquitto/acl", tmp_path / "acl")
    for options, user in ((["-c", "-b"], "home"), (["-b"], "hall")):
        command = ["mosquitto_passwd", *options, str(tmp_path / "passwords"), user, "a password"]
        subprocess.run(command, check=True, capture_output=True)
    with (
        ConfiguredMosquitto(tmp_path, text) as broker,
        Subscriber(broker.port, "posed/#", username="home", password="a password") as home,
        Subscriber(broker.port, "posed/#", username="hall", password="a password") as device,
    ):
        device.publish("posed/hall/state", b"{}")
        home.wait_for("posed/hall/state", b"{}")


# How it ends


def test_who_is_stopped_ends_with_what_docker_starts_again():
    [said] = re.findall(r"^ENV .*\bSTOP_STATUS=(\d+)", DOCKERFILE, re.MULTILINE)
    assert int(said) == 128 + signal.SIGTERM
    assert settings()["ENTRYPOINT"] == '["tini", "-g", "--", "posed"]'


# What is left out


def test_nothing_is_left_out_that_is_loaded():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = {name.replace(".", "/") for name in done.stdout.split()}
    left_out = left_out_of_a_venv()
    assert {"ml_dtypes", "google", "ai_edge_litert/tools"} <= left_out
    assert {name for name in loaded for pattern in left_out if fnmatch(name, pattern)} == set()


def left_out_of_a_venv() -> set[str]:
    """What scripts/tidy_venv names below site-packages."""
    text = TIDY.read_text(encoding="utf-8").replace("\\\n", " ")
    words = [word for line in re.findall(r"^rm -rf (.*)$", text, re.MULTILINE) for word in line.split()]
    named = [word.removeprefix('"$site"/') for word in words if word.startswith('"$site"/')]
    return {one for word in named for one in braced(word)}


def braced(word: str) -> list[str]:
    """`a/{b,c}` as the shell reads it."""
    found = re.fullmatch(r"(.*)\{(.*)\}(.*)", word)
    return [f"{found[1]}{one}{found[3]}" for one in found[2].split(",")] if found else [word]


def test_what_has_no_posed_is_not_tidied(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/precious").touch()
    done = subprocess.run([TIDY, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"{tmp_path}: has no posed installed in it\n")
    assert (tmp_path / "bin/precious").exists()
