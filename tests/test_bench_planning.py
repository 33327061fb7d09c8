"""`scripts/python bench.planning`: what limits the number of cameras, and the page that has its tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.bench import planning
from scripts.bench.planning import Engine, Measured, Pi, cameras, lines, measured, one_camera_fps, row
from scripts.paths import ROOT

HERE = Pi("here", 1.0)
CHIP = Engine("chip", 5.0)
FOUND = Measured(own_ms=2.0, sub_stream=0.02, hd_stream=0.08, cpu_ms={}, hd_mb=14.0)


def test_the_page_has_the_tables_that_are_computed_now() -> None:
    page = (ROOT / "docs" / "planning.md").read_text(encoding="utf-8")
    for table in "\n".join(lines(measured())).split("\n\n"):
        assert table in page


def test_a_slow_engine_limits_the_cameras() -> None:
    assert cameras(HERE, replace(CHIP, inference_ms=20.0), 10, 0.02, FOUND) == 4


def test_posed_itself_limits_the_cameras() -> None:
    assert cameras(HERE, CHIP, 10, 0.02, replace(FOUND, own_ms=10.0)) == 7


def test_decoding_limits_the_cameras() -> None:
    assert cameras(HERE, CHIP, 10, 0.48, FOUND) == 4


def test_an_engine_on_the_cpu_takes_cores() -> None:
    assert cameras(HERE, Engine("CPU", 20.0, cores=2), 10, 0.18, FOUND) == 4


def test_a_slower_core_takes_longer() -> None:
    assert cameras(Pi("slow", 5.0), CHIP, 10, 0.02, FOUND) == 7


def test_one_camera_gets_what_the_engine_can_do() -> None:
    assert one_camera_fps(HERE, replace(CHIP, inference_ms=200.0), 0.02, FOUND) == pytest.approx(4)


def test_a_page_without_a_row_says_which(tmp_path, monkeypatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text("| other | 1 |\n", encoding="utf-8")
    monkeypatch.setattr(planning, "PAGE", page)
    with pytest.raises(SystemExit, match=r"must have a row `\| wanted \|`"):
        row("wanted")
