"""The page's set-up, held against the configuration and the code whose numbers it has."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest
from pydantic import ValidationError

from posed.config import Config, camera_settings
from posed.people import pitch, watched
from posed.web.settings import bounds
from scripts.paths import ROOT
from tests.web_site import Site

FILES = Path(str(resources.files("posed.web"))) / "static"
SLIDERS = list(
    dict.fromkeys(
        re.findall(r'"((?:decode|people)\.[a-z_]+)"', (FILES / "sliders.js").read_text(encoding="utf-8"))
    )
)
NUMBERS = [name for name in SLIDERS if bounds()[name]]


def takes(name: str, value: float) -> bool:
    """Whether the configuration takes a number."""
    section, _, key = name.partition(".")
    try:
        Config.model_validate({section: {key: value}})
    except ValidationError:
        return False
    return True


def test_the_page_is_told_the_bounds(tmp_path):
    with Site(tmp_path) as site:
        status, _, body = site.get("/api/settings")
    assert status == 200
    assert json.loads(body) == bounds()
    assert json.loads(body).keys() == camera_settings().keys()


@pytest.mark.parametrize("name", NUMBERS)
def test_the_bounds_are_those_of_the_configuration(name):
    told = bounds()[name]
    for word, beyond in (("minimum", -0.001), ("maximum", 0.001)):
        if word in told:
            assert takes(name, told[word])
            assert not takes(name, told[word] + beyond)
        else:
            excluded = told[f"exclusive{word.capitalize()}"]
            assert not takes(name, excluded)
            assert takes(name, excluded - beyond)


def test_a_slider_is_a_setting_that_a_camera_has():
    assert len(SLIDERS) > 10
    assert set(SLIDERS) <= camera_settings().keys()


def test_every_slider_has_its_words_in_every_language():
    for texts in FILES.glob("texts.*.js"):
        worded = set(re.findall(r'^\s+"([a-z_.]+)": \[', texts.read_text(encoding="utf-8"), re.MULTILINE))
        assert worded == set(SLIDERS), texts.name


def test_the_mounting_help_has_the_numbers_of_the_code():
    script = (FILES / "mounting.js").read_text(encoding="utf-8")
    constants = dict(re.findall(r"^const ([A-Z_]+) = ([0-9.]+);", script, re.MULTILINE))
    assert float(constants["FOCAL"]) == pitch._FOCAL
    assert float(constants["SMALLEST"]) == watched._FAR
    falls = (ROOT / "docs" / "falls.md").read_text(encoding="utf-8")
    assert f"{constants['LOWEST_M']} to {constants['HIGHEST_M']} m high" in falls
