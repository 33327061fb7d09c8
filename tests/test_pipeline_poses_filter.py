"""Which `poses` messages are worth publishing."""

from __future__ import annotations

import pytest

from posed.config import MqttPosesConfig
from posed.pipeline.poses_filter import PosesFilter


def wanted(counts: list[int], fps: float = 30, **settings: object) -> list[int]:
    """The numbers of the frames that are published."""
    chosen = PosesFilter(MqttPosesConfig(**settings))
    return [number for number, people in enumerate(counts) if chosen.wants(people, 100 + number / fps)]


def test_every_frame_is_published_unless_asked_otherwise():
    assert wanted([0, 1, 0]) == [0, 1, 2]


def test_off_publishes_none():
    assert wanted([0, 1, 0], publish="off") == []


def test_changes_leave_out_that_nobody_is_still_there():
    assert wanted([0, 0, 1, 1, 0, 0, 1], publish="changes") == [0, 2, 3, 4, 6]


@pytest.mark.parametrize(
    ("fps", "rate", "count"), [(30, 10, 100), (30, 7, 70), (25, 10, 100), (5, 10, 50), (30, 0.5, 5)]
)
def test_the_rate_is_as_asked_for_or_hardly_lower(fps, rate, count):
    published = wanted([1] * int(10 * fps), fps=fps, max_rate_hz=rate)
    assert count - 2 <= len(published) <= count + 1


def test_after_a_gap_no_burst_makes_up_for_it():
    chosen = PosesFilter(MqttPosesConfig(max_rate_hz=1))
    assert [chosen.wants(1, now) for now in (0, 100, 100.1, 100.2, 101)] == [True, True, False, False, True]


def test_an_emptied_scene_is_published_once_the_rate_allows():
    chosen = PosesFilter(MqttPosesConfig(publish="changes", max_rate_hz=1))
    assert [chosen.wants(people, now) for people, now in ((1, 10), (0, 10.5), (0, 11), (0, 12))] == [
        True,
        False,
        True,
        False,
    ]
