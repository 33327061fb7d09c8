"""What it takes to hold TF.js's decoder against ours: its packages, and heads written as it reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from posed.networks.posenet.heads import Heads
from posed.networks.posenet.logits import logits_of
from scripts.paths import CACHE

FOLDER: Final = Path(__file__).resolve().parent


class NoPackagesError(Exception):
    """TF.js cannot be had here; the text says why."""


def install_packages() -> Path:
    """Install TF.js once, into ${XDG_CACHE_HOME:-~/.cache}/posed-check/tfjs.

    Returns:
        The folder that has it in node_modules.

    Raises:
        NoPackagesError: node 18, npm or the network is missing.
    """
    check_node()
    cache = CACHE / "tfjs"
    wanted = (FOLDER / "package.json").read_text(encoding="utf-8")
    installed = cache / "installed.json"
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        (cache / "package.json").write_text(wanted, encoding="utf-8")
        npm_install(cache, "--ignore-scripts")
        installed.write_text(wanted, encoding="utf-8")
    return cache


def check_node() -> None:
    """Raise NoPackagesError where there is no node that is new enough, or no npm."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise NoPackagesError("needs node and npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < 18:
        raise NoPackagesError(f"needs node 18 or later, got {version.strip()}")


def npm_install(folder: Path, *arguments: str) -> None:
    """Install packages into a folder, or what its package.json names; raises NoPackagesError."""
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(folder)]
    command = ["npm", "install", *options, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise NoPackagesError(f"npm install failed: {' '.join(errors[:3]) or done.returncode}")


def write(folder: Path, name: str, heads: Heads) -> dict[str, Any]:
    """Write the heads as raw float32 files; returns their description."""
    mid = heads.mid_offsets.values()
    half = mid.shape[2] // 2
    parts: dict[str, NDArray[Any]] = {
        "heatmaps": logits_of(heads),
        "short": heads.short_offsets.values(),
        "forwards": mid[:, :, :half],
        "backwards": mid[:, :, half:],
    }
    for part, values in parts.items():
        (folder / f"{name}.{part}").write_bytes(values.astype("<f4").tobytes())
    return {"name": name, "stride": heads.stride, "height": mid.shape[0], "width": mid.shape[1]}
