"""What the pipeline counts since the start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class FrameCounts:
    """The frames of one camera since the start.

    Each number is changed by one thread alone and may be read by any, so there is no lock.

    Args:
        read: frames that the camera gave, left out or not; capture counts them.
        captured: frames that were prepared for the engine; capture counts them.
        replaced: frames whose place a newer one took before the engine was free; capture counts them.
        idle: frames that were left out because nobody was there and nothing changed; capture counts them.
        lost: frames that an accelerator failed at; inference counts them.
        delivered: frames that the main loop got; it counts them.
    """

    read: int = 0
    captured: int = 0
    replaced: int = 0
    idle: int = 0
    lost: int = 0
    delivered: int = 0

    def continued(self) -> FrameCounts:
        """The counts with which a camera goes on that was removed and is there again.

        A number of a frame is there once in a run; the old thread may have been about to count one more.
        """
        return FrameCounts(
            read=self.read + bool(self.read),
            captured=self.dropped,
            replaced=self.replaced,
            idle=self.idle,
            lost=self.lost,
        )

    @property
    def dropped(self) -> int:
        """Frames that nobody had time for, and frames that were lost with an engine."""
        return self.replaced + self.lost

    @property
    def under_way(self) -> int:
        """Frames that were captured and that the main loop may still get."""
        return self.captured - self.dropped - self.delivered


@dataclass(frozen=True, slots=True)
class Counters:
    """What was counted of one camera since the start.

    Args:
        replaced: frames whose place a newer one took before the engine was free.
        lost: frames that an accelerator failed at.
        idle: frames that were left out because nobody was there and nothing changed.
        errors: how often the camera failed, hung, or could not be opened.
        reopened: how often it was opened again after that.
    """

    replaced: int
    lost: int
    idle: int
    errors: int
    reopened: int
