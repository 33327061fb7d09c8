"""What system tests share: the tables that they print, their options, and the order in which they begin."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.system.browser import Browser
from tests.system.live_view import Bench
from tests.system.needs import need_debian, need_npm

FOLDER = Path(__file__).resolve().parent
LONGEST_FIRST = ("test_versions", "test_homeassistant", "test_service", "test_faults")
"""Modules that would otherwise run alone at the end, while another processor has nothing to do."""

AXE = "4.10.3"
"""The version of axe-core that looks at the page."""

HEAD, ROW, FOOT = "table head", "table row", "table foot"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Each is for one or two modules; the others leave it alone."""
    group = parser.getgroup("system tests")
    group.addoption("--seed", type=int, help="of what is random in test_spool, test_models and test_soak")
    group.addoption("--codename", action="append", help="a Debian for test_install; may be said again")
    group.addoption("--deb", type=Path, help="package for test_service (default: built of these sources)")
    group.addoption("--keep", type=Path, help="folder for screenshots of test_web… and test_homeassistant")
    group.addoption("--frames", type=int, help="how many test_soak processes (default: those of a day)")
    group.addoption("--plot", type=Path, help="draw the figures of test_soak into this .svg")
    group.addoption("--samples", type=Path, help="write every sample of test_soak into this .jsonl")
    group.addoption("--inputs", type=int, default=20_000, help="how many test_models damages (default 20000)")
    group.addoption("--kills", type=int, default=500, help="how often test_spool kills (default 500)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the longest to the front."""
    ranks = {FOLDER / f"{name}.py": rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


class Table:
    """The part that one test has in its module's table.

    Args:
        properties: of the test, which come to whoever prints the table also from another process.
    """

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def head(self, line: str) -> None:
        """Of the whole table, of which each row may say it."""
        self._properties.append((HEAD, line))

    def row(self, line: str) -> None:
        """One line, or several."""
        self._properties.append((ROW, line))

    def foot(self, line: str) -> None:
        """Below the table; the last one holds."""
        self._properties.append((FOOT, line))


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    """Where a test writes what is printed at the end, by module."""
    return Table(request.node.user_properties)


@dataclass
class Row:
    """A line of the table that is written when the test has ended: what it is about, and what it found."""

    what: str
    found: list[str] = field(default_factory=list)

    def report(self, found: str) -> None:
        """Something that was found; the first stands in the line, the others below."""
        self.found.append(found)


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """For a test that has one line, with how it went and how long it took."""
    case = getattr(request.node, "callspec", None)
    return Row(case.id if case else request.node.originalname.removeprefix("test_").replace("_", " "))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Write the line of a test that has one."""
    row, mark, began_at = pyfuncitem.funcargs.get("row"), "FAILED", time.monotonic()
    if not isinstance(row, Row):
        return (yield)
    try:
        result = yield
        mark = "ok"
    except BaseException as error:
        row.found.insert(0, str(error).partition("\n")[0])
        raise
    finally:
        line = f"{mark:6} {time.monotonic() - began_at:6.1f} s  {row.what:45}  {''.join(row.found[:1])}"
        below = [f"{'':17}{more}" for more in row.found[1:]]
        Table(pyfuncitem.user_properties).row("\n".join([line.rstrip(), *below]))
    return result


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """The one that was asked for, or one of chance."""
    asked = request.config.getoption("--seed", default=None)
    return time.time_ns() % 10**6 if asked is None else int(asked)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables."""
    found = [report for reports in terminalreporter.stats.values() for report in reports]
    reports = [report for report in found if isinstance(report, pytest.TestReport)]
    tables: dict[str, list[tuple[str, object]]] = defaultdict(list)
    for report in sorted(reports, key=lambda report: report.start):
        tables[Path(report.nodeid.partition("::")[0]).stem] += properties_of(report)
    for name, properties in tables.items():
        lines = list(lines_of(properties))
        if lines:
            terminalreporter.section(name)
            terminalreporter.write("\n".join([*lines, ""]))


def properties_of(report: pytest.TestReport) -> Iterable[tuple[str, object]]:
    """What a test has written, once it has ended, and why it was skipped."""
    if report.skipped and isinstance(report.longrepr, tuple):
        yield HEAD, report.longrepr[2]
    if report.when == "teardown":
        yield from report.user_properties


def lines_of(properties: Iterable[tuple[str, object]]) -> Iterable[str]:
    """Each head once, the rows, and the last foot."""
    said = [(kind, str(line)) for kind, line in properties]
    yield from dict.fromkeys(line for kind, line in said if kind == HEAD)
    yield from (line for kind, line in said if kind == ROW)
    yield from [line for kind, line in said if kind == FOOT][-1:]


# The live view, and a browser that looks at it


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """The loop in which the browser is listened to, as long as a test runs."""
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="module")
def browser(runner: asyncio.Runner) -> Iterator[Browser]:
    """A Chromium without a window."""
    need_debian("chromium", "chromium", "fonts-dejavu-core")
    chromium = Browser(str(shutil.which("chromium")))
    runner.run(chromium.__aenter__())
    try:
        yield chromium
    finally:
        runner.run(chromium.__aexit__())


@pytest.fixture
def bench(runner: asyncio.Runner, browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """For one test, with screenshots where they were asked for."""
    keep = request.config.getoption("--keep", default=None) or tmp_path
    keep.mkdir(parents=True, exist_ok=True)
    return Bench(runner, browser, tmp_path, keep)


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core, which finds what keeps people from using a page; installed once."""
    script = need_npm("axe", "axe-core", AXE) / "axe-core/axe.min.js"
    return script.read_text(encoding="utf-8")
