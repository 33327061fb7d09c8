"""Runs `sudo scripts/install` as somebody does who has a fresh Debian and these sources, and again.

    pytest -m release tests/system/test_install.py [--codename trixie]

Boots each by systemd-nspawn with this machine's network, authorities and pip settings; every change to it is
forgotten at the end. Takes some minutes, and the network (Debian, PyPI). The rows are what one machine lives
through, in their order: one alone does not find what those before it left.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from scripts.paths import ROOT
from tests.system.conftest import Row
from tests.system.machine import Machine, live_through, make_files, need_machines, wait_for
from tests.system.needs import locked

pytestmark = pytest.mark.release

DEBIANS: Final = ("bookworm", "trixie")
INSTALL_S: Final = 1800.0
START_S: Final = 90.0
MOST_EXPOSED: Final = 1.5
PORT: Final = 18831
"""Of the broker: the machine has this one's network."""

CONFIG: Final = f"""\
device: check-install
cameras: {{hall: {{kind: synthetic, fps: 10}}}}
model: {{name: drawings-257x353-16}}
mqtt: {{host: 127.0.0.1, port: {PORT}}}
"""

AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"

LIBEDGETPU_VERSION: Final = "16.0TF2.17.1-1"


def run_install(machine: Machine) -> tuple[int, str]:
    """The status of scripts/install without a terminal, and all that it said."""
    variables = " ".join(f"{name}='{value}'" for name, value in os.environ.items() if name.startswith("PIP_"))
    done = machine.run(f"cd /root/posed && env {variables} scripts/install 2>&1", INSTALL_S)
    return done.returncode, done.stdout


def install(machine: Machine) -> str:
    """On a Debian that has nothing of it: installed, enabled, and what is missing is said."""
    machine.do("mkdir /root/posed && cp -r /src/* /root/posed && rm -rf /root/posed/.venv")
    status, said = run_install(machine)
    assert status == 2, f"status {status}: {said[-1500:]}"
    for line in (
        "no python3-picamera2 in apt's sources",
        "for a Coral take ai-edge-litert",
        "nothing is set up yet: sudo posed setup",
        "posed is installed; what it still needs is said above",
    ):
        assert line in said, f"does not say {line!r}: {said[-1500:]}"
    assert machine.says("systemctl is-enabled posed") == "enabled", "not enabled"
    assert machine.says("dpkg --verify posed") == "", "files differ from the package's"
    python = machine.do("/opt/posed/bin/python3 --version")
    return f"{python}; says what is missing: picamera2, libedgetpu, broker and camera"


def start(machine: Machine) -> str:
    """It runs on drawn people, with the compiled decoder and the fast runtime."""
    machine.do(f"mosquitto -d -p {PORT}")
    machine.write("/etc/posed/posed.yaml", CONFIG)
    machine.do("systemctl restart posed", START_S)
    sees_people(machine)
    assert "decoder: many people, compiled" in machine.log(), "the decoder is not compiled"
    wait_for("a status with the engine", lambda: "cpu ai-edge-litert" in machine.show("StatusText"), 30)
    said = machine.says("systemd-analyze verify --man=no /usr/lib/systemd/system/posed.service 2>&1")
    assert not said, said
    systemd = machine.do("systemctl --version").split()[1]
    exposed = machine.do("systemd-analyze security posed | tail -n 1").rpartition(": ")[2].split()[0]
    assert float(exposed) <= MOST_EXPOSED, f"exposed by {exposed}"
    return f"systemd {systemd}: nothing to complain of, exposed by {exposed}; {machine.show('StatusText')}"


def sees_people(machine: Machine) -> None:
    """A subscriber gets poses."""
    machine.do(f"mosquitto_sub -h 127.0.0.1 -p {PORT} -t posed/check-install/hall/poses -C 1 -W 60")


def again(machine: Machine) -> str:
    """Changed sources of the same version, and a source for libedgetpu: upgraded, its configuration stays."""
    machine.do("echo '# changed' >> /root/posed/posed/__init__.py")
    machine.do("echo 'deb [trusted=yes] file:/packages ./' > /etc/apt/sources.list.d/libedgetpu.list")
    pid = machine.pid()
    status, said = run_install(machine)
    assert status in (0, 1), f"status {status}: {said[-1500:]}"
    assert "for a Coral take" not in said, "says that there is no libedgetpu"
    version = machine.do("dpkg-query -W -f '${Version}' libedgetpu1-std")
    assert version == LIBEDGETPU_VERSION, f"libedgetpu is {version}"
    assert machine.says("tail -n 1 /opt/posed/lib/python3*/site-packages/posed/__init__.py") == "# changed", (
        "old"
    )
    assert machine.do("cat /etc/posed/posed.yaml") + "\n" == CONFIG, "posed.yaml has changed"
    assert machine.pid() not in (0, pid), "it was not started again"
    sees_people(machine)
    return "the changed sources run, posed.yaml as it was, libedgetpu1-std from its source"


def fails(machine: Machine) -> str:
    """Sources that do not build: what runs is not touched."""
    machine.do("echo 'nonsense = [' >> /root/posed/pyproject.toml")
    pid = machine.pid()
    status, said = run_install(machine)
    assert status == 1, f"status {status}: {said[-1500:]}"
    assert "what ran before runs on" in said, f"status {status}: {said[-1500:]}"
    assert machine.pid() == pid, "it was started again"
    sees_people(machine)
    return "status 1, the process that ran goes on"


ROWS: Final[dict[str, Callable[[Machine], str]]] = {
    "install": install,
    "start": start,
    "again": again,
    "does not build": fails,
}


def make_packages(folder: Path) -> None:
    """Make a source for apt that has a package by libedgetpu's name and version, with nothing in it."""
    control = folder / "tree/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(
        f"Package: libedgetpu1-std\nVersion: {LIBEDGETPU_VERSION}\nArchitecture: all\n"
        "Maintainer: posed <posed@posed.example.org>\nDescription: stands in for the real one\n"
    )
    deb = folder / "libedgetpu1-std.deb"
    subprocess.run(["dpkg-deb", "--build", str(folder / "tree"), str(deb)], check=True, capture_output=True)
    size, digest = deb.stat().st_size, subprocess.check_output(["sha256sum", str(deb)], text=True).split()[0]
    entry = f"{control.read_text()}Filename: ./{deb.name}\nSize: {size}\nSHA256: {digest}\n"
    (folder / "Packages").write_text(entry)
    folder.chmod(0o755)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every row on every Debian, one machine after the other."""
    asked = metafunc.config.getoption("--codename", default=None)
    metafunc.parametrize("machine", asked or DEBIANS, indirect=True, scope="module")
    metafunc.parametrize("name", ROWS)


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One of that Debian, with this machine's network, and a source for apt."""
    need_machines()
    packages = tmp_path_factory.mktemp("packages")
    make_packages(packages)
    shared = {"/etc/resolv.conf", AUTHORITIES, "/etc/pip.conf"}
    options = [f"--bind-ro={path}" for path in sorted(shared) if Path(path).exists()]
    options += ["--resolv-conf=off", f"--bind-ro={ROOT}:/src", f"--bind-ro={packages}:/packages"]
    with locked("service"):
        # Its own broker would be this machine's, on the usual port.
        booted = Machine(make_files(request.param), options, ["systemd.mask=mosquitto.service"])
        try:
            booted.boot()
            yield booted
        finally:
            booted.off()


def test_install_does_what_it_says(name: str, machine: Machine, row: Row) -> None:
    row.report(live_through(machine, ROWS[name]))
