"""The timeline: what happened is kept, for so long and in so much room, whatever clock and disk do."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from posed.messages.structs import EventMessage, Keypoints, rfc3339
from posed.pose import KEYPOINTS
from posed.web.bands import LEAP_S, Band
from posed.web.timeline import Timeline
from posed.web.timeline_file import Range, TimelineEvent, TimelineFile
from posed.web.timeline_writer import ALIVE_EVERY_S, DAY_S, Waiting
from tests.brokers import eventually
from tests.clock import Clock
from tests.disks import Disk

NOON = 1_700_000_000.0
EVER = NOON - 400 * DAY_S, NOON + 400 * DAY_S
STOP_S = 10


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "timeline.sqlite"


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk") as disk:
        yield disk


class Run:
    """A daemon's timeline from its start to its end.

    Args:
        file: where it is kept.
        clock: what it goes by.
        days: for so long.
    """

    def __init__(self, file: Path, clock: Clock, days: int = 14) -> None:
        self.timeline = Timeline(file, days, clock)

    def __enter__(self) -> Timeline:
        self.timeline.start()
        return self.timeline

    def __exit__(self, *_: object) -> None:
        self.timeline.stop(STOP_S)


def happened(event_id: str, time_s: float = NOON, **more: Any) -> EventMessage:
    about = {"type": "entered", "camera": "hall", "person": 7, "zone": None, "detail": {}, "keypoints": None}
    return EventMessage(id=event_id, device="pi", run="8f3a", time=rfc3339(time_s), **(about | more))


def event(event_id: str, time_s: float, **detail: Any) -> TimelineEvent:
    return TimelineEvent(event_id, time_s, "entered", "hall", None, None, detail)


def ids(timeline: Timeline, *arguments: Any, **more: Any) -> list[str]:
    return [event.id for event in timeline.read(*(arguments or EVER), **more).events]


def rows(file: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute(f"SELECT * FROM {table}").fetchall()


# What is kept


def test_an_event_is_kept_across_a_restart(file, clock):
    keypoints = Keypoints(*[None] * len(KEYPOINTS))
    detail = {"seen": "lying", "ago_s": 12.5, "test": True}
    with Run(file, clock) as timeline:
        timeline.add(happened("1", NOON - 0.25, type="fall", zone="bed", detail=detail, keypoints=keypoints))
    with Run(file, clock):
        pass
    again = Run(file, clock)
    with again:
        pass
    assert again.timeline.read(*EVER).events == [
        TimelineEvent("1", NOON - 0.25, "fall", "hall", 7, "bed", detail)
    ]


def test_how_a_camera_did_is_kept_across_a_restart(file, clock):
    with Run(file, clock) as timeline:
        timeline.note({"hall": "empty"})
        clock.sleep(10)
        timeline.note({"hall": "somebody"})
        clock.sleep(10)
    clock.sleep(30)
    again = Run(file, clock)
    with again as timeline:
        timeline.note({"hall": "empty"})
        clock.sleep(5)
    clock.sleep(1)
    assert again.timeline.read(*EVER).bands == {
        "hall": [
            (NOON, NOON + 10, "empty"),
            (NOON + 10, NOON + 20, "somebody"),
            (NOON + 20, NOON + 50, "off"),
            (NOON + 50, NOON + 55, "empty"),
            (NOON + 55, NOON + 56, "off"),
        ]
    }


def test_what_waits_to_be_written_is_read_too(file, clock):
    timeline = Timeline(file, 14, clock)
    timeline.add(happened("1"))
    timeline.note({"hall": "empty"})
    clock.sleep(5)
    day = timeline.read(*EVER)
    assert (day.first, day.bands) == (NOON, {"hall": [(NOON, NOON + 5, "empty")]})
    assert [event.id for event in day.events] == ["1"]


def test_a_band_in_the_file_may_end_in_memory(file, clock):
    timeline = Timeline(file, 14, clock)
    timeline.note({"hall": "empty"})
    timeline._writer.write()
    clock.sleep(5)
    timeline.note({"hall": "lying"})
    clock.sleep(1)
    assert timeline.read(*EVER).bands == {"hall": [(NOON, NOON + 5, "empty"), (NOON + 5, NOON + 6, "lying")]}
    timeline._writer.close()


def test_nothing_was_kept_at_first(file, clock):
    with Run(file, clock) as timeline:
        day = timeline.read(*EVER)
    assert (day.first, day.bands, day.events, day.more) == (None, {}, [], False)


def test_the_newest_events_come_first_and_no_more_than_asked(file, clock):
    timeline = Timeline(file, 14, clock)
    for number in range(3):
        timeline.add(happened(f"{number}", NOON + number))
    timeline._writer.write()
    timeline.add(happened("3", NOON + 3))
    timeline.add(happened("4", NOON + 3))
    day = timeline.read(*EVER, limit=4)
    assert ([event.id for event in day.events], day.more) == (["4", "3", "2", "1"], True)
    assert not timeline.read(*EVER, limit=5).more
    timeline._writer.close()


@pytest.mark.parametrize("is_written", [True, False])
def test_what_was_not_asked_for_is_left_out(file, clock, is_written):
    timeline = Timeline(file, 14, clock)
    timeline.add(happened("early", NOON - 10))
    timeline.add(happened("late", NOON))
    timeline.add(happened("left", NOON - 5, type="left"))
    timeline.add(happened("fall", NOON - 5, type="fall"))
    timeline.add(happened("bath", NOON - 5, camera="bath"))
    timeline.note({"hall": "empty", "bath": "empty"})
    clock.sleep(1)
    if is_written:
        timeline._writer.write()
    assert set(ids(timeline, NOON - 10, NOON)) == {"early", "left", "fall", "bath"}
    assert set(ids(timeline, *EVER, types={"left", "fall"})) == {"left", "fall"}
    assert ids(timeline, *EVER, camera="bath") == ["bath"]
    assert list(timeline.read(*EVER, camera="bath").bands) == ["bath"]
    timeline._writer.close()


def test_falls_are_counted_whatever_is_asked_for(file, clock):
    fall = {"type": "fall"}
    with Run(file, clock) as timeline:
        timeline.add(happened("a", NOON, **fall))
        timeline.add(happened("b", NOON + 1, camera="attic", **fall))
        timeline.add(happened("c", NOON + 2, detail={"test": True}, **fall))
    with Run(file, clock) as timeline:
        timeline.add(happened("d", NOON + 3, **fall))
        eventually(lambda: timeline.read(*EVER, types=("left",)).falls == {"attic": 1, "hall": 2})
        assert timeline.read(NOON + 1, NOON + 2, "hall").falls == {}


def test_a_time_to_come_has_no_bands(file, clock):
    timeline = Timeline(file, 14, clock)
    timeline.note({"hall": "empty"})
    assert timeline.read(NOON + 10, NOON + 20).bands == {"hall": []}


def test_nobody_else_may_read_the_file(file, clock):
    timeline = Timeline(file, 14, clock)
    timeline.note({"hall": "empty"})
    timeline._writer.write()
    kept = [file, *(file.with_name(f"{file.name}{suffix}") for suffix in ("-wal", "-shm"))]
    assert [stat.S_IMODE(one.stat().st_mode) for one in kept] == [0o600] * 3
    timeline._writer.close()


# When it is written


def test_a_fall_is_written_at_once(file, clock):
    with Run(file, clock) as timeline:
        eventually(lambda: timeline._file.is_open)
        timeline.add(happened("1"))
        timeline.add(happened("2", type="fall"))
        eventually(lambda: len(rows(file, "events")) == 2, 3)
        timeline.note({"hall": "fall"})
        eventually(lambda: rows(file, "bands"), 3)


def test_nothing_is_written_where_nothing_changed(file, clock):
    timeline = Timeline(file, 14, clock)
    timeline.note({"hall": "empty"})
    timeline._writer.write()
    wal = file.with_name(f"{file.name}-wal")
    before = wal.stat().st_mtime_ns, wal.stat().st_size
    clock.sleep(1)
    timeline.note({"hall": "empty"})
    timeline._writer.write()
    assert (wal.stat().st_mtime_ns, wal.stat().st_size) == before
    timeline._writer.close()


def test_that_it_is_alive_is_written_now_and_then(file, clock):
    timeline = Timeline(file, 14, clock)
    for _ in range(int(ALIVE_EVERY_S)):
        timeline.note({"hall": "empty"})
        timeline._writer.write()
        clock.sleep(1)
    assert rows(file, "alive") == [(1, NOON)]
    timeline.note({"hall": "empty"})
    timeline._writer.write()
    assert rows(file, "alive") == [(1, NOON + ALIVE_EVERY_S)]
    timeline._writer.close()


def test_after_a_power_cut_it_was_off(file, clock):
    cut = Timeline(file, 14, clock)
    for _ in range(int(ALIVE_EVERY_S) + 10):
        cut.note({"hall": "empty", "bath": "paused"})
        cut._writer.write()
        clock.sleep(1)
    cut.note({"hall": "fall", "bath": "paused"})
    cut._writer.write()
    cut._writer.close()  # without an end
    clock.sleep(1000)
    again = Run(file, clock)
    with again as timeline:
        timeline.note({"hall": "empty"})
        clock.sleep(1)
    fell_at, bands = NOON + ALIVE_EVERY_S + 10, again.timeline.read(*EVER).bands
    assert bands["bath"] == [(NOON, fell_at, "paused"), (fell_at, fell_at + 1001, "off")]
    assert bands["hall"] == [
        (NOON, fell_at, "empty"),
        (fell_at, fell_at + 1000, "off"),
        (fell_at + 1000, fell_at + 1001, "empty"),
    ]


def test_after_a_quiet_power_cut_it_was_alive_until_noted(file, clock):
    cut = Timeline(file, 14, clock)
    for _ in range(int(ALIVE_EVERY_S) + 10):
        cut.note({"hall": "empty"})
        cut._writer.write()
        clock.sleep(1)
    cut._writer.close()
    again = Run(file, clock)
    with again:
        pass
    assert again.timeline.read(*EVER).bands["hall"][0] == (NOON, NOON + ALIVE_EVERY_S, "empty")


def test_before_the_file_is_open_former_bands_are_not_shown(file, clock):
    cut = Timeline(file, 14, clock)
    cut.note({"hall": "empty"})
    cut._writer.write()
    cut._writer.close()
    assert Timeline(file, 14, clock).read(*EVER).bands == {}


# Clocks


def test_a_clock_that_starts_in_the_past_hides_nothing(file, clock):
    with Run(file, clock) as timeline:
        timeline.note({"hall": "lying"})
        clock.sleep(50)
        timeline.note({"hall": "empty"})
    clock.now_s = NOON - 200 * DAY_S  # a Pi has no clock of its own
    again = Run(file, clock)
    with again as timeline:
        timeline.note({"hall": "somebody"})
        clock.now_s = NOON + 1000  # the network has
        timeline.note({"hall": "somebody"})
        clock.sleep(10)
    assert again.timeline.read(NOON, NOON + 2000).bands["hall"] == [
        (NOON, NOON + 50, "lying"),
        (NOON + 50, NOON + 1000, "off"),
        (NOON + 1000, NOON + 1010, "somebody"),
    ]


def test_a_clock_set_back_shows_no_time_twice(file, clock):
    with Run(file, clock) as timeline:
        timeline.note({"hall": "empty"})
        clock.sleep(1000)
        timeline.note({"hall": "fall"})
        timeline.note({"hall": "empty"})
        clock.now_s = NOON + 500
        timeline.note({"hall": "lying"})
        clock.sleep(LEAP_S)
    assert timeline.read(*EVER).bands["hall"] == [
        (NOON, NOON + 500, "off"),
        (NOON + 500, NOON + 500 + LEAP_S, "lying"),
    ]


# How much and how long


def test_what_is_too_old_is_deleted_at_the_start(file, clock):
    with Run(file, clock) as timeline:
        timeline.note({"hall": "empty"})
        timeline.add(happened("old"))
        clock.sleep(10)
    clock.sleep(14 * DAY_S - 5)
    with Run(file, clock):
        pass
    assert (rows(file, "events"), len(rows(file, "bands"))) == ([], 1)
    clock.sleep(5)
    with Run(file, clock):
        pass
    assert rows(file, "bands") == []


def test_what_grows_too_old_is_deleted_within_an_hour(file, clock):
    timeline = Timeline(file, 1, clock)
    timeline.add(happened("old", NOON - DAY_S + 1))
    timeline._writer.write()
    clock.sleep(3599)
    timeline._writer.write()
    assert len(rows(file, "events")) == 1
    clock.sleep(1)
    timeline._writer.write()
    assert rows(file, "events") == []
    timeline._writer.close()


def test_what_is_too_old_is_not_shown(file, clock):
    timeline = Timeline(file, 1, clock)
    timeline.note({"hall": "paused"})
    timeline.add(happened("old"))
    for _ in range(25 * 60):
        clock.sleep(60)
        timeline.note({"hall": "paused"})
    day = timeline.read(*EVER)
    assert (day.first, day.events) == (clock.now_s - DAY_S, [])
    assert day.bands == {"hall": [(clock.now_s - DAY_S, clock.now_s, "paused")]}


LIMIT = 400_000


def on_disk(file: Path) -> int:
    return sum(one.stat().st_size for one in file.parent.iterdir() if not one.name.endswith("-shm"))


def test_the_file_stays_within_its_size(file):
    kept = TimelineFile(file, LIMIT)
    kept.open()
    largest = 0
    for number in range(0, 12_000, 40):
        events = [event(f"{one:026}", NOON + one, seen="lying") for one in range(number, number + 40)]
        bands = [
            Band(one + 1, "hall", NOON + one, NOON + one + 1, "empty") for one in range(number, number + 40)
        ]
        kept.write(bands, events, NOON, synced=False)
        largest = max(largest, on_disk(file))
    found = kept.read(Range(*EVER, None, (), 100_000))
    kept.close()
    assert LIMIT / 2 < largest <= LIMIT
    assert (found.events[0].time, found.first_s) == (NOON + 11_999, found.events[-1].time)
    assert 500 < len(found.events) < 12_000
    assert max(band.number for band in found.bands) == 12_000
    assert abs(found.since_s["hall"] - found.events[-1].time) < 50  # the oldest of both went first


def test_days_of_nothing_but_bands_stay_within_the_size_too(file):
    kept = TimelineFile(file, LIMIT)
    kept.open()
    for number in range(0, 20_000, 100):
        bands = [
            Band(one + 1, "hall", NOON + one, NOON + one + 1, "empty") for one in range(number, number + 100)
        ]
        kept.write(bands, [], NOON, synced=False)
        assert on_disk(file) <= LIMIT
    kept.close()


def test_deleting_much_at_once_stays_within_the_size(file):
    kept = TimelineFile(file, LIMIT)
    kept.open()
    for number in range(0, 3000, 100):
        kept.write(
            [], [event(f"{one:026}", NOON + one) for one in range(number, number + 100)], NOON, synced=False
        )
    assert kept.delete_until(NOON + 3000) > 1000
    assert on_disk(file) <= LIMIT
    kept.close()


def test_zero_days_keep_nothing_and_delete_what_was(file, clock):
    with Run(file, clock) as timeline:
        timeline.add(happened("1"))
    others = [file.with_name(file.name + suffix) for suffix in ("-wal", "-shm", ".damaged", ".damaged-wal")]
    for other in others:
        other.write_bytes(b"what was")
    none = Run(file, clock, days=0)
    with none as timeline:
        timeline.add(happened("2"))
        timeline.note({"hall": "empty"})
        assert timeline.read(*EVER).events == []
    assert list(file.parent.iterdir()) == []


def test_zero_days_need_no_folder(file, clock, caplog):
    with Run(file, clock, days=0):
        pass
    assert not file.parent.exists()
    assert not caplog.records


# Damage


def test_a_file_that_is_no_database_is_set_aside(file, clock, caplog):
    file.parent.mkdir()
    file.write_bytes(b"no database at all" * 100)
    with Run(file, clock) as timeline:
        timeline.add(happened("1"))
    assert ids(timeline) == ["1"]
    assert file.with_name("timeline.sqlite.damaged").read_bytes().startswith(b"no database")
    assert [record.getMessage() for record in caplog.records] == [
        f"timeline: {file}: file is not a database; set aside as timeline.sqlite.damaged"
    ]


def test_a_damaged_page_is_noticed_at_the_start(file, clock, caplog):
    with Run(file, clock) as timeline:
        for number in range(900):
            timeline.add(happened(f"{number}", NOON + number, detail={"much": "x" * 100}))
    size = file.stat().st_size
    with file.open("r+b") as damaged:
        damaged.seek(size // 2)
        damaged.write(os.urandom(size // 4))
    with Run(file, clock) as timeline:
        timeline.add(happened("new"))
    assert ids(timeline) == ["new"]
    assert "set aside as timeline.sqlite.damaged" in caplog.text


@pytest.mark.parametrize("others", ["PRAGMA user_version = 7", "PRAGMA user_version = 0"])
def test_a_file_of_another_version_is_set_aside(file, clock, caplog, others):
    with Run(file, clock) as timeline:
        timeline.add(happened("1"))
    with closing(sqlite3.connect(file)) as db:
        db.execute(others)
    with Run(file, clock) as timeline:
        timeline.add(happened("2"))
    assert ids(timeline) == ["2"]
    assert f"has version {others[-1]}, not 1; set aside as timeline.sqlite.damaged" in caplog.text


def test_what_was_set_aside_is_deleted_when_old(file, clock):
    aside = file.with_name("timeline.sqlite.damaged")
    aside.parent.mkdir()
    aside.write_bytes(b"what was")
    for at_s, is_there in ((NOON - 14 * DAY_S + 1, True), (NOON - 14 * DAY_S, False)):
        os.utime(aside, (at_s, at_s))
        with Run(file, clock):
            pass
        assert aside.exists() is is_there


def test_a_file_removed_while_it_is_open_is_begun_anew(file, clock):
    timeline = Timeline(file, 14, clock)
    timeline.note({"hall": "empty"})
    timeline._writer.write()
    file.unlink()
    timeline.add(happened("1"))
    timeline._writer.write()
    timeline._writer.write(at_last=True)
    assert [row[1] for row in rows(file, "events")] == ["1"]
    assert [row[1] for row in rows(file, "bands")] == ["hall"]
    timeline._writer.close()


# Disks


def warnings_in(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_where_no_file_can_be_it_is_in_memory(tmp_path, clock, caplog):
    (tmp_path / "state").write_text("a file")
    file = tmp_path / "state" / "timeline.sqlite"
    with Run(file, clock) as timeline:
        timeline.add(happened("1"))
        timeline.note({"hall": "empty"})
        clock.sleep(5)
        assert ids(timeline) == ["1"]
        assert timeline.read(*EVER).bands == {"hall": [(NOON, NOON + 5, "empty")]}
    (line,) = warnings_in(caplog)
    assert line.startswith(f"timeline: {file}: ")
    assert line.endswith("; what happens is kept in memory only")


def test_a_band_that_ended_meanwhile_is_not_written_as_before():
    waiting, ended = Waiting(), Band(1, "hall", NOON, NOON + 5, "empty")
    waiting.put([ended])
    waiting.put_again([Band(1, "hall", NOON, None, "empty"), Band(2, "bath", NOON, None, "empty")])
    bands, _ = waiting.all()
    assert {band.number: band.end_s for band in bands} == {1: NOON + 5, 2: None}


def test_a_band_that_changed_while_it_was_written_still_waits():
    waiting, band = Waiting(), Band(1, "hall", NOON, None, "empty")
    waiting.put([band])
    waiting.put([Band(1, "hall", NOON, NOON + 5, "empty")])
    waiting.remove([band], [])
    assert [band.end_s for band in waiting.all()[0]] == [NOON + 5]


def test_memory_is_bounded_and_keeps_what_goes_on(tmp_path, clock):
    timeline = Timeline(tmp_path / "timeline.sqlite", 14, clock)
    timeline.note({"bath": "paused"})
    for number in range(2000):
        timeline.add(happened(f"{number:04}"))
        timeline.note({"bath": "paused", "hall": "empty" if number % 2 else "somebody"})
        clock.sleep(1)
    bands, events = timeline._waiting.all()
    assert (len(bands), len(events)) == (1000, 1000)
    assert ids(timeline)[0] == "1999"
    assert timeline.read(*EVER).bands["bath"] == [(NOON, NOON + 2000, "paused")]


def test_a_full_disk_is_said_once_and_loses_nothing(disk, clock, caplog):
    caplog.set_level(logging.INFO)
    file = disk.folder / "timeline.sqlite"
    timeline = Timeline(file, 14, clock)
    timeline.add(happened("1"))
    timeline._writer.write()
    disk.fill()
    for number in range(300):
        timeline.add(happened(f"full{number}", detail={"much": "x" * 200}))
    timeline.note({"hall": "empty"})
    for _ in range(3):
        timeline._writer.write(at_last=True)
    assert len(ids(timeline)) == 301
    assert warnings_in(caplog) == [
        f"timeline: {file}: database or disk is full; what happens is kept in memory only"
    ]
    disk.free()
    timeline._writer.write(at_last=True)
    timeline._writer.close()
    assert (len(rows(file, "events")), len(rows(file, "bands"))) == (301, 1)
    assert caplog.records[-1].getMessage() == f"timeline: {file}: can be written again"


def test_a_read_only_disk_is_said_once_and_used_later(disk, clock, caplog):
    file = disk.folder / "timeline.sqlite"
    with Run(file, clock) as timeline:
        timeline.add(happened("1"))
    disk.protect()
    with Run(file, clock) as timeline:
        timeline.add(happened("2"))
        timeline._writer._next.reset()
    assert warnings_in(caplog) == [
        f"timeline: {file}: Read-only file system; what happens is kept in memory only"
    ]
    disk.unprotect()
    timeline._writer.write(at_last=True)
    timeline._writer.close()
    assert ids(timeline) == ["2", "1"]


def test_a_disk_that_failed_is_not_tried_at_once(tmp_path, clock, monkeypatch):
    (tmp_path / "state").write_text("a file")
    timeline = Timeline(tmp_path / "state" / "timeline.sqlite", 14, clock)
    tries = []
    monkeypatch.setattr(timeline._file, "open", lambda: tries.append(1) or timeline._file.file.stat())
    for _ in range(5):
        timeline._writer.write()
    assert len(tries) == 1


# Threads


def test_many_read_while_it_is_written(file, clock, caplog):
    with Run(file, clock) as timeline:
        eventually(lambda: timeline._file.is_open)
        failures: list[object] = []

        def look() -> None:
            for _ in range(60):
                day = timeline.read(*EVER)
                if [event.id for event in day.events] != sorted((e.id for e in day.events), reverse=True):
                    failures.append(day)

        readers = [threading.Thread(target=look) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(300):
            timeline.add(happened(f"{number:04}", NOON + number, type="fall" if number % 10 == 0 else "left"))
            timeline.note({"hall": "empty" if number % 2 else "somebody"})
            clock.sleep(1)
        for reader in readers:
            reader.join()
    assert (failures, warnings_in(caplog)) == ([], [])
    assert len(ids(timeline)) == 300
