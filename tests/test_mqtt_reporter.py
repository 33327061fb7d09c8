"""What is published of a camera's frames, and how often."""

from __future__ import annotations

import numpy as np
import pytest

from posed.config import Config, MqttPosesConfig
from posed.errors import RequestError
from posed.frame import Frame
from posed.messages.structs import Sender
from posed.messages.topics import Topics
from posed.mqtt.reporter import POSES_EXPIRY_S, MachineReporter, Reporter
from posed.people.events import TrackedPerson
from posed.pipeline.frame_rate import Took
from posed.pipeline.stage_timings import StageTimings
from scripts.standins.messages import camera_state, state
from tests.broker_fake import FakeBroker, Published
from tests.performers import posing

CONFIG = Config(device="hall")
FRAME = Frame(np.zeros((48, 64, 3), np.uint8), 7, 1.0, 1.0, 1_800_000_000.0)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def reporter(broker: FakeBroker) -> Reporter:
    topics = Topics.of(CONFIG).camera("door")
    return Reporter(Sender("hall", "run-1"), "door", topics, broker, MqttPosesConfig())


def report(reporter: Reporter, *people: TrackedPerson) -> StageTimings:
    stages = StageTimings()
    reporter.poses(FRAME, people, 0.2, Took(12.5, 20.25), stages, now=1.0)
    return stages


def test_poses_say_whose_they_are_and_what_they_took(broker):
    stages = report(reporter(broker), TrackedPerson(posing("stand", 0.5), "standing", 1.0, ("bed",)))
    (published,) = broker.messages
    message = published.json
    assert published == Published("posed/hall/door/poses", published.payload, expiry_s=POSES_EXPIRY_S)
    assert (message["device"], message["camera"], message["run"]) == ("hall", "door", "run-1")
    assert message["sequence"] == 7
    assert (message["inference_ms"], message["latency_ms"]) == (12.5, 20.25)
    assert message["frame"] == {"width": 64, "height": 48}
    assert message["people"][0]["zones"] == ["bed"]
    assert set(stages.wall_s) == {"encode", "publish"}


def test_poses_go_out_as_often_as_the_settings_say(broker):
    publishing = reporter(broker)
    publishing.configure(MqttPosesConfig(publish="off"))
    report(publishing, TrackedPerson(posing("stand", 0.5), "standing", 1.0, ()))
    assert broker.messages == []
    publishing.configure(MqttPosesConfig())
    report(publishing)
    assert broker.topics() == ["posed/hall/door/poses"]


def test_states_of_camera_and_machine_go_to_their_own_topics(broker):
    assert reporter(broker).state(camera_state)
    machine = MachineReporter(Topics.of(CONFIG), broker)
    assert machine.state(state)
    machine.online()
    assert [(message.topic, message.qos, message.retain) for message in broker.messages] == [
        ("posed/hall/door/state", 1, True),
        ("posed/hall/state", 1, True),
        ("posed/hall/availability", 1, True),
    ]


def test_zones_are_told_again_only_when_they_change(broker):
    publishing = reporter(broker)
    for counts in ({"bed": 1, "door": 0}, {"bed": 1, "door": 0}, {"bed": 1, "door": None}):
        assert publishing.zones(counts)
    assert [(message.topic, message.json["people"]) for message in broker.messages] == [
        ("posed/hall/door/zones/bed", 1),
        ("posed/hall/door/zones/door", 0),
        ("posed/hall/door/zones/door", None),
    ]
    assert all((message.qos, message.retain) == (1, True) for message in broker.messages)


def test_a_broker_that_lost_its_memory_gets_everything_again(broker):
    publishing = reporter(broker)
    publishing.zones({"bed": 1})
    publishing.again()
    publishing.zones({"bed": 1})
    assert len(broker.messages) == 2


def test_a_full_queue_is_said(broker):
    broker.full = True
    assert not reporter(broker).zones({"bed": 1, "door": 1})
    with pytest.raises(RequestError, match="too much is waiting for the broker"):
        reporter(broker).picture(FRAME.image)


def test_what_is_never_taken_is_not_tried_at_once(broker):
    broker.max_bytes = 100
    publishing = reporter(broker)
    assert publishing.zones({"bed": 1})
    with pytest.raises(RequestError, match=r"^snapshot: has \d+ bytes, more than the broker takes$"):
        publishing.picture(FRAME.image)
    broker.max_bytes = None
    assert publishing.zones({"bed": 1})
    assert broker.messages == []


def test_a_picture_is_a_jpeg_and_not_retained(broker):
    size = reporter(broker).picture(FRAME.image)
    (message,) = broker.messages
    assert message == Published("posed/hall/door/snapshot", message.payload)
    assert len(message.payload) == size
    assert message.payload.startswith(b"\xff\xd8")
