"""Holds /metrics and the dashboard against a real promtool and a real Prometheus.

A daemon with two cameras before drawn people, with a token, is scraped for some seconds while its broker is
restarted. Every expression of config/grafana is then asked of Prometheus, as Grafana would.

Debian's prometheus is unpacked into ${XDG_CACHE_HOME:-~/.cache}/posed-check/prometheus, once; no service is
installed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.brokers import Mosquitto, eventually, free_port
from tests.grafana import dashboard, expressions, filled_in, names_in
from tests.run_posed import Daemon
from tests.system.conftest import Row
from tests.system.needs import CACHE, cannot, locked, need_debian

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("row")]

ROOM: Final = {"room": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}}
TOKEN: Final = "only-for-this-check-0123"
SCRAPE_S: Final = 1
WATCH_S: Final = 25.0
INTERVAL: Final = f"{8 * SCRAPE_S}s"
"""What $__rate_interval is taken for."""

PATIENCE_S: Final = 120.0

KNOWN_EMPTY: Final = {"posed_temperature_celsius"}
"""Series that a machine need not have: a virtual one tells no temperature."""


@dataclass(frozen=True)
class Watched:
    """A daemon that was scraped for a while: what it said of itself, and the Prometheus that has it."""

    tools: Path
    text: str
    address: str


@pytest.fixture(scope="module")
def tools() -> Path:
    """The folder of promtool and prometheus."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            cannot(f"needs Debian's {tool}")
    folder = CACHE / "prometheus"
    with locked("install"):
        if not (folder / ".unpacked").exists():
            unpack(folder)
    return folder / "usr/bin"


def unpack(folder: Path) -> None:
    """Debian's package, without installing it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = ["apt-get", "download", "-qq", "prometheus"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode != 0:
        cannot("apt-get could not download prometheus (apt-get update?)")
    [package] = folder.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    (folder / ".unpacked").touch()


@pytest.fixture(scope="module")
def watched(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """While it runs, its broker is restarted once."""
    need_debian("mosquitto", "mosquitto")
    folder, port = tmp_path_factory.mktemp("metrics"), free_port()
    with Mosquitto(folder) as broker, Daemon(folder, settings(broker.port, port)) as daemon:
        eventually(lambda: "live view: http" in daemon.log(), PATIENCE_S)
        eventually(lambda: "posed_people{" in scraped(port), PATIENCE_S)
        text = scraped(port)
        with prometheus(tools, folder, port) as address:
            time.sleep(WATCH_S / 2)
            broker.restart()
            time.sleep(WATCH_S / 2)
            yield Watched(tools, text, address)


def test_promtool_finds_nothing_to_say(watched: Watched) -> None:
    assert not lint(watched.tools, watched.text)


def test_prometheus_scrapes_with_the_token(watched: Watched) -> None:
    assert not trouble(watched.address)


@pytest.mark.parametrize(
    ("title", "expression"), [pytest.param(*query, id=query[0]) for query in expressions()]
)
def test_every_query_of_the_dashboard_is_answered(
    title: str, expression: str, watched: Watched, row: Row
) -> None:
    row.what = f"{title}: {expression}"[:110]
    empty = {name for name in KNOWN_EMPTY if f"\n{name}{{" not in watched.text}
    assert names_in(expression) & empty or not unanswered(watched.address, expression)


def test_the_return_of_the_broker_is_counted(watched: Watched) -> None:
    assert reconnects(watched.address) == ["1"]


def test_the_lists_of_devices_and_cameras_are_filled(watched: Watched) -> None:
    assert len(choices(watched.address, "instance")) == 1
    assert choices(watched.address, "camera") == ["bedroom", "hall"]


def settings(broker_port: int, port: int) -> dict[str, Any]:
    """Of the daemon."""
    return {
        "device": "pi",
        "cameras": {
            "hall": {"kind": "synthetic", "source": "1", "fps": 10, "size": [320, 240], "zones": ROOM},
            "bedroom": {"kind": "synthetic", "source": "5", "fps": 10, "size": [320, 240]},
        },
        "model": {"name": "drawings-257x353-32"},
        "mqtt": {"host": "127.0.0.1", "port": broker_port},
        "web": {"enabled": True, "port": port, "token": TOKEN},
    }


def scraped(port: int) -> str:
    """What the daemon says of itself."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def lint(tools: Path, text: str) -> str:
    """What `promtool check metrics` says against it."""
    done = subprocess.run(
        [tools / "promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    said = (done.stdout + done.stderr).strip()
    return said or (f"status {done.returncode}" if done.returncode else "")


@contextmanager
def prometheus(tools: Path, folder: Path, port: int) -> Iterator[str]:
    """A Prometheus that scrapes the daemon; its address."""
    own = free_port()
    scrape = {
        "job_name": "posed",
        "scrape_interval": f"{SCRAPE_S}s",
        "scrape_timeout": f"{SCRAPE_S}s",
        "authorization": {"credentials": TOKEN},
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
    }
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"scrape_configs": [scrape]}), encoding="utf-8")
    checked = subprocess.run(
        [tools / "promtool", "check", "config", config], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    address = f"http://127.0.0.1:{own}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                tools / "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{own}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: is_ready(address), PATIENCE_S)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def is_ready(address: str) -> bool:
    """Whether Prometheus answers."""
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def asked(address: str, path: str, **parameters: str) -> Any:
    """`data` of an answer of Prometheus's HTTP API."""
    url = f"{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["data"]


def trouble(address: str) -> str:
    """Why the last scrape failed; empty where it did not."""
    (target,) = asked(address, "targets")["activeTargets"]
    return "" if target["health"] == "up" else f"{target['health']}: {target['lastError']}"


def unanswered(address: str, expression: str) -> str:
    """Why an expression has no answer over the time that was watched; empty where it has one."""
    now = time.time()
    query = filled_in(expression, INTERVAL)
    try:
        found = asked(
            address,
            "query_range",
            query=query,
            start=f"{now - WATCH_S:.3f}",
            end=f"{now:.3f}",
            step=f"{SCRAPE_S}",
        )["result"]
    except urllib.error.HTTPError as error:
        return error.read().decode()
    return "" if found else "no data"


def reconnects(address: str) -> list[str]:
    """How often the daemon came back to the broker, once for each device."""
    result = asked(address, "query", query='posed_reconnects_total{part="broker"}')["result"]
    return [one["value"][1] for one in result]


def choices(address: str, name: str) -> list[str]:
    """The values of one of the dashboard's variables."""
    variable = next(one for one in dashboard()["templating"]["list"] if one["name"] == name)
    series, _, label = variable["definition"].removeprefix("label_values(").rstrip(")").rpartition(", ")
    return list(asked(address, f"label/{label}/values", **{"match[]": filled_in(series)}))
