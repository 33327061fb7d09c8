"""Installs posed's Debian package under a real systemd and does to it what happens in a cupboard.

    sudo scripts/check_service [--deb FILE]

Boots a Debian like this machine's by systemd-nspawn, without a network, with mosquitto in it; every change
to it is forgotten at the end. Its files (about 300 MB) are made once, in
${XDG_CACHE_HOME:-~/.cache}/posed-check/service.

Exit status: 0 every row passed, 1 one failed, 77 it cannot run here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "posed-check/service"
PACKAGES: Final = (
    "systemd-sysv,dbus,python3,python3-numpy,udev,mosquitto,mosquitto-clients,iproute2,procps,ca-certificates"
)
BOOT_S: Final = 300.0
START_S: Final = 90.0
WATCHDOG_S: Final = 30.0
STOP_S: Final = 5.0

CONFIG: Final = """\
device: hall
camera: {kind: synthetic, fps: 10}
model: {name: drawings-257x353-16}
engine: {threads: 1}
mqtt: {host: 127.0.0.1}
"""

LEFT_ALONE: Final = (
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/etc/machine-id", "/var/tmp", "/var/log"),  # noqa: S108
    *("/var/lib/dpkg", "/var/lib/systemd", "/var/lib/mosquitto", "/var/cache/ldconfig"),
)
"""What others write, or is forgotten at the next boot."""


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
        debs: a folder that it sees as /debs.
    """

    def __init__(self, files: Path, debs: Path) -> None:
        command = [
            "systemd-nspawn",
            "-q",
            "-D",
            str(files),
            "--volatile=overlay",
            "--register=no",
            "--keep-unit",
        ]
        command += ["-b", "--console=pipe", "--private-network", f"--bind-ro={debs}:/debs"]
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


def runs(machine: Machine) -> bool:
    """Whether the service is ready."""
    return machine.show("ActiveState") == "active" and machine.show("SubState") == "running"


def comes_back(machine: Machine, old_pid: int, timeout_s: float = START_S) -> float:
    """How long until another process is ready, s."""
    return wait_for("coming back", lambda: machine.pid() not in (0, old_pid) and runs(machine), timeout_s)


def sees_people(machine: Machine) -> None:
    """A subscriber gets poses."""
    message = machine.do("mosquitto_sub -h 127.0.0.1 -t posed/hall/poses -C 1 -W 60")
    hold(json.loads(message)["device"] == "hall", message)


# The rows, in the order in which a machine lives through them.


def install(machine: Machine) -> str:
    """A fresh install makes user, groups and folders, enables the service, and starts nothing yet."""
    machine.do("dpkg -i /debs/posed.deb")
    groups = set(machine.do("id -nG posed").split())
    hold(groups >= {"video", "render", "plugdev", "apex"}, f"groups: {groups}")
    hold(machine.says("systemctl is-enabled posed") == "enabled", "not enabled")
    hold(machine.says("stat -c %U:%G:%a /etc/posed/posed.yaml") == "root:posed:640", "posed.yaml's owner")
    version = machine.do("posed --version")
    numpy = machine.do("/opt/posed/bin/python3 -c 'import numpy; print(numpy.__file__, numpy.__version__)'")
    hold(numpy.startswith("/usr/lib/python3/"), f"numpy is {numpy}")
    return f"{version}, numpy {numpy.split()[1]} is apt's"


def ready(machine: Machine) -> str:
    """READY on drawn people, and what it sees reaches a subscriber."""
    machine.write("/etc/posed/posed.yaml", CONFIG)
    began_at = time.monotonic()
    machine.do("systemctl start posed", START_S)
    took_s = time.monotonic() - began_at
    sees_people(machine)
    wait_for("a status with figures", lambda: " fps, " in machine.show("StatusText"), 30)
    return f"{took_s:.1f} s; status: {machine.show('StatusText')}"


def no_errors(machine: Machine) -> str:
    """The sandbox takes nothing away that it needs: nothing in its log is worse than INFO."""
    bad = [line for line in machine.log().splitlines() if line.startswith(("WARNING", "ERROR", "Traceback"))]
    hold(not bad, f"{bad[:3]}")
    state = machine.do("ls /var/lib/posed")
    hold("spool.sqlite" in state, f"state folder: {state}")
    pid = machine.pid()
    status = machine.do(f"grep -E '^(CapEff|NoNewPrivs|Seccomp|Uid)' /proc/{pid}/status | tr '\\n\\t' '  '")
    hold(
        "CapEff: 0000000000000000" in status and "NoNewPrivs: 1" in status and "Seccomp: 2" in status, status
    )
    return "no capability, seccomp on, state folder written"


def doctor(machine: Machine) -> str:
    """Posed doctor finds the service well."""
    done = machine.run("posed doctor --config /etc/posed/posed.yaml --json")
    hold(done.returncode in (0, 1), f"status {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}")
    checks = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    for name in ("service", "broker", "camera", "model", "runtime"):
        hold(checks[name] == "ok", f"{name}: {checks[name]}")
    return f"status {done.returncode}, {len(checks)} checks"


def watchdog(machine: Machine) -> str:
    """A frozen process (SIGSTOP) is noticed by the watchdog and started again."""
    pid, since = machine.pid(), machine.now()
    machine.do(f"kill -STOP {pid}")
    took_s = comes_back(machine, pid, WATCHDOG_S + 2 * STOP_S + START_S)
    hold("Fatal Python error: Aborted" in machine.log(since), "the log does not say where it was")
    sees_people(machine)
    return (
        f"runs again after {took_s:.1f} s (WatchdogSec {WATCHDOG_S:g}); the log says where every thread was"
    )


def killed(machine: Machine) -> str:
    """Kill -9: the broker tells `offline`, and it comes back."""
    pid = machine.pid()
    heard = "/tmp/heard"  # noqa: S108 in the machine
    machine.do(f"mosquitto_sub -h 127.0.0.1 -t posed/hall/availability -C 3 -W 90 > {heard} 2>&1 & sleep 1")
    machine.do(f"kill -9 {pid}")
    took_s = comes_back(machine, pid)
    wait_for("online", lambda: machine.says(f"cat {heard}").split() == ["online", "offline", "online"], 60)
    return f"runs again after {took_s:.1f} s; availability: online, offline, online"


def reload_good(machine: Machine) -> str:
    """Systemctl reload with a good file: the same process goes on with it."""
    pid, since = machine.pid(), machine.now()
    machine.write(
        "/etc/posed/posed.yaml", CONFIG + "decode: {score_threshold: 0.4}\npeople: {lost_after_s: 3}\n"
    )
    machine.do("systemctl reload posed")
    wait_for("reloading", lambda: "reloaded: decode.score_threshold" in machine.log(since), 30)
    wait_for("ready again", lambda: runs(machine), 10)
    hold("new after a restart only: people.lost_after_s" in machine.log(since), "does not say what waits")
    hold(machine.pid() == pid, "another process")
    return "decode.score_threshold applies at once; people.lost_after_s waits for a restart, and that is said"


def reload_bad(machine: Machine) -> str:
    """A bad file is refused with its problem in the log, and the old one stays."""
    pid, since = machine.pid(), machine.now()
    problem = "decode.score_threshold: must be less than 1, got 7"
    machine.write("/etc/posed/posed.yaml", CONFIG + "decode: {score_threshold: 7}\n")
    machine.do("systemctl reload posed")
    wait_for("the problem in the log", lambda: problem in machine.log(since), 30)
    wait_for("the refusal", lambda: "not reloaded: the configuration stays" in machine.log(since), 30)
    hold(machine.pid() == pid and runs(machine), "it does not go on")
    sees_people(machine)
    machine.write("/etc/posed/posed.yaml", CONFIG)
    return f"refused with: {problem}"


def cannot_work(machine: Machine) -> str:
    """A configuration that cannot work ends in status 2 and is not tried for ever."""
    machine.write("/etc/posed/posed.yaml", CONFIG + "decode: {score_threshold: 7}\n")
    machine.run("systemctl restart posed")
    wait_for("failing", lambda: machine.show("ActiveState") == "failed", START_S)
    time.sleep(4)  # longer than RestartSec
    hold(machine.show("ActiveState") == "failed", "it was started again")
    hold(machine.show("ExecMainStatus") == "2", f"status {machine.show('ExecMainStatus')}")
    machine.write("/etc/posed/posed.yaml", CONFIG)
    machine.do("systemctl restart posed", START_S)
    return "failed with status 2, stays down until it is restarted"


def camera_away(machine: Machine) -> str:
    """A camera that is not there does not hold up starting."""
    machine.write("/etc/posed/posed.yaml", CONFIG.replace("synthetic", "video, source: /dev/video77"))
    began_at = time.monotonic()
    machine.do("systemctl restart posed", START_S)
    took_s = time.monotonic() - began_at
    text = "waiting for the camera: camera /dev/video77: no such device"
    wait_for("the reason", lambda: text in machine.show("StatusText"), 30)
    return f"ready after {took_s:.1f} s, status: {text}"


def stop_hung(machine: Machine) -> str:
    """Stopping takes less than 5 s while a read of the camera hangs."""
    machine.do("mkfifo -m 644 /srv/2.png")
    machine.write("/etc/posed/posed.yaml", CONFIG.replace("synthetic", "images, source: /srv/2.png"))
    machine.do("systemctl restart posed", START_S)
    time.sleep(1)
    pid, since = machine.pid(), machine.now()
    began_at = time.monotonic()
    machine.do("systemctl stop posed", 60)
    took_s = time.monotonic() - began_at
    hold(took_s < STOP_S, f"{took_s:.1f} s")
    hold("a device hangs and is left behind" in machine.log(since), "the camera does not hang")
    hold(machine.show("Result") == "success", f"Result={machine.show('Result')}")
    hold(not machine.says(f"ls -d /proc/{pid}"), "the process is still there")
    machine.do("rm /srv/2.png")
    machine.write("/etc/posed/posed.yaml", CONFIG)
    machine.do("systemctl start posed", START_S)
    return f"{took_s:.1f} s, by itself: no SIGKILL needed"


def credential(machine: Machine) -> str:
    """A password from a systemd credential, for a broker that wants one; it is nowhere to be seen."""
    try:
        return connect_with_credential(machine, "c4nary-s3cret")
    finally:
        machine.run("rm -rf /etc/credstore /etc/mosquitto/conf.d/own.conf /etc/mosquitto/passwd")
        machine.run("systemctl restart mosquitto")
        machine.write("/etc/posed/posed.yaml", CONFIG)
        machine.do("systemctl restart posed", START_S)


def connect_with_credential(machine: Machine, secret: str) -> str:
    """The password is used, and searched for wherever others can look."""
    machine.write("/etc/credstore/posed.mqtt", f"{secret}\n")
    machine.do("chmod 600 /etc/credstore/posed.mqtt")
    passwords = "/etc/mosquitto/passwd"
    machine.do(f"mosquitto_passwd -b -c {passwords} posed {secret}; chown mosquitto {passwords}")
    listener = f"listener 1884 127.0.0.1\npassword_file {passwords}\n"
    machine.write("/etc/mosquitto/conf.d/own.conf", listener)
    machine.do("systemctl restart mosquitto")
    login = "{host: 127.0.0.1, port: 1884, username: posed, password: !secret mqtt}"
    machine.write("/etc/posed/posed.yaml", CONFIG.replace("{host: 127.0.0.1}", login))
    since = machine.now()
    machine.do("systemctl restart posed", START_S)
    wait_for("connecting", lambda: "mqtt 127.0.0.1:1884: connected" in machine.log(since), 30)
    pid = machine.pid()
    machine.do("systemctl reload posed")
    looks = [f"cat /proc/{pid}/cmdline /proc/{pid}/environ", "journalctl -o cat --no-pager"]
    looks += ["systemctl show posed", "posed doctor --config /etc/posed/posed.yaml"]
    looks += [f"mosquitto_sub -h 127.0.0.1 -p 1884 -u posed -P {secret} -t '#' -W 3 -v"]
    seen = machine.says(f"({'; '.join(looks)}) 2>&1 | tr '\\0' ' '")
    hold("mqtt 127.0.0.1:1884: connected" in seen, "the log is not seen")
    hold("posed/hall/state" in seen, "no message is seen")
    hold(secret not in seen, "the password can be seen")
    return "connected; not in the log, arguments, environment, unit, messages or doctor"


def broken_upgrade(machine: Machine) -> str:
    """A package whose posed does not start: installing fails, and what ran runs on."""
    pid = machine.pid()
    hold(machine.run("dpkg -i /debs/broken.deb").returncode != 0, "dpkg did not fail")
    hold(machine.pid() == pid and runs(machine), "the old one does not run any more")
    sees_people(machine)
    return "dpkg fails, the process that ran goes on"


def upgrade(machine: Machine) -> str:
    """A newer package over it: restarted with it, configuration untouched."""
    pid = machine.pid()
    before = machine.do("cat /etc/posed/posed.yaml")
    machine.do("dpkg -i /debs/newer.deb")
    hold(machine.do("dpkg-query -W -f '${Version}' posed").endswith("+newer"), "the version is the old one")
    took_s = comes_back(machine, pid)
    hold(machine.do("cat /etc/posed/posed.yaml") == before, "posed.yaml has changed")
    sees_people(machine)
    return f"ready {took_s:.1f} s after dpkg ended, posed.yaml as it was"


def uninstall(machine: Machine, before: set[str]) -> str:
    """Removal stops it and keeps the configuration; purge leaves nothing."""
    machine.do("dpkg -r posed")
    hold(not machine.says("pgrep -f '[/]opt/posed/bin'"), "something runs")
    hold(not machine.says("ls -d /opt/posed /usr/bin/posed"), "files are left")
    hold(machine.do("ls /etc/posed/posed.yaml"), "")
    machine.do("dpkg -P posed")
    left = {path for path in files(machine) - before if not path.endswith(".pyc")}
    hold(not left, f"left: {sorted(left)[:10]}")
    hold(not machine.says("getent passwd posed; getent group posed apex"), "user or group is left")
    hold("posed" not in machine.says("systemctl list-unit-files --no-legend"), "the unit is left")
    return "no file, user, group or unit left"


def files(machine: Machine) -> set[str]:
    """Everything that a package could leave behind."""
    prune = " -o ".join(f"-path {path}" for path in LEFT_ALONE)
    return set(machine.do(rf"find / \( {prune} \) -prune -o -print").splitlines())


ROWS: Final = {
    "install": install,
    "ready": ready,
    "sandbox": no_errors,
    "doctor": doctor,
    "frozen (SIGSTOP)": watchdog,
    "kill -9": killed,
    "reload, good file": reload_good,
    "reload, bad file": reload_bad,
    "cannot work": cannot_work,
    "camera away": camera_away,
    "stop, camera hangs": stop_hung,
    "credential": credential,
    "upgrade, broken": broken_upgrade,
    "upgrade": upgrade,
}


def make_files() -> Path:
    """A minimal Debian like this machine's."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "bookworm")
    root = CACHE / codename
    if (root / ".made").exists():
        return root
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"]
    mirrors = subprocess.run(targets, capture_output=True, text=True, check=True).stdout.split()
    if not mirrors:
        sys.exit("needs a Debian mirror among this machine's apt sources, and apt-get update")
    print(f"making a {codename} in {root}, once (minutes)")
    shutil.rmtree(root, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", codename, str(root), mirrors[0]]
    with (CACHE / "debootstrap.log").open("wb") as log:
        subprocess.run(command, stdout=log, stderr=log, check=True)
    (root / ".made").touch()
    return root


def lint(deb: Path) -> str:
    """Lintian finds no error in the package."""
    if shutil.which("lintian") is None:
        return "left out: lintian is not installed"
    command = ["lintian", "--no-cfg", "--fail-on", "error", "--allow-root", str(deb)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    hold(done.returncode == 0, done.stdout)
    return f"no errors, {done.stdout.count('W: ')} warnings"


def make_debs(deb: Path | None, folder: Path) -> None:
    """The package; a newer one; and one that is newer still, and broken."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(deb or build_deb(), folder / "posed.deb")
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", str(folder / "posed.deb"), str(tree)], check=True)
    control, program = tree / "DEBIAN/control", tree / "opt/posed/bin/posed"
    text = control.read_text()
    version = next(line for line in text.splitlines() if line.startswith("Version: "))
    for name in ("newer", "broken"):
        control.write_text(text.replace(version, f"{version}+{name}"))
        if name == "broken":
            program.write_text("#!/bin/sh\nexit 1\n")
        command = [
            "dpkg-deb",
            "-Znone",
            "--root-owner-group",
            "--build",
            str(tree),
            str(folder / f"{name}.deb"),
        ]
        subprocess.run(command, check=True, capture_output=True)


def build_deb() -> Path:
    """The package of these sources; made once for the same ones."""
    digest = hashlib.sha256()
    folders = [path for name in ("config", "systemd", "posed") for path in (ROOT / name).rglob("*")]
    for path in sorted([ROOT / "pyproject.toml", ROOT / "setup.py", ROOT / "scripts/build_deb", *folders]):
        if path.is_file() and path.suffix not in (".so", ".pyc"):
            digest.update(str(path).encode() + path.read_bytes())
    folder = CACHE / "debs" / digest.hexdigest()[:16]
    if not list(folder.glob("*.deb")):
        shutil.rmtree(folder.parent, ignore_errors=True)
        subprocess.run([str(ROOT / "scripts/build_deb"), str(folder)], check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.deb"))


def main() -> int:
    """Run every row, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--deb", type=Path, help="the package; by default it is built")
    options = parser.parse_args()
    root = make_files()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="posed-check-", dir=CACHE) as folder:
        make_debs(options.deb, Path(folder) / "debs")
        machine = Machine(root, Path(folder) / "debs")
        try:
            machine.boot()
            before = files(machine)
            rows: dict[str, Callable[[Machine], str]] = {
                "lintian": lambda _: lint(Path(folder) / "debs/posed.deb"),
                **ROWS,
                "remove, purge": lambda machine: uninstall(machine, before),
            }
            for name, row in rows.items():
                began_at = time.monotonic()
                try:
                    result, mark = row(machine), "ok"
                except (FailedError, subprocess.TimeoutExpired) as error:
                    result, mark = str(error), "FAILED"
                    failed += 1
                print(f"{mark:6}  {name:20}  {time.monotonic() - began_at:6.1f} s  {result}", flush=True)
            if failed:
                print(machine.log())
        finally:
            machine.off()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
