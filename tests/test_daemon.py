"""`posed run` as a process, against a real broker: from pictures to messages, and through what goes wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import msgspec
import numpy as np
import pytest

from posed import daemon as posed_daemon
from posed.config import CAMERA, Config, DecodeConfig
from posed.frame import Frame, Letterbox
from posed.messages.structs import Info
from posed.mqtt.client import MqttClient
from posed.mqtt.store import Fall, Moment, Store, StoredEvent
from posed.networks.pair import load_pair
from posed.paths import spool_file
from posed.pipeline.inferred import Inferred
from posed.pipeline.stage_timings import StageTimings
from scripts.standins.edgetpu import Behaviour
from tests.brokers import Mosquitto, Subscriber, eventually, free_port
from tests.films import falling, film
from tests.make_movenet import MULTI, SINGLE, make_movenet
from tests.pipelines import FakeEngine
from tests.run_posed import Daemon, environment
from tests.standin import built

TOPIC = "posed/hall"


def at(broker: Mosquitto, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the broker's port."""
    return settings | {"mqtt": {"host": "127.0.0.1", "port": broker.port}}


def messages(subscriber: Subscriber, name: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in subscriber.payloads(f"{TOPIC}/{name}")]


def test_pictures_become_poses_on_the_broker(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        eventually(lambda: any(one["people"] for one in messages(subscriber, "camera/poses")), 20)
        first, second, *_ = messages(subscriber, "camera/poses")
        seen = next(one for one in messages(subscriber, "camera/poses") if one["people"])
        assert subscriber.payloads(f"{TOPIC}/availability") == [b"online"]
    assert first["frame"] == {"width": 130, "height": 98}
    assert second["sequence"] == first["sequence"] + 1
    assert seen["people"][0]["id"] == 1
    assert seen["people"][0]["score"] > 0.9
    assert seen["people"][0]["zones"] == []
    assert first["latency_ms"] >= first["inference_ms"] > 0


def test_the_log_says_which_decoder_runs(tmp_path, broker, settings):
    with Daemon(tmp_path, at(broker, settings)) as daemon:
        eventually(lambda: "decoder: " in daemon.log(), 20)
        described = load_pair("drawings-257x353-16").network.describe(DecodeConfig())
        assert f"decoder: {described}\n" in daemon.log()


def test_state_says_what_runs(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        eventually(lambda: any(state["people"] for state in messages(subscriber, "camera/state")), 20)
        state, camera = messages(subscriber, "state")[-1], messages(subscriber, "camera/state")[-1]
    assert state["cameras"] == {"camera": "ok"}
    assert (camera["camera"], camera["status"], camera["kind"]) == ("camera", "ok", "images")
    assert (camera["width"], camera["height"], camera["sight"]) == (130, 98, None)
    assert (camera["occupied"], camera["paused"], camera["dropped"]) == (True, False, 0)
    assert (state["engine"]["status"], state["engine"]["kind"]) == ("ok", "cpu")
    assert state["engine"]["why"] == "no compiled model for an Edge TPU"
    assert state["model"] == {"name": "red", "stride": 16, "width": 65, "height": 49}
    assert state["spool"] == {"events": 0, "dropped": 0, "durable": True}
    assert state["dropped"] >= 0


@pytest.mark.parametrize(("shape", "threshold"), [(SINGLE, 0.25), (MULTI, 0.1)])
def test_a_movenet_runs_with_thresholds_of_its_own(tmp_path, broker, settings, shape, threshold):
    (tmp_path / "move.tflite").write_bytes(make_movenet(shape, size=None if shape == MULTI else (64, 64)))
    settings["model"] = {"name": str(tmp_path / "move.tflite"), "input_size": 96}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        eventually(lambda: any(state["people"] for state in messages(subscriber, "camera/state")), 20)
        state = messages(subscriber, "state")[-1]
    size = 96 if shape == MULTI else 64
    assert state["model"] == {"name": "move", "stride": 4, "width": size, "height": size}
    assert state["settings"]["decode.keypoint_threshold"] == threshold


def test_state_warns_of_a_drawings_model_before_a_real_camera(tmp_path, broker, settings):
    settings["model"] = {"name": "drawings-257x353-16"}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        eventually(lambda: messages(subscriber, "state"), 20)
        model = messages(subscriber, "state")[-1]["model"]
    assert "trained on drawn people" in model["warning"]
    assert model["warning"] in daemon.log()


def test_opencv_takes_no_cores_from_the_engine(tmp_path, broker, settings):
    settings["engine"] = {"kind": "cpu", "threads": 1}

    def threads(width: int, height: int) -> int:
        cv2.imwrite(str(tmp_path / "pictures/1.png"), np.zeros((height, width, 3), np.uint8))
        before = len(messages(subscriber, "camera/poses"))
        with Daemon(tmp_path, at(broker, settings)) as daemon:
            eventually(lambda: len(messages(subscriber, "camera/poses")) > before + 5, 20)
            return len(list(Path(f"/proc/{daemon.process.pid}/task").iterdir()))

    with Subscriber(broker.port) as subscriber:
        # It would share the work on large pictures alone.
        assert threads(1280, 960) == threads(64, 48)


def test_a_model_of_drawings_is_right_for_drawn_people(tmp_path, broker, settings):
    settings |= {
        "model": {"name": "drawings-257x353-16"},
        "cameras": {"camera": {"kind": "synthetic", "fps": 10}},
    }
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        eventually(lambda: messages(subscriber, "state"), 20)
        assert "warning" not in messages(subscriber, "state")[-1]["model"]


MACHINE = "homeassistant/device/posed_hall/config"
DISCOVERY = "homeassistant/device/posed_hall/camera/config"


def test_it_is_announced_to_home_assistant_when_either_starts(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        eventually(lambda: subscriber.payloads(DISCOVERY), 20)
        eventually(lambda: messages(subscriber, "state"))
        components = json.loads(subscriber.payloads(DISCOVERY)[0])["components"]
        assert {"camera-occupancy", "camera-people", "camera-fall", "camera-pause"} < set(components)
        with Subscriber(broker.port) as late:
            eventually(lambda: late.payloads(DISCOVERY))
            before = subscriber.payloads(f"{TOPIC}/availability")
        subscriber.publish("homeassistant/status", b"online")
        eventually(lambda: len(subscriber.payloads(DISCOVERY)) == 2, 10)
        eventually(lambda: len(subscriber.payloads(f"{TOPIC}/availability")) == 2)
        assert before == [b"online"]


def test_what_a_new_configuration_has_not_is_taken_back(tmp_path, broker, settings):
    zone = deepcopy(settings)
    zone["cameras"]["camera"]["zones"] = {"bed": {"polygon": [[0, 0], [1, 0], [1, 1]]}}
    with Subscriber(broker.port) as subscriber:
        with Daemon(tmp_path, at(broker, zone)) as daemon:
            eventually((tmp_path / "state/posed/announced.json").exists, 20)
            daemon.process.terminate()
            assert daemon.wait() == 0
        with Daemon(tmp_path, at(broker, settings)):
            eventually(lambda: len(subscriber.payloads(DISCOVERY)) == 2, 20)
            components = json.loads(subscriber.payloads(DISCOVERY)[1])["components"]
            assert components["camera-zone_bed_people"] == {"platform": "sensor"}
            eventually(lambda: subscriber.payloads(f"{TOPIC}/camera/zones/bed")[-1] == b"")


def test_state_and_availability_are_retained_and_poses_are_not(tmp_path, broker, settings):
    with Daemon(tmp_path, at(broker, settings)):
        with Subscriber(broker.port) as watcher:
            eventually(lambda: messages(watcher, "camera/poses"), 20)
            eventually(lambda: messages(watcher, "state"))
        with Subscriber(broker.port) as late:
            eventually(lambda: len({message.topic for message in late.messages}) >= 7)
            retained = {message.topic for message in late.messages if message.retain}
    own = {f"{TOPIC}/{name}" for name in ("availability", "state", "camera/state", "camera/fall")}
    assert retained == {MACHINE, DISCOVERY, *own}


def test_somebody_who_comes_is_an_event_and_occupies_a_zone(tmp_path, broker, settings):
    everywhere = [[0, 0], [1, 0], [1, 1], [0, 1]]
    nowhere = [[1, 0.9], [0.9, 0.9], [1, 1]]
    settings["cameras"]["camera"]["zones"] = {"room": {"polygon": everywhere}, "corner": {"polygon": nowhere}}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        eventually(lambda: any(one["people"] for one in messages(subscriber, "camera/zones/room")), 20)
        eventually(
            lambda: {"entered", "zone_entered"} <= {one["type"] for one in messages(subscriber, "events")}
        )
        with Subscriber(broker.port) as late:
            eventually(lambda: messages(late, "camera/zones/room"))
        corner = messages(subscriber, "camera/zones/corner")[-1]
        state = messages(subscriber, "camera/state")[-1]
    room = messages(subscriber, "camera/zones/room")[-1]
    assert (room["zone"], room["occupied"], room["people"]) == (
        "room",
        True,
        len(messages(subscriber, "camera/poses")[-1]["people"]),
    )
    assert (corner["occupied"], corner["people"]) in ((False, 0), (None, None))
    assert "posture" in state


def test_an_earlier_runs_fall_and_its_event_are_published(tmp_path, broker, settings):
    settings["people"] = {"presence": False, "postures": False}  # no other events
    store = Store(spool_file(environment(tmp_path)))
    store.open()
    fallen = StoredEvent("01A", lasts=True, added=Moment.now(), payload=b'{"id": "01A"}')
    store.write([fallen], (), [Fall("01A", 0, "8f3a", 7, "kitchen", "camera")])
    store.close()
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        eventually(lambda: messages(subscriber, "events") == [{"id": "01A"}], 20)
        eventually(lambda: messages(subscriber, "camera/fall"))
        fall = messages(subscriber, "camera/fall")[-1]
    assert (fall["fallen"], fall["since"]) == (True, "1970-01-01T00:00:00.000Z")
    assert (fall["event"], fall["zone"]) == ("01A", "kitchen")


def test_a_fall_and_who_is_down_survive_a_killed_daemon(tmp_path, broker, settings):
    path = film(tmp_path / "fall.avi", falling(), 9)
    settings |= {
        "cameras": {"camera": {"kind": "video", "source": str(path), "realtime": False}},
        "model": {"name": "drawings-257x353-16"},
        "people": {"fall_confirm_s": 2},
    }
    state = spool_file(environment(tmp_path)).parent
    state.mkdir(parents=True)
    (state / "falls.json").write_text('{"falls": {"next": 2, "downs": []}, "ids": {}}')
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        eventually(lambda: "fall" in {event["type"] for event in messages(subscriber, "events")}, 60)
        daemon.process.kill()
        daemon.wait()
        (fallen,) = (event["id"] for event in messages(subscriber, "events") if event["type"] == "fall")
    store = Store(spool_file(environment(tmp_path)))
    contents = store.open()
    store.close()
    scene = json.loads(contents.scenes["camera"])
    assert [fall.event for fall in contents.falls] == list(scene["ids"].values()) == [fallen]
    assert [down["confirmed"] for down in scene["falls"]["downs"]] == [True]
    assert not (state / "falls.json").exists()
    assert daemon.log().count("falls.json") == 1


def ask(subscriber: Subscriber, verb: str, payload: bytes) -> dict[str, Any]:
    """The response to a request to a daemon that is online."""
    subscriber.wait_for(f"{TOPIC}/availability", b"online", 20)
    before = len(messages(subscriber, f"response/{verb}"))
    subscriber.publish(f"{TOPIC}/request/{verb}", payload)
    eventually(lambda: len(messages(subscriber, f"response/{verb}")) > before)
    return messages(subscriber, f"response/{verb}")[-1]


def test_info_says_what_runs(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        response = ask(subscriber, "info", b'{"transaction": "abc"}')
        assert (response["transaction"], response["status"]) == ("abc", "ok")
        jsonschema.validate(response["data"], msgspec.json.schema(Info))
        assert response["data"]["verbs"] == [
            *("clear_fall", "health", "info", "log_level", "pause", "record", "restart"),
            *("resume", "set", "snapshot", "test_event"),
        ]


def test_clear_fall_ends_every_fall_or_the_one_named(tmp_path, broker, settings):
    settings["people"] = {"presence": False, "postures": False}  # no other events
    store = Store(spool_file(environment(tmp_path)))
    store.open()
    store.write([], (), [Fall(name, 0, "8f3a", 7, None, "camera") for name in ("01A", "01B", "01C")])
    store.close()
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        one = ask(subscriber, "clear_fall", b'{"event": "01B"}')["data"]["cameras"]["camera"]["events"]
        eventually(lambda: messages(subscriber, "events"))
        assert [event["detail"]["fall"] for event in messages(subscriber, "events")] == ["01B"]
        subscriber.publish(f"{TOPIC}/request/clear_fall")
        eventually(lambda: len(messages(subscriber, "response/clear_fall")) == 2)
        rest = messages(subscriber, "response/clear_fall")[-1]["data"]["cameras"]["camera"]["events"]
        eventually(lambda: len(messages(subscriber, "events")) == 3)
        eventually(lambda: not messages(subscriber, "camera/fall")[-1]["fallen"])
        assert [event["id"] for event in messages(subscriber, "events")] == [*one, *rest]


def test_clear_fall_of_a_fall_that_is_none_is_refused(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        response = ask(subscriber, "clear_fall", b'{"event": "01X"}')
    assert response["error"] == "event: must be that of a fall that is not over, got '01X'"


def test_a_test_event_goes_the_whole_way_and_is_marked(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        sent = ask(subscriber, "test_event", b'{"type": "fall"}')["data"]["cameras"]["camera"]["event"]

        def arrived() -> list[dict[str, Any]]:
            return [event for event in messages(subscriber, "events") if event["id"] == sent]

        eventually(arrived)
        assert (arrived()[0]["type"], arrived()[0]["detail"]) == ("fall", {"test": True})
        assert not messages(subscriber, "camera/fall")[-1]["fallen"]


def test_no_request_stops_it(tmp_path, broker, settings):
    garbage = (b"\xff\xfe", b"{", b"[" * 60000, b'{"type": []}', b'{"transaction": 1}', b"x" * 100_000)
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        subscriber.wait_for(f"{TOPIC}/availability", b"online", 20)
        for payload in garbage:
            subscriber.publish(f"{TOPIC}/request/test_event", payload)
        assert ask(subscriber, "info", b"")["status"] == "ok"
        assert {one["status"] for one in messages(subscriber, "response/test_event")} == {"error"}
        assert daemon.stop() == 0


def test_a_storm_of_signals_ends_it_as_well_as_one(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        subscriber.wait_for(f"{TOPIC}/availability", b"online", 20)
        while daemon.process.poll() is None:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                daemon.process.send_signal(number)
            time.sleep(0.001)
        assert daemon.process.returncode == 0
        # It may be on its way still, or come from the broker as the last will.
        eventually(lambda: subscriber.payloads(f"{TOPIC}/availability")[-1] == b"offline")


def test_an_unusable_state_folder_is_said_and_survived(tmp_path, broker, settings):
    (tmp_path / "state").write_text("a file")
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        eventually(lambda: messages(subscriber, "state"), 20)
        spool = messages(subscriber, "state")[-1]["spool"]
        assert daemon.stop() == 0
    assert not spool["durable"]
    assert spool["why"].endswith("posed/spool.sqlite: Not a directory")
    assert "events are kept in memory only" in daemon.log()


def test_a_running_daemon_gives_a_picture_pauses_and_takes_settings(tmp_path, broker, settings):
    settings["privacy"] = {"pictures": "full"}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)):
        eventually(lambda: any(state["people"] for state in messages(subscriber, "camera/state")), 20)
        taken = ask(subscriber, "snapshot", b"")["data"]["cameras"]["camera"]
        (picture,) = subscriber.payloads(f"{TOPIC}/camera/snapshot")
        assert len(picture) == taken["bytes"]
        assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (98, 130, 3)
        assert ask(subscriber, "pause", b"")["data"]["cameras"] == {"camera": {"paused": True}}
        eventually(lambda: messages(subscriber, "camera/state")[-1]["status"] == "paused")
        state = messages(subscriber, "camera/state")[-1]
        assert (state["paused"], state["people"], state["occupied"]) == (True, None, None)
        paused_after = messages(subscriber, "camera/poses")[-1]["sequence"]
        ask(subscriber, "set", b'{"settings": {"mqtt.poses.publish": "off", "decode.max_people": 3}}')
        assert ask(subscriber, "resume", b"")["data"]["cameras"] == {"camera": {"paused": False}}
        eventually(lambda: messages(subscriber, "camera/state")[-1]["people"])
        assert messages(subscriber, "camera/state")[-1]["settings"]["decode.max_people"] == 3
        assert messages(subscriber, "camera/poses")[-1]["sequence"] <= paused_after


def test_a_restart_on_request_is_a_new_run(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        ended = ask(subscriber, "restart", b"")["data"]["run"]
        eventually(
            lambda: subscriber.payloads(f"{TOPIC}/availability") == [b"online", b"offline", b"online"], 20
        )
        eventually(lambda: messages(subscriber, "state")[-1]["run"] != ended)
        assert daemon.process.poll() is None


def test_what_the_broker_keeps_of_people_ends_with_the_daemon(tmp_path, broker, settings):
    settings["cameras"]["camera"]["zones"] = {"room": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}}
    with Daemon(tmp_path, at(broker, settings)) as daemon:
        with Subscriber(broker.port) as subscriber:
            eventually(lambda: any(one["people"] for one in messages(subscriber, "camera/zones/room")), 20)
            daemon.process.terminate()
            subscriber.wait_for(f"{TOPIC}/availability", b"offline")
            ending = [message.topic.removeprefix(f"{TOPIC}/") for message in subscriber.messages]
        with Subscriber(broker.port) as late:
            eventually(lambda: len({message.topic for message in late.messages}) >= 7)
            state, room = messages(late, "camera/state")[-1], messages(late, "camera/zones/room")[-1]
    assert (state["people"], state["occupied"], state["posture"], room["people"]) == (None, None, None, None)
    assert (state["status"], state["why"]) == ("waiting", "stopped")
    assert ending[-1] == "availability"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_offline_and_status_0(tmp_path, broker, settings, number):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        eventually(lambda: messages(subscriber, "camera/poses"), 20)
        assert daemon.stop(number) == 0
        subscriber.wait_for(f"{TOPIC}/availability", b"offline")
    assert "Traceback" not in daemon.log()


def test_it_stops_with_status_0_while_the_broker_is_away(tmp_path, settings):
    settings["mqtt"]["port"] = free_port()
    with Daemon(tmp_path, settings) as daemon:
        eventually(lambda: "refused" in daemon.log(), 20)
        assert daemon.stop() == 0


def test_a_daemon_that_dies_is_offline_by_its_will(tmp_path, broker, settings):
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        eventually(lambda: messages(subscriber, "camera/poses"), 20)
        daemon.process.kill()
        subscriber.wait_for(f"{TOPIC}/availability", b"offline")


def test_a_broker_that_comes_later_is_found(tmp_path, broker, settings):
    broker.stop()
    with Daemon(tmp_path, at(broker, settings)) as daemon:
        eventually(lambda: "refused" in daemon.log(), 20)
        broker.start()
        with Subscriber(broker.port) as subscriber:
            eventually(lambda: messages(subscriber, "camera/poses"), 20)
            eventually(lambda: messages(subscriber, "state"))
            assert messages(subscriber, "state")[-1]["dropped"] > 0


def test_a_broker_that_restarts_is_told_everything_again(tmp_path, broker, settings):
    with Daemon(tmp_path, at(broker, settings)) as daemon:
        with Subscriber(broker.port) as subscriber:
            eventually(lambda: messages(subscriber, "camera/poses"), 20)
        broker.restart()
        with Subscriber(broker.port) as subscriber:
            eventually(lambda: messages(subscriber, "camera/poses"), 20)
            eventually(lambda: messages(subscriber, "state"))
            assert b"online" in subscriber.payloads(f"{TOPIC}/availability")
        assert daemon.process.poll() is None


def lasted_s(poses: list[dict[str, Any]]) -> float:
    """From the first of the messages to the last."""
    times = [datetime.fromisoformat(message["time"]) for message in poses]
    return (times[-1] - times[0]).total_seconds() if times else 0.0


def test_of_two_daemons_with_one_name_the_younger_gives_way(tmp_path, broker, settings):
    (tmp_path / "other").mkdir()
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as older:
        # Of daemons that start within 3.5 s of each other, chance may decide which one is the older.
        eventually(lambda: lasted_s(messages(subscriber, "camera/poses")) > 3.5, 60)
        run = messages(subscriber, "camera/poses")[0]["run"]
        with Daemon(tmp_path / "other", at(broker, settings)) as younger:
            eventually(lambda: "was there before: give one of them another `device`" in younger.log(), 60)
            said = len(messages(subscriber, "camera/poses"))
            eventually(lambda: len(messages(subscriber, "camera/poses")) > said + 40, 60)
            assert {one["run"] for one in messages(subscriber, "camera/poses")[-30:]} == {run}
            eventually(lambda: older.log().splitlines()[-1].endswith("connected with MQTT 5"), 60)
            assert subscriber.payloads(f"{TOPIC}/availability")[-1] == b"online"
            assert younger.process.poll() is None


def test_a_wrong_password_is_said_and_survived(tmp_path, settings):
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder, users={"posed": "right"}) as broker:
        settings["mqtt"] |= {"port": broker.port, "username": "posed", "password": "wr0ng-c4nary"}
        with Daemon(tmp_path, settings) as daemon:
            eventually(lambda: "not authori" in daemon.log().lower(), 20)
            assert daemon.process.poll() is None
            assert daemon.stop() == 0
    assert "wr0ng-c4nary" not in daemon.log()


def test_the_daemon_ends_after_the_last_frame_of_a_recording(tmp_path, broker, settings):
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (130, 98))
    for _ in range(25):
        writer.write(np.full((98, 130, 3), (0, 0, 255), np.uint8))
    writer.release()
    settings["cameras"] = {"camera": {"kind": "video", "source": str(path), "realtime": False}}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        assert daemon.wait() == 0
        subscriber.wait_for(f"{TOPIC}/availability", b"offline")
        assert [message["sequence"] for message in messages(subscriber, "camera/poses")] == list(range(25))


def test_a_recording_tells_the_same_events_at_any_speed(tmp_path, broker, settings):
    path = film(tmp_path / "fall.avi", falling(), 9)
    room = {"room": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}}
    settings["cameras"] = {"camera": {"kind": "video", "source": str(path), "realtime": False, "zones": room}}
    settings["model"] = {"name": "drawings-257x353-16"}
    settings["people"] = {
        "fall_confirm_s": 2,
    }

    def played(name: str, *, halting: bool) -> list[dict[str, Any]]:
        """All events, less what every run has of its own."""
        folder = tmp_path / name
        folder.mkdir()
        with Subscriber(broker.port) as subscriber, Daemon(folder, at(broker, settings)) as daemon:
            status = halting_until_it_ends(daemon) if halting else daemon.wait(240)
            assert status == 0, daemon.log()
            subscriber.wait_for(f"{TOPIC}/availability", b"offline")
            events = messages(subscriber, "events")
        own = {"id", "run", "time"}
        return [{key: value for key, value in one.items() if key not in own} for one in events]

    at_full_speed = played("full", halting=False)
    assert played("half", halting=True) == at_full_speed
    assert {"entered", "zone_entered", "posture", "fall"} <= {one["type"] for one in at_full_speed}


def halting_until_it_ends(daemon: Daemon) -> int:
    """Let a daemon run only half of the time; its exit status."""
    assert daemon.process is not None
    while True:
        try:
            return daemon.process.wait(0.05)
        except subprocess.TimeoutExpired:
            daemon.process.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            daemon.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(("idle_fps", "expected"), [(1, range(10, 41)), (0, range(45, 61))])
def test_an_empty_scene_is_processed_at_the_idle_rate(tmp_path, broker, settings, idle_fps, expected):
    """Six seconds of nothing at 10 frames per second; the first two are not idle yet."""
    path = tmp_path / "black.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (130, 98))
    for _ in range(60):
        writer.write(np.zeros((98, 130, 3), np.uint8))
    writer.release()
    settings |= {
        "cameras": {"camera": {"kind": "video", "source": str(path)}},
        "engine": {"idle_fps": idle_fps},
    }
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        assert daemon.wait() == 0
        subscriber.wait_for(f"{TOPIC}/availability", b"offline")
        assert len(messages(subscriber, "camera/poses")) in expected


def test_who_enters_an_idle_scene_is_seen_in_every_frame(tmp_path, broker, settings):
    """Four seconds of nothing at 10 frames per second, the last two of them idle; then two of somebody."""
    path = tmp_path / "enters.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (130, 98))
    for number in range(60):
        writer.write(np.full((98, 130, 3), (0, 0, 0 if number < 40 else 255), np.uint8))
    writer.release()
    settings |= {"cameras": {"camera": {"kind": "video", "source": str(path)}}, "engine": {"idle_fps": 0.5}}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        assert daemon.wait() == 0
        subscriber.wait_for(f"{TOPIC}/availability", b"offline")
        occupied = [bool(one["people"]) for one in messages(subscriber, "camera/poses")]
    assert occupied.count(False) <= 30
    assert occupied.count(True) >= 12


def test_a_missing_camera_is_waited_for_and_said_in_state(tmp_path, broker, settings):
    settings["cameras"] = {"camera": {"kind": "video", "source": "/dev/video77"}}
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
        eventually(lambda: any("why" in state for state in messages(subscriber, "camera/state")), 20)
        eventually(lambda: "/dev/video77" in messages(subscriber, "camera/state")[-1].get("why", ""))
        state = messages(subscriber, "camera/state")[-1]
        assert (state["status"], state["people"], state["occupied"]) == ("waiting", None, None)
        assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("change", "status", "line"),
    [
        ({"cameras": {"camera": {"kind": "images", "source": "/nowhere"}}}, 4, "/nowhere"),
        ({"cameras": {"camera": {"kind": "video", "source": "/nowhere.mp4"}}}, 4, "/nowhere.mp4"),
        ({"cameras": {"camera": {"kind": "picamera2"}}}, 4, "picamera2"),
        ({"model": {"name": "/nowhere.tflite"}}, 3, "/nowhere.tflite"),
        ({"model": {"name": "coral-353x481"}}, 3, "posed model pull coral-353x481"),
        ({"engine": {"kind": "edgetpu"}}, 5, "must be compiled for the Edge TPU"),
        (
            {"cameras": {"camera": {"kind": "video", "source": "a" * 300}}},
            4,
            "cameras.camera.source: cannot be opened",
        ),
        ({"cameras": {"camera": {"fps": 0}}}, 2, "cameras.camera.fps: must be at least 1, got 0"),
    ],
)
def test_what_can_never_work_ends_with_one_line_and_status(tmp_path, settings, change, status, line):
    with Daemon(tmp_path, settings | change | {"log": {"level": "error"}}) as daemon:
        assert daemon.wait() == status
    (said,) = daemon.log().splitlines()
    assert line in said


def test_an_edge_tpu_that_comes_later_is_used(tmp_path, broker, settings, shared):
    """The stand-in behind the real delegate, with one of Coral's compiled models."""
    control = tmp_path / "plugged-in"
    name = "posenet_mobilenet_v1_075_353_481_16_quant_decoder_edgetpu.tflite"
    settings |= {"model": {"name": str(shared / "models" / name)}, "engine": {"kind": "edgetpu"}}
    heads = tmp_path / "heads"
    heads.write_bytes(bytes(23 * 31 * (17 + 34 + 64)))
    more = built().environment(Behaviour(heads=heads, device=control))
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, at(broker, settings), more),
    ):
        eventually(lambda: any("why" in state["engine"] for state in messages(subscriber, "state")), 20)
        eventually(lambda: messages(subscriber, "state")[-1]["engine"]["status"] == "waiting", 20)
        control.touch()
        eventually(lambda: messages(subscriber, "state")[-1]["engine"]["status"] == "ok", 20)
        eventually(lambda: messages(subscriber, "camera/poses"))
        control.unlink()
        eventually(lambda: messages(subscriber, "state")[-1]["engine"]["status"] == "waiting", 20)
        control.touch()
        eventually(lambda: messages(subscriber, "state")[-1]["engine"]["status"] == "ok", 20)
        assert messages(subscriber, "state")[-1]["engine"]["kind"] == "edgetpu"


def test_a_mirrored_picture_keeps_left_and_right_the_persons_own(tmp_path, broker, settings, shared):
    """On a photograph: mirrored, everybody is found at the mirrored place under the same names."""
    model = shared / "models" / "posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"
    picture = shared / "testdata" / "couple_640x480.bmp"
    found = []
    for mirror in (False, True):
        settings |= {
            "cameras": {"camera": {"kind": "images", "source": str(picture), "mirror": mirror, "loop": True}},
            "decode": {},
            "model": {"name": str(model)},
        }
        with Subscriber(broker.port) as subscriber, Daemon(tmp_path, at(broker, settings)) as daemon:
            eventually(lambda: any(one["people"] for one in messages(subscriber, "camera/poses")), 20)
            found.append(next(one["people"] for one in messages(subscriber, "camera/poses") if one["people"]))
            assert daemon.stop() == 0
    plain, mirrored = ([_shoulders(person) for person in people] for people in found)
    assert len(plain) == 2
    for (left, right), (mirrored_left, mirrored_right) in zip(
        sorted(plain), sorted(mirrored)[::-1], strict=True
    ):
        assert 639 - mirrored_left == pytest.approx(left, abs=8)
        assert 639 - mirrored_right == pytest.approx(right, abs=8)
        assert left > right  # they face us


@pytest.mark.parametrize("dark", [True, False])
def test_whether_a_frame_is_dark_is_recorded_and_counts(tmp_path, settings, monkeypatch, dark):
    published: dict[str, bytes] = {}
    monkeypatch.setattr(
        MqttClient, "publish", lambda _, topic, payload, **how: published.update({topic: payload}) is None
    )
    config, own = Config.model_validate(settings), {"STATE_DIRECTORY": str(tmp_path / "state")}
    daemon = posed_daemon.Daemon(config, environment=own)
    scene = daemon.channels[CAMERA].scene
    counted, update = [], scene.update
    monkeypatch.setattr(
        scene, "update", lambda *frame, **how: counted.append(how["dark"]) or update(*frame, **how)
    )
    daemon.control.requests.answer("record", b'{"seconds": 5}')
    image, stages = np.zeros((17, 33, 3), np.uint8), StageTimings()
    with stages.time("invoke"):
        heads = FakeEngine().infer(image)
    frame, letterbox = Frame(image, 0, 1, 1, 1), Letterbox((33, 17), (33, 17))
    daemon.process(Inferred(frame, letterbox, heads, stages, dark=dark, camera=CAMERA))
    assert json.loads(published[f"{TOPIC}/camera/recording"])["dark"] is dark
    assert counted == [dark]


def _shoulders(person: dict[str, Any]) -> tuple[float, float]:
    return person["keypoints"]["left_shoulder"]["x"], person["keypoints"]["right_shoulder"]["x"]
