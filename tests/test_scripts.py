"""Every script has help, and refuses what it does not know, before it sets anything up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.paths import ROOT

SHELL = [path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and os.access(path, os.X_OK)]
MODULES = [
    ".".join(path.relative_to(ROOT / "scripts").with_suffix("").parts)
    for path in sorted((ROOT / "scripts").rglob("*.py"))
    if 'prog="scripts/' in path.read_text(encoding="utf-8") and path.stem != "arguments"
]
COMMANDS = [[name] for name in sorted(SHELL)] + [["python", name] for name in MODULES]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts on a machine where nothing is set up yet; not even posed is there."""
    folder = tmp_path_factory.mktemp("fresh")
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(fresh: Path, command: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script; nothing else may be there afterwards."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(fresh), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [fresh / "scripts" / command[0], *command[1:], *arguments],
        env=environment,
        cwd=fresh,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert [path.name for path in fresh.iterdir()] == ["scripts"]
    return done


def test_every_script_that_is_named_is_there():
    patterns = ("*.md", "docs/*.md", "posed/**/*.py", "scripts/**/*.py")
    texts = [path.read_text(encoding="utf-8") for pattern in patterns for path in ROOT.glob(pattern)]
    named = {name for text in texts for name in re.findall(r"scripts/python ([a-z]\w*(?:\.\w+)?)", text)}
    assert named - set(MODULES) == {"bench.NAME"}
    assert "bench.imx500" in named


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_script_has_help(fresh, command):
    done = run(fresh, command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"scripts/{command[0]}" in done.stdout or f"scripts/{command[-1]}" in done.stdout


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command != ["test"]], ids=" ".join
)  # pytest has arguments of its own, which it can only refuse once it is there
def test_what_a_script_does_not_know_is_refused(fresh, command):
    done = run(fresh, command, "--nonsense")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr or "NAME is one of" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", [["install", "--yes", "now"], ["build_deb", "dist", "now"]])
def test_what_is_left_over_is_refused(fresh, arguments):
    done = run(fresh, arguments[:1], *arguments[1:])
    assert done.returncode == 2
    assert done.stderr == f"{arguments[0]}: unknown argument now; see --help\n"
