"""What a manifest says of its clips."""

from __future__ import annotations

import pytest

from scripts.evaluate.footage import read_footage


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
