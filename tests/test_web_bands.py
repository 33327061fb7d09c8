"""Bands: how each camera did, whatever the clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posed.web.bands import LEAP_S, Band, BandTracker, without_overlaps


def tracked(*looks: tuple[float, dict]) -> list[Band]:
    """The bands of what was noted when, as they were at last."""
    tracker, bands = BandTracker(), {}
    for now_s, kinds in looks:
        bands |= {band.number: band for band in tracker.note(kinds, now_s)}
    return list(bands.values())


def test_a_band_ends_where_the_next_begins():
    assert tracked((0, {"hall": "empty"}), (1, {"hall": "empty"}), (2, {"hall": "fall"})) == [
        Band(1, "hall", 0, 2, "empty"),
        Band(2, "hall", 2, None, "fall"),
    ]


def test_nothing_is_told_where_nothing_changed():
    tracker = BandTracker()
    tracker.note({"hall": "empty"}, 0)
    assert not tracker.note({"hall": "empty"}, 1)
    assert tracker.noted_s == 1


def test_other_cameras_go_on():
    bands = tracked((0, {"hall": "empty", "bath": "paused"}), (5, {"hall": "lying", "bath": "paused"}))
    assert Band(2, "bath", 0, None, "paused") in bands


def test_a_camera_that_is_no_longer_named_ends():
    assert tracked((0, {"hall": "empty"}), (5, {})) == [Band(1, "hall", 0, 5, "empty")]


def test_a_camera_that_is_off_has_no_band():
    assert tracked((0, {"hall": "empty"}), (5, {"hall": "off"})) == [Band(1, "hall", 0, 5, "empty")]


def test_a_dictionary_may_change_after_it_was_noted():
    tracker, kinds = BandTracker(), {"hall": "empty"}
    tracker.note(kinds, 0)
    kinds["hall"] = "fall"
    assert tracker.note(kinds, 1)


def test_bands_end_before_a_clock_leaps_forth():
    assert tracked((0, {"hall": "empty"}), (1, {"hall": "empty"}), (9000, {"hall": "empty"})) == [
        Band(1, "hall", 0, 1, "empty"),
        Band(2, "hall", 9000, None, "empty"),
    ]


def test_bands_end_before_a_clock_leaps_back():
    assert tracked((9000, {"hall": "empty"}), (9010, {"hall": "empty"}), (5, {"hall": "fall"})) == [
        Band(1, "hall", 9000, 9010, "empty"),
        Band(2, "hall", 5, None, "fall"),
    ]


def test_time_stands_still_where_a_clock_goes_back_a_little():
    assert tracked((100, {"hall": "empty"}), (100 - LEAP_S, {"hall": "fall"}), (101, {"hall": "lying"})) == [
        Band(1, "hall", 100, 100, "empty"),
        Band(2, "hall", 100, 101, "fall"),
        Band(3, "hall", 101, None, "lying"),
    ]


# Without overlaps


def test_where_no_band_is_the_camera_was_off():
    bands = [Band(1, "hall", 10, 20, "empty"), Band(2, "hall", 30, None, "fall")]
    assert without_overlaps(bands, 0, 50) == [
        (0, 10, "off"),
        (10, 20, "empty"),
        (20, 30, "off"),
        (30, 50, "fall"),
    ]


def test_bands_are_clipped():
    bands = [
        Band(1, "hall", 10, 20, "empty"),
        Band(2, "hall", 20, 30, "fall"),
        Band(3, "hall", 90, 95, "lying"),
    ]
    assert without_overlaps(bands, 15, 25) == [(15, 20, "empty"), (20, 25, "fall")]


def test_bands_of_a_kind_that_touch_are_one():
    bands = [Band(1, "hall", 10, 20, "empty"), Band(2, "hall", 20, 30, "empty")]
    assert without_overlaps(bands, 10, 30) == [(10, 30, "empty")]


def test_the_band_that_began_last_is_right():
    bands = [Band(1, "hall", 10, 50, "empty"), Band(2, "hall", 20, 30, "fall")]
    assert without_overlaps(bands, 10, 50) == [(10, 20, "empty"), (20, 30, "fall"), (30, 50, "empty")]


def test_no_time_has_no_bands():
    bands = [Band(1, "hall", 10, None, "empty")]
    assert without_overlaps(bands, 30, 30) == without_overlaps(bands, 30, 20) == []


TIMES = st.integers(0, 300)
KINDS = st.sampled_from(["empty", "somebody", "fall", "off"])


@given(st.lists(st.tuples(TIMES, KINDS), max_size=30), TIMES, TIMES)
def test_bands_never_overlap_however_the_clock_leaps(looks, begin_s, end_s):
    bands = without_overlaps(tracked(*((now_s, {"hall": kind}) for now_s, kind in looks)), begin_s, end_s)
    assert all(begin < end for begin, end, _ in bands)
    assert [end for _, end, _ in bands[:-1]] == [begin for begin, *_ in bands[1:]]
    assert not bands or (bands[0][0], bands[-1][1]) == (begin_s, end_s)


@given(st.lists(st.tuples(TIMES, TIMES, KINDS), max_size=30))
def test_each_moment_has_the_band_that_began_last(drawn):
    bands = [
        Band(number, "hall", begin_s, max(begin_s, end_s), kind)
        for number, (begin_s, end_s, kind) in enumerate(drawn)
    ]
    found = {at: kind for begin, end, kind in without_overlaps(bands, 0, 300) for at in range(begin, end)}
    for at in range(300):
        there = [band for band in bands if band.begin_s <= at < band.end_s]
        assert found[at] == (max(there, key=lambda band: band.number).kind if there else "off")
