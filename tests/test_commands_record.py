"""`posed record` against a real daemon: the recording gives the very events that the daemon reported."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.brokers import Mosquitto, Subscriber, eventually
from tests.films import falling, film
from tests.run_posed import Daemon, environment, posed

TOPIC = "posed/pi"
DOOR = f"{TOPIC}/door"
ANSWERS = f"{TOPIC}/response/record"


DRAWN = {"kind": "synthetic", "source": "1", "fps": 10, "size": [320, 240]}


def settings(broker: Mosquitto, **more: Any) -> dict[str, Any]:
    return {
        "device": "pi",
        "cameras": {"door": DRAWN},
        "model": {"name": "drawings-257x353-32"},
        "mqtt": {"host": "127.0.0.1", "port": broker.port, "username": "anna", "password": "s3cret-c4nary"},
    } | more


class Recorder:
    """`posed record` in the background."""

    def __init__(self, folder: Path, config: Path, *more: str) -> None:
        self.out = folder / "out.jsonl"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "posed", "record", "-o", str(self.out), "--config", str(config), *more],
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Exit status, and what it said."""
        self.process.send_signal(number)
        said, complained = self.process.communicate(timeout=60)
        return self.process.returncode, said, complained


def events(subscriber: Subscriber, device: str) -> list[dict[str, Any]]:
    """All, without what every run has of its own."""
    own = {"id", "run", "device"}
    every = map(json.loads, subscriber.payloads(f"posed/{device}/events"))
    return [{key: value for key, value in one.items() if key not in own} for one in every]


def test_a_recording_gives_the_very_events_of_the_run(tmp_path, broker):
    """From before the first frame, so that both begin with nobody."""
    room = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    wanted = settings(
        broker,
        cameras={
            "door": {
                "kind": "video",
                "source": str(film(tmp_path / "fall.avi", falling(), 9)),
                "realtime": False,
                "zones": {"room": room},
                "people": {"fall_confirm_s": 2},
            }
        },
        model={"name": "drawings-257x353-16"},
    )
    paused = tmp_path / "state" / "posed" / "paused"
    paused.parent.mkdir(parents=True)
    paused.touch()
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, wanted) as daemon:
        subscriber.wait_for(f"{TOPIC}/availability", b"online", 60)
        recorder = Recorder(tmp_path, daemon.config)
        eventually(lambda: subscriber.payloads(ANSWERS), 60)
        subscriber.publish(f"{TOPIC}/request/resume")
        assert daemon.wait(240) == 0, daemon.log()
        status, said, complained = recorder.stop()
        live = events(subscriber, "pi")
        assert (status, complained) == (0, "")
        assert said.startswith(f"{recorder.out}: 90 frames, ")
        again = posed(
            tmp_path, "replay", recorder.out, "--config", daemon.config, "--publish", "trial", "--speed", 0
        )
        assert again.returncode == 0, again.stderr
        eventually(lambda: len(events(subscriber, "trial")) >= len(live))
        assert events(subscriber, "trial") == live
    assert {"entered", "zone_entered", "posture", "fall"} <= {event["type"] for event in live}
    as_recorded = posed(tmp_path, "replay", recorder.out, "--json")
    replayed = [json.loads(line) for line in as_recorded.stdout.splitlines()]
    keys = ("type", "time", "person", "zone", "detail")
    facts, lived = ([[event[key] for key in keys] for event in events] for events in (replayed, live))
    assert facts == lived


def test_a_recording_begins_with_what_is_needed_and_nothing_secret(tmp_path, broker):
    with Subscriber(broker.port), Daemon(tmp_path, settings(broker)) as daemon:
        eventually(lambda: "connected" in daemon.log(), 60)
        done = posed(tmp_path, "record", "-o", tmp_path / "out.jsonl", "-c", daemon.config, "--seconds", 1)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out.jsonl").read_text()
    start, *frames = map(json.loads, text.splitlines())
    frames = [one for one in frames if one["line"] == "frame"]
    assert re.fullmatch(rf"{tmp_path}/out\.jsonl: {len(frames)} frames, 0\.\d\d MB, 1\.\d s\n", done.stdout)
    assert (start["line"], start["schema"], start["camera"]) == ("start", 2, "door")
    assert start["model"]["name"] == "drawings-257x353-32"
    assert start["settings"]["decode.keypoint_threshold"] == 0.2
    assert set(start["settings"]) >= {"zones", "people.lost_after_s"}
    assert frames[0]["size"] == [320, 240]
    sequences = [one["sequence"] for one in frames]
    assert sequences == sorted(set(sequences))
    assert not {"c4nary", "anna", "127.0.0.1", str(tmp_path)} & set(re.findall(r"[\w./-]+", text))


def test_nothing_is_sent_that_nobody_records(tmp_path, broker):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings(broker)):
        eventually(lambda: len(subscriber.payloads(f"{DOOR}/poses")) > 10, 60)
        assert subscriber.payloads(f"{DOOR}/recording") == []


def test_other_settings_are_recorded_where_they_begin(tmp_path, broker):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings(broker)) as daemon:
        subscriber.wait_for(f"{TOPIC}/availability", b"online", 60)
        recorder = Recorder(tmp_path, daemon.config)
        recording = f"{DOOR}/recording"
        eventually(lambda: len(subscriber.payloads(recording)) > 3, 60)
        change = {"settings": {"people.confirm_frames": 7}}
        subscriber.publish(f"{TOPIC}/request/set", json.dumps(change).encode())
        eventually(lambda: any(b'"start"' in one for one in subscriber.payloads(recording)))
        count = len(subscriber.payloads(recording))
        eventually(lambda: len(subscriber.payloads(recording)) > count + 3)
        status, _, _ = recorder.stop(signal.SIGTERM)
    assert status == 0
    lines = [json.loads(line) for line in recorder.out.read_text().splitlines()]
    starts = [line["settings"]["people.confirm_frames"] for line in lines if line["line"] == "start"]
    assert (starts[0], starts[-1]) == (3, 7)
    assert lines[-1]["line"] == "frame"


def test_of_several_cameras_the_one_that_is_named_is_recorded(tmp_path, broker):
    cameras = {"hall": DRAWN, "door": DRAWN | {"size": [160, 128]}}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings(broker, cameras=cameras)) as daemon:
        subscriber.wait_for(f"{TOPIC}/availability", b"online", 60)
        command = ["record", "-o", tmp_path / "out.jsonl", "--config", daemon.config, "--seconds", 2]
        unnamed = posed(tmp_path, *command)
        done = posed(tmp_path, *command, "--camera", "door")
        assert not subscriber.payloads(f"{TOPIC}/hall/recording")
    assert (unnamed.returncode, unnamed.stderr) == (2, "--camera: must be one of door, hall, got none\n")
    assert (done.returncode, done.stderr) == (0, "")
    start, *frames = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert start["camera"] == "door"
    assert {tuple(one["size"]) for one in frames if one["line"] == "frame"} == {(160, 128)}


def test_a_camera_that_the_daemon_does_not_have_is_said(tmp_path, broker):
    """As where the file names another camera than when the daemon read it."""
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings(broker)) as daemon:
        subscriber.wait_for(f"{TOPIC}/availability", b"online", 60)
        daemon.config.write_text(json.dumps(settings(broker, cameras={"attic": DRAWN})))
        done = posed(tmp_path, "record", "-o", tmp_path / "out.jsonl", "--config", daemon.config)
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr == "device pi: camera: must be one of door, got 'attic'\n"
    assert not (tmp_path / "out.jsonl").exists()


def test_an_existing_file_is_kept_unless_it_is_forced(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("precious")
    done = posed(tmp_path, "record", "--output", out)
    assert (done.returncode, out.read_text()) == (4, "precious")
    assert done.stderr == f"{out}: exists already; choose another name, or use --force\n"


def test_a_daemon_that_is_not_there_is_said(tmp_path, broker):
    config = tmp_path / "posed.yaml"
    config.write_text(json.dumps(settings(broker)))
    done = posed(tmp_path, "record", "-o", tmp_path / "out.jsonl", "--config", config)
    assert done.returncode == 6
    assert done.stderr.startswith("device pi: no answer within 10 s; is its daemon running")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_daemon_that_goes_away_ends_it_with_what_came(tmp_path, broker):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings(broker)) as daemon:
        subscriber.wait_for(f"{TOPIC}/availability", b"online", 60)
        recorder = Recorder(tmp_path, daemon.config)
        eventually(lambda: len(subscriber.payloads(f"{DOOR}/recording")) > 3, 60)
        broker.stop()
        _, said = recorder.process.communicate(timeout=60)
    assert recorder.process.returncode == 6
    assert said == f"mqtt 127.0.0.1:{broker.port}: the connection has ended\n"
    assert len(recorder.out.read_text().splitlines()) > 1


def test_a_full_disk_is_one_line(tmp_path, broker):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, settings(broker)) as daemon:
        subscriber.wait_for(f"{TOPIC}/availability", b"online", 60)
        done = posed(tmp_path, "record", "-o", "/dev/full", "--config", daemon.config, "--seconds", 3)
    assert (done.returncode, done.stderr) == (4, "/dev/full: cannot be written (No space left on device)\n")
