"""Where messages go."""

from __future__ import annotations

from dataclasses import dataclass

from posed.config import Config


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """The topics of one camera of a device.

    Args:
        base: `posed/<device>/<camera>`.
    """

    base: str

    @property
    def poses(self) -> str:
        """One message per processed frame."""
        return f"{self.base}/poses"

    @property
    def state(self) -> str:
        """How the camera does, and who is there."""
        return f"{self.base}/state"

    def zone(self, name: str) -> str:
        """Who is in a zone."""
        return f"{self.base}/zones/{name}"

    @property
    def fall(self) -> str:
        """Whether somebody lies fallen."""
        return f"{self.base}/fall"

    @property
    def snapshot(self) -> str:
        """A JPEG, when one is asked for."""
        return f"{self.base}/snapshot"

    @property
    def recording(self) -> str:
        """Raw poses, as long as somebody asks for them."""
        return f"{self.base}/recording"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device.

    Args:
        base: `posed/<device>`.
    """

    base: str

    @classmethod
    def of(cls, config: Config) -> Topics:
        """The topics that a configuration asks for."""
        return cls(f"{config.mqtt.topic}/{config.device}")

    def camera(self, name: str) -> CameraTopics:
        """The topics of one of its cameras."""
        return CameraTopics(f"{self.base}/{name}")

    @property
    def availability(self) -> str:
        """`online` or `offline`."""
        return f"{self.base}/availability"

    @property
    def state(self) -> str:
        """How the daemon does."""
        return f"{self.base}/state"

    @property
    def events(self) -> str:
        """What happened before any camera, one message each."""
        return f"{self.base}/events"

    @property
    def requests(self) -> str:
        """A filter for requests of every verb."""
        return f"{self.base}/request/+"

    def request(self, verb: str) -> str:
        """Where something is asked for."""
        return f"{self.base}/request/{verb}"

    def verb(self, topic: str) -> str:
        """What a request's topic asks for."""
        return topic.removeprefix(f"{self.base}/request/")

    def response(self, verb: str) -> str:
        """Where requests of a verb are answered."""
        return f"{self.base}/response/{verb}"
