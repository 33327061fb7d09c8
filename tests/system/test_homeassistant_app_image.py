"""Builds the image of the Home Assistant app as the Supervisor does, and runs it with a stand-in for that.

Building takes minutes the first time (Debian, PyPI, a compiler); what was built is kept. The camera is drawn,
and the model comes with posed.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from scripts.paths import ROOT
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.run_app import App
from tests.supervisor import PROXY, Supervisor
from tests.system.conftest import Row
from tests.system.containers import Docker, docker
from tests.system.needs import need_debian

pytestmark = [pytest.mark.release, pytest.mark.usefixtures("row")]

IMAGE: Final = "posed-app"
PATIENCE_S: Final = 120.0
STOP_S: Final = 10
"""The Supervisor gives an app so long to end, s: `timeout` in config.yaml."""

AS_SUPERVISED: Final = ("--init", "--volume=/dev:/dev:ro", "--tmpfs=/dev/shm", "--oom-score-adj=200")
"""What the Supervisor runs every app with. Source: supervisor/docker/app.py."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A daemon that has the image, built of the folder that is copied to /addons."""
    need_debian("mosquitto", "mosquitto")
    where = tmp_path_factory.mktemp("addons")
    subprocess.run([ROOT / "scripts" / "build_app", where], check=True, capture_output=True)
    with docker("app") as running:
        running.build(where / "posed", where / "posed" / "Dockerfile", IMAGE)
        yield running


class Installed:
    """The app as it was installed: its two folders, and who starts it.

    Args:
        client: of Docker.
        supervisor: the stand-in.
        app: has options and the owner's file in folders of the test.
    """

    def __init__(self, client: Docker, supervisor: Supervisor, app: App) -> None:
        self.client = client
        self.supervisor = supervisor
        self.app = app

    @property
    def words(self) -> tuple[str, ...]:
        """What a container is run with, but for what is only here: no network of its own."""
        here = {
            "SUPERVISOR_TOKEN": self.supervisor.token,
            "POSED_WEB__PORT": str(self.app.port),
            "POSED_WEB__TRUSTED_PROXY": PROXY,
        }
        variables = (f"--env={name}={value}" for name, value in here.items())
        folders = (f"--volume={self.app.data}:/data", f"--volume={self.app.config}:/config")
        return (*AS_SUPERVISED, *variables, *folders, IMAGE, "--supervisor", self.supervisor.url)

    @contextmanager
    def running(self) -> Iterator[str]:
        """A container in the background, until then; its id."""
        with self.client.running(*self.words) as container:
            yield container

    async def get(self, path: str) -> tuple[int, str]:
        """What a browser gets through ingress, once the page is there."""
        async with aiohttp.ClientSession(cookies=self.supervisor.cookies) as browser, asyncio.timeout(60):
            while True:
                async with browser.get(f"{self.supervisor.url}{self.supervisor.path}{path}") as answer:
                    if answer.status < 500:
                        return answer.status, await answer.text()
                await asyncio.sleep(0.5)


@pytest.fixture
def installed(client: Docker, tmp_path: Path) -> Iterator[Installed]:
    """The app on drawn people."""
    app = App(tmp_path, None)
    app.write({"cameras": {"hall": {"kind": "synthetic"}}, "model": {"name": "drawings-257x353-32"}})
    with Supervisor(app.port) as supervisor:
        yield Installed(client, supervisor, app)


def test_it_runs_as_the_supervisor_starts_it(installed: Installed, tmp_path: Path, row: Row) -> None:
    """Messages at a broker that comes later, the page through ingress, healthy, and ended in time."""
    client = installed.client
    with (
        Mosquitto(tmp_path) as broker,
        Subscriber(broker.port) as subscriber,
        installed.running() as container,
    ):
        eventually(lambda: "waiting for one" in client.logs(container), PATIENCE_S)
        installed.supervisor.broker = {"host": "127.0.0.1", "port": broker.port}
        subscriber.wait_for("posed/posed/availability", b"online", PATIENCE_S)
        eventually(lambda: subscriber.payloads("posed/posed/hall/poses"), PATIENCE_S)
        status, page = asyncio.run(installed.get("/"))
        assert (status, "<canvas" in page) == (200, True)
        assert "decoder: many people, compiled" in client.logs(container)
        eventually(lambda: client.inspect(container)["State"]["Health"]["Status"] == "healthy", PATIENCE_S)
        began_at = time.monotonic()
        client.do("stop", "--time", STOP_S, container)
        assert time.monotonic() - began_at < STOP_S
        state = client.inspect(container)["State"]
        assert (state["ExitCode"], subscriber.payloads("posed/posed/availability")[-1]) == (0, b"offline")
        row.report(f"{client.inspect(IMAGE)['Size'] / 1e6:.0f} MB")


def test_another_container_is_the_same_device(installed: Installed, tmp_path: Path) -> None:
    """An update is a new container with the old data: its name and what was set last, both times."""
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        installed.supervisor.broker = {"host": "127.0.0.1", "port": broker.port}
        with installed.running():
            subscriber.wait_for("posed/posed/availability", b"online", PATIENCE_S)
            wanted = b'{"camera": "hall", "settings": {"decode.max_people": 3}, "persist": true}'
            subscriber.publish("posed/posed/request/set", wanted)
            eventually((installed.app.data / "overlay.yaml").exists, PATIENCE_S)
        with installed.running() as container:
            eventually(
                lambda: "overrides the file: cameras.hall." in installed.client.logs(container), PATIENCE_S
            )
        names = {
            message.topic.split("/")[1] for message in subscriber.messages if message.topic[:6] == "posed/"
        }
        assert names == {"posed"}


def test_wrong_options_end_it_with_a_line(installed: Installed) -> None:
    """As the Supervisor shows it: an app that has stopped, and its log."""
    installed.app.set(cameras=[{"name": "hall", "url": "no url"}])
    done = installed.client.run(*installed.words)
    assert (done.returncode, done.stderr) == (
        2,
        "options.cameras.hall.url: must be a URL, such as rtsp://192.0.2.20/stream, got other text\n",
    )
