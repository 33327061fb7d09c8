"""What a test needs of this machine: installed where that can be done; otherwise the test is skipped."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from scripts.paths import CACHE, ROOT
from scripts.tfjs import NoPackagesError, check_node, npm_install

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def cannot(why: str) -> NoReturn:
    """Skip the test, since this machine lacks something."""
    pytest.skip(f"cannot run here: {why}")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Be the only one on this machine, among the tests of every checkout, to make or use something."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def need_root(what_for: str) -> None:
    """Skip the test for anybody else."""
    if os.geteuid() != 0:
        cannot(f"needs root ({what_for})")


def need_debian(command: str, *packages: str) -> None:
    """Install the packages where the command is missing and we are root."""
    if shutil.which(command, path=PATH) is None:
        done = venv_sh("need_debian", command, *packages)
        if done.returncode != 0:
            cannot(f"needs {command}: {done.stderr.strip()}")


def need_npm(name: str, package: str, version: str) -> Path:
    """Install a package of npm, once for each version.

    Args:
        name: of its folder.
        package: as npm calls it.
        version: of it.

    Returns:
        The folder of everything that is installed with it.
    """
    need_debian("node", "nodejs")
    need_debian("npm", "npm")
    folder = CACHE / name
    installed = folder / ".installed"
    try:
        check_node()
        with locked("install"):
            if not installed.exists() or installed.read_text(encoding="utf-8") != version:
                folder.mkdir(parents=True, exist_ok=True)
                npm_install(folder, f"{package}@{version}")
                installed.write_text(version, encoding="utf-8")
    except NoPackagesError as error:
        cannot(str(error))
    return folder / "node_modules"


def make_heavy(name: str, extra: str) -> Path:
    """Make a virtual environment apart from .venv, once, for what weighs gigabytes.

    Args:
        name: of its folder.
        extra: of ours, which is installed in it.

    Returns:
        Its Python.
    """
    with locked(name):
        done = bash('. "$0" && make_heavy "$@" && echo "$heavy"', name, extra)
    if done.returncode != 0:
        cannot(f"pip could not install posed[{extra}]: {done.stderr.strip()[-500:]}")
    return Path(done.stdout.strip()) / "bin/python"


def venv_sh(function: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call a function of scripts/venv.sh, one at a time: apt does not wait for another apt."""
    with locked("install"):
        return bash('. "$0" && "$@"', function, *arguments, **variables)


def bash(command: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command that sources scripts/venv.sh, which is its $0."""
    words = ["bash", "-c", command, str(ROOT / "scripts/venv.sh"), *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | variables)
