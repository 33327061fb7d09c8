"""A Debian of its own under a real systemd, for the tests that need one."""

from __future__ import annotations

import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.system.debian import make_debian
from tests.system.needs import CACHE, need_debian, need_root

FOLDER: Final = CACHE / "service"
"""Where their files are."""

PACKAGES: Final = (
    "systemd-sysv,dbus,python3,python3-numpy,udev,mosquitto,mosquitto-clients,iproute2,procps,ca-certificates"
)
BOOT_S: Final = 300.0
LOG_LINES: Final = 80
"""Of the service's log, shown where a row failed."""


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
        assert done.returncode == 0, f"{command}: status {done.returncode}: {last}"
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
        self._log.close()


def wait_for(what: str, condition: Callable[[], object], timeout_s: float) -> float:
    """How long it took until the condition held, s."""
    began_at = time.monotonic()
    while not condition():
        assert time.monotonic() - began_at < timeout_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.05)
    return time.monotonic() - began_at


def codename() -> str:
    """This machine's Debian."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")


def need_machines() -> None:
    """Skip the test where none can be made or booted."""
    need_root("systemd-nspawn")
    need_debian("systemd-nspawn", "systemd-container")
    need_debian("debootstrap", "debootstrap")


def make_files(codename: str) -> Path:
    """The files of a minimal Debian of that name; made once."""
    root = FOLDER / codename
    make_debian(root, codename, PACKAGES)
    return root


def live_through(machine: Machine, what: Callable[[Machine], str]) -> str:
    """Do one thing to the machine; what came of it. A failure shows the end of the service's log."""
    try:
        return what(machine)
    except BaseException as error:
        error.add_note("\n".join(machine.log().splitlines()[-LOG_LINES:]))
        raise
