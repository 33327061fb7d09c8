"""What a manifest says of its clips."""

from __future__ import annotations

from argparse import Namespace

import pytest

from scripts.evaluate.clips import read_footage
from scripts.evaluate.footage import chosen_clips


@pytest.mark.parametrize(
    ("note", "looks_down", "whoever"),
    [
        ("by eye", False, None),
        ("by eye; camera looks down", True, None),
        ("upright whenever somebody is there; camera looks down", True, "standing"),
    ],
)
def test_the_note_says_how_a_camera_looks_and_who_stands(tmp_path, note, looks_down, whoever):
    (tmp_path / "hall.mp4").touch()
    (tmp_path / "manifest.csv").write_text(f"file,use,label,note\nhall.mp4,try,no_fall,{note}\n")
    (clip,) = read_footage(tmp_path)
    assert (clip.looks_down, clip.whoever) == (looks_down, whoever)


@pytest.mark.parametrize(("no_zones", "corners"), [(False, 3), (True, 0)])
def test_beds_and_sofas_may_be_left_undrawn(tmp_path, no_zones, corners):
    (tmp_path / "hall.mp4").touch()
    bed = "[[0,0.5],[1,0.5],[1,1]]"
    (tmp_path / "manifest.csv").write_text(f'file,use,label,resting\nhall.mp4,try,no_fall,"{bed}"\n')
    options = Namespace(footage=tmp_path, use="all", clips=None, no_zones=no_zones)
    (clip,) = chosen_clips(options)
    assert len(clip.resting) == corners
