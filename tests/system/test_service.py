"""Installs posed's Debian package under a real systemd and does to it what happens in a cupboard.

    pytest -m system tests/system/test_service.py [--deb FILE]

Boots a Debian like this machine's by systemd-nspawn, without a network, with mosquitto in it; every change
to it is forgotten at the end. Its files (about 300 MB) are made once, in
${XDG_CACHE_HOME:-~/.cache}/posed-check/service. The rows are what one machine lives through, in their order:
one alone does not find what those before it left.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from scripts.paths import ROOT
from tests.system.conftest import Row
from tests.system.machine import FOLDER, Machine, codename, live_through, make_files, need_machines, wait_for
from tests.system.needs import cannot, locked, need_debian

pytestmark = pytest.mark.system

START_S: Final = 90.0
WATCHDOG_S: Final = 30.0
STOP_S: Final = 5.0

CONFIG: Final = """\
device: pi
cameras: {hall: {kind: synthetic, fps: 10}}
model: {name: drawings-257x353-16}
engine: {threads: 1}
mqtt: {host: 127.0.0.1}
"""

AI_CAMERA: Final = """\
[Service]
Environment=PYTHONPATH=/check/tests/ai_camera:/check AI_CAMERA=/var/lib/posed/camera.json
WatchdogSec=5
"""
"""One of our own, tests/ai_camera_standin.py; and a watchdog that waits less long."""

GONE: Final = "lib/python3*/site-packages/posed/py.typed"
"""A file that newer packages do not have, below /opt/posed."""

LEFT_ALONE: Final = (
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/etc/machine-id", "/var/tmp", "/var/log"),
    *("/var/lib/dpkg", "/var/lib/systemd", "/var/lib/mosquitto", "/var/cache/ldconfig"),
)
"""What others write, or is forgotten at the next boot."""


def runs(machine: Machine) -> bool:
    """Whether the service is ready."""
    return machine.show("ActiveState") == "active" and machine.show("SubState") == "running"


def comes_back(machine: Machine, old_pid: int, timeout_s: float = START_S) -> float:
    """How long until another process is ready, s."""
    return wait_for("coming back", lambda: machine.pid() not in (0, old_pid) and runs(machine), timeout_s)


def sees_people(machine: Machine, camera: str = "hall") -> None:
    """A subscriber gets a camera's poses."""
    message = json.loads(machine.do(f"mosquitto_sub -h 127.0.0.1 -t posed/pi/{camera}/poses -C 1 -W 60"))
    assert (message["device"], message["camera"]) == ("pi", camera), message


# The rows, in the order in which a machine lives through them.


def install(machine: Machine) -> str:
    """A fresh install makes user, groups and folders, enables the service, and starts nothing yet."""
    machine.do("dpkg -i /debs/posed.deb")
    groups = set(machine.do("id -nG posed").split())
    assert groups >= {"video", "render", "plugdev", "apex"}, f"groups: {groups}"
    assert machine.says("systemctl is-enabled posed") == "enabled", "not enabled"
    assert machine.says("stat -c %U:%G:%a /etc/posed/posed.yaml") == "root:posed:640", "posed.yaml's owner"
    version = machine.do("posed --version")
    numpy = machine.do("/opt/posed/bin/python3 -c 'import numpy; print(numpy.__file__, numpy.__version__)'")
    assert numpy.startswith("/usr/lib/python3/"), f"numpy is {numpy}"
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
    bad = machine.says(
        "journalctl -u posed -p warning -o cat --no-pager; journalctl -u posed | grep Traceback"
    )
    assert not bad, bad
    state = machine.do("ls /var/lib/posed")
    assert "spool.sqlite" in state, f"state folder: {state}"
    pid = machine.pid()
    status = machine.do(f"grep -E '^(CapEff|NoNewPrivs|Seccomp|Uid)' /proc/{pid}/status | tr '\\n\\t' '  '")
    assert "CapEff: 0000000000000000" in status, status
    assert "NoNewPrivs: 1" in status, status
    assert "Seccomp: 2" in status, status
    return "no capability, seccomp on, state folder written"


def doctor(machine: Machine) -> str:
    """Posed doctor finds the service well."""
    done = machine.run("posed doctor --config /etc/posed/posed.yaml --json")
    assert done.returncode in (0, 1), f"status {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}"
    checks = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    for name in ("service", "broker", "camera hall", "model", "runtime"):
        assert checks[name] == "ok", f"{name}: {checks[name]}"
    return f"status {done.returncode}, {len(checks)} checks"


def doctor_as_anybody(machine: Machine) -> str:
    """Somebody who may not read the configuration gets a table, too, and the daemon is not disturbed."""
    pid, since = machine.pid(), machine.now()
    done = machine.run(
        "setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/nonexistent posed doctor --json"
    )
    assert done.returncode == 2, f"status {done.returncode}: {done.stderr[-300:]}"
    assert not done.stderr, f"status {done.returncode}: {done.stderr[-300:]}"
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "sudo posed doctor" in checks["configuration"]["remedy"], f"{checks['configuration']}"
    assert checks["service"]["status"] == "ok", f"{checks['service']}"
    assert machine.pid() == pid, "it was disturbed"
    assert "WARNING" not in machine.log(since), "it was disturbed"
    return f"status 2: {checks['configuration']['found']}"


def watchdog(machine: Machine) -> str:
    """A frozen process (SIGSTOP) is noticed by the watchdog and started again."""
    pid, since = machine.pid(), machine.now()
    machine.do(f"kill -STOP {pid}")
    took_s = comes_back(machine, pid, WATCHDOG_S + 2 * STOP_S + START_S)
    assert "Fatal Python error: Aborted" in machine.log(since), "the log does not say where it was"
    sees_people(machine)
    return (
        f"runs again after {took_s:.1f} s (WatchdogSec {WATCHDOG_S:g}); the log says where every thread was"
    )


def killed(machine: Machine) -> str:
    """Kill -9: the broker tells `offline`, and it comes back."""
    pid = machine.pid()
    heard = "/tmp/heard"
    machine.do(f"mosquitto_sub -h 127.0.0.1 -t posed/pi/availability -C 3 -W 90 > {heard} 2>&1 & sleep 1")
    machine.do(f"kill -9 {pid}")
    took_s = comes_back(machine, pid)
    wait_for("online", lambda: machine.says(f"cat {heard}").split() == ["online", "offline", "online"], 60)
    return f"runs again after {took_s:.1f} s; availability: online, offline, online"


def restarted_on_request(machine: Machine) -> str:
    """A request `restart` is a new run of the same process: systemd neither ends it nor loses sight of it."""
    pid, run, since = machine.pid(), _run(machine), machine.now()
    machine.do("mosquitto_pub -h 127.0.0.1 -t posed/pi/request/restart -n")
    took_s = wait_for("a new run", lambda: _run(machine) != run, START_S)
    time.sleep(STOP_S + 1)  # after which systemd kills what has said that it stops
    assert machine.pid() == pid, f"process {pid} is {machine.pid()}, {machine.show('SubState')}"
    assert runs(machine), f"process {pid} is {machine.pid()}, {machine.show('SubState')}"
    assert "restarting on request" in machine.log(since), "the log does not say so"
    fed = machine.show("WatchdogTimestampMonotonic")
    wait_for("feeding the watchdog", lambda: machine.show("WatchdogTimestampMonotonic") != fed, WATCHDOG_S)
    sees_people(machine)
    return f"new run after {took_s:.1f} s, same process, active, watchdog fed"


def _run(machine: Machine) -> str:
    """The id of the daemon's run, as its state has it."""
    text = machine.do("mosquitto_sub -h 127.0.0.1 -t posed/pi/state -C 1 -W 60")
    return str(json.loads(text)["run"])


def model_away(machine: Machine) -> str:
    """A model that cannot be downloaded yet, the network not being up, is waited for and holds nothing up."""
    machine.write("/etc/posed/posed.yaml", CONFIG.replace("drawings-257x353-16", "coral-353x481, pull: true"))
    since, began_at = machine.now(), time.monotonic()
    machine.do("systemctl restart posed", START_S)
    took_s = time.monotonic() - began_at
    wait_for("a second attempt", lambda: machine.log(since).count("; trying again in ") >= 2, 60)
    status = machine.show("StatusText")
    assert status.startswith("waiting for the model: "), f"status: {status}"
    assert runs(machine), "it was started again"
    assert machine.show("NRestarts") == "0", "it was started again"
    machine.write("/etc/posed/posed.yaml", CONFIG)
    began_at = time.monotonic()
    machine.do("systemctl stop posed", 60)
    stopped_s = time.monotonic() - began_at
    assert stopped_s < STOP_S, f"stopped in {stopped_s:.1f} s"
    assert machine.show("Result") == "success", f"stopped in {stopped_s:.1f} s"
    machine.do("systemctl start posed", START_S)
    return f"ready after {took_s:.1f} s, tried again and again, stopped in {stopped_s:.1f} s"


def reload_good(machine: Machine) -> str:
    """Systemctl reload with a good file: the same process goes on with it, and with one camera more."""
    pid, since = machine.pid(), machine.now()
    text = CONFIG.replace("fps: 10}", "fps: 10}, bedroom: {kind: synthetic, fps: 5}")
    text = text.replace("threads: 1", "threads: 2")
    machine.write("/etc/posed/posed.yaml", text + "decode: {score_threshold: 0.4}\n")
    machine.do("systemctl reload posed")
    applied = "reloaded: cameras.bedroom, decode.score_threshold"
    wait_for("reloading", lambda: applied in machine.log(since), 30)
    wait_for("ready again", lambda: runs(machine), 10)
    assert "needs a restart: engine.threads" in machine.log(since), "does not say what waits"
    sees_people(machine, "bedroom")
    assert machine.pid() == pid, "another process"
    return "a new camera and decode.score_threshold apply at once; that engine.threads waits is said"


def reload_bad(machine: Machine) -> str:
    """A bad file is refused with its problem in the log, and the old one stays."""
    pid, since = machine.pid(), machine.now()
    problem = "decode.score_threshold: must be less than 1, got 7"
    machine.write("/etc/posed/posed.yaml", CONFIG + "decode: {score_threshold: 7}\n")
    machine.do("systemctl reload posed")
    errors = f"journalctl -u posed -p err -o cat --no-pager --since=@{since}"
    wait_for("the problem among the log's errors", lambda: problem in machine.says(errors), 30)
    wait_for("the refusal", lambda: "not reloaded: the configuration stays" in machine.log(since), 30)
    assert machine.pid() == pid, "it does not go on"
    assert runs(machine), "it does not go on"
    wait_for("the refusal in the status", lambda: problem in machine.show("StatusText"), 30)
    sees_people(machine)
    machine.write("/etc/posed/posed.yaml", CONFIG)
    machine.do("systemctl reload posed")
    wait_for("the good file", lambda: problem not in machine.show("StatusText"), 30)
    return f"refused with: {problem}"


def cannot_work(machine: Machine) -> str:
    """A configuration that cannot work ends in status 2 and is not tried for ever."""
    machine.write("/etc/posed/posed.yaml", CONFIG + "decode: {score_threshold: 7}\n")
    machine.run("systemctl restart posed")
    wait_for("failing", lambda: machine.show("ActiveState") == "failed", START_S)
    time.sleep(4)  # longer than RestartSec
    assert machine.show("ActiveState") == "failed", "it was started again"
    assert machine.show("ExecMainStatus") == "2", f"status {machine.show('ExecMainStatus')}"
    machine.write("/etc/posed/posed.yaml", CONFIG)
    machine.do("systemctl restart posed", START_S)
    return "failed with status 2, stays down until it is restarted"


def camera_away(machine: Machine) -> str:
    """A camera that is not there does not hold up starting."""
    machine.write("/etc/posed/posed.yaml", CONFIG.replace("synthetic", "video, source: /dev/video77"))
    began_at = time.monotonic()
    machine.do("systemctl restart posed", START_S)
    took_s = time.monotonic() - began_at
    text = "waiting for camera hall: camera /dev/video77: no such device"
    wait_for("the reason", lambda: text in machine.show("StatusText"), 30)
    return f"ready after {took_s:.1f} s, status: {text}"


def ai_camera_starts(machine: Machine) -> str:
    """One that takes its network in for longer than the watchdog waits is told of, and waited for."""
    machine.write("/etc/systemd/system/posed.service.d/camera.conf", AI_CAMERA)
    machine.write("/var/lib/posed/camera.json", json.dumps({"upload_s": 15}))
    machine.do("mkdir /usr/share/imx500-models; touch /usr/share/imx500-models/imx500_network_posenet.rpk")
    machine.write("/etc/posed/posed.yaml", CONFIG.replace("{kind: synthetic, fps: 10}", "{kind: imx500}"))
    try:
        machine.do("systemctl daemon-reload; systemctl restart posed", START_S)
        pid = machine.pid()
        text = "waiting for camera hall: starting: Pi camera 0: takes its network in, minutes the first time"
        wait_for("the reason", lambda: text in machine.show("StatusText"), 30)
        said = machine.show("StatusText")
        sees_people(machine)
        assert machine.pid() == pid, "it was started again"
        since = machine.now()
        machine.do("systemctl restart posed", START_S)
        sees_people(machine)
        assert "takes its network in" not in machine.log(since), "the camera has its network"
    finally:
        machine.run(
            "rm -r /etc/systemd/system/posed.service.d /usr/share/imx500-models; systemctl daemon-reload"
        )
        machine.run("rm /var/lib/posed/camera.*")
        machine.write("/etc/posed/posed.yaml", CONFIG)
        machine.do("systemctl restart posed", START_S)
    return f"status: {said}"


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
    assert took_s < STOP_S, f"{took_s:.1f} s"
    assert "a device hangs and is left behind" in machine.log(since), "the camera does not hang"
    assert machine.show("Result") == "success", f"Result={machine.show('Result')}"
    assert not machine.says(f"ls -d /proc/{pid}"), "the process is still there"
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
    assert "mqtt 127.0.0.1:1884: connected" in seen, "the log is not seen"
    assert "posed/pi/state" in seen, "no message is seen"
    assert secret not in seen, "the password can be seen"
    return "connected; not in the log, arguments, environment, unit, messages or doctor"


def install_over(machine: Machine, deb: str) -> subprocess.CompletedProcess[str]:
    """As scripts/install does it, without asking."""
    return machine.run(f"dpkg -i --force-confold /debs/{deb}.deb")


def upgrade_cut_short(machine: Machine) -> str:
    """A package that ends half-way while it is unpacked: everything is as it was."""
    pid = machine.pid()
    assert install_over(machine, "cut").returncode != 0, "dpkg did not fail"
    old_version_runs(machine, pid)
    status = machine.do("dpkg-query -W -f '${Status} ${Version}' posed")
    assert status.startswith("install ok installed"), status
    assert not status.endswith("cut"), status
    return f"dpkg fails, the process that ran goes on, also after a restart; {status}"


def upgrade_does_not_start(machine: Machine) -> str:
    """A package whose posed does not start at all: what ran is never stopped, and is back on the disk."""
    pid = machine.pid()
    assert install_over(machine, "broken").returncode != 0, "dpkg did not fail"
    old_version_runs(machine, pid)
    return "dpkg fails, the process that ran goes on, also after a restart"


def upgrade_not_ready(machine: Machine) -> str:
    """A package whose service never becomes ready: the one before is started again."""
    pid = machine.pid()
    assert install_over(machine, "unready").returncode != 0, "dpkg did not fail"
    assert machine.pid() != pid, "the new version was not tried"
    old_version_runs(machine, machine.pid())
    return "dpkg fails, the version before runs, also after a restart"


def put_back_is_not_the_new_one(machine: Machine) -> str:
    """What dpkg did not configure it does not configure later either: the version before is in its place."""
    pid = machine.pid()
    done = machine.run("dpkg --configure posed")
    assert done.returncode != 0, done.stderr[-300:]
    assert "install either again" in done.stderr, done.stderr[-300:]
    status = machine.do("dpkg-query -W -f '${Status}' posed")
    assert status == "install ok half-configured", status
    assert machine.pid() == pid, "it was restarted"
    return f"dpkg --configure fails, too, the process that runs goes on; {status}"


def install_while_starting(machine: Machine, deb: str) -> subprocess.CompletedProcess[str]:
    """Over a service that is not ready yet, and would be while the package is configured."""
    machine.do("systemctl restart --no-block posed")
    wait_for("starting", lambda: machine.show("SubState") == "start" and machine.pid(), START_S)
    pid = machine.pid()
    machine.do(f"kill -STOP {pid}")
    asked = "[ ]start posed.service|[ ]restart posed.service"
    wait = f"timeout 120 sh -c 'until pgrep -f \"{asked}\"; do sleep 0.1; done'"
    machine.do(f"({wait}; sleep 1; kill -CONT {pid}) >/dev/null 2>&1 &")
    assert machine.show("SubState") == "start", f"it is {machine.show('SubState')}"
    done = install_over(machine, deb)
    assert machine.pid() != pid, "the process of the old version runs on"
    return done


def upgrade_starting_not_ready(machine: Machine) -> str:
    """The same over a service that is itself not ready yet."""
    assert install_while_starting(machine, "unready").returncode != 0, "dpkg did not fail"
    old_version_runs(machine, machine.pid())
    return "dpkg fails, the version before runs, also after a restart"


def upgrade_starting(machine: Machine) -> str:
    """A package over a service that is not ready yet: the version that is on the disk runs."""
    done = install_while_starting(machine, "newer")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-300:]
    assert runs(machine), "it is not ready"
    sees_people(machine)
    return "the process that was starting gives way to one of the new version"


def old_version_runs(machine: Machine, pid: int) -> None:
    """As this process, and as another one after a restart; nothing of the new version is left."""
    assert machine.pid() == pid, "it does not run any more"
    assert runs(machine), "it does not run any more"
    assert machine.says("ls -d /opt/posed/newer /opt/posed.*") == "", "files of the new version are left"
    machine.do("systemctl daemon-reload; systemctl restart posed", START_S)
    sees_people(machine)


def upgrade(machine: Machine) -> str:
    """A newer package over it: restarted with it, configuration untouched though the package's is new."""
    pid = machine.pid()
    machine.write("/etc/posed/posed.yaml", CONFIG + "# mine\n")
    done = install_over(machine, "newer")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-300:]
    assert machine.do("dpkg-query -W -f '${Version}' posed").endswith("+newer"), "the version is the old one"
    took_s = comes_back(machine, pid)
    assert machine.says("ls -d /opt/posed/newer /opt/posed.*") == "/opt/posed/newer", "not its files"
    assert not machine.says(f"ls /opt/posed/put-back /opt/posed/{GONE}"), "files of the old version are left"
    assert machine.do("cat /etc/posed/posed.yaml") == CONFIG + "# mine", "posed.yaml has changed"
    assert machine.says("stat -c %U:%G:%a /etc/posed/posed.yaml") == "root:posed:640", "posed.yaml's owner"
    assert machine.says("stat -c %U:%G:%a /etc/posed") == "root:posed:750", "the folder's owner"
    sees_people(machine)
    return f"ready {took_s:.1f} s after dpkg ended, posed.yaml as it was"


def uninstall(machine: Machine, before: set[str]) -> str:
    """Removal stops it and keeps the configuration; purge leaves nothing."""
    machine.do("mkdir -p /opt/posed.failed/lib")  # of an upgrade that failed, and then the power did
    machine.do("dpkg -r posed")
    assert not machine.says("pgrep -f '[/]opt/posed/bin'"), "something runs"
    assert not machine.says("ls -d /opt/posed /usr/bin/posed"), "files are left"
    assert machine.do("ls /etc/posed/posed.yaml")
    machine.do("dpkg -P posed")
    left = {path for path in files(machine) - before if not path.endswith(".pyc")}
    left |= set(machine.do("find / -xdev -name '*posed*' ! -path '/debs*'").splitlines())
    assert not left, f"left: {sorted(left)[:10]}"
    assert not machine.says("getent passwd posed; getent group posed apex"), "user or group is left"
    assert "posed" not in machine.says("systemctl list-unit-files --no-legend"), "the unit is left"
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
    "doctor, any user": doctor_as_anybody,
    "frozen (SIGSTOP)": watchdog,
    "kill -9": killed,
    "request restart": restarted_on_request,
    "reload, good file": reload_good,
    "reload, bad file": reload_bad,
    "cannot work": cannot_work,
    "camera away": camera_away,
    "model away": model_away,
    "AI Camera starts": ai_camera_starts,
    "stop, camera hangs": stop_hung,
    "credential": credential,
    "upgrade, cut short": upgrade_cut_short,
    "upgrade, does not start": upgrade_does_not_start,
    "upgrade, never ready": upgrade_not_ready,
    "upgrade, put back": put_back_is_not_the_new_one,
    "upgrade, both not ready": upgrade_starting_not_ready,
    "upgrade": upgrade,
    "upgrade, starting": upgrade_starting,
}


@pytest.fixture(scope="module")
def debs(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with the package, a newer one, and newer ones that fail in three ways."""
    need_machines()
    need_debian("lintian", "lintian")
    if not Path("/usr/bin/python3").exists():
        cannot("needs Debian's python3")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with locked("service"), tempfile.TemporaryDirectory(prefix="posed-check-", dir=FOLDER) as folder:
        make_debs(request.config.getoption("--deb", default=None), Path(folder) / "debs")
        yield Path(folder) / "debs"


@pytest.fixture(scope="module")
def lintian(debs: Path) -> Iterator[subprocess.Popen[str]]:
    """It takes a minute, beside everything else."""
    command = ["lintian", "--no-cfg", "--fail-on", "error", "--allow-root", str(debs / "posed.deb")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield process
    if process.returncode is None:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def machine(debs: Path, lintian: subprocess.Popen[str]) -> Iterator[Machine]:
    """A Debian like this machine's, without a network, with mosquitto in it; its changes are forgotten."""
    ours = [f"--bind-ro={ROOT / name}:/check/{name}" for name in ("tests", "scripts")]
    booted = Machine(make_files(codename()), ["--private-network", f"--bind-ro={debs}:/debs", *ours])
    try:
        booted.boot()
        yield booted
    finally:
        booted.off()


@pytest.fixture(scope="module")
def before(machine: Machine) -> set[str]:
    """The files that were there before the package."""
    return files(machine)


@pytest.mark.parametrize("name", ROWS)
def test_machine_lives_through(name: str, machine: Machine, before: set[str], row: Row) -> None:
    row.report(live_through(machine, ROWS[name]))


def test_removal_leaves_nothing(machine: Machine, before: set[str], row: Row) -> None:
    row.report(live_through(machine, lambda machine: uninstall(machine, before)))


def test_lintian_finds_no_error(lintian: subprocess.Popen[str], row: Row) -> None:
    said, _ = lintian.communicate()
    assert lintian.returncode == 0, said
    row.report(f"no errors, {said.count('W: ')} warnings")


def make_debs(deb: Path | None, folder: Path) -> None:
    """The package; a newer one, with a new posed.yaml, too; and newer ones that fail in three ways."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(deb or build_deb(), folder / "posed.deb")
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", str(folder / "posed.deb"), str(tree)], check=True)
    (tree / "opt/posed/newer").touch()
    next(iter((tree / "opt/posed").glob(GONE))).unlink()
    with (tree / "etc/posed/posed.yaml").open("a") as file:
        file.write("# new\n")
    pack(tree, folder / "newer.deb")
    whole = pack(tree, folder / "cut.deb").read_bytes()
    (folder / "cut.deb").write_bytes(whole[: len(whole) // 2])
    program = tree / "opt/posed/bin/posed"
    program.write_text('#!/bin/sh\n[ "$1" != run ] && exec /opt/posed/bin/python3 -m posed "$@"\nexit 1\n')
    pack(tree, folder / "unready.deb")
    program.write_text("#!/bin/sh\nexit 1\n")
    pack(tree, folder / "broken.deb")
    shutil.rmtree(tree)


def pack(tree: Path, deb: Path) -> Path:
    """A package of a tree, with the package's name at the end of its version."""
    control = tree / "DEBIAN/control"
    text = control.read_text()
    control.write_text(re.sub(r"(?m)^(Version: .*)$", rf"\1+{deb.stem}", text))
    command = ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(deb)]
    subprocess.run(command, check=True, capture_output=True)
    control.write_text(text)
    return deb


def build_deb() -> Path:
    """The package of these sources; made once for the same ones."""
    digest = hashlib.sha256()
    folders = [path for name in ("config", "systemd", "posed") for path in (ROOT / name).rglob("*")]
    files = (ROOT / name for name in ("pyproject.toml", "setup.py", "scripts/build_deb", "scripts/tidy_venv"))
    for path in sorted([*files, *folders]):
        if path.is_file() and path.suffix not in (".so", ".pyc"):
            digest.update(str(path).encode() + path.read_bytes())
    folder = FOLDER / "debs" / digest.hexdigest()[:16]
    if not list(folder.glob("*.deb")):
        shutil.rmtree(folder.parent, ignore_errors=True)
        subprocess.run([str(ROOT / "scripts/build_deb"), str(folder)], check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.deb"))
