"""Debians of their own in folders: made once, and used by chroot or by booting them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scripts.paths import ROOT
from tests.system.needs import cannot, need_debian, need_root

MOUNTS: Final = (
    # What is started in it can unshare mounts only where its root is one.
    'mount --bind "$0" "$0" && cd "$0" && '
    'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys"'
)
TAKEN_ALONG: Final = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
"""What reaching the network takes on this machine."""


def need_chroots() -> None:
    """Skip the test where none can be made or entered."""
    need_root("debootstrap, chroot, mount")
    need_debian("debootstrap", "debootstrap")
    for tool in ("unshare", "chroot", "apt-get"):
        if shutil.which(tool) is None:
            cannot(f"needs {tool}")
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        cannot("needs a kernel that lets it unshare mounts")


def make_debian(
    root: Path, codename: str, packages: str, made: str = ".made", architecture: str | None = None
) -> None:
    """Make a minimal Debian of that name with some packages, once, which takes minutes.

    Args:
        root: its folder.
        codename: such as `trixie`.
        packages: with commas between.
        made: a file in it, by which it is known.
        architecture: None for this machine's; another one's programs must run here.
    """
    if (root / made).exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    # "sid" names debootstrap's script: older versions lack newer Debians' names, and all scripts are one.
    options = ["--variant=minbase", f"--include={packages}", codename, str(root), mirror(), "sid"]
    if architecture is not None:
        options.insert(0, f"--arch={architecture}")
    log = root.parent / "debootstrap.log"
    with log.open("wb") as file:
        done = subprocess.run(["debootstrap", *options], stdout=file, stderr=file, check=False)
    if done.returncode != 0:
        cannot(f"debootstrap failed, see {log}")
    (root / made).touch()


def mirror() -> str:
    """One of Debian's that this machine uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"]
    mirrors = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if not mirrors:
        cannot("needs a Debian mirror among this machine's apt sources, and apt-get update")
    return min(mirrors)


@dataclass(frozen=True)
class Chroot:
    """A Debian that is entered by chroot.

    Each command has a mount namespace of its own: the kernel removes the mounts when it ends, whichever
    way that is. Its environment is clean, since this machine's may point at files that the chroot lacks.

    Args:
        root: its folder.
        variables: of the environment.
        shows_us: whether these sources are to be seen in /posed, read-only.
        covers: files of it that others of this machine lie over, by their absolute path in it.
    """

    root: Path
    variables: dict[str, str]
    shows_us: bool = False
    covers: Mapping[str, Path] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        """What runs a command in it, from outside."""
        enter = f'{MOUNTS} && {self._show_us()} {self._cover()} exec chroot "$0" /usr/bin/env -i "$@"'
        variables = {"HOME": "/root", "LC_ALL": "C.UTF-8", **self.variables}
        environment = [f"{name}={value}" for name, value in variables.items()]
        unshare = ["unshare", "--mount", "--propagation", "private"]
        return [*unshare, "sh", "-c", enter, str(self.root), *environment, *words]

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end; options are those of subprocess.run."""
        return subprocess.run(self.command(*words), text=True, check=False, **options)

    def take_along(self) -> None:
        """Give it what reaching the network takes."""
        for path in map(Path, TAKEN_ALONG):
            if path.exists():
                shutil.copy(path.resolve(), self.root / path.relative_to("/"))

    def _show_us(self) -> str:
        if not self.shows_us:
            return ""
        place, ours = '"$0/posed"', shlex.quote(str(ROOT))
        return f"mkdir -p {place} && mount --bind {ours} {place} && mount -o remount,bind,ro {place} &&"

    def _cover(self) -> str:
        return "".join(
            f'mount --bind {shlex.quote(str(by))} "$0"{shlex.quote(path)} && '
            for path, by in self.covers.items()
        )


def proxies() -> dict[str, str]:
    """Variables by which this machine reaches the network, where it has any."""
    return {name: os.environ[name] for name in ("http_proxy", "https_proxy") if os.environ.get(name)}
