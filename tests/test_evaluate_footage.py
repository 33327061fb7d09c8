"""Labelled footage: what a manifest says of its clips, and which rotated crops come with which frames."""

from __future__ import annotations

import argparse
import math
from argparse import Namespace

import pytest

from posed.frame import Region, RotatedCrop
from posed.pipeline.rotated_crop_queue import RotatedCropQueue
from scripts.evaluate.clips import read_footage
from scripts.evaluate.footage import chosen_clips, crops_per_s
from scripts.evaluate.inferences import frame_of
from scripts.evaluate.play import BesideFrames, WithFrames


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


def crop_of(frame: int) -> RotatedCrop:
    """One that says for which frame it was requested."""
    return RotatedCrop(Region(0, 0, frame + 1, 1), turn_deg=90)


def came(way: type[WithFrames] | type[BesideFrames], *more: float, frames: int) -> list[tuple[int, int, int]]:
    """(frame, of which frame, requested for which) of each crop at 10 fps, one requested with each frame."""
    requested, came = RotatedCropQueue(), []
    engine = way(requested, *more)
    for index in range(frames):
        frame = frame_of((640, 480), index, index / 10)
        if (inferred := engine.inferred(index, frame)) is not None:
            came.append((index, inferred[0], inferred[1].region.right - 1))
        requested.add(crop_of(index), frame)
    return came


def test_crops_with_frames_come_three_frames_later() -> None:
    assert came(WithFrames, frames=6) == [(3, 3, 0), (4, 4, 1), (5, 5, 2)]


def test_crops_beside_frames_come_when_the_engine_is_done() -> None:
    """One is inferred and one waits; of those that nobody takes the newest are kept."""
    assert came(BesideFrames, 2.0, frames=18) == [(6, 1, 0), (11, 2, 1), (16, 6, 2)]


def test_a_fast_engine_gives_one_with_each_frame() -> None:
    assert came(BesideFrames, 50.0, frames=5) == [(2, 1, 0), (3, 2, 1), (4, 3, 2)]


def test_no_more_are_requested_than_the_engine_infers() -> None:
    requested = RotatedCropQueue()
    beside, with_frames = BesideFrames(requested, 2.0), WithFrames(requested)
    assert beside.has_room
    requested.add(crop_of(0), frame_of((640, 480), 0, 0.0))
    assert not beside.has_room
    assert with_frames.has_room
    beside.inferred(1, frame_of((640, 480), 1, 0.1))
    assert beside.has_room


def test_an_engine_that_infers_none_gives_none() -> None:
    assert came(BesideFrames, 0.0, frames=30) == []


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("2.5", 2.5), ("inf", math.inf)])
def test_crops_per_second_are_none_or_some(text, value):
    assert crops_per_s(text) == value


@pytest.mark.parametrize("text", ["-1", "nan", "abc", ""])
def test_fewer_than_no_crops_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^must be a number of at least 0, got {text}$"):
        crops_per_s(text)
