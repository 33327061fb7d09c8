"""The spool's file: what is written stays, whatever happens to the disk."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from posed.mqtt.store import FORMER, Contents, Fall, Moment, Store, StoredEvent, StoreError
from tests.disks import Disk
from tests.former import FALL as FORMER_FALL
from tests.former import leave_spool

FALL = Fall("01A", 12.5, "8f3a", 7, None, "hall")


def event(event_id: str, payload: bytes = b"{}") -> StoredEvent:
    return StoredEvent(event_id, lasts=True, added=Moment("boot", 1.5, 2.5), payload=payload)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool.sqlite"


def written(file: Path, *events: StoredEvent) -> None:
    store = Store(file)
    store.open()
    store.write(events, (), [FALL])
    store.close()


def read(file: Path) -> Contents:
    store = Store(file)
    contents = store.open()
    store.close()
    return contents


def ids(contents: Contents | None) -> list[str]:
    assert contents is not None
    return [event.id for event in contents.events]


def test_what_was_written_is_read_again_in_its_order(file):
    written(file, event("2"), event("1"))
    assert read(file) == Contents([event("2"), event("1")], [FALL])


def test_scenes_are_replaced_one_by_one(file):
    store = Store(file)
    store.open()
    store.write([], (), (), {"hall": "{}", "bedroom": "1"})
    store.write([], (), (), {"hall": "2"})
    store.close()
    assert read(file).scenes == {"hall": "2", "bedroom": "1"}


def test_a_file_from_before_scenes_is_read_and_goes_on(file, caplog):
    written(file, event("1"))
    with sqlite3.connect(file) as db:
        db.execute("DROP TABLE scenes")
    db.close()
    assert read(file) == Contents([event("1")], [FALL])
    store = Store(file)
    store.open()
    store.write([], (), [FALL], {"hall": "{}"})
    store.close()
    assert read(file) == Contents([event("1")], [FALL], {"hall": "{}"})
    assert not caplog.records


def test_a_file_of_version_1_names_no_camera(file, caplog):
    payloads = leave_spool(file)
    contents = read(file)
    assert [event.payload for event in contents.events] == payloads
    assert [(fall.event, fall.camera) for fall in contents.falls] == [(FORMER_FALL, FORMER)]
    assert set(contents.scenes) == {FORMER}
    assert not caplog.records


def test_a_file_of_version_1_goes_on_with_cameras(file, caplog):
    payloads = leave_spool(file)
    store = Store(file)
    contents = store.open()
    store.write([], (), [*contents.falls, FALL], {"hall": contents.scenes[FORMER]})
    store.close()
    again = read(file)
    assert [event.payload for event in again.events] == payloads
    assert {(fall.event, fall.camera) for fall in again.falls} == {(FORMER_FALL, FORMER), ("01A", "hall")}
    assert again.scenes == {"hall": contents.scenes[FORMER]}
    assert not caplog.records


def test_version_1_keeps_all_until_its_camera_is_known(file):
    """A daemon may be killed between."""
    leave_spool(file)
    assert read(file) == read(file)
    assert set(read(file).scenes) == {FORMER}


def test_removed_events_are_gone(file):
    store = Store(file)
    store.open()
    store.write([event("1"), event("2")], (), ())
    store.write([], ["1"], ())
    store.close()
    assert ids(read(file)) == ["2"]


def test_writing_afresh_leaves_nothing_else(file):
    store = Store(file)
    store.open()
    store.write([event("1")], (), [FALL], {"hall": "{}", "bedroom": "{}"})
    store.write([event("2")], (), (), {"hall": "2"}, afresh=True)
    store.close()
    assert read(file) == Contents([event("2")], [], {"hall": "2"})


def test_an_event_that_is_written_twice_is_there_once(file):
    written(file, event("1"))
    written(file, event("1"))
    assert ids(read(file)) == ["1"]


def test_nobody_else_may_read_the_file(file):
    store = Store(file)
    store.open()
    store.write([event("1")], (), ())
    kept = [file, file.with_name(f"{file.name}-wal")]
    assert [stat.S_IMODE(one.stat().st_mode) for one in kept] == [0o600, 0o600]
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    store.close()


def test_a_second_store_hears_that_the_file_is_taken(file):
    first, second = Store(file), Store(file)
    first.open()
    first.write([event("1")], (), ())
    with pytest.raises(StoreError, match=r"spool.sqlite: database is locked$") as raised:
        second.open()
    assert raised.value.contents is None
    first.close()


# Ages


def test_an_age_does_not_heed_a_clock_that_is_set():
    then = Moment("boot", since_boot_s=100, time_s=5000)
    assert then.age_s(Moment("boot", since_boot_s=103, time_s=9_000_000)) == 3


def test_after_a_reboot_an_age_is_at_least_the_boots():
    then = Moment("boot", since_boot_s=100, time_s=5000)
    assert then.age_s(Moment("other", since_boot_s=30, time_s=4999)) == 30
    assert then.age_s(Moment("other", since_boot_s=30, time_s=8600)) == 3600


def test_now_is_of_this_boot():
    first, second = Moment.now(), Moment.now()
    assert 0 <= first.age_s(second) < 5


HIDDEN = """
from posed.mqtt.store import Moment
print(Moment.now().boot == Moment.now().boot, len(Moment.now().boot) > 8)
"""


def test_now_is_known_where_the_kernel_s_settings_are_hidden():
    # As systemd's ProcSubset=pid does.
    hide = 'mount -t tmpfs tmpfs /proc/sys && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", hide, "sh", sys.executable, "-c", HIDDEN]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"needs to hide /proc/sys: {done.stderr.strip()}")
    assert (done.stdout, done.stderr) == ("True True\n", "")


# Damage


def set_aside(file: Path) -> Path:
    return file.with_name("spool.sqlite.damaged")


def test_a_file_that_is_no_database_is_set_aside(file, caplog):
    file.parent.mkdir()
    file.write_bytes(b"no database at all" * 100)
    assert read(file) == Contents([], [])
    assert set_aside(file).read_bytes().startswith(b"no database")
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        (
            "WARNING",
            f"{file}: file is not a database; set aside as spool.sqlite.damaged, 0 events saved",
        )
    ]
    written(file, event("1"))
    assert ids(read(file)) == ["1"]


def test_what_can_be_read_of_a_damaged_file_is_saved(file, caplog):
    many = [event(f"{number:04}", bytes(1500)) for number in range(200)]
    written(file, *many)
    size = file.stat().st_size
    with file.open("r+b") as damaged:
        damaged.seek(size * 2 // 3)
        damaged.write(os.urandom(size // 6))
    saved = ids(read(file))
    assert 0 < len(saved) < 200
    assert saved == [one.id for one in many][: len(saved)]
    assert read(file) == Contents(many[: len(saved)], [FALL])
    assert "set aside as spool.sqlite.damaged" in caplog.text


def test_a_file_that_lost_its_end_is_survived(file):
    written(file, *(event(f"{number:04}", bytes(1500)) for number in range(200)))
    os.truncate(file, file.stat().st_size // 2)
    saved = ids(read(file))
    written(file, event("new"))
    assert ids(read(file)) == [*saved, "new"]


def test_an_event_of_which_a_byte_changed_is_left_out(file, caplog):
    written(file, event("1", b"some text"), event("2"))
    file.write_bytes(file.read_bytes().replace(b"some text", b"some tent"))
    assert ids(read(file)) == ["2"]
    assert "an event is damaged; set aside as spool.sqlite.damaged, 1 events saved" in caplog.text


@pytest.mark.parametrize("time_s", [1e300, -1.0, "noon"])
def test_a_fall_of_no_time_is_left_out(file, caplog, time_s):
    written(file, event("1"))
    with sqlite3.connect(file) as db:
        db.execute("UPDATE falls SET time_s = ?", (time_s,))
    db.close()
    assert read(file) == Contents([event("1")], [])
    assert "a fall is damaged; set aside as spool.sqlite.damaged" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE scenes SET state = '{}' WHERE camera = 'hall'",
        "UPDATE scenes SET state = x'ff' WHERE camera = 'hall'",
        "UPDATE scenes SET camera = 'other' WHERE camera = 'hall'",
    ],
)
def test_a_scene_that_changed_is_left_out(file, caplog, damage):
    store = Store(file)
    store.open()
    store.write([event("1")], (), [FALL], {"hall": "1", "bedroom": "2"})
    store.close()
    with sqlite3.connect(file) as db:
        db.execute(damage)
    db.close()
    assert read(file) == Contents([event("1")], [FALL], {"bedroom": "2"})
    assert "the record of who is down is damaged; set aside as spool.sqlite.damaged" in caplog.text


def test_a_foreign_table_of_scenes_costs_no_event(file):
    written(file, event("1"))
    with sqlite3.connect(file) as db:
        db.execute("DROP TABLE scenes")
        db.execute("CREATE TABLE scenes (something)")
    db.close()
    assert read(file) == Contents([event("1")], [FALL])
    assert set_aside(file).exists()


def test_tables_that_are_not_ours_are_set_aside(file):
    file.parent.mkdir()
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE events (something)")
    db.close()
    assert read(file) == Contents([], [])
    assert set_aside(file).exists()


# Disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk") as disk:
        yield disk


def test_a_full_disk_is_said_and_nothing_is_half_written(disk):
    file = disk.folder / "spool.sqlite"
    store = Store(file)
    store.open()
    store.write([event("1")], (), ())
    disk.fill()
    with pytest.raises(StoreError, match=r"spool.sqlite: database or disk is full$"):
        store.write([event("2", bytes(100_000)), event("3", bytes(100_000))], ["1"], [FALL])
    assert not store.is_open
    disk.free()
    assert read(file) == Contents([event("1")], [])


def test_a_full_disk_can_be_read(disk):
    file = disk.folder / "spool.sqlite"
    written(file, event("1"))
    disk.fill()
    with pytest.raises(StoreError) as raised:
        Store(file).open()
    assert ids(raised.value.contents) == ["1"]


KILLED = """
import os, signal, sys
from pathlib import Path
from posed.mqtt.store import Moment, Store, StoredEvent
store = Store(Path(sys.argv[1]))
store.open()
store.write([StoredEvent("1", True, Moment.now(), b"{}")], (), ())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_version_1_is_read_from_a_read_only_disk(disk):
    file = disk.folder / "spool.sqlite"
    leave_spool(file)
    disk.protect()
    with pytest.raises(StoreError) as raised:
        Store(file).open()
    assert raised.value.contents is not None
    assert [fall.event for fall in raised.value.contents.falls] == [FORMER_FALL]
    assert set(raised.value.contents.scenes) == {FORMER}


def test_a_read_only_disk_is_read_after_a_kill_too(disk):
    file = disk.folder / "spool.sqlite"
    subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert file.with_name("spool.sqlite-wal").stat().st_size > 0
    disk.protect()
    with pytest.raises(StoreError, match=r"spool.sqlite: Read-only file system$") as raised:
        Store(file).open()
    assert ids(raised.value.contents) == ["1"]
    disk.unprotect()
    assert ids(read(file)) == ["1"]


def test_a_file_removed_while_it_is_open_is_noticed(file):
    store = Store(file)
    store.open()
    file.unlink()
    with pytest.raises(StoreError, match=r"spool.sqlite: No such file or directory$"):
        store.write([event("1")], (), ())
    store.open()
    store.write([event("1")], (), ())
    store.close()
    assert ids(read(file)) == ["1"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StoreError, match=r"state/spool.sqlite: "):
        Store(tmp_path / "state" / "spool.sqlite").open()
