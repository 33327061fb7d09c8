"""Ids that sort by time."""

from __future__ import annotations

import re

from posed.mqtt.ulid import Ulids


def test_an_id_is_a_ulid_of_its_time():
    # 01ARYZ6S41 is the time of the specification's example.
    one = Ulids().next(1469918176.385)
    assert one.startswith("01ARYZ6S41")
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", one)


def test_ids_of_one_moment_are_different_and_in_order():
    ids = Ulids()
    made = [ids.next(1000.0) for _ in range(1000)]
    assert made == sorted(set(made))


def test_ids_stay_in_order_when_the_clock_is_set_back():
    ids = Ulids()
    made = [ids.next(time_s) for time_s in (2000.0, 1000.0, -5.0, 2000.001)]
    assert made == sorted(set(made))


def test_two_starts_in_one_moment_have_different_ids():
    assert Ulids().next(1000.0) != Ulids().next(1000.0)
