"""Which version of MQTT to speak."""

from __future__ import annotations

from typing import Final, Literal

from posed.mqtt.attempt import ConnectOutcome, How

Version = Literal["5", "3.1.1"]

_OTHER: Final[dict[Version, Version]] = {"5": "3.1.1", "3.1.1": "5"}


class VersionChoice:
    """The configured version, or with `auto` the newest that the broker accepts.

    Args:
        protocol: as configured.

    Attributes:
        version: the version in use, or else the one to be tried next.
    """

    def __init__(self, protocol: Literal["auto", "5", "3.1.1"]) -> None:
        self._auto = protocol == "auto"
        self.version: Version = "5" if protocol == "auto" else protocol
        self._accepted: Version | None = None
        self._fell_back = False

    @property
    def is_uncertain(self) -> bool:
        """Whether the broker may not speak this version, and there is another to try."""
        return self._auto and self.version != self._accepted

    @property
    def is_probe(self) -> bool:
        """Whether this is the first of the two versions to try, and another attempt follows at once."""
        return self.is_uncertain and not self._fell_back

    def accept(self) -> None:
        """The broker has accepted this version."""
        self._accepted = self.version

    def fall_back(self, outcome: ConnectOutcome) -> bool:
        """Choose the version of the next attempt.

        Args:
            outcome: how the last attempt ended.

        Returns:
            Whether to try it at once: not after both versions have failed.
        """
        refused = self._auto and outcome.how is How.VERSION_REFUSED
        if refused:
            self.version = _OTHER[self.version]
        self._fell_back = refused and not self._fell_back
        return self._fell_back
