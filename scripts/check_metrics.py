"""Holds /metrics and the dashboard against a real promtool and a real Prometheus.

    scripts/check_metrics

A daemon before drawn people, with a token, is scraped for some seconds while its broker is restarted. Every
expression of config/grafana is then asked of Prometheus, as Grafana would.

Exit status: 0 all is well, 1 something is not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402

from tests.brokers import Mosquitto, eventually, free_port  # noqa: E402
from tests.grafana import dashboard, expressions, filled_in, names_in  # noqa: E402
from tests.run_posed import Daemon  # noqa: E402

TOKEN: Final = "only-for-this-check-0123"  # noqa: S105 it is what it says
SCRAPE_S: Final = 1
WATCH_S: Final = 25.0
INTERVAL: Final = f"{8 * SCRAPE_S}s"
"""What $__rate_interval is taken for."""

PATIENCE_S: Final = 120.0

KNOWN_EMPTY: Final = {"posed_temperature_celsius"}
"""Series that a machine need not have: a virtual one tells no temperature."""


def main() -> int:
    """Go through all checks; returns the exit status."""
    tools, failed = Path(sys.argv[1]), 0
    with tempfile.TemporaryDirectory(prefix="posed-metrics-") as kept:
        folder = Path(kept)
        with Mosquitto(folder) as broker:
            port = free_port()
            with Daemon(folder, settings(broker.port, port)) as daemon:
                eventually(lambda: "live view: http" in daemon.log(), PATIENCE_S)
                eventually(lambda: "posed_people " in scraped(port), PATIENCE_S)
                text = scraped(port)
                empty = {name for name in KNOWN_EMPTY if f"\n{name}{{" not in text}
                failed += told("promtool finds nothing to say", lint(tools, text))
                with prometheus(tools, folder, port) as address:
                    time.sleep(WATCH_S / 2)
                    broker.restart()
                    time.sleep(WATCH_S / 2)
                    failed += told("Prometheus scrapes with the token", trouble(address))
                    for title, expression in expressions():
                        problem = "" if names_in(expression) & empty else unanswered(address, expression)
                        failed += told(f"{title}: {expression}"[:110], problem)
                    failed += told("the broker's return is counted", uncounted(address))
                    failed += told("the list of devices is filled", no_devices(address))
    print("all good" if not failed else f"{failed} failed")
    return 1 if failed else 0


def settings(broker_port: int, port: int) -> dict[str, Any]:
    """Of the daemon."""
    return {
        "device": "hall",
        "camera": {"kind": "synthetic", "source": "1", "fps": 10, "size": [320, 240]},
        "model": {"name": "drawings-257x353-32"},
        "mqtt": {"host": "127.0.0.1", "port": broker_port},
        "people": {"zones": {"room": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}}},
        "web": {"enabled": True, "port": port, "token": TOKEN},
    }


def told(what: str, problem: str) -> bool:
    """Print how a check went; whether it failed."""
    print(f"{'FAILED' if problem else 'ok':<8}{what}", flush=True)
    if problem:
        print(f"        {problem}", flush=True)
    return bool(problem)


def scraped(port: int) -> str:
    """What the daemon says of itself."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
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
        with urllib.request.urlopen(f"{address}/-/ready", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def asked(address: str, path: str, **parameters: str) -> Any:
    """`data` of an answer of Prometheus's HTTP API."""
    url = f"{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
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


def uncounted(address: str) -> str:
    """What is wrong with the count of reconnects, after one."""
    result = asked(address, "query", query='posed_reconnects_total{part="broker"}')["result"]
    values = [one["value"][1] for one in result]
    return "" if values == ["1"] else f"{values}"


def no_devices(address: str) -> str:
    """What is wrong with the values of the dashboard's variable."""
    variable = next(one for one in dashboard()["templating"]["list"] if one["name"] == "instance")
    series, _, label = variable["definition"].removeprefix("label_values(").rstrip(")").partition(", ")
    values = asked(address, f"label/{label}/values", **{"match[]": series})
    return "" if len(values) == 1 else f"{values}"


if __name__ == "__main__":
    sys.exit(main())
