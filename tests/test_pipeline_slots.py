"""The hand-over between threads: the newest item wins, and sources take turns."""

from __future__ import annotations

import threading

import pytest

from posed.pipeline.slots import Slots


@pytest.fixture
def slots() -> Slots[str, int]:
    return Slots()


def test_a_slot_holds_the_newest(slots):
    assert not slots.put("hall", 1)
    assert slots.put("hall", 2)
    assert slots.take(0) == ("hall", 2)
    assert slots.take(0) is None


def test_a_slot_that_is_taken_stays_so(slots):
    assert slots.put_if_free("hall", 1, 0)
    assert not slots.put_if_free("hall", 2, 0.01)
    assert slots.take(0) == ("hall", 1)


def test_a_full_slot_leaves_the_others_free(slots):
    assert slots.put_if_free("hall", 1, 0)
    assert slots.put_if_free("bedroom", 2, 0)


def test_the_source_that_has_waited_longest_comes_first(slots):
    for source in ("hall", "bedroom", "kitchen"):
        slots.put(source, 0)
    assert [slots.take(0)[0] for _ in range(3)] == ["hall", "bedroom", "kitchen"]


def test_a_newer_item_keeps_the_turn_of_its_source(slots):
    slots.put("hall", 1)
    slots.put("bedroom", 2)
    slots.put("hall", 3)
    assert [slots.take(0), slots.take(0)] == [("hall", 3), ("bedroom", 2)]


def test_a_source_that_is_always_ready_waits_for_the_others(slots):
    taken = []
    slots.put("slow", 0)
    for number in range(6):
        slots.put("fast", number)
        source, _ = slots.take(0)
        taken.append(source)
        if source == "slow":
            slots.put("slow", number)
    assert taken == ["slow", "fast", "slow", "fast", "slow", "fast"]


def turns(slots: Slots[str, int], count: int, *sources: str) -> list[str]:
    """Whose turn it is where each of these always has an item."""
    taken = []
    for number in range(count):
        for source in sources:
            slots.put(source, number)
        taken.append(slots.take(0)[0])
    return taken


def test_who_owes_a_turn_lets_others_go_first_once(slots):
    slots.put("hall", 1)
    slots.put("bath", 1)
    slots.indebt("hall")
    assert turns(slots, 4, "hall", "bath") == ["bath", "hall", "bath", "hall"]


def test_where_all_took_more_the_order_stays(slots):
    for source in ("hall", "bath"):
        slots.put(source, 1)
        slots.indebt(source)
    assert turns(slots, 3, "hall", "bath") == ["hall", "bath", "hall"]


def test_who_is_urgent_has_every_second_turn(slots):
    slots.hurry("c", urgent=True)
    assert turns(slots, 8, "a", "b", "c") == ["c", "a", "c", "b", "c", "a", "c", "b"]


def test_who_is_urgent_no_longer_waits_for_a_turn(slots):
    slots.hurry("c", urgent=True)
    slots.hurry("c", urgent=False)
    assert turns(slots, 3, "a", "b", "c") == ["a", "b", "c"]


def test_nobody_waits_for_who_is_urgent_and_has_nothing(slots):
    slots.hurry("c", urgent=True)
    assert turns(slots, 3, "a", "b") == ["a", "b", "a"]


def test_who_waits_for_an_item_gets_it_when_it_comes(slots):
    taken = []
    thread = threading.Thread(target=lambda: taken.append(slots.take(5)))
    thread.start()
    slots.put("hall", 1)
    thread.join(5)
    assert taken == [("hall", 1)]


def test_who_waits_for_a_place_gets_it_once_free(slots):
    slots.put("hall", 1)
    left = []
    thread = threading.Thread(target=lambda: left.append(slots.put_if_free("hall", 2, 5)))
    thread.start()
    assert slots.take(0) == ("hall", 1)
    thread.join(5)
    assert (left, slots.take(0)) == ([True], ("hall", 2))
