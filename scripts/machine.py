"""A Debian of its own under a real systemd, for the checks that need one, and the table that they print."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "posed-check/service"
PACKAGES: Final = (
    "systemd-sysv,dbus,python3,python3-numpy,udev,mosquitto,mosquitto-clients,iproute2,procps,ca-certificates"
)
BOOT_S: Final = 300.0
LOG_LINES: Final = 80
"""Of the service's log, shown where a row failed."""


class FailedError(Exception):
    """A row did not hold; its text says how."""


def hold(condition: object, text: str) -> None:
    """A row holds, or its text says how not."""
    if not condition:
        raise FailedError(text)


class Machine:
    """A Debian that is booted by systemd-nspawn, on a copy of its files that is thrown away.

    Args:
        files: of the system.
        options: further ones of systemd-nspawn.
        boot: words for its systemd, such as `systemd.mask=…`.
    """

    def __init__(self, files: Path, options: Sequence[str] = (), boot: Sequence[str] = ()) -> None:
        command = ["systemd-nspawn", "-q", "-D", str(files), "--volatile=overlay", "--register=no"]
        command += ["--keep-unit", "--console=pipe", *options, "-b", *boot]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 as long as the machine
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
        )
        self._leader = ""

    def boot(self) -> None:
        """Returns once everything has been started that starts with it."""
        wait_for("booting", self._has_booted, BOOT_S)

    def _has_booted(self) -> bool:
        # The first child of nspawn sets things up and goes; its child is the system's first process.
        return self._find_leader() and self.says("systemctl is-system-running") in ("running", "degraded")

    def _find_leader(self) -> bool:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._leader = children[0] if children else ""
        return bool(children)

    def run(self, command: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a shell command in it."""
        return subprocess.run(
            ["nsenter", "-t", self._leader, "-a", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
             "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", command],
            capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def do(self, command: str, timeout_s: float = 300) -> str:
        """Run a command that must succeed; what it says."""
        done = self.run(command, timeout_s)
        last = " / ".join((done.stdout + done.stderr).strip().splitlines()[-6:])
        hold(done.returncode == 0, f"{command}: status {done.returncode}: {last}")
        return done.stdout.strip()

    def says(self, command: str) -> str:
        """What a command says, whatever its status."""
        return self.run(command).stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Change a file, as an editor does that keeps its owner and mode."""
        quoted = text.replace("'", "'\\''")
        self.do(f"mkdir -p $(dirname {path}); printf '%s' '{quoted}' > {path}")

    def show(self, name: str) -> str:
        """A property of the service."""
        return self.says(f"systemctl show -P {name} posed")

    def pid(self) -> int:
        """Of the daemon; 0 while it does not run."""
        return int(self.show("MainPID") or 0)

    def log(self, since: str = "") -> str:
        """The service's."""
        return self.says(f"journalctl -u posed -o cat --no-pager {since and f'--since=@{since}'}")

    def now(self) -> str:
        """For `log`."""
        return self.says("date +%s.%N")

    def off(self) -> None:
        """Pull the plug."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def wait_for(what: str, condition: Callable[[], object], timeout_s: float) -> float:
    """How long it took until the condition held, s."""
    began_at = time.monotonic()
    while not condition():
        hold(time.monotonic() - began_at < timeout_s, f"{what}: not within {timeout_s:g} s")
        time.sleep(0.05)
    return time.monotonic() - began_at


def codename() -> str:
    """This machine's Debian."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")


def make_files(codename: str) -> Path:
    """A minimal Debian of that name; made once."""
    root = CACHE / codename
    if (root / ".made").exists():
        return root
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"]
    mirrors = subprocess.run(targets, capture_output=True, text=True, check=True).stdout.split()
    if not mirrors:
        sys.exit("needs a Debian mirror among this machine's apt sources, and apt-get update")
    print(f"making a {codename} in {root}, once (minutes)", flush=True)
    shutil.rmtree(root, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", codename, str(root), mirrors[0]]
    with (CACHE / "debootstrap.log").open("wb") as log:
        subprocess.run(command, stdout=log, stderr=log, check=True)
    (root / ".made").touch()
    return root


def live_through(machine: Machine, rows: Mapping[str, Callable[[Machine], str]]) -> int:
    """Do one row after the other and print the table; how many did not hold."""
    failed = 0
    for name, row in rows.items():
        began_at = time.monotonic()
        try:
            result, mark = row(machine), "ok"
        except (FailedError, subprocess.TimeoutExpired) as error:
            result, mark = str(error), "FAILED"
            failed += 1
        print(f"{mark:6}  {name:22}  {time.monotonic() - began_at:6.1f} s  {result}", flush=True)
    if failed:
        print(*machine.log().splitlines()[-LOG_LINES:], sep="\n")
    return failed
