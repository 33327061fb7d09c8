"""The stages of a frame, and the words that everybody has for them."""

from __future__ import annotations

import re

from posed.pipeline.stage_timings import STAGES, StageTimings
from posed.web.metrics import STAGES as COUNTED
from scripts.paths import ROOT
from tests.pages import spans, table

PERFORMANCE = ROOT / "docs/performance.md"


def test_all_stages_are_counted_in_the_order_of_the_way():
    assert tuple(STAGES) == COUNTED


def test_the_page_has_the_same_words():
    texts = (ROOT / "posed/web/static/texts.en.js").read_text(encoding="utf-8")
    stages = texts.partition("stages: {")[2].partition("}")[0]
    assert dict(re.findall(r'(\w+): "([^"]+)"', stages)) == STAGES


def test_the_documentation_has_the_same_words():
    rows = table(PERFORMANCE, "Stages of a frame")
    assert {spans(name)[0]: words for words, _, name in rows} == STAGES


def test_the_documentation_says_no_other_words():
    text = PERFORMANCE.read_text(encoding="utf-8")
    below = text.split("## Stages of a frame", 1)[1].split("\n\n", 3)[3]
    assert not {name for name in STAGES if STAGES[name] != name} & set(spans(below))
    assert not re.search("letterbox|bare invoke", below.split("## Figures")[0])


def test_parts_of_a_stage_add_up():
    stages = StageTimings()
    with stages.time("letterbox"):
        sum(range(100_000))
    first_s = stages.wall_s["letterbox"]
    with stages.time("letterbox"):
        pass
    assert stages.wall_s["letterbox"] > first_s
    assert set(stages.cpu_s) == {"letterbox"}
