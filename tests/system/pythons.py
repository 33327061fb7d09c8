"""Debians by their Pythons, for what needs another one than this machine has.

Each is made once, in ${XDG_CACHE_HOME:-~/.cache}/posed-check/debian; delete its folder there to start afresh.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.system.debian import make_debian
from tests.system.needs import CACHE, locked

PACKAGES: Final = (
    *("ca-certificates", "g++", "libc6-dev", "python3", "python3-dev", "python3-pip", "python3-venv"),
    *("mosquitto", "openssl", "procps", "systemd"),
)
"""What compiles a package of pip that has no wheel, and what our own tests call."""


def make_debian_of(codename: str) -> Path:
    """The files of the Debian of that name: trixie has Python 3.13, forky 3.14."""
    root = CACHE / "debian" / codename
    with locked(f"debian-{codename}"):
        make_debian(root, codename, ",".join(PACKAGES))
    return root
