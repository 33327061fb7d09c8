"""Who is down and the events of it: in the file together or not at all, whatever ends the daemon."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from posed.config import CameraConfig, MqttEventsConfig
from posed.messages.structs import Sender
from posed.messages.topics import Topics
from posed.mqtt.scene_journal import SceneJournal, delete_old_falls
from posed.mqtt.spool import Spool
from posed.mqtt.store import Contents, Store
from posed.pipeline.journal import JournalError
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.scene import Scene
from scripts.paths import ROOT
from tests.broker_fake import FakeBroker
from tests.brokers import eventually
from tests.disks import Disk
from tests.former import FALL, leave_spool
from tests.test_pipeline_scene import FPS, WALL_S, fall, lying, play, upright

STATE = {"falls": {"next": 1, "downs": []}, "ids": {}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool.sqlite"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk") as disk:
        yield disk


@contextmanager
def spool_at(file: Path) -> Iterator[Spool]:
    """A spool whose broker is away."""
    spool = Spool(
        file,
        sender=Sender.start("test"),
        topics=Topics("posed/test"),
        broker=FakeBroker(full=True),
        config=MqttEventsConfig(),
        cameras=("hall", "bedroom"),
    )
    spool.start()
    try:
        yield spool
    finally:
        spool.stop(5)


def scene_in(spool: Spool) -> Scene:
    """A scene as the daemon starts it."""
    scene = Scene(CameraConfig(), SceneJournal(spool, "hall"), name="hall")
    scene.restore()
    return scene


def left_in(file: Path) -> Contents:
    """What a daemon finds that starts now."""
    store = Store(file)
    contents = store.open()
    store.close()
    return contents


def ids_known(contents: Contents) -> list[str]:
    """The events of falls that the scene knows."""
    return list(json.loads(contents.scenes.get("hall", '{"ids": {}}'))["ids"].values())


def test_a_state_outlives_restarts_and_each_camera_has_one(file):
    with spool_at(file) as spool:
        hall, bedroom = SceneJournal(spool, "hall"), SceneJournal(spool, "bedroom")
        assert (hall.read(), bedroom.read()) == (None, None)
        hall.commit(STATE)
        assert hall.read() == STATE
    with spool_at(file) as spool:
        assert SceneJournal(spool, "hall").read() == STATE
        assert SceneJournal(spool, "bedroom").read() is None


def test_what_is_added_is_told_with_the_commit_alone(file):
    with spool_at(file) as spool:
        journal = SceneJournal(spool, "hall")
        event_id = journal.add(Occurrence("fall", WALL_S, person=7))
        assert (spool.falls, spool.state.events) == ((), 0)
        journal.commit(STATE)
        assert [fallen.event for fallen in spool.falls] == [event_id]
        journal.commit()
        assert spool.state.events == 1
        assert journal.read() == STATE


def test_a_fall_and_its_end_are_written_with_their_state(file, monkeypatch):
    written: list[tuple[set[str], set[str] | None]] = []
    write = Store.write

    def noted(store: Store, events: Any, gone: Any, falls: Any, scenes: Any, **more: Any) -> None:
        known = None if not scenes else set(json.loads(scenes["hall"])["ids"].values())
        written.append(({fallen.event for fallen in falls}, known))
        write(store, events, gone, falls, scenes, **more)

    monkeypatch.setattr(Store, "write", noted)
    with spool_at(file) as spool:
        play(scene_in(spool), [*fall(), *[[upright()]] * (4 * FPS)])
        assert spool.flush(8)
    known: set[str] = set()
    for open_falls, state in written:
        known = known if state is None else state
        assert known == open_falls
    assert {event.lasts for event in left_in(file).events} == {True, False}


def test_a_fall_before_a_restart_is_cleared_by_getting_up(file):
    with spool_at(file) as spool:
        end_s = play(scene_in(spool), fall())
        (fallen,) = spool.falls
    with spool_at(file) as spool:
        play(scene_in(spool), [[lying()]] * (40 * FPS) + [[upright()]] * (4 * FPS), start_s=end_s)
        assert spool.falls == ()
    over = json.loads(left_in(file).events[-1].payload)
    assert (over["type"], over["detail"]["fall"], over["person"]) == ("fall_cleared", fallen.event, None)


@pytest.mark.parametrize("state", ["{", "[" * 100_000, '{"falls": {}, "ids": {}}', "7"])
def test_a_bad_state_is_reported_and_replaced_without_other_loss(file, caplog, state):
    with spool_at(file) as spool:
        play(scene_in(spool), fall())
        (fallen,) = spool.falls
        spool.commit({}, {"hall": state})
    with spool_at(file) as spool:
        scene = scene_in(spool)
        assert "cannot read who was down before" in caplog.text
        assert spool.falls == (fallen,)
        play(scene, fall())
        assert len(spool.falls) == 2
    caplog.clear()
    with spool_at(file) as spool:
        scene_in(spool)
    assert not caplog.records


def test_a_damaged_row_is_said_and_nothing_else_is_lost(file, caplog):
    with spool_at(file) as spool:
        play(scene_in(spool), fall())
        (fallen,) = spool.falls
    events = left_in(file).events
    with sqlite3.connect(file) as db:
        db.execute("UPDATE scenes SET state = replace(state, 'true', 'frue')")
    db.close()
    with spool_at(file) as spool:
        scene_in(spool)
        assert spool.falls == (fallen,)
    assert "the record of who is down is damaged; set aside as spool.sqlite.damaged" in caplog.text
    assert left_in(file).events == events


def test_a_file_of_another_process_still_lets_falls_be_reported(file, caplog):
    with spool_at(file) as owner:
        play(scene_in(owner), fall())
        (theirs,) = owner.falls
        with spool_at(file) as spool:
            with pytest.raises(JournalError, match="database is locked"):
                SceneJournal(spool, "hall").read()
            scene = scene_in(spool)
            assert "cannot read who was down before" in caplog.text
            assert "database is locked" in caplog.text
            play(scene, fall())
            (ours,) = spool.falls
            owner.stop(5)
            eventually(lambda: spool.state.durable, 20)
            assert spool.falls == (theirs, ours)
    contents = left_in(file)
    assert contents.falls == [theirs, ours]
    assert ids_known(contents) == [ours.event]


def test_a_full_disk_gets_event_and_state_later_together(disk):
    file = disk.folder / "spool.sqlite"
    with spool_at(file) as spool:
        scene = scene_in(spool)
        disk.fill()
        play(scene, fall())
        assert not spool.flush(0.5)
        disk.free()
        assert spool.flush(20)
    contents = left_in(file)
    assert [fallen.event for fallen in contents.falls] == ids_known(contents) != []


def test_a_read_only_disk_is_read_at_the_start(disk):
    file = disk.folder / "spool.sqlite"
    with spool_at(file) as spool:
        play(scene_in(spool), fall())
        (fallen,) = spool.falls
    disk.protect()
    with spool_at(file) as spool:
        scene = scene_in(spool)
        (cleared,) = scene.clear_falls(WALL_S + 60, fallen.event)
        disk.unprotect()
        assert spool.flush(20)
    contents = left_in(file)
    assert (contents.falls, ids_known(contents)) == ([], [])
    assert contents.events[-1].id == cleared


def test_falls_of_two_cameras_are_not_mixed_by_their_people(file):
    """Ids of people are unique within a camera, so that two of them have the same."""
    with spool_at(file) as spool:
        hall, bedroom = SceneJournal(spool, "hall"), SceneJournal(spool, "bedroom")
        in_hall = hall.add(Occurrence("fall", WALL_S, person=1))
        in_bedroom = bedroom.add(Occurrence("fall", WALL_S, person=1))
        hall.commit()
        bedroom.commit()
        bedroom.add(Occurrence("fall_cleared", WALL_S, person=1))
        bedroom.commit()
        assert [(fallen.camera, fallen.event) for fallen in spool.falls] == [("hall", in_hall)]
    over = json.loads(left_in(file).events[-1].payload)
    assert (over["camera"], over["detail"]["fall"]) == ("bedroom", in_bedroom)


# Earlier versions


def test_the_first_camera_gets_who_was_down_in_schema_1(file):
    leave_spool(file)
    with spool_at(file) as spool:
        assert [(fallen.camera, fallen.event) for fallen in spool.falls] == [("hall", FALL)]
        known = SceneJournal(spool, "hall").read()
        assert known is not None
        assert known["ids"] == {"1": FALL}
        assert SceneJournal(spool, "bedroom").read() is None
    contents = left_in(file)
    assert [(fallen.camera, fallen.event) for fallen in contents.falls] == [("hall", FALL)]
    assert ids_known(contents) == [FALL]


def test_a_fall_of_schema_1_is_cleared_by_getting_up(file):
    leave_spool(file)
    with spool_at(file) as spool:
        play(scene_in(spool), [[lying()]] * (40 * FPS) + [[upright()]] * (4 * FPS), start_s=WALL_S)
        assert spool.falls == ()
    over = json.loads(left_in(file).events[-1].payload)
    assert (over["type"], over["camera"], over["detail"]["fall"]) == ("fall_cleared", "hall", FALL)


def test_an_old_file_of_falls_is_deleted_with_one_line(tmp_path, caplog):
    file = tmp_path / "falls.json"
    file.write_text("{}")
    with caplog.at_level("INFO"):
        delete_old_falls(tmp_path)
        delete_old_falls(tmp_path)
    assert not file.exists()
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}: deleted: who is down is now kept in spool.sqlite"
    ]


def test_a_folder_that_is_none_makes_no_difference(tmp_path, caplog):
    (tmp_path / "state").write_text("a file")
    delete_old_falls(tmp_path / "state")
    delete_old_falls(tmp_path / "nowhere")
    assert not caplog.records


# Kills


FALLING = """
import random, sys, time
from pathlib import Path
from posed.mqtt.scene_journal import SceneJournal
from posed.pipeline.occurrence import Occurrence
from tests.test_mqtt_scene_journal import spool_at
with spool_at(Path(sys.argv[1])) as spool:
    journal = SceneJournal(spool, "hall")
    ids = list((journal.read() or {"ids": {}})["ids"].values())
    print("begins", flush=True)
    while True:
        if len(ids) < 3:
            ids.append(journal.add(Occurrence("fall", time.time())))
        else:
            journal.add(Occurrence("fall_cleared", time.time(), detail={"fall": ids.pop(0)}))
        journal.commit({"ids": dict(enumerate(ids))})
        if random.random() < 0.7:
            spool.flush(10)
"""


def test_a_kill_leaves_fall_and_state_together_or_neither(file):
    for _ in range(8):
        command = [sys.executable, "-c", FALLING, str(file)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.uniform(0, 0.5))
        process.kill()
        process.wait()
        process.stdout.close()
        contents = left_in(file)
        assert [fallen.event for fallen in contents.falls] == ids_known(contents)
    assert contents.events
