"""scripts/build_deb: what it puts into the package; tests/system builds and installs one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from scripts.paths import ROOT

PARTS = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "config", "systemd")

PLACE = """set -euo pipefail
tree=$1 version=0 maintainer=us
eval "$(sed -n -e '/^place() /p' -e '/^place_files() {/,/^}/p' "$2")"
place_files
"""
"""Runs the one step of the script that takes files of the checkout as they are."""


def test_a_users_own_files_stay_out_of_the_package(tmp_path):
    checkout, tree = tmp_path / "checkout", tmp_path / "tree"
    checkout.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, checkout / part)
        else:
            shutil.copy(ROOT / part, checkout / part)
    container = checkout / "config/container"
    (container / "posed").mkdir(exist_ok=True)
    (container / "libedgetpu").mkdir(exist_ok=True)
    own = [container / "posed/posed.yaml", container / "posed/secrets.yaml", container / "libedgetpu/x.deb"]
    for file in own:
        file.write_text("mqtt: c4nary\n")
    place(checkout, tree)
    placed = {str(file.relative_to(tree)) for file in tree.rglob("*") if not file.is_dir()}
    assert "usr/share/doc/posed/config/container/compose.yaml" in placed
    assert not [file for file in placed if file.endswith(".deb") or "container/posed/" in file]
    assert "etc/posed/posed.yaml" in placed


def place(checkout: Path, tree: Path) -> None:
    script = ROOT / "scripts/build_deb"
    subprocess.run(["bash", "-c", PLACE, "bash", str(tree), str(script)], cwd=checkout, check=True)
