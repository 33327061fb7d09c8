"""Raw poses on request, for `posed record`: nothing is published, or made, while nobody asks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from posed.frame import Frame
from posed.messages.structs import RecordedFrame, RecordingStart, RecordRequest, encode, raw_pose
from posed.mqtt.broker import Broker
from posed.pose import Pose

EXPIRY_S: Final = 5
"""The broker drops a frame that it cannot deliver within this time, s."""


class RawPosePublisher:
    """Publishes what was decoded, frame by frame, as long as requests ask for it.

    Args:
        topic: where frames are published.
        broker: takes them.
        describe: how a recording would begin now.
        clock: monotonic time, s.
    """

    def __init__(
        self,
        topic: str,
        broker: Broker,
        describe: Callable[[], RecordingStart],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._broker = broker
        self._describe = describe
        self._clock = clock
        self._until = -math.inf
        self._number = 0

    def ask(self, request: RecordRequest) -> RecordingStart:
        """Go on for some seconds; who still records asks again before they are over."""
        self._until = max(self._until, self._clock() + request.seconds)
        return self._describe()

    def go_on_from(self, former: RawPosePublisher) -> None:
        """Go on with what was asked of the camera's publisher before it was opened in another way."""
        self._until, self._number = former._until, former._number

    def take(self, frame: Frame, poses: Sequence[Pose], *, dark: bool = False) -> None:
        """Publish a frame, if a recording is on.

        Args:
            frame: whose poses they are.
            poses: the poses as decoded, px of the frame.
            dark: whether it is too dark for the poses to be believed.
        """
        if not self._is_on():
            return
        height, width, _ = frame.image.shape
        number, self._number = self._number, self._number + 1
        raw = [raw_pose(pose) for pose in poses]
        self._publish(
            RecordedFrame(
                number=number,
                sequence=frame.sequence,
                time_s=frame.time_s,
                time=frame.time,
                size=(width, height),
                dark=dark,
                poses=raw,
            )
        )

    def settings_changed(self) -> None:
        """From the next frame on other settings apply."""
        if self._is_on():
            self._publish(self._describe())

    def _is_on(self) -> bool:
        return self._clock() < self._until

    def _publish(self, line: Struct) -> None:
        self._broker.publish(self._topic, encode(line), expiry_s=EXPIRY_S)
