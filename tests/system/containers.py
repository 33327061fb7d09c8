"""Builds container images without a registry, and runs them, by a Docker daemon of the tests' own.

The daemon is Debian's, unpacked rather than installed: it neither starts by itself nor touches the firewall.
The base image is a trixie that debootstrap makes as small as `debian:trixie-slim`, and has that name. Images
are kept from one run to the next, for their layers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.brokers import eventually
from tests.system.debian import make_debian, need_chroots, proxies
from tests.system.needs import CACHE, cannot, locked

FOLDER: Final = CACHE / "containers"
"""Where the daemon's programs and its images are kept."""

PROGRAMS: Final = ("docker.io", "docker-cli", "containerd", "runc", "tini")
"""Debian's packages of them; docker-cli is one of its own from trixie on."""

BASE: Final = "debian:trixie-slim"
START_S: Final = 60.0

_AUTHORITIES: Final = "etc/posed-check.crt"
"""Where the base has this machine's: at their usual place Debian's would replace them."""

_TAKEN_ALONG: Final = {
    Path("/etc/ssl/certs/ca-certificates.crt"): _AUTHORITIES,
    Path("/etc/pip.conf"): "etc/pip.conf",
}
"""What pip takes to reach the network as this machine does."""

_SLIM: Final = {
    "etc/dpkg/dpkg.cfg.d/docker": "".join(
        f"path-exclude /usr/share/{folder}/*\n" for folder in ("doc", "info", "locale", "man")
    )
    + "path-include /usr/share/doc/*/copyright\n",
    "etc/apt/apt.conf.d/docker-clean": (
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
        'APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
        'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    ),
    "etc/apt/apt.conf.d/docker-no-languages": 'Acquire::Languages "none";\n',
}
"""What makes the image of that name slim."""


@dataclass(frozen=True)
class Docker:
    """The command of a daemon that runs; its containers have this machine's network, unless given another.

    Args:
        socket: of the daemon.
        programs: the folders they are in, as in PATH.
    """

    socket: Path
    programs: str

    def command(self, *words: object) -> list[str]:
        """What runs a command of docker's."""
        return ["env", f"PATH={self.programs}", "DOCKER_BUILDKIT=0", "docker", "-H", f"unix://{self.socket}",
                *map(str, words)]  # fmt: skip

    def tries(self, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """A command of docker's that may fail; options are those of subprocess.run."""
        options = {"stdin": subprocess.DEVNULL, "timeout": 600} | options
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=False, **options)

    def do(self, *words: object, **options: Any) -> str:
        """A command of docker's that must succeed; what it says."""
        done = self.tries(*words, **options)
        last = " / ".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        assert done.returncode == 0, f"docker {' '.join(map(str, words))}: status {done.returncode}: {last}"
        return done.stdout.strip()

    def build(
        self, context: Path, dockerfile: Path, tag: str, arguments: Mapping[str, str] | None = None
    ) -> None:
        """Build an image, which takes up to half an hour the first time.

        Args:
            context: the folder that it is built from.
            dockerfile: says how.
            tag: its name.
            arguments: of the build.
        """
        given = {**proxies(), **(arguments or {})}
        words = [f"--build-arg={name}={value}" for name, value in given.items()]
        self.do("build", "--network=host", *words, "-f", dockerfile, "-t", tag, context, timeout=3600)

    def run(self, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a container to its end, and remove it; the words are options, the image and its command."""
        return self.tries("run", "--rm", *_with_network(words), **options)

    def start(self, *words: object) -> str:
        """Start a container in the background; its id."""
        return self.do("run", "--detach", *_with_network(words))

    @contextmanager
    def running(self, *words: object) -> Iterator[str]:
        """A container in the background, until then; its id. What it said last goes with an error."""
        container = self.start(*words)
        try:
            yield container
        except BaseException as error:
            error.add_note(self.logs(container)[-3000:])
            raise
        finally:
            self.remove(container)

    def logs(self, container: str) -> str:
        """All that a container has said."""
        done = self.tries("logs", container)
        return done.stdout + done.stderr

    def inspect(self, name: str) -> Any:
        """All that is known of a container or an image."""
        return json.loads(self.do("inspect", name))[0]

    def remove(self, *containers: str) -> None:
        """Remove containers, also those that run."""
        if containers:
            self.do("rm", "--force", "--volumes", *containers)


def _with_network(words: tuple[object, ...]) -> tuple[object, ...]:
    named = any(str(word).startswith("--net") for word in words)
    return words if named else ("--network=host", *words)


@contextmanager
def docker(name: str) -> Iterator[Docker]:
    """Run a daemon that has the base image; afterwards none of its containers is left.

    Args:
        name: of its images' folder: one daemon has it at a time.
    """
    need_chroots()
    with locked(f"containers-{name}"), tempfile.TemporaryDirectory(prefix="posed-docker-") as place:
        with locked("containers"):
            programs = _programs()
            base = _base()
        folder = Path(place)  # short: the names of sockets may be no longer than 107 bytes
        client = Docker(folder / "socket", programs)
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(_daemon(folder, FOLDER / name, programs), stdout=log, stderr=log)
        try:
            _wait(client, daemon, folder / "log")
            if not client.do("images", "--quiet", BASE):
                client.do("import", "--change=CMD bash", f"--change=ENV PIP_CERT=/{_AUTHORITIES}", base, BASE)
            yield client
        finally:
            left = client.tries("ps", "--all", "--quiet").stdout.split()
            client.tries("rm", "--force", "--volumes", *left)
            daemon.terminate()
            daemon.wait(60)


def _daemon(folder: Path, data: Path, programs: str) -> list[str]:
    """What starts it, without a network of its own or any rule of a firewall; it ends when we do."""
    return [
        *("unshare", "--mount", "--propagation=private", "setpriv", "--pdeathsig=TERM", "env"),
        *(f"PATH={programs}", "dockerd", "-H", f"unix://{folder / 'socket'}", f"--data-root={data}"),
        *(f"--exec-root={folder / 'exec'}", f"--pidfile={folder / 'pid'}", "--iptables=false"),
        "--bridge=none",
    ]


def _wait(client: Docker, daemon: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers; the test is skipped where it cannot run."""

    def answers() -> bool:
        return daemon.poll() is not None or client.tries("version").returncode == 0

    eventually(answers, START_S)
    if daemon.poll() is not None:
        cannot(f"dockerd ended: {log.read_text(errors='replace')[-500:]}")


def _programs() -> str:
    """The folders of Debian's programs, got and unpacked once."""
    root = FOLDER / "programs"
    if not (root / ".made").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        for package in PROGRAMS:
            subprocess.run(
                ["apt-get", "download", "-qq", package], cwd=root, capture_output=True, check=False
            )
        for deb in root.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)
            deb.unlink()
        if not (root / "usr/sbin/dockerd").exists():
            cannot("needs Debian's docker.io from this machine's apt sources, and apt-get update")
        (root / ".made").touch()
    return f"{root}/usr/bin:{root}/usr/sbin:{os.environ['PATH']}:/usr/sbin:/sbin"


def _base() -> Path:
    """A file of the base image, made once."""
    made = FOLDER / "base.tar"
    if not made.exists():
        root = FOLDER / "base"
        make_debian(root, "trixie", "libc-bin")
        for file, text in _SLIM.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text, encoding="ascii")
        for ours, theirs in _TAKEN_ALONG.items():
            if ours.exists():
                shutil.copy(ours, root / theirs)
        excluded = [f"--exclude=./usr/share/{name}/*" for name in ("doc", "info", "locale", "man")]
        excluded += [
            "--exclude=./var/lib/apt/lists/*",
            "--exclude=./var/cache/apt/*",
            "--exclude=./var/log/*",
        ]
        part = made.with_suffix(".part")
        subprocess.run(["tar", "-C", str(root), *excluded, "-cf", str(part), "."], check=True)
        part.rename(made)
        shutil.rmtree(root)
    return made
