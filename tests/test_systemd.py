"""The files of systemd/: what systemd itself says of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from posed.errors import CameraError, ConfigError, EngineError, ModelError
from scripts.paths import ROOT

UNIT = ROOT / "systemd/posed.service"
MOST_EXPOSED = 1.5


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    program = str(command[0])
    if shutil.which(program) is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"needs {program} (Debian: systemd, udev), which is not installed")
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False)


def test_the_unit_is_exposed_no_more_than_it_must_be():
    done = run("systemd-analyze", "security", "--offline=true", UNIT)
    assert done.returncode == 0, done.stderr
    exposed = re.search(r"Overall exposure level for posed.service: ([0-9.]+)", done.stdout)
    assert exposed is not None
    assert float(exposed[1]) <= MOST_EXPOSED


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    """It ends with status 0 over an unknown key, too, but says so. The program need not be installed here."""
    unit = tmp_path / "posed.service"
    unit.write_text(UNIT.read_text().replace("/opt/posed/bin/posed", "/bin/true"))
    done = run("systemd-analyze", "verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_unknown_key_would_be_found(tmp_path):
    unit = tmp_path / "posed.service"
    unit.write_text(
        UNIT.read_text().replace("/opt/posed/bin/posed", "/bin/true") + "\n[Service]\nNonsense=yes\n"
    )
    assert "Nonsense" in run("systemd-analyze", "verify", "--man=no", unit).stderr


def test_it_restarts_but_for_what_somebody_must_change_first():
    settings = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line))
    assert (settings["Restart"], settings["RestartSec"], settings["StartLimitIntervalSec"]) == (
        "always",
        "2",
        "0",
    )
    never = {int(status) for status in settings["RestartPreventExitStatus"].split()}
    assert never == {ConfigError.exit_status, ModelError.exit_status}
    assert not never & {CameraError.exit_status, EngineError.exit_status, 1}


def test_sysusers_makes_the_user_in_the_groups_of_its_devices(tmp_path):
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", ROOT / "systemd/posed.sysusers")
    assert (done.returncode, "posed" in (tmp_path / "etc/passwd").read_text()) == (0, True), done.stderr
    members = {
        line.split(":")[0]: line.split(":")[3] for line in (tmp_path / "etc/group").read_text().splitlines()
    }
    assert {group for group, names in members.items() if names == "posed"} == {
        "video",
        "render",
        "plugdev",
        "apex",
    }


def test_the_rules_know_all_ids_of_the_accelerators():
    rules = (ROOT / "systemd/60-posed.rules").read_text()
    lines = [line for line in rules.splitlines() if line and not line.startswith("#")]
    assert [re.findall(r'ATTRS\{id\w+\}=="(\w+)"', line) for line in lines] == [
        ["1a6e", "089a"],
        ["18d1", "9302"],
        [],
    ]
    assert all(re.search(r'(MODE)="0660", GROUP="(plugdev|apex)"$', line) for line in lines)


def test_the_maintainer_scripts_are_shell():
    for script in ("preinst", "postinst", "prerm", "postrm"):
        assert run("sh", "-n", ROOT / "systemd/deb" / script).returncode == 0
