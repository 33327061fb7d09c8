"""Does to the daemon what happens to brokers, cameras, Edge TPUs, processes, disks and clocks, one at a time.

    pytest -m system tests/system/test_faults.py [-k "kill or storm"]

`faults/bench.py` says in what surroundings, `faults/account.py` what the columns of the table are. Three rows
are done at a time, each in a process of its own; a test waits for its row. Wanted: back within 10 s but for
the queue, no event lost, no silence over 30 s, availability never wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from scripts.paths import ROOT
from tests.standin import built
from tests.system.conftest import Table
from tests.system.faults.account import HEADER, Account
from tests.system.faults.rows import ROWS
from tests.system.needs import cannot, need_debian, need_root

pytestmark = pytest.mark.system

UNSHARE: Final = ("unshare", "--net", "--mount")
JOBS: Final = 3
"""Rows that are done at a time."""


class Rows:
    """Does rows, and knows what came of them.

    Args:
        names: of the rows.
        folder: for what they write.
        pool: that does them.
    """

    def __init__(self, names: list[str], folder: Path, pool: ThreadPoolExecutor) -> None:
        self._began_at = time.monotonic()
        self._bad = 0
        self._done: dict[str, Future[Account | str]] = {
            name: pool.submit(do_row, name, folder / f"{number}.json") for number, name in enumerate(names)
        }

    def wait_for(self, name: str) -> Account | str:
        """What came of a row: its account, or what went wrong."""
        done = self._done[name].result()
        self._bad += not is_good(done)
        return done

    def __str__(self) -> str:
        took_s = time.monotonic() - self._began_at
        return f"{len(self._done)} rows in {took_s:.0f} s, {self._bad} not as wanted"


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rows]:
    """Those that were asked for, all begun."""
    need_root("namespaces, mounts, a limit on memory")
    need_debian("mosquitto", "mosquitto")
    need_debian("openssl", "openssl")
    need_debian("cc", "gcc", "libc6-dev")
    need_debian("ip", "iproute2")
    need_debian("iptables", "iptables")
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        cannot("namespaces are not allowed here")
    built()
    names = [item.callspec.params["name"] for item in request.session.items if item.path == request.path]
    with ThreadPoolExecutor(JOBS) as pool:
        try:
            yield Rows(names, tmp_path_factory.mktemp("faults"), pool)
        finally:
            pool.shutdown(cancel_futures=True)


def do_row(name: str, result: Path) -> Account | str:
    """Do a row in another process; what came of it."""
    command = [*UNSHARE, sys.executable, "-m", "tests.system.faults", name, str(result)]
    with result.with_suffix(".log").open("wb") as log:
        subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    if result.exists():
        return Account(**json.loads(result.read_text(encoding="utf-8")))
    for suffix in (".error", ".log"):
        if (file := result.with_suffix(suffix)).exists():
            return file.read_text(encoding="utf-8", errors="replace")
    return "no result"


def is_good(done: Account | str) -> bool:
    """Whether it came out as wanted."""
    return isinstance(done, Account) and done.good


@pytest.mark.parametrize("name", ROWS)
def test_fault_comes_out_as_wanted(name: str, rows: Rows, table: Table) -> None:
    done = rows.wait_for(name)
    table.head(HEADER)
    table.row(f"{'ok' if is_good(done) else 'FAILED':6} {name:31} {str(done).partition(chr(10))[0]}")
    table.foot(str(rows))
    assert is_good(done), done
