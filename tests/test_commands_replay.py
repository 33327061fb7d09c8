"""Playing recorded poses: the same events at any speed, with other settings, and to a broker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec.structs import replace

from posed.commands.replay import LONGEST_WAIT_S, Numbered, Played, begin, paced, replay
from posed.config import Config
from posed.errors import ConfigError, RecordingError
from posed.messages.structs import EventMessage, RecordedFrame, RecordingLine, encode
from posed.messages.words import event_in_words
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.clock import Clock
from tests.run_posed import environment, posed
from tests.test_commands_recording import frame, start
from tests.test_pipeline_scene import FPS, fall, upright

EVERYWHERE = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}


def lines(poses: Sequence[Any], first: int = 0, **changes: Any) -> list[RecordingLine]:
    return [start(**changes), *(frame(first + number, tuple(one)) for number, one in enumerate(poses))]


def reported(recording: Sequence[RecordingLine], config: Config | None = None) -> list[tuple[str, Any]]:
    """(type, person) of every event; with the recorded settings unless there are others."""
    numbered = Numbered()
    begun = begin(recording, config or Config(), None, as_recorded=config is None)
    for _ in replay(begun, numbered):
        pass
    return [(event.type, event.person) for _, event in numbered.take()]


def test_the_recorded_settings_apply_unless_others_are_given():
    recording = lines([[upright()]] * FPS, settings={"zones": {"room": EVERYWHERE}})
    assert ("zone_entered", 1) in reported(recording)
    assert "zone_entered" not in dict(reported(recording, Config()))
    assert reported(recording, Config(people={"presence": False, "postures": False})) == []


@pytest.mark.parametrize(
    ("named", "cameras", "entered"),
    [
        (None, ["door", "hall"], "zone_of_door"),
        ("hall", ["door", "hall"], "zone_of_hall"),
        (None, ["hall"], "zone_of_hall"),
        ("hall", ["hall", "attic"], "zone_of_hall"),
    ],
)
def test_given_settings_are_those_of_one_camera(named, cameras, entered):
    config = Config(cameras={name: {"zones": {f"zone_of_{name}": EVERYWHERE}} for name in cameras})
    recording = lines([[upright()]] * FPS, settings={"zones": {"as_recorded": EVERYWHERE}})
    numbered = Numbered()
    begun = begin(recording, config, named, as_recorded=False)
    assert list(begun.config.cameras) == ["door"]
    assert len(list(replay(begun, numbered))) == FPS
    assert {event.zone for _, event in numbered.take() if event.type == "zone_entered"} == {entered}


def test_given_settings_of_several_other_cameras_are_refused():
    config = Config(cameras={"hall": {}, "attic": {}})
    with pytest.raises(ConfigError, match=r"^--camera: must be one of hall, attic, got none$"):
        begin(lines([]), config, None, as_recorded=False)


def test_recorded_settings_go_before_a_cameras_own():
    config = Config(cameras={"door": {"people": {"confirm_frames": 9}}})
    begun = begin(lines([], settings={"people.confirm_frames": 4}), config, None, as_recorded=True)
    assert begun.config.cameras["door"].people.confirm_frames == 4


def test_a_recorded_camera_whose_name_is_no_topic_is_refused():
    recording = [start(camera="a/b")]
    with pytest.raises(RecordingError, match=r"^recorded of a camera that cannot be: cameras\.a/b: must be "):
        begin(recording, Config(), None, as_recorded=True)


def test_settings_that_change_in_a_recording_apply_from_there_on():
    off = {"people.presence": False, "people.postures": False}
    everybody = [[upright(160)]] * 20
    more = [[upright(160), upright(480)]] * 20
    recording = lines(everybody, settings=off | {"people.presence": True}) + lines(more, 20, settings=off)
    assert reported(recording) == [("entered", 1)]


def test_a_daemon_that_was_started_anew_counts_people_anew():
    recording = lines([[upright()]] * 20, run="1") + lines([[upright()]] * 20, 20, run="2")
    assert [event for event in reported(recording) if event[0] == "entered"] == [
        ("entered", 1),
        ("entered", 1),
    ]


def test_settings_of_another_version_are_said():
    with pytest.raises(
        RecordingError, match=r"recorded by posed '9\.0' with settings .* people\.telepathy: must"
    ):
        reported([start(version="9.0", settings={"people.telepathy": True})])


def test_a_fall_that_is_over_names_its_event():
    numbered = Numbered()
    recording = lines([*fall(), *[[upright()]] * (3 * FPS)])
    for _ in replay(begin(recording, Config(), None, as_recorded=True), numbered):
        pass
    events = dict(numbered.take())
    number = next(number for number, one in events.items() if one.type == "fall")
    assert next(event for event in events.values() if event.type == "fall_cleared").detail["fall"] == number


def test_a_fall_that_was_recorded_in_the_dark_is_none():
    recording = [replace(one, dark=True) if isinstance(one, RecordedFrame) else one for one in lines(fall())]
    assert "fall" not in dict(reported(recording))


def played(times_s: Sequence[float]) -> Iterator[Played]:
    recording = [start(), *(frame(number, time_s=time_s) for number, time_s in enumerate(times_s))]
    return replay(begin(recording, Config(), None, as_recorded=True), Numbered())


@pytest.mark.parametrize(("speed", "expected"), [(0, 0), (1, 1.5), (3, 0.5), (0.5, 3)])
def test_the_speed_is_that_of_the_frames_times(speed, expected):
    clock = Clock(50.0)
    assert len(list(paced(played([10, 10.5, 11.5]), speed, clock, clock.sleep))) == 3
    assert clock.now_s - 50 == pytest.approx(expected)


def test_pauses_are_cut_short_and_leaps_back_not_waited_for():
    clock = Clock(50.0)
    list(paced(played([10, 5000, 20, 20.5]), 1, clock, clock.sleep))
    assert clock.now_s - 50 == pytest.approx(LONGEST_WAIT_S + 0.5)


def test_where_time_leaps_back_none_passes():
    assert [one.since_s for one in played([10, 10.5, 3, 3.25, 1, 2])] == [0, 0.5, 0.5, 0.75, 0.75, 1.75]


# The command


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "fall.jsonl"
    recording = lines(fall(), settings={"zones": {"room": EVERYWHERE}})
    path.write_bytes(b"".join(encode(line) + b"\n" for line in recording))
    return path


def test_events_are_printed_with_the_recordings_own_time(tmp_path, recorded):
    done = posed(tmp_path, "replay", recorded)
    assert done.returncode == 0
    first = done.stdout.splitlines()[0]
    assert first == "      0.20 s  Person 1 came to the door"
    assert "  Person 2 has fallen in the room at the door, seen lying\n" in done.stdout
    assert done.stderr == f"{recorded}: 170 frames, 16.9 s\n"


def test_the_length_counts_all_parts_of_a_set_back_clock(tmp_path):
    path = tmp_path / "leap.jsonl"
    times_s = [100 + number / FPS for number in range(20)] + [5 + number / FPS for number in range(20)]
    recording = [start(), *(frame(number, time_s=time_s) for number, time_s in enumerate(times_s))]
    path.write_bytes(b"".join(encode(line) + b"\n" for line in recording))
    assert posed(tmp_path, "replay", path).stderr == f"{path}: 40 frames, 3.8 s\n"


@pytest.mark.parametrize("speed", [0, 20, 200])
def test_a_recording_tells_the_same_at_any_speed(tmp_path, recorded, speed):
    at_once = posed(tmp_path, "replay", recorded, "--json")
    paced = posed(tmp_path, "replay", recorded, "--json", "--speed", speed)
    assert paced.stdout == at_once.stdout
    types = [json.loads(line)["type"] for line in at_once.stdout.splitlines()]
    assert {"entered", "zone_entered", "posture", "fall"} <= set(types)


def test_other_thresholds_can_be_tried(tmp_path, recorded):
    config = tmp_path / "posed.yaml"
    config.write_text("people: {fall_confirm_s: 300, presence: false, postures: false}")
    done = posed(tmp_path, "replay", recorded, "--config", config)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_bad_recording_is_one_line_and_status_4(tmp_path, recorded):
    with recorded.open("ab") as file:
        file.write(b"{}\n")
    done = posed(tmp_path, "replay", recorded)
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == f"{recorded}:172: object missing required field `line`"
    missing = posed(tmp_path, "replay", tmp_path / "none.jsonl")
    assert (missing.returncode, missing.stderr) == (
        4,
        f"{tmp_path / 'none.jsonl'}: cannot be read (No such file or directory)\n",
    )


def test_ctrl_c_ends_it_with_130(tmp_path, recorded):
    process = subprocess.Popen(
        [sys.executable, "-m", "posed", "replay", str(recorded), "--speed", "0.2"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said


def config_of(folder: Path, broker: Mosquitto) -> Path:
    path = folder / "posed.yaml"
    settings = {
        "device": "pi",
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "cameras": {"attic": {}, "door": {"zones": {"room": EVERYWHERE}}},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def test_it_is_published_as_its_own_device_without_remains(tmp_path, broker, recorded):
    config = config_of(tmp_path, broker)
    with Subscriber(broker.port) as subscriber:
        done = posed(tmp_path, "replay", recorded, "-c", config, "--publish", "trial", "--speed", 0)
        assert (done.returncode, done.stderr) == (0, f"{recorded}: 170 frames, 16.9 s\n")
        eventually(lambda: subscriber.payloads("posed/trial/availability")[-1:] == [b""])
        assert len(subscriber.payloads("posed/trial/door/poses")) == 170
        events = told(subscriber, "posed/trial/events")
        falls = [fall["fallen"] for fall in told(subscriber, "posed/trial/door/fall")]
        machine, camera = (told(subscriber, f"posed/trial/{rest}state")[0] for rest in ("", "door/"))
        zones = told(subscriber, "posed/trial/door/zones/room")
        topics = {message.topic for message in subscriber.messages if message.payload}
    said = [event_in_words(msgspec.convert(event, EventMessage)) for event in events]
    assert said == [line.split("s  ", 1)[1] for line in done.stdout.splitlines()]
    assert {event["camera"] for event in events} == {"door"}
    assert falls[-1] is True
    assert (machine["cameras"], machine["engine"]["kind"]) == ({"door": "ok"}, "replay")
    assert (camera["kind"], camera["width"], camera["height"]) == ("replay", 640, 480)
    assert zones[-1]["people"] == 1
    assert not any(topic.startswith("homeassistant/") for topic in topics)
    assert not any("attic" in topic for topic in topics)
    assert_nothing_is_kept(broker)
    assert not (tmp_path / "state").exists()


def told(subscriber: Subscriber, topic: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in subscriber.payloads(topic) if payload]


def assert_nothing_is_kept(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as late:
        late.publish("the/end", b"")
        late.wait_for("the/end", b"")
        assert [message.topic for message in late.messages] == ["the/end"]


def test_zones_that_change_in_a_recording_leave_nothing(tmp_path, broker):
    path = tmp_path / "zones.jsonl"
    poses = [[upright()]] * FPS
    parts = [
        *lines(poses, settings={"zones": {"first": EVERYWHERE}}),
        *lines(poses, FPS, settings={"zones": {"second": EVERYWHERE}}),
    ]
    path.write_bytes(b"".join(encode(line) + b"\n" for line in parts))
    more = {"POSED_MQTT__HOST": "127.0.0.1", "POSED_MQTT__PORT": str(broker.port)}
    with Subscriber(broker.port) as subscriber:
        done = posed(tmp_path, "replay", path, "--publish", "trial", "--speed", 0, more=more)
        assert done.returncode == 0, done.stderr
        for zone in ("first", "second"):
            assert told(subscriber, f"posed/trial/door/zones/{zone}")
    assert_nothing_is_kept(broker)


def test_an_interrupted_one_takes_everything_back(tmp_path, broker, recorded):
    config = config_of(tmp_path, broker)
    command = [
        sys.executable,
        "-m",
        "posed",
        "replay",
        str(recorded),
        "-c",
        str(config),
        "--publish",
        "trial",
    ]
    with Subscriber(broker.port) as subscriber:
        process = subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.DEVNULL)
        eventually(lambda: told(subscriber, "posed/trial/door/state"), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert_nothing_is_kept(broker)


def test_a_camera_without_a_configuration_is_a_usage_error(tmp_path, recorded):
    done = posed(tmp_path, "replay", recorded, "--camera", "door")
    assert done.returncode == 2
    assert "needs --config, which has the cameras" in done.stderr


def test_it_does_not_take_the_place_of_a_device(tmp_path, broker, recorded):
    with Subscriber(broker.port) as subscriber:
        subscriber.publish("posed/pi/availability", b"offline", retain=True)
    config = config_of(tmp_path, broker)
    done = posed(tmp_path, "replay", recorded, "--config", config, "--publish", "pi")
    assert done.returncode == 6
    assert done.stderr.startswith("device pi: the broker knows one of that name; take another")


def test_a_broker_that_is_away_is_status_6(tmp_path, broker, recorded):
    config = config_of(tmp_path, broker)
    broker.stop()
    done = posed(tmp_path, "replay", recorded, "--config", config, "--publish", "trial")
    assert done.returncode == 6
    assert done.stderr.count("\n") == 1


def test_a_bad_device_name_is_a_problem_of_that_option(tmp_path, recorded):
    done = posed(tmp_path, "replay", recorded, "--publish", "a/b")
    assert done.returncode == 2
    assert done.stderr.startswith("device: ")
    assert done.stderr.endswith("(set by --publish)\n")
