"""`scripts/python bench.planning`: the page that has its tables."""

from __future__ import annotations

import pytest

from posed.commands.bench.capacity import Costs
from scripts.bench import planning
from scripts.bench.planning import Engine, Measured, Pi, costs, lines, measured, row
from scripts.paths import ROOT

CHIP = Engine("chip", 5.0)
FOUND = Measured(own_ms=2.0, sub_stream=0.02, hd_stream=0.08, cpu_ms={}, hd_mb=14.0)


def test_the_page_has_the_tables_that_are_computed_now() -> None:
    page = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
    for table in "\n".join(lines(measured())).split("\n\n"):
        assert table in page


def test_a_slower_core_takes_longer() -> None:
    assert costs(Pi("slow", 5.0), CHIP, 0.02, FOUND) == Costs(5.0, 10.0, 0.1, 0.0, 4)


def test_a_page_without_a_row_says_which(tmp_path, monkeypatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text("| other | 1 |\n", encoding="utf-8")
    monkeypatch.setattr(planning, "PAGE", page)
    with pytest.raises(SystemExit, match=r"must have a row `\| wanted \|`"):
        row("wanted")
