"""Reports what comes of a camera's frames, and how the machine does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from posed.config import MqttPosesConfig
from posed.drawing.privacy import jpeg
from posed.errors import RequestError
from posed.frame import Frame, Image
from posed.messages.reports import poses_message, zone_message
from posed.messages.structs import CameraState, Sender, State, encode, tracked_messages
from posed.messages.topics import CameraTopics, Topics
from posed.mqtt.broker import Broker, PublishResult
from posed.mqtt.client import ONLINE
from posed.mqtt.retained import RetainedPublisher
from posed.people.events import TrackedPerson
from posed.pipeline.frame_rate import Took
from posed.pipeline.poses_filter import PosesFilter
from posed.pipeline.stage_timings import StageTimings

STATE_SPACING_S: Final = 1.0
"""`state` is published this often at most, s."""

POSES_EXPIRY_S: Final = 5
"""Poses that could not be delivered for so long are of no use any more, s."""


class Reporter:
    """Publishes what the subscribers of one camera receive.

    Args:
        sender: who speaks.
        camera: its name.
        topics: of the camera.
        broker: takes the messages.
        config: which poses are worth publishing.
    """

    def __init__(
        self, sender: Sender, camera: str, topics: CameraTopics, broker: Broker, config: MqttPosesConfig
    ) -> None:
        self._sender = sender
        self._camera = camera
        self._topics = topics
        self._broker = broker
        self._filter = PosesFilter(config)
        self._retained = RetainedPublisher(broker)

    def configure(self, config: MqttPosesConfig) -> None:
        """Go on with another choice of poses."""
        self._filter.config = config

    def again(self) -> None:
        """Publish all that the broker retains once more; from any thread."""
        self._retained.again()

    def poses(  # noqa: PLR0913, PLR0917 - what belongs to a frame
        self,
        frame: Frame,
        people: Sequence[TrackedPerson],
        threshold: float,
        took: Took,
        stages: StageTimings,
        now: float,
    ) -> None:
        """Publish everybody in a frame, if it is worth publishing.

        Args:
            frame: where they are.
            people: everybody of whom something is visible.
            threshold: from which score on a keypoint is visible.
            took: how long it took until they were known.
            stages: takes what that costs.
            now: monotonic time, s.
        """
        if not self._filter.wants(len(people), now):
            return
        with stages.time("encode"):
            message = poses_message(
                self._sender,
                self._camera,
                sequence=frame.sequence,
                time_s=frame.time,
                shape=frame.image.shape,
                people=tracked_messages(people, threshold),
                inference_ms=took.inference_ms,
                latency_ms=took.latency_ms,
            )
            payload = encode(message)
        with stages.time("publish"):
            self._broker.publish(self._topics.poses, payload, expiry_s=POSES_EXPIRY_S)

    def state(self, make: Callable[[], CameraState]) -> bool:
        """Publish the state that `make` returns, if it is new or due; False if the broker's queue is full."""
        return self._retained.publish(self._topics.state, make, STATE_SPACING_S)

    def zones(self, counts: Mapping[str, int | None]) -> bool:
        """Publish what is new or due of how many people are in each zone; False if the queue is full."""
        taken = [
            self._retained.publish(
                self._topics.zone(zone), partial(zone_message, self._sender, self._camera, zone, people)
            )
            for zone, people in counts.items()
        ]
        return all(taken)

    def picture(self, image: Image) -> int:
        """Publish a picture; how many bytes it has.

        Raises:
            RequestError: the broker's queue is full, or the picture is larger than the broker takes.
        """
        payload = jpeg(image)
        match self._broker.publish(self._topics.snapshot, payload):
            case PublishResult.NOT_NOW:
                raise RequestError("snapshot: too much is waiting for the broker")
            case PublishResult.TOO_LARGE:
                raise RequestError(f"snapshot: has {len(payload)} bytes, more than the broker takes")
        return len(payload)


class MachineReporter:
    """Publishes what is said of the machine as a whole.

    Args:
        topics: of the device.
        broker: takes the messages.
    """

    def __init__(self, topics: Topics, broker: Broker) -> None:
        self._topics = topics
        self._broker = broker
        self._retained = RetainedPublisher(broker)

    def again(self) -> None:
        """Publish all that the broker retains once more; from any thread."""
        self._retained.again()

    def online(self) -> None:
        """Publish that the device is online, as every connection does."""
        self._broker.publish(self._topics.availability, ONLINE, qos=1, retain=True)

    def state(self, make: Callable[[], State]) -> bool:
        """Publish the state that `make` returns, if it is new or due; False if the broker's queue is full."""
        return self._retained.publish(self._topics.state, make, STATE_SPACING_S)
