"""The whole daemon on an AI Camera of our own, whose sensor runs Coral's PoseNet."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from scripts.standins.edgetpu import Behaviour
from tests.ai_camera_standin import MODEL, Worlds, variables
from tests.brokers import Mosquitto, Subscriber, eventually
from tests.run_posed import Daemon
from tests.standin import built
from tests.test_daemon import ask, at, messages


@pytest.fixture
def world(tmp_path: Path) -> Worlds:
    """Makes what the camera sees; it has its network."""
    worlds = Worlds(tmp_path / "world.json")
    worlds.loaded.touch()
    return worlds


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    """With an AI Camera alone, and no model for an engine."""
    own = {"cameras": {"hall": {"kind": "imx500"}}, "model": {"name": "coral-353x481"}, "decode": {}}
    return settings | own


@pytest.fixture
def couple(shared: Path) -> dict[str, Any]:
    return {"picture": str(shared / "testdata/couple_640x480.bmp"), "model": str(shared / "models" / MODEL)}


def people_of(subscriber: Subscriber) -> list[int]:
    return [len(one["people"]) for one in messages(subscriber, "hall/poses")]


def test_people_are_seen_without_engine_and_model(
    tmp_path: Path, broker: Mosquitto, settings: dict[str, Any], world: Worlds, couple: dict[str, Any]
) -> None:
    world(**couple)
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, at(broker, settings), variables(tmp_path)) as daemon,
    ):
        eventually(lambda: people_of(subscriber)[-1:] == [2], 40)
        poses = messages(subscriber, "hall/poses")[-1]
        eventually(lambda: messages(subscriber, "hall/state")[-1]["people"] == 2)
        state, camera = messages(subscriber, "state")[-1], messages(subscriber, "hall/state")[-1]
        assert daemon.stop() == 0
    assert (poses["frame"], poses["inference_ms"]) == ({"width": 482, "height": 362}, 15)
    assert (camera["status"], camera["kind"], camera["sight"]) == ("ok", "imx500", "ok")
    engine = state["engine"]
    assert (engine["status"], engine["kind"], engine["device"]) == ("ok", "imx500", "in the camera")
    assert engine["why"].startswith("the network runs in the camera; rotated crops: left out, ")
    assert "posed model pull coral-353x481" in engine["why"]
    assert state["model"] == {"name": "imx500_network_posenet", "stride": 16, "width": 481, "height": 353}


def test_a_network_that_gets_in_is_waited_for(
    tmp_path: Path, broker: Mosquitto, settings: dict[str, Any], world: Worlds
) -> None:
    world.loaded.unlink()
    world(upload_s=13)
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, at(broker, settings), variables(tmp_path)) as daemon,
    ):
        why = "starting: Pi camera 0: takes its network in, minutes the first time, 10 s so far"
        eventually(lambda: any(one.get("why") == why for one in messages(subscriber, "hall/state")), 40)
        assert messages(subscriber, "hall/state")[-1]["status"] == "waiting"
        assert not world.loaded.exists(), "all this while it is under way"
        eventually(lambda: messages(subscriber, "hall/poses"), 40)
        eventually(lambda: messages(subscriber, "hall/state")[-1]["status"] == "ok")
        assert daemon.stop() == 0
    assert "WARNING" not in daemon.log()


def good_poses(line: dict[str, Any]) -> int:
    """How many of the poses in a line of a recording are good ones; lying, hardly any is."""
    return sum(pose["score"] > 0.7 for pose in line.get("poses", []))


def test_who_lies_is_found_in_crops_by_the_cpu(
    tmp_path: Path, broker: Mosquitto, settings: dict[str, Any], world: Worlds, couple: dict[str, Any]
) -> None:
    upright = cv2.imread(couple["picture"])
    lying = np.full_like(upright, 120)
    lying[:, 140:500] = cv2.resize(np.rot90(upright), (360, 480))
    cv2.imwrite(str(tmp_path / "lying.png"), lying)
    world(picture=str(tmp_path / "lying.png"), model=couple["model"], fps=3)
    model = tmp_path / "net.tflite"
    shutil.copy(couple["model"], model)
    settings |= {"model": {"name": str(model)}, "engine": {"kind": "cpu"}}
    settings |= {"people": {"look_turned_share": 0.5, "look_turned_s": 1}}
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, at(broker, settings), variables(tmp_path)) as daemon,
    ):
        assert ask(subscriber, "record", b'{"seconds": 60}')["status"] == "ok"
        eventually(lambda: 2 in map(good_poses, messages(subscriber, "hall/recording")), 60)
        engine = messages(subscriber, "state")[-1]["engine"]
        assert daemon.stop() == 0
    assert engine["kind"] == "imx500"
    assert engine["why"].startswith("the network runs in the camera; rotated crops: cpu, ")


def test_a_coral_for_crops_may_be_away(
    tmp_path: Path, broker: Mosquitto, settings: dict[str, Any], world: Worlds, couple: dict[str, Any]
) -> None:
    """And so may its library; here people get crops all the time, and nothing ends."""
    world(**couple)
    compiled = couple["model"].replace(".tflite", "_edgetpu.tflite")
    settings |= {"model": {"name": compiled}, "engine": {"kind": "edgetpu"}}
    settings |= {"people": {"look_turned_share": 0.5, "look_turned_s": 1}}
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, at(broker, settings), variables(tmp_path)) as daemon,
    ):
        eventually(lambda: len(people_of(subscriber)) > 40 and people_of(subscriber)[-1] == 2, 40)
        engine = messages(subscriber, "state")[-1]["engine"]
        assert daemon.stop() == 0
    assert (engine["status"], engine["kind"]) == ("ok", "imx500")
    assert "rotated crops: left out, " in engine["why"]


def test_a_camera_goes_on_while_the_others_engine_is_away(
    tmp_path: Path, broker: Mosquitto, settings: dict[str, Any], world: Worlds, couple: dict[str, Any]
) -> None:
    world(**couple)
    settings["cameras"] |= {"bedroom": {"kind": "synthetic"}}
    compiled = couple["model"].replace(".tflite", "_edgetpu.tflite")
    settings |= {"model": {"name": compiled}, "engine": {"kind": "edgetpu"}}
    (tmp_path / "heads").write_bytes(bytes(23 * 31 * (17 + 34 + 64)))
    absent = Behaviour(heads=tmp_path / "heads", device=tmp_path / "plugged-in")
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, at(broker, settings), variables(tmp_path) | built().environment(absent)) as daemon,
    ):
        eventually(lambda: people_of(subscriber)[-1:] == [2], 40)
        eventually(lambda: messages(subscriber, "state")[-1]["engine"]["status"] == "waiting", 40)
        eventually(lambda: messages(subscriber, "hall/state")[-1]["people"] == 2)
        assert not messages(subscriber, "bedroom/poses")
        assert daemon.stop() == 0


def test_a_sensor_that_stops_is_opened_again(
    tmp_path: Path, broker: Mosquitto, settings: dict[str, Any], world: Worlds
) -> None:
    world(stops_after=20)
    settings["cameras"]["hall"]["timeout_s"] = 1
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, at(broker, settings), variables(tmp_path)) as daemon,
    ):
        why = "Pi camera 0: must give what its network says within 1 s, got pictures without it"
        eventually(lambda: any(one.get("why") == why for one in messages(subscriber, "hall/state")), 40)
        before = len(messages(subscriber, "hall/poses"))
        eventually(lambda: len(messages(subscriber, "hall/poses")) > before, 20)
        assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"shapes": [[144, 192, 17]]}, "Pi camera 0: its network must give 23×31×17, 23×31×34, 23×31×64"),
        ({"models": ["imx708"]}, None),
        ({"fails": "import"}, "cameras.hall.kind: imx500 needs `apt install imx500-all`, got: No module"),
    ],
)
def test_what_can_never_work_ends_with_one_line(
    tmp_path: Path, settings: dict[str, Any], world: Worlds, fault: dict[str, Any], said: str | None
) -> None:
    world(**fault)
    if said is None:
        settings["cameras"]["hall"]["source"] = "0"
        said = "cameras.hall.source: must be an AI Camera (imx500) for kind imx500, got camera 0, imx708"
    changed = settings | {"log": {"level": "error"}}
    with Daemon(tmp_path, changed, variables(tmp_path)) as daemon:
        assert daemon.wait() == 4
    [line] = daemon.log().splitlines()
    assert said in line
