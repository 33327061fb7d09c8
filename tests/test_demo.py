"""Which model scripts/demo runs on what."""

from __future__ import annotations

import argparse

import pytest

from posed.config import load
from scripts import demo


def settings(**options: str) -> dict[str, str]:
    given = {"video": None, "camera": None, "model": None} | options
    return demo.daemon_settings(argparse.Namespace(**given), 1883)


def model_of(settings: dict[str, str]) -> str:
    return load(demo.CONFIG, settings).model.name


def test_drawn_people_are_seen_by_the_model_that_comes_with_posed() -> None:
    assert model_of(settings()) == "drawings-257x353-16"


@pytest.mark.parametrize("source", [{"video": "people.mp4"}, {"camera": "0"}], ids=["video", "camera"])
def test_real_people_are_not_left_to_a_model_of_drawings(source: dict[str, str]) -> None:
    assert model_of(settings(**source)) in {demo.MODEL_OF_REAL_PEOPLE, str(demo.MODEL_BESIDE)}


def test_a_model_that_is_named_is_taken() -> None:
    assert model_of(settings(video="people.mp4", model="drawings-257x353-32")) == "drawings-257x353-32"
