"""What is said of a model in the card beside it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from posed.model.card import CARD, card_of
from posed.model.catalogue import BUNDLED_FOLDER
from posed.networks.pair import load_pair
from posed.service.model_in_use import model_warning

FILE = "drawings_257_353_16.tflite"


def test_a_card_has_facts_of_all_files_and_this_one() -> None:
    card = card_of(BUNDLED_FOLDER / FILE)
    assert card["people"] == "drawn"
    assert card["figures"].startswith("PCK ")
    assert "figures" not in card_of(BUNDLED_FOLDER / "another.tflite")


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"all": 3}', b"\xff"])
def test_a_card_that_is_none_says_nothing(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / CARD).write_bytes(content)
    assert card_of(tmp_path / FILE) == {}


def test_what_a_card_says_is_text_on_one_line(tmp_path: Path) -> None:
    facts = {"a\x1b[2J": "b\nc\x1b[31m\ud800 [red]"}
    (tmp_path / CARD).write_text(json.dumps({"all": facts}), encoding="utf-8")
    assert card_of(tmp_path / FILE) == {"a[2J": "b c[31m [red]"}


def test_a_card_that_is_a_pipe_or_huge_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / CARD)
    assert card_of(tmp_path / FILE) == {}
    (tmp_path / CARD).unlink()
    facts = {"people": "drawn", "more": "x" * 100_000}
    (tmp_path / CARD).write_text(json.dumps({"all": facts}), encoding="utf-8")
    assert card_of(tmp_path / FILE) == {}


def test_a_model_of_drawings_is_known_by_its_card(tmp_path: Path) -> None:
    path = tmp_path / "mine.tflite"
    shutil.copy(BUNDLED_FOLDER / FILE, path)
    assert model_warning(load_pair(str(path)), ["video"]) == ""
    (tmp_path / CARD).write_text('{"all": {"people": "drawn"}}', encoding="utf-8")
    assert "trained on drawn people" in model_warning(load_pair(str(path)), ["video"])
    assert model_warning(load_pair(str(path)), ["synthetic"]) == ""
